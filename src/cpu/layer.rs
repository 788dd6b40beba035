//! What the ways of computing a step have in common: a layer, and what a thread takes in and brings out.

use super::gemm::Matrix;
use crate::{Activation, network::Place};

/// Writes the inputs and the expected outputs of a row of the batch, and tells what it weighs.
pub(super) type Fill<'a> = dyn Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync + 'a;

/// A layer, and the columns of what it reads and writes.
pub(super) struct Layer {
    pub(super) place: Place,
    pub(super) activation: Activation,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) delta: usize,
    /// Where the slopes lie, if the values do not tell them.
    pub(super) slope: Option<usize>,
}

impl Layer {
    /// Of the numbers of a row, or of some rows side by side, those of the layer's neurons from `column` on.
    pub(super) fn columns<'a>(&self, values: &'a [f32], column: Option<usize>, lanes: usize) -> &'a [f32] {
        column.map_or(&[], |column| &values[column * lanes..][..self.place.outputs * lanes])
    }

    /// The first `rows` rows of the weights; the one after the last weights is the biases.
    pub(super) fn weights<'a>(&self, parameters: &'a [f32], rows: usize) -> Matrix<'a> {
        let Place { offset, outputs, stride, .. } = self.place;
        Matrix::new(&parameters[offset..], rows, outputs, stride)
    }
}

/// What one thread brings out of its rows.
#[derive(Clone, Default)]
pub(super) struct Lane {
    pub(super) loss: f64,
    pub(super) right: u32,
    /// The gradients, where every thread sums its own.
    pub(super) sums: Vec<f32>,
}
