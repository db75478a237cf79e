//! Polls of tasks, alone or in lists, within the budget that all pods share.

mod finder;
mod list_support;
mod lister;
mod paces;
mod place;
mod poll_budget;
mod poller;
mod revisiter;
mod strangers;

pub(super) use finder::Finder;
pub(super) use list_support::ListSupport;
pub(super) use paces::Paces;
pub(super) use place::Place;
pub(super) use poll_budget::PollBudget;
pub(super) use poller::Poller;
pub(super) use revisiter::Revisiter;
