//! The tiles on a device: their files, their sizes, what they need.

use crate::{
    engine::gpu::device::Gpu,
    plan::{MatmulConfig, Tile},
};

impl Tile {
    /// One of each kind.
    pub(crate) const ALL: &[Self] = &[
        Self::Subgroup8(32),
        Self::Subgroup8(64),
        Self::Register,
        Self::SlicedK { invocations: 64, slices: 8 },
        Self::SharedMemory(32),
        Self::SharedMemory(64),
        Self::SharedMemory(128),
    ];

    /// Whether the device has what the tile needs.
    pub(crate) fn runs_on(self, gpu: &Gpu) -> bool {
        let (limits, lanes) = (&gpu.limits, self.invocations() as u32);
        let has_subgroups = || {
            let sizes = [gpu.info.subgroup_min_size, gpu.info.subgroup_max_size];
            gpu.device.features().contains(wgpu::Features::SUBGROUP) && sizes == [8, 8]
        };
        limits.max_compute_invocations_per_workgroup >= lanes
            && limits.max_compute_workgroup_size_x >= lanes
            && limits.max_compute_workgroup_storage_size >= self.workgroup_bytes()
            && (!matches!(self, Self::Subgroup8(_)) || has_subgroups())
    }

    /// Invocations of a workgroup.
    pub(crate) const fn invocations(self) -> usize {
        match self {
            Self::Subgroup8(_) | Self::Register => 8,
            Self::SlicedK { invocations: lanes, .. } => lanes,
            Self::SharedMemory(size) => 2 * size,
        }
    }

    /// Bytes of workgroup memory.
    pub(crate) const fn workgroup_bytes(self) -> u32 {
        match self {
            Self::Subgroup8(_) | Self::Register => 0,
            Self::SlicedK { invocations: lanes, .. } => 64 * lanes as u32,
            Self::SharedMemory(size) => 128 * size as u32,
        }
    }

    /// How many invocations share the sums of an output.
    pub(crate) const fn sliced_k(self) -> usize {
        if let Self::SlicedK { slices: split, .. } = self { split } else { 1 }
    }

    /// The constants of its files.
    pub(crate) const fn constants(self) -> [(&'static str, usize); 4] {
        let [rows, columns, at_once] = self.dims();
        [
            ("INVOCATIONS", self.invocations()),
            ("TILE_ROWS", rows),
            ("TILE_COLUMNS", columns),
            // Tiles that a workgroup computes at once, if no sum is shared.
            ("TILES", at_once * self.sliced_k()),
        ]
    }

    /// Rows and columns of a tile, and how many tiles a workgroup computes.
    pub(crate) const fn dims(self) -> [usize; 3] {
        match self {
            Self::Subgroup8(columns) => [columns / 2, columns, 1],
            Self::Register => [8, 8, 8],
            Self::SlicedK { invocations: lanes, slices: split } => [4, 4, lanes / split],
            Self::SharedMemory(size) => [size, size, 1],
        }
    }

    /// How many workgroups compute a product of `rows` x `columns`.
    pub(crate) const fn workgroups(self, rows: usize, columns: usize) -> usize {
        let [height, width, tiles] = self.dims();
        (rows.div_ceil(height) * columns.div_ceil(width)).div_ceil(tiles)
    }
}

impl MatmulConfig {
    /// How deep a part is of a product of `depth`: whole 16 deep slices.
    pub(crate) const fn slice_depth(self, depth: usize) -> usize {
        depth.div_ceil(self.split_k).next_multiple_of(16)
    }
}
