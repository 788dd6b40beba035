use crate::{
    data::{
        features::Features,
        subset::{Subset, SubsetParams},
    },
    engine::cpu::{dataset_run::CpuDatasetRun, engine::Engine, group::*},
    nn::{activation::Activation, init::Init, loss::Loss},
    optim::schedule::Schedule,
};

const ROWS: usize = 45;

/// Numbers between -1 and 1 without a pattern.
fn numbers(count: usize, first: usize) -> Vec<f32> {
    (0..count).map(|i| ((i + 1000 * first) as f32 * 12.9898).sin()).collect()
}

/// Networks that train in a group, and each by itself.
struct Case {
    network: Network,
    data: Dataset,
    batch: usize,
    loss: Loss,
    optimizer: Optimizer,
    gradient_accumulation: u64,
    shuffle: bool,
    input_noise_std: f32,
    has_sample_weights: bool,
    drop_last: bool,
    rows: fn(usize) -> Subset,
}

impl Case {
    fn new(network: Network, loss: Loss, optimizer: Optimizer, batch: usize) -> Self {
        let (inputs, outputs) = (network.inputs(), network.outputs());
        let answers: Vec<f32> = numbers(ROWS * outputs, 2).iter().map(|t| f32::from(*t > 0.0)).collect();
        let data = Dataset::new(ROWS, numbers(ROWS * inputs, 1), answers).unwrap();
        let network = network.init(Init::GlorotUniform, Init::Uniform { limit: 0.1 });
        let (accumulate, shuffle, noise, weighted, drop_last, rows) = (1, true, 0.0, false, false, |_| Subset::All);
        Self {
            network,
            data,
            batch,
            loss,
            optimizer,
            gradient_accumulation: accumulate,
            shuffle,
            input_noise_std: noise,
            has_sample_weights: weighted,
            drop_last,
            rows,
        }
    }

    /// A course of which every number is the member's own.
    fn generator(&self, member: usize) -> StepGenerator {
        let share = 1.0 + member as f64 / 10.0;
        let mut optimizer = self.optimizer;
        optimizer.learning_rate *= share;
        optimizer.weight_decay += 0.01 * (member % 3) as f64;
        let schedule = if member.is_multiple_of(2) { Schedule::Constant } else { Schedule::exponential(0.99 / share) };
        let subset = SubsetParams::new((self.rows)(member), ROWS).unwrap();
        let rows = subset.map_or(ROWS, |subset| subset.rows as usize);
        let (outputs, loss, accumulate) = (self.network.outputs(), self.loss, self.gradient_accumulation);
        let (batch, seed, drop_last) = (self.batch.min(rows), 40 + member as u64, self.drop_last);
        let plain = StepGenerator::plain(rows, batch);
        StepGenerator {
            subset,
            outputs,
            loss,
            optimizer,
            schedule,
            gradient_accumulation: accumulate,
            seed,
            drop_last,
            ..plain
        }
    }

    fn compare(&self, count: usize) {
        let how = (self.shuffle, self.input_noise_std);
        let kind =
            GroupConfig::new(&self.network, &self.generator(0), &self.data, self.has_sample_weights, how, &mut None)
                .expect("it is covered");
        let count = count.min(kind.lanes);
        let engine = |member: usize| {
            let first = self.network.initial_parameters(40 + member as u64).unwrap();
            Engine::new(&self.network, &self.generator(member), self.has_sample_weights, first, Some(1)).unwrap()
        };
        let mut alone: Vec<Engine> = (0..count).map(engine).collect();
        let mut group = LaneGroup::new(&kind);
        for (member, engine) in alone.iter().enumerate() {
            group.push(
                &kind,
                GroupMember { member, generator: self.generator(member), steps_since_reset: 0 },
                &engine.training_state(),
            );
        }
        let what = format!(
            "{:?}, {}, {:?}, batch {}, accumulated {}",
            self.network.layers(),
            self.loss,
            self.optimizer,
            self.batch,
            self.gradient_accumulation
        );
        let resident = CpuDatasetRun {
            data: &self.data,
            shuffle: self.shuffle,
            input_noise_std: self.input_noise_std,
            has_sample_weights: self.has_sample_weights,
        };
        for (first, steps) in [(0, 9), (9, 4)] {
            let mut ours = vec![RunReport::default(); count];
            group.run(&kind, first, steps, &mut ours.iter_mut().collect::<Vec<_>>());
            for (member, engine) in alone.iter_mut().enumerate() {
                let mut theirs = RunReport::default();
                resident.run(engine, self.generator(member), first..first + steps, first, &mut theirs);
                assert_eq!(ours[member], theirs, "{what}: {member}");
                let (ours, theirs) = (group.training_state(&kind, member), engine.training_state());
                let bits = |values: &[f32]| values.iter().map(|p| p.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&ours.parameters), bits(&theirs.parameters), "{what}: {member}");
                assert_eq!(ours, theirs, "{what}: {member}");
            }
        }
    }
}

