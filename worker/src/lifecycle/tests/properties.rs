//! The properties: rules that hold on every path, whatever the upstream does at whatever time.
//!
//! A [`Script`] is a random job under random settings, with an observation for each of its steps. Each script is played
//! to the end of the job: a job that is still open when the script runs out is driven over its deadline by [`Act::of`],
//! as the engine would.

use std::collections::HashSet;

use mjq_producer::contract::Priority;
use proptest::{collection::vec, option, prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};

use super::{table::every_observation, *};

proptest! {
    #[test]
    fn every_path_ends_in_exactly_one_outcome_once_the_deadline_has_passed(script in scripts()) {
        let path = script.play();

        let ends = path.stages.iter().filter(|stage| matches!(stage.after.next, Next::End(_))).count();
        prop_assert_eq!(ends, 1);
        for stage in &path.stages {
            let is_end = matches!(stage.after.next, Next::End(_));
            prop_assert_eq!(is_end, stage.after.record.phase.is_terminal());
        }
    }

    #[test]
    fn after_the_end_nothing_can_be_observed(script in scripts()) {
        let path = script.play();

        for seen in every_observation() {
            prop_assert!(path.life.would(&seen).is_err(), "{}", seen.name());
        }
    }

    #[test]
    fn under_fail_a_submit_that_may_have_been_taken_is_the_last(script in scripts_under(OnUnknown::Fail)) {
        let path = script.play();

        let from_loss = path.stages.iter().skip_while(|stage| !stage.is_loss());
        for stage in from_loss {
            prop_assert!(!matches!(stage.after.next, Next::Submit(_)), "{stage:?}");
        }
        prop_assert!(!path.life.record.possible_duplicate);
        prop_assert!(path.life.record.attempts <= 1);
    }

    #[test]
    fn each_task_that_a_job_left_failed_for_want_of_capacity_where_its_caller_wants_another(script in scripts()) {
        let path = script.play();

        let mut left = Vec::new();
        for stage in &path.stages {
            let lacks_capacity = lacks_capacity(&stage.seen);
            if lacks_capacity && matches!(stage.after.next, Next::Submit(_)) {
                prop_assert_eq!(stage.before.on_capacity, OnCapacity::Resubmit);
                left.extend(stage.before.task.clone());
            }
            prop_assert_eq!(&stage.after.record.earlier_tasks, &left);
        }
        prop_assert!(left.is_empty() || left.len() < path.life.record.max_attempts as usize);
    }

    #[test]
    fn attempts_count_what_the_upstream_took_or_may_have_taken_up_to_the_limit(script in scripts()) {
        let path = script.play();

        let mut taken = 0;
        for stage in &path.stages {
            taken += u32::from(stage.is_loss() || matches!(stage.seen, Observation::Accepted { .. }));
            prop_assert_eq!(stage.after.record.attempts, taken);
        }
        prop_assert!(taken <= path.life.record.max_attempts);
    }

    #[test]
    fn a_duplicate_is_possible_only_after_a_lost_submit_is_made_again(script in scripts()) {
        let path = script.play();

        let (mut is_lost, mut is_taken_again) = (false, false);
        for stage in &path.stages {
            is_taken_again |= is_lost && (stage.is_loss() || matches!(stage.seen, Observation::Accepted { .. }));
            is_lost |= stage.is_loss();
            is_lost &= !matches!(stage.seen, Observation::Found(_));
            prop_assert_eq!(stage.after.record.possible_duplicate, is_taken_again);
        }
        prop_assert!(!is_taken_again || path.life.record.on_unknown == OnUnknown::Resubmit);
    }

    #[test]
    fn no_step_is_planned_beyond_the_deadline(script in scripts()) {
        let path = script.play();

        for stage in &path.stages {
            match stage.after.next {
                Next::Submit(delay) | Next::AfterParent(delay) => {
                    prop_assert!(stage.left > Duration::ZERO && delay <= stage.left, "{stage:?}");
                }
                Next::Poll(delay) => prop_assert!(delay <= stage.left, "{stage:?}"),
                Next::End(_) => {}
            }
        }
    }

    #[test]
    fn polls_keep_their_distance_unless_the_upstream_asks_for_more(script in scripts()) {
        let path = script.play();

        for stage in &path.stages {
            let Next::Poll(delay) = stage.after.next else { continue };
            let (shortest, longest) = stage.poll_bounds(&path.life.policy);
            prop_assert!(shortest.min(stage.left) <= delay && delay <= longest, "{shortest:?} {longest:?} {stage:?}");
        }
    }

    #[test]
    fn submits_keep_their_distance_unless_the_upstream_asks_for_more(script in scripts()) {
        let path = script.play();

        for stage in &path.stages {
            let Next::Submit(delay) = stage.after.next else { continue };
            let (shortest, longest) = stage.submit_bounds(&path.life.policy);
            prop_assert!(shortest.min(stage.left) <= delay && delay <= longest, "{shortest:?} {longest:?} {stage:?}");
        }
    }

    #[test]
    fn a_timeline_is_a_bounded_path_of_the_state_machine(script in scripts()) {
        let path = script.play();

        for Stage { after: Transition { record, .. }, .. } in &path.stages {
            let timeline = &record.timeline;
            prop_assert_eq!(timeline[0], Moment(START_MS, 0, Phase::Queued));
            prop_assert_eq!(timeline.last().map(|last| last.2), Some(record.phase));
            prop_assert!(timeline.len() <= 32);
            // In a full timeline, entries are missing after the first one.
            let whole = if timeline.len() == 32 { &timeline[1..] } else { &timeline[..] };
            for pair in whole.windows(2) {
                let (Moment(from_ms, from_fence, from), Moment(to_ms, to_fence, to)) = (pair[0], pair[1]);
                prop_assert!(leads_to(from, to), "{from} to {to}");
                prop_assert!(from_ms <= to_ms && from_fence <= to_fence);
            }
        }
    }

    #[test]
    fn a_record_survives_the_ledger_byte_for_byte(script in scripts()) {
        let path = script.play();

        for Stage { after: Transition { record, .. }, .. } in &path.stages {
            let text = record.to_text();
            let read = Record::read(record.phase, &text).unwrap();
            prop_assert_eq!(&read, record);
            prop_assert_eq!(read.to_text(), text);
        }
    }

    #[test]
    fn the_event_tells_what_the_record_knows(script in scripts()) {
        let path = script.play();
        let Some(Stage { seen, after: Transition { record, next: Next::End(ending), .. }, .. }) = path.stages.last()
        else { panic!("a path ends") };

        let job = JobId::new("order-1842").unwrap();
        let then = vec![job.follow_up(0)];
        let event = event_of(&job, record, *ending, seen, path.life.now_ms, then.clone());

        prop_assert_eq!(event.event_type.as_str(), record.phase.as_str());
        prop_assert_eq!(event.code, ending.code);
        prop_assert_eq!(event.code == Code::Ok, event.event_type == EventType::Completed);
        prop_assert_eq!(event.job, "order-1842");
        prop_assert_eq!(event.kind, record.kind.as_str());
        prop_assert_eq!(event.state, "");
        prop_assert_eq!(event.task, record.task.as_ref().map_or("", TaskId::as_str));
        prop_assert_eq!(&event.status, &record.status);
        prop_assert!(event.image_url.is_empty() || event.event_type == EventType::Completed);
        prop_assert_eq!(&event.data.reason, &record.reason);
        prop_assert_eq!(event.data.reason.is_empty(), event.code == Code::Ok);
        prop_assert_eq!((event.data.attempts, event.data.polls), (record.attempts, record.polls));
        prop_assert_eq!(event.data.reclaims, path.life.reclaims);
        prop_assert_eq!(event.data.adopted, record.adopted);
        prop_assert_eq!(event.data.possible_duplicate, record.possible_duplicate);
        prop_assert_eq!(event.data.earlier_tasks.len(), record.earlier_tasks.len());
        prop_assert_eq!(event.data.timings.enqueued_ms, START_MS);
        prop_assert_eq!(event.data.timings.accepted_ms, record.accepted_ms);
        prop_assert_eq!(event.data.timings.accepted_ms > 0, record.task.is_some());
        prop_assert_eq!(event.data.timings.finished_ms, path.life.now_ms);
        prop_assert_eq!((event.data.follows, event.data.then), (record.follows.clone(), then));
    }

    #[test]
    fn jobs_are_submitted_by_priority_and_then_by_age(one in queued_jobs(), other in queued_jobs()) {
        let by_hand = |record: &Record| (record.priority.rank(), record.enqueued_ms);

        prop_assert_eq!(one.submit_score().cmp(&other.submit_score()), by_hand(&one).cmp(&by_hand(&other)));
        prop_assert_eq!(one.submit_score() as f64 as u64, one.submit_score());
    }
}

