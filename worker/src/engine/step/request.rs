//! The request: makes the body that the upstream is sent for a job.

use mjq_producer::contract::{Button, JobId, Kind, ModalInput, ParentButton, QueueName, Request, TaskId};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    engine::hook::HookAddress,
    lifecycle::{Observation, Record},
    settings::UpstreamState,
};

/// Makes the bodies of submits.
#[derive(Debug, Clone)]
pub(crate) struct RequestMaker {
    /// The queue of the jobs.
    pub(crate) queue: QueueName,
    /// What the upstream gets as `state`.
    pub(crate) state: UpstreamState,
    /// The addresses of hooks, if hooks are on.
    pub(crate) hooks: Option<HookAddress>,
}

/// The button of a finished task that an action presses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Press {
    /// The upstream's handle of the finished task.
    pub(crate) task: TaskId,
    /// The upstream's name of the button.
    pub(crate) custom_id: String,
}

impl RequestMaker {
    /// The longest `state` that all upstreams take, in characters. Some refuse longer ones.
    const MAX_STATE: usize = 255;

    /// Makes the body that gives a waiting task its input.
    pub(crate) fn modal_body(task: &TaskId, input: &ModalInput) -> String {
        // Some relays (RixAPI) call the field `task_id`.
        let mut body = serde_json::json!({ "taskId": task, "task_id": task });
        if let Some(prompt) = &input.prompt {
            body["prompt"] = prompt.as_str().into();
        }
        if let Some(mask) = &input.mask_base64 {
            body["maskBase64"] = mask.as_str().into();
        }
        body.to_string()
    }

    /// Makes the body of a submit: the caller's, byte for byte, except for the necessary changes.
    pub(crate) fn body(&self, job: &JobId, record: &Record, request: &Request, press: Option<&Press>) -> String {
        let attempt = record.attempts + 1;
        let mut changes: Vec<(&str, Option<Value>)> = Vec::new();
        if let Some(Press { task, custom_id }) = press {
            changes.extend([("job", None), ("button", None)]);
            changes.push(("taskId", Some(task.as_str().into())));
            changes.push(("customId", Some(custom_id.as_str().into())));
        }
        match self.state {
            UpstreamState::Token => changes.push(("state", Some(self.token(job, record, attempt).into()))),
            UpstreamState::Forward => {
                if request.state().is_some_and(|state| state.chars().count() > Self::MAX_STATE) {
                    changes.push(("state", None));
                }
            }
        }
        if let Some(hooks) = self.hooks.as_ref().filter(|_| !record.has_own_hook) {
            changes.push(("notifyHook", Some(hooks.url(job, attempt, record.enqueued_ms).into())));
        }
        request.with(&changes)
    }

    /// The token of the last attempt.
    pub(crate) fn last_token(&self, job: &JobId, record: &Record) -> String {
        self.token(job, record, record.attempts)
    }

    /// What a poll of the job's task tells of the job, once it is known whose task was shown.
    pub(crate) fn recognise(&self, seen: Observation, job: &JobId, record: &Record, now_ms: u64) -> Observation {
        match seen {
            Observation::Stranger { state, seen, .. } if self.proves(&state, job, record) => *seen,
            seen if self.is_anothers(&seen, job, record) => Observation::Missing,
            seen => record.recognise(seen, now_ms),
        }
    }

    /// Whether `state` proves that a task is that of the job's last attempt.
    fn proves(&self, state: &str, job: &JobId, record: &Record) -> bool {
        self.state == UpstreamState::Token && state == self.last_token(job, record)
    }

