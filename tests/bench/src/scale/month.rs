//! The month: 30 days at 100 jobs per second on average, with all that happens in a month.

use mjq_worker::lifecycle::Policy;

use super::{
    SEED,
    costs::Costs,
    dice::Dice,
    model::Model,
    paper::GIB,
    plan::{Class, Jobs, Plan, Weather},
    polls,
    traffic::{Arrivals, DAY_S, MIX},
};
use crate::table::{Cell, Table};

const DAYS: u64 = 30;
const JOBS_S: f64 = 100.0;
const PODS: f64 = 10.0;
/// Open tasks that the upstream allows: about 180 jobs per second.
const MAX_OPEN: u64 = 34_000;
/// Thursday of the second week, 14:00.
const OUTAGE_S: u64 = 10 * DAY_S + 14 * 3_600;
const OUTAGE_LONG_S: u64 = 3_600;
/// The breaker's longest pause: by then a probe has found that the upstream is back.
const PROBE_S: u64 = 30;
/// Wednesday of the third week, noon: Redis restarts, and reads its file.
const RESTART_S: u64 = 16 * DAY_S + 12 * 3_600;
const RESTART_LONG_S: u64 = 120;
/// Each working day at ten the pods are replaced, one after the other, each away for as long as a drain and a start take.
const ROLLING_S: u64 = 10 * 3_600;
const POD_AWAY_S: u64 = 5;

/// A day, in a few figures.
#[derive(Clone, Debug, Default)]
struct Day {
    wait_p50_s: u64,
    wait_p99_s: u64,
    peak_waiting: u64,
    peak_open: u64,
    peak_polls: f64,
    redis_mean: f64,
    redis_peak: f64,
    peak_bytes: f64,
    before: Jobs,
    after: Jobs,
}

#[derive(Clone, Debug, Default)]
struct Month {
    days: Vec<Day>,
    /// Jobs that waited when the outage ended, and how long until none did.
    backlog: u64,
    drain_s: u64,
    /// Jobs that arrived meanwhile.
    drain_arrived: u64,
    /// Jobs per second that the upstream's limit lets through.
    capacity: f64,
    /// Seconds in which Redis had more to do than a second's work.
    overloaded_s: u64,
}

pub(super) fn tables(costs: &Costs) -> anyhow::Result<Vec<Table>> {
    let patient = play(costs, true)?;
    let usual = play(costs, false)?;
    let mut days = Table::new(
        format!(
            "A month at {JOBS_S:.0} jobs/s on {PODS:.0} pods, {MAX_OPEN} open at most, one Redis, 24 h kept; jobs that wait \
             for as long as it takes"
        ),
        &[
            "day",
            "jobs",
            "done",
            "wait p50 s",
            "wait p99 s",
            "most waiting",
            "most open",
            "most polls/s",
            "Redis %, mean",
            "Redis %, peak",
            "peak GiB",
            "what happened",
        ],
    );
    for (number, day) in patient.days.iter().enumerate() {
        days.row(day.row(number as u64));
    }
    Ok(vec![days, summary(&patient, &usual)])
}

impl Day {
    fn row(&self, number: u64) -> Vec<Cell> {
        let what = match number {
            day if day == OUTAGE_S / DAY_S => "the upstream is away for an hour",
            day if day == RESTART_S / DAY_S => "Redis restarts",
            day if day % 7 < 5 => "",
            _ => "weekend",
        };
        vec![
            (number + 1).into(),
            (self.after.arrived - self.before.arrived).into(),
            (self.after.done - self.before.done).into(),
            self.wait_p50_s.into(),
            self.wait_p99_s.into(),
            self.peak_waiting.into(),
            self.peak_open.into(),
            self.peak_polls.into(),
            (self.redis_mean * 100.0).into(),
            (self.redis_peak * 100.0).into(),
            (self.peak_bytes / GIB).into(),
            what.into(),
        ]
    }
}

