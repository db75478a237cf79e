//! Task ids in the forms that real upstreams give out.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The form of a task id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum IdStyle {
    /// A small integer, as AGICTO's 12463258.
    Integer,
    /// Milliseconds and three digits: 1730621826053455.
    Digits16,
    /// Beyond 2^53, and odd, so that a float cannot hold it: 14001934816969359.
    Digits17,
    /// Digits that are no number: 0741798445574458.
    LeadingZero,
    /// A word in front: `task_1730621826053455`.
    Prefixed,
}

/// Gives out each id once.
#[derive(Debug)]
pub(crate) struct IdSource {
    last: u64,
    small: u64,
}

impl IdSource {
    /// Starts with ids that an earlier run of the simulator is unlikely to have given out.
    pub(crate) fn start(now_ms: u64) -> Self {
        Self { last: now_ms * 1000, small: 10_000_000 + now_ms / 100 % 80_000_000 }
    }

    /// The next id.
    pub(crate) fn next(&mut self, style: IdStyle, now_ms: u64) -> String {
        self.last = (self.last + 2).max(now_ms * 1000) | 1;
        match style {
            IdStyle::Integer => {
                self.small += 1;
                self.small.to_string()
            }
            IdStyle::Digits16 => self.last.to_string(),
            IdStyle::Digits17 => (self.last + 12_300_000_000_000_000).to_string(),
            IdStyle::LeadingZero => format!("0{:015}", self.last % 1_000_000_000_000_000),
            IdStyle::Prefixed => format!("task_{}", self.last),
        }
    }
}

/// The id as a JSON integer if `as_integer` asks for it and the integer has the same digits; else as a string.
pub(crate) fn id_json(id: &str, as_integer: bool) -> Value {
    match id.parse::<u64>() {
        Ok(number) if as_integer && number.to_string() == id => Value::from(number),
        _ => Value::from(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_795_000_000_000;

    #[test]
    fn each_style_has_its_shape() {
        let mut ids = IdSource::start(NOW_MS);
        let mut next = |style| ids.next(style, NOW_MS);

        assert_eq!(next(IdStyle::Integer).len(), 8);
        assert_eq!(next(IdStyle::Digits16).len(), 16);
        assert!(next(IdStyle::LeadingZero).starts_with('0'));
        assert!(next(IdStyle::Prefixed).starts_with("task_"));
        let long = next(IdStyle::Digits17);
        assert_eq!(long.len(), 17);
        let number: u64 = long.parse().unwrap();
        assert_ne!(number as f64 as u64, number, "a float must not be able to hold {long}");
    }

    #[test]
    fn an_id_is_an_integer_only_where_that_loses_nothing() {
        assert_eq!(id_json("12463258", true), Value::from(12_463_258));
        assert_eq!(id_json("0741798445574458", true), Value::from("0741798445574458"));
        assert_eq!(id_json("12463258", false), Value::from("12463258"));
    }
}
