//! The update rules: how an optimizer changes a parameter by its gradient. Each one is a variant of [`UpdateRule`] with
//! a file in `shaders/optimizer/`.

use crate::{
    error::Result,
    optim::bounds::{check_below_one, check_number, check_range},
    util::family::files,
};

mod formulas;

/// The minimum of an `epsilon`. With 0, a parameter that never had a gradient would become `0 / 0`.
const MIN_EPSILON: f64 = 1e-30;

/// The update rule of an [`Optimizer`](crate::Optimizer). Its names and formulas follow PyTorch.
///
/// In the formulas `p` is a parameter, `g` its gradient, `lr` the learning rate, and `t` the number of the update,
/// counted from 1. Every rule describes its optimizer state, which is 0 before the first update, and then the new value
/// of `p`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum UpdateRule {
    /// Stochastic gradient descent: `p - lr g` (`torch.optim.SGD`).
    Sgd,
    /// Gradient descent with momentum (Polyak 1964; Sutskever et al. 2013; `torch.optim.SGD(momentum=...)`).
    ///
    /// `v <- momentum v + (1 - dampening) g`, and `v <- g` in the first update. The new value is `p - lr v`, or
    /// `p - lr (g + momentum v)` with Nesterov momentum.
    Momentum {
        /// The factor of the previous velocity, in [0, 1].
        momentum: f64,
        /// The fraction of the gradient that is not added to the velocity, in [0, 1].
        dampening: f64,
        /// Whether to use Nesterov momentum.
        nesterov: bool,
    },
    /// Adam (Kingma and Ba 2015; `torch.optim.Adam`).
    ///
    /// `m <- beta1 m + (1 - beta1) g` and `s <- beta2 s + (1 - beta2) g^2`. The new value is `p - lr m' / (sqrt(s') +
    /// epsilon)` with `m' = m / (1 - beta1^t)` and `s' = s / (1 - beta2^t)`. AMSGrad (Reddi et al. 2018) replaces `s`
    /// by its maximum over all updates.
    Adam {
        /// The decay of the mean of the gradients, in [0, 1).
        beta1: f64,
        /// The decay of the mean of their squares, in [0, 1).
        beta2: f64,
        /// The number that prevents a division by 0, in [1e-30, 1e9].
        #[doc(alias = "eps")]
        epsilon: f64,
        /// Whether to use AMSGrad.
        amsgrad: bool,
    },
    /// Adamax (Kingma and Ba 2015; `torch.optim.Adamax`).
    ///
    /// `m <- beta1 m + (1 - beta1) g` and `u <- max(beta2 u, |g| + epsilon)`. The new value is `p - lr m' / u` with
    /// `m' = m / (1 - beta1^t)`.
    Adamax {
        /// The decay of the mean of the gradients, in [0, 1).
        beta1: f64,
        /// The decay of the maximum absolute gradient, in [0, 1).
        beta2: f64,
        /// The number that prevents a division by 0, in [1e-30, 1e9].
        epsilon: f64,
    },
    /// NAdam: Adam with Nesterov momentum (Dozat 2016; `torch.optim.NAdam`).
    ///
    /// `m` and `s'` are those of [`UpdateRule::Adam`]. With `mu(t) = beta1 (1 - 0.96^(t momentum_decay) / 2)` and the
    /// product `P(t) = mu(1) ... mu(t)`, the new value is `p - lr ((1 - mu(t)) g / (1 - P(t)) + mu(t + 1) m / (1 - P(t
    /// + 1))) / (sqrt(s') + epsilon)`.
    Nadam {
        /// The decay of the mean of the gradients, in [0, 1).
        beta1: f64,
        /// The decay of the mean of their squares, in [0, 1).
        beta2: f64,
        /// The number that prevents a division by 0, in [1e-30, 1e9].
        epsilon: f64,
        /// The speed at which the momentum grows from about `beta1 / 2` to `beta1`, in [0, 1e9].
        momentum_decay: f64,
    },
    /// RMSprop (Tieleman and Hinton 2012; `torch.optim.RMSprop`).
    ///
    /// `s <- alpha s + (1 - alpha) g^2`. The new value is `p - lr d` with `d = g / (sqrt(s) + epsilon)`. If it is
    /// centered, the square of the mean of the gradients is subtracted from `s` (Graves 2013). With momentum, `v <-
    /// momentum v + d` replaces `d`.
    RmsProp {
        /// The decay of the mean of the squared gradients, in [0, 1).
        alpha: f64,
        /// The number that prevents a division by 0, in [1e-30, 1e9].
        epsilon: f64,
        /// The factor of the previous velocity, in [0, 1]; 0 for no momentum.
        momentum: f64,
        /// Whether to divide by the standard deviation of the gradients, and not by their root mean square.
        centered: bool,
    },
    /// Adagrad (Duchi et al. 2011; `torch.optim.Adagrad`).
    ///
    /// `s <- s + g^2`, where `s` starts at `initial_accumulator`. The new value is
    /// `p - lr / (1 + (t - 1) learning_rate_decay) g / (sqrt(s) + epsilon)`.
    Adagrad {
        /// The decay of the learning rate per update, in [0, 1e9].
        #[doc(alias = "lr_decay")]
        learning_rate_decay: f64,
        /// The initial value of `s`, in [0, 1e9].
        #[doc(alias = "initial_accumulator_value")]
        initial_accumulator: f64,
        /// The number that prevents a division by 0, in [1e-30, 1e9].
        epsilon: f64,
    },
    /// Adadelta (Zeiler 2012; `torch.optim.Adadelta`).
    ///
    /// `s <- rho s + (1 - rho) g^2`, `d = g sqrt(u + epsilon) / sqrt(s + epsilon)`, then `u <- rho u + (1 - rho) d^2`.
    /// The new value is `p - lr d`.
    Adadelta {
        /// The decay of both means, in [0, 1).
        rho: f64,
        /// The number that prevents a division by 0, in [1e-30, 1e9].
        epsilon: f64,
    },
    /// Lion (Chen et al. 2023): `p - lr sign(beta1 m + (1 - beta1) g)`, then `m <- beta2 m + (1 - beta2) g`.
    Lion {
        /// The weight of the mean in the direction of the update, in [0, 1).
        beta1: f64,
        /// The decay of the mean, in [0, 1).
        beta2: f64,
    },
    /// Rprop, for batches of all rows (Riedmiller and Braun 1993; `torch.optim.Rprop`).
    ///
    /// Each parameter has a step size, initially `lr`. The new value is `p - sign(g) step`. If the gradient has the
    /// same sign as in the previous update, the step size is multiplied by `eta_plus`. If the sign changes, the step
    /// size is multiplied by `eta_minus`, and the parameter stays unchanged.
    Rprop {
        /// The factor of the step size after a sign change, in (0, 1).
        eta_minus: f64,
        /// The factor of the step size without a sign change, in [1, 1e9].
        eta_plus: f64,
        /// The minimum step size, in (0, `max_step`].
        min_step: f64,
        /// The maximum step size, in [`min_step`, 1e9].
        max_step: f64,
    },
}

