//! A button below a result, on the job's page.

use maud::{Markup, html};
use mjq_producer::contract::Button;

/// Its emoji and its label, and over them what an action sends to press it.
pub(super) fn chip(button: &Button) -> Markup {
    let Button { label, emoji, custom_id } = button;
    let face = format!("{emoji} {label}").trim().to_owned();
    html! { span .chip title=(custom_id) { (if face.is_empty() { custom_id } else { &face }) } }
}
