//! Makes foreign text fit for a log line, an event and a page.

/// The longest reason, in characters.
const MAX_CHARS: usize = 300;

/// Makes one short line from a text: no control characters, no runs of spaces, at most 300 characters.
pub(super) fn tidy(text: &str) -> String {
    // A body may have megabytes, so only its beginning is read.
    let beginning: String = text.chars().take(4 * MAX_CHARS).collect();
    let words = beginning.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MAX_CHARS {
        return line;
    }
    let mut short: String = line.chars().take(MAX_CHARS - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(tidy(" a\r\n\u{1b}[31mb\0\t c "), "a [31mb c");
        assert_eq!(tidy(&"队".repeat(301)).chars().count(), 300);
        assert_eq!(tidy(&"x ".repeat(1_000_000)).chars().count(), 300);
        assert_eq!(tidy(&"队".repeat(300)), "队".repeat(300));
    }
}