fn summary(patient: &Month, usual: &Month) -> Table {
    let mut table = Table::new("The month in all", &["what", "patient jobs", "usual deadlines"]);
    let mut row = |what: &str, of: &dyn Fn(&Month) -> f64| {
        table.row(vec![what.into(), of(patient).into(), of(usual).into()]);
    };
    let end = |month: &Month| month.days.last().map(|day| day.after).unwrap_or_default();
    let peak = |month: &Month, of: fn(&Day) -> f64| month.days.iter().map(of).fold(0.0, f64::max);
    row("jobs", &|month| end(month).arrived as f64);
    row("done", &|month| end(month).done as f64);
    row("ended by their deadline", &|month| end(month).gave_up as f64);
    row("waiting or open at the end", &|month| (end(month).waiting + end(month).open) as f64);
    row("waiting when the outage ended", &|month| month.backlog as f64);
    row("s until none waited", &|month| month.drain_s as f64);
    row("… by backlog / (capacity − arrivals)", &|month| {
        month.backlog as f64 / (month.capacity - month.drain_arrived as f64 / month.drain_s.max(1) as f64)
    });
    row("Redis, % of a core, mean", &|month| {
        100.0 * month.days.iter().map(|day| day.redis_mean).sum::<f64>() / month.days.len() as f64
    });
    row("… peak", &|month| 100.0 * peak(month, |day| day.redis_peak));
    row("seconds with more than Redis can do", &|month| month.overloaded_s as f64);
    row("peak GiB of Redis", &|month| peak(month, |day| day.peak_bytes) / GIB);
    row("peak polls/s", &|month| peak(month, |day| day.peak_polls));
    table
}

fn play(costs: &Costs, is_patient: bool) -> anyhow::Result<Month> {
    let mut dice = Dice::new(SEED);
    let policy = Policy::default();
    let class = |sort: super::traffic::Sort| -> anyhow::Result<Class> {
        let plays = polls::plays(sort.span_ms, true, 1_000, &policy, &mut dice)?;
        let deadline_ticks = if is_patient { 2 * DAY_S } else { sort.usual_deadline_s };
        Ok(Class { share: sort.share, plays, deadline_ticks })
    };
    let classes: Vec<Class> = MIX.into_iter().map(class).collect::<anyhow::Result<_>>()?;
    let seen_s: f64 = classes.iter().map(|class| class.share * polls::averages(&class.plays).1).sum();
    let pod_steps = 1e6 / costs.worker_step.max(1.0);
    let plan =
        Plan { costs: *costs, tick_s: 1.0, max_open: MAX_OPEN, pod_steps, retention_ticks: DAY_S as usize, classes };
    let (mut model, mut arrivals) = (Model::new(plan, SEED), Arrivals::new(JOBS_S, DAYS, SEED));
    let mut month = Month { capacity: MAX_OPEN as f64 / seen_s, ..Month::default() };
    let (mut is_draining, mut at_outage) = (false, Jobs::default());
    for day in 0..DAYS {
        let mut told = Day { before: model.jobs(), ..Day::default() };
        for second in day * DAY_S..(day + 1) * DAY_S {
            if second == OUTAGE_S + OUTAGE_LONG_S + PROBE_S {
                (is_draining, at_outage) = (true, model.jobs());
                month.backlog = at_outage.waiting;
            }
            let tick = model.tick(arrivals.at(second), weather(second));
            let jobs = model.jobs();
            told.note(tick.redis, tick.bytes, tick.polls, jobs);
            month.overloaded_s += u64::from(tick.redis > 1.0);
            if is_draining {
                month.drain_s += 1;
                is_draining = jobs.waiting > 0;
                month.drain_arrived = jobs.arrived - at_outage.arrived;
            }
        }
        told.after = model.jobs();
        let waits = std::mem::take(&mut model.waits);
        (told.wait_p50_s, told.wait_p99_s) = (quantile(&waits, 0.5), quantile(&waits, 0.99));
        told.redis_mean /= DAY_S as f64;
        month.days.push(told);
    }
    Ok(month)
}

impl Day {
    fn note(&mut self, redis: f64, bytes: f64, polls: f64, jobs: Jobs) {
        self.redis_mean += redis;
        self.redis_peak = self.redis_peak.max(redis);
        self.peak_bytes = self.peak_bytes.max(bytes);
        self.peak_polls = self.peak_polls.max(polls);
        self.peak_waiting = self.peak_waiting.max(jobs.waiting);
        self.peak_open = self.peak_open.max(jobs.open);
    }
}

fn weather(second: u64) -> Weather {
    let is_rolling =
        second / DAY_S % 7 < 5 && (ROLLING_S..ROLLING_S + POD_AWAY_S * PODS as u64).contains(&(second % DAY_S));
    Weather {
        pods: if is_rolling { PODS - 1.0 } else { PODS },
        redis: !(RESTART_S..RESTART_S + RESTART_LONG_S).contains(&second),
        upstream: !(OUTAGE_S..OUTAGE_S + OUTAGE_LONG_S + PROBE_S).contains(&second),
    }
}

/// The value of which so many have at most as much, where `counts` says how many have which.
fn quantile(counts: &[u64], q: f64) -> u64 {
    let wanted = (counts.iter().sum::<u64>() as f64 * q) as u64;
    let mut sum = 0;
    let reached = counts.iter().position(|count| {
        sum += count;
        sum > wanted
    });
    reached.unwrap_or(0) as u64
}
