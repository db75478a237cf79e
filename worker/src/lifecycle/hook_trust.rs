//! The trust in hooks: whether the upstream tells ends before anybody looks.
//!
//! A hook is a hint and never decides. But where each of the latest ends was told in time, looks are made
//! only in case a hook gets lost: a few late ones, instead of some that come too early. Trust takes a
//! while to earn, and two losses among the latest eight tasks are its end.

/// Whether the hooks of one class of tasks are relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HookTrust {
    /// They are unknown, or go missing: looks are made as without them.
    #[default]
    None,
    /// They come: a look is made when the task has very likely ended, should its hook be lost.
    Earned,
}

impl HookTrust {
    /// How many tasks must have ended with a hook of ours.
    const MIN_ENDS: usize = 16;
    /// How many of the ends were told in time, of a hundred.
    const TOLD_PERCENT: usize = 95;
    /// So many of the latest tell whether hooks go missing now.
    const LATEST: usize = 8;
    /// Of the latest, at most so many ends that no hook had told. Any network loses one now and then.
    const MAX_LOST: usize = 1;

    /// Judges by the ends of tasks that had a hook of ours, the latest first: whether each was told before a
    /// look found it.
    #[must_use]
    pub fn learn(told: &[bool]) -> Self {
        let all = told.iter().filter(|told| **told).count();
        let lost = told.iter().take(Self::LATEST).filter(|told| !**told).count();
        let is_earned =
            told.len() >= Self::MIN_ENDS && all * 100 >= told.len() * Self::TOLD_PERCENT && lost <= Self::MAX_LOST;
        if is_earned { Self::Earned } else { Self::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_takes_sixteen_tasks_to_earn() {
        assert_eq!(HookTrust::learn(&[true; 15]), HookTrust::None);
        assert_eq!(HookTrust::learn(&[true; 16]), HookTrust::Earned);
    }

    #[test]
    fn a_hook_that_is_lost_now_and_then_costs_no_trust() {
        let mut told = [true; 64];
        (told[2], told[30], told[50]) = (false, false, false);

        assert_eq!(HookTrust::learn(&told), HookTrust::Earned);
    }

    #[test]
    fn hooks_that_go_missing_are_not_relied_on_from_the_second_one_on() {
        let mut told = [true; 64];
        (told[0], told[1]) = (false, false);

        assert_eq!(HookTrust::learn(&told), HookTrust::None);
    }

    #[test]
    fn hooks_of_which_one_in_ten_is_lost_are_not_relied_on() {
        let told: Vec<bool> = (0..64).map(|n| n % 10 != 9).collect();

        assert_eq!(HookTrust::learn(&told), HookTrust::None);
    }
}
