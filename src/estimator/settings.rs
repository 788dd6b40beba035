//! The settings of estimators, with their names in scikit-learn.

use crate::{
    data::scaling::fit::Scaling,
    device::Device,
    error::{Error, Result},
    nn::{activation::Activation, init::Init, network::Network},
    optim::{optimizer::Optimizer, schedule::Schedule, update_rule::UpdateRule},
};

/// The settings of an estimator: the parameters of scikit-learn, the scaling and the device.
#[derive(Debug, Clone)]
pub struct MlpSettings {
    /// The widths of the hidden layers. An empty list gives a linear model.
    pub hidden_layer_sizes: Vec<usize>,
    /// The activation of the hidden layers.
    pub activation: Activation,
    /// The update rule.
    #[doc(alias = "optimizer")]
    pub solver: UpdateRule,
    /// The strength of the L2 penalty on the weights. Every step divides it by the batch size. Biases have no penalty.
    #[doc(alias = "weight decay")]
    pub alpha: f64,
    /// The batch size: rows per training step. The default is 200, or the number of rows if that is smaller.
    pub batch_size: Option<usize>,
    /// The schedule of the learning rate.
    pub learning_rate: LearningRate,
    /// The initial learning rate.
    pub learning_rate_init: f64,
    /// The maximum number of epochs.
    #[doc(alias = "epochs")]
    pub max_iter: usize,
    /// Whether to shuffle the rows in every epoch.
    pub shuffle: bool,
    /// The seed for the initial parameters, the validation set and the order of the rows.
    #[doc(alias = "seed")]
    pub random_state: u64,
    /// The minimum improvement of an epoch: by how much its loss, or its validation score, must be better than the
    /// best.
    pub tol: f64,
    /// Whether a fit holds out a validation set and restores the parameters after the best epoch.
    ///
    /// The validation score is the accuracy of a classifier, and r² of a regressor.
    pub early_stopping: bool,
    /// The fraction of the rows in the validation set of early stopping, in `(0, 1)`. A classifier holds out the same
    /// fraction of every class.
    pub validation_fraction: f64,
    /// The number of consecutive epochs that may pass without improvement.
    #[doc(alias = "patience")]
    pub n_iter_no_change: usize,
    /// The scaling of the features, which a fit learns from its training rows. The default is no scaling.
    ///
    /// Callers always pass raw features. scikit-learn scales in a pipeline instead.
    #[doc(alias = "StandardScaler")]
    #[doc(alias = "MinMaxScaler")]
    pub scaling: Option<Scaling>,
    /// The device that fits and predicts. The default is [`Device::auto`].
    pub device: Option<Device>,
}

/// The schedule of an estimator's learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LearningRate {
    /// A constant learning rate.
    Constant,
    /// A learning rate that is divided by `(rows trained so far + 1)^power_t` after every epoch.
    InvScaling {
        /// The exponent. The default of scikit-learn is 0.5.
        power_t: f64,
    },
    /// A learning rate that is divided by 5 whenever the fit would stop for lack of improvement. The fit stops when the
    /// rate is 1e-6 or less.
    Adaptive,
}

impl Default for MlpSettings {
    /// Returns the defaults of scikit-learn: 100 hidden ReLU neurons, Adam with a learning rate of 0.001, an alpha of
    /// 0.0001 and 200 epochs.
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

/// The batch size of scikit-learn's `batch_size="auto"`.
const DEFAULT_BATCH_SIZE: usize = 200;

impl MlpSettings {
    /// Returns the network for the inputs of a data set and the outputs of a task.
    pub(crate) fn network(&self, inputs: usize, outputs: usize, output_activation: Activation) -> Network {
        let mut network = Network::new(inputs);
        for width in &self.hidden_layer_sizes {
            network = network.dense(*width, self.activation);
        }
        // scikit-learn uses the bound of Glorot, except for the logistic function, and initializes biases like weights.
        let factor = if self.activation == Activation::Sigmoid { 2.0 } else { 6.0 };
        network.dense(outputs, output_activation).init_with(|layer| {
            let limit = libm::sqrt(factor / (layer.inputs + layer.outputs) as f64);
            (Init::Uniform { limit }, Init::Uniform { limit })
        })
    }

    /// Returns the batch size for data sets with at least that many rows.
    pub(crate) fn max_batch_size(&self) -> usize {
        self.batch_size.unwrap_or(DEFAULT_BATCH_SIZE)
    }

    /// Returns the optimizer for a batch size.
    pub(crate) fn optimizer(&self, batch_size: usize) -> Optimizer {
        let decay = self.alpha / batch_size.max(1) as f64;
        Optimizer::new(self.solver, self.learning_rate_init).weight_decay(decay).regularize_biases(false)
    }

    /// Returns the schedule for epochs of `rows` rows.
    pub(crate) fn schedule(&self, rows: usize) -> Schedule {
        match self.learning_rate {
            LearningRate::InvScaling { power_t } => {
                Schedule::InverseScaling { scale: rows as f64, power: power_t }.per_epoch()
            }
            LearningRate::Constant | LearningRate::Adaptive => Schedule::Constant,
        }
    }

    /// Returns an error for an invalid setting that neither the network nor the trainer checks.
    pub(crate) fn check(&self) -> Result<()> {
        if self.max_iter == 0 {
            return Err(Error::InvalidSetting { name: "max_iter", expected: "at least 1".into(), got: "0".into() });
        }
        for (name, value) in [("tol", self.tol), ("alpha", self.alpha)] {
            if !(value >= 0.0 && value.is_finite()) {
                let expected = "a finite number >= 0".to_owned();
                return Err(Error::InvalidSetting { name, expected, got: value.to_string() });
            }
        }
        Ok(())
    }
}
