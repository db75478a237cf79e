//! What a process has used: CPU time and memory, as `/proc` tells them.

use std::fs;

use anyhow::Context;

/// Clock ticks per second of `/proc/<pid>/stat`: 100 on every Linux that we know of.
const TICKS: f64 = 100.0;

/// CPU seconds of a process so far, user and system.
pub(crate) fn cpu_s(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    // The name, in parentheses, may hold anything: count from its end.
    let (_, fields) = stat.rsplit_once(')').context("a strange /proc/<pid>/stat")?;
    let ticks = |position: usize| fields.split_whitespace().nth(position).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = (ticks(11).context("no utime")?, ticks(12).context("no stime")?);
    Ok((user + system) / TICKS)
}

/// MiB that a process has in memory now.
pub(crate) fn rss_mib(pid: u32) -> anyhow::Result<f64> {
    status_mib(pid, "VmRSS:")
}

/// The most MiB that a process ever had in memory.
pub(crate) fn peak_rss_mib(pid: u32) -> anyhow::Result<f64> {
    status_mib(pid, "VmHWM:")
}

fn status_mib(pid: u32, name: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("a strange /proc/<pid>/status")?;
    Ok(kib / 1024.0)
}
