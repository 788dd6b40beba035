//! Floats that begin at a cache line, so that no vector register lies across two.

use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};

#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct AlignedLine([f32; 16]);

/// So many floats, rounded up to whole lines.
pub(crate) struct AlignedFloats(Vec<AlignedLine>);

impl AlignedFloats {
    pub(crate) fn new(floats: usize) -> Self {
        Self(vec![AlignedLine([0.0; 16]); floats.div_ceil(16)])
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
