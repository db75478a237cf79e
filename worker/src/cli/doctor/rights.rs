//! What the user of the Redis URL may do, found out by trying what does no harm.

use redis::Cmd;

use super::Finding;
use crate::ledger::{Ledger, denial};

/// A key that is never there, and a group and a consumer that nobody has.
const NOBODY: &str = "mjq-doctor";

/// Writes and deletes a key in one act, with one command of each kind that the scripts use.
const TRIAL: &str = "\
local key = KEYS[1]
redis.call('TIME') redis.call('INFO', 'server')
redis.call('MSET', key, 1) redis.call('MSETNX', key, 1) redis.call('MGET', key) redis.call('GETRANGE', key, 0, 1) redis.call('DEL', key)
redis.call('HSET', key, 'a', 1) redis.call('HINCRBY', key, 'a', 1) redis.call('HMGET', key, 'a')
redis.call('EXISTS', key) redis.call('UNLINK', key)
redis.call('ZADD', key, 1, 'a') redis.call('ZMSCORE', key, 'a') redis.call('ZREM', key, 'b') redis.call('ZRANGEBYSCORE', key, 0, 1) redis.call('ZREMRANGEBYRANK', key, 0, 0)
redis.call('LPUSH', key, 1) redis.call('LTRIM', key, 1, 0)
redis.call('SADD', key, 'a') redis.call('SMISMEMBER', key, 'a') redis.call('SREM', key, 'b') redis.call('PEXPIRE', key, 1000)
redis.call('SET', key, 1, 'PX', 1000) redis.call('DEL', key)
redis.call('XADD', key, '*', 'a', 'b') redis.call('XINFO', 'GROUPS', key) redis.call('DEL', key)
return 1";

/// Tries everything that a worker does, each on a key of its kind.
pub(super) async fn examine(ledger: &Ledger) -> Finding {
    let mut missing = Vec::new();
    for (what, command) in trials(ledger) {
        // No such group, no such key: it may be done, and there is nothing to do. A script's words name the first of its
        // commands that is not allowed.
        let denied = ledger.link().query::<redis::Value>(&command).await.err().and_then(|error| denial(&error));
        missing.extend(denied.map(|words| format!("{what}: {words}")));
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
        trial("run scripts (EVAL)", "EVAL", &[TRIAL, "1", &ledger.key(NOBODY)]),
        trial("see who has read events (XINFO)", "XINFO", &["GROUPS", &events]),
        trial("see who has acknowledged events (XPENDING)", "XPENDING", &[&events, NOBODY]),
        trial("show that it lives (HDEL)", "HDEL", &[&ledger.key("workers"), NOBODY]),
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