    /// Whether an ended task bears the token of another job: then the upstream has used an id a second time, as some do
    /// when they have lost their memory.
    pub(crate) fn is_anothers(&self, seen: &Observation, job: &JobId, record: &Record) -> bool {
        #[derive(Deserialize)]
        struct Task {
            #[serde(default)]
            state: Option<String>,
        }
        let (Observation::Succeeded(report) | Observation::TaskFailed(report, _)) = seen else { return false };
        // A task that acts upon another may be shown with the other's state.
        let has_own_state = self.state == UpstreamState::Token && !matches!(record.kind, Kind::Action | Kind::Modal);
        let state = || serde_json::from_str::<Task>(report.raw.as_deref()?).ok()?.state;
        let (begins, ends) = (format!("mjq:{}:{job}:", self.queue), format!(":{:x}", record.enqueued_ms));
        let is_ours = |state: &str| state.starts_with(&begins) && state.ends_with(&ends);
        has_own_state && state().is_some_and(|state| state.starts_with("mjq:") && !is_ours(&state))
    }

    /// Whether a task that was seen bears another `state` than this request was sent with or, without a `state`, has
    /// another prompt.
    pub(crate) fn is_contradicted(&self, seen: &Observation, job: &JobId, record: &Record, request: &Request) -> bool {
        #[derive(Deserialize)]
        struct Shown {
            #[serde(default)]
            state: Value,
            #[serde(default)]
            prompt: Value,
        }
        let shown = || serde_json::from_str::<Shown>(seen.report()?.raw.as_deref()?).ok();
        let Some(Shown { state, prompt }) = shown() else { return false };
        let sent_state = match self.state {
            UpstreamState::Token => Some(self.last_token(job, record)),
            UpstreamState::Forward => request.state().filter(|state| state.chars().count() <= Self::MAX_STATE),
        };
        // Some upstreams show a `state` of digits as a number.
        let (state, prompt) = (in_text(state), in_text(prompt));
        let filled = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if let (Some(shown), Some(sent)) = (filled(state), filled(sent_state)) {
            return shown != sent;
        }
        let in_words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        match (filled(prompt).map(in_words), filled(request.text_field("prompt")).map(in_words)) {
            // Upstreams add parameters, or take some away.
            (Some(shown), Some(sent)) => !shown.contains(&sent) && !sent.contains(&shown),
            _ => false,
        }
    }

    /// The text that mjq puts into the upstream's `state` to find an attempt's task again. It differs from the tokens
    /// of a job with the same id in another queue, and of an earlier job with this id.
    fn token(&self, job: &JobId, record: &Record, attempt: u32) -> String {
        format!("mjq:{}:{job}:{attempt}:{:x}", self.queue, record.enqueued_ms)
    }
}

/// A string or a number as text.
fn in_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Finds a button by its label, its emoji, its custom id, or its usual name (`U1` to `U4`, `V1` to `V4`, `R`).
pub(crate) fn find_button(buttons: Option<&RawValue>, wanted: &ParentButton) -> Option<String> {
    let buttons = Button::read_all(buttons?);
    let buttons: Vec<&Button> = buttons.iter().filter(|button| !button.custom_id.is_empty()).collect();
    let wanted = Some(wanted.button.trim()).filter(|wanted| !wanted.is_empty())?;
    // Some write an emoji with a variation selector behind it, others without.
    let bare = |text: &str| text.trim().replace('\u{fe0f}', "");
    let is_named = |text: &str| bare(text).eq_ignore_ascii_case(&bare(wanted));
    let by_name = |button: &&&Button| is_named(&button.label) || is_named(&button.emoji) || button.custom_id == wanted;
    let usual = usual_part(wanted);
    let by_usual_part = |button: &&&Button| usual.as_ref().is_some_and(|part| button.custom_id.contains(part));
    let found = buttons.iter().find(by_name).or_else(|| buttons.iter().find(by_usual_part))?;
    Some(found.custom_id.clone())
}

