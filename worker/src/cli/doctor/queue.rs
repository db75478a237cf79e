//! The queue: does it move, and does anybody read its events?

use super::Finding;
use crate::{
    cli::words::{clipped, first_failure, plain},
    ledger::{BlindPolls, BreakerCause, Counts, EntryId, EventGroup, Latest, Ledger, Pod, RejectedEntry, ViewError},
    settings::Settings,
    shown::{counted, due, span},
};

/// The facts about the queue at one moment.
#[derive(Debug, Default)]
struct Facts {
    counts: Counts,
    live_workers: Vec<Pod>,
    /// Steps whose lease ran out and that no other worker has taken over.
    expired_leases: u64,
    /// Some open and some ended jobs.
    latest: Latest,
    groups: Vec<Group>,
    last_rejected: Option<RejectedEntry>,
    retention_ms: u64,
    events_stream: String,
}

/// A consumer group of the event stream.
#[derive(Debug, Default)]
struct Group {
    name: String,
    /// How many events were given to a consumer and are not acknowledged.
    pending: u64,
    /// How many events were not given to any consumer yet. If Redis does not know it, see [`Ledger::events_after`].
    unread: u64,
    /// The time of the oldest event that is not acknowledged, Unix milliseconds.
    oldest_ms: Option<u64>,
}

/// Looks at the queue.
pub(super) async fn examine(ledger: &Ledger, settings: &Settings) -> Vec<Finding> {
    match gather(ledger, settings).await {
        Ok(facts) => facts.judge(),
        Err(error) => vec![Finding::bad(
            format!("the ledger cannot be read: {}", words_of(&error)),
            "see what is said about Redis above; a key of another type was made by somebody else, and has to go",
        )],
    }
}

fn words_of(error: &ViewError) -> String {
    first_failure(&std::error::Error::source(error).unwrap_or(error).to_string())
}

/// How many open jobs are examined one by one.
const SHOWN: usize = 20;

async fn gather(ledger: &Ledger, settings: &Settings) -> Result<Facts, ViewError> {
    let counts = ledger.counts().await?;
    let now_ms = counts.now_ms;
    // By Redis's clock, because this machine's clock may differ from those of the workers.
    let is_live = |pod: &Pod| u128::from(now_ms.saturating_sub(pod.seen_ms)) < Pod::LIVE_FOR.as_millis();
    let live_workers = ledger.workers().await?.into_iter().filter(is_live).collect();
    let mut command = redis::cmd("ZCOUNT");
    command.arg(ledger.key("leases")).arg("-inf").arg(now_ms);
    let expired_leases = ledger.link().query(&command).await.map_err(ViewError::Redis)?;
    let latest = ledger.latest(SHOWN).await?;
    let last_rejected = ledger.rejected(1).await?.into_iter().next();
    let retention_ms = settings.retention.as_millis() as u64;
    let events_stream = ledger.queue().events_stream();
    let groups = groups(ledger).await?;
    Ok(Facts { counts, live_workers, expired_leases, latest, groups, last_rejected, retention_ms, events_stream })
}

async fn groups(ledger: &Ledger) -> Result<Vec<Group>, ViewError> {
    let mut groups = Vec::new();
    for group in ledger.event_groups().await.map_err(ViewError::Redis)? {
        let EventGroup { name, pending, oldest_pending, unread, last_delivered } = group;
        let unread = match unread {
            Some(unread) => unread,
            None => ledger.events_after(&last_delivered).await.map_err(ViewError::Redis)?,
        };
        let (name, oldest_ms) =
            (String::from_utf8_lossy(&name).into_owned(), oldest_pending.map(|id| EntryId::read(&id).ms));
        groups.push(Group { name, pending, unread, oldest_ms });
    }
    Ok(groups)
}

impl Facts {
    /// A job that waits longer than this to be submitted is reported.
    const LONG_WAIT_S: f64 = 300.0;
    /// An event that a consumer holds unacknowledged for longer than this is reported.
    const LONG_UNACKNOWLEDGED_MS: u64 = 300_000;

