//! The settings of estimators, by their names in scikit-learn.

use crate::{
    data::scaling::Scaling,
    device::Device,
    error::{Error, Result},
    estimator::Mlp,
    nn::{activation::Activation, init::Init, network::Network},
    optim::{optimizer::Optimizer, schedule::Schedule, update_rule::UpdateRule},
};

/// How an estimator is fitted: scikit-learn's parameters, and the device.
#[derive(Debug, Clone)]
pub struct MlpSettings {
    /// The widths of the hidden layers; none for a linear model.
    pub hidden_layer_sizes: Vec<usize>,
    /// Of the hidden layers.
    pub activation: Activation,
    /// How a step changes the parameters.
    pub solver: UpdateRule,
    /// The strength of the L2 penalty on the weights, not the biases. A step's penalty is this by the rows of a batch.
    pub alpha: f64,
    /// How many rows a step looks at; the smaller of 200 and the number of rows, if not given.
    pub batch_size: Option<usize>,
    /// What becomes of the learning rate.
    pub learning_rate: LearningRate,
    /// The first learning rate.
    pub learning_rate_init: f64,
    /// How many epochs at most.
    pub max_iter: usize,
    /// Whether every epoch takes the rows in an order of its own.
    pub shuffle: bool,
    /// Decides the first parameters, the rows that validate, and the order of the others.
    pub random_state: u64,
    /// By how much the loss, or the score of the rows that validate, has to be better than the best for an epoch to count as
    /// better.
    pub tol: f64,
    /// Whether some rows are held out to validate, and the parameters after the best epoch are those that stay. The score is
    /// the accuracy, or r².
    pub early_stopping: bool,
    /// The share of the rows that validate then, between 0 and 1; of every class the same.
    pub validation_fraction: f64,
    /// How many epochs in a row may be no better.
    pub n_iter_no_change: usize,
    /// How features are scaled: by what a fit learns from the rows that it trains on; not at all if not given. Everything
    /// that is brought stays raw. scikit-learn has it in a pipeline.
    pub scaling: Option<Scaling>,
    /// Where it is fitted: [`Device::auto`] if not given.
    pub device: Option<Device>,
}

/// What becomes of the learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LearningRate {
    /// It stays.
    Constant,
    /// It is divided by `(rows seen so far + 1)^power_t` after every epoch.
    InvScaling {
        /// scikit-learn's is 0.5.
        power_t: f64,
    },
    /// It is divided by 5 whenever the fit would end for not getting better, and the fit ends where it is 1e-6 or less.
    Adaptive,
}

impl Default for MlpSettings {
    /// scikit-learn's: 100 relus, Adam with a rate of 0.001, alpha 0.0001, 200 epochs.
    fn default() -> Self {
        Self {
            hidden_layer_sizes: vec![100],
            activation: Activation::Relu,
            solver: Optimizer::adam(0.001).rule,
            alpha: 1e-4,
            batch_size: None,
            learning_rate: LearningRate::Constant,
            learning_rate_init: 0.001,
            max_iter: 200,
            shuffle: true,
            random_state: 0,
            tol: 1e-4,
            early_stopping: false,
            validation_fraction: 0.1,
            n_iter_no_change: 10,
            scaling: None,
            device: None,
        }
    }
}

/// scikit-learn's `batch_size="auto"`.
const DEFAULT_BATCH_SIZE: usize = 200;

impl MlpSettings {
    /// The network for a data set's columns and a task's outputs.
    pub(crate) fn network(&self, inputs: usize, outputs: usize, output: Activation) -> Network {
        let hidden = self.hidden_layer_sizes.iter();
        let network = hidden.fold(Network::new(inputs), |network, width| network.dense(*width, self.activation));
        // Glorot's bound but for the logistic function, whose bound is scikit-learn's own; biases have the same.
        let factor = if self.activation == Activation::Sigmoid { 2.0 } else { 6.0 };
        network.dense(outputs, output).init_with(|layer| {
            let limit = libm::sqrt(factor / (layer.inputs + layer.outputs) as f64);
            (Init::Uniform { limit }, Init::Uniform { limit })
        })
    }

    /// How many rows a batch has at most.
    pub(crate) fn max_batch_size(&self) -> usize {
        self.batch_size.unwrap_or(DEFAULT_BATCH_SIZE)
    }

    /// The optimizer for batches of so many rows.
    pub(crate) fn optimizer(&self, batch: usize) -> Optimizer {
        let decay = self.alpha / batch.max(1) as f64;
        Optimizer::new(self.solver, self.learning_rate_init).weight_decay(decay).spare_biases()
    }

