//! The upstream: is it there, and does it accept the key?
//!
//! The doctor fetches a task that cannot exist, and then a task that the queue knows, if there is one. Only a known
//! task shows that the path is right. Nothing is submitted, nothing is billed.

use std::time::Duration;

use mjq_producer::contract::{JobId, TaskId};

use super::{Finding, Verdict};
use crate::{
    ledger::Ledger,
    lifecycle::Observation,
    settings::Settings,
    upstream::{Upstream, UpstreamSettings},
};

/// An id as long as those of the family. Its digits begin with a time before the family existed.
const NO_TASK: &str = "1000000000000000";
/// An upstream that takes longer than this is not healthy, whatever `MJQ_UPSTREAM_TIMEOUT_MS` allows.
const PATIENCE: Duration = Duration::from_secs(10);

/// Examines the upstream. `ledger` supplies a known task to fetch.
pub(super) async fn examine(settings: &Settings, ledger: Option<&Ledger>) -> Vec<Finding> {
    let key = if settings.upstream_key.is_some() {
        None
    } else {
        Some(Finding::doubtful("no key is sent", "set MJQ_UPSTREAM_KEY or MJQ_UPSTREAM_KEY_FILE, unless it needs none"))
    };
    let asked = UpstreamSettings { timeout: settings.upstream_timeout.min(PATIENCE), ..settings.upstream() };
    let upstream = match Upstream::new(&asked) {
        Ok(upstream) => upstream,
        Err(error) => return vec![Finding::bad(error.to_string(), "mjq check-config")],
    };
    let answer = judge(&asked, &upstream.fetch(&TaskId::new(NO_TASK)).await);
    let known = match ledger {
        // An upstream that refuses one fetch would refuse the other, too.
        Some(ledger) if answer.verdict == Verdict::Good => known_task(ledger).await,
        _ => None,
    };
    let known = match known {
        Some((job, task)) => Some(judge_known(&job, &upstream.fetch(&task).await)),
        None => None,
    };
    [Some(answer), known, key].into_iter().flatten().collect()
}

/// The task of an open job, or of a job that ended lately.
async fn known_task(ledger: &Ledger) -> Option<(JobId, TaskId)> {
    let latest = ledger.latest(50).await.ok()?;
    let jobs = latest.open.into_iter().chain(latest.ended);
    jobs.filter_map(|job| Some((job.id, job.record.task?))).next()
}

fn judge_known(job: &JobId, seen: &Observation) -> Finding {
    match seen {
        Observation::Missing => Finding::doubtful(
            format!("it does not know the task of job {job} either"),
            "unless that is long ago: check MJQ_UPSTREAM_FETCH_PATH, and that it is the upstream of this queue",
        ),
        Observation::NoVerdict { .. } | Observation::Stranger { .. } => {
            Finding::doubtful(format!("it does not tell about the task of job {job}: {}", seen.reason()), "look again")
        }
        _ => Finding::good(format!("it shows the task of job {job}")),
    }
}

fn judge(asked: &UpstreamSettings, seen: &Observation) -> Finding {
    let base = asked.base_url.as_str().trim_end_matches('/');
    let Observation::NoVerdict { reason, .. } = seen else {
        return match seen {
            Observation::Missing => {
                Finding::good(format!("{base} answers, and does not know a task that never was, as it should"))
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

/// The HTTP status at the beginning of a reason; `None` when there was no answer, or one with status 200.
fn status_of(reason: &str) -> Option<u16> {
    let digits = reason.strip_prefix("HTTP ")?.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_real_task_proves_the_path() {
        let job = JobId::new("a").unwrap();

        assert_eq!(judge_known(&job, &Observation::Running(Default::default())).verdict, Verdict::Good);
        assert!(judge_known(&job, &Observation::Missing).cure.contains("MJQ_UPSTREAM_FETCH_PATH"));
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
