//! The gauges of the whole queue, set at each scrape.
//!
//! Each pod shows the same values, so a query must take their `max`, never their `sum`.

use metrics::gauge;

use crate::ledger::Counts;

/// Sets the gauges to `counts`. With `None`, Redis did not answer, and all gauges but `mjq_redis_up` keep their values.
pub(super) fn set(counts: Option<&Counts>) {
    gauge!("mjq_redis_up").set(if counts.is_some() { 1.0 } else { 0.0 });
    let Some(counts) = counts else { return };
    for (state, jobs) in [
        ("arrived", counts.arrived),
        ("queued", counts.queued),
        ("delayed", counts.delayed),
        ("polling", counts.polling),
        ("in_step", counts.in_step),
    ] {
        gauge!("mjq_jobs", "state" => state).set(jobs as f64);
    }
    // A delayed job whose time has come counts as a submit: it only has not been moved to the submit lane yet.
    for (lane, steps) in [
        ("admit", counts.arrived),
        ("submit", counts.queued + counts.delayed_due),
        ("poll", counts.polling_due),
        ("running", counts.in_step),
    ] {
        gauge!("mjq_due_steps", "lane" => lane).set(steps as f64);
    }
    for (phase, jobs) in [("held", counts.held), ("unknown", counts.unknown)] {
        gauge!("mjq_standing_jobs", "phase" => phase).set(jobs as f64);
    }
    gauge!("mjq_open_jobs").set(counts.open as f64);
    gauge!("mjq_open_tasks").set((counts.polling + counts.in_step) as f64);
    gauge!("mjq_oldest_waiting_seconds").set(counts.oldest_waiting_seconds());
    gauge!("mjq_events").set(counts.events as f64);
    gauge!("mjq_events_unread").set(counts.events_unread as f64);
    gauge!("mjq_rejected_entries").set(counts.rejected as f64);
    gauge!("mjq_suspected_rollbacks").set(counts.totals.get("suspected_rollback").copied().unwrap_or(0) as f64);

    let flag = |is_set: bool| if is_set { 1.0 } else { 0.0 };
    let upstream = &counts.upstream;
    gauge!("mjq_upstream_limit").set(upstream.limit.unwrap_or(0.0));
    gauge!("mjq_upstream_breaker_open").set(flag(upstream.is_down()));
    gauge!("mjq_upstream_lost_in_a_row").set(upstream.lost_in_a_row as f64);
    gauge!("mjq_upstream_gate_closed").set(flag(upstream.gate_ms > counts.now_ms));
    gauge!("mjq_paused", "what" => "all").set(flag(upstream.is_paused));
    gauge!("mjq_paused", "what" => "submits").set(flag(upstream.are_submits_paused));
}
