//! Rights: which of the commands that a worker gives Redis does not allow to it, found out by giving each of them.
//!
//! No list to be kept: what the scripts call is read off the scripts. A test finds what is called outside of them.

use std::collections::BTreeSet;

use redis::RedisResult;

use super::{Ledger, scripts};

/// What the ledger and the engine call themselves, and no script does.
const OUTSIDE_OF_SCRIPTS: [&str; 9] =
    ["MEMORY USAGE", "STRLEN", "XGROUP CREATE", "XLEN", "XPENDING", "XREADGROUP", "XREVRANGE", "ZRANK", "ZREVRANGE"];

/// Gives each command of ARGV to a key that is not there, and returns those that the user may not give.
///
/// Redis looks at the number of arguments first, then at the rights: so each command gets one more until it has enough.
/// What it makes of them does not matter. DEL comes first: without it nothing is tried, as something would be left behind;
/// and after it, a full Redis takes what else is written.
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
    /// The commands that a worker needs and its user may not give, tried on a key `name` that nobody else uses.
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

    use mjq_producer::RedisLink;
    use tokio_util::sync::CancellationToken;

    use super::*;

    const ACL: &str = include_str!("../../../deploy/acl.conf");

    fn first_word(command: &str) -> &str {
        command.split(' ').next().unwrap_or_default()
    }

    /// What a user with these rights lacks.
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

    #[tokio::test]
    async fn the_worker_of_acl_conf_may_do_all_that_a_worker_does() -> anyhow::Result<()> {
        let rules = ACL.lines().find_map(|line| line.strip_prefix("user worker on >change-me-worker "));
        let rules: Vec<&str> = rules.expect("the user `worker`").split(' ').collect();

        assert_eq!(lacking(&rules).await?, [""; 0]);
        Ok(())
    }

    #[test]
    fn what_is_called_outside_of_scripts_is_tried_as_well() {
        /// The trial itself, what everybody may do, and what is asked only where it is answered.
        const NOT_TRIED: [&str; 3] = ["EVAL", "PING", "CONFIG"];
        let tried: BTreeSet<String> = needed().iter().map(|command| first_word(command).to_owned()).collect();
        let mut called = BTreeSet::new();
        for folder in ["ledger", "ledger/view", "engine", "engine/claim", "engine/poll", "engine/step", "engine/upkeep"]
        {
            let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder)).expect("sources");
            for file in files.map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
                let source = fs::read_to_string(file).unwrap();
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
