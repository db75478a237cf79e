//! The simulation: many small worlds, each from a seed, in paused time.
//!
//! In each world, pods work on jobs against a model of the ledger and an upstream that keeps books. Meanwhile a nemesis
//! kills, freezes and drains the pods at any await, takes Redis away, and brings it back without its last writes. The
//! decisions are those of [`crate::lifecycle`]; the order of acts is the engine's. At the end the checker compares the
//! events with what was billed.
//!
//! A failing test prints the seed: `MJQ_SIM_SEED=<seed>` plays that world alone and tells its story, and
//! `MJQ_SIM_SEEDS=<count>` plays more of them.

mod against_redis;
mod checker;
mod customers;
mod dice;
mod lane;
mod ledger_model;
mod nemesis;
mod pod;
mod reassertion;
mod sabotage;
mod tally;
mod upstream;
mod weather;
mod world;

use mjq_producer::contract::Code;

use self::{sabotage::Sabotage, tally::Tally, world::World};
use super::START_MS;

/// How many worlds each of the two tests plays.
const WORLDS: u64 = 3_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Plays worlds until one has a problem, and then prints the problem with the world's story.
fn play(seeds: impl Iterator<Item = u64>) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let verdict = World::play(seed, None, false);
        if !verdict.problems.is_empty() {
            let again = World::play(seed, None, true);
            panic!("MJQ_SIM_SEED={seed}\n{}\n{}", again.trace.join("\n"), verdict.problems.join("\n"));
        }
        tally.add(verdict.tally);
    }
    tally
}

fn play_half(half: u64) {
    if let Some(seed) = number("MJQ_SIM_SEED") {
        if seed % 2 == half {
            play([seed].into_iter());
        }
        return;
    }
    let worlds = number("MJQ_SIM_SEEDS").map_or(WORLDS, |worlds| worlds / 2);
    let tally = play((0..worlds).map(|n| 2 * n + half));

    let hoped_for = Code::ALL.iter().filter(|code| !matches!(code, Code::Malformed | Code::Conflict));
    let hoped_for = hoped_for.map(|code| code.as_str()).chain([
        "adopted",
        "possible_duplicate",
        "paid twice, and says so",
        "reclaimed",
        "stale",
        "written before",
        "is killed",
        "is frozen",
        "has lost redis",
        "redis loses writes",
        "restored",
    ]);
    for what in hoped_for {
        assert!(worlds < WORLDS || tally.times(what) > 0, "no world has seen {what}: {tally:?}");
    }
}

#[test]
fn in_every_world_each_job_ends_once_in_time_and_is_paid_once_or_says_that_it_may_not_be() {
    play_half(0);
}

#[test]
fn the_same_holds_in_the_other_half_of_the_worlds() {
    play_half(1);
}

#[test]
fn a_seed_tells_the_same_story_every_time() {
    for seed in 0..20 {
        assert_eq!(World::play(seed, None, true).trace, World::play(seed, None, true).trace, "seed {seed}");
    }
}

#[test]
fn every_mistake_that_is_planted_is_found() {
    for sabotage in Sabotage::ALL {
        let found = (0..500).find(|seed| !World::play(*seed, Some(sabotage), false).problems.is_empty());

        assert!(found.is_some(), "nobody noticed {sabotage:?}");
    }
}
