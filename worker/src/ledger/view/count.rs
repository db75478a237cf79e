//! The count: how much the queue holds, read in one round trip.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{Ledger, ViewError};

/// How much the queue holds, all at one moment. The fields count jobs unless they say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Counts {
    /// When it was counted, Unix milliseconds by Redis's clock.
    pub now_ms: u64,
    /// Entries of the job stream that are not admitted yet, commands included.
    pub arrived: u64,
    /// Waiting to be submitted.
    pub queued: u64,
    /// Waiting for the time from which they may be submitted.
    pub delayed: u64,
    /// With a task that is open upstream or searched for there, waiting for the next poll.
    pub polling: u64,
    /// Claimed by a worker at this moment.
    pub in_step: u64,
    /// Admitted and not ended.
    pub open: u64,
    /// Open jobs whose task waits for input.
    pub held: u64,
    /// Open jobs whose submit's answer was lost.
    pub unknown: u64,
    /// Ended, as long as the retention keeps them.
    pub ended: u64,
    /// Ended jobs that failed: the dead letters.
    pub failed: u64,
    /// Delayed jobs whose time has come.
    pub delayed_due: u64,
    /// Polling jobs whose next poll is due.
    pub polling_due: u64,
    /// Entries of the event stream.
    pub events: u64,
    /// Events that the slowest consumer group has not acknowledged yet.
    pub events_unread: u64,
    /// Consumer groups that read events.
    pub event_groups: u64,
    /// The time in the id of the last event, Unix milliseconds; 0 if there is none. Later events have no lower id.
    pub last_event_ms: u64,
    /// Entries that could not be read, of which the latest 10,000 or so are kept.
    pub rejected: u64,
    /// When the job that has waited longest for its submit was enqueued; 0 if none waits.
    pub oldest_waiting_ms: u64,
    /// Ended jobs and rejected entries since the queue began, by `type:code`.
    pub totals: BTreeMap<String, u64>,
    /// What all pods know about the upstream.
    pub upstream: Upstream,
}

/// What all pods know about the upstream.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Upstream {
    /// An operator has paused all requests to it, except last polls.
    pub is_paused: bool,
    /// An operator has paused submits to it.
    pub are_submits_paused: bool,
    /// The end of the pause of submits, in Unix milliseconds; 0 if there was none.
    pub gate_ms: u64,
    /// The end of the pause of polls, likewise.
    pub polls_gate_ms: u64,
    /// The adaptive limit of open tasks; `None` if the upstream has set none by refusals.
    pub limit: Option<f64>,
    /// How often in a row the breaker has opened; 0 if it is closed.
    pub failures: u64,
    /// When the open breaker lets the next probe through, in Unix milliseconds.
    pub probe_ms: u64,
    /// What opened the breaker; `None` if it is closed.
    pub cause: Option<BreakerCause>,
    /// Submits in a row whose answer was lost, over all pods.
    pub lost_in_a_row: u64,
}

/// What opened the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerCause {
    /// The upstream refuses our key, or our quota is spent.
    Down,
    /// The upstream is not there.
    Away,
    /// A server answers at the upstream's address, but has no such route.
    Misaddressed,
    /// The answers to many submits in a row were lost.
    Lost,
}

impl BreakerCause {
    /// The cause in words, as the end of a sentence.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Down => "it does not let us in",
            Self::Away => "it cannot be reached",
            Self::Misaddressed => "it has no such address",
            Self::Lost => "the answers to many submits in a row were lost",
        }
    }
}

impl Counts {
    /// How long the oldest waiting job has waited, in seconds.
    #[must_use]
    pub fn oldest_waiting_seconds(&self) -> f64 {
        match self.oldest_waiting_ms {
            0 => 0.0,
            enqueued_ms => self.now_ms.saturating_sub(enqueued_ms) as f64 / 1000.0,
        }
    }

    /// The adaptive limit of open tasks, if it is reached, so that submits wait; else `None`.
    #[must_use]
    pub fn full_at(&self) -> Option<u64> {
        let limit = self.upstream.limit.map(|limit| limit.max(1.0) as u64);
        limit.filter(|limit| self.polling + self.in_step >= *limit)
    }

