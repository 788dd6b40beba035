use pulp::{Simd, WithSimd};

use crate::{
    data::{
        dataset::Dataset,
        features::Features,
        scaling::scaler::Scaler,
        subset::{Subset, SubsetParams},
    },
    engine::{
        cpu::{
            dataset_run::CpuDatasetRun,
            engine::Engine,
            group::{
                config::{GroupConfig, LANES},
                lane_group::LaneGroup,
                member::GroupMember,
            },
            small_network::{SmallNetwork, SmallNetworkConfig},
        },
        step::StepGenerator,
    },
    nn::{activation::Activation, init::Init, loss::Loss, network::Network},
    optim::{optimizer::Optimizer, schedule::Schedule},
    train::run_report::RunReport,
};

const ROWS: usize = 45;

/// Returns numbers in [-1, 1] without a visible pattern.
fn pseudo_random(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i + 1000 * seed) as f32 * 12.9898).sin()).collect()
}

/// Members that train in a group and standalone.
struct Case {
    network: Network,
    data: Dataset,
    batch_size: usize,
    loss: Loss,
    optimizer: Optimizer,
    gradient_accumulation: u64,
    shuffle: bool,
    input_noise_std: f32,
    has_sample_weights: bool,
    drop_last: bool,
    /// The subset of a member.
    subset: fn(usize) -> Subset,
}

impl Case {
    fn new(network: Network, loss: Loss, optimizer: Optimizer, batch_size: usize) -> Self {
        let (inputs, outputs) = (network.inputs(), network.outputs());
        let targets: Vec<f32> = pseudo_random(ROWS * outputs, 2).iter().map(|t| f32::from(*t > 0.0)).collect();
        Self {
            network: network.init(Init::GlorotUniform, Init::Uniform { limit: 0.1 }),
            data: Dataset::new(ROWS, pseudo_random(ROWS * inputs, 1), targets).unwrap(),
            batch_size,
            loss,
            optimizer,
            gradient_accumulation: 1,
            shuffle: true,
            input_noise_std: 0.0,
            has_sample_weights: false,
            drop_last: false,
            subset: |_| Subset::All,
        }
    }

    /// Returns the step generator of a member. Every setting that may differ between members differs.
    fn generator(&self, member: usize) -> StepGenerator {
        let factor = 1.0 + member as f64 / 10.0;
        let mut optimizer = self.optimizer;
        optimizer.learning_rate *= factor;
        optimizer.weight_decay += 0.01 * (member % 3) as f64;
        let schedule = if member.is_multiple_of(2) { Schedule::Constant } else { Schedule::exponential(0.99 / factor) };
        let subset = SubsetParams::new((self.subset)(member), ROWS).unwrap();
        let rows = subset.map_or(ROWS, |subset| subset.rows as usize);
        StepGenerator {
            subset,
            outputs: self.network.outputs(),
            loss: self.loss,
            optimizer,
            schedule,
            gradient_accumulation: self.gradient_accumulation,
            seed: 40 + member as u64,
            drop_last: self.drop_last,
            ..StepGenerator::plain(rows, self.batch_size.min(rows))
        }
    }

    /// Trains `count` members in a group and standalone, and asserts that their bits are equal.
    fn assert_bits_match(&self, count: usize) {
        let dataset_run = CpuDatasetRun {
            data: &self.data,
            shuffle: self.shuffle,
            input_noise_std: self.input_noise_std,
            has_sample_weights: self.has_sample_weights,
        };
        let config = GroupConfig::new(&self.network, &self.generator(0), &dataset_run, &mut None)
            .expect("a group supports the case");
        let count = count.min(config.lanes);
        let engine = |member: usize| {
            let parameters = self.network.initial_parameters(40 + member as u64).unwrap();
            Engine::new(&self.network, &self.generator(member), self.has_sample_weights, parameters, Some(1)).unwrap()
        };
        let mut standalone: Vec<Engine> = (0..count).map(engine).collect();
        let mut group = LaneGroup::new(&config);
        for (member, engine) in standalone.iter().enumerate() {
            let group_member = GroupMember { member, generator: self.generator(member), steps_since_reset: 0 };
            group.push(&config, group_member, &engine.training_state());
        }
        let case = format!(
            "{:?}, {}, {:?}, batch size {}, gradient accumulation {}",
            self.network.layers(),
            self.loss,
            self.optimizer,
            self.batch_size,
            self.gradient_accumulation
        );
        for (first, steps) in [(0, 9), (9, 4)] {
            let mut reports = vec![RunReport::default(); count];
            group.run(&config, first, steps, &mut reports.iter_mut().collect::<Vec<_>>());
            for (member, engine) in standalone.iter_mut().enumerate() {
                let mut report = RunReport::default();
                dataset_run.run(engine, self.generator(member), first..first + steps, first, &mut report);
                assert_eq!(reports[member], report, "{case}: member {member}");
                let (in_group, standalone) = (group.training_state(&config, member), engine.training_state());
                let bits = |values: &[f32]| values.iter().map(|p| p.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&in_group.parameters), bits(&standalone.parameters), "{case}: member {member}");
                assert_eq!(in_group, standalone, "{case}: member {member}");
            }
        }
    }
}

fn network(hidden: Activation, outputs: usize, output_activation: Activation) -> Network {
    Network::new(3).dense(5, hidden).dense(2, hidden).dense(outputs, output_activation)
}

