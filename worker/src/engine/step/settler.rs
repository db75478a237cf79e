//! The settler: writes the results of steps down, many in one round trip.

use std::time::Duration;

use mjq_producer::{RedisLink, contract::TaskId};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::DropGuard;
use tracing::{error, warn};

use crate::{
    engine::{
        alarm::Alarm,
        claim::{HeldStep, WishForRoom},
        crash_point::{self, CrashPoint},
        gather::fill,
        liveness::Liveness,
        recovery::LatestSubmits,
    },
    ledger::{Hinted, Ledger, Settled, Settlement, TaskHint},
    lifecycle::{Next, Phase, Pressure, Transition},
};

/// Takes settlements. Clones hand in to the same settler.
#[derive(Debug, Clone)]
pub(crate) struct SettlerHandle(mpsc::UnboundedSender<Handed>);

/// A settlement that was handed in.
#[derive(Debug)]
struct Handed {
    settlement: Box<Settlement>,
    /// The step stays held until it is written down, even if it has timed out: another Redis that has forgotten the
    /// step is told of it.
    held: HeldStep,
    answer: oneshot::Sender<Settled>,
}

/// Writes settlements down until all its handles are gone.
#[derive(Debug)]
pub(crate) struct Settler {
    handed: mpsc::UnboundedReceiver<Handed>,
    told: Told,
}

/// The parts of the engine that are told of written settlements.
#[derive(Debug, Clone)]
struct Told {
    /// The claimer's: it may otherwise sleep beyond the due time of a job that was just put back.
    alarm: Alarm,
    /// The revisiter's: it may otherwise sleep beyond the first revisit of a task that outlived its job.
    revisits: Alarm,
    /// Tells whether the end of a job is worth a claim.
    room: WishForRoom,
    /// Keeps the submits that Redis must not forget.
    submits: LatestSubmits,
}

impl SettlerHandle {
    /// Hands in the `settlement` of the step that is `held`, and waits until it is written; `None` if the pod had to
    /// leave before.
    ///
    /// Dropping this future does not take the settlement back: it is written all the same.
    pub(crate) async fn settle(&self, settlement: Box<Settlement>, held: HeldStep) -> Option<Settled> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Handed { settlement, held, answer }).ok()?;
        answered.await.ok()
    }
}

impl Settler {
    /// The most settlements that one call carries: a script must not hold Redis for long.
    const BATCH: usize = 64;
    /// The most full batches under way at once: while Redis works at one, the next one is made.
    const CALLS: usize = 2;
    const GATHER: Duration = Duration::from_millis(3);
    /// How many times [`Self::GATHER`] a batch waits if it holds nothing but polls of tasks that go on.
    const PATIENCE: usize = 4;

    /// Makes a settler and the handle to it. The slots bound its queue.
    pub(crate) fn new(
        alarm: Alarm,
        revisits: Alarm,
        room: WishForRoom,
        submits: LatestSubmits,
    ) -> (Self, SettlerHandle) {
        let (sender, handed) = mpsc::unbounded_channel();
        (Self { handed, told: Told { alarm, revisits, room, submits } }, SettlerHandle(sender))
    }

    /// Writes settlements down until all handles are gone. Drops `alive` when it ends, even by a panic.
    pub(crate) async fn run(mut self, ledger: Ledger, liveness: Liveness, alive: DropGuard) {
        let _alive = alive;
        let mut calls = JoinSet::new();
        let mut batch = Vec::with_capacity(Self::BATCH);
        while !batch.is_empty() || self.next(&mut batch, &mut calls, &liveness).await {
            liveness.beat("settler", RedisLink::RESPONSE_TIMEOUT);
            self.gather(&mut batch).await;
            // A batch that is not full grows while another batch is under way.
            let others = if batch.len() == Self::BATCH { Self::CALLS - 1 } else { 0 };
            while calls.len() > others {
                end_of(calls.join_next().await);
            }
            fill(&mut batch, &mut self.handed, Self::BATCH);
            let rest = batch.split_off(how_many_fit(batch.iter().map(|handed| handed.settlement.bytes())));
            calls.spawn(self.told.clone().write_down(ledger.clone(), std::mem::replace(&mut batch, rest)));
        }
        while !calls.is_empty() {
            end_of(calls.join_next().await);
        }
        liveness.rest("settler");
    }

    /// Waits until a settlement is handed in. Returns false when all handles are gone. The settler rests when no call
    /// is under way.
    async fn next(&mut self, batch: &mut Vec<Handed>, calls: &mut JoinSet<()>, liveness: &Liveness) -> bool {
        loop {
            if calls.is_empty() {
                liveness.rest("settler");
            }
            tokio::select! {
                count = self.handed.recv_many(batch, Self::BATCH) => return count > 0,
                ended = calls.join_next(), if !calls.is_empty() => end_of(ended),
            }
        }
    }

