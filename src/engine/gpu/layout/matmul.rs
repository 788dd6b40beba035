//! The products of a step, and what becomes of their results: the families of `shaders/product/` and `shaders/finish/`.

/// A matmul of a kernel: its operands, and its epilogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matmul {
    pub(crate) kind: MatmulKind,
    pub(crate) epilogue: Epilogue,
}

/// A product over a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MatmulKind {
    Forward,
    InputDelta,
    Gradient,
}

/// In the order of [`MatmulConfigs::for_layer`].
pub(crate) const MATMUL_KINDS: [MatmulKind; 3] = [MatmulKind::Forward, MatmulKind::InputDelta, MatmulKind::Gradient];

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
            Self::Forward => shader!("matmul/forward"),
            Self::InputDelta => shader!("matmul/input_delta"),
            Self::Gradient => shader!("matmul/gradient"),
        }
    }
}

impl Epilogue {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::ForwardDerivative => "forward_derivative",
            Self::ForwardDropout => "forward_dropout",
            Self::OutputDelta => "output_delta",
            Self::ForwardPrelu => "forward_prelu",
            Self::BeforeNormalization => "pre_activation",
            Self::InputDelta => "input_delta",
            Self::InputDeltaPrelu => "input_delta_prelu",
            Self::Update => "update",
            Self::Accumulate => "accumulate",
            Self::Store => "store",
        }
    }

    pub(crate) const fn wgsl(self) -> &'static str {
        match self {
            Self::Forward => shader!("epilogue/forward"),
            Self::ForwardDerivative => shader!("epilogue/forward_derivative"),
            Self::ForwardDropout => shader!("epilogue/forward_dropout"),
            Self::OutputDelta => shader!("epilogue/output_delta"),
            Self::ForwardPrelu => shader!("epilogue/forward_prelu"),
            Self::BeforeNormalization => shader!("epilogue/pre_activation"),
            Self::InputDelta => shader!("epilogue/input_delta"),
            Self::InputDeltaPrelu => shader!("epilogue/input_delta_prelu"),
            Self::Update => shader!("epilogue/update"),
            Self::Accumulate => shader!("epilogue/accumulate"),
            Self::Store => shader!("epilogue/store"),
        }
    }
}
