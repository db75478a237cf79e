//! A ledger on a real Redis with jobs in every state, and the admin server before it.

use std::time::Duration;

use anyhow::Context;
use mjq_harness::unique_queue;
use mjq_producer::{
    RedisLink,
    contract::{Entry, JobId, TaskId},
};
use serde_json::{Value, value::RawValue};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{Admin, Health, metrics},
    ledger::{Admission, Admitted, ClaimLimits, JobEnd, Ledger, Rate, Rejection, Settlement, Step, Wanted},
    lifecycle::{Circumstances, Next, Observation, Policy, Record, TaskReport, event_of, next},
};

/// The stage of one test. Everything that it started ends with the test.
pub(super) struct Stage {
    pub(super) ledger: Ledger,
    pub(super) health: Health,
    pub(super) base: String,
    pub(super) shutdown: CancellationToken,
    pub(super) served: JoinHandle<()>,
    http: reqwest::Client,
}

impl Stage {
    /// The token that allows changes.
    pub(super) const TOKEN: &str = "let-me-in";

    /// Serves an empty queue at `redis_url` that no other test uses.
    pub(super) async fn start(redis_url: &str) -> anyhow::Result<Self> {
        let link = RedisLink::open(redis_url)?;
        let queue = unique_queue().parse()?;
        let ledger = Ledger::new(link, queue, Duration::from_secs(3600), CancellationToken::new());
        let health = Health::new(ledger.clone(), Vec::new);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let shutdown = CancellationToken::new();
        let admin = Admin::new(ledger.clone(), health.clone(), metrics::install())
            .acting_for(Some(Self::TOKEN.into()), Policy::default());
        let served = tokio::spawn(admin.serve(listener, None, shutdown.clone()));
        Ok(Self { ledger, health, base, shutdown, served, http: reqwest::Client::new() })
    }

    /// The same ledger with another `retention`, for sweeping.
    pub(super) fn with_retention(&self, retention: Duration) -> Ledger {
        let (link, queue) = (self.ledger.link().clone(), self.ledger.queue().clone());
        Ledger::new(link, queue, retention, CancellationToken::new())
    }

    /// Enqueues a job and admits it, as the engine does.
    pub(super) async fn admit(&self, json: &str) -> anyhow::Result<JobId> {
        let entry = self.add_to_stream(json).await?;
        let Entry::Job(job) = Entry::read(None, Some(json.as_bytes()), 1 << 25)? else { anyhow::bail!("no job") };
        let id = job.id.clone().context("the job has no id")?;
        let enqueued_ms = entry.split('-').next().context("an entry id")?.parse()?;
        let record = Record::admit(&job, enqueued_ms, &Policy::default());
        let admission = Admission { entry, id: id.clone(), json: json.to_owned(), job: *job, record };
        let admitted = self.ledger.admit(&[admission], true).await?;
        anyhow::ensure!(admitted == [Admitted::New], "{admitted:?}");
        Ok(id)
    }

    /// Adds an entry to the job stream without admitting it, and returns its id.
    pub(super) async fn add_to_stream(&self, json: &str) -> anyhow::Result<String> {
        let mut command = redis::cmd("XADD");
        command.arg(self.ledger.queue().jobs_stream()).arg("*").arg("v").arg(1).arg("job").arg(json);
        Ok(self.ledger.link().query(&command).await?)
    }

    /// Enqueues an entry that is no job, and rejects it as the engine does.
    pub(super) async fn reject(&self, text: &str, reason: &str) -> anyhow::Result<()> {
        let entry = self.add_to_stream(text).await?;
        let rejection = Rejection { entry, reason: reason.to_owned(), text: text.into(), event: None };
        Ok(self.ledger.reject(&[rejection]).await?)
    }

    /// Claims the next step of any job.
    pub(super) async fn claim(&self) -> anyhow::Result<Step> {
        let no_limit = Rate::per_second(0.0);
        let (lease, probe) = (Duration::from_secs(60), Duration::from_secs(30));
        let limits = ClaimLimits { lease, max_open: 0, submit_rate: no_limit, poll_rate: no_limit, probe };
        let wanted = Wanted { steps: 1, submits: 1, polls_per_request: 1 };
        let claimed = self.ledger.claim("pod-a", &unique_queue(), wanted, &limits).await?;
        claimed.steps.into_iter().next().context("nothing is due")
    }

