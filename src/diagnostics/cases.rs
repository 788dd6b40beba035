//! The list of what is trained beside the reference: every member of every family, every tile, every form and all that
//! data may bring, each at least once. Tests walk the same, and more sizes.

use crate::{
    diagnostics::case::{Case, PlanVariant, SMALL_TILE, network},
    nn::{activation::Activation, loss::Loss, network::Network},
    optim::{optimizer::Optimizer, schedule::Schedule},
    plan::Tile,
};

/// Small numbers whose sums take several steps and where batches end short.
const CASE_STEPS: usize = 4;

/// A case, what it is there for, and how many steps it trains.
pub(crate) type ListedCase = (&'static str, Case, usize);

/// All cases for a device that runs these tiles.
pub(crate) fn all(tiles: &[Tile]) -> Vec<ListedCase> {
    let mut all = Vec::new();
    let mut add =
        |part: &'static str, cases: Vec<Case>| all.extend(cases.into_iter().map(|case| (part, case, CASE_STEPS)));
    add("products", matmuls(tiles));
    add("forms", variants());
    add("activations and losses", activations_and_losses());
    add("optimizers", optimizers());
    add("norms and slopes", normalizations_and_prelus());
    add("dropout", dropout());
    add("whole gradients", full_gradients());
    add("data", data_variants());
    all
}

/// Every tile, at a size with several rounds and several blocks of rows, in one part and in several.
fn matmuls(tiles: &[Tile]) -> Vec<Case> {
    let case = |(i, tile): (usize, &Tile)| {
        let [height, width, _] = tile.dims();
        let network = network(&[width + 5, height + 3, 9], Activation::Sigmoid);
        let form = PlanVariant::Layered(*tile, [1, 3][i % 2]);
        Case { batch_size: 2 * height + 7, rows: 5 * height, member_count: [1, 3][i % 2], ..Case::new(network, form) }
    };
    tiles.iter().enumerate().map(case).collect()
}

/// Every form but the layered one, which most of the others take, in which networks are trained whole.
fn variants() -> Vec<Case> {
    let of = |widths: &[usize], form, models| Case {
        member_count: models,
        ..Case::new(network(widths, Activation::Tanh), form)
    };
    let wide = Tile::SlicedK { invocations: 64, slices: 8 };
    vec![
        // Several blocks a workgroup, the last of them short, and more gradients than one block an invocation.
        Case { batch_size: 70, rows: 150, ..of(&[5, 33, 36, 3], PlanVariant::Fused(16), 3) },
        Case { batch_size: 19, rows: 40, ..of(&[13, 11, 3], PlanVariant::SingleWorkgroup(wide), 3) },
        of(&[5, 3, 4, 2], PlanVariant::SingleInvocation, 9),
        Case {
            compares_outputs: true,
            network: network(&[4, 5], Activation::Softmax),
            ..softmax(PlanVariant::Layered(Tile::Register, 1))
        },
        // So many rows that several workgroups judge them.
        Case { batch_size: 150, rows: 400, has_sample_weights: true, ..of(&[3, 1], PlanVariant::Planned, 1) },
        softmax(PlanVariant::SingleWorkgroup(SMALL_TILE)),
    ]
}

/// A network that ends in a softmax.
fn softmax(variant: PlanVariant) -> Case {
    let network = network(&[4, 6], Activation::Tanh).dense(5, Activation::Softmax);
    Case {
        loss: Loss::SoftmaxCrossEntropy,
        has_class_targets: true,
        has_sample_weights: true,
        ..Case::new(network, variant)
    }
}

/// Every loss, and beside it the activations, two at a time, in the form that is the quickest to compile and under the
/// plainest rule, which hides nothing.
fn activations_and_losses() -> Vec<Case> {
    let case = |(i, loss): (usize, &Loss)| {
        let [one, other] = [2 * i, 2 * i + 1].map(|i| Activation::ALL[i % Activation::ALL.len()]);
        // One that is never dead: what does not reach the loss cannot show there.
        let last = loss.required_output_activation().unwrap_or(Activation::Tanh);
        let outputs = [3, 1, 4][i % 3].max(if loss.needs_full_row() { 2 } else { 1 });
        let network = Network::new(3).dense(4, one).dense(3, other).dense(outputs, last);
        Case { loss: *loss, optimizer: Optimizer::sgd(0.3), ..Case::new(network, PlanVariant::SingleInvocation) }
    };
    Loss::ALL.iter().enumerate().map(case).collect()
}

/// Every rule, and what stands around one.
fn optimizers() -> Vec<Case> {
    let more = [
        Optimizer::sgd(0.1).l1(0.01).weight_decay(0.02).spare_biases(),
        Optimizer::sgd(0.2).decoupled_weight_decay(0.3).ema(0.9),
        Optimizer::momentum(0.1, 0.9).clip_value(0.01),
    ];
    let case = |optimizer: &Optimizer| {
        let network = network(&[3, 2], Activation::Tanh);
        Case { optimizer: *optimizer, member_count: 2, ..Case::new(network, PlanVariant::SingleInvocation) }
    };
    Optimizer::ALL.iter().chain(&more).map(case).collect()
}

/// What lies between a layer's sum and its activation, or beside it: one wider than a workgroup, and one of each.
fn normalizations_and_prelus() -> Vec<Case> {
    let (tanh, prelu) = (Activation::Tanh, Activation::Prelu { initial_slope: 0.25 });
    let layer = Network::new(5).dense(70, Activation::Gelu).layer_norm().dropout(0.3).dense(3, tanh);
    let batch = Network::new(5).dense(9, Activation::Silu).batch_norm().dense(3, tanh);
    let slopes = Network::new(5).dense(9, prelu).dense(6, prelu).dense(3, tanh);
    let [sgd, momentum] = [Optimizer::sgd(0.5), Optimizer::momentum(0.1, 0.9).clip_norm(0.3)];
    let planned = |network| Case::new(network, PlanVariant::Planned);
    vec![
        Case { optimizer: sgd, ..planned(layer) },
        Case { optimizer: momentum, gradient_accumulation: 2, compares_outputs: true, ..planned(batch) },
        Case { optimizer: sgd, member_count: 3, ..Case::new(slopes, PlanVariant::Layered(Tile::Register, 2)) },
    ]
}

/// The same outputs are dropped as the host's code says, by models with other seeds others.
fn dropout() -> Vec<Case> {
    let network = Network::new(5).dense(9, Activation::Silu).dropout(0.4).dense(3, Activation::Sigmoid);
    vec![
        Case { member_count: 3, ..Case::new(network.clone(), PlanVariant::Layered(Tile::Register, 2)) },
        Case::new(network.clone(), PlanVariant::SingleWorkgroup(SMALL_TILE)),
        Case { member_count: 3, has_member_dropouts: true, ..Case::new(network, PlanVariant::Planned) },
    ]
}

/// Where the gradients have to be whole before the first parameter changes: they are clipped, or batches are accumulated.
fn full_gradients() -> Vec<Case> {
    let momentum = Optimizer::momentum(0.7, 0.9);
    let clipped = momentum.clip_norm(0.05).weight_decay(0.1).spare_biases();
    let plain = |form| Case::new(network(&[6, 9, 5], Activation::Tanh), form);
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

/// Gradients that are clipped, with features so large that the squares of the gradients exceed f32.
pub(crate) fn enlarge(case: Case, magnitude: f32) -> Case {
    let network = Network::new(6).dense(5, Activation::Identity).dense(3, Activation::Identity);
    Case { network, loss: Loss::L1, optimizer: Optimizer::sgd(0.5).clip_norm(0.5), magnitude, ..case }
}

/// Several outputs, each of which is a label.
fn multi_label(case: Case) -> Case {
    let network = network(&[6, 5], Activation::Sigmoid);
    Case { network, loss: Loss::BinaryCrossEntropy, is_multi_label: true, ..case }
}

/// What the rows bring: bytes, classes, weights, scales, noise, rows for each network, shards, and their order.
fn data_variants() -> Vec<Case> {
    let lane =
        || Case { member_count: 3, ..Case::new(network(&[6, 4], Activation::Tanh), PlanVariant::SingleInvocation) };
    let single =
        || Case { member_count: 1, ..Case::new(network(&[6, 1], Activation::Sigmoid), PlanVariant::SingleInvocation) };
    vec![
        Case { has_byte_features: true, has_sample_weights: true, ..lane() },
        Case { has_class_targets: true, has_sample_weights: true, is_scaled: true, ..lane() },
        multi_label(Case { has_sample_weights: true, ..lane() }),
        multi_label(Case::new(Network::new(6), PlanVariant::Layered(Tile::Register, 1))),
        Case { input_noise_std: 0.3, is_scaled: true, has_byte_features: true, ..lane() },
        Case {
            input_noise_std: 0.3,
            has_sample_weights: true,
            ..Case::new(lane().network, PlanVariant::Layered(Tile::Register, 1))
        },
        Case { has_subsets: true, member_count: 4, ..lane() },
        Case { has_subsets: true, member_count: 4, shuffle: false, ..lane() },
        Case { shuffle: false, schedule: Schedule::cosine(3), ..single() },
        Case { rows: 900, max_binding_bytes: Some(8 << 10), ..single() },
        Case { has_class_targets: true, ..single() },
        Case { drop_last: true, ..lane() },
        Case {
            drop_last: true,
            has_subsets: true,
            member_count: 4,
            gradient_accumulation: 2,
            ..Case::new(lane().network, PlanVariant::Planned)
        },
    ]
}
