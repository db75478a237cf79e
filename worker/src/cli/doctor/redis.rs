//! Redis: does it answer, does it keep what it is given, and does it allow mjq's commands?

use std::{collections::HashMap, time::Instant};

use mjq_producer::{RedisLink, RedisTopology};
use redis::RedisResult;

use super::{Finding, rights, server_info::ServerInfo};
use crate::{
    cli::{Failure, open_ledger::open_ledger},
    ledger::Ledger,
    settings::Settings,
};

/// Examines Redis. Returns no ledger if Redis does not answer.
pub(super) async fn examine(settings: &Settings) -> (Vec<Finding>, Option<Ledger>) {
    let ledger = match open_ledger(settings).await {
        Ok(ledger) => ledger,
        Err(failure) => return (vec![unreachable(&failure)], None),
    };
    let link = ledger.link();
    let mut findings = vec![answers(link).await];
    match servers(link).await {
        Ok(servers) => {
            let fsync = appendfsync(link).await;
            for (name, info) in servers {
                let named = |finding: Finding| Finding { said: format!("{name}{}", finding.said), ..finding };
                findings.extend(info.judge(link.topology(), fsync.as_deref()).into_iter().map(named));
            }
        }
        Err(error) => findings.push(Finding::doubtful(
            format!("Redis does not tell its version, memory and durability: {error}"),
            "allow INFO (+info), as deploy/acl.conf does for the user `worker`",
        )),
    }
    findings.push(rights::examine(&ledger).await);
    (findings, Some(ledger))
}

fn unreachable(failure: &Failure) -> Finding {
    let cure = match failure {
        Failure::NotDone(_) => "it is there, and refuses: look at its rights, its memory, its disk and its own log",
        Failure::Login(_) => "correct the login in MJQ_REDIS_URL (`mjq check-config` shows where its value comes from)",
        _ => "start Redis, or correct MJQ_REDIS_URL (`mjq check-config` shows where its value comes from)",
    };
    Finding::bad(failure.message().unwrap_or_default(), cure)
}

async fn answers(link: &RedisLink) -> Finding {
    let how = match link.topology() {
        RedisTopology::Single => "a single server",
        RedisTopology::Sentinel => "a master that Sentinels name",
        RedisTopology::Cluster => "a Cluster",
    };
    let asked = Instant::now();
    match link.query::<String>(&redis::cmd("PING")).await {
        Ok(_) => Finding::good(format!("it answers within {:.2} ms ({how})", asked.elapsed().as_secs_f64() * 1000.0)),
        Err(error) => Finding::bad(format!("it answered once, and then not: {error}"), "look at its own log"),
    }
}

/// The `INFO` of each server, with the server's name where there are several.
async fn servers(link: &RedisLink) -> RedisResult<Vec<(String, ServerInfo)>> {
    let info = link.query::<redis::Value>(&redis::cmd("INFO")).await?;
    if link.topology() != RedisTopology::Cluster {
        return Ok(vec![(String::new(), ServerInfo::read(&redis::from_redis_value::<String>(info)?))]);
    }
    let mut nodes: Vec<(String, String)> =
        redis::from_redis_value::<HashMap<String, String>>(info)?.into_iter().collect();
    nodes.sort();
    Ok(nodes.into_iter().map(|(node, text)| (format!("{node}: "), ServerInfo::read(&text))).collect())
}

/// The setting `appendfsync`; `None` where Redis does not tell, as managed services often do. In a Cluster, one node
/// answers for all.
async fn appendfsync(link: &RedisLink) -> Option<String> {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg("appendfsync");
    link.query::<HashMap<String, String>>(&command).await.ok()?.remove("appendfsync")
}
