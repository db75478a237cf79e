//! The model: jobs that wait, run and end, tick by tick, whole jobs each of them.
//!
//! What it leaves out: single requests, their way, and what goes wrong with one of them. What it keeps: who waits for
//! what, and for how long; the limit of open tasks; deadlines; and what Redis and the pods have to do for it.

use std::collections::VecDeque;

use super::{
    costs::Traffic,
    dice::Dice,
    plan::{Jobs, Plan, Tick, Weather},
};

pub(super) struct Model {
    plan: Plan,
    dice: Dice,
    now: u64,
    /// Who came when and still waits; the first is the oldest, and none is left out in between.
    queue: VecDeque<Cohort>,
    /// By class.
    given_up_until: Vec<u64>,
    /// What ends in which tick.
    ends: Vec<Ends>,
    /// What ended while nobody could see it.
    unseen: Ends,
    /// How many ended in which tick of the retention.
    kept: VecDeque<u64>,
    kept_sum: u64,
    /// Polls per tick of all open tasks, in millionths.
    polls_micro: u64,
    /// Came while Redis was away.
    held_back: u64,
    jobs: Jobs,
    /// By how many ticks each submitted job has waited, since somebody last took this.
    pub(super) waits: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Cohort {
    came: u64,
    jobs: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    done: u64,
    late: u64,
    polls_micro: u64,
}

/// Polls that tell nothing come at the longest distance, 15 s.
const BLIND_S: f64 = 15.0;

impl Model {
    pub(super) fn new(plan: Plan, seed: u64) -> Self {
        let ticks = |ms: u64| (ms as f64 / 1_000.0 / plan.tick_s).ceil() as usize;
        let longest = plan.classes.iter().flat_map(|class| &class.plays).map(|play| ticks(play.seen_ms)).max();
        Self {
            dice: Dice::new(seed),
            now: 0,
            queue: VecDeque::new(),
            given_up_until: vec![0; plan.classes.len()],
            ends: vec![Ends::default(); longest.unwrap_or(0) + 2],
            unseen: Ends::default(),
            kept: VecDeque::new(),
            kept_sum: 0,
            polls_micro: 0,
            held_back: 0,
            jobs: Jobs::default(),
            waits: Vec::new(),
            plan,
        }
    }

    pub(super) fn jobs(&self) -> Jobs {
        self.jobs
    }

    /// Plays one tick, in which so many jobs arrive.
    pub(super) fn tick(&mut self, arrivals: u32, weather: Weather) -> Tick {
        let tick_s = self.plan.tick_s;
        self.arrive(arrivals);
        let mut late = if weather.redis { self.give_up() } else { 0 };
        let at = self.now as usize % self.ends.len();
        let ended = std::mem::take(&mut self.ends[at]);
        self.unseen.add(ended);
        let mut ended = Ends::default();
        if weather.redis && weather.upstream {
            ended = std::mem::take(&mut self.unseen);
        }
        late += ended.late;
        self.jobs.open -= ended.done + ended.late;
        self.jobs.done += ended.done;
        self.jobs.gave_up += late;
        let polls = match weather {
            Weather { redis: false, .. } => 0.0,
            Weather { upstream: false, .. } => self.jobs.open as f64 * tick_s / BLIND_S,
            _ => self.polls_micro as f64 / 1e6,
        };
        self.polls_micro -= ended.polls_micro;
        let started = if weather.redis && weather.upstream {
            let able = self.plan.pod_steps * weather.pods * tick_s - polls;
            self.start(self.plan.max_open.saturating_sub(self.jobs.open).min(able.max(0.0) as u64))
        } else {
            0
        };
        let forgotten = self.keep(ended.done + late);
        self.now += 1;
        let mut tick = Tick { polls: polls / tick_s, ..Tick::default() };
        if weather.redis {
            let per_s = |count: u64| count as f64 / tick_s;
            let enqueues = per_s(std::mem::take(&mut self.held_back));
            let (submits, ends) = (per_s(started), per_s(ended.done + late));
            let (pods, forgotten) = (weather.pods, per_s(forgotten));
            let load = self.plan.costs.load(Traffic { pods, enqueues, submits, polls: tick.polls, ends, forgotten });
            (tick.redis, tick.claims) = (load.total, load.claims);
        }
        tick.bytes = self.plan.costs.bytes((self.jobs.waiting + self.jobs.open) as f64, self.kept_sum as f64);
        tick
    }