#[test]
fn the_random_paths_reach_every_end_and_every_phase() {
    let mut runner = TestRunner::deterministic();
    let (mut codes, mut phases) = (HashSet::new(), HashSet::new());

    for _ in 0..2000 {
        let path = scripts().new_tree(&mut runner).unwrap().current().play();
        for Stage { after: Transition { record, next, .. }, .. } in path.stages {
            phases.insert(record.phase);
            if let Next::End(ending) = next {
                codes.insert(ending.code);
            }
        }
    }

    // A rejected entry never becomes a job, and no transition leads to `Submitting`: only a claim does.
    let never = [Code::Malformed, Code::Conflict];
    assert_eq!(codes, Code::ALL.iter().copied().filter(|code| !never.contains(code)).collect());
    assert_eq!(phases, Phase::ALL.into_iter().filter(|phase| *phase != Phase::Submitting).collect());
}

/// Whether `to` may follow `from` in a timeline.
fn leads_to(from: Phase, to: Phase) -> bool {
    use Phase::{Cancelled, Completed, Failed, Held, Polling, Queued, Submitting, Unknown};
    match from {
        Queued => matches!(to, Submitting | Failed | Cancelled),
        Submitting => matches!(to, Queued | Polling | Unknown | Failed | Cancelled),
        Unknown => matches!(to, Queued | Polling | Failed | Cancelled),
        Polling => matches!(to, Queued | Held | Completed | Failed | Cancelled),
        Held => matches!(to, Queued | Polling | Completed | Failed | Cancelled),
        Completed | Failed | Cancelled => false,
    }
}

