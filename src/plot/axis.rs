//! An axis: from where to where it goes, and the round numbers on it.

/// What is beyond is drawn there, so that no difference of two numbers leaves the finite ones.
const MAX_VALUE: f64 = 1e300;

/// About as many ticks stand on an axis, at most.
const MAX_TICKS: f64 = 7.0;

/// Above this ratio of the largest number to the smallest, a linear axis would hide the small ones.
const MIN_LOG_RATIO: f64 = 1e3;

/// An axis of a chart. Its numbers are told to the chart as places from 0 to 1, so that the chart need not know how large
/// they are.
pub(crate) struct Axis<'a> {
    pub(crate) label: &'a str,
    low: f64,
    high: f64,
    is_logarithmic: bool,
    /// Places from 0 to 1, and what stands there.
    pub(crate) ticks: Vec<(f64, String)>,
}

impl<'a> Axis<'a> {
    /// From `low` to `high`, evenly; wider where they are equal.
    pub(crate) fn linear(what: &'a str, low: f64, high: f64) -> Self {
        let (low, high) = widen(low.clamp(-MAX_VALUE, MAX_VALUE), high.clamp(-MAX_VALUE, MAX_VALUE));
        let step = round_step((high - low) / MAX_TICKS);
        Self::with_steps(what, low, high, step)
    }

    /// Over things that are counted from 1 to `count`, with ticks at whole numbers.
    pub(crate) fn for_count(what: &'a str, count: usize) -> Self {
        let (low, high) = if count > 1 { (1.0, count as f64) } else { (0.5, 1.5) };
        Self::with_steps(what, low, high, round_step((high - low) / MAX_TICKS).max(1.0))
    }

    /// From `low`, above 0, to `high` by their logarithms; evenly where they are less than a power of ten apart.
    pub(crate) fn logarithmic(what: &'a str, low: f64, high: f64) -> Self {
        let (low, high) = (low.clamp(1.0 / MAX_VALUE, MAX_VALUE), high.clamp(1.0 / MAX_VALUE, MAX_VALUE));
        let (first, last) = (low.log10(), high.log10());
        if last - first < 1.0 {
            return Self::linear(what, low, high);
        }
        let mut axis = Self { label: what, low: first, high: last, is_logarithmic: true, ticks: Vec::new() };
        // Powers of ten alone would be one or two.
        let between: &[f64] = if last - first < 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let stride = round_step((last - first) / MAX_TICKS).max(1.0);
        let start = (first / stride).floor() * stride;
        for power in (0..2 * MAX_TICKS as i32).map(|i| start as i32 + i * stride as i32) {
            for value in between.iter().map(|digit| digit * 10f64.powi(power)) {
                let place = (value.log10() - first) / (last - first);
                if (-1e-9..=1.0 + 1e-9).contains(&place) {
                    axis.ticks.push((place.clamp(0.0, 1.0), format_tick(value, value, value)));
                }
            }
        }
        axis
    }

    /// For losses: from 0 up if there is room for it, by their logarithms if they differ much. What is not finite is
    /// passed over.
    pub(crate) fn for_losses(what: &'a str, losses: impl Iterator<Item = f64>) -> Self {
        let Some((least, most)) = bounds(losses) else { return Self::linear(what, 0.0, 1.0) };
        if least > 0.0 && most / least > MIN_LOG_RATIO {
            let margin = (most / least).powf(0.03);
            return Self::logarithmic(what, least / margin, most * margin);
        }
        let (low, high) = (least.min(0.0), most.max(0.0));
        let margin = 0.05 * (high - low);
        Self::linear(what, if low < 0.0 { low - margin } else { 0.0 }, high + margin)
    }

    /// The place of a number, from 0 to 1; one that lies beyond the axis is put at its end.
    pub(crate) fn position(&self, value: f64) -> f64 {
        let value = if self.is_logarithmic { value.max(1.0 / MAX_VALUE).log10() } else { value };
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn with_steps(what: &'a str, low: f64, high: f64, step: f64) -> Self {
        let mut axis = Self { label: what, low, high, is_logarithmic: false, ticks: Vec::new() };
        let first = (low / step - 1e-9).ceil();
        let all = (0..2 * MAX_TICKS as u32).map(|i| (first + f64::from(i)) * step);
        axis.ticks = all
            .take_while(|value| *value <= high + 1e-9 * (high - low))
            .map(|value| (axis.position(value), format_tick(value, step, low.abs().max(high.abs()))))
            .collect();
        axis
    }
}

/// The smallest and the largest of those that are finite.
pub(crate) fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.filter(|value| value.is_finite());
    finite.fold(None, |bounds, value| {
        let (least, most) = bounds.unwrap_or((value, value));
        Some((least.min(value), most.max(value)))
    })
}

/// Bounds that lie apart far enough to tell numbers between them.
fn widen(low: f64, high: f64) -> (f64, f64) {
    let size = low.abs().max(high.abs());
    match size {
        // As good as nothing, and too small for powers of ten.
        0.0..1e-290 => (0.0, 1.0),
        _ if high - low > 1e-6 * size => (low, high),
        _ => (low - 0.1 * size, high + 0.1 * size),
    }
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn round_step(min: f64) -> f64 {
    let power = 10f64.powf(min.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power).find(|step| *step >= min).unwrap_or(10.0 * power)
}

/// A number with as many decimals as tell it from one that is `step` away; `size` is how large the numbers beside it are.
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
    fn ticks_are_round_numbers_that_can_be_told_apart() {
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
    fn every_axis_has_ticks_in_order_and_puts_everything_between_its_ends() {
        let all = [f64::MIN, -1e9, -1.0, -1e-300, 0.0, 5e-324, 1e-300, 1e-9, 1.0, 1.0 + 1e-12, 1e9, 1e300, f64::MAX];
        for low in all {
            for high in all.into_iter().filter(|high| *high >= low) {
                let losses = Axis::for_losses("", [low, f64::NAN, high].into_iter());
                for axis in [Axis::linear("", low, high), Axis::logarithmic("", low, high), losses] {
                    let places: Vec<f64> = axis.ticks.iter().map(|(place, _)| *place).collect();
                    assert!((1..=14).contains(&places.len()), "{low} to {high}: {:?}", axis.ticks);
                    assert!(places.is_sorted_by(|a, b| a < b), "{low} to {high}: {:?}", axis.ticks);
                    assert!(all.iter().all(|value| (0.0..=1.0).contains(&axis.position(*value))), "{low} to {high}");
                    let longest = axis.ticks.iter().map(|(_, label)| label.len()).max();
                    assert!(longest <= Some(14), "{:?}", axis.ticks);
                }
            }
        }
    }
}
