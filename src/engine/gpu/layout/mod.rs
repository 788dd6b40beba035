//! The layout of the data in the buffers of a device.

pub(crate) mod arenas;
pub(crate) mod buffers;
pub(crate) mod chunk;
pub(crate) mod fused_blocks;
pub(crate) mod kernel_config;
pub(crate) mod matmul;
pub(crate) mod summed_outputs;
