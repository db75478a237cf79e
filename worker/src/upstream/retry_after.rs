//! The header `Retry-After`: seconds or a date.

use std::time::{Duration, SystemTime};

/// The longest wait that is believed. A longer one is a mistake (milliseconds, a time since 1970) or a prank, and no
/// reason to stop for long.
const LONGEST: Duration = Duration::from_secs(3600);

/// Reads a `Retry-After`: seconds, or an HTTP date that is compared with `now`.
///
/// Zero for a date that has passed; `None` for more than an hour, and for anything else.
#[must_use]
pub fn read_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        // Some gateways send fractions of a second, against the standard.
        Duration::try_from_secs_f64(value.parse::<f64>().ok()?).ok()?
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(wait).filter(|wait| *wait <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_garbage_is_not() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (value, wait) in [
            ("0", seconds(0)),
            (" 7 ", seconds(7)),
            ("1.5", Some(Duration::from_millis(1500))),
            ("3600", seconds(3600)),
            ("3601", None),
            ("30000", None),
            ("784111779", None),
            ("99999999999999999999999999999999999", None),
            ("Sun, 06 Nov 1994 08:49:47 GMT", seconds(10)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", seconds(10)),
            ("Sun Nov  6 08:49:47 1994", seconds(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", seconds(0)),
            ("Sun, 06 Nov 2033 08:49:37 GMT", None),
            ("", None),
            (".", None),
            ("1.2.3", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
            ("10s", None),
        ] {
            assert_eq!(read_retry_after(value, now), wait, "{value:?}");
        }
    }
}
