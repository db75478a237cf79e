//! `mjq-simulator`: the simulator as a process of its own.

mod flags;

use anyhow::Context;
use clap::Parser;
use mjq_simulator::Simulator;
use tokio::signal::unix::{SignalKind, signal};

use crate::flags::Flags;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let scripts = flags.scripts.clone();
    let simulator = Simulator::start_on(flags.listen, flags.knobs()).await?;
    for attached in scripts {
        simulator.script(&attached.needle, attached.script);
    }
    println!("{}", simulator.url());

    // The first process of a container ignores signals that it does not handle.
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.context("could not listen for SIGINT")?,
    }
    simulator.stop().await;
    Ok(())
}
