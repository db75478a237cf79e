//! Rights: finds the commands that a worker needs and Redis does not allow, by trying each of them.
//!
//! The commands of the scripts are read from the scripts, so no list of them is kept. A test finds the commands that
//! are called elsewhere.

use std::collections::BTreeSet;

use redis::RedisResult;

use super::{Ledger, scripts};

/// What the ledger and the engine call themselves, and no script does.
const OUTSIDE_OF_SCRIPTS: [&str; 10] = [
    "HSTRLEN",
    "MEMORY USAGE",
    "STRLEN",
    "XGROUP CREATE",
    "XLEN",
    "XPENDING",
    "XREADGROUP",
    "XREVRANGE",
    "ZRANK",
    "ZREVRANGE",
];

/// Tries each command of ARGV on a key that does not exist, and returns the commands that the user may not call.
///
/// Redis checks the number of arguments first, then the rights. So each command is tried with more and more arguments
/// until their number is right. The result of the command does not matter. DEL is tried first. Without the right to it
/// nothing else is tried, because keys would be left behind. After it, even a full Redis accepts the other writes.
const TRIAL: &str = "\
local key, lacking = KEYS[1], {}
local function fails_with(answer, words) return type(answer) == 'table' and answer.err and string.find(answer.err, words) end
local function is_denied(answer)
  return fails_with(answer, 'NOPERM') or fails_with(answer, 'no permissions') or fails_with(answer, 'user executing the script')
