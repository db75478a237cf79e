//! The simulated upstream, as a process of its own, and what it counted.

use std::collections::BTreeMap;

use anyhow::Context;
use mjq_simulator::{Knobs, Simulator};
use serde::Deserialize;

use crate::stage::{OwnProcess, until_abandoned};

/// Serves until standard input closes.
pub(crate) async fn serve(knobs: &str) -> anyhow::Result<()> {
    let knobs: Knobs = serde_json::from_str(knobs).context("these are no knobs")?;
    let simulator = Simulator::start(knobs).await?;
    println!("{}", simulator.url());
    until_abandoned().await;
    Ok(())
}

/// A running upstream; it ends when it is dropped.
pub(crate) struct UpstreamProcess {
    url: String,
    http: reqwest::Client,
    _process: OwnProcess,
}

/// What the upstream has seen so far.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Seen {
    /// Requests by endpoint.
    pub(crate) requests: BTreeMap<String, u64>,
    /// Tasks created.
    pub(crate) created: u64,
    /// Polls of tasks, one by one or in batches.
    pub(crate) polls: u64,
}

impl UpstreamProcess {
    pub(crate) async fn start(knobs: &Knobs) -> anyhow::Result<Self> {
        let knobs = serde_json::to_string(knobs).context("the knobs cannot be written")?;
        let (process, url) = OwnProcess::start(&["upstream", &knobs]).await?;
        Ok(Self { url, http: http_client()?, _process: process })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn seen(&self) -> anyhow::Result<Seen> {
        let answer = self.http.get(format!("{}/sim/stats", self.url)).send().await?.bytes().await?;
        serde_json::from_slice(&answer).context("the upstream's figures cannot be read")
    }
}

impl Seen {
    /// All requests that submit or poll.
    pub(crate) fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}

/// A client for plain HTTP.
pub(crate) fn http_client() -> anyhow::Result<reqwest::Client> {
    // That another provider was installed before is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().context("could not make an HTTP client")
}