    fn arrive(&mut self, arrivals: u32) {
        let mut jobs = vec![0; self.plan.classes.len()];
        for _ in 0..arrivals {
            let mut share = self.dice.share();
            let class = self.plan.classes.iter().position(|class| {
                share -= class.share;
                share < 0.0
            });
            jobs[class.unwrap_or(0)] += 1;
        }
        self.queue.push_back(Cohort { came: self.now, jobs });
        self.jobs.arrived += u64::from(arrivals);
        self.jobs.waiting += u64::from(arrivals);
        self.held_back += u64::from(arrivals);
    }

    /// Ends those whose deadline has come while they waited.
    fn give_up(&mut self) -> u64 {
        let mut gone = 0;
        let Some(first) = self.queue.front().map(|cohort| cohort.came) else { return 0 };
        for (at, class) in self.plan.classes.iter().enumerate() {
            let until = (self.now + 1).saturating_sub(class.deadline_ticks);
            // Whoever came before that was dealt with in an earlier tick.
            let from = std::mem::replace(&mut self.given_up_until[at], until).max(first);
            for came in from..until {
                let cohort = &mut self.queue[(came - first) as usize];
                gone += u64::from(std::mem::take(&mut cohort.jobs[at]));
            }
        }
        self.jobs.waiting -= gone;
        gone
    }

    fn start(&mut self, at_most: u64) -> u64 {
        let mut started = 0;
        while let Some(mut cohort) = self.queue.pop_front() {
            for class in 0..cohort.jobs.len() {
                while cohort.jobs[class] > 0 && started < at_most {
                    cohort.jobs[class] -= 1;
                    started += 1;
                    self.open(class, cohort.came);
                }
            }
            if cohort.jobs.iter().any(|count| *count > 0) {
                self.queue.push_front(cohort);
                break;
            }
        }
        self.jobs.waiting -= started;
        self.jobs.open += started;
        started
    }

    fn open(&mut self, class: usize, came: u64) {
        let class = &self.plan.classes[class];
        let play = class.plays[self.dice.below(class.plays.len())];
        let waited = self.now - came;
        let left = class.deadline_ticks.saturating_sub(waited).max(1);
        let ticks = ((play.seen_ms as f64 / 1_000.0 / self.plan.tick_s).ceil() as u64).max(1);
        let polls_micro = u64::from(play.polls) * 1_000_000 / ticks;
        let (done, late) = if ticks <= left { (1, 0) } else { (0, 1) };
        let at = (self.now + ticks.min(left)) as usize % self.ends.len();
        self.ends[at].add(Ends { done, late, polls_micro });
        self.polls_micro += polls_micro;
        if self.waits.len() <= waited as usize {
            self.waits.resize(waited as usize + 1, 0);
        }
        self.waits[waited as usize] += 1;
    }

    /// Keeps what has ended for the retention; returns how many go.
    fn keep(&mut self, ended: u64) -> u64 {
        self.kept.push_back(ended);
        self.kept_sum += ended;
        if self.kept.len() <= self.plan.retention_ticks {
            return 0;
        }
        let forgotten = self.kept.pop_front().unwrap_or(0);
        self.kept_sum -= forgotten;
        forgotten
    }
}

impl Ends {
    fn add(&mut self, other: Self) {
        self.done += other.done;
        self.late += other.late;
        self.polls_micro += other.polls_micro;
    }
}
