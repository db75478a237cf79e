//! The benchmark: mjq and its peers on the same work, in the same run, on the same Redis and upstream.
//!
//! Every contestant is a process of its own, so that its CPU and memory are its own. Each measurement gets a fresh
//! Redis, a fresh simulated upstream and a fresh worker; contestants take turns within each round, so that a noisy
//! minute hits all of them. What is printed are medians over the rounds, and the ratio to mjq.
//!
//! In reading order: `cases` says what is measured, `contestant` who takes part, `stage` what they run on, `peers` how
//! the others do the work, `meter`, `usage` and `stream` what is read from them, `figures`, `table` and `report` what is
//! made of it. `scale` is a case that computes with what it has measured.

mod cases;
mod contestant;
mod figures;
mod meter;
mod peers;
mod report;
mod scale;
mod stage;
mod stream;
mod table;
mod upstream;
mod usage;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};

use crate::{
    cases::{CASES, Case, Variant},
    contestant::Contestant,
    figures::Rounds,
    peers::Peer,
    report::Report,
};

/// Measures mjq beside tuned apalis-redis and bullmq-official, on the same work in the same run.
///
/// Without a case it runs all that take minutes; those with 50,000 and more jobs run only when they are named.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --", version, args_conflicts_with_subcommands = true)]
struct Args {
    /// Cases to run: all, or some of those that --list shows
    cases: Vec<String>,
    /// Rounds, in each of which all contestants take their turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// One round
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// Only one contestant, by the beginning of its name
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Shows the cases and ends
    #[arg(long)]
    list: bool,
    /// Where the figures are written
    #[arg(long, value_name = "FILE", default_value = "target/bench/latest.json")]
    json: PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What the benchmark starts as processes of its own.
#[derive(Debug, Subcommand)]
#[command(hide = true)]
enum Part {
    /// Serves the simulated upstream until standard input closes.
    #[command(hide = true)]
    Upstream {
        /// The knobs, JSON.
        knobs: String,
    },
    /// Runs a peer's worker until standard input closes.
    #[command(hide = true)]
    Peer(Peer),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.part {
        Some(Part::Upstream { knobs }) => upstream::serve(&knobs).await,
        Some(Part::Peer(peer)) => peer.run().await,
        None if args.list => {
            CASES.iter().for_each(|case| println!("{:<12} {}", case.name, case.about));
            Ok(())
        }
        None => measure(args).await,
    }
}

async fn measure(args: Args) -> anyhow::Result<()> {
    ensure!(!cfg!(debug_assertions), "figures of a debug build say nothing: use cargo bench, or --release");
    let rounds = if args.quick { 1 } else { args.rounds.max(1) };
    let cases = chosen(&args.cases)?;
    mjq_harness::mjq()?;
    let mut report = Report::begin(rounds).await?;
    report.print_machine();
    for case in cases {
        let mut all = Vec::new();
        for variant in (case.variants)() {
            let measured = run(&variant, if variant.once { 1 } else { rounds }, args.only.as_deref()).await;
            report.add(case, &variant, &measured);
            all.push(measured);
            // After each line, so that an interrupted run leaves what it has.
            report.write(&args.json)?;
        }
        if case.name == scale::NAME {
            scale::tables(&all)?.iter().for_each(|table| report.add_table(case, table));
            report.write(&args.json)?;
        }
    }
    println!("\nJSON: {}", args.json.display());
    Ok(())
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Case>> {
    if names.is_empty() {
        return Ok(CASES.iter().filter(|case| case.is_usual).collect());
    }
    let find = |name: &String| {
        let found = CASES.iter().find(|case| case.name == name);
        found.with_context(|| format!("there is no case {name:?}; --list shows those there are"))
    };
    names.iter().map(find).collect()
}

/// Lets all contestants do the work in turn, round after round, each time another one first.
async fn run(variant: &Variant, rounds: usize, only: Option<&str>) -> Rounds {
    let mut measured = Rounds::default();
    let is_wanted = |who: &Contestant| only.is_none_or(|name| who.to_string().starts_with(name));
    let contestants: Vec<Contestant> = variant.contestants.iter().copied().filter(is_wanted).collect();
    let count = contestants.len();
    for round in 0..rounds {
        for turn in 0..count {
            let contestant = contestants[(round + turn) % count];
            eprint!("\r\x1b[K{}, round {} of {rounds}: {contestant} …", variant.title, round + 1);
            measured.add(contestant, (variant.run)(contestant).await);
        }
    }
    eprint!("\r\x1b[K");
    measured
}