/// The part of a custom id that is the same everywhere for a button of this name: `MJ::JOB::upsample::1::…` for `U1`.
fn usual_part(name: &str) -> Option<String> {
    let (letter, number) = name.split_at_checked(1)?;
    match (letter.to_ascii_uppercase().as_str(), number) {
        ("U", "1" | "2" | "3" | "4") => Some(format!("::upsample::{number}::")),
        ("V", "1" | "2" | "3" | "4") => Some(format!("::variation::{number}::")),
        ("R", "") => Some("::reroll::".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mjq_producer::contract::{Entry, Job};

    use super::*;
    use crate::lifecycle::{Policy, TaskReport};

    fn job(request: &str) -> Job {
        let json = format!(r#"{{"id":"a","kind":"imagine","request":{request}}}"#);
        match Entry::read(None, Some(json.as_bytes()), 1 << 20) {
            Ok(Entry::Job(job)) => *job,
            other => panic!("not a job: {other:?}"),
        }
    }

    fn body(maker: &RequestMaker, request: &str) -> String {
        let job = job(request);
        let record = Record::admit(&job, 1, &Policy::default());
        maker.body(&JobId::new("a").unwrap(), &record, &job.request, None)
    }

    #[test]
    fn the_callers_body_is_forwarded_byte_for_byte() {
        let maker = RequestMaker { queue: QueueName::default(), state: UpstreamState::Forward, hooks: None };
        let request = r#"{ "prompt":"cat", "x":1.50, "state":"s" }"#;

        assert_eq!(body(&maker, request), request);
    }

    #[test]
    fn a_state_that_some_upstreams_refuse_is_kept_from_them() {
        let maker = RequestMaker { queue: QueueName::default(), state: UpstreamState::Forward, hooks: None };
        let long = format!(r#"{{"prompt":"cat","state":"{}"}}"#, "é".repeat(256));

        assert_eq!(body(&maker, &long), r#"{"prompt":"cat"}"#);
    }

    #[test]
    fn the_token_names_the_queue_the_job_the_attempt_and_when_the_job_came() {
        let maker = RequestMaker { queue: QueueName::default(), state: UpstreamState::Token, hooks: None };

        assert_eq!(body(&maker, r#"{"prompt":"cat","state":"s"}"#), r#"{"prompt":"cat","state":"mjq:default:a:1:1"}"#);
    }

    #[test]
    fn an_end_with_another_jobs_token_is_not_this_jobs() {
        let ended = |state: &str| {
            let raw = Some(format!(r#"{{"id":"7","status":"SUCCESS","state":"{state}"}}"#).into());
            Observation::Succeeded(TaskReport { raw, ..TaskReport::default() })
        };
        let id = JobId::new("a").unwrap();
        let record = Record::admit(&job(r#"{"prompt":"cat"}"#), 1, &Policy::default());
        let action = Record { kind: Kind::Action, ..record.clone() };
        let [token, forward] = [UpstreamState::Token, UpstreamState::Forward].map(|state| RequestMaker {
            queue: QueueName::default(),
            state,
            hooks: None,
        });

        for (state, is_anothers) in [
            ("mjq:default:b:1:1", true),
            ("mjq:other:a:1:1", true),
            ("mjq:default:a:1:2", true),
            ("mjq:default:a:1:1", false),
            ("mjq:default:a:2:1", false),
            ("", false),
            ("customer 7", false),
        ] {
            assert_eq!(token.is_anothers(&ended(state), &id, &record), is_anothers, "{state}");
            let recognised = token.recognise(ended(state), &id, &record, 1);
            assert_eq!(matches!(recognised, Observation::Missing), is_anothers, "{state}");
            assert!(
                !token.is_anothers(&ended(state), &id, &action) && !forward.is_anothers(&ended(state), &id, &record)
            );
        }
    }

    #[test]
    fn a_task_with_another_state_or_for_another_prompt_was_not_made_for_this_job() {
        let id = JobId::new("a").unwrap();
        let maker = RequestMaker { queue: QueueName::default(), state: UpstreamState::Forward, hooks: None };
        for (request, task, is_contradicted) in [
            (r#"{"prompt":"cat","state":"7"}"#, r#"{"state":"8","prompt":"cat"}"#, true),
            (r#"{"prompt":"cat","state":"7"}"#, r#"{"state":"7","prompt":"dog"}"#, false),
            (r#"{"prompt":"cat","state":"7"}"#, r#"{"state":7,"prompt":"dog"}"#, false),
            (r#"{"prompt":"cat","state":"7"}"#, r#"{"state":null,"prompt":"dog"}"#, true),
            (r#"{"prompt":"a  cat "}"#, r#"{"state":"","prompt":"a cat --v 6.1"}"#, false),
            (r#"{"prompt":"a cat --fast"}"#, r#"{"prompt":"a cat"}"#, false),
            (r#"{"prompt":"cat"}"#, r#"{"state":"8"}"#, false),
        ] {
            let job = job(request);
            let record = Record::admit(&job, 1, &Policy::default());
            let seen = Observation::Running(TaskReport { raw: Some(task.into()), ..TaskReport::default() });

            let is_so = maker.is_contradicted(&seen, &id, &record, &job.request);

            assert_eq!(is_so, is_contradicted, "{request} {task}");
        }
    }

    #[test]
    fn an_odd_button_hides_no_other() {
        let wanted = ParentButton { job: JobId::new("a").unwrap(), button: "U1".to_owned() };
        let odd = [
            r#"{"customId":null,"label":"Web","style":5}"#,
            "null",
            "7",
            r#"{"customId":"x","label":1}"#,
            r#"{"customId":9,"label":"U2"}"#,
            r#"{"customId":"y","emoji":{"name":"x"}}"#,
        ];
        for odd in odd {
            let buttons = format!(r#"[{odd},{{"customId":"MJ::JOB::upsample::1::h","label":"U1"}}]"#);
            let buttons = RawValue::from_string(buttons).unwrap();

            let found = find_button(Some(&buttons), &wanted);

            assert_eq!(found.as_deref(), Some("MJ::JOB::upsample::1::h"), "{odd}");
        }
    }

    #[test]
    fn buttons_may_stand_in_rows() {
        let wanted = ParentButton { job: JobId::new("a").unwrap(), button: "V1".to_owned() };
        let rows = [r#"[{"customId":"u","label":"U1"}]"#, r#"[{"customId":"v","label":"V1"}]"#];
        for rows in [rows.join(","), rows.map(|row| format!(r#"{{"type":1,"components":{row}}}"#)).join(",")] {
            let buttons = RawValue::from_string(format!("[{rows}]")).unwrap();

            assert_eq!(find_button(Some(&buttons), &wanted).as_deref(), Some("v"), "{buttons}");
        }
    }

    #[test]
    fn a_button_has_a_label_an_emoji_a_custom_id_or_a_usual_name() {
        let buttons = RawValue::from_string(
            r#"[{"customId":"MJ::JOB::upsample::1::h","label":"U1","emoji":""},
                {"customId":"MJ::JOB::variation::2::h","label":"","emoji":"x"},
                {"customId":"MJ::JOB::reroll::0::h::SOLO","label":"","emoji":"🔄"}]"#
                .into(),
        )
        .unwrap();
        for (name, found) in [
            ("u1", Some("MJ::JOB::upsample::1::h")),
            ("V2", Some("MJ::JOB::variation::2::h")),
            ("🔄", Some("MJ::JOB::reroll::0::h::SOLO")),
            ("🔄\u{fe0f}", Some("MJ::JOB::reroll::0::h::SOLO")),
            ("R", Some("MJ::JOB::reroll::0::h::SOLO")),
            ("MJ::JOB::upsample::1::h", Some("MJ::JOB::upsample::1::h")),
            ("U4", None),
            ("", None),
        ] {
            let wanted = ParentButton { job: JobId::new("a").unwrap(), button: name.to_owned() };

            assert_eq!(find_button(Some(&buttons), &wanted).as_deref(), found, "{name}");
        }
        assert_eq!(find_button(None, &ParentButton { job: JobId::new("a").unwrap(), button: "U1".into() }), None);
    }
}
