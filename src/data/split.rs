//! Splits a data set into two parts: one for training, and one that is held out.

use std::collections::BTreeMap;

use crate::{
    data::dataset::{Dataset, Targets},
    error::{Error, Result},
    util::rng::Rng,
};

/// The settings of [`Dataset::split`]: how many rows are held out, and whether each class is split separately.
#[doc(alias = "train_test_split")]
#[doc(alias = "random_split")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// The fraction of the rows that is held out, in (0, 1). The number of rows is rounded up.
    #[doc(alias = "test_size")]
    pub fraction: f64,
    /// Whether to hold out the same fraction of every class, up to rounding. The targets must be class ids.
    #[doc(alias = "stratify")]
    pub stratified: bool,
}

/// A constant that is combined with the seed, so that a split does not use the random numbers of the initial
/// parameters.
const RNG_STREAM: u64 = 0x53_70_6c_69_74;

impl Dataset {
    /// Splits the rows at random and returns the training rows and the held-out rows. Both parts keep the order of the
    /// data set. The same seed gives the same rows on every platform.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the fraction is not in (0, 1), if a part would have no rows, or if the split is
    /// stratified and the targets are not class ids.
    #[doc(alias = "train_test_split")]
    pub fn split(&self, split: &Split, seed: u64) -> Result<(Self, Self)> {
        let fraction = split.fraction;
        if !(fraction > 0.0 && fraction < 1.0) {
            let expected = "a number in (0, 1)".to_owned();
            return Err(Error::InvalidSetting { name: "Split::fraction", expected, got: fraction.to_string() });
        }
        let mut strata = match (split.stratified, self.targets()) {
            (false, _) => vec![(0..self.rows()).collect()],
            (true, Targets::Classes(classes)) => {
                let mut strata = BTreeMap::<u32, Vec<usize>>::new();
                (0..).zip(classes).for_each(|(row, class)| strata.entry(*class).or_default().push(row));
                strata.into_values().collect()
            }
            (true, Targets::Values(_)) => {
                let expected = "targets that are class ids".to_owned();
                return Err(Error::InvalidSetting { name: "Split::stratified", expected, got: "values".into() });
            }
        };
        let mut rng = Rng::new(seed ^ RNG_STREAM);
        let mut is_held_out = vec![false; self.rows()];
        let row_counts: Vec<usize> = strata.iter().map(Vec::len).collect();
        for (rows, held_out) in strata.iter_mut().zip(held_out_counts(&row_counts, fraction)) {
            // The first swaps of the Fisher-Yates shuffle select the rows.
            for index in 0..held_out {
                let other = index + rng.next_below(rows.len() - index);
                rows.swap(index, other);
                is_held_out[rows[index]] = true;
            }
        }
        let (held_out, train): (Vec<usize>, Vec<usize>) = (0..self.rows()).partition(|row| is_held_out[*row]);
        if train.is_empty() || held_out.is_empty() {
            let expected = "at least 1 row in each part".to_owned();
            let got = format!("{} training rows and {} held-out rows", train.len(), held_out.len());
            return Err(Error::InvalidSetting { name: "Dataset::split", expected, got });
        }
        Ok((self.select(&train)?, self.select(&held_out)?))
    }
}

