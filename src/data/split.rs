//! Two parts of a data set: one to learn from, and one that is held out.

use std::collections::BTreeMap;

use crate::{
    data::dataset::{Dataset, Targets},
    error::{Error, Result},
    util::rng::Rng,
};

/// Which rows of a data set are held out: a share of them, drawn from a seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// The share that is held out, between 0 and 1; the number of rows is rounded up.
    pub fraction: f64,
    /// Whether every class has the same share of both parts, but for rounding. The answers have to be classes.
    pub stratified: bool,
}

/// So that the rows of a split have nothing to do with the first weights of the same seed.
const RNG_STREAM: u64 = 0x53_70_6c_69_74;

impl Dataset {
    /// The rows to learn from, and those that are held out, each in the order in which they stand here. The same seed
    /// gives the same rows on every platform.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the share is not between 0 and 1, if a part would have no rows, or if a stratified split is
    /// asked for where the answers are no classes.
    pub fn split(&self, split: &Split, seed: u64) -> Result<(Self, Self)> {
        let share = split.fraction;
        if !(share > 0.0 && share < 1.0) {
            let expected = "a number between 0 and 1".to_owned();
            return Err(Error::InvalidSetting { name: "share of a split", expected, got: share.to_string() });
        }
        let mut strata = match (split.stratified, self.targets()) {
            (false, _) => vec![(0..self.rows()).collect()],
            (true, Targets::Classes(classes)) => {
                let mut strata = BTreeMap::<u32, Vec<usize>>::new();
                (0..).zip(classes).for_each(|(row, class)| strata.entry(*class).or_default().push(row));
                strata.into_values().collect()
            }
            (true, Targets::Values(_)) => {
                let expected = "answers that are classes".to_owned();
                return Err(Error::InvalidSetting { name: "stratified split", expected, got: "values".into() });
            }
        };
        let mut draws = Rng::new(seed ^ RNG_STREAM);
        let mut is_held_out = vec![false; self.rows()];
        let counts: Vec<usize> = strata.iter().map(Vec::len).collect();
        for (rows, held_out) in strata.iter_mut().zip(held_out_counts(&counts, share)) {
            // The first places of Fisher and Yates' shuffle.
            for place in 0..held_out {
                let other = place + draws.next_below(rows.len() - place);
                rows.swap(place, other);
                is_held_out[rows[place]] = true;
            }
        }
        let part = |held_out: bool| (0..self.rows()).filter(|row| is_held_out[*row] == held_out).collect::<Vec<_>>();
        let (train, held_out) = (part(false), part(true));
        if train.is_empty() || held_out.is_empty() {
            let expected = "rows for both parts".to_owned();
            let got = format!("{} and {} of {}", train.len(), held_out.len(), self.rows());
            return Err(Error::InvalidSetting { name: "rows of a split", expected, got });
        }
        Ok((self.select(&train)?, self.select(&held_out)?))
    }
}

