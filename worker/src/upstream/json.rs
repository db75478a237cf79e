//! JSON, read leniently: nothing is required, and each value keeps its own bytes.
//!
//! The family's servers agree on names but not on types: an id may be a string or an integer beyond 2^53, a number may
//! be quoted, a key may occur twice. So values are read one by one, as code asks for them.

use std::{borrow::Cow, fmt};

use mjq_producer::contract::TaskId;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A JSON value: its text and, if it was parsed already, the parsed value, which can be kept without a second parse.
#[derive(Debug, Clone, Copy)]
pub(super) struct Json<'a>(&'a str, Option<&'a RawValue>);

/// A whole text that is JSON. Mostly it is an object, whose fields are then read in the same pass.
#[derive(Debug)]
pub(super) struct Document<'a> {
    pub(super) json: Json<'a>,
    pub(super) fields: Option<Fields<'a>>,
}

/// A JSON object. Of equal keys the last counts; a null counts as absent.
///
/// The fields are in a list, in their own order: an object of the family has twenty, of which few are asked for.
#[derive(Debug)]
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Document<'a> {
    /// Reads a whole text; `None` when it is not JSON.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let json = Json::unread(text);
        let fields = json.fields();
        (fields.is_some() || Json::read(text).is_some()).then_some(Self { json, fields })
    }
}

impl<'a> Json<'a> {
    /// Reads a whole text; `None` when it is not JSON.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self::of)
    }

    /// Takes a text that may not be JSON: then it has no fields and no elements. No pass over the text is spent on the
    /// check.
    pub(super) fn unread(text: &'a str) -> Self {
        Self(text.trim(), None)
    }

    fn of(raw: &'a RawValue) -> Self {
        Self(raw.get(), Some(raw))
    }

    /// The value, byte for byte.
    pub(super) fn as_str(self) -> &'a str {
        self.0
    }

    /// The value, byte for byte.
    pub(super) fn to_raw(self) -> Option<Box<RawValue>> {
        self.1.map(ToOwned::to_owned).or_else(|| RawValue::from_string(self.0.to_owned()).ok())
    }

    /// Whether a valid JSON value is an array with elements.
    pub(super) fn is_filled_array(self) -> bool {
        self.0.strip_prefix('[').is_some_and(|rest| !rest.trim_start().starts_with(']'))
    }

    pub(super) fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// The elements of an array.
    pub(super) fn items(self) -> Option<Vec<Self>> {
        let items: Vec<&RawValue> = self.0.starts_with('[').then(|| serde_json::from_str(self.0).ok())??;
        Some(items.into_iter().map(Self::of).collect())
    }

    /// The fields of an object.
    pub(super) fn fields(self) -> Option<Fields<'a>> {
        self.0.starts_with('{').then(|| serde_json::from_str(self.0).ok())?
    }

    /// A string's text, decoded; as written if its escapes are broken.
    pub(super) fn string(self) -> Option<String> {
        let quoted = self.0.strip_prefix('"')?.strip_suffix('"')?;
        Some(serde_json::from_str(self.0).unwrap_or_else(|_| quoted.to_owned()))
    }

    /// A number, as written.
    pub(super) fn number(self) -> Option<&'a str> {
        Some(self.0).filter(|text| text.starts_with(|c: char| c == '-' || c.is_ascii_digit()))
    }

    /// A string's text or a number as written.
    pub(super) fn text(self) -> Option<String> {
        self.string().or_else(|| self.number().map(str::to_owned))
    }

    /// A number, or a string that holds one.
    pub(super) fn float(self) -> Option<f64> {
        self.text()?.trim().parse::<f64>().ok().filter(|number| number.is_finite())
    }

    /// A whole number, or a string that holds one.
    pub(super) fn integer(self) -> Option<i64> {
        let text = self.text()?;
        let whole = |number: &f64| number.fract() == 0.0 && number.abs() < 1e15;
        text.trim().parse().ok().or_else(|| self.float().filter(whole).map(|number| number as i64))
    }

    /// A task's id: a string or an integer; the first one of an array.
    ///
    /// This goes no deeper than one array or object, so a hostile body cannot exhaust the stack.
    pub(super) fn task_id(self) -> Option<TaskId> {
        let first = self.items().map_or(Some(self), |items| items.first().copied())?;
        match first.fields() {
            Some(fields) => ["mjId", "mj_id", "taskId", "task_id", "id", "result"]
                .iter()
                .find_map(|name| fields.get(name)?.scalar_id()),
            None => first.scalar_id(),
        }
    }

    /// Whether the value is empty: null, a word for null, or an array or object with nothing in it.
    pub(super) fn is_blank(self) -> bool {
        let is_empty = matches!(self.0.trim_matches(|c: char| "[]{}".contains(c) || c.is_whitespace()), "");
        is_empty || self.is_null() || self.text().is_some_and(|text| stands_for_none(text.trim()))
    }

    /// A task's id: a string or an integer.
    pub(super) fn scalar_id(self) -> Option<TaskId> {
        // The longest id that is kept. Known ones have 8 to 40 characters.
        const MAX_BYTES: usize = 256;
        let text = match self.number() {
            Some(number) => whole_number(number),
            None => self.text()?,
        };
        if self.number().is_some() && !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // PicReader::all answers with several ids, separated by commas.
        let id = text.split(',').map(str::trim).find(|id| !id.is_empty())?;
        let is_none = stands_for_none(id);
        // A path segment of dots would change the path of the request.
        let is_path = id.bytes().all(|byte| byte == b'.');
        // Words, a sentence, JSON within a string or an address are no id, whatever the field is called.
        let is_text =
            id.contains(|c: char| c.is_whitespace() || c.is_control() || "{}\"<>".contains(c)) || id.contains("://");
        let is_odd = id.len() > MAX_BYTES || is_text;
        (!is_none && !is_path && !is_odd).then(|| TaskId::new(id))
    }
}