    fn judge(&self) -> Vec<Finding> {
        let mut findings = vec![self.workers()];
        findings.extend(self.leases());
        findings.extend(self.pauses());
        findings.extend(self.upstream());
        findings.extend(self.blind_polls());
        findings.push(self.waiting());
        findings.extend(self.held());
        findings.extend(self.readers());
        findings.extend(self.event_ids());
        findings.extend(self.rejected());
        findings.extend(self.rollbacks());
        findings.extend(self.refused_follow_ups());
        findings
    }

    fn has_work(&self) -> bool {
        self.counts.arrived + self.counts.open > 0
    }

    fn workers(&self) -> Finding {
        let live = self.live_workers.len() as u64;
        let (busy, slots) =
            self.live_workers.iter().fold((0, 0), |(busy, slots), pod| (busy + pod.busy, slots + pod.slots));
        match live {
            0 if self.has_work() => Finding::bad(
                match self.counts.arrived + self.counts.open {
                    1 => "no worker is alive, and 1 job waits".to_owned(),
                    jobs => format!("no worker is alive, and {jobs} jobs wait"),
                },
                "start one: `mjq worker`, with this MJQ_REDIS_URL and MJQ_QUEUE",
            ),
            0 => Finding::doubtful("no worker is alive, and there is nothing to do", "start one: `mjq worker`"),
            _ => Finding::good(format!("{} alive, {busy} of {} busy", counted(live, "worker"), counted(slots, "slot"))),
        }
    }

    fn leases(&self) -> Option<Finding> {
        let left = self.expired_leases;
        match (left, self.live_workers.len()) {
            // If no worker is alive, another finding has said so.
            (0, _) | (_, 0) => None,
            _ => Some(Finding::doubtful(
                format!("{} of workers that died are not taken over yet", counted(left, "step")),
                "look again in some seconds; if it stays, all slots are busy: more workers, or more MJQ_SLOTS",
            )),
        }
    }

    fn pauses(&self) -> Option<Finding> {
        let upstream = &self.counts.upstream;
        if upstream.is_paused {
            return Some(Finding::doubtful("it is paused: nothing is submitted or polled", "mjq resume"));
        }
        upstream.are_submits_paused.then(|| Finding::doubtful("its submits are paused", "mjq resume --submits"))
    }

    fn upstream(&self) -> Vec<Finding> {
        let (upstream, now_ms) = (&self.counts.upstream, self.counts.now_ms);
        let mut findings = Vec::new();
        if upstream.is_down() {
            let next = match upstream.probe_ms {
                // During a pause, nobody knows when the probe comes.
                _ if upstream.is_paused || upstream.are_submits_paused => String::new(),
                probe_ms if probe_ms > now_ms => format!("; next probe {}", due(probe_ms, now_ms)),
                _ => "; the next submit is the probe".to_owned(),
            };
            findings.push(Finding::bad(
                format!(
                    "the breaker is open after {}{}: nothing is submitted{next}",
                    counted(upstream.failures, "failure"),
                    upstream.cause.map(|cause| format!(" ({})", cause.words())).unwrap_or_default(),
                ),
                match upstream.cause {
                    Some(BreakerCause::Away) => {
                        "check MJQ_UPSTREAM_URL, the name server and the firewall between here and there; it closes by itself"
                    }
                    Some(BreakerCause::Misaddressed) => {
                        "`mjq jobs` shows the upstream's words; check MJQ_UPSTREAM_URL and MJQ_UPSTREAM_SUBMIT_PATH; it closes by itself"
                    }
                    Some(BreakerCause::Lost) => {
                        "that is the upstream's own trouble; `mjq pause --submits` until it is well, so that no more are lost"
                    }
                    Some(BreakerCause::Down) | None => {
                        "`mjq jobs` shows the upstream's words; check MJQ_UPSTREAM_KEY and the quota; it closes by itself"
                    }
                },
            ));
        }
        if upstream.gate_ms > now_ms {
            findings.push(Finding::doubtful(
                format!("the upstream asked to be left alone; next submit {}", due(upstream.gate_ms, now_ms)),
                "it goes on by itself; a lower MJQ_UPSTREAM_SUBMIT_RATE avoids it",
            ));
        }
        if upstream.polls_gate_ms > now_ms {
            findings.push(Finding::doubtful(
                format!(
                    "polls pause: the upstream refused one, or asked for it; next poll {}",
                    due(upstream.polls_gate_ms, now_ms)
                ),
                "it goes on by itself, and `mjq jobs` shows its words: 401 or 403 is MJQ_UPSTREAM_KEY; 429 is avoided by a lower MJQ_UPSTREAM_POLL_RATE, or by MJQ_UPSTREAM_LIST_PATH",
            ));
        }
        if let Some(limit) = self.counts.full_at() {
            findings.push(Finding::doubtful(
                format!(
                    "the upstream said that it was full: {} at most for now",
                    counted(limit, "open task")
                ),
                "one more is tried now and then, and it grows by itself; MJQ_UPSTREAM_MAX_OPEN at what the upstream can take avoids refusals",
            ));
        }
        findings
    }

