//! The parts of an answer other than a task object: code, words, the new task's id.

use mjq_producer::contract::TaskId;

use super::{
    Answer,
    json::{Document, Fields, Json},
    task_object::{TaskObject, looks_like_id},
    tidy::tidy,
};

/// `{"code", "description", "result", "properties"}` and its dialects. No field is required.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The business code: 1, 22, 21, 23 …
    pub(super) code: Option<i64>,
    /// The description, under whichever name the dialect has for it.
    pub(super) words: String,
    /// The name that a dialect gives its error: `{"error": {"code": "do_request_failed"}}`.
    pub(super) name: String,
    /// The id of the new task.
    pub(super) task: Option<TaskId>,
    /// An id that may be the new task's, from any field that might hold one.
    pub(super) lead: Option<TaskId>,
    /// Whether the answer seems to have a task's id, readable or not.
    pub(super) shows_an_id: bool,
    /// The number of tasks before the new one, if code 22 tells it.
    pub(super) queue_position: Option<u32>,
    /// Whether the answer says expressly that nothing was done: `"success": false`.
    pub(super) is_no_success: bool,
    /// Whether the answer reports an error, in whatever way.
    pub(super) is_error: bool,
    /// The word in the prompt that was refused.
    pub(super) banned_word: Option<String>,
    /// The id of the task object that stands in place of all these fields.
    pub(super) task_object: Option<TaskId>,
    /// Whether this is the answer of a web framework that does not know the address.
    pub(super) is_framework_error: bool,
}

impl Said {
    /// Reads the answer's body; `None` when it is not a JSON object.
    pub(super) fn read(text: &str) -> Option<Self> {
        let Document { json, fields } = Document::read(text)?;
        let fields = fields?;
        if let Some(inner) = wrapped(&fields) {
            return Self::read(inner.as_str());
        }
        let properties = fields.get("properties");
        let inner = properties.and_then(Json::fields);
        let property = |name: &str| inner.as_ref()?.get(name);
        let words = words_of(&fields);
        // A bare `id` beside `code` is not read: in some dialects it is the request's.
        let shown = ["result", "data", "mjId", "mj_id", "taskId", "task_id"].iter();
        let shown = shown.filter_map(|name| fields.get(name)?.task_id());
        let hidden = ["taskId", "task_id", "id"].iter().filter_map(|name| property(name)?.scalar_id());
        let ids: Vec<TaskId> = shown.chain(hidden).filter(|id| !is_word(id)).collect();
        let task = ids.iter().find(|id| looks_like_id(id)).or(ids.first()).cloned();
        let beside = task.clone().filter(looks_like_id);
        let code = fields.get("code").and_then(Json::integer);
        let counted = property("numberOfQueues").and_then(Json::integer).and_then(|count| u32::try_from(count).ok());
        Some(Self {
            code,
            queue_position: counted.or_else(|| first_number(&words)),
            words,
            name: name_of(&fields),
            // An acceptance with a task needs no lead.
            lead: if matches!(code, Some(1 | 21 | 22)) && task.is_some() { None } else { lead(&fields, 3) },
            shows_an_id: task.is_some() || shows_an_id(&fields, 2),
            task,
            is_no_success: is_no_success(&fields),
            is_error: is_error(&fields),
            banned_word: property("bannedWord").and_then(Json::string).filter(|word| !word.trim().is_empty()),
            is_framework_error: fields.get("path").is_some() && fields.get("status").is_some(),
            task_object: match fields.get("code") {
                Some(_) => None,
                // A short `id` beside a longer one is a row number of the relay.
                None => TaskObject::new_task(Document { json, fields: Some(fields) })
                    .map(|id| beside.filter(|_| !looks_like_id(&id)).unwrap_or(id)),
            },
        })
    }
}

impl Said {
    /// All words that may hint at what happened.
    pub(super) fn all_words(&self) -> String {
        format!("{} {}", self.words, self.name)
    }
}

/// Puts an answer into words: its status, its code and its own words.
pub(super) fn reason_of(answer: &Answer, said: Option<&Said>) -> String {
    let status = (answer.status != 200).then(|| format!("HTTP {}", answer.status));
    let code = said.and_then(|said| said.code).map(|code| format!("code {code}"));
    let head = [status, code].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let words = match said {
        Some(said) => said.words.clone(),
        None => body_in_words(answer),
    };
    match (head.is_empty(), words.is_empty()) {
        (true, true) => "an answer without words".to_owned(),
        (true, false) => tidy(&words),
        (false, true) => head,
        (false, false) => tidy(&format!("{head}: {words}")),
    }
}

/// The kind of the body; an error's short plain text is quoted.
fn body_in_words(answer: &Answer) -> String {
    /// Longer texts are pages.
    const MAX_QUOTED: usize = 200;
    if let Some(flaw) = &answer.flaw {
        return flaw.clone();
    }
    let text = answer.text();
    let is_json = Json::read(&text).is_some();
    match text.chars().next() {
        None => "an empty body".to_owned(),
        Some('<') => "a page of HTML".to_owned(),
        Some('{' | '[') if !is_json => "broken JSON".to_owned(),
        Some(_) if is_json => "JSON that is not an object".to_owned(),
        Some(_) if answer.status >= 400 && text.len() <= MAX_QUOTED => text.into_owned(),
        Some(_) => "text that is not JSON".to_owned(),
    }
}

