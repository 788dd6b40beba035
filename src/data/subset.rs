//! The rows of a data set that a member of a population trains on. A few integers describe a subset, so that every
//! device can compute any of its rows alone. `shaders/data/subset.wgsl` is the same integer code.

use bytemuck::{Pod, Zeroable};

use crate::{
    data::{
        dataset::row_count_error,
        permutation::{Permutation, epoch_key, grid_width, mix_bits},
    },
    error::{Error, Result},
};

/// The rows of a data set that a member of a [`Population`](crate::population::Population) trains on.
#[doc(alias = "SubsetRandomSampler")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Subset {
    /// All rows.
    #[default]
    All,
    /// Consecutive rows. With it, members can train on different data sets of the same shape that are concatenated to
    /// one.
    Range {
        /// The index of the first row, counted from 0.
        start: usize,
        /// The number of rows.
        len: usize,
    },
    /// The rows outside of a fold: the training rows of a cross-validation.
    TrainFold(Fold),
    /// The rows of a fold: the test rows of a cross-validation.
    TestFold(Fold),
    /// As many rows as the data set has, drawn at random with replacement. Some rows occur several times, and about 37%
    /// never (Efron 1979).
    #[doc(alias = "bagging")]
    Bootstrap {
        /// The seed of the random draw.
        seed: u64,
    },
}

impl Subset {
    /// Returns the indices of the rows for a data set of `rows` rows, in the order of their positions in the subset.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the range exceeds the rows, or if the fold is invalid.
    pub fn indices(self, rows: usize) -> Result<Vec<usize>> {
        let subset = SubsetParams::new(self, rows)?.unwrap_or_else(|| SubsetParams::all_rows(rows as u32));
        Ok((0..subset.rows).map(|position| subset.row(position) as usize).collect())
    }

    /// Returns the rows for testing a network that trains on this subset: the fold of [`Subset::TrainFold`]. Other
    /// subsets hold out no rows.
    pub const fn held_out(self) -> Option<Self> {
        match self {
            Self::TrainFold(fold) => Some(Self::TestFold(fold)),
            Self::All | Self::Range { .. } | Self::TestFold(_) | Self::Bootstrap { .. } => None,
        }
    }
}

/// One part of the rows in a cross-validation. The first `rows % count` folds have one row more than the others, as in
/// scikit-learn's `KFold`.
#[doc(alias = "KFold")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fold {
    /// The index of the fold, counted from 0.
    pub index: usize,
    /// The number of folds, at least 2.
    #[doc(alias = "n_splits")]
    pub count: usize,
    /// The seed that assigns rows to folds at random. Without a seed, a fold contains consecutive rows.
    pub seed: Option<u64>,
}

/// A subset as integers: the struct `SubsetParams` of `shaders/data/subset.wgsl`.
///
/// [`SubsetParams::row`] computes the row at a position: it skips positions, applies the mode and adds the first row.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct SubsetParams {
    /// The number of rows of the subset.
    pub(crate) rows: u32,
    /// The width of the grid for the permutation of the subset in an epoch; see [`grid_width`].
    pub(crate) width: u32,
    /// The first position to skip. From it on, `skip_count` is added to each position.
    pub(crate) skip_from: u32,
    pub(crate) skip_count: u32,
    /// One of [`SubsetParams::CONTIGUOUS`], [`SubsetParams::PERMUTED`] and [`SubsetParams::WITH_REPLACEMENT`].
    pub(crate) mode: u32,
    /// The number of rows from which the subset is taken.
    pub(crate) source_rows: u32,
    /// The width of the grid of these rows.
    pub(crate) source_width: u32,
    /// The index of the first row, which is added last.
    pub(crate) first_row: u32,
    /// The key of the permutation or of the random draw.
    pub(crate) key: [u32; 2],
}

impl Fold {
    /// Returns an error if a data set of `rows` rows does not have this fold.
    pub(crate) fn check(&self, rows: usize) -> Result<()> {
        self.range(rows).map(drop)
    }

    /// Returns the first position of the fold among all rows, and its number of rows.
    fn range(&self, rows: usize) -> Result<(usize, usize)> {
        let Self { index, count, .. } = *self;
        if count < 2 || count > rows {
            let expected = format!("2 to {rows}, the number of rows");
            return Err(Error::InvalidSetting { name: "Fold::count", expected, got: count.to_string() });
        }
        if index >= count {
            let expected = format!("0 to {}", count - 1);
            return Err(Error::InvalidSetting { name: "Fold::index", expected, got: index.to_string() });
        }
        let start = index * (rows / count) + index.min(rows % count);
        Ok((start, rows / count + usize::from(index < rows % count)))
    }
}

impl SubsetParams {
    /// The rows in the order of the data set.
    const CONTIGUOUS: u32 = 0;
    /// The rows in the order of a keyed permutation.
    const PERMUTED: u32 = 1;
    /// Rows drawn at random with replacement.
    const WITH_REPLACEMENT: u32 = 2;

    /// Returns the parameters of a subset of `rows` rows; `None` for [`Subset::All`].
    pub(crate) fn new(subset: Subset, rows: usize) -> Result<Option<Self>> {
        let all = Self::all_rows(u32::try_from(rows).map_err(|_| row_count_error(rows))?);
        let with_rows = |count: usize| Self { rows: count as u32, width: grid_width(count as u32), ..all };
        Ok(Some(match subset {
            Subset::All => return Ok(None),
            Subset::Range { start, len } => {
                if len == 0 || start.checked_add(len).is_none_or(|end| end > rows) {
                    let expected = format!("len >= 1 and start + len <= {rows}");
                    let got = format!("start {start} and len {len}");
                    return Err(Error::InvalidSetting { name: "Subset::Range", expected, got });
                }
                Self { first_row: start as u32, ..with_rows(len) }
            }
            Subset::TrainFold(fold) => {
                let (start, len) = fold.range(rows)?;
                Self { skip_from: start as u32, skip_count: len as u32, ..with_rows(rows - len) }
                    .with_permutation(fold.seed)
            }
            Subset::TestFold(fold) => {
                let (start, len) = fold.range(rows)?;
                Self { skip_from: 0, skip_count: start as u32, ..with_rows(len) }.with_permutation(fold.seed)
            }
            Subset::Bootstrap { seed } => Self { mode: Self::WITH_REPLACEMENT, key: subset_key(seed), ..all },
        }))
    }

