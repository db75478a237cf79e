//! Crash points: the places between two promises, where a test lets this process die.
//!
//! They exist in builds with the feature `crash-points` only, which no release has; elsewhere they are nothing.
//! `MJQ_CRASH_POINT=before_post` aborts the process as soon as it comes by that point, `before_post:3` the third time.

/// A place where the process can be told to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "crash-points"),
    expect(dead_code, reason = "without the feature, nobody comes by in the middle of an exchange")
)]
pub(super) enum CrashPoint {
    /// Submits are claimed, their intent is in the ledger, and nothing has begun.
    AfterClaim,
    /// The request is made and not sent.
    BeforePost,
    /// The request has left, and no answer has come.
    AfterPost,
    /// The answer is here, and nobody has been told.
    AfterAnswer,
    /// What the answer means is decided, and not written down.
    BeforeSettle,
    /// It is written down, and this process does not act on that.
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

    /// The point's name, and how often it is passed until it is fatal.
    static ARMED: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
        let text = std::env::var("MJQ_CRASH_POINT").ok()?;
        let (name, nth) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), AtomicU32::new(nth.parse().unwrap_or(1))))
    });

    /// Long enough for a request to arrive at an upstream on the same machine.
    const UNDER_WAY: Duration = Duration::from_millis(250);

    /// Dies here, if it is time to.
    pub(in super::super) fn come_by(point: CrashPoint) {
        if let Some((name, left)) = &*ARMED
            && name == point.name()
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            eprintln!("crash point {name}");
            std::process::abort();
        }
    }

    /// Performs an exchange, and comes by [`CrashPoint::AfterPost`] when its answer lets itself be waited for.
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
