//! `mjq pause` and `mjq resume`: stop and go, for all workers of a queue at once.

use clap::Args;

use super::{
    Failure,
    flags::{ClientFlags, Flags},
    open_ledger::open_ledger,
    output,
};
use crate::{ledger::Paused, settings::Settings};

#[derive(Debug, Args)]
#[command(after_help = "\
Jobs are still taken in, and what was begun is finished. A paused queue neither submits nor polls; with \
--submits, open tasks are still watched to their end. Deadlines go on. `mjq resume` ends it.

Examples:
  mjq pause --submits       # before a change of the upstream's key
  mjq resume --submits")]
pub(super) struct Pause {
    /// Pause submits only
    #[arg(long)]
    submits: bool,
    #[command(flatten)]
    settings: ClientFlags,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What was paused with --submits is resumed with --submits.")]
pub(super) struct Resume {
    /// Resume submits, after `mjq pause --submits`
    #[arg(long)]
    submits: bool,
    #[command(flatten)]
    settings: ClientFlags,
}

impl Pause {
    pub(super) fn flags(&self) -> &Flags {
        &self.settings.0
    }

    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let ledger = open_ledger(settings).await?;
        let is_new = ledger.pause(what(self.submits), true).await?;
        output::line(&sentence(settings, self.submits, if is_new { "now paused" } else { "paused already" }))
    }
}

impl Resume {
    pub(super) fn flags(&self) -> &Flags {
        &self.settings.0
    }

    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let ledger = open_ledger(settings).await?;
        let is_new = ledger.pause(what(self.submits), false).await?;
        output::line(&sentence(settings, self.submits, if is_new { "no longer paused" } else { "not paused" }))?;

        let upstream = ledger.counts().await?.upstream;
        if !self.submits && upstream.are_submits_paused {
            output::line("its submits are still paused; `mjq resume --submits` resumes them")?;
        }
        if self.submits && upstream.is_paused {
            output::line("the whole queue is still paused; `mjq resume` resumes it")?;
        }
        Ok(())
    }
}

fn what(submits: bool) -> Paused {
    if submits { Paused::Submits } else { Paused::All }
}

fn sentence(settings: &Settings, submits: bool, state: &str) -> String {
    match submits {
        true => format!("the submits of queue {} are {state}", settings.queue),
        false => format!("queue {} is {state}", settings.queue),
    }
}
