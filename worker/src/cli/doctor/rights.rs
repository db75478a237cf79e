//! What the user of the Redis URL may do, found out by trying what does no harm.

use redis::Cmd;

use super::Finding;
use crate::ledger::{Ledger, denial};

/// A key that is never there, and a group and a consumer that nobody has.
const NOBODY: &str = "mjq-doctor";

/// Tries each command that a worker gives, on a key of the queue's, and what it does to the two streams on these.
pub(super) async fn examine(ledger: &Ledger) -> Finding {
    let mut missing = Vec::new();
    for (what, command) in trials(ledger) {
        // No such group, no such script: it may be done, and there is nothing to do.
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
