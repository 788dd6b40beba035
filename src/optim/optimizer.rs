//! The optimizers: how a gradient becomes a change of a parameter, by a rule and what surrounds it.

use crate::optim::{coefficients::UpdateCoefficients, update_rule::UpdateRule};

use crate::{
    error::Result,
    optim::{
        coefficients::{adadelta, adagrad, adam, adamax, lion, momentum, nadam, rmsprop, rprop},
        update_rule::check_within,
    },
    util::math::sign,
};

/// How a step changes the parameters by their gradients: a rule, and what surrounds it.
///
/// ```
/// use gradus::Optimizer;
/// let optimizer = Optimizer::adam(0.001).weight_decay(1e-4).clip_norm(1.0);
/// ```
///
/// In this order, as PyTorch does it: the gradient is clipped ([`Optimizer::clip_norm`], [`Optimizer::clip_value`]); the
/// penalties are added to it ([`Optimizer::weight_decay`] unless decoupled, [`Optimizer::l1`]), or a decoupled decay
/// shrinks the parameter; then comes the rule, and last the average ([`Optimizer::ema`]).
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Optimizer {
    /// What becomes of a gradient.
    pub rule: UpdateRule,
    /// The length of a step; a [`crate::optim::Schedule`] multiplies it.
    pub learning_rate: f64,
    /// L2: `g + weight_decay p` in place of `g`, or if decoupled, `p (1 - learning_rate weight_decay)` in place of `p`.
    pub weight_decay: f64,
    /// Whether the decay is taken from the parameter itself (Loshchilov and Hutter 2019).
    pub decoupled_weight_decay: bool,
    /// L1: `g + l1 sign(p)` in place of `g`.
    pub l1: f64,
    /// Whether penalties and decay reach biases, and not just weights: PyTorch's way.
    pub regularize_biases: bool,
    /// No number of a gradient is larger in size.
    pub clip_value: Option<f64>,
    /// The gradient of all parameters together is no longer than this (Pascanu et al. 2013); PyTorch's formula:
    /// `g min(1, clip_norm / (|g| + 1e-6))`.
    pub clip_norm: Option<f64>,
    /// How much of the old an exponential moving average of the parameters keeps at each step; it starts as the first
    /// parameters. [`crate::train::Trainer::ema_parameters`] gives it.
    pub ema_decay: Option<f64>,
}

impl Optimizer {
    /// The number of entries of [`Optimizer::ALL`]: each rule, and one entry with everything that surrounds a rule.
    const COUNT: usize = UpdateRule::ALL.len() + 1;

