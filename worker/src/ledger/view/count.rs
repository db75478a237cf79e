//! The count: how much there is of everything, in one round trip.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{Ledger, ViewError};

/// How much the queue holds, all of it at one moment. Jobs unless it says otherwise.
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
    /// Open upstream (or looked for there), waiting for their next look.
    pub polling: u64,
    /// Claimed by a worker this moment.
    pub in_step: u64,
    /// Admitted and not ended.
    pub open: u64,
    /// Of the open ones, those whose task waits for input.
    pub held: u64,
    /// Of the open ones, those whose submit's answer was lost.
    pub unknown: u64,
    /// Ended, as far back as the retention goes.
    pub ended: u64,
    /// Of these, the failed ones: the dead letters.
    pub failed: u64,
    /// Of the delayed ones, those whose time has come.
    pub delayed_due: u64,
    /// Of the polling ones, those whose next look is due.
    pub polling_due: u64,
    /// Entries of the event stream.
    pub events: u64,
    /// Events that the slowest consumer group has yet to acknowledge.
    pub events_unread: u64,
    /// Consumer groups that read events.
    pub event_groups: u64,
    /// Entries that could not be read, of which the latest 10,000 or so are kept.
    pub rejected: u64,
    /// When the job that has waited longest for its submit was enqueued; 0 when none waits.
    pub oldest_waiting_ms: u64,
    /// Ended jobs and rejected entries since the queue began, by `type:code`.
    pub totals: BTreeMap<String, u64>,
    /// What all pods know about the upstream.
    pub upstream: Upstream,
}

/// What all pods know about the upstream.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Upstream {
    /// Nothing is asked of it by an operator's wish, but for last looks.
    pub is_paused: bool,
    /// Nothing is submitted to it, by an operator's wish.
    pub are_submits_paused: bool,
    /// Until then, Unix milliseconds, it wants no submits; 0 when it did not ask for a pause.
    pub gate_ms: u64,
    /// The same for looks at tasks.
    pub looks_gate_ms: u64,
    /// The tasks that may be open there, when it said that they were too many.
    pub limit: Option<f64>,
    /// Failures in a row that opened the breaker; 0 is closed.
    pub failures: u64,
    /// The open breaker's next probe, Unix milliseconds.
    pub probe_ms: u64,
    /// What opened it; `None` is closed.
    pub cause: Option<BreakerCause>,
    /// Submits in a row whose answer was lost, over all pods.
    pub lost_in_a_row: u64,
}

/// What opened the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerCause {
    /// The upstream does not let us in.
    Down,
    /// The upstream is not there.
    Away,
    /// A server answers there, and has no such address.
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
    /// Seconds that the oldest waiting job has waited.
    #[must_use]
    pub fn oldest_waiting_seconds(&self) -> f64 {
        match self.oldest_waiting_ms {
            0 => 0.0,
            enqueued_ms => self.now_ms.saturating_sub(enqueued_ms) as f64 / 1000.0,
        }
    }

    /// How many tasks the upstream takes at once, as far as submits wait for that now; `None` where they do not.
    #[must_use]
    pub fn full_at(&self) -> Option<u64> {
        let limit = self.upstream.limit.map(|limit| limit.max(1.0) as u64);
        limit.filter(|limit| self.polling + self.in_step >= *limit)
    }

    /// Everything that ended with `event_type` since the queue began.
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
        // Below zero only where somebody has deleted what was counted.
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
            looks_gate_ms: whole("looks_gate_ms"),
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
