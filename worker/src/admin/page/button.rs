//! The buttons below a result, as the upstream lists them.

use serde::Deserialize;
use serde_json::value::RawValue;

/// One button. Upstreams leave fields out, or set them to null.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Button {
    /// What stands on it: emoji, label, or both.
    pub(super) face: String,
    /// What an action sends to press it.
    pub(super) custom_id: String,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default, rename = "customId")]
    custom_id: Option<String>,
    #[serde(default)]
    emoji: Option<String>,
    #[serde(default)]
    label: Option<String>,
}

/// Reads the list; what cannot be read is left out.
pub(super) fn read(buttons: &RawValue) -> Vec<Button> {
    let listed: Vec<Box<RawValue>> = serde_json::from_str(buttons.get()).unwrap_or_default();
    let listed = listed.iter().filter_map(|button| serde_json::from_str::<Listed>(button.get()).ok());
    listed.map(Button::from).filter(|button| !button.face.is_empty()).collect()
}

impl From<Listed> for Button {
    fn from(Listed { custom_id, emoji, label }: Listed) -> Self {
        let (emoji, label, custom_id) =
            (emoji.unwrap_or_default(), label.unwrap_or_default(), custom_id.unwrap_or_default());
        let face = format!("{emoji} {label}").trim().to_owned();
        Self { face: if face.is_empty() { custom_id.clone() } else { face }, custom_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_button_shows_its_label_its_emoji_or_at_least_its_id() {
        let list = r#"[{"customId":"a","emoji":"","label":"U1"},{"customId":"b","emoji":"🔄","label":null},
            {"customId":"c"},7,{}]"#;

        let buttons = read(&RawValue::from_string(list.to_owned()).unwrap());

        let faces: Vec<&str> = buttons.iter().map(|button| button.face.as_str()).collect();
        assert_eq!(faces, ["U1", "🔄", "c"]);
    }
}
