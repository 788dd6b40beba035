//! The order in which an epoch takes the rows of a data set: a keyed bijection, so that any place of it can be computed
//! alone, on any device. `shaders/data/permutation.wgsl` is the same integer code.

/// How often the two halves of a place are mixed with each other.
pub(crate) const ROUNDS: u32 = 16;

/// The row that stands at each place of one epoch of one network.
///
/// The places are the points of a grid a little larger than the data set; rounds turn its columns and rows by amounts
/// that depend on the key (a generalised Feistel cipher, Black and Rogaway 2002), and a point outside goes round again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permutation {
    rows: u32,
    width: u32,
    height: u32,
    key: [u32; 2],
}

impl Permutation {
    /// The order of `rows` rows for a key of [`epoch_key`].
    pub(crate) fn new(rows: u32, key: [u32; 2]) -> Self {
        Self::with_width(rows, grid_width(rows), key)
    }

    /// The same where the grid's width is known.
    pub(crate) const fn with_width(rows: u32, width: u32, key: [u32; 2]) -> Self {
        Self { rows, width, height: rows.div_ceil(width), key }
    }

    /// The row at `place`, both from 0 to below the number of rows.
    pub(crate) fn row(&self, position: u32) -> u32 {
        let mut at = position;
        loop {
            let (mut x, mut y) = ([at % self.width], [at / self.width]);
            permute_lanes(&mut x, &mut y, &self.key.map(|half| [half]), [self.width, self.height]);
            at = y[0] * self.width + x[0];
            if at < self.rows {
                return at;
            }
        }
    }
}

/// Takes points of grids of one size through all rounds, each with a key of its own: side by side, so that the compiler can keep
/// them in vectors.
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

/// 32 bits that look random, from a coordinate, the round and the key (the finaliser is murmur3's).
#[inline(always)]
pub(crate) const fn mix_bits(key: [u32; 2], coordinate: u32, round: u32) -> u32 {
    let mut h = (coordinate ^ key[0]).wrapping_add((round.wrapping_add(1)).wrapping_mul(0x9e37_79b9));
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b) ^ key[1];
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// `x` moved by a random amount around a circle of `size` points. Sizes stay within 65,536, so nothing overflows.
#[inline(always)]
const fn rotated(x: u32, random: u32, size: u32) -> u32 {
    let sum = x + (((random >> 16) * size) >> 16);
    if sum < size { sum } else { sum - size }
}

/// The width of the grid of `rows` points: the smallest whose square holds them all.
pub(crate) fn grid_width(rows: u32) -> u32 {
    let mut width = f64::from(rows).sqrt() as u32;
    while u64::from(width) * u64::from(width) < u64::from(rows) {
        width += 1;
    }
    width.max(1)
}

/// The key of one epoch: splitmix64 over the seed.
pub(crate) fn epoch_key(seed: u64, epoch: u64) -> [u32; 2] {
    epoch_key_from(mix_seed(seed), epoch)
}

/// What [`key_of`] makes the keys of all epochs from.
pub(crate) const fn mix_seed(seed: u64) -> u64 {
    splitmix64(splitmix64(seed))
}

/// The key of one epoch, from what [`mixed_seed`] made of the seed.
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
    fn every_row_stands_at_one_place() {
        for rows in [1, 2, 3, 4, 5, 7, 10, 16, 17, 100, 1797, 60_000, 65_537] {
            let order = Permutation::new(rows, epoch_key(7, u64::from(rows)));
            let mut seen: Vec<u32> = (0..rows).map(|place| order.row(place)).collect();
            seen.sort_unstable();
            assert!(seen.iter().enumerate().all(|(i, row)| i as u32 == *row), "{rows} rows");
        }
    }

    /// Pearson's statistic of `counts` that should be equal, as standard deviations from what chance gives.
    fn deviations(counts: &[u32]) -> f64 {
        let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        let statistic: f64 = counts.iter().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
        let freedom = (counts.len() - 1) as f64;
        (statistic - freedom) / (2.0 * freedom).sqrt()
    }

    #[test]
    fn every_order_of_a_small_set_is_equally_likely() {
        for (rows, orders) in [(2u32, 2), (3, 6), (4, 24), (5, 120), (6, 720)] {
            let mut counts = std::collections::HashMap::new();
            for epoch in 0..orders * 200 {
                let order = Permutation::new(rows, epoch_key(1, epoch));
                *counts.entry((0..rows).map(|p| order.row(p)).collect::<Vec<_>>()).or_insert(0u32) += 1;
            }
            let mut counts: Vec<u32> = counts.into_values().collect();
            counts.resize(orders as usize, 0);
            assert!(deviations(&counts) < 4.0, "{rows} rows: {} deviations", deviations(&counts));
        }
    }

    #[test]
    fn every_row_comes_to_every_place_equally_often() {
        for rows in [7u32, 10, 16, 31, 50] {
            let mut counts = vec![0u32; (rows * rows) as usize];
            for epoch in 0..u64::from(rows) * 200 {
                let order = Permutation::new(rows, epoch_key(2, epoch));
                (0..rows).for_each(|place| counts[(place * rows + order.row(place)) as usize] += 1);
            }
            assert!(deviations(&counts) < 4.0, "{rows} rows: {} deviations", deviations(&counts));
        }
    }
}
