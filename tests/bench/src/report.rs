//! The report: a table for people, JSON for the rest.

use std::{fs, path::Path, process::Command};

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    cases::{Case, Variant},
    contestant::Contestant,
    figures::{Better, Rounds},
    table::Table,
};

/// What was measured so far.
pub(crate) struct Report {
    machine: Value,
    rounds: usize,
    last_case: &'static str,
    lines: Vec<Value>,
}

impl Report {
    /// Begins with the machine and the versions.
    pub(crate) async fn begin(rounds: usize) -> anyhow::Result<Self> {
        let machine = json!({
            "cpu": first_line("/proc/cpuinfo", "model name"),
            "cores": std::thread::available_parallelism().map_or(1, usize::from),
            "memory": first_line("/proc/meminfo", "MemTotal"),
            "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
            "load": fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
            "redis": said("redis-server", &["--version"]),
            "rustc": said("rustc", &["--version"]),
            "mjq": env!("CARGO_PKG_VERSION"),
            "commit": said("git", &["rev-parse", "--short", "HEAD"]),
            "date": said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
            "apalis-redis": locked("apalis-redis"),
            "bullmq-official": locked("bullmq-official"),
        });
        Ok(Self { machine, rounds, last_case: "", lines: Vec::new() })
    }

    pub(crate) fn print_machine(&self) {
        let said = |name: &str| match &self.machine[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        println!("{}, {} cores, {}, Linux {}", said("cpu"), said("cores"), said("memory"), said("kernel"));
        println!("{}; {}", said("redis"), said("rustc"));
        println!(
            "mjq {} ({}), apalis-redis {}, bullmq-official {}; {}; {} rounds; load before {}",
            said("mjq"),
            said("commit"),
            said("apalis-redis"),
            said("bullmq-official"),
            said("date"),
            self.rounds,
            said("load"),
        );
    }

    /// Prints one line of work, and keeps it.
    pub(crate) fn add(&mut self, case: &Case, variant: &Variant, measured: &Rounds) {
        if self.last_case != case.name {
            println!("\n## {}: {}", case.name, case.about);
            self.last_case = case.name;
        }
        println!("\n{}", variant.title);
        self.print(variant, measured);
        self.lines.push(line(case, variant, measured));
    }

    fn print(&self, variant: &Variant, measured: &Rounds) {
        // --only leaves most of them out.
        let contestants = || variant.contestants.iter().filter(|who| measured.took_part(**who));
        print!("  {:<40}", "median");
        contestants().for_each(|who| print!("{who:>24}"));
        println!();
        for (name, better) in measured.names() {
            print!("  {name:<40}");
            let own = measured.median(Contestant::Mjq, name);
            for who in contestants() {
                let cell = match measured.median(*who, name) {
                    None => "–".to_owned(),
                    Some(value) if *who == Contestant::Mjq || better == Better::Neither => number(value),
                    Some(value) => match own {
                        Some(own) if own > 0.0 => format!("{} ({:.2} ×)", number(value), value / own),
                        _ => number(value),
                    },
                };
                print!("{cell:>24}");
            }
            println!();
        }
        for (who, why) in &measured.failures {
            println!("  {who} did not finish: {}", why.lines().take(3).collect::<Vec<_>>().join(" / "));
        }
    }

    /// Prints what was computed from a case's figures, and keeps it.
    pub(crate) fn add_table(&mut self, case: &Case, table: &Table) {
        table.print();
        let mut line = table.json();
        line["case"] = json!(case.name);
        self.lines.push(line);
    }

    /// Writes all of it.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("could not make {}", dir.display()))?;
        }
        let all = json!({ "machine": self.machine, "rounds": self.rounds, "lines": self.lines });
        let text = serde_json::to_string_pretty(&all).context("the figures cannot be written")?;
        fs::write(path, text + "\n").with_context(|| format!("could not write {}", path.display()))
    }
}

fn line(case: &Case, variant: &Variant, measured: &Rounds) -> Value {
    let mut figures = serde_json::Map::new();
    for (name, better) in measured.names() {
        let mut by_contestant = serde_json::Map::new();
        let own = measured.median(Contestant::Mjq, name);
        for who in variant.contestants {
            let Some(median) = measured.median(*who, name) else { continue };
            let ratio = own.filter(|own| *own > 0.0).map(|own| median / own);
            let values = measured.values(*who, name);
            by_contestant.insert(who.to_string(), json!({"median": median, "to_mjq": ratio, "rounds": values}));
        }
        let better = format!("{better:?}").to_lowercase();
        figures.insert(name.to_owned(), json!({"better": better, "contestants": by_contestant}));
    }
    let failures: Vec<Value> =
        measured.failures.iter().map(|(who, why)| json!({"contestant": who.to_string(), "why": why})).collect();
    json!({"case": case.name, "work": variant.title, "figures": figures, "failures": failures})
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.095 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn first_line(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim_start_matches([' ', '\t', ':']).trim().to_owned()
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// The version of a package that this program was built with.
fn locked(package: &str) -> String {
    let lock = include_str!("../../../Cargo.lock");
    let name = format!("name = \"{package}\"");
    let version = lock.lines().skip_while(|line| *line != name).nth(1).unwrap_or_default();
    version.trim_start_matches("version = ").trim_matches('"').to_owned()
}
