//! Multilayer perceptrons in the shape that scikit-learn's users know.

pub(crate) mod classifier;
pub(crate) mod core;
pub(crate) mod regressor;
pub(crate) mod settings;

pub use classifier::{ClassWeight, ClassifierTask};
pub use regressor::{RegressorTask, TargetValues};
pub use settings::{LearningRate, MlpSettings};

#[cfg(doc)]
use crate::error::Error;
use crate::{
    error::Result,
    estimator::core::{FittedState, require_fitted},
    model::Model,
    train::{history::History, trainer::Trainer},
    util::blocking::blocking,
};

/// A multilayer perceptron that is fitted and asked, as scikit-learn's: [`MlpClassifier`] or [`MlpRegressor`].
///
/// What they have in common stands here: settings by their names in scikit-learn, with its defaults, and what a fit leaves.
/// The same settings, data and device give the same bits again; scikit-learn's own draws are others, so that results agree
/// within what seeds differ by.
///
/// Where it is not as in scikit-learn:
///
/// - `alpha` is divided by the rows of a whole batch; scikit-learn divides it by those of the batch at hand, so that the
///   last one of an epoch may shrink its weights a little more. The losses do not contain the penalty.
/// - `learning_rate` is heeded whatever the solver.
/// - A velocity does not contain the learning rate, as PyTorch has it; it matters where the rate changes.
/// - A row's weight multiplies what it counts in a mean over the number of rows; scikit-learn divides by the sum of the
///   weights in the batch, which is the same where they are 1 in the mean.
/// - The numbers of a solver stand in its [`UpdateRule`](crate::optim::UpdateRule), and there is no `lbfgs`. `random_state` is 0 unless set, so that two
///   fits are the same.
/// - There is no `warm_start`: [a partial fit](MlpClassifier::partial_fit) goes on from any fit.
pub struct Mlp<Task> {
    settings: MlpSettings,
    task: Task,
    fitted_state: Option<FittedState>,
}

/// Tells classes of labels of any type that has an order. Two classes have one sigmoid output and the binary
/// cross-entropy, more have an output each, with softmax and cross-entropy.
///
/// ```
/// use gradus::{Device, MlpClassifier};
/// let (x, y) = ([0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], ["same", "other", "other", "same"]);
/// let mut xor = MlpClassifier::new().hidden_layer_sizes([16]).learning_rate_init(0.02).max_iter(500).device(Device::cpu());
/// xor.fit(&x, &y)?;
/// assert_eq!(xor.predict(&x)?, y);
/// # Ok::<(), gradus::Error>(())
/// ```
pub type MlpClassifier<L> = Mlp<ClassifierTask<L>>;

/// Tells numbers. The loss is half the squared error, the mean over the rows and the outputs
/// ([`Loss::Huber`](crate::nn::Loss::Huber) that never turns); scikit-learn reports the same, but where there are several
/// outputs, follows the gradient of their sum.
pub type MlpRegressor = Mlp<RegressorTask>;

impl<Task> Mlp<Task> {
    /// The settings.
    pub const fn settings(&self) -> &MlpSettings {
        &self.settings
    }

    /// The trainer of the last fit, with the network and all that it can: parameters, metrics, gradients, a plan.
    pub fn trainer(&mut self) -> Option<&mut Trainer> {
        self.fitted_state.as_mut().map(|fitted| &mut fitted.trainer)
    }

    blocking! {
        /// The network of the last fit with its parameters and what scales its inputs, to save or to export. What the
        /// classes are called may go into its notes.
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] if nothing was fitted, and as [`Trainer::parameters`].
        pub fn model(&self) -> Result<Model> = self.model_async();
    }

    /// The asynchronous form of [`Mlp::model`].
    ///
    /// # Errors
    /// As [`Mlp::model`].
    pub async fn model_async(&self) -> Result<Model> {
        require_fitted(self.fitted_state.as_ref())?.trainer.model_async().await
    }

    /// The epochs of the last fit, and what validated them.
    pub fn history(&self) -> Option<&History> {
        self.fitted_state.as_ref().map(|fitted| &fitted.history)
    }

    /// The mean training loss of each epoch of the last fit, and of each partial fit since.
    pub fn loss_curve(&self) -> &[f64] {
        self.fitted_state.as_ref().map_or(&[], |fitted| &fitted.loss_curve)
    }

    /// How many epochs the last fit took, and partial fits since.
    pub fn n_iter(&self) -> usize {
        self.loss_curve().len()
    }
}

impl<Task: std::fmt::Debug> std::fmt::Debug for Mlp<Task> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { settings, task, fitted_state: fitted } = self;
        let trainer = fitted.as_ref().map(|fitted| &fitted.trainer);
        f.debug_struct("Mlp").field("settings", settings).field("task", task).field("trainer", &trainer).finish()
    }
}
