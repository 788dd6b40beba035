//! The losses: each an arm here and a file in `shaders/loss/`.

use crate::{
    data::dataset::Targets,
    error::{Error, Result},
    nn::{activation::Activation, custom::CustomLoss, network::Network},
    util::{
        family::{files, parse},
        math::sign,
    },
};

/// How far the network's outputs `y` are from the expected ones `t`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// The default: chosen when a training begins, from the targets and the output layer.
    ///
    /// - Class ids and several outputs, identity or softmax: [`Loss::SoftmaxCrossEntropy`].
    /// - Class ids 0 and 1 and one output: [`Loss::BinaryCrossEntropy`] of a sigmoid, or
    ///   [`Loss::BinaryCrossEntropyWithLogits`] of the identity.
    /// - Class ids and another output layer, such as several sigmoids: [`Loss::Mse`], with a warning in the log.
    /// - Values, or no data set: [`Loss::Mse`].
    ///
    /// A trainer's settings and files have the loss that was chosen. Where it is used without a training, it is
    /// [`Loss::Mse`].
    Auto,
    /// Mean squared error: `(y - t)^2`, the mean over the batch and the outputs.
    Mse,
    /// Mean absolute error, L1: `|y - t|`, the mean over the batch and the outputs.
    L1,
    /// Squared near 0 and absolute further away (Huber 1964): `e^2 / 2` for an error `e` up to `delta`, and
    /// `delta (|e| - delta / 2)` beyond; the mean over the batch and the outputs.
    Huber {
        /// Where the one turns into the other: above 0. PyTorch's is 1.
        delta: f64,
    },
    /// `ln(cosh(y - t))`, the mean over the batch and the outputs.
    LogCosh,
    /// Binary cross-entropy of sigmoid outputs: `-t ln y - (1 - t) ln(1 - y)`, the mean over the batch and the outputs.
    /// The output layer has to be a sigmoid: its slope cancels, and `dLoss/dz` is `y - t`. The loss of an output that is
    /// wrong beyond what f32 can tell from 0 or 1 is 87.3, as PyTorch's is 100; its gradient is right.
    BinaryCrossEntropy,
    /// Binary cross-entropy of logits: `ln(1 + e^y) - t y`, the mean over the batch and the outputs. The output layer has
    /// to be the identity; a single output says yes above 0.
    BinaryCrossEntropyWithLogits,
    /// Softmax and cross-entropy in one, on logits: `ln(sum e^y) - y[class]`, the mean over the batch. The output layer has to
    /// be the identity. Where several classes are expected in shares `t`, it is the sum of
    /// `t (ln(sum e^y) - y)`.
    SoftmaxCrossEntropy,
    /// The same with smoothed labels (Szegedy et al. 2016): `smoothing` of the expectation is spread over all classes, so
    /// that the right one is expected with `1 - smoothing + smoothing / classes`.
    LabelSmoothedCrossEntropy {
        /// From 0 to 1.
        label_smoothing: f64,
    },
    /// Hinge: `max(0, 1 - s y)` with `s = 2 t - 1` for an expected 0 or 1, the mean over the batch and the outputs. A
    /// single output says yes above 0.
    Hinge,
    /// Poisson's negative log-likelihood of counts, where the output is the logarithm of the rate: `e^y - t y`, the mean
    /// over the batch and the outputs.
    Poisson,
    /// Relative squared error: `(y - t)^2 / (y^2 + 0.01)`, the mean over the batch and the outputs. For the gradient the
    /// denominator is a constant (Lehtinen et al. 2018, as in tiny-cuda-nn).
    RelativeL2,
    /// One of the caller's own.
    Custom(&'static CustomLoss),
}

/// What keeps [`Loss::RelativeL2`] from dividing by 0.
const RELATIVE_L2_EPSILON: f64 = 0.01;

impl Loss {
    /// One of each, for tests and benches to walk.
    pub const ALL: &[Self] = &[
        Self::Mse,
        Self::L1,
        Self::Huber { delta: 1.0 },
        Self::LogCosh,
        Self::BinaryCrossEntropy,
        Self::BinaryCrossEntropyWithLogits,
        Self::SoftmaxCrossEntropy,
        Self::LabelSmoothedCrossEntropy { label_smoothing: 0.1 },
        Self::Hinge,
        Self::Poisson,
        Self::RelativeL2,
    ];

