//! Answers of the simulator, which are decided first and sent later.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::body::Frame;
use serde_json::{Value, json};

use crate::script::{Fault, RetryAfter};

/// An answer that was decided, and when to send it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) wire: Wire,
    /// The delay before the answer is sent.
    pub(crate) delay: Duration,
}

/// What is sent to the client.
#[derive(Clone, Debug)]
pub(crate) enum Wire {
    /// A whole answer.
    Full { status: u16, content_type: &'static str, body: Bytes, retry_after: Option<RetryAfter> },
    /// The beginning of an answer; then the connection ends.
    Half(Bytes),
    /// The connection ends without an answer.
    Cut(Cut),
    /// Nothing, for ever.
    Hang,
}

/// How a connection ends without an answer. The server finds it in a response's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Close,
    Reset,
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

impl Wire {
    pub(crate) fn json(value: &Value) -> Self {
        Self::body(200, JSON, value.to_string())
    }

    pub(crate) fn body(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::Full { status, content_type, body: body.into(), retry_after: None }
    }

    /// This answer with the fault applied to it.
    pub(crate) fn damaged(self, fault: &Fault) -> Self {
        match fault {
            Fault::Status { status, retry_after, html } => {
                let (content_type, body) = if *html { (HTML, page(*status)) } else { (JSON, problem(*status)) };
                Self::Full { status: *status, content_type, body: body.into(), retry_after: *retry_after }
            }
            Fault::Empty => Self::body(200, JSON, ""),
            Fault::Broken => Self::body(200, JSON, self.first_half()),
            Fault::Html => Self::body(200, HTML, page(200)),
            Fault::Half => Self::Half(self.first_half()),
            Fault::Close => Self::Cut(Cut::Close),
            Fault::Reset => Self::Cut(Cut::Reset),
            Fault::Hang => Self::Hang,
        }
    }

    /// Sends the answer: all of it, half of it, or nothing.
    pub(crate) async fn send(self) -> Response {
        match self {
            Self::Full { status, content_type, body, retry_after } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let mut response = (status, [(header::CONTENT_TYPE, content_type)], body).into_response();
                if let Some(value) = retry_after.and_then(retry_after_header) {
                    response.headers_mut().insert(header::RETRY_AFTER, value);
                }
                response
            }
            Self::Half(bytes) => {
                let promised = bytes.len() * 2 + 1;
                let body = Body::new(HalfBody { rest: Some(bytes), has_flushed: false });
                ([(header::CONTENT_TYPE, JSON.to_owned()), (header::CONTENT_LENGTH, promised.to_string())], body)
                    .into_response()
            }
            Self::Cut(cut) => {
                let mut response = ().into_response();
                response.extensions_mut().insert(cut);
                response
            }
            Self::Hang => match std::future::pending::<Infallible>().await {},
        }
    }

    fn first_half(&self) -> Bytes {
        match self {
            Self::Full { body, .. } if body.len() > 1 => body.slice(..body.len() / 2),
            _ => Bytes::from_static(br#"{"code":1,"descr"#),
        }
    }
}

/// A body that ends with an error, so that the server breaks off the connection.
struct HalfBody {
    rest: Option<Bytes>,
    has_flushed: bool,
}

impl hyper::body::Body for HalfBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(bytes) = self.rest.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if !self.has_flushed {
            // An immediate error would discard the data that has not been written yet.
            self.has_flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(std::io::ErrorKind::BrokenPipe.into())))
    }
}

fn retry_after_header(when: RetryAfter) -> Option<HeaderValue> {
    let text = match when {
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::Date(seconds) => httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds)),
    };
    HeaderValue::from_str(&text).ok()
}

fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

fn page(status: u16) -> String {
    let reason = reason(status);
    format!(
        "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n\
         <center><h1>{status} {reason}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
}

fn problem(status: u16) -> String {
    json!({"error": {"message": reason(status), "type": "upstream_error", "code": status}}).to_string()
}
