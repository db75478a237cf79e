//! What can be asked for on the command line.

use clap::Parser;

const ENVIRONMENT: &str = "\
Environment:
  MJQ_REDIS_URL     a Redis to use; a queue of its own is made there and removed at the end.
                    Else a private one is started: from the PATH, by Docker, or freshly installed.
  MJQ_UPSTREAM_URL  together with MJQ_UPSTREAM_KEY: the real API instead of the simulated one, with one
                    picture and one upscale. That costs money and needs --yes.
  MJQ_BIN           an mjq program to use instead of building it.
  NO_COLOR          no colours.

Exit codes: 0 all as promised; 1 not, and it says why; 130 interrupted.";

/// See mjq at work: a private Redis, a simulated image API and a worker; jobs go in, events come out.
#[derive(Debug, Parser)]
#[command(name = "demo", bin_name = "cargo demo --", after_help = ENVIRONMENT, max_term_width = 110)]
pub(crate) struct Args {
    /// Keep everything running until Ctrl-C, and say what to try next
    #[arg(long)]
    pub(crate) stay: bool,
    /// Agree to the costs of the real API
    #[arg(long)]
    pub(crate) yes: bool,
}
