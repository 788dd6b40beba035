//! Which rows of a data set a network learns from: told in a few integers, so that every device finds each of them alone.
//! `shaders/data/subset.wgsl` is the same integer code.

use bytemuck::{Pod, Zeroable};

use crate::{
    data::{
        dataset::row_count_error,
        permutation::{Permutation, mix_bits},
    },
    error::{Error, Result},
};

/// Which rows of a data set a network of a [`crate::population::Population`] learns from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Subset {
    /// All of them.
    #[default]
    All,
    /// Rows that stand together: a data set of its own among several of the same shape, one behind the other.
    Range {
        /// The first, counted from 0.
        start: usize,
        /// How many.
        len: usize,
    },
    /// All but those of a fold, which are for its test.
    TrainFold(Fold),
    /// Those of a fold.
    TestFold(Fold),
    /// As many as there are, each drawn from all of them, so that some come several times and about 37 % never (Efron 1979).
    Bootstrap {
        /// Decides the draw.
        seed: u64,
    },
}

impl Subset {
    /// Their numbers among so many rows, in the order of their places.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a range, or a fold, that is not there.
    pub fn indices(self, rows: usize) -> Result<Vec<usize>> {
        let subset = SubsetParams::new(self, rows)?.unwrap_or_else(|| SubsetParams::all_rows(rows as u32));
        Ok((0..subset.rows).map(|place| subset.row(place) as usize).collect())
    }

    /// The rows on which a network that learns from these may be tested: those of the fold that they are without.
    pub const fn held_out(self) -> Option<Self> {
        match self {
            Self::TrainFold(fold) => Some(Self::TestFold(fold)),
            _ => None,
        }
    }
}

/// One of the parts of a cross-validation. The first `rows % folds` have a row more than the others, as scikit-learn's `KFold`
/// has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fold {
    /// Which one, from 0.
    pub index: usize,
    /// How many there are, from 2 up.
    pub count: usize,
    /// Decides which rows are in it; without, they stand together.
    pub seed: Option<u64>,
}

/// Some rows of a data set: `SubsetParams` in `shaders/data/subset.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct SubsetParams {
    /// How many there are, and the width of the grid in which an epoch shuffles them.
    pub(crate) rows: u32,
    pub(crate) width: u32,
    /// From this place on, so many are left out.
    pub(crate) skip_from: u32,
    pub(crate) skip_count: u32,
    /// What then becomes of a place: [`SubsetParams::CONTIGUOUS`] and the others.
    pub(crate) mode: u32,
    /// Of how many rows it is one, and the width of their grid.
    pub(crate) source_rows: u32,
    pub(crate) source_width: u32,
    /// What is added at last.
    pub(crate) first_row: u32,
    pub(crate) key: [u32; 2],
}

impl Fold {
    /// Refuses what is no part of so many rows.
    pub(crate) fn check(&self, rows: usize) -> Result<()> {
        self.range(rows).map(drop)
    }

    /// The places of its rows among all.
    fn range(&self, rows: usize) -> Result<(usize, usize)> {
        let Self { index: fold, count: folds, .. } = *self;
        if folds < 2 || folds > rows || fold >= folds {
            let expected = format!("one of 2 to {rows} folds");
            return Err(Error::InvalidSetting { name: "fold", expected, got: format!("number {fold} of {folds}") });
        }
        let first = fold * (rows / folds) + fold.min(rows % folds);
        Ok((first, rows / folds + usize::from(fold < rows % folds)))
    }
}

impl SubsetParams {
    const CONTIGUOUS: u32 = 0;
    const PERMUTED: u32 = 1;
    const WITH_REPLACEMENT: u32 = 2;

    /// Of a data set of so many rows; none where it is all of them.
    pub(crate) fn new(which: Subset, rows: usize) -> Result<Option<Self>> {
        let all = Self::all_rows(u32::try_from(rows).map_err(|_| row_count_error(rows))?);
        let sized = |count: usize| Self {
            rows: count as u32,
            width: crate::data::permutation::grid_width(count as u32),
            ..all
        };
        Ok(Some(match which {
            Subset::All => return Ok(None),
            Subset::Range { start: first, len: count } => {
                if count == 0 || first.checked_add(count).is_none_or(|end| end > rows) {
                    let expected = format!("some of {rows}");
                    let got = format!("{count} from number {first} on");
                    return Err(Error::InvalidSetting { name: "range of rows", expected, got });
                }
                Self { first_row: first as u32, ..sized(count) }
            }
            Subset::TrainFold(fold) => {
                let (first, count) = fold.range(rows)?;
                Self { skip_from: first as u32, skip_count: count as u32, ..sized(rows - count) }
                    .with_permutation(fold.seed)
            }
            Subset::TestFold(fold) => {
                let (first, count) = fold.range(rows)?;
                Self { skip_from: 0, skip_count: first as u32, ..sized(count) }.with_permutation(fold.seed)
            }
            Subset::Bootstrap { seed } => Self { mode: Self::WITH_REPLACEMENT, key: subset_key(seed), ..all },
        }))
    }

