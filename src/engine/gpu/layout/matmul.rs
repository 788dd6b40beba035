//! The products of a step, and what becomes of their results: the families of `shaders/product/` and `shaders/finish/`.

use crate::engine::gpu::kernels::kernel_source::MatmulInstance;

/// A matmul of a kernel: its operands, and its epilogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matmul {
    pub(crate) kind: MatmulKind,
    pub(crate) epilogue: Epilogue,
}

impl Matmul {
    /// The matmul with the name that its functions have in a kernel.
    pub(crate) const fn instance(self, name: &'static str) -> MatmulInstance {
        MatmulInstance { name, matmul: self }
    }
}

/// A product over a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MatmulKind {
    Forward,
    InputDelta,
    Gradient,
}

/// What a vec4 of the result becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Epilogue {
    Forward,
    ForwardDerivative,
    ForwardDropout,
    ForwardPrelu,
    BeforeNormalization,
    OutputDelta,
    InputDelta,
    InputDeltaPrelu,
    Update,
    Accumulate,
    Store,
}

impl MatmulKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::InputDelta => "input_delta",
            Self::Gradient => "gradient",
        }
    }

    pub(crate) const fn wgsl(self) -> &'static str {
        match self {
            Self::Forward => shader!("product/forward"),
            Self::InputDelta => shader!("product/input_delta"),
            Self::Gradient => shader!("product/gradient"),
        }
    }
}

impl Epilogue {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::ForwardDerivative => "forward_slope",
            Self::ForwardDropout => "forward_dropout",
            Self::OutputDelta => "output_delta",
            Self::ForwardPrelu => "forward_prelu",
            Self::BeforeNormalization => "before_norm",
            Self::InputDelta => "input_delta",
            Self::InputDeltaPrelu => "input_delta_prelu",
            Self::Update => "update",
            Self::Accumulate => "accumulate",
            Self::Store => "store",
        }
    }

    pub(crate) const fn wgsl(self) -> &'static str {
        match self {
            Self::Forward => shader!("finish/forward"),
            Self::ForwardDerivative => shader!("finish/forward_slope"),
            Self::ForwardDropout => shader!("finish/forward_dropout"),
            Self::OutputDelta => shader!("finish/output_delta"),
            Self::ForwardPrelu => shader!("finish/forward_prelu"),
            Self::BeforeNormalization => shader!("finish/before_norm"),
            Self::InputDelta => shader!("finish/input_delta"),
            Self::InputDeltaPrelu => shader!("finish/input_delta_prelu"),
            Self::Update => shader!("finish/update"),
            Self::Accumulate => shader!("finish/accumulate"),
            Self::Store => shader!("finish/store"),
        }
    }
}
