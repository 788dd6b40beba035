//! An axis of a chart: its range and its ticks.

/// The largest value of an axis. Larger ones are drawn there, so that differences between values stay finite.
const MAX_VALUE: f64 = 1e300;

/// The approximate maximum number of ticks.
const MAX_TICKS: f64 = 7.0;

/// The ratio of the largest loss to the smallest one above which a linear axis would hide the small losses.
const MIN_LOG_RATIO: f64 = 1e3;

/// An axis of a chart. It maps values to positions in `[0, 1]`, so that the chart does not need the values.
pub(crate) struct Axis<'a> {
    pub(crate) label: &'a str,
    low: f64,
    high: f64,
    is_logarithmic: bool,
    /// The position of each tick, in `[0, 1]`, and its label.
    pub(crate) ticks: Vec<(f64, String)>,
}

impl<'a> Axis<'a> {
    /// Creates a linear axis from `low` to `high`. Equal bounds are widened.
    pub(crate) fn linear(label: &'a str, low: f64, high: f64) -> Self {
        let (low, high) = widen(low.clamp(-MAX_VALUE, MAX_VALUE), high.clamp(-MAX_VALUE, MAX_VALUE));
        let step = round_step((high - low) / MAX_TICKS);
        Self::with_steps(label, low, high, step)
    }

    /// Creates a linear axis from 1 to `count`, with ticks at integers.
    pub(crate) fn for_count(label: &'a str, count: usize) -> Self {
        let (low, high) = if count > 1 { (1.0, count as f64) } else { (0.5, 1.5) };
        Self::with_steps(label, low, high, round_step((high - low) / MAX_TICKS).max(1.0))
    }

    /// Creates a logarithmic axis from `low > 0` to `high`. The axis is linear if the bounds are less than a power of
    /// ten apart.
    pub(crate) fn logarithmic(label: &'a str, low: f64, high: f64) -> Self {
        let (low, high) = (low.clamp(1.0 / MAX_VALUE, MAX_VALUE), high.clamp(1.0 / MAX_VALUE, MAX_VALUE));
        let (first, last) = (low.log10(), high.log10());
        if last - first < 1.0 {
            return Self::linear(label, low, high);
        }
        let mut axis = Self { label, low: first, high: last, is_logarithmic: true, ticks: Vec::new() };
        // Less than two powers of ten would give only one or two ticks.
        let digits: &[f64] = if last - first < 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let stride = round_step((last - first) / MAX_TICKS).max(1.0);
        let start = (first / stride).floor() * stride;
        for power in (0..2 * MAX_TICKS as i32).map(|i| start as i32 + i * stride as i32) {
            for value in digits.iter().map(|digit| digit * 10f64.powi(power)) {
                let position = (value.log10() - first) / (last - first);
                if (-1e-9..=1.0 + 1e-9).contains(&position) {
                    axis.ticks.push((position.clamp(0.0, 1.0), format_tick(value, value, value)));
                }
            }
        }
        axis
    }

    /// Creates an axis for losses: logarithmic if they differ much, otherwise linear and with 0. Losses that are not
    /// finite are ignored.
    pub(crate) fn for_losses(label: &'a str, losses: impl Iterator<Item = f64>) -> Self {
        let Some((min, max)) = bounds(losses) else { return Self::linear(label, 0.0, 1.0) };
        if min > 0.0 && max / min > MIN_LOG_RATIO {
            let margin = (max / min).powf(0.03);
            return Self::logarithmic(label, min / margin, max * margin);
        }
        let (low, high) = (min.min(0.0), max.max(0.0));
        let margin = 0.05 * (high - low);
        Self::linear(label, if low < 0.0 { low - margin } else { 0.0 }, high + margin)
    }

    /// Returns the position of a value, in `[0, 1]`. A value beyond the axis is at its end.
    pub(crate) fn position(&self, value: f64) -> f64 {
        let value = if self.is_logarithmic { value.max(1.0 / MAX_VALUE).log10() } else { value };
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn with_steps(label: &'a str, low: f64, high: f64, step: f64) -> Self {
        let mut axis = Self { label, low, high, is_logarithmic: false, ticks: Vec::new() };
        let first = (low / step - 1e-9).ceil();
        let values = (0..2 * MAX_TICKS as u32).map(|i| (first + f64::from(i)) * step);
        axis.ticks = values
            .take_while(|value| *value <= high + 1e-9 * (high - low))
            .map(|value| (axis.position(value), format_tick(value, step, low.abs().max(high.abs()))))
            .collect();
        axis
    }
}

/// Returns the minimum and the maximum of the finite values, or `None` if there are none.
pub(crate) fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.filter(|value| value.is_finite());
    finite.fold(None, |bounds, value| {
        let (min, max) = bounds.unwrap_or((value, value));
        Some((min.min(value), max.max(value)))
    })
}

