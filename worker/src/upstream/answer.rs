//! What came back from one HTTP exchange.

use std::{borrow::Cow, time::Duration};

/// How one HTTP exchange went.
pub type Exchange = Result<Answer, Failure>;

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// How long the upstream asks to be left alone.
    pub retry_after: Option<Duration>,
    /// How long it took until its status was there.
    pub took: Duration,
    /// The whole body; or, when it broke off or was too large, what happened.
    pub body: Result<Vec<u8>, String>,
}

/// An exchange without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The request never left: connection refused, no such host, TLS failure.
    NotSent(String),
    /// The request left, or may have left, and no answer came.
    Lost(String),
}

impl Failure {
    /// What happened, in words.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::NotSent(reason) | Self::Lost(reason) => reason,
        }
    }
}

impl Answer {
    /// An answer that came at once, and asks for no pause.
    #[cfg(test)]
    pub(super) fn of(status: u16, body: &str) -> Self {
        Self { status, retry_after: None, took: Duration::ZERO, body: Ok(body.into()) }
    }

    /// The body as text, without a byte order mark and surrounding space; empty when it did not arrive whole.
    ///
    /// A wrong byte spoils its own character only: codes and ids are ASCII.
    pub(super) fn text(&self) -> Cow<'_, str> {
        let body = self.body.as_deref().unwrap_or_default();
        match std::str::from_utf8(body) {
            Ok(text) => Cow::Borrowed(trimmed(text)),
            Err(_) => Cow::Owned(trimmed(&String::from_utf8_lossy(body)).to_owned()),
        }
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim()
}