    /// One with each rule, and one with all that surrounds it, for tests and benches to walk.
    pub const ALL: &[Self] = &{
        let mut all = [Self::sgd(0.1).l1(0.01).weight_decay(0.02).clip_value(0.05).ema(0.9); Self::COUNT];
        let mut i = 0;
        while i < UpdateRule::ALL.len() {
            let rate = match UpdateRule::ALL[i] {
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
            all[i] = Self::new(UpdateRule::ALL[i], rate);
            i += 1;
        }
        all
    };

    /// A rule and nothing around it.
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

    /// Stochastic gradient descent.
    pub const fn sgd(learning_rate: f64) -> Self {
        Self::new(UpdateRule::Sgd, learning_rate)
    }

    /// Gradient descent with momentum.
    pub const fn momentum(learning_rate: f64, momentum: f64) -> Self {
        Self::new(UpdateRule::Momentum { momentum, dampening: 0.0, nesterov: false }, learning_rate)
    }

    /// Gradient descent with Nesterov's momentum.
    pub const fn nesterov(learning_rate: f64, momentum: f64) -> Self {
        Self::new(UpdateRule::Momentum { momentum, dampening: 0.0, nesterov: true }, learning_rate)
    }

    /// Adam with PyTorch's numbers; its rate is 0.001 unless given.
    pub const fn adam(learning_rate: f64) -> Self {
        Self::new(UpdateRule::ADAM, learning_rate)
    }

    /// Adam with a decoupled decay of 0.01, as PyTorch has it.
    pub const fn adamw(learning_rate: f64) -> Self {
        Self::adam(learning_rate).decoupled_weight_decay(0.01)
    }

    /// RMSprop with PyTorch's numbers.
    pub const fn rmsprop(learning_rate: f64) -> Self {
        Self::new(UpdateRule::RmsProp { alpha: 0.99, epsilon: 1e-8, momentum: 0.0, centered: false }, learning_rate)
    }

    /// Lion with its authors' numbers; they advise a third to a tenth of Adam's rate.
    pub const fn lion(learning_rate: f64) -> Self {
        Self::new(UpdateRule::Lion { beta1: 0.9, beta2: 0.99 }, learning_rate)
    }

    /// With an L2 penalty; see [`Optimizer::weight_decay`](field@Self::weight_decay).
    #[must_use]
    pub const fn weight_decay(mut self, decay: f64) -> Self {
        (self.weight_decay, self.decoupled_weight_decay) = (decay, false);
        self
    }

    /// With a decay of the parameters themselves.
    #[must_use]
    pub const fn decoupled_weight_decay(mut self, decay: f64) -> Self {
        (self.weight_decay, self.decoupled_weight_decay) = (decay, true);
        self
    }

    /// With an L1 penalty.
    #[must_use]
    pub const fn l1(mut self, l1: f64) -> Self {
        self.l1 = l1;
        self
    }

    /// With penalties and decay for weights alone.
    #[must_use]
    pub const fn spare_biases(mut self) -> Self {
        self.regularize_biases = false;
        self
    }

    /// With every number of the gradient kept within `most`.
    #[must_use]
    pub const fn clip_value(mut self, max: f64) -> Self {
        self.clip_value = Some(max);
        self
    }

    /// With the gradient's length kept within `most`.
    #[must_use]
    pub const fn clip_norm(mut self, max: f64) -> Self {
        self.clip_norm = Some(max);
        self
    }

    /// With an exponential moving average of the parameters that keeps `kept` of the old.
    #[must_use]
    pub const fn ema(mut self, decay: f64) -> Self {
        self.ema_decay = Some(decay);
        self
    }

    /// The name of its rule.
    pub const fn name(self) -> &'static str {
        self.rule.name()
    }

    /// Whether a gradient has to be whole before the first parameter changes.
    pub(crate) const fn needs_full_gradients(&self) -> bool {
        self.clip_norm.is_some()
    }

    /// Whether there is a penalty or a decay.
    pub(crate) fn has_penalties(&self) -> bool {
        self.weight_decay != 0.0 || self.l1 != 0.0
    }

    /// Whether a step's length depends on a gradient's size less than on its sign: what is rounded in a gradient near 0
    /// shows in full then.
    pub(crate) const fn is_sign_sensitive(&self) -> bool {
        !matches!(self.rule, UpdateRule::Sgd | UpdateRule::Momentum { .. })
    }

    /// Whether nothing surrounds its rule.
    pub(crate) fn is_plain_rule(&self) -> bool {
        let Self { rule, learning_rate, .. } = *self;
        Self { regularize_biases: true, ..*self } == Self::new(rule, learning_rate)
    }