/// A whole number in digits. A language without integers adds `.0`, or writes `1.2463258E7`.
fn whole_number(number: &str) -> String {
    let plain = number.strip_suffix(".0").unwrap_or(number);
    let scientific = || {
        let (mantissa, exponent) = plain.split_once(['e', 'E'])?;
        let all: usize = exponent.trim_start_matches('+').parse::<usize>().ok()? + 1;
        let written = mantissa.replacen('.', "", 1);
        let is_number =
            mantissa.find('.').unwrap_or(mantissa.len()) == 1 && written.bytes().all(|b| b.is_ascii_digit());
        // Java leaves out zeros at the end. C (six digits) and PHP (fourteen) leave out other digits, too.
        let is_whole = written.len() == all || (7..all).contains(&written.len()) && all <= 14;
        (is_number && is_whole).then(|| format!("{written:0<all$}"))
    };
    scientific().unwrap_or_else(|| plain.to_owned())
}

/// Whether the text is a placeholder that some write if there is no id.
fn stands_for_none(text: &str) -> bool {
    text.is_empty() || ["0", "null", "none", "nil", "undefined"].iter().any(|none| text.eq_ignore_ascii_case(none))
}

impl<'a> Fields<'a> {
    /// Each field, in its own order.
    pub(super) fn each(&self) -> impl Iterator<Item = (&str, Json<'a>)> {
        self.0.iter().map(|(name, json)| (&**name, *json))
    }

    /// The field's value; `None` when absent or null.
    pub(super) fn get(&self, name: &str) -> Option<Json<'a>> {
        let last = self.0.iter().rev().find(|(own, _)| own == name)?.1;
        (!last.is_null()).then_some(last)
    }

    /// The first of these fields that is a string with visible text.
    pub(super) fn string(&self, names: &[&str]) -> Option<String> {
        let strings = names.iter().filter_map(|name| self.get(name)?.string());
        strings.map(|text| text.trim().to_owned()).find(|text| !text.is_empty())
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::with_capacity(24);
        while let Some((Name(name), value)) = map.next_entry()? {
            fields.push((name, Json::of(value)));
        }
        Ok(Fields(fields))
    }
}

/// A field's name, borrowed if it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_is_a_string_or_an_integer_of_any_size() {
        for (json, id) in [
            (r#""1748339029401828""#, Some("1748339029401828")),
            (r#""0741798445574458""#, Some("0741798445574458")),
            (r#"" task_1234567890 ""#, Some("task_1234567890")),
            ("12463258", Some("12463258")),
            ("9007199254740993", Some("9007199254740993")),
            ("174833901000.0", Some("174833901000")),
            ("123456789012345678901234567890", Some("123456789012345678901234567890")),
            (r#""1,2,3""#, Some("1")),
            (r#"", 2""#, Some("2")),
            (r#"["7","8"]"#, Some("7")),
            ("[7,8]", Some("7")),
            (r#"[{"id":7}]"#, Some("7")),
            (r#""task 7""#, None),
            (r#""{\"id\":7}""#, None),
            (r#""http://x/7""#, None),
            (r#"{"id":"a","taskId":"b"}"#, Some("b")),
            (r#"{"task_id":12}"#, Some("12")),
            (r#"{"id":17,"mj_id":"c"}"#, Some("c")),
            ("[]", None),
            ("[[7]]", None),
            ("{}", None),
            ("0", None),
            (r#""0""#, None),
            (r#""""#, None),
            (r#"" , ""#, None),
            (r#""null""#, None),
            (r#""..""#, None),
            ("null", None),
            ("true", None),
            ("-5", None),
            ("1.5", None),
            ("1.3200981734125e15", None),
            ("1.320098173412578E15", Some("1320098173412578")),
            ("1.2463258E7", Some("12463258")),
            ("1.246325E7", Some("12463250")),
            ("1.24633e+07", None),
            ("1e7", None),
            ("1.5e-3", None),
        ] {
            let found = Json::read(json).unwrap().task_id();

            assert_eq!(found.as_ref().map(TaskId::as_str), id, "{json}");
        }
    }

    #[test]
    fn numbers_come_in_quotes_and_with_fractions() {
        for (json, number) in [
            ("22", Some(22)),
            (r#""22""#, Some(22)),
            (r#"" 22 ""#, Some(22)),
            ("22.0", Some(22)),
            ("-1", Some(-1)),
            ("22.5", None),
            (r#""success""#, None),
            (r#""""#, None),
            ("true", None),
            ("1e300", None),
            ("{}", None),
        ] {
            assert_eq!(Json::read(json).unwrap().integer(), number, "{json}");
        }
    }

    #[test]
    fn odd_json_harms_only_its_own_field() {
        let fields = Json::read(r#"{"a":1,"a":2,"b":null,"c":"\ud83d","d":[1]}"#).unwrap().fields().unwrap();

        assert_eq!(fields.get("a").unwrap().integer(), Some(2));
        assert!(fields.get("b").is_none());
        assert_eq!(fields.get("c").unwrap().string().unwrap(), r"\ud83d");
        assert_eq!(fields.get("d").unwrap().text(), None);
        assert!(Json::read("{").is_none() && Json::read("").is_none() && Json::read("{} {}").is_none());
    }

    #[test]
    fn a_body_of_brackets_does_not_exhaust_the_stack() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);

        assert!(Json::read(&deep).unwrap().task_id().is_none());
    }
}
