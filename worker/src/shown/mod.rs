//! Output for operators, on a terminal, on a page or as JSON, with the same names, words and numbers everywhere.

mod escape_bidi;
mod format;
mod job_body;
mod line_body;
mod next_step;

pub(crate) use escape_bidi::escape_bidi;
pub(crate) use format::{bytes, count, counted, due, instant, span};
pub(crate) use job_body::JobBody;
pub(crate) use line_body::LineBody;
pub(crate) use next_step::next_step;
