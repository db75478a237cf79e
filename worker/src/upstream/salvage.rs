//! Salvage: reads objects and ids from a text that is not JSON as a whole.
//!
//! Frameworks write an error behind an answer that was already sent, PHP writes warnings in front, event streams write
//! `data:`, and some servers write JSON into a JSON string. A salvaged object is never an acceptance: it is a lead,
//! which a poll proves, or the result of a poll, if it names the requested task.

use std::{borrow::Cow, collections::HashSet};

use mjq_producer::contract::TaskId;
use serde_json::value::RawValue;

use super::json::Json;

/// Finds the first object in a text.
pub(super) fn object_in(text: &str) -> Option<Cow<'_, str>> {
    /// The braces that are tried: a text with more that begin no object is no answer with something around it.
    const TRIES: usize = 8;
    if let Some(written_twice) = Json::read(text).and_then(Json::string) {
        return Json::read(&written_twice)?.fields().is_some().then_some(Cow::Owned(written_twice));
    }
    let objects = text.match_indices('{').take(TRIES).filter_map(|(at, _)| {
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<&RawValue>();
        Some(values.next()?.ok()?.get())
    });
    // `{}` proves nothing: it may be just a pair of braces.
    objects.map(Cow::Borrowed).find(|object| object.len() > 2)
}

/// Finds the only word in a text that must be a task's id: 16 to 20 digits, as Java's and C#'s proxies write ids, or a
/// UUID. `None` when there are several.
pub(super) fn id_in(text: &str) -> Option<TaskId> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let mut ids: HashSet<&str> = words.filter(|word| is_number(word) || is_uuid(word)).collect();
    let id = ids.iter().next().copied()?;
    ids.remove(id);
    ids.is_empty().then(|| TaskId::new(id))
}

fn is_number(word: &str) -> bool {
    (16..=20).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_uuid(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let lengths = parts.iter().map(|part| part.len());
    lengths.eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_found_whatever_stands_around_it() {
        let object = r#"{"code":1,"result":"1748339029401828"}"#;
        for text in [
            format!(r#"{object}{{"error":{{"type":"new_api_panic"}}}}"#),
            format!("<b>Warning</b>: in {{closure}} on line 3\n{object}"),
            format!("data: {object}\n\n"),
            format!("callback({object});"),
            format!(")]}}',\n{object}"),
            serde_json::to_string(object).unwrap(),
        ] {
            assert_eq!(object_in(&text).as_deref(), Some(object), "{text}");
        }
        for text in ["", "{", "{}", "\"{\"", "<html>{</html>", r#"{"code":1"#] {
            assert_eq!(object_in(text), None, "{text}");
        }
    }

    #[test]
    fn the_only_id_of_a_text_is_found() {
        let uuid = "1b4e28ba-2fa1-11d2-883f-b9a761bde3fb";
        for (text, id) in [
            (r#"{"code":1,"result":"1748339029401828",}"#, Some("1748339029401828")),
            ("任务已提交 1748339029401828，请稍后查询", Some("1748339029401828")),
            ("https://relay/mj/task/1748339029401828/fetch", Some("1748339029401828")),
            ("1748339029401828 and 1748339029401828", Some("1748339029401828")),
            ("{'jobId': '1b4e28ba-2fa1-11d2-883f-b9a761bde3fb'}", Some(uuid)),
            ("1748339029401828 or 1748339029401829", None),
            ("at 1748339029401", None),
            ("0123456789abcdef0123456789abcdef", None),
            ("", None),
        ] {
            assert_eq!(id_in(text).as_ref().map(TaskId::as_str), id, "{text}");
        }
    }
}
