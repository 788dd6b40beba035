//! The optimizers: an update rule, with regularization, gradient clipping and an average of the parameters.

use crate::{
    error::Result,
    optim::{
        bounds::{check_number, check_range},
        update_rule::UpdateRule,
    },
    util::math::sign,
};

/// An optimizer: an update rule with its learning rate, regularization, gradient clipping and EMA.
///
/// ```
/// use gradus::Optimizer;
/// let optimizer = Optimizer::adam(0.001).weight_decay(1e-4).clip_norm(1.0);
/// ```
///
/// An update does these steps, in the same order as PyTorch:
///
/// 1. It clips the gradient ([`clip_norm`](Self::clip_norm), then [`clip_value`](Self::clip_value)).
/// 2. It adds the penalties to the gradient ([`weight_decay`](Self::weight_decay), [`l1`](Self::l1)). A
///    [decoupled decay](Self::decoupled_weight_decay) multiplies the parameter instead.
/// 3. It applies the update rule.
/// 4. It updates the exponential moving average of the parameters ([`ema`](Self::ema)).
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Optimizer {
    /// The update rule.
    pub rule: UpdateRule,
    /// The learning rate, in [0, 1e9]. A [`Schedule`](crate::optim::Schedule) multiplies it by a factor.
    #[doc(alias = "lr")]
    pub learning_rate: f64,
    /// The weight decay (L2 penalty), in [0, 1e9].
    ///
    /// It replaces the gradient `g` of a parameter `p` by `g + weight_decay p`. A decoupled decay replaces `p` by
    /// `p (1 - learning_rate weight_decay)`.
    #[doc(alias = "l2")]
    pub weight_decay: f64,
    /// Whether the weight decay is decoupled from the gradient (Loshchilov and Hutter 2019).
    pub decoupled_weight_decay: bool,
    /// The L1 penalty, in [0, 1e9]. It replaces the gradient `g` of a parameter `p` by `g + l1 sign(p)`.
    pub l1: f64,
    /// Whether the penalties and the decay apply to all parameters, as in PyTorch, and not to weights only.
    #[doc(alias = "bias_regularizer")]
    pub regularize_biases: bool,
    /// The maximum absolute value of a gradient, in (0, 1e9], or `None` for no clipping (`clip_grad_value_` in
    /// PyTorch).
    pub clip_value: Option<f64>,
    /// The maximum norm of the gradient of all parameters, in (0, 1e9], or `None` for no clipping (Pascanu et al. 2013;
    /// `clip_grad_norm_` in PyTorch). It replaces the gradient `g` by `g min(1, clip_norm / (|g| + 1e-6))`.
    pub clip_norm: Option<f64>,
    /// The decay of the exponential moving average (EMA) of the parameters, in [0, 1], or `None` for no average.
    ///
    /// Every update replaces the average by `ema_decay average + (1 - ema_decay) p`. It starts as the initial
    /// parameters. [`Trainer::ema_parameters`](crate::train::Trainer::ema_parameters) returns it.
    pub ema_decay: Option<f64>,
}

/// The properties of an optimizer that change the source of its kernels.
#[derive(Debug, PartialEq)]
pub(crate) struct KernelKey {
    rule: &'static str,
    rule_flags: &'static [(&'static str, bool)],
    state_per_parameter: usize,
    clips_value: bool,
    clips_norm: bool,
    has_ema: bool,
    regularizes_biases: bool,
}

impl Optimizer {
    /// The number of entries of [`Optimizer::ALL`].
    const COUNT: usize = UpdateRule::ALL.len() + 1;

    /// One optimizer per entry of [`UpdateRule::ALL`], and one with penalties, clipping and EMA, for tests and
    /// benchmarks.
    #[doc(hidden)]
    pub const ALL: &[Self] = &{
        let mut all = [Self::sgd(0.1).l1(0.01).weight_decay(0.02).clip_value(0.05).ema(0.9); Self::COUNT];
        let mut i = 0;
        while i < UpdateRule::ALL.len() {
            let learning_rate = match UpdateRule::ALL[i] {
                UpdateRule::Sgd | UpdateRule::Momentum { .. } => 0.1,
                UpdateRule::Adadelta { .. } => 1.0,
                UpdateRule::Adam { .. }
                | UpdateRule::Adamax { .. }
                | UpdateRule::Nadam { .. }
                | UpdateRule::RmsProp { .. }
                | UpdateRule::Adagrad { .. }
                | UpdateRule::Lion { .. }
                | UpdateRule::Rprop { .. } => 0.01,
            };
            all[i] = Self::new(UpdateRule::ALL[i], learning_rate);
            i += 1;
        }
        all
    };

