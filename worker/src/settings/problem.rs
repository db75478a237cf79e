//! What is wrong with the settings.

use std::fmt;

/// The settings cannot be used. Lists every problem, not only the first.
#[derive(Debug, thiserror::Error)]
pub struct Invalid(pub Vec<Problem>);

impl Invalid {
    /// The exit code of a program whose settings cannot be used: `EX_CONFIG`.
    pub const EXIT_CODE: u8 = 78;
}

/// One problem, in words. It never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(String);

impl Problem {
    /// Says that `name` (as its source calls it) has an invalid value. `value` must be in a form that may be shown.
    pub(super) fn value(name: &str, value: &str, expected: &str) -> Self {
        Self(format!("{name} is {value}, expected {expected}"))
    }

    /// Any other problem.
    pub(super) fn other(words: String) -> Self {
        Self(words)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [problem] => problem.fmt(f),
            problems => {
                write!(f, "{} settings cannot be used:", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}