/// A job under some settings, and the observations of its steps.
#[derive(Debug, Clone)]
struct Script {
    policy: Policy,
    job: Job,
    steps: Vec<Scene>,
}

/// The observations of one step; the job's phase at that time decides which one is used.
#[derive(Debug, Clone)]
struct Scene {
    /// Observed instead of a claim of a queued job.
    while_queued: Option<Observation>,
    by_submit: Observation,
    by_poll: Observation,
    by_search: Observation,
    /// Whether a hook or a command brings the step forward.
    is_early: bool,
    late_by: Duration,
    is_reclaimed: bool,
    jitter: f64,
}

/// A script that was played.
struct Path {
    life: Life,
    stages: Vec<Stage>,
}

/// One step of a path.
#[derive(Debug)]
struct Stage {
    before: Record,
    seen: Observation,
    /// The time left until the deadline.
    left: Duration,
    now_ms: u64,
    after: Transition,
}

impl Script {
    fn play(self) -> Path {
        let mut path = Path { life: Life::of(&self.job, self.policy), stages: Vec::new() };
        for scene in &self.steps {
            if path.life.record.phase.is_terminal() {
                return path;
            }
            path.play(scene);
        }
        path.play_out();
        path
    }
}

impl Path {
    fn play(&mut self, scene: &Scene) {
        let life = &mut self.life;
        let due = match life.next {
            Next::Submit(delay) | Next::AfterParent(delay) | Next::Poll(delay) if !scene.is_early => delay,
            _ => Duration::ZERO,
        };
        life.pass(due + scene.late_by);
        life.jitter = scene.jitter;
        life.reclaims += u32::from(scene.is_reclaimed);
        let seen = match (life.record.phase, &scene.while_queued) {
            (Phase::Queued, Some(seen)) => seen,
            (Phase::Queued | Phase::Submitting, _) => &scene.by_submit,
            (Phase::Unknown, _) => &scene.by_search,
            _ => &scene.by_poll,
        };
        if scene.while_queued.is_none() {
            life.claim();
        }
        self.stage(seen.clone());
    }