    /// Creates an optimizer with an update rule, without regularization, clipping and EMA.
    pub const fn new(rule: UpdateRule, learning_rate: f64) -> Self {
        Self {
            rule,
            learning_rate,
            weight_decay: 0.0,
            decoupled_weight_decay: false,
            l1: 0.0,
            regularize_biases: true,
            clip_value: None,
            clip_norm: None,
            ema_decay: None,
        }
    }

    /// Creates stochastic gradient descent; see [`UpdateRule::Sgd`].
    pub const fn sgd(learning_rate: f64) -> Self {
        Self::new(UpdateRule::Sgd, learning_rate)
    }

    /// Creates gradient descent with momentum and without dampening; see [`UpdateRule::Momentum`].
    pub const fn momentum(learning_rate: f64, momentum: f64) -> Self {
        Self::new(UpdateRule::Momentum { momentum, dampening: 0.0, nesterov: false }, learning_rate)
    }

    /// Creates gradient descent with Nesterov momentum; see [`UpdateRule::Momentum`].
    pub const fn nesterov(learning_rate: f64, momentum: f64) -> Self {
        Self::new(UpdateRule::Momentum { momentum, dampening: 0.0, nesterov: true }, learning_rate)
    }

    /// Creates Adam with the defaults of PyTorch: betas 0.9 and 0.999, epsilon 1e-8. The default learning rate of
    /// PyTorch is 0.001.
    pub const fn adam(learning_rate: f64) -> Self {
        Self::new(UpdateRule::ADAM, learning_rate)
    }

    /// Creates AdamW: Adam with a decoupled weight decay of 0.01, the default of PyTorch.
    pub const fn adamw(learning_rate: f64) -> Self {
        Self::adam(learning_rate).decoupled_weight_decay(0.01)
    }

    /// Creates RMSprop with the defaults of PyTorch: alpha 0.99, epsilon 1e-8, no momentum, not centered.
    pub const fn rmsprop(learning_rate: f64) -> Self {
        Self::new(UpdateRule::RmsProp { alpha: 0.99, epsilon: 1e-8, momentum: 0.0, centered: false }, learning_rate)
    }

    /// Creates Lion with the defaults of its authors: betas 0.9 and 0.99. They recommend a learning rate of a tenth to
    /// a third of that of Adam.
    pub const fn lion(learning_rate: f64) -> Self {
        Self::new(UpdateRule::Lion { beta1: 0.9, beta2: 0.99 }, learning_rate)
    }

    /// Sets the weight decay as an L2 penalty; see [`Optimizer::weight_decay`](field@Self::weight_decay).
    #[must_use]
    pub const fn weight_decay(mut self, decay: f64) -> Self {
        (self.weight_decay, self.decoupled_weight_decay) = (decay, false);
        self
    }

    /// Sets a decoupled weight decay; see [`Optimizer::weight_decay`](field@Self::weight_decay).
    #[must_use]
    pub const fn decoupled_weight_decay(mut self, decay: f64) -> Self {
        (self.weight_decay, self.decoupled_weight_decay) = (decay, true);
        self
    }

    /// Sets the L1 penalty; see [`Optimizer::l1`](field@Self::l1).
    #[must_use]
    pub const fn l1(mut self, l1: f64) -> Self {
        self.l1 = l1;
        self
    }

    /// Sets whether the penalties and the decay also apply to biases and other per-neuron parameters. They do by default.
    #[doc(alias = "bias_regularizer")]
    #[must_use]
    pub const fn regularize_biases(mut self, regularize: bool) -> Self {
        self.regularize_biases = regularize;
        self
    }

    /// Limits the absolute value of every gradient to `max`.
    #[doc(alias = "clip_grad_value_")]
    #[must_use]
    pub const fn clip_value(mut self, max: f64) -> Self {
        self.clip_value = Some(max);
        self
    }

    /// Limits the gradient norm, over all parameters, to `max`; see [`Optimizer::clip_norm`](field@Self::clip_norm).
    #[doc(alias = "clip_grad_norm_")]
    #[must_use]
    pub const fn clip_norm(mut self, max: f64) -> Self {
        self.clip_norm = Some(max);
        self
    }

    /// Enables an exponential moving average of the parameters; see [`Optimizer::ema_decay`].
    #[doc(alias = "AveragedModel")]
    #[must_use]
    pub const fn ema(mut self, decay: f64) -> Self {
        self.ema_decay = Some(decay);
        self
    }

