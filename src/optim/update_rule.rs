//! What becomes of a gradient: each [`UpdateRule`] is an arm here and a file in `shaders/optimizer/`.

use crate::{
    error::{Error, Result},
    optim::coefficients::{adadelta, adagrad, adam, adamax, lion, momentum, nadam, rmsprop, rprop, sgd},
    util::{family::files, math::sign},
};

/// What becomes of a gradient `g`, with the learning rate `lr`; names and formulas are PyTorch's. `p` is the parameter,
/// `t` the number of the update, from 1.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum UpdateRule {
    /// Stochastic gradient descent, the textbook's: `p - lr g`.
    Sgd,
    /// With a velocity (Polyak 1964; Sutskever et al. 2013): `v <- momentum v + (1 - dampening) g`, the first `v` is `g`;
    /// `p - lr v`, with Nesterov `p - lr (g + momentum v)`.
    Momentum {
        /// How much of the velocity the next step keeps, from 0 to 1.
        momentum: f64,
        /// How much of the gradient does not become velocity, from 0 to 1.
        dampening: f64,
        /// Whether the step looks ahead.
        nesterov: bool,
    },
    /// Adam (Kingma and Ba 2015): `m <- beta1 m + (1 - beta1) g`, `s <- beta2 s + (1 - beta2) g^2`,
    /// `p - lr m' / (sqrt(s') + epsilon)` with `m' = m / (1 - beta1^t)` and `s' = s / (1 - beta2^t)`; with AMSGrad (Reddi et
    /// al. 2018) the largest `s` so far.
    Adam {
        /// How much of the mean is kept.
        beta1: f64,
        /// How much of the mean of squares is kept.
        beta2: f64,
        /// What keeps it from dividing by 0.
        epsilon: f64,
        /// Whether the largest mean of squares counts.
        amsgrad: bool,
    },
    /// Adamax (Kingma and Ba 2015): `u <- max(beta2 u, |g| + epsilon)`, `p - lr m' / u`, `m'` as in Adam.
    Adamax {
        /// How much of the mean is kept.
        beta1: f64,
        /// How much of the largest gradient is kept.
        beta2: f64,
        /// What keeps it from dividing by 0.
        epsilon: f64,
    },
    /// NAdam (Dozat 2016): Adam with Nesterov's look ahead. With `mu(t) = beta1 (1 - 0.96^(t momentum_decay) / 2)` and
    /// `P(t)` the product of all up to `t`: `p - lr ((1 - mu(t)) g / (1 - P(t)) + mu(t + 1) m / (1 - P(t + 1))) /
    /// (sqrt(s') + epsilon)`.
    Nadam {
        /// How much of the mean is kept.
        beta1: f64,
        /// How much of the mean of squares is kept.
        beta2: f64,
        /// What keeps it from dividing by 0.
        epsilon: f64,
        /// How fast the momentum grows to `beta1`.
        momentum_decay: f64,
    },
    /// RMSprop (Tieleman and Hinton 2012): `s <- alpha s + (1 - alpha) g^2`, `p - lr g / (sqrt(s) + epsilon)`; centered,
    /// `s` less the square of the gradients' mean (Graves 2013); with a momentum the quotient goes into a velocity.
    RmsProp {
        /// How much of the mean of squares is kept.
        alpha: f64,
        /// What keeps it from dividing by 0.
        epsilon: f64,
        /// How much of the velocity is kept; 0 for none.
        momentum: f64,
        /// Whether the variance counts in place of the mean of squares.
        centered: bool,
    },
    /// Adagrad (Duchi et al. 2011): `s <- s + g^2`, which starts as `initial`, `p - lr / (1 + (t - 1) decay) g / (sqrt(s) +
    /// epsilon)`.
    Adagrad {
        /// How fast the rate falls.
        learning_rate_decay: f64,
        /// The first sum of squares.
        initial_accumulator: f64,
        /// What keeps it from dividing by 0.
        epsilon: f64,
    },
    /// Adadelta (Zeiler 2012): `s <- rho s + (1 - rho) g^2`, `d = g sqrt(u + epsilon) / sqrt(s + epsilon)`,
    /// `u <- rho u + (1 - rho) d^2`, `p - lr d`.
    Adadelta {
        /// How much of the means is kept.
        rho: f64,
        /// What keeps it from dividing by 0.
        epsilon: f64,
    },
    /// Lion (Chen et al. 2023): `p - lr sign(beta1 m + (1 - beta1) g)`, `m <- beta2 m + (1 - beta2) g`.
    Lion {
        /// How much of the mean a step takes.
        beta1: f64,
        /// How much of the mean is kept.
        beta2: f64,
    },
    /// Rprop (Riedmiller and Braun 1993), for steps over all rows: each parameter has a step of its own, `lr` at first,
    /// that grows while its gradient keeps its sign and shrinks where it turns; there the parameter waits.
    Rprop {
        /// What a step is multiplied by where the sign turns, below 1.
        eta_minus: f64,
        /// What it is multiplied by else, above 1.
        eta_plus: f64,
        /// The shortest step.
        min_step: f64,
        /// The longest.
        max_step: f64,
    },
}

