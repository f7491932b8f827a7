//! Medians of few runs.

/// The least, the middle and the largest of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// How many there are.
    pub runs: usize,
}

impl Spread {
    /// Of these figures; `None` if there are none.
    #[must_use]
    pub fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let runs = sorted.len();
        let median = f64::midpoint(sorted[(runs - 1) / 2], sorted[runs / 2]);
        Some(Self { median, min, max, runs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_odd_number_is_the_middle_one() {
        let spread = Spread::of(&[5.0, 1.0, 9.0]).expect("three");
        assert_eq!(spread, Spread { median: 5.0, min: 1.0, max: 9.0, runs: 3 });
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 100.0]).expect("four").median, 3.0);
    }

    #[test]
    fn one_run_is_all_there_is_and_none_is_nothing() {
        let spread = Spread { median: 7.0, min: 7.0, max: 7.0, runs: 1 };
        assert_eq!(Spread::of(&[7.0]), Some(spread));
        assert_eq!(Spread::of(&[]), None);
    }
}
