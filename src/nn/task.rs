//! The task of a training run: classification, labels or regression. It decides which metrics exist.

use crate::{
    data::dataset::Targets,
    nn::{activation::Activation, loss::Loss, network::Network},
};

/// The task of a training run, which the targets, the loss and the output layer decide. A later variant is more
/// general.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    /// One class per row.
    ///
    /// With one output, a row is correct if the output and the target are on the same side of
    /// [`Loss::decision_threshold`]. With several outputs, a row is correct if the maximum output and the maximum
    /// target have the same index.
    Classification,
    /// Any number of labels per row, with one output per label.
    ///
    /// A row is correct if each output is on the same side of [`Loss::decision_threshold`] as its target.
    MultiLabel,
    /// Values. No row is correct or incorrect.
    Regression,
}

impl Task {
    /// Returns the task of a training run. Training and evaluation on every device use this rule:
    ///
    /// - Class ids give a classification with every loss.
    /// - With a softmax loss, values give a classification if every row has exactly one maximum. Probabilities of
    ///   several classes usually have one maximum; a row with two ones has two.
    /// - With a binary cross-entropy, hinge, or sigmoid outputs, values that are all 0 or 1 give a classification if
    ///   there is one output, or if every row has exactly one 1. Otherwise they give labels for the binary
    ///   cross-entropies and hinge, and a regression for all other losses.
    /// - Everything else gives a regression: values in (0, 1), for example probabilities, and the targets of mean
    ///   squared error, L1, Huber and similar losses without sigmoid outputs.
    ///
    /// Without a data set, the network and the loss decide, and each manual step decides for its own batch.
    pub(crate) fn from_targets(network: &Network, loss: Loss, targets: Option<&Targets>) -> Self {
        match targets {
            Some(Targets::Classes(_)) => Self::Classification,
            Some(Targets::Values(values)) => Self::from_values(network, loss, values),
            None if loss.is_classification() || has_sigmoid(network) => Self::Classification,
            None => Self::Regression,
        }
    }

    /// Returns the task for target values, `[rows, outputs]`; see [`Task::from_targets`].
    fn from_values(network: &Network, loss: Loss, values: &[f32]) -> Self {
        let outputs = network.outputs();
        let mut rows = values.chunks_exact(outputs);
        if loss.needs_full_row() && outputs > 1 {
            let has_one_maximum = |row: &[f32]| {
                let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                row.iter().filter(|value| **value == max).count() == 1
            };
            return if rows.all(has_one_maximum) { Self::Classification } else { Self::Regression };
        }
        let allows_classes = loss.is_classification() || has_sigmoid(network);
        if !allows_classes || values.iter().any(|value| *value != 0.0 && *value != 1.0) {
            return Self::Regression;
        }
        if outputs == 1 || rows.all(|row| row.iter().filter(|value| **value == 1.0).count() == 1) {
            return Self::Classification;
        }
        if loss.is_classification() { Self::MultiLabel } else { Self::Regression }
    }

    /// Returns the task of an evaluation on these targets by a network with this training task.
    ///
    /// If the training has labels, targets with exactly one label per row are labels too.
    pub(crate) fn for_evaluation(self, network: &Network, loss: Loss, targets: &Targets) -> Self {
        match targets {
            Targets::Classes(_) => Self::Classification,
            Targets::Values(values) => self.for_batch(network, loss, values),
        }
    }

    /// Returns the task of a batch of target values, `[rows, outputs]`; see [`Task::for_evaluation`].
    pub(crate) fn for_batch(self, network: &Network, loss: Loss, values: &[f32]) -> Self {
        let task = Self::from_values(network, loss, values);
        if self == Self::MultiLabel && task == Self::Classification { Self::MultiLabel } else { task }
    }

    /// Returns whether rows are correct or incorrect.
    pub(crate) fn has_accuracy(self) -> bool {
        self != Self::Regression
    }
}

