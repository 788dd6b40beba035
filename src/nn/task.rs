//! What a training asks of its network: classes, labels, or values.

use crate::{
    data::dataset::Targets,
    nn::{activation::Activation, loss::Loss, network::Network},
};

/// What the targets are, and so which metrics there are. The later ones are the more general.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    /// One class a row. A row is correct if a single output is on the right side of [`Loss::decision_threshold`], or if the largest of
    /// several outputs is where the largest target is.
    Classification,
    /// Any number of labels a row, each with an output of its own. A row is correct if all of its outputs are on the right side
    /// of [`Loss::decision_threshold`].
    MultiLabel,
    /// Numbers: nothing is correct or incorrect.
    Regression,
}

impl Task {
    /// The one rule that decides which rows are correct, for training and evaluation on every device:
    ///
    /// - Class ids are a classification, whatever the loss.
    /// - Under a softmax loss, targets are a classification if each row has one largest value. (Fractions of several classes
    ///   have one; two ones in a row do not.)
    /// - Under binary cross-entropy (of logits, too), hinge, and any other loss of sigmoid outputs, targets that are all 0 or 1
    ///   are a classification if there is one output, or if each row has exactly one 1. Otherwise they are labels under binary
    ///   cross-entropy and hinge, and values under the other losses.
    /// - Everything else is a regression: targets between 0 and 1 (reconstructions, probabilities), and all targets of mean
    ///   squared error, L1, Huber and the like without a sigmoid.
    ///
    /// Without targets it is what the network and the loss allow; steps with batches of the caller look at each batch.
    pub(crate) fn from_targets(network: &Network, loss: Loss, targets: Option<&Targets>) -> Self {
        match targets {
            Some(Targets::Classes(_)) => Self::Classification,
            Some(Targets::Values(values)) => Self::from_values(network, loss, values),
            None if loss.is_classification() || has_sigmoid(network) => Self::Classification,
            None => Self::Regression,
        }
    }

    /// The same of the targets of some rows, `[rows, outputs]`.
    fn from_values(network: &Network, loss: Loss, values: &[f32]) -> Self {
        let outputs = network.outputs();
        let mut rows = values.chunks_exact(outputs);
        if loss.needs_full_row() && outputs > 1 {
            let has_one_largest = |row: &[f32]| {
                let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                row.iter().filter(|value| **value == largest).count() == 1
            };
            return if rows.all(has_one_largest) { Self::Classification } else { Self::Regression };
        }
        let is_possible = loss.is_classification() || has_sigmoid(network);
        if !is_possible || values.iter().any(|value| *value != 0.0 && *value != 1.0) {
            return Self::Regression;
        }
        if outputs == 1 || rows.all(|row| row.iter().filter(|value| **value == 1.0).count() == 1) {
            return Self::Classification;
        }
        if loss.is_classification() { Self::MultiLabel } else { Self::Regression }
    }

    /// What an evaluation on these targets asks of a network of this training: some rows of labels may happen to have one label
    /// each, and are labels nevertheless.
    pub(crate) fn for_evaluation(self, network: &Network, loss: Loss, targets: &Targets) -> Self {
        match targets {
            Targets::Classes(_) => Self::Classification,
            Targets::Values(values) => self.for_batch(network, loss, values),
        }
    }

    /// The same of the targets of a batch, `[rows, outputs]`.
    pub(crate) fn for_batch(self, network: &Network, loss: Loss, values: &[f32]) -> Self {
        match (self, Self::from_values(network, loss, values)) {
            (Self::MultiLabel, Self::Classification) => Self::MultiLabel,
            (_, own) => own,
        }
    }

    /// Whether rows are correct or not.
    pub(crate) fn has_accuracy(self) -> bool {
        self != Self::Regression
    }
}

fn has_sigmoid(network: &Network) -> bool {
    network.layers().last().is_some_and(|layer| layer.activation == Activation::Sigmoid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Task::{Classification, MultiLabel, Regression};

    fn of(activation: Activation, outputs: usize, loss: Loss, targets: impl Into<Targets>) -> Task {
        Task::from_targets(&Network::new(2).dense(outputs, activation), loss, Some(&targets.into()))
    }

    #[test]
    fn the_targets_decide_between_classes_labels_and_values() {
        let one_hot = || vec![0.0f32, 1.0, 0.0, 1.0, 0.0, 0.0];
        let labels = || vec![0.0f32, 1.0, 1.0, 0.0, 0.0, 0.0];
        let between = || vec![0.0f32, 0.25, 0.75, 1.0, 0.0, 0.0];
        let sigmoid = |loss| {
            let targets: [Targets; 3] = [one_hot().into(), labels().into(), between().into()];
            targets.map(|targets| of(Activation::Sigmoid, 3, loss, targets))
        };
        let identity = |loss| {
            let targets: [Targets; 3] = [one_hot().into(), labels().into(), between().into()];
            targets.map(|targets| of(Activation::Identity, 3, loss, targets))
        };
        assert_eq!(sigmoid(Loss::BinaryCrossEntropy), [Classification, MultiLabel, Regression]);
        for loss in [Loss::BinaryCrossEntropyWithLogits, Loss::Hinge] {
            assert_eq!(identity(loss), [Classification, MultiLabel, Regression], "{loss}");
        }
        for loss in [Loss::Mse, Loss::L1, Loss::Huber { delta: 1.0 }, Loss::LogCosh, Loss::Poisson, Loss::RelativeL2] {
            assert_eq!(sigmoid(loss), [Classification, Regression, Regression], "{loss}");
            assert_eq!(identity(loss), [Regression; 3], "{loss}");
            assert_eq!(of(Activation::Identity, 3, loss, vec![2u32, 0]), Classification, "{loss}");
        }
        for loss in [Loss::SoftmaxCrossEntropy, Loss::LabelSmoothedCrossEntropy { label_smoothing: 0.1 }] {
            assert_eq!(identity(loss), [Classification, Regression, Classification], "{loss}");
        }
    }

    #[test]
    fn a_single_output_says_yes_or_no_where_targets_do() {
        for (targets, task) in [(vec![0.0f32, 1.0], Classification), (vec![0.0, 0.5], Regression)] {
            assert_eq!(of(Activation::Sigmoid, 1, Loss::Mse, targets.clone()), task);
            assert_eq!(of(Activation::Sigmoid, 1, Loss::BinaryCrossEntropy, targets.clone()), task);
            assert_eq!(of(Activation::Identity, 1, Loss::Hinge, targets.clone()), task);
            assert_eq!(of(Activation::Identity, 1, Loss::Mse, targets), Regression);
        }
    }

    #[test]
    fn a_few_rows_of_labels_stay_labels() {
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