/// Returns bounds far enough apart for distinct tick labels between them.
fn widen(low: f64, high: f64) -> (f64, f64) {
    let size = low.abs().max(high.abs());
    match size {
        // Powers of ten underflow for smaller bounds, so draw them as 0.
        0.0..1e-290 => (0.0, 1.0),
        _ if high - low > 1e-6 * size => (low, high),
        _ => (low - 0.1 * size, high + 0.1 * size),
    }
}

/// Returns the smallest step >= `min` that is 1, 2 or 5 times a power of ten.
fn round_step(min: f64) -> f64 {
    let power = 10f64.powf(min.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power).find(|step| *step >= min).unwrap_or(10.0 * power)
}

/// Formats a value with enough decimals to distinguish it from `value + step`. `size` is the magnitude of the values
/// on the axis.
pub(crate) fn format_tick(value: f64, step: f64, size: f64) -> String {
    let exponent = |value: f64| (value.abs().log10() + 1e-6).floor();
    if value.abs() < 0.5 * step.abs() || value == 0.0 {
        return "0".to_owned();
    }
    if size.abs() < 1e6 && step.abs() >= 0.999e-4 {
        let digits = (-exponent(step)).max(0.0) as usize;
        return format!("{value:.digits$}");
    }
    let digits = (exponent(value) - exponent(step)).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.digits$e}");
    match text.split_once('e') {
        Some((digits, power)) if digits.contains('.') => {
            format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<'a>(axis: &'a Axis<'_>) -> Vec<&'a str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_distinct_round_numbers() {
        assert_eq!(labels(&Axis::linear("", 0.0, 2.4)), ["0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!(labels(&Axis::linear("", -1.0, 1.0)), ["-1.0", "-0.5", "0", "0.5", "1.0"]);
        assert_eq!(labels(&Axis::linear("", 90.0, 100.0)), ["90", "92", "94", "96", "98", "100"]);
        assert_eq!(labels(&Axis::linear("", 0.0, 3e38)), ["0", "5e37", "1e38", "1.5e38", "2e38", "2.5e38", "3e38"]);
        assert_eq!(labels(&Axis::for_count("", 1)), ["1"]);
        assert_eq!(labels(&Axis::for_count("", 3)), ["1", "2", "3"]);
        assert_eq!(
            labels(&Axis::logarithmic("", 1e-6, 10.0)),
            ["1e-6", "1e-5", "0.0001", "0.001", "0.01", "0.1", "1", "10"]
        );
        assert_eq!(labels(&Axis::logarithmic("", 0.03, 0.6)), ["0.05", "0.1", "0.2", "0.5"]);
    }

    #[test]
    fn ticks_are_sorted_and_positions_stay_on_the_axis() {
        let all = [f64::MIN, -1e9, -1.0, -1e-300, 0.0, 5e-324, 1e-300, 1e-9, 1.0, 1.0 + 1e-12, 1e9, 1e300, f64::MAX];
        for low in all {
            for high in all.into_iter().filter(|high| *high >= low) {
                let losses = Axis::for_losses("", [low, f64::NAN, high].into_iter());
                for axis in [Axis::linear("", low, high), Axis::logarithmic("", low, high), losses] {
                    let positions: Vec<f64> = axis.ticks.iter().map(|(position, _)| *position).collect();
                    assert!((1..=14).contains(&positions.len()), "{low} to {high}: {:?}", axis.ticks);
                    assert!(positions.is_sorted_by(|a, b| a < b), "{low} to {high}: {:?}", axis.ticks);
                    assert!(all.iter().all(|value| (0.0..=1.0).contains(&axis.position(*value))), "{low} to {high}");
                    let longest = axis.ticks.iter().map(|(_, label)| label.len()).max();
                    assert!(longest <= Some(14), "{:?}", axis.ticks);
                }
            }
        }
    }
}
