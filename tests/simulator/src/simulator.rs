//! The handle: starts a simulator inside this process, inspects it and stops it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Context;
use tokio::task::JoinHandle;

use crate::{
    hooks,
    knobs::Knobs,
    oracle::{Arrivals, Creation, Stats},
    routes,
    script::Script,
    server,
    upstream::Upstream,
};

/// A running simulator. It stops when this is dropped.
#[derive(Debug)]
pub struct Simulator {
    upstream: Arc<Upstream>,
    address: SocketAddr,
    server: Option<JoinHandle<()>>,
    caller: JoinHandle<()>,
}

impl Simulator {
    /// Starts a simulator on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port is available, or the log file cannot be opened.
    pub async fn start(knobs: Knobs) -> anyhow::Result<Self> {
        Self::start_on((Ipv4Addr::LOCALHOST, 0).into(), knobs).await
    }

    /// Starts a simulator on this address.
    ///
    /// # Errors
    /// When the address is not available, or the log file cannot be opened.
    pub async fn start_on(address: SocketAddr, knobs: Knobs) -> anyhow::Result<Self> {
        let upstream = Arc::new(Upstream::open(knobs)?);
        let caller = hooks::run(upstream.clone(), hooks::client()?);
        let listener = server::listen(address).await?;
        let address = listener.local_addr().context("could not read the own address")?;
        let server = tokio::spawn(server::serve(listener, routes::all(upstream.clone())));
        Ok(Self { upstream, address, server: Some(server), caller: tokio::spawn(caller) })
    }

    /// The base URL, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes knobs while the simulator runs.
    pub fn knobs(&self, turn: impl FnOnce(&mut Knobs)) {
        self.upstream.with(|world, now_ms| {
            let mut knobs = world.knobs().clone();
            turn(&mut knobs);
            world.turn(knobs, now_ms);
        });
    }

    /// Attaches a script to every job whose prompt, state or custom id contains `needle`.
    ///
    /// The first attached script that fits and is not used up serves a submit. Attached scripts take precedence over
    /// markers.
    pub fn script(&self, needle: &str, script: Script) {
        self.upstream.with(|world, _| world.playbook.attach(needle, script));
    }

    /// Every creation so far, in order.
    pub fn ledger(&self) -> Vec<Creation> {
        self.upstream.with(|world, _| world.oracle.ledger().to_vec())
    }

    /// How many tasks were created for a prompt, or for a button's custom id.
    pub fn created(&self, subject: &str) -> usize {
        self.upstream.with(|world, _| world.oracle.times_created(subject))
    }

    /// How many submits came for a prompt, or for a button's custom id, including refused ones.
    pub fn attempted(&self, subject: &str) -> usize {
        self.upstream.with(|world, _| world.oracle.times_attempted(subject))
    }

    /// The figures so far.
    pub fn stats(&self) -> Stats {
        self.upstream.with(|world, now_ms| world.stats(now_ms))
    }

    /// When submits and polls arrived.
    pub fn arrivals(&self) -> Arrivals {
        self.upstream.with(|world, _| world.oracle.arrivals())
    }

    /// How often a task was polled, and how many of these polls came after its end had been shown.
    pub fn polls(&self, task_id: &str) -> Option<(u32, u32)> {
        self.upstream.with(|world, _| world.task(task_id).map(|task| (task.polls, task.polls_after_end)))
    }

    /// Whether a client cancelled a task before its end.
    pub fn is_cancelled(&self, task_id: &str) -> bool {
        self.upstream.with(|world, _| world.task(task_id).is_some_and(|task| task.cancelled_ms.is_some()))
    }

    /// Forgets all tasks, scripts and figures.
    pub fn reset(&self) {
        self.upstream.with(|world, _| world.reset());
    }

    /// Takes the server off the network: open connections end, new ones are refused. Tasks go on.
    pub async fn pause(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            // The port is closed only when the server's task has ended.
            let _ = server.await;
        }
    }

    /// Brings the server back on the same port.
    ///
    /// # Errors
    /// When another process has taken the port.
    pub async fn resume(&mut self) -> anyhow::Result<()> {
        if self.server.is_none() {
            let listener = server::listen(self.address).await?;
            self.server = Some(tokio::spawn(server::serve(listener, routes::all(self.upstream.clone()))));
        }
        Ok(())
    }

    /// Stops for good. When this returns, the port is closed.
    pub async fn stop(mut self) {
        self.pause().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.caller.abort();
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}
