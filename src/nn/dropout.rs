//! Dropout (Srivastava et al. 2014): which outputs of a layer are dropped in a step. Counted, not drawn one after the
//! other, so that any of them can be found alone, on any device: `shaders/step/dropout.wgsl` is the same integer code.

/// What a layer's outputs are multiplied with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dropout {
    /// The share of the outputs that is dropped, from 0 to below 1.
    pub(crate) p: f64,
    /// An output is dropped if its 32 random bits are below.
    pub(crate) threshold: u32,
    /// What the others are multiplied by, so that the mean stays.
    pub(crate) scale: f32,
}

impl Dropout {
    /// Of a share of the outputs, from 0 to below 1.
    pub(crate) fn with_probability(p: f64) -> Self {
        Self { p, threshold: (p * 4_294_967_296.0) as u32, scale: (1.0 / (1.0 - p)) as f32 }
    }

    /// The factor of one output: 0 or the scale. `place` is the row's in the epoch with this key, `neuron` counts from the
    /// first layer's first on, each layer padded to whole `vec4`s.
    #[inline(always)]
    pub(crate) const fn factor(self, key: [u32; 2], position: u32, neuron: u32) -> f32 {
        if random_bits(key, position, neuron) < self.threshold { 0.0 } else { self.scale }
    }
}

/// 32 bits that look random (murmur3's finaliser, once for each coordinate).
#[inline(always)]
pub(crate) const fn random_bits(key: [u32; 2], position: u32, neuron: u32) -> u32 {
    let h = murmur_finalize(position ^ key[0]).wrapping_add(neuron.wrapping_mul(0x9e37_79b9));
    murmur_finalize(h ^ key[1])
}

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
    fn as_many_are_dropped_as_was_asked_wherever_one_looks() {
        for share in [0.1, 0.5, 0.8] {
            let dropout = Dropout::with_probability(share);
            let key = |epoch| epoch_key(3, epoch);
            let dropped = |at: &dyn Fn(u32) -> ([u32; 2], u32, u32)| {
                let count = (0..20_000).filter(|i| {
                    let (key, place, neuron) = at(*i);
                    dropout.factor(key, place, neuron) == 0.0
                });
                let deviation = (20_000.0 * share * (1.0 - share)).sqrt();
                (count.count() as f64 - 20_000.0 * share) / deviation
            };
            // Along rows, neurons, a diagonal, and epochs.
            let (one, other) = (key(0), key(1));
            for deviations in [
                dropped(&|i| (one, i, 0)),
                dropped(&|i| (one, 5, i)),
                dropped(&|i| (one, i, i)),
                dropped(&|i| (other, i % 100, i / 100)),
                dropped(&|i| (key(u64::from(i)), 7, 7)),
            ] {
                assert!(deviations.abs() < 4.0, "{share}: {deviations} deviations");
            }
        }
    }

    #[test]
    fn neighbours_are_dropped_independently() {
        let dropout = Dropout::with_probability(0.5);
        let key = epoch_key(1, 0);
        let is_dropped = |place, neuron| dropout.factor(key, place, neuron) == 0.0;
        for (down, across) in [(0, 1), (1, 0), (1, 1), (0, 4), (4, 0)] {
            let places = (0..100).flat_map(|place| (0..100).map(move |neuron| (place, neuron)));
            let same = places.filter(|(p, n)| is_dropped(*p, *n) == is_dropped(p + down, n + across)).count();
            assert!((same as f64 - 5000.0).abs() < 4.0 * 50.0, "{down} {across}: {same}");
        }
    }
}
