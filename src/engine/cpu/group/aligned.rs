//! Floats that begin at a cache line, so that no vector register lies across two.

use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};

#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Line([f32; 16]);

/// So many floats, rounded up to whole lines.
pub(crate) struct Lines(Vec<Line>);

impl Lines {
    pub(crate) fn new(floats: usize) -> Self {
        Self(vec![Line([0.0; 16]); floats.div_ceil(16)])
    }
}

impl Deref for Lines {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}