/// Returns whether the output layer is a sigmoid.
fn has_sigmoid(network: &Network) -> bool {
    network.layers().last().is_some_and(|layer| layer.activation == Activation::Sigmoid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Task::{Classification, MultiLabel, Regression};

    /// Returns the task of a network with one layer.
    fn task_of(activation: Activation, outputs: usize, loss: Loss, targets: impl Into<Targets>) -> Task {
        Task::from_targets(&Network::new(2).dense(outputs, activation), loss, Some(&targets.into()))
    }

    #[test]
    fn targets_and_loss_decide_the_task() {
        let one_hot = || vec![0.0f32, 1.0, 0.0, 1.0, 0.0, 0.0];
        let labels = || vec![0.0f32, 1.0, 1.0, 0.0, 0.0, 0.0];
        let fractions = || vec![0.0f32, 0.25, 0.75, 1.0, 0.0, 0.0];
        let sigmoid = |loss| {
            let targets: [Targets; 3] = [one_hot().into(), labels().into(), fractions().into()];
            targets.map(|targets| task_of(Activation::Sigmoid, 3, loss, targets))
        };
        let identity = |loss| {
            let targets: [Targets; 3] = [one_hot().into(), labels().into(), fractions().into()];
            targets.map(|targets| task_of(Activation::Identity, 3, loss, targets))
        };
        assert_eq!(sigmoid(Loss::BinaryCrossEntropy), [Classification, MultiLabel, Regression]);
        for loss in [Loss::BinaryCrossEntropyWithLogits, Loss::Hinge] {
            assert_eq!(identity(loss), [Classification, MultiLabel, Regression], "{loss}");
        }
        for loss in [Loss::Mse, Loss::L1, Loss::Huber { delta: 1.0 }, Loss::LogCosh, Loss::Poisson, Loss::RelativeL2] {
            assert_eq!(sigmoid(loss), [Classification, Regression, Regression], "{loss}");
            assert_eq!(identity(loss), [Regression; 3], "{loss}");
            assert_eq!(task_of(Activation::Identity, 3, loss, vec![2u32, 0]), Classification, "{loss}");
        }
        for loss in [Loss::SoftmaxCrossEntropy, Loss::LabelSmoothedCrossEntropy { label_smoothing: 0.1 }] {
            assert_eq!(identity(loss), [Classification, Regression, Classification], "{loss}");
        }
    }

    #[test]
    fn binary_targets_of_a_single_output_are_a_classification() {
        for (targets, task) in [(vec![0.0f32, 1.0], Classification), (vec![0.0, 0.5], Regression)] {
            assert_eq!(task_of(Activation::Sigmoid, 1, Loss::Mse, targets.clone()), task);
            assert_eq!(task_of(Activation::Sigmoid, 1, Loss::BinaryCrossEntropy, targets.clone()), task);
            assert_eq!(task_of(Activation::Identity, 1, Loss::Hinge, targets.clone()), task);
            assert_eq!(task_of(Activation::Identity, 1, Loss::Mse, targets), Regression);
        }
    }

    #[test]
    fn one_hot_rows_stay_labels_if_the_training_has_labels() {
        let (network, loss) = (Network::new(2).dense(3, Activation::Sigmoid), Loss::BinaryCrossEntropy);
        let one_hot: Targets = vec![0.0f32, 1.0, 0.0].into();
        assert_eq!(MultiLabel.for_evaluation(&network, loss, &one_hot), MultiLabel);
        for training in [Classification, Regression] {
            assert_eq!(training.for_evaluation(&network, loss, &one_hot), Classification);
            assert_eq!(training.for_evaluation(&network, loss, &vec![0.0f32, 1.0, 1.0].into()), MultiLabel);
        }
        assert_eq!(MultiLabel.for_evaluation(&network, loss, &vec![0.5f32, 1.0, 1.0].into()), Regression);
    }
}
