//! The upstream's task object, read leniently: each field is optional, and may be a number or a string.

use std::collections::HashMap;

use mjq_producer::contract::TaskId;

use super::{
    fail_reason,
    json::{Document, Fields, Json},
    picture,
    task_status::Status,
    task_values::{buttons, is_time, millis, percent},
    tidy::tidy,
};
use crate::lifecycle::TaskReport;

/// A task object, as its own bytes and as its fields.
#[derive(Debug)]
pub(super) struct TaskObject<'a> {
    json: Json<'a>,
    fields: Fields<'a>,
    around: Around<'a>,
}

/// What the objects around a task tell of it.
#[derive(Debug, Clone, Default)]
struct Around<'a> {
    /// The nearest of these objects that has the requested id.
    voucher: Option<Json<'a>>,
    /// The status beside that id.
    status: Option<String>,
    /// The reason of a failure from one of these objects, under a name that means nothing else.
    reason: Option<String>,
}

/// Fields in which relays wrap tasks.
pub(super) const WRAPPERS: [&str; 15] = [
    "data", "result", "task", "output", "response", "list", "rows", "items", "records", "tasks", "content", "payload",
    "job", "mjTask", "mj_task",
];

impl<'a> TaskObject<'a> {
    /// Fields that hold only the id of a task.
    const TASK_IDS: [&'static str; 6] = ["mjId", "mj_id", "taskId", "task_id", "jobId", "job_id"];

    /// Finds the task object in an answer to a question about `asked`.
    ///
    /// Relays wrap the task: `{"data": {…}}`, `{"result": …}`, `{"task": …}`, an array around it. Candidates are the
    /// objects that are about the task, by their own id or by that of an object around them. The candidate that shows
    /// most of a task wins, then the innermost: a wrapper's `status` is about the HTTP exchange.
    pub(super) fn find(document: Document<'a>, asked: &TaskId) -> Option<Self> {
        let whole = |task: &Self| task.is(asked) && task.has_marks() && task.status_text().is_some();
        let top = document.fields.map(|fields| Self { json: document.json, fields, around: Around::default() });
        let fields = match top {
            Some(task) if whole(&task) => return Some(task),
            top => top.map(|task| task.fields),
        };
        let mut found = Self::all_in(Document { json: document.json, fields }, Some(asked));
        let by_worth = |task: &Self| {
            let (is_ours, has_marks) = (task.is(asked), task.has_marks());
            (has_marks, task.status_text().is_some(), is_ours && has_marks, is_ours || task.id().is_none())
        };
        let about = found.iter().enumerate().filter(|(_, task)| task.is_about(asked));
        let best = about.max_by_key(|(_, task)| by_worth(task)).map(|(index, _)| index);
        // An object without any id may well be the task, unless another object has a task's id.
        let speaks_of_another = || found.iter().any(|task| task.ids_in(Self::TASK_IDS).next().is_some());
        let nameless = || found.len().checked_sub(1).filter(|last| found[*last].id().is_some() || !speaks_of_another());
        let index = best.or_else(nameless)?;
        Some(found.swap_remove(index))
    }

    /// Finds the task, whichever it is, in an answer where nothing else has an id.
    pub(super) fn the_only_one(document: Document<'a>) -> Option<Self> {
        let mut found = Self::all_in(document, None);
        found.retain(|task| task.id().is_some());
        let task = found.pop().filter(|_| found.is_empty())?;
        (task.has_marks() && task.status_text().is_some()).then_some(task)
    }

    /// The id of the task object that is itself the answer to a submit: the object has an id and a status.
    pub(super) fn new_task(document: Document<'a>) -> Option<TaskId> {
        let found = Self::all_in(document, None);
        // A new task has not succeeded yet: an object with "success" describes the exchange, and the task is within it.
        let is_task = |task: &&Self| task.status_text().is_some() && task.status() != Status::Succeeded;
        let has_status = found.iter().any(|task| task.status_text().is_some());
        let innermost = || found.iter().rev().filter(|_| has_status).find_map(Self::new_id);
        found.iter().rev().filter(is_task).find_map(Self::new_id).or_else(innermost)
    }

    /// Finds the one of `asked` that this object is about: by its own id, or by that of an object within.
    pub(super) fn about_one_of<'t>(json: Json<'a>, asked: &HashMap<&str, &'t TaskId>) -> Option<(&'t TaskId, Self)> {
        let known = |task: &Self| task.ids().find_map(|id| asked.get(id.as_str()).copied());
        let task = Self::of(json)?;
        match known(&task) {
            Some(id) if task.has_marks() || task.status_text().is_some() => Some((id, task)),
            Some(id) => Some((id, Self::find(Document { json, fields: Some(task.fields) }, id)?)),
            None => {
                let id = Self::all_in(Document { json, fields: Some(task.fields) }, None).iter().find_map(known)?;
                Some((id, Self::find(Document { json, fields: json.fields() }, id)?))
            }
        }
    }

