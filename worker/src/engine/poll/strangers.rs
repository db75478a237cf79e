//! Strangers: foreign tasks that the upstream showed instead of the requested one, and whether they can be aliases of
//! it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use mjq_producer::contract::TaskId;

use crate::lifecycle::Observation;

/// The foreign task ids that the upstream has returned to this pod. A relay maps its ids one to one: an id that was
/// returned for two of our tasks, or that is itself one of our tasks, cannot be an alias of either.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<HashMap<TaskId, Met>>);

#[derive(Debug, PartialEq, Eq)]
enum Met {
    /// Shown for this task alone.
    For(TaskId),
    /// Shown for several tasks, or itself one of our tasks.
    NoAlias,
}

impl Strangers {
    /// Notes what a poll of `asked` has seen. Returns it, without the stranger if that cannot be the task.
    pub(crate) fn sift(&self, asked: &TaskId, seen: Observation) -> Observation {
        let mut met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Observation::Stranger { id, .. } = &seen else {
            if seen.shows_the_task() && met.get(asked) != Some(&Met::NoAlias) {
                forget_if_many(&mut met);
                met.insert(asked.clone(), Met::NoAlias);
            }
            return seen;
        };
        forget_if_many(&mut met);
        let before = met.entry(id.clone()).or_insert_with(|| Met::For(asked.clone()));
        if *before == Met::For(asked.clone()) {
            return seen;
        }
        *before = Met::NoAlias;
        seen.without_stranger()
    }
}

/// A task that is shown again after this is learnt anew.
fn forget_if_many(met: &mut HashMap<TaskId, Met>) {
    const MANY: usize = 10_000;
    if met.len() >= MANY {
        met.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(id: &str) -> Observation {
        let seen = Box::new(Observation::Running(crate::lifecycle::TaskReport::default()));
        Observation::Stranger { id: TaskId::new(id), state: String::new(), seen }
    }

    fn sifted(strangers: &Strangers, asked: &str, seen: Observation) -> &'static str {
        strangers.sift(&TaskId::new(asked), seen).name()
    }

    #[test]
    fn who_is_shown_for_one_task_alone_may_be_that_one() {
        let strangers = Strangers::default();

        for _ in 0..3 {
            assert_eq!(sifted(&strangers, "12463258", shown("1748339029401828")), "stranger");
            assert_eq!(sifted(&strangers, "12463259", shown("1748339029401829")), "stranger");
        }
    }

    #[test]
    fn who_is_shown_for_two_tasks_is_neither() {
        let strangers = Strangers::default();
        sifted(&strangers, "12463258", shown("1748339029401828"));

        assert_eq!(sifted(&strangers, "12463259", shown("1748339029401828")), "no_verdict");
        assert_eq!(sifted(&strangers, "12463258", shown("1748339029401828")), "no_verdict");
    }

    #[test]
    fn who_is_a_task_of_ours_is_no_other() {
        let ours = || Observation::Running(crate::lifecycle::TaskReport::default());
        for shown_before in [false, true] {
            let strangers = Strangers::default();
            if shown_before {
                sifted(&strangers, "12463258", shown("12463259"));
            }

            sifted(&strangers, "12463259", ours());

            assert_eq!(sifted(&strangers, "12463258", shown("12463259")), "no_verdict");
        }
    }
}
