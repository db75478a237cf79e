//! `mjq ready`: asks the worker on this machine whether it is ready for work.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use clap::Args;

use super::{
    Failure,
    flags::{ClientFlags, Flags},
    output,
};
use crate::{admin::Readiness, root_cause::root_cause, settings::Settings};

#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 0 when the worker that listens at MJQ_ADMIN_ADDR is ready, else with 1 and the reason. It is \
made for the health checks of containers whose image has no shell:

  healthcheck: { test: [\"CMD\", \"mjq\", \"ready\"], interval: 5s }")]
pub(super) struct Ready {
    #[command(flatten)]
    settings: ClientFlags,
}

impl Ready {
    const TIMEOUT: Duration = Duration::from_secs(3);

    pub(super) fn flags(&self) -> &Flags {
        &self.settings.0
    }

    pub(super) async fn run(self, settings: &Settings) -> Result<(), Failure> {
        let address = reachable(settings.admin_addr);
        let readiness = ask(address).await.map_err(|why| {
            Failure::NotDone(format!("no worker answers at http://{address} (MJQ_ADMIN_ADDR): {why}"))
        })?;
        match complaint(&readiness) {
            None => output::line("ready"),
            Some(complaint) => Err(Failure::NotDone(format!("not ready: {complaint}"))),
        }
    }
}

/// Why the worker is not ready; `None` when it is ready.
fn complaint(readiness: &Readiness) -> Option<String> {
    let complaint = match readiness {
        Readiness { is_ready: true, .. } => return None,
        Readiness { is_taking_work: false, .. } => "the worker was told to stop",
        Readiness { redis_answers: false, .. } => "Redis does not answer",
        Readiness { denials, .. } if !denials.is_empty() => {
            return Some(format!("Redis refuses what the worker asks: {}", denials.join("; ")));
        }
        Readiness { ledger_works: false, .. } => "Redis answers, and does not carry out what the worker asks of it",
        Readiness { .. } => "the worker does not say why",
    };
    Some(complaint.to_owned())
}

/// The address at which this machine reaches a server that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(address: SocketAddr) -> Result<Readiness, String> {
    // The HTTP client needs a TLS provider even if it never uses TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let words =
        |error: reqwest::Error| if error.is_timeout() { "no answer in time".to_owned() } else { root_cause(&error) };
    let client = reqwest::Client::builder().timeout(Ready::TIMEOUT).no_proxy().build().map_err(words)?;
    let answer = client.get(format!("http://{address}/readyz")).send().await.map_err(words)?;
    let status = answer.status();
    let body = answer.text().await.map_err(words)?;
    serde_json::from_str(&body).map_err(|_| format!("HTTP {status} is not the answer of a worker"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_listens_everywhere_is_asked_on_this_machine() {
        for (address, asked) in
            [("0.0.0.0:8081", "127.0.0.1:8081"), ("[::]:8081", "[::1]:8081"), ("10.0.0.7:80", "10.0.0.7:80")]
        {
            assert_eq!(reachable(address.parse().unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn a_worker_that_is_not_ready_says_why() {
        for (body, complaint) in [
            (r#"{"is_ready":true,"redis_answers":true,"ledger_works":true,"is_taking_work":true}"#, None),
            (r#"{"redis_answers":true,"ledger_works":true}"#, Some("told to stop")),
            (r#"{"is_taking_work":true}"#, Some("Redis does not answer")),
            (r#"{"is_taking_work":true,"redis_answers":true}"#, Some("does not carry out")),
            (r#"{"is_taking_work":true,"redis_answers":true,"denials":["claim: NOPERM"]}"#, Some("claim: NOPERM")),
        ] {
            let found = super::complaint(&serde_json::from_str(body).unwrap());

            assert_eq!(found.is_some(), complaint.is_some(), "{body}");
            let found = found.unwrap_or_default();
            assert!(found.contains(complaint.unwrap_or_default()), "{body}: {found}");
        }
    }
}
