//! Texts for people on a terminal.

use crate::shown::escape_bidi;

/// Makes a text from outside harmless: it must not steer the terminal, or change the text direction of its neighbours.
pub(super) fn plain(text: &str) -> String {
    escape_bidi(&text.replace(char::is_control, " "))
}

/// Keeps only the first error of a failed pipeline: the errors of its other commands say the same, at length.
pub(super) fn first_failure(text: &str) -> String {
    let pipeline = text.split_once("Pipeline failure");
    let Some((before, first)) = pipeline.and_then(|(before, list)| Some((before, list.split_once(", error: ")?.1)))
    else {
        return text.to_owned();
    };
    let first = first.split("), (Index ").next().unwrap_or(first);
    let first = first.strip_suffix(")]").unwrap_or(first);
    // If the error's code stands before the list already, it is not repeated.
    let first = if before.is_empty() { first } else { first.split_once(": ").map_or(first, |(_, detail)| detail) };
    format!("{before}{first}")
}

/// The first `max` characters of a text.
pub(super) fn clipped(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{} …", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_clipped_between_characters() {
        assert_eq!(clipped("éé éé", 3), "éé …");
        assert_eq!(clipped("éé", 2), "éé");
        assert_eq!(plain("a\u{1b}[2J"), "a [2J");
        assert_eq!(plain("a \u{202e}gnp.exe"), r"a \u{202e}gnp.exe");
    }

    #[test]
    fn of_several_failures_the_first_is_told() {
        let two = "Pipeline failures: [(Index 0, error: NoPerm: no 'zrange'), (Index 1, error: NoPerm: no 'get')]";

        assert_eq!(first_failure(two), "NoPerm: no 'zrange'");
        assert_eq!(first_failure(&format!("NOPERM: {two}")), "NOPERM: no 'zrange'");
        assert_eq!(first_failure("Pipeline failure: [(Index 0, error: \"OOM\": no (room))]"), "\"OOM\": no (room)");
        assert_eq!(first_failure("timed out"), "timed out");
    }
}
