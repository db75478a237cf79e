//! The world of one seed: the state that all parts share, and the story from the first job to the last.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use mjq_producer::contract::JobId;
use tokio::{
    runtime::Builder,
    task::{LocalSet, spawn_local},
    time::{Instant, sleep},
};

use super::{
    START_MS, checker, customers::customers, dice::Dice, ledger_model::LedgerModel, nemesis::Nemesis,
    sabotage::Sabotage, tally::Tally, upstream::Upstream, weather::Weather,
};
use crate::lifecycle::Record;

/// The shared state of a world. There is one thread, and no borrow is held over an await.
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) weather: Weather,
    pub(super) ledger: RefCell<LedgerModel>,
    pub(super) upstream: RefCell<Upstream>,
    pub(super) sabotage: Option<Sabotage>,
    /// Jobs with a submit whose answer or whose worker was lost. Only these may end as unknown.
    pub(super) ambiguous: RefCell<BTreeSet<JobId>>,
    /// Pods that were killed, frozen or cut off at some time.
    pub(super) troubled: RefCell<BTreeSet<String>>,
    /// The time until which each pod is frozen, by the pod's number.
    pub(super) frozen_until_ms: RefCell<BTreeMap<u64, u64>>,
    pub(super) redis_away_until_ms: Cell<u64>,
    /// Until then, no answer of the Redis that has come back is lost.
    pub(super) redis_is_kind_until_ms: Cell<u64>,
    /// The enqueued jobs: id, record, and the time from which the job may be submitted.
    pub(super) enqueued: RefCell<Vec<(JobId, Record, u64)>>,
    /// When the last trouble is over.
    pub(super) calm_from_ms: Cell<u64>,
    pub(super) problems: RefCell<Vec<String>>,
    pub(super) tally: RefCell<Tally>,
    began: Instant,
    trace: Option<RefCell<Vec<String>>>,
}

/// The result of one world.
pub(super) struct Verdict {
    pub(super) problems: Vec<String>,
    pub(super) tally: Tally,
    pub(super) trace: Vec<String>,
}

impl World {
    /// Longer than all deadlines, storms and freezes together.
    const END_MS: u64 = 400_000;
    /// The time that zombies and lost answers have to cause events after the last end.
    const AFTERMATH: Duration = Duration::from_secs(60);

    /// Plays the world of `seed` from its beginning to its end.
    pub(super) fn play(seed: u64, sabotage: Option<Sabotage>, is_traced: bool) -> Verdict {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let world = Rc::new(Self::new(seed, sabotage, is_traced));
            world.live().await;
            Verdict {
                problems: world.problems.take(),
                tally: world.tally.take(),
                trace: world.trace.as_ref().map(RefCell::take).unwrap_or_default(),
            }
        })
    }

    fn new(seed: u64, sabotage: Option<Sabotage>, is_traced: bool) -> Self {
        let dice = Dice::seeded(seed);
        let weather = Weather::of(&dice);
        Self {
            dice,
            weather,
            ledger: RefCell::new(LedgerModel::with(sabotage)),
            upstream: RefCell::default(),
            sabotage,
            ambiguous: RefCell::default(),
            troubled: RefCell::default(),
            frozen_until_ms: RefCell::default(),
            redis_away_until_ms: Cell::new(0),
            redis_is_kind_until_ms: Cell::new(0),
            enqueued: RefCell::default(),
            calm_from_ms: Cell::new(START_MS + Weather::STORM_MS),
            problems: RefCell::default(),
            tally: RefCell::default(),
            began: Instant::now(),
            trace: is_traced.then(RefCell::default),
        }
    }

    async fn live(self: &Rc<Self>) {
        let nemesis = spawn_local(Nemesis::start(self.clone()).run());
        let customers = spawn_local(customers(self.clone()));
        while !(customers.is_finished() && self.is_over()) && self.age_ms() < Self::END_MS {
            sleep(Duration::from_millis(500)).await;
        }
        sleep(Self::AFTERMATH).await;
        nemesis.abort();
        // The pods end with their nemesis, and their work under way is dropped.
        let _ = nemesis.await;
        checker::check(self);
    }

    fn is_over(&self) -> bool {
        self.ledger.borrow().jobs.values().all(|row| row.phase.is_terminal())
    }

    /// The age of the world, in ms.
    pub(super) fn age_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Redis's clock.
    pub(super) fn now_ms(&self) -> u64 {
        START_MS + self.age_ms()
    }

    /// The Redis server in charge.
    pub(super) fn server(&self) -> u64 {
        self.ledger.borrow().reassertion.server
    }

    /// Whether the current answer of Redis is lost.
    pub(super) fn loses_answer(&self) -> bool {
        self.is_stormy()
            && self.now_ms() >= self.redis_is_kind_until_ms.get()
            && self.dice.permille(self.weather.redis_loses)
    }

    pub(super) fn is_stormy(&self) -> bool {
        self.age_ms() < Weather::STORM_MS
    }

    pub(super) fn problem(&self, problem: String) {
        self.note(|| format!("PROBLEM {problem}"));
        self.problems.borrow_mut().push(problem);
    }

    /// Excuses all delays before `until_ms`.
    pub(super) fn troubled_until(&self, until_ms: u64) {
        self.calm_from_ms.set(self.calm_from_ms.get().max(until_ms));
    }

    /// Writes a line of the story, if the story is traced.
    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            trace.borrow_mut().push(format!("{:>7} {}", self.age_ms(), line()));
        }
    }
}
