//! The type that classifiers and regressors share.

#[cfg(doc)]
use crate::estimator::{classifier::MlpClassifier, regressor::MlpRegressor};
use crate::{
    data::scaling::fit::Scaling,
    device::Device,
    error::{Error, Result},
    estimator::{
        core::{FittedState, require_fitted},
        settings::{LearningRate, MlpSettings},
    },
    model::Model,
    nn::activation::Activation,
    optim::update_rule::UpdateRule,
    train::{history::History, trainer::Trainer},
    util::blocking::blocking,
};

/// A multilayer perceptron with the interface of scikit-learn: a [`MlpClassifier`] or a [`MlpRegressor`].
///
/// Settings have the names and defaults of scikit-learn. The same settings, data and device give the same bits. Results
/// agree with scikit-learn only within the variance between seeds, because the random numbers differ.
///
/// Differences from scikit-learn:
///
/// - Every step divides `alpha` by the batch size. scikit-learn divides by the rows of the current batch, so the
///   smaller last batch of an epoch shrinks the weights a little more. The losses do not contain the penalty.
/// - `learning_rate` applies to every solver.
/// - The velocity of a momentum does not contain the learning rate, as in PyTorch. This differs only where the rate
///   changes.
/// - The loss of a batch is the sum of the weighted losses divided by the number of rows. scikit-learn divides by the
///   sum of the sample weights. Both are equal if the weights have a mean of 1.
/// - The parameters of a solver are the fields of its [`UpdateRule`]. There is no `lbfgs`.
/// - `random_state` is 0 by default, so two fits are equal.
/// - There is no `warm_start`: [`partial_fit`](MlpClassifier::partial_fit) continues after any fit.
#[doc(alias = "scikit-learn")]
#[doc(alias = "sklearn")]
pub struct Mlp<Task> {
    pub(crate) settings: MlpSettings,
    pub(crate) task: Task,
    pub(crate) fitted_state: Option<FittedState>,
}

impl<Task> Mlp<Task> {
    /// Returns the settings.
    #[doc(alias = "get_params")]
    pub const fn settings(&self) -> &MlpSettings {
        &self.settings
    }

    /// Returns the trainer of the last fit, which gives access to its parameters, metrics, gradients and plan.
    pub fn trainer(&mut self) -> Option<&mut Trainer> {
        self.fitted_state.as_mut().map(|fitted| &mut fitted.trainer)
    }

    blocking! {
        /// Returns the network of the last fit with its parameters and its scaler, for saving and exports.
        ///
        /// The model does not contain the classes; store their names in its metadata.
        ///
        /// # Errors
        /// - [`Error::InvalidState`] if the estimator is not fitted.
        /// - The errors of [`Trainer::parameters`].
        pub fn model(&self) -> Result<Model> = self.model_async();
    }

    /// The asynchronous form of [`Mlp::model`].
    ///
    /// # Errors
    /// As [`Mlp::model`].
    pub async fn model_async(&self) -> Result<Model> {
        require_fitted(self.fitted_state.as_ref())?.trainer.model_async().await
    }

    /// Returns the epochs of the last fit, with their validation metrics.
    pub fn history(&self) -> Option<&History> {
        self.fitted_state.as_ref().map(|fitted| &fitted.history)
    }

    /// Returns the mean training loss of each epoch of the last fit, and of each partial fit after it.
    pub fn loss_curve(&self) -> &[f64] {
        self.fitted_state.as_ref().map_or(&[], |fitted| &fitted.loss_curve)
    }

    /// Returns the number of epochs of the last fit, plus the number of partial fits after it.
    pub fn n_iter(&self) -> usize {
        self.loss_curve().len()
    }

    /// Returns an error if early stopping is set: a partial fit has no rows for a validation set.
    pub(crate) fn check_partial_fit(&self) -> Result<()> {
        if !self.settings.early_stopping {
            return Ok(());
        }
        let message = "partial_fit does not support early stopping; set early_stopping(false)".to_owned();
        Err(Error::InvalidState { message })
    }
}

