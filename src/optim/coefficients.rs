//! The coefficients of an update. The host computes them in f64; the CPU engine and the kernels use them in f32.

use bytemuck::{Pod, Zeroable};

use crate::optim::{optimizer::Optimizer, update_rule::UpdateRule};

/// The maximum number of coefficients of an update rule.
const MAX_COEFFICIENTS: usize = 6;

/// The number of values in [`UpdateCoefficients`].
const VALUES: usize = size_of::<UpdateCoefficients>() / size_of::<f32>();

/// The coefficients of one update, which are a part of a row of the step table: `Step` in `shaders/step/layout.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
pub(crate) struct UpdateCoefficients {
    /// The learning rate, with the factor of the schedule and the factors of the rule, such as Adam's bias correction.
    pub(crate) learning_rate: f32,
    /// The coefficients of the rule. The module of the rule in this file names their indices.
    pub(crate) coefficients: [f32; MAX_COEFFICIENTS],
    /// The weight decay, multiplied by the learning rate if it is decoupled.
    pub(crate) decay: f32,
    pub(crate) l1: f32,
    /// The maximum absolute value of a gradient; 0 without clipping.
    pub(crate) clip_value: f32,
    /// The maximum gradient norm; 0 without clipping.
    pub(crate) clip_norm: f32,
    /// The weight of the new parameters in the EMA, `1 - ema_decay`.
    pub(crate) ema_weight: f32,
}

impl UpdateCoefficients {
    /// All values 1, the neutral element of [`UpdateCoefficients::multiply`].
    pub(crate) const ONE: Self = Self {
        learning_rate: 1.0,
        coefficients: [1.0; MAX_COEFFICIENTS],
        decay: 1.0,
        l1: 1.0,
        clip_value: 1.0,
        clip_norm: 1.0,
        ema_weight: 1.0,
    };

    /// Multiplies the values element by element, as `shaders/step/step_table.wgsl` does.
    pub(crate) fn multiply(&self, other: &Self) -> Self {
        let (ours, theirs): (&[f32; VALUES], &[f32; VALUES]) = (bytemuck::cast_ref(self), bytemuck::cast_ref(other));
        bytemuck::cast(std::array::from_fn::<f32, VALUES, _>(|i| ours[i] * theirs[i]))
    }
}

/// Defines one module per rule, with the indices of its coefficients and the list of their names. The assembly of the
/// kernels writes the indices for the WGSL file of the rule, as constants `RULE_NAME`.
macro_rules! coefficients {
    ($($(#[$attribute:meta])* $rule:ident: [$($name:ident),*];)*) => {
        $($(#[$attribute])* pub(crate) mod $rule {
            pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),*];
            coefficients!(@ 0; $($name,)*);
        })*
    };
    (@ $index:expr;) => {};
    (@ $index:expr; $name:ident, $($rest:ident,)*) => {
        pub(crate) const $name: usize = $index;
        coefficients!(@ $index + 1; $($rest,)*);
    };
}

// The coefficient of a mean is the weight of the new value, 1 - beta, and not beta. The host computes it in f64; the
// subtraction 1 - 0.999 in f32 would not be exact.
coefficients! {
    sgd: [];
    /// `GRADIENT_FACTOR` is 1 - dampening, or 1 in the first update.
    momentum: [MOMENTUM, GRADIENT_FACTOR];
    /// `MEAN_STEP` is 1 - beta1, `SQUARE_STEP` is 1 - beta2, and `CORRECTION` is 1 / sqrt(1 - beta2^t).
    adam: [MEAN_STEP, SQUARE_STEP, EPSILON, CORRECTION];
    /// `MEAN_STEP` is 1 - beta1.
    adamax: [MEAN_STEP, BETA2, EPSILON];
    /// The first four coefficients equal those of Adam. `GRADIENT_RATE` is lr (1 - mu(t)) / (1 - P(t)), a second
    /// learning rate.
    nadam: [MEAN_STEP, SQUARE_STEP, EPSILON, CORRECTION, GRADIENT_RATE];
    /// `SQUARE_STEP` is 1 - alpha.
    rmsprop: [SQUARE_STEP, EPSILON, MOMENTUM];
    adagrad: [INITIAL, EPSILON];
    /// `SQUARE_STEP` is 1 - rho.
    adadelta: [SQUARE_STEP, EPSILON];
    /// `DIRECTION_STEP` is 1 - beta1, `MEAN_STEP` is 1 - beta2.
    lion: [DIRECTION_STEP, MEAN_STEP];
    rprop: [SHRINK, GROW, MIN_STEP, MAX_STEP];
}

