//! Times and texts as people read them on a terminal.

use std::time::{Duration, UNIX_EPOCH};

use crate::unturned::unturned;

/// Text from outside must not steer the terminal, or turn the direction of what stands beside it.
pub(super) fn plain(text: &str) -> String {
    unturned(&text.replace(char::is_control, " "))
}

/// What Redis said of the first of several commands that failed: of the others it says the same, at length.
pub(super) fn first_failure(text: &str) -> String {
    let pipeline = text.split_once("Pipeline failure");
    let Some((before, first)) = pipeline.and_then(|(before, list)| Some((before, list.split_once(", error: ")?.1)))
    else {
        return text.to_owned();
    };
    let first = first.split("), (Index ").next().unwrap_or(first);
    let first = first.strip_suffix(")]").unwrap_or(first);
    // Where its code stands before it, once is enough.
    let first = if before.is_empty() { first } else { first.split_once(": ").map_or(first, |(_, detail)| detail) };
    format!("{before}{first}")
}

/// The beginning of a text, of at most `max` characters.
pub(super) fn clipped(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{} …", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

/// A span of time, without figures that do not count: `850 ms`, `3.2 s`, `4m 12s`, `3h 5m`, `2 days 4h`.
pub(super) fn span(ms: u64) -> String {
    let rounded = match ms {
        0..1_000 => return format!("{ms} ms"),
        1_000..10_000 => return format!("{:.1} s", ms as f64 / 1000.0),
        10_000..3_600_000 => ms / 1_000,
        3_600_000..86_400_000 => ms / 60_000 * 60,
        _ => {
            let (days, hours) = (ms / 86_400_000, ms % 86_400_000 / 3_600_000);
            let hours = if hours == 0 { String::new() } else { format!(" {hours}h") };
            return counted(days, "day") + &hours;
        }
    };
    humantime::format_duration(Duration::from_secs(rounded)).to_string()
}

/// When it is, seen from `now_ms`: `in 3.2 s`, or `now` when that has passed.
pub(super) fn due(at_ms: u64, now_ms: u64) -> String {
    match at_ms.saturating_sub(now_ms) {
        0 => "now".to_owned(),
        left => format!("in {}", span(left)),
    }
}

/// A point in time, such as `2026-11-22T16:53:00.123Z`.
pub(super) fn instant(ms: u64) -> String {
    // Beyond the year 9999 there is no such text; the number then has to do.
    match UNIX_EPOCH.checked_add(Duration::from_millis(ms)) {
        Some(time) if ms < 253_402_300_800_000 => humantime::format_rfc3339_millis(time).to_string(),
        _ => ms.to_string(),
    }
}

/// A number and its noun: `1 task`, `2 tasks`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_no_figures_that_do_not_count() {
        for (ms, text) in [
            (0, "0 ms"),
            (850, "850 ms"),
            (3_240, "3.2 s"),
            (42_900, "42s"),
            (252_000, "4m 12s"),
            (11_130_000, "3h 5m"),
            (86_400_000, "1 day"),
            (187_300_000, "2 days 4h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn what_is_due_is_said_from_now_on() {
        assert_eq!(due(5_000, 2_000), "in 3.0 s");
        assert_eq!(due(2_000, 5_000), "now");
        assert_eq!(instant(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(instant(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn texts_are_clipped_between_characters() {
        assert_eq!(clipped("éé éé", 3), "éé …");
        assert_eq!(clipped("éé", 2), "éé");
        assert_eq!(plain("a\u{1b}[2J"), "a [2J");
        assert_eq!(plain("a \u{202e}gnp.exe"), r"a \u{202e}gnp.exe");
    }

    #[test]
    fn of_several_failures_the_first_is_told() {
        let two = "Pipeline failures: [(Index 0, error: NoPerm: no 'zrange'), (Index 1, error: NoPerm: no 'get')]";

        assert_eq!(first_failure(two), "NoPerm: no 'zrange'");
        assert_eq!(first_failure(&format!("NOPERM: {two}")), "NOPERM: no 'zrange'");
        assert_eq!(first_failure("Pipeline failure: [(Index 0, error: \"OOM\": no (room))]"), "\"OOM\": no (room)");
        assert_eq!(first_failure("timed out"), "timed out");
    }
}
