//! A Midjourney-style image API to test against: scriptable, and honest about what it billed.
//!
//! It speaks four dialects of the midjourney-proxy family, runs out of capacity as they do, fails in
//! all the ways they fail in, and keeps books of what was really created. It knows nothing of mjq.
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
//! In reading order: [`Simulator`] is the handle; [`Knobs`] and [`Script`] say how it behaves, [`marker`]
//! how a prompt can say it; the private `world` decides, from `schedule` (who runs when), `task` (what can
//! be seen), `dialect` and `task_object` (in which words); `oracle` keeps the books ([`Creation`], [`Stats`]); `routes`,
//! `control` and `server` are the edge; `hooks` calls back.
//!
//! Nothing runs per task: a task's progress is computed from the clock when somebody looks.

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
