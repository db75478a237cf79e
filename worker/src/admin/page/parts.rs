//! Small pieces that several pages show.

use maud::{Markup, html};
use mjq_producer::contract::JobId;

use crate::{
    ledger::{JobLine, Paused, Place},
    lifecycle::{Phase, Record},
    shown::{self, escape_bidi, instant, span},
};

/// The address of a job's page.
pub(super) fn job_href(id: &JobId) -> String {
    match id.as_str() {
        // A browser takes these ids for parts of the path, even when they are encoded.
        dots @ ("." | "..") => format!("/jobs?id={dots}"),
        // No other character that ids may have today is special in a path. Encoding is a safeguard in case more are
        // allowed.
        id => format!("/jobs/{}", url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>()),
    }
}

/// A link to a job's page.
pub(super) fn job_link(id: &JobId) -> Markup {
    html! { a href=(job_href(id)) title=(id) { (id) } }
}

/// A job's phase, in its colour.
pub(super) fn badge(phase: Phase) -> Markup {
    let class = format!("badge b-{phase}");
    html! { span class=(class) { (phase) } }
}

/// How long ago a moment was.
pub(super) fn ago(ms: u64, now_ms: u64) -> Markup {
    let exact = instant(ms);
    html! { time .nowrap datetime=(exact) title=(exact) { (span(now_ms.saturating_sub(ms))) " ago" } }
}

/// Progress in percent, for a job that has a task.
pub(super) fn progress(record: &Record) -> Markup {
    html! {
        @if record.task.is_some() {
            span .nowrap { progress max="100" value=(record.progress) {} (record.progress) " %" }
        }
    }
}

/// What happens next with a job, or when it ended.
pub(super) fn next_step(phase: Phase, place: Place, now_ms: u64, paused: Option<Paused>) -> Markup {
    html! {
        @match place {
            Place::Ended { at_ms } => { "ended " (ago(at_ms, now_ms)) }
            place => { (shown::next_step(phase, place, now_ms, paused)) }
        }
    }
}

/// A reason, in the upstream's words or mjq's.
pub(super) fn reason(words: &str) -> Markup {
    html! { span dir="auto" { (escape_bidi(words)) } }
}

/// When a job ended; 0 when it has not.
pub(super) fn ended_ms(line: &JobLine) -> u64 {
    match line.place {
        Place::Ended { at_ms } => at_ms,
        _ => 0,
    }
}

/// A URL from which a page may load a picture, or to which it may link.
pub(super) fn safe_url(url: &str) -> Option<&str> {
    let parsed = url::Url::parse(url).ok()?;
    (matches!(parsed.scheme(), "http" | "https") && parsed.host().is_some()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_become_pictures() {
        assert!(safe_url("https://cdn.example.org/a.png?ex=1&is=2").is_some());
        assert!(safe_url("http://localhost:3001/mj/image/1").is_some());
        for url in ["", "javascript:alert(1)", "data:image/svg+xml,<svg/>", "//x/y", "/relative", "file:///etc/passwd"]
        {
            assert_eq!(safe_url(url), None, "{url}");
        }
    }

    #[test]
    fn each_id_has_an_address_that_leads_to_it() {
        let href = |id: &str| job_href(&JobId::new(id).unwrap());

        assert_eq!(href("order-1842"), "/jobs/order-1842");
        assert_eq!(href("a:b"), "/jobs/a%3Ab");
        assert_eq!(href(".."), "/jobs?id=..");
    }
}