    /// The name, as it stands in files and as its WGSL function is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Mse => "mse",
            Self::L1 => "l1",
            Self::Huber { .. } => "huber",
            Self::LogCosh => "log_cosh",
            Self::BinaryCrossEntropy => "binary_cross_entropy",
            Self::BinaryCrossEntropyWithLogits => "binary_cross_entropy_with_logits",
            Self::SoftmaxCrossEntropy => "softmax_cross_entropy",
            Self::LabelSmoothedCrossEntropy { .. } => "label_smoothed_cross_entropy",
            Self::Hinge => "hinge",
            Self::Poisson => "poisson",
            Self::RelativeL2 => "relative_l2",
            Self::Custom(custom) => custom.name(),
        }
    }

    /// The number that it has to be told, if there is one.
    pub const fn parameter(self) -> Option<f64> {
        match self {
            Self::Huber { delta } => Some(delta),
            Self::LabelSmoothedCrossEntropy { label_smoothing: smoothing } => Some(smoothing),
            Self::Auto
            | Self::Mse
            | Self::L1
            | Self::LogCosh
            | Self::BinaryCrossEntropy
            | Self::BinaryCrossEntropyWithLogits
            | Self::SoftmaxCrossEntropy
            | Self::Hinge
            | Self::Poisson
            | Self::RelativeL2
            | Self::Custom(_) => None,
        }
    }

    /// The same with another number.
    fn with_parameter(self, number: f64) -> Self {
        match self {
            Self::Huber { .. } => Self::Huber { delta: number },
            Self::LabelSmoothedCrossEntropy { .. } => Self::LabelSmoothedCrossEntropy { label_smoothing: number },
            Self::Auto
            | Self::Mse
            | Self::L1
            | Self::LogCosh
            | Self::BinaryCrossEntropy
            | Self::BinaryCrossEntropyWithLogits
            | Self::SoftmaxCrossEntropy
            | Self::Hinge
            | Self::Poisson
            | Self::RelativeL2
            | Self::Custom(_) => self,
        }
    }

    /// The activation that the output layer has to have, where the loss demands one; in place of the identity a loss that
    /// looks at the whole row takes [`Activation::Softmax`], too.
    pub const fn required_output_activation(self) -> Option<Activation> {
        match self {
            Self::BinaryCrossEntropy => Some(Activation::Sigmoid),
            Self::BinaryCrossEntropyWithLogits | Self::SoftmaxCrossEntropy | Self::LabelSmoothedCrossEntropy { .. } => {
                Some(Activation::Identity)
            }
            Self::Auto
            | Self::Mse
            | Self::L1
            | Self::Huber { .. }
            | Self::LogCosh
            | Self::Hinge
            | Self::Poisson
            | Self::RelativeL2
            | Self::Custom(_) => None,
        }
    }

    /// The loss of a training on these targets: [`Loss::Auto`] becomes one that fits them.
    pub(crate) fn resolve_auto(self, network: &Network, answers: Option<&Targets>) -> Self {
        if self != Self::Auto {
            return self;
        }
        let Some(Targets::Classes(_)) = answers else { return Self::Mse };
        let output = network.layers().last().map(|layer| layer.activation);
        let has_one_output = network.outputs() == 1;
        let chosen = if output == Some(Activation::Sigmoid) && has_one_output {
            Self::BinaryCrossEntropy
        } else if output == Some(Activation::Identity) && has_one_output {
            Self::BinaryCrossEntropyWithLogits
        } else if matches!(output, Some(Activation::Identity | Activation::Softmax)) && network.outputs() > 1 {
            Self::SoftmaxCrossEntropy
        } else {
            Self::Mse
        };
        if chosen == Self::Mse {
            let output = output.map_or("none", Activation::name);
            log::warn!(
                "loss: mean squared error, although the targets are class ids, because the output layer is {output}; an \
                 identity or softmax output layer would get the cross-entropy; Settings::loss sets a loss"
            );
        } else {
            log::info!("loss: {chosen}, because the targets are class ids; Settings::loss sets another");
        }
        chosen
    }

    /// Refuses the activation of an output layer that the loss cannot have.
    pub(crate) fn check_output(self, got: Activation) -> Result<()> {
        let is_softmax = got == Activation::Softmax;
        let is_good = match self.required_output_activation() {
            Some(demanded) => got == demanded || (self.needs_full_row() && is_softmax),
            None => !is_softmax,
        };
        if is_good {
            return Ok(());
        }
        let expected = match self.required_output_activation() {
            Some(demanded) => format!("{demanded} for {self}"),
            None => format!("no softmax for {self}"),
        };
        Err(Error::InvalidSetting { name: "activation of the output layer", expected, got: got.to_string() })
    }

    /// Whether its outputs answer yes or no, or which class it is.
    pub(crate) const fn is_classification(self) -> bool {
        self.required_output_activation().is_some() || matches!(self, Self::Hinge)
    }

    /// Where a single output turns from no to yes.
    pub const fn decision_threshold(self) -> f32 {
        if matches!(self, Self::BinaryCrossEntropyWithLogits | Self::Hinge) { 0.0 } else { 0.5 }
    }

    /// The loss of one output `y` of `outputs` against the expected `t`, before the mean. `normalizer` is `ln(sum e^y)` of
    /// the whole row, which only softmax looks at.
    #[inline(always)]
    pub fn value(self, y: f64, t: f64, normalizer: f64, outputs: usize) -> f64 {
        // The logarithm of the smallest normal f32, which is where the kernels have to stop.
        let least = f64::from(f32::MIN_POSITIVE);
        let ln = |x: f64| if x < least { least.ln() } else { x.ln() };
        let error = y - t;
        match self {
            Self::Auto | Self::Mse => error * error,
            Self::L1 => error.abs(),
            Self::Huber { delta } => {
                let e = error.abs();
                if e <= delta { 0.5 * e * e } else { delta * (e - 0.5 * delta) }
            }
            Self::LogCosh => error.abs() + (-2.0 * error.abs()).exp().ln_1p() - std::f64::consts::LN_2,
            Self::BinaryCrossEntropy => -(t * ln(y) + (1.0 - t) * ln(1.0 - y)),
            Self::BinaryCrossEntropyWithLogits => positive_part(y) - t * y + (-y.abs()).exp().ln_1p(),
            Self::SoftmaxCrossEntropy => t * (normalizer - y),
            Self::LabelSmoothedCrossEntropy { label_smoothing: smoothing } => {
                smooth_label(t, smoothing, outputs) * (normalizer - y)
            }
            Self::Hinge => positive_part(1.0 - (2.0 * t - 1.0) * y),
            Self::Poisson => y.exp() - t * y,
            Self::RelativeL2 => error * error / (y * y + RELATIVE_L2_EPSILON),
            Self::Custom(custom) => custom.apply(y, t),
        }
    }

    /// The derivative of [`Loss::value`], before the mean: by the output layer's `z` where the loss demands the activation
    /// ([`Loss::required_output_activation`]), else by `y`. Softmax looks at the sum of the whole row's expected outputs, too, which is
    /// 1 for a class.
    pub fn derivative(self, y: f64, t: f64, (normalizer, sum): (f64, f64), outputs: usize) -> f64 {
        match self {
            Self::Auto | Self::Mse => 2.0 * (y - t),
            Self::L1 => sign(y - t),
            Self::Huber { delta } => (y - t).clamp(-delta, delta),
            Self::LogCosh => (y - t).tanh(),
            Self::BinaryCrossEntropy => y - t,
            Self::BinaryCrossEntropyWithLogits => 1.0 / (1.0 + (-y).exp()) - t,
            Self::SoftmaxCrossEntropy => (y - normalizer).exp() * sum - t,
            Self::LabelSmoothedCrossEntropy { label_smoothing: smoothing } => {
                (y - normalizer).exp() * smooth_label(sum, smoothing, 1) - smooth_label(t, smoothing, outputs)
            }
            Self::Hinge => {
                let s = 2.0 * t - 1.0;
                if s * y < 1.0 { -s } else { 0.0 }
            }
            Self::Poisson => y.exp() - t,
            Self::RelativeL2 => 2.0 * (y - t) / (y * y + RELATIVE_L2_EPSILON),
            Self::Custom(custom) => custom.derivative(y, t),
        }
    }

    /// Whether it looks at the whole row of outputs, so that its delta needs a dispatch of its own.
    pub(crate) const fn needs_full_row(self) -> bool {
        matches!(self, Self::SoftmaxCrossEntropy | Self::LabelSmoothedCrossEntropy { .. })
    }

    /// Over how many numbers the mean goes, for a batch of `rows`.
    pub const fn mean_divisor(self, rows: usize, outputs: usize) -> usize {
        if self.needs_full_row() { rows } else { rows * outputs }
    }

    /// Refuses a number that makes no loss.
    pub(crate) fn check(self) -> Result<()> {
        let (is_good, expected) = match self {
            Self::Huber { delta } => (delta > 0.0 && (delta as f32).is_finite(), "a finite number above 0"),
            Self::LabelSmoothedCrossEntropy { label_smoothing: smoothing } => {
                ((0.0..=1.0).contains(&smoothing), "a number from 0 to 1")
            }
            Self::Custom(custom) => return custom.check(),
            Self::Auto
            | Self::Mse
            | Self::L1
            | Self::LogCosh
            | Self::BinaryCrossEntropy
            | Self::BinaryCrossEntropyWithLogits
            | Self::SoftmaxCrossEntropy
            | Self::Hinge
            | Self::Poisson
            | Self::RelativeL2 => (true, ""),
        };
        let wrong =
            || Error::InvalidSetting { name: "number of a loss", expected: expected.to_owned(), got: self.to_string() };
        if is_good { Ok(()) } else { Err(wrong()) }
    }

    pub(crate) const fn wgsl(self) -> &'static [&'static str] {
        match self {
            Self::Auto | Self::Mse => files!("loss/mse"),
            Self::L1 => files!("loss/l1"),
            Self::Huber { .. } => files!("loss/huber"),
            Self::LogCosh => files!("loss/log_cosh", "activation/tanh", "math/ln_1p"),
            Self::BinaryCrossEntropy => files!("loss/binary_cross_entropy"),
            Self::BinaryCrossEntropyWithLogits => {
                files!("loss/binary_cross_entropy_with_logits", "activation/sigmoid", "math/ln_1p")
            }
            Self::SoftmaxCrossEntropy => files!("loss/softmax_cross_entropy"),
            Self::LabelSmoothedCrossEntropy { .. } => {
                files!("loss/label_smoothed_cross_entropy", "loss/softmax_cross_entropy")
            }
            Self::Hinge => files!("loss/hinge"),
            Self::Poisson => files!("loss/poisson"),
            Self::RelativeL2 => files!("loss/relative_l2"),
            Self::Custom(custom) => custom.pieces(),
        }
    }
}