    /// Returns the parameters of all rows of a data set of `rows` rows.
    pub(crate) fn all_rows(rows: u32) -> Self {
        let width = grid_width(rows);
        Self {
            rows,
            width,
            skip_from: rows,
            skip_count: 0,
            mode: Self::CONTIGUOUS,
            source_rows: rows,
            source_width: width,
            first_row: 0,
            key: [0; 2],
        }
    }

    fn with_permutation(self, seed: Option<u64>) -> Self {
        seed.map_or(self, |seed| Self { mode: Self::PERMUTED, key: subset_key(seed), ..self })
    }

    /// Returns the row of the data set at a position below [`SubsetParams::rows`].
    pub(crate) fn row(&self, position: u32) -> u32 {
        let position = if position >= self.skip_from { position + self.skip_count } else { position };
        let row = match self.mode {
            Self::PERMUTED => Permutation::with_width(self.source_rows, self.source_width, self.key).row(position),
            Self::WITH_REPLACEMENT => self.sampled_row(position),
            _ => position,
        };
        self.first_row + row
    }

    /// Returns a pseudorandom row. Two draws give a point of the grid of all rows. Points outside of the rows are drawn
    /// again.
    fn sampled_row(&self, position: u32) -> u32 {
        let height = (self.source_rows - 1) / self.source_width + 1;
        let draw = |round: u32, size: u32| ((mix_bits(self.key, position, round) >> 16) * size) >> 16;
        let mut round = 0;
        loop {
            let row = draw(round + 1, height) * self.source_width + draw(round, self.source_width);
            if row < self.source_rows {
                return row;
            }
            round += 2;
        }
    }
}

/// Returns the key for a subset. It differs from the keys of all epochs, so that the subset and the order of an epoch
/// are independent even with the same seed.
fn subset_key(seed: u64) -> [u32; 2] {
    epoch_key(seed ^ 0x52_6f_77_73, u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all_indices(subset: &SubsetParams) -> Vec<u32> {
        (0..subset.rows).map(|position| subset.row(position)).collect()
    }

    #[test]
    fn folds_are_disjoint_and_cover_all_rows() {
        for (rows, count) in [(10, 3), (17, 17), (101, 5), (70_000, 7)] {
            for seed in [None, Some(3)] {
                let mut all_test_rows = Vec::new();
                for index in 0..count {
                    let fold = Fold { index, count, seed };
                    let test = Subset::TestFold(fold).indices(rows).unwrap();
                    let subset = SubsetParams::new(Subset::TrainFold(fold), rows).unwrap().unwrap();
                    let train: BTreeSet<u32> = all_indices(&subset).into_iter().collect();
                    assert_eq!(train.len() + test.len(), rows, "{count} folds of {rows} rows");
                    assert!(test.iter().all(|row| !train.contains(&(*row as u32))));
                    let is_consecutive = test.windows(2).all(|pair| pair[0] + 1 == pair[1]);
                    assert!(seed.is_some() || is_consecutive, "without a seed the rows of a fold are consecutive");
                    all_test_rows.extend(test);
                }
                all_test_rows.sort_unstable();
                assert!(all_test_rows.into_iter().eq(0..rows));
            }
        }
    }

    /// The expected fraction of distinct rows is `1 - 1/e`, about 0.632.
    #[test]
    fn bootstrap_contains_the_expected_fraction_of_distinct_rows() {
        for rows in [100_usize, 9973] {
            let subset = SubsetParams::new(Subset::Bootstrap { seed: 5 }, rows).unwrap().unwrap();
            let indices = all_indices(&subset);
            assert_eq!(indices.len(), rows);
            assert!(indices.iter().all(|row| (*row as usize) < rows));
            let fraction = indices.into_iter().collect::<BTreeSet<_>>().len() as f64 / rows as f64;
            assert!((fraction - 0.632).abs() < 0.06, "{fraction} of {rows}");
        }
    }

    #[test]
    fn invalid_ranges_and_folds_return_an_error() {
        let indices = |subset| SubsetParams::new(subset, 10).map(|subset| subset.map(|subset| all_indices(&subset)));
        let message = |subset| indices(subset).unwrap_err().to_string();
        let fold = |index, count| Subset::TrainFold(Fold { index, count, seed: None });
        assert_eq!(indices(Subset::All), Ok(None));
        assert_eq!(indices(Subset::Range { start: 7, len: 3 }), Ok(Some(vec![7, 8, 9])));
        for (start, len) in [(7, 4), (7, 0), (usize::MAX, 2)] {
            let expected =
                format!("Subset::Range: expected len >= 1 and start + len <= 10, got start {start} and len {len}");
            assert_eq!(message(Subset::Range { start, len }), expected);
        }
        for (index, count) in [(0, 0), (0, 1), (0, 11)] {
            let expected = format!("Fold::count: expected 2 to 10, the number of rows, got {count}");
            assert_eq!(message(fold(index, count)), expected);
        }
        assert_eq!(message(fold(3, 3)), "Fold::index: expected 0 to 2, got 3");
    }
}
