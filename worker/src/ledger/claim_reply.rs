//! The parsed answer to a claim. `claim.lua` writes each step as text.

use std::time::Instant;

use mjq_producer::contract::{JobId, TaskId};
use redis::{FromRedisValue, ParsingError, Value};

use super::{
    Gate, Step, UnreadableStep,
    kept::{KeptJob, KeptRequest},
};
use crate::lifecycle::Flags;

/// The answer of `claim.lua`.
pub(super) struct ClaimReply {
    pub(super) now_ms: u64,
    pub(super) more_after_ms: i64,
    pub(super) granted_ms: u64,
    pub(super) waits: WaitsFor,
    pub(super) claims: u64,
    pub(super) steps: Vec<String>,
}

/// Why a claim did not get more steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// There are no more, or a pause or a rate keeps them back.
    Nothing,
    /// Submits wait until open tasks end.
    OpenTasks,
    /// Submits wait until Redis has room.
    Memory,
    /// Redis may have lost writes, and not all pods have yet said what they hold.
    Pods,
}

/// One step, as `claim.lua` writes it.
pub(super) struct RawStep<'a> {
    id: &'a str,
    rare: Rare<'a>,
    job: &'a str,
    /// For submits only; it may be several lines.
    request: Option<&'a str>,
}

/// The parts that few steps have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rare<'a> {
    is_reclaimed: bool,
    reclaims: u32,
    is_cancelled: bool,
    inputs: u32,
    hint: &'a str,
}

impl ClaimReply {
    /// The gate that keeps claims back, if one is closed.
    pub(super) fn gate(&self) -> Gate {
        if self.waits == WaitsFor::Pods { Gate(self.granted_ms) } else { Gate::OPEN }
    }
}

impl FromRedisValue for ClaimReply {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut items = Vec::<Value>::from_redis_value(value)?.into_iter();
        let mut number = || i64::from_redis_value(items.next().unwrap_or(Value::Nil));
        let (now_ms, more_after_ms, granted_ms, waits) = (number()?, number()?, number()?, number()?);
        let claims = number()?.unsigned_abs();
        let steps = items.map(String::from_redis_value).collect::<Result<_, _>>()?;
        let (now_ms, granted_ms) = (now_ms.unsigned_abs(), granted_ms.unsigned_abs());
        let waits = match waits {
            1 => WaitsFor::OpenTasks,
            2 => WaitsFor::Memory,
            3 => WaitsFor::Pods,
            _ => WaitsFor::Nothing,
        };
        Ok(Self { now_ms, more_after_ms, granted_ms, waits, claims, steps })
    }
}

impl<'a> RawStep<'a> {
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let (head, rest) = text.split_once('\n')?;
        let (job, request) = rest.split_once('\n').map_or((rest, None), |(job, request)| (job, Some(request)));
        let (id, rare) = match head.split_once(' ') {
            Some((id, rare)) => (id, Rare::read(rare)?),
            None => (head, Rare::default()),
        };
        Some(Self { id, rare, job, request })
    }

    /// The step, if it cannot be read otherwise. The ledger itself writes id and fence, so these can always be read.
    pub(super) fn unreadable(text: &str, reply: &ClaimReply) -> UnreadableStep {
        let mut lines = text.lines();
        let mut first_word = || lines.next().and_then(|line| line.split(' ').next()).unwrap_or_default().to_owned();
        UnreadableStep { job: first_word(), fence: first_word(), claimed_ms: reply.granted_ms }
    }

    pub(super) fn into_step(self, reply: &ClaimReply, claimed_at: Instant, place_until: Instant) -> Option<Step> {
        let Self { rare: Rare { is_reclaimed, reclaims, is_cancelled, inputs, hint }, .. } = self;
        let (job, kept) = (JobId::new(self.id).ok()?, KeptJob::read(self.job)?);
        let (fence, record) = (kept.fence, kept.record()?);
        let (hinted, is_end_told) = read_hint(hint);
        let flags = Flags {
            is_reclaimed,
            is_overdue: reply.now_ms >= record.deadline_ms,
            is_cancelled,
            hinted_task: (!hinted.is_empty()).then(|| TaskId::new(hinted)),
            is_end_told,
            inputs,
            reclaims,
        };
        let job_json = self.request.and_then(|text| KeptRequest::read(text)?.job).map(str::to_owned);
        Some(Step { job, fence, record, flags, job_json, claimed_ms: reply.granted_ms, claimed_at, place_until })
    }
}

impl<'a> Rare<'a> {
    fn read(words: &'a str) -> Option<Self> {
        let mut words = words.splitn(5, ' ');
        let mut number = || words.next()?.parse::<u32>().ok();
        let (reclaimed, reclaims, cancelled, inputs) = (number()?, number()?, number()?, number()?);
        let (is_reclaimed, is_cancelled) = (reclaimed == 1, cancelled == 1);
        Some(Self { is_reclaimed, reclaims, is_cancelled, inputs, hint: words.next()? })
    }
}

/// The task that a hook named, which may be empty, and whether the hook told the task's end.
pub(super) fn read_hint(hint: &str) -> (&str, bool) {
    hint.strip_prefix('+').map_or((hint, false), |task| (task, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_lines_of_text_and_a_job_may_have_lines_of_its_own() {
        let poll = RawStep::read("order-1842\n7 polling {}").unwrap();
        assert_eq!((poll.id, poll.job, poll.request), ("order-1842", "7 polling {}", None));
        assert_eq!(poll.rare, Rare::default());

        let submit = RawStep::read("a:b 1 2 0 3 +task of two words\n1 submitting {}\nx 1 0 = {\n}").unwrap();
        assert_eq!((submit.job, submit.request), ("1 submitting {}", Some("x 1 0 = {\n}")));
        let hint = "+task of two words";
        assert_eq!(submit.rare, Rare { is_reclaimed: true, reclaims: 2, is_cancelled: false, inputs: 3, hint });

        assert!(RawStep::read("order-1842 7\n{}").is_none() && RawStep::read("order-1842").is_none());
    }
}
