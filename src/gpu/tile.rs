//! The tiles: how a product is computed, each an arm here and a file in `shaders/tile/`.

use super::Gpu;

/// How a product is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tile {
    /// In 8 lanes of a subgroup, for software adapters that have such.
    Lanes8,
    /// In registers alone, for other software adapters.
    Plain,
    /// In workgroup memory, for GPUs.
    Staged,
}

/// A step with less to do is faster in small tiles, which use all cores and waste less (llvmpipe on two cores: 784-30-10
/// with a batch of 10 takes 320 us plainly and 370 us in lanes; with 784-128-10 and a batch of 64 it is 1.4 and 1.0 ms).
const WORTH_16_ROWS: u64 = 4_000_000;

impl Tile {
    #[cfg(test)]
    pub(crate) const ALL: &[Self] = &[Self::Lanes8, Self::Plain, Self::Staged];

    /// The best tile on a device for steps of `flop` floating-point operations.
    pub(crate) fn best_for(gpu: &Gpu, flop: u64) -> Self {
        match gpu.is_software() {
            true if Self::Lanes8.runs_on(gpu) && flop >= WORTH_16_ROWS => Self::Lanes8,
            true => Self::Plain,
            false => Self::Staged,
        }
    }

    /// Whether the device has what the tile needs.
    pub(crate) fn runs_on(self, gpu: &Gpu) -> bool {
        match self {
            Self::Lanes8 => {
                let has_subgroups = gpu.device.features().contains(wgpu::Features::SUBGROUP);
                has_subgroups && [gpu.info.subgroup_min_size, gpu.info.subgroup_max_size] == [8, 8]
            }
            Self::Plain | Self::Staged => true,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Lanes8 => "lanes8",
            Self::Plain => "plain",
            Self::Staged => "staged",
        }
    }

    pub(super) const fn wgsl(self) -> &'static str {
        match self {
            Self::Lanes8 => shader!("tile/lanes8"),
            Self::Plain => shader!("tile/plain"),
            Self::Staged => shader!("tile/staged"),
        }
    }

    /// Rows and columns of a tile, and how many tiles a workgroup computes.
    pub(crate) const fn size(self) -> [usize; 3] {
        match self {
            Self::Lanes8 => [16, 64, 1],
            Self::Plain => [8, 8, 8],
            Self::Staged => [32, 32, 1],
        }
    }

    /// How many workgroups compute a product of `rows` x `columns`.
    pub(crate) const fn groups(self, rows: usize, columns: usize) -> usize {
        let [height, width, tiles] = self.size();
        (rows.div_ceil(height) * columns.div_ceil(width)).div_ceil(tiles)
    }

    /// How often an invocation goes round the kernel's loops for a product of `depth`.
    pub(super) const fn loops(self, depth: usize) -> usize {
        match self {
            Self::Lanes8 => depth.div_ceil(8),
            Self::Plain => depth.div_ceil(4),
            Self::Staged => depth.div_ceil(32) * (1 + 32),
        }
    }
}