impl UpdateRule {
    /// At least one value of every variant and of every kernel flag, for tests and benchmarks. The numbers are the
    /// defaults of PyTorch, or of the paper for Lion.
    #[doc(hidden)]
    pub const ALL: &[Self] = &[
        Self::Sgd,
        Self::Momentum { momentum: 0.9, dampening: 0.0, nesterov: false },
        Self::Momentum { momentum: 0.9, dampening: 0.0, nesterov: true },
        Self::ADAM,
        Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, amsgrad: true },
        Self::Adamax { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        Self::Nadam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, momentum_decay: 0.004 },
        Self::RmsProp { alpha: 0.99, epsilon: 1e-8, momentum: 0.0, centered: false },
        Self::RmsProp { alpha: 0.99, epsilon: 1e-8, momentum: 0.9, centered: true },
        Self::Adagrad { learning_rate_decay: 0.0, initial_accumulator: 0.0, epsilon: 1e-10 },
        Self::Adadelta { rho: 0.9, epsilon: 1e-6 },
        Self::Lion { beta1: 0.9, beta2: 0.99 },
        Self::Rprop { eta_minus: 0.5, eta_plus: 1.2, min_step: 1e-6, max_step: 50.0 },
    ];

    /// Adam with the defaults of PyTorch.
    pub(crate) const ADAM: Self = Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, amsgrad: false };

    /// Returns the name, for example `adam`. Files and the WGSL function use this name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::Momentum { .. } => "momentum",
            Self::Adam { .. } => "adam",
            Self::Adamax { .. } => "adamax",
            Self::Nadam { .. } => "nadam",
            Self::RmsProp { .. } => "rmsprop",
            Self::Adagrad { .. } => "adagrad",
            Self::Adadelta { .. } => "adadelta",
            Self::Lion { .. } => "lion",
            Self::Rprop { .. } => "rprop",
        }
    }

    /// Returns the number of values of optimizer state per parameter.
    pub const fn state_per_parameter(self) -> usize {
        match self {
            Self::Sgd => 0,
            Self::Momentum { .. } | Self::Adagrad { .. } | Self::Lion { .. } => 1,
            Self::Adam { amsgrad, .. } => 2 + amsgrad as usize,
            Self::Adamax { .. } | Self::Nadam { .. } | Self::Adadelta { .. } | Self::Rprop { .. } => 2,
            Self::RmsProp { momentum, centered, .. } => 1 + (momentum > 0.0) as usize + centered as usize,
        }
    }

    /// Returns an error if a number of the rule is out of its range.
    pub(crate) fn check(self) -> Result<()> {
        let check_epsilon = |epsilon| check_range("epsilon", epsilon, MIN_EPSILON, 1e9);
        match self {
            Self::Sgd => Ok(()),
            Self::Momentum { momentum, dampening, .. } => {
                check_range("momentum", momentum, 0.0, 1.0)?;
                check_range("dampening", dampening, 0.0, 1.0)
            }
            Self::Adam { beta1, beta2, epsilon, .. } | Self::Adamax { beta1, beta2, epsilon } => {
                check_below_one("beta1", beta1)?;
                check_below_one("beta2", beta2)?;
                check_epsilon(epsilon)
            }
            Self::Nadam { beta1, beta2, epsilon, momentum_decay } => {
                check_below_one("beta1", beta1)?;
                check_below_one("beta2", beta2)?;
                check_epsilon(epsilon)?;
                check_range("momentum_decay", momentum_decay, 0.0, 1e9)
            }
            Self::RmsProp { alpha, epsilon, momentum, .. } => {
                check_below_one("alpha", alpha)?;
                check_epsilon(epsilon)?;
                check_range("momentum", momentum, 0.0, 1.0)
            }
            Self::Adagrad { learning_rate_decay, initial_accumulator, epsilon } => {
                check_range("learning_rate_decay", learning_rate_decay, 0.0, 1e9)?;
                check_range("initial_accumulator", initial_accumulator, 0.0, 1e9)?;
                check_epsilon(epsilon)
            }
            Self::Adadelta { rho, epsilon } => {
                check_below_one("rho", rho)?;
                check_epsilon(epsilon)
            }
            Self::Lion { beta1, beta2 } => {
                check_below_one("beta1", beta1)?;
                check_below_one("beta2", beta2)
            }
            Self::Rprop { eta_minus, eta_plus, min_step, max_step } => {
                let is_valid = (f64::MIN_POSITIVE..1.0).contains(&eta_minus);
                check_number("eta_minus", eta_minus, is_valid, "a number in (0, 1)")?;
                check_range("eta_plus", eta_plus, 1.0, 1e9)?;
                let is_valid = min_step >= f64::MIN_POSITIVE && min_step <= max_step;
                check_number("min_step", min_step, is_valid, &format!("a number in (0, {max_step}]"))?;
                check_range("max_step", max_step, min_step, 1e9)
            }
        }
    }

    /// Returns the WGSL source of the rule.
    pub(crate) const fn wgsl(self) -> &'static [&'static str] {
        match self {
            Self::Sgd => files!("optimizer/sgd"),
            Self::Momentum { .. } => files!("optimizer/momentum"),
            Self::Adam { .. } => files!("optimizer/adam"),
            Self::Adamax { .. } => files!("optimizer/adamax"),
            Self::Nadam { .. } => files!("optimizer/nadam"),
            Self::RmsProp { .. } => files!("optimizer/rmsprop"),
            Self::Adagrad { .. } => files!("optimizer/adagrad"),
            Self::Adadelta { .. } => files!("optimizer/adadelta"),
            Self::Lion { .. } => files!("optimizer/lion"),
            Self::Rprop { .. } => files!("optimizer/rprop"),
        }
    }

    /// Returns the constants of its WGSL file that select a variant of the rule.
    pub(crate) const fn kernel_flags(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Momentum { nesterov: true, .. } => &[("NESTEROV", true)],
            Self::Momentum { nesterov: false, .. } => &[("NESTEROV", false)],
            Self::Adam { amsgrad: true, .. } => &[("AMSGRAD", true)],
            Self::Adam { amsgrad: false, .. } => &[("AMSGRAD", false)],
            Self::RmsProp { momentum, centered, .. } => match (momentum > 0.0, centered) {
                (true, true) => &[("HAS_MOMENTUM", true), ("CENTERED", true)],
                (true, false) => &[("HAS_MOMENTUM", true), ("CENTERED", false)],
                (false, true) => &[("HAS_MOMENTUM", false), ("CENTERED", true)],
                (false, false) => &[("HAS_MOMENTUM", false), ("CENTERED", false)],
            },
            Self::Sgd
            | Self::Adamax { .. }
            | Self::Nadam { .. }
            | Self::Adagrad { .. }
            | Self::Adadelta { .. }
            | Self::Lion { .. }
            | Self::Rprop { .. } => &[],
        }
    }
}
