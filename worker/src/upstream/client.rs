//! The client: one call, one HTTP exchange.
//!
//! The client contains two HTTP clients. Submits go over HTTP/1.1, on connections that have not been idle for long: if
//! a server closes an idle connection, or an HTTP/2 server says goodbye, at the moment when a submit leaves, nobody can
//! know the outcome. Polls may be repeated, so they use the fastest protocol available.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use mjq_producer::contract::{Kind, TaskId};
use reqwest::{Client, ClientBuilder, RequestBuilder};
use url::Url;

use super::{
    Answer, AnswerClass, Batch, EndpointClass, Exchange, Failure, Sent, UpstreamSettings,
    address::{Address, AddressError},
    body_memory::BodyMemory,
    classify_list::{TaskList, classify_list},
    classify_poll, classify_submit,
    http::{client, failure_of, meant_by, read_body, redirects_at_home, retry_after},
    json::Json,
    key::KeyHolder,
    metering::Meter,
    picture,
};
use crate::lifecycle::{Busy, Observation};

/// The largest answer about one task or submit, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// The largest answer about many tasks, in bytes.
const MAX_LIST: usize = 64 << 20;
/// The memory that polls and lookups under way may hold for large answers, in bytes: one list of the largest kind.
const MEMORY_FOR_READS: usize = MAX_LIST;

/// The upstream API. Clones share everything.
#[derive(Debug, Clone)]
pub struct Upstream(Arc<Inner>);

/// Why the settings do not make a client.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The base is no HTTP address, or contains a user or password.
    #[error("the upstream's base must be an http or https address without a user and password")]
    Base,
    /// A path does not make an address.
    #[error("the upstream's {which} path is not usable")]
    Path {
        /// Which path.
        which: &'static str,
        /// Why not.
        #[source]
        cause: AddressError,
    },
    /// The header's name, or the key itself, cannot stand in an HTTP header.
    #[error("the upstream's key cannot be sent in the header `{header}`")]
    Key {
        /// The header's name.
        header: String,
    },
    /// The HTTP client cannot be made, for example without root certificates.
    #[error("could not make an HTTP client")]
    Client(#[source] reqwest::Error),
}

#[derive(Debug)]
struct Inner {
    submitter: Client,
    /// Follows redirects.
    getter: Client,
    poster: Client,
    /// The base that addresses without a host are relative to.
    base: Url,
    key: KeyHolder,
    submit: Address,
    fetch: Address,
    list: Option<Address>,
    cancel: Option<Address>,
    lookup: Option<Address>,
    under_way: AtomicUsize,
    memory: BodyMemory,
    meter: Meter,
}