    /// Adds the settlements that are handed in within a moment: a script call costs more than a step in it. A batch of
    /// nothing but polls of tasks that go on waits for a few moments, because nobody waits for them.
    async fn gather(&mut self, batch: &mut Vec<Handed>) {
        let mut moments = 0..Self::PATIENCE;
        while batch.len() < Self::BATCH && moments.next().is_some() {
            tokio::time::sleep(Self::GATHER).await;
            fill(batch, &mut self.handed, Self::BATCH);
            if batch.iter().any(|handed| is_urgent(&handed.settlement)) {
                break;
            }
        }
    }
}

/// How many settlements of these sizes one call carries; at least one.
fn how_many_fit(sizes: impl Iterator<Item = usize>) -> usize {
    let sums = sizes.scan(0, |sum, size| {
        *sum += size;
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= Ledger::CALL_BYTES).count().max(1)
}

/// Ends the settler, too, if the call panicked.
fn end_of(call: Option<Result<(), JoinError>>) {
    if let Some(Err(error)) = call
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

impl Told {
    async fn write_down(self, ledger: Ledger, batch: Vec<Handed>) {
        let apart = |Handed { settlement, held, answer }| (settlement, (held, answer));
        let (settlements, waiting): (Vec<_>, Vec<_>) = batch.into_iter().map(apart).unzip();
        crash_point::come_by(CrashPoint::BeforeSettle);
        let Ok(settled) = ledger.settle(settlements.iter().map(Box::as_ref)).await else {
            settlements.iter().for_each(|it| note_unwritten(it));
            return;
        };
        crash_point::come_by(CrashPoint::AfterSettle);
        let is_room_wanted = self.room.is_there();
        if let Some(delay) = settlements.iter().filter_map(|it| next_claim_after(it, is_room_wanted)).min() {
            self.alarm.ring_within(delay);
        }
        if let Some(delay) = settlements.iter().filter_map(|it| it.end.as_ref()?.revisit_after).min() {
            self.revisits.ring_within(delay);
        }
        count(&settled);
        let restored = settlements.iter().zip(&settled).filter(|(_, settled)| **settled == Settled::Restored);
        // The call fails only when the pod has to leave; a later pod then finds the state as it is.
        let _ = ledger.restore_requests(restored.filter_map(|(settlement, _)| settlement.enqueued())).await;
        self.hint_at_late_tasks(&ledger, &settlements, &settled).await;
        for ((settlement, (held, answer)), settled) in settlements.into_iter().zip(waiting).zip(settled) {
            note(&settlement, settled);
            if settlement.may_have_cost() && settled.is_written() {
                self.submits.keep(*settlement);
            }
            drop(held);
            // A step that was timed out no longer waits; its settlement is written all the same.
            let _ = answer.send(settled);
        }
    }

    /// Tells the ledger of tasks whose acceptance came too late, because another worker had taken the job over. If the
    /// job is unknown or is about to be submitted again, its next step polls that task first. A step that is under
    /// way now may miss the hint; the step after it does not.
    async fn hint_at_late_tasks(&self, ledger: &Ledger, settlements: &[Box<Settlement>], settled: &[Settled]) {
        let stale = settlements.iter().zip(settled).filter(|(_, settled)| **settled == Settled::Stale);
        let hints: Vec<TaskHint> = stale.filter_map(|(settlement, _)| late_task(settlement)).collect();
        if hints.is_empty() {
            return;
        }
        // The call fails only when the pod has to leave; the log then has the tasks.
        let hinted = ledger.hint(&hints).await.unwrap_or_default();
        if hinted.contains(&Hinted::Moved) {
            self.alarm.ring_within(Duration::ZERO);
        }
    }
}

/// The hint at the task that the upstream made for the submit, if it accepted the submit.
fn late_task(settlement: &Settlement) -> Option<TaskHint> {
    let task = settlement.accepted_task()?.clone();
    let enqueued_ms = Some(settlement.transition.record.enqueued_ms);
    Some(TaskHint { job: settlement.job.clone(), task: Some(task), goes_on: true, enqueued_ms })
}

/// Whether somebody waits for the settlement, or would miss it if this pod died now: an end, or the result of a submit.
fn is_urgent(settlement: &Settlement) -> bool {
    let Transition { record, next, pressure } = &settlement.transition;
    let goes_on = matches!(next, Next::Poll(delay) if *delay > Duration::from_millis(100));
    !goes_on || *pressure != Pressure::None || record.phase != Phase::Polling || record.polls == 0
}

/// The time after which there may be a step to claim because of this settlement.
fn next_claim_after(settlement: &Settlement, is_room_wanted: bool) -> Option<Duration> {
    if let Pressure::Unsent { .. } = settlement.transition.pressure {
        // The place that it gave back may let another submit begin.
        return Some(Duration::ZERO);
    }
    match settlement.transition.next {
        Next::Submit(delay) | Next::AfterParent(delay) | Next::Poll(delay) => Some(delay),
        // An end makes room under the limit of open tasks.
        Next::End(_) => is_room_wanted.then_some(Duration::ZERO),
    }
}

fn count(settled: &[Settled]) {
    for answer in Settled::ALL {
        let count = settled.iter().filter(|settled| **settled == answer).count() as u64;
        if count > 0 {
            metrics::counter!("mjq_settled_total", "answer" => answer.as_str()).increment(count);
        }
    }
}

fn note(settlement: &Settlement, settled: Settled) {
    let Settlement { job, fence, .. } = settlement;
    match settled {
        Settled::Written | Settled::WrittenBefore => {}
        Settled::Stale => {
            let (task, and_task) = (task_of(settlement), in_words(settlement));
            warn!(
                job.id = %job,
                fence,
                task,
                "a step of job {job} came too late: another worker has taken it over{and_task}"
            );
        }
        Settled::Restored => {
            error!(
                job.id = %job,
                fence,
                "redis had lost what it knew of job {job}, and has it again: suspected_rollback"
            );
        }
        Settled::Gone => {
            let (task, and_task) = (task_of(settlement), in_words(settlement));
            error!(job.id = %job, fence, task, "redis has lost the record of job {job}{and_task}");
        }
    }
}

fn note_unwritten(settlement: &Settlement) {
    let Settlement { job, fence, .. } = settlement;
    let (task, and_task) = (task_of(settlement), in_words(settlement));
    error!(job.id = %job, fence, task, "a step of job {job} could not be written down in time{and_task}");
}

/// The task as which the upstream accepted the step's submit; empty for any other step.
fn task_of(settlement: &Settlement) -> &str {
    settlement.accepted_task().map_or("", TaskId::as_str)
}

/// The same task, as the end of a sentence.
fn in_words(settlement: &Settlement) -> String {
    settlement.accepted_task().map(|task| format!("; the upstream accepted it as task {task}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use mjq_harness::{eventually, shared_redis, unique_queue};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        engine::claim::{Slots, step},
        ledger::Step,
    };

    fn a_settlement(step: &Step) -> Box<Settlement> {
        let (job, record) = (step.job.clone(), step.record.clone());
        let transition = Transition { record, next: Next::Submit(Duration::ZERO), pressure: Pressure::None };
        Box::new(Settlement { job, fence: 1, kept_until_ms: 0, transition, progress: None, end: None, job_json: None })
    }

    #[tokio::test]
    async fn a_settler_is_watched_and_its_steps_are_held_from_what_is_handed_in_until_it_is_written_down()
    -> anyhow::Result<()> {
        let (live, abandon) = (shared_redis().await?.url().to_owned(), CancellationToken::new());
        for (url, is_written) in [(live.as_str(), true), ("redis://127.0.0.1:1/", false)] {
            let (link, day) = (RedisLink::open(url)?, Duration::from_secs(86_400));
            let ledger = Ledger::new(link, unique_queue().parse()?, day, abandon.clone());
            let (alarm, liveness) = (Alarm::new(Duration::from_secs(1)), Liveness::default());
            let (settler, handle) =
                Settler::new(alarm.clone(), alarm, WishForRoom::default(), LatestSubmits::default());
            let alive = CancellationToken::new().drop_guard();
            let settling = tokio::spawn(settler.run(ledger, liveness.clone(), alive));
            assert!(liveness.watched().is_empty(), "there is nothing to do");

            let slots = Slots::new(1);
            let held = slots.hold(step(1, 1)).unwrap();
            let settlement = a_settlement(&held.step);
            let handing = tokio::spawn({
                let handle = handle.clone();
                async move { handle.settle(settlement, held).await }
            });

            if is_written {
                assert_eq!(handing.await?, Some(Settled::Gone));
                assert_eq!((slots.busy(), slots.holdings().len()), (0, 0));
                eventually("it rests, and is not asked for more", async || Ok(liveness.watched().is_empty())).await?;
            } else {
                eventually("it is watched", async || Ok(liveness.watched() == ["settler"])).await?;
                handing.abort();
                assert!(handing.await.is_err_and(|error| error.is_cancelled()));
                assert_eq!((slots.busy(), slots.holdings().len()), (1, 1), "the step timed out, and is not written");
            }
            drop(handle);
            settling.abort();
        }
        Ok(())
    }

    #[test]
    fn a_call_carries_no_more_bytes_than_redis_takes_in_time() {
        let quarter = Ledger::CALL_BYTES / 4;
        assert_eq!(how_many_fit([100; 64].into_iter()), 64);
        assert_eq!(how_many_fit([quarter; 64].into_iter()), 4);
        assert_eq!(how_many_fit([9 * quarter, 1, 1].into_iter()), 1, "a larger one goes alone");
        assert_eq!(how_many_fit([1, 9 * quarter, 1].into_iter()), 1);
    }
}
