//! The overview: the state of the queue.

use maud::{Markup, html};

use super::parts::{ago, badge, ended_ms, job_link, next_step, progress, reason, safe_url};
use crate::{
    ledger::{Counts, JobLine, Latest, Pod, RejectedEntry, Upstream},
    shown::{count, escape_bidi, span},
};

/// The data of the overview.
pub(super) struct Overview {
    pub(super) counts: Counts,
    pub(super) latest: Latest,
    /// Held jobs, followed by unknown jobs.
    pub(super) standing: Vec<JobLine>,
    pub(super) failures: Vec<JobLine>,
    pub(super) pods: Vec<Pod>,
    pub(super) rejected: Vec<RejectedEntry>,
}

impl Overview {
    pub(super) fn show(&self) -> Markup {
        html! {
            (self.banners())
            (self.tiles())
            (self.standing())
            (self.open())
            div .pair {
                div { (self.ended()) }
                div { (self.failed()) (self.workers()) (self.rejected()) }
            }
        }
    }

    fn banners(&self) -> Markup {
        let Counts { now_ms, upstream, .. } = &self.counts;
        let Upstream { is_paused, are_submits_paused, gate_ms, polls_gate_ms, .. } = upstream;
        html! {
            @if !self.pods.iter().any(|pod| pod.is_live) {
                div .banner.bad { b { "No worker is live." } "Jobs wait safely until one is." }
            }
            @if let Some(times) = self.counts.totals.get("suspected_rollback") {
                div .banner.bad {
                    b { "Redis had lost what it knew" }
                    "of " (count(*times)) " steps. What workers still knew was written again; `mjq doctor` says more."
                }
            }
            @if *is_paused {
                div .banner { b { "Paused." } "The upstream is asked nothing until somebody resumes." }
            } @else if *are_submits_paused {
                div .banner { b { "Submits are paused." } "Open tasks go on; new ones wait until somebody resumes." }
            }
            @if upstream.is_down() { (self.takes_nothing()) }
            // While submits are paused, nobody knows when they go on.
            @if gate_ms > now_ms && !is_paused && !are_submits_paused {
                div .banner {
                    b { "The upstream asked for a pause." } "Submits go on in " (span(gate_ms - now_ms)) "."
                }
            }
            @if polls_gate_ms > now_ms && !is_paused {
                div .banner {
                    b { "Polls pause." }
                    "The upstream refused one, or asked for it; they go on in " (span(polls_gate_ms - now_ms))
                    ". `mjq jobs` shows its words."
                }
            }
            @if let Some(limit) = self.counts.full_at() {
                div .banner {
                    b { "The upstream is full." }
                    "About " (count(limit)) " tasks are kept open there, more as it takes them; one more is tried now and then."
                }
            }
            @if let Some(blind) = self.latest.blind_polls() {
                div .banner.bad { b { "Polls tell nothing." } (reason(blind.reason)) }
            }
        }
    }

    fn takes_nothing(&self) -> Markup {
        let Counts { now_ms, upstream, .. } = &self.counts;
        let Upstream { failures, probe_ms, cause, is_paused, are_submits_paused, .. } = upstream;
        html! {
            div .banner.bad {
                b { "The upstream takes nothing." }
                "Submits wait after " (count(*failures)) " failed "
                @if *failures == 1 { "request" } @else { "requests" }
                @if let Some(cause) = cause { ": " (cause.words()) }
                @if *is_paused || *are_submits_paused { "." }
                @else if probe_ms > now_ms { "; the next try is in " (span(probe_ms - now_ms)) "." }
                @else { "; the next submit tries it." }
            }
        }
    }