/// How many of each stratum's rows are held out: whole rows first, then one each where the largest fraction was cut off,
/// until together they are as many as of all rows.
fn held_out_counts(counts: &[usize], share: f64) -> Vec<usize> {
    let rows: usize = counts.iter().sum();
    // A product a rounding error above a whole number is that number.
    let wanted = (share * rows as f64 - 1e-9).ceil() as usize;
    let exact = |count: usize| wanted as f64 * count as f64 / rows as f64;
    let mut shares: Vec<usize> = counts.iter().map(|count| exact(*count) as usize).collect();
    let mut by_fraction: Vec<usize> = (0..counts.len()).collect();
    let fraction = |stratum: usize| exact(counts[stratum]).fract();
    by_fraction.sort_by(|a, b| fraction(*b).total_cmp(&fraction(*a)));
    let missing = wanted - shares.iter().sum::<usize>();
    by_fraction.iter().take(missing).for_each(|stratum| shares[*stratum] += 1);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::features::Features;

    fn classes(counts: &[usize]) -> Dataset {
        let ids: Vec<u32> = (0..).zip(counts).flat_map(|(class, count)| vec![class; *count]).collect();
        let bytes: Vec<u8> = (0..ids.len()).map(|row| row as u8).collect();
        let weights: Vec<f32> = bytes.iter().map(|byte| 1.0 + f32::from(*byte)).collect();
        Dataset::new(ids.len(), Features::U8 { bytes, scale: 0.5 }, ids).unwrap().with_sample_weights(weights).unwrap()
    }

    /// The rows of a data set of `classes`.
    fn rows(set: &Dataset) -> Vec<u8> {
        let Features::U8 { bytes, scale: 0.5 } = set.features() else { panic!("bytes stay bytes") };
        let weights: Vec<f32> = bytes.iter().map(|byte| 1.0 + f32::from(*byte)).collect();
        assert_eq!(set.sample_weights(), Some(weights.as_slice()), "weights go with their rows");
        bytes.clone()
    }

    #[test]
    fn every_row_is_in_one_part() {
        let data = classes(&[30, 50, 20]);
        for stratified in [false, true] {
            for (share, expected) in [(0.1, 10), (0.25, 25), (0.001, 1), (0.995, 100), (0.5, 50)] {
                let split = Split { fraction: share, stratified };
                if expected == 100 {
                    assert!(data.split(&split, 1).is_err());
                    continue;
                }
                let (train, held_out) = data.split(&split, 1).unwrap();
                assert_eq!((train.rows(), held_out.rows()), (100 - expected, expected), "{split:?}");
                let mut all = [rows(&train), rows(&held_out)].concat();
                assert!(rows(&train).is_sorted() && rows(&held_out).is_sorted(), "the order stays");
                all.sort_unstable();
                assert!(all.into_iter().eq(0..100));
                assert_eq!(rows(&data.split(&split, 1).unwrap().1), rows(&held_out), "the seed decides");
                let others = (2..6).map(|seed| rows(&data.split(&split, seed).unwrap().1));
                assert!(others.into_iter().any(|other| other != rows(&held_out)), "the seed decides");
            }
        }
    }

    #[test]
    fn every_class_has_its_share() {
        for (counts, share, expected) in [
            (&[30, 50, 20][..], 0.1, &[3, 5, 2][..]),
            (&[50, 50, 50], 0.1, &[5, 5, 5]),
            (&[5, 5, 5], 0.2, &[1, 1, 1]),
            (&[7, 0, 2, 1], 0.3, &[2, 0, 1, 0]),
            (&[1, 1, 1, 97], 0.5, &[1, 1, 0, 48]),
        ] {
            let (_, held_out) = classes(counts).split(&Split { fraction: share, stratified: true }, 3).unwrap();
            let Targets::Classes(ids) = held_out.targets() else { panic!("they are classes") };
            let of = |class: usize| ids.iter().filter(|id| **id as usize == class).count();
            let found: Vec<_> = (0..counts.len()).map(of).collect();
            assert_eq!(found, expected, "{counts:?}, {share}");
        }
    }

    #[test]
    fn every_row_is_held_out_equally_often() {
        let data = classes(&[10, 30]);
        let mut counts = [0; 40];
        for seed in 0..1000 {
            let (_, held_out) = data.split(&Split { fraction: 0.25, stratified: seed % 2 == 0 }, seed).unwrap();
            rows(&held_out).iter().for_each(|row| counts[usize::from(*row)] += 1);
        }
        assert!(counts.iter().all(|count| (180..320).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_cannot_be_split_is_refused() {
        let refused =
            |data: &Dataset, share, stratified| data.split(&Split { fraction: share, stratified }, 0).unwrap_err();
        let data = classes(&[2, 3]);
        for share in [0.0, 1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
            assert!(refused(&data, share, true).to_string().starts_with("share of a split: expected a number between"));
        }
        let text = refused(&classes(&[1]), 0.5, false).to_string();
        assert_eq!(text, "rows of a split: expected rows for both parts, got 0 and 1 of 1");
        let values = Dataset::new(2, &[1.0, 2.0], &[1.0, 2.0]).unwrap();
        assert_eq!(
            refused(&values, 0.5, true).to_string(),
            "stratified split: expected answers that are classes, got values"
        );
        assert_eq!(data.select(&[5]).unwrap_err().to_string(), "row to select: expected below 5, got 5");
        assert!(data.select(&[]).is_err());
    }
}
