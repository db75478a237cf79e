//! Closed sets: enums whose values each have one name, on the wire, in the ledger, in settings or in labels.

/// A text that is not the name of a value of a closed set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct NotInSet(
    /// The existing names: `high, normal or low`.
    pub String,
);

impl NotInSet {
    /// Lists the names of the set.
    #[doc(hidden)]
    #[must_use]
    pub fn expected(names: &[&str]) -> Self {
        match names {
            [] => Self("nothing".to_owned()),
            [only] => Self((*only).to_owned()),
            [first @ .., last] => Self(format!("{} or {last}", first.join(", "))),
        }
    }
}

/// Makes an enum from one list of values and names, with functions that write, read and list the values.
#[doc(hidden)]
#[macro_export]
macro_rules! closed_set {
    ($(#[$attribute:meta])* $visibility:vis enum $name:ident { $($(#[$variant_attribute:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ::serde::Serialize, ::serde::Deserialize)]
        $visibility enum $name {
            $($(#[$variant_attribute])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Each value of the set.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant,)+];

            /// The value's name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// Reads a value's name; `None` when the set has no such name.
            #[must_use]
            pub fn read(text: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.as_str() == text)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::contract::NotInSet;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::read(text).ok_or_else(|| $crate::contract::NotInSet::expected(&[$($text),+]))
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::super::{OnUnknown, Priority};

    #[test]
    fn each_value_is_read_by_its_name_and_any_other_name_is_told_which_there_are() {
        for priority in Priority::ALL {
            assert_eq!(priority.as_str().parse(), Ok(priority));
            assert_eq!(serde_json::to_value(priority).unwrap(), priority.as_str());
        }

        let refused = |text: &str| text.parse::<Priority>().unwrap_err().to_string();
        assert_eq!(refused("urgent"), "expected high, normal or low");
        assert_eq!("".parse::<OnUnknown>().unwrap_err().0, "fail or resubmit");
    }
}
