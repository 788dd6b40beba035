//! A case of the self-test: a network and its data set, with the parameters, learning rate and rows of every member.

use std::fmt;

use crate::{
    data::{
        dataset::Dataset,
        features::Features,
        noise,
        permutation::Permutation,
        scaling::scaler::Scaler,
        subset::{Fold, Subset, SubsetParams},
    },
    engine::{reference::Reference, step::StepGenerator},
    error::Result,
    nn::{
        activation::Activation, dropout::Dropout, init::Init, loss::Loss, network::Network, parameters::LayerParameters,
    },
    optim::{optimizer::Optimizer, schedule::Schedule},
    plan::{
        matmul::{MatmulConfig, MatmulConfigs, Tile},
        scheme::Scheme,
    },
};

/// The scheme of a case, for any number of layers. A [`Scheme`] itself has one matmul configuration per layer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PlanVariant {
    /// The scheme that the planner chooses.
    Planned,
    /// One dispatch per kernel, with a tile and the number of partial sums of each matmul (split-K).
    Layered(Tile, usize),
    /// Blocks of this many rows, on two workgroups.
    Fused(usize),
    /// Three steps per dispatch, in one workgroup per member.
    SingleWorkgroup(Tile),
    /// Three steps per dispatch, in one invocation per member.
    SingleInvocation,
}

/// The smallest sliced-K tile, in which several invocations share one sum.
pub(crate) const SMALL_TILE: Tile = Tile::SlicedK { invocations: 8, slices: 1 };

impl PlanVariant {
    /// Returns the scheme for a number of layers, or `None` if the planner chooses it.
    pub(crate) fn scheme(self, layers: usize) -> Option<Scheme> {
        let configs = |tile, split_k| MatmulConfigs::uniform(layers, MatmulConfig { tile, split_k });
        match self {
            Self::Planned => None,
            Self::Layered(tile, split_k) => Some(Scheme::Layered(configs(tile, split_k))),
            Self::Fused(rows) => Some(Scheme::Fused { rows, workgroups: 2 }),
            Self::SingleInvocation => Some(Scheme::SingleInvocation { steps: 3, invocations: 8 }),
            Self::SingleWorkgroup(tile) => Some(Scheme::SingleWorkgroup { steps: 3, configs: configs(tile, 1) }),
        }
    }
}

impl fmt::Display for PlanVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Planned => f.write_str("planned"),
            Self::Layered(tile, split_k) => write!(f, "layered {}", MatmulConfig { tile: *tile, split_k: *split_k }),
            Self::Fused(rows) => write!(f, "fused {rows}"),
            Self::SingleWorkgroup(tile) => write!(f, "single_workgroup {tile}"),
            Self::SingleInvocation => f.write_str("single_invocation"),
        }
    }
}

/// A training run that is compared with the reference. [`Case::new`] sets most fields to the simplest value.
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
    /// Whether an epoch skips a last batch with fewer rows.
    pub(crate) drop_last: bool,
    pub(crate) has_sample_weights: bool,
    pub(crate) input_noise_std: f32,
    pub(crate) has_byte_features: bool,
    /// Whether a scaler applies to the columns of the features.
    pub(crate) is_scaled: bool,
    /// The factor of features that are not bytes.
    pub(crate) magnitude: f32,
    pub(crate) has_class_targets: bool,
    /// Whether each target is a label, 0 or 1.
    pub(crate) is_multi_label: bool,
    /// Whether each member has a different subset of the rows.
    pub(crate) has_subsets: bool,
    /// Whether each member has a different dropout probability.
    pub(crate) has_member_dropouts: bool,
    /// Whether gradients and predictions are compared too. They have their own kernels, and the planner chooses their
    /// matmul configurations for every variant.
    pub(crate) compares_outputs: bool,
    /// A simulated limit on the size of a binding.
    pub(crate) max_binding_bytes: Option<u64>,
}

