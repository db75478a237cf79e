//! `mjq retry`: tries a job that failed or was cancelled once more.

use clap::Args;
use mjq_producer::contract::JobId;

use super::{
    Failure,
    flags::{ClientFlags, Flags},
    open_ledger::open_ledger,
    output,
};
use crate::settings::Settings;

#[derive(Debug, Args)]
#[command(after_help = "\
The job is submitted once more, which may be a new charge: after submit_unknown, upstream_lost or \
deadline_exceeded the upstream may still have, and bill, the earlier task. Look there first. \
It keeps its id, its history and its counts, has as long as before until its new deadline, and ends with a second event.

Examples:
  mjq jobs --failed
  mjq show order-1842
  mjq retry order-1842")]
pub(super) struct Retry {
    /// The id of a job that failed or was cancelled
    #[arg(value_name = "JOB")]
    job: JobId,
    #[command(flatten)]
    settings: ClientFlags,
}

impl Retry {
    pub(super) fn flags(&self) -> &Flags {
        &self.settings.0
    }

    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let ledger = open_ledger(settings).await?;
        ledger.retry(&self.job, &settings.policy()).await?;
        output::line(&format!("{} waits to be submitted once more; another event will tell how it ends", self.job))
    }
}
