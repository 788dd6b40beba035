//! The list of what is trained beside the reference: every member of every family, every tile, every form and all that
//! data may bring, each at least once. Tests walk the same, and more sizes.

use crate::{
    diagnostics::case::{Case, Form, SMALL, network},
    nn::{activation::Activation, loss::Loss, network::Network},
    optim::{optimizer::Optimizer, schedule::Schedule},
    plan::Tile,
};

/// Small numbers whose sums take several steps and where batches end short.
const STEPS: usize = 4;

/// A case, what it is there for, and how many steps it trains.
pub(crate) type Listed = (&'static str, Case, usize);

/// All cases for a device that runs these tiles.
pub(crate) fn all(tiles: &[Tile]) -> Vec<Listed> {
    let mut all = Vec::new();
    let mut add = |part: &'static str, cases: Vec<Case>| all.extend(cases.into_iter().map(|case| (part, case, STEPS)));
    add("products", products(tiles));
    add("forms", forms());
    add("activations and losses", activations_and_losses());
    add("optimizers", optimizers());
    add("norms and slopes", norms_and_slopes());
    add("dropout", dropout());
    add("whole gradients", whole_gradients());
    add("data", data());
    all
}

/// Every tile, at a size with several rounds and several blocks of rows, in one part and in several.
fn products(tiles: &[Tile]) -> Vec<Case> {
    let case = |(i, tile): (usize, &Tile)| {
        let [height, width, _] = tile.size();
        let network = network(&[width + 5, height + 3, 9], Activation::Sigmoid);
        let form = Form::Layered(*tile, [1, 3][i % 2]);
        Case { batch: 2 * height + 7, rows: 5 * height, models: [1, 3][i % 2], ..Case::new(network, form) }
    };
    tiles.iter().enumerate().map(case).collect()
}

/// Every form but the layered one, which most of the others take, in which networks are trained whole.
fn forms() -> Vec<Case> {
    let of = |widths: &[usize], form, models| Case { models, ..Case::new(network(widths, Activation::Tanh), form) };
    let wide = Tile::Sliced { lanes: 64, split: 8 };
    vec![
        // Several blocks a workgroup, the last of them short, and more gradients than one block an invocation.
        Case { batch: 70, rows: 150, ..of(&[5, 33, 36, 3], Form::Fused(16), 3) },
        Case { batch: 19, rows: 40, ..of(&[13, 11, 3], Form::Tiny(wide), 3) },
        of(&[5, 3, 4, 2], Form::Lane, 9),
        Case {
            answers: true,
            network: network(&[4, 5], Activation::Softmax),
            ..softmax(Form::Layered(Tile::Plain, 1))
        },
        // So many rows that several workgroups judge them.
        Case { batch: 150, rows: 400, weighted: true, ..of(&[3, 1], Form::Planned, 1) },
        softmax(Form::Tiny(SMALL)),
    ]
}

/// A network that ends in a softmax.
fn softmax(form: Form) -> Case {
    let network = network(&[4, 6], Activation::Tanh).dense(5, Activation::Softmax);
    Case { loss: Loss::SoftmaxCrossEntropy, classes: true, weighted: true, ..Case::new(network, form) }
}

/// Every loss, and beside it the activations, two at a time, in the form that is the quickest to compile and under the
/// plainest rule, which hides nothing.
fn activations_and_losses() -> Vec<Case> {
    let case = |(i, loss): (usize, &Loss)| {
        let [one, other] = [2 * i, 2 * i + 1].map(|i| Activation::ALL[i % Activation::ALL.len()]);
        // One that is never dead: what does not reach the loss cannot show there.
        let last = loss.output_activation().unwrap_or(Activation::Tanh);
        let outputs = [3, 1, 4][i % 3].max(if loss.looks_at_the_row() { 2 } else { 1 });
        let network = Network::new(3).dense(4, one).dense(3, other).dense(outputs, last);
        Case { loss: *loss, optimizer: Optimizer::sgd(0.3), ..Case::new(network, Form::Lane) }
    };
    Loss::ALL.iter().enumerate().map(case).collect()
}

/// Every rule, and what stands around one.
fn optimizers() -> Vec<Case> {
    let more = [
        Optimizer::sgd(0.1).l1(0.01).weight_decay(0.02).spare_biases(),
        Optimizer::sgd(0.2).decoupled_decay(0.3).average(0.9),
        Optimizer::momentum(0.1, 0.9).clip_value(0.01),
    ];
    let case = |optimizer: &Optimizer| {
        let network = network(&[3, 2], Activation::Tanh);
        Case { optimizer: *optimizer, models: 2, ..Case::new(network, Form::Lane) }
    };
    Optimizer::ALL.iter().chain(&more).map(case).collect()
}

/// What lies between a layer's sum and its activation, or beside it: one wider than a workgroup, and one of each.
fn norms_and_slopes() -> Vec<Case> {
    let (tanh, prelu) = (Activation::Tanh, Activation::Prelu { slope: 0.25 });
    let layer = Network::new(5).dense(70, Activation::Gelu).layer_norm().dropout(0.3).dense(3, tanh);
    let batch = Network::new(5).dense(9, Activation::Silu).batch_norm().dense(3, tanh);
    let slopes = Network::new(5).dense(9, prelu).dense(6, prelu).dense(3, tanh);
    let [sgd, momentum] = [Optimizer::sgd(0.5), Optimizer::momentum(0.1, 0.9).clip_norm(0.3)];
    let planned = |network| Case::new(network, Form::Planned);
    vec![
        Case { optimizer: sgd, ..planned(layer) },
        Case { optimizer: momentum, accumulate: 2, answers: true, ..planned(batch) },
        Case { optimizer: sgd, models: 3, ..Case::new(slopes, Form::Layered(Tile::Plain, 2)) },
    ]
}

/// The same outputs are dropped as the host's code says, by models with other seeds others.
fn dropout() -> Vec<Case> {
    let network = Network::new(5).dense(9, Activation::Silu).dropout(0.4).dense(3, Activation::Sigmoid);
    vec![
        Case { models: 3, ..Case::new(network.clone(), Form::Layered(Tile::Plain, 2)) },
        Case::new(network.clone(), Form::Tiny(SMALL)),
        Case { models: 3, dropouts: true, ..Case::new(network, Form::Planned) },
    ]
}

/// Where the gradients have to be whole before the first parameter changes: they are clipped, or batches are accumulated.
fn whole_gradients() -> Vec<Case> {
    let momentum = Optimizer::momentum(0.7, 0.9);
    let clipped = momentum.clip_norm(0.05).weight_decay(0.1).spare_biases();
    let plain = |form| Case::new(network(&[6, 9, 5], Activation::Tanh), form);
    vec![
        Case { optimizer: momentum.clip_norm(0.1), ..plain(Form::Layered(Tile::Plain, 1)) },
        Case { optimizer: clipped, accumulate: 2, models: 3, ..plain(Form::Layered(Tile::Plain, 3)) },
        Case { optimizer: clipped, accumulate: 2, ..plain(Form::Tiny(SMALL)) },
        enlarged(Case::new(Network::new(6), Form::Layered(Tile::Plain, 1)), 1e25),
        enlarged(Case { accumulate: 2, ..Case::new(Network::new(6), Form::Tiny(SMALL)) }, 1e19),
    ]
}

/// Gradients that are clipped, with features so large that the squares of the gradients exceed f32.
pub(crate) fn enlarged(case: Case, magnitude: f32) -> Case {
    let network = Network::new(6).dense(5, Activation::Identity).dense(3, Activation::Identity);
    Case { network, loss: Loss::L1, optimizer: Optimizer::sgd(0.5).clip_norm(0.5), magnitude, ..case }
}

/// Several outputs, each of which is a label.
fn labels(case: Case) -> Case {
    let network = network(&[6, 5], Activation::Sigmoid);
    Case { network, loss: Loss::BinaryCrossEntropy, labels: true, ..case }
}

/// What the rows bring: bytes, classes, weights, scales, noise, rows for each network, shards, and their order.
fn data() -> Vec<Case> {
    let lane = || Case { models: 3, ..Case::new(network(&[6, 4], Activation::Tanh), Form::Lane) };
    let single = || Case { models: 1, ..Case::new(network(&[6, 1], Activation::Sigmoid), Form::Lane) };
    vec![
        Case { bytes: true, weighted: true, ..lane() },
        Case { classes: true, weighted: true, scaled: true, ..lane() },
        labels(Case { weighted: true, ..lane() }),
        labels(Case::new(Network::new(6), Form::Layered(Tile::Plain, 1))),
        Case { noise: 0.3, scaled: true, bytes: true, ..lane() },
        Case { noise: 0.3, weighted: true, ..Case::new(lane().network, Form::Layered(Tile::Plain, 1)) },
        Case { subsets: true, models: 4, ..lane() },
        Case { subsets: true, models: 4, shuffle: false, ..lane() },
        Case { shuffle: false, schedule: Schedule::cosine(3), ..single() },
        Case { rows: 900, most_bytes: Some(8 << 10), ..single() },
        Case { classes: true, ..single() },
        Case { drop_last: true, ..lane() },
        Case { drop_last: true, subsets: true, models: 4, accumulate: 2, ..Case::new(lane().network, Form::Planned) },
    ]
}
