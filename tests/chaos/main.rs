//! `cargo chaos`: everything breaks while jobs go through, and a checker looks for broken promises.
//!
//! Real workers, a real Redis that keeps an append-only file, the simulated upstream as the oracle of what was billed,
//! and a network in between that can fail. Everything that is left to chance comes from one seed.
//!
//! In reading order: [`args`] says what can be asked for, [`plan`] what the seed decides, [`world`] starts it all out of
//! [`pod`]s behind [`FaultProxy`](mjq_harness::FaultProxy)s, [`producers`] and [`consumers`] keep the [`books`],
//! [`nemesis`] breaks things while the [`overseer`] watches, [`collect`] gathers the [`history`], [`checker`] judges it, and [`report`] tells. [`run`] puts
//! these in order. [`matrix`] leaves nothing to chance, and [`self_test`] shows that the checker can fail.

mod args;
mod dice;
mod plan;

mod pod;
mod world;

mod books;
mod consumers;
mod producers;

mod nemesis;
mod overseer;

mod checker;
mod collect;
mod history;
mod report;

mod matrix;
mod outcome_table;
mod run;
mod self_test;
mod stalls;

#[cfg(test)]
mod leaving;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use args::Args;
use clap::Parser;
use plan::Plan;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(any_seed);
    println!("seed {seed}");
    let features: &[&str] = if args.self_test { &["crash-points", "planted-bugs"] } else { &["crash-points"] };
    let program = mjq_harness::mjq_with(features)?;
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/chaos"));
    std::fs::create_dir_all(&dir)?;

    if args.matrix {
        let is_good = matrix::run(&program).await?;
        return Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if args.self_test {
        let is_good = self_test::run(&Plan::of(&args, seed), &program, &dir).await?;
        return Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let report = run::run(Plan::of(&args, seed), &program, &dir).await?;
    report.print();
    let file = args.report.unwrap_or_else(|| dir.join(format!("report-{seed}.json")));
    report.write(&file)?;
    println!("\nreport in {}", file.display());
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A seed that was hardly ever used before, short enough to be typed.
fn any_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |age| age.as_millis() as u64 % 1_000_000)
}
