//! Crash points: places between two promises where a test makes this process die.
//!
//! Crash points exist only in builds with the feature `crash-points`, which no release has; in other builds they do
//! nothing. `MJQ_CRASH_POINT=before_post` aborts the process the first time that it passes that point, `before_post:3`
//! the third time.

/// A place where the process can be told to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "crash-points"),
    expect(dead_code, reason = "without the feature, nobody comes by in the middle of an exchange")
)]
pub(super) enum CrashPoint {
    /// Submits are claimed and their intent is in the ledger, but no step has begun.
    AfterClaim,
    /// The request is made, but not sent.
    BeforePost,
    /// The request has left, but no answer has come.
    AfterPost,
    /// The answer is here, but nothing else in this process knows it.
    AfterAnswer,
    /// The meaning of the answer is decided, but not written down.
    BeforeSettle,
    /// The settlement is written down, but this process has not acted on it.
    AfterSettle,
}

#[cfg(not(feature = "crash-points"))]
mod armed {
    use super::CrashPoint;

    pub(in super::super) fn come_by(_: CrashPoint) {}

    pub(in super::super) async fn in_exchange<T>(exchange: impl Future<Output = T>) -> T {
        exchange.await
    }
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::{
        pin::pin,
        sync::{
            LazyLock,
            atomic::{AtomicU32, Ordering},
        },
        time::Duration,
    };

    use super::CrashPoint;

    /// The point's name, and the number of passes until it kills the process.
    static ARMED: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
        let text = std::env::var("MJQ_CRASH_POINT").ok()?;
        let (name, nth) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), AtomicU32::new(nth.parse().unwrap_or(1))))
    });

    /// Long enough for a request to arrive at an upstream on the same machine.
    const UNDER_WAY: Duration = Duration::from_millis(250);

    /// Aborts the process if this pass of `point` is the armed one.
    pub(in super::super) fn come_by(point: CrashPoint) {
        if let Some((name, left)) = &*ARMED
            && name == point.name()
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            eprintln!("crash point {name}");
            std::process::abort();
        }
    }

    /// Performs an exchange. If the answer takes longer than `UNDER_WAY`, passes [`CrashPoint::AfterPost`] meanwhile.
    pub(in super::super) async fn in_exchange<T>(exchange: impl Future<Output = T>) -> T {
        let mut exchange = pin!(exchange);
        tokio::select! {
            answer = &mut exchange => return answer,
            () = tokio::time::sleep(UNDER_WAY) => come_by(CrashPoint::AfterPost),
        }
        exchange.await
    }

    impl CrashPoint {
        fn name(self) -> &'static str {
            match self {
                Self::AfterClaim => "after_claim",
                Self::BeforePost => "before_post",
                Self::AfterPost => "after_post",
                Self::AfterAnswer => "after_answer",
                Self::BeforeSettle => "before_settle",
                Self::AfterSettle => "after_settle",
            }
        }
    }
}

pub(super) use armed::{come_by, in_exchange};
