//! HTTP: makes the clients, and decides what counts as an answer.

use std::time::{Duration, SystemTime};

use reqwest::{
    Client, ClientBuilder, Response,
    header::{
        ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
    },
    redirect::Policy,
};

use super::{
    Failure, UpstreamSettings,
    body_memory::{BodyMemory, Share},
    decode::{TooLarge, decode},
    read_retry_after,
};
use crate::root_cause::root_cause;

/// Redirects of polls and lookups: only to the same server, because the key is sent along.
pub(super) fn redirects_at_home() -> Policy {
    const MOST: usize = 5;
    Policy::custom(|attempt| match attempt.previous() {
        [first, ..] if first.origin() == attempt.url().origin() && attempt.previous().len() <= MOST => attempt.follow(),
        _ => attempt.stop(),
    })
}

/// The settings that all clients share: no redirects, no retries, a limit for everything.
pub(super) fn client(settings: &UpstreamSettings) -> ClientBuilder {
    // Shorter than the whole time-out, because a connection that was never made must differ from an answer that never
    // came.
    let connect_timeout = Duration::from_secs(5).min(settings.timeout.mul_f64(0.8));
    Client::builder()
        .default_headers(headers())
        .user_agent(concat!("mjq/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(connect_timeout)
        .timeout(settings.timeout)
        .tcp_nodelay(true)
        // An answer must not be lost because of a header that mjq does not need.
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_ignore_invalid_headers_in_responses(true)
}

fn headers() -> HeaderMap {
    let json = HeaderValue::from_static("application/json");
    // Compressed answers are understood all the same: see `decode`.
    let encoding = HeaderValue::from_static("identity");
    HeaderMap::from_iter([(ACCEPT, json.clone()), (ACCEPT_ENCODING, encoding), (CONTENT_TYPE, json)])
}

/// The status that the response means: a 302 to the same path elsewhere means 307.
pub(super) fn meant_by(response: &Response) -> u16 {
    let leads_to_the_same_path = || {
        let location = response.headers().get(LOCATION)?.to_str().ok()?;
        Some(response.url().join(location).ok()?.path() == response.url().path())
    };
    match response.status().as_u16() {
        302 if leads_to_the_same_path() == Some(true) => 307,
        status => status,
    }
}

/// Reads the body as far as it arrives, and says why it did not arrive whole.
pub(super) async fn read_body(
    response: &mut Response,
    max_bytes: usize,
    share: Share<'_>,
) -> (Vec<u8>, Option<String>) {
    let (body, flaw) = read_bytes(response, max_bytes, share).await;
    let encodings = response.headers().get_all(CONTENT_ENCODING).iter().filter_map(|it| it.to_str().ok());
    match decode(body, &encodings.collect::<Vec<_>>().join(","), max_bytes) {
        Ok(body) => (body, flaw),
        Err(TooLarge) => (Vec::new(), Some(too_large(max_bytes))),
    }
}

async fn read_bytes(response: &mut Response, max_bytes: usize, mut share: Share<'_>) -> (Vec<u8>, Option<String>) {
    /// The most memory that is reserved before any byte has arrived.
    const PROMISED: u64 = BodyMemory::OWN as u64;
    if response.content_length().is_some_and(|length| length > max_bytes as u64) {
        return (Vec::new(), Some(too_large(max_bytes)));
    }
    let mut body = Vec::with_capacity(response.content_length().unwrap_or(0).min(PROMISED) as usize);
    let flaw = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > max_bytes => return (Vec::new(), Some(too_large(max_bytes))),
            Ok(Some(chunk)) if !share.grow_to(body.len() + chunk.len()) => {
                return (Vec::new(), Some("the answers under way take too much memory".to_owned()));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break None,
            Err(error) if error.is_timeout() => break Some("the answer did not end in time".to_owned()),
            Err(error) => break Some(format!("the answer broke off: {}", root_cause(&error))),
        }
    };
    (body, flaw)
}

fn too_large(max_bytes: usize) -> String {
    format!("the answer is larger than {max_bytes} bytes")
}

/// Tells whether the request can have left.
pub(super) fn failure_of(error: &reqwest::Error) -> Failure {
    if error.is_connect() && error.is_timeout() {
        Failure::NotSent("connecting took too long".to_owned())
    } else if error.is_connect() {
        Failure::NotSent(format!("cannot connect: {}", root_cause(error)))
    } else if error.is_builder() {
        Failure::NotSent(format!("cannot make the request: {}", root_cause(error)))
    } else if error.is_timeout() {
        Failure::Lost("no answer in time".to_owned())
    } else {
        Failure::Lost(format!("no answer: {}", root_cause(error)))
    }
}

/// Reads how long the upstream asks to be left alone.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    // A date is relative to the upstream's clock, not to the pod's.
    let now = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or_else(SystemTime::now);
    read_retry_after(text(RETRY_AFTER)?, now)
}