    /// Drives the job over its deadline, with an upstream that tells nothing any more.
    fn play_out(&mut self) {
        const ENOUGH: usize = 2;
        self.life.pass_to_deadline();
        for _ in 0..ENOUGH {
            if self.life.record.phase.is_terminal() {
                return;
            }
            self.life.claim();
            let flags = Flags { is_overdue: true, reclaims: self.life.reclaims, ..Flags::default() };
            let seen = match Act::of(&self.life.record, &flags, u32::MAX) {
                Act::Submit => panic!("an overdue job is submitted: {:?}", self.life.record),
                Act::Poll(_) => no_verdict(),
                Act::Adopt(_) => Observation::NotFound,
                Act::Conclude(conclusion) => conclusion.into(),
            };
            self.stage(seen);
        }
        assert!(self.life.record.phase.is_terminal(), "it goes on for ever: {:?}", self.life.record);
    }

    fn stage(&mut self, seen: Observation) {
        let (before, left, now_ms) = (self.life.record.clone(), self.life.left(), self.life.now_ms);
        let after = self.life.observe(&seen);
        self.stages.push(Stage { before, seen, left, now_ms, after });
    }
}

impl Stage {
    /// Whether the observation leaves open if the upstream took the job.
    fn is_loss(&self) -> bool {
        matches!(self.seen, Observation::Unanswered { .. } | Observation::WorkerDied)
    }

    fn poll_bounds(&self, policy: &Policy) -> (Duration, Duration) {
        let (min, max) = (policy.poll_min, policy.poll_max);
        match &self.seen {
            Observation::Found(_) | Observation::NotBegun => (Duration::ZERO, Duration::ZERO),
            // The last try at adoption comes at the end of the grace period, even if that is very soon.
            _ if self.after.record.phase == Phase::Unknown => {
                let waited = Duration::from_millis(self.now_ms - self.after.record.unknown_ms);
                (min.min(policy.unknown_grace - waited), max)
            }
            Observation::NoVerdict { retry_after: Some(pause), .. } => (min.max(*pause), max.max(*pause)),
            _ => (min, max),
        }
    }

    fn submit_bounds(&self, policy: &Policy) -> (Duration, Duration) {
        // A delay is spread by a fifth. The grain covers what rounding loses.
        const GRAIN: Duration = Duration::from_micros(1);
        let (first, longest) = policy.refusal_delay;
        let (min, max) = (first.min(longest).mul_f64(0.8).saturating_sub(GRAIN), longest.mul_f64(1.2) + GRAIN);
        match &self.seen {
            Observation::NotBegun => (Duration::ZERO, Duration::ZERO),
            Observation::ParentNotKnown => (policy.poll_min, policy.poll_max),
            Observation::NoMemory => {
                let (first, longest) = Policy::NO_MEMORY_DELAY;
                (first.mul_f64(0.8).saturating_sub(GRAIN), longest.mul_f64(1.2) + GRAIN)
            }
            Observation::Missing => {
                let pause = policy.after_missing(0.5).mul_f64(0.8);
                (pause.max(policy.poll_min).saturating_sub(GRAIN), policy.poll_max)
            }
            Observation::Refused { retry_after: Some(pause), .. } => (min.max(*pause), max.max(*pause)),
            Observation::Refused { .. } | Observation::Unanswered { .. } | Observation::WorkerDied => (min, max),
            seen if lacks_capacity(seen) => (min, max),
            _ => {
                assert_eq!(self.before.phase, Phase::Unknown);
                (min, max)
            }
        }
    }
}