    /// What of it stands in the text of a kernel: networks that train together differ in numbers alone. Whether there are
    /// penalties is not among it, since one of 0 changes nothing.
    pub(crate) fn kernel_key(&self) -> (&'static str, Vec<(&'static str, bool)>, usize, [bool; 4]) {
        let Self { clip_value, clip_norm, ema_decay: average, regularize_biases: penalizes_biases, .. } = self;
        let surrounded = [clip_value.is_some(), clip_norm.is_some(), average.is_some(), *penalizes_biases];
        (self.rule.name(), self.rule.kernel_flags().to_vec(), self.rule.state_per_parameter(), surrounded)
    }

    /// How many numbers are kept for every parameter: the rule's, and the average.
    pub(crate) fn state_per_parameter(&self) -> usize {
        self.rule.state_per_parameter() + usize::from(self.ema_decay.is_some())
    }

    /// The new value of a parameter `p` in update number `t`, from 1, whose gradient, clipped to the norm already, is `g`;
    /// `state` holds the rule's numbers and then the average. `rate` is the schedule's factor.
    pub fn apply(&self, schedule_factor: f64, t: u64, is_bias: bool, p: f64, g: f64, state: &mut [f64]) -> f64 {
        let rate = schedule_factor * self.learning_rate;
        let reach = if is_bias && !self.regularize_biases { 0.0 } else { 1.0 };
        let decay = reach * self.weight_decay;
        let (mut g, mut kept) = (self.clip_value.map_or(g, |most| g.clamp(-most, most)), p);
        if self.decoupled_weight_decay {
            kept *= 1.0 - rate * decay;
        } else {
            g += decay * p;
        }
        g += reach * self.l1 * sign(p);
        let (rule, average) = state.split_at_mut(self.rule.state_per_parameter());
        let new = self.rule.apply(rate, t, kept, g, rule);
        if let (Some(kept), [average]) = (self.ema_decay, average) {
            *average = kept * *average + (1.0 - kept) * new;
        }
        new
    }

    /// The numbers of update `t`, from 1, with the schedule's factor.
    pub(crate) fn update_coefficients(&self, t: u64, factor: f64) -> UpdateCoefficients {
        self.member_coefficients().multiply(&self.shared_coefficients(t, factor))
    }

    /// The part of the numbers that stays over the steps.
    pub(crate) fn member_coefficients(&self) -> UpdateCoefficients {
        let rate = self.learning_rate;
        let mut numbers = UpdateCoefficients {
            learning_rate: rate as f32,
            decay: if self.decoupled_weight_decay { rate * self.weight_decay } else { self.weight_decay } as f32,
            l1: self.l1 as f32,
            clip_value: self.clip_value.unwrap_or(0.0) as f32,
            clip_norm: self.clip_norm.unwrap_or(0.0) as f32,
            ..UpdateCoefficients::ONE
        };
        if let UpdateRule::Nadam { .. } = self.rule {
            numbers.coefficients[nadam::GRADIENT_RATE] = rate as f32;
        }
        numbers
    }

    /// The part that changes from update to update, the same for networks that differ in [`Optimizer::member_coefficients`] alone.
    pub(crate) fn shared_coefficients(&self, t: u64, factor: f64) -> UpdateCoefficients {
        let left = |beta: f64| 1.0 - libm::pow(beta, t as f64);
        let mut coefficients = [0.0; 6];
        let mut set = |index: usize, value: f64| coefficients[index] = value as f32;
        let learning_rate = match self.rule {
            UpdateRule::Sgd => factor,
            UpdateRule::Momentum { momentum, dampening, .. } => {
                set(momentum::MOMENTUM, momentum);
                set(momentum::GRADIENT_FACTOR, if t == 1 { 1.0 } else { 1.0 - dampening });
                factor
            }
            UpdateRule::Adam { beta1, beta2, epsilon, .. } => {
                set(adam::MEAN_STEP, 1.0 - beta1);
                set(adam::SQUARE_STEP, 1.0 - beta2);
                set(adam::EPSILON, epsilon);
                set(adam::CORRECTION, 1.0 / libm::sqrt(left(beta2)));
                factor / left(beta1)
            }
            UpdateRule::Adamax { beta1, beta2, epsilon } => {
                set(adamax::MEAN_STEP, 1.0 - beta1);
                set(adamax::BETA2, beta2);
                set(adamax::EPSILON, epsilon);
                factor / left(beta1)
            }
            UpdateRule::Nadam { beta1, beta2, epsilon, momentum_decay } => {
                let mu = |t: u64| beta1 * (1.0 - 0.5 * libm::pow(0.96, t as f64 * momentum_decay));
                // All factors are below beta1: where that is rounded away beside 1, so is the product.
                let is_gone = libm::pow(beta1, t as f64) < 1e-18;
                let product: f64 = if is_gone { 0.0 } else { (1..=t).map(mu).product() };
                set(nadam::MEAN_STEP, 1.0 - beta1);
                set(nadam::SQUARE_STEP, 1.0 - beta2);
                set(nadam::EPSILON, epsilon);
                set(nadam::CORRECTION, 1.0 / libm::sqrt(left(beta2)));
                set(nadam::GRADIENT_RATE, factor * (1.0 - mu(t)) / (1.0 - product));
                factor * mu(t + 1) / (1.0 - product * mu(t + 1))
            }
            UpdateRule::RmsProp { alpha, epsilon, momentum, .. } => {
                set(rmsprop::SQUARE_STEP, 1.0 - alpha);
                set(rmsprop::EPSILON, epsilon);
                set(rmsprop::MOMENTUM, momentum);
                factor
            }
            UpdateRule::Adagrad { learning_rate_decay: decay, initial_accumulator: initial, epsilon } => {
                set(adagrad::INITIAL, initial);
                set(adagrad::EPSILON, epsilon);
                factor / (1.0 + (t - 1) as f64 * decay)
            }
            UpdateRule::Adadelta { rho, epsilon } => {
                set(adadelta::SQUARE_STEP, 1.0 - rho);
                set(adadelta::EPSILON, epsilon);
                factor
            }
            UpdateRule::Lion { beta1, beta2 } => {
                set(lion::DIRECTION_STEP, 1.0 - beta1);
                set(lion::MEAN_STEP, 1.0 - beta2);
                factor
            }
            UpdateRule::Rprop { eta_minus: shrink, eta_plus: grow, min_step: least, max_step: most } => {
                set(rprop::SHRINK, shrink);
                set(rprop::GROW, grow);
                set(rprop::MIN_STEP, least);
                set(rprop::MAX_STEP, most);
                factor
            }
        };
        UpdateCoefficients {
            learning_rate: learning_rate as f32,
            coefficients,
            decay: if self.decoupled_weight_decay { factor as f32 } else { 1.0 },
            ema_weight: (1.0 - self.ema_decay.unwrap_or(0.0)) as f32,
            ..UpdateCoefficients::ONE
        }
    }

    /// Whether [`Optimizer::update_coefficients`] are the same for every update, as long as the factor is.
    pub(crate) fn is_constant(&self) -> bool {
        match self.rule {
            UpdateRule::Sgd
            | UpdateRule::RmsProp { .. }
            | UpdateRule::Adadelta { .. }
            | UpdateRule::Lion { .. }
            | UpdateRule::Rprop { .. } => true,
            UpdateRule::Adagrad { learning_rate_decay: decay, .. } => decay == 0.0,
            // The first velocity is the whole gradient.
            UpdateRule::Momentum { dampening, .. } => dampening == 0.0,
            UpdateRule::Adam { .. } | UpdateRule::Adamax { .. } | UpdateRule::Nadam { .. } => false,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.rule.check()?;
        check_within("learning rate", self.learning_rate, 0.0, 1e9)?;
        check_within("weight decay", self.weight_decay, 0.0, 1e9)?;
        check_within("l1", self.l1, 0.0, 1e9)?;
        for clip in [self.clip_value, self.clip_norm].into_iter().flatten() {
            check_within("clip", clip, f64::from(f32::MIN_POSITIVE), 1e9)?;
        }
        if let Some(kept) = self.ema_decay {
            check_within("average", kept, 0.0, 1.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// A rule that is added must not take the place of the entry with clipping, penalties and the moving average.
    #[test]
    fn every_rule_and_everything_around_a_rule_is_among_all() {
        let (surrounded, plain) = Optimizer::ALL.split_last().unwrap();
        let rules: Vec<UpdateRule> = plain.iter().map(|optimizer| optimizer.rule).collect();
        assert_eq!(rules, UpdateRule::ALL);
        assert!(plain.iter().all(Optimizer::is_plain_rule));
        assert!(surrounded.clip_value.is_some() && surrounded.ema_decay.is_some());
        assert!(surrounded.l1 > 0.0 && surrounded.weight_decay > 0.0);
    }

    #[test]
    fn settings_that_make_no_optimizer_are_refused() {
        for optimizer in Optimizer::ALL {
            assert_eq!(optimizer.check(), Ok(()), "{optimizer:?}");
        }
        for wrong in [
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
            assert!(matches!(wrong.check(), Err(Error::InvalidSetting { .. })), "{wrong:?}");
        }
    }

    /// The bounds that a message tells are those that are checked; 1 is a momentum for PyTorch and scikit-learn, too.
    #[test]
    fn what_is_refused_is_outside_of_the_bounds_in_its_message() {
        let refused = |optimizer: Optimizer| optimizer.check().unwrap_err().to_string();
        let cases = [
            (Optimizer::sgd(1e30), "learning rate: expected a number in [0, 1e9], got 1e30"),
            (Optimizer::sgd(-0.5), "learning rate: expected a number in [0, 1e9], got -0.5"),
            (Optimizer::sgd(f64::NAN), "learning rate: expected a number in [0, 1e9], got NaN"),
            (Optimizer::sgd(f64::INFINITY), "learning rate: expected a number in [0, 1e9], got inf"),
            (Optimizer::sgd(0.1).weight_decay(1e10), "weight decay: expected a number in [0, 1e9], got 1e10"),
            (Optimizer::sgd(0.1).l1(-1.0), "l1: expected a number in [0, 1e9], got -1"),
            (
                Optimizer::sgd(0.1).clip_norm(0.0),
                "clip: expected a number above 0 (at least 1.2e-38), and at most 1e9, got 0",
            ),
            (Optimizer::momentum(0.1, 1.5), "momentum: expected a number in [0, 1], got 1.5"),
            (
                Optimizer::new(UpdateRule::Adam { beta1: 1.0, beta2: 0.9, epsilon: 1e-8, amsgrad: false }, 0.1),
                "beta1: expected a number of at least 0, and below 1, got 1",
            ),
            (
                Optimizer::new(UpdateRule::Adam { beta1: 0.9, beta2: 0.9, epsilon: 0.0, amsgrad: false }, 0.1),
                "epsilon: expected a number above 0 (at least 1.0e-30), and at most 1e9, got 0",
            ),
        ];
        for (optimizer, message) in cases {
            assert_eq!(refused(optimizer), message);
        }
        let least = f64::from(f32::MIN_POSITIVE);
        for accepted in [
            Optimizer::sgd(1e9),
            Optimizer::sgd(0.0).weight_decay(1e9),
            Optimizer::sgd(0.1).clip_norm(least).clip_value(1e9),
            Optimizer::momentum(0.1, 1.0),
            Optimizer::nesterov(0.1, 1.0),
        ] {
            assert_eq!(accepted.check(), Ok(()), "{accepted:?}");
        }
    }

    #[test]
    fn those_that_differ_in_numbers_alone_are_of_one_kind() {
        for optimizer in Optimizer::ALL {
            let other = Optimizer { learning_rate: 0.5, weight_decay: 0.25, l1: 0.125, ..*optimizer };
            assert_eq!(other.kernel_key(), optimizer.kernel_key(), "{optimizer:?}");
        }
        let one = Optimizer::sgd(0.1);
        let (momentum, adam) = (Optimizer::momentum(0.1, 0.9), Optimizer::adam(0.1));
        let amsgrad = UpdateRule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, amsgrad: true };
        for (one, other) in [
            (one, momentum),
            (one, one.clip_value(1.0)),
            (one, one.clip_norm(1.0)),
            (one, one.ema(0.5)),
            (one, one.spare_biases()),
            (momentum, Optimizer::nesterov(0.1, 0.9)),
            (momentum, adam),
            (adam, Optimizer::new(amsgrad, 0.1)),
        ] {
            assert_ne!(one.kernel_key(), other.kernel_key(), "{one:?}, {other:?}");
        }
    }

    #[test]
    fn what_surrounds_a_rule_is_among_its_numbers() {
        let coupled = Optimizer::sgd(0.5).weight_decay(0.25).l1(0.125).clip_value(2.0).clip_norm(4.0).ema(0.75);
        let numbers = coupled.update_coefficients(1, 0.5);
        assert_eq!((numbers.learning_rate, numbers.decay, numbers.l1), (0.25, 0.25, 0.125));
        assert_eq!((numbers.clip_value, numbers.clip_norm, numbers.ema_weight), (2.0, 4.0, 0.25));
        // A decay of its own follows the rate.
        assert_eq!(coupled.decoupled_weight_decay(0.25).update_coefficients(1, 0.5).decay, 0.0625);
        let numbers = Optimizer::sgd(0.5).update_coefficients(1, 1.0);
        assert_eq!(
            [numbers.decay, numbers.l1, numbers.clip_value, numbers.clip_norm, numbers.ema_weight],
            [0.0, 0.0, 0.0, 0.0, 1.0]
        );
    }

    #[test]
    fn nadams_numbers_are_exact_however_late() {
        let optimizer = Optimizer::new(UpdateRule::ALL[6], 0.002);
        for t in [1, 2, 10, 300, 350, 400, 450, 1000] {
            let UpdateRule::Nadam { beta1, momentum_decay, .. } = optimizer.rule else { panic!("it stands elsewhere") };
            let mu = |t: u64| beta1 * (1.0 - 0.5 * 0.96f64.powf(t as f64 * momentum_decay));
            let product: f64 = (1..=t).map(mu).product();
            let fresh = (1.0 - mu(t)) / (1.0 - product);
            assert_eq!(
                optimizer.shared_coefficients(t, 1.0).coefficients[nadam::GRADIENT_RATE],
                fresh as f32,
                "update {t}"
            );
        }
    }
}
