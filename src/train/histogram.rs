//! How the numbers of a layer are spread.

use std::fmt;

use crate::error::{Error, Result};

/// How the activations or the gradients of a layer are spread. Its text is one line about them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayerHistogram {
    /// The layer, counted from 0.
    pub layer: usize,
    /// Which numbers they are.
    pub quantity: LayerQuantity,
    /// `[bins + 1]`: where the bins begin and end, from the least number to the largest; empty if every number is 0 or not
    /// finite.
    pub edges: Vec<f64>,
    /// `[bins]`: how many numbers lie from an edge up to the next. Those that are exactly 0 are not among them: where relu
    /// gives 0 to most, nothing else would be seen.
    pub counts: Vec<u64>,
    /// How many are exactly 0.
    pub zeros: u64,
    /// How many are not finite.
    pub non_finite: u64,
    /// The mean of those that are finite; 0 if none is.
    pub mean: f64,
    /// Their standard deviation.
    pub std: f64,
    /// Of how many of the layer's neurons every number is 0: the activations for all rows, or the gradients of all weights
    /// that lead there. Such a neuron says nothing, or learns nothing, on these rows.
    pub dead_neurons: usize,
    /// How many neurons the layer has.
    pub neurons: usize,
}

/// Which numbers of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LayerQuantity {
    /// What the layer gives, for every row and neuron.
    Activations,
    /// The gradients of its weights.
    Gradients,
}

impl LayerHistogram {
    /// The most bins.
    const MAX_BINS: usize = 1 << 16;

    /// Refuses a number of bins that cannot be.
    pub(crate) fn check(bins: usize) -> Result<()> {
        if (1..=Self::MAX_BINS).contains(&bins) {
            return Ok(());
        }
        let expected = format!("1 to {}", Self::MAX_BINS);
        Err(Error::InvalidSetting { name: "bins of a histogram", expected, got: bins.to_string() })
    }

    /// Of `values`, of which `neuron` says whose each is by its place.
    pub(crate) fn new(
        (layer, of): (usize, LayerQuantity),
        values: &[f64],
        (neurons, neuron): (usize, impl Fn(usize) -> usize),
        bins: usize,
    ) -> Self {
        let mut lives = vec![false; neurons];
        values.iter().enumerate().filter(|(_, value)| **value != 0.0).for_each(|(at, _)| lives[neuron(at)] = true);
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let count = finite().count().max(1) as f64;
        let mean = finite().map(|value| value / count).sum::<f64>();
        let variance = finite().map(|value| (value - mean).powi(2) / count).sum::<f64>();
        let mut histogram = Self {
            layer,
            quantity: of,
            edges: Vec::new(),
            counts: Vec::new(),
            zeros: values.iter().filter(|value| **value == 0.0).count() as u64,
            non_finite: values.iter().filter(|value| !value.is_finite()).count() as u64,
            mean,
            std: variance.sqrt(),
            dead_neurons: lives.iter().filter(|lives| !**lives).count(),
            neurons,
        };
        let shown = || finite().filter(|value| *value != 0.0);
        let (least, most) = shown().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        if least > most {
            return histogram;
        }
        // Equal numbers have a bin of some width as well.
        let (least, most) =
            if least < most { (least, most) } else { (least - least.abs() / 2.0, most + most.abs() / 2.0) };
        // Halves, since the difference of two finite numbers need not be one.
        let place = |value: f64| (value / 2.0 - least / 2.0) / (most / 2.0 - least / 2.0);
        let share = |edge: usize| edge as f64 / bins as f64;
        histogram.edges = (0..=bins).map(|edge| least * (1.0 - share(edge)) + most * share(edge)).collect();
        histogram.counts = vec![0; bins];
        shown().for_each(|value| histogram.counts[((place(value) * bins as f64) as usize).min(bins - 1)] += 1);
        histogram
    }

    /// How many numbers there are.
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
        let Self { layer, quantity: of, mean, std: deviation, dead_neurons: dead, neurons, .. } = self;
        write!(f, "layer {layer}, {of}: mean {}, deviation {}", format_value(*mean), format_value(*deviation))?;
        let share = |part: u64| 100.0 * part as f64 / self.count().max(1) as f64;
        for (part, what) in [(self.zeros, "zero"), (self.non_finite, "not finite")] {
            if part > 0 {
                write!(f, ", {:.1} % {what}", share(part))?;
            }
        }
        if *dead > 0 { write!(f, ", {dead} of {neurons} dead") } else { Ok(()) }
    }
}

/// A number with three digits that count.
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
    fn numbers_have_three_digits() {
        let all = [0.123_456, -1.0, 12_345.6, 0.001_234_5, 1e-5, 1e9, 99.96];
        let texts = ["0.123", "-1.00", "12346", "0.00123", "1.00e-5", "1.00e9", "100.0"];
        assert_eq!(all.map(format_value), texts);
        assert_eq!(format_value(0.0), "0");
    }

    fn of(values: &[f64], neurons: usize, bins: usize) -> LayerHistogram {
        LayerHistogram::new((3, LayerQuantity::Activations), values, (neurons, |at| at % neurons), bins)
    }

    #[test]
    fn numbers_are_counted_in_bins_and_zeros_apart() {
        let histogram = of(&[0.0, 1.0, 0.0, 2.0, 0.0, 5.0, 0.0, f64::NAN], 2, 4);
        assert_eq!(histogram.edges, [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!((&*histogram.counts, histogram.zeros, histogram.non_finite), (&[1, 1, 0, 1][..], 4, 1));
        assert_eq!((histogram.dead_neurons, histogram.neurons, histogram.count()), (1, 2, 8));
        let text = "layer 3, activations: mean 1.14, deviation 1.73, 50.0 % zero, 12.5 % not finite, 1 of 2 dead";
        assert_eq!(histogram.to_string(), text);
    }

    #[test]
    fn equal_numbers_extremes_and_none_have_a_histogram() {
        let histogram = of(&[-2.0; 6], 3, 2);
        assert_eq!((&*histogram.counts, &*histogram.edges), (&[0, 6][..], &[-3.0, -2.0, -1.0][..]));
        let histogram = of(&[f64::MIN, f64::MAX, 5e-324], 1, 2);
        assert_eq!((histogram.counts.iter().sum::<u64>(), histogram.edges.len()), (3, 3));
        assert!(histogram.edges.iter().all(|edge| edge.is_finite()), "{:?}", histogram.edges);
        for none in [&[][..], &[0.0; 4], &[f64::NAN, f64::INFINITY]] {
            let histogram = of(none, 1, 5);
            assert_eq!((histogram.edges.len(), histogram.counts.len(), histogram.count()), (0, 0, none.len() as u64));
        }
        assert!(LayerHistogram::check(0).is_err() && LayerHistogram::check(usize::MAX).is_err());
    }
}
