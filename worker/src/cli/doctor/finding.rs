//! A finding: what the doctor saw, and what to do about it.

use serde_json::json;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All is well.
    Good,
    /// It works, but an operator should know about it.
    Doubtful,
    /// A promise of mjq does not hold, or the queue stands still.
    Bad,
}

/// What the doctor saw, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    /// The fact, and its consequence.
    pub(super) said: String,
    /// What the operator can do; empty when nothing is wrong.
    pub(super) cure: String,
}

impl Finding {
    pub(super) fn good(said: impl Into<String>) -> Self {
        Self { verdict: Verdict::Good, said: said.into(), cure: String::new() }
    }

    pub(super) fn doubtful(said: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { verdict: Verdict::Doubtful, said: said.into(), cure: cure.into() }
    }

    pub(super) fn bad(said: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, said: said.into(), cure: cure.into() }
    }

    /// One line for people, and a second one for the cure.
    pub(super) fn text(&self) -> String {
        let mark = match self.verdict {
            Verdict::Good => '✓',
            Verdict::Doubtful => '!',
            Verdict::Bad => '✗',
        };
        let cure = if self.cure.is_empty() { String::new() } else { format!("\n    → {}", self.cure) };
        format!("  {mark} {}{cure}", self.said)
    }

    /// One line for machines.
    pub(super) fn json(&self, part: &str) -> String {
        let verdict = match self.verdict {
            Verdict::Good => "good",
            Verdict::Doubtful => "doubtful",
            Verdict::Bad => "bad",
        };
        json!({ "part": part, "verdict": verdict, "said": self.said, "cure": self.cure }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_comes_with_its_cure() {
        assert_eq!(Finding::good("fine").text(), "  ✓ fine");
        assert_eq!(Finding::bad("ill", "rest").text(), "  ✗ ill\n    → rest");
        assert_eq!(
            Finding::doubtful("so so", "wait").json("queue"),
            r#"{"cure":"wait","part":"queue","said":"so so","verdict":"doubtful"}"#
        );
    }
}
