//! The dispatches around the steps: which rows they take, what these are, and what the network made of them. They go over a
//! window of steps at once, or over the batches of an evaluation.

use crate::{
    data::{
        dataset::{Answers, Dataset},
        features::Features,
    },
    engine::{
        gpu::{
            device::Gpu,
            kernels::{
                kernel_set::{Dispatch, Dispatches, LANES, folded},
                kernel_set_builder::{Maker, Purpose},
                kernel_source::{BindingSet, KernelSource, Piece, shared, text_of},
                loop_counts,
                loop_counts::ScoreLoops,
            },
            layout::{
                arenas::{Arenas, Members},
                chunk::Length,
            },
            run::forward::ROWS,
        },
        step::Step,
    },
    nn::{layout::padded, network::Network},
};

/// What brings the batches of a data set that networks are tested on, and adds up what their outputs are worth.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    pub(crate) order: Dispatch,
    pub(crate) gather: Dispatch,
    pub(crate) score: Dispatch,
}

impl Pass {
    pub(crate) fn new(arenas: &Arenas, members: &Members, data: &Dataset) -> Self {
        let maker = Maker { arenas, members, purpose: Purpose::Prediction };
        let [order, gather] = maker.bring(Some(data.rest()), Some(data.answers()), shader!("pass"));
        Self { order, gather, score: maker.score(Scored::of(arenas.output_stride(), data.answers(), members.labels)) }
    }
}

/// The vec4s of a row's outputs of which more is added up than the loss.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scored {
    /// Those whose errors are: where the answers are values.
    pub(crate) errors: usize,
    /// Those whose labels are counted.
    pub(crate) labels: usize,
}

impl Scored {
    fn of(output_stride: usize, answers: &Answers, labels: bool) -> Self {
        let errors = match answers {
            Answers::Values(_) => output_stride,
            Answers::Classes(_) => 0,
        };
        Self { errors, labels: if labels { output_stride } else { 0 } }
    }

    /// How many pairs of numbers `shaders/score.wgsl` keeps for a network.
    pub(crate) const fn pairs(self) -> usize {
        2 + 4 * self.errors + 6 * self.labels
    }
}

/// How many rows a device can judge at once.
pub(crate) fn scored_at_once(gpu: &Gpu, network: &Network, data: &Dataset, labels: bool) -> usize {
    let stride = padded(network.outputs()) / 4;
    let Some(budget) = gpu.loop_budget else { return ROWS };
    let loops = ScoreLoops::new(stride, Scored::of(stride, data.answers(), labels));
    let rows_of_one = (budget.saturating_sub(loops.fixed) / loops.each_row).max(1);
    (LANES * rows_of_one).min(ROWS)
}

/// How many pairs of numbers `shaders/score.wgsl` keeps for a network.
pub(crate) fn score_pairs(arenas: &Arenas, answers: &Answers, labels: bool) -> usize {
    Scored::of(arenas.output_stride(), answers, labels).pairs()
}

