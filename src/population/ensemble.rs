//! Networks of one shape that answer together.

#[cfg(doc)]
use crate::model::predictor::Predictor;
use crate::{
    data::{
        features::ByteScale,
        scaling::{Scaler, transform_inputs},
    },
    device::Device,
    engine::ensemble::EnsembleBackend,
    error::{Error, Result},
    metrics::classification::argmax,
    model::Model,
    nn::{
        activation::Activation,
        loss::Loss,
        network::{Dense, Network},
    },
    util::blocking::blocking,
};

/// Networks of one shape whose answers are put together on the device: the mean, how far the networks lie apart, and what
/// most of them vote for. However many there are, three numbers for each row and output come back.
///
/// Networks that were trained from several seeds, each on a bootstrap of the rows, agree where there were rows to learn
/// from and part where there were none, so that their deviation tells how far an answer can be trusted (Lakshminarayanan,
/// Pritzel and Blundell 2017). It tells nothing of the noise in the expected answers themselves.
///
/// ```
/// use gradus::{Activation, Dataset, Device, Member, Network, Optimizer, Population, Settings};
/// let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid);
/// let data = Dataset::new(4, &[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], &[0.0, 1.0, 1.0, 0.0])?;
/// let member = |seed| Member::new(Settings { batch: 4, seed, optimizer: Optimizer::sgd(1.0), ..Settings::default() });
/// let members: Vec<_> = (0..10).map(member).collect();
/// let device = Device::cpu();
/// let mut population = Population::new(&device, &network, &data, &members)?;
/// population.run(2000)?;
/// let mut ensemble = population.ensemble(&device, population.in_training())?;
/// let consensus = ensemble.predict(&[0.0, 1.0, 1.0, 1.0])?;
/// let votes = consensus.votes.expect("a sigmoid says yes or no");
/// assert_eq!(votes.classes, [1, 0]);
/// println!("{:.2} ± {:.2}, {:.0} % say yes", consensus.mean[0], consensus.deviation[0], 100.0 * votes.shares[1]);
/// # Ok::<(), gradus::Error>(())
/// ```
pub struct Ensemble {
    network: Network,
    scaler: Option<Scaler>,
    byte_scale: ByteScale,
    member_count: usize,
    /// Where a single output turns from no to yes, if the networks vote.
    vote_threshold: Option<f32>,
    backend: EnsembleBackend,
}

/// What an [`Ensemble`] answers, row by row.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EnsemblePrediction {
    /// The mean over the networks, `[rows, outputs]`, in the unit of the outputs.
    pub mean: Vec<f32>,
    /// The standard deviation over the networks, `[rows, outputs]`, in the unit of the outputs: the root of the squared
    /// deviations' sum divided by the number of networks, as numpy's `std` has it. 0 of a single network.
    pub std: Vec<f32>,
    /// What the networks vote for, if their outputs are classes; see [`Ensemble::with_voting`].
    pub votes: Option<Votes>,
}

/// The classes that the networks of an [`Ensemble`] vote for, one vote each.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Votes {
    /// How many classes there are: as many as outputs, and two, no and yes, of a single output.
    pub class_count: usize,
    /// For each row the class with most votes, and of equals the first: `[rows]`.
    pub majority: Vec<u32>,
    /// Which share of the networks votes for each class, from 0 to 1: `[rows, count]`.
    pub fractions: Vec<f32>,
}

