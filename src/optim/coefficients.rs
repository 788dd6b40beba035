//! The coefficients of an update, computed on the host in f64: what the CPU engine and the kernels take from a step.

use bytemuck::{Pod, Zeroable};

/// The number of coefficients of the rule that needs most.
const COUNT: usize = 6;

/// What a row of the step table says about the update: part of `Step` in `shaders/step/layout.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
pub(crate) struct UpdateCoefficients {
    /// With what depends on the step alone, such as Adam's correction of the mean.
    pub(crate) learning_rate: f32,
    /// Those of the rule, at the indices that its module below names.
    pub(crate) coefficients: [f32; COUNT],
    pub(crate) decay: f32,
    pub(crate) l1: f32,
    pub(crate) clip_value: f32,
    pub(crate) clip_norm: f32,
    pub(crate) ema_weight: f32,
}

impl UpdateCoefficients {
    pub(crate) const ONE: Self = Self {
        learning_rate: 1.0,
        coefficients: [1.0; COUNT],
        decay: 1.0,
        l1: 1.0,
        clip_value: 1.0,
        clip_norm: 1.0,
        ema_weight: 1.0,
    };

    /// One by one, as `shaders/step/step_table.wgsl` multiplies them.
    pub(crate) fn multiply(&self, other: &Self) -> Self {
        let (ours, theirs): (&[f32; 12], &[f32; 12]) = (bytemuck::cast_ref(self), bytemuck::cast_ref(other));
        bytemuck::cast(std::array::from_fn::<f32, 12, _>(|i| ours[i] * theirs[i]))
    }
}

/// For each rule a module with the indices of its coefficients, and their names in the order of the indices. The linker
/// prints them for the rule's WGSL file as `RULE_NAME`.
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

// How much of the new a mean takes is a coefficient, and not how much of the old it keeps: 1 - beta1 is exact here, where
// 1 - 0.999 in f32 would not be.
coefficients! {
    sgd: [];
    /// `GRADIENT_FACTOR` is 1 - dampening, or 1 in the first step.
    momentum: [MOMENTUM, GRADIENT_FACTOR];
    /// `MEAN_STEP` is 1 - beta1, `SQUARE_STEP` is 1 - beta2, and `CORRECTION` is 1 / sqrt(1 - beta2^t).
    adam: [MEAN_STEP, SQUARE_STEP, EPSILON, CORRECTION];
    /// `MEAN_STEP` is 1 - beta1.
    adamax: [MEAN_STEP, BETA2, EPSILON];
    /// As Adam's. `GRADIENT_RATE` is lr (1 - mu(t)) / (1 - P(t)), a second learning rate.
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
