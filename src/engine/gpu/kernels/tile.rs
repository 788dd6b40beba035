//! The tiles on a device: their files, their sizes, what they need.

use crate::{
    engine::gpu::device::Gpu,
    plan::{Tile, Way},
};

impl Tile {
    /// One of each kind.
    pub(crate) const ALL: &[Self] = &[
        Self::Lanes8(32),
        Self::Lanes8(64),
        Self::Plain,
        Self::Sliced { lanes: 64, split: 8 },
        Self::Staged(32),
        Self::Staged(64),
        Self::Staged(128),
    ];

    /// Whether the device has what the tile needs.
    pub(crate) fn runs_on(self, gpu: &Gpu) -> bool {
        let (limits, lanes) = (&gpu.limits, self.lanes() as u32);
        let has_subgroups = || {
            let sizes = [gpu.info.subgroup_min_size, gpu.info.subgroup_max_size];
            gpu.device.features().contains(wgpu::Features::SUBGROUP) && sizes == [8, 8]
        };
        limits.max_compute_invocations_per_workgroup >= lanes
            && limits.max_compute_workgroup_size_x >= lanes
            && limits.max_compute_workgroup_storage_size >= self.workgroup_bytes()
            && (!matches!(self, Self::Lanes8(_)) || has_subgroups())
    }

    /// Invocations of a workgroup.
    pub(crate) const fn lanes(self) -> usize {
        match self {
            Self::Lanes8(_) | Self::Plain => 8,
            Self::Sliced { lanes, .. } => lanes,
            Self::Staged(size) => 2 * size,
        }
    }

    /// Bytes of workgroup memory.
    pub(crate) const fn workgroup_bytes(self) -> u32 {
        match self {
            Self::Lanes8(_) | Self::Plain => 0,
            Self::Sliced { lanes, .. } => 64 * lanes as u32,
            Self::Staged(size) => 128 * size as u32,
        }
    }

    /// How many invocations share the sums of an output.
    pub(crate) const fn split(self) -> usize {
        if let Self::Sliced { split, .. } = self { split } else { 1 }
    }

    /// The constants of its files.
    pub(crate) const fn constants(self) -> [(&'static str, usize); 4] {
        let [rows, columns, at_once] = self.size();
        [
            ("LANES", self.lanes()),
            ("TILE_ROWS", rows),
            ("TILE_COLUMNS", columns),
            // Tiles that a workgroup computes at once, if no sum is shared.
            ("TILES", at_once * self.split()),
        ]
    }

    /// Rows and columns of a tile, and how many tiles a workgroup computes.
    pub(crate) const fn size(self) -> [usize; 3] {
        match self {
            Self::Lanes8(columns) => [columns / 2, columns, 1],
            Self::Plain => [8, 8, 8],
            Self::Sliced { lanes, split } => [4, 4, lanes / split],
            Self::Staged(size) => [size, size, 1],
        }
    }

    /// How many workgroups compute a product of `rows` x `columns`.
    pub(crate) const fn groups(self, rows: usize, columns: usize) -> usize {
        let [height, width, tiles] = self.size();
        (rows.div_ceil(height) * columns.div_ceil(width)).div_ceil(tiles)
    }
}

impl Way {
    /// How deep a part is of a product of `depth`: whole 16 deep slices.
    pub(crate) const fn slice(self, depth: usize) -> usize {
        depth.div_ceil(self.parts).next_multiple_of(16)
    }
}