/// Builder methods, one per setting, with the names of scikit-learn; see [`MlpSettings`].
impl<Task> Mlp<Task> {
    /// Replaces all settings.
    #[doc(alias = "set_params")]
    #[must_use]
    pub fn with_settings(mut self, settings: MlpSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the widths of the hidden layers.
    #[must_use]
    pub fn hidden_layer_sizes(mut self, widths: impl Into<Vec<usize>>) -> Self {
        self.settings.hidden_layer_sizes = widths.into();
        self
    }

    /// Sets the activation of the hidden layers.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.settings.activation = activation;
        self
    }

    /// Sets the update rule.
    #[doc(alias = "optimizer")]
    #[must_use]
    pub fn solver(mut self, rule: UpdateRule) -> Self {
        self.settings.solver = rule;
        self
    }

    /// Sets stochastic gradient descent as the solver. A momentum of 0 selects plain gradient descent.
    ///
    /// The defaults of scikit-learn are a momentum of 0.9 with Nesterov's momentum.
    #[must_use]
    pub fn sgd(self, momentum: f64, nesterovs_momentum: bool) -> Self {
        let nesterov = nesterovs_momentum;
        self.solver(if momentum == 0.0 {
            UpdateRule::Sgd
        } else {
            UpdateRule::Momentum { momentum, dampening: 0.0, nesterov }
        })
    }

    /// Sets the strength of the L2 penalty.
    #[doc(alias = "weight decay")]
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.settings.alpha = alpha;
        self
    }

    /// Sets the batch size.
    #[must_use]
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.settings.batch_size = Some(rows);
        self
    }

    /// Sets the schedule of the learning rate.
    #[must_use]
    pub fn learning_rate(mut self, schedule: LearningRate) -> Self {
        self.settings.learning_rate = schedule;
        self
    }

    /// Sets the initial learning rate.
    #[must_use]
    pub fn learning_rate_init(mut self, learning_rate: f64) -> Self {
        self.settings.learning_rate_init = learning_rate;
        self
    }

    /// Sets the maximum number of epochs.
    #[doc(alias = "epochs")]
    #[must_use]
    pub fn max_iter(mut self, epochs: usize) -> Self {
        self.settings.max_iter = epochs;
        self
    }

    /// Sets whether to shuffle the rows in every epoch.
    #[must_use]
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.settings.shuffle = shuffle;
        self
    }

    /// Sets the seed.
    #[doc(alias = "seed")]
    #[must_use]
    pub fn random_state(mut self, seed: u64) -> Self {
        self.settings.random_state = seed;
        self
    }

    /// Sets the minimum improvement of an epoch.
    #[must_use]
    pub fn tol(mut self, tol: f64) -> Self {
        self.settings.tol = tol;
        self
    }

    /// Sets whether a fit holds out a validation set and restores the best epoch.
    #[must_use]
    pub fn early_stopping(mut self, early_stopping: bool) -> Self {
        self.settings.early_stopping = early_stopping;
        self
    }

    /// Sets the fraction of the rows in the validation set.
    #[must_use]
    pub fn validation_fraction(mut self, fraction: f64) -> Self {
        self.settings.validation_fraction = fraction;
        self
    }

    /// Sets the number of consecutive epochs that may pass without improvement.
    #[doc(alias = "patience")]
    #[must_use]
    pub fn n_iter_no_change(mut self, epochs: usize) -> Self {
        self.settings.n_iter_no_change = epochs;
        self
    }

    /// Sets the scaling of the features.
    #[doc(alias = "StandardScaler")]
    #[doc(alias = "MinMaxScaler")]
    #[must_use]
    pub fn scaling(mut self, scaling: Scaling) -> Self {
        self.settings.scaling = Some(scaling);
        self
    }

    /// Sets the device that fits and predicts.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.settings.device = Some(device);
        self
    }
}

impl<Task: std::fmt::Debug> std::fmt::Debug for Mlp<Task> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { settings, task, fitted_state } = self;
        let trainer = fitted_state.as_ref().map(|fitted| &fitted.trainer);
        f.debug_struct("Mlp").field("settings", settings).field("task", task).field("trainer", &trainer).finish()
    }
}
