//! The id of a stream entry: the time at which it was added, and its number within that millisecond.

/// An entry's id. Ids are ordered as two numbers, not as text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    /// When the entry was added, Unix milliseconds.
    pub ms: u64,
    /// How many entries were added before it in that millisecond.
    pub sequence: u64,
}

impl EntryId {
    /// Reads an id as Redis writes it, `<ms>-<sequence>` or `<ms>` alone. A part that cannot be read is 0.
    #[must_use]
    pub fn read(id: &str) -> Self {
        let (ms, sequence) = id.split_once('-').unwrap_or((id, "0"));
        Self { ms: ms.parse().unwrap_or(0), sequence: sequence.parse().unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_as_numbers() {
        let ids = ["", "5", "5-2", "5-10", "17-0"].map(EntryId::read);

        assert!(ids.is_sorted(), "{ids:?}");
        assert_eq!((ids[3].ms, ids[3].sequence), (5, 10));
    }
}
