//! A button below a result, on the job's page.

use maud::{Markup, html};
use mjq_producer::contract::Button;

/// Shows the button's emoji and label. Its tooltip is the custom id that an action sends to press the button.
pub(super) fn chip(button: &Button) -> Markup {
    let Button { label, emoji, custom_id } = button;
    let face = format!("{emoji} {label}").trim().to_owned();
    html! { span .chip title=(custom_id) { (if face.is_empty() { custom_id } else { &face }) } }
}
