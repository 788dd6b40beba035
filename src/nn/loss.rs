//! The losses. Each one is a variant of [`Loss`] with a file in `shaders/loss/`.

use crate::{
    data::dataset::Targets,
    error::{Error, Result},
    nn::{activation::Activation, custom::CustomLoss, network::Network},
    util::family::{files, parse},
};

mod formulas;

/// The loss of a training run: a function of the outputs `y` and the targets `t`, which the optimizer minimizes.
///
/// The loss of a batch is a mean over the rows and the outputs. The losses with a softmax take the mean over the rows
/// only. Names such as `nn.MSELoss` refer to PyTorch.
#[doc(alias = "criterion")]
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// The default: gradus chooses the loss by the targets and the output layer when it creates the trainer.
    ///
    /// - Class ids, several outputs, identity or softmax: [`Loss::SoftmaxCrossEntropy`].
    /// - Class ids 0 and 1, one output: [`Loss::BinaryCrossEntropy`] for a sigmoid,
    ///   [`Loss::BinaryCrossEntropyWithLogits`] for the identity.
    /// - Class ids, any other output layer, for example several sigmoids: [`Loss::Mse`], with a warning in the log.
    /// - Values, or no data set: [`Loss::Mse`].
    ///
    /// The settings of a trainer and saved files hold the chosen loss. Without a training run it acts as [`Loss::Mse`].
    Auto,
    /// The mean squared error `(y - t)^2` (`nn.MSELoss`).
    #[doc(alias = "mean squared error")]
    Mse,
    /// The mean absolute error `|y - t|` (`nn.L1Loss`).
    #[doc(alias = "mean absolute error")]
    #[doc(alias = "mae")]
    L1,
    /// The Huber loss: `e^2 / 2` for an error `e = y - t` with `|e| <= delta`, otherwise `delta (|e| - delta / 2)`
    /// (Huber 1964; `nn.HuberLoss`).
    #[doc(alias = "smooth l1")]
    Huber {
        /// The error at which the loss changes from quadratic to linear: a finite number > 0. The default of PyTorch is
        /// 1.
        delta: f64,
    },
    /// The logarithm of the hyperbolic cosine of the error, `ln(cosh(y - t))` (Keras `LogCosh`).
    LogCosh,
    /// The binary cross-entropy of sigmoid outputs, `-t ln y - (1 - t) ln(1 - y)` (`nn.BCELoss`).
    ///
    /// The output layer must be a sigmoid. Its derivative cancels, so `dLoss/dz` is `y - t`. If f32 rounds a wrong
    /// output to 0 or 1, the loss is 87.3; PyTorch returns 100. The gradient is exact.
    #[doc(alias = "bce")]
    BinaryCrossEntropy,
    /// The binary cross-entropy of logits, `ln(1 + e^y) - t y` (`nn.BCEWithLogitsLoss`).
    ///
    /// The output layer must be the identity. A single output predicts class 1 if it is greater than 0.
    BinaryCrossEntropyWithLogits,
    /// The softmax and the cross-entropy of logits, `ln(sum e^y) - y[class]`, as a mean over the rows
    /// (`nn.CrossEntropyLoss`).
    ///
    /// The output layer must be the identity or the softmax. For targets `t` that are probabilities of classes, it is
    /// the sum of `t (ln(sum e^y) - y)`.
    #[doc(alias = "CrossEntropyLoss")]
    #[doc(alias = "categorical_crossentropy")]
    SoftmaxCrossEntropy,
    /// [`Loss::SoftmaxCrossEntropy`] with smoothed labels, as a mean over the rows (Szegedy et al. 2016;
    /// `nn.CrossEntropyLoss(label_smoothing=...)`).
    ///
    /// The target of the correct class is `1 - label_smoothing + label_smoothing / classes`, and that of every other
    /// class is `label_smoothing / classes`.
    LabelSmoothedCrossEntropy {
        /// The part of the probability that is divided equally over all classes, in [0, 1].
        label_smoothing: f64,
    },
    /// The hinge loss `max(0, 1 - s y)` with `s = 2 t - 1` for a target 0 or 1 (Keras `Hinge`). A single output
    /// predicts class 1 if it is greater than 0.
    Hinge,
    /// The negative log-likelihood of a Poisson distribution, `e^y - t y`, for targets that are counts
    /// (`nn.PoissonNLLLoss`). The output is the logarithm of the rate.
    Poisson,
    /// The relative squared error `(y - t)^2 / (y^2 + 0.01)`. Its derivative treats the denominator as a constant
    /// (Lehtinen et al. 2018; `RelativeL2` in tiny-cuda-nn).
    RelativeL2,
    /// A loss that the caller defines.
    Custom(&'static CustomLoss),
}