impl UpdateRule {
    /// Returns the names of its coefficients, in the order of their indices.
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
}

impl Optimizer {
    /// Returns the coefficients of update `t`, counted from 1, with the factor of the schedule.
    pub(crate) fn update_coefficients(&self, t: u64, schedule_factor: f64) -> UpdateCoefficients {
        self.member_coefficients().multiply(&self.shared_coefficients(t, schedule_factor))
    }

    /// Returns the first factors of [`Optimizer::update_coefficients`], which are the same for every update. They may
    /// differ between the members of a population.
    pub(crate) fn member_coefficients(&self) -> UpdateCoefficients {
        let learning_rate = self.learning_rate;
        let decay_rate = if self.decoupled_weight_decay { learning_rate } else { 1.0 };
        let mut factors = UpdateCoefficients {
            learning_rate: learning_rate as f32,
            decay: (decay_rate * self.weight_decay) as f32,
            l1: self.l1 as f32,
            clip_value: self.clip_value.unwrap_or(0.0) as f32,
            clip_norm: self.clip_norm.unwrap_or(0.0) as f32,
            ..UpdateCoefficients::ONE
        };
        if let UpdateRule::Nadam { .. } = self.rule {
            factors.coefficients[nadam::GRADIENT_RATE] = learning_rate as f32;
        }
        factors
    }

    /// Returns the second factors of [`Optimizer::update_coefficients`], which depend on the update. They are equal for
    /// members that differ only in [`Optimizer::member_coefficients`].
    pub(crate) fn shared_coefficients(&self, t: u64, schedule_factor: f64) -> UpdateCoefficients {
        let bias_correction = |beta: f64| 1.0 - libm::pow(beta, t as f64);
        let mut coefficients = [0.0; MAX_COEFFICIENTS];
        let mut set = |index: usize, value: f64| coefficients[index] = value as f32;
        let learning_rate = match self.rule {
            UpdateRule::Sgd => schedule_factor,
            UpdateRule::Momentum { momentum, dampening, .. } => {
                set(momentum::MOMENTUM, momentum);
                set(momentum::GRADIENT_FACTOR, if t == 1 { 1.0 } else { 1.0 - dampening });
                schedule_factor
            }
            UpdateRule::Adam { beta1, beta2, epsilon, .. } => {
                set(adam::MEAN_STEP, 1.0 - beta1);
                set(adam::SQUARE_STEP, 1.0 - beta2);
                set(adam::EPSILON, epsilon);
                set(adam::CORRECTION, 1.0 / libm::sqrt(bias_correction(beta2)));
                schedule_factor / bias_correction(beta1)
            }
            UpdateRule::Adamax { beta1, beta2, epsilon } => {
                set(adamax::MEAN_STEP, 1.0 - beta1);
                set(adamax::BETA2, beta2);
                set(adamax::EPSILON, epsilon);
                schedule_factor / bias_correction(beta1)
            }
            UpdateRule::Nadam { beta1, beta2, epsilon, momentum_decay } => {
                let mu = |t: u64| beta1 * (1.0 - 0.5 * libm::pow(0.96, t as f64 * momentum_decay));
                // Every factor is less than beta1. If beta1^t is negligible beside 1, the product is too.
                let is_negligible = libm::pow(beta1, t as f64) < 1e-18;
                let product: f64 = if is_negligible { 0.0 } else { (1..=t).map(mu).product() };
                set(nadam::MEAN_STEP, 1.0 - beta1);
                set(nadam::SQUARE_STEP, 1.0 - beta2);
                set(nadam::EPSILON, epsilon);
                set(nadam::CORRECTION, 1.0 / libm::sqrt(bias_correction(beta2)));
                set(nadam::GRADIENT_RATE, schedule_factor * (1.0 - mu(t)) / (1.0 - product));
                schedule_factor * mu(t + 1) / (1.0 - product * mu(t + 1))
            }
            UpdateRule::RmsProp { alpha, epsilon, momentum, .. } => {
                set(rmsprop::SQUARE_STEP, 1.0 - alpha);
                set(rmsprop::EPSILON, epsilon);
                set(rmsprop::MOMENTUM, momentum);
                schedule_factor
            }
            UpdateRule::Adagrad { learning_rate_decay, initial_accumulator, epsilon } => {
                set(adagrad::INITIAL, initial_accumulator);
                set(adagrad::EPSILON, epsilon);
                schedule_factor / (1.0 + (t - 1) as f64 * learning_rate_decay)
            }
            UpdateRule::Adadelta { rho, epsilon } => {
                set(adadelta::SQUARE_STEP, 1.0 - rho);
                set(adadelta::EPSILON, epsilon);
                schedule_factor
            }
            UpdateRule::Lion { beta1, beta2 } => {
                set(lion::DIRECTION_STEP, 1.0 - beta1);
                set(lion::MEAN_STEP, 1.0 - beta2);
                schedule_factor
            }
            UpdateRule::Rprop { eta_minus, eta_plus, min_step, max_step } => {
                set(rprop::SHRINK, eta_minus);
                set(rprop::GROW, eta_plus);
                set(rprop::MIN_STEP, min_step);
                set(rprop::MAX_STEP, max_step);
                schedule_factor
            }
        };
        UpdateCoefficients {
            learning_rate: learning_rate as f32,
            coefficients,
            decay: if self.decoupled_weight_decay { schedule_factor as f32 } else { 1.0 },
            ema_weight: (1.0 - self.ema_decay.unwrap_or(0.0)) as f32,
            ..UpdateCoefficients::ONE
        }
    }

