//! Denials: what Redis refuses to do. No outage: asking again changes nothing until somebody changes the rights, or makes
//! room.

use redis::{ErrorKind, RedisError};

/// What Redis refuses, in its words; `None` for any other error.
///
/// That is a user without the right (`NOPERM`, also from within a script), no login (`NOAUTH`) and a
/// wrong one (`WRONGPASS`); a full memory (`OOM`), and a disk that cannot be written (`MISCONF`).
#[must_use]
pub fn denial(error: &RedisError) -> Option<String> {
    const CODES: [&str; 5] = ["NOPERM", "NOAUTH", "WRONGPASS", "OOM", "MISCONF"];
    let words = error.to_string();
    if error.kind() == ErrorKind::AuthenticationFailed {
        // The client does not pass on what Redis said.
        return Some(format!("WRONGPASS: {words}"));
    }
    if let Some(code) = error.code().filter(|code| CODES.contains(code)) {
        return Some(format!("{code}: {}", error.detail().unwrap_or(&words)));
    }
    // A script's error and a pipeline's have no code of their own, but they repeat their command's.
    let is_denied = ["NOPERM", "NoPerm", "NOAUTH", "ACL failure", "The user executing the script can't"]
        .iter()
        .any(|phrase| words.contains(phrase));
    is_denied.then(|| format!("NOPERM: {words}"))
}

#[cfg(test)]
mod tests {
    use redis::{Value, from_redis_value};

    use super::*;

    #[test]
    fn denials_are_told_from_outages() {
        let io = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        let login = RedisError::from((ErrorKind::AuthenticationFailed, "Password authentication failed"));
        let odd = from_redis_value::<u8>(Value::Okay).map_err(RedisError::from).unwrap_err();

        assert_eq!((denial(&io), denial(&odd)), (None, None));
        assert!(denial(&login).is_some_and(|words| words.starts_with("WRONGPASS")));
    }
}
