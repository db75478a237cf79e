//! The customers: they enqueue and cancel jobs, give input, and pause the queue.

use std::{rc::Rc, time::Duration};

use mjq_producer::contract::{Job, JobId, Kind, OnUnknown, Options, Priority, Request};
use tokio::time::sleep;

use super::{weather::Weather, world::World};
use crate::lifecycle::{Phase, Record};

/// Enqueues all jobs, and then disturbs the queue until the storm is over.
pub(super) async fn customers(world: Rc<World>) {
    for n in 0..world.weather.jobs {
        sleep(world.dice.ms(0, 3_000)).await;
        enqueue(&world, n);
    }
    while world.age_ms() < Weather::STORM_MS {
        sleep(world.dice.ms(500, 4_000)).await;
        act(&world);
    }
    let mut ledger = world.ledger.borrow_mut();
    (ledger.upstream.is_paused, ledger.upstream.are_submits_paused) = (false, false);
}

fn enqueue(world: &World, n: u64) {
    let (dice, now_ms) = (&world.dice, world.now_ms());
    let id = JobId::new(&format!("job-{n}")).unwrap();
    let hook = if dice.permille(200) { r#","notifyHook":"https://example.org/own""# } else { "" };
    let request = Request::from_json(format!(r#"{{"prompt":"fox {n}"{hook}}}"#)).unwrap();
    let options = Options {
        priority: *dice.pick(&[Priority::High, Priority::Normal, Priority::Low]),
        run_at_ms: if dice.permille(200) { now_ms + dice.below(5_000) } else { 0 },
        on_unknown: Some(if dice.permille(300) { OnUnknown::Resubmit } else { OnUnknown::Fail }),
        ..Options::default()
    };
    let job = Job { id: Some(id.clone()), kind: Kind::Imagine, request, options, then: Vec::new(), trace: None };
    let record = Record::admit(&job, now_ms, &world.weather.policy);
    world.note(|| format!("{id} enqueued, {:?}, deadline at {}", record.on_unknown, record.deadline_ms - now_ms));
    world.enqueued.borrow_mut().push((id.clone(), record.clone(), job.options.run_at_ms));
    // Producers that are not sure whether a job was enqueued send it again.
    for _ in 0..=dice.below(2) {
        world.ledger.borrow_mut().admit(&id, "same", record.clone(), job.options.run_at_ms, now_ms);
    }
}

/// Admits entries again: Redis still has them, after it has lost that they were admitted.
pub(super) async fn admit_again(world: Rc<World>) {
    sleep(world.dice.ms(0, 2_000)).await;
    let now_ms = world.now_ms();
    for (id, record, run_at_ms) in world.enqueued.borrow().iter() {
        world.ledger.borrow_mut().admit(id, "same", record.clone(), *run_at_ms, now_ms);
    }
}

fn act(world: &World) {
    let (dice, mut ledger) = (&world.dice, world.ledger.borrow_mut());
    let jobs: Vec<(JobId, Phase)> = ledger.jobs.iter().map(|(id, row)| (id.clone(), row.phase)).collect();
    for (id, phase) in jobs {
        if dice.permille(world.weather.cancels / 4) {
            world.note(|| format!("{id} is to be cancelled, {phase}"));
            ledger.cancel(&id);
        }
        if phase == Phase::Held && dice.permille(300) {
            world.note(|| format!("{id} gets its input"));
            ledger.give_input(&id, &world.age_ms().to_string());
        }
    }
    if dice.permille(50) {
        ledger.upstream.are_submits_paused = !ledger.upstream.are_submits_paused;
    }
    if dice.permille(30) {
        ledger.upstream.is_paused = !ledger.upstream.is_paused;
    }
}

/// Reports the begin and the end of a task to the ledger, as the upstream's hooks do.
pub(super) async fn report(world: Rc<World>, number: usize, claims_attempt: u32) {
    let tell = |goes_on: bool| {
        if world.dice.permille(world.weather.hooks_lose) {
            return;
        }
        let upstream = world.upstream.borrow();
        let task = &upstream.tasks[number];
        debug_assert_eq!(task.attempt, claims_attempt);
        world.note(|| format!("{} hook of task {}, goes on: {goes_on}", task.job, task.id));
        world.ledger.borrow_mut().hint(&task.job, &task.id, goes_on, world.now_ms());
    };
    sleep(world.dice.ms(0, 2_000)).await;
    tell(true);
    let ends_ms = world.upstream.borrow().tasks[number].ends_ms();
    let Some(ends_ms) = ends_ms else { return };
    sleep(Duration::from_millis(ends_ms.saturating_sub(world.now_ms())) + world.dice.ms(0, 1_000)).await;
    tell(false);
}
