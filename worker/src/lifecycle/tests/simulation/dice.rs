//! Seeded chance: the same seed gives the same numbers on every machine.

use std::{cell::Cell, time::Duration};

/// SplitMix64: one word of state, good enough for choices.
#[derive(Debug)]
pub(super) struct Dice(Cell<u64>);

impl Dice {
    pub(super) fn seeded(seed: u64) -> Self {
        let dice = Self(Cell::new(seed ^ 0x5DEE_CE66_D5A1_1CE5));
        dice.roll();
        dice
    }

    fn roll(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
        let mut mixed = self.0.get();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `count` - 1.
    pub(super) fn below(&self, count: u64) -> u64 {
        self.roll() % count.max(1)
    }

    /// True in `share` of 1000 cases.
    pub(super) fn permille(&self, share: u64) -> bool {
        self.below(1000) < share
    }

    /// Milliseconds from `least` to `most`.
    pub(super) fn ms(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least + 1))
    }

    /// 0 to 1.
    pub(super) fn fraction(&self) -> f64 {
        self.below(1001) as f64 / 1000.0
    }

    pub(super) fn pick<'a, T>(&self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}