impl Loss {
    /// One value of every variant except [`Loss::Auto`] and [`Loss::Custom`], for tests and benchmarks.
    #[doc(hidden)]
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

    /// Returns the name, for example `huber`. Files and the WGSL function use this name.
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

    /// Returns the parameter, for example `delta` of a Huber loss, or `None` for a variant without one.
    pub const fn parameter(self) -> Option<f64> {
        match self {
            Self::Huber { delta } => Some(delta),
            Self::LabelSmoothedCrossEntropy { label_smoothing } => Some(label_smoothing),
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

    /// Replaces the parameter; variants without a parameter stay unchanged.
    fn with_parameter(self, parameter: f64) -> Self {
        match self {
            Self::Huber { .. } => Self::Huber { delta: parameter },
            Self::LabelSmoothedCrossEntropy { .. } => Self::LabelSmoothedCrossEntropy { label_smoothing: parameter },
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

    /// Returns the activation that the output layer must have, or `None` if the loss allows all of them except
    /// [`Activation::Softmax`].
    ///
    /// The losses with a softmax require [`Activation::Identity`], and also allow [`Activation::Softmax`].
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

    /// Replaces [`Loss::Auto`] by the loss that fits the output layer of the network and the targets. Logs the choice.
    pub(crate) fn resolve_auto(self, network: &Network, targets: Option<&Targets>) -> Self {
        if self != Self::Auto {
            return self;
        }
        let Some(Targets::Classes(_)) = targets else { return Self::Mse };
        let output = network.layers().last().map(|layer| layer.activation);
        let has_one_output = network.outputs() == 1;
        let loss = if output == Some(Activation::Sigmoid) && has_one_output {
            Self::BinaryCrossEntropy
        } else if output == Some(Activation::Identity) && has_one_output {
            Self::BinaryCrossEntropyWithLogits
        } else if matches!(output, Some(Activation::Identity | Activation::Softmax)) && network.outputs() > 1 {
            Self::SoftmaxCrossEntropy
        } else {
            Self::Mse
        };
        if loss == Self::Mse {
            let output = output.map_or("none", Activation::name);
            log::warn!(
                "loss: chose mean squared error for class ids, because the output layer is {output}; use an identity \
                 or softmax output layer for cross-entropy, or set TrainerSettings::loss"
            );
        } else {
            log::info!("loss: chose {loss} for class ids; set TrainerSettings::loss to use another loss");
        }
        loss
    }

    /// Returns an error if the loss does not allow this activation in the output layer.
    pub(crate) fn check_output(self, activation: Activation) -> Result<()> {
        let is_softmax = activation == Activation::Softmax;
        let required = self.required_output_activation();
        let is_allowed = match required {
            Some(required) => activation == required || (self.needs_full_row() && is_softmax),
            None => !is_softmax,
        };
        if is_allowed {
            return Ok(());
        }
        let expected = match required {
            Some(required) => format!("{required} for {self}"),
            None => format!("any activation except softmax for {self}"),
        };
        Err(Error::InvalidSetting { name: "activation of the output layer", expected, got: activation.to_string() })
    }

    /// Returns whether the loss is for classes or labels, and not for values.
    pub(crate) const fn is_classification(self) -> bool {
        self.required_output_activation().is_some() || matches!(self, Self::Hinge)
    }

    /// Returns the decision threshold of a single output: 0 for logits and hinge, otherwise 0.5. A larger output
    /// predicts class 1.
    pub const fn decision_threshold(self) -> f32 {
        if matches!(self, Self::BinaryCrossEntropyWithLogits | Self::Hinge) { 0.0 } else { 0.5 }
    }

    /// Returns whether the loss of one output depends on the full row of outputs, so that its delta needs one more
    /// dispatch.
    pub(crate) const fn needs_full_row(self) -> bool {
        matches!(self, Self::SoftmaxCrossEntropy | Self::LabelSmoothedCrossEntropy { .. })
    }

    /// Returns the divisor of the mean over a batch of `rows` rows: `rows` for losses with a softmax, otherwise
    /// `rows * outputs`.
    #[doc(alias = "reduction")]
    pub const fn mean_divisor(self, rows: usize, outputs: usize) -> usize {
        if self.needs_full_row() { rows } else { rows * outputs }
    }

    /// Returns an error if the parameter or the custom function is invalid.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Huber { delta } if delta > 0.0 && (delta as f32).is_finite() => Ok(()),
            Self::Huber { delta } => Err(Error::InvalidSetting {
                name: "huber: delta",
                expected: "a finite number > 0".to_owned(),
                got: delta.to_string(),
            }),
            Self::LabelSmoothedCrossEntropy { label_smoothing } if (0.0..=1.0).contains(&label_smoothing) => Ok(()),
            Self::LabelSmoothedCrossEntropy { label_smoothing } => Err(Error::InvalidSetting {
                name: "smoothed_cross_entropy: label_smoothing",
                expected: "a number in [0, 1]".to_owned(),
                got: label_smoothing.to_string(),
            }),
            Self::Custom(custom) => custom.check(),
            Self::Auto
            | Self::Mse
            | Self::L1
            | Self::LogCosh
            | Self::BinaryCrossEntropy
            | Self::BinaryCrossEntropyWithLogits
            | Self::SoftmaxCrossEntropy
            | Self::Hinge
            | Self::Poisson
            | Self::RelativeL2 => Ok(()),
        }
    }

    /// Returns the WGSL source of the loss and its derivative, with the functions that they call.
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

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())?;
        if let Some(parameter) = self.parameter() {
            write!(f, "({parameter})")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Loss {
    type Err = Error;

    /// Parses a name with or without a parameter, for example `huber` or `huber(0.5)`. Without a parameter it uses 1
    /// for `huber` and 0.1 for `label_smoothed_cross_entropy`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the name is unknown, or if the parameter is not a number or not allowed.
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
    fn names_and_displayed_texts_parse_back() {
        for loss in Loss::ALL {
            assert_eq!(loss.name().parse(), Ok(*loss));
            assert_eq!(loss.to_string().parse(), Ok(*loss));
        }
        assert_eq!("huber(0.5)".parse(), Ok(Loss::Huber { delta: 0.5 }));
        assert!("mse(1)".parse::<Loss>().is_err());
    }

    #[test]
    fn auto_resolves_to_a_loss_for_the_targets_and_the_output_layer() {
        let class_ids = Targets::Classes(vec![0, 1]);
        let values = Targets::Values(vec![0.0, 1.0]);
        let resolve = |outputs: usize, activation: Activation, targets: Option<&Targets>| {
            Loss::Auto.resolve_auto(&Network::new(1).dense(outputs, activation), targets)
        };
        assert_eq!(resolve(2, Activation::Identity, Some(&class_ids)), Loss::SoftmaxCrossEntropy);
        assert_eq!(resolve(2, Activation::Softmax, Some(&class_ids)), Loss::SoftmaxCrossEntropy);
        assert_eq!(resolve(1, Activation::Sigmoid, Some(&class_ids)), Loss::BinaryCrossEntropy);
        assert_eq!(resolve(1, Activation::Identity, Some(&class_ids)), Loss::BinaryCrossEntropyWithLogits);
        assert_eq!(resolve(2, Activation::Sigmoid, Some(&class_ids)), Loss::Mse);
        assert_eq!(resolve(2, Activation::Identity, Some(&values)), Loss::Mse);
        assert_eq!(resolve(2, Activation::Identity, None), Loss::Mse);
        let network = Network::new(1).dense(2, Activation::Identity);
        assert_eq!(Loss::L1.resolve_auto(&network, Some(&class_ids)), Loss::L1);
    }

    #[test]
    fn classification_losses_are_the_cross_entropies_and_hinge() {
        let names: Vec<_> = Loss::ALL.iter().filter(|loss| loss.is_classification()).map(|loss| loss.name()).collect();
        let expected = [
            "binary_cross_entropy",
            "binary_cross_entropy_with_logits",
            "softmax_cross_entropy",
            "label_smoothed_cross_entropy",
            "hinge",
        ];
        assert_eq!(names, expected);
    }
}
