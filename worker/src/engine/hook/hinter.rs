//! The hinter: passes the hints of hooks on to the ledger, many in one round trip.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::{
    engine::gather::gather,
    ledger::{Hinted, Ledger, TaskHint},
};

/// Takes hints. Clones hand in to the same hinter.
#[derive(Debug, Clone)]
pub(crate) struct HinterHandle(mpsc::UnboundedSender<Handed>);

type Handed = (TaskHint, oneshot::Sender<Hinted>);

/// Passes hints on until all its handles are gone.
#[derive(Debug)]
pub(crate) struct Hinter(mpsc::UnboundedReceiver<Handed>);

impl HinterHandle {
    /// Hands a hint in, and waits until the ledger has taken it. Returns [`Hinted::Nothing`] if the pod leaves before
    /// that.
    pub(crate) async fn hint(&self, hint: TaskHint) -> Hinted {
        let (answer, answered) = oneshot::channel();
        if self.0.send((hint, answer)).is_err() {
            return Hinted::Nothing;
        }
        answered.await.unwrap_or(Hinted::Nothing)
    }
}

impl Hinter {
    /// The most hints that one call carries: a script must not hold Redis for long.
    const BATCH: usize = 64;
    /// How long a hint waits for others to share its round trip. It is short because a consumer may wait for the end of
    /// the task.
    const GATHER: Duration = Duration::from_millis(2);

    /// Makes a hinter and the handle to it.
    pub(crate) fn new() -> (Self, HinterHandle) {
        let (sender, handed) = mpsc::unbounded_channel();
        (Self(handed), HinterHandle(sender))
    }

    /// Passes hints on until all handles are gone.
    pub(crate) async fn run(mut self, ledger: Ledger) {
        loop {
            let batch = gather(&mut self.0, Self::BATCH, Self::GATHER).await;
            if batch.is_empty() {
                break;
            }
            tokio::spawn(pass_on(ledger.clone(), batch));
        }
    }
}

async fn pass_on(ledger: Ledger, batch: Vec<Handed>) {
    let (hints, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    // The call fails only when the pod has to leave; the hooks then get no answer.
    let Ok(hinted) = ledger.hint(&hints).await else { return };
    for (answer, hinted) in answers.into_iter().zip(hinted) {
        // If nothing waits for the answer any more, nothing is lost.
        let _ = answer.send(hinted);
    }
}
