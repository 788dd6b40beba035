//! The dispatches of a matmul alone: its tiles over a grid of workgroups, and a second pass that adds up the parts of its sums.

use std::ops::RangeInclusive;

use crate::{
    engine::gpu::{
        device::dispatch::{Dispatch, WORKGROUP_SIZE, fold_workgroups},
        kernels::{
            kernel_set::matmul_bytes,
            kernel_set_builder::KernelSetBuilder,
            kernel_source::{BindingSet, KernelSource, Piece},
            loop_counts,
        },
        layout::matmul::{Epilogue, Matmul, MatmulKind},
    },
    plan::{MatmulConfig, Tile},
};

/// A grid over the matmuls of some layers.
struct Grid {
    matmul: Matmul,
    layers: RangeInclusive<usize>,
    /// How many parts each sum has.
    split_k: usize,
    /// How many invocations share the sums of an output.
    sliced_k: usize,
    constants: Vec<(&'static str, usize)>,
    pieces: Vec<Piece>,
}

impl KernelSetBuilder<'_> {
    /// The matmuls of some layers in one dispatch, and a second that adds up their parts if there are any.
    pub(crate) fn grid_dispatches(
        &self,
        matmul: Matmul,
        layers: RangeInclusive<usize>,
        config: MatmulConfig,
    ) -> Vec<Dispatch> {
        let MatmulConfig { tile, split_k: parts } = config;
        let deepest = layers.clone().map(|layer| self.arenas.matmul_dims(matmul.kind, layer)[2]).max().unwrap_or(0);
        let slice = config.slice_depth(deepest);
        // Rounding the parts up to whole slices may leave fewer.
        let parts = if parts == 1 { 1 } else { deepest.div_ceil(slice) };
        let part = self.partial_sum_len(matmul.kind, *layers.end());
        let finish = if parts == 1 { matmul.epilogue } else { Epilogue::Store };
        let mut grid = Grid {
            matmul: Matmul { epilogue: finish, ..matmul },
            layers: layers.clone(),
            split_k: parts,
            sliced_k: tile.sliced_k(),
            constants: vec![("SPLIT_DEPTH", slice), ("SPLIT_K", parts), ("PARTIAL_SUM_STRIDE", part)],
            pieces: tile.pieces(),
        };
        grid.constants.extend(tile.constants());
        let mut first = self.grid_dispatch(grid, |[rows, columns, _]| tile.workgroups(rows, columns));
        first.name = format!("{}, {config}", first.name);
        first.loop_iterations += tile.loop_iterations(slice.min(deepest));
        if parts == 1 {
            return vec![first];
        }
        vec![first, self.partial_sum_dispatch(matmul, layers, parts, part)]
    }

    /// The vec4s of a part of some layers' matmuls.
    fn partial_sum_len(&self, product: MatmulKind, layer: usize) -> usize {
        match product {
            MatmulKind::Gradient => self.arenas.parameters,
            MatmulKind::Forward | MatmulKind::InputDelta => self.arenas.matmul_vec4s(product, layer),
        }
    }

    /// The second pass of matmuls that were computed in parts. Many parts are read by several invocations each, which would
    /// wait for one after the other.
    pub(crate) fn partial_sum_dispatch(
        &self,
        matmul: Matmul,
        layers: RangeInclusive<usize>,
        summed: usize,
        part: usize,
    ) -> Dispatch {
        let split = if summed >= 32 { 8 } else { 1 };
        let constants = vec![
            ("SPLIT_DEPTH", 1),
            ("SPLIT_K", 1),
            ("PARTIAL_SUM_STRIDE", part),
            ("PARTIAL_SUMS", summed),
            ("INVOCATIONS", WORKGROUP_SIZE),
            ("TILES", WORKGROUP_SIZE),
            ("TILE_ROWS", 1),
            ("TILE_COLUMNS", 4),
        ];
        let pieces =
            vec![Piece::Shared(shader!("tile/split_k_sum")), Piece::PerMatmul(shader!("per_matmul/split_k_sum"))];
        let grid = Grid { matmul, layers, split_k: 1, sliced_k: split, constants, pieces };
        let mut sum =
            self.grid_dispatch(grid, |[rows, columns, _]| (rows * columns / 4 * split).div_ceil(WORKGROUP_SIZE));
        sum.name = format!("sum of {summed} partial sums of {}", sum.name);
        sum.loop_iterations += loop_counts::sum(summed, split);
        sum.flop = 0;
        sum.bytes = (16 * part * (summed + 2)) as u64;
        sum
    }

