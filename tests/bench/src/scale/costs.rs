//! Costs: what one act costs Redis, and what acts by the second add up to.

use anyhow::Context;

use super::act::{Act, Pace};
use crate::{contestant::Contestant, figures::Rounds};

/// Microseconds of Redis for calls that carry many: one for the call, one for each in it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Batched {
    pub(super) call: f64,
    pub(super) each: f64,
}

/// Microseconds of Redis by act.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Acts {
    pub(super) enqueue: f64,
    pub(super) admit: Batched,
    pub(super) claim_submit: Batched,
    pub(super) claim_poll: Batched,
    /// A claim that finds nothing.
    pub(super) claim_nothing: f64,
    pub(super) settle_submit: Batched,
    pub(super) settle_poll: Batched,
    pub(super) settle_end: Batched,
    /// An event, read and acknowledged.
    pub(super) read_event: f64,
    pub(super) forget: f64,
}

/// All unit costs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Costs {
    /// Of a Redis that has slept a moment before each call: its caches are cold.
    pub(super) calm: Acts,
    /// Of a Redis that has no moment to sleep.
    pub(super) busy: Acts,
    /// A Redis that has nothing to do: µs per second.
    pub(super) alone: f64,
    /// A pod that has nothing to do, on a calm Redis: µs per second.
    pub(super) idle_pod: f64,
    pub(super) connections_per_pod: f64,
    pub(super) bytes_open: f64,
    /// With its event.
    pub(super) bytes_ended: f64,
    /// CPU of the worker, µs per step.
    pub(super) worker_step: f64,
}

/// What happens each second on one Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Traffic {
    pub(super) pods: f64,
    /// Jobs that come.
    pub(super) enqueues: f64,
    pub(super) submits: f64,
    /// Polls, those that find the end among them.
    pub(super) polls: f64,
    pub(super) ends: f64,
    /// Records and events whose retention is over.
    pub(super) forgotten: f64,
}

/// Seconds of Redis per second, by what they are spent on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub(super) total: f64,
    /// Of it, claims that find nothing.
    pub(super) empty_claims: f64,
    /// Claims per second, empty or not.
    pub(super) claims: f64,
}

/// A pod claims at most this often: 12 ms of gathering, and the way there and back (`engine/claim/claimer.rs`).
const CLAIM_CYCLE_S: f64 = 0.013;
/// For each pod that there is, one whose last claim brought nothing stands back so long, on average (`engine/claim/stagger.rs`).
const STAND_BACK_S: f64 = 0.008;
/// The settler's 3 ms of gathering, and its way.
const SETTLE_CYCLE_S: f64 = 0.005;
const SETTLE_BATCH: f64 = 64.0;
/// An admitter reads, admits, and reads again.
const ADMIT_CYCLE_S: f64 = 0.002;
const ADMIT_BATCH: f64 = 256.0;
/// A pod that hears of nothing claims this often all the same.
const IDLE_CLAIMS: f64 = 1.0;

impl Acts {
    /// Reads what was measured at one `pace`.
    fn read(figure: &impl Fn(&str) -> anyhow::Result<f64>, pace: Pace) -> anyhow::Result<Self> {
        let one = |act: Act| figure(act.name(pace, false));
        let batched = |act: Act| -> anyhow::Result<Batched> {
            Ok(Batched::fit(figure(act.name(pace, false))?, figure(act.name(pace, true))?, pace.many() as f64))
        };
        Ok(Self {
            enqueue: one(Act::Enqueue)?,
            admit: batched(Act::Admit)?,
            claim_submit: batched(Act::ClaimSubmit)?,
            claim_poll: batched(Act::ClaimPoll)?,
            claim_nothing: one(Act::ClaimNothing)?,
            settle_submit: batched(Act::SettleSubmit)?,
            settle_poll: batched(Act::SettlePoll)?,
            settle_end: batched(Act::End)?,
            read_event: one(Act::ReadEvent)?,
            forget: one(Act::Forget)?,
        })
    }

