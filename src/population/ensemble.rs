//! Ensembles: networks of one shape that predict together.

#[cfg(doc)]
use crate::model::predictor::Predictor;
use crate::{
    data::{
        features::ByteScale,
        scaling::scaler::{Scaler, transform_inputs},
    },
    device::Device,
    engine::ensemble::EnsembleBackend,
    error::{Error, Result},
    metrics::classification::argmax,
    model::Model,
    nn::{activation::Activation, loss::Loss, network::Network, normalization::Normalization},
    util::blocking::blocking,
};

/// Networks of one shape whose predictions are combined on the device: their mean, their standard deviation and their
/// votes. The device returns three numbers per row and output, however many networks there are.
///
/// Train the networks from different seeds, each on a bootstrap sample of the rows. They agree where the training data
/// is dense and differ where it is sparse, so their standard deviation measures the uncertainty of the model
/// (Lakshminarayanan, Pritzel and Blundell 2017). It does not measure the noise of the targets.
///
/// ```
/// use gradus::{Activation, Dataset, Device, Member, Network, Optimizer, Population, TrainerSettings};
/// let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid);
/// let data = Dataset::new(4, &[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], &[0.0, 1.0, 1.0, 0.0])?;
/// let settings = TrainerSettings { batch_size: 4, optimizer: Optimizer::sgd(1.0), ..TrainerSettings::default() };
/// let members: Vec<_> =
///     (0..10).map(|seed| Member::new(TrainerSettings { seed, ..settings.clone() })).collect();
/// let device = Device::cpu();
/// let mut population = Population::new(&device, &network, &data, &members)?;
/// population.run(2000)?;
/// let mut ensemble = population.ensemble(&device, population.active_members())?;
/// let prediction = ensemble.predict(&[0.0, 1.0, 1.0, 1.0])?;
/// let votes = prediction.votes.expect("sigmoid outputs are classes");
/// assert_eq!(votes.majority, [1, 0]);
/// println!("{:.2} ± {:.2}, {:.0}% vote for 1", prediction.mean[0], prediction.std[0], 100.0 * votes.fractions[1]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "deep ensemble")]
#[doc(alias = "VotingClassifier")]
pub struct Ensemble {
    network: Network,
    scaler: Option<Scaler>,
    byte_scale: ByteScale,
    member_count: usize,
    /// The value above which a single output votes for class 1; `None` if the networks do not vote.
    vote_threshold: Option<f32>,
    backend: EnsembleBackend,
}

/// The combined prediction of an [`Ensemble`] for every row.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EnsemblePrediction {
    /// The mean over the networks, of shape `[rows, outputs]`.
    pub mean: Vec<f32>,
    /// The standard deviation over the networks, of shape `[rows, outputs]`. The divisor of the variance is the number
    /// of networks, as in numpy's `std`, so it is 0 for one network.
    pub std: Vec<f32>,
    /// The votes of the networks, if their outputs are classes; see [`Ensemble::with_voting`].
    pub votes: Option<Votes>,
}

/// The votes of an [`Ensemble`] for classes, one vote per network and row.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Votes {
    /// The number of classes: the number of outputs, or 2 for a single output.
    pub class_count: usize,
    /// The class with the most votes for each row, `[rows]`. Of equal classes the first one wins.
    pub majority: Vec<u32>,
    /// The fraction of the networks that vote for each class, in `[0, 1]`, of shape `[rows, class_count]`.
    pub fractions: Vec<f32>,
}

