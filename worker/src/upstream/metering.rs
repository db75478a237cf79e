//! The metrics of the upstream: how many exchanges there were of each class, and how long they took.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use mjq_producer::closed_set;

use super::{Exchange, Failure};
use crate::{
    lifecycle::{Busy, Observation},
    metric_handles::Handles,
};

const REQUESTS: &str = "mjq_upstream_requests_total";
const SECONDS: &str = "mjq_upstream_request_seconds";

closed_set! {
    /// The upstream's endpoint that was asked.
    pub enum EndpointClass {
        /// A job was submitted.
        Submit = "submit",
        /// One task was polled.
        Fetch = "fetch",
        /// Many tasks were polled.
        List = "list",
        /// A task was looked for by its state.
        Lookup = "lookup",
        /// A task was cancelled.
        Cancel = "cancel",
    }
}

closed_set! {
    /// The result of an exchange.
    pub enum AnswerClass {
        /// The upstream did what was asked.
        Ok = "ok",
        /// The upstream did not do it, but might later.
        Refused = "refused",
        /// The upstream will never do it.
        Denied = "denied",
        /// Nobody knows whether the upstream did it.
        Unanswered = "unanswered",
        /// A poll or a lookup that told nothing.
        NoVerdict = "no_verdict",
        /// The upstream does not know the task.
        Missing = "missing",
        /// No server is there.
        Unreachable = "unreachable",
        /// A server is there, but has no such address.
        Misaddressed = "misaddressed",
    }
}

impl AnswerClass {
    /// The class of an exchange that was classified as `seen`.
    #[must_use]
    pub fn of(exchange: &Exchange, seen: &Observation) -> Self {
        if matches!(exchange, Err(Failure::NotSent(_))) {
            return Self::Unreachable;
        }
        match seen {
            Observation::Refused { busy: Busy::Unreachable, .. } => Self::Unreachable,
            Observation::Refused { busy: Busy::Misaddressed, .. } => Self::Misaddressed,
            Observation::Refused { .. } => Self::Refused,
            Observation::Denied { .. } => Self::Denied,
            Observation::Unanswered { .. } => Self::Unanswered,
            Observation::NoVerdict { .. } | Observation::Stranger { .. } => Self::NoVerdict,
            Observation::Missing | Observation::NotFound => Self::Missing,
            _ => Self::Ok,
        }
    }
}

/// Counts exchanges.
#[derive(Debug, Default)]
pub(super) struct Meter {
    requests: Handles<(EndpointClass, AnswerClass), Counter>,
    seconds: Handles<EndpointClass, Histogram>,
}

impl Meter {
    pub(super) fn record(&self, endpoint: EndpointClass, class: AnswerClass, took: Duration) {
        let requests = || counter!(REQUESTS, "endpoint" => endpoint.as_str(), "class" => class.as_str());
        self.requests.of((endpoint, class), requests).increment(1);
        let seconds = || histogram!(SECONDS, "endpoint" => endpoint.as_str());
        self.seconds.of(endpoint, seconds).record(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_is_counted_by_endpoint_and_class() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();

        metrics::with_local_recorder(&recorder, || {
            Meter::default().record(EndpointClass::Submit, AnswerClass::Unanswered, Duration::from_millis(1500));
        });

        let page = handle.render();
        assert!(page.contains(r#"mjq_upstream_requests_total{endpoint="submit",class="unanswered"} 1"#), "{page}");
        assert!(page.contains(r#"mjq_upstream_request_seconds_sum{endpoint="submit"} 1.5"#), "{page}");
    }
}
