//! Seeded chance: the same seed and the same calls give the same faults.

/// A stream of seeded rolls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    /// Starts the stream of `seed`.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { state: scramble(seed) }
    }

    /// Rolls a random number.
    pub(crate) fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scramble(self.state)
    }

    /// True with the probability `rate`: never for 0, always for 1.
    pub(crate) fn says(&mut self, rate: f64) -> bool {
        rate > 0.0 && unit(self.roll()) < rate
    }
}

/// Spreads the bits of `value` evenly (the finalizer of splitmix64).
pub(crate) fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Hashes a text. The hash is the same on every machine and in every run.
pub(crate) fn hash(text: &str) -> u64 {
    let fnv = text
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    scramble(fnv)
}

fn unit(roll: u64) -> f64 {
    // The upper 32 bits are enough, and an f64 holds them exactly.
    f64::from((roll >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let (mut one, mut other) = (Dice::seeded(7), Dice::seeded(7));

        assert!((0..100).all(|_| one.says(0.3) == other.says(0.3)));
    }

    #[test]
    fn chance_keeps_to_its_rate() {
        let mut dice = Dice::seeded(1);

        let hits = (0..10_000).filter(|_| dice.says(0.1)).count();

        assert!((900..1100).contains(&hits), "{hits} of 10000 at a rate of 0.1");
        assert!(!dice.says(0.0));
    }
}
