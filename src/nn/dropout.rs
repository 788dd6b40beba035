//! Dropout (Srivastava et al. 2014): the random choice of outputs that a training step sets to 0.
//!
//! The choice is a hash of the position, the neuron and the key of the epoch, and not a sequence of random numbers. So
//! every device can compute the factor of any output independently. `shaders/step/dropout.wgsl` is the same integer
//! code.

/// The dropout of one layer: a dropped output is multiplied by 0, every other one by a scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dropout {
    /// The dropout probability, in [0, 1).
    pub(crate) p: f64,
    /// The threshold of the 32 random bits: smaller bits drop the output.
    pub(crate) threshold: u32,
    /// The factor `1 / (1 - p)` of the remaining outputs, which preserves the mean.
    pub(crate) scale: f32,
}

impl Dropout {
    /// Creates the dropout for a probability `p` in [0, 1).
    pub(crate) fn with_probability(p: f64) -> Self {
        Self { p, threshold: (p * 4_294_967_296.0) as u32, scale: (1.0 / (1.0 - p)) as f32 }
    }

    /// Returns the factor of one output: 0 or the scale.
    ///
    /// `position` is the position of the row in the epoch with this key. `neuron` is the index of the neuron in the
    /// network, where every layer is padded to a multiple of 4 neurons.
    #[inline(always)]
    pub(crate) const fn factor(self, key: [u32; 2], position: u32, neuron: u32) -> f32 {
        if random_bits(key, position, neuron) < self.threshold { 0.0 } else { self.scale }
    }
}

/// Returns 32 pseudorandom bits, by applying the finalizer of MurmurHash3 once per coordinate.
#[inline(always)]
pub(crate) const fn random_bits(key: [u32; 2], position: u32, neuron: u32) -> u32 {
    let h = murmur_finalize(position ^ key[0]).wrapping_add(neuron.wrapping_mul(0x9e37_79b9));
    murmur_finalize(h ^ key[1])
}

/// Mixes the bits of `h` with the 32-bit finalizer of MurmurHash3.
#[inline(always)]
const fn murmur_finalize(h: u32) -> u32 {
    let h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    let h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::permutation::epoch_key;

    #[test]
    fn dropped_fraction_matches_the_probability_along_every_coordinate() {
        const DRAWS: u32 = 20_000;
        for p in [0.1, 0.5, 0.8] {
            let dropout = Dropout::with_probability(p);
            let key = |epoch| epoch_key(3, epoch);
            // The difference between the dropped and the expected number of outputs, in standard deviations.
            let deviations = |coordinates: &dyn Fn(u32) -> ([u32; 2], u32, u32)| {
                let dropped = (0..DRAWS).filter(|i| {
                    let (key, position, neuron) = coordinates(*i);
                    dropout.factor(key, position, neuron) == 0.0
                });
                let std = (f64::from(DRAWS) * p * (1.0 - p)).sqrt();
                (dropped.count() as f64 - f64::from(DRAWS) * p) / std
            };
            let (first_key, second_key) = (key(0), key(1));
            for (coordinate, deviations) in [
                ("rows", deviations(&|i| (first_key, i, 0))),
                ("neurons", deviations(&|i| (first_key, 5, i))),
                ("diagonal", deviations(&|i| (first_key, i, i))),
                ("rows and neurons", deviations(&|i| (second_key, i % 100, i / 100))),
                ("epochs", deviations(&|i| (key(u64::from(i)), 7, 7))),
            ] {
                assert!(deviations.abs() < 4.0, "p = {p}, along {coordinate}: {deviations} standard deviations");
            }
        }
    }

    #[test]
    fn neighboring_outputs_are_dropped_independently() {
        let dropout = Dropout::with_probability(0.5);
        let key = epoch_key(1, 0);
        let is_dropped = |position, neuron| dropout.factor(key, position, neuron) == 0.0;
        for (down, across) in [(0, 1), (1, 0), (1, 1), (0, 4), (4, 0)] {
            let outputs = (0..100).flat_map(|position| (0..100).map(move |neuron| (position, neuron)));
            let equal = outputs.filter(|(p, n)| is_dropped(*p, *n) == is_dropped(p + down, n + across)).count();
            // 5000 of 10,000 pairs are expected, with a standard deviation of 50.
            assert!((equal as f64 - 5000.0).abs() < 4.0 * 50.0, "offset {down}, {across}: {equal} equal pairs");
        }
    }
}
