//! The cases: what is measured.

mod drain;
mod enqueue;
mod idle;
mod kill;
mod memory;
mod open;
mod pipeline;

use std::pin::Pin;

use crate::{contestant::Contestant, figures::Figures, scale};

/// A case of the benchmark.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Whether it runs when no case is named.
    pub(crate) is_usual: bool,
    pub(crate) variants: fn() -> Vec<Variant>,
}

/// One line of the table: some work, and who does it.
pub(crate) struct Variant {
    pub(crate) title: String,
    pub(crate) contestants: &'static [Contestant],
    /// Whether it takes so long that one round has to do.
    pub(crate) once: bool,
    pub(crate) run: Run,
}

type Run = Box<dyn Fn(Contestant) -> Pin<Box<dyn Future<Output = anyhow::Result<Figures>>>>>;

impl Variant {
    pub(crate) fn new<F>(
        title: &str,
        contestants: &'static [Contestant],
        run: impl Fn(Contestant) -> F + 'static,
    ) -> Self
    where
        F: Future<Output = anyhow::Result<Figures>> + 'static,
    {
        let run: Run = Box::new(move |contestant| Box::pin(run(contestant)));
        Self { title: title.to_owned(), contestants, once: false, run }
    }

    pub(crate) fn once(self) -> Self {
        Self { once: true, ..self }
    }
}

/// All cases, in the order in which they run.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "pipeline",
        about: "2,000 jobs from enqueue to event, half of the answers code 22, AOF everysec",
        is_usual: true,
        variants: pipeline::variants,
    },
    Case {
        name: "durability",
        about: "the same with other promises of Redis",
        is_usual: true,
        variants: pipeline::durability,
    },
    Case { name: "enqueue", about: "how fast a client enqueues", is_usual: true, variants: enqueue::variants },
    Case {
        name: "drain",
        about: "jobs that do nothing; for mjq admit, claim and settle with its event, without HTTP",
        is_usual: true,
        variants: drain::variants,
    },
    Case { name: "backlog", about: "the same, as the backlog grows", is_usual: true, variants: drain::backlog },
    Case { name: "backlog-1m", about: "with 1,000,000 waiting", is_usual: false, variants: drain::backlog_1m },
    Case {
        name: "latency",
        about: "from the upstream's finish to the event: single polls, lists, hooks",
        is_usual: true,
        variants: pipeline::latency,
    },
    Case { name: "memory", about: "what Redis keeps of a job", is_usual: true, variants: memory::variants },
    Case { name: "idle", about: "10 s with nothing to do", is_usual: true, variants: idle::variants },
    Case {
        name: "kill",
        about: "kill -9 with 200 tasks open, another worker at once",
        is_usual: true,
        variants: kill::variants,
    },
    Case { name: "open", about: "10,000 open tasks of 60 s, single polls", is_usual: true, variants: pipeline::open },
    Case { name: "open-peers", about: "the same for the peers", is_usual: false, variants: pipeline::open_peers },
    Case {
        name: "open-50k",
        about: "50,000 open tasks, polled every 10 s by lists",
        is_usual: false,
        variants: open::open_50k,
    },
    Case {
        name: "open-100k",
        about: "100,000 open tasks, polled every 10 s by lists",
        is_usual: false,
        variants: open::open_100k,
    },
    Case {
        name: scale::NAME,
        about: "which wall comes first, on paper and in a simulated month, from what acts cost here",
        is_usual: false,
        variants: scale::variants,
    },
];
