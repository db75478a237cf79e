//! Reads the text of one setting, or says what was expected.

use std::{fmt::Display, net::SocketAddr, ops::RangeInclusive, str::FromStr, time::Duration};

use mjq_producer::{
    RedisLink, closed_set,
    contract::{NotInSet, QueueName},
};
use secrecy::SecretString;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};
use url::Url;

closed_set! {
    /// The `state` that the upstream sees.
    pub enum UpstreamState {
        /// The caller's `state`, unless it is too long for upstreams.
        Forward = "forward",
        /// A token of mjq's own, by which mjq can find a lost task.
        Token = "token",
    }
}

closed_set! {
    /// The format of log lines.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// For machines: one JSON object per line.
        Json = "json",
    }
}

/// The value, or a description of the expected text.
pub(super) type Read<T> = Result<T, String>;

/// One day: the longest duration of a setting in milliseconds.
const DAY_MS: u64 = 24 * 3600 * 1000;

pub(super) fn redis_url(text: &str) -> Read<SecretString> {
    let expected = |error: mjq_producer::LinkError| error.to_string().replacen("expected ", "", 1);
    RedisLink::open(text).map(|_| SecretString::from(text)).map_err(expected)
}

pub(super) fn queue(text: &str) -> Read<QueueName> {
    QueueName::new(text).map_err(|_| "1 to 64 of the characters A-Z a-z 0-9 . _ -".to_owned())
}

pub(super) fn url(text: &str) -> Read<Url> {
    let expected = "an http:// or https:// URL without user, query and fragment";
    let url = Url::parse(text).map_err(|_| expected.to_owned())?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let is_base = url.query().is_none() && url.fragment().is_none() && url.has_host();
    if matches!(url.scheme(), "http" | "https") && is_plain && is_base { Ok(url) } else { Err(expected.to_owned()) }
}

/// Reads an empty text as `None`.
pub(super) fn optional<T>(read: impl Fn(&str) -> Read<T>) -> impl Fn(&str) -> Read<Option<T>> {
    move |text| match text {
        "" => Ok(None),
        text => read(text).map(Some).map_err(|expected| format!("{expected}, or nothing")),
    }
}

/// Reads a path that contains `placeholder`.
pub(super) fn path(placeholder: &'static str) -> impl Fn(&str) -> Read<String> {
    move |text| {
        let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        match placeholder {
            _ if is_path && text.contains(placeholder) => Ok(text.to_owned()),
            "" => Err("a path that starts with /".to_owned()),
            _ => Err(format!("a path that starts with / and has {placeholder} in it")),
        }
    }
}

pub(super) fn whole<T: FromStr + PartialOrd + Display>(range: RangeInclusive<T>) -> impl Fn(&str) -> Read<T> {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("a whole number from {} to {}", range.start(), range.end()))
    }
}

pub(super) fn rate(text: &str) -> Read<f64> {
    /// From one per day to more than any upstream answers.
    const SENSIBLE: std::ops::RangeInclusive<f64> = 1.0 / 86_400.0..=1e6;
    let rate = text.parse().ok().filter(|rate: &f64| *rate == 0.0 || SENSIBLE.contains(rate));
    rate.ok_or_else(|| "a number per second: 0 (no limit), or from 0.000012 to 1000000".to_owned())
}

pub(super) fn millis(min: u64) -> impl Fn(&str) -> Read<Duration> {
    move |text| {
        let millis = text.parse().ok().filter(|millis| (min..=DAY_MS).contains(millis));
        let expected = || format!("a whole number of milliseconds from {min} to {DAY_MS}");
        millis.map(Duration::from_millis).ok_or_else(expected)
    }
}

/// Reads a duration with its unit, between two numbers of seconds.
pub(super) fn duration(min_s: u64, max_s: u64) -> impl Fn(&str) -> Read<Duration> {
    move |text| {
        let (min, max) = (Duration::from_secs(min_s), Duration::from_secs(max_s));
        let duration = humantime::parse_duration(text).ok().filter(|duration| (min..=max).contains(duration));
        let [min, max] = [min_s, max_s].map(bound);
        duration.ok_or_else(|| format!("a duration with its unit such as 90s, 15m or 24h, from {min} to {max}"))
    }
}

