//! One event, for people or for machines.

use std::time::Duration;

use mjq_producer::{
    Delivery,
    contract::{Button, Event, EventType},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Failure, output, words::plain};

/// The format of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventView {
    /// One line for people.
    Line,
    /// Several lines for people, with everything that matters about one job.
    Report,
    /// One line of JSON.
    Json,
}

impl EventView {
    pub(super) fn print(self, delivery: &Delivery) -> Result<(), Failure> {
        let text = match self {
            Self::Line => line(&delivery.event),
            Self::Report => report(&delivery.event),
            Self::Json => json(delivery),
        };
        output::line(&text)
    }
}

fn line(event: &Event) -> String {
    let how = match event.event_type {
        EventType::Completed => event.image_url.clone(),
        _ if event.data.reason.is_empty() => event.code.to_string(),
        _ => format!("{}: {}", event.code, event.data.reason),
    };
    let state = if event.state.is_empty() { String::new() } else { format!("  state {:?}", event.state) };
    plain(&format!("{} {how}{state}", headline(event)))
}

fn report(event: &Event) -> String {
    let ids = |ids: &[mjq_producer::contract::JobId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let state = if event.state.is_empty() { String::new() } else { format!("{:?}", event.state) };
    let doubt =
        if event.data.possible_duplicate { "the upstream may have made (and billed) more than one" } else { "" };
    let code = if event.event_type == EventType::Completed { "" } else { event.code.as_str() };
    let rows = [
        ("code", code.to_owned()),
        ("reason", event.data.reason.clone()),
        ("picture", event.image_url.clone()),
        ("buttons", buttons(event)),
        ("task", event.task.clone()),
        ("state", state),
        ("then", ids(&event.data.then)),
        ("note", doubt.to_owned()),
    ];
    let rows =
        rows.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("  {name:8} {}", plain(value)));
    std::iter::once(headline(event)).chain(rows).collect::<Vec<_>>().join("\n")
}

fn headline(event: &Event) -> String {
    let mark = if event.event_type == EventType::Completed { '✓' } else { '✗' };
    let job = if event.job.is_empty() { "(without an id)" } else { &event.job };
    let timings = event.data.timings;
    let took = Duration::from_millis(timings.finished_ms.saturating_sub(timings.enqueued_ms));
    let took = match event.event_type {
        // A rejected entry never began.
        EventType::Rejected => String::new(),
        _ => format!(" in {:.1} s", took.as_secs_f64()),
    };
    plain(&format!("{mark} {job} {}{took}", event.event_type))
}

/// The names of the buttons below the result, as a follow-up uses them.
fn buttons(event: &Event) -> String {
    let buttons = event.data.buttons.as_deref().map(Button::read_all).unwrap_or_default();
    buttons.iter().map(Button::name).collect::<Vec<_>>().join(" ")
}

fn json(delivery: &Delivery) -> String {
    #[derive(Serialize)]
    struct Fields<'a> {
        entry: &'a str,
        #[serde(rename = "type")]
        event_type: &'a str,
        job: &'a str,
        kind: &'a str,
        state: &'a str,
        task: &'a str,
        status: &'a str,
        code: &'a str,
        image_url: &'a str,
        data: Option<Box<RawValue>>,
    }
    let Delivery { entry, event } = delivery;
    let fields = Fields {
        entry,
        event_type: event.event_type.as_str(),
        job: &event.job,
        kind: &event.kind,
        state: &event.state,
        task: &event.task,
        status: &event.status,
        code: event.code.as_str(),
        image_url: &event.image_url,
        data: RawValue::from_string(event.data.to_json()).ok(),
    };
    // The fields are strings and JSON that was read before, and serde_json refuses none of these.
    serde_json::to_string(&fields).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use mjq_producer::contract::{Code, EventData, Timings};

    use super::*;

    fn delivery() -> Delivery {
        let buttons = r#"[{"label":"U1","emoji":""},{"label":"","emoji":"🔄"},{"customId":"x"}]"#;
        let event = Event {
            event_type: EventType::Completed,
            job: "order-1842".into(),
            kind: "imagine".into(),
            state: "a\u{1b}[2J\"b".into(),
            task: "17".into(),
            status: "SUCCESS".into(),
            code: Code::Ok,
            image_url: "https://example.org/a.png".into(),
            data: EventData {
                buttons: RawValue::from_string(buttons.into()).ok(),
                timings: Timings { enqueued_ms: 1000, finished_ms: 3500, ..Timings::default() },
                ..EventData::default()
            },
        };
        Delivery { entry: "1-0".into(), event }
    }

    #[test]
    fn people_see_what_matters_and_no_control_characters() {
        let report = report(&delivery().event);
        let line = line(&delivery().event);

        assert!(report.starts_with("✓ order-1842 completed in 2.5 s\n"), "{report}");
        assert!(report.contains("buttons  U1 🔄 x\n"), "{report}");
        assert!(line.starts_with("✓ order-1842 completed in 2.5 s https://example.org/a.png"), "{line}");
        assert!(!report.contains('\u{1b}') && !line.contains('\u{1b}'), "{report}\n{line}");
    }

    #[test]
    fn people_see_why_a_job_failed() {
        let mut event = delivery().event;
        event.event_type = EventType::Failed;
        event.code = Code::BannedPrompt;
        event.data.reason = "no such word".into();

        assert!(report(&event).contains("  code     banned_prompt\n  reason   no such word"), "{}", report(&event));
        assert!(line(&event).contains("failed in 2.5 s banned_prompt: no such word"), "{}", line(&event));
    }

    #[test]
    fn machines_see_every_field_and_data_as_an_object() {
        let json: serde_json::Value = serde_json::from_str(&json(&delivery())).unwrap();

        assert_eq!(json["state"], "a\u{1b}[2J\"b");
        assert_eq!(json["type"], "completed");
        assert_eq!(json["data"]["timings"]["finished_ms"], 3500);
        assert_eq!(json["data"]["buttons"][1]["emoji"], "🔄");
    }
}
