//! Who takes part, and how each is started and fed.

use std::fmt;

use anyhow::Context;
use mjq_harness::{WorkerProcess, free_port};
use mjq_producer::{
    ImagineJob, Producer, RedisLink,
    contract::{Job, QueueName},
};
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};

use self::Contestant::{ApalisBare, ApalisRedis, Bullmq, BullmqSnooze, Mjq};
use crate::{
    peers::{
        apalis::{self, ApalisClient, Tuning},
        bullmq::{self, BullmqClient},
    },
    stage::{OwnProcess, Stage},
    stream::{EVENTS, QUEUE},
    usage,
};

/// A contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Contestant {
    Mjq,
    ApalisRedis,
    /// apalis-redis without its locks and events.
    ApalisBare,
    Bullmq,
    /// bullmq-official, whose jobs wait among the delayed ones instead of in a handler.
    BullmqSnooze,
}

/// mjq and its peers, each as its users run it.
pub(crate) const ALL: &[Contestant] = &[Mjq, ApalisRedis, Bullmq];
/// The same, and what apalis-redis could do at the price of its promises.
pub(crate) const ALL_AND_BARE: &[Contestant] = &[Mjq, ApalisRedis, ApalisBare, Bullmq];
/// mjq and its peers, both styles of bullmq-official among them, where there is something to wait for.
pub(crate) const ALL_STYLES: &[Contestant] = &[Mjq, ApalisRedis, Bullmq, BullmqSnooze];
/// Everybody.
pub(crate) const EVERYBODY: &[Contestant] = &[Mjq, ApalisRedis, ApalisBare, Bullmq, BullmqSnooze];
/// The peers, in all styles.
pub(crate) const PEERS: &[Contestant] = &[ApalisRedis, Bullmq, BullmqSnooze];
/// mjq alone, where a peer has nothing to compare.
pub(crate) const ONLY_MJQ: &[Contestant] = &[Mjq];

/// What the handlers of the peers do; mjq always does the real work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Work {
    /// Submit, poll each second until the task is done, add the event.
    Pipeline,
    /// Nothing at all.
    Nothing,
}

/// A contestant's worker; it ends when it is dropped.
pub(crate) enum Worker {
    Mjq(Box<WorkerProcess>),
    Peer(Box<OwnProcess>),
}

/// Settings of mjq's worker that a measurement adds.
pub(crate) type Settings = &'static [(&'static str, &'static str)];

impl Contestant {
    /// Starts the worker and waits until it is ready.
    pub(crate) async fn start(self, stage: &Stage, work: Work, settings: Settings) -> anyhow::Result<Worker> {
        let name = match self {
            Self::Mjq if work == Work::Pipeline => return start_mjq(stage, settings).await,
            Self::Mjq => "ledger",
            Self::ApalisRedis => "apalis-redis",
            Self::ApalisBare => "apalis-bare",
            Self::Bullmq => "bullmq",
            Self::BullmqSnooze => "bullmq-snooze",
        };
        let work = match work {
            Work::Pipeline => "pipeline",
            Work::Nothing => "nothing",
        };
        let (process, _) = OwnProcess::start(&["peer", name, work, &stage.redis_url(), stage.upstream.url()]).await?;
        Ok(Worker::Peer(Box::new(process)))
    }

    /// How many jobs the contestant has done nothing for, as its own keys tell.
    pub(crate) async fn done(self, redis: &MultiplexedConnection) -> anyhow::Result<u64> {
        let command = match self {
            Self::Mjq => redis::Cmd::xlen(EVENTS),
            Self::ApalisRedis | Self::ApalisBare => redis::Cmd::scard(apalis::done_key()),
            Self::Bullmq | Self::BullmqSnooze => redis::Cmd::zcard(bullmq::COMPLETED),
        };
        Ok(command.query_async(&mut redis.clone()).await?)
    }

    /// The contestant's own client.
    pub(crate) async fn client(self, stage: &Stage) -> anyhow::Result<Client> {
        Ok(match self {
            Self::Mjq => {
                let link = RedisLink::open(&stage.redis_url())?;
                Client::Mjq(Producer::new(link, &QueueName::new(QUEUE).context("a bad queue name")?))
            }
            Self::ApalisRedis | Self::ApalisBare => {
                let tuning = if self == Self::ApalisBare { Tuning::Bare } else { Tuning::Usual };
                Client::ApalisRedis(Box::new(ApalisClient::connect(&stage.redis_url(), tuning).await?))
            }
            Self::Bullmq | Self::BullmqSnooze => {
                Client::Bullmq(Box::new(BullmqClient::connect(&stage.redis_url()).await?))
            }
        })
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mjq => "mjq",
            Self::ApalisRedis => "apalis-redis",
            Self::ApalisBare => "… without locks",
            Self::Bullmq => "bullmq-official",
            Self::BullmqSnooze => "bullmq-official, snooze",
        })
    }
}

