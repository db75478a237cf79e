//! After quiescence nothing is left in the private structures: no lease, no due step, no deadline, no claim.

use super::Findings;
use crate::history::History;

pub(super) fn check(history: &History) -> Findings {
    let left = history.leftovers.iter().filter(|(_, count)| **count > 0);
    let left = left.map(|(key, count)| (None, format!("{count} left in {key}")));
    left.chain(history.deserters.iter().map(|words| (None, format!("a worker ended by itself: {words}")))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::a_good_history;
    use super::*;

    #[test]
    fn a_lease_that_is_left_is_found() {
        let mut history = a_good_history();
        history.leftovers = [("leases".to_owned(), 1), ("deadlines".to_owned(), 0)].into();

        assert_eq!(check(&history), [(None, "1 left in leases".to_owned())]);
    }
}
