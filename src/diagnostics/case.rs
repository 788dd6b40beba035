//! What a check trains, beside the reference: a network, its data, and for every model its own parameters, rate and rows.

use std::fmt;

use crate::{
    data::{
        dataset::Dataset,
        features::Features,
        noise,
        permutation::Permutation,
        scaling::Scaler,
        subset::{Fold, Subset, SubsetParams},
    },
    engine::{reference::Reference, step::StepGenerator},
    error::Result,
    nn::{activation::Activation, dropout::Dropout, init::Init, layout::LayerParameters, loss::Loss, network::Network},
    optim::{optimizer::Optimizer, schedule::Schedule},
    plan::{MatmulConfig, MatmulConfigs, Scheme, Tile},
};

/// Which scheme a case is trained by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PlanVariant {
    /// The planner's own.
    Planned,
    /// Each product in so many parts.
    Layered(Tile, usize),
    /// In blocks of so many rows, which two workgroups share.
    Fused(usize),
    SingleWorkgroup(Tile),
    SingleInvocation,
}

/// The smallest tile that shares its sums among invocations.
pub(crate) const SMALL_TILE: Tile = Tile::SlicedK { invocations: 8, slices: 1 };

impl PlanVariant {
    pub(crate) fn scheme(self, layers: usize) -> Option<Scheme> {
        let ways = |tile, parts| MatmulConfigs::uniform(layers, MatmulConfig { tile, split_k: parts });
        match self {
            Self::Planned => None,
            Self::Layered(tile, parts) => Some(Scheme::Layered(ways(tile, parts))),
            Self::Fused(rows) => Some(Scheme::Fused { rows, workgroups: 2 }),
            Self::SingleInvocation => Some(Scheme::SingleInvocation { steps: 3, invocations: 8 }),
            Self::SingleWorkgroup(tile) => Some(Scheme::SingleWorkgroup { steps: 3, configs: ways(tile, 1) }),
        }
    }
}

impl fmt::Display for PlanVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Planned => f.write_str("planned"),
            Self::Layered(tile, parts) => write!(f, "layered {}", MatmulConfig { tile: *tile, split_k: *parts }),
            Self::Fused(rows) => write!(f, "fused {rows}"),
            Self::SingleWorkgroup(tile) => write!(f, "tiny {tile}"),
            Self::SingleInvocation => f.write_str("lane"),
        }
    }
}

/// What is trained and compared. Most of it is the plainest there is unless it is said otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) network: Network,
    pub(crate) loss: Loss,
    pub(crate) optimizer: Optimizer,
    pub(crate) schedule: Schedule,
    pub(crate) gradient_accumulation: u64,
    pub(crate) batch_size: usize,
    pub(crate) rows: usize,
    pub(crate) member_count: usize,
    pub(crate) variant: PlanVariant,
    pub(crate) shuffle: bool,
    /// Whether a last batch with fewer rows is skipped.
    pub(crate) drop_last: bool,
    pub(crate) has_sample_weights: bool,
    pub(crate) input_noise_std: f32,
    /// Whether the features are bytes, and whether they are scaled column by column.
    pub(crate) has_byte_features: bool,
    pub(crate) is_scaled: bool,
    /// By what features that are not bytes are multiplied.
    pub(crate) magnitude: f32,
    /// Whether the answers are classes.
    pub(crate) has_class_targets: bool,
    /// Whether each answer is a label, 0 or 1.
    pub(crate) is_multi_label: bool,
    /// Whether each model has rows of its own, and whether it drops a share of its own.
    pub(crate) has_subsets: bool,
    pub(crate) has_member_dropouts: bool,
    /// Whether gradients and predictions are compared, too. They take the planner's ways, whatever the form, and kernels of
    /// their own.
    pub(crate) compares_outputs: bool,
    /// As if the device's bindings held no more bytes.
    pub(crate) max_binding_bytes: Option<u64>,
}

