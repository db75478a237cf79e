//! Steps: performs a claimed step, decides what its observation means for the job, and writes that down.

mod canceller;
mod ended_log;
mod executor;
mod follow_ups;
mod memory_budget;
mod planted;
mod preparer;
mod recorder;
mod request;
mod settler;
mod step_meter;
mod upstream_log;

pub(super) use canceller::{Canceller, CancellerHandle};
pub(super) use executor::Executor;
pub(super) use memory_budget::MemoryBudget;
pub(super) use preparer::Preparer;
pub(super) use recorder::Recorder;
pub(super) use request::RequestMaker;
pub(super) use settler::{Settler, SettlerHandle};
pub(super) use step_meter::StepMeter;
pub(super) use upstream_log::UpstreamLog;