/// Counts one exchange that is under way, for as long as this exists.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn count(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Upstream {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// [`UpstreamError`] names the unusable setting.
    pub fn new(settings: &UpstreamSettings) -> Result<Self, UpstreamError> {
        let base = &settings.base_url;
        let has_password = !base.username().is_empty() || base.password().is_some();
        if !matches!(base.scheme(), "http" | "https") || has_password {
            return Err(UpstreamError::Base);
        }
        let filled = |which, path: &str, placeholder| {
            Address::new(base, path, placeholder).map_err(|cause| UpstreamError::Path { which, cause })
        };
        let fixed =
            |which, path: &str| Address::fixed(base, path).map_err(|cause| UpstreamError::Path { which, cause });
        let build = |builder: ClientBuilder| builder.build().map_err(UpstreamError::Client);
        // An error means that a provider is installed already, which will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self(Arc::new(Inner {
            // Common servers close an idle connection after 2 seconds or more.
            submitter: build(client(settings).http1_only().pool_idle_timeout(Duration::from_secs(1)))?,
            getter: build(client(settings).redirect(redirects_at_home()))?,
            poster: build(client(settings))?,
            base: base.clone(),
            key: KeyHolder::new(settings)?,
            submit: filled("submit", &settings.submit_path, "{action}")?,
            fetch: filled("fetch", &settings.fetch_path, "{id}")?,
            list: settings.list_path.as_deref().map(|path| fixed("list", path)).transpose()?,
            cancel: settings.cancel_path.as_deref().map(|path| filled("cancel", path, "{id}")).transpose()?,
            lookup: settings.lookup_path.as_deref().map(|path| fixed("lookup", path)).transpose()?,
            under_way: AtomicUsize::new(0),
            memory: BodyMemory::of(MEMORY_FOR_READS),
            meter: Meter::default(),
        })))
    }

    /// How many exchanges are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.0.under_way.load(Ordering::Relaxed)
    }

    /// Submits a job; `body` is sent unchanged.
    ///
    /// Once the future has been polled, dropping it leaves the outcome unknown.
    pub async fn submit(&self, kind: Kind, body: String) -> Observation {
        let begun = Instant::now();
        let sent = Sent::in_body(&body);
        let request = self.0.submitter.post(self.0.submit.with(kind.as_str())).body(body);
        // The answer may name a task that costs money, so it is never given up for want of memory.
        let exchange = self.exchange(request, MAX_ANSWER, None).await;
        let seen = classify_submit(kind, &sent, &exchange);
        if matches!(seen, Observation::Refused { busy: Busy::Barred, .. }) {
            self.0.key.read_again().await;
        }
        self.0.meter.record(EndpointClass::Submit, AnswerClass::of(&exchange, &seen), begun.elapsed());
        seen
    }

    /// Polls one task.
    pub async fn fetch(&self, task: &TaskId) -> Observation {
        let begun = Instant::now();
        let exchange = self.read(self.0.getter.get(self.0.fetch.with(task.as_str())), MAX_ANSWER).await;
        let mut seen = classify_poll(task, &exchange);
        picture::resolve(&mut seen, &self.0.base);
        self.0.meter.record(EndpointClass::Fetch, AnswerClass::of(&exchange, &seen), begun.elapsed());
        seen
    }

    /// Polls many tasks in one exchange, if the upstream can do that.
    pub async fn fetch_many(&self, tasks: &[TaskId]) -> Batch {
        let Some(list) = &self.0.list else {
            return Batch::Unsupported("no list path is set".to_owned());
        };
        if tasks.is_empty() {
            return Batch::Seen(HashMap::new());
        }
        let begun = Instant::now();
        let ids: Vec<&str> = tasks.iter().map(TaskId::as_str).collect();
        let body = serde_json::json!({ "ids": ids }).to_string();
        let exchange = self.read(self.0.poster.post(list.with("")).body(body), MAX_LIST).await;
        let mut batch = classify_list(tasks, &exchange);
        if let Batch::Seen(seen) = &mut batch {
            seen.values_mut().for_each(|seen| picture::resolve(seen, &self.0.base));
        }
        let class = match &batch {
            Batch::Seen(_) => AnswerClass::Ok,
            Batch::Unsupported(_) => AnswerClass::Refused,
            Batch::Failed(seen) => AnswerClass::of(&exchange, seen),
        };
        self.0.meter.record(EndpointClass::List, class, begun.elapsed());
        batch
    }

    /// Fetches the list of all tasks. It is empty if the upstream has none.
    pub async fn list_tasks(&self) -> TaskList {
        let Some(lookup) = &self.0.lookup else {
            return TaskList::default();
        };
        let begun = Instant::now();
        let exchange = self.read(self.0.getter.get(lookup.with("")), MAX_LIST).await;
        let list = TaskList::of(exchange);
        self.0.meter.record(EndpointClass::Lookup, list.class(), begun.elapsed());
        list
    }

    /// Whether the upstream can be asked to cancel a task.
    #[must_use]
    pub fn can_cancel(&self) -> bool {
        self.0.cancel.is_some()
    }

    /// Asks the upstream to cancel a task. Returns whether it answered that it will.
    ///
    /// Returns `false`, too, if the upstream cannot cancel.
    pub async fn cancel(&self, task: &TaskId) -> bool {
        let Some(cancel) = &self.0.cancel else {
            return false;
        };
        let begun = Instant::now();
        let request = self.0.poster.post(cancel.with(task.as_str())).body("{}");
        let exchange = self.exchange(request, MAX_ANSWER, Some(&self.0.memory)).await;
        let is_cancelled = exchange.as_ref().is_ok_and(agrees);
        let class = match &exchange {
            _ if is_cancelled => AnswerClass::Ok,
            Ok(_) => AnswerClass::Refused,
            Err(Failure::NotSent(_)) => AnswerClass::Unreachable,
            Err(Failure::Lost(_)) => AnswerClass::Unanswered,
        };
        self.0.meter.record(EndpointClass::Cancel, class, begun.elapsed());
        is_cancelled
    }

    /// Makes the exchange of a poll or a lookup. If the key is refused, the key is read again for the next exchange.
    async fn read(&self, request: RequestBuilder, max_bytes: usize) -> Exchange {
        let exchange = self.exchange(request, max_bytes, Some(&self.0.memory)).await;
        if exchange.as_ref().is_ok_and(|answer| matches!(answer.status, 401 | 403)) {
            self.0.key.read_again().await;
        }
        exchange
    }

    async fn exchange(&self, request: RequestBuilder, max_bytes: usize, memory: Option<&BodyMemory>) -> Exchange {
        let _under_way = UnderWay::count(&self.0.under_way);
        let key = self.0.key.current();
        let request = match &key {
            Some(key) => key.sign(request),
            None => request,
        };
        let begun = Instant::now();
        let mut response = request.send().await.map_err(|error| failure_of(&error))?;
        let status = meant_by(&response);
        let (retry_after, took) = (retry_after(response.headers()), begun.elapsed());
        let (body, flaw) = read_body(&mut response, max_bytes, BodyMemory::share(memory)).await;
        let body = match &key {
            Some(key) => key.hide_in(status, body),
            None => body,
        };
        Ok(Answer { status, retry_after, took, body, flaw }.forgiven())
    }
}

/// Whether an answer agrees to a cancel: a success without a code that says otherwise.
fn agrees(answer: &Answer) -> bool {
    let code = || Json::read(&answer.text())?.fields()?.get("code")?.integer();
    (200..300).contains(&answer.status) && answer.flaw.is_none() && code().is_none_or(|code| code == 1)
}
