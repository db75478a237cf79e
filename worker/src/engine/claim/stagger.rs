//! The stagger: spreads the claims of pods while there is nothing to claim, the further the more pods there are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// The number of live pods, as this pod last heard. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stagger(Arc<AtomicUsize>);

impl Stagger {
    /// The average time between the claims of all pods while there is nothing to claim.
    const APART: Duration = Duration::from_millis(16);

    /// Notes how many pods live.
    pub(crate) fn counted(&self, pods: usize) {
        self.0.store(pods, Ordering::Relaxed);
    }

    /// How long after the next step's due time this pod claims, when its last claim brought nothing; `share` is 0 to 1.
    ///
    /// Each pod knows when the next step is due. If all pods claimed then, all but one would find nothing. So each pod
    /// waits for a random part of a time that grows with the number of pods: the first claim comes about as soon as if
    /// there were one pod.
    pub(crate) fn stand_back(&self, share: f64) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            0 | 1 => Duration::ZERO,
            pods => (Self::APART * u32::try_from(pods).unwrap_or(u32::MAX)).mul_f64(share.clamp(0.0, 1.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_is_alone_waits_for_nobody() {
        let stagger = Stagger::default();
        assert_eq!(stagger.stand_back(1.0), Duration::ZERO);

        stagger.counted(1);
        assert_eq!(stagger.stand_back(1.0), Duration::ZERO);
    }

    #[test]
    fn the_first_of_many_pods_comes_about_as_soon_as_the_first_of_few() {
        let first_of = |pods: usize| {
            let stagger = Stagger::default();
            stagger.counted(pods);
            // The expected earliest of this many evenly spread times.
            stagger.stand_back(1.0 / (pods as f64 + 1.0))
        };

        for pods in [2, 10, 100, 1000] {
            assert!((10..=16).contains(&first_of(pods).as_millis()), "{pods} pods: {:?}", first_of(pods));
        }
    }
}
