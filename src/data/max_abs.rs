//! The largest absolute values of a data set, from which gradus guesses why a loss diverged.

use crate::data::{
    dataset::{Dataset, Targets},
    features::Features,
};

/// The largest absolute values of the features and targets of a data set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MaxAbs {
    features: f32,
    targets: f32,
}

impl MaxAbs {
    /// Unscaled data from this absolute value on are a likely cause of a diverged loss.
    const LARGE_VALUE: f32 = 100.0;

    /// Returns the likely cause of a diverged loss, and the action that may help. The first step uses the initial
    /// parameters, which do not depend on the learning rate.
    pub(crate) fn divergence_hint(self, is_first_step: bool) -> String {
        let Self { features, targets } = self;
        let prefix = if is_first_step { "the learning rate is not the cause at the first step: " } else { "" };
        if targets > Self::LARGE_VALUE && targets >= features {
            format!(
                "{prefix}the targets reach {targets:e}; scale them to about 1, for example by subtracting their mean and \
                 dividing by their standard deviation"
            )
        } else if features > Self::LARGE_VALUE {
            format!(
                "{prefix}the features reach {features:e}; scale them to about 1, for example with Scaling::Standard"
            )
        } else if is_first_step {
            format!("{prefix}check the initial parameters and the magnitude of the inputs and targets")
        } else {
            "reduce the learning rate or scale the inputs".to_owned()
        }
    }
}

impl Dataset {
    /// Returns the largest absolute values of the targets and of the features. The value of the features is 0 with a
    /// scaler, because scaled features are small, and for rows in a file, because gradus would have to read the file
    /// again.
    pub(crate) fn max_abs(&self) -> MaxAbs {
        let targets = match self.targets() {
            Targets::Values(values) => max_abs(values),
            Targets::Classes(_) => 0.0,
        };
        let features = match self.features() {
            _ if self.scaler().is_some() => 0.0,
            Features::F32(values) => max_abs(values),
            Features::U8 { scale, .. } => 255.0 * scale.abs(),
            Features::F64(_) | Features::File(_) => 0.0,
        };
        MaxAbs { features, targets }
    }
}

/// Returns the largest absolute value; 0 without values.
fn max_abs(values: &[f32]) -> f32 {
    // Non-negative floats have the order of their bits, and the compiler can vectorize the maximum of integers.
    f32::from_bits(values.iter().fold(0, |max: u32, value| max.max(value.abs().to_bits())))
}