    /// Returns whether all updates have the same [`Optimizer::update_coefficients`], if the factor of the schedule is
    /// constant.
    pub(crate) fn is_constant(&self) -> bool {
        match self.rule {
            UpdateRule::Sgd
            | UpdateRule::RmsProp { .. }
            | UpdateRule::Adadelta { .. }
            | UpdateRule::Lion { .. }
            | UpdateRule::Rprop { .. } => true,
            UpdateRule::Adagrad { learning_rate_decay, .. } => learning_rate_decay == 0.0,
            // The first velocity is the gradient without dampening.
            UpdateRule::Momentum { dampening, .. } => dampening == 0.0,
            UpdateRule::Adam { .. } | UpdateRule::Adamax { .. } | UpdateRule::Nadam { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_contain_clipping_penalties_and_ema() {
        let coupled = Optimizer::sgd(0.5).weight_decay(0.25).l1(0.125).clip_value(2.0).clip_norm(4.0).ema(0.75);
        let coefficients = coupled.update_coefficients(1, 0.5);
        assert_eq!((coefficients.learning_rate, coefficients.decay, coefficients.l1), (0.25, 0.25, 0.125));
        assert_eq!((coefficients.clip_value, coefficients.clip_norm, coefficients.ema_weight), (2.0, 4.0, 0.25));
        // A decoupled decay is multiplied by the learning rate.
        assert_eq!(coupled.decoupled_weight_decay(0.25).update_coefficients(1, 0.5).decay, 0.0625);
        let coefficients = Optimizer::sgd(0.5).update_coefficients(1, 1.0);
        assert_eq!((coefficients.decay, coefficients.l1), (0.0, 0.0));
        assert_eq!((coefficients.clip_value, coefficients.clip_norm, coefficients.ema_weight), (0.0, 0.0, 1.0));
    }

    #[test]
    fn nadam_coefficients_are_exact_in_late_updates() {
        let (beta1, momentum_decay) = (0.9, 0.004);
        let rule = UpdateRule::Nadam { beta1, beta2: 0.999, epsilon: 1e-8, momentum_decay };
        let optimizer = Optimizer::new(rule, 0.002);
        for t in [1, 2, 10, 300, 350, 400, 450, 1000] {
            let mu = |t: u64| beta1 * (1.0 - 0.5 * 0.96f64.powf(t as f64 * momentum_decay));
            let product: f64 = (1..=t).map(mu).product();
            let expected = (1.0 - mu(t)) / (1.0 - product);
            let coefficients = optimizer.shared_coefficients(t, 1.0).coefficients;
            assert_eq!(coefficients[nadam::GRADIENT_RATE], expected as f32, "update {t}");
        }
    }
}