impl Case {
    pub(crate) fn new(network: Network, variant: PlanVariant) -> Self {
        Self {
            network,
            loss: Loss::Mse,
            optimizer: Optimizer::sgd(0.7),
            schedule: Schedule::Constant,
            gradient_accumulation: 1,
            batch_size: 6,
            rows: 17,
            member_count: 1,
            variant,
            shuffle: true,
            drop_last: false,
            has_sample_weights: false,
            input_noise_std: 0.0,
            has_byte_features: false,
            is_scaled: false,
            magnitude: 1.0,
            has_class_targets: false,
            is_multi_label: false,
            has_subsets: false,
            has_member_dropouts: false,
            compares_outputs: false,
            max_binding_bytes: None,
        }
    }

    /// Features from -1 to 1, or bytes, and answers from 0 to 1, or labels, or classes. Weights go from 0 to 2.
    ///
    /// # Errors
    /// Those of [`Dataset::new`] and what else makes it, if a case is none.
    pub(crate) fn data(&self) -> Result<Dataset> {
        let (rows, columns, outputs) = (self.rows, self.network.inputs(), self.network.outputs());
        let mut features = test_values(rows * columns, 1);
        if !self.has_byte_features {
            features.iter_mut().for_each(|v| *v *= self.magnitude);
        }
        let answer = |v: &f32| if self.is_multi_label { f32::from(u8::from(*v > 0.0)) } else { 0.5 * v + 0.5 };
        let answers = test_values(rows * outputs, 2).iter().map(answer).collect::<Vec<_>>();
        let classes: Vec<u32> = (0..rows).map(|row| (row * 7 % outputs.max(2)) as u32).collect();
        let bytes = || {
            let bytes = features.iter().map(|v| (v * 100.0 + 120.0) as u8).collect::<Vec<_>>();
            Features::bytes(bytes, 1.0 / 255.0)
        };
        let mut data = match (self.has_byte_features, self.has_class_targets) {
            (false, false) => Dataset::new(rows, &features, answers)?,
            (false, true) => Dataset::new(rows, &features, classes)?,
            (true, false) => Dataset::new(rows, bytes(), answers)?,
            (true, true) => Dataset::new(rows, bytes(), classes)?,
        };
        if self.is_scaled {
            let factors = test_values(columns, 5).iter().map(|v| 1.5 + v).collect::<Vec<_>>();
            data = data.with_scaler(&Scaler::new(test_values(columns, 4), factors)?)?;
        }
        if self.has_sample_weights {
            data = data.with_sample_weights((0..rows).map(|row| (row % 5) as f32 * 0.5).collect::<Vec<_>>())?;
        }
        Ok(data)
    }

    /// Which rows of the data set a model learns from, where each has its own.
    fn member_subset(&self, model: usize) -> Subset {
        match model % 4 {
            0 => Subset::TrainFold(Fold { index: 1, count: 5, seed: Some(3) }),
            1 => Subset::Bootstrap { seed: 7 },
            2 => Subset::Range { start: 2, len: self.rows - 4 },
            _ => Subset::TestFold(Fold { index: 1, count: 2, seed: None }),
        }
    }

    pub(crate) fn step_generator(&self, model: usize) -> Result<StepGenerator> {
        let learning_rate = self.optimizer.learning_rate * (1.0 + 0.5 * model as f64);
        let subset = if self.has_subsets { SubsetParams::new(self.member_subset(model), self.rows)? } else { None };
        Ok(StepGenerator {
            rows: subset.map_or(self.rows, |subset| subset.rows as usize),
            subset,
            batch_size: self.batch_size,
            outputs: self.network.outputs(),
            loss: self.loss,
            optimizer: Optimizer { learning_rate, ..self.optimizer },
            schedule: self.schedule.clone(),
            gradient_accumulation: self.gradient_accumulation,
            seed: 40 + model as u64,
            dropout: self.has_member_dropouts.then(|| Dropout::with_probability(member_dropout(model))),
            is_multi_label: self.is_multi_label,
            drop_last: self.drop_last,
            resume_offset: Default::default(),
        })
    }