/// Returns the number of rows to hold out of each stratum, by the largest remainder method: each number is rounded
/// down, and the strata with the largest remainders get one more row, until the total is the fraction of all rows,
/// rounded up.
fn held_out_counts(row_counts: &[usize], fraction: f64) -> Vec<usize> {
    let rows: usize = row_counts.iter().sum();
    // Subtract the rounding error of the product before rounding up.
    let total = (fraction * rows as f64 - 1e-9).ceil() as usize;
    let exact = |stratum: usize| total as f64 * row_counts[stratum] as f64 / rows as f64;
    let mut counts: Vec<usize> = (0..row_counts.len()).map(|stratum| exact(stratum) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..row_counts.len()).collect();
    by_remainder.sort_by(|a, b| exact(*b).fract().total_cmp(&exact(*a).fract()));
    let missing = total - counts.iter().sum::<usize>();
    for stratum in &by_remainder[..missing] {
        counts[*stratum] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::features::Features;

    /// Returns a data set with `counts[c]` rows of class `c`. The feature and the sample weight of each row identify
    /// it.
    fn data_with_classes(counts: &[usize]) -> Dataset {
        let ids: Vec<u32> = (0..).zip(counts).flat_map(|(class, count)| vec![class; *count]).collect();
        let bytes: Vec<u8> = (0..ids.len()).map(|row| row as u8).collect();
        let weights: Vec<f32> = bytes.iter().map(|byte| 1.0 + f32::from(*byte)).collect();
        Dataset::new(ids.len(), Features::U8 { bytes, scale: 0.5 }, ids).unwrap().with_sample_weights(weights).unwrap()
    }

    /// Returns the indices of the rows of a part of [`data_with_classes`].
    fn row_indices(part: &Dataset) -> Vec<u8> {
        let Features::U8 { bytes, scale: 0.5 } = part.features() else { panic!("expected bytes of scale 0.5") };
        let weights: Vec<f32> = bytes.iter().map(|byte| 1.0 + f32::from(*byte)).collect();
        assert_eq!(part.sample_weights(), Some(weights.as_slice()), "each row keeps its sample weight");
        bytes.clone()
    }

    #[test]
    fn split_puts_every_row_into_one_part() {
        let data = data_with_classes(&[30, 50, 20]);
        for stratified in [false, true] {
            for (fraction, expected) in [(0.1, 10), (0.25, 25), (0.001, 1), (0.995, 100), (0.5, 50)] {
                let split = Split { fraction, stratified };
                if expected == 100 {
                    assert!(data.split(&split, 1).is_err());
                    continue;
                }
                let (train, held_out) = data.split(&split, 1).unwrap();
                assert_eq!((train.rows(), held_out.rows()), (100 - expected, expected), "{split:?}");
                let mut all = [row_indices(&train), row_indices(&held_out)].concat();
                assert!(
                    row_indices(&train).is_sorted() && row_indices(&held_out).is_sorted(),
                    "both parts keep the order"
                );
                all.sort_unstable();
                assert!(all.into_iter().eq(0..100));
                assert_eq!(row_indices(&data.split(&split, 1).unwrap().1), row_indices(&held_out), "the same seed");
                let others = (2..6).map(|seed| row_indices(&data.split(&split, seed).unwrap().1));
                assert!(others.into_iter().any(|other| other != row_indices(&held_out)), "other seeds");
            }
        }
    }

    #[test]
    fn stratified_split_holds_out_the_same_fraction_of_every_class() {
        for (counts, fraction, expected) in [
            (&[30, 50, 20][..], 0.1, &[3, 5, 2][..]),
            (&[50, 50, 50], 0.1, &[5, 5, 5]),
            (&[5, 5, 5], 0.2, &[1, 1, 1]),
            (&[7, 0, 2, 1], 0.3, &[2, 0, 1, 0]),
            (&[1, 1, 1, 97], 0.5, &[1, 1, 0, 48]),
        ] {
            let (_, held_out) = data_with_classes(counts).split(&Split { fraction, stratified: true }, 3).unwrap();
            let Targets::Classes(ids) = held_out.targets() else { panic!("expected class ids") };
            let count = |class: usize| ids.iter().filter(|id| **id as usize == class).count();
            let held_out_counts: Vec<_> = (0..counts.len()).map(count).collect();
            assert_eq!(held_out_counts, expected, "{counts:?}, fraction {fraction}");
        }
    }

    #[test]
    fn split_holds_out_every_row_equally_often() {
        let data = data_with_classes(&[10, 30]);
        let mut counts = [0; 40];
        for seed in 0..1000 {
            let (_, held_out) = data.split(&Split { fraction: 0.25, stratified: seed % 2 == 0 }, seed).unwrap();
            row_indices(&held_out).iter().for_each(|row| counts[usize::from(*row)] += 1);
        }
        assert!(counts.iter().all(|count| (180..320).contains(count)), "{counts:?}");
    }

    #[test]
    fn impossible_splits_return_an_error() {
        let split_error = |data: &Dataset, fraction, stratified| {
            data.split(&Split { fraction, stratified }, 0).unwrap_err().to_string()
        };
        let data = data_with_classes(&[2, 3]);
        for fraction in [0.0, 1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
            let message = split_error(&data, fraction, true);
            assert_eq!(message, format!("Split::fraction: expected a number in (0, 1), got {fraction}"));
        }
        assert_eq!(
            split_error(&data_with_classes(&[1]), 0.5, false),
            "Dataset::split: expected at least 1 row in each part, got 0 training rows and 1 held-out rows"
        );
        let values = Dataset::new(2, &[1.0, 2.0], &[1.0, 2.0]).unwrap();
        assert_eq!(
            split_error(&values, 0.5, true),
            "Split::stratified: expected targets that are class ids, got values"
        );
    }

    #[test]
    fn select_returns_an_error_for_invalid_rows() {
        let data = data_with_classes(&[2, 3]);
        let message = data.select(&[5]).unwrap_err().to_string();
        assert_eq!(message, "Dataset::select: expected row indices below 5, got 5");
        assert!(data.select(&[]).is_err());
    }
}
