//! The optimizers: each an arm here and a file in `shaders/optimizer/`.

use crate::{Error, Result};

/// How a step changes the parameters by their gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Stochastic gradient descent, the textbook's: `p <- p - learning_rate * g`.
    Sgd {
        /// The length of a step.
        learning_rate: f64,
    },
    /// Gradient descent with a velocity (Polyak 1964, in PyTorch's form): `v <- momentum * v + g`, `p <- p - learning_rate * v`.
    Momentum {
        /// The length of a step.
        learning_rate: f64,
        /// How much of the velocity the next step keeps, from 0 to 1.
        momentum: f64,
    },
}

impl Optimizer {
    /// One of each, for tests and benches to walk.
    pub const ALL: &[Self] = &[Self::sgd(0.1), Self::momentum(0.1, 0.9)];

    /// Stochastic gradient descent.
    pub const fn sgd(learning_rate: f64) -> Self {
        Self::Sgd { learning_rate }
    }

    /// Gradient descent with momentum.
    pub const fn momentum(learning_rate: f64, momentum: f64) -> Self {
        Self::Momentum { learning_rate, momentum }
    }

    /// The name, as it stands in files and as its WGSL function is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sgd { .. } => "sgd",
            Self::Momentum { .. } => "momentum",
        }
    }

    /// The length of a step.
    pub const fn learning_rate(self) -> f64 {
        match self {
            Self::Sgd { learning_rate } | Self::Momentum { learning_rate, .. } => learning_rate,
        }
    }

    /// How many numbers it keeps for every parameter.
    pub const fn planes(self) -> usize {
        match self {
            Self::Sgd { .. } => 0,
            Self::Momentum { .. } => 1,
        }
    }

    /// The momentum, 0 where there is none.
    pub(crate) const fn kept_velocity(self) -> f64 {
        match self {
            Self::Sgd { .. } => 0.0,
            Self::Momentum { momentum, .. } => momentum,
        }
    }

    /// The new value of a parameter `p` with gradient `g`; `state` holds the parameter's [`Optimizer::planes`] numbers.
    pub fn apply(self, p: f64, g: f64, state: &mut [f64]) -> f64 {
        match self {
            Self::Sgd { learning_rate } => p - learning_rate * g,
            Self::Momentum { learning_rate, momentum } => {
                state[0] = momentum * state[0] + g;
                p - learning_rate * state[0]
            }
        }
    }

    pub(crate) fn check(self) -> Result<()> {
        let kept = self.kept_velocity();
        if !(0.0..1.0).contains(&kept) {
            return Err(Error::Setting {
                what: "momentum",
                expected: "a number from 0 to below 1".into(),
                got: kept.to_string(),
            });
        }
        let rate = self.learning_rate();
        if !(rate as f32).is_finite() || rate < 0.0 {
            return Err(Error::Setting {
                what: "learning rate",
                expected: "a finite number from 0 up".into(),
                got: rate.to_string(),
            });
        }
        Ok(())
    }

    pub(crate) const fn wgsl(self) -> &'static str {
        match self {
            Self::Sgd { .. } => include_str!("../shaders/optimizer/sgd.wgsl"),
            Self::Momentum { .. } => include_str!("../shaders/optimizer/momentum.wgsl"),
        }
    }
}
