//! The dispatches around the steps: which rows they take, what these are, and what the network made of them. They go over a
//! window of steps at once, or over the batches of an evaluation.

use super::{
    Gpu,
    arenas::{Arenas, Members},
    chunk::Length,
    dispatches::{Dispatch, Dispatches, LANES, Maker, Purpose, folded, rounds_of_a_row},
    forward::ROWS,
    link::text_of,
};
use crate::{Answers, Dataset, Features, Network, network::padded, step::Step};

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
pub(super) struct Scored {
    /// Those whose errors are: where the answers are values.
    errors: usize,
    /// Those whose labels are counted.
    labels: usize,
}

impl Scored {
    fn of(output_stride: usize, answers: &Answers, labels: bool) -> Self {
        let errors = if matches!(answers, Answers::Values(_)) { output_stride } else { 0 };
        Self { errors, labels: if labels { output_stride } else { 0 } }
    }

    /// How many pairs of numbers `shaders/score.wgsl` keeps for a network.
    const fn pairs(self) -> usize {
        2 + 4 * self.errors + 6 * self.labels
    }
}

/// How often an invocation of `shaders/score.wgsl` goes round for each of its rows, of which shares may have to be made, and at
/// last; the ends of loops count.
const fn score_loops(output_stride: usize, scored: Scored) -> [usize; 2] {
    let again = scored.errors + scored.labels;
    [1 + 2 * rounds_of_a_row(output_stride) + again, 7 * scored.pairs() + 2 + 2 * again]
}

/// How many rows a device can judge at once.
pub(super) fn scored_at_once(gpu: &Gpu, network: &Network, data: &Dataset, labels: bool) -> usize {
    let stride = padded(network.outputs()) / 4;
    let [each, last] = score_loops(stride, Scored::of(stride, data.answers(), labels));
    gpu.loop_budget.map_or(ROWS, |budget| (LANES * (budget.saturating_sub(last) / each).max(1)).min(ROWS))
}

/// How many pairs of numbers `shaders/score.wgsl` keeps for a network.
pub(crate) fn score_pairs(arenas: &Arenas, answers: &Answers, labels: bool) -> usize {
    Scored::of(arenas.output_stride(), answers, labels).pairs()
}

impl Maker<'_> {
    /// The kernel that makes the table of a chunk of so many steps at most, and some without rows behind it.
    pub(super) fn tabulate(&self, Length { chunk, behind, .. }: Length) -> Dispatch {
        let (models, entries) = (self.arenas.models, (chunk + behind) * self.arenas.models);
        Dispatch {
            name: "steps".to_owned(),
            entry: "tabulate",
            source: self.linked_without_products(vec![("BEHIND", behind)], vec![shader!("steps")], Some(0..=0)),
            groups: folded(entries.div_ceil(LANES), 1),
            loops: 12,
            steps: chunk,
            flop: 0,
            bytes: (models * size_of::<Step>()) as u64,
        }
    }

    /// The kernels that find the rows of a window, and bring them; `steps` is the file that says which step lies where.
    pub(super) fn bring(
        &self,
        features: Option<&Features>,
        answers: Option<&Answers>,
        steps: &'static str,
    ) -> [Dispatch; 2] {
        let (arenas, members) = (self.arenas, self.members);
        let is_bytes = features.is_some_and(|features| features.scale_of_bytes().is_some());
        let feature = if is_bytes { shader!("features/u8") } else { shader!("features/f32") };
        let answer = match answers {
            Some(Answers::Classes(_)) => shader!("answers/classes"),
            _ => shader!("answers/values"),
        };
        let mut gather = vec![shader!("gather"), feature, answer, steps];
        gather.extend((members.noise > 0.0).then_some(shader!("noise")));
        gather.extend(members.is_scaled.then_some(shader!("scaling")));
        let window = arenas.window;
        let over = arenas.over_slots(arenas.ordered(), window);
        let order = if members.streams {
            self.over_window("stream", over, 0, &[shader!("stream")])
        } else {
            let pieces = [shader!("order"), self.rows(), shader!("permutation"), steps];
            // A place walks round the grid of rows until it hits one, seldom more than once or twice.
            self.over_window("order", over, 768, &pieces)
        };
        [order, self.over_window("gather", arenas.over_slots(arenas.gathered(), window), 0, &gather)]
    }

    /// Which rows each network has.
    fn rows(&self) -> &'static str {
        if self.members.has_subsets { shader!("subset") } else { shader!("everything") }
    }

    /// The kernel that judges the rows of a window, and what adds its parts up where it needs more than a workgroup for a
    /// step.
    pub(super) fn measure(&self) -> (Dispatch, Option<Dispatch>) {
        let (arenas, window, epochs) = (self.arenas, self.arenas.window, shader!("epochs"));
        let judge = [shader!("judge"), shader!("normalizer"), epochs];
        if arenas.measures() == 1 {
            let loops = 1 + arenas.batch * (1 + rounds_of_a_row(arenas.output_stride()));
            let pieces = [&[shader!("measure_small")], &judge[..]].concat();
            return (self.over_window("measure_small", arenas.over_slots(1, window), loops, &pieces), None);
        }
        let pieces = [&[shader!("measure"), shader!("sum")], &judge[..]].concat();
        let loops = arenas.measures().div_ceil(64) + 6;
        let total = [shader!("total"), shader!("sum"), epochs];
        (
            self.over_window("measure", arenas.judged(window), rounds_of_a_row(arenas.output_stride()) + 7, &pieces),
            Some(self.over_window("total", arenas.totalled(window), loops, &total)),
        )
    }

    /// The kernel that adds up what outputs are worth.
    fn score(&self, scored: Scored) -> Dispatch {
        let arenas = self.arenas;
        let mut pieces = vec![
            shader!("score"),
            shader!("judge"),
            shader!("normalizer"),
            shader!("softmax"),
            shader!("sum"),
            shader!("pass"),
            self.rows(),
            shader!("permutation"),
        ];
        if scored.labels > 0 {
            pieces.push(shader!("score_labels"));
        }
        let [each, last] = score_loops(arenas.output_stride(), scored);
        let loops = arenas.measures() * each + last;
        let mut score = self.over_window("score", [1, 1, arenas.models as u32], loops, &pieces);
        let shares = self.members.ends_with_softmax && scored.errors > 0;
        let errors = scored.errors;
        score.source += &format!("const SCORED: u32 = {errors}u;\nconst SCORE: u32 = {}u;\n", scored.pairs());
        if scored.labels > 0 {
            score.source += &format!("const LABELS: u32 = {}u;\n", scored.labels);
        }
        score.source += &format!("const SHARES: bool = {shares};\n");
        score
    }

    fn over_window(&self, entry: &'static str, groups: [u32; 3], loops: usize, pieces: &[&'static str]) -> Dispatch {
        let pieces = [pieces, &[shader!("window")]].concat();
        let steps = self.arenas.window;
        let arenas = self.arenas;
        let bytes = match entry {
            "order" | "stream" => 4 * arenas.batch,
            "gather" => 2 * 16 * arenas.gathered(),
            _ => 2 * 16 * arenas.batch * arenas.output_stride(),
        } as u64;
        let source = self.linked_without_products(Vec::new(), pieces, Some(0..=0));
        Dispatch { name: entry.to_owned(), entry, source, groups, loops, steps, flop: 0, bytes }
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
