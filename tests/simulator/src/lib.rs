//! A Midjourney-style image API to test against: scriptable, and honest about what it billed.
//!
//! The simulator speaks four dialects of the midjourney-proxy family. It runs out of capacity and fails in all the ways
//! in which they do, and keeps books of the tasks that were really created. It knows nothing of mjq.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use mjq_simulator::{Knobs, Script, Simulator, SubmitStep};
//!
//! let simulator = Simulator::start(Knobs { slots: 10, ..Knobs::default() }).await?;
//! simulator.script("a red fox", Script::submits([SubmitStep::status(429).times(2)]));
//! // … let somebody submit to simulator.url() …
//! assert_eq!(simulator.created("a red fox"), 1);
//! # Ok(())
//! # }
//! ```
//!
//! In reading order: [`Simulator`] is the handle. [`Knobs`] and [`Script`] say how it behaves; with a [`marker`], a
//! prompt can say so, too. The private `world` decides, with `schedule` (which task runs when), `task` (what can be
//! seen of it), `dialect` and `task_object` (in which words). `oracle` keeps the books ([`Creation`], [`Stats`]).
//! `routes`, `control` and `server` are the HTTP edge; `hooks` sends callbacks.
//!
//! No work is done per task in the background: a task's progress is computed from the clock when a client polls.

pub mod marker;

mod buttons;
mod clock;
mod control;
mod dialect;
mod dice;
mod hooks;
mod ids;
mod image;
mod knobs;
mod oracle;
mod playbook;
mod routes;
mod schedule;
mod script;
mod server;
mod simulator;
mod span;
mod task;
mod task_object;
mod upstream;
mod wire;
mod world;

pub use self::{
    dialect::Dialect,
    ids::IdStyle,
    knobs::{Knobs, Odds},
    oracle::{Arrivals, Creation, Stats, busiest_second},
    script::{Answer, Coded, Fault, FetchStep, Outcome, RetryAfter, Script, Sight, SubmitStep, WithId},
    simulator::Simulator,
    span::Span,
};
