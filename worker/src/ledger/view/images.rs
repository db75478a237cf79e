//! Hides pictures: a person who reads a request has no use for megabytes of base64.

/// A run of base64 characters this long is a picture or another file, not a word.
const MIN_RUN: usize = 512;

/// How the base64 of a picture starts, by the first bytes of each format.
const IMAGE_STARTS: [&str; 5] = ["iVBOR", "/9j/", "\\/9j", "UklGR", "R0lGOD"];

/// Replaces each long run of base64 in `text` by its size, such as `<image, 123 KB>`.
///
/// JSON stays JSON, with its order and white space. Other texts, and parts of JSON, work too.
#[must_use]
pub fn hide_images(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(64 * 1024));
    let mut rest = text;
    while !rest.is_empty() {
        let (other, begun) = rest.split_at(length_while(rest, |rest| base64_unit(rest).is_none().then(|| first(rest))));
        let (run, after) = begun.split_at(length_while(begun, base64_unit));
        shown.push_str(other);
        if run.len() < MIN_RUN {
            shown.push_str(run);
        } else {
            let is_image = strip_data_url(&mut shown) || IMAGE_STARTS.iter().any(|begin| run.starts_with(begin));
            let what = if is_image { "image" } else { "base64" };
            shown.push_str(&format!("<{what}, {}>", size(run.len() / 4 * 3)));
        }
        rest = after;
    }
    shown
}

/// Removes `data:…;base64,` from the end of `text`, and returns whether it announced an image.
fn strip_data_url(text: &mut String) -> bool {
    let Some(start) = text.rfind("data:").filter(|_| text.ends_with(";base64,")) else {
        return false;
    };
    // Compared without the slash, because JSON may write a backslash before it.
    let is_image = text[start..].starts_with("data:image");
    text.truncate(start);
    is_image
}

/// How many bytes the base64 character takes with which `text` begins. JSON may write `/` as `\/`.
fn base64_unit(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [b'+' | b'/' | b'=', ..] => Some(1),
        [byte, ..] if byte.is_ascii_alphanumeric() => Some(1),
        [b'\\', b'/', ..] => Some(2),
        _ => None,
    }
}

fn first(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

fn length_while(text: &str, unit: impl Fn(&str) -> Option<usize>) -> usize {
    let mut length = 0;
    while length < text.len() {
        match unit(&text[length..]) {
            Some(bytes) => length += bytes,
            None => break,
        }
    }
    length
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} KB", bytes / 1_000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_becomes_its_size_and_the_rest_keeps_its_bytes() {
        let png = format!("iVBOR{}", "A".repeat(164_000));
        for (given, wanted) in [
            (format!(r#"{{"a" : ["data:image/png;base64,{png}"],"z":"é"}}"#), r#"{"a" : ["<image, 123 KB>"],"z":"é"}"#),
            (format!(r#"{{"a":["{png}","{png}"]}}"#), r#"{"a":["<image, 123 KB>","<image, 123 KB>"]}"#),
            (format!(r#"{{"a":"data:image\/png;base64,{png}"}}"#), r#"{"a":"<image, 123 KB>"}"#),
            (format!(r#"cut off: {png}"#), "cut off: <image, 123 KB>"),
            (format!(r#"{{"a":"{}"}}"#, "x".repeat(2000)), r#"{"a":"<base64, 1 KB>"}"#),
        ] {
            assert_eq!(hide_images(&given), wanted);
        }
    }

    #[test]
    fn prompts_ids_and_short_tokens_are_left_alone() {
        let escaped = format!(r#"{{"prompt":"{}"}}"#, r"\u4e2d".repeat(200));
        for text in ["", "é", &escaped, r#"{"prompt":"a cat https://example.org/a/b.png --ar 16:9","t":"AAAA=="}"#] {
            assert_eq!(hide_images(text), text);
        }
    }
}
