//! `mjq cancel`: asks for a job to be cancelled.

use clap::Args;
use mjq_producer::{
    Producer,
    contract::{Command, JobId},
};
use secrecy::ExposeSecret;

use super::{
    Failure,
    flags::{ClientFlags, Flags},
    open_ledger::{job_of_command, not_ended},
    output,
};
use crate::settings::Settings;

#[derive(Debug, Args)]
#[command(after_help = "\
The command travels through the queue like a job; the job's event tells how it ended. \
A job that was submitted may have been paid for already.")]
pub(super) struct Cancel {
    /// The job's id
    #[arg(value_name = "JOB")]
    job: JobId,
    #[command(flatten)]
    settings: ClientFlags,
}

impl Cancel {
    pub(super) fn flags(&self) -> &Flags {
        &self.settings.0
    }

    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        if let Some(view) = job_of_command(settings, &self.job).await? {
            not_ended(&view)?;
        }
        let producer = Producer::connect(settings.redis_url.expose_secret(), &settings.queue).await?;
        producer.send(&Command::Cancel(self.job.clone())).await?;
        output::line(&format!(
            "the wish to cancel {} is in the queue; the job's event will tell how it ended",
            self.job
        ))
    }
}
