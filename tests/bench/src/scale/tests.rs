//! Tests of the pure parts together: nobody is lost, and a backlog drains as arithmetic says.

use super::{
    costs::{Acts, Batched, Costs},
    model::Model,
    plan::{Class, Plan, Weather},
    polls::Play,
};

const EACH: Batched = Batched { call: 20.0, each: 15.0 };

const ACTS: Acts = Acts {
    enqueue: 20.0,
    admit: EACH,
    claim_submit: EACH,
    claim_poll: EACH,
    claim_nothing: 25.0,
    settle_submit: EACH,
    settle_poll: EACH,
    settle_end: EACH,
    read_event: 5.0,
    forget: 5.0,
};

/// Of the size that costs have.
pub(super) const COSTS: Costs = Costs {
    calm: ACTS,
    busy: ACTS,
    alone: 0.0,
    idle_pod: 200.0,
    connections_per_pod: 2.0,
    bytes_open: 1_000.0,
    bytes_ended: 3_000.0,
    worker_step: 100.0,
};

const FINE: Weather = Weather { pods: 2.0, redis: true, upstream: true };
const NO_UPSTREAM: Weather = Weather { upstream: false, ..FINE };
const NO_REDIS: Weather = Weather { redis: false, ..FINE };

/// Tasks of ten seconds, a hundred at once: ten per second.
fn model(deadline_ticks: u64) -> Model {
    let classes = vec![Class { share: 1.0, plays: vec![Play { polls: 3, seen_ms: 10_000 }], deadline_ticks }];
    let plan = Plan { costs: COSTS, tick_s: 1.0, max_open: 100, pod_steps: 1_000.0, retention_ticks: 60, classes };
    Model::new(plan, 1)
}

#[test]
fn whoever_arrives_is_done_has_given_up_waits_or_is_open() {
    let mut model = model(30);
    for second in 0..5_000_u32 {
        let weather = match second {
            1_000..1_300 => NO_UPSTREAM,
            2_000..2_100 => NO_REDIS,
            _ => FINE,
        };
        model.tick(second % 19, weather);

        let jobs = model.jobs();
        assert_eq!(jobs.arrived, jobs.done + jobs.gave_up + jobs.waiting + jobs.open, "{second}: {jobs:?}");
        assert!(jobs.open <= 100);
    }
    let jobs = model.jobs();
    assert!(jobs.gave_up > 1_000 && jobs.done > 30_000, "{jobs:?}");
}

#[test]
fn a_backlog_drains_in_backlog_over_capacity_less_arrivals() {
    let mut model = model(1_000_000);
    for _ in 0..3_600 {
        model.tick(5, NO_UPSTREAM);
    }
    let backlog = model.jobs().waiting as f64;
    let drained = (1..).find(|_| {
        model.tick(5, FINE);
        model.jobs().waiting == 0
    });

    let expected = backlog / (10.0 - 5.0);
    let off = drained.map(|seconds| f64::from(seconds) / expected - 1.0);
    assert!(off.is_some_and(|off| off.abs() < 0.03), "{drained:?} s, expected {expected} s");
}

#[test]
fn waits_are_those_of_a_queue_that_is_served_in_turn() {
    let mut model = model(1_000_000);
    model.tick(400, FINE);
    for _ in 0..60 {
        model.tick(0, FINE);
    }

    let waited: Vec<(usize, u64)> = model.waits.iter().copied().enumerate().filter(|(_, jobs)| *jobs > 0).collect();
    assert_eq!(waited, [(0, 100), (10, 100), (20, 100), (30, 100)]);
}

#[test]
fn what_has_ended_is_kept_for_the_retention_and_then_goes() {
    let mut model = model(1_000_000);
    model.tick(100, FINE);
    let bytes: Vec<f64> = (0..100).map(|_| model.tick(0, FINE).bytes).collect();

    assert_eq!((bytes[0], bytes[20], bytes[99]), (100.0 * 1_000.0, 100.0 * 3_000.0, 0.0));
}

#[test]
fn the_same_seed_plays_the_same_way() {
    let play = || {
        let mut model = model(30);
        (0..1_000).map(|second| model.tick(second % 23, FINE).redis.to_bits()).collect::<Vec<_>>()
    };

    assert_eq!(play(), play());
}

#[test]
fn redis_pays_for_what_was_held_back_while_it_was_away() {
    let mut model = model(1_000_000);
    let away = model.tick(50, NO_REDIS).redis;
    let back = model.tick(0, FINE).redis;

    assert_eq!(away, 0.0);
    assert!(back > 50.0 * ACTS.enqueue / 1e6, "{back}");
}
