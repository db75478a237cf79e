//! A hook's body. It is a whole task object, but mjq uses only its id and its status, and those only as a hint.

use mjq_producer::contract::TaskId;

use super::{json::Document, task_object::TaskObject};

/// The content of a hook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hint {
    /// The task's id; `None` when no id can be read.
    pub task: Option<TaskId>,
    /// Whether the task goes on, so that a poll of it would find nothing new.
    pub goes_on: bool,
}

impl Hint {
    /// Reads a hook's body. A body that cannot be read is still a hint: something happened.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(body) else { return Self::default() };
        let Some(document) = Document::read(text) else { return Self::default() };
        let goes_on = Document::read(text).is_some_and(TaskObject::goes_on);
        Self { task: TaskObject::new_task(document), goes_on }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_tells_the_id_of_its_task_and_whether_it_goes_on() {
        let task = Some(TaskId::new("14001934816969359"));
        for (status, goes_on) in [("IN_PROGRESS", true), ("SUCCESS", false), ("FAILURE", false), ("MODAL", false)] {
            let body = format!(r#"{{"id":14001934816969359,"action":"IMAGINE","status":"{status}"}}"#);

            assert_eq!(Hint::read(body.as_bytes()), Hint { task: task.clone(), goes_on }, "{status}");
        }
    }

    #[test]
    fn a_hook_that_tells_of_an_end_by_another_word_is_worth_a_poll() {
        for rest in [
            r#""status":"IN_PROGRESS","progress":"100%","failReason":"banned""#,
            r#""status":"OK","progress":"100%","imageUrl":"http://a","finishTime":1748339072775"#,
        ] {
            assert!(!Hint::read(format!(r#"{{"id":"7",{rest}}}"#).as_bytes()).goes_on, "{rest}");
        }
    }

    #[test]
    fn a_hook_in_an_envelope_is_read_like_any_other() {
        for (status, goes_on) in [("IN_PROGRESS", true), ("SUCCESS", false)] {
            let body = format!(r#"{{"code":200,"data":{{"task_id":"task-1","status":"{status}"}}}}"#);

            assert_eq!(Hint::read(body.as_bytes()), Hint { task: Some(TaskId::new("task-1")), goes_on }, "{status}");
        }
    }

    #[test]
    fn a_hook_that_cannot_be_read_is_a_hint_all_the_same() {
        assert_eq!(Hint::read(b"nonsense"), Hint::default());
        assert_eq!(Hint::read(b"[]"), Hint::default());
    }
}
