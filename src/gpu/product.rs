//! The products of a step, and what becomes of their results: the families of `shaders/product/` and `shaders/finish/`.

use super::arenas::Arenas;

/// A product over a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    Forward,
    InputDelta,
    Gradient,
}

/// What a vec4 of the result becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    Forward,
    OutputDelta,
    InputDelta,
    Update,
    Store,
}

impl Product {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::InputDelta => "input_delta",
            Self::Gradient => "gradient",
        }
    }

    pub(super) const fn wgsl(self) -> &'static str {
        match self {
            Self::Forward => shader!("product/forward"),
            Self::InputDelta => shader!("product/input_delta"),
            Self::Gradient => shader!("product/gradient"),
        }
    }

    /// Rows, columns and depth of a layer's product, all of it whole blocks.
    pub(super) fn size(self, arenas: &Arenas, layer: usize) -> [usize; 3] {
        let l = &arenas.layers[layer];
        let (inputs, outputs) = (4 * l.input_stride, 4 * l.output_stride);
        match self {
            Self::Forward => [arenas.batch, outputs, inputs],
            Self::InputDelta => [arenas.batch, inputs, outputs],
            Self::Gradient => [(l.inputs + 1).next_multiple_of(4), outputs, arenas.batch],
        }
    }
}

impl Finish {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::OutputDelta => "output_delta",
            Self::InputDelta => "input_delta",
            Self::Update => "update",
            Self::Store => "store",
        }
    }

    pub(super) const fn wgsl(self) -> &'static str {
        match self {
            Self::Forward => shader!("finish/forward"),
            Self::OutputDelta => shader!("finish/output_delta"),
            Self::InputDelta => shader!("finish/input_delta"),
            Self::Update => shader!("finish/update"),
            Self::Store => shader!("finish/store"),
        }
    }
}
