//! Numbers and times for people.

use std::time::{Duration, UNIX_EPOCH};

/// A span of time, in its largest unit or two: `850 ms`, `3.2 s`, `4 min 12 s`, `3 h 05 min`.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..10 => format!("{:.1} s", ms as f64 / 1000.0),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// The time from `now_ms` until `at_ms`: `in 3.2 s`, or `now` when it has passed.
pub(crate) fn due(at_ms: u64, now_ms: u64) -> String {
    match at_ms.saturating_sub(now_ms) {
        0 => "now".to_owned(),
        left => format!("in {}", span(left)),
    }
}

/// A point in time, as `2026-11-22T16:53:00.123Z`.
pub(crate) fn instant(ms: u64) -> String {
    // After the year 9999, a date has no such text, so the number of milliseconds is shown.
    match UNIX_EPOCH.checked_add(Duration::from_millis(ms)) {
        Some(time) if ms < 253_402_300_800_000 => humantime::format_rfc3339_millis(time).to_string(),
        _ => ms.to_string(),
    }
}

/// A number with its thousands separated: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and its noun: `1 task`, `2 tasks`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number))
}

/// A size, as `17.3 KB`.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} KB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_figures_that_count() {
        for (ms, text) in [
            (0, "0 ms"),
            (850, "850 ms"),
            (3_240, "3.2 s"),
            (42_900, "42 s"),
            (252_000, "4 min 12 s"),
            (11_100_000, "3 h 05 min"),
            (187_200_000, "2 d 4 h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn what_is_due_is_said_from_now_on() {
        assert_eq!(due(5_000, 2_000), "in 3.0 s");
        assert_eq!(due(2_000, 5_000), "now");
    }

    #[test]
    fn thousands_are_apart_and_times_are_utc() {
        assert_eq!(count(7), "7");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!((counted(1, "task"), counted(1_000, "task")), ("1 task".to_owned(), "1,000 tasks".to_owned()));
        assert_eq!(bytes(17_345), "17.3 KB");
        assert_eq!(instant(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(instant(u64::MAX), u64::MAX.to_string());
    }
}
