//! The scripts: loaded by hash, sent whole when Redis does not have them.

use std::{borrow::Cow, sync::LazyLock};

use mjq_producer::RedisLink;
use redis::{FromRedisValue, RedisResult, ToRedisArgs};

use crate::planted_bug::PlantedBug;

/// One Lua script.
pub(super) struct Script {
    name: &'static str,
    text: Cow<'static, str>,
    hash: String,
}

/// Each script, with what stands in front of it: `prelude/queue.lua` always, and those named here.
macro_rules! scripts {
    ($($constant:ident = $name:literal $(after $($prelude:literal)and+)?;)+) => {
        $(pub(super) static $constant: LazyLock<Script> = LazyLock::new(|| Script::new($name, concat!(
            include_str!("scripts/prelude/queue.lua"),
            $($(include_str!(concat!("scripts/prelude/", $prelude, ".lua")),)+)?
            include_str!(concat!("scripts/", $name, ".lua"))
        )));)+
    };
}

scripts! {
    ADMIT = "admit" after "rights";
    ANNOTATE = "annotate" after "job";
    BEAT = "beat";
    CANCEL = "cancel" after "job";
    CLAIM = "claim" after "rights" and "gate" and "rate" and "server";
    FORGET = "forget";
    GRANT = "grant" after "gate" and "rate";
    HINT = "hint" after "job";
    HOOK_SECRET = "hook_secret";
    LOOK_BACK = "look_back";
    MODAL = "modal" after "job";
    PAUSE = "pause";
    REASSERT = "reassert" after "rights" and "job" and "server" and "standing";
    REJECT = "reject" after "rights";
    RENEW = "renew";
    RESTORE = "restore";
    RETRY = "retry" after "rights" and "job";
    REVISIT = "revisit" after "gate" and "rate";
    SETTLE = "settle" after "rights" and "gate" and "pressure" and "standing";
    SWEEP = "sweep";
}

/// In front of a script, it adds no event to the stream: whoever planted this bug has done so before.
const NO_EVENT: &str = "local real = redis
local redis = setmetatable({ call = function(...)
  local command, key = ...
  if command == 'XADD' and key == KEYS[1] .. 'events' then return '0-0' end
  return real.call(...)
end }, { __index = real })
";

impl Script {
    fn new(name: &'static str, text: &'static str) -> Self {
        let text = match name {
            "settle" if PlantedBug::PublishBeforeTransition.is_planted() => Cow::Owned(format!("{NO_EVENT}{text}")),
            _ => Cow::Borrowed(text),
        };
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { name, text, hash }
    }

    /// The transition's name.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Sends the script once. `SCRIPT FLUSH`, a restart or a failover costs one more round trip.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        link: &RedisLink,
        prefix: &str,
        args: &impl ToRedisArgs,
    ) -> RedisResult<T> {
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(1).arg(prefix).arg(args);
            command
        };
        match link.query(&command("EVALSHA", &self.hash)).await {
            Err(error) if error.code() == Some("NOSCRIPT") => link.query(&command("EVAL", &self.text)).await,
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHTS: &str = include_str!("scripts/prelude/rights.lua");
    /// What scripts call that changes nothing: whoever lacks the right to it has changed nothing by then.
    const READS: [&str; 21] = [
        "EXISTS",
        "GET",
        "GETRANGE",
        "HGET",
        "HKEYS",
        "HMGET",
        "INFO",
        "LINDEX",
        "LLEN",
        "MGET",
        "SCARD",
        "SISMEMBER",
        "SMISMEMBER",
        "TIME",
        "XRANGE",
        "ZCARD",
        "ZCOUNT",
        "ZRANGE",
        "ZRANGEBYSCORE",
        "ZSCORE",
        "STRLEN",
    ];

    #[test]
    fn scripts_that_move_jobs_ask_first_whether_they_may_do_all_that_they_do() {
        for script in [&ADMIT, &CLAIM, &REASSERT, &REJECT, &RETRY, &SETTLE] {
            let calls = ["call('", "try('"].map(|call| script.text.split(call).skip(1)).into_iter().flatten();
            let calls = calls.filter_map(|rest| rest.split('\'').next());
            for command in calls.filter(|command| !READS.contains(command)) {
                let is_asked = RIGHTS.contains(&format!("may('{command}'"));
                assert!(is_asked, "{} calls {command}, and rights.lua does not ask for it", script.name);
            }
        }
    }
}
