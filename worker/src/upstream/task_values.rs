//! Reads the fields of a task: percentages, times, buttons.

use serde_json::value::RawValue;

use super::json::Json;

/// Reads `"93%"`, `"93"` or 93; `None` for words such as Discord's "Waiting to start".
pub(super) fn percent(progress: Json<'_>) -> Option<u8> {
    let text = progress.text()?;
    let number: f64 = text.trim().trim_end_matches('%').trim_end().parse().ok()?;
    // NaN is in no range.
    (number >= 0.0).then(|| number.min(100.0) as u8)
}

/// A time as Unix milliseconds; negative times are 0.
pub(super) fn millis(time: Json<'_>) -> Option<u64> {
    /// Times before this many milliseconds (March 1973) are seconds.
    const SECONDS_BELOW: f64 = 1e11;
    let time = time.float()?;
    Some(if time < SECONDS_BELOW { time * 1000.0 } else { time } as u64)
}

/// Whether the value is a time, as a number or written out, and not a placeholder for no time.
pub(super) fn is_time(time: Json<'_>) -> bool {
    let text = time.text().unwrap_or_default();
    // The zero times of Go and Unix.
    let is_none = ["0001-01-01", "1970-01-01"].iter().any(|none| text.starts_with(none));
    !is_none && text.starts_with(|c: char| c.is_ascii_digit()) && text.contains(|c: char| ('1'..='9').contains(&c))
}

/// The array of buttons, also if a relay passes it on as a string; `None` when it is empty.
pub(super) fn buttons(buttons: Json<'_>) -> Option<Box<RawValue>> {
    if let Some(text) = buttons.string() {
        let array = Json::read(text.trim())?;
        return array.to_raw().filter(|_| array.is_filled_array());
    }
    buttons.is_filled_array().then(|| buttons.to_raw())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_percentage_or_nothing() {
        for (progress, wanted) in [
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
            assert_eq!(percent(Json::read(progress).unwrap()), wanted, "{progress}");
        }
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
            assert_eq!(millis(Json::read(time).unwrap()).unwrap_or_default(), ms, "{time}");
        }
    }

    #[test]
    fn a_time_is_told_from_none_at_all() {
        for (time, is_one) in [
            ("1748339072775", true),
            (r#""1748339072775""#, true),
            (r#""2024-03-20T10:30:00Z""#, true),
            ("0", false),
            (r#""""#, false),
            ("-1", false),
            (r#""0001-01-01T00:00:00Z""#, false),
            (r#""1970-01-01 00:00:00""#, false),
            (r#""soon""#, false),
        ] {
            assert_eq!(is_time(Json::read(time).unwrap()), is_one, "{time}");
        }
    }
}
