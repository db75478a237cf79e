//! The identity: what a job is known by, as one field of its hash.

use mjq_producer::contract::Job;

use crate::lifecycle::Record;

/// The digest of a job's body, its submit score and its state, with a space between. What never changes
/// is one field instead of three: a field costs Redis some fifty bytes beside what is in it.
pub(super) fn identity_of(job: &Job, record: &Record, state: &str) -> String {
    format!("{} {} {state}", job.digest(), record.submit_score())
}

/// The state in an identity, verbatim; empty when there is none.
pub(crate) fn state_in(identity: &str) -> &str {
    identity.splitn(3, ' ').nth(2).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_everything_after_the_score() {
        for state in ["", "customer 7", " a  b ", "\n\0\u{1f600}"] {
            assert_eq!(state_in(&format!("8b154889 11795387690208 {state}")), state);
        }
        assert_eq!(state_in("8b154889"), "");
    }
}
