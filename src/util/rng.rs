//! The random number generator for everything that a seed determines on the host.

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// A random number generator whose numbers are the same on every platform and in every release.
///
/// It uses a fixed algorithm (xoshiro256++) and the crate `libm`, because the generators of `rand` and the logarithms
/// of platforms may change.
pub(crate) struct Rng {
    generator: Xoshiro256PlusPlus,
}

impl Rng {
    /// Creates a generator from a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { generator: Xoshiro256PlusPlus::seed_from_u64(seed) }
    }

    /// Draws a uniform number in [-1, 1) from the upper 53 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        let bits = self.generator.random::<u64>() >> 11;
        bits as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// Draws a uniform number in [0, 1).
    pub(crate) fn next_f64(&mut self) -> f64 {
        0.5 * (self.uniform() + 1.0)
    }

    /// Draws an integer below `end`. The bias is negligible: the numbers of the 2^64 random words that give each
    /// integer differ by at most 1.
    pub(crate) fn next_below(&mut self, end: usize) -> usize {
        ((u128::from(self.generator.random::<u64>()) * end as u128) >> 64) as usize
    }

    /// Draws a normal number with mean 0 and standard deviation 1 by Marsaglia's polar method (1964).
    pub(crate) fn normal(&mut self) -> f64 {
        loop {
            let (u, v) = (self.uniform(), self.uniform());
            let s = u * u + v * v;
            if s > 0.0 && s < 1.0 {
                return u * libm::sqrt(-2.0 * libm::log(s) / s);
            }
        }
    }
}