    /// All rows.
    pub(crate) fn all_rows(rows: u32) -> Self {
        let width = crate::data::permutation::grid_width(rows);
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

    /// The row of the data set at a place from 0 to below [`SubsetParams::rows`].
    pub(crate) fn row(&self, position: u32) -> u32 {
        let at = if position >= self.skip_from { position + self.skip_count } else { position };
        self.first_row
            + match self.mode {
                Self::PERMUTED => Permutation::with_width(self.source_rows, self.source_width, self.key).row(at),
                Self::WITH_REPLACEMENT => self.sampled_row(at),
                _ => at,
            }
    }

    /// A row that looks random: the point of the grid that two draws give, or the next two if it lies outside.
    fn sampled_row(&self, position: u32) -> u32 {
        let height = (self.source_rows - 1) / self.source_width + 1;
        let part = |round: u32, size: u32| ((mix_bits(self.key, position, round) >> 16) * size) >> 16;
        let mut round = 0;
        loop {
            let at = part(round + 1, height) * self.source_width + part(round, self.source_width);
            if at < self.source_rows {
                return at;
            }
            round += 2;
        }
    }
}

fn subset_key(seed: u64) -> [u32; 2] {
    // So that it has nothing to do with the order of an epoch of the same seed.
    crate::data::permutation::epoch_key(seed ^ 0x52_6f_77_73, u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all(subset: &SubsetParams) -> Vec<u32> {
        (0..subset.rows).map(|place| subset.row(place)).collect()
    }

    #[test]
    fn folds_are_disjoint_and_cover_everything() {
        for (rows, folds) in [(10, 3), (17, 17), (101, 5), (70_000, 7)] {
            for seed in [None, Some(3)] {
                let mut tested = Vec::new();
                for fold in 0..folds {
                    let fold = Fold { index: fold, count: folds, seed };
                    let test = Subset::TestFold(fold).indices(rows).unwrap();
                    let subset = SubsetParams::new(Subset::TrainFold(fold), rows).unwrap().unwrap();
                    let train: BTreeSet<u32> = all(&subset).into_iter().collect();
                    assert_eq!(train.len() + test.len(), rows, "{folds} folds of {rows}");
                    assert!(test.iter().all(|row| !train.contains(&(*row as u32))));
                    assert!(
                        seed.is_some() || test.windows(2).all(|pair| pair[0] + 1 == pair[1]),
                        "they stand together"
                    );
                    tested.extend(test);
                }
                tested.sort_unstable();
                assert!(tested.into_iter().eq(0..rows));
            }
        }
    }

    #[test]
    fn a_bootstrap_leaves_out_about_a_share_of_one_over_e() {
        for rows in [100_usize, 9973] {
            let subset = SubsetParams::new(Subset::Bootstrap { seed: 5 }, rows).unwrap().unwrap();
            let drawn = all(&subset);
            assert_eq!(drawn.len(), rows);
            assert!(drawn.iter().all(|row| (*row as usize) < rows));
            let share = drawn.into_iter().collect::<BTreeSet<_>>().len() as f64 / rows as f64;
            assert!((share - 0.632).abs() < 0.06, "{share} of {rows}");
        }
    }

    #[test]
    fn what_are_no_rows_is_refused() {
        let of = |which| SubsetParams::new(which, 10).map(|subset| subset.map(|subset| all(&subset)));
        assert_eq!(of(Subset::All), Ok(None));
        assert_eq!(of(Subset::Range { start: 7, len: 3 }), Ok(Some(vec![7, 8, 9])));
        assert!(of(Subset::Range { start: 7, len: 4 }).is_err() && of(Subset::Range { start: 7, len: 0 }).is_err());
        assert!(of(Subset::Range { start: usize::MAX, len: 2 }).is_err());
        for (fold, folds) in [(0, 0), (0, 1), (3, 3), (0, 11)] {
            assert!(
                of(Subset::TrainFold(Fold { index: fold, count: folds, seed: None })).is_err(),
                "{fold} of {folds}"
            );
        }
    }
}
