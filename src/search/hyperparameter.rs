//! Hyperparameters of a search: a name, the values to try, and a setter.

use std::{fmt, sync::Arc};

use crate::{
    error::{Error, Result},
    population::member::Member,
    util::rng::Rng,
};

type Setter = dyn Fn(&mut Member, f64) + Send + Sync;

/// A number in the settings of a [`Member`] for which a [`Search`](crate::search::Search) tries values.
///
/// It has a name for tables, the values, and a function that sets a value in a member.
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
    /// Creates a hyperparameter with a list of values, for grid and random searches.
    pub fn choice(
        name: impl Into<String>,
        values: impl Into<Vec<f64>>,
        set: impl Fn(&mut Member, f64) + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), values: Values::Choice(values.into()), set: Arc::new(set) }
    }

    /// Creates a hyperparameter that is uniformly distributed in `[low, high]`, for random searches.
    pub fn uniform(
        name: impl Into<String>,
        low: f64,
        high: f64,
        set: impl Fn(&mut Member, f64) + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), values: Values::Range { low, high, is_logarithmic: false }, set: Arc::new(set) }
    }

    /// Creates a hyperparameter whose logarithm is uniformly distributed in `[low, high]`, with `low > 0`, for random
    /// searches.
    #[doc(alias = "loguniform")]
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

    /// Returns the values for a grid search.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the values are invalid or a range.
    pub(crate) fn grid_values(&self) -> Result<&[f64]> {
        self.check()?;
        match &self.values {
            Values::Choice(values) => Ok(values),
            Values::Range { low, high, .. } => {
                let expected = format!("choice for {:?} in a grid search", self.name);
                Err(setting_error(expected, format!("the range {low} to {high}; use Search::random")))
            }
        }
    }

    /// Returns a random value.
    pub(crate) fn sample(&self, rng: &mut Rng) -> f64 {
        match &self.values {
            Values::Choice(values) => values[rng.next_below(values.len())],
            // Rounding may exceed a bound, and the length of a range may overflow.
            Values::Range { low, high, is_logarithmic: false } => {
                let (fraction, length) = (rng.next_f64(), high - low);
                let value =
                    if length.is_finite() { low + length * fraction } else { (1.0 - fraction) * low + fraction * high };
                value.clamp(*low, *high)
            }
            Values::Range { low, high, is_logarithmic: true } => {
                (low.ln() + (high.ln() - low.ln()) * rng.next_f64()).exp().clamp(*low, *high)
            }
        }
    }

    /// Returns an error if there is no value to try, or if a value or a bound is invalid.
    pub(crate) fn check(&self) -> Result<()> {
        let name = &self.name;
        match &self.values {
            Values::Choice(values) => {
                if values.is_empty() {
                    return Err(setting_error(format!("at least 1 value for {name:?}"), "0".to_owned()));
                }
                if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                    return Err(setting_error(format!("finite values for {name:?}"), value.to_string()));
                }
            }
            Values::Range { low, high, is_logarithmic } => {
                if !(low.is_finite() && high.is_finite() && low <= high) {
                    return Err(setting_error(format!("finite low <= high for {name:?}"), format!("{low} to {high}")));
                }
                if *is_logarithmic && *low <= 0.0 {
                    let expected = format!("low > 0 for log_uniform of {name:?}");
                    return Err(setting_error(expected, format!("{low}; use uniform")));
                }
            }
        }
        Ok(())
    }
}

fn setting_error(expected: String, got: String) -> Error {
    Error::InvalidSetting { name: "hyperparameter", expected, got }
}

impl fmt::Debug for Hyperparameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hyperparameter").field("name", &self.name).field("values", &self.values).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without clamping, rounding makes exp(ln(high)) greater than `high`, and exp(ln(low)) less than `low`.
    #[test]
    fn random_values_stay_within_their_bounds() {
        let mut rng = Rng::new(1);
        for (low, high) in [(1e-5, 1e-5), (0.1, 0.1), (1e-3, 1e-1), (3e-300, 1e300), (0.7, 0.7000000000000001)] {
            for hyperparameter in [
                Hyperparameter::log_uniform("rate", low, high, |_, _| {}),
                Hyperparameter::uniform("rate", low, high, |_, _| {}),
                Hyperparameter::uniform("rate", -f64::MAX, f64::MAX, |_, _| {}),
            ] {
                let Values::Range { low, high, .. } = hyperparameter.values else { panic!("expected a range") };
                for _ in 0..1000 {
                    let value = hyperparameter.sample(&mut rng);
                    assert!((low..=high).contains(&value), "{value:?} is not in {low:?}..={high:?}");
                }
            }
        }
    }
}
