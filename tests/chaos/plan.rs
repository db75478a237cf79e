//! The plan of a run: what the seed decides before anything starts.

use std::time::Duration;

use mjq_simulator::{Knobs, Span};
use serde::Serialize;

use crate::args::{Args, Preset};
use crate::dice::Dice;
use crate::history::Limits;

/// What kind of run it is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) preset: &'static str,
    #[serde(skip)]
    pub(crate) what: Preset,
    pub(crate) workers: usize,
    /// How long things break.
    pub(crate) lasts: Duration,
    /// How the task of a lost answer can be found.
    pub(crate) adoption: Adoption,
    /// Whether polls are batched.
    pub(crate) lists: bool,
    pub(crate) limits: Limits,
    /// Share of tasks that fail.
    pub(crate) failure_rate: f64,
    pub(crate) load: Load,
    /// The longest that the upstream takes to answer on a good day.
    pub(crate) slowest_answer_ms: u64,
    /// A bug that the worker is built with, to see the checker find it.
    pub(crate) planted_bug: Option<&'static str>,
}

/// How the task of a lost answer can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Adoption {
    /// Not at all.
    Impossible,
    /// By the upstream's callback.
    Hook,
    /// By mjq's own token in the upstream's list.
    Lookup,
}

/// How jobs come.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum Load {
    /// So many a second, of all kinds.
    PerSecond(u64),
    /// So many at once, all of them pictures that may not be submitted twice.
    AtOnce(u64),
}

impl Plan {
    /// How long a worker's claim lasts.
    pub(crate) const LEASE: Duration = Duration::from_secs(2);
    /// How long one HTTP exchange may take.
    pub(crate) const EXCHANGE: Duration = Duration::from_secs(2);

    /// Makes the plan of a run.
    pub(crate) fn of(args: &Args, seed: u64) -> Self {
        let mut dice = Dice::seeded(seed).fork("plan");
        let adoption = dice.one_of(&[Adoption::Impossible, Adoption::Hook, Adoption::Lookup]);
        let has_limits = dice.says(34);
        let plan = Self {
            seed,
            preset: args.preset.name(),
            what: args.preset,
            workers: args.workers.unwrap_or(3),
            lasts: Duration::from_secs_f64(args.minutes.max(0.0) * 60.0),
            adoption,
            lists: dice.says(50),
            limits: Limits {
                submits_per_second: if has_limits { 30 } else { 0 },
                max_open: if has_limits { 40 } else { 0 },
                deadline_slack_ms: 20_000,
            },
            failure_rate: if dice.says(50) { 0.03 } else { 0.0 },
            load: Load::PerSecond(20),
            slowest_answer_ms: dice.one_of(&[40, 400]),
            planted_bug: None,
        };
        let plain = Self {
            adoption: Adoption::Impossible,
            limits: Limits { deadline_slack_ms: 20_000, ..Limits::default() },
            slowest_answer_ms: 40,
            ..plan.clone()
        };
        match args.preset {
            Preset::All => plan,
            Preset::Kills => {
                Self { lasts: Duration::from_secs(30), load: Load::AtOnce(2_000), failure_rate: 0.0, ..plain }
            }
            Preset::Rolling => Self { workers: args.workers.unwrap_or(4), failure_rate: 0.0, ..plain },
        }
    }

    /// The settings of every worker.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("MJQ_LEASE_MS", Self::LEASE.as_millis().to_string()),
            ("MJQ_POLL_MIN_MS", "100".to_owned()),
            ("MJQ_POLL_MAX_MS", "800".to_owned()),
            ("MJQ_UPSTREAM_POLL_RATE", "0".to_owned()),
            ("MJQ_UPSTREAM_TIMEOUT_MS", Self::EXCHANGE.as_millis().to_string()),
            ("MJQ_UPSTREAM_SUBMIT_RATE", self.limits.submits_per_second.to_string()),
            ("MJQ_UPSTREAM_MAX_OPEN", self.limits.max_open.to_string()),
            ("MJQ_UNKNOWN_GRACE_MS", "4000".to_owned()),
        ];
        if self.lists {
            settings.push(("MJQ_UPSTREAM_LIST_PATH", "/mj/task/list-by-condition".to_owned()));
        }
        if self.adoption == Adoption::Lookup {
            settings.push(("MJQ_UPSTREAM_STATE", "token".to_owned()));
            settings.push(("MJQ_UPSTREAM_LOOKUP_PATH", "/mj/task/list".to_owned()));
        }
        if let Some(bug) = self.planted_bug {
            settings.push(("MJQ_PLANTED_BUG", bug.to_owned()));
        }
        settings
    }

    /// The upstream of a good day.
    pub(crate) fn knobs(&self) -> Knobs {
        let ms = Duration::from_millis;
        // In a burst, as long as things break; nobody is refused, since refusals make long waits of their own.
        let (slots, queue) = if matches!(self.load, Load::AtOnce(_)) { (50, 2_000) } else { (28, 300) };
        Knobs {
            slots,
            queue,
            duration: Span::between(ms(300), ms(1500)),
            // The longer an exchange takes, the more often something breaks in its middle.
            latency: Span::between(ms(1), ms(self.slowest_answer_ms)),
            failure_rate: self.failure_rate,
            public_url: Some("http://pictures.example".to_owned()),
            hook_loss: 0.05,
            seed: self.seed,
            ..Knobs::default()
        }
    }
}