end
if is_denied(redis.pcall('DEL', key)) then return { 'DEL' } end
for _, command in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(command, '%S+') do words[#words + 1] = word end
  local answer = redis.pcall(unpack(words))
  words[#words + 1] = key
  while fails_with(answer, 'number of arg') and #words < 10 do
    answer = redis.pcall(unpack(words))
    words[#words + 1] = '1'
  end
  if is_denied(answer) then lacking[#lacking + 1] = command end
  redis.pcall('DEL', key)
end
return lacking";

impl Ledger {
    /// The commands that a worker needs and its user may not call, tried on a key `name` that nobody else uses.
    ///
    /// # Errors
    /// Whatever Redis or the network says; also when the user may run no script.
    pub async fn lacking_rights(&self, name: &str) -> RedisResult<Vec<String>> {
        let mut trial = redis::cmd("EVAL");
        trial.arg(TRIAL).arg(1).arg(self.key(name)).arg(needed());
        self.link().query(&trial).await
    }
}

fn needed() -> BTreeSet<String> {
    let outside = OUTSIDE_OF_SCRIPTS.map(str::to_owned);
    scripts::commands().into_iter().chain(outside).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use mjq_producer::{RedisLink, contract::JobId};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::ledger::Standing;

    const ACL: &str = include_str!("../../../deploy/acl.conf");

    fn first_word(command: &str) -> &str {
        command.split(' ').next().unwrap_or_default()
    }

    /// The commands that a user with these rights lacks.
    async fn lacking(rights: &[&str]) -> anyhow::Result<Vec<String>> {
        let (redis, name) = (mjq_harness::shared_redis().await?, mjq_harness::unique_queue());
        let boss = RedisLink::open(redis.url())?;
        boss.query::<()>(redis::cmd("ACL").arg("SETUSER").arg(&name).arg(&["on", "nopass"]).arg(rights)).await?;
        let login = redis.url().replacen("redis://", &format!("redis://{name}:any@"), 1);
        let (link, day) = (RedisLink::open(&login)?, Duration::from_secs(86_400));
        let ledger = Ledger::new(link, name.parse()?, day, CancellationToken::new());

        let lacking = ledger.lacking_rights("doctor").await?;

        assert!(!boss.query::<bool>(redis::cmd("EXISTS").arg(ledger.key("doctor"))).await?, "nothing is left behind");
        boss.query::<()>(redis::cmd("ACL").arg("DELUSER").arg(&name)).await?;
        Ok(lacking)
    }

    #[tokio::test]
    async fn every_command_that_a_worker_needs_and_may_not_give_is_named() -> anyhow::Result<()> {
        for command in needed().into_iter().filter(|command| command != "DEL") {
            let without = format!("-{}", command.replace(' ', "|").to_lowercase());

            assert_eq!(lacking(&["~mjq:*", "+@all", &without]).await?, [command]);
        }
        assert_eq!(lacking(&["~mjq:*", "+@all", "-del"]).await?, ["DEL"]);
        Ok(())
    }

    /// The rights of a user of acl.conf.
    fn rights_of(user: &str) -> Vec<&'static str> {
        let begin = format!("user {user} on >change-me-{user} ");
        ACL.lines().find_map(|line| line.strip_prefix(&begin)).expect("a user of acl.conf").split(' ').collect()
    }

    #[tokio::test]
    async fn the_worker_of_acl_conf_may_do_all_that_a_worker_does() -> anyhow::Result<()> {
        assert_eq!(lacking(&rights_of("worker")).await?, [""; 0]);
        Ok(())
    }

    #[tokio::test]
    async fn the_dashboard_of_acl_conf_reads_what_views_read_and_not_what_signs_the_addresses_of_hooks()
    -> anyhow::Result<()> {
        let (redis, name) = (mjq_harness::shared_redis().await?, mjq_harness::unique_queue());
        let boss = RedisLink::open(redis.url())?;
        let rights = rights_of("dashboard");
        boss.query::<()>(redis::cmd("ACL").arg("SETUSER").arg(&name).arg(&["on", "nopass"]).arg(&rights)).await?;
        let login = redis.url().replacen("redis://", &format!("redis://{name}:any@"), 1);
        let (link, day) = (RedisLink::open(&login)?, Duration::from_secs(86_400));
        let ledger = Ledger::new(link, name.parse()?, day, CancellationToken::new());
        let job = JobId::new("order-1842")?;
        boss.query::<()>(redis::cmd("SET").arg(ledger.job_key("job", &job)).arg(r#"1 queued {"e":1,"d":2,"tl":""}"#))
            .await?;

        assert!(ledger.job(&job).await?.is_some());
        assert_eq!(ledger.latest(10).await?.ended.len(), 0);
        for phase in [Standing::Held, Standing::Unknown] {
            assert_eq!(ledger.standing(phase, 10).await?.len(), 0);
        }
        assert_eq!((ledger.failures(10).await?.len(), ledger.workers().await?.len()), (0, 0));
        assert_eq!((ledger.paused().await?, ledger.rejected(10).await?.len()), (None, 0));
        let secret = ledger.link().query::<Option<String>>(redis::cmd("GET").arg(ledger.key("hook_secret"))).await;
        assert_eq!(secret.unwrap_err().code(), Some("NOPERM"));
        boss.query::<()>(redis::cmd("ACL").arg("DELUSER").arg(&name)).await?;
        Ok(())
    }

    #[test]
    fn what_is_called_outside_of_scripts_is_tried_as_well() {
        /// The trial itself, commands that everybody may call, and commands that are called only if Redis answers them.
        const NOT_TRIED: [&str; 3] = ["EVAL", "PING", "CONFIG"];
        let tried: BTreeSet<String> = needed().iter().map(|command| first_word(command).to_owned()).collect();
        let mut called = BTreeSet::new();
        let mut folders =
            ["ledger", "engine"].map(|top| Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(top)).to_vec();
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).expect("sources").map(|file| file.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let source = fs::read_to_string(path).unwrap();
                let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
                let names = code.split("cmd(\"").skip(1).chain(code.split("call('").skip(1));
                let names = names.filter_map(|rest| rest.split(['"', '\'']).next());
                called.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
            }
        }
        let is_called = |command: &&str| called.contains(first_word(command));

        assert!(OUTSIDE_OF_SCRIPTS.iter().all(is_called), "{called:?}");
        called.retain(|command| !tried.contains(command) && !NOT_TRIED.contains(&command.as_str()));
        assert_eq!(called, BTreeSet::new(), "they are called and not tried");
    }
}