impl Case {
    /// Creates a case of one member, with mean squared error, plain gradient descent, and 17 rows in batches of 6.
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

    /// Returns the data set. Features are in `[-1, 1]` or bytes. Targets are in `[0, 1]`, labels or classes. Sample
    /// weights are in `[0, 2]`.
    ///
    /// # Errors
    /// The errors of [`Dataset::new`] and its builder methods, if the case is invalid.
    pub(crate) fn data(&self) -> Result<Dataset> {
        let (rows, columns, outputs) = (self.rows, self.network.inputs(), self.network.outputs());
        let mut features = test_values(rows * columns, 1);
        if !self.has_byte_features {
            features.iter_mut().for_each(|value| *value *= self.magnitude);
        }
        let target =
            |value: &f32| if self.is_multi_label { f32::from(u8::from(*value > 0.0)) } else { 0.5 * value + 0.5 };
        let targets = test_values(rows * outputs, 2).iter().map(target).collect::<Vec<_>>();
        let classes: Vec<u32> = (0..rows).map(|row| (row * 7 % outputs.max(2)) as u32).collect();
        let bytes = || {
            let bytes = features.iter().map(|v| (v * 100.0 + 120.0) as u8).collect::<Vec<_>>();
            Features::bytes(bytes, 1.0 / 255.0)
        };
        let mut data = match (self.has_byte_features, self.has_class_targets) {
            (false, false) => Dataset::new(rows, &features, targets)?,
            (false, true) => Dataset::new(rows, &features, classes)?,
            (true, false) => Dataset::new(rows, bytes(), targets)?,
            (true, true) => Dataset::new(rows, bytes(), classes)?,
        };
        if self.is_scaled {
            let scales = test_values(columns, 5).iter().map(|value| 1.5 + value).collect::<Vec<_>>();
            data = data.with_scaler(&Scaler::new(test_values(columns, 4), scales)?)?;
        }
        if self.has_sample_weights {
            data = data.with_sample_weights((0..rows).map(|row| (row % 5) as f32 * 0.5).collect::<Vec<_>>())?;
        }
        Ok(data)
    }

    /// Returns the rows of a member, if [`Case::has_subsets`] is set.
    fn member_subset(&self, member: usize) -> Subset {
        match member % 4 {
            0 => Subset::TrainFold(Fold { index: 1, count: 5, seed: Some(3) }),
            1 => Subset::Bootstrap { seed: 7 },
            2 => Subset::Range { start: 2, len: self.rows - 4 },
            _ => Subset::TestFold(Fold { index: 1, count: 2, seed: None }),
        }
    }

    /// Returns the step generator of a member. Each member has a different learning rate and seed.
    pub(crate) fn step_generator(&self, member: usize) -> Result<StepGenerator> {
        let learning_rate = self.optimizer.learning_rate * (1.0 + 0.5 * member as f64);
        let subset = if self.has_subsets { SubsetParams::new(self.member_subset(member), self.rows)? } else { None };
        Ok(StepGenerator {
            rows: subset.map_or(self.rows, |subset| subset.rows as usize),
            subset,
            batch_size: self.batch_size,
            outputs: self.network.outputs(),
            loss: self.loss,
            optimizer: Optimizer { learning_rate, ..self.optimizer },
            schedule: self.schedule.clone(),
            gradient_accumulation: self.gradient_accumulation,
            seed: 40 + member as u64,
            dropout: self.has_member_dropouts.then(|| Dropout::with_probability(member_dropout(member))),
            is_multi_label: self.is_multi_label,
            drop_last: self.drop_last,
            resume_offset: Default::default(),
        })
    }

    /// Returns the network of a member, with its dropout probability.
    pub(crate) fn member_network(&self, member: usize) -> Network {
        let network = self.network.clone();
        if self.has_member_dropouts { network.with_dropout(member_dropout(member)) } else { network }
    }

