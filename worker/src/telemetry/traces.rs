//! Traces: one span for each step of a job, sent by OTLP to a collector.
//!
//! Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) names the collector; OpenTelemetry's own variables
//! decide everything else. A step is a child of the span that the job's `trace.traceparent` names, so that a picture is
//! part of its caller's trace. The steps of a job without a `traceparent` share a trace whose id is made from the job's
//! id, so all pods use the same trace.

use std::{collections::HashMap, env, sync::OnceLock, time::Duration, time::SystemTime};

use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator,
    trace::{
        Span, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer, TracerProvider,
    },
};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider},
};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

/// Makes spans. Set once [`start`] has found a collector.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Keeps spans being sent until [`Traces::stop`].
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

/// One step of a job that has ended.
#[derive(Debug, Clone, Copy)]
pub struct StepSpan<'a> {
    /// The act of the step: `submit`, `poll` …
    pub act: &'static str,
    /// The observation of the step.
    pub observation: &'static str,
    /// The queue's name.
    pub queue: &'a str,
    /// The job's id.
    pub job: &'a str,
    /// The fence of the step's claim.
    pub fence: u64,
    /// The caller's `traceparent`; empty when the job has none.
    pub traceparent: &'a str,
    /// When the step began.
    pub began: SystemTime,
}

/// Begins to send spans, if the environment names a collector. To be called before the runtime starts, because sending
/// has its own thread.
#[must_use]
pub fn start() -> Option<Traces> {
    let is_given = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    if !is_given("OTEL_EXPORTER_OTLP_ENDPOINT") && !is_given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        return None;
    }
    let exporter = match SpanExporter::builder().with_http().build() {
        Ok(exporter) => exporter,
        Err(error) => {
            warn!(error = %error, "no traces are sent, the exporter cannot be made: {error}");
            return None;
        }
    };
    let resource = Resource::builder();
    let resource = if is_given("OTEL_SERVICE_NAME") { resource } else { resource.with_service_name("mjq") };
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    // A second call has no effect.
    let _ = TRACER.set(provider.tracer("mjq"));
    info!("traces are sent by OTLP");
    Some(Traces(provider))
}

/// Whether spans are sent. If not, none need to be made.
#[must_use]
pub fn are_on() -> bool {
    TRACER.get().is_some()
}

impl Traces {
    /// Sends the remaining spans, but waits only a moment for a collector that does not answer: nothing depends on
    /// spans.
    pub fn stop(self) {
        const PATIENCE: Duration = Duration::from_millis(500);
        let _ = self.0.shutdown_with_timeout(PATIENCE);
    }
}

impl StepSpan<'_> {
    /// Sends the span, if spans are sent.
    pub fn end(self) {
        let Some(tracer) = TRACER.get() else { return };
        let builder = tracer.span_builder(self.act).with_kind(SpanKind::Client).with_start_time(self.began);
        let attributes = [
            KeyValue::new("mjq.queue", self.queue.to_owned()),
            KeyValue::new("mjq.job", self.job.to_owned()),
            KeyValue::new("mjq.fence", i64::try_from(self.fence).unwrap_or(i64::MAX)),
            KeyValue::new("mjq.observation", self.observation),
        ];
        tracer.build_with_context(builder.with_attributes(attributes), &self.parent()).end();
    }

    fn parent(&self) -> Context {
        let carrier = HashMap::from([("traceparent".to_owned(), self.traceparent.to_owned())]);
        let callers = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
        if callers.span().span_context().is_valid() {
            return callers;
        }
        let digest = Sha256::digest(format!("{}/{}", self.queue, self.job).as_bytes());
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        trace.copy_from_slice(&digest[..16]);
        span.copy_from_slice(&digest[16..24]);
        let (trace, span) = (TraceId::from_bytes(trace), SpanId::from_bytes(span));
        Context::new().with_remote_span_context(SpanContext::new(
            trace,
            span,
            TraceFlags::SAMPLED,
            true,
            TraceState::default(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace_of(job: &str, traceparent: &str) -> String {
        let (act, observation, queue, fence, began) = ("poll", "running", "default", 1, SystemTime::UNIX_EPOCH);
        let span = StepSpan { act, observation, queue, job, fence, traceparent, began };
        span.parent().span().span_context().trace_id().to_string()
    }

    #[test]
    fn a_step_belongs_to_its_callers_trace() {
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

        assert_eq!(trace_of("order-1842", traceparent), "0af7651916cd43dd8448eb211c80319c");
    }

    #[test]
    fn without_one_that_can_be_read_all_steps_of_a_job_share_a_trace_of_its_own() {
        for odd in ["", "nonsense", "00-00000000000000000000000000000000-0000000000000000-00"] {
            assert_eq!(trace_of("order-1842", odd), trace_of("order-1842", ""), "{odd}");
        }
        assert_ne!(trace_of("order-1842", ""), trace_of("order-1843", ""));
    }
}
