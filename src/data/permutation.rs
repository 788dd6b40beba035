//! The order of the rows in an epoch: a keyed bijection from positions to rows. Every device can compute the row at any
//! position alone. `shaders/data/permutation.wgsl` is the same integer code.

/// The number of rounds of the permutation, which mix the two coordinates of a position.
pub(crate) const ROUNDS: u32 = 16;

/// The order of the rows in one epoch of one network.
///
/// The positions are the points of a grid that is slightly larger than the data set. Each round rotates the columns and
/// rows of the grid by amounts that depend on the key. This is a generalized Feistel cipher (Black and Rogaway 2002). A
/// result outside of the data set is permuted again until it is a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permutation {
    rows: u32,
    width: u32,
    height: u32,
    key: [u32; 2],
}

impl Permutation {
    /// Creates the permutation of `rows` rows for a key from [`epoch_key`].
    pub(crate) fn new(rows: u32, key: [u32; 2]) -> Self {
        Self::with_width(rows, grid_width(rows), key)
    }

    /// Creates the permutation of `rows` rows whose grid has the width `grid_width(rows)`.
    pub(crate) const fn with_width(rows: u32, width: u32, key: [u32; 2]) -> Self {
        Self { rows, width, height: rows.div_ceil(width), key }
    }

    /// Returns the row at a position below the number of rows.
    pub(crate) fn row(&self, position: u32) -> u32 {
        let mut point = position;
        loop {
            let (mut x, mut y) = ([point % self.width], [point / self.width]);
            permute_lanes(&mut x, &mut y, &self.key.map(|half| [half]), [self.width, self.height]);
            point = y[0] * self.width + x[0];
            if point < self.rows {
                return point;
            }
        }
    }
}

/// Permutes `N` points of grids of one size in place, each with its own key. The lanes are independent, so that the
/// compiler can vectorize the loops.
#[inline(always)]
pub(crate) fn permute_lanes<const N: usize>(
    x: &mut [u32; N],
    y: &mut [u32; N],
    keys: &[[u32; N]; 2],
    [width, height]: [u32; 2],
) {
    for round in (0..ROUNDS).step_by(2) {
        for lane in 0..N {
            let key = [keys[0][lane], keys[1][lane]];
            x[lane] = rotated(x[lane], mix_bits(key, y[lane], round), width);
        }
        for lane in 0..N {
            let key = [keys[0][lane], keys[1][lane]];
            y[lane] = rotated(y[lane], mix_bits(key, x[lane], round + 1), height);
        }
    }
}

/// Returns 32 pseudorandom bits from a coordinate, the round and the key, with the finalizer of MurmurHash3.
#[inline(always)]
pub(crate) const fn mix_bits(key: [u32; 2], coordinate: u32, round: u32) -> u32 {
    let mut h = (coordinate ^ key[0]).wrapping_add((round.wrapping_add(1)).wrapping_mul(0x9e37_79b9));
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b) ^ key[1];
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// Adds a pseudorandom number below `size` to `x` modulo `size`. Sizes are at most 65,536, so the product does not
/// overflow.
#[inline(always)]
const fn rotated(x: u32, random: u32, size: u32) -> u32 {
    let sum = x + (((random >> 16) * size) >> 16);
    if sum < size { sum } else { sum - size }
}

/// Returns the width of the grid of `rows` rows: the smallest width whose square is at least `rows`.
pub(crate) fn grid_width(rows: u32) -> u32 {
    let mut width = f64::from(rows).sqrt() as u32;
    while u64::from(width) * u64::from(width) < u64::from(rows) {
        width += 1;
    }
    width.max(1)
}

/// Returns the key of an epoch: splitmix64 of the mixed seed and the epoch.
pub(crate) fn epoch_key(seed: u64, epoch: u64) -> [u32; 2] {
    epoch_key_from(mix_seed(seed), epoch)
}

/// Mixes a seed. [`epoch_key_from`] computes the key of each epoch from the result.
pub(crate) const fn mix_seed(seed: u64) -> u64 {
    splitmix64(splitmix64(seed))
}

/// Returns the key of an epoch from the result of [`mix_seed`].
#[inline(always)]
pub(crate) const fn epoch_key_from(mixed_seed: u64, epoch: u64) -> [u32; 2] {
    let key = splitmix64(mixed_seed ^ epoch);
    [key as u32, (key >> 32) as u32]
}

#[inline(always)]
const fn splitmix64(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutation_contains_every_row_once() {
        for rows in [1, 2, 3, 4, 5, 7, 10, 16, 17, 100, 1797, 60_000, 65_537] {
            let permutation = Permutation::new(rows, epoch_key(7, u64::from(rows)));
            let mut permuted: Vec<u32> = (0..rows).map(|position| permutation.row(position)).collect();
            permuted.sort_unstable();
            assert!(permuted.into_iter().eq(0..rows), "{rows} rows");
        }
    }

    /// Returns how far Pearson's chi-squared statistic of equally likely `counts` is from its expected value, in
    /// standard deviations.
    fn chi_squared_deviation(counts: &[u32]) -> f64 {
        let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        let statistic: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        let degrees_of_freedom = (counts.len() - 1) as f64;
        (statistic - degrees_of_freedom) / (2.0 * degrees_of_freedom).sqrt()
    }

    #[test]
    fn all_orders_of_few_rows_are_equally_likely() {
        for (rows, orders) in [(2u32, 2), (3, 6), (4, 24), (5, 120), (6, 720)] {
            let mut counts = std::collections::HashMap::new();
            for epoch in 0..orders * 200 {
                let permutation = Permutation::new(rows, epoch_key(1, epoch));
                let order: Vec<u32> = (0..rows).map(|position| permutation.row(position)).collect();
                *counts.entry(order).or_insert(0u32) += 1;
            }
            let mut counts: Vec<u32> = counts.into_values().collect();
            counts.resize(orders as usize, 0);
            let deviation = chi_squared_deviation(&counts);
            assert!(deviation < 4.0, "{rows} rows: {deviation} standard deviations");
        }
    }

    #[test]
    fn every_row_is_equally_likely_at_every_position() {
        for rows in [7u32, 10, 16, 31, 50] {
            let mut counts = vec![0u32; (rows * rows) as usize];
            for epoch in 0..u64::from(rows) * 200 {
                let permutation = Permutation::new(rows, epoch_key(2, epoch));
                for position in 0..rows {
                    counts[(position * rows + permutation.row(position)) as usize] += 1;
                }
            }
            let deviation = chi_squared_deviation(&counts);
            assert!(deviation < 4.0, "{rows} rows: {deviation} standard deviations");
        }
    }
}
