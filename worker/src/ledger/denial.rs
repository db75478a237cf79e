//! Denials: calls that Redis refuses. A denial is no outage: another try changes nothing until somebody changes the
//! rights, makes room, or removes what a script fails on.

use redis::{ErrorKind, RedisError};

/// The words of a denial; `None` for any other error.
///
/// Denials are: a user without the right (`NOPERM`, also from within a script), a missing login (`NOAUTH`) or a wrong
/// one (`WRONGPASS`), a full memory (`OOM`), a disk that cannot be written (`MISCONF`), a key of mjq with a foreign
/// type (`WRONGTYPE`), and an error of a script itself (`ERR`).
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
    // Errors of scripts and pipelines have no code of their own, but repeat the words of the failed command.
    let code = PHRASES.iter().find(|(phrase, _)| words.contains(phrase)).map(|(_, code)| *code);
    let code = code.or_else(|| is_of_script(error, &words).then_some("ERR"))?;
    Some(format!("{code}: {words}"))
}

/// Whether a script itself has failed, rather than one of its commands for a reason that passes.
fn is_of_script(error: &RedisError, words: &str) -> bool {
    const PASSING: [&str; 10] = [
        "READONLY",
        "LOADING",
        "BUSY",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "TRYAGAIN",
        "MOVED",
        "NOREPLICAS",
        // The queue's slot is being moved to another node.
        "non local key",
        "during rehashing",
    ];
    let is_general = error.code() == Some("ERR");
    is_general && words.contains("user_script") && !PASSING.iter().any(|code| words.contains(code))
}

#[cfg(test)]
mod tests {
    use redis::{Value, from_redis_value};

    use super::*;

    /// The error that the client makes from an error reply of Redis.
    fn answered(words: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{words}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    #[test]
    fn a_script_that_stumbles_is_told_from_one_that_has_to_wait() {
        let told = |words: &str| denial(&answered(words));

        let stumbles = "ERR user_script:12: attempt to compare nil with number script: 0e5f, on @user_script:12.";
        assert!(told(stumbles).is_some_and(|words| words.contains("attempt to compare")));
        assert!(told("WRONGTYPE Operation against a key script: 0e5f, on @user_script:9.").is_some());
        for passing in [
            "READONLY You can't write against a read only replica. script: 0e5f, on @user_script:9.",
            "ERR Error running script (call to f_0e5f): @user_script:9: -READONLY You can't write",
            "ERR Script attempted to access a non local key in a cluster node script: 0e5f, on @user_script:9.",
            "LOADING Redis is loading the dataset in memory",
            "ERR max number of clients reached",
        ] {
            assert_eq!(told(passing), None, "{passing}");
        }
    }

    #[test]
    fn denials_are_told_from_outages() {
        let io = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        let login = RedisError::from((ErrorKind::AuthenticationFailed, "Password authentication failed"));
        let odd = from_redis_value::<u8>(Value::Okay).map_err(RedisError::from).unwrap_err();

        assert_eq!((denial(&io), denial(&odd)), (None, None));
        assert!(denial(&login).is_some_and(|words| words.starts_with("WRONGPASS")));
    }
}
