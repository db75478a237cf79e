//! A lane: the model of a sorted set in Redis.

use std::collections::{BTreeMap, BTreeSet};

use mjq_producer::contract::JobId;

/// Jobs ordered by score; jobs with equal scores are ordered by id.
#[derive(Debug, Default, Clone)]
pub(super) struct Lane {
    scores: BTreeMap<JobId, u64>,
    order: BTreeSet<(u64, JobId)>,
}

impl Lane {
    /// Puts a job into its place. A job that is in the lane already moves.
    pub(super) fn add(&mut self, job: &JobId, score: u64) {
        self.remove(job);
        self.scores.insert(job.clone(), score);
        self.order.insert((score, job.clone()));
    }

    pub(super) fn remove(&mut self, job: &JobId) {
        if let Some(score) = self.scores.remove(job) {
            self.order.remove(&(score, job.clone()));
        }
    }

    pub(super) fn score(&self, job: &JobId) -> Option<u64> {
        self.scores.get(job).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.scores.len()
    }

    /// At most `at_most` due jobs, in order.
    pub(super) fn due(&self, now_ms: u64, at_most: usize) -> Vec<JobId> {
        let due = self.order.iter().take_while(|(score, _)| *score <= now_ms);
        due.take(at_most).map(|(_, job)| job.clone()).collect()
    }

    /// All jobs, in order.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &JobId> {
        self.order.iter().map(|(_, job)| job)
    }

    pub(super) fn first_score(&self) -> Option<u64> {
        self.order.first().map(|(score, _)| *score)
    }
}
