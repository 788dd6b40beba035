//! The schemes of a step: which operations share a dispatch.

use std::fmt;

use crate::{
    error::Result,
    plan::{
        matmul::MatmulConfigs,
        parse::{parse_count, plan_error},
    },
};

/// The scheme of a step: which matmuls share a dispatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// The CPU engine computes the step.
    Cpu(CpuScheme),
    /// Each matmul has its own dispatch.
    Layered(MatmulConfigs),
    /// Two dispatches per step. In the first, `workgroups` workgroups share the blocks of `rows` rows, take each block
    /// forward and backward through all layers, and sum their gradients. The second adds the partial sums and updates.
    Fused { rows: usize, workgroups: usize },
    /// One workgroup runs `steps` steps per dispatch.
    SingleWorkgroup { steps: usize, configs: MatmulConfigs },
    /// One invocation runs `steps` steps per dispatch. A workgroup has `invocations` invocations, one per network.
    SingleInvocation { steps: usize, invocations: usize },
}

/// The scheme of the CPU engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuScheme {
    pub(crate) kernel: CpuKernel,
    pub(crate) threads: usize,
}

/// The algorithm of the CPU engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CpuKernel {
    /// Each SIMD lane computes one row. For small networks.
    SimdRows,
    /// Each thread takes blocks of rows through all layers and sums their gradients. The sums of the threads are added.
    RowBlocks,
    /// Each thread computes the gradients of a range of the parameters over all rows of the batch.
    FullBatch,
}

impl Scheme {
    /// The accepted texts, for error messages.
    const FORMATS: &str = "a scheme, for example layered; fused, 64 rows in 256 workgroups; single_workgroup, 100 steps; \
                           single_invocation, 100 steps in 8 invocations; cpu, rows in SIMD lanes, 1 thread";

    /// Returns the configurations of the matmuls, if the scheme has any.
    pub(crate) const fn matmul_configs(&self) -> Option<&MatmulConfigs> {
        match self {
            Self::Cpu(_) | Self::Fused { .. } | Self::SingleInvocation { .. } => None,
            Self::Layered(configs) | Self::SingleWorkgroup { configs, .. } => Some(configs),
        }
    }

    /// Parses the text that [`fmt::Display`] writes. It calls `parse_configs` for a scheme with matmul configurations.
    ///
    /// # Errors
    /// [`Error::InvalidPlan`](crate::Error::InvalidPlan) if the text is not a scheme.
    /// The errors of `parse_configs`.
    pub(crate) fn parse(text: &str, parse_configs: impl FnOnce() -> Result<MatmulConfigs>) -> Result<Self> {
        let invalid = || plan_error("scheme", Self::FORMATS, text);
        let (kind, details) = text.split_once(", ").unwrap_or((text, ""));
        match kind {
            "cpu" => Ok(Self::Cpu(CpuScheme::parse(details).ok_or_else(invalid)?)),
            "layered" if details.is_empty() => Ok(Self::Layered(parse_configs()?)),
            "fused" => {
                let (rows, workgroups) = parse_two_counts(details, " rows in ", " workgroups").ok_or_else(invalid)?;
                Ok(Self::Fused { rows, workgroups })
            }
            "single_workgroup" => {
                let steps = details.strip_suffix(" steps").and_then(parse_count).ok_or_else(invalid)?;
                Ok(Self::SingleWorkgroup { steps, configs: parse_configs()? })
            }
            "single_invocation" => {
                let (steps, invocations) =
                    parse_two_counts(details, " steps in ", " invocations").ok_or_else(invalid)?;
                Ok(Self::SingleInvocation { steps, invocations })
            }
            _ => Err(invalid()),
        }
    }
}

/// Parses a text such as `64 rows in 256 workgroups`: two counts with `separator` between them and `suffix` at the end.
fn parse_two_counts(text: &str, separator: &str, suffix: &str) -> Option<(usize, usize)> {
    let (first, second) = text.strip_suffix(suffix)?.split_once(separator)?;
    Some((parse_count(first)?, parse_count(second)?))
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(scheme) => write!(f, "cpu, {scheme}"),
            Self::Layered(_) => write!(f, "layered"),
            Self::Fused { rows, workgroups } => write!(f, "fused, {rows} rows in {workgroups} workgroups"),
            Self::SingleWorkgroup { steps, .. } => write!(f, "single_workgroup, {steps} steps"),
            Self::SingleInvocation { steps, invocations } => {
                write!(f, "single_invocation, {steps} steps in {invocations} invocations")
            }
        }
    }
}

impl CpuScheme {
    /// Parses the text that [`fmt::Display`] writes.
    fn parse(text: &str) -> Option<Self> {
        // The text of a kernel may contain ", ".
        let (kernel, threads) = text.rsplit_once(", ")?;
        let threads = threads.strip_suffix(" threads").or_else(|| threads.strip_suffix(" thread"))?;
        Some(Self { kernel: CpuKernel::parse(kernel)?, threads: parse_count(threads)? })
    }
}

impl fmt::Display for CpuScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, threads } = self;
        let plural = if *threads == 1 { "" } else { "s" };
        write!(f, "{kernel}, {threads} thread{plural}")
    }
}

impl CpuKernel {
    const ALL: [Self; 3] = [Self::SimdRows, Self::RowBlocks, Self::FullBatch];

    /// Returns the text of the kernel in a plan.
    const fn name(self) -> &'static str {
        match self {
            Self::SimdRows => "rows in SIMD lanes",
            Self::RowBlocks => "blocks of rows with separate gradients",
            Self::FullBatch => "full batch",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kernel| kernel.name() == text)
    }
}

impl fmt::Display for CpuKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