impl UpdateRule {
    /// One of each, and of each kind, for tests and benches to walk: PyTorch's defaults, Lion's authors'.
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

    pub(crate) const ADAM: Self = Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, amsgrad: false };

    /// The name, as it stands in files and as its WGSL function is called.
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

    /// How many numbers it keeps for every parameter.
    pub const fn state_per_parameter(self) -> usize {
        match self {
            Self::Sgd => 0,
            Self::Momentum { .. } | Self::Adagrad { .. } | Self::Lion { .. } => 1,
            Self::Adam { amsgrad, .. } => 2 + amsgrad as usize,
            Self::Adamax { .. } | Self::Nadam { .. } | Self::Adadelta { .. } | Self::Rprop { .. } => 2,
            Self::RmsProp { momentum, centered, .. } => 1 + (momentum > 0.0) as usize + centered as usize,
        }
    }

    /// The new value of a parameter `p` with gradient `g` in update number `t`, from 1; `state` holds the parameter's
    /// [`UpdateRule::state_per_parameter`] numbers, all 0 at first.
    ///
    /// # Panics
    /// If `state` does not hold [`UpdateRule::state_per_parameter`] numbers.
    pub fn apply(self, learning_rate: f64, t: u64, p: f64, g: f64, state: &mut [f64]) -> f64 {
        let power = |beta: f64| 1.0 - beta.powf(t as f64);
        let mean = |kept: f64, old: &mut f64, new: f64| {
            *old = kept * *old + (1.0 - kept) * new;
            *old
        };
        assert_eq!(state.len(), self.state_per_parameter(), "{}: numbers of state for a parameter", self.name());
        match (self, state) {
            (Self::Sgd, _) => p - learning_rate * g,
            (Self::Momentum { momentum, dampening, nesterov }, [v]) => {
                *v = if t == 1 { g } else { momentum * *v + (1.0 - dampening) * g };
                p - learning_rate * if nesterov { g + momentum * *v } else { *v }
            }
            (Self::Adam { beta1, beta2, epsilon, .. }, [m, s, rest @ ..]) => {
                let (m, mut s) = (mean(beta1, m, g), mean(beta2, s, g * g));
                if let [largest] = rest {
                    *largest = largest.max(s);
                    s = *largest;
                }
                p - learning_rate * (m / power(beta1)) / ((s / power(beta2)).sqrt() + epsilon)
            }
            (Self::Adamax { beta1, beta2, epsilon }, [m, u]) => {
                *u = (beta2 * *u).max(g.abs() + epsilon);
                p - learning_rate * (mean(beta1, m, g) / power(beta1)) / *u
            }
            (Self::Nadam { beta1, beta2, epsilon, momentum_decay }, [m, s]) => {
                let (m, s) = (mean(beta1, m, g), mean(beta2, s, g * g));
                let mu = |t: u64| beta1 * (1.0 - 0.5 * 0.96f64.powf(t as f64 * momentum_decay));
                let product: f64 = (1..=t).map(mu).product();
                let ahead = (1.0 - mu(t)) * g / (1.0 - product) + mu(t + 1) * m / (1.0 - product * mu(t + 1));
                p - learning_rate * ahead / ((s / power(beta2)).sqrt() + epsilon)
            }
            (Self::RmsProp { alpha, epsilon, momentum, centered }, [s, rest @ ..]) => {
                let mut s = mean(alpha, s, g * g);
                let (centers, velocities) = rest.split_at_mut(usize::from(centered));
                if let [center] = centers {
                    s -= mean(alpha, center, g).powi(2);
                }
                let mut change = g / (s.sqrt() + epsilon);
                if let [v] = velocities {
                    *v = momentum * *v + change;
                    change = *v;
                }
                p - learning_rate * change
            }
            (Self::Adagrad { learning_rate_decay: decay, initial_accumulator: initial, epsilon }, [s]) => {
                *s += g * g;
                p - learning_rate / (1.0 + (t - 1) as f64 * decay) * g / ((initial + *s).sqrt() + epsilon)
            }
            (Self::Adadelta { rho, epsilon }, [s, u]) => {
                let d = g * (*u + epsilon).sqrt() / (mean(rho, s, g * g) + epsilon).sqrt();
                mean(rho, u, d * d);
                p - learning_rate * d
            }
            (Self::Lion { beta1, beta2 }, [m]) => {
                let direction = sign(beta1 * *m + (1.0 - beta1) * g);
                mean(beta2, m, g);
                p - learning_rate * direction
            }
            (Self::Rprop { eta_minus: shrink, eta_plus: grow, min_step: least, max_step: most }, [before, step]) => {
                let turn = g * *before;
                let factor = if turn > 0.0 {
                    grow
                } else if turn < 0.0 {
                    shrink
                } else {
                    1.0
                };
                *step = if t == 1 { learning_rate } else { (*step * factor).clamp(least, most) };
                *before = if turn < 0.0 { 0.0 } else { g };
                p - sign(*before) * *step
            }
            (
                Self::Momentum { .. }
                | Self::Adam { .. }
                | Self::Adamax { .. }
                | Self::Nadam { .. }
                | Self::RmsProp { .. }
                | Self::Adagrad { .. }
                | Self::Adadelta { .. }
                | Self::Lion { .. }
                | Self::Rprop { .. },
                _,
            ) => unreachable!("the length of the state was checked above"),
        }
    }

    pub(crate) fn check(self) -> Result<()> {
        // Each number, and the least and most that it may be.
        let numbers: &[(&'static str, f64, f64, f64)] = match self {
            Self::Sgd => &[],
            Self::Momentum { momentum, dampening, .. } => {
                &[("momentum", momentum, 0.0, 1.0), ("dampening", dampening, 0.0, 1.0)]
            }
            Self::Adam { beta1, beta2, epsilon, .. } | Self::Adamax { beta1, beta2, epsilon } => &[
                ("beta1", beta1, 0.0, LARGEST_BELOW_ONE),
                ("beta2", beta2, 0.0, LARGEST_BELOW_ONE),
                ("epsilon", epsilon, MIN_EPSILON, 1e9),
            ],
            Self::Nadam { beta1, beta2, epsilon, momentum_decay } => &[
                ("beta1", beta1, 0.0, LARGEST_BELOW_ONE),
                ("beta2", beta2, 0.0, LARGEST_BELOW_ONE),
                ("epsilon", epsilon, MIN_EPSILON, 1e9),
                ("momentum decay", momentum_decay, 0.0, 1e9),
            ],
            Self::RmsProp { alpha, epsilon, momentum, .. } => &[
                ("alpha", alpha, 0.0, LARGEST_BELOW_ONE),
                ("epsilon", epsilon, MIN_EPSILON, 1e9),
                ("momentum", momentum, 0.0, 1.0),
            ],
            Self::Adagrad { learning_rate_decay: decay, initial_accumulator: initial, epsilon } => &[
                ("decay", decay, 0.0, 1e9),
                ("initial sum", initial, 0.0, 1e9),
                ("epsilon", epsilon, MIN_EPSILON, 1e9),
            ],
            Self::Adadelta { rho, epsilon } => {
                &[("rho", rho, 0.0, LARGEST_BELOW_ONE), ("epsilon", epsilon, MIN_EPSILON, 1e9)]
            }
            Self::Lion { beta1, beta2 } => {
                &[("beta1", beta1, 0.0, LARGEST_BELOW_ONE), ("beta2", beta2, 0.0, LARGEST_BELOW_ONE)]
            }
            Self::Rprop { eta_minus: shrink, eta_plus: grow, min_step: least, max_step: most } => &[
                ("shrink", shrink, f64::MIN_POSITIVE, LARGEST_BELOW_ONE),
                ("grow", grow, 1.0, 1e9),
                ("shortest step", least, f64::MIN_POSITIVE, most),
                ("longest step", most, least, 1e9),
            ],
        };
        for (what, got, least, most) in numbers {
            check_within(what, *got, *least, *most)?;
        }
        Ok(())
    }

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

    /// The names of its coefficients in a step, by their indices.
    pub(crate) const fn coefficient_names(self) -> &'static [&'static str] {
        match self {
            Self::Sgd => sgd::NAMES,
            Self::Momentum { .. } => momentum::NAMES,
            Self::Adam { .. } => adam::NAMES,
            Self::Adamax { .. } => adamax::NAMES,
            Self::Nadam { .. } => nadam::NAMES,
            Self::RmsProp { .. } => rmsprop::NAMES,
            Self::Adagrad { .. } => adagrad::NAMES,
            Self::Adadelta { .. } => adadelta::NAMES,
            Self::Lion { .. } => lion::NAMES,
            Self::Rprop { .. } => rprop::NAMES,
        }
    }

    /// The kinds that its file tells apart.
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