    fn tiles(&self) -> Markup {
        let counts = &self.counts;
        let oldest = counts.now_ms.saturating_sub(counts.oldest_waiting_ms);
        html! {
            div .tiles {
                (tile("arriving", counts.arrived, "", "Entries of the job stream that are not admitted yet"))
                (tile("queued", counts.queued, "", "Waiting to be submitted"))
                (tile("delayed", counts.delayed, "", "Waiting for the time from which they may be submitted"))
                (tile("open upstream", counts.polling, "t-accent", "Waiting for their next poll"))
                (tile("in a step", counts.in_step, "t-blue", "Claimed by a worker this moment"))
                @if counts.held > 0 { (tile("held", counts.held, "t-warn", "Their tasks wait for input")) }
                @if counts.unknown > 0 { (tile("unknown", counts.unknown, "t-warn", "Their submits' answers were lost")) }
                @if counts.oldest_waiting_ms == 0 {
                    div .tile.zero { b { "–" } small { "oldest waiting" } }
                } @else {
                    div .tile { b { (span(oldest)) } small { "oldest waiting" } }
                }
            }
            div .tiles {
                (tile("completed", counts.total("completed"), "t-good", "Since the queue began"))
                (tile("failed", counts.total("failed"), "t-bad", "Since the queue began"))
                (tile("cancelled", counts.total("cancelled"), "", "Since the queue began"))
                (tile("rejected", counts.total("rejected"), "t-warn", "Entries that never became jobs"))
                (tile("events unread", counts.events_unread, "", "By the slowest consumer group"))
                (tile("workers live", self.pods.iter().filter(|pod| pod.is_live).count() as u64, "", "Seen lately"))
            }
        }
    }

    /// Jobs that wait for a person, or may have cost money. They are few, and would not be noticed among the others.
    fn standing(&self) -> Markup {
        let all = self.counts.held + self.counts.unknown;
        html! {
            @if !self.standing.is_empty() {
                section #standing .card {
                    h2 { "Held and unknown jobs" @if all > self.standing.len() as u64 { small { "some of " (count(all)) } } }
                    (open_jobs(&self.standing, &self.counts))
                }
            }
        }
    }

    fn open(&self) -> Markup {
        let lines = &self.latest.open;
        html! {
            section #open .card {
                h2 { "Open jobs" @if self.counts.open > lines.len() as u64 {
                    small { "some of " (count(self.counts.open)) }
                } }
                @if lines.is_empty() { div .none { "Nothing is open." } } @else {
                    (open_jobs(lines, &self.counts))
                }
            }
        }
    }

    fn ended(&self) -> Markup {
        let now_ms = self.counts.now_ms;
        html! {
            section #ended .card {
                h2 { "Latest results" }
                @if self.latest.ended.is_empty() { div .none { "Nothing has ended yet." } } @else {
                    div .scroll { table {
                        thead { tr { th { } th { "job" } th { "outcome" } th .n.wide { "took" } th .n { "ended" } } }
                        tbody { @for line in &self.latest.ended { tr {
                            td .pic { (thumbnail(line)) }
                            td .id { (job_link(&line.id)) }
                            td { (badge(line.phase)) }
                            td .n.wide { (span(ended_ms(line).saturating_sub(line.record.enqueued_ms))) }
                            td .n.soft { (ago(ended_ms(line), now_ms)) }
                        } } }
                    } }
                }
            }
        }
    }

    fn failed(&self) -> Markup {
        let now_ms = self.counts.now_ms;
        html! {
            section #failed .card {
                h2 { "Latest failures" @if self.counts.failed > self.failures.len() as u64 {
                    small { "of " (count(self.counts.failed)) }
                } }
                @if self.failures.is_empty() { div .none { "No failures." } } @else {
                    div .scroll { table {
                        thead { tr { th { "job" } th { "code" } th { "reason" } th .n { "ended" } } }
                        tbody { @for line in &self.failures { tr {
                            td .id { (job_link(&line.id)) }
                            td { (code_of(line)) }
                            td .words.soft title=(escape_bidi(&line.record.reason)) { (reason(&line.record.reason)) }
                            td .n.soft { (ago(ended_ms(line), now_ms)) }
                        } } }
                    } }
                }
            }
        }
    }

    fn workers(&self) -> Markup {
        let now_ms = self.counts.now_ms;
        html! {
            section #workers .card {
                h2 { "Workers" }
                @if self.pods.is_empty() { div .none { "No worker has shown itself." } } @else {
                    div .scroll { table {
                        thead { tr { th { "pod" } th { "busy" } th .n.wide { "up" } th .n { "seen" } } }
                        tbody { @for pod in &self.pods { tr {
                            td .pod {
                                span .dot.off[!pod.is_live] {} b { (pod.name) }
                                small .soft { (pod.version) " on " (pod.host) }
                            }
                            td .nowrap {
                                progress max=(pod.slots.max(1)) value=(pod.busy) {}
                                (count(pod.busy)) " of " (count(pod.slots))
                            }
                            td .n.wide { (span(now_ms.saturating_sub(pod.started_ms))) }
                            td .n.soft { (ago(pod.seen_ms, now_ms)) }
                        } } }
                    } }
                }
            }
        }
    }

    fn rejected(&self) -> Markup {
        let now_ms = self.counts.now_ms;
        html! {
            section #rejected .card {
                h2 { "Rejected entries" @if self.counts.rejected > self.rejected.len() as u64 {
                    small { "the latest of " (count(self.counts.rejected)) }
                } }
                @if self.rejected.is_empty() { div .none { "Every entry could be read." } } @else {
                    div .scroll { table {
                        thead { tr { th { "entry" } th { "reason" } th .n { "rejected" } } }
                        tbody { @for entry in &self.rejected { tr {
                            td .soft.nowrap { (entry.entry) }
                            td .words title=(escape_bidi(&entry.text)) { (reason(&entry.reason)) }
                            td .n.soft { (ago(entry.rejected_ms, now_ms)) }
                        } } }
                    } }
                }
            }
        }
    }
}