/// A number of seconds in the largest unit that divides it: `1m`, `7d`, `10y`.
fn bound(seconds: u64) -> String {
    // A year is 365.25 days, as `humantime` reads it.
    const UNITS: [(u64, &str); 4] = [(31_557_600, "y"), (86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = UNITS.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

pub(super) fn bytes(min: usize, max: usize) -> impl Fn(&str) -> Read<usize> {
    move |text| {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = match text[digits.len()..].trim() {
            "" => Some(1),
            "KiB" => Some(1 << 10),
            "MiB" => Some(1 << 20),
            _ => None,
        };
        let number: Option<usize> = digits.parse().ok();
        let size = number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
        let expected =
            || format!("a number of bytes from {min} to {max}, or one with its unit such as 512 KiB or 10 MiB");
        size.filter(|size| (min..=max).contains(size)).ok_or_else(expected)
    }
}

/// Reads a name of a closed set.
pub(super) fn one_of<T: FromStr<Err = NotInSet>>(text: &str) -> Read<T> {
    text.parse().map_err(|NotInSet(expected)| expected)
}

pub(super) fn address(text: &str) -> Read<SocketAddr> {
    text.parse().map_err(|_| "an IP address and a port such as 127.0.0.1:8081, 0.0.0.0:8081 or [::]:8081".to_owned())
}

/// Reads a secret that is sent in a header.
pub(super) fn header_secret(text: &str) -> Read<SecretString> {
    let is_header = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') && text.trim() == text;
    let expected = "printable ASCII without spaces around it";
    if is_header { Ok(SecretString::from(text)) } else { Err(expected.to_owned()) }
}

pub(super) fn header_name(text: &str) -> Read<String> {
    let name = reqwest::header::HeaderName::from_bytes(text.as_bytes());
    name.map(|_| text.to_owned()).map_err(|_| "a header's name such as Authorization or mj-api-secret".to_owned())
}

pub(super) fn auth_scheme(text: &str) -> Read<String> {
    let is_word = text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_word { Ok(text.to_owned()) } else { Err("a word such as Bearer, or nothing".to_owned()) }
}

pub(super) fn log_filter(text: &str) -> Read<String> {
    let expected = "error, warn, info, debug, trace or off, also per module: info,mjq_worker::engine=debug";
    // A bare word that is not a level would name a module, and silence everything else.
    let is_clear = |part: &str| part.contains('=') || LevelFilter::from_str(part.trim()).is_ok();
    let is_filter = !text.trim().is_empty() && text.split(',').all(is_clear) && EnvFilter::try_new(text).is_ok();
    if is_filter { Ok(text.to_owned()) } else { Err(expected.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_part_of_the_range() {
        assert_eq!(millis(1000)("1000"), Ok(Duration::from_secs(1)));
        assert!(millis(1000)("999").is_err() && millis(0)("86400001").is_err() && millis(0)("1s").is_err());
        assert_eq!(whole(1..=100_000)("100000"), Ok(100_000));
        assert!(whole(1..=100_000)("0").is_err() && whole(1..=100_000)("100001").is_err());
        assert_eq!(duration(60, 120)("1m"), Ok(Duration::from_secs(60)));
        let refusal = duration(60, 315_576_000)("1 fortnight").unwrap_err();
        assert!(refusal.ends_with("from 1m to 10y"), "{refusal}");
        assert!(duration(60, 315_576_000)("10y").is_ok() && duration(60, 315_576_000)("11y").is_err());
        assert!(duration(60, 120)("59s").is_err() && duration(60, 120)("90").is_err());
        assert_eq!(rate("0.5"), Ok(0.5));
        assert!(["-1", "inf", "NaN", "", "1e-20", "1e9"].iter().all(|text| rate(text).is_err()));
    }

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        for (text, size) in [("2048", 2048), ("2 KiB", 2048), ("2KiB", 2048), ("10 MiB", 10 << 20)] {
            assert_eq!(bytes(1024, 512 << 20)(text), Ok(size), "{text}");
        }
        for bad in ["", "1", "2 KB", "MiB", "513 MiB", "99999999999999999999 MiB", "-2048"] {
            assert!(bytes(1024, 512 << 20)(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls_are_bases_and_paths_have_their_placeholder() {
        assert!(url("https://api.example/v1").is_ok() && url("http://127.0.0.1:80").is_ok());
        for bad in ["api.example", "ftp://a", "https://u:p@a", "https://a?b=c", "https://a#b", "", "unix:/a"] {
            assert!(url(bad).is_err(), "{bad}");
        }
        assert!(path("{id}")("/mj/task/{id}/fetch").is_ok() && path("")("/mj").is_ok());
        assert!(path("{id}")("/mj/task").is_err() && path("{id}")("mj/{id}").is_err() && path("")("/a b").is_err());
    }

    #[test]
    fn a_log_filter_is_made_of_levels() {
        for good in ["info", "WARN", "off", "info,mjq_worker::engine=debug"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in ["", "verbose", "info,loud", "mjq=loud"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_refused() {
        assert!(header_secret("sk-123 abc").is_ok() && header_name("mj-api-secret").is_ok() && auth_scheme("").is_ok());
        assert!(header_secret("a\nb").is_err() && header_secret(" a").is_err() && header_secret("é").is_err());
        assert!(header_name("a b").is_err() && header_name("").is_err() && auth_scheme("a b").is_err());
    }
}