impl Ensemble {
    blocking! {
        /// The networks of models that differ in their parameters and notes alone. Where the device's bindings are too
        /// small for all of them, some follow the others, and the answers have the same bits.
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] if there is no model, or one whose layers or scaling are not those of the first; and as
        /// `Predictor::from_forward`, before anything is allocated.
        pub fn new(device: &Device, models: &[Model]) -> Result<Self> = Self::new_async(device, models);
    }

    /// The asynchronous form of [`Ensemble::new`].
    ///
    /// # Errors
    /// As [`Ensemble::new`].
    pub async fn new_async(device: &Device, models: &[Model]) -> Result<Self> {
        let Some(Model { network, scaler, byte_scale, .. }) = models.first() else {
            let (expected, got) = ("at least 1".to_owned(), "0".to_owned());
            return Err(Error::InvalidSetting { name: "networks of an ensemble", expected, got });
        };
        models.iter().try_for_each(Model::check)?;
        check_same_network(models)?;
        let layout = network.layout();
        let flat = |model: &Model| [layout.to_flat(&model.parameters), network.statistics(&model.parameters)];
        let members: Vec<_> = models.iter().map(flat).collect();
        let backend = EnsembleBackend::new(device, network, members).await?;
        let last = network.layers().last().map(|layer| layer.activation);
        let are_classes = matches!(last, Some(Activation::Sigmoid | Activation::Softmax));
        let threshold = are_classes.then_some(Loss::Mse.decision_threshold());
        let byte_scale = (*byte_scale).into();
        Ok(Self {
            network: network.clone(),
            scaler: scaler.clone(),
            byte_scale,
            member_count: models.len(),
            vote_threshold: threshold,
            backend,
        })
    }

    /// The same whose outputs are classes as the answers for this loss are: a single output says yes above
    /// [`Loss::decision_threshold`], and of several the first largest is the class.
    ///
    /// Without it networks vote whose outputs are sigmoids or a softmax, and others do not: whether an output without an
    /// activation is a logit or a number, no model says. [`Population::ensemble`](crate::population::Population::ensemble) knows from its targets: its networks vote
    /// for classes, and not for labels of which a row may have several.
    #[must_use]
    pub const fn with_voting(mut self, loss: Loss) -> Self {
        self.vote_threshold = Some(loss.decision_threshold());
        self
    }

    /// The same whose outputs are no classes, which nobody votes for.
    pub(crate) const fn without_votes(mut self) -> Self {
        self.vote_threshold = None;
        self
    }

    /// The network that they all are.
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
        /// What the networks answer together to raw inputs `[rows, inputs]` of any number of rows from 1 up.
        ///
        /// # Errors
        /// As [`Predictor::predict`].
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
        let answers = self.backend.predict(&inputs, threshold).await?;
        Ok(self.summarize(&answers))
    }

    /// Of `[rows, 3, outputs]` numbers: means, summed squared deviations and votes.
    fn summarize(&self, answers: &[f32]) -> EnsemblePrediction {
        let (outputs, networks) = (self.network.outputs(), self.member_count as f64);
        let part = |part: usize| {
            answers.chunks_exact(3 * outputs).flat_map(move |row| &row[part * outputs..(part + 1) * outputs]).copied()
        };
        let deviation = part(1).map(|squares| (f64::from(squares) / networks).sqrt() as f32);
        let share = |votes: f32| (f64::from(votes) / networks) as f32;
        let votes = self.vote_threshold.map(|_| {
            let shares: Vec<f32> = match outputs {
                1 => part(2).flat_map(|yes| [share(self.member_count as f32 - yes), share(yes)]).collect(),
                _ => part(2).map(share).collect(),
            };
            let count = outputs.max(2);
            Votes { class_count: count, majority: shares.chunks_exact(count).map(argmax).collect(), fractions: shares }
        });
        EnsemblePrediction { mean: part(0).collect(), std: deviation.collect(), votes }
    }
}

/// Refuses models that are not of the kind of the first.
fn check_same_network(models: &[Model]) -> Result<()> {
    /// What a layer computes; how it was trained is no matter.
    fn layer_signature(layer: &Dense) -> (usize, usize, Activation, Option<crate::nn::normalization::Normalization>) {
        (layer.inputs, layer.outputs, layer.activation, layer.normalization)
    }
    let first = &models[0];
    let is_other = |model: &Model| {
        let [ours, theirs] = [model, first].map(|model| model.network.layers().iter().map(layer_signature));
        match (ours.eq(theirs), model.scaler == first.scaler, model.byte_scale == first.byte_scale) {
            (false, ..) => Some(["the same layers", "others"]),
            (true, false, _) => Some(["the same scaling", "another"]),
            (true, true, false) => Some(["the same byte scale", "another"]),
            (true, true, true) => None,
        }
    };
    let other = models.iter().enumerate().find_map(|(number, model)| Some((number, is_other(model)?)));
    other.map_or(Ok(()), |(number, [same, other])| {
        let (expected, got) = (format!("{same} in all"), format!("{other} in number {number}"));
        Err(Error::InvalidSetting { name: "models of an ensemble", expected, got })
    })
}

impl std::fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { network, member_count: networks, .. } = self;
        f.debug_struct("Ensemble").field("network", network).field("networks", networks).finish_non_exhaustive()
    }
}
