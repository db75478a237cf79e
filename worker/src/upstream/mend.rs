//! Mending: makes JSON of a text that is JSON but for what careless writers leave in it.
//!
//! Some servers paste texts with line breaks between quotes, and Python writes `NaN`. Neither hides what the answer says.

use super::json::Json;

/// The text with control characters in strings escaped, and with null for numbers that are none; `None` if that does not
/// make it JSON.
pub(super) fn mended(text: &str) -> Option<String> {
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let mut mended = String::with_capacity(text.len() + 16);
    let (mut in_string, mut is_escaped) = (false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let no_number = ["NaN", "-Infinity", "Infinity"].into_iter().find(|word| !in_string && rest.starts_with(word));
        if let Some(word) = no_number {
            mended.push_str("null");
            rest = &rest[word.len()..];
            continue;
        }
        match c {
            control if in_string && control < ' ' => mended.push_str(&format!("\\u{:04x}", u32::from(control))),
            c => mended.push(c),
        }
        in_string ^= c == '"' && !is_escaped;
        is_escaped = in_string && c == '\\' && !is_escaped;
        rest = &rest[c.len_utf8()..];
    }
    (mended != text && Json::read(&mended).is_some()).then_some(mended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn careless_json_is_made_json_and_nothing_else_is() {
        for (text, wanted) in [
            ("{\"a\":\"b\nc\\t\td\"}", Some(r#"{"a":"b\u000ac\t\u0009d"}"#)),
            ("{\n\"a\": NaN, \"b\": [-Infinity,Infinity]}", Some("{\n\"a\": null, \"b\": [null,null]}")),
            (r#"{"a":"\"NaN","b":NaN}"#, Some(r#"{"a":"\"NaN","b":null}"#)),
            (r#"{"a":"\\","b":NaN}"#, Some(r#"{"a":"\\","b":null}"#)),
            ("{\"a\":\"b\n", None),
            ("{'a':NaN}", None),
            ("NaN", None),
        ] {
            assert_eq!(mended(text).as_deref(), wanted, "{text}");
        }
    }
}