    /// Each object in the answer, outermost first, that has an id, a status or another mark of a task.
    fn all_in(document: Document<'a>, asked: Option<&TaskId>) -> Vec<Self> {
        /// `{"data": [{…}]}` has three levels; one more is spare.
        const MAX_DEPTH: usize = 4;
        let mut found = Vec::new();
        let mut layer = vec![(document, Around::default())];
        for _ in 0..MAX_DEPTH {
            let mut inner = Vec::new();
            for (Document { json, fields }, around) in layer {
                // A reason beside a list belongs to no single task.
                let beside = Around { reason: None, ..around.clone() };
                inner.extend(json.items().unwrap_or_default().into_iter().map(|item| (item, beside.clone())));
                let Some(fields) = fields else { continue };
                let task = Self { json, fields, around };
                let around = asked.map_or_else(Around::default, |asked| task.surroundings(asked));
                inner.extend(WRAPPERS.iter().filter_map(|name| Some((task.fields.get(name)?, around.clone()))));
                if task.id().is_some() || task.status_text().is_some() || task.has_marks() {
                    found.push(task);
                }
            }
            let document = |(json, around): (Json<'a>, Around<'a>)| (Document { json, fields: json.fields() }, around);
            layer = inner.into_iter().map(document).collect();
        }
        found
    }

