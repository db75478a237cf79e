//! Figures: what one measurement told, and what several rounds of it tell together.

use crate::contestant::Contestant;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
    /// Neither: it explains another figure.
    Neither,
}

/// One figure of a measurement.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// What it is, with its unit.
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) better: Better,
}

/// The figures of one measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(pub(crate) Vec<Figure>);

impl Figures {
    pub(crate) fn lower(mut self, name: &'static str, value: f64) -> Self {
        self.0.push(Figure { name, value, better: Better::Lower });
        self
    }

    pub(crate) fn higher(mut self, name: &'static str, value: f64) -> Self {
        self.0.push(Figure { name, value, better: Better::Higher });
        self
    }

    pub(crate) fn plain(mut self, name: &'static str, value: f64) -> Self {
        self.0.push(Figure { name, value, better: Better::Neither });
        self
    }
}

/// The figures of all rounds, by contestant.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    measured: Vec<(Contestant, Figures)>,
    /// Who did not finish, and why.
    pub(crate) failures: Vec<(Contestant, String)>,
}

impl Rounds {
    pub(crate) fn add(&mut self, contestant: Contestant, outcome: anyhow::Result<Figures>) {
        match outcome {
            Ok(figures) => self.measured.push((contestant, figures)),
            Err(error) => self.failures.push((contestant, format!("{error:#}"))),
        }
    }

    /// Whether the contestant had a turn, whatever came of it.
    pub(crate) fn took_part(&self, contestant: Contestant) -> bool {
        self.measured.iter().any(|(who, _)| *who == contestant)
            || self.failures.iter().any(|(who, _)| *who == contestant)
    }

    /// The names of all figures, in the order of their first measurement.
    pub(crate) fn names(&self) -> Vec<(&'static str, Better)> {
        let mut names: Vec<(&'static str, Better)> = Vec::new();
        for figure in self.measured.iter().flat_map(|(_, figures)| &figures.0) {
            if names.iter().all(|(name, _)| *name != figure.name) {
                names.push((figure.name, figure.better));
            }
        }
        names
    }

    /// The values of one figure, round after round.
    pub(crate) fn values(&self, contestant: Contestant, name: &str) -> Vec<f64> {
        let own = self.measured.iter().filter(|(who, _)| *who == contestant);
        own.flat_map(|(_, figures)| &figures.0).filter(|figure| figure.name == name).map(|f| f.value).collect()
    }

    /// The median over the rounds; `None` when there is no round.
    pub(crate) fn median(&self, contestant: Contestant, name: &str) -> Option<f64> {
        quantile(self.values(contestant, name), 0.5)
    }
}

/// The value below which the share `q` of the values lies; `None` of nothing.
pub(crate) fn quantile(mut values: Vec<f64>, q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let position = q * last as f64;
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    Some(values[below] + (values[above] - values[below]) * (position - position.floor()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle_and_of_two_between_them() {
        assert_eq!(quantile(vec![9.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(quantile(vec![1.0, 2.0], 0.5), Some(1.5));
        assert_eq!(quantile(Vec::new(), 0.5), None);
    }
}
