//! The upstream's task object, read leniently: each field is optional, and a number or a string.

use mjq_producer::contract::TaskId;
use serde_json::value::RawValue;

use super::{
    json::{Document, Fields, Json},
    tidy::tidy,
};
use crate::lifecycle::TaskReport;

/// A task object, as its own bytes and as its fields.
#[derive(Debug)]
pub(super) struct TaskObject<'a> {
    json: Json<'a>,
    fields: Fields<'a>,
}

/// What a task's status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Anything that is not one of the others, even none at all.
    Running,
    Succeeded,
    Failed,
    Cancelled,
    WaitsForInput,
}

/// Where relays put the task's id. The first is the family's own.
const IDS: [&str; 5] = ["id", "taskId", "task_id", "mjId", "mj_id"];

impl<'a> TaskObject<'a> {
    /// Finds the task object in an answer to a question about `asked`.
    ///
    /// Relays wrap it: `{"data": {…}}`, `{"result": …}`, `{"task": …}`, an array around it. The one that
    /// bears the id that was asked for is preferred, then the innermost: the outer `status` of a wrapper
    /// is about the HTTP exchange.
    pub(super) fn find(document: Document<'a>, asked: &TaskId) -> Option<Self> {
        let mut found = Self::all_in(document);
        let index = found.iter().position(|task| task.is(asked)).or(found.len().checked_sub(1))?;
        Some(found.swap_remove(index))
    }

    /// The id of the task object that is itself the answer to a submit: it has an id and a status.
    pub(super) fn new_task(document: Document<'a>) -> Option<TaskId> {
        let found = Self::all_in(document);
        found.iter().rev().filter(|task| task.status_text().is_some()).find_map(Self::id)
    }

    /// Each object in the answer, outermost first, that has an id or a status.
    fn all_in(document: Document<'a>) -> Vec<Self> {
        /// `{"data": [{…}]}` is three deep, one more to spare.
        const MAX_DEPTH: usize = 4;
        let mut found = Vec::new();
        let mut layer = vec![document];
        for _ in 0..MAX_DEPTH {
            let mut inner = Vec::new();
            for Document { json, fields } in layer {
                inner.extend(json.items().unwrap_or_default());
                let Some(fields) = fields else { continue };
                inner.extend(
                    ["data", "result", "task", "output", "response"].iter().filter_map(|name| fields.get(name)),
                );
                let task = Self { json, fields };
                if task.id().is_some() || task.status_text().is_some() {
                    found.push(task);
                }
            }
            layer = inner.into_iter().map(|json| Document { json, fields: json.fields() }).collect();
        }
        found
    }

    /// Reads an element of a list.
    pub(super) fn of(json: Json<'a>) -> Option<Self> {
        Some(Self { json, fields: json.fields()? })
    }

    /// The task's own id.
    pub(super) fn id(&self) -> Option<TaskId> {
        self.ids().next()
    }

    /// Each id that the object bears: a relay may show its own beside the upstream's.
    pub(super) fn ids(&self) -> impl Iterator<Item = TaskId> {
        IDS.iter().filter_map(|name| self.fields.get(name)?.scalar_id())
    }

    /// Whether this is the task that was asked for.
    pub(super) fn is(&self, asked: &TaskId) -> bool {
        self.ids().any(|id| &id == asked)
    }

    /// The caller's `state`, as the upstream echoes it.
    pub(super) fn state(&self) -> Option<String> {
        self.fields.get("state")?.string()
    }

    /// The upstream's clock when the task was submitted, Unix milliseconds.
    pub(super) fn submitted_ms(&self) -> u64 {
        self.time_ms(&["submitTime", "submit_time"])
    }

    /// Whether the object shows a status, and too little of a task for that to be the task's.
    ///
    /// `{"status": "error"}` is somebody's answer, but no verdict about a task; so is `{"id": …, "status": "TIMEOUT"}`,
    /// where the id may be repeated from the question.
    pub(super) fn is_bare(&self) -> bool {
        let marks = ["progress", "prompt", "submitTime", "finishTime", "imageUrl", "imageUrls", "failReason"];
        let has_mark = marks.iter().any(|name| self.fields.get(name).is_some());
        let is_of_an_exchange = || {
            let status = self.status_text().unwrap_or_default();
            matches!(status.as_str(), "ERROR" | "TIMEOUT" | "EXPIRED")
        };
        !has_mark && (self.id().is_none() || is_of_an_exchange())
    }

    pub(super) fn status(&self) -> Status {
        match self.status_text().unwrap_or_default().as_str() {
            "SUCCESS" | "SUCCEEDED" | "SUCCEED" | "SUCCESSFUL" | "COMPLETED" | "COMPLETE" | "FINISHED" | "DONE"
            | "成功" | "已完成" => Status::Succeeded,
            "FAILURE" | "FAILED" | "FAIL" | "ERROR" | "TIMEOUT" | "EXPIRED" | "REJECTED" | "失败" => Status::Failed,
            "CANCEL" | "CANCELLED" | "CANCELED" => Status::Cancelled,
            "MODAL" => Status::WaitsForInput,
            _ => Status::Running,
        }
    }

    /// Everything that the job's record and event need.
    pub(super) fn report(&self) -> TaskReport {
        TaskReport {
            status: tidy(&self.status_text().unwrap_or_default()),
            progress: self.fields.get("progress").and_then(percent),
            image_url: self.image_url().unwrap_or_default(),
            fail_reason: tidy(&self.fail_reason()),
            buttons: self.fields.get("buttons").and_then(buttons),
            started_ms: self.time_ms(&["startTime", "start_time"]),
            finished_ms: self.time_ms(&["finishTime", "finish_time"]),
            raw: Some(self.json.as_str().into()),
        }
    }