fn scripts() -> impl Strategy<Value = Script> {
    (policies(), jobs(), vec(scenes(), 0..60)).prop_map(|(policy, job, steps)| Script { policy, job, steps })
}

fn scripts_under(on_unknown: OnUnknown) -> impl Strategy<Value = Script> {
    scripts().prop_map(move |mut script| {
        script.job.options.on_unknown = Some(on_unknown);
        script.job.options.on_capacity = Some(OnCapacity::Fail);
        script
    })
}

prop_compose! {
    fn policies()(
        poll_min in millis(1..5_000),
        poll_more in millis(0..30_000),
        refusal_delay in (millis(1..5_000), millis(1..60_000)),
        on_unknown in on_unknowns(),
        on_capacity in on_capacities(),
        unknown_grace in millis(0..180_000),
        (hook, lookup) in any::<(bool, bool)>(),
        fast_deadline in millis(1_000..900_000),
        relax_deadline in millis(1_000..3_600_000),
        max_attempts in 1..6_u32,
        lost_after in (0..6_u32, millis(0..120_000)),
    ) -> Policy {
        let adoption = AdoptionRoutes { hook, lookup };
        Policy {
            poll_min, poll_max: poll_min + poll_more, refusal_delay, on_unknown, on_capacity, unknown_grace, adoption,
            fast_deadline, relax_deadline, max_attempts, lost_after, ..Policy::default()
        }
    }
}

prop_compose! {
    fn jobs()(
        kind in select(&Kind::ALL[..]),
        priority in priorities(),
        deadline_s in option::of(1..7_200_u64),
        run_at_ms in prop_oneof![3 => Just(0), 1 => START_MS..START_MS + 600_000],
        max_attempts in option::of(1..6_u32),
        on_unknown in option::of(on_unknowns()),
        on_capacity in option::of(on_capacities()),
        request in select(&[
            r#"{"prompt":"cat"}"#,
            r#"{"prompt":"cat --relax","notifyHook":"https://example.org/hook"}"#,
            r#"{"job":"order-1841","button":"U1"}"#,
        ][..]),
    ) -> Job {
        let options = Options { priority, deadline_s, run_at_ms, max_attempts, on_unknown, on_capacity };
        Job { request: Request::from_json(request.to_owned()).unwrap(), ..a_job(kind, options) }
    }
}

fn queued_jobs() -> impl Strategy<Value = Record> {
    // So few times that equal ones occur. The last ones are the latest milliseconds that the score can distinguish.
    let times = prop_oneof![0..3_u64, START_MS..START_MS + 3, 9_999_999_999_997..10_000_000_000_000_u64];
    (jobs(), times).prop_map(|(job, enqueued_ms)| Record::admit(&job, enqueued_ms, &Policy::default()))
}

prop_compose! {
    fn scenes()(
        while_queued in option::weighted(0.1, concluded()),
        by_submit in prop_oneof![20 => seen_by_submit(), 1 => concluded()],
        by_poll in prop_oneof![60 => seen_by_poll(), 1 => concluded()],
        by_search in prop_oneof![20 => seen_by_search(), 1 => concluded()],
        is_early in prop::bool::weighted(0.1),
        late_by in prop_oneof![9 => millis(0..2_000), 1 => millis(0..600_000)],
        is_reclaimed in prop::bool::weighted(0.1),
        jitter in 0.0..=1.0,
    ) -> Scene {
        Scene { while_queued, by_submit, by_poll, by_search, is_early, late_by, is_reclaimed, jitter }
    }
}

