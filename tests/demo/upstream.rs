//! The API that the jobs go to: the simulated one, or the real one when its address and key are there.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use mjq_harness::WorkerBuilder;
use mjq_simulator::{Knobs, Simulator, Span};

use crate::books::Books;

/// Which API it is to be.
pub(crate) enum UpstreamChoice {
    Simulated,
    /// With the settings of the environment, `MJQ_UPSTREAM_…`.
    Real(BTreeMap<String, String>),
}

/// The API that is there.
pub(crate) enum Upstream {
    Simulated(Simulator),
    Real { settings: BTreeMap<String, String> },
}

const URL: &str = "MJQ_UPSTREAM_URL";
const KEYS: [&str; 2] = ["MJQ_UPSTREAM_KEY", "MJQ_UPSTREAM_KEY_FILE"];
/// Tasks that the simulated API works on at once; the others get code 22.
pub(crate) const SLOTS: usize = 3;

impl UpstreamChoice {
    /// The real API if it is named and the costs are agreed to, else the simulated one.
    pub(crate) fn of_environment(costs_are_agreed_to: bool) -> anyhow::Result<Self> {
        let settings: BTreeMap<String, String> =
            std::env::vars().filter(|(name, value)| name.starts_with("MJQ_UPSTREAM_") && !value.is_empty()).collect();
        if !settings.contains_key(URL) || !KEYS.iter().any(|key| settings.contains_key(*key)) {
            return Ok(Self::Simulated);
        }
        ensure!(
            costs_are_agreed_to,
            "MJQ_UPSTREAM_URL and its key are set, so this would make one picture and one upscale at the real API, \
             which costs money.\n  cargo demo -- --yes                        if that is what you want\n  \
             env -u MJQ_UPSTREAM_KEY cargo demo         for the simulated API, for nothing"
        );
        Ok(Self::Real(settings))
    }

    /// What is about to happen, for somebody who has never heard of mjq.
    pub(crate) fn introduction(&self) -> &'static str {
        match self {
            Self::Simulated => {
                "mjq is a durable job queue for Midjourney-style image APIs. This demo starts a Redis, a simulated API\n\
                 and a worker. Jobs go into a Redis stream, the worker submits each of them once and watches it, and\n\
                 for each job exactly one event comes out of another stream. It costs nothing and leaves nothing.\n"
            }
            Self::Real(_) => {
                "mjq is a durable job queue for Midjourney-style image APIs. This demo starts a Redis and a worker, and\n\
                 lets them make one picture and its upscale at the REAL API of MJQ_UPSTREAM_URL. THAT COSTS MONEY.\n"
            }
        }
    }

    /// Starts what has to be started.
    pub(crate) async fn open(&self) -> anyhow::Result<Upstream> {
        match self {
            Self::Simulated => {
                let simulator = Simulator::start(knobs()).await.context("could not start the simulated API")?;
                Ok(Upstream::Simulated(simulator))
            }
            Self::Real(settings) => Ok(Upstream::Real { settings: settings.clone() }),
        }
    }
}

impl Upstream {
    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Simulated(simulator) => simulator.url(),
            Self::Real { settings } => settings.get(URL).cloned().unwrap_or_default(),
        }
    }

    /// Points a worker to it.
    pub(crate) fn introduce_to(&self, worker: WorkerBuilder) -> WorkerBuilder {
        match self {
            // Pictures take seconds here, not a minute, and nobody minds being asked often.
            Self::Simulated(simulator) => worker
                .upstream(&simulator.url())
                .set("MJQ_POLL_MIN_MS", 200)
                .set("MJQ_POLL_MAX_MS", 600)
                .set("MJQ_UPSTREAM_POLL_RATE", 0),
            Self::Real { settings } => settings.iter().fold(worker, |worker, (name, value)| worker.set(name, value)),
        }
    }

    /// How long all jobs together may take.
    pub(crate) fn patience(&self) -> Duration {
        match self {
            Self::Simulated(_) => Duration::from_secs(25),
            // The deadlines of both jobs, one after the other.
            Self::Real { .. } => Duration::from_secs(31 * 60),
        }
    }

    /// What it has in its books; none for the real one.
    pub(crate) fn books(&self) -> Option<Books> {
        match self {
            Self::Simulated(simulator) => Some(Books::of(&simulator.stats())),
            Self::Real { .. } => None,
        }
    }
}

fn knobs() -> Knobs {
    Knobs {
        slots: SLOTS,
        queue: 100,
        duration: Span::between(Duration::from_millis(1500), Duration::from_millis(3000)),
        durations: [("upscale".to_owned(), Duration::from_millis(1500).into())].into(),
        latency: Span::between(Duration::from_millis(20), Duration::from_millis(80)),
        ..Knobs::default()
    }
}