    /// The schedule for epochs of so many rows.
    pub(crate) fn schedule(&self, rows: usize) -> Schedule {
        match self.learning_rate {
            LearningRate::InvScaling { power_t } => {
                Schedule::InverseScaling { scale: rows as f64, power: power_t }.per_epoch()
            }
            LearningRate::Constant | LearningRate::Adaptive => Schedule::Constant,
        }
    }

    /// Refuses what neither the network nor the trainer looks at.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |what, expected: &str, got: String| {
            Err(Error::InvalidSetting { name: what, expected: expected.into(), got })
        };
        if self.max_iter == 0 {
            return wrong("max_iter", "at least one epoch", "0".into());
        }
        if !(self.tol >= 0.0 && self.tol.is_finite()) {
            return wrong("tol", "a finite number from 0 up", self.tol.to_string());
        }
        if !(self.alpha >= 0.0 && self.alpha.is_finite()) {
            return wrong("alpha", "a finite number from 0 up", self.alpha.to_string());
        }
        Ok(())
    }
}

/// Settings, each by its name in scikit-learn; see [`MlpSettings`].
impl<Task> Mlp<Task> {
    /// All of them at once.
    #[must_use]
    pub fn with_settings(mut self, settings: MlpSettings) -> Self {
        self.settings = settings;
        self
    }

    /// The widths of the hidden layers.
    #[must_use]
    pub fn hidden_layer_sizes(mut self, widths: impl Into<Vec<usize>>) -> Self {
        self.settings.hidden_layer_sizes = widths.into();
        self
    }

    /// The activation of the hidden layers.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.settings.activation = activation;
        self
    }

    /// How a step changes the parameters.
    #[must_use]
    pub fn solver(mut self, rule: UpdateRule) -> Self {
        self.settings.solver = rule;
        self
    }

    /// Stochastic gradient descent with a momentum, which may be 0; scikit-learn's is 0.9, with Nesterov's look ahead.
    #[must_use]
    pub fn sgd(self, momentum: f64, nesterovs_momentum: bool) -> Self {
        let nesterov = nesterovs_momentum;
        self.solver(if momentum == 0.0 {
            UpdateRule::Sgd
        } else {
            UpdateRule::Momentum { momentum, dampening: 0.0, nesterov }
        })
    }

    /// The strength of the L2 penalty.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.settings.alpha = alpha;
        self
    }

    /// How many rows a step looks at.
    #[must_use]
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.settings.batch_size = Some(rows);
        self
    }

    /// What becomes of the learning rate.
    #[must_use]
    pub fn learning_rate(mut self, schedule: LearningRate) -> Self {
        self.settings.learning_rate = schedule;
        self
    }

    /// The first learning rate.
    #[must_use]
    pub fn learning_rate_init(mut self, learning_rate: f64) -> Self {
        self.settings.learning_rate_init = learning_rate;
        self
    }

    /// How many epochs at most.
    #[must_use]
    pub fn max_iter(mut self, epochs: usize) -> Self {
        self.settings.max_iter = epochs;
        self
    }

    /// Whether every epoch takes the rows in an order of its own.
    #[must_use]
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.settings.shuffle = shuffle;
        self
    }

    /// The seed.
    #[must_use]
    pub fn random_state(mut self, seed: u64) -> Self {
        self.settings.random_state = seed;
        self
    }

    /// By how much an epoch has to be better.
    #[must_use]
    pub fn tol(mut self, tol: f64) -> Self {
        self.settings.tol = tol;
        self
    }

    /// Whether rows are held out to validate.
    #[must_use]
    pub fn early_stopping(mut self, early_stopping: bool) -> Self {
        self.settings.early_stopping = early_stopping;
        self
    }

    /// The share of the rows that validate.
    #[must_use]
    pub fn validation_fraction(mut self, fraction: f64) -> Self {
        self.settings.validation_fraction = fraction;
        self
    }

    /// How many epochs in a row may be no better.
    #[must_use]
    pub fn n_iter_no_change(mut self, epochs: usize) -> Self {
        self.settings.n_iter_no_change = epochs;
        self
    }

    /// How features are scaled.
    #[must_use]
    pub fn scaling(mut self, scaling: Scaling) -> Self {
        self.settings.scaling = Some(scaling);
        self
    }

    /// Where it is fitted.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.settings.device = Some(device);
        self
    }
}
