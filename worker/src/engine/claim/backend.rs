//! The backend: hands claimed steps to apalis.
//!
//! apalis runs the steps; the claimer decides which steps there are. An error returned here would end the worker, so
//! the backend returns none: trouble with Redis is retried inside the ledger.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use super::slot::HeldStep;
use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    task::Task,
    worker::context::WorkerContext,
};
use tokio::sync::mpsc;
use tower::layer::util::Identity;

/// The steps that this pod has claimed, as an apalis backend.
#[derive(Debug)]
pub(crate) struct LedgerBackend {
    claimed: mpsc::Receiver<HeldStep>,
    handed_back: mpsc::UnboundedSender<HeldStep>,
}

impl LedgerBackend {
    /// Takes steps from `claimed`; steps that come after apalis has stopped go to `handed_back`.
    pub(crate) fn new(claimed: mpsc::Receiver<HeldStep>, handed_back: mpsc::UnboundedSender<HeldStep>) -> Self {
        Self { claimed, handed_back }
    }
}

impl Backend for LedgerBackend {
    type Task = Task<HeldStep>;
    type Error = Infallible;

    fn poll_ready(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        if !worker.is_ready() {
            worker.heartbeat(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Task<HeldStep>, Infallible>>> {
        self.claimed.poll_recv(cx).map(|step| step.map(|step| Ok(Task::new(step))))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        // The claimer stops with the same signal and drops its sender, so this loop ends.
        while let Some(step) = std::task::ready!(self.claimed.poll_recv(cx)) {
            // The send fails only when the whole pod is going down; the step's lease then runs out.
            let _ = self.handed_back.send(step);
        }
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for LedgerBackend {
    type Args = HeldStep;
    type Id = String;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}
