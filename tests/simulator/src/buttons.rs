//! The buttons below an image, and the tasks that they start.

use serde::Serialize;

/// One button, as task objects list it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Button {
    pub(crate) custom_id: String,
    pub(crate) emoji: String,
    pub(crate) label: String,
    #[serde(rename = "type")]
    pub(crate) kind: u8,
    pub(crate) style: u8,
}

/// The effect of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Press {
    /// `UPSCALE`, `VARIATION`, `REROLL`, `ZOOM`, `INPAINT`, `PAN` or `ACTION`.
    pub(crate) kind: &'static str,
    /// Which of the four images is taken out by itself.
    pub(crate) picked: Option<u8>,
    /// Whether a window opens first. Then submit/modal has to answer it.
    pub(crate) opens_window: bool,
}

/// The buttons below a grid of four, or below a single image.
pub(crate) fn below(is_single: bool, hash: &str) -> Vec<Button> {
    if is_single { below_single(hash) } else { below_grid(hash) }
}

fn below_grid(hash: &str) -> Vec<Button> {
    let numbered = |letter: &'static str, verb: &'static str| {
        (1..=4).map(move |n| button(format!("MJ::JOB::{verb}::{n}::{hash}"), "", format!("{letter}{n}")))
    };
    let reroll = button(format!("MJ::JOB::reroll::0::{hash}::SOLO"), "🔄", String::new());
    numbered("U", "upsample").chain([reroll]).chain(numbered("V", "variation")).collect()
}

fn below_single(hash: &str) -> Vec<Button> {
    [
        (format!("MJ::JOB::upsample_v6_2x_subtle::1::{hash}::SOLO"), "upscale_1", "Upscale (Subtle)"),
        (format!("MJ::JOB::upsample_v6_2x_creative::1::{hash}::SOLO"), "upscale_1", "Upscale (Creative)"),
        (format!("MJ::JOB::low_variation::1::{hash}::SOLO"), "🪄", "Vary (Subtle)"),
        (format!("MJ::JOB::high_variation::1::{hash}::SOLO"), "🪄", "Vary (Strong)"),
        (format!("MJ::Inpaint::1::{hash}::SOLO"), "🖌️", "Vary (Region)"),
        (format!("MJ::Outpaint::50::1::{hash}::SOLO"), "🔍", "Zoom Out 2x"),
        (format!("MJ::CustomZoom::{hash}"), "🔍", "Custom Zoom"),
        (format!("MJ::JOB::pan_left::1::{hash}::SOLO"), "⬅️", ""),
        (format!("MJ::JOB::pan_right::1::{hash}::SOLO"), "➡️", ""),
    ]
    .into_iter()
    .map(|(custom_id, emoji, label)| button(custom_id, emoji, label.to_owned()))
    .collect()
}

fn button(custom_id: String, emoji: &str, label: String) -> Button {
    Button { custom_id, emoji: emoji.to_owned(), label, kind: 2, style: 2 }
}

/// The effect of the button with this custom id.
pub(crate) fn press(custom_id: &str) -> Press {
    let mut parts = custom_id.split("::").skip(1);
    let window = |kind| Press { kind, picked: Some(1), opens_window: true };
    let plain = |kind, picked| Press { kind, picked, opens_window: false };
    match parts.next() {
        Some("CustomZoom") => window("ZOOM"),
        Some("Inpaint") => window("INPAINT"),
        Some("Outpaint") => plain("ZOOM", None),
        Some("JOB") => match parts.next() {
            Some("upsample") => plain("UPSCALE", Some(parts.next().and_then(|n| n.parse().ok()).unwrap_or(1))),
            Some(verb) if verb.starts_with("upsample") => plain("UPSCALE", Some(1)),
            Some(verb) if verb.ends_with("variation") => plain("VARIATION", None),
            Some(verb) if verb.starts_with("pan_") => plain("PAN", None),
            Some("reroll") => plain("REROLL", None),
            _ => plain("ACTION", None),
        },
        _ => plain("ACTION", None),
    }
}

/// The custom id that corresponds to an action and an index of the old `submit/change`.
pub(crate) fn changed(action: &str, index: u64, hash: &str) -> Option<String> {
    match (action, index) {
        ("UPSCALE", 1..=4) => Some(format!("MJ::JOB::upsample::{index}::{hash}")),
        ("VARIATION", 1..=4) => Some(format!("MJ::JOB::variation::{index}::{hash}")),
        ("REROLL", _) => Some(format!("MJ::JOB::reroll::0::{hash}::SOLO")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_u1_to_u4_a_reroll_and_v1_to_v4() {
        let labels: Vec<_> = below(false, "h").into_iter().map(|b| format!("{}{}", b.label, b.emoji)).collect();

        assert_eq!(labels, ["U1", "U2", "U3", "U4", "🔄", "V1", "V2", "V3", "V4"]);
    }

    #[test]
    fn a_press_knows_what_it_makes() {
        assert_eq!(press("MJ::JOB::upsample::3::h"), Press { kind: "UPSCALE", picked: Some(3), opens_window: false });
        assert_eq!(press("MJ::JOB::variation::2::h").kind, "VARIATION");
        assert_eq!(press("MJ::JOB::high_variation::1::h::SOLO").kind, "VARIATION");
        assert_eq!(press("MJ::JOB::reroll::0::h::SOLO").kind, "REROLL");
        assert!(press("MJ::CustomZoom::h").opens_window);
        assert!(press("MJ::Inpaint::1::h::SOLO").opens_window);
    }
}
