//! The dispatches of single matmuls: a grid of workgroups over the tiles, and a second dispatch that adds the partial
//! sums of split-K.

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
    plan::matmul::{MatmulConfig, Tile},
};

/// A grid of workgroups over the matmuls of some layers.
struct Grid {
    matmul: Matmul,
    layers: RangeInclusive<usize>,
    /// The number of partial sums per sum.
    split_k: usize,
    /// The number of invocations per sum.
    sliced_k: usize,
    constants: Vec<(&'static str, usize)>,
    pieces: Vec<Piece>,
}

impl KernelSetBuilder<'_> {
    /// Returns the dispatch for the matmuls of some layers and, for split-K, a second one that adds the partial sums.
    pub(crate) fn grid_dispatches(
        &self,
        matmul: Matmul,
        layers: RangeInclusive<usize>,
        config: MatmulConfig,
    ) -> Vec<Dispatch> {
        let tile = config.tile;
        let max_depth = layers.clone().map(|layer| self.arenas.matmul_dims(matmul.kind, layer)[2]).max().unwrap_or(0);
        let slice_depth = config.slice_depth(max_depth);
        // The depth of a partial sum is rounded up, so fewer partial sums may suffice.
        let split_k = if config.split_k == 1 { 1 } else { max_depth.div_ceil(slice_depth) };
        let partial_sum_len = self.partial_sum_len(matmul.kind, *layers.end());
        let epilogue = if split_k == 1 { matmul.epilogue } else { Epilogue::Store };
        let mut grid = Grid {
            matmul: Matmul { epilogue, ..matmul },
            layers: layers.clone(),
            split_k,
            sliced_k: tile.sliced_k(),
            constants: vec![
                ("SPLIT_DEPTH", slice_depth),
                ("SPLIT_K", split_k),
                ("PARTIAL_SUM_STRIDE", partial_sum_len),
            ],
            pieces: tile.pieces(),
        };
        grid.constants.extend(tile.constants());
        let mut dispatch = self.grid_dispatch(grid, |[rows, columns, _]| tile.workgroups(rows, columns));
        dispatch.name = format!("{}, {config}", dispatch.name);
        dispatch.loop_iterations += tile.loop_iterations(slice_depth.min(max_depth));
        if split_k == 1 {
            return vec![dispatch];
        }
        vec![dispatch, self.partial_sum_dispatch(matmul, layers, split_k, partial_sum_len)]
    }

    /// Returns the number of vec4s of one partial sum of all matmuls in a dispatch.
    fn partial_sum_len(&self, kind: MatmulKind, layer: usize) -> usize {
        match kind {
            MatmulKind::Gradient => self.arenas.parameters,
            MatmulKind::Forward | MatmulKind::InputDelta => self.arenas.matmul_vec4s(kind, layer),
        }
    }

    /// Returns the second dispatch of split-K, which adds `partial_sums` partial sums of `partial_sum_len` vec4s. If
    /// there are many, several invocations read those of one vec4, because one invocation would wait for one read after
    /// the other.
    pub(crate) fn partial_sum_dispatch(
        &self,
        matmul: Matmul,
        layers: RangeInclusive<usize>,
        partial_sums: usize,
        partial_sum_len: usize,
    ) -> Dispatch {
        let slices = if partial_sums >= 32 { 8 } else { 1 };
        let constants = vec![
            ("SPLIT_DEPTH", 1),
            ("SPLIT_K", 1),
            ("PARTIAL_SUM_STRIDE", partial_sum_len),
            ("PARTIAL_SUMS", partial_sums),
            ("INVOCATIONS", WORKGROUP_SIZE),
            ("TILES", WORKGROUP_SIZE),
            ("TILE_ROWS", 1),
            ("TILE_COLUMNS", 4),
        ];
        let pieces =
            vec![Piece::Shared(shader!("tile/split_k_sum")), Piece::PerMatmul(shader!("per_matmul/split_k_sum"))];
        let grid = Grid { matmul, layers, split_k: 1, sliced_k: slices, constants, pieces };
        let mut dispatch =
            self.grid_dispatch(grid, |[rows, columns, _]| (rows * columns / 4 * slices).div_ceil(WORKGROUP_SIZE));
        dispatch.name = format!("sum of {partial_sums} partial sums of {}", dispatch.name);
        dispatch.loop_iterations += loop_counts::split_k_sum(partial_sums, slices);
        dispatch.flop = 0;
        dispatch.bytes = (16 * partial_sum_len * (partial_sums + 2)) as u64;
        dispatch
    }

    /// Returns the dispatch of a grid. `workgroups_of` returns the number of workgroups for a matmul with these rows,
    /// columns and depth.
    fn grid_dispatch(&self, grid: Grid, workgroups_of: impl Fn([usize; 3]) -> usize) -> Dispatch {
        let Grid { matmul, layers, split_k, sliced_k, mut constants, mut pieces } = grid;
        let kind = matmul.kind;
        let mut first_blocks = vec![0; self.arenas.layers.len()];
        let mut workgroups = 0;
        let mut flop = 0;
        let mut bytes = 0;
        for layer in layers.clone() {
            let dims = self.arenas.matmul_dims(kind, layer);
            first_blocks[layer] = workgroups;
            workgroups += workgroups_of(dims);
            flop += self.matmul_flop(kind, layer);
            bytes += matmul_bytes(dims);
        }
        let first = *layers.start();
        let last = *layers.end();
        constants.extend([("WORKGROUPS", workgroups), ("FIRST_LAYER", first), ("LAST_LAYER", last)]);
        pieces.extend([Piece::PerMatmul(shader!("entry/grid")), Piece::Shared(shader!("step/matmul_args"))]);
        let name = match kind {
            MatmulKind::Gradient => format!("{}s", kind.name()),
            MatmulKind::Forward | MatmulKind::InputDelta => format!("{} {first}", kind.name()),
        };
        let source = KernelSource {
            constants,
            matmuls: vec![matmul.instance("only")],
            first_blocks,
            sliced_k: vec![[sliced_k; 3]; self.arenas.layers.len()],
            // The input deltas of a layer are the deltas of the previous layer.
            ..self.source(BindingSet::Step, pieces, Some(first.saturating_sub(1)..=last))
        };
        Dispatch {
            name,
            entry_point: "grid",
            source: self.assemble(&source),
            workgroups: fold_workgroups(workgroups * split_k, self.arenas.member_count),
            loop_iterations: loop_counts::grid(first, last),
            max_steps: 1,
            flop,
            bytes,
        }
    }
}

impl Tile {
    /// Returns the WGSL files of the tile, and those of the 4x4 blocks of all tiles.
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