fn network(hidden: Activation, outputs: usize, last: Activation) -> Network {
    Network::new(3).dense(5, hidden).dense(2, hidden).dense(outputs, last)
}

#[test]
fn each_network_has_the_bits_that_it_has_alone_whatever_the_batch() {
    for batch in 1..=40 {
        let small = network(Activation::Sigmoid, 1, Activation::Sigmoid);
        Case::new(small, Loss::Mse, Optimizer::sgd(0.5), batch).compare(16);
        let softmax = network(Activation::Tanh, 3, Activation::Identity);
        Case::new(softmax, Loss::SoftmaxCrossEntropy, Optimizer::adam(0.01), batch).compare(3);
    }
}

#[test]
fn each_network_has_the_bits_that_it_has_alone_whatever_its_functions() {
    for activation in Activation::ALL.iter().filter(|a| !a.has_parameters() && **a != Activation::Softmax) {
        for batch in [4, 20] {
            let network = network(*activation, 2, *activation);
            Case::new(network, Loss::Mse, Optimizer::sgd(0.05), batch).compare(3);
        }
    }
    for loss in Loss::ALL {
        for (outputs, batch) in [(1, 4), (3, 7), (3, 20), (17, 5)] {
            let last = loss.required_output_activation().unwrap_or(Activation::Tanh);
            let case = Case::new(network(Activation::Gelu, outputs, last), *loss, Optimizer::sgd(0.05), batch);
            case.compare(4);
            Case { has_sample_weights: true, data: weights(case.data.clone()), ..case }.compare(4);
        }
    }
}

fn weights(data: Dataset) -> Dataset {
    data.with_sample_weights((0..ROWS).map(|row| (row % 5) as f32 * 0.5).collect::<Vec<_>>()).unwrap()
}

#[test]
fn each_network_has_the_bits_that_it_has_alone_whatever_the_optimizer() {
    let spared = Optimizer::adam(0.01).decoupled_weight_decay(0.1).spare_biases();
    let clipped = [Optimizer::momentum(0.1, 0.9).clip_norm(0.01), Optimizer::sgd(0.1).clip_norm(0.05).ema(0.9)];
    for optimizer in Optimizer::ALL.iter().chain(&clipped).chain([&spared]) {
        for (accumulate, batch) in [(1, 4), (3, 10)] {
            let network = network(Activation::Tanh, 2, Activation::Identity);
            Case { gradient_accumulation: accumulate, ..Case::new(network, Loss::Mse, *optimizer, batch) }.compare(4);
        }
    }
}

#[test]
fn each_network_has_the_bits_that_it_has_alone_whatever_its_rows() {
    let small = || network(Activation::Silu, 3, Activation::Identity);
    let case = |batch| Case::new(small(), Loss::SoftmaxCrossEntropy, Optimizer::momentum(0.05, 0.9), batch);
    let bytes: Vec<u8> = (0..ROWS * 3).map(|i| (i * 37 % 256) as u8).collect();
    let classes: Vec<u32> = (0..ROWS as u32).map(|row| row * 7 % 3).collect();
    let bytes = Dataset::new(ROWS, Features::bytes(bytes, 1.0 / 255.0), classes).unwrap();
    let scaler = crate::data::scaling::Scaler::new([0.1, 0.2, 0.3], [2.0, 0.5, 1.5]).unwrap();
    for batch in [4, 10, 33] {
        let plain = case(batch).data;
        for data in [bytes.clone(), plain.clone().with_scaler(&scaler).unwrap(), weights(plain)] {
            let weighted = data.sample_weights().is_some();
            Case { data: data.clone(), has_sample_weights: weighted, ..case(batch) }.compare(4);
            Case { data, has_sample_weights: weighted, input_noise_std: 0.1, ..case(batch) }.compare(4);
        }
        Case { shuffle: false, ..case(batch) }.compare(4);
        Case { has_sample_weights: true, ..case(batch) }.compare(4);
        let rows = |member| match member {
            0..2 => Subset::All,
            seed => Subset::Bootstrap { seed: seed as u64 },
        };
        Case { rows, ..case(batch) }.compare(5);
        Case { rows: |first| Subset::Range { start: first, len: 11 }, ..case(batch) }.compare(5);
        let network = Network::new(3).dense(9, Activation::Relu).dropout(0.3).dense(2, Activation::Tanh).dropout(0.5);
        Case { network: network.dense(3, Activation::Identity), ..case(batch) }.compare(16);
    }
}

#[test]
fn lanes_of_one_network_are_summed_half_to_half() {
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
    for (first, rows) in (0..50).flat_map(|first| [(first, 1), (first, 100)]) {
        let values = numbers(LANES, first).try_into().unwrap();
        let network = network(Activation::Tanh, 1, Activation::Tanh);
        SmallNetwork::new(&network, (Loss::Mse, false), rows, false).unwrap().arch.dispatch(Sum(values));
    }
}
