//! The tiles: how a product is computed, each an arm here and a file in `shaders/tile/`.

/// How a product is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tile {
    /// In registers alone, for software adapters.
    Plain,
    /// In workgroup memory, for GPUs.
    Staged,
}

impl Tile {
    #[cfg(test)]
    pub(crate) const ALL: &[Self] = &[Self::Plain, Self::Staged];

    /// The tile for an adapter.
    pub(crate) fn for_adapter(info: &wgpu::AdapterInfo) -> Self {
        if info.device_type == wgpu::DeviceType::Cpu { Self::Plain } else { Self::Staged }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Staged => "staged",
        }
    }

    pub(super) const fn wgsl(self) -> &'static str {
        match self {
            Self::Plain => shader!("tile/plain"),
            Self::Staged => shader!("tile/staged"),
        }
    }

    /// How many workgroups compute a product of `rows` x `columns`.
    pub(crate) const fn groups(self, rows: usize, columns: usize) -> usize {
        match self {
            Self::Plain => (rows.div_ceil(8) * columns.div_ceil(8)).div_ceil(8),
            Self::Staged => rows.div_ceil(32) * columns.div_ceil(32),
        }
    }

    /// How often an invocation goes round the kernel's loops for a product of `depth`.
    pub(super) const fn loops(self, depth: usize) -> usize {
        match self {
            Self::Plain => depth.div_ceil(4),
            Self::Staged => depth.div_ceil(32) * (1 + 32),
        }
    }
}
