//! What came back from one HTTP exchange.

use std::{borrow::Cow, time::Duration};

use super::{json::Json, mend::mended};

/// How one HTTP exchange went.
pub type Exchange = Result<Answer, Failure>;

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// How long the upstream asks to be left alone.
    pub retry_after: Option<Duration>,
    /// How long it took until the status arrived.
    pub took: Duration,
    /// The body, as far as it arrived.
    pub body: Vec<u8>,
    /// Why the body did not arrive whole, if it did not.
    pub flaw: Option<String>,
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
    /// An answer that came at once, without `Retry-After`.
    #[cfg(test)]
    pub(super) fn of(status: u16, body: &str) -> Self {
        Self { status, retry_after: None, took: Duration::ZERO, body: body.into(), flaw: None }
    }

    /// Treats an incomplete body as complete if it is an object or array up to its closing bracket: then only the frame
    /// around it was wrong. Older new-apis write `"code":1` over `"code":22`, and keep the `Content-Length`.
    #[must_use]
    pub(super) fn forgiven(mut self) -> Self {
        if self.flaw.is_some() && self.text().starts_with(['{', '[']) && Json::read(&self.text()).is_some() {
            self.flaw = None;
        }
        self
    }

    /// The same answer with a body that is JSON, if little is wrong with it.
    pub(super) fn mended(&self) -> Option<Self> {
        let body = mended(&self.text())?.into_bytes();
        Some(Self { body, flaw: self.flaw.clone(), ..*self })
    }

    /// The body as text, without a byte order mark and surrounding space; it may be only the beginning.
    ///
    /// An invalid byte spoils only its own character: codes and ids are ASCII.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match std::str::from_utf8(&self.body) {
            Ok(text) => Cow::Borrowed(trimmed(text)),
            Err(_) => Cow::Owned(trimmed(&String::from_utf8_lossy(&self.body)).to_owned()),
        }
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim()
}
