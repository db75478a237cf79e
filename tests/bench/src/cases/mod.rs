//! The cases: what is measured.

mod pipeline;

use std::pin::Pin;

use crate::{contestant::Contestant, figures::Figures};

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
    fn new<F>(title: &str, contestants: &'static [Contestant], run: impl Fn(Contestant) -> F + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<Figures>> + 'static,
    {
        let run: Run = Box::new(move |contestant| Box::pin(run(contestant)));
        Self { title: title.to_owned(), contestants, once: false, run }
    }

    fn once(self) -> Self {
        Self { once: true, ..self }
    }
}

/// All cases, in the order in which they run.
pub(crate) const CASES: &[Case] = &[Case {
    name: "pipeline",
    about: "2,000 jobs from enqueue to event, tasks of 2 s and of 1.5 to 3.5 s, half of the answers code 22",
    is_usual: true,
    variants: pipeline::variants,
}];
