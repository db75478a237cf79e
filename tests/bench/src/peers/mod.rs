//! The peers: the same work on other queues, each as its documentation has it and tuned as far as it lets itself.
//!
//! Both wait for the image in the handler, which is what their users do, and the leanest way that they offer.
//! bullmq-official also does it the other way, in which a worker that dies forgets nothing but what is under way.

pub(crate) mod apalis;
pub(crate) mod bullmq;
mod handler;
pub(crate) mod ledger;

use clap::{Args, ValueEnum};

use self::{apalis::Tuning, bullmq::Style};
use crate::contestant::Work;

/// A worker that is not `mjq worker`.
#[derive(Debug, Args)]
pub(crate) struct Peer {
    name: PeerName,
    work: Work,
    redis_url: String,
    upstream_url: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PeerName {
    ApalisRedis,
    ApalisBare,
    Bullmq,
    BullmqSnooze,
    /// No peer: mjq's own ledger, driven without a network to an upstream.
    Ledger,
}

impl Peer {
    /// Handlers at once: as many as a measurement has jobs that wait in them; where nothing waits, fewer are quicker.
    fn concurrency(work: Work) -> usize {
        match work {
            Work::Pipeline => 12_000,
            Work::Nothing => 1_000,
        }
    }

    /// Works until standard input closes.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.name {
            PeerName::ApalisRedis => apalis::run(Tuning::Usual, self.work, &self.redis_url, &self.upstream_url).await,
            PeerName::ApalisBare => apalis::run(Tuning::Bare, self.work, &self.redis_url, &self.upstream_url).await,
            PeerName::Bullmq => bullmq::run(Style::Await, self.work, &self.redis_url, &self.upstream_url).await,
            PeerName::BullmqSnooze => bullmq::run(Style::Snooze, self.work, &self.redis_url, &self.upstream_url).await,
            PeerName::Ledger => ledger::run(&self.redis_url).await,
        }
    }
}