    /// What this object tells of the objects within it.
    fn surroundings(&self, asked: &TaskId) -> Around<'a> {
        let is_asked = self.is(asked);
        let is_of_another = !is_asked && self.ids_in(Self::TASK_IDS).next().is_some();
        let own_reason = || fail_reason::plain(&self.fields).filter(|_| !is_of_another);
        let reason = own_reason().or_else(|| self.around.reason.clone());
        if is_asked {
            Around { voucher: Some(self.json), status: self.status_text(), reason }
        } else {
            Around { reason, ..self.around.clone() }
        }
    }

    /// Reads an element of a list.
    pub(super) fn of(json: Json<'a>) -> Option<Self> {
        Some(Self { json, fields: json.fields()?, around: Around::default() })
    }

    /// The task's own id. A short number beside another id is a row number of the relay.
    pub(super) fn id(&self) -> Option<TaskId> {
        self.ids().find(looks_like_id).or_else(|| self.ids().next())
    }

    /// The id in an answer about a new task. A bare `id` beside another id may be the request's; `taskId` may be that
    /// of the task which an action acts upon.
    fn new_id(&self) -> Option<TaskId> {
        let ids = || self.ids_in(["mjId", "mj_id", "task_id", "id", "taskId"]);
        ids().find(looks_like_id).or_else(|| ids().next())
    }

    /// Each id that the object has: a relay may show its own beside the upstream's. The family's field comes first.
    pub(super) fn ids(&self) -> impl Iterator<Item = TaskId> {
        self.ids_in(["id"]).chain(self.ids_in(Self::TASK_IDS))
    }

    fn ids_in<const N: usize>(&self, names: [&'static str; N]) -> impl Iterator<Item = TaskId> {
        names.into_iter().filter_map(|name| self.fields.get(name)?.scalar_id())
    }

    /// Whether this is the requested task.
    pub(super) fn is(&self, asked: &TaskId) -> bool {
        self.ids().any(|id| &id == asked)
    }

    /// Whether this shows the requested task, by its own id or by that of an object around it.
    pub(super) fn is_about(&self, asked: &TaskId) -> bool {
        self.around.voucher.is_some() || self.is(asked)
    }

    /// The caller's `state`, as the upstream echoes it.
    pub(super) fn state(&self) -> Option<String> {
        self.fields.get("state")?.string()
    }

    /// When the task was submitted, by the upstream's clock, Unix milliseconds.
    pub(super) fn submitted_ms(&self) -> u64 {
        self.time_ms(&["submitTime", "submit_time"])
    }

    /// Whether the object shows a status, but too little of a task for the status to be the task's.
    ///
    /// `{"status": "error"}` may come from any server, and is no verdict about a task. Neither is
    /// `{"id": …, "status": "TIMEOUT"}`, where the id may be repeated from the request.
    pub(super) fn is_bare(&self) -> bool {
        let is_of_an_exchange = || Status::may_be_of_an_exchange(&self.status_text().unwrap_or_default());
        let is_nameless = self.id().is_none() && self.around.voucher.is_none();
        !self.has_marks() && (is_nameless || is_of_an_exchange())
    }

    /// Whether the object shows more of a task than id and status.
    pub(super) fn has_marks(&self) -> bool {
        let marks = [
            "progress",
            "prompt",
            "submitTime",
            "startTime",
            "finishTime",
            "imageUrl",
            "image_url",
            "imageUrls",
            "failReason",
            "fail_reason",
        ];
        marks.iter().any(|name| self.fields.get(name).is_some())
    }

    pub(super) fn status(&self) -> Status {
        let status = self.shown_status().unwrap_or_default();
        match Status::of(&status) {
            Status::Running if Status::may_be_success(&status) && self.has_all_of_a_success() => Status::Succeeded,
            status => status,
        }
    }

    /// Whether everything but the status says that the task failed.
    ///
    /// new-api and one-hub write "100%" and the reason into such a row when their upstream gives a reason without
    /// FAILURE, and never poll the task again. A task that shows a picture does not count: it may have been tried
    /// once more.
    pub(super) fn seems_failed(&self) -> bool {
        let has_reason = || fail_reason::plain(&self.fields).is_some();
        let is_over = || self.progress() == Some(100) || self.has_finished();
        self.status() == Status::Running && has_reason() && is_over() && self.picture().is_none()
    }

    /// Whether the object shows all of a success but the word.
    fn has_all_of_a_success(&self) -> bool {
        self.progress() == Some(100)
            && self.has_finished()
            && self.picture().is_some()
            && fail_reason::plain(&self.fields).or_else(|| self.around.reason.clone()).is_none()
    }

    /// Whether the object shows the time at which the task finished.
    fn has_finished(&self) -> bool {
        ["finishTime", "finish_time"].iter().any(|name| self.fields.get(name).is_some_and(is_time))
    }

    fn progress(&self) -> Option<u8> {
        self.fields.get("progress").and_then(percent)
    }

    /// Whether an answer shows only tasks that go on.
    pub(super) fn goes_on(document: Document<'a>) -> bool {
        let mut tasks = Self::all_in(document, None).into_iter().filter(|task| task.status_text().is_some()).peekable();
        tasks.peek().is_some() && tasks.all(|task| task.status() == Status::Running && !task.seems_failed())
    }

    /// All that the job's record and event need.
    pub(super) fn report(&self) -> TaskReport {
        let voucher = self.voucher();
        let get = |name: &str| self.fields.get(name).or_else(|| voucher.as_ref()?.get(name));
        TaskReport {
            status: tidy(&self.shown_status().unwrap_or_default()),
            progress: get("progress").and_then(percent),
            image_url: self.picture().unwrap_or_default(),
            fail_reason: tidy(&self.fail_reason().unwrap_or_default()),
            seems_failed: None,
            buttons: get("buttons").and_then(buttons),
            started_ms: self.time_ms(&["startTime", "start_time"]),
            finished_ms: self.time_ms(&["finishTime", "finish_time"]),
            // If the status is in the object around this one, so is the rest of the task.
            raw: Some(
                self.around.voucher.filter(|_| self.status_text().is_none()).unwrap_or(self.json).as_str().into(),
            ),
        }
    }

    /// The fields of the object around this one that has the requested id.
    fn voucher(&self) -> Option<Fields<'a>> {
        self.around.voucher?.fields()
    }

    /// The task's own status, or the status around it, as in TTAPI, PiAPI and Legnext.
    fn shown_status(&self) -> Option<String> {
        self.status_text().or_else(|| {
            // An envelope's "success" may describe the exchange.
            let is_under_way =
                || self.fields.get("progress").and_then(percent).is_some_and(|it| (1..100).contains(&it));
            let is_hasty = || self.picture().is_none() || is_under_way();
            self.around.status.clone().filter(|status| Status::of(status) != Status::Succeeded || !is_hasty())
        })
    }

    /// The status in capitals, as the family writes it.
    fn status_text(&self) -> Option<String> {
        let names = ["status", "task_status", "taskStatus"];
        let status = names.iter().find_map(|name| self.fields.get(name)?.string());
        status.map(|status| status.trim().to_uppercase()).or_else(|| self.numbered_status().map(str::to_owned))
    }

    /// The word for a status that is a number.
    fn numbered_status(&self) -> Option<&'static str> {
        if let Some(flag) = self.fields.get("successFlag") {
            return Status::flagged(flag.text()?.trim());
        }
        let word = Status::numbered(self.fields.get("status")?.number()?)?;
        // Other numbers are HTTP's, or belong to another enumeration. So only the family's own object is believed, and
        // an end only if its other fields agree.
        let is_ours = ["action", "submitTime"].iter().all(|name| self.fields.get(name).is_some());
        let agrees = || match Status::of(word) {
            Status::Running | Status::WaitsForInput => true,
            Status::Succeeded => self.has_all_of_a_success(),
            Status::Failed => self.has_finished() && fail_reason::plain(&self.fields).is_some(),
            Status::Cancelled => self.has_finished(),
        };
        (is_ours && agrees()).then_some(word)
    }

    fn picture(&self) -> Option<String> {
        picture::of_task(&self.fields).or_else(|| picture::under_its_own_name(&self.voucher()?))
    }

    /// The surest name comes first, at whichever level. In a task that has not failed, only a sure name is believed.
    fn fail_reason(&self) -> Option<String> {
        let likely = || match self.status() {
            Status::Failed | Status::Cancelled => {
                fail_reason::likely(&self.fields).or_else(|| fail_reason::likely(&self.voucher()?))
            }
            Status::Running | Status::Succeeded | Status::WaitsForInput => None,
        };
        fail_reason::plain(&self.fields).or_else(|| self.around.reason.clone()).or_else(likely)
    }

    fn time_ms(&self, names: &[&str]) -> u64 {
        names.iter().find_map(|name| millis(self.fields.get(name)?)).unwrap_or_default()
    }
}