    /// Seconds of Redis per second, and of them those of claims that find nothing.
    fn seconds(&self, traffic: Traffic, idle_pod: f64) -> (f64, f64) {
        let Traffic { pods, enqueues, submits, polls, ends, forgotten } = traffic;
        let claims = traffic.claims();
        let steps = submits + polls;
        let fruitful = claims * (1.0 - (-steps / claims).exp());
        let share = |part: f64| if steps > 0.0 { part / steps } else { 0.0 };
        let claim_call = self.claim_submit.call * share(submits) + self.claim_poll.call * share(polls);

        // What is claimed together is mostly written down together.
        let settles = calls(steps, pods, SETTLE_CYCLE_S, SETTLE_BATCH).min(fruitful).max(steps / SETTLE_BATCH);
        let unended = (polls - ends).max(0.0);
        let settle_call = self.settle_submit.call * share(submits)
            + self.settle_poll.call * share(unended)
            + self.settle_end.call * share(ends);

        let empty = (claims - fruitful) * self.claim_nothing;
        let micros = enqueues * (self.enqueue + self.admit.each)
            + calls(enqueues, pods, ADMIT_CYCLE_S, ADMIT_BATCH) * self.admit.call
            + fruitful * claim_call
            + submits * (self.claim_submit.each + self.settle_submit.each)
            + polls * self.claim_poll.each
            + unended * self.settle_poll.each
            + ends * (self.settle_end.each + self.read_event)
            + settles * settle_call
            + forgotten * self.forget
            + empty
            // What an idle pod was measured to cost includes its claims.
            + pods * (idle_pod - IDLE_CLAIMS * self.claim_nothing).max(0.0);
        (micros / 1e6, empty / 1e6)
    }
}

impl Traffic {
    /// Claims per second, empty or not.
    fn claims(self) -> f64 {
        // A pod wakes for what it has admitted, and for the polls that it has planned, in time; for all others' polls
        // at some time after.
        let own = (self.enqueues + self.polls) / self.pods;
        let others = self.polls * (1.0 - 1.0 / self.pods);
        let patience = CLAIM_CYCLE_S + if self.pods > 1.0 { STAND_BACK_S * self.pods } else { 0.0 };
        let wakes = own / (1.0 + own * CLAIM_CYCLE_S) + others / (1.0 + others * patience);
        self.pods * wakes.clamp(IDLE_CLAIMS, 1.0 / CLAIM_CYCLE_S)
    }
}

impl Costs {
    /// Reads what was measured: medians over the rounds.
    pub(super) fn read(measured: &[Rounds]) -> anyhow::Result<Self> {
        let figure = |name: &str| {
            let found = measured.iter().find_map(|rounds| rounds.median(Contestant::Mjq, name));
            found.with_context(|| format!("{name:?} was not measured"))
        };
        Ok(Self {
            calm: Acts::read(&figure, Pace::Calm)?,
            busy: Acts::read(&figure, Pace::Busy)?,
            alone: figure("Redis alone, µs per second")?,
            idle_pod: figure("Redis µs per idle pod and second")?,
            connections_per_pod: figure("connections per pod")?,
            bytes_open: figure("bytes per open job")?,
            bytes_ended: figure("bytes per ended job and its event")?,
            worker_step: figure("worker CPU µs per step")?,
        })
    }

    /// What `traffic` costs Redis.
    pub(super) fn load(&self, traffic: Traffic) -> Load {
        let traffic = Traffic { pods: traffic.pods.max(1.0), ..traffic };
        let (calm, calm_empty) = self.calm.seconds(traffic, self.idle_pod);
        let busy_idle = self.idle_pod * self.busy.claim_nothing / self.calm.claim_nothing.max(1e-9);
        let (busy, busy_empty) = self.busy.seconds(traffic, busy_idle);
        // A call finds Redis awake as often as it works: u = u busy + (1 − u) calm.
        let total = if busy < 1.0 { calm.max(busy) / (1.0 + calm.max(busy) - busy) } else { busy };
        let warm = total.min(1.0);
        let total = total + self.alone / 1e6;
        let empty_claims = warm * busy_empty + (1.0 - warm) * calm_empty;
        Load { total, empty_claims, claims: traffic.claims() }
    }