    /// How much has ended with `event_type` since the queue began.
    #[must_use]
    pub fn total(&self, event_type: &str) -> u64 {
        let of_type = |key: &&String| key.split_once(':').is_some_and(|(name, _)| name == event_type);
        self.totals.iter().filter(|(key, _)| of_type(key)).map(|(_, count)| count).sum()
    }
}

impl Upstream {
    /// Whether submits wait for a probe to succeed.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.failures > 0
    }
}

type Reply = (HashMap<String, u64>, BTreeMap<String, i64>, HashMap<String, String>);

impl Ledger {
    const COUNT: &str = include_str!("count.lua");

    /// Counts everything that the queue holds.
    ///
    /// # Errors
    /// [`ViewError`] if Redis did not answer at once.
    pub async fn counts(&self) -> Result<Counts, ViewError> {
        let mut commands = redis::pipe();
        commands.cmd("EVAL").arg(Self::COUNT).arg(1).arg(self.key(""));
        let ((numbers, totals, upstream),): (Reply,) = self.read(&commands).await?;
        let number = |name: &str| numbers.get(name).copied().unwrap_or(0);
        // A count is below zero only if somebody deleted the counters.
        let whole = |(name, count): (String, i64)| (name, count.try_into().unwrap_or(0));
        let mut totals: BTreeMap<String, u64> = totals.into_iter().map(whole).collect();
        Ok(Counts {
            now_ms: number("now_ms"),
            arrived: number("arrived"),
            queued: number("queued"),
            delayed: number("delayed"),
            polling: number("polling"),
            in_step: number("in_step"),
            open: number("open"),
            held: number("held"),
            unknown: number("unknown"),
            ended: totals.remove("ended").unwrap_or(0),
            failed: number("failed"),
            delayed_due: number("delayed_due"),
            polling_due: number("polling_due"),
            events: number("events"),
            events_unread: number("events_unread"),
            event_groups: number("event_groups"),
            last_event_ms: number("last_event_ms"),
            rejected: number("rejected"),
            oldest_waiting_ms: number("oldest_waiting_ms"),
            totals,
            upstream: Upstream::read(&upstream),
        })
    }
}

impl Upstream {
    fn read(fields: &HashMap<String, String>) -> Self {
        let is_down = fields.contains_key("down");
        let cause = match fields.get("cause").map(String::as_str) {
            Some("lost") => BreakerCause::Lost,
            Some("away") => BreakerCause::Away,
            Some("misaddressed") => BreakerCause::Misaddressed,
            _ => BreakerCause::Down,
        };
        let number = |name: &str| fields.get(name).and_then(|text| text.parse::<f64>().ok());
        let whole = |name: &str| number(name).unwrap_or(0.0) as u64;
        Self {
            is_paused: fields.get("paused").is_some_and(|flag| flag == "1"),
            are_submits_paused: fields.get("submits_paused").is_some_and(|flag| flag == "1"),
            gate_ms: whole("gate_ms"),
            polls_gate_ms: whole("polls_gate_ms"),
            limit: number("limit"),
            failures: whole("down"),
            probe_ms: whole("down_until_ms"),
            cause: is_down.then_some(cause),
            lost_in_a_row: whole("lost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_summed_over_their_codes() {
        let totals = [("failed:poison", 2), ("failed:upstream_failed", 3), ("completed:ok", 7)];
        let totals = totals.into_iter().map(|(key, count)| (key.to_owned(), count)).collect();

        let counts = Counts { totals, ..Counts::default() };

        assert_eq!(counts.total("failed"), 5);
        assert_eq!(counts.total("completed"), 7);
        assert_eq!(counts.total("fail"), 0);
    }

    #[test]
    fn nobody_waiting_is_an_age_of_zero() {
        let counts = Counts { now_ms: 5000, ..Counts::default() };

        assert_eq!(counts.oldest_waiting_seconds(), 0.0);
        assert_eq!(Counts { oldest_waiting_ms: 2000, ..counts }.oldest_waiting_seconds(), 3.0);
    }
}
