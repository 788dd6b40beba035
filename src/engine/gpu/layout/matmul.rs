//! The matmuls of a training step and the epilogues of their results: the files of `shaders/matmul/` and
//! `shaders/epilogue/`.

/// A matmul of a kernel: its operands and its epilogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matmul {
    pub(crate) kind: MatmulKind,
    pub(crate) epilogue: Epilogue,
}

/// The operands of a matmul over a batch. The files in `shaders/matmul/` contain the formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MatmulKind {
    /// `z = x W`.
    Forward,
    /// `dLoss/dx = delta W^T`.
    InputDelta,
    /// `dLoss/dW = x^T delta`, with the gradient of the biases as one more row.
    Gradient,
}

/// All kinds, in the order of [`MatmulConfigs::for_layer`].
pub(crate) const MATMUL_KINDS: [MatmulKind; 3] = [MatmulKind::Forward, MatmulKind::InputDelta, MatmulKind::Gradient];

/// The operation on each vec4 of a matmul's result. The files in `shaders/epilogue/` contain the formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Epilogue {
    /// Adds the bias and applies the activation.
    Forward,
    /// Like [`Epilogue::Forward`], and stores the derivative of the activation for the backward pass.
    ForwardDerivative,
    /// Like [`Epilogue::ForwardDerivative`], with dropout.
    ForwardDropout,
    /// Like [`Epilogue::Forward`] with PReLU, and stores the pre-activation for the backward pass.
    ForwardPrelu,
    /// Adds the bias and stores the pre-activation, which a later dispatch normalizes.
    BeforeNormalization,
    /// Computes the outputs of the last layer, and dLoss/dz.
    OutputDelta,
    /// Multiplies by the derivative of the previous layer's activation.
    InputDelta,
    /// Like [`Epilogue::InputDelta`] with PReLU, and stores the terms of the slopes' gradients.
    InputDeltaPrelu,
    /// Updates the parameters.
    Update,
    /// Adds to the full gradients.
    Accumulate,
    /// Stores the result, or a partial sum of it.
    Store,
}

impl MatmulKind {
    /// Returns the prefix of its WGSL functions, such as `forward` for `forward_args`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::InputDelta => "input_delta",
            Self::Gradient => "gradient",
        }
    }

    /// Returns the text of its WGSL file.
    pub(crate) const fn wgsl(self) -> &'static str {
        match self {
            Self::Forward => shader!("matmul/forward"),
            Self::InputDelta => shader!("matmul/input_delta"),
            Self::Gradient => shader!("matmul/gradient"),
        }
    }
}

impl Epilogue {
    /// Returns the prefix of its WGSL function, such as `update` for `update_epilogue`.
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

    /// Returns the text of its WGSL file.
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
