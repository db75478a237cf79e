//! The weather: the conditions of one seed's world. Shares are in thousandths.

use std::time::Duration;

use super::dice::Dice;
use crate::lifecycle::{AdoptionRoutes, Policy};

#[derive(Debug, Clone)]
pub(super) struct Weather {
    pub(super) jobs: u64,
    pub(super) pods: u64,
    pub(super) slots: usize,
    pub(super) lease_ms: u64,
    pub(super) max_open: usize,
    pub(super) policy: Policy,
    /// Calls to Redis whose answer is lost.
    pub(super) redis_loses: u64,
    /// Submits whose answer is lost, half of them after the task was made.
    pub(super) submit_loses: u64,
    /// Submits that are refused for now, in one of several ways.
    pub(super) refuses: u64,
    /// Submits that are denied for good.
    pub(super) denies: u64,
    /// Tasks that do not simply succeed.
    pub(super) odd_tasks: u64,
    /// Polls that give no verdict.
    pub(super) polls_lose: u64,
    /// Hooks that are lost.
    pub(super) hooks_lose: u64,
    /// Jobs that are cancelled on request.
    pub(super) cancels: u64,
    /// Strokes of the nemesis that make Redis lose its last writes.
    pub(super) redis_forgets: u64,
    /// The longest time between two strokes of the nemesis, in ms.
    pub(super) peace_ms: u64,
}

impl Weather {
    /// How long things go wrong.
    pub(super) const STORM_MS: u64 = 40_000;

    pub(super) fn of(dice: &Dice) -> Self {
        let often = |choices: &[u64]| *dice.pick(choices);
        let (hook, lookup) = (dice.permille(500), dice.permille(500));
        let policy = Policy {
            poll_min: dice.ms(100, 1_000),
            poll_max: dice.ms(1_000, 6_000),
            refusal_delay: (dice.ms(100, 1_000), dice.ms(1_000, 8_000)),
            unknown_grace: dice.ms(0, 20_000),
            adoption: AdoptionRoutes { hook, lookup },
            fast_deadline: dice.ms(8_000, 50_000),
            max_attempts: 1 + dice.below(4) as u32,
            max_reclaims: 1 + dice.below(5) as u32,
            lost_after: (3, Duration::from_secs(6)),
            ..Policy::default()
        };
        Self {
            jobs: 3 + dice.below(6),
            pods: 1 + dice.below(3),
            slots: 1 + dice.below(6) as usize,
            lease_ms: often(&[1_000, 2_000, 5_000, 15_000]),
            max_open: often(&[0, 0, 1, 3]) as usize,
            policy,
            redis_loses: often(&[0, 10, 100]),
            submit_loses: often(&[0, 50, 300]),
            refuses: often(&[0, 100, 500]),
            denies: often(&[0, 30]),
            odd_tasks: often(&[0, 200, 700]),
            polls_lose: often(&[0, 50, 300]),
            hooks_lose: often(&[0, 300]),
            cancels: often(&[0, 100]),
            redis_forgets: often(&[0, 0, 300]),
            peace_ms: often(&[1_500, 5_000, 20_000]),
        }
    }
}
