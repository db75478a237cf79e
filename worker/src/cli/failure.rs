//! The failures that end a command early, and their exit codes.

use std::{error::Error, io};

use mjq_producer::{EnqueueError, ReadError};

use super::words::first_failure;
use crate::ledger::{Abandoned, RetryError, ViewError, denial};

/// A command did not do what it was asked to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// Redis did not answer.
    #[error("Redis cannot be reached")]
    Redis(#[source] Box<dyn Error + Send + Sync>),
    /// The job that the command waited for has no result. Its event was printed already.
    #[error("the job has no result")]
    NoResult,
    /// The command cannot be carried out now, or the answer is no.
    #[error("{0}")]
    NotDone(String),
    /// A signal ended the wait for a job. The number is the signal's.
    #[error("interrupted")]
    Interrupted(u8),
    /// Redis rejects the user or password of MJQ_REDIS_URL, or wants one where the URL has none.
    #[error("{0}")]
    Login(String),
    /// The doctor found something wrong. The findings were printed already.
    #[error("something is wrong")]
    Unwell,
    /// stdout is closed or full.
    #[error("could not print")]
    Output(#[source] io::Error),
    /// The worker ended with an error.
    #[error("the worker stopped")]
    Worker(#[source] Box<dyn Error + Send + Sync>),
}

impl Failure {
    /// `EX_USAGE`.
    pub(super) const USAGE: u8 = 64;
    /// `EX_UNAVAILABLE`.
    const UNAVAILABLE: u8 = 69;

    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => Self::USAGE,
            Self::Redis(_) => Self::UNAVAILABLE,
            // As a shell reports a process that a signal has ended.
            Self::Interrupted(signal) => 128 + signal,
            // The reader has closed the pipe, as in `mjq events | head`: nothing went wrong.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::NoResult | Self::NotDone(_) | Self::Login(_) | Self::Unwell | Self::Output(_) | Self::Worker(_) => 1,
        }
    }

    /// The failure and its causes in one line; `None` when everything was printed already.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        if matches!(self, Self::NoResult | Self::Unwell) || self.exit_code() == 0 {
            return None;
        }
        let mut words = vec![self.to_string()];
        let mut error: &dyn Error = self;
        while let Some(cause) = error.source() {
            if is_of_another_server(cause) {
                words.push("what answers there is no Redis".to_owned());
                break;
            }
            words.push(first_failure(&cause.to_string()));
            error = cause;
        }
        // Some libraries repeat the text of their cause.
        words.dedup_by(|cause, error| error.ends_with(cause.as_str()));
        Some(words.join(": "))
    }
}

impl Failure {
    fn denied(words: &str) -> Self {
        let words = first_failure(words);
        if words.contains("WRONGPASS") {
            return Self::Login(format!("the user or the password in MJQ_REDIS_URL is wrong ({words})"));
        }
        if words.contains("NOAUTH") {
            return Self::Login(format!("Redis wants a user and a password, and MJQ_REDIS_URL has none ({words})"));
        }
        Self::NotDone(format!("Redis refuses that to the user of MJQ_REDIS_URL ({words}); see `mjq doctor`"))
    }
}

/// Whether the answer came from a server that is not a Redis.
fn is_of_another_server(error: &(dyn Error + 'static)) -> bool {
    // The client uses this kind also when a Redis answers with another type than was expected.
    let redis = error.downcast_ref::<redis::RedisError>();
    redis.is_some_and(|error| error.kind() == redis::ErrorKind::Parse && error.to_string().contains("Parse error at"))
}

impl From<EnqueueError> for Failure {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Invalid(error) => Self::Usage(error.to_string()),
            error @ EnqueueError::TooLarge { .. } => Self::Usage(error.to_string()),
            EnqueueError::Redis { cause, .. } if denial(&cause).is_some() => cause.into(),
            error => Self::Redis(error.into()),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Redis { cause, .. } if denial(&cause).is_some() => cause.into(),
            error => Self::Redis(error.into()),
        }
    }
}

impl From<redis::RedisError> for Failure {
    fn from(error: redis::RedisError) -> Self {
        if let Some(words) = denial(&error) {
            return Self::denied(&words);
        }
        Self::Redis(error.into())
    }
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Redis(cause) => cause.into(),
            ViewError::Late => Self::Redis(error.into()),
        }
    }
}

impl From<Abandoned> for Failure {
    fn from(abandoned: Abandoned) -> Self {
        match abandoned {
            Abandoned::Late => Self::Redis("it did not answer in time".into()),
            Abandoned::Denied { call, words } => Self::denied(&format!("{call}: {words}")),
        }
    }
}

impl From<RetryError> for Failure {
    fn from(error: RetryError) -> Self {
        match error {
            RetryError::Abandoned(abandoned) => abandoned.into(),
            RetryError::NotKnown | RetryError::NotEnded(_) | RetryError::Changed => Self::NotDone(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io_error(kind: io::ErrorKind) -> io::Error {
        io::Error::from(kind)
    }

    #[test]
    fn each_failure_has_its_exit_code() {
        for (failure, code) in [
            (Failure::Usage("no".into()), 64),
            (Failure::Redis(io_error(io::ErrorKind::ConnectionRefused).into()), 69),
            (Failure::NoResult, 1),
            (Failure::Unwell, 1),
            (Failure::Interrupted(2), 130),
            (RetryError::NotKnown.into(), 1),
            (Abandoned::Late.into(), 69),
            (Abandoned::Denied { call: "retry".into(), words: "NOPERM".into() }.into(), 1),
            (RetryError::Abandoned(Abandoned::Late).into(), 69),
            (ViewError::Late.into(), 69),
            (Failure::Worker(io_error(io::ErrorKind::AddrInUse).into()), 1),
            (Failure::Output(io_error(io::ErrorKind::StorageFull)), 1),
            (Failure::Output(io_error(io::ErrorKind::BrokenPipe)), 0),
        ] {
            assert_eq!(failure.exit_code(), code, "{failure:?}");
            let was_told = matches!(failure, Failure::NoResult | Failure::Unwell);
            assert_eq!(failure.message().is_none(), code == 0 || was_told, "{failure:?}");
        }
    }

    #[test]
    fn the_message_has_the_whole_chain() {
        let failure = Failure::Redis(io_error(io::ErrorKind::ConnectionRefused).into());

        assert_eq!(failure.message().as_deref(), Some("Redis cannot be reached: connection refused"));
    }

    #[test]
    fn a_wrong_login_is_told_from_a_right_that_is_missing() {
        for (words, told) in [
            ("-WRONGPASS invalid username-password pair or user is disabled.", "is wrong (WRONGPASS"),
            ("-NOAUTH Authentication required.", "has none (NOAUTH"),
            ("-NOPERM this user has no permissions to run the 'xadd' command", "Redis refuses that to the user of"),
        ] {
            let value = redis::parse_redis_value(format!("{words}\r\n").as_bytes()).unwrap();
            let failure = Failure::from(value.extract_error().unwrap_err());

            let message = failure.message().unwrap();
            assert!(message.contains(told) && message.contains("MJQ_REDIS_URL"), "{message}");
            assert_eq!(failure.exit_code(), 1, "{message}");
        }
    }

    #[test]
    fn another_server_than_redis_is_told_in_words() {
        let error = redis::parse_redis_value(b"HTTP/1.1 400 Bad Request\r\n").unwrap_err();

        let message = Failure::from(error).message();

        assert_eq!(message.as_deref(), Some("Redis cannot be reached: what answers there is no Redis"));
    }
}