    /// Bytes of Redis for so many jobs.
    pub(super) fn bytes(&self, waiting_or_open: f64, ended: f64) -> f64 {
        waiting_or_open * self.bytes_open + ended * self.bytes_ended
    }
}

impl Batched {
    /// From what one costs that goes alone, and what one costs of `many` that go together.
    pub(super) fn fit(alone: f64, together: f64, many: f64) -> Self {
        let call = ((alone - together) * many / (many - 1.0)).max(0.0);
        Self { call, each: (alone - call).max(0.0) }
    }
}

/// How many calls carry `rate` acts per second, when each of the pods gathers for a `cycle`.
fn calls(rate: f64, pods: f64, cycle: f64, most: f64) -> f64 {
    let own = rate / pods;
    pods * (own / (1.0 + own * cycle)).max(own / most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_and_what_it_carries_are_told_apart() {
        let fitted = Batched::fit(30.0, 10.3125, 64.0);

        assert!((fitted.call - 20.0).abs() < 1e-6 && (fitted.each - 10.0).abs() < 1e-6, "{fitted:?}");
    }

    #[test]
    fn a_crowd_claims_hardly_more_often_than_there_is_something_to_claim() {
        let claims =
            |pods| Traffic { pods, enqueues: 16.0, submits: 16.0, polls: 44.0, ends: 16.0, forgotten: 16.0 }.claims();

        assert!(claims(1.0) < 60.0, "{}", claims(1.0));
        assert!(claims(100.0) < 60.0 + 2.0 / STAND_BACK_S, "{}", claims(100.0));
    }

    #[test]
    fn what_comes_one_by_one_has_calls_of_its_own_and_a_flood_shares_them() {
        assert!((calls(1.0, 1.0, 0.005, 64.0) - 1.0).abs() < 0.01);
        assert!(calls(1e6, 1.0, 0.005, 64.0) >= 1e6 / 64.0);
        assert!(calls(10_000.0, 1.0, 0.005, 64.0) < 200.0);
    }

    #[test]
    fn pods_with_nothing_to_do_cost_what_was_measured_of_them() {
        let acts = Acts { claim_nothing: 30.0, ..Acts::default() };
        let costs = Costs { idle_pod: 500.0, calm: acts, busy: acts, ..Costs::default() };
        let load = costs.load(Traffic { pods: 100.0, ..Traffic::default() });

        assert!((load.total - 0.05).abs() < 1e-9, "{load:?}");
    }

    #[test]
    fn a_redis_with_little_to_do_pays_the_calm_price_and_a_full_one_the_busy_one() {
        let acts = |enqueue| Acts { enqueue, ..Acts::default() };
        let costs = Costs { calm: acts(30.0), busy: acts(10.0), ..Costs::default() };
        let load = |enqueues| costs.load(Traffic { enqueues, ..Traffic::default() }).total;

        assert!((load(100.0) / 0.003 - 1.0).abs() < 0.01, "{}", load(100.0));
        assert!((load(100_000.0) - 1.0).abs() < 0.01, "{}", load(100_000.0));
    }

    #[test]
    fn the_same_polls_cost_a_little_more_with_each_pod_that_asks_whether_there_are_any() {
        let acts = Acts { claim_nothing: 30.0, ..Acts::default() };
        let costs = Costs { calm: acts, busy: acts, ..Costs::default() };
        let load = |pods| costs.load(Traffic { pods, polls: 500.0, ..Traffic::default() }).total;

        let (few, many) = (load(10.0), load(100.0));
        assert!(many > few && many < 4.0 * few, "{few} {many}");
    }
}
