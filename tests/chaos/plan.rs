//! The plan of a run: what the seed decides before anything starts.

use std::time::Duration;

use mjq_simulator::{Knobs, Span};
use serde::Serialize;

use crate::args::{Args, Preset};
use crate::dice::Dice;
use crate::history::Limits;
use crate::nemesis::PROCESS_FAULTS;

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
    /// Tasks that the upstream runs at once; more wait in its line.
    pub(crate) upstream_slots: usize,
    /// How long one HTTP exchange may take.
    pub(crate) exchange: Duration,
    /// The longest that the upstream takes to answer on a good day.
    pub(crate) slowest_answer_ms: u64,
    /// What may happen to processes; what is named twice happens twice as often.
    pub(crate) process_faults: &'static [&'static str],
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

    /// Makes the plan of a run.
    pub(crate) fn of(args: &Args, seed: u64) -> Self {
        let mut dice = Dice::seeded(seed).fork("plan");
        let adoption = dice.one_of(&[Adoption::Impossible, Adoption::Hook, Adoption::Lookup]);
        let has_limits = dice.says(60);
        let lists = dice.says(50);
        // Each is less than a burst after an outage asks for, and more than the usual load needs.
        let limits = Limits {
            submits_per_second: if has_limits { 25 } else { 0 },
            polls_per_second: if has_limits { if lists { 15 } else { 80 } } else { 0 },
            max_open: if has_limits { 40 } else { 0 },
            deadline_slack_ms: 20_000,
        };
        let plan = Self {
            seed,
            preset: args.preset.name(),
            what: args.preset,
            workers: args.workers.unwrap_or(3),
            lasts: Duration::from_secs_f64(args.minutes.max(0.0) * 60.0),
            adoption,
            lists,
            limits,
            failure_rate: if dice.says(50) { 0.03 } else { 0.0 },
            load: Load::PerSecond(if has_limits { 10 } else { 20 }),
            upstream_slots: 28,
            exchange: Duration::from_secs(2),
            slowest_answer_ms: dice.one_of(&[40, 400]),
            process_faults: &PROCESS_FAULTS,
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

    /// The command that makes this run again.
    pub(crate) fn command(&self) -> String {
        let (seed, preset, minutes) = (self.seed, self.preset, self.lasts.as_secs_f64() / 60.0);
        format!("cargo chaos -- --preset {preset} --seed {seed} --minutes {minutes}")
    }

    /// The settings of every worker.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("MJQ_LEASE_MS", Self::LEASE.as_millis().to_string()),
            ("MJQ_POLL_MIN_MS", "100".to_owned()),
            ("MJQ_POLL_MAX_MS", "3000".to_owned()),
            ("MJQ_UPSTREAM_POLL_RATE", self.limits.polls_per_second.to_string()),
            ("MJQ_UPSTREAM_TIMEOUT_MS", self.exchange.as_millis().to_string()),
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
        let (slots, queue) =
            if matches!(self.load, Load::AtOnce(_)) { (50, 2_000) } else { (self.upstream_slots, 300) };
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
