//! Denials: what Redis refuses to do. No outage: asking again changes nothing until somebody changes the rights, or makes
//! room.

use redis::{ErrorKind, RedisError};

/// What Redis refuses, in its words; `None` for any other error.
///
/// That is a user without the right (`NOPERM`, also from within a script), no login (`NOAUTH`) and a
/// wrong one (`WRONGPASS`); a full memory (`OOM`), a disk that cannot be written (`MISCONF`), and a key of ours that
/// somebody has made something else of (`WRONGTYPE`).
#[must_use]
pub fn denial(error: &RedisError) -> Option<String> {
    const CODES: [&str; 6] = ["NOPERM", "NOAUTH", "WRONGPASS", "OOM", "MISCONF", "WRONGTYPE"];
    const PHRASES: [(&str, &str); 8] = [
        ("NOPERM", "NOPERM"),
        ("NoPerm", "NOPERM"),
        ("ACL failure", "NOPERM"),
        ("The user executing the script can't", "NOPERM"),
        ("NOAUTH", "NOAUTH"),
        ("OOM command not allowed", "OOM"),
        ("MISCONF", "MISCONF"),
        ("WRONGTYPE", "WRONGTYPE"),
    ];
    let words = error.to_string();
    if error.kind() == ErrorKind::AuthenticationFailed {
        // The client does not pass on what Redis said.
        return Some(format!("WRONGPASS: {words}"));
    }
    if let Some(code) = error.code().filter(|code| CODES.contains(code)) {
        return Some(format!("{code}: {}", error.detail().unwrap_or(&words)));
    }
    // A script's error and a pipeline's have no code of their own, but they repeat their command's.
    let (_, code) = PHRASES.iter().find(|(phrase, _)| words.contains(phrase))?;
    Some(format!("{code}: {words}"))
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
