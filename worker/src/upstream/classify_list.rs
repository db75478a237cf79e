//! What a list of tasks means, for a poll of many tasks at once and for the search for a task whose id was lost.

use std::collections::HashMap;

use mjq_producer::contract::TaskId;

use super::{
    Answer, AnswerClass, Exchange,
    classify_poll::{no_verdict, of_task},
    json::Json,
    said::{Said, reason_of},
    task_object::{TaskObject, WRAPPERS},
    tidy::tidy,
};
use crate::lifecycle::Observation;

/// The result of a poll of many tasks at once.
#[derive(Debug, Clone)]
pub enum Batch {
    /// What was seen of each task. A task that the upstream left out is absent; a single poll has to tell about it.
    Seen(HashMap<TaskId, Observation>),
    /// The upstream cannot list tasks: poll each one alone. The text is the reason.
    Unsupported(String),
    /// The list failed this time: always [`Observation::NoVerdict`], for all tasks.
    Failed(Observation),
}

/// Says what the answer to a poll of the tasks `asked` means.
pub(super) fn classify_list(asked: &[TaskId], exchange: &Exchange) -> Batch {
    let answer = match exchange {
        Ok(answer) => answer,
        Err(failure) => return Batch::Failed(unheard(failure.reason())),
    };
    if answer.flaw.is_some() {
        return Batch::Failed(no_verdict(answer));
    }
    let text = answer.text();
    match answer.status {
        200..=299 => {}
        // Too many tasks at once, or a server without this address: the tasks are polled one by one.
        300..=399 | 400 | 404..=406 | 410 | 413..=415 | 422 | 501 => return unsupported(answer),
        _ => return Batch::Failed(no_verdict(answer)),
    }
    if let Some(list) = list_in(Json::unread(&text)) {
        return Batch::Seen(seen(asked, &list));
    }
    match Json::read(&text) {
        Some(json) if json.is_null() => Batch::Seen(HashMap::new()),
        Some(_) => unsupported(answer),
        None if text.is_empty() => Batch::Seen(HashMap::new()),
        None if text.starts_with(['[', '{']) => match answer.mended() {
            Some(mended) => classify_list(asked, &Ok(mended)),
            None => Batch::Failed(no_verdict(answer)),
        },
        // A page: some servers answer each unknown address with their start page.
        None => unsupported(answer),
    }
}

/// The answer to a request for all tasks; `None` if the upstream has no such list.
#[derive(Debug, Default)]
pub struct TaskList(Option<Exchange>);

impl TaskList {
    pub(super) fn of(exchange: Exchange) -> Self {
        Self(Some(exchange))
    }

    /// Looks for the task that was submitted with this `state`.
    #[must_use]
    pub fn find(&self, state: &str) -> Observation {
        self.0.as_ref().map_or(Observation::NotFound, |exchange| classify_lookup(state, exchange))
    }

    pub(super) fn class(&self) -> AnswerClass {
        match &self.0 {
            Some(exchange) => match classify_lookup("", exchange) {
                Observation::NotFound => AnswerClass::Ok,
                seen => AnswerClass::of(exchange, &seen),
            },
            None => AnswerClass::Ok,
        }
    }
}

/// Says which task of a list bears `state`; if there are several, the latest.
fn classify_lookup(state: &str, exchange: &Exchange) -> Observation {
    let answer = match exchange {
        Ok(answer) if (200..300).contains(&answer.status) && answer.flaw.is_none() => answer,
        Ok(answer) => return no_verdict(answer),
        Err(failure) => return unheard(failure.reason()),
    };
    let text = answer.text();
    let json = Json::read(&text);
    let is_empty = text.is_empty() || json.is_some_and(Json::is_null);
    let Some(list) = json.and_then(list_in).or(is_empty.then(Vec::new)) else {
        return no_verdict(answer);
    };
    let tasks = list.iter().filter_map(|json| TaskObject::of(*json));
    // Tasks of other clients and tasks without a state are not ours.
    let ours = tasks.filter(|task| !state.is_empty() && task.state().as_deref() == Some(state));
    let latest =
        ours.filter_map(|task| Some((task.submitted_ms(), task.id()?))).max_by_key(|(submitted, _)| *submitted);
    latest.map_or(Observation::NotFound, |(_, id)| Observation::Found(id))
}

