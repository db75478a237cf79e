//! The ledger: what mjq knows about its jobs, kept in Redis.
//!
//! One typed call per script in `scripts/`, and one script per transition. Every script is one atomic act, may be sent
//! again after a lost reply, and touches a bounded number of jobs. Redis's `TIME` is the only clock. `call` repeats
//! failed calls until Redis answers. Calls that are made anew soon anyway (beats, paces, views) return their errors.
//!
//! | key | type | what |
//! |---|---|---|
//! | `jobs` | stream | in: jobs and commands, until they are admitted |
//! | `events` | stream | out: one entry per terminal fact |
//! | `progress` | stream | out, if `MJQ_PROGRESS_EVENTS` says so: what polls of open tasks showed |
//! | `job:<id>` | string | fence of the claim under way, else of the next; phase; record; entry of its event. See `kept` |
//! | `request:<id>` | string | digest of the body, submit score, state, and the job unless it is large. See `kept` |
//! | `large:<id>`, `shown:<id>` | string | a large job, and a version without pictures. If pictures made a completed job large, only the second stays |
//! | `more:<id>` | hash | what few jobs have: `rc` reclaims, `rn` fence of the last reclaim, `c` cancel mark, `hint` task that a hook named, with `+` before it if the hook told its end, `modal` the latest input, `mn` number of inputs, `mw` mark of an input that came before the task waited |
//! | `children:<id>` | set | actions that wait for this open job, in `due:later` until it has ended |
//! | `marked` | set | open jobs that have any of `more:<id>` or `children:<id>`, or are large |
//! | `due:submit` | zset | queued jobs by priority, then age |
//! | `due:later` | zset | queued jobs by the time from which they may be submitted |
//! | `due:poll` | zset | open tasks by the time of their next poll |
//! | `leases` | zset | claims, as `<fence>:<job id>`, by the time that their lease runs out |
//! | `deadlines` | zset | jobs that have not ended, by deadline. The Helm chart wakes workers by it, and by `late` |
//! | `held`, `unknown` | zset | open jobs that wait for input, and open jobs whose submit's answer was lost, by the time since when |
//! | `ended` | stream | jobs that have ended; one entry for each call of settle, under the id of its last event |
//! | `failed` | zset | ended jobs that failed: the dead letters |
//! | `late` | zset | jobs that ended without their task, by the time of their next revisit |
//! | `upstream` | hash | what all pods share: pauses, breaker, adaptive limit, the server in charge |
//! | `pace:<kind>:<mode>` | list | how long the latest tasks ran, ms, and whether a hook told their end: `+` or `-` |
//! | `rate:submit`, `rate:poll` | list | the latest grants, for the rate limits |
//! | `claim:<pod>` | string | the pod's last claim, in case its reply was lost |
//! | `reported` | set | pods that have said what they hold since the gate was closed |
//! | `given_out` | string | when a pod last looked back over `jobs`, and up to which entry the stream was given out then |
//! | `hook_secret` | string | the secret with which all pods sign hook addresses; of the users in deploy/acl.conf only `worker` may read it |
//! | `room` | string | written by claims that may submit, to learn whether Redis has room |
//! | `workers` | hash | live pods |
//! | `totals` | hash | ended jobs and rejected entries by type and code, since the queue began; `ended`: ended jobs that are kept; `suspected_rollback`, `follow_up_refused` |
//! | `rejected` | stream | entries that could not be read, with the reason |

