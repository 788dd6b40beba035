//! A number that a search tries values for.

use std::{fmt, sync::Arc};

use crate::{
    error::{Error, Result},
    population::member::Member,
    util::rng::Rng,
};

type Setter = dyn Fn(&mut Member, f64) + Send + Sync;

/// A number of a network's training that a `AdapterFilter` tries values for: a name for people, the values, and
/// where in a [`Member`] it goes.
#[derive(Clone)]
pub struct Hyperparameter {
    pub(crate) name: String,
    values: Values,
    set: Arc<Setter>,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    Choice(Vec<f64>),
    Range { low: f64, high: f64, is_logarithmic: bool },
}

impl Hyperparameter {
    /// One of these values.
    pub fn choice(
        name: impl Into<String>,
        values: impl Into<Vec<f64>>,
        set: impl Fn(&mut Member, f64) + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), values: Values::Choice(values.into()), set: Arc::new(set) }
    }

    /// Any value from `low` to `high`, each as likely as another: for random searches.
    pub fn uniform(
        name: impl Into<String>,
        low: f64,
        high: f64,
        set: impl Fn(&mut Member, f64) + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), values: Values::Range { low, high, is_logarithmic: false }, set: Arc::new(set) }
    }

    /// Any value from `low`, above 0, to `high`, each power of ten as likely as another: for random searches.
    pub fn log_uniform(
        name: impl Into<String>,
        low: f64,
        high: f64,
        set: impl Fn(&mut Member, f64) + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), values: Values::Range { low, high, is_logarithmic: true }, set: Arc::new(set) }
    }

    pub(crate) fn set(&self, member: &mut Member, value: f64) {
        (self.set)(member, value);
    }

    /// The values of a grid.
    pub(crate) fn grid_values(&self) -> Result<&[f64]> {
        self.check()?;
        match &self.values {
            Values::Choice(values) => Ok(values),
            Values::Range { .. } => Err(self.setting_error("values that are listed, for a grid", "a range")),
        }
    }

    /// One value, drawn.
    pub(crate) fn sample(&self, draws: &mut Rng) -> f64 {
        match &self.values {
            Values::Choice(values) => values[draws.next_below(values.len())],
            // Rounding may lead beyond an end, and a range may be longer than the largest number.
            Values::Range { low, high, is_logarithmic: false } => {
                let (share, length) = (draws.next_f64(), high - low);
                let value = if length.is_finite() { low + length * share } else { (1.0 - share) * low + share * high };
                value.clamp(*low, *high)
            }
            Values::Range { low, high, .. } => {
                (low.ln() + (high.ln() - low.ln()) * draws.next_f64()).exp().clamp(*low, *high)
            }
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        match &self.values {
            Values::Choice(values) if values.is_empty() => Err(self.setting_error("at least one value", "none")),
            Values::Choice(values) if values.iter().any(|value| !value.is_finite()) => {
                Err(self.setting_error("finite values", "others"))
            }
            Values::Range { low, high, .. } if !(low.is_finite() && high.is_finite() && low <= high) => {
                Err(self.setting_error("a range of finite values that rise", &format!("{low} to {high}")))
            }
            Values::Range { low, is_logarithmic: true, .. } if *low <= 0.0 => {
                Err(self.setting_error("a range above 0, where powers of ten are alike", &format!("one from {low} on")))
            }
            _ => Ok(()),
        }
    }

    fn setting_error(&self, expected: &str, got: &str) -> Error {
        let got = format!("{got} for the {}", self.name);
        Error::InvalidSetting { name: "values of a search", expected: expected.to_owned(), got }
    }
}

impl fmt::Debug for Hyperparameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hyperparameter").field("name", &self.name).field("values", &self.values).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounding made exp(ln(high)) larger than `high` and exp(ln(low)) smaller than `low`.
    #[test]
    fn drawn_values_stay_within_their_bounds() {
        let mut draws = Rng::new(1);
        for (low, high) in [(1e-5, 1e-5), (0.1, 0.1), (1e-3, 1e-1), (3e-300, 1e300), (0.7, 0.7000000000000001)] {
            for number in [
                Hyperparameter::log_uniform("rate", low, high, |_, _| {}),
                Hyperparameter::uniform("rate", low, high, |_, _| {}),
                Hyperparameter::uniform("rate", -f64::MAX, f64::MAX, |_, _| {}),
            ] {
                let Values::Range { low, high, .. } = number.values else { panic!("a range") };
                for _ in 0..1000 {
                    let value = number.sample(&mut draws);
                    assert!((low..=high).contains(&value), "{value:?} of {low:?} to {high:?}");
                }
            }
        }
    }
}
