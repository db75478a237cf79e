//! Lone surrogates: escapes of half a character, as in `"\ud83d"`. JSON allows them, but UTF-8 text cannot hold them.
//!
//! JavaScript and Java write them when a text was cut in the middle of an emoji (RFC 8259, section 8.2).

use std::borrow::Cow;

/// The same JSON, with each lone surrogate replaced by the escape of U+FFFD, the replacement character.
pub(super) fn mend(json: &str) -> Cow<'_, str> {
    /// The length of an escape: `\u` and four digits.
    const LENGTH: usize = 6;
    let mut mended = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = json[at..].find('\\') {
        at += found;
        match code_unit(&json[at..]) {
            Some(0xd800..=0xdbff) if matches!(code_unit(&json[at + LENGTH..]), Some(0xdc00..=0xdfff)) => {
                at += 2 * LENGTH;
            }
            Some(0xd800..=0xdfff) => {
                mended.push_str(&json[copied..at]);
                mended.push_str("\\ufffd");
                at += LENGTH;
                copied = at;
            }
            // The escaped character may be a backslash itself or, in a text that is not JSON, a character of several
            // bytes.
            _ => at += 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    mended.push_str(&json[copied..]);
    Cow::Owned(mended)
}

/// The UTF-16 code unit, if the text begins with the escape of one.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_character_is_replaced_and_nothing_else_is() {
        for (json, mended) in [
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""a\ud83d b""#, r#""a\ufffd b""#),
            (r#""\ude00\ud83d\ud83d\ude00\uD83D\u0041""#, r#""\ufffd\ufffd\ud83d\ude00\ufffd\u0041""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\u00e9 \" \n""#, r#""\u00e9 \" \n""#),
            (r#""\ud8"#, r#""\ud8"#),
            ("\\\u{1f600}\\", "\\\u{1f600}\\"),
            ("", ""),
        ] {
            assert_eq!(mend(json), mended, "{json}");
        }
    }
}
