//! The claim: which steps this pod performs next.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use mjq_producer::contract::JobId;

use super::{
    Abandoned, Ledger, Rate, UnreadableStep, arg,
    claim_reply::{ClaimReply, RawStep, WaitsFor},
    kept::KeptRequest,
    scripts,
};
use crate::lifecycle::{Flags, Record};

/// The limits that a claim keeps, over all pods.
#[derive(Debug, Clone)]
pub struct ClaimLimits {
    /// How long a step belongs to this pod without a renewal.
    pub lease: Duration,
    /// How many tasks may be open upstream at once; 0 is no limit.
    pub max_open: u32,
    /// The rate of submits.
    pub submit_rate: Rate,
    /// The rate of requests that poll.
    pub poll_rate: Rate,
    /// How long the answer to a submit may take. While the breaker is open, no second probe goes meanwhile.
    pub probe: Duration,
}

/// What a pod has room for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Steps, at most [`Ledger::MAX_CLAIM`].
    pub steps: usize,
    /// How many of them may be submits.
    pub submits: usize,
    /// Polls that one request carries: 1 unless the upstream lists tasks.
    pub polls_per_request: u32,
}

/// What a claim brought.
#[derive(Debug)]
pub struct Claimed {
    /// The steps, to be performed now.
    pub steps: Vec<Step>,
    /// Steps that this pod cannot read, and has to release: a later version of mjq may have written them.
    pub unreadable: Vec<UnreadableStep>,
    /// When there may be more steps; `None` if nothing is waiting at all.
    pub more_after: Option<Duration>,
    /// Whether submits wait until open tasks end.
    pub submits_wait_for_room: bool,
}

/// One claimed step.
#[derive(Debug)]
pub struct Step {
    /// The job.
    pub job: JobId,
    /// The number of the claim. A pod with a higher one has taken the job over.
    pub fence: u64,
    /// The job's record, with the phase that the claim left it in.
    pub record: Record,
    /// What the claim found besides the record.
    pub flags: Flags,
    /// The job as it was enqueued, for the submit of a small job. Other steps read the job with a separate call.
    pub job_json: Option<String>,
    /// When the step was claimed, by Redis's clock, in Unix milliseconds. If the claim was repeated after a lost
    /// answer, the time of the first one.
    pub claimed_ms: u64,
    /// The lease began at this time or later.
    pub claimed_at: Instant,
    /// Until when the step's place under the rates holds. It counts from the grant, so less of it is left if the first
    /// answer to the claim was lost.
    pub place_until: Instant,
}

impl Ledger {
    /// The most steps of one claim: a script must not block Redis for long.
    pub const MAX_CLAIM: usize = 256;