    /// Returns the name of the update rule.
    pub const fn name(self) -> &'static str {
        self.rule.name()
    }

    /// Returns whether an update needs the gradients of all parameters before it changes the first parameter.
    pub(crate) const fn needs_full_gradients(&self) -> bool {
        self.clip_norm.is_some()
    }

    /// Returns whether there is a penalty or a decay.
    pub(crate) fn has_penalties(&self) -> bool {
        self.weight_decay != 0.0 || self.l1 != 0.0
    }

    /// Returns whether an update depends more on the sign of a gradient than on its size. If so, the rounding error of
    /// a gradient near 0 changes the update completely.
    pub(crate) const fn is_sign_sensitive(&self) -> bool {
        !matches!(self.rule, UpdateRule::Sgd | UpdateRule::Momentum { .. })
    }

    /// Returns whether the optimizer has no penalties, no clipping and no EMA.
    pub(crate) fn is_plain_rule(&self) -> bool {
        let Self { rule, learning_rate, .. } = *self;
        Self { regularize_biases: true, ..*self } == Self::new(rule, learning_rate)
    }

    /// Returns the properties that change the source of the kernels. The members of a population must have equal keys.
    ///
    /// The key does not tell whether there are penalties, because a penalty of 0 changes nothing.
    pub(crate) fn kernel_key(&self) -> KernelKey {
        KernelKey {
            rule: self.rule.name(),
            rule_flags: self.rule.kernel_flags(),
            state_per_parameter: self.rule.state_per_parameter(),
            clips_value: self.clip_value.is_some(),
            clips_norm: self.clip_norm.is_some(),
            has_ema: self.ema_decay.is_some(),
            regularizes_biases: self.regularize_biases,
        }
    }

    /// Returns the number of stored values per parameter: the state of the rule, and the EMA.
    pub(crate) fn state_per_parameter(&self) -> usize {
        self.rule.state_per_parameter() + usize::from(self.ema_decay.is_some())
    }

    /// Returns the new value of a parameter `p` with gradient `g`, and updates its `state`, in f64.
    ///
    /// The caller has already clipped the gradient norm. `t` is the number of the update, counted from 1. `is_bias` is
    /// true for biases and other per-neuron parameters, and false for weights. `state` holds the state of the rule
    /// ([`UpdateRule::state_per_parameter`] values), and then the EMA of the parameter if
    /// [`ema_decay`](field@Self::ema_decay) is set.
    ///
    /// # Panics
    /// If `state` has fewer than [`UpdateRule::state_per_parameter`] values.
    pub fn apply(&self, schedule_factor: f64, t: u64, is_bias: bool, p: f64, g: f64, state: &mut [f64]) -> f64 {
        let learning_rate = schedule_factor * self.learning_rate;
        let penalty_mask = if is_bias && !self.regularize_biases { 0.0 } else { 1.0 };
        let decay = penalty_mask * self.weight_decay;
        let mut gradient = self.clip_value.map_or(g, |max| g.clamp(-max, max));
        let mut decayed = p;
        if self.decoupled_weight_decay {
            decayed *= 1.0 - learning_rate * decay;
        } else {
            gradient += decay * p;
        }
        gradient += penalty_mask * self.l1 * sign(p);
        let (rule_state, average) = state.split_at_mut(self.rule.state_per_parameter());
        let new = self.rule.apply(learning_rate, t, decayed, gradient, rule_state);
        if let (Some(ema_decay), [average]) = (self.ema_decay, average) {
            *average = ema_decay * *average + (1.0 - ema_decay) * new;
        }
        new
    }

    /// Returns an error if a setting is out of its range.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) with the name of the setting.
    pub(crate) fn check(&self) -> Result<()> {
        self.rule.check()?;
        check_range("learning_rate", self.learning_rate, 0.0, 1e9)?;
        check_range("weight_decay", self.weight_decay, 0.0, 1e9)?;
        check_range("l1", self.l1, 0.0, 1e9)?;
        for (name, max) in [("clip_value", self.clip_value), ("clip_norm", self.clip_norm)] {
            if let Some(max) = max {
                let is_valid = (f64::from(f32::MIN_POSITIVE)..=1e9).contains(&max);
                check_number(name, max, is_valid, "a number in [1.2e-38, 1e9], or None to disable clipping")?;
            }
        }
        if let Some(ema_decay) = self.ema_decay {
            check_range("ema_decay", ema_decay, 0.0, 1.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// A new update rule must not replace the entry with clipping, penalties and EMA.
    #[test]
    fn all_contains_every_rule_and_an_optimizer_with_every_extra() {
        let (extended, plain) = Optimizer::ALL.split_last().unwrap();
        let rules: Vec<UpdateRule> = plain.iter().map(|optimizer| optimizer.rule).collect();
        assert_eq!(rules, UpdateRule::ALL);
        assert!(plain.iter().all(Optimizer::is_plain_rule));
        assert!(extended.clip_value.is_some() && extended.ema_decay.is_some());
        assert!(extended.l1 > 0.0 && extended.weight_decay > 0.0);
    }

    #[test]
    fn invalid_settings_return_an_error() {
        for optimizer in Optimizer::ALL {
            assert_eq!(optimizer.check(), Ok(()), "{optimizer:?}");
        }
        for invalid in [
            Optimizer::sgd(-0.1),
            Optimizer::sgd(f64::NAN),
            Optimizer::sgd(1e300),
            Optimizer::momentum(0.1, 1.000_001),
            Optimizer::adam(0.1).weight_decay(-1.0),
            Optimizer::adam(0.1).clip_norm(0.0),
            Optimizer::adam(0.1).ema(1.5),
            Optimizer::new(UpdateRule::Adam { beta1: 0.9, beta2: 1.0, epsilon: 0.0, amsgrad: false }, 0.1),
            Optimizer::new(UpdateRule::Rprop { eta_minus: 1.0, eta_plus: 1.2, min_step: 1e-6, max_step: 50.0 }, 0.1),
            Optimizer::new(UpdateRule::Rprop { eta_minus: 0.5, eta_plus: 1.2, min_step: 60.0, max_step: 50.0 }, 0.1),
        ] {
            assert!(matches!(invalid.check(), Err(Error::InvalidSetting { .. })), "{invalid:?}");
        }
    }

    /// The messages state the same bounds as the checks. PyTorch and scikit-learn also accept a momentum of 1.
    #[test]
    fn messages_state_the_bounds_of_a_setting() {
        let message_of = |optimizer: Optimizer| optimizer.check().unwrap_err().to_string();
        let cases = [
            (Optimizer::sgd(1e30), "learning_rate: expected a number in [0, 1e9], got 1e30"),
            (Optimizer::sgd(-0.5), "learning_rate: expected a number in [0, 1e9], got -0.5"),
            (Optimizer::sgd(f64::NAN), "learning_rate: expected a number in [0, 1e9], got NaN"),
            (Optimizer::sgd(f64::INFINITY), "learning_rate: expected a number in [0, 1e9], got inf"),
            (Optimizer::sgd(0.1).weight_decay(1e10), "weight_decay: expected a number in [0, 1e9], got 1e10"),
            (Optimizer::sgd(0.1).l1(-1.0), "l1: expected a number in [0, 1e9], got -1"),
            (
                Optimizer::sgd(0.1).clip_norm(0.0),
                "clip_norm: expected a number in [1.2e-38, 1e9], or None to disable clipping, got 0",
            ),
            (Optimizer::momentum(0.1, 1.5), "momentum: expected a number in [0, 1], got 1.5"),
            (
                Optimizer::new(UpdateRule::Adam { beta1: 1.0, beta2: 0.9, epsilon: 1e-8, amsgrad: false }, 0.1),
                "beta1: expected a number in [0, 1), got 1",
            ),
            (
                Optimizer::new(UpdateRule::Adam { beta1: 0.9, beta2: 0.9, epsilon: 0.0, amsgrad: false }, 0.1),
                "epsilon: expected a number in [1e-30, 1e9], got 0",
            ),
        ];
        for (optimizer, message) in cases {
            assert_eq!(message_of(optimizer), message);
        }
        let min = f64::from(f32::MIN_POSITIVE);
        for accepted in [
            Optimizer::sgd(1e9),
            Optimizer::sgd(0.0).weight_decay(1e9),
            Optimizer::sgd(0.1).clip_norm(min).clip_value(1e9),
            Optimizer::momentum(0.1, 1.0),
            Optimizer::nesterov(0.1, 1.0),
        ] {
            assert_eq!(accepted.check(), Ok(()), "{accepted:?}");
        }
    }

    #[test]
    fn kernel_key_ignores_numbers_but_not_features() {
        for optimizer in Optimizer::ALL {
            let changed = Optimizer { learning_rate: 0.5, weight_decay: 0.25, l1: 0.125, ..*optimizer };
            assert_eq!(changed.kernel_key(), optimizer.kernel_key(), "{optimizer:?}");
        }
        let sgd = Optimizer::sgd(0.1);
        let (momentum, adam) = (Optimizer::momentum(0.1, 0.9), Optimizer::adam(0.1));
        let amsgrad = UpdateRule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, amsgrad: true };
        for (first, second) in [
            (sgd, momentum),
            (sgd, sgd.clip_value(1.0)),
            (sgd, sgd.clip_norm(1.0)),
            (sgd, sgd.ema(0.5)),
            (sgd, sgd.regularize_biases(false)),
            (momentum, Optimizer::nesterov(0.1, 0.9)),
            (momentum, adam),
            (adam, Optimizer::new(amsgrad, 0.1)),
        ] {
            assert_ne!(first.kernel_key(), second.kernel_key(), "{first:?}, {second:?}");
        }
    }
}
