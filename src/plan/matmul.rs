//! The configurations of the matmuls of a step: tiles and split-K.

use std::{fmt, str::FromStr};

use crate::{
    error::{Error, Result},
    plan::parse::{parse_count, plan_error},
};

/// The configurations of all matmuls of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MatmulConfigs {
    /// The forward matmuls, one per layer.
    pub(crate) forward: Vec<MatmulConfig>,
    /// The matmuls of the input deltas, one per layer except the first, which needs none.
    pub(crate) input_delta: Vec<MatmulConfig>,
    /// The gradient matmuls of all layers.
    pub(crate) gradient: MatmulConfig,
}

/// The configuration of a matmul.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MatmulConfig {
    pub(crate) tile: Tile,
    /// The number of partial sums, which a second pass adds. 1 for a single pass.
    pub(crate) split_k: usize,
}

/// The algorithm for a tile of a matmul. Each has a file in `shaders/tile/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tile {
    /// The 8 invocations of a subgroup compute 16x32 or 32x64 outputs; the value is the number of columns. For software
    /// adapters with subgroups of 8 invocations.
    Subgroup8(usize),
    /// One invocation computes its outputs in registers. For other software adapters.
    Register,
    /// `slices` of `invocations` invocations share the sums of a block of 4x4 outputs.
    SlicedK { invocations: usize, slices: usize },
    /// A workgroup computes 32x32, 64x64 or 128x128 outputs in workgroup memory; the value is the number of columns.
    /// For GPUs.
    SharedMemory(usize),
}

impl MatmulConfigs {
    /// Returns the same configuration for all matmuls of a network with `layers` layers.
    pub(crate) fn uniform(layers: usize, config: MatmulConfig) -> Self {
        Self { forward: vec![config; layers], input_delta: vec![config; layers.saturating_sub(1)], gradient: config }
    }

    /// Returns the configurations of the forward matmul, the input delta and the gradient of a layer. The first layer
    /// has no input delta.
    pub(crate) fn for_layer(&self, layer: usize) -> [Option<&MatmulConfig>; 3] {
        let input_delta = layer.checked_sub(1).and_then(|previous| self.input_delta.get(previous));
        [self.forward.get(layer), input_delta, Some(&self.gradient)]
    }

    /// Returns an iterator over all configurations.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &MatmulConfig> {
        self.forward.iter().chain(&self.input_delta).chain([&self.gradient])
    }
}

impl MatmulConfig {
    /// Creates the configuration of a matmul in a single pass.
    pub(crate) const fn new(tile: Tile) -> Self {
        Self { tile, split_k: 1 }
    }
}

impl fmt::Display for MatmulConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.split_k {
            1 => write!(f, "{}", self.tile),
            split_k => write!(f, "{} split_k {split_k}", self.tile),
        }
    }
}

impl FromStr for MatmulConfig {
    type Err = Error;

    /// Parses the text that [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self> {
        let invalid = || plan_error("tile", "a tile, for example shared_memory 64 split_k 4", text);
        let (tile, split_k) = match text.split_once(" split_k ") {
            None => (text, 1),
            Some((tile, split_k)) => (tile, parse_count(split_k).ok_or_else(invalid)?),
        };
        Ok(Self { tile: Tile::parse(tile).ok_or_else(invalid)?, split_k })
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subgroup8(columns) => write!(f, "subgroup8 {columns}"),
            Self::Register => f.write_str("register"),
            Self::SlicedK { invocations, slices } => write!(f, "sliced_k {invocations}/{slices}"),
            Self::SharedMemory(columns) => write!(f, "shared_memory {columns}"),
        }
    }
}

impl Tile {
    /// Parses the text that [`fmt::Display`] writes.
    fn parse(text: &str) -> Option<Self> {
        if let Some(size) = text.strip_prefix("sliced_k ") {
            let (invocations, slices) = size.split_once('/')?;
            let (invocations, slices) = (parse_count(invocations)?, parse_count(slices)?);
            let is_valid = invocations.is_power_of_two()
                && slices.is_power_of_two()
                && slices <= invocations
                && (8..=256).contains(&invocations);
            return is_valid.then_some(Self::SlicedK { invocations, slices });
        }
        match text {
            "subgroup8 32" => Some(Self::Subgroup8(32)),
            "subgroup8 64" => Some(Self::Subgroup8(64)),
            "register" => Some(Self::Register),
            "shared_memory 32" => Some(Self::SharedMemory(32)),
            "shared_memory 64" => Some(Self::SharedMemory(64)),
            "shared_memory 128" => Some(Self::SharedMemory(128)),
            _ => None,
        }
    }
}