    /// Claims up to `wanted` steps for `pod`; fewer, even none, is normal.
    ///
    /// `request` numbers this claim: for the same number, Redis gives the same steps again.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered. Leases that it may have got run out.
    pub async fn claim(
        &self,
        pod: &str,
        request: &str,
        wanted: Wanted,
        limits: &ClaimLimits,
    ) -> Result<Claimed, Abandoned> {
        let round_trip = self.0.round_trip.least();
        let args = [
            arg(pod),
            arg(request),
            arg(wanted.steps.min(Self::MAX_CLAIM)),
            arg(wanted.submits.min(Self::MAX_CLAIM)),
            arg(limits.lease.as_millis()),
            arg(limits.max_open),
            arg(limits.submit_rate.count),
            arg(limits.submit_rate.window_ms(round_trip)),
            arg(limits.poll_rate.count),
            arg(limits.poll_rate.window_ms(round_trip)),
            arg(wanted.polls_per_request.max(1)),
            arg(limits.probe.as_millis()),
        ];
        let (claimed_at, reply): (Instant, ClaimReply) = self
            .until_answered(scripts::CLAIM.name(), || async {
                // Taken for each attempt, since only the answered one counts: an earlier attempt may have hung for
                // long.
                let (asked, looks) = (Instant::now(), self.0.server_look.is_due());
                let clock = &self.0.clock;
                let claims = self.0.claims_heard.load(Ordering::Relaxed);
                let of_now = [arg(u8::from(looks)), arg(clock.last_answer_ms()), arg(clock.now_ms()), arg(claims)];
                let args = [args.as_slice(), &of_now].concat();
                let reply = scripts::CLAIM.run(&self.0.link, &self.0.prefix, &args).await?;
                self.0.round_trip.took(asked.elapsed());
                if looks {
                    self.0.server_look.made(asked);
                }
                Ok((asked, reply))
            })
            .await?;
        self.0.clock.heard(reply.now_ms);
        self.0.clock.silence_is_told();
        self.0.claims_heard.fetch_max(reply.claims, Ordering::Relaxed);
        self.note_room(reply.waits != WaitsFor::Memory);
        self.note_gate(reply.gate());
        // A step that was granted long ago has lost its place under the rates, because others were granted places
        // since.
        let waited = Duration::from_millis(reply.now_ms.saturating_sub(reply.granted_ms));
        let granted_at = claimed_at.checked_sub(waited).unwrap_or(claimed_at);
        let place_until = Rate::place_until(granted_at, round_trip);
        let (mut steps, mut unreadable) = (Vec::with_capacity(reply.steps.len()), Vec::new());
        for text in &reply.steps {
            match RawStep::read(text).and_then(|raw| raw.into_step(&reply, claimed_at, place_until)) {
                Some(step) => steps.push(step),
                None => unreadable.push(RawStep::unreadable(text, &reply)),
            }
        }
        let more_after = u64::try_from(reply.more_after_ms).ok().map(Duration::from_millis);
        Ok(Claimed { steps, unreadable, more_after, submits_wait_for_room: reply.waits == WaitsFor::OpenTasks })
    }