impl Ensemble {
    blocking! {
        /// Creates an ensemble of models that differ only in their parameters and metadata.
        ///
        /// If the networks do not fit into the bindings of the device together, groups of them run one after the other,
        /// with the same bits.
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] if there is no model, or if the layers, the scaler or the byte scale of a model
        ///   differ from the first one.
        /// - The errors of [`Predictor::from_model`], before any memory is allocated.
        pub fn new(device: &Device, models: &[Model]) -> Result<Self> = Self::new_async(device, models);
    }

    /// The asynchronous form of [`Ensemble::new`].
    ///
    /// # Errors
    /// As [`Ensemble::new`].
    pub async fn new_async(device: &Device, models: &[Model]) -> Result<Self> {
        let Some(Model { network, scaler, byte_scale, .. }) = models.first() else {
            let (expected, got) = ("at least 1 model".to_owned(), "0".to_owned());
            return Err(Error::InvalidSetting { name: "ensemble", expected, got });
        };
        models.iter().try_for_each(Model::check)?;
        check_same_network(models)?;
        let layout = network.layout();
        let flatten = |model: &Model| [layout.to_flat(&model.parameters), network.statistics(&model.parameters)];
        let members: Vec<_> = models.iter().map(flatten).collect();
        let backend = EnsembleBackend::new(device, network, members).await?;
        let output_activation = network.layers().last().map(|layer| layer.activation);
        let has_class_outputs = matches!(output_activation, Some(Activation::Sigmoid | Activation::Softmax));
        Ok(Self {
            network: network.clone(),
            scaler: scaler.clone(),
            byte_scale: (*byte_scale).into(),
            member_count: models.len(),
            vote_threshold: has_class_outputs.then_some(Loss::Mse.decision_threshold()),
            backend,
        })
    }

    /// Lets the networks vote for classes as the targets of `loss` define them. A single output votes for class 1 above
    /// [`Loss::decision_threshold`]; several outputs vote for the first maximum.
    ///
    /// By default networks with sigmoid or softmax outputs vote, and other networks do not, because a model does not
    /// say whether an output without activation is a logit or a value. [`Population::ensemble`] decides by the targets:
    /// its networks vote if the targets are classes, and do not vote if a row may have several labels.
    ///
    /// [`Population::ensemble`]: crate::population::Population::ensemble
    #[must_use]
    pub const fn with_voting(mut self, loss: Loss) -> Self {
        self.vote_threshold = Some(loss.decision_threshold());
        self
    }

    /// Turns off voting.
    pub(crate) const fn without_votes(mut self) -> Self {
        self.vote_threshold = None;
        self
    }

    /// Returns the network that all models share.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the number of models.
    pub const fn len(&self) -> usize {
        self.member_count
    }

    /// Returns false: an ensemble has at least one model.
    pub const fn is_empty(&self) -> bool {
        self.member_count == 0
    }

    blocking! {
        /// Returns the combined prediction for raw inputs of shape `[rows, inputs]`, with at least one row.
        ///
        /// # Errors
        /// The errors of [`Predictor::predict`].
        pub fn predict(&mut self, inputs: &[f32]) -> Result<EnsemblePrediction> = self.predict_async(inputs);
    }

    /// The asynchronous form of [`Ensemble::predict`].
    ///
    /// # Errors
    /// As [`Ensemble::predict`].
    pub async fn predict_async(&mut self, inputs: &[f32]) -> Result<EnsemblePrediction> {
        self.network.check_inputs(inputs)?;
        self.byte_scale.warn_if_unscaled(inputs);
        let inputs = transform_inputs(self.scaler.as_ref(), inputs);
        let threshold = self.vote_threshold.unwrap_or_default();
        let sums = self.backend.predict(&inputs, threshold).await?;
        Ok(self.summarize(&sums))
    }

    /// Computes the prediction from `[rows, 3, outputs]` numbers: means, sums of squared deviations, and votes.
    fn summarize(&self, sums: &[f32]) -> EnsemblePrediction {
        let (outputs, networks) = (self.network.outputs(), self.member_count as f64);
        let part = |index: usize| {
            let range = index * outputs..(index + 1) * outputs;
            sums.chunks_exact(3 * outputs).flat_map(move |row| &row[range.clone()]).copied()
        };
        let std = part(1).map(|squares| (f64::from(squares) / networks).sqrt() as f32);
        let fraction = |votes: f32| (f64::from(votes) / networks) as f32;
        let votes = self.vote_threshold.map(|_| {
            let fractions: Vec<f32> = match outputs {
                // The device counts the votes for class 1; all other votes are for class 0.
                1 => part(2).flat_map(|ones| [fraction(self.member_count as f32 - ones), fraction(ones)]).collect(),
                _ => part(2).map(fraction).collect(),
            };
            let class_count = outputs.max(2);
            Votes { class_count, majority: fractions.chunks_exact(class_count).map(argmax).collect(), fractions }
        });
        EnsemblePrediction { mean: part(0).collect(), std: std.collect(), votes }
    }
}

/// Returns an error if the layers, the scaler or the byte scale of a model differ from the first one.
fn check_same_network(models: &[Model]) -> Result<()> {
    let first = &models[0];
    for (number, model) in models.iter().enumerate() {
        let (expected, got) = if layer_signatures(&model.network).ne(layer_signatures(&first.network)) {
            (
                format!("the layers of model 0 ({}) in every model", describe_layers(&first.network)),
                format!("{} in model {number}", describe_layers(&model.network)),
            )
        } else if model.scaler != first.scaler {
            ("the scaler of model 0 in every model".to_owned(), format!("a different scaler in model {number}"))
        } else if model.byte_scale != first.byte_scale {
            let describe = |scale: Option<f32>| scale.map_or("none".to_owned(), |scale| scale.to_string());
            (
                format!("the byte scale of model 0 ({}) in every model", describe(first.byte_scale)),
                format!("{} in model {number}", describe(model.byte_scale)),
            )
        } else {
            continue;
        };
        return Err(Error::InvalidSetting { name: "ensemble", expected, got });
    }
    Ok(())
}

/// The computation of a layer. Dropout and initializers do not change predictions.
type LayerSignature = (usize, usize, Activation, Option<Normalization>);

fn layer_signatures(network: &Network) -> impl Iterator<Item = LayerSignature> + '_ {
    network.layers().iter().map(|layer| (layer.inputs, layer.outputs, layer.activation, layer.normalization))
}

/// Returns the widths and activations of a network, for example `64-128-10, relu identity`.
fn describe_layers(network: &Network) -> String {
    let mut text = network.inputs().to_string();
    for layer in network.layers() {
        text += &format!("-{}", layer.outputs);
    }
    text += ",";
    for layer in network.layers() {
        text += &format!(" {}", layer.activation);
        if let Some(normalization) = layer.normalization {
            text += &format!(" with {normalization:?} normalization").to_lowercase();
        }
    }
    text
}

impl std::fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { network, member_count, .. } = self;
        f.debug_struct("Ensemble").field("network", network).field("networks", member_count).finish_non_exhaustive()
    }
}
