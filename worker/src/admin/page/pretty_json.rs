//! JSON with line breaks added and nothing else changed: the order of keys and the bytes of numbers stay.

use crate::shown::escape_bidi;

/// Breaks `json` into indented lines. Text that is not JSON may look odd, but nothing of it is lost.
pub(super) fn pretty(json: &str) -> String {
    let json = escape_bidi(json);
    let mut lines = String::with_capacity(json.len() * 2);
    let mut depth: usize = 0;
    let (mut is_in_text, mut is_escaped) = (false, false);
    let mut rest = json.chars().peekable();
    let new_line = |lines: &mut String, depth: usize| {
        lines.push('\n');
        // Nobody reads deeper levels, and each level would cost each line two bytes.
        lines.extend(std::iter::repeat_n("  ", depth.min(20)));
    };
    while let Some(c) = rest.next() {
        if is_in_text {
            lines.push(c);
            is_in_text = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
            continue;
        }
        match c {
            '"' => {
                is_in_text = true;
                lines.push(c);
            }
            '{' | '[' => {
                lines.push(c);
                while rest.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(end) = rest.next_if(|next| matches!(next, '}' | ']')) {
                    lines.push(end);
                } else {
                    depth += 1;
                    new_line(&mut lines, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut lines, depth);
                lines.push(c);
            }
            ',' => {
                lines.push(c);
                new_line(&mut lines, depth);
            }
            ':' => lines.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => lines.push(c),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_outside_of_texts_only() {
        let json = r#"{"b":[1.50,{"x":"a,\"{b:"}],"a" : {},"c":[ ]}"#;

        let wanted =
            "{\n  \"b\": [\n    1.50,\n    {\n      \"x\": \"a,\\\"{b:\"\n    }\n  ],\n  \"a\": {},\n  \"c\": []\n}";
        assert_eq!(pretty(json), wanted);
    }
}