    /// Settles `step` with the observation `seen`, as the engine does; the next step is due after `delay`.
    pub(super) async fn settle(&self, step: Step, seen: &Observation, delay: Duration) -> anyhow::Result<()> {
        let policy = Policy::default();
        let now_ms = self.ledger.clock().now_ms();
        let Step { job, fence, record, flags, .. } = step;
        let at = Circumstances {
            now_ms,
            claimed_ms: now_ms,
            place_ms: 0,
            jitter: 0.5,
            fence,
            reclaims: flags.reclaims,
            policy: &policy,
            pace: None,
            last_accepted_ms: 0,
            last_shown_ms: 0,
            polls_late: Duration::ZERO,
        };
        let mut transition = next(&record, seen, at)?;
        let event = match &mut transition.next {
            Next::End(ending) => Some(event_of(&job, &transition.record, *ending, seen, now_ms, Vec::new())),
            Next::Submit(planned) | Next::AfterParent(planned) | Next::Poll(planned) => {
                *planned = delay;
                None
            }
        };
        let settlement = Settlement {
            job,
            fence,
            kept_until_ms: 0,
            transition,
            progress: None,
            end: event.map(|event| Box::new(JobEnd { event, ran: None, revisit_after: None, follow_ups: Vec::new() })),
            job_json: None,
        };
        self.ledger.settle(&[settlement]).await?;
        Ok(())
    }

    /// Claims the next step, and settles it with the observation `seen`.
    pub(super) async fn play(&self, seen: &Observation, delay: Duration) -> anyhow::Result<()> {
        let step = self.claim().await?;
        self.settle(step, seen, delay).await
    }

    /// Sends a GET to the server; returns status and body.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Sends a GET to the API; returns status and JSON.
    pub(super) async fn get_json(&self, path: &str) -> anyhow::Result<(u16, Value)> {
        let (status, body) = self.get(path).await?;
        Ok((status, serde_json::from_str(&body).with_context(|| format!("{path} gave {body}"))?))
    }

    /// Sends a POST to the API, to change something.
    pub(super) async fn post(&self, path: &str, token: Option<&str>) -> anyhow::Result<(u16, Value)> {
        let request = self.http.post(format!("{}{path}", self.base));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), serde_json::from_str(&answer.text().await?)?))
    }

    /// One header of an answer.
    pub(super) async fn header(&self, path: &str, name: &str) -> anyhow::Result<String> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        let value = answer.headers().get(name).with_context(|| format!("{path} has no {name}"))?;
        Ok(value.to_str()?.to_owned())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.served.abort();
    }
}

pub(super) fn accepted(task: &str) -> Observation {
    Observation::Accepted { task: TaskId::new(task), queue_position: 3 }
}

/// A running task, as an upstream shows it.
pub(super) fn running(percent: u8) -> Observation {
    Observation::Running(report("IN_PROGRESS", percent, "", None))
}

/// A task that succeeded, with its result at `image_url`.
pub(super) fn succeeded(image_url: &str) -> Observation {
    let buttons = r#"[{"customId":"MJ::JOB::upsample::1","emoji":"","label":"U1"},{"customId":"r","emoji":"🔄"}]"#;
    Observation::Succeeded(report("SUCCESS", 100, image_url, Some(buttons)))
}

pub(super) fn report(status: &str, percent: u8, image_url: &str, buttons: Option<&str>) -> TaskReport {
    let raw = |text: String| RawValue::from_string(text).ok();
    TaskReport {
        status: status.to_owned(),
        started_ms: 0,
        progress: Some(percent),
        image_url: image_url.to_owned(),
        buttons: buttons.and_then(|text| raw(text.to_owned())),
        raw: Some(format!(r#"{{"id":"1","status":"{status}","imageUrl":"{image_url}"}}"#).into()),
        ..TaskReport::default()
    }
}
