//! Dice: the same seed rolls the same way.

/// A generator (splitmix64): quick, and good enough to draw a month from.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to just below 1.
    pub(super) fn share(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.roll()) * count as u128) >> 64) as usize
    }

    /// How many come in a second of which `mean` come on average, each when it likes.
    pub(super) fn arrivals(&mut self, mean: f64) -> u32 {
        if mean <= 0.0 {
            return 0;
        }
        if mean > 30.0 {
            // By then a bell is as good.
            let (u, v) = (1.0 - self.share(), self.share());
            let bell = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
            return (mean + bell * mean.sqrt()).round().max(0.0) as u32;
        }
        let (floor, mut product, mut count) = ((-mean).exp(), self.share(), 0);
        while product > floor {
            product *= self.share();
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_come_to_their_mean_whether_few_or_many() {
        for mean in [0.5, 5.0, 100.0] {
            let mut dice = Dice::new(7);
            let sum: u32 = (0..20_000).map(|_| dice.arrivals(mean)).sum();

            assert!((f64::from(sum) / 20_000.0 / mean - 1.0).abs() < 0.03, "{mean}: {sum}");
        }
    }

    #[test]
    fn the_same_seed_rolls_the_same_way() {
        let rolls = |seed| (0..5).scan(Dice::new(seed), |dice, _| Some(dice.roll())).collect::<Vec<_>>();

        assert_eq!(rolls(1), rolls(1));
        assert_ne!(rolls(1), rolls(2));
    }
}