fn seen(asked: &[TaskId], list: &[Json<'_>]) -> HashMap<TaskId, Observation> {
    let asked: HashMap<&str, &TaskId> = asked.iter().map(|task| (task.as_str(), task)).collect();
    let mut seen = HashMap::with_capacity(asked.len());
    // The order is not fixed, and the list may have nulls and tasks that were not asked for.
    for (id, task) in list.iter().filter_map(|json| TaskObject::about_one_of(*json, &asked)) {
        let shown = of_task(id, &task);
        // A relay may have two rows for one task and update only one of them: an end is final.
        let is_news = |before: &Observation| !is_end(before) && is_end(&shown);
        if seen.get(id).is_none_or(is_news) {
            seen.insert(id.clone(), shown);
        }
    }
    seen
}

fn is_end(seen: &Observation) -> bool {
    matches!(seen, Observation::Succeeded(_) | Observation::TaskFailed(..))
}

/// The array itself, or the array in `{"data": […]}` or `{"data": {"list": […]}}`.
fn list_in(json: Json<'_>) -> Option<Vec<Json<'_>>> {
    fn inner(json: Json<'_>) -> Option<Json<'_>> {
        let fields = json.fields()?;
        let holds_more = |json: &Json<'_>| json.as_str().starts_with(['[', '{']);
        WRAPPERS.iter().find_map(|name| fields.get(name).filter(holds_more))
    }
    [Some(json), inner(json), inner(json).and_then(inner)].into_iter().flatten().find_map(Json::items)
}

fn unsupported(answer: &Answer) -> Batch {
    Batch::Unsupported(reason_of(answer, Said::read(&answer.text()).as_ref()))
}

fn unheard(reason: &str) -> Observation {
    Observation::NoVerdict { reason: tidy(reason), retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Failure;

    fn exchange(status: u16, body: &str) -> Exchange {
        Ok(Answer::of(status, body))
    }

    fn poll(status: u16, body: &str) -> String {
        let asked = ["1", "2", "3"].map(TaskId::new);
        match classify_list(&asked, &exchange(status, body)) {
            Batch::Seen(seen) => {
                let mut seen: Vec<_> = seen.iter().map(|(id, seen)| format!("{id} {}", seen.name())).collect();
                seen.sort();
                seen.join(", ")
            }
            Batch::Unsupported(_) => "unsupported".to_owned(),
            Batch::Failed(Observation::NoVerdict { .. }) => "failed".to_owned(),
            Batch::Failed(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_task_of_a_list_is_seen_and_strangers_are_not() {
        for (body, wanted) in [
            (
                r#"[{"id":"3","status":"FAILURE"},null,{"id":1,"status":"SUCCESS"},{"id":"99","status":"SUCCESS"},7,"x"]"#,
                "1 succeeded, 3 task_failed",
            ),
            (r#"[{"id":"2","status":"MODAL"},{"id":"2","status":"SUCCESS"}]"#, "2 succeeded"),
            (r#"[{"id":"2","status":"FAILURE"},{"id":"2","status":"IN_PROGRESS"}]"#, "2 task_failed"),
            (r#"{"data":[{"id":"2","status":""}]}"#, "2 running"),
            (r#"{"code":1,"result":{"list":[{"id":"2"}]}}"#, "2 running"),
            (r#"[{"status":"SUCCESS"}]"#, ""),
            (r#"{"code":0,"result":"ok","rows":[{"id":"2","status":"SUCCESS"}],"total":1}"#, "2 succeeded"),
            (r#"[{"id":17,"mj_id":"2","status":"SUCCESS"},{"id":2000001,"taskId":"3"}]"#, "2 succeeded, 3 running"),
            (
                r#"[{"code":1,"data":{"id":"2","status":"SUCCESS"}},{"id":"3","data":{"status":"FAILURE","progress":""}}]"#,
                "2 succeeded, 3 task_failed",
            ),
            ("[]", ""),
            ("null", ""),
            ("", ""),
        ] {
            assert_eq!(poll(200, body), wanted, "{body}");
        }
    }

    #[test]
    fn an_upstream_without_lists_is_told_from_one_in_trouble() {
        for (status, body, wanted) in [
            (404, "", "unsupported"),
            (405, "<html>", "unsupported"),
            (501, "", "unsupported"),
            (400, r#"{"code":4}"#, "unsupported"),
            (413, "", "unsupported"),
            (302, "", "unsupported"),
            (200, "<html>welcome</html>", "unsupported"),
            (200, r#"{"code":4,"description":"no"}"#, "unsupported"),
            (200, r#"[{"id":"1","sta"#, "failed"),
            (401, "", "failed"),
            (403, "", "failed"),
            (429, "", "failed"),
            (500, "", "failed"),
            (502, "<html>", "failed"),
            (503, "", "failed"),
        ] {
            assert_eq!(poll(status, body), wanted, "{status} {body}");
        }
        assert!(matches!(classify_list(&[], &Err(Failure::Lost("reset".into()))), Batch::Failed(_)));
        let broken = Answer { flaw: Some("broke off".into()), ..Answer::of(404, "") };
        assert!(matches!(classify_list(&[], &Ok(broken)), Batch::Failed(_)));
    }

    #[test]
    fn a_lost_task_is_found_by_its_state_alone() {
        let find = |state: &str, status, body: &str| match classify_lookup(state, &exchange(status, body)) {
            Observation::Found(task) => task.to_string(),
            other => other.name().to_owned(),
        };
        let list = r#"[{"id":"1","state":null},{"id":"2","state":""},{"id":"3","state":"a\n\u00e9"},{"id":"4","state":"twice",
            "submitTime":1748339029401},{"id":"5","state":"twice","submitTime":1748339029402},{"state":"no id"},null]"#;

        assert_eq!(find("a\né", 200, list), "3");
        assert_eq!(find("twice", 200, list), "5");
        assert_eq!(find("twice", 200, &format!(r#"{{"data":{list}}}"#)), "5");
        for state in ["", "other", "no id", "A\né"] {
            assert_eq!(find(state, 200, list), "not_found", "{state}");
        }
        for wrapped in [format!(r#"{{"code":0,"rows":{list},"total":2}}"#), format!(r#"{{"content":{list}}}"#)] {
            assert_eq!(find("twice", 200, &wrapped), "5");
        }
        assert_eq!(find("a", 200, r#"[{"id":1,"taskId":"1748339029401828","state":"a"}]"#), "1748339029401828");
        assert_eq!(find("a", 200, "[]"), "not_found");
        assert_eq!(find("a", 200, ""), "not_found");
        for (status, body) in [(404, ""), (200, "<html>"), (200, "{}"), (200, "[{"), (500, "[]"), (401, "")] {
            assert_eq!(find("a", status, body), "no_verdict", "{status} {body}");
        }
    }
}