    /// The network that a model is.
    pub(crate) fn member_network(&self, model: usize) -> Network {
        let network = self.network.clone();
        if self.has_member_dropouts { network.with_dropout(member_dropout(model)) } else { network }
    }

    /// Parameters of a model; biases are not 0, so that a kernel without them shows.
    ///
    /// # Errors
    /// Those of [`Network::initial_parameters`].
    pub(crate) fn parameters(&self, model: usize) -> Result<Vec<LayerParameters>> {
        let network = self.network.clone().init(Init::LecunNormal, Init::Uniform { limit: 0.5 });
        let mut layers =
            network.layers_from_flat(&network.initial_parameters(model as u64)?, &network.initial_statistics());
        // What gains and shifts start as would hide that they are mixed up.
        for vector in layers.iter_mut().flat_map(|layer| [&mut layer.gamma, &mut layer.beta, &mut layer.prelu_slope]) {
            vector.iter_mut().enumerate().for_each(|(j, v)| *v += 0.02 * (j % 7) as f32);
        }
        Ok(layers)
    }

    /// The reference that a model is judged by.
    pub(crate) fn reference(&self, model: usize) -> Result<Reference> {
        let (optimizer, parameters) = (self.step_generator(model)?.optimizer, self.parameters(model)?);
        Ok(Reference::new(&self.network, self.loss, optimizer, &parameters)?
            .with_gradient_accumulation(self.gradient_accumulation))
    }

    /// The inputs, expected outputs and weights of a model's step, as the reference takes them.
    pub(crate) fn reference_batch(&self, data: &Dataset, model: usize, step: u64) -> Result<[Vec<f64>; 3]> {
        let course = self.step_generator(model)?;
        let (step, subset) = (course.step(step, step), course.subset(self.rows));
        let order = Permutation::new(course.rows as u32, step.shuffle_key);
        let [mut inputs, mut expected, mut weights] = [const { Vec::new() }; 3];
        let (mut x, mut t) = (vec![0.0; self.network.inputs()], vec![0.0; self.network.outputs()]);
        for place in step.first_position..step.first_position + step.rows {
            let row = subset.row(if self.shuffle { order.row(place) } else { place }) as usize;
            data.write_features(row, &mut x);
            data.write_target(row, &mut t);
            weights.push(f64::from(data.sample_weight(row)));
            if self.input_noise_std > 0.0 {
                noise::add_noise(self.input_noise_std, step.shuffle_key, place, &mut x);
            }
            inputs.extend(x.iter().map(|v| f64::from(*v)));
            expected.extend(t.iter().map(|v| f64::from(*v)));
        }
        Ok([inputs, expected, weights])
    }

    /// Dropout's factors in a model's step, as the reference takes them.
    pub(crate) fn dropout_factors(&self, model: usize, step: u64) -> Result<Vec<Vec<f64>>> {
        let step = self.step_generator(model)?.step(step, step);
        Ok(self.member_network(model).dropout_factors(step.shuffle_key, step.first_position, step.rows))
    }

    pub(crate) fn has_dropout(&self) -> bool {
        self.network.layers().iter().any(|layer| layer.dropout > 0.0)
    }

    fn widths(&self) -> Vec<usize> {
        std::iter::once(self.network.inputs()).chain(self.network.layers().iter().map(|l| l.outputs)).collect()
    }

    /// Of a tensor's largest entry: the bound of a sum of K terms in f32, K being the longest, with room for the
    /// activations and for the layers after.
    pub(crate) fn tolerance(&self) -> f64 {
        // The formulas of these are compared by themselves, in `cpu/update`.
        if self.optimizer.is_sign_sensitive() {
            return 5e-3;
        }
        let longest = self.widths().into_iter().chain([self.batch_size]).max().unwrap_or(1);
        let rounded = 2e-6 * self.network.layers().len() as f64 + 2.0 * longest as f64 * f64::from(f32::EPSILON / 2.0);
        // A norm over a few rows or neurons divides by what is small at times, and what was rounded grows.
        if self.network.has_per_neuron_parameters() { 10.0 * rounded } else { rounded }
    }
}

