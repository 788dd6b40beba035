//! Histograms of the activations and gradients of a layer.

use std::fmt;

use crate::error::{Error, Result};

/// A histogram of the activations or the weight gradients of one layer.
///
/// Its `Display` text is a one-line summary.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayerHistogram {
    /// The layer, counted from 0.
    pub layer: usize,
    /// The quantity that the histogram shows.
    pub quantity: LayerQuantity,
    /// `[bins + 1]`: the edges of the bins, from the smallest to the largest value. Empty if no value is finite and
    /// nonzero.
    pub edges: Vec<f64>,
    /// `[bins]`: the number of values in each bin. Zeros are counted in [`zeros`](Self::zeros) instead, because after
    /// ReLU most activations are 0 and would hide the other bins.
    pub counts: Vec<u64>,
    /// The number of values that are exactly 0.
    pub zeros: u64,
    /// The number of values that are NaN or infinite.
    pub non_finite: u64,
    /// The mean of the finite values; 0 if there are none.
    pub mean: f64,
    /// The standard deviation of the finite values; 0 if there are none.
    pub std: f64,
    /// The number of dead neurons: neurons whose values in the histogram are all 0.
    ///
    /// A neuron is dead if its activations are 0 for all rows, or the gradients of all its incoming weights are 0. It
    /// has no effect, or learns nothing, on these rows.
    pub dead_neurons: usize,
    /// The number of neurons of the layer.
    pub neurons: usize,
}

/// The quantity of a layer that a [`LayerHistogram`] shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LayerQuantity {
    /// The outputs of the layer, one per row and neuron.
    Activations,
    /// The gradients of the weights of the layer.
    Gradients,
}

impl LayerHistogram {
    /// The maximum number of bins.
    const MAX_BINS: usize = 1 << 16;

    /// Returns an error unless `bins` is in `1..=MAX_BINS`.
    pub(crate) fn check(bins: usize) -> Result<()> {
        if (1..=Self::MAX_BINS).contains(&bins) {
            return Ok(());
        }
        let expected = format!("1 to {}", Self::MAX_BINS);
        Err(Error::InvalidSetting { name: "bins", expected, got: bins.to_string() })
    }

    /// Computes the histogram of `values`. `neuron(i)` returns the neuron that `values[i]` belongs to.
    pub(crate) fn new(
        layer: usize,
        quantity: LayerQuantity,
        values: &[f64],
        bins: usize,
        neurons: usize,
        neuron: impl Fn(usize) -> usize,
    ) -> Self {
        let mut is_live = vec![false; neurons];
        values.iter().enumerate().filter(|(_, value)| **value != 0.0).for_each(|(i, _)| is_live[neuron(i)] = true);
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let count = finite().count().max(1) as f64;
        let mean = finite().map(|value| value / count).sum::<f64>();
        let variance = finite().map(|value| (value - mean).powi(2) / count).sum::<f64>();
        let mut histogram = Self {
            layer,
            quantity,
            edges: Vec::new(),
            counts: Vec::new(),
            zeros: values.iter().filter(|value| **value == 0.0).count() as u64,
            non_finite: values.iter().filter(|value| !value.is_finite()).count() as u64,
            mean,
            std: variance.sqrt(),
            dead_neurons: is_live.iter().filter(|is_live| !**is_live).count(),
            neurons,
        };
        let nonzero = || finite().filter(|value| *value != 0.0);
        let (min, max) = nonzero().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        if min > max {
            return histogram;
        }
        // Widen the range if all values are equal, so that the bins have a width.
        let (min, max) = if min < max { (min, max) } else { (min - min.abs() / 2.0, max + max.abs() / 2.0) };
        // Compute with halves, because the difference of two finite values can overflow.
        let position = |value: f64| (value / 2.0 - min / 2.0) / (max / 2.0 - min / 2.0);
        let fraction = |edge: usize| edge as f64 / bins as f64;
        histogram.edges = (0..=bins).map(|edge| min * (1.0 - fraction(edge)) + max * fraction(edge)).collect();
        histogram.counts = vec![0; bins];
        nonzero().for_each(|value| histogram.counts[((position(value) * bins as f64) as usize).min(bins - 1)] += 1);
        histogram
    }

    /// Returns the number of values, including zeros and values that are not finite.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.zeros + self.non_finite
    }
}

impl fmt::Display for LayerQuantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Activations => "activations",
            Self::Gradients => "gradients",
        })
    }
}

impl fmt::Display for LayerHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, quantity, mean, std, dead_neurons, neurons, .. } = self;
        write!(f, "layer {layer}, {quantity}: mean {}, std {}", format_value(*mean), format_value(*std))?;
        let percentage = |part: u64| 100.0 * part as f64 / self.count().max(1) as f64;
        for (part, name) in [(self.zeros, "zero"), (self.non_finite, "not finite")] {
            if part > 0 {
                write!(f, ", {:.1}% {name}", percentage(part))?;
            }
        }
        if *dead_neurons > 0 { write!(f, ", {dead_neurons} of {neurons} dead") } else { Ok(()) }
    }
}

/// Formats a value with three significant digits.
fn format_value(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size @ 1e-3..1e5 => format!("{value:.*}", (2.0 - size.log10().floor()).max(0.0) as usize),
        _ => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_significant_digits() {
        let all = [0.123_456, -1.0, 12_345.6, 0.001_234_5, 1e-5, 1e9, 99.96];
        let texts = ["0.123", "-1.00", "12346", "0.00123", "1.00e-5", "1.00e9", "100.0"];
        assert_eq!(all.map(format_value), texts);
        assert_eq!(format_value(0.0), "0");
    }

    fn histogram_of(values: &[f64], neurons: usize, bins: usize) -> LayerHistogram {
        LayerHistogram::new(3, LayerQuantity::Activations, values, bins, neurons, |i| i % neurons)
    }

    #[test]
    fn zeros_are_counted_apart_from_bins() {
        let histogram = histogram_of(&[0.0, 1.0, 0.0, 2.0, 0.0, 5.0, 0.0, f64::NAN], 2, 4);
        assert_eq!(histogram.edges, [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!((&*histogram.counts, histogram.zeros, histogram.non_finite), (&[1, 1, 0, 1][..], 4, 1));
        assert_eq!((histogram.dead_neurons, histogram.neurons, histogram.count()), (1, 2, 8));
        let text = "layer 3, activations: mean 1.14, std 1.73, 50.0% zero, 12.5% not finite, 1 of 2 dead";
        assert_eq!(histogram.to_string(), text);
    }

    #[test]
    fn equal_extreme_and_missing_values_have_a_histogram() {
        let histogram = histogram_of(&[-2.0; 6], 3, 2);
        assert_eq!((&*histogram.counts, &*histogram.edges), (&[0, 6][..], &[-3.0, -2.0, -1.0][..]));
        let histogram = histogram_of(&[f64::MIN, f64::MAX, 5e-324], 1, 2);
        assert_eq!((histogram.counts.iter().sum::<u64>(), histogram.edges.len()), (3, 3));
        assert!(histogram.edges.iter().all(|edge| edge.is_finite()), "{:?}", histogram.edges);
        for values in [&[][..], &[0.0; 4], &[f64::NAN, f64::INFINITY]] {
            let histogram = histogram_of(values, 1, 5);
            assert_eq!((histogram.edges.len(), histogram.counts.len(), histogram.count()), (0, 0, values.len() as u64));
        }
        assert!(LayerHistogram::check(0).is_err() && LayerHistogram::check(usize::MAX).is_err());
    }
}
