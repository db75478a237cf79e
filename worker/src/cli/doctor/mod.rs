//! `mjq doctor`: checks everything that mjq depends on, and says what is wrong and what helps.
//!
//! One file examines each part, in two steps: it gathers facts, and then functions without I/O judge them. The doctor
//! changes nothing that lasts, submits nothing, and shows no secret.

mod finding;
mod queue;
mod redis;
mod rights;
mod server_info;
mod upstream;

use clap::Args;

use self::finding::{Finding, Verdict};
use super::{
    Failure,
    flags::{Flags, WorkerFlags},
    output,
};
use crate::settings::Settings;

#[derive(Debug, Args)]
#[command(after_help = "\
Run it with the settings of a worker: what it may do in Redis, and what the upstream answers, depend on \
them. Exits with 1 when anything is wrong (✗), also when Redis cannot be reached.

Examples:
  mjq doctor
  mjq doctor --json | jq 'select(.verdict != \"good\")'
  docker compose exec worker mjq doctor")]
pub(super) struct Doctor {
    /// Print one line of JSON for each finding
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: WorkerFlags,
}

impl Doctor {
    pub(super) fn flags(&self) -> &Flags {
        &self.settings.0
    }

    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let mut is_well = true;
        let (findings, ledger) = redis::examine(settings).await;
        is_well &= self.print("redis", "Redis", &findings)?;
        if let Some(ledger) = &ledger {
            let title = format!("Queue {}", settings.queue);
            is_well &= self.print("queue", &title, &queue::examine(ledger, settings).await)?;
        }
        is_well &= self.print("upstream", "Upstream", &upstream::examine(settings, ledger.as_ref()).await)?;
        if is_well { Ok(()) } else { Err(Failure::Unwell) }
    }

    /// Prints the findings about one part, and tells whether none of them is bad.
    fn print(&self, part: &str, title: &str, findings: &[Finding]) -> Result<bool, Failure> {
        if self.json {
            findings.iter().try_for_each(|finding| output::line(&finding.json(part)))?;
        } else {
            output::line(title)?;
            findings.iter().try_for_each(|finding| output::line(&finding.text()))?;
        }
        Ok(findings.iter().all(|finding| finding.verdict != Verdict::Bad))
    }
}