    fn blind_polls(&self) -> Option<Finding> {
        let BlindPolls { tasks, blind, reason } = self.latest.blind_polls()?;
        Some(Finding::bad(
            format!(
                "polls of {blind} of the {} shown tell nothing: {}",
                counted(tasks as u64, "open task"),
                clipped(&plain(reason), 200)
            ),
            "the words say why: a key that is refused, an outage, an address that is wrong; open tasks wait, and end at their deadline",
        ))
    }

    fn waiting(&self) -> Finding {
        let counts = &self.counts;
        let open = format!("{} waiting, {} upstream", counts.arrived + counts.queued + counts.delayed, counts.polling);
        let seconds = counts.oldest_waiting_seconds();
        if seconds < Self::LONG_WAIT_S {
            return Finding::good(format!("jobs: {open}, {} ended lately", counts.ended));
        }
        Finding::doubtful(
            format!("jobs: {open}; the oldest has waited for {}", span((seconds * 1000.0) as u64)),
            "see above for pauses, limits and workers; otherwise more jobs come in than the upstream takes",
        )
    }

    fn readers(&self) -> Vec<Finding> {
        if self.groups.is_empty() {
            let kept = span(self.retention_ms);
            return vec![Finding::good(format!("no consumer group reads the events; each is kept for {kept}"))];
        }
        self.groups.iter().map(|group| self.reader(group)).collect()
    }

    fn reader(&self, group: &Group) -> Finding {
        let Group { pending, unread, .. } = group;
        let name = plain(&group.name);
        let left = format!("{unread} to read, {pending} to acknowledge");
        let age_ms = group.oldest_ms.map_or(0, |oldest_ms| self.counts.now_ms.saturating_sub(oldest_ms));
        if age_ms >= Self::LONG_UNACKNOWLEDGED_MS {
            return Finding::doubtful(
                format!("consumer group {name}: {left}, the oldest for {}: Redis keeps all later events", span(age_ms)),
                format!(
                    "let its consumers acknowledge what they have dealt with; or, if nobody needs it, XGROUP DESTROY '{}' '{name}'",
                    self.events_stream
                ),
            );
        }
        if *unread > 10_000 {
            return Finding::doubtful(
                format!("consumer group {name}: {left}"),
                format!(
                    "start more consumers; or, if nobody needs it, XGROUP DESTROY '{}' '{name}'",
                    self.events_stream
                ),
            );
        }
        Finding::good(format!("consumer group {name}: {left}"))
    }

    /// An event from the future: Redis gives later events no lower ids.
    fn event_ids(&self) -> Option<Finding> {
        const CLOCKS_DIFFER_MS: u64 = 60_000;
        /// Ids beyond this time were chosen by hand, and leave no ids for centuries of events, or none at all.
        const YEAR_2286_MS: u64 = 10_000_000_000_000;
        let (last_ms, stream) = (self.counts.last_event_ms, &self.events_stream);
        let ahead_ms = last_ms.saturating_sub(self.counts.now_ms);
        if last_ms >= YEAR_2286_MS {
            return Some(Finding::bad(
                "somebody has added an event with one of the highest ids: Redis may take no events after it, and no job can end",
                format!("stop the consumers, and RENAME '{stream}'; the workers begin a new one"),
            ));
        }
        (ahead_ms > CLOCKS_DIFFER_MS).then(|| {
            Finding::doubtful(
                format!("the last event is {} ahead of Redis's clock, and so will be all later ones", span(ahead_ms)),
                "correct the clock of Redis's host; consumers must not take the time from an event's id",
            )
        })
    }

