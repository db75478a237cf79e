//! What can be asked for on the command line.

use std::ffi::OsString;

use clap::Parser;

const ENVIRONMENT: &str = "\
Environment:
  MJQ_REDIS_URL     a Redis to use, with a queue of its own that is removed at the end; else a private
                    one is started: from the PATH, by Docker, or freshly installed
  MJQ_UPSTREAM_URL  with MJQ_UPSTREAM_KEY: the real API instead of the simulated one, for one picture
                    and its upscale. That costs money and needs --yes
  MJQ_BIN           an mjq program to use instead of building it
  NO_COLOR          no colours

Exit codes: 0 all as promised; 1 not, and it says why; 130 interrupted";

/// See mjq at work: a private Redis, a simulated image API and a worker; jobs go in, events come out.
#[derive(Debug, Parser)]
#[command(name = "demo", bin_name = "cargo demo --", after_help = ENVIRONMENT, max_term_width = 102)]
pub(crate) struct Args {
    /// Keep everything running until Ctrl-C, and say what to try next
    #[arg(long)]
    pub(crate) stay: bool,
    /// Agree to the costs of the real API
    #[arg(long)]
    pub(crate) yes: bool,
}

impl Args {
    /// Reads the command line of this process, and ends it on `--help` or bad usage.
    pub(crate) fn read() -> Self {
        Self::parse_from(without_separator(std::env::args_os()))
    }
}

/// The alias `cargo demo` ends in `--` already, so that `cargo demo -- --stay` brings a second one.
fn without_separator(args: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    args.enumerate().filter(|(place, arg)| *place != 1 || arg != "--").map(|(_, arg)| arg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_may_stand_behind_a_separator_or_not() {
        for line in [&["demo", "--stay"][..], &["demo", "--", "--stay"]] {
            let args = Args::try_parse_from(without_separator(line.iter().map(OsString::from)));

            assert!(args.unwrap().stay, "{line:?}");
        }
    }
}
