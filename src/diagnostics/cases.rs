//! The cases of the self-test: every activation, loss, optimizer, tile and scheme, and every property of a data set,
//! each at least once. The tests of gradus use the same cases, and more sizes.

use crate::{
    diagnostics::case::{Case, PlanVariant, SMALL_TILE, network},
    nn::{activation::Activation, loss::Loss, network::Network},
    optim::{optimizer::Optimizer, schedule::Schedule},
    plan::matmul::Tile,
};

/// The number of steps of every case. It covers an epoch with a smaller last batch.
const CASE_STEPS: usize = 4;

/// The group of a case, the case, and its number of steps.
pub(crate) type ListedCase = (&'static str, Case, usize);

/// Returns all cases for a device that supports these tiles.
pub(crate) fn all(tiles: &[Tile]) -> Vec<ListedCase> {
    let mut all = Vec::new();
    let mut add =
        |group: &'static str, cases: Vec<Case>| all.extend(cases.into_iter().map(|case| (group, case, CASE_STEPS)));
    add("matmuls", matmuls(tiles));
    add("schemes", variants());
    add("activations and losses", activations_and_losses());
    add("optimizers", optimizers());
    add("normalizations and PReLU", normalizations_and_prelus());
    add("dropout", dropout());
    add("full gradients", full_gradients());
    add("data", data_variants());
    all
}

/// Returns a case for every tile, with several tiles in each dimension. Every second case uses split-K.
fn matmuls(tiles: &[Tile]) -> Vec<Case> {
    let case = |(i, tile): (usize, &Tile)| {
        let [height, width, _] = tile.dims();
        let network = network(&[width + 5, height + 3, 9], Activation::Sigmoid);
        let variant = PlanVariant::Layered(*tile, [1, 3][i % 2]);
        Case {
            batch_size: 2 * height + 7,
            rows: 5 * height,
            member_count: [1, 3][i % 2],
            ..Case::new(network, variant)
        }
    };
    tiles.iter().enumerate().map(case).collect()
}

/// Returns cases for all schemes. Most other groups use the layered scheme.
fn variants() -> Vec<Case> {
    let case = |widths: &[usize], variant, member_count| Case {
        member_count,
        ..Case::new(network(widths, Activation::Tanh), variant)
    };
    let wide = Tile::SlicedK { invocations: 64, slices: 8 };
    vec![
        // Several blocks per workgroup, a smaller last block, and more gradients than one per invocation.
        Case { batch_size: 70, rows: 150, ..case(&[5, 33, 36, 3], PlanVariant::Fused(16), 3) },
        Case { batch_size: 19, rows: 40, ..case(&[13, 11, 3], PlanVariant::SingleWorkgroup(wide), 3) },
        case(&[5, 3, 4, 2], PlanVariant::SingleInvocation, 9),
        Case {
            compares_outputs: true,
            network: network(&[4, 5], Activation::Softmax),
            ..softmax(PlanVariant::Layered(Tile::Register, 1))
        },
        // Several workgroups compute the metrics of this batch.
        Case { batch_size: 150, rows: 400, has_sample_weights: true, ..case(&[3, 1], PlanVariant::Planned, 1) },
        softmax(PlanVariant::SingleWorkgroup(SMALL_TILE)),
    ]
}

/// Returns a case with a softmax output.
fn softmax(variant: PlanVariant) -> Case {
    let network = network(&[4, 6], Activation::Tanh).dense(5, Activation::Softmax);
    Case {
        loss: Loss::SoftmaxCrossEntropy,
        has_class_targets: true,
        has_sample_weights: true,
        ..Case::new(network, variant)
    }
}

/// Returns a case for every loss, with two activations each. The single-invocation scheme compiles fastest, and plain
/// gradient descent does not hide errors of the gradients.
fn activations_and_losses() -> Vec<Case> {
    let case = |(i, loss): (usize, &Loss)| {
        let [first, second] = [2 * i, 2 * i + 1].map(|i| Activation::ALL[i % Activation::ALL.len()]);
        // The derivative of tanh is never 0, so every error reaches the loss.
        let last = loss.required_output_activation().unwrap_or(Activation::Tanh);
        let outputs = [3, 1, 4][i % 3].max(if loss.needs_full_row() { 2 } else { 1 });
        let network = Network::new(3).dense(4, first).dense(3, second).dense(outputs, last);
        Case { loss: *loss, optimizer: Optimizer::sgd(0.3), ..Case::new(network, PlanVariant::SingleInvocation) }
    };
    Loss::ALL.iter().enumerate().map(case).collect()
}

/// Returns a case for every optimizer, and for the options of an update.
fn optimizers() -> Vec<Case> {
    let with_options = [
        Optimizer::sgd(0.1).l1(0.01).weight_decay(0.02).regularize_biases(false),
        Optimizer::sgd(0.2).decoupled_weight_decay(0.3).ema(0.9),
        Optimizer::momentum(0.1, 0.9).clip_value(0.01),
    ];
    let case = |optimizer: &Optimizer| {
        let network = network(&[3, 2], Activation::Tanh);
        Case { optimizer: *optimizer, member_count: 2, ..Case::new(network, PlanVariant::SingleInvocation) }
    };
    Optimizer::ALL.iter().chain(&with_options).map(case).collect()
}

/// Returns cases for layer normalization, in a layer wider than a workgroup, for batch normalization and for PReLU.
fn normalizations_and_prelus() -> Vec<Case> {
    let (tanh, prelu) = (Activation::Tanh, Activation::Prelu { initial_slope: 0.25 });
    let layer_norm = Network::new(5).dense(70, Activation::Gelu).layer_norm().dropout(0.3).dense(3, tanh);
    let batch_norm = Network::new(5).dense(9, Activation::Silu).batch_norm().dense(3, tanh);
    let prelus = Network::new(5).dense(9, prelu).dense(6, prelu).dense(3, tanh);
    let [sgd, momentum] = [Optimizer::sgd(0.5), Optimizer::momentum(0.1, 0.9).clip_norm(0.3)];
    let planned = |network| Case::new(network, PlanVariant::Planned);
    vec![
        Case { optimizer: sgd, ..planned(layer_norm) },
        Case { optimizer: momentum, gradient_accumulation: 2, compares_outputs: true, ..planned(batch_norm) },
        Case { optimizer: sgd, member_count: 3, ..Case::new(prelus, PlanVariant::Layered(Tile::Register, 2)) },
    ]
}

/// Returns cases with dropout. The device must drop the same outputs as the host code, for every member.
fn dropout() -> Vec<Case> {
    let network = Network::new(5).dense(9, Activation::Silu).dropout(0.4).dense(3, Activation::Sigmoid);
    vec![
        Case { member_count: 3, ..Case::new(network.clone(), PlanVariant::Layered(Tile::Register, 2)) },
        Case::new(network.clone(), PlanVariant::SingleWorkgroup(SMALL_TILE)),
        Case { member_count: 3, has_member_dropouts: true, ..Case::new(network, PlanVariant::Planned) },
    ]
}

/// Returns cases that need complete gradients before the first update, because of clipping or gradient accumulation.
fn full_gradients() -> Vec<Case> {
    let momentum = Optimizer::momentum(0.7, 0.9);
    let clipped = momentum.clip_norm(0.05).weight_decay(0.1).regularize_biases(false);
    let plain = |variant| Case::new(network(&[6, 9, 5], Activation::Tanh), variant);
    vec![
        Case { optimizer: momentum.clip_norm(0.1), ..plain(PlanVariant::Layered(Tile::Register, 1)) },
        Case {
            optimizer: clipped,
            gradient_accumulation: 2,
            member_count: 3,
            ..plain(PlanVariant::Layered(Tile::Register, 3))
        },
        Case { optimizer: clipped, gradient_accumulation: 2, ..plain(PlanVariant::SingleWorkgroup(SMALL_TILE)) },
        enlarge(Case::new(Network::new(6), PlanVariant::Layered(Tile::Register, 1)), 1e25),
        enlarge(
            Case { gradient_accumulation: 2, ..Case::new(Network::new(6), PlanVariant::SingleWorkgroup(SMALL_TILE)) },
            1e19,
        ),
    ]
}

/// Returns a case with clipped gradients and large features, so that the squares of the gradients overflow f32.
pub(crate) fn enlarge(case: Case, magnitude: f32) -> Case {
    let network = Network::new(6).dense(5, Activation::Identity).dense(3, Activation::Identity);
    Case { network, loss: Loss::L1, optimizer: Optimizer::sgd(0.5).clip_norm(0.5), magnitude, ..case }
}

/// Returns a case with several labels per row.
fn multi_label(case: Case) -> Case {
    let network = network(&[6, 5], Activation::Sigmoid);
    Case { network, loss: Loss::BinaryCrossEntropy, is_multi_label: true, ..case }
}

/// Returns cases for the properties of a data set: bytes, classes, labels, sample weights, scalers, noise, subsets,
/// small bindings and the order of the rows.
fn data_variants() -> Vec<Case> {
    let three_members =
        || Case { member_count: 3, ..Case::new(network(&[6, 4], Activation::Tanh), PlanVariant::SingleInvocation) };
    let one_member =
        || Case { member_count: 1, ..Case::new(network(&[6, 1], Activation::Sigmoid), PlanVariant::SingleInvocation) };
    vec![
        Case { has_byte_features: true, has_sample_weights: true, ..three_members() },
        Case { has_class_targets: true, has_sample_weights: true, is_scaled: true, ..three_members() },
        multi_label(Case { has_sample_weights: true, ..three_members() }),
        multi_label(Case::new(Network::new(6), PlanVariant::Layered(Tile::Register, 1))),
        Case { input_noise_std: 0.3, is_scaled: true, has_byte_features: true, ..three_members() },
        Case {
            input_noise_std: 0.3,
            has_sample_weights: true,
            ..Case::new(three_members().network, PlanVariant::Layered(Tile::Register, 1))
        },
        Case { has_subsets: true, member_count: 4, ..three_members() },
        Case { has_subsets: true, member_count: 4, shuffle: false, ..three_members() },
        Case { shuffle: false, schedule: Schedule::cosine(3), ..one_member() },
        Case { rows: 900, max_binding_bytes: Some(8 << 10), ..one_member() },
        Case { has_class_targets: true, ..one_member() },
        Case { drop_last: true, ..three_members() },
        Case {
            drop_last: true,
            has_subsets: true,
            member_count: 4,
            gradient_accumulation: 2,
            ..Case::new(three_members().network, PlanVariant::Planned)
        },
    ]
}
