//! Judges what a Redis server reports about itself.

use std::collections::HashMap;

use mjq_producer::RedisTopology;

use super::Finding;

/// One server's answer to `INFO`.
#[derive(Debug, Default)]
pub(super) struct ServerInfo(HashMap<String, String>);

impl ServerInfo {
    pub(super) fn read(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Self(lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    /// All findings about one server.
    pub(super) fn judge(&self, topology: RedisTopology, fsync: Option<&str>) -> Vec<Finding> {
        let findings = [Some(self.version()), self.role(topology), Some(self.memory()), Some(self.durability(fsync))];
        findings.into_iter().flatten().chain(self.failover(topology)).collect()
    }

    fn version(&self) -> Finding {
        let version = self.text("redis_version");
        let name = match self.text("valkey_version") {
            "" => format!("Redis {version}"),
            valkey => format!("Valkey {valkey}"),
        };
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        match (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) {
            (7.., _) => Finding::good(name),
            (6, 2..) => {
                Finding::doubtful(format!("{name} works, but it cannot use deploy/acl.conf"), "use Redis 7 or Valkey")
            }
            _ => Finding::bad(format!("{name} is too old: it cannot trim a stream by id"), "use Redis 7 or Valkey"),
        }
    }

    fn role(&self, topology: RedisTopology) -> Option<Finding> {
        match (topology, self.text("redis_mode"), self.text("role")) {
            (_, "sentinel", _) => Some(Finding::bad(
                "this is a Sentinel, which keeps no data",
                "MJQ_REDIS_URL=redis+sentinel://host:port,host:port/master-name",
            )),
            (RedisTopology::Single, "cluster", _) => Some(Finding::bad(
                "this is a node of a Cluster, and MJQ_REDIS_URL is that of a single server",
                "MJQ_REDIS_URL=redis+cluster://host:port,host:port",
            )),
            (RedisTopology::Cluster, "standalone", _) => {
                Some(Finding::bad("this is a single server and no Cluster", "MJQ_REDIS_URL=redis://host:port"))
            }
            (RedisTopology::Single | RedisTopology::Sentinel, _, "slave") => Some(Finding::bad(
                "this is a replica, which takes no writes",
                "let MJQ_REDIS_URL name the master, or use redis+sentinel://",
            )),
            _ => None,
        }
    }

    fn memory(&self) -> Finding {
        let (used, max) = (self.number("used_memory"), self.number("maxmemory"));
        let policy = self.text("maxmemory_policy");
        let share = used * 100 / max.max(1);
        let room = if max == 0 { "no limit is set".to_owned() } else { format!("{share} % of maxmemory is used") };
        match policy {
            "noeviction" | "" if max > 0 && share >= 100 => Finding::bad(
                format!("{room}: Redis refuses writes, and nothing goes on"),
                "raise maxmemory, or lower MJQ_RETENTION; `mjq events --group` shows what a group left unread",
            ),
            "noeviction" if max > 0 && share >= 80 => {
                Finding::doubtful(format!("{room}: it refuses writes when it is full"), "raise maxmemory")
            }
            "noeviction" => Finding::good(format!("maxmemory-policy is noeviction, {room}")),
            "" => Finding::doubtful("Redis does not tell its maxmemory-policy", "make sure that it is noeviction"),
            _ if max == 0 => Finding::doubtful(
                format!("maxmemory-policy is {policy}: as soon as a limit is set, Redis throws live jobs away"),
                "CONFIG SET maxmemory-policy noeviction, and in redis.conf",
            ),
            _ => Finding::bad(
                format!("maxmemory-policy is {policy}: at its limit Redis throws live jobs away in silence ({room})"),
                "CONFIG SET maxmemory-policy noeviction, and in redis.conf",
            ),
        }
    }

    fn durability(&self, fsync: Option<&str>) -> Finding {
        if self.number("aof_enabled") == 0 {
            return Finding::bad(
                "appendonly is off: a restart of Redis forgets jobs, also such as were paid for",
                "CONFIG SET appendonly yes, and in redis.conf (see deploy/redis.conf)",
            );
        }
        if !matches!(self.text("aof_last_write_status"), "ok" | "") {
            return Finding::bad("Redis cannot write its log, and refuses writes", "look at its disk and its own log");
        }
        match fsync {
            Some("always") => {
                Finding::good("appendonly with appendfsync always: what was answered survives also a power cut")
            }
            Some("everysec") => Finding::good(
                "appendonly with appendfsync everysec: a crash of Redis or of its machine may lose the last second",
            ),
            Some(other) => Finding::doubtful(
                format!("appendonly with appendfsync {other}: a crash of its machine may lose half a minute"),
                "CONFIG SET appendfsync everysec (or always), and in redis.conf",
            ),
            None => Finding::doubtful(
                "appendonly is on; appendfsync cannot be read, so nobody can say what a crash may lose",
                "allow CONFIG GET (+config|get), or look it up where Redis is managed",
            ),
        }
    }

    /// What a failover may lose, where a failover is possible.
    fn failover(&self, topology: RedisTopology) -> Option<Finding> {
        let replicas = self.number("connected_slaves");
        match (topology, replicas) {
            (RedisTopology::Single, _) => None,
            (_, 0) => Some(Finding::doubtful(
                "no replica is connected: when this machine is gone, so are its jobs",
                "add a replica",
            )),
            (..) => Some(Finding::good(format!(
                "replicas connected: {replicas}; they follow a moment later, and a failover may lose that moment"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    const HEALTHY: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n\
        # Memory\r\nused_memory:500\r\nmaxmemory:1000\r\nmaxmemory_policy:noeviction\r\n\
        # Persistence\r\naof_enabled:1\r\naof_last_write_status:ok\r\n# Replication\r\nrole:master\r\n";

    fn judged(changes: &[(&str, &str)], topology: RedisTopology, fsync: Option<&str>) -> Vec<Finding> {
        let mut info = ServerInfo::read(HEALTHY);
        info.0.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        info.judge(topology, fsync)
    }

    #[test]
    fn a_healthy_server_has_nothing_to_hear() {
        let findings = judged(&[], RedisTopology::Single, Some("everysec"));

        assert!(findings.iter().all(|it| it.verdict == Verdict::Good && it.cure.is_empty()), "{findings:?}");
        assert!(findings[0].said == "Redis 7.0.15" && findings[1].said.contains("50 % of maxmemory"), "{findings:?}");
    }

    #[test]
    fn each_fault_is_named_with_its_cure() {
        use RedisTopology::{Cluster, Sentinel, Single};
        let always = Some("always");
        for (changes, topology, fsync, verdict, said) in [
            (&[("redis_version", "6.0.16")][..], Single, always, Verdict::Bad, "too old"),
            (&[("redis_version", "6.2.1")], Single, always, Verdict::Doubtful, "works"),
            (&[("maxmemory_policy", "allkeys-lru")], Single, always, Verdict::Bad, "throws live jobs away"),
            (&[("maxmemory_policy", "allkeys-lru"), ("maxmemory", "0")], Single, always, Verdict::Doubtful, "limit"),
            (&[("used_memory", "1000")], Single, always, Verdict::Bad, "refuses writes"),
            (&[("used_memory", "900")], Single, always, Verdict::Doubtful, "90 %"),
            (&[("aof_enabled", "0")], Single, always, Verdict::Bad, "appendonly is off"),
            (&[("aof_last_write_status", "err")], Single, always, Verdict::Bad, "cannot write"),
            (&[], Single, Some("no"), Verdict::Doubtful, "half a minute"),
            (&[], Single, None, Verdict::Doubtful, "cannot be read"),
            (&[("role", "slave")], Single, always, Verdict::Bad, "replica"),
            (&[("redis_mode", "cluster")], Single, always, Verdict::Bad, "node of a Cluster"),
            (&[], Cluster, always, Verdict::Bad, "no Cluster"),
            (&[], Sentinel, always, Verdict::Doubtful, "no replica"),
        ] {
            let findings = judged(changes, topology, fsync);

            let found = findings.iter().find(|it| it.verdict == verdict && it.said.contains(said));
            assert!(found.is_some_and(|it| !it.cure.is_empty()), "{changes:?} {said}: {findings:?}");
        }
    }

    #[test]
    fn a_valkey_is_called_by_its_name() {
        let findings = judged(
            &[("valkey_version", "8.1.0"), ("redis_version", "7.2.4"), ("connected_slaves", "2")],
            RedisTopology::Sentinel,
            Some("always"),
        );

        assert_eq!(findings[0], Finding::good("Valkey 8.1.0"));
        assert!(findings.iter().all(|it| it.verdict == Verdict::Good), "{findings:?}");
    }
}
