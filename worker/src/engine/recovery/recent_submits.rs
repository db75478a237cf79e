//! Recent submits: remembers what this pod lately submitted, and so notices when Redis has forgotten a submit.
//!
//! A Redis that lost its last writes may give out a job that was submitted a moment ago. Fences only rise, so a claim
//! whose fence this pod has seen before reveals the loss. Then the answer to the first submit is used again, and
//! nothing is sent. A pod knows nothing of other pods' submits.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mjq_producer::contract::JobId;
use tokio::sync::watch;

use crate::{ledger::Step, lifecycle::Observation};

/// The latest submits of this pod. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecentSubmits(Arc<Mutex<Latest>>);

#[derive(Debug, Default)]
struct Latest {
    sent: HashMap<Job, Sent>,
    order: VecDeque<(Job, u64)>,
}

/// A job's id and its time of enqueueing. An id may be used again when the record of its first job is gone, but then
/// with another time.
type Job = (JobId, u64);

#[derive(Debug)]
struct Sent {
    fence: u64,
    seen: watch::Receiver<Option<Observation>>,
}

/// A submit that is about to leave.
#[derive(Debug)]
pub(crate) struct Sending {
    recent_submits: RecentSubmits,
    job: Job,
    fence: u64,
    seen: watch::Sender<Option<Observation>>,
}

/// A submit that this pod has made, and that Redis does not know of.
#[derive(Debug)]
pub(crate) struct Forgotten(watch::Receiver<Option<Observation>>);

impl RecentSubmits {
    /// The most submits that are remembered: seconds' worth of a busy pod.
    const CAPACITY: usize = 4096;

    /// Notes that the submit of `step` is about to leave.
    ///
    /// # Errors
    /// [`Forgotten`] when this pod has sent that submit before, under this fence or a later one.
    pub(crate) fn begin(&self, step: &Step) -> Result<Sending, Forgotten> {
        let job = (step.job.clone(), step.record.enqueued_ms);
        let mut latest = self.latest();
        if let Some(sent) = latest.sent.get(&job).filter(|sent| sent.fence >= step.fence) {
            return Err(Forgotten(sent.seen.clone()));
        }
        let (sender, seen) = watch::channel(None);
        latest.sent.insert(job.clone(), Sent { fence: step.fence, seen });
        latest.order.push_back((job.clone(), step.fence));
        if latest.order.len() > Self::CAPACITY
            && let Some((oldest, fence)) = latest.order.pop_front()
        {
            latest.forget(&oldest, fence);
        }
        Ok(Sending { recent_submits: self.clone(), job, fence: step.fence, seen: sender })
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Latest {
    fn forget(&mut self, job: &Job, fence: u64) {
        if self.sent.get(job).is_some_and(|sent| sent.fence == fence) {
            self.sent.remove(job);
        }
    }
}

impl Sending {
    /// Notes the result of the submit. Unless it may have made a task, the submit is forgotten, so any pod may submit
    /// the job again.
    pub(crate) fn saw(self, seen: &Observation) {
        match seen {
            Observation::Accepted { .. } | Observation::Unanswered { .. } => _ = self.seen.send(Some(seen.clone())),
            _ => self.recent_submits.latest().forget(&self.job, self.fence),
        }
    }
}

impl Forgotten {
    /// The result of the submit; waits for it if the submit is still under way.
    pub(crate) async fn seen(mut self) -> Observation {
        let seen = self.0.wait_for(Option::is_some).await.ok().and_then(|seen| seen.clone());
        let reason = || "redis has lost its last writes, and the answer to the submit with them".to_owned();
        seen.unwrap_or_else(|| Observation::Unanswered { reason: reason(), lead: None })
    }
}

#[cfg(test)]
mod tests {
    use mjq_producer::contract::TaskId;

    use super::*;
    use crate::{engine::claim::step, lifecycle::Busy};

    fn accepted() -> Observation {
        Observation::Accepted { task: TaskId::new("12463258"), queue_position: 0 }
    }

    #[tokio::test]
    async fn a_submit_that_comes_again_under_a_fence_that_was_seen_is_answered_as_the_first_one() {
        let recent_submits = RecentSubmits::default();
        recent_submits.begin(&step(3, 1)).unwrap().saw(&accepted());

        for fence in [2, 3] {
            let seen = recent_submits.begin(&step(fence, 1)).unwrap_err().seen().await;
            assert!(matches!(&seen, Observation::Accepted { task, .. } if task.as_str() == "12463258"), "{seen:?}");
        }
        assert!(recent_submits.begin(&step(4, 1)).is_ok());
    }

    #[tokio::test]
    async fn an_answer_that_is_under_way_is_waited_for_and_one_that_never_comes_is_unknown() {
        let recent_submits = RecentSubmits::default();
        let (first, other) = (recent_submits.begin(&step(1, 1)).unwrap(), recent_submits.begin(&step(1, 2)).unwrap());
        let again = tokio::spawn(recent_submits.begin(&step(1, 1)).unwrap_err().seen());
        let never = tokio::spawn(recent_submits.begin(&step(1, 2)).unwrap_err().seen());

        first.saw(&accepted());
        drop(other);

        assert!(matches!(again.await.unwrap(), Observation::Accepted { .. }));
        assert!(matches!(never.await.unwrap(), Observation::Unanswered { .. }));
    }

    #[test]
    fn what_was_refused_and_a_new_job_of_the_same_id_are_submitted() {
        let recent_submits = RecentSubmits::default();
        let reason = String::new();
        let refused = Observation::Refused { busy: Busy::Saturated, retry_after: None, reason };
        recent_submits.begin(&step(1, 1)).unwrap().saw(&refused);
        recent_submits.begin(&step(1, 1)).unwrap().saw(&accepted());

        assert!(recent_submits.begin(&step(1, 1)).is_err());
        assert!(recent_submits.begin(&step(1, 2)).is_ok());
    }

    #[test]
    fn only_so_many_are_remembered() {
        let recent_submits = RecentSubmits::default();
        for n in 0..=RecentSubmits::CAPACITY as u64 {
            recent_submits.begin(&step(1, n)).unwrap().saw(&accepted());
        }

        assert!(recent_submits.begin(&step(1, 0)).is_ok());
        assert!(recent_submits.begin(&step(1, 9)).is_err());
        assert!(
            recent_submits.latest().order.len() <= RecentSubmits::CAPACITY
                && recent_submits.latest().sent.len() <= RecentSubmits::CAPACITY
        );
    }
}