/// Not max(): that would turn NaN into 0.
fn positive_part(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

fn smooth_label(t: f64, smoothing: f64, outputs: usize) -> f64 {
    t * (1.0 - smoothing) + smoothing / outputs as f64
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())?;
        if let Some(number) = self.parameter() {
            write!(f, "({number})")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Loss {
    type Err = Error;

    /// The member of that name, such as `huber` or `huber(0.5)`.
    fn from_str(text: &str) -> Result<Self> {
        if text == Self::Auto.name() {
            Ok(Self::Auto)
        } else {
            parse("loss", text, Self::ALL, Self::name, Self::with_parameter)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse() {
        for loss in Loss::ALL {
            assert_eq!(loss.name().parse(), Ok(*loss));
            assert_eq!(loss.to_string().parse(), Ok(*loss));
        }
        assert_eq!("huber(0.5)".parse(), Ok(Loss::Huber { delta: 0.5 }));
        assert!("mse(1)".parse::<Loss>().is_err());
    }

    #[test]
    fn the_default_fits_the_targets() {
        let ids = Targets::Classes(vec![0, 1]);
        let values = Targets::Values(vec![0.0, 1.0]);
        let of = |outputs: usize, activation: Activation, answers: Option<&Targets>| {
            Loss::Auto.resolve_auto(&Network::new(1).dense(outputs, activation), answers)
        };
        assert_eq!(of(2, Activation::Identity, Some(&ids)), Loss::SoftmaxCrossEntropy);
        assert_eq!(of(2, Activation::Softmax, Some(&ids)), Loss::SoftmaxCrossEntropy);
        assert_eq!(of(1, Activation::Sigmoid, Some(&ids)), Loss::BinaryCrossEntropy);
        assert_eq!(of(1, Activation::Identity, Some(&ids)), Loss::BinaryCrossEntropyWithLogits);
        assert_eq!(of(2, Activation::Sigmoid, Some(&ids)), Loss::Mse);
        assert_eq!(of(2, Activation::Identity, Some(&values)), Loss::Mse);
        assert_eq!(of(2, Activation::Identity, None), Loss::Mse);
        let network = Network::new(1).dense(2, Activation::Identity);
        assert_eq!(Loss::L1.resolve_auto(&network, Some(&ids)), Loss::L1);
    }

    #[test]
    fn losses_of_classes_are_told_from_those_of_values() {
        let classifies: Vec<_> =
            Loss::ALL.iter().filter(|loss| loss.is_classification()).map(|loss| loss.name()).collect();
        let expected = [
            "binary_cross_entropy",
            "binary_cross_entropy_with_logits",
            "softmax_cross_entropy",
            "label_smoothed_cross_entropy",
            "hinge",
        ];
        assert_eq!(classifies, expected);
    }
}