    /// Returns the parameters of a member. Biases are not 0, so that a kernel that ignores them fails.
    ///
    /// # Errors
    /// The errors of [`Network::initial_parameters`].
    pub(crate) fn parameters(&self, member: usize) -> Result<Vec<LayerParameters>> {
        let network = self.network.clone().init(Init::LecunNormal, Init::Uniform { limit: 0.5 });
        let mut layers =
            network.layers_from_flat(&network.initial_parameters(member as u64)?, &network.initial_statistics());
        // All initial gammas are equal, and so are all betas. Different values detect wrong offsets.
        for vector in layers.iter_mut().flat_map(|layer| [&mut layer.gamma, &mut layer.beta, &mut layer.prelu_slope]) {
            vector.iter_mut().enumerate().for_each(|(j, value)| *value += 0.02 * (j % 7) as f32);
        }
        Ok(layers)
    }

    /// Returns the reference for a member, with its initial parameters.
    pub(crate) fn reference(&self, member: usize) -> Result<Reference> {
        let (optimizer, parameters) = (self.step_generator(member)?.optimizer, self.parameters(member)?);
        Ok(Reference::new(&self.network, self.loss, optimizer, &parameters)?
            .with_gradient_accumulation(self.gradient_accumulation))
    }

    /// Returns the inputs, targets and sample weights of a step for the reference.
    pub(crate) fn reference_batch(&self, data: &Dataset, member: usize, step: u64) -> Result<[Vec<f64>; 3]> {
        let generator = self.step_generator(member)?;
        let (step, subset) = (generator.step(step, step), generator.subset(self.rows));
        let permutation = Permutation::new(generator.rows as u32, step.shuffle_key);
        let [mut inputs, mut targets, mut weights] = [const { Vec::new() }; 3];
        let (mut x, mut t) = (vec![0.0; self.network.inputs()], vec![0.0; self.network.outputs()]);
        for position in step.first_position..step.first_position + step.rows {
            let row = subset.row(if self.shuffle { permutation.row(position) } else { position }) as usize;
            data.write_features(row, &mut x);
            data.write_target(row, &mut t);
            weights.push(f64::from(data.sample_weight(row)));
            if self.input_noise_std > 0.0 {
                noise::add_noise(self.input_noise_std, step.shuffle_key, position, &mut x);
            }
            inputs.extend(x.iter().map(|value| f64::from(*value)));
            targets.extend(t.iter().map(|value| f64::from(*value)));
        }
        Ok([inputs, targets, weights])
    }

    /// Returns the dropout factors of a step for the reference, one vector per layer.
    pub(crate) fn dropout_factors(&self, member: usize, step: u64) -> Result<Vec<Vec<f64>>> {
        let step = self.step_generator(member)?.step(step, step);
        Ok(self.member_network(member).dropout_factors(step.shuffle_key, step.first_position, step.rows))
    }

    pub(crate) fn has_dropout(&self) -> bool {
        self.network.layers().iter().any(|layer| layer.dropout > 0.0)
    }

    /// Returns the number of inputs and the widths of the layers.
    fn widths(&self) -> Vec<usize> {
        let mut widths = vec![self.network.inputs()];
        widths.extend(self.network.layers().iter().map(|layer| layer.outputs));
        widths
    }

    /// Returns the tolerance relative to the maximum absolute value of a tensor: the rounding error of the longest f32
    /// sum, plus a margin for the activations and the following layers.
    pub(crate) fn tolerance(&self) -> f64 {
        // The sign of a gradient near 0 depends on rounding. Tests of `engine::cpu::update` compare these formulas
        // separately.
        if self.optimizer.is_sign_sensitive() {
            return 5e-3;
        }
        let max_terms = self.widths().into_iter().chain([self.batch_size]).max().unwrap_or(1);
        let rounding =
            2e-6 * self.network.layers().len() as f64 + 2.0 * max_terms as f64 * f64::from(f32::EPSILON / 2.0);
        // Normalization over few rows or neurons may divide by a small deviation, which amplifies rounding errors.
        if self.network.has_per_neuron_parameters() { 10.0 * rounding } else { rounding }
    }
}

