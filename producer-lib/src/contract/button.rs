//! The buttons below a result, in the various forms in which upstreams list them.

use serde_json::{Value, value::RawValue};

/// One button. Upstreams leave some of its fields out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Button {
    /// The button's text (`U1`); empty when the button has only an emoji.
    pub label: String,
    /// The button's emoji (`🔄`); empty when the button has none.
    pub emoji: String,
    /// The upstream's name for the button; an action sends this name to press the button.
    pub custom_id: String,
}

impl Button {
    /// Reads a list in the form of an event's `data.buttons`. Each button is read leniently and by itself, so an odd
    /// button does not hide the others.
    #[must_use]
    pub fn read_all(buttons: &RawValue) -> Vec<Self> {
        let value: Value = serde_json::from_str(buttons.get()).unwrap_or_default();
        in_rows(&value).into_iter().map(Self::read).filter(|button| !button.name().is_empty()).collect()
    }

    fn read(value: &Value) -> Self {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let [custom_id, other_spelling, label, emoji] = ["customId", "custom_id", "label", "emoji"].map(text);
        let number = value.get("label").and_then(Value::as_u64);
        // Discord's own form of an emoji.
        let in_object = || value.get("emoji")?.get("name")?.as_str();
        Self {
            label: number.map_or(label, |number| number.to_string()),
            emoji: in_object().map_or(emoji, str::to_owned),
            custom_id: if custom_id.is_empty() { other_spelling } else { custom_id },
        }
    }

    /// The name that a follow-up uses for the button: its label, else its emoji, else its custom id.
    #[must_use]
    pub fn name(&self) -> &str {
        [&self.label, &self.emoji, &self.custom_id].into_iter().find(|text| !text.is_empty()).map_or("", String::as_str)
    }
}

/// Flattens the list of buttons: some relays keep Discord's rows.
fn in_rows(value: &Value) -> Vec<&Value> {
    match value.as_array().or_else(|| value.get("components")?.as_array()) {
        Some(row) => row.iter().flat_map(in_rows).collect(),
        None => vec![value],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<String> {
        let buttons = Button::read_all(&RawValue::from_string(list.to_owned()).unwrap());
        buttons.iter().map(|button| button.name().to_owned()).collect()
    }

    #[test]
    fn a_button_has_the_name_of_its_label_its_emoji_or_at_least_its_id() {
        let list = r#"[{"customId":"a","emoji":"","label":"U1"},{"customId":"b","emoji":"🔄","label":null},
            {"customId":"c"},{"custom_id":"d"},{"customId":"e","label":2},7,{},null,{"emoji":{"name":"⬅️"}}]"#;

        assert_eq!(names(list), ["U1", "🔄", "c", "d", "2", "⬅️"]);
    }

    #[test]
    fn buttons_in_rows_stand_one_after_the_other() {
        let rows = r#"[{"type":1,"components":[{"label":"U1"},{"label":"U2"}]},[{"label":"V1"}]]"#;

        assert_eq!(names(rows), ["U1", "U2", "V1"]);
        assert_eq!(names(r#"{"components":[{"label":"U1"}]}"#), ["U1"]);
        assert_eq!(names("null"), [""; 0]);
    }
}