fn open_jobs(lines: &[JobLine], counts: &Counts) -> Markup {
    let (now_ms, paused) = (counts.now_ms, counts.upstream.paused());
    html! {
        div .scroll { table {
            thead { tr {
                th { "job" } th .wide { "kind" } th { "phase" } th { "progress" } th { "next" }
                th .n.wide { "attempts" } th .n.wide { "polls" } th .n { "enqueued" }
            } }
            tbody { @for line in lines { tr {
                td .id { (job_link(&line.id)) }
                td .soft.wide { (line.record.kind.as_str()) }
                td { (badge(line.phase)) }
                td { (progress(&line.record)) }
                td .step {
                    (next_step(line.phase, line.place, now_ms, paused))
                    @if !line.record.reason.is_empty() {
                        small title=(escape_bidi(&line.record.reason)) { (reason(&line.record.reason)) }
                    }
                }
                td .n.wide { (line.record.attempts) }
                td .n.wide { (line.record.polls) }
                td .n.soft { (ago(line.record.enqueued_ms, now_ms)) }
            } } }
        } }
    }
}

fn tile(name: &str, number: u64, colour: &str, meaning: &str) -> Markup {
    let class = if number == 0 { "tile zero".to_owned() } else { format!("tile {colour}") };
    html! { div class=(class) title=(meaning) { b { (count(number)) } small { (name) } } }
}

fn thumbnail(line: &JobLine) -> Markup {
    let url = line.event.as_ref().and_then(|event| safe_url(&event.image_url));
    html! {
        div .thumb { @if let Some(url) = url { img src=(url) alt="" loading="lazy" referrerpolicy="no-referrer"; } }
    }
}

fn code_of(line: &JobLine) -> Markup {
    html! {
        @match line.ending() {
            Some((_, code)) => { span class=(format!("badge b-{}", line.phase)) { (code.as_str()) } }
            None => { (badge(line.phase)) }
        }
    }
}