/// The share that a model drops, where each has its own.
fn member_dropout(model: usize) -> f64 {
    0.2 + 0.3 * (model % 3) as f64
}

impl fmt::Display for Case {
    /// Its form, and what is not the plainest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths().iter().map(ToString::to_string).collect::<Vec<_>>().join("-");
        let mut activations: Vec<_> = self.network.layers().iter().map(|layer| layer.activation.to_string()).collect();
        activations.dedup();
        let Self {
            variant: form,
            loss,
            batch_size: batch,
            rows,
            member_count: models,
            gradient_accumulation: accumulate,
            ..
        } = self;
        write!(f, "{form}: {widths} {}, {loss}, {}", activations.join(" "), rule_name(&self.optimizer))?;
        write!(f, ", batch {batch} of {rows}")?;
        let norms = self.network.layers().iter().filter_map(|layer| layer.normalization);
        let mut more: Vec<String> = norms.map(|norm| format!("{norm:?} norm").to_lowercase()).collect();
        more.dedup();
        for (is_there, what) in [
            (*models > 1, format!("{models} networks")),
            (*accumulate > 1, format!("{accumulate} batches an update")),
            (self.optimizer.clip_norm.is_some(), "clipped".to_owned()),
            (self.optimizer.clip_value.is_some(), "clipped values".to_owned()),
            (self.optimizer.weight_decay > 0.0 && !self.optimizer.decoupled_weight_decay, "decay".to_owned()),
            (self.optimizer.weight_decay > 0.0 && self.optimizer.decoupled_weight_decay, "decoupled decay".to_owned()),
            (self.optimizer.l1 > 0.0, "l1".to_owned()),
            (!self.optimizer.regularize_biases, "biases spared".to_owned()),
            (self.optimizer.ema_decay.is_some(), "average".to_owned()),
            (self.schedule != Schedule::Constant, "schedule".to_owned()),
            (self.has_dropout(), "dropout".to_owned()),
            (self.has_sample_weights, "weights".to_owned()),
            (self.input_noise_std > 0.0, "noise".to_owned()),
            (self.has_byte_features, "bytes".to_owned()),
            (self.is_scaled, "scaled".to_owned()),
            (self.magnitude != 1.0, format!("features up to {:e}", self.magnitude)),
            (self.has_class_targets, "classes".to_owned()),
            (self.is_multi_label, "labels".to_owned()),
            (self.has_subsets, "rows of their own".to_owned()),
            (!self.shuffle, "in order".to_owned()),
            (self.drop_last, "last batch dropped".to_owned()),
            (self.max_binding_bytes.is_some(), "in shards".to_owned()),
            (self.compares_outputs, "answers".to_owned()),
        ] {
            if is_there {
                more.push(what);
            }
        }
        more.iter().try_for_each(|more| write!(f, ", {more}"))
    }
}

/// A rule's name and its kind, where there are several.
fn rule_name(optimizer: &Optimizer) -> String {
    let kinds = optimizer.rule.kernel_flags();
    let kinds = kinds.iter().filter(|(_, is_so)| *is_so).map(|(kind, _)| format!(" {}", kind.to_lowercase()));
    std::iter::once(optimizer.name().to_owned()).chain(kinds).collect()
}

/// Numbers from -1 to 1 in which swapped rows and columns show: 251 is a prime.
pub(crate) fn test_values(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + seed * 101) % 251) as f32 / 125.0 - 1.0).collect()
}

/// A network of these widths with one activation everywhere.
pub(crate) fn network(widths: &[usize], activation: Activation) -> Network {
    widths[1..].iter().fold(Network::new(widths[0]), |network, n| network.dense(*n, activation))
}
