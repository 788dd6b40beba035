//! The dispatches that a plan means: kernels, linked from which files, over how many workgroups.

use std::ops::RangeInclusive;

use super::{
    Gpu,
    arenas::{Arenas, Members},
    chunk::Length,
    link::{Parts, link},
    product::{Finish, Product},
};
use crate::{
    Answers, Features, Norm, Result,
    error::check_limit,
    plan::{PlanRow, Scheme, Way, Ways},
};

/// Invocations of the kernels that compute no product.
pub(super) const LANES: usize = 64;

/// How often three loops over a row's outputs, which are so many vec4s, go round with their ends: as many as it takes to
/// judge a row, or to make a softmax of it.
pub(super) const fn rounds_of_a_row(output_stride: usize) -> usize {
    3 * (output_stride + 1)
}

/// One dispatch: a kernel and its workgroups.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch {
    /// What it computes, for labels and for people.
    pub(crate) name: String,
    pub(crate) entry: &'static str,
    pub(crate) source: String,
    pub(crate) groups: [u32; 3],
    /// How often an invocation goes round its loops, all of them together, and comes to their ends.
    pub(crate) loops: usize,
    /// How many steps it takes at most.
    pub(crate) steps: usize,
    /// Floating-point operations and bytes of one of its steps.
    pub(crate) flop: u64,
    pub(crate) bytes: u64,
}

/// Everything that a network's kernels do on a device.
#[derive(Debug, Clone)]
pub(crate) struct Dispatches {
    /// What a step is, or some steps; the last of them updates the parameters.
    pub(crate) step: Vec<Dispatch>,
    /// How many steps that is at most.
    pub(crate) walk: usize,
    /// The kernel over a chunk of steps, which makes their table.
    pub(crate) tabulate: Dispatch,
    /// The kernels over a window of steps.
    pub(crate) order: Dispatch,
    pub(crate) gather: Dispatch,
    pub(crate) measure: Dispatch,
    /// Where `measure` needs more than one workgroup for a step.
    pub(crate) total: Option<Dispatch>,
}

impl Dispatches {
    pub(crate) fn new(
        arenas: &Arenas,
        members: &Members,
        scheme: &Scheme,
        features: Option<&Features>,
        answers: Option<&Answers>,
        length: Length,
    ) -> Self {
        let maker = Maker { arenas, members, purpose: Purpose::Training };
        let (step, walk) = match scheme {
            Scheme::Cpu(_) => (Vec::new(), 1),
            Scheme::Layered(ways) => (maker.updated(maker.layered(ways, maker.last_finish())), 1),
            Scheme::Fused { rows, groups } => {
                let last = (Product::Gradient, maker.last_finish());
                let sum = maker.sum(last, 0..=maker.last(), *groups, arenas.parameters);
                (maker.updated(vec![maker.fused(*rows, *groups), sum]), 1)
            }
            Scheme::Tiny { steps, ways } => (vec![maker.walk(*steps, ways, maker.last_finish())], *steps),
            Scheme::Lane { steps, lanes } => (vec![maker.lane(*steps, *lanes)], *steps),
        };
        let [order, gather] = maker.bring(features, answers, shader!("epochs"));
        let (measure, total) = maker.measure();
        Self { step, walk, tabulate: maker.tabulate(length), order, gather, measure, total }
    }

    /// Outputs without a loss: for predictions.
    pub(crate) fn predict(arenas: &Arenas, members: &Members, ways: &Ways) -> Vec<Dispatch> {
        let maker = Maker { arenas, members, purpose: Purpose::Prediction };
        let mut all = Vec::new();
        for (layer, way) in ways.forward.iter().enumerate() {
            let finish = match (members.norms[layer], members.activations[layer].is_learned()) {
                (Some(_), _) => Finish::BeforeNorm,
                (None, true) => Finish::ForwardPrelu,
                (None, false) => Finish::Forward,
            };
            all.extend(maker.product((Product::Forward, finish), layer, *way));
            all.extend(maker.normed(layer));
        }
        if members.ends_with_softmax {
            all.push(maker.over_rows("softmax", "softmax", &[shader!("entry/softmax"), shader!("softmax")]));
        }
        all
    }