    /// `groups_of` says how many workgroups compute a matmul of these rows, columns and depth.
    fn grid_dispatch(&self, grid: Grid, groups_of: impl Fn([usize; 3]) -> usize) -> Dispatch {
        let Grid { matmul, layers, split_k: parts, sliced_k: split, mut constants, mut pieces } = grid;
        let product = matmul.kind;
        let mut firsts = vec![0; self.arenas.layers.len()];
        let mut groups = 0;
        let mut flop = 0;
        let mut bytes = 0;
        for layer in layers.clone() {
            let size = self.arenas.matmul_dims(product, layer);
            firsts[layer] = groups;
            groups += groups_of(size);
            flop += self.matmul_flop(product, layer);
            bytes += matmul_bytes(size);
        }
        let first = *layers.start();
        let last = *layers.end();
        constants.extend([("WORKGROUPS", groups), ("FIRST_LAYER", first), ("LAST_LAYER", last)]);
        pieces.extend([Piece::PerMatmul(shader!("entry/grid")), Piece::Shared(shader!("step/matmul_args"))]);
        let name = match product {
            MatmulKind::Gradient => format!("{}s", product.name()),
            MatmulKind::Forward | MatmulKind::InputDelta => format!("{} {first}", product.name()),
        };
        let source = KernelSource {
            constants,
            matmuls: vec![matmul.instance("only")],
            first_workgroups: firsts,
            sliced_k: vec![[split; 3]; self.arenas.layers.len()],
            // An input delta goes to the layer before.
            ..self.source(BindingSet::Step, pieces, Some(first.saturating_sub(1)..=last))
        };
        Dispatch {
            name,
            entry_point: "grid",
            source: self.assemble(&source),
            workgroups: fold_workgroups(groups * parts, self.arenas.member_count),
            loop_iterations: loop_counts::grid(first, last),
            max_steps: 1,
            flop,
            bytes,
        }
    }
}

impl Tile {
    /// The files of the tile, and those of the blocks that all tiles share.
    pub(crate) fn pieces(self) -> Vec<Piece> {
        let mut pieces = match self {
            Self::Subgroup8(_) => {
                vec![Piece::Shared(shader!("tile/subgroup8")), Piece::PerMatmul(shader!("per_matmul/subgroup8"))]
            }
            Self::Register => vec![Piece::PerMatmul(shader!("per_matmul/register"))],
            Self::SlicedK { .. } => {
                vec![Piece::Shared(shader!("tile/sliced_k")), Piece::PerMatmul(shader!("per_matmul/sliced_k"))]
            }
            Self::SharedMemory(size) => {
                let (shared, per_matmul) = match size {
                    32 => (shader!("tile/registers_4x4"), shader!("per_matmul/registers_4x4")),
                    64 => (shader!("tile/registers_8x4"), shader!("per_matmul/registers_8x4")),
                    _ => (shader!("tile/registers_8x8"), shader!("per_matmul/registers_8x8")),
                };
                vec![
                    Piece::Shared(shader!("tile/shared_memory")),
                    Piece::PerMatmul(shader!("per_matmul/shared_memory")),
                    Piece::Shared(shared),
                    Piece::PerMatmul(per_matmul),
                ]
            }
        };
        pieces.extend([Piece::Shared(shader!("tile/block")), Piece::PerMatmul(shader!("per_matmul/block"))]);
        pieces
    }
}
