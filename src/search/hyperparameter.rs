//! A number that a search tries values for.

use std::{fmt, sync::Arc};

use crate::{
    error::{Error, Result},
    population::member::Member,
    util::rng::Draws,
};

type Setter = dyn Fn(&mut Member, f64) + Send + Sync;

/// A number of a network's training that a [`Search`](crate::search::Search) tries values for: a name for people, the values, and
/// where in a [`Member`] it goes.
#[derive(Clone)]
pub struct Hyperparameter {
    pub(crate) name: String,
    values: Values,
    set: Arc<Setter>,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    Listed(Vec<f64>),
    Between { low: f64, high: f64, is_logarithmic: bool },
}

impl Hyperparameter {
    /// One of these values.
    pub fn listed(
        name: impl Into<String>,
        values: impl Into<Vec<f64>>,
        set: impl Fn(&mut Member, f64) + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), values: Values::Listed(values.into()), set: Arc::new(set) }
    }

    /// Any value from `low` to `high`, each as likely as another: for random searches.
    pub fn between(
        name: impl Into<String>,
        low: f64,
        high: f64,
        set: impl Fn(&mut Member, f64) + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), values: Values::Between { low, high, is_logarithmic: false }, set: Arc::new(set) }
    }

    /// Any value from `low`, above 0, to `high`, each power of ten as likely as another: for random searches.
    pub fn logarithmic(
        name: impl Into<String>,
        low: f64,
        high: f64,
        set: impl Fn(&mut Member, f64) + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), values: Values::Between { low, high, is_logarithmic: true }, set: Arc::new(set) }
    }

    pub(crate) fn set(&self, member: &mut Member, value: f64) {
        (self.set)(member, value);
    }

    /// The values of a grid.
    pub(crate) fn list(&self) -> Result<&[f64]> {
        self.check()?;
        match &self.values {
            Values::Listed(values) => Ok(values),
            Values::Between { .. } => Err(self.wrong("values that are listed, for a grid", "a range")),
        }
    }

    /// One value, drawn.
    pub(crate) fn draw(&self, draws: &mut Draws) -> f64 {
        match &self.values {
            Values::Listed(values) => values[draws.below(values.len())],
            // Rounding may lead beyond an end, and a range may be longer than the largest number.
            Values::Between { low, high, is_logarithmic: false } => {
                let (share, length) = (draws.share(), high - low);
                let value = if length.is_finite() { low + length * share } else { (1.0 - share) * low + share * high };
                value.clamp(*low, *high)
            }
            Values::Between { low, high, .. } => {
                (low.ln() + (high.ln() - low.ln()) * draws.share()).exp().clamp(*low, *high)
            }
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        match &self.values {
            Values::Listed(values) if values.is_empty() => Err(self.wrong("at least one value", "none")),
            Values::Listed(values) if values.iter().any(|value| !value.is_finite()) => {
                Err(self.wrong("finite values", "others"))
            }
            Values::Between { low, high, .. } if !(low.is_finite() && high.is_finite() && low <= high) => {
                Err(self.wrong("a range of finite values that rise", &format!("{low} to {high}")))
            }
            Values::Between { low, is_logarithmic: true, .. } if *low <= 0.0 => {
                Err(self.wrong("a range above 0, where powers of ten are alike", &format!("one from {low} on")))
            }
            _ => Ok(()),
        }
    }

    fn wrong(&self, expected: &str, got: &str) -> Error {
        let got = format!("{got} for the {}", self.name);
        Error::Setting { what: "values of a search", expected: expected.to_owned(), got }
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
        let mut draws = Draws::new(1);
        for (low, high) in [(1e-5, 1e-5), (0.1, 0.1), (1e-3, 1e-1), (3e-300, 1e300), (0.7, 0.7000000000000001)] {
            for number in [
                Hyperparameter::logarithmic("rate", low, high, |_, _| {}),
                Hyperparameter::between("rate", low, high, |_, _| {}),
                Hyperparameter::between("rate", -f64::MAX, f64::MAX, |_, _| {}),
            ] {
                let Values::Between { low, high, .. } = number.values else { panic!("a range") };
                for _ in 0..1000 {
                    let value = number.draw(&mut draws);
                    assert!((low..=high).contains(&value), "{value:?} of {low:?} to {high:?}");
                }
            }
        }
    }
}
