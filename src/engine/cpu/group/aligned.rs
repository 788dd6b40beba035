//! A vector of floats that is aligned to a cache line, so that no vector register spans two cache lines.

use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};

/// The floats of one cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct AlignedLine([f32; 16]);

/// Floats that are aligned to a cache line.
pub(crate) struct AlignedFloats(Vec<AlignedLine>);

impl AlignedFloats {
    /// Creates at least `count` floats of value 0; the number is rounded up to a multiple of 16.
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![AlignedLine([0.0; 16]); count.div_ceil(16)])
    }
}

impl Deref for AlignedFloats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
}

impl DerefMut for AlignedFloats {
    fn deref_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}
