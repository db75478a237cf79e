//! A job's page: everything known about the job, and its next step.

use maud::{Markup, html};
use mjq_producer::contract::{Button, Code, Event, Priority};
use serde::Deserialize;

use super::{
    button,
    parts::{ago, badge, job_link, next_step, progress, reason, safe_url},
    pretty_json::pretty,
};
use crate::{
    ledger::{JobView, hide_images},
    lifecycle::{HistoryLine, Mode, Phase},
    shown::{bytes, escape_bidi, instant, span},
};

/// The longest `state` that the page shows in full, in characters.
const MAX_STATE: usize = 2000;

pub(super) fn show(view: &JobView) -> Markup {
    html! {
        div .title {
            h1 { (view.id) }
            (badge(view.phase))
            @if view.phase == Phase::Polling { (progress(&view.record)) }
            @if view.is_cancel_requested && !view.phase.is_terminal() { span .badge.b-held { "to be cancelled" } }
            @if view.record.possible_duplicate { span .badge.b-held { "possibly made twice" } }
        }
        div .job {
            div {
                (next(view))
                (timeline(view))
            }
            // Beside the other sections on a wide screen, and above the request on a narrow one.
            div .side {
                (picture(view))
                (facts(view))
            }
            div {
                (request(view))
                (state(view))
                (event(view))
            }
        }
    }
}

fn next(view: &JobView) -> Markup {
    let ending = view.event.as_ref();
    html! {
        section #next .card {
            @if view.phase.is_terminal() {
                h2 { "Outcome" }
                div .next {
                    @match ending {
                        Some(event) => { b { (event.code.as_str()) } " · " }
                        None => {}
                    }
                    (next_step(view.phase, view.place, view.now_ms, view.paused))
                    @if !view.record.reason.is_empty() && view.phase != Phase::Completed {
                        div .soft { (reason(&view.record.reason)) }
                    }
                    @if let Some(advice) = ending.and_then(|event| advice(event.code)) { div { (advice) } }
                    @if let Some(late) = &view.record.late {
                        div {
                            b { "late success" } " of its task, seen "
                            (span(late.at_ms.saturating_sub(view.record.entered_ms()))) " after the job had ended"
                            @if let Some(url) = safe_url(&late.image_url) {
                                ": " a href=(url) rel="noreferrer noopener" target="_blank" { "the picture" }
                            }
                        }
                    }
                }
            } @else {
                h2 { "Next" }
                div .next {
                    (next_step(view.phase, view.place, view.now_ms, view.paused))
                    @if !view.record.reason.is_empty() { div .soft { "last: " (reason(&view.record.reason)) } }
                }
            }
        }
    }
}

/// Advice for ends after which a look upstream or a command can help.
fn advice(code: Code) -> Option<&'static str> {
    match code {
        Code::SubmitUnknown => {
            Some("Nobody can know whether the upstream took the job: look there before paying again.")
        }
        Code::UpstreamLost => Some("Ask the upstream; a new job is a new charge."),
        Code::NeedsInput => Some("Send a modal command (mjq modal) before the deadline."),
        _ => None,
    }
}

fn timeline(view: &JobView) -> Markup {
    let history = view.record.history();
    let before = history.iter().map(|line| Some(line.at_ms));
    let before = std::iter::once(None).chain(before);
    html! {
        section #timeline .card {
            h2 { "Timeline" }
            ol .line {
                @for (HistoryLine { at_ms, fence, phase, note }, before) in history.iter().zip(before) {
                    li class=(format!("b-{phase}")) {
                        @if note.is_empty() { b { (phase) } } @else { span dir="auto" { (escape_bidi(note)) " " } }
                        span .soft {
                            @if let Some(before) = before { "after " (span(at_ms.saturating_sub(before))) }
                            @if *fence > 0 && note.is_empty() { " · claim " (fence) }
                        }
                        span .at { (instant(*at_ms)) }
                    }
                }
            }
        }
    }
}

fn request(view: &JobView) -> Markup {
    html! {
        section #request .card {
            h2 { "Request" small { (bytes(view.job_bytes)) } }
            @match &view.job {
                Some(job) => { pre { (pretty(job.request.as_json())) } }
                None => { div .none { "It is too large to be shown." } }
            }
            @if let Some(job) = &view.job && !job.then.is_empty() {
                dl { dt { "then" } dd { @for (place, step) in job.then.iter().enumerate() {
                    div { span .chip { (step.button) } " as " (job_link(&view.id.follow_up(place))) }
                } } }
            }
        }
    }
}

fn state(view: &JobView) -> Markup {
    let state = view.state.as_deref().unwrap_or_default();
    let shown: String = state.chars().take(MAX_STATE).collect();
    html! {
        @if !state.is_empty() {
            section #state .card {
                h2 { "State" small { "the caller's, " (bytes(view.state_bytes)) } }
                pre dir="auto" { (escape_bidi(&shown)) @if (shown.len() as u64) < view.state_bytes { " …" } }
            }
        }
    }
}

