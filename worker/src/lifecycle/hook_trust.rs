//! The trust in hooks: whether hooks tell ends before polls find them.
//!
//! A hook is a hint and never decides. But if nearly all of the latest ends were told in time, polls are made only in
//! case a hook gets lost: a few late ones, instead of some that come too early. Trust takes a while to earn, and two
//! lost hooks among the latest eight tasks end it.

/// Whether the hooks of one class of tasks are relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HookTrust {
    /// Hooks are unproven, or get lost: polls are made as without hooks.
    #[default]
    None,
    /// Hooks come: a poll is made when the task has very likely ended, in case its hook is lost.
    Earned,
}

impl HookTrust {
    /// How many tasks must have ended with a hook of ours.
    const MIN_ENDS: usize = 16;
    /// How many percent of the ends must have been told in time.
    const TOLD_PERCENT: usize = 95;
    /// How many of the latest ends show whether hooks get lost now.
    const LATEST: usize = 8;
    /// How many of these latest ends may come without a hook: any network loses one now and then.
    const MAX_LOST: usize = 1;

    /// Judges by the ends of tasks that had a hook of ours, latest first: whether a hook told each before a poll found
    /// it.
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
