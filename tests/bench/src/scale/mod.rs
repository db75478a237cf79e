//! Scale: where the first wall is, from unit costs that are measured in the same run.
//!
//! Three parts, in reading order. `probe` and `pods` measure what one act costs Redis, and what a pod costs that has nothing
//! to do. `costs` adds such acts up to a load, and `paper` says with it how far one Redis goes. `model` plays
//! `traffic` second by second on the same costs, with polls from the real planner (`polls`), for a `month`; `check`
//! does some of it for real, and tells how far off the model is.

mod act;
mod check;
mod costs;
mod dice;
mod model;
mod month;
mod outcome;
mod paper;
mod plan;
mod pods;
mod polls;
mod probe;
mod traffic;

#[cfg(test)]
mod tests;

use crate::{cases::Variant, contestant::ONLY_MJQ, figures::Rounds, table::Table};
use act::Pace;

/// The name of the case.
pub(crate) const NAME: &str = "scale";

/// Where all chance of the simulations comes from.
const SEED: u64 = 20_261_122;

/// What is measured before anything is computed.
pub(crate) fn variants() -> Vec<Variant> {
    vec![
        Variant::new("what one act costs a calm Redis, by the ledger's own calls", ONLY_MJQ, |_| {
            probe::costs(Pace::Calm)
        }),
        Variant::new("what one act costs a busy Redis", ONLY_MJQ, |_| probe::costs(Pace::Busy)),
        Variant::new("what idle pods cost Redis", ONLY_MJQ, |_| pods::idle()).once(),
        Variant::new("2,000 jobs of 3 to 9 s on 1 pod, 400 open at once", ONLY_MJQ, |_| check::run(1)).once(),
        Variant::new("2,000 jobs of 3 to 9 s on 4 pods, 400 open at once", ONLY_MJQ, |_| check::run(4)).once(),
    ]
}

/// What follows from it: the check of the model, the paper, and the month.
pub(crate) fn tables(measured: &[Rounds]) -> anyhow::Result<Vec<Table>> {
    let costs = costs::Costs::read(measured)?;
    let mut tables = vec![check::table(&costs, measured)?];
    tables.extend(paper::tables(&costs)?);
    tables.extend(month::tables(&costs)?);
    Ok(tables)
}
