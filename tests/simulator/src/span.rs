//! A length of time that may vary: `8s`, or `8s..15s`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration, or a range from which durations are picked evenly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    shortest: Duration,
    longest: Duration,
}

impl Span {
    /// Always this duration.
    pub const fn exactly(duration: Duration) -> Self {
        Self { shortest: duration, longest: duration }
    }

    /// Anything from `shortest` to `longest`.
    pub fn between(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest: longest.max(shortest) }
    }

    /// Picks a duration, in milliseconds. The same roll always picks the same duration.
    pub fn pick_ms(&self, roll: u64) -> u64 {
        let (from, to) = (millis(self.shortest), millis(self.longest));
        from + roll % (to - from + 1)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self::exactly(duration)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("..") {
            Some((from, to)) => {
                let (from, to) = (duration(from)?, duration(to)?);
                if to < from {
                    return Err(format!("{text:?} ends before it begins"));
                }
                Ok(Self::between(from, to))
            }
            None => Ok(Self::exactly(duration(text)?)),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim())
        .map_err(|why| format!("{text:?} is not a duration such as 1500ms or 8s: {why}"))
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.shortest))?;
        if self.longest > self.shortest {
            write!(f, "..{}", humantime::format_duration(self.longest))?;
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Millis(u32),
            Text(String),
        }

        match Written::deserialize(deserializer)? {
            Written::Millis(ms) => Ok(Duration::from_millis(ms.into()).into()),
            Written::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_what_it_writes() -> Result<(), String> {
        for text in ["1s 500ms", "8s..15s", "0s"] {
            assert_eq!(text.parse::<Span>()?.to_string(), text);
        }
        Ok(())
    }

    #[test]
    fn a_span_that_runs_backwards_is_refused() {
        assert!("15s..8s".parse::<Span>().is_err());
    }

    #[test]
    fn every_roll_stays_inside_the_span() -> Result<(), String> {
        let span: Span = "10ms..13ms".parse()?;

        let picked: Vec<_> = (0..8).map(|roll| span.pick_ms(roll)).collect();

        assert_eq!(picked, [10, 11, 12, 13, 10, 11, 12, 13]);
        Ok(())
    }
}
