//! The layered scheme: a dispatch for each matmul, and for what stands between the matmuls.

use crate::{
    engine::gpu::{
        kernels::{
            kernel_set::{Dispatch, LANES, folded},
            kernel_set_builder::{Maker, Purpose},
            kernel_source::{BindingSet, KernelSource, shared},
            loop_counts,
        },
        layout::matmul::{Finish, Matmul, Product},
    },
    nn::normalization::Norm,
    plan::Ways,
};

impl Maker<'_> {
    /// A step, or its gradients: a dispatch for each matmul, two for a matmul in parts.
    pub(crate) fn layered(&self, ways: &Ways, last: Finish) -> Vec<Dispatch> {
        let mut all = Vec::new();
        for (layer, way) in ways.forward.iter().enumerate() {
            let matmul = Matmul { product: Product::Forward, finish: self.output(layer) };
            all.extend(self.grid(matmul, layer..=layer, *way));
            all.extend(self.normed(layer));
        }
        if self.members.loss.looks_at_the_row() {
            all.push(self.over_rows("softmax_delta", "rows", [shader!("entry/rows"), shader!("softmax_delta")]));
        }
        for (before, way) in ways.input_delta.iter().enumerate().rev() {
            let is_learned = self.members.activations[before].is_learned();
            let finish = if is_learned { Finish::InputDeltaPrelu } else { Finish::InputDelta };
            let matmul = Matmul { product: Product::InputDelta, finish };
            all.extend(self.grid(matmul, before + 1..=before + 1, *way));
            all.extend(self.delta_of_vectors(before));
        }
        let gradients = Matmul { product: Product::Gradient, finish: last };
        all.extend(self.grid(gradients, 0..=self.last(), ways.gradients));
        all
    }

    /// Outputs without a loss.
    pub(crate) fn predicted(&self, ways: &Ways) -> Vec<Dispatch> {
        let mut all = Vec::new();
        for (layer, way) in ways.forward.iter().enumerate() {
            let matmul = Matmul { product: Product::Forward, finish: self.predicted_output(layer) };
            all.extend(self.grid(matmul, layer..=layer, *way));
            all.extend(self.normed(layer));
        }
        if self.members.ends_with_softmax {
            all.push(self.over_rows("softmax", "softmax", [shader!("entry/softmax"), shader!("softmax")]));
        }
        all
    }

    /// An invocation for each row of outputs, which looks at all of the row.
    fn over_rows(&self, name: &str, entry: &'static str, files: [&'static str; 2]) -> Dispatch {
        let [first, second] = files;
        let pieces = shared([first, second, shader!("normalizer")]);
        let source = self.source(BindingSet::Step, pieces, Some(self.last()..=self.last()));
        Dispatch {
            name: name.to_owned(),
            entry,
            source: self.assembled(&KernelSource { constants: vec![("LANES", LANES)], ..source }),
            groups: folded(self.arenas.measures(), self.arenas.models),
            loops: loop_counts::rows(self.arenas),
            steps: 1,
            flop: 0,
            bytes: (3 * 16 * self.arenas.batch * self.arenas.output_stride()) as u64,
        }
    }

    /// Appends to a step whose gradients are kept their norm, if it is clipped, and the update.
    pub(crate) fn updated(&self, mut step: Vec<Dispatch>) -> Vec<Dispatch> {
        if self.arenas.kept.is_some() {
            if self.members.optimizer.clip_norm.is_some() {
                step.push(self.norm_of_gradients());
            }
            step.push(self.update());
        }
        step
    }

    fn norm_of_gradients(&self) -> Dispatch {
        Dispatch {
            name: "norm of the gradients".to_owned(),
            entry: "norm",
            source: self.over_kept_gradients(shader!("entry/norm")),
            groups: folded(self.arenas.norms(), self.arenas.models),
            loops: loop_counts::norm(self.arenas),
            steps: 1,
            flop: 0,
            bytes: (16 * self.arenas.parameters) as u64,
        }
    }

    fn update(&self) -> Dispatch {
        Dispatch {
            name: "update".to_owned(),
            entry: "update",
            source: self.over_kept_gradients(shader!("entry/update")),
            groups: folded(self.arenas.parameters.div_ceil(LANES), self.arenas.models),
            loops: loop_counts::update(self.arenas),
            steps: 1,
            flop: 0,
            bytes: (16 * self.arenas.parameters * 3) as u64,
        }
    }

    fn over_kept_gradients(&self, entry: &'static str) -> String {
        let source = self.source(BindingSet::Step, shared([entry, shader!("whole")]), None);
        self.assembled(&KernelSource { constants: vec![("LANES", LANES)], ..source })
    }

    /// The norm of a layer, between its sum and its activation.
    fn normed(&self, layer: usize) -> Option<Dispatch> {
        let dispatch = match self.members.norms[layer]? {
            Norm::Layer => self.over_rows_of(layer, "layer_norm"),
            Norm::Batch if self.purpose == Purpose::Prediction => self.over_columns_of(layer, "batch_norm_running"),
            Norm::Batch => self.over_columns_of(layer, "batch_norm"),
        };
        Some(dispatch)
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
        let norm = match self.members.norms[layer] {
            Some(Norm::Batch) => shader!("norm/batch"),
            Some(Norm::Layer) | None => shader!("norm/layer"),
        };
        let pieces = shared([shader!("norm/vectors"), norm, shader!("whole")]);
        let source = KernelSource {
            constants: vec![("LANES", LANES), ("LAYER", layer), ("RUNNING_LAYER", place.running.unwrap_or(0))],
            flags: vec![("RUNS", self.purpose == Purpose::Training)],
            between: Some(layer),
            ..self.source(BindingSet::Step, pieces, Some(layer..=layer))
        };
        Dispatch {
            name: format!("{entry} {layer}"),
            entry,
            source: self.assembled(&source),
            groups,
            loops: loop_counts::between(self.arenas, over),
            steps: 1,
            flop: 0,
            bytes: (5 * 16 * self.arenas.batch * place.output_stride) as u64,
        }
    }
}
