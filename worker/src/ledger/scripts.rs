//! The scripts: called by hash, and sent whole if Redis does not have them.

use std::{borrow::Cow, collections::BTreeSet, sync::LazyLock};

use mjq_producer::RedisLink;
use redis::{FromRedisValue, RedisResult, ToRedisArgs};

use crate::planted_bug::PlantedBug;

/// One Lua script.
pub(super) struct Script {
    name: &'static str,
    text: Cow<'static, str>,
    hash: String,
}

/// Each script with its preludes: always `prelude/queue.lua`, then the named ones. The header of the script names them,
/// too.
macro_rules! scripts {
    ($($constant:ident = $name:literal $(after $($prelude:literal)and+)?;)+) => {
        $(pub(super) static $constant: LazyLock<Script> = LazyLock::new(|| Script::new($name, concat!(
            include_str!("scripts/prelude/queue.lua"),
            $($(include_str!(concat!("scripts/prelude/", $prelude, ".lua")),)+)?
            include_str!(concat!("scripts/", $name, ".lua"))
        )));)+

        const ALL: &[&LazyLock<Script>] = &[$(&$constant),+];

        /// Each script's name, its own text, and the preludes that are named for it.
        #[cfg(test)]
        const SOURCES: &[(&str, &str, &[&str])] =
            &[$(($name, include_str!(concat!("scripts/", $name, ".lua")), &[$($($prelude),+)?])),+];
    };
}

scripts! {
    ADMIT = "admit" after "rights" and "event";
    ANNOTATE = "annotate" after "job";
    BEAT = "beat";
    CANCEL = "cancel" after "rights" and "job" and "command";
    CLAIM = "claim" after "rights" and "gate" and "rate" and "server";
    FORGET = "forget";
    GRANT = "grant" after "gate" and "rate";
    HINT = "hint" after "job";
    HOOK_SECRET = "hook_secret";
    LOOK_BACK = "look_back";
    MODAL = "modal" after "rights" and "job" and "command";
    PAUSE = "pause";
    READ_JOBS = "read_jobs";
    REASSERT = "reassert" after "rights" and "job" and "server" and "standing";
    REJECT = "reject" after "rights" and "event";
    RELEASE = "release" after "rights" and "gate" and "pressure" and "job";
    RENEW = "renew";
    RESTORE = "restore";
    RETRY = "retry" after "rights" and "job";
    REVISIT = "revisit" after "gate" and "rate";
    SETTLE = "settle" after "rights" and "gate" and "pressure" and "standing" and "event";
    SWEEP = "sweep";
}

/// In front of a script, this code keeps it from adding events to the stream: with this bug planted, the event was
/// published before.
const NO_EVENT: &str = "local real = redis
local redis = setmetatable({ call = function(...)
  local command, key = ...
  if command == 'XADD' and key == KEYS[1] .. 'events' then return '0-0' end
  return real.call(...)
end }, { __index = real })
";

/// The commands that the scripts call, each with its subcommand if it has one.
pub(super) fn commands() -> BTreeSet<String> {
    ALL.iter().flat_map(|script| script.commands()).collect()
}

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

    /// The commands that the script calls. A subcommand is a second quoted word in capitals, right after the first.
    fn commands(&self) -> impl Iterator<Item = String> {
        let is_name = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
        let calls = ["call('", "try('"].into_iter().flat_map(|call| self.text.split(call).skip(1));
        calls.map(move |call| {
            let mut quoted = call.split('\'');
            let (name, between) = (quoted.next().unwrap_or_default(), quoted.next());
            let subcommand = quoted.next().filter(|_| between == Some(", ")).filter(is_name);
            subcommand.map_or_else(|| name.to_owned(), |subcommand| format!("{name} {subcommand}"))
        })
    }

    /// Calls the script by its hash. After a `SCRIPT FLUSH`, a restart or a failover, this costs one more round trip.
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

    /// Whether a command changes anything. A script that lacks the right to a reading command has changed nothing by
    /// then.
    async fn writes(link: &RedisLink, command: &str) -> anyhow::Result<bool> {
        let about = redis::cmd("COMMAND").arg("INFO").arg(command).take();
        let mut told: Vec<Vec<redis::Value>> = link.query(&about).await?;
        let flags: Vec<String> = redis::from_redis_value(told.remove(0).remove(2))?;
        Ok(flags.iter().any(|flag| flag == "write"))
    }

    #[tokio::test]
    async fn scripts_that_move_jobs_ask_first_whether_they_may_do_all_that_they_do() -> anyhow::Result<()> {
        let link = RedisLink::open(mjq_harness::shared_redis().await?.url())?;
        let asking = ALL.iter().filter(|script| script.text.contains(RIGHTS));
        let mut called = BTreeSet::new();
        for command in asking.flat_map(|script| script.commands()).collect::<BTreeSet<_>>() {
            let name = command.split(' ').next().unwrap_or_default();
            if writes(&link, name).await? {
                called.insert(name.to_owned());
            }
        }

        let asked = RIGHTS.split("may('").skip(1).filter_map(|rest| rest.split('\'').next()).map(str::to_owned);
        assert_eq!(asked.collect::<BTreeSet<_>>(), called);
        Ok(())
    }

    #[test]
    fn each_header_names_the_preludes_of_its_script() {
        for (name, text, preludes) in SOURCES {
            let header = text.lines().find_map(|line| line.strip_prefix("-- PRELUDE  ")).unwrap_or_default();

            assert_eq!(header, [&["queue"], *preludes].concat().join(", "), "{name}.lua");
        }
    }

    #[test]
    fn the_commands_of_a_script_are_read_with_their_subcommands() {
        let read = |text| Script::new("a", text).commands().collect::<Vec<_>>();

        let calls = "call('TIME') call('XADD', KEYS[1], 'MAXLEN') pcall('XINFO', 'GROUPS', x) pcall('INFO', 'server')";
        assert_eq!(read(calls), ["TIME", "XADD", "XINFO GROUPS", "INFO"]);
    }
}