    /// All layers' gradients, stored: for who asks for them.
    pub(crate) fn gradients(arenas: &Arenas, members: &Members, ways: &Ways) -> Vec<Dispatch> {
        let maker = Maker { arenas, members, purpose: Purpose::Gradients };
        maker.layered(ways, if arenas.has_vectors() { Finish::Accumulate } else { Finish::Store })
    }

    /// Every dispatch of a training.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Dispatch> {
        [&self.tabulate, &self.order, &self.gather]
            .into_iter()
            .chain(&self.step)
            .chain([&self.measure])
            .chain(&self.total)
    }

    /// Refuses what the device cannot run.
    pub(crate) fn check(&self, gpu: &Gpu) -> Result<()> {
        self.all().try_for_each(|dispatch| dispatch.check(gpu))
    }
}

impl Dispatch {
    /// Refuses what the device cannot run.
    pub(crate) fn check(&self, gpu: &Gpu) -> Result<()> {
        let most = self.groups.into_iter().max().unwrap_or(0);
        let have = gpu.limits.max_compute_workgroups_per_dimension;
        check_limit(&self.name, "max_compute_workgroups_per_dimension", most.into(), have.into())?;
        match gpu.loop_budget {
            None => Ok(()),
            Some(have) => {
                check_limit(&self.name, "loop iterations of a software adapter", self.loops as u64, have as u64)
            }
        }
    }

    pub(crate) fn row(&self) -> PlanRow {
        let workgroups = self.groups.iter().map(|n| u64::from(*n)).product();
        PlanRow { kernel: self.name.clone(), workgroups, steps: self.steps, flop: self.flop, bytes: self.bytes }
    }
}

/// What dispatches are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Training,
    /// Changes nothing.
    Gradients,
    Prediction,
}

/// Makes the dispatches of a network.
pub(super) struct Maker<'a> {
    pub(super) arenas: &'a Arenas,
    pub(super) members: &'a Members,
    pub(super) purpose: Purpose,
}

