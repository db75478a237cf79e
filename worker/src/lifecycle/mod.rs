//! The core: the life of a job, as pure functions.
//!
//! Nothing here does I/O, reads a clock or rolls dice. The engine performs a step, turns what it saw into an
//! [`Observation`] and asks [`next`] for the [`Transition`]; the ledger records it.
//!
//! ```text
//! queued ─▶ submitting ─▶ polling ─▶ completed | failed | cancelled
//!   ▲ refused │  │ no answer  │ MODAL
//!   └─────────┘  ▼            ▼
//!             unknown       held
//! ```
//!
//! The core's promise: each observation of a job leads to a phase, to an end, or is refused as [`Illegal`]; exactly one
//! end ends a job. Under `on_unknown: fail` no path submits a job again while the fate of its last submit is unknown.

mod act;
mod alias;
mod hook_trust;
mod mode;
mod observation;
mod outcome;
mod pace;
mod policy;
mod ran;
mod record;
mod record_text;
mod revisit;
mod span;
mod transition;

#[cfg(test)]
mod tests;

pub use act::{Act, Conclusion, Flags};
pub use alias::Alias;
pub use hook_trust::HookTrust;
pub use mode::Mode;
pub use observation::{Busy, FailureClass, Observation, TaskReport};
pub use outcome::{Ending, conflict, event_of, rejection};
pub use pace::{Pace, PaceClass};
pub use policy::{AdoptionRoutes, Outlook, Policy};
pub use ran::Ran;
pub use record::{HistoryLine, Moment, Note, Phase, Record};
pub use revisit::{LateSuccess, Revisited, first_revisit, revisit};
pub use span::Span;
pub use transition::{Circumstances, Illegal, Next, Pressure, Transition, next};
