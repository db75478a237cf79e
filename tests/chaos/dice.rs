//! All chance of a run: the same seed rolls the same numbers.

/// A small generator (splitmix64), good enough for choosing what breaks next.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice that roll the same for the same seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of their own for one part of the run, so that parts that run at the same time do not mix their rolls.
    pub(crate) fn fork(&self, part: &str) -> Self {
        let label = part
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut fork = Self(self.0 ^ label);
        fork.roll();
        fork
    }

    /// Any number.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `from` to `to`, both included.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.roll() % (to - from + 1)
    }

    /// Yes, in `percent` of all cases.
    pub(crate) fn says(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }

    /// One of these. There must be at least one.
    pub(crate) fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[(self.roll() % choices.len() as u64) as usize].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_rolls_the_same_and_parts_do_not_mix() {
        let rolls = |mut dice: Dice| (0..5).map(|_| dice.roll()).collect::<Vec<_>>();

        assert_eq!(rolls(Dice::seeded(7)), rolls(Dice::seeded(7)));
        assert_eq!(rolls(Dice::seeded(7).fork("a")), rolls(Dice::seeded(7).fork("a")));
        assert_ne!(rolls(Dice::seeded(7).fork("a")), rolls(Dice::seeded(7).fork("b")));
        assert_ne!(rolls(Dice::seeded(7)), rolls(Dice::seeded(8)));
    }
}
