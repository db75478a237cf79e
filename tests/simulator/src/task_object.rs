//! The task object, in the form of each member of the family.

use serde_json::{Map, Value, json};

use crate::{
    dialect::Dialect,
    ids::id_json,
    script::Outcome,
    task::{PROGRESS, Phase, Task},
};

impl Dialect {
    /// The task object.
    pub(crate) fn task(self, task: &Task, base_url: &str, now_ms: u64) -> Value {
        let seen = self.seen(task, base_url, now_ms);
        let mut body = json!({
            "id": id_json(&task.id, self == Self::Agicto),
            "action": task.kind,
            "status": seen.status,
            "prompt": task.prompt,
            "promptEn": task.prompt,
            "description": format!("/{} {}", task.kind.to_lowercase(), task.prompt),
            "state": task.state,
            "submitTime": task.submitted_ms,
            "startTime": seen.start_ms,
            "finishTime": seen.finish_ms,
            "imageUrl": seen.image_url,
            "progress": seen.progress,
            "failReason": seen.fail_reason,
            "botType": task.bot_type,
            "properties": self.properties(task, &seen),
        });
        if let Value::Object(body) = &mut body {
            let buttons = if seen.is_success { json!(task.buttons()) } else { json!([]) };
            match self {
                // The Java original has no buttons, but the services built on it that offer actions add them.
                Self::Agicto | Self::Java => drop(body.insert("buttons".to_owned(), buttons)),
                Self::CSharp => {
                    body.insert("buttons".to_owned(), buttons);
                    let size = if seen.is_success { json!(2048) } else { Value::Null };
                    body.insert("imageWidth".to_owned(), size.clone());
                    body.insert("imageHeight".to_owned(), size);
                }
                Self::NewApi => relayed(body, task, buttons, seen.is_success, now_ms),
            }
        }
        body
    }

    fn seen(self, task: &Task, base_url: &str, now_ms: u64) -> Seen {
        let phase = task.phase(now_ms);
        let mut seen = Seen { start_ms: start_ms(task, phase), ..Seen::default() };
        match phase {
            Phase::Modal => seen.say("MODAL", Some("0%")),
            Phase::Waiting => seen.say("NOT_START", None),
            Phase::Submitted => seen.say("SUBMITTED", Some("0%")),
            Phase::Running(step) => {
                let word = task.script.as_ref().and_then(|script| script.running_status.as_deref());
                seen.say(word.unwrap_or("IN_PROGRESS"), Some(PROGRESS[step]));
                seen.image_url = (step > 0).then(|| format!("{base_url}/image/{}-{step}.png", task.id));
            }
            Phase::Ended => {
                seen.finish_ms = task.cancelled_ms.or(task.booking.map(|booking| booking.finish_ms));
                self.end(task, base_url, &mut seen);
            }
        }
        seen
    }

    fn end(self, task: &Task, base_url: &str, seen: &mut Seen) {
        if task.cancelled_ms.is_some() {
            return match self {
                Self::CSharp => seen.fail("取消任务", Some("")),
                Self::Agicto | Self::Java | Self::NewApi => seen.say("CANCEL", Some("")),
            };
        }
        match &task.outcome {
            // A modal task that was answered goes on like any other task.
            Outcome::Success | Outcome::Modal | Outcome::NoImage => {
                seen.say("SUCCESS", Some("100%"));
                seen.is_success = true;
                if task.outcome != Outcome::NoImage && task.kind != "DESCRIBE" && task.kind != "SHORTEN" {
                    seen.image_url = Some(format!("{base_url}/image/{}.png", task.id));
                }
            }
            Outcome::Failure(reason) => {
                // new-api shows "100%" for failures, too, so a client must not take "100%" for a success.
                let progress = if self == Self::NewApi { "100%" } else { "" };
                seen.fail(reason, Some(progress));
            }
            Outcome::Cancel => seen.say("CANCEL", Some("")),
        }
    }