    /// The size of a large job, which its claim did not bring.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn job_bytes(&self, job: &JobId) -> Result<u64, Abandoned> {
        let mut command = redis::cmd("STRLEN");
        command.arg(self.job_key("large", job));
        self.until_answered("read_job_size", || self.0.link.query(&command)).await
    }

    /// Reads the job as it was enqueued, for a step whose claim did not bring it.
    ///
    /// # Errors
    /// [`Abandoned`] if the pod had to leave before Redis answered.
    pub async fn job_json(&self, job: &JobId) -> Result<Option<String>, Abandoned> {
        let mut command = redis::cmd("MGET");
        command.arg(self.job_key("request", job)).arg(self.job_key("large", job));
        let (request, large): (Option<String>, Option<String>) =
            self.until_answered("read_job", || self.0.link.query(&command)).await?;
        let small = request.and_then(|text| KeptRequest::read(&text)?.job.map(str::to_owned));
        Ok(small.or(large))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::{Gate, Grant, RateKind, Settlement},
        lifecycle::{Next, Phase, Pressure, Transition},
    };

    /// A ledger with a queue of its own and one job, which may be submitted and has this state.
    async fn a_ledger_with_a_job(state: &str) -> anyhow::Result<Ledger> {
        use mjq_producer::RedisLink;
        let redis = mjq_harness::shared_redis().await?;
        let (link, queue) = (RedisLink::open(redis.url())?, mjq_harness::unique_queue().parse()?);
        let ledger = Ledger::new(link, queue, Duration::from_secs(60), tokio_util::sync::CancellationToken::new());
        admit(&ledger, "order-1842", state).await?;
        Ok(ledger)
    }

    async fn admit(ledger: &Ledger, id: &str, state: &str) -> anyhow::Result<()> {
        use mjq_producer::contract::Entry;
        let request = format!(r#"{{"prompt":"a red fox","state":"{state}"}}"#);
        let json = format!(r#"{{"id":"{id}","kind":"imagine","request":{request}}}"#);
        let mut add = redis::cmd("XADD");
        add.arg(ledger.queue().jobs_stream()).arg("*").arg("v").arg(1).arg("job").arg(&json);
        let entry: String = ledger.link().query(&add).await?;
        let Entry::Job(job) = Entry::read(None, Some(json.as_bytes()), 1 << 20)? else { anyhow::bail!("no job") };
        let enqueued_ms = entry.split_once('-').map_or(Ok(0), |(ms, _)| ms.parse())?;
        let record = Record::admit(&job, enqueued_ms, &crate::lifecycle::Policy::default());
        let id = JobId::new(id)?;
        ledger.admit(&[crate::ledger::Admission { entry, id, json, job: *job, record }], true).await?;
        Ok(())
    }

    fn no_limits() -> ClaimLimits {
        let (no_limit, lease, probe) = (Rate::per_second(0.0), Duration::from_secs(60), Duration::from_secs(30));
        ClaimLimits { lease, max_open: 0, submit_rate: no_limit, poll_rate: no_limit, probe }
    }

    #[tokio::test]
    async fn no_claim_carries_a_long_state() -> anyhow::Result<()> {
        let ledger = a_ledger_with_a_job(&"s".repeat(100_000)).await?;
        let claim =
            ["pod-a", "1", "1", "1", "60000", "0", "0", "0", "0", "0", "1", "30000", "0", "0", "9000000000000", "0"]
                .map(arg);

        for asked in ["first", "again"] {
            let reply: ClaimReply = ledger.call(&scripts::CLAIM, &claim).await?;

            assert_eq!(reply.steps.len(), 1, "{asked}");
            assert!(reply.steps[0].len() < 1000, "{asked}: {} bytes", reply.steps[0].len());
        }
        let json = ledger.job_json(&JobId::new("order-1842")?).await?;
        assert!(json.is_some_and(|json| json.len() > 100_000), "it is read when it is submitted");
        Ok(())
    }

    #[tokio::test]
    async fn a_step_that_cannot_be_read_is_released_and_can_be_claimed_as_if_it_had_not_been() -> anyhow::Result<()> {
        let ledger = a_ledger_with_a_job("customer 7").await?;
        let limits = ClaimLimits { submit_rate: Rate::per_second(50.0), ..no_limits() };
        let wanted = Wanted { steps: 1, submits: 1, polls_per_request: 1 };
        let (job, key) = (ledger.key("job:order-1842"), |name: &str| ledger.key(name));
        let text = async || ledger.link().query::<String>(redis::cmd("GET").arg(&job)).await;
        let set = async |text: &str| ledger.link().query::<String>(redis::cmd("SET").arg(&job).arg(text)).await;
        let score = async |lane: &str| {
            ledger.link().query::<Option<f64>>(redis::cmd("ZSCORE").arg(key(lane)).arg("order-1842")).await
        };
        let count =
            async |command: &str, name: &str| ledger.link().query::<u64>(redis::cmd(command).arg(key(name))).await;
        let readable = text().await?;
        let written_by_a_later_version = |text: &str| text.replacen('{', r#"{"k":"hologram","#, 1);
        set(&written_by_a_later_version(&readable)).await?;

        let claimed = ledger.claim("pod-a", "1", wanted, &limits).await?;
        assert_eq!((claimed.steps.len(), claimed.unreadable.len()), (0, 1));
        for _ in ["first", "again"] {
            ledger.release(&claimed.unreadable, Duration::ZERO).await?;
        }

        assert_eq!((count("ZCARD", "leases").await?, score("due:submit").await?), (0, None));
        assert!(score("due:later").await?.is_some() && score("deadlines").await?.is_some());
        assert_eq!(count("LLEN", "rate:submit").await?, 0, "its place is free again");
        assert_eq!(text().await?, written_by_a_later_version(&readable).replacen("1 ", "2 ", 1));
        set(&readable.replacen("1 ", "2 ", 1)).await?;
        let step = ledger.claim("pod-b", "1", wanted, &limits).await?.steps.remove(0);
        assert_eq!((step.fence, step.record.phase, step.flags), (2, Phase::Submitting, Flags::default()));

        // A poll goes back into its own lane. A submit that another worker may have sent stays taken over.
        let taken_over = async |phase: &str, pod: &str| {
            set(&written_by_a_later_version(&readable.replacen("1 queued", &format!("2 {phase}"), 1))).await?;
            let mut lapse = redis::cmd("ZADD");
            lapse.arg(key("leases")).arg(1).arg("2:order-1842");
            ledger.link().query::<u64>(&lapse).await?;
            let claimed = ledger.claim(pod, "1", wanted, &limits).await?;
            ledger.release(&claimed.unreadable, Duration::ZERO).await?;
            anyhow::Ok(claimed.unreadable[0].fence.clone())
        };
        assert_eq!(taken_over("submitting", "pod-c").await?, "3");
        assert_eq!((count("ZCARD", "leases").await?, score("due:later").await?), (1, None));
        assert!(text().await?.starts_with("3 submitting "));
        ledger.link().query::<u64>(redis::cmd("DEL").arg(key("leases"))).await?;
        assert_eq!(taken_over("polling", "pod-d").await?, "3");
        assert!(score("due:poll").await?.is_some() && text().await?.starts_with("4 polling "));
        Ok(())
    }

    #[tokio::test]
    async fn data_that_count_fewer_claims_than_a_pod_has_heard_of_have_lost_some() -> anyhow::Result<()> {
        let ledger = a_ledger_with_a_job("customer 7").await?;
        let lease = Duration::from_secs(60);
        let limits = no_limits();
        let wanted = Wanted { steps: 1, submits: 1, polls_per_request: 1 };
        let key = |name: &str| ledger.key(name);
        let text: String = ledger.link().query(redis::cmd("GET").arg(key("job:order-1842"))).await?;
        assert_eq!(ledger.claim("pod-a", "1", wanted, &limits).await?.steps.len(), 1);
        ledger.show_worker("pod-a", "{}").await?;
        ledger.show_worker("pod-b", "{}").await?;
        let mut outages = ledger.outages();
        outages.mark_unchanged();

        // The data of a replica that was cut off before the claim, and before pod-b came.
        let mut old = redis::pipe();
        old.cmd("SET")
            .arg(key("job:order-1842"))
            .arg(text)
            .cmd("HDEL")
            .arg(key("upstream"))
            .arg("claims")
            .cmd("DEL")
            .arg(key("leases"));
        old.cmd("HDEL").arg(key("workers")).arg("pod-b").cmd("ZADD").arg(key("due:submit")).arg(1).arg("order-1842");
        ledger.link().pipeline::<()>(&old).await?;

        assert!(ledger.claim("pod-a", "2", wanted, &limits).await?.steps.is_empty(), "the job is not given out again");
        assert!(outages.has_changed()?, "what the pod holds is to be told");
        let (gate, _) = ledger.reassert("pod-a", &[], lease, Gate::OPEN).await?;
        ledger.reassert("pod-a", &[], lease, gate).await?;
        assert!(ledger.claim("pod-a", "3", wanted, &limits).await?.steps.is_empty(), "pod-a knew of another pod");
        ledger.reassert("pod-b", &[], lease, gate).await?;
        assert_eq!(ledger.claim("pod-a", "4", wanted, &limits).await?.steps.len(), 1, "both have told");
        Ok(())
    }

    #[tokio::test]
    async fn what_was_told_before_another_loss_does_not_count_after_it() -> anyhow::Result<()> {
        let ledger = a_ledger_with_a_job("customer 7").await?;
        let lease = Duration::from_secs(60);
        let limits = no_limits();
        let wanted = Wanted { steps: 1, submits: 1, polls_per_request: 1 };
        let claim = async |request: &str| ledger.claim("pod-a", request, wanted, &limits).await;
        // Makes Redis look like another server that has replaced the one before.
        let another_server = async || {
            let mut set = redis::cmd("HSET");
            set.arg(ledger.key("upstream")).arg("server").arg("the one before");
            ledger.link().query::<u64>(&set).await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
            anyhow::Ok(())
        };
        ledger.show_worker("pod-a", "{}").await?;
        let mut outages = ledger.outages();

        another_server().await?;
        outages.mark_unchanged();
        assert!(claim("1").await?.steps.is_empty());
        assert!(outages.has_changed()?, "the pod hears of the gate, and tells what it holds");
        let (first, _) = ledger.reassert("pod-a", &[], lease, Gate::OPEN).await?;
        outages.mark_unchanged();
        assert!(claim("2").await?.steps.is_empty());
        assert!(!outages.has_changed()?, "it is telling that already");

        another_server().await?;
        assert!(claim("3").await?.steps.is_empty());
        assert!(outages.has_changed()?, "the gate is closed for another loss");
        let (second, _) = ledger.reassert("pod-a", &[], lease, first).await?;
        assert_ne!(first, second);
        assert!(claim("4").await?.steps.is_empty(), "what was told to the first may be lost");
        ledger.reassert("pod-a", &[], lease, second).await?;
        assert_eq!(claim("5").await?.steps.len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_claim_that_is_asked_again_gives_the_same_step_with_the_time_of_its_grant() -> anyhow::Result<()> {
        let ledger = a_ledger_with_a_job("customer 7").await?;
        let limits = no_limits();
        let wanted = Wanted { steps: 1, submits: 1, polls_per_request: 1 };
        let first = ledger.claim("pod-a", "1", wanted, &limits).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;

        let again = ledger.claim("pod-a", "1", wanted, &limits).await?;

        let (first, again) = (&first.steps[0], &again.steps[0]);
        assert_eq!((&first.job, first.fence, first.claimed_ms), (&again.job, again.fence, again.claimed_ms));
        assert!(first.place_until >= first.claimed_at + Rate::FRESH);
        // Redis's times are whole milliseconds, so up to one is lost.
        let first_known = again.claimed_at - Duration::from_millis(199);
        assert!(again.place_until <= first_known + Rate::FRESH + Duration::from_millis(100), "its place is new");
        Ok(())
    }

    #[tokio::test]
    async fn a_place_that_was_not_used_in_time_is_exchanged_and_given_back_once() -> anyhow::Result<()> {
        let ledger = a_ledger_with_a_job("customer 7").await?;
        let rate = Rate::per_second(0.01);
        let limits = ClaimLimits { submit_rate: rate, ..no_limits() };
        let wanted = Wanted { steps: 1, submits: 1, polls_per_request: 1 };
        let step = ledger.claim("pod-a", "1", wanted, &limits).await?.steps.remove(0);
        let grant = async |own_ms| ledger.grant(RateKind::Submit, rate, own_ms).await;
        let mut places = redis::cmd("LRANGE");
        places.arg(ledger.key("rate:submit")).arg(0).arg(-1);
        let places = async || ledger.link().query::<Vec<u64>>(&places).await;
        assert!(matches!(grant(0).await?, Grant::After(_)), "the claim's place is the only one");
        // Places of the same millisecond cannot be told apart.
        tokio::time::sleep(Duration::from_millis(2)).await;

        let Grant::Place { granted_ms, .. } = grant(step.claimed_ms).await? else { anyhow::bail!("no place") };
        assert_eq!(places().await?, [granted_ms]);
        assert!(matches!(grant(step.claimed_ms).await?, Grant::After(_)), "the old place is gone");

        let limits = ClaimLimits { submit_rate: limits.poll_rate, ..limits };
        let unsent = |step: &Step, place_ms| Pressure::Unsent { claimed_ms: step.claimed_ms, place_ms };
        put_back(&ledger, &step, unsent(&step, 0)).await?;
        assert_eq!(places().await?, [granted_ms], "it is another step's place");
        let step = ledger.claim("pod-a", "2", wanted, &limits).await?.steps.remove(0);
        put_back(&ledger, &step, unsent(&step, granted_ms)).await?;
        assert!(places().await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn only_submits_that_were_claimed_since_the_breaker_opened_are_its_probes() -> anyhow::Result<()> {
        let ledger = a_ledger_with_a_job("customer 7").await?;
        for id in ["order-1843", "order-1844"] {
            admit(&ledger, id, "customer 8").await?;
        }
        let limits = no_limits();
        let wanted = Wanted { steps: 3, submits: 3, polls_per_request: 1 };
        let upstream = ledger.key("upstream");
        let mut fields = redis::cmd("HMGET");
        fields.arg(&upstream).arg(&["down", "probing"]);
        let breaker = async || ledger.link().query::<(Option<u32>, Option<u64>)>(&fields).await;
        let under_way = ledger.claim("pod-a", "1", wanted, &limits).await?.steps;
        let [first, second, third] = &under_way[..] else { anyhow::bail!("three steps: {under_way:?}") };
        // Claims of one millisecond are the same.
        tokio::time::sleep(Duration::from_millis(2)).await;
        put_back(&ledger, first, Pressure::Down { claimed_ms: first.claimed_ms }).await?;
        assert_eq!(breaker().await?, (Some(1), None));
        // Ends the breaker's pause.
        let mut set = redis::cmd("HSET");
        set.arg(&upstream).arg("down_until_ms").arg(0);
        ledger.link().query::<u64>(&set).await?;
        put_back(&ledger, second, Pressure::Down { claimed_ms: second.claimed_ms }).await?;
        assert_eq!(breaker().await?, (Some(1), None), "the second was under way when it opened");
        let probe = ledger.claim("pod-a", "2", wanted, &limits).await?.steps.remove(0);
        let next_ms: u64 = ledger.link().query(redis::cmd("HGET").arg(&upstream).arg("down_until_ms")).await?;
        assert_eq!(next_ms - probe.claimed_ms, 31_000, "no other probe goes before its answer is here, or is lost");

        put_back(&ledger, third, Pressure::Lost { claimed_ms: third.claimed_ms }).await?;
        assert_eq!(breaker().await?, (Some(1), Some(probe.claimed_ms)), "the third is not the probe");
        put_back(&ledger, &probe, Pressure::Lost { claimed_ms: probe.claimed_ms }).await?;

        assert_eq!(breaker().await?, (Some(2), None));
        Ok(())
    }

    /// Settles a step whose job is submitted (again) at once.
    async fn put_back(ledger: &Ledger, step: &Step, pressure: Pressure) -> anyhow::Result<()> {
        let record = Record { phase: Phase::Queued, ..step.record.clone() };
        let transition = Transition { record, next: Next::Submit(Duration::ZERO), pressure };
        let (job, fence, kept_until_ms) = (step.job.clone(), step.fence, step.claimed_ms + 60_000);
        ledger
            .settle([&Settlement { job, fence, kept_until_ms, transition, progress: None, end: None, job_json: None }])
            .await?;
        Ok(())
    }

    #[tokio::test]
    async fn grants_from_before_a_clock_went_back_stop_no_rate() -> anyhow::Result<()> {
        let ledger = a_ledger_with_a_job("customer 7").await?;
        let rate = Rate::per_second(1.0);
        let grant = async || ledger.grant(RateKind::Poll, rate, 0).await;
        assert!(matches!(grant().await?, Grant::Place { .. }));
        assert!(matches!(grant().await?, Grant::After(_)), "one each second");

        let mut set = redis::cmd("LSET");
        set.arg(ledger.key("rate:poll")).arg(0).arg(9_000_000_000_000_u64);
        ledger.link().query::<String>(&set).await?;

        assert!(matches!(grant().await?, Grant::Place { .. }));
        Ok(())
    }
}