impl Maker<'_> {
    fn predicts(&self) -> bool {
        self.purpose == Purpose::Prediction
    }

    pub(super) fn last(&self) -> usize {
        self.arenas.layers.len() - 1
    }

    /// What becomes of a layer's outputs.
    pub(super) fn output(&self, layer: usize) -> Finish {
        if layer < self.last() && self.members.norms[layer].is_some() {
            Finish::BeforeNorm
        } else if layer < self.last() && self.members.activations[layer].is_learned() {
            Finish::ForwardPrelu
        } else if layer < self.last() {
            match (self.members.drops(layer), self.members.keeps_slope(layer)) {
                (true, _) => Finish::ForwardDropout,
                (false, true) => Finish::ForwardSlope,
                (false, false) => Finish::Forward,
            }
        } else if self.members.loss.looks_at_the_row() {
            Finish::Forward
        } else {
            Finish::OutputDelta
        }
    }

    /// A dispatch a product, two for those in parts.
    fn layered(&self, ways: &Ways, last: Finish) -> Vec<Dispatch> {
        let mut all = Vec::new();
        for (layer, way) in ways.forward.iter().enumerate() {
            all.extend(self.product((Product::Forward, self.output(layer)), layer, *way));
            all.extend(self.normed(layer));
        }
        if self.members.loss.looks_at_the_row() {
            all.push(self.over_rows("softmax_delta", "rows", &[shader!("entry/rows"), shader!("softmax_delta")]));
        }
        for (before, way) in ways.input_delta.iter().enumerate().rev() {
            let is_learned = self.members.activations[before].is_learned();
            let finish = if is_learned { Finish::InputDeltaPrelu } else { Finish::InputDelta };
            all.extend(self.product((Product::InputDelta, finish), before + 1, *way));
            all.extend(self.delta_of_vectors(before));
        }
        all.extend(self.grid((Product::Gradient, last), 0..=self.last(), ways.gradients));
        all
    }

    /// An invocation for each row of outputs, which looks at all of it.
    fn over_rows(&self, name: &str, entry: &'static str, pieces: &[&'static str]) -> Dispatch {
        let pieces = [pieces, &[shader!("normalizer"), shader!("step")]].concat();
        Dispatch {
            name: name.to_owned(),
            entry,
            source: self.linked_without_products(vec![("LANES", LANES)], pieces, Some(self.last()..=self.last())),
            groups: folded(self.arenas.measures(), self.arenas.models),
            loops: 1 + rounds_of_a_row(self.arenas.output_stride()),
            steps: 1,
            flop: 0,
            bytes: (3 * 16 * self.arenas.batch * self.arenas.output_stride()) as u64,
        }
    }

    /// What becomes of the gradients: the update, or they are kept until all are there.
    fn last_finish(&self) -> Finish {
        if self.arenas.kept.is_some() { Finish::Accumulate } else { Finish::Update }
    }

    /// Behind a step whose gradients were kept, their norm if it is clipped, and the update.
    fn updated(&self, mut step: Vec<Dispatch>) -> Vec<Dispatch> {
        let arenas = self.arenas;
        if arenas.kept.is_none() {
            return step;
        }
        let mut over_parameters = |entry: &'static str, piece, groups: usize, loops| {
            let (constants, pieces) = (vec![("LANES", LANES)], vec![piece, shader!("whole"), shader!("step")]);
            step.push(Dispatch {
                name: if entry == "norm" { "norm of the gradients".to_owned() } else { entry.to_owned() },
                entry,
                source: self.linked_without_products(constants, pieces, None),
                groups: folded(groups, arenas.models),
                loops,
                steps: 1,
                flop: 0,
                bytes: (16 * arenas.parameters * if entry == "norm" { 1 } else { 3 }) as u64,
            });
        };
        if self.members.optimizer.clip_norm.is_some() {
            let loops = arenas.parameters.div_ceil(LANES * arenas.norms()) + 6;
            over_parameters("norm", shader!("entry/norm"), arenas.norms(), loops);
        }
        let loops = arenas.norms() + arenas.layers.len();
        over_parameters("update", shader!("entry/update"), arenas.parameters.div_ceil(LANES), loops);
        step
    }

    /// Between a layer's sum and its activation, its norm.
    fn normed(&self, layer: usize) -> Option<Dispatch> {
        self.members.norms[layer].map(|norm| match (norm, self.purpose) {
            (Norm::Layer, _) => self.over_rows_of(layer, "layer_norm"),
            (Norm::Batch, Purpose::Prediction) => self.over_columns_of(layer, "batch_norm_running"),
            (Norm::Batch, _) => self.over_columns_of(layer, "batch_norm"),
        })
    }

    /// On the way back, what a layer learns beside weights and biases, and what its norm makes of the delta.
    fn delta_of_vectors(&self, layer: usize) -> Vec<Dispatch> {
        match self.members.norms[layer] {
            Some(Norm::Layer) => {
                vec![self.over_columns_of(layer, "gain_gradients"), self.over_rows_of(layer, "layer_norm_delta")]
            }
            Some(Norm::Batch) => vec![self.over_columns_of(layer, "batch_norm_delta")],
            None if self.members.activations[layer].is_learned() => {
                vec![self.over_columns_of(layer, "slope_gradients")]
            }
            None => Vec::new(),
        }
    }

    /// A workgroup for each row of the batch, which goes over the neurons of a layer.
    fn over_rows_of(&self, layer: usize, entry: &'static str) -> Dispatch {
        let groups = folded(self.arenas.batch, self.arenas.models);
        self.between(layer, entry, groups, self.arenas.layers[layer].output_stride)
    }

    /// A workgroup for each vec4 of a layer's neurons, which goes over the rows of the batch.
    fn over_columns_of(&self, layer: usize, entry: &'static str) -> Dispatch {
        let groups = [self.arenas.layers[layer].output_stride as u32, 1, self.arenas.models as u32];
        self.between(layer, entry, groups, self.arenas.batch)
    }

    /// Workgroups that go over so many numbers each, between the sum and the activation of a layer or beside them.
    fn between(&self, layer: usize, entry: &'static str, groups: [u32; 3], over: usize) -> Dispatch {
        let place = &self.arenas.layers[layer];
        let constants = vec![("LANES", LANES), ("LAYER", layer), ("RUNNING_LAYER", place.running.unwrap_or(0))];
        let norm = match self.members.norms[layer] {
            Some(Norm::Batch) => shader!("norm/batch"),
            _ => shader!("norm/layer"),
        };
        let pieces = vec![shader!("norm/vectors"), norm, shader!("whole"), shader!("step")];
        let mut source = self.linked_without_products(constants, pieces, Some(layer..=layer));
        source += &format!("const RUNS: bool = {};\n", self.purpose == Purpose::Training);
        if self.arenas.kept.is_none() {
            // Nothing of a gradient is reached, but it has to be valid.
            source += "const KEPT: u32 = 0u;\nconst NORMS: u32 = 1u;\nconst ACCUMULATED: f32 = 1.0;\nconst CLIPS: bool = false;\n";
        }
        let bytes = (5 * 16 * self.arenas.batch * place.output_stride) as u64;
        let loops = 3 * over.div_ceil(LANES) + 4 * 7 + self.arenas.layers.len();
        Dispatch { name: format!("{entry} {layer}"), entry, source, groups, loops, steps: 1, flop: 0, bytes }
    }

    fn product(&self, (product, finish): (Product, Finish), layer: usize, way: Way) -> Vec<Dispatch> {
        self.grid((product, finish), layer..=layer, way)
    }

    /// The vec4s of a part of some layers' products.
    fn part(&self, product: Product, layer: usize) -> usize {
        match product {
            Product::Gradient => self.arenas.parameters,
            _ => self.arenas.part(product, layer),
        }
    }

    /// The products of some layers in one dispatch, and a second that adds up their parts if there are any.
    fn grid(&self, (product, finish): (Product, Finish), layers: RangeInclusive<usize>, way: Way) -> Vec<Dispatch> {
        let Way { tile, parts } = way;
        let deepest = layers.clone().map(|layer| self.arenas.size(product, layer)[2]).max().unwrap_or(0);
        let slice = way.slice(deepest);
        // Rounding the parts up to whole slices may leave fewer.
        let parts = if parts == 1 { 1 } else { deepest.div_ceil(slice) };
        let part = self.part(product, *layers.end());
        let stored = if parts == 1 { finish } else { Finish::Store };
        let mut constants = vec![("SLICE", slice), ("PARTS", parts), ("PART", part)];
        constants.extend(tile.constants());
        let groups = |[rows, columns, _]: [usize; 3]| tile.groups(rows, columns);
        let pieces = [tile.pieces(), &[shader!("tile/block")]].concat();
        let mut first =
            self.grid_of((product, stored), layers.clone(), groups, (parts, tile.split()), constants, pieces);
        first.name = format!("{}, {way}", first.name);
        first.loops += tile.loops(slice.min(deepest));
        if parts == 1 {
            return vec![first];
        }
        vec![first, self.sum((product, finish), layers, parts, part)]
    }

    /// The second pass of products that were computed in parts. Many parts are read by several invocations each, which would
    /// wait for one after the other.
    fn sum(&self, what: (Product, Finish), layers: RangeInclusive<usize>, summed: usize, part: usize) -> Dispatch {
        let split = if summed >= 32 { 8 } else { 1 };
        let constants = vec![
            ("SLICE", 1),
            ("PARTS", 1),
            ("PART", part),
            ("SUMMED", summed),
            ("LANES", LANES),
            ("TILES", LANES),
            ("TILE_ROWS", 1),
            ("TILE_COLUMNS", 4),
        ];
        let groups = |[rows, columns, _]: [usize; 3]| (rows * columns / 4 * split).div_ceil(LANES);
        let mut sum = self.grid_of(what, layers, groups, (1, split), constants, vec![shader!("tile/sum")]);
        sum.name = format!("sum of {summed} parts of {}", sum.name);
        (sum.loops, sum.flop) = (sum.loops + summed.div_ceil(split) + 2 + split.ilog2() as usize, 0);
        sum.bytes = (16 * part * (summed + 2)) as u64;
        sum
    }

    fn grid_of(
        &self,
        (product, finish): (Product, Finish),
        layers: RangeInclusive<usize>,
        groups: impl Fn([usize; 3]) -> usize,
        (parts, split): (usize, usize),
        mut constants: Vec<(&'static str, usize)>,
        mut pieces: Vec<&'static str>,
    ) -> Dispatch {
        let mut firsts = vec![0; self.arenas.layers.len()];
        let (mut all, mut flop, mut bytes) = (0, 0, 0);
        for layer in layers.clone() {
            let size = self.arenas.size(product, layer);
            firsts[layer] = all;
            all += groups(size);
            flop += self.flop(product, layer);
            bytes += bytes_of(size);
        }
        let (first, last) = (*layers.start(), *layers.end());
        constants.extend([("GROUPS", all), ("FIRST_LAYER", first), ("LAST_LAYER", last)]);
        pieces.extend([shader!("entry/grid"), shader!("place"), shader!("step")]);
        let name = match product {
            Product::Gradient => product.name().to_owned() + "s",
            _ => format!("{} {first}", product.name()),
        };
        let products = vec![("only", product, finish)];
        let splits = vec![[split; 3]; self.arenas.layers.len()];
        Dispatch {
            name,
            entry: "grid",
            source: link(
                self.arenas,
                self.members,
                &Parts {
                    constants,
                    products,
                    firsts,
                    splits,
                    pieces,
                    predicts: self.predicts(),
                    // An input delta goes to the layer before.
                    looks_at: Some(first.saturating_sub(1)..=last),
                    ..Parts::default()
                },
            ),
            groups: folded(all * parts, self.arenas.models),
            loops: last - first,
            steps: 1,
            flop,
            bytes,
        }
    }

    /// A kernel without products, which looks at some layers or, without a range, at all.
    pub(super) fn linked_without_products(
        &self,
        constants: Vec<(&'static str, usize)>,
        pieces: Vec<&'static str>,
        looks_at: Option<RangeInclusive<usize>>,
    ) -> String {
        let predicts = self.predicts();
        link(self.arenas, self.members, &Parts { constants, pieces, predicts, looks_at, ..Parts::default() })
    }

    /// Of one step.
    pub(super) fn flop(&self, product: Product, layer: usize) -> u64 {
        let l = &self.arenas.layers[layer];
        let is_for_nothing = product == Product::InputDelta && layer == 0;
        let [batch, inputs, outputs, models] =
            [self.arenas.batch, l.place.inputs, l.place.outputs, self.arenas.models].map(|n| n as u64);
        if is_for_nothing { 0 } else { 2 * batch * inputs * outputs * models }
    }
}

/// Read both operands, write the result, each once.
pub(super) fn bytes_of(size: [usize; 3]) -> u64 {
    let [rows, columns, depth] = size.map(|n| n as u64);
    4 * (rows * depth + depth * columns + rows * columns)
}

/// `groups` workgroups over two dimensions, since one holds only 65,535; at most as many too many as the second is long.
pub(super) fn folded(groups: usize, models: usize) -> [u32; 3] {
    let y = groups.div_ceil(65_535).max(1);
    [groups.div_ceil(y).max(1) as u32, y as u32, models as u32]
}
