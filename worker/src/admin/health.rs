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
    /// The time of the last ping to Redis, and whether Redis answered.
    last_ping: tokio::sync::Mutex<Option<(Instant, bool)>>,
    /// When Redis was last seen to be away.
    away_at: Mutex<Option<Instant>>,
}

/// Whether a pod is ready for work, condition by condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Readiness {
    /// All of the conditions hold.
    pub is_ready: bool,
    /// Redis answered a ping within the last seconds.
    pub redis_answers: bool,
    /// Redis carried out the last call of the engine: it answers, is a master, and has room.
    pub ledger_works: bool,
    /// The pod was not told to stop.
    pub is_taking_work: bool,
    /// The refusals of Redis, one for each call, in Redis's words. An operator has to act.
    pub denials: Vec<String>,
}

impl Health {
    /// How long a ping's result counts.
    const PING_FRESH: Duration = Duration::from_secs(2);
    /// For how long after Redis came back a loop may still look stuck, because all loops waited for Redis.
    const RECOVERY: Duration = Duration::from_secs(60);

    /// Makes the health of a pod that works on `ledger`; `stuck_loops` names the pod's loops that make no progress.
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

    /// Records that the pod was told to stop. This cannot be undone.
    pub fn set_draining(&self) {
        self.0.is_draining.store(true, Ordering::Relaxed);
    }

    /// Whether the pod was told to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::Relaxed)
    }

    /// Checks each condition. Pings Redis, unless a recent result still counts.
    pub async fn readiness(&self) -> Readiness {
        let denials = self.0.ledger.denials();
        let ledger_works = *self.0.ledger.reachability().borrow() && denials.is_empty();
        let (redis_answers, is_taking_work) = (self.redis_answers().await, !self.is_draining());
        let is_ready = redis_answers && ledger_works && is_taking_work;
        Readiness { is_ready, redis_answers, ledger_works, is_taking_work, denials }
    }

    /// The loops that are stuck. If there are any, the process should be restarted.
    ///
    /// While Redis is away or refuses a call, every loop waits for Redis. The process must not be ended for that,
    /// because its calls go on as soon as Redis is back.
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
        // The lock is held during the ping, so that many probes at once need only one ping.
        let mut last = self.0.last_ping.lock().await;
        if let Some((at, answered)) = *last
            && at.elapsed() < Self::PING_FRESH
        {
            return answered;
        }
        let answered = match self.0.ledger.ping().await {
            Ok(()) => true,
            // A refusal is an answer, too.
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
