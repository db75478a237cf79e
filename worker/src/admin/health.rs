//! Health: whether this pod is alive, and whether it is ready for work.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::ledger::{Ledger, ViewError, denial};

/// The health of one pod. Clones share it.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    ledger: Ledger,
    stuck_loops: Box<dyn Fn() -> Vec<&'static str> + Send + Sync>,
    is_draining: AtomicBool,
    /// The last sign of life that Redis was asked for, and whether there was one.
    last_ping: tokio::sync::Mutex<Option<(Instant, bool)>>,
    /// Redis was last seen away at this time.
    away_at: Mutex<Option<Instant>>,
}

/// Whether a pod is ready for work, condition by condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Readiness {
    /// All of the conditions hold.
    pub is_ready: bool,
    /// Redis gave a sign of life within the last seconds.
    pub redis_answers: bool,
    /// Redis carried out the last call of the engine: it answers, is a master, and has room.
    pub ledger_works: bool,
    /// The pod was not told to stop.
    pub is_taking_work: bool,
    /// What Redis refuses, call by call, in its words. Somebody has to act.
    pub denials: Vec<String>,
}

impl Health {
    /// How long a sign of life of Redis counts.
    const PING_FRESH: Duration = Duration::from_secs(2);
    /// How long after Redis came back a loop may still look stuck: they all waited for it.
    const RECOVERY: Duration = Duration::from_secs(60);

    /// Makes the health of a pod that works on `ledger`; `stuck_loops` names its loops that do not come round.
    #[must_use]
    pub fn new(ledger: Ledger, stuck_loops: impl Fn() -> Vec<&'static str> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            ledger,
            stuck_loops: Box::new(stuck_loops),
            is_draining: AtomicBool::new(false),
            last_ping: tokio::sync::Mutex::new(None),
            away_at: Mutex::new(None),
        }))
    }

    /// Says that the pod was told to stop. There is no way back.
    pub fn set_draining(&self) {
        self.0.is_draining.store(true, Ordering::Relaxed);
    }

    /// Whether the pod was told to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::Relaxed)
    }

    /// Looks at each condition. Asks Redis, unless it was asked a moment ago.
    pub async fn readiness(&self) -> Readiness {
        let denials = self.0.ledger.denials();
        let ledger_works = *self.0.ledger.reachability().borrow() && denials.is_empty();
        let (redis_answers, is_taking_work) = (self.redis_answers().await, !self.is_draining());
        let is_ready = redis_answers && ledger_works && is_taking_work;
        Readiness { is_ready, redis_answers, ledger_works, is_taking_work, denials }
    }

    /// The loops that are stuck: the process should be started anew.
    ///
    /// While Redis is away or refuses something, every loop waits for it. That is no reason to end the process, whose calls
    /// go on as soon as Redis is back.
    #[must_use]
    pub fn stuck_loops(&self) -> Vec<&'static str> {
        let is_away = !*self.0.ledger.reachability().borrow() || !self.0.ledger.denials().is_empty();
        let mut away_at = self.0.away_at.lock().unwrap_or_else(PoisonError::into_inner);
        if is_away {
            *away_at = Some(Instant::now());
        }
        if away_at.is_some_and(|at| at.elapsed() < Self::RECOVERY) {
            return Vec::new();
        }
        (self.0.stuck_loops)()
    }

    async fn redis_answers(&self) -> bool {
        // Held while Redis is asked: many probes at once are one question.
        let mut last = self.0.last_ping.lock().await;
        if let Some((at, answered)) = *last
            && at.elapsed() < Self::PING_FRESH
        {
            return answered;
        }
        let answered = match self.0.ledger.ping().await {
            Ok(()) => true,
            // A no is an answer.
            Err(ViewError::Redis(error)) => denial(&error).is_some(),
            Err(ViewError::Late) => false,
        };
        *last = Some((Instant::now(), answered));
        answered
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("is_draining", &self.is_draining()).finish_non_exhaustive()
    }
}
