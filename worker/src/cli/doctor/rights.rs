//! The rights of the Redis URL's user, found out by harmless trials.

use redis::Cmd;

use super::Finding;
use crate::ledger::{Ledger, denial};

/// A name that nobody uses: for a key, a consumer group and a consumer.
const NOBODY: &str = "mjq-doctor";

/// Tries a worker's commands on the two streams, and checks the commands of its scripts on a key that does not exist.
pub(super) async fn examine(ledger: &Ledger) -> Finding {
    let mut missing = Vec::new();
    for (what, command) in trials(ledger) {
        // Other errors (no such group, no such script) mean that the command is allowed.
        let denied = ledger.link().query::<redis::Value>(&command).await.err().and_then(|error| denial(&error));
        missing.extend(denied.map(|words| format!("{what}: {words}")));
    }
    match ledger.lacking_rights(NOBODY).await {
        Ok(commands) if commands.is_empty() => {}
        Ok(commands) => missing.push(format!("give {}", commands.join(", "))),
        Err(error) => missing.extend(denial(&error).map(|words| format!("run scripts (EVAL): {words}"))),
    }
    judge(&missing)
}

fn trials(ledger: &Ledger) -> Vec<(&'static str, Cmd)> {
    let (jobs, events) = (ledger.queue().jobs_stream(), ledger.queue().events_stream());
    let trial = |what, name: &str, arguments: &[&str]| {
        let mut command = redis::cmd(name);
        command.arg(arguments);
        (what, command)
    };
    vec![
        trial("read jobs (XREADGROUP)", "XREADGROUP", &["GROUP", NOBODY, NOBODY, "COUNT", "1", "STREAMS", &jobs, ">"]),
        trial("look for jobs that were left (XRANGE)", "XRANGE", &[&jobs, "0-1", "0-1", "COUNT", "1"]),
        trial("make its consumer group (XGROUP)", "XGROUP", &["SETID", &jobs, NOBODY, "0"]),
        trial("delete jobs that were taken in (XDEL)", "XDEL", &[&jobs, "0-1"]),
        trial("run scripts (EVALSHA)", "EVALSHA", &[&"0".repeat(40), "0"]),
        trial("see who has read events (XINFO)", "XINFO", &["GROUPS", &events]),
        trial("see who has acknowledged events (XPENDING)", "XPENDING", &[&events, NOBODY]),
    ]
}

fn judge(missing: &[String]) -> Finding {
    match missing {
        [] => Finding::good("the user of MJQ_REDIS_URL may do all that a worker does"),
        missing => Finding::bad(
            format!("the user of MJQ_REDIS_URL may not: {}", missing.join(", ")),
            "give it the rights of the user `worker` in deploy/acl.conf",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(judge(&[]).verdict, Verdict::Good);
        assert!(judge(&["a (A)".to_owned(), "b (B)".to_owned()]).said.ends_with("may not: a (A), b (B)"));
    }
}