fn event(view: &JobView) -> Markup {
    html! {
        @match (&view.event, &view.event_entry) {
            (Some(event), entry) => section #event .card {
                h2 { "Event" small { (entry.as_deref().unwrap_or_default()) } }
                (event_fields(view, event))
            },
            (None, Some(entry)) => section #event .card {
                h2 { "Event" small { (entry) } }
                div .none { "The event stream no longer has it." }
            },
            (None, None) => {}
        }
    }
}

fn event_fields(view: &JobView, event: &Event) -> Markup {
    let data = &event.data;
    let published_ms = data.timings.published_ms;
    html! {
        dl {
            dt { "type" } dd { (event.event_type.as_str()) }
            dt { "code" } dd { (event.code.as_str()) }
            @if !event.status.is_empty() { dt { "status" } dd { (event.status) } }
            @if published_ms > 0 { dt { "published" } dd { (ago(published_ms, view.now_ms)) } }
            @if !data.reason.is_empty() { dt { "reason" } dd { (reason(&data.reason)) } }
            @if !data.then.is_empty() {
                dt { "follow-ups" } dd { @for id in &data.then { div { (job_link(id)) } } }
            }
        }
        @if let Some(task) = &data.task {
            details { summary { "The upstream's task object" } pre { (pretty(&hide_images(task.get()))) } }
        }
    }
}

fn picture(view: &JobView) -> Markup {
    let Some(event) = &view.event else { return html! {} };
    let url = preview(event);
    let buttons = event.data.buttons.as_deref().map(Button::read_all).unwrap_or_default();
    html! {
        @if let Some(url) = &url {
            section #result .card {
                h2 { @if event.image_url.is_empty() { "Last preview" } @else { "Result" } }
                a .picture href=(url) rel="noreferrer noopener" target="_blank" {
                    img src=(url) alt="The picture that the upstream made" referrerpolicy="no-referrer";
                    span .missing { "The picture is not there (any longer)." }
                }
                @if !buttons.is_empty() {
                    div .buttons { @for button in &buttons { (button::chip(button)) } }
                }
            }
        }
    }
}

/// The result's picture, else the last picture that the upstream showed of the task.
fn preview(event: &Event) -> Option<String> {
    #[derive(Deserialize)]
    struct Task {
        #[serde(rename = "imageUrl")]
        image_url: Option<String>,
    }
    let of_task = || serde_json::from_str::<Task>(event.data.task.as_ref()?.get()).ok()?.image_url;
    let url = if event.image_url.is_empty() { of_task()? } else { event.image_url.clone() };
    safe_url(&url).map(str::to_owned)
}

fn facts(view: &JobView) -> Markup {
    let (record, now_ms) = (&view.record, view.now_ms);
    html! {
        section #facts .card {
            h2 { "Facts" }
            dl {
                dt { "kind" } dd {
                    (record.kind.as_str())
                    @if record.mode == Mode::Relax { " · relaxed" }
                    @match record.priority {
                        Priority::High => " · high priority",
                        Priority::Low => " · low priority",
                        Priority::Normal => "",
                    }
                }
                @if let Some(parent) = &record.follows { dt { "follows" } dd { (job_link(parent)) } }
                @if let Some(task) = &record.task { dt { "task" } dd { code { (task) } } }
                @if !view.record.earlier_tasks.is_empty() {
                    dt { "earlier tasks" } dd { @for task in &view.record.earlier_tasks { div { code { (task) } } } }
                }
                @if let Some(task) = &view.hinted_task { dt { "hinted task" } dd { code { (task) } } }
                @if !record.status.is_empty() { dt { "status" } dd { (record.status) } }
                @if record.queue_position > 0 { dt { "queued behind" } dd {
                    (record.queue_position) @if record.queue_position == 1 { " task" } @else { " tasks" }
                } }
                dt { "enqueued" } dd { (ago(record.enqueued_ms, now_ms)) }
                @if record.accepted_ms > 0 { dt { "accepted" } dd { (ago(record.accepted_ms, now_ms)) } }
                @if !view.phase.is_terminal() { dt { "deadline" } dd {
                    @if record.deadline_ms > now_ms { "in " (span(record.deadline_ms - now_ms)) } @else { "passed" }
                } }
                dt { "attempts" } dd { (record.attempts) " of " (record.max_attempts) }
                @if record.refusals > 0 { dt { "refusals" } dd { (record.refusals) " since then" } }
                dt { "polls" } dd { (record.polls) }
                @if view.reclaims > 0 { dt { "takeovers" } dd { (view.reclaims) } }
                dt { "claims" } dd { (view.fence) }
                @if record.adopted { dt { "adopted" } dd { "yes: its submit's answer was lost, its task was found" } }
            }
        }
    }
}