mod admission;
mod afterlife;
mod args;
mod call;
mod claim;
mod claim_reply;
mod clock;
mod commands;
mod denial;
mod denials;
mod entry_id;
mod eviction;
mod hints;
mod intake;
mod kept;
mod pace;
mod parent;
mod pause;
mod pods;
mod rate;
mod reassertion;
mod release;
mod renewal;
mod retry;
mod rights;
mod scripts;
mod server_look;
mod settlement;
mod sweep;
mod view;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use mjq_producer::{
    RedisLink,
    contract::{JobId, QueueName},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use admission::{Admission, Admitted, Rejection};
pub use afterlife::{DueRevisit, DueRevisits};
pub use call::Abandoned;
pub use claim::{ClaimLimits, Claimed, Step, Wanted};
pub use clock::RedisClock;
pub use commands::CommandAnswer;
pub use denial::denial;
pub use entry_id::EntryId;
pub use hints::{Hinted, TaskHint};
pub use intake::{Intake, RawEntry};
pub use pace::PollsAtLarge;
pub use parent::Parent;
pub use pause::Paused;
pub use rate::{Grant, Rate, RateKind};
pub use reassertion::{Asserted, Gate};
pub use release::UnreadableStep;
pub use renewal::Holding;
pub use retry::RetryError;
pub use settlement::{JobEnd, Progress, Settled, Settlement};
pub use view::{
    BlindPolls, BreakerCause, Counts, EventGroup, JobLine, JobView, Latest, Place, Pod, RejectedEntry, Standing,
    Upstream, ViewError, hide_images,
};

use denials::Denials;
use pods::PodsSeen;
use rate::RoundTrip;
use server_look::ServerLook;

/// The ledger of one queue. Clones share its connection.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    link: RedisLink,
    queue: QueueName,
    prefix: String,
    clock: RedisClock,
    round_trip: RoundTrip,
    server_look: ServerLook,
    /// How many claims that gave steps Redis has counted, as far as this pod has heard.
    claims_heard: AtomicU64,
    pods_seen: PodsSeen,
    kept_for_ms: AtomicU64,
    retention: Duration,
    /// Whether the last call was answered.
    is_reachable: watch::Sender<bool>,
    /// How often a call failed after Redis had answered the one before; closed gates count, too.
    outages: watch::Sender<u64>,
    /// The last gate that this pod has heard of. The pod reports, or has reported, what it holds for this gate.
    gate: AtomicU64,
    /// What Redis refuses at present.
    denials: Denials,
    /// Whether to give up a call that Redis refuses, as commands of the CLI do.
    gives_up_when_denied: bool,
    /// Cancelled when the pod is about to leave: then no call waits for a silent connection any more.
    hurry: CancellationToken,
    /// Ends the retries of a pod that has to leave while Redis is away.
    abandon: CancellationToken,
}

impl Ledger {
    /// How many bytes one script call should carry; a single job may be larger.
    pub const CALL_BYTES: usize = 512 * 1024;

    /// Opens the ledger of `queue`. The first call connects to Redis.
    #[must_use]
    pub fn new(link: RedisLink, queue: QueueName, retention: Duration, abandon: CancellationToken) -> Self {
        Self::with_patience(link, queue, retention, abandon, false)
    }

    /// Opens the ledger of `queue` for one command of the CLI: a call that Redis refuses fails at once.
    #[must_use]
    pub fn for_a_command(link: RedisLink, queue: QueueName, retention: Duration, abandon: CancellationToken) -> Self {
        Self::with_patience(link, queue, retention, abandon, true)
    }

    fn with_patience(
        link: RedisLink,
        queue: QueueName,
        retention: Duration,
        abandon: CancellationToken,
        gives_up_when_denied: bool,
    ) -> Self {
        let prefix = queue.prefix();
        let (is_reachable, outages) = (watch::channel(false).0, watch::channel(0).0);
        let (clock, hurry) = (RedisClock::default(), CancellationToken::new());
        Self(Arc::new(Inner {
            link,
            queue,
            prefix,
            clock,
            round_trip: RoundTrip::default(),
            server_look: ServerLook::default(),
            claims_heard: AtomicU64::new(0),
            pods_seen: PodsSeen::default(),
            kept_for_ms: AtomicU64::new(u64::MAX),
            retention,
            is_reachable,
            outages,
            gate: AtomicU64::new(Gate::OPEN.0),
            denials: Denials::default(),
            gives_up_when_denied,
            hurry,
            abandon,
        }))
    }

    /// Redis's time, as last heard and carried on by this machine's monotonic clock.
    #[must_use]
    pub fn clock(&self) -> &RedisClock {
        &self.0.clock
    }

    /// The connection. Anything that moves a job uses a script instead.
    #[must_use]
    pub fn link(&self) -> &RedisLink {
        &self.0.link
    }

    /// The queue's name.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.0.queue
    }

    /// Whether Redis answered the last call.
    #[must_use]
    pub fn reachability(&self) -> watch::Receiver<bool> {
        self.0.is_reachable.subscribe()
    }

    /// The number of outages so far. After each, Redis may have lost writes.
    #[must_use]
    pub fn outages(&self) -> watch::Receiver<u64> {
        self.0.outages.subscribe()
    }

    /// What Redis refuses at present, with its words: calls, which the pod keeps repeating, and submits while Redis's
    /// memory is full.
    #[must_use]
    pub fn denials(&self) -> Vec<String> {
        self.0.denials.all()
    }

    /// Makes all calls hurry, because the pod is about to leave. Otherwise its last writes could wait on a half-open
    /// connection for longer than the pod lives.
    pub fn hurry(&self) {
        self.0.hurry.cancel();
    }

    /// Makes one of this queue's keys.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.0.prefix)
    }

    /// Makes one of a job's keys.
    #[must_use]
    pub fn job_key(&self, name: &str, job: &JobId) -> String {
        format!("{}{name}:{job}", self.0.prefix)
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("queue", &self.0.queue).finish_non_exhaustive()
    }
}

/// Makes a script's argument from a value's text.
fn arg(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}
