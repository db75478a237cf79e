//! `mjq worker`: runs one pod.

use clap::Args;

use super::{
    Failure,
    flags::{Flags, WorkerFlags},
};
use crate::settings::Settings;

#[derive(Debug, Args)]
pub(super) struct Worker {
    #[command(flatten)]
    settings: WorkerFlags,
}

impl Worker {
    pub(super) fn flags(&self) -> &Flags {
        &self.settings.0
    }
}

pub(super) async fn run(settings: Settings) -> Result<(), Failure> {
    start(settings).await.map_err(|error| Failure::Worker(error.into()))
}

async fn start(_settings: Settings) -> anyhow::Result<()> {
    anyhow::bail!("this build has no engine")
}
