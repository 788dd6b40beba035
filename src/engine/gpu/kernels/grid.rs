//! The dispatches of a matmul alone: its tiles over a grid of workgroups, and a second pass that adds up the parts of its sums.

use std::ops::RangeInclusive;

use crate::{
    engine::gpu::{
        kernels::{
            kernel_set::{Dispatch, LANES, bytes_of, folded},
            kernel_set_builder::Maker,
            kernel_source::{BindingSet, KernelSource, Piece},
            loop_counts,
        },
        layout::matmul::{Finish, Matmul, Product},
    },
    plan::{Tile, Way},
};

/// A grid over the matmuls of some layers.
struct Grid {
    matmul: Matmul,
    layers: RangeInclusive<usize>,
    /// How many parts each sum has.
    parts: usize,
    /// How many invocations share the sums of an output.
    split: usize,
    constants: Vec<(&'static str, usize)>,
    pieces: Vec<Piece>,
}

impl Maker<'_> {
    /// The matmuls of some layers in one dispatch, and a second that adds up their parts if there are any.
    pub(crate) fn grid(&self, matmul: Matmul, layers: RangeInclusive<usize>, way: Way) -> Vec<Dispatch> {
        let Way { tile, parts } = way;
        let deepest = layers.clone().map(|layer| self.arenas.size(matmul.product, layer)[2]).max().unwrap_or(0);
        let slice = way.slice(deepest);
        // Rounding the parts up to whole slices may leave fewer.
        let parts = if parts == 1 { 1 } else { deepest.div_ceil(slice) };
        let part = self.part(matmul.product, *layers.end());
        let finish = if parts == 1 { matmul.finish } else { Finish::Store };
        let mut grid = Grid {
            matmul: Matmul { finish, ..matmul },
            layers: layers.clone(),
            parts,
            split: tile.split(),
            constants: vec![("SLICE", slice), ("PARTS", parts), ("PART", part)],
            pieces: tile.pieces(),
        };
        grid.constants.extend(tile.constants());
        let mut first = self.dispatch_of(grid, |[rows, columns, _]| tile.groups(rows, columns));
        first.name = format!("{}, {way}", first.name);
        first.loops += tile.loops(slice.min(deepest));
        if parts == 1 {
            return vec![first];
        }
        vec![first, self.sum(matmul, layers, parts, part)]
    }

    /// The vec4s of a part of some layers' matmuls.
    fn part(&self, product: Product, layer: usize) -> usize {
        match product {
            Product::Gradient => self.arenas.parameters,
            Product::Forward | Product::InputDelta => self.arenas.part(product, layer),
        }
    }

    /// The second pass of matmuls that were computed in parts. Many parts are read by several invocations each, which would
    /// wait for one after the other.
    pub(crate) fn sum(&self, matmul: Matmul, layers: RangeInclusive<usize>, summed: usize, part: usize) -> Dispatch {
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
        let pieces = vec![Piece::Shared(shader!("tile/sum")), Piece::PerMatmul(shader!("per_matmul/sum"))];
        let grid = Grid { matmul, layers, parts: 1, split, constants, pieces };
        let mut sum = self.dispatch_of(grid, |[rows, columns, _]| (rows * columns / 4 * split).div_ceil(LANES));
        sum.name = format!("sum of {summed} parts of {}", sum.name);
        sum.loops += loop_counts::sum(summed, split);
        sum.flop = 0;
        sum.bytes = (16 * part * (summed + 2)) as u64;
        sum
    }

    /// `groups_of` says how many workgroups compute a matmul of these rows, columns and depth.
    fn dispatch_of(&self, grid: Grid, groups_of: impl Fn([usize; 3]) -> usize) -> Dispatch {
        let Grid { matmul, layers, parts, split, mut constants, mut pieces } = grid;
        let product = matmul.product;
        let mut firsts = vec![0; self.arenas.layers.len()];
        let mut groups = 0;
        let mut flop = 0;
        let mut bytes = 0;
        for layer in layers.clone() {
            let size = self.arenas.size(product, layer);
            firsts[layer] = groups;
            groups += groups_of(size);
            flop += self.flop(product, layer);
            bytes += bytes_of(size);
        }
        let first = *layers.start();
        let last = *layers.end();
        constants.extend([("GROUPS", groups), ("FIRST_LAYER", first), ("LAST_LAYER", last)]);
        pieces.extend([Piece::PerMatmul(shader!("entry/grid")), Piece::Shared(shader!("place"))]);
        let name = match product {
            Product::Gradient => format!("{}s", product.name()),
            Product::Forward | Product::InputDelta => format!("{} {first}", product.name()),
        };
        let source = KernelSource {
            constants,
            matmuls: vec![matmul.named("only")],
            firsts,
            splits: vec![[split; 3]; self.arenas.layers.len()],
            // An input delta goes to the layer before.
            ..self.source(BindingSet::Step, pieces, Some(first.saturating_sub(1)..=last))
        };
        Dispatch {
            name,
            entry: "grid",
            source: self.assembled(&source),
            groups: folded(groups * parts, self.arenas.models),
            loops: loop_counts::grid(first, last),
            steps: 1,
            flop,
            bytes,
        }
    }
}

impl Tile {
    /// The files of the tile, and those of the blocks that all tiles share.
    pub(crate) fn pieces(self) -> Vec<Piece> {
        let mut pieces = match self {
            Self::Lanes8(_) => {
                vec![Piece::Shared(shader!("tile/lanes8")), Piece::PerMatmul(shader!("per_matmul/lanes8"))]
            }
            Self::Plain => vec![Piece::PerMatmul(shader!("tile/plain"))],
            Self::Sliced { .. } => {
                vec![Piece::Shared(shader!("tile/sliced")), Piece::PerMatmul(shader!("per_matmul/sliced"))]
            }
            Self::Staged(size) => {
                let (shared, per_matmul) = match size {
                    32 => (shader!("tile/registers_4x4"), shader!("per_matmul/registers_4x4")),
                    64 => (shader!("tile/registers_8x4"), shader!("per_matmul/registers_8x4")),
                    _ => (shader!("tile/registers_8x8"), shader!("per_matmul/registers_8x8")),
                };
                vec![
                    Piece::Shared(shader!("tile/staged")),
                    Piece::PerMatmul(shader!("per_matmul/staged")),
                    Piece::Shared(shared),
                    Piece::PerMatmul(per_matmul),
                ]
            }
        };
        pieces.extend([Piece::Shared(shader!("tile/block")), Piece::PerMatmul(shader!("per_matmul/block"))]);
        pieces
    }
}
