//! What can be asked for on the command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Break everything that can break while jobs go through, and check that no promise was broken.
#[derive(Clone, Debug, Parser)]
#[command(name = "chaos", bin_name = "cargo chaos --", max_term_width = 110)]
pub(crate) struct Args {
    /// Where all chance comes from; a new one each time if it is not given
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How long things break
    #[arg(long, default_value_t = 1.0)]
    pub(crate) minutes: f64,
    /// How many workers there are at any time; the preset's number by default
    #[arg(long)]
    pub(crate) workers: Option<usize>,
    /// What breaks
    #[arg(long, value_enum, default_value_t)]
    pub(crate) preset: Preset,
    /// Where the report goes; by default target/chaos/report-SEED.json
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Each crash point with each kind of lost answer, one by one, instead of chance
    #[arg(long, conflicts_with_all = ["preset", "self_test"])]
    pub(crate) matrix: bool,
    /// Workers with planted bugs: shows that the checker finds each of them
    #[arg(long)]
    pub(crate) self_test: bool,
}

/// What breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// Everything
    #[default]
    All,
    /// 2,000 jobs, and a kill -9 every half second for 30 seconds; all is over 30 seconds later
    Kills,
    /// Four workers, replaced one after the other under load; each leaves within 3 seconds
    Rolling,
}

impl Preset {
    /// The name as it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Kills => "kills",
            Self::Rolling => "rolling",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_hold_together() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
