//! The tiles on a device: their sizes, their constants and their requirements.

use crate::{
    engine::gpu::device::Gpu,
    plan::matmul::{MatmulConfig, Tile},
};

impl Tile {
    /// One tile of each kind and size.
    pub(crate) const ALL: &[Self] = &[
        Self::Subgroup8(32),
        Self::Subgroup8(64),
        Self::Register,
        Self::SlicedK { invocations: 64, slices: 8 },
        Self::SharedMemory(32),
        Self::SharedMemory(64),
        Self::SharedMemory(128),
    ];

    /// Returns whether the device supports the tile.
    pub(crate) fn runs_on(self, gpu: &Gpu) -> bool {
        let (limits, invocations) = (&gpu.limits, self.invocations() as u32);
        let has_subgroups = || {
            let sizes = [gpu.info.subgroup_min_size, gpu.info.subgroup_max_size];
            gpu.device.features().contains(wgpu::Features::SUBGROUP) && sizes == [8, 8]
        };
        limits.max_compute_invocations_per_workgroup >= invocations
            && limits.max_compute_workgroup_size_x >= invocations
            && limits.max_compute_workgroup_storage_size >= self.workgroup_bytes()
            && (!matches!(self, Self::Subgroup8(_)) || has_subgroups())
    }

    /// Returns the number of invocations per workgroup.
    pub(crate) const fn invocations(self) -> usize {
        match self {
            Self::Subgroup8(_) | Self::Register => 8,
            Self::SlicedK { invocations, .. } => invocations,
            Self::SharedMemory(size) => 2 * size,
        }
    }

    /// Returns the size of the workgroup memory in bytes.
    pub(crate) const fn workgroup_bytes(self) -> u32 {
        match self {
            Self::Subgroup8(_) | Self::Register => 0,
            Self::SlicedK { invocations, .. } => 64 * invocations as u32,
            Self::SharedMemory(size) => 128 * size as u32,
        }
    }

    /// Returns the number of invocations per sum.
    pub(crate) const fn sliced_k(self) -> usize {
        if let Self::SlicedK { slices, .. } = self { slices } else { 1 }
    }

    /// Returns the constants of its WGSL files.
    pub(crate) const fn constants(self) -> [(&'static str, usize); 4] {
        let [rows, columns, tiles_per_workgroup] = self.dims();
        [
            ("INVOCATIONS", self.invocations()),
            ("TILE_ROWS", rows),
            ("TILE_COLUMNS", columns),
            // The number of tiles per workgroup without sliced-K.
            ("TILES", tiles_per_workgroup * self.sliced_k()),
        ]
    }

    /// Returns the rows and columns of a tile, and the number of tiles per workgroup.
    pub(crate) const fn dims(self) -> [usize; 3] {
        match self {
            Self::Subgroup8(columns) => [columns / 2, columns, 1],
            Self::Register => [8, 8, 8],
            Self::SlicedK { invocations, slices } => [4, 4, invocations / slices],
            Self::SharedMemory(size) => [size, size, 1],
        }
    }

    /// Returns the number of workgroups for a matmul with a result of `rows` x `columns`.
    pub(crate) const fn workgroups(self, rows: usize, columns: usize) -> usize {
        let [height, width, tiles] = self.dims();
        (rows.div_ceil(height) * columns.div_ceil(width)).div_ceil(tiles)
    }
}

impl MatmulConfig {
    /// Returns the number of terms per partial sum for a matmul of this depth, a multiple of 16.
    pub(crate) const fn slice_depth(self, depth: usize) -> usize {
        depth.div_ceil(self.split_k).next_multiple_of(16)
    }
}
