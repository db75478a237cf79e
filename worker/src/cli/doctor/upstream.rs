//! The upstream: is it there, and does it let us in?
//!
//! It is asked for a task that cannot exist. Nothing is submitted, nothing is billed.

use std::time::Duration;

use mjq_producer::contract::TaskId;

use super::Finding;
use crate::{
    lifecycle::Observation,
    settings::Settings,
    upstream::{Upstream, UpstreamSettings},
};

/// As long as ids of the family are, with a time from before it existed.
const NO_TASK: &str = "1000000000000000";
/// Longer than this is no health, whatever `MJQ_UPSTREAM_TIMEOUT_MS` allows.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at the upstream.
pub(super) async fn examine(settings: &Settings) -> Vec<Finding> {
    let key = if settings.upstream_key.is_some() {
        None
    } else {
        Some(Finding::doubtful("no key is sent", "set MJQ_UPSTREAM_KEY or MJQ_UPSTREAM_KEY_FILE, unless it needs none"))
    };
    let asked = UpstreamSettings { timeout: settings.upstream_timeout.min(PATIENCE), ..settings.upstream() };
    let answer = match Upstream::new(&asked) {
        Ok(upstream) => judge(&asked, &upstream.fetch(&TaskId::new(NO_TASK)).await),
        Err(error) => Finding::bad(error.to_string(), "mjq check-config"),
    };
    [Some(answer), key].into_iter().flatten().collect()
}

fn judge(asked: &UpstreamSettings, seen: &Observation) -> Finding {
    let base = asked.base_url.as_str().trim_end_matches('/');
    let Observation::NoVerdict { reason, .. } = seen else {
        return match seen {
            Observation::Missing => {
                Finding::good(format!("{base} answers, and says rightly that it does not know a task that never was"))
            }
            _ => Finding::doubtful(
                format!("{base} answers with a task ({}) that never was", seen.name()),
                "check that MJQ_UPSTREAM_FETCH_PATH has {id} where it belongs",
            ),
        };
    };
    let said = format!("{base}: {reason}");
    match status_of(reason) {
        Some(401 | 403) => Finding::bad(
            said,
            format!(
                "check MJQ_UPSTREAM_KEY, and whether it belongs into the header {} behind {:?}",
                asked.auth_header, asked.auth_scheme
            ),
        ),
        Some(404 | 405) => {
            Finding::bad(said, format!("check MJQ_UPSTREAM_URL and MJQ_UPSTREAM_FETCH_PATH ({})", asked.fetch_path))
        }
        Some(429) => Finding::doubtful(said, "it is there and busy; a lower MJQ_UPSTREAM_POLL_RATE may help"),
        Some(300..=399) => Finding::bad(said, "put the address that it redirects to into MJQ_UPSTREAM_URL"),
        Some(500..) => Finding::bad(said, "it has trouble of its own; workers go on trying"),
        Some(_) => Finding::doubtful(said, "an odd answer to a question for an unknown task; workers would ask again"),
        None if reason.starts_with("code") => {
            Finding::doubtful(said, "an odd answer to a question for an unknown task; workers would ask again")
        }
        None => Finding::bad(
            said,
            "check MJQ_UPSTREAM_URL, the name server, the firewall and the proxy between here and there",
        ),
    }
}

/// The HTTP status that a reason begins with; `None` when there was no answer, or one with 200.
fn status_of(reason: &str) -> Option<u16> {
    let digits = reason.strip_prefix("HTTP ")?.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    fn settings() -> UpstreamSettings {
        UpstreamSettings::new("https://api.example/v1".parse().unwrap())
    }

    fn said(reason: &str) -> Finding {
        judge(&settings(), &Observation::NoVerdict { reason: reason.to_owned(), retry_after: None })
    }

    #[test]
    fn an_upstream_that_does_not_know_the_task_is_well() {
        assert_eq!(judge(&settings(), &Observation::Missing).verdict, Verdict::Good);
    }

    #[test]
    fn each_other_answer_has_its_cure() {
        for (reason, verdict, cure) in [
            ("HTTP 401: Authorization header missing.", Verdict::Bad, "MJQ_UPSTREAM_KEY"),
            ("HTTP 403, code 4: no", Verdict::Bad, "MJQ_UPSTREAM_KEY"),
            ("HTTP 404: a page of HTML", Verdict::Bad, "MJQ_UPSTREAM_FETCH_PATH"),
            ("HTTP 429", Verdict::Doubtful, "busy"),
            ("HTTP 502: a page of HTML", Verdict::Bad, "trouble of its own"),
            ("HTTP 418: a teapot", Verdict::Doubtful, "odd"),
            ("code 9: no", Verdict::Doubtful, "odd"),
            ("a page of HTML", Verdict::Bad, "MJQ_UPSTREAM_URL"),
            ("cannot connect: Connection refused (os error 111)", Verdict::Bad, "MJQ_UPSTREAM_URL"),
        ] {
            let finding = said(reason);

            assert_eq!(finding.verdict, verdict, "{reason}");
            assert!(finding.cure.contains(cure) && finding.said.contains(reason), "{reason}: {finding:?}");
        }
    }
}