    fn rejected(&self) -> Option<Finding> {
        let last = self.last_rejected.as_ref()?;
        let age = span(self.counts.now_ms.saturating_sub(last.rejected_ms));
        Some(Finding::doubtful(
            format!(
                "{} could not be read, the last one {age} ago: {}",
                if self.counts.rejected == 1 {
                    "1 entry".to_owned()
                } else {
                    format!("{} entries", self.counts.rejected)
                },
                plain(&last.reason)
            ),
            "correct the producer; the dashboard and /api/v1/rejected show what was sent",
        ))
    }

    fn held(&self) -> Option<Finding> {
        let held = self.counts.held;
        (held > 0).then(|| {
            Finding::doubtful(
                format!("held for somebody's input, until their deadlines: {}", counted(held, "job")),
                "`mjq jobs --held`, then `mjq modal <job> --prompt …`",
            )
        })
    }

    fn refused_follow_ups(&self) -> Option<Finding> {
        let count = *self.counts.totals.get("follow_up_refused")?;
        Some(Finding::bad(
            format!("{} could not be enqueued, although the events name them", counted(count, "follow-up")),
            "the job stream takes no more entries: somebody has added one with the highest id there is; delete the stream when it is empty",
        ))
    }

    fn rollbacks(&self) -> Option<Finding> {
        let count = *self.counts.totals.get("suspected_rollback")?;
        Some(Finding::doubtful(
            format!(
                "Redis had lost what it knew {}; what workers still knew was written again",
                counted(count, "time")
            ),
            "appendfsync always, where such a loss costs more than the disk",
        ))
    }
}

#[cfg(test)]
mod tests {
    use mjq_producer::contract::{Entry, JobId};

    use super::{super::Verdict, *};
    use crate::{
        ledger::{JobLine, Place, Upstream},
        lifecycle::{Phase, Policy, Record},
    };

    /// `tasks` open tasks, of which `blind` are blind.
    fn with_blind_polls(tasks: u32, blind: u32) -> Latest {
        let json = br#"{"kind":"imagine","request":{"prompt":"cat"}}"#;
        let Ok(Entry::Job(job)) = Entry::read(None, Some(json), 1000) else { panic!("a valid job") };
        let record = Record { reason: "HTTP 401".to_owned(), ..Record::admit(&job, 1, &Policy::default()) };
        let line = |n: u32| JobLine {
            id: JobId::new(&format!("job-{n}")).unwrap(),
            phase: Phase::Polling,
            place: Place::Moving,
            record: Record { blind_polls: u32::from(n < blind), ..record.clone() },
            event: None,
        };
        Latest { open: (0..tasks).map(line).collect(), ended: Vec::new() }
    }

    #[test]
    fn few_polls_that_tell_nothing_are_nothing_to_hear() {
        assert_eq!(Facts { latest: with_blind_polls(5, 2), ..healthy() }.blind_polls(), None);
    }

    fn healthy() -> Facts {
        let worker = Pod { name: "a".into(), slots: 256, busy: 3, ..Pod::default() };
        let counts = Counts { now_ms: 10_000_000, open: 5, polling: 5, ..Counts::default() };
        Facts { counts, live_workers: vec![worker], retention_ms: 86_400_000, ..Facts::default() }
    }

    fn with_upstream(upstream: Upstream) -> Facts {
        let facts = healthy();
        Facts { counts: Counts { upstream, ..facts.counts }, ..facts }
    }

    fn with_group(group: Group) -> Facts {
        Facts { groups: vec![group], ..healthy() }
    }

    #[test]
    fn a_healthy_queue_has_nothing_to_hear() {
        let findings =
            with_group(Group { name: "billing".into(), pending: 3, oldest_ms: Some(9_999_000), ..Group::default() })
                .judge();

        assert!(findings.iter().all(|it| it.verdict == Verdict::Good), "{findings:?}");
        assert_eq!(findings[0].said, "1 worker alive, 3 of 256 slots busy");
    }