/// Returns the dropout probability of a member, if [`Case::has_member_dropouts`] is set.
fn member_dropout(member: usize) -> f64 {
    0.2 + 0.3 * (member % 3) as f64
}

impl fmt::Display for Case {
    /// Writes the variant, the network, the loss, the optimizer, and every option that differs from [`Case::new`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths().iter().map(ToString::to_string).collect::<Vec<_>>().join("-");
        let mut activations: Vec<_> = self.network.layers().iter().map(|layer| layer.activation.to_string()).collect();
        activations.dedup();
        let Self { variant, loss, optimizer, batch_size, rows, member_count, gradient_accumulation, .. } = self;
        write!(f, "{variant}: {widths} {}, {loss}, {}", activations.join(" "), rule_name(optimizer))?;
        write!(f, ", batches of {batch_size} from {rows} rows")?;
        let normalizations = self.network.layers().iter().filter_map(|layer| layer.normalization);
        let mut options: Vec<String> =
            normalizations.map(|normalization| format!("{normalization:?} normalization").to_lowercase()).collect();
        options.dedup();
        let has_decay = optimizer.weight_decay > 0.0;
        for (is_set, option) in [
            (*member_count > 1, format!("{member_count} members")),
            (*gradient_accumulation > 1, format!("{gradient_accumulation} batches per update")),
            (optimizer.clip_norm.is_some(), "clip_norm".to_owned()),
            (optimizer.clip_value.is_some(), "clip_value".to_owned()),
            (has_decay && !optimizer.decoupled_weight_decay, "weight decay".to_owned()),
            (has_decay && optimizer.decoupled_weight_decay, "decoupled weight decay".to_owned()),
            (optimizer.l1 > 0.0, "l1".to_owned()),
            (!optimizer.regularize_biases, "biases not regularized".to_owned()),
            (optimizer.ema_decay.is_some(), "EMA".to_owned()),
            (self.schedule != Schedule::Constant, "schedule".to_owned()),
            (self.has_dropout(), "dropout".to_owned()),
            (self.has_sample_weights, "sample weights".to_owned()),
            (self.input_noise_std > 0.0, "input noise".to_owned()),
            (self.has_byte_features, "bytes".to_owned()),
            (self.is_scaled, "scaler".to_owned()),
            (self.magnitude != 1.0, format!("features up to {:e}", self.magnitude)),
            (self.has_class_targets, "classes".to_owned()),
            (self.is_multi_label, "labels".to_owned()),
            (self.has_subsets, "subsets".to_owned()),
            (!self.shuffle, "without shuffling".to_owned()),
            (self.drop_last, "drop_last".to_owned()),
            (self.max_binding_bytes.is_some(), "small bindings".to_owned()),
            (self.compares_outputs, "gradients and predictions".to_owned()),
        ] {
            if is_set {
                options.push(option);
            }
        }
        options.iter().try_for_each(|option| write!(f, ", {option}"))
    }
}

/// Returns the name of an update rule with the flags of its kernel, for example `momentum nesterov`.
fn rule_name(optimizer: &Optimizer) -> String {
    let mut name = optimizer.name().to_owned();
    for (flag, is_set) in optimizer.rule.kernel_flags() {
        if *is_set {
            name += &format!(" {}", flag.to_lowercase());
        }
    }
    name
}

/// Returns `count` values in `[-1, 1]`. Their period is the prime 251, so that swapped rows and columns differ.
pub(crate) fn test_values(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + seed * 101) % 251) as f32 / 125.0 - 1.0).collect()
}

/// Returns a network with these widths, the first of which is the number of inputs, and one activation in all layers.
pub(crate) fn network(widths: &[usize], activation: Activation) -> Network {
    widths[1..].iter().fold(Network::new(widths[0]), |network, width| network.dense(*width, activation))
}
