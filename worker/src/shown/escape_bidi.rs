//! Escapes Unicode's bidirectional controls, so that foreign text cannot reorder its neighbours.

/// The text, with bidirectional controls written as escapes: `\u{202e}`.
#[must_use]
pub(crate) fn escape_bidi(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(c.escape_unicode())
            }
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_the_direction_of_a_text_is_seen() {
        assert_eq!(escape_bidi("a \u{202e}exe.gnp\u{2069} صورة 🏮"), r"a \u{202e}exe.gnp\u{2069} صورة 🏮");
    }
}