    #[test]
    fn the_cure_of_an_open_breaker_depends_on_what_opened_it() {
        for (cause, cure) in [
            (BreakerCause::Down, "MJQ_UPSTREAM_KEY"),
            (BreakerCause::Away, "name server"),
            (BreakerCause::Misaddressed, "MJQ_UPSTREAM_SUBMIT_PATH"),
            (BreakerCause::Lost, "mjq pause --submits"),
        ] {
            let upstream = Upstream { failures: 1, cause: Some(cause), ..Upstream::default() };

            let open = |upstream| with_upstream(upstream).upstream().remove(0);

            let due = open(upstream.clone());
            assert!(due.cure.contains(cure) && due.said.ends_with("; the next submit is the probe"), "{due:?}");
            let paused = open(Upstream { are_submits_paused: true, ..upstream });
            assert!(paused.said.ends_with("nothing is submitted"), "{paused:?}");
        }
    }

    #[test]
    fn each_fault_is_named_with_its_cure() {
        let group = |pending, unread, oldest_ms| Group { name: "billing".into(), pending, unread, oldest_ms };
        let rejected = RejectedEntry {
            entry: "1-0".into(),
            rejected_ms: 9_998_000,
            reason: "not JSON".into(),
            text: String::new(),
        };
        let old = Counts { oldest_waiting_ms: 9_000_000, ..healthy().counts };
        let limited = with_upstream(Upstream { limit: Some(3.7), ..Upstream::default() });
        let full = Facts { counts: Counts { polling: 2, in_step: 1, ..limited.counts }, ..limited };
        let rolled_back = Counts { totals: [("suspected_rollback".to_owned(), 2)].into(), ..healthy().counts };
        for (facts, verdict, said) in [
            (Facts { live_workers: vec![], ..healthy() }, Verdict::Bad, "no worker is alive, and 5 jobs wait"),
            (
                Facts { live_workers: vec![], counts: Counts { open: 1, ..Counts::default() }, ..healthy() },
                Verdict::Bad,
                "no worker is alive, and 1 job waits",
            ),
            (
                Facts { live_workers: vec![], counts: Counts::default(), ..healthy() },
                Verdict::Doubtful,
                "nothing to do",
            ),
            (Facts { expired_leases: 1, ..healthy() }, Verdict::Doubtful, "1 step of workers that died"),
            (with_upstream(Upstream { is_paused: true, ..Upstream::default() }), Verdict::Doubtful, "it is paused"),
            (with_upstream(Upstream { are_submits_paused: true, ..Upstream::default() }), Verdict::Doubtful, "submits"),
            (
                with_upstream(Upstream { failures: 3, probe_ms: 10_002_500, ..Upstream::default() }),
                Verdict::Bad,
                "open after 3 failures: nothing is submitted; next probe in 2.5 s",
            ),
            (with_upstream(Upstream { gate_ms: 10_002_500, ..Upstream::default() }), Verdict::Doubtful, "left alone"),
            (
                with_upstream(Upstream { polls_gate_ms: 10_002_500, ..Upstream::default() }),
                Verdict::Doubtful,
                "polls pause: the upstream refused one, or asked for it; next poll in 2.5 s",
            ),
            (
                Facts { latest: with_blind_polls(5, 3), ..healthy() },
                Verdict::Bad,
                "polls of 3 of the 5 open tasks shown tell nothing: HTTP 401",
            ),
            (full, Verdict::Doubtful, "3 open tasks"),
            (Facts { counts: old, ..healthy() }, Verdict::Doubtful, "waited for 16 min 40 s"),
            (
                with_group(group(1, 0, Some(9_000_000))),
                Verdict::Doubtful,
                "1 to acknowledge, the oldest for 16 min 40 s",
            ),
            (with_group(group(0, 10_001, None)), Verdict::Doubtful, "10001 to read"),
            (Facts { last_rejected: Some(rejected), ..healthy() }, Verdict::Doubtful, "2.0 s ago: not JSON"),
            (Facts { counts: rolled_back, ..healthy() }, Verdict::Doubtful, "2 times"),
        ] {
            let findings = facts.judge();

            let found = findings.iter().find(|it| it.verdict == verdict && it.said.contains(said));
            assert!(found.is_some_and(|it| !it.cure.is_empty()), "{said}: {findings:?}");
        }
    }
}
