//! The hinter: passes on to the ledger what hooks tell, many in one round trip.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::{
    engine::gather::gather,
    ledger::{Hinted, Ledger, TaskHint},
};

/// Where hints are handed in. Clones hand in to the same hinter.
#[derive(Debug, Clone)]
pub(crate) struct HinterHandle(mpsc::UnboundedSender<Handed>);

type Handed = (TaskHint, oneshot::Sender<Hinted>);

/// Passes hints on until all its handles are gone.
#[derive(Debug)]
pub(crate) struct Hinter(mpsc::UnboundedReceiver<Handed>);

impl HinterHandle {
    /// Hands a hint in, and waits until the ledger has taken it. There is nothing to look at once the pod leaves.
    pub(crate) async fn hint(&self, hint: TaskHint) -> Hinted {
        let (answer, answered) = oneshot::channel();
        if self.0.send((hint, answer)).is_err() {
            return Hinted::Nothing;
        }
        answered.await.unwrap_or(Hinted::Nothing)
    }
}

impl Hinter {
    /// A script must not hold Redis for long.
    const BATCH: usize = 64;
    /// Somebody waits for a finish: it is told at once, but for this.
    const GATHER: Duration = Duration::from_millis(2);

    /// Makes a hinter and the handle to it.
    pub(crate) fn new() -> (Self, HinterHandle) {
        let (sender, handed) = mpsc::unbounded_channel();
        (Self(handed), HinterHandle(sender))
    }

    /// Passes on what is handed in, until nobody is left to hand anything in.
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
    // Who gets no answer has a pod that leaves.
    let Ok(hinted) = ledger.hint(&hints).await else { return };
    for (answer, hinted) in answers.into_iter().zip(hinted) {
        // A hook's connection may be gone, which changes nothing.
        let _ = answer.send(hinted);
    }
}
