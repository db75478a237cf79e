//! Hooks: the upstream's callbacks. A hook is a hint, never a verdict.

mod address;
mod hinter;
mod receiver;

pub(super) use address::HookAddress;
pub(super) use hinter::Hinter;
pub(super) use receiver::{HookRoom, Hooks};