#[test]
fn group_matches_standalone_bits_for_every_batch_size() {
    for batch_size in 1..=40 {
        let sigmoid = network(Activation::Sigmoid, 1, Activation::Sigmoid);
        Case::new(sigmoid, Loss::Mse, Optimizer::sgd(0.5), batch_size).assert_bits_match(16);
        let softmax = network(Activation::Tanh, 3, Activation::Identity);
        Case::new(softmax, Loss::SoftmaxCrossEntropy, Optimizer::adam(0.01), batch_size).assert_bits_match(3);
    }
}

#[test]
fn group_matches_standalone_bits_for_every_activation_and_loss() {
    for activation in Activation::ALL.iter().filter(|a| !a.has_parameters() && **a != Activation::Softmax) {
        for batch_size in [4, 20] {
            let network = network(*activation, 2, *activation);
            Case::new(network, Loss::Mse, Optimizer::sgd(0.05), batch_size).assert_bits_match(3);
        }
    }
    for loss in Loss::ALL {
        for (outputs, batch_size) in [(1, 4), (3, 7), (3, 20), (17, 5)] {
            let output_activation = loss.required_output_activation().unwrap_or(Activation::Tanh);
            let network = network(Activation::Gelu, outputs, output_activation);
            let case = Case::new(network, *loss, Optimizer::sgd(0.05), batch_size);
            case.assert_bits_match(4);
            let data = with_sample_weights(case.data.clone());
            Case { has_sample_weights: true, data, ..case }.assert_bits_match(4);
        }
    }
}

fn with_sample_weights(data: Dataset) -> Dataset {
    data.with_sample_weights((0..ROWS).map(|row| (row % 5) as f32 * 0.5).collect::<Vec<_>>()).unwrap()
}

#[test]
fn group_matches_standalone_bits_for_every_optimizer() {
    let excludes_biases = Optimizer::adam(0.01).decoupled_weight_decay(0.1).regularize_biases(false);
    let clipped = [Optimizer::momentum(0.1, 0.9).clip_norm(0.01), Optimizer::sgd(0.1).clip_norm(0.05).ema(0.9)];
    for optimizer in Optimizer::ALL.iter().chain(&clipped).chain([&excludes_biases]) {
        for (gradient_accumulation, batch_size) in [(1, 4), (3, 10)] {
            let network = network(Activation::Tanh, 2, Activation::Identity);
            let case = Case::new(network, Loss::Mse, *optimizer, batch_size);
            Case { gradient_accumulation, ..case }.assert_bits_match(4);
        }
    }
}

#[test]
fn group_matches_standalone_bits_for_every_kind_of_rows() {
    let case = |batch_size| {
        let network = network(Activation::Silu, 3, Activation::Identity);
        Case::new(network, Loss::SoftmaxCrossEntropy, Optimizer::momentum(0.05, 0.9), batch_size)
    };
    let bytes: Vec<u8> = (0..ROWS * 3).map(|i| (i * 37 % 256) as u8).collect();
    let classes: Vec<u32> = (0..ROWS as u32).map(|row| row * 7 % 3).collect();
    let bytes = Dataset::new(ROWS, Features::bytes(bytes, 1.0 / 255.0), classes).unwrap();
    let scaler = Scaler::new([0.1, 0.2, 0.3], [2.0, 0.5, 1.5]).unwrap();
    for batch_size in [4, 10, 33] {
        let plain = case(batch_size).data;
        for data in [bytes.clone(), plain.clone().with_scaler(&scaler).unwrap(), with_sample_weights(plain)] {
            let has_sample_weights = data.sample_weights().is_some();
            Case { data: data.clone(), has_sample_weights, ..case(batch_size) }.assert_bits_match(4);
            Case { data, has_sample_weights, input_noise_std: 0.1, ..case(batch_size) }.assert_bits_match(4);
        }
        Case { shuffle: false, ..case(batch_size) }.assert_bits_match(4);
        Case { has_sample_weights: true, ..case(batch_size) }.assert_bits_match(4);
        let subset = |member: usize| match member {
            0..2 => Subset::All,
            seed => Subset::Bootstrap { seed: seed as u64 },
        };
        Case { subset, ..case(batch_size) }.assert_bits_match(5);
        let subset = |member: usize| Subset::Range { start: member, len: 11 };
        Case { subset, ..case(batch_size) }.assert_bits_match(5);
        let network = Network::new(3).dense(9, Activation::Relu).dropout(0.3).dense(2, Activation::Tanh).dropout(0.5);
        Case { network: network.dense(3, Activation::Identity), ..case(batch_size) }.assert_bits_match(16);
    }
}

#[test]
fn reduce_sum_adds_the_upper_half_of_the_lanes_to_the_lower_half() {
    struct Sum([f32; LANES]);
    impl WithSimd for Sum {
        type Output = ();
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(mut values) = self;
            let sum = simd.reduce_sum_f32s(S::as_simd_f32s(&values).0[0]);
            let mut half = S::F32_LANES / 2;
            while half > 0 {
                (0..half).for_each(|i| values[i] += values[i + half]);
                half /= 2;
            }
            assert_eq!(sum.to_bits(), values[0].to_bits());
        }
    }
    for (seed, rows) in (0..50).flat_map(|seed| [(seed, 1), (seed, 100)]) {
        let values = pseudo_random(LANES, seed).try_into().unwrap();
        let network = network(Activation::Tanh, 1, Activation::Tanh);
        let config = SmallNetworkConfig { loss: Loss::Mse, is_multi_label: false, rows, has_sample_weights: false };
        SmallNetwork::new(&network, &config).unwrap().arch.dispatch(Sum(values));
    }
}