async fn start_mjq(stage: &Stage, settings: Settings) -> anyhow::Result<Worker> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let mut builder = WorkerProcess::on(&stage.redis_url()).queue(QUEUE).upstream(stage.upstream.url()).quiet();
    // The peers neither limit their polls nor write a line for each job.
    builder = builder.set("MJQ_UPSTREAM_POLL_RATE", 0).set("MJQ_LOG", "warn").set("MJQ_ADMIN_ADDR", &address);
    for (name, value) in settings {
        builder = builder.set(name, value.replace("{admin}", &address));
    }
    let mut worker = builder.start()?;
    worker.wait_ready().await?;
    Ok(Worker::Mjq(Box::new(worker)))
}

impl Worker {
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        match self {
            Self::Mjq(worker) => Ok(worker.pid()),
            Self::Peer(process) => process.pid(),
        }
    }

    pub(crate) fn cpu_s(&self) -> anyhow::Result<f64> {
        usage::cpu_s(self.pid()?)
    }

    pub(crate) fn rss_mib(&self) -> anyhow::Result<f64> {
        usage::rss_mib(self.pid()?)
    }

    pub(crate) fn peak_rss_mib(&self) -> anyhow::Result<f64> {
        usage::peak_rss_mib(self.pid()?)
    }

    pub(crate) async fn kill9(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Mjq(worker) => worker.kill9(),
            Self::Peer(process) => process.kill9().await,
        }
    }

    /// What it said, for a measurement that failed.
    pub(crate) fn logs(&self) -> String {
        match self {
            Self::Mjq(worker) => worker.logs(),
            Self::Peer(_) => String::new(),
        }
    }
}

/// A contestant's client, for enqueueing as its users do.
pub(crate) enum Client {
    Mjq(Producer),
    ApalisRedis(Box<ApalisClient>),
    Bullmq(Box<BullmqClient>),
}

impl Client {
    /// Enqueues jobs in as few round trips as the client knows how to.
    pub(crate) async fn enqueue_many(&mut self, from: usize, count: usize) -> anyhow::Result<()> {
        match self {
            Self::Mjq(producer) => {
                let jobs = (from..from + count).map(job).collect::<anyhow::Result<Vec<_>>>()?;
                producer.enqueue_many(&jobs).await?;
            }
            Self::ApalisRedis(client) => client.enqueue_many((from..from + count).map(payload).collect()).await?,
            Self::Bullmq(client) => client.enqueue_many((from..from + count).map(payload).collect()).await?,
        }
        Ok(())
    }

    /// Enqueues one job.
    pub(crate) async fn enqueue(&mut self, number: usize) -> anyhow::Result<()> {
        match self {
            Self::Mjq(producer) => drop(producer.enqueue(&job(number)?).await?),
            Self::ApalisRedis(client) => client.enqueue(payload(number)).await?,
            Self::Bullmq(client) => client.enqueue(payload(number)).await?,
        }
        Ok(())
    }
}

/// The job of this number, as mjq takes it.
pub(crate) fn job(number: usize) -> anyhow::Result<Job> {
    let job = ImagineJob::new(&prompt(number)).model("mj-fast").bot_type("MID_JOURNEY");
    Ok(job.id(&format!("order-{number}")).state(&format!("customer {number}")).build()?)
}

/// The same for the peers: what mjq's job says, without what only mjq knows.
fn payload(number: usize) -> Value {
    let request = json!({
        "prompt": prompt(number), "model": "mj-fast", "botType": "MID_JOURNEY", "state": format!("customer {number}"),
    });
    json!({ "id": format!("order-{number}"), "kind": "imagine", "request": request })
}

fn prompt(number: usize) -> String {
    format!("a lighthouse in a storm, oil on canvas, no. {number} --ar 3:2")
}

/// The bytes of the job of this number, as its client writes it.
pub(crate) fn payload_bytes(who: Contestant, number: usize) -> anyhow::Result<usize> {
    let json = match who {
        Mjq => serde_json::to_string(&job(number)?)?,
        ApalisRedis | ApalisBare | Bullmq | BullmqSnooze => payload(number).to_string(),
    };
    Ok(json.len())
}
