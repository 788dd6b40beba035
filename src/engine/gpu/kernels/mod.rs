//! The compute kernels: their WGSL text, entry points and dispatches.

pub(crate) mod assembly;
pub(crate) mod custom;
pub(crate) mod grid;
pub(crate) mod kernel_set;
pub(crate) mod kernel_set_builder;
pub(crate) mod kernel_source;
pub(crate) mod layered;
pub(crate) mod loop_counts;
pub(crate) mod multi_step;
pub(crate) mod tile;
pub(crate) mod wgsl_text;
pub(crate) mod windows;