fn seen_by_submit() -> impl Strategy<Value = Observation> {
    let busy = select(
        &[Busy::Saturated, Busy::Barred, Busy::Unreachable, Busy::Misaddressed, Busy::WithoutId, Busy::Fault][..],
    );
    let permanent =
        select(&[Code::BannedPrompt, Code::InvalidRequest, Code::ParentGone, Code::TooLarge, Code::UpstreamFailed][..]);
    prop_oneof![
        6 => (tasks(), any::<u32>()).prop_map(|(task, queue_position)| Observation::Accepted { task, queue_position }),
        6 => (busy, pauses(), reasons())
            .prop_map(|(busy, retry_after, reason)| Observation::Refused { busy, retry_after, reason }),
        1 => (permanent.clone(), reasons()).prop_map(|(code, reason)| Observation::Denied { code, reason }),
        1 => (permanent, reasons()).prop_map(|(code, reason)| Observation::Unsendable { code, reason }),
        2 => Just(Observation::Missing),
        4 => (reasons(), prop::option::of(tasks())).prop_map(|(reason, lead)| Observation::Unanswered { reason, lead }),
        2 => Just(Observation::WorkerDied),
        2 => Just(Observation::ParentPending),
        2 => Just(Observation::ParentNotKnown),
        2 => Just(Observation::NoMemory),
        1 => Just(Observation::TooLate),
    ]
}

fn seen_by_poll() -> impl Strategy<Value = Observation> {
    let class =
        select(&[FailureClass::Banned, FailureClass::Invalid, FailureClass::Capacity, FailureClass::Upstream][..]);
    prop_oneof![
        20 => reports().prop_map(Observation::Running),
        2 => (reports(), class.clone()).prop_map(|(task, class)| {
            Observation::Running(TaskReport { seems_failed: Some(class), ..task })
        }),
        // A success always has a status word; other observations may have an empty status.
        2 => (reports(), "[A-Z_]{1,9}").prop_map(|(task, status)| Observation::Succeeded(TaskReport { status, ..task })),
        1 => (reports(), class).prop_map(|(task, class)| Observation::TaskFailed(task, class)),
        6 => reports().prop_map(Observation::WaitsForInput),
        12 => Just(Observation::Missing),
        6 => seen_of_nothing(),
    ]
}

fn seen_by_search() -> impl Strategy<Value = Observation> {
    prop_oneof![4 => Just(Observation::NotFound), 1 => tasks().prop_map(Observation::Found), 1 => seen_of_nothing()]
}

fn seen_of_nothing() -> impl Strategy<Value = Observation> {
    (reasons(), pauses()).prop_map(|(reason, retry_after)| Observation::NoVerdict { reason, retry_after })
}

fn concluded() -> impl Strategy<Value = Observation> {
    prop_oneof![
        3 => Just(Observation::NotBegun),
        1 => Just(Observation::DeadlinePassed),
        1 => Just(Observation::CancelRequested),
        1 => Just(Observation::Poisoned),
    ]
}

fn reports() -> impl Strategy<Value = TaskReport> {
    (option::of(0..=100_u8), select(&["", "https://example.org/a.png"][..]), "[A-Z_]{0,9}", reasons()).prop_map(
        |(progress, image_url, status, fail_reason)| TaskReport {
            progress,
            image_url: image_url.to_owned(),
            status,
            fail_reason,
            ..TaskReport::default()
        },
    )
}

fn tasks() -> impl Strategy<Value = TaskId> {
    "[0-9a-z_]{1,17}".prop_map(|id| TaskId::new(&id))
}

// Any text that an upstream may write, with control characters and emoji.
fn reasons() -> impl Strategy<Value = String> {
    "(?s).{1,6}"
}

fn pauses() -> impl Strategy<Value = Option<Duration>> {
    option::weighted(0.2, millis(0..300_000))
}

fn millis(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn on_unknowns() -> impl Strategy<Value = OnUnknown> {
    select(&[OnUnknown::Fail, OnUnknown::Resubmit][..])
}

fn on_capacities() -> impl Strategy<Value = OnCapacity> {
    select(&[OnCapacity::Fail, OnCapacity::Resubmit][..])
}

fn priorities() -> impl Strategy<Value = Priority> {
    select(&[Priority::High, Priority::Normal, Priority::Low][..])
}

/// Whether the task failed, or seems to have failed, because the upstream had no capacity.
fn lacks_capacity(seen: &Observation) -> bool {
    match seen {
        Observation::TaskFailed(_, class) => *class == FailureClass::Capacity,
        Observation::Running(task) => task.seems_failed == Some(FailureClass::Capacity),
        _ => false,
    }
}
