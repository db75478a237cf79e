//! A hook's body: the whole task object, of which only the id is believed, and that as a hint.

use mjq_producer::contract::TaskId;

use super::{json::Json, task_object::TaskObject};

/// Reads the task's id out of a hook's body; `None` when there is none that can be read.
#[must_use]
pub fn hinted_task(body: &[u8]) -> Option<TaskId> {
    TaskObject::new_task(Json::read(std::str::from_utf8(body).ok()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_tells_the_id_of_its_task() {
        let body = br#"{"id":14001934816969359,"action":"IMAGINE","status":"IN_PROGRESS","progress":"31%"}"#;

        assert_eq!(hinted_task(body), Some(TaskId::new("14001934816969359")));
        assert_eq!(hinted_task(b"nonsense"), None);
        assert_eq!(hinted_task(b"[]"), None);
    }
}