impl Maker<'_> {
    /// The kernel that makes the table of a chunk of so many steps at most, and some without rows behind it.
    pub(crate) fn tabulate(&self, Length { chunk, behind, .. }: Length) -> Dispatch {
        let (models, entries) = (self.arenas.models, (chunk + behind) * self.arenas.models);
        let source = self.source(BindingSet::StepTable, Vec::new(), Some(0..=0));
        Dispatch {
            name: "steps".to_owned(),
            entry: "tabulate",
            source: self.assembled(&KernelSource { constants: vec![("BEHIND", behind)], ..source }),
            groups: folded(entries.div_ceil(LANES), 1),
            loops: loop_counts::step_table(),
            steps: chunk,
            flop: 0,
            bytes: (models * size_of::<Step>()) as u64,
        }
    }

    /// The kernels that find the rows of a window, and bring them; `steps` is the file that says which step lies where.
    pub(crate) fn bring(
        &self,
        features: Option<&Features>,
        answers: Option<&Answers>,
        steps: &'static str,
    ) -> [Dispatch; 2] {
        let (arenas, members) = (self.arenas, self.members);
        let is_bytes = features.is_some_and(|features| features.scale_of_bytes().is_some());
        let answer = match answers {
            Some(Answers::Classes(_)) => shader!("answers/classes"),
            Some(Answers::Values(_)) | None => shader!("answers/values"),
        };
        let mut gather = vec![
            shader!("gather"),
            if is_bytes { shader!("features/u8") } else { shader!("features/f32") },
            answer,
            if members.is_scaled { shader!("scaling") } else { shader!("scaling_none") },
            steps,
        ];
        if members.noise > 0.0 {
            gather.extend([shader!("noise"), shader!("math/circle"), shader!("math/log_one_plus")]);
        } else {
            gather.push(shader!("noise_none"));
        }
        let window = arenas.window;
        let over = arenas.over_slots(arenas.ordered(), window);
        let order = if members.streams {
            self.over_window("stream", over, 0, &[shader!("stream")])
        } else {
            let pieces = [shader!("order"), self.rows(), shader!("permutation"), steps];
            self.over_window("order", over, loop_counts::order(), &pieces)
        };
        [order, self.over_window("gather", arenas.over_slots(arenas.gathered(), window), 0, &gather)]
    }

    /// Which rows each network has.
    fn rows(&self) -> &'static str {
        if self.members.has_subsets { shader!("subset") } else { shader!("everything") }
    }

    /// The kernel that judges the rows of a window, and what adds its parts up where it needs more than a workgroup for a
    /// step.
    pub(crate) fn measure(&self) -> (Dispatch, Option<Dispatch>) {
        let (arenas, window, epochs) = (self.arenas, self.arenas.window, shader!("epochs"));
        let judge = [shader!("judge"), shader!("normalizer"), epochs];
        if arenas.measures() == 1 {
            let loops = loop_counts::measure_small(arenas);
            let pieces = [&[shader!("measure_small")], &judge[..]].concat();
            return (self.over_window("measure_small", arenas.over_slots(1, window), loops, &pieces), None);
        }
        let pieces = [&[shader!("measure"), shader!("sum")], &judge[..]].concat();
        let measure = self.over_window("measure", arenas.judged(window), loop_counts::measure(arenas), &pieces);
        let pieces = [shader!("total"), shader!("sum"), epochs];
        let total = self.over_window("total", arenas.totalled(window), loop_counts::total(arenas), &pieces);
        (measure, Some(total))
    }

    /// The kernel that adds up what outputs are worth.
    fn score(&self, scored: Scored) -> Dispatch {
        let arenas = self.arenas;
        let pieces = [
            shader!("score"),
            shader!("score_labels"),
            shader!("judge"),
            shader!("normalizer"),
            shader!("softmax"),
            shader!("sum"),
            shader!("pass"),
            self.rows(),
            shader!("permutation"),
        ];
        let source = KernelSource {
            constants: vec![("SCORED", scored.errors), ("SCORE", scored.pairs()), ("LABELS", scored.labels)],
            flags: vec![("SHARES", self.members.ends_with_softmax && scored.errors > 0)],
            ..self.source(BindingSet::Window, shared(pieces), Some(0..=0))
        };
        let loops = ScoreLoops::new(arenas.output_stride(), scored).of_batch(arenas);
        self.over_slots("score", [1, 1, arenas.models as u32], loops, &source)
    }

    fn over_window(&self, entry: &'static str, groups: [u32; 3], loops: usize, files: &[&'static str]) -> Dispatch {
        let pieces = files.iter().copied().map(Piece::Shared).collect();
        self.over_slots(entry, groups, loops, &self.source(BindingSet::Window, pieces, Some(0..=0)))
    }

    fn over_slots(&self, entry: &'static str, groups: [u32; 3], loops: usize, source: &KernelSource) -> Dispatch {
        let arenas = self.arenas;
        let bytes = match entry {
            "order" | "stream" => 4 * arenas.batch,
            "gather" => 2 * 16 * arenas.gathered(),
            _ => 2 * 16 * arenas.batch * arenas.output_stride(),
        };
        Dispatch {
            name: entry.to_owned(),
            entry,
            source: self.assembled(source),
            groups,
            loops,
            steps: arenas.window,
            flop: 0,
            bytes: bytes as u64,
        }
    }
}

impl Dispatches {
    /// The caller's rows into the arena of a prediction, and its outputs into the caller's.
    pub(crate) fn packers(arenas: &Arenas) -> [Dispatch; 2] {
        let constants = [
            ("INPUTS", arenas.inputs()),
            ("INPUT_STRIDE", arenas.input_stride()),
            ("OUTPUTS", arenas.outputs()),
            ("OUTPUT_STRIDE", arenas.output_stride()),
            ("OUTPUT", arenas.output),
        ];
        let constants: String =
            constants.iter().map(|(name, value)| format!("const {name}: u32 = {value}u;\n")).collect();
        let numbers = [("pack", arenas.input_stride()), ("unpack", arenas.outputs())];
        numbers.map(|(entry, each)| Dispatch {
            name: entry.to_owned(),
            entry,
            source: constants.clone() + &text_of(shader!("pack")),
            groups: folded((arenas.batch * each).div_ceil(LANES), 1),
            loops: 0,
            steps: 1,
            flop: 0,
            bytes: (8 * 4 * arenas.batch * each) as u64,
        })
    }
}

impl Arenas {
    /// The `vec4`s that `gather` writes a slot.
    pub(crate) fn gathered(&self) -> usize {
        self.batch * (self.input_stride() + self.output_stride())
    }

    /// How many invocations find the rows of a slot: one for four of them.
    pub(crate) fn ordered(&self) -> usize {
        self.batch / 4
    }

    /// Workgroups of 64 for `each` invocations in each of `slots` slots.
    pub(crate) fn over_slots(&self, each: usize, slots: usize) -> [u32; 3] {
        folded((each * slots).div_ceil(64), self.models)
    }

    /// Workgroups of `measure` for `slots` slots.
    pub(crate) fn judged(&self, slots: usize) -> [u32; 3] {
        [self.measures() as u32, slots as u32, self.models as u32]
    }

    /// Workgroups of `total` for `slots` slots.
    pub(crate) const fn totalled(&self, slots: usize) -> [u32; 3] {
        [1, slots as u32, self.models as u32]
    }
}