/// Fields that might hold the new task's id, or an object with it, the surest first.
const ID_FIELDS: [&str; 22] = [
    "taskid",
    "task_id",
    "mjid",
    "mj_id",
    "mjtaskid",
    "jobid",
    "job_id",
    "result",
    "results",
    "data",
    "task",
    "job",
    "info",
    "list",
    "taskids",
    "task_ids",
    "ids",
    "tasks",
    "output",
    "response",
    "properties",
    "id",
];

/// An id that may be the new task's, looked for in up to `depth` nested objects. Short numbers and words do not count:
/// a short number may be anything's, and a word is no id.
fn lead(fields: &Fields<'_>, depth: usize) -> Option<TaskId> {
    let named = |wanted: &'static str| fields.each().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted));
    ID_FIELDS.into_iter().flat_map(named).find_map(|(_, json)| match json.fields() {
        Some(inner) => (depth > 0).then(|| lead(&inner, depth - 1)).flatten(),
        None => json.task_id().filter(looks_like_id),
    })
}

/// The family's own answer, if a framework has wrapped it in an envelope of its own. GoFrame writes
/// `{"code": 0, "message": "", "data": {"code": 23, "description": "…"}}`.
fn wrapped<'a>(fields: &Fields<'a>) -> Option<Json<'a>> {
    let is_success = matches!(fields.get("code").and_then(Json::integer), Some(0 | 200));
    let is_the_familys = |json: &Json<'_>| {
        let has = |inner: &Fields<'_>| {
            inner.get("code").and_then(Json::integer).is_some() && inner.get("description").is_some()
        };
        json.fields().is_some_and(|inner| has(&inner))
    };
    is_success.then(|| ["data", "result"].iter().filter_map(|name| fields.get(name)).find(is_the_familys))?
}

fn is_no_success(fields: &Fields<'_>) -> bool {
    fields.get("success").is_some_and(|success| success.as_str() == "false")
}

/// `"success": false`, an `error`, a status that says so, or FastAPI's `{"detail": "…"}`.
fn is_error(fields: &Fields<'_>) -> bool {
    let has_failed = |status: String| ["FAILED", "FAILURE", "FAIL", "ERROR"].contains(&status.to_uppercase().as_str());
    is_no_success(fields)
        || fields.get("error").is_some_and(|error| !error.is_blank() && error.as_str() != "false")
        || fields.string(&["status"]).is_some_and(has_failed)
        || fields.get("detail").is_some() && fields.each().count() == 1
}

/// Words that some dialects write in the field of the id.
fn is_word(id: &TaskId) -> bool {
    let words = [
        "ok",
        "success",
        "succeeded",
        "submitted",
        "submit success",
        "submit_success",
        "accepted",
        "created",
        "queued",
        "in queue",
        "pending",
        "processing",
        "done",
        "true",
        "提交成功",
        "成功",
        "已提交",
        "排队中",
    ];
    words.iter().any(|word| id.as_str().trim().eq_ignore_ascii_case(word))
}

/// Whether a field that might hold the new task's id is not blank, in up to `depth` nested objects.
fn shows_an_id(fields: &Fields<'_>, depth: usize) -> bool {
    let may_hold_one = |name: &str| ID_FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field));
    fields.each().filter(|(name, _)| may_hold_one(name)).any(|(_, json)| match json.fields() {
        Some(inner) => depth > 0 && shows_an_id(&inner, depth - 1),
        None => !json.is_blank(),
    })
}

fn words_of(fields: &Fields<'_>) -> String {
    let error = fields.get("error").and_then(Json::fields);
    fields
        .string(&["description", "message", "msg", "error", "detail", "failReason", "error_msg"])
        .or_else(|| error?.string(&["message", "description", "code", "type"]))
        .unwrap_or_default()
}

fn name_of(fields: &Fields<'_>) -> String {
    let error = fields.get("error").and_then(Json::fields);
    let own = fields.string(&["code"]).filter(|code| code.parse::<f64>().is_err());
    own.or_else(|| error?.string(&["code", "type"])).unwrap_or_default()
}

fn first_number(words: &str) -> Option<u32> {
    let digits = words.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_wherever_a_dialect_puts_them() {
        for (json, words) in [
            (r#"{"description":" 提交成功 "}"#, "提交成功"),
            (r#"{"description":"","message":"no"}"#, "no"),
            (r#"{"error":{"message":"无效的令牌","type":"new_api_error"}}"#, "无效的令牌"),
            (r#"{"error":"x"}"#, "x"),
            (r#"{"detail":"Not Found"}"#, "Not Found"),
            (r#"{"description":7}"#, ""),
        ] {
            assert_eq!(Said::read(json).unwrap().words, words, "{json}");
        }
    }

    #[test]
    fn a_reason_names_status_code_and_words_but_no_page() {
        let reason = |status, body: &str| {
            let answer = Answer::of(status, body);
            reason_of(&answer, Said::read(&answer.text()).as_ref())
        };

        assert_eq!(reason(400, r#"{"code":4,"description":"a\nb"}"#), "HTTP 400, code 4: a b");
        assert_eq!(reason(200, r#"{"code":23}"#), "code 23");
        assert_eq!(reason(200, ""), "an empty body");
        assert_eq!(reason(502, "<html>secret</html>"), "HTTP 502: a page of HTML");
        assert_eq!(reason(200, r#"{"code":1"#), "broken JSON");
        assert_eq!(reason(401, "Authorization header missing."), "HTTP 401: Authorization header missing.");
        assert_eq!(reason(200, "[1]"), "JSON that is not an object");
    }
}