/// Whether the id cannot be a row number: known ids have eight characters or more, with a digit among them.
pub(super) fn looks_like_id(id: &TaskId) -> bool {
    const SHORTEST: usize = 6;
    let id = id.as_str();
    id.len() >= SHORTEST && id.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(json: &str) -> TaskReport {
        TaskObject::of(Json::read(json).unwrap()).unwrap().report()
    }

    #[test]
    fn buttons_and_the_task_itself_stay_as_they_are() {
        let json = r#"{"id" : 9007199254740993,"status":"SUCCESS", "buttons": [ {"customId":"MJ::1","label":"U1","emoji":""} ],"x":1.50}"#;
        let seen = report(json);

        assert_eq!(seen.buttons.unwrap().get(), r#"[ {"customId":"MJ::1","label":"U1","emoji":""} ]"#);
        assert_eq!(seen.raw.as_deref(), Some(json));
        for none in ["null", "[]", r#""""#, r#""[]""#, "{}", "7"] {
            assert!(report(&format!(r#"{{"buttons":{none}}}"#)).buttons.is_none(), "{none}");
        }
        assert_eq!(report(r#"{"buttons":"[{\"label\":\"U1\"}]"}"#).buttons.unwrap().get(), r#"[{"label":"U1"}]"#);
    }

    #[test]
    fn the_reason_of_a_failure_is_short_and_that_of_a_running_task_is_a_sure_one() {
        assert_eq!(report(&format!(r#"{{"failReason":"{}"}}"#, "x".repeat(5000))).fail_reason.chars().count(), 300);
        for (json, reason) in [
            (r#"{"status":"FAILURE","message":"m"}"#, "m"),
            (r#"{"status":"CANCEL","detail":"d"}"#, "d"),
            (r#"{"status":"IN_PROGRESS","message":"m"}"#, ""),
            (r#"{"status":"IN_PROGRESS","failReason":"f"}"#, "f"),
        ] {
            assert_eq!(report(json).fail_reason, reason, "{json}");
        }
    }
}
