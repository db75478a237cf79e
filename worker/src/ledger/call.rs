//! A call: repeated until Redis answers, until the pod has to leave, or, for commands of the CLI, until Redis denies it.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use redis::{FromRedisValue, RedisError, ToRedisArgs};
use tracing::{error, info, warn};

use super::{Gate, Ledger, denial, scripts::Script};
use crate::waits::Waits;

/// A call that was given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Abandoned {
    /// The pod has to leave, and Redis did not answer in time.
    #[error("redis did not answer before the worker had to stop")]
    Late,
    /// Redis refuses the call, and the caller does not wait until it is allowed.
    #[error("redis refuses {call} to the user of MJQ_REDIS_URL: {words}")]
    Denied {
        /// The call.
        call: String,
        /// What Redis said.
        words: String,
    },
}

impl Ledger {
    /// How long a call may take once the pod is about to leave. After that it is made again over a new connection.
    const HURRIED_CALL: Duration = Duration::from_millis(500);

    /// Calls a script until Redis has answered it.
    pub(super) async fn call<T: FromRedisValue>(&self, script: &Script, args: &[Vec<u8>]) -> Result<T, Abandoned> {
        self.call_with(script, &args).await
    }

    /// Like [`Self::call`], for arguments of any kind.
    pub(super) async fn call_with<T: FromRedisValue>(
        &self,
        script: &Script,
        args: &impl ToRedisArgs,
    ) -> Result<T, Abandoned> {
        self.until_answered(script.name(), || script.run(&self.0.link, &self.0.prefix, args)).await
    }

    /// Repeats `attempt`, which must be harmless to repeat, until Redis has answered it.
    pub(super) async fn until_answered<T, F>(&self, what: &str, mut attempt: impl FnMut() -> F) -> Result<T, Abandoned>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let (began, mut waits) = (Instant::now(), Waits::of_a_call());
        // The caller may stop waiting. Dropping `waiting` then ends its denial, which concerns nobody any more.
        let mut waiting = self.0.denials.wait_for(what);
        for tries in 0.. {
            // A call to a Redis that hangs takes long to fail. A pod that has to leave must not wait for that.
            let asked = Instant::now();
            let answer = tokio::select! {
                answer = attempt() => answer,
                () = self.out_of_patience() => {
                    self.0.link.give_up_older_than(asked);
                    Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
                }
                () = self.0.abandon.cancelled() => break,
            };
            let error = match answer {
                Ok(answer) => {
                    self.note_answer(what, tries, began);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            metrics::counter!("mjq_redis_errors_total", "call" => what.to_owned()).increment(1);
            if let Some(words) = denial(&error) {
                if self.0.gives_up_when_denied {
                    return Err(Abandoned::Denied { call: what.to_owned(), words });
                }
                say_denial(what, &words, tries);
                waiting.denied(words);
            } else if self.note_outage() || tries == 0 {
                warn!(call = what, error = %error, "redis did not answer {what}; trying until it does: {error}");
            }
            tokio::select! {
                () = tokio::time::sleep(waits.next_or_longest()) => {}
                () = self.0.abandon.cancelled() => break,
            }
        }
        Err(Abandoned::Late)
    }

    /// Returns once a call takes too long for a pod that is about to leave; otherwise never.
    async fn out_of_patience(&self) {
        self.0.hurry.cancelled().await;
        tokio::time::sleep(Self::HURRIED_CALL).await;
    }

    /// Notes whether Redis has memory for the writes that precede a submit.
    pub(super) fn note_room(&self, has_room: bool) {
        if self.0.denials.set_full(!has_room) {
            error!("redis has reached its maxmemory: nothing new is submitted until it has room");
        }
    }

    /// Notes the gate that a claim found closed. A Cluster's client follows a failover by itself, so the pod may learn
    /// of the failover only here.
    pub(super) fn note_gate(&self, gate: Gate) {
        if gate != Gate::OPEN && self.0.gate.swap(gate.0, Ordering::Relaxed) != gate.0 {
            self.0.outages.send_modify(|outages| *outages += 1);
        }
    }

    /// Notes the gate for which the pod is reporting what it holds.
    pub(super) fn note_told(&self, gate: Gate) {
        if gate != Gate::OPEN {
            self.0.gate.store(gate.0, Ordering::Relaxed);
        }
    }

    /// Notes that a call failed. Returns whether Redis had answered the call before.
    fn note_outage(&self) -> bool {
        self.0.server_look.doubt();
        let has_answered = self.0.is_reachable.send_replace(false);
        if has_answered {
            self.0.outages.send_modify(|outages| *outages += 1);
        }
        has_answered
    }

    fn note_answer(&self, what: &str, tries: u32, began: Instant) {
        self.0.clock.answered();
        if !self.0.is_reachable.send_replace(true) && tries > 0 {
            let seconds = began.elapsed().as_secs_f64();
            info!(call = what, tries, "redis answers again after {seconds:.1} s");
        }
    }
}

/// Logs a denial as an error: Redis is there, so waiting does not help, and a person has to act.
fn say_denial(what: &str, words: &str, tries: u32) {
    /// About half a minute of tries.
    const AGAIN: u32 = 60;
    if tries.is_multiple_of(AGAIN) {
        error!(call = what, "redis refuses {what}: {words}; trying until it does not");
    }
}