    /// In capitals, as the family writes it. A number is an HTTP status, not a task's.
    fn status_text(&self) -> Option<String> {
        let names = ["status", "task_status", "taskStatus"];
        let status = names.iter().find_map(|name| self.fields.get(name)?.string())?;
        Some(status.trim().to_uppercase())
    }

    fn image_url(&self) -> Option<String> {
        let list = |name: &&str| first_url(self.fields.get(name)?);
        self.fields
            .string(&["imageUrl", "image_url"])
            .filter(|url| url != "null")
            .or_else(|| ["imageUrl", "image_url"].iter().find_map(list))
            .or_else(|| ["imageUrls", "image_urls", "resultUrls", "images", "output"].iter().find_map(list))
            .or_else(|| self.fields.string(&["videoUrl", "video_url"]))
            .or_else(|| ["videoUrls", "video_urls"].iter().find_map(list))
    }

    fn fail_reason(&self) -> String {
        let error = || self.fields.get("error")?.fields()?.string(&["message", "description"]);
        let reason = self.fields.string(&["failReason", "fail_reason", "error"]);
        reason.or_else(error).or_else(|| self.fields.string(&["message"])).unwrap_or_default()
    }

    fn time_ms(&self, names: &[&str]) -> u64 {
        /// Times before this many milliseconds (March 1973) are seconds.
        const SECONDS_BELOW: f64 = 1e11;
        let Some(time) = names.iter().find_map(|name| self.fields.get(name)?.float()) else { return 0 };
        let millis = if time < SECONDS_BELOW { time * 1000.0 } else { time };
        // Negative times become 0.
        millis as u64
    }
}

/// `"93%"`, `"93"` or 93; `None` for words, and for Discord's "Waiting to start".
fn percent(progress: Json<'_>) -> Option<u8> {
    let text = progress.text()?;
    let number: f64 = text.trim().trim_end_matches('%').trim_end().parse().ok()?;
    // NaN is in no range.
    (number >= 0.0).then(|| number.min(100.0) as u8)
}

fn first_url(list: Json<'_>) -> Option<String> {
    let urls = list.items().unwrap_or_else(|| vec![list]).into_iter().filter_map(|item| match item.fields() {
        Some(fields) => fields.string(&["url", "imageUrl"]),
        None => item.string().map(|url| url.trim().to_owned()),
    });
    urls.into_iter().find(|url| !url.is_empty())
}

/// The array of buttons, also where a relay hands it on as a string; `None` when it is empty.
fn buttons(buttons: Json<'_>) -> Option<Box<RawValue>> {
    if let Some(text) = buttons.string() {
        let array = Json::read(text.trim())?;
        return array.to_raw().filter(|_| array.is_filled_array());
    }
    buttons.is_filled_array().then(|| buttons.to_raw())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(json: &str) -> TaskReport {
        TaskObject::of(Json::read(json).unwrap()).unwrap().report()
    }

    #[test]
    fn progress_is_a_percentage_or_nothing() {
        for (progress, percent) in [
            (r#""93%""#, Some(93)),
            (r#"" 93 % ""#, Some(93)),
            (r#""93""#, Some(93)),
            ("93", Some(93)),
            ("93.9", Some(93)),
            (r#""0%""#, Some(0)),
            (r#""100%""#, Some(100)),
            ("150", Some(100)),
            ("-1", None),
            (r#""""#, None),
            (r#""%""#, None),
            (r#""Waiting to start""#, None),
            (r#""NaN""#, None),
            ("null", None),
            ("true", None),
            ("[93]", None),
        ] {
            assert_eq!(report(&format!(r#"{{"progress":{progress}}}"#)).progress, percent, "{progress}");
        }
    }

    #[test]
    fn the_picture_is_found_wherever_a_dialect_puts_it() {
        for (json, url) in [
            (r#"{"imageUrl":"a","imageUrls":["b"],"videoUrl":"c"}"#, "a"),
            (r#"{"imageUrl":"","imageUrls":["b"],"videoUrl":"c"}"#, "b"),
            (r#"{"imageUrl":null,"imageUrls":[{"url":"b"}]}"#, "b"),
            (r#"{"imageUrls":["",null,{"url":""},{"url":"d"}]}"#, "d"),
            (r#"{"imageUrls":[],"videoUrl":"c"}"#, "c"),
            (r#"{"image_url":"a"}"#, "a"),
            (r#"{"imageUrl":7}"#, ""),
            ("{}", ""),
        ] {
            assert_eq!(report(json).image_url, url, "{json}");
        }
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
    fn times_are_milliseconds_and_zero_when_unset() {
        for (time, ms) in [
            ("1748339072775", 1_748_339_072_775),
            (r#""1748339072775""#, 1_748_339_072_775),
            ("1748339072", 1_748_339_072_000),
            ("0", 0),
            ("null", 0),
            ("-5", 0),
            (r#""yesterday""#, 0),
            ("1e400", 0),
        ] {
            assert_eq!(report(&format!(r#"{{"finishTime":{time}}}"#)).finished_ms, ms, "{time}");
        }
    }

    #[test]
    fn the_reason_of_a_failure_is_found_and_short() {
        assert_eq!(report(r#"{"failReason":"任务超时","description":"Submit success"}"#).fail_reason, "任务超时");
        assert_eq!(report(r#"{"failReason":"","error":{"message":"m"}}"#).fail_reason, "m");
        assert_eq!(report(r#"{"failReason":null,"description":"Submit success"}"#).fail_reason, "");
        assert_eq!(report(&format!(r#"{{"failReason":"{}"}}"#, "x".repeat(5000))).fail_reason.chars().count(), 300);
    }
}
