//! The generator of everything that a seed decides on the host.

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// Random numbers from a named generator (xoshiro256++) and a libm of our own, so that no platform's or release's
/// generator, logarithm or rounding can change them.
pub(crate) struct Rng {
    generator: Xoshiro256PlusPlus,
}

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self { generator: Xoshiro256PlusPlus::seed_from_u64(seed) }
    }

    /// Uniform in [-1, 1), from the upper 53 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        let bits = self.generator.random::<u64>() >> 11;
        bits as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// Uniform in [0, 1).
    pub(crate) fn next_f64(&mut self) -> f64 {
        0.5 * (self.uniform() + 1.0)
    }

    /// A whole number below `end`, all but equally likely: of 2^64 draws each gets its share, give or take one.
    pub(crate) fn next_below(&mut self, end: usize) -> usize {
        ((u128::from(self.generator.random::<u64>()) * end as u128) >> 64) as usize
    }

    /// Normal with mean 0 and deviation 1, by Marsaglia's polar method (1964).
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