const LARGEST_BELOW_ONE: f64 = 1.0 - f64::EPSILON / 2.0;
/// Above 0, or what never had a gradient would become 0 / 0.
const MIN_EPSILON: f64 = 1e-30;

pub(crate) fn check_within(what: &'static str, got: f64, min: f64, max: f64) -> Result<()> {
    if got >= min && got <= max && (got as f32).is_finite() {
        return Ok(());
    }
    let expected = match (min, max) {
        (_, LARGEST_BELOW_ONE) if min < SMALL_BOUND => format!("a number {}, and below 1", lower_bound_text(min)),
        _ if min > 0.0 && min < SMALL_BOUND => {
            format!("a number {}, and at most {}", lower_bound_text(min), format_short(max))
        }
        _ => format!("a number in [{}, {}]", format_short(min), format_short(max)),
    };
    Err(Error::InvalidSetting { name: what, expected, got: format_short(got) })
}

/// Bounds below this keep a number from being 0.
const SMALL_BOUND: f64 = 1e-9;

/// A lower bound in words.
fn lower_bound_text(min: f64) -> String {
    if min > 0.0 { format!("above 0 (at least {min:.1e})") } else { "of at least 0".to_owned() }
}

/// A number without rows of zeros.
fn format_short(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && size.is_finite() && !(1e-4..1e7).contains(&size) {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule must not fall back to gradient descent where it gets the state of another rule.
    #[test]
    fn a_rule_with_the_state_of_another_rule_panics() {
        for rule in UpdateRule::ALL {
            for len in (0..5).filter(|len| *len != rule.state_per_parameter()) {
                let applied = std::panic::catch_unwind(|| rule.apply(0.1, 1, 1.0, 1.0, &mut vec![0.0; len]));
                let message = *applied.unwrap_err().downcast::<String>().unwrap();
                assert!(message.contains(rule.name()) && message.contains("numbers of state"), "{message}");
            }
        }
    }

    #[test]
    fn rprop_takes_a_turn_back_and_then_steps_less() {
        let rprop = UpdateRule::Rprop { eta_minus: 0.5, eta_plus: 1.25, min_step: 1e-6, max_step: 50.0 };
        let (mut p, mut state) = (1.0, [0.0; 2]);
        // PyTorch's: where the sign turns, the step is halved and the gradient forgotten.
        for (t, g, expected) in
            [(1, 3.0, 0.75), (2, 1.0, 0.4375), (3, -1.0, 0.4375), (4, -2.0, 0.593_75), (5, -0.1, 0.789_062_5)]
        {
            p = rprop.apply(0.25, t, p, g, &mut state);
            assert_eq!(p, expected, "update {t}");
        }
    }
}