    fn properties(self, task: &Task, seen: &Seen) -> Value {
        let final_prompt = if seen.is_success { format!("{} --v 7.0", task.prompt) } else { task.prompt.clone() };
        if self == Self::NewApi {
            return json!({"finalPrompt": if seen.is_success { final_prompt } else { String::new() }, "finalZhPrompt": ""});
        }
        json!({
            "notifyHook": task.hook,
            "finalPrompt": final_prompt,
            "messageId": seen.is_success.then(|| (task.seed >> 4).to_string()),
            "messageHash": seen.is_success.then(|| task.message_hash()),
            "flags": 0,
            "nonce": (task.seed >> 3).to_string(),
            "botType": task.bot_type,
            "discordInstanceId": "1118138338562560102",
        })
    }
}

#[derive(Default)]
struct Seen {
    status: String,
    progress: Option<&'static str>,
    start_ms: Option<u64>,
    finish_ms: Option<u64>,
    image_url: Option<String>,
    fail_reason: Option<String>,
    is_success: bool,
}

impl Seen {
    fn say(&mut self, status: &str, progress: Option<&'static str>) {
        status.clone_into(&mut self.status);
        self.progress = progress;
    }

    fn fail(&mut self, reason: &str, progress: Option<&'static str>) {
        self.say("FAILURE", progress);
        self.fail_reason = Some(reason.to_owned());
    }
}

fn start_ms(task: &Task, phase: Phase) -> Option<u64> {
    if phase <= Phase::Waiting {
        return None;
    }
    let start_ms = task.booking?.start_ms;
    task.cancelled_ms.is_none_or(|cancelled_ms| start_ms <= cancelled_ms).then_some(start_ms)
}

/// Rewrites a task object as new-api stores it: nulls are replaced, and before its first poll new-api knows nothing.
fn relayed(body: &mut Map<String, Value>, task: &Task, buttons: Value, is_success: bool, now_ms: u64) {
    if task.phase(now_ms) == Phase::Waiting {
        body.insert("status".to_owned(), json!(""));
        body.insert("state".to_owned(), json!(""));
        body.insert("progress".to_owned(), json!("0%"));
    }
    body.insert("buttons".to_owned(), if is_success { buttons } else { Value::Null });
    for always_empty in ["customId", "botType", "maskBase64"] {
        body.insert(always_empty.to_owned(), json!(""));
    }
    for (key, value) in body.iter_mut() {
        if value.is_null() && key != "buttons" {
            *value = if key.ends_with("Time") { json!(0) } else { json!("") };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::tests::a_task;

    #[test]
    fn a_running_task_shows_a_preview_and_a_finished_one_its_buttons() {
        let running = Dialect::Java.task(&a_task(), "http://sim", 1350);
        let finished = Dialect::Java.task(&a_task(), "http://sim", 1800);

        assert_eq!((&running["status"], &running["progress"]), (&json!("IN_PROGRESS"), &json!("31%")));
        assert_eq!(running["imageUrl"], "http://sim/image/1730621826053455-2.png");
        assert_eq!(running["finishTime"], Value::Null);
        assert_eq!((&finished["status"], &finished["progress"]), (&json!("SUCCESS"), &json!("100%")));
        assert_eq!(finished["imageUrl"], "http://sim/image/1730621826053455.png");
        assert_eq!(finished["finishTime"], 1800);
        assert_eq!(finished["buttons"][0]["label"], "U1");
        assert_eq!(finished["state"], "order 1");
    }

    #[test]
    fn a_failure_has_a_reason_and_no_progress_except_at_the_relay() {
        let mut task = a_task();
        task.outcome = Outcome::Failure("Job Timeout".to_owned());

        let java = Dialect::Java.task(&task, "", 1800);

        assert_eq!((&java["status"], &java["progress"]), (&json!("FAILURE"), &json!("")));
        assert_eq!(java["failReason"], "Job Timeout");
        assert_eq!(Dialect::NewApi.task(&task, "", 1800)["progress"], "100%");
    }
}
