//! Execution plans: how a device computes a training step, as text to read, save and pin. Also the tuner and profiles.

pub use profile::{KernelTime, Profile};
#[cfg(not(target_family = "wasm"))]
pub use tuner::{TunedPlan, Tuner};

pub(crate) mod key;
pub(crate) mod matmul;
pub(crate) mod parse;
pub(crate) mod profile;
pub(crate) mod scheme;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod tuner;

use std::{fmt, str::FromStr};

use crate::{
    error::{Error, Result},
    plan::{
        key::PlanKey,
        matmul::{MatmulConfig, MatmulConfigs},
        parse::plan_error,
        scheme::Scheme,
    },
};

/// A plan: how a device computes the training steps of a network.
///
/// The text of a plan is complete: a plan that is printed, saved and parsed again gives the same bits.
///
/// ```text
/// gradus: 0.1.0
/// device: llvmpipe (LLVM 15.0.6, 256 bits), vulkan
/// driver: llvmpipe, Mesa 22.3.6 (LLVM 15.0.6)
/// network: 784-30-10
/// batch: 10
/// scheme: single_workgroup, 100 steps
/// forward 0: subgroup8 32
/// forward 1: subgroup8 32
/// input_delta 1: subgroup8 32
/// gradients: subgroup8 32
/// ```
///
/// A table of the dispatches may follow after a blank line. It is for people only, and parsing ignores it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub(crate) key: PlanKey,
    pub(crate) scheme: Scheme,
    /// The dispatches, for people. A parsed plan has none.
    pub(crate) dispatches: Vec<PlannedDispatch>,
}

/// One dispatch of a plan; see [`Plan::dispatches`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlannedDispatch {
    /// The kernel with its layer and its tile.
    pub kernel: String,
    /// The number of workgroups.
    pub workgroups: u64,
    /// The number of steps per dispatch.
    pub steps_per_dispatch: usize,
    /// The floating-point operations of the matmuls, per step.
    pub flop: u64,
    /// The minimum number of bytes that the kernel reads and writes, per step.
    pub bytes: u64,
}

impl Plan {
    /// Returns the dispatches of a step in execution order. A plan that was parsed and not used yet has none.
    pub fn dispatches(&self) -> &[PlannedDispatch] {
        &self.dispatches
    }

    /// Returns the number of threads of a plan for the CPU engine. Returns `None` for a GPU plan, and for more than
    /// 1024 threads, because each thread needs memory.
    pub(crate) fn threads(&self) -> Option<usize> {
        const MAX_THREADS: usize = 1024;
        match &self.scheme {
            Scheme::Cpu(scheme) => Some(scheme.threads).filter(|threads| *threads <= MAX_THREADS),
            Scheme::Layered(_)
            | Scheme::Fused { .. }
            | Scheme::SingleWorkgroup { .. }
            | Scheme::SingleInvocation { .. } => None,
        }
    }

    /// Returns an error if the pinned plan differs from this plan.
    pub(crate) fn check(&self, pinned: &Self) -> Result<()> {
        self.key.check(&pinned.key)?;
        if self.scheme == pinned.scheme {
            return Ok(());
        }
        Err(plan_error("scheme", &self.scheme.to_string(), &pinned.scheme.to_string()))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.key.lines() {
            writeln!(f, "{name}: {value}")?;
        }
        writeln!(f, "scheme: {}", self.scheme)?;
        if let Some(configs) = self.scheme.matmul_configs() {
            for (layer, config) in configs.forward.iter().enumerate() {
                writeln!(f, "forward {layer}: {config}")?;
            }
            // The first layer has no input delta.
            for (index, config) in configs.input_delta.iter().enumerate().rev() {
                writeln!(f, "input_delta {}: {config}", index + 1)?;
            }
            writeln!(f, "gradients: {}", configs.gradient)?;
        }
        if !self.dispatches.is_empty() {
            writeln!(f, "\n{:<36} {:>10} {:>6} {:>12} {:>12}", "dispatch", "workgroups", "steps", "MFLOP", "MB")?;
        }
        for PlannedDispatch { kernel, workgroups, steps_per_dispatch, flop, bytes } in &self.dispatches {
            let (mflop, megabytes) = (*flop as f64 / 1e6, *bytes as f64 / 1e6);
            writeln!(f, "{kernel:<36} {workgroups:>10} {steps_per_dispatch:>6} {mflop:>12.4} {megabytes:>12.4}")?;
        }
        Ok(())
    }
}

impl FromStr for Plan {
    type Err = Error;

    /// Parses the text that [`fmt::Display`] writes.
    ///
    /// # Errors
    /// [`Error::InvalidPlan`] if a line is missing or invalid.
    fn from_str(text: &str) -> Result<Self> {
        let lines = PlanLines::new(text);
        let value = |name| lines.get(name).map(str::to_owned);
        let key = PlanKey {
            gradus: value("gradus")?,
            device: value("device")?,
            driver: value("driver")?,
            network: value("network")?,
            batch: value("batch")?,
        };
        let scheme = Scheme::parse(lines.get("scheme")?, || lines.matmul_configs(key.layers()))?;
        Ok(Self { key, scheme, dispatches: Vec::new() })
    }
}

/// The lines of a plan's text up to the first blank line.
struct PlanLines<'a> {
    /// The name before the colon and the value after it.
    lines: Vec<(&'a str, &'a str)>,
}

impl<'a> PlanLines<'a> {
    fn new(text: &'a str) -> Self {
        let lines = text.lines().map(str::trim).skip_while(|line| line.is_empty());
        let lines = lines.take_while(|line| !line.is_empty());
        let split = |line: &'a str| line.split_once(':').map_or((line, ""), |(name, value)| (name, value.trim()));
        Self { lines: lines.map(split).collect() }
    }

    fn find(&self, name: &str) -> Option<&'a str> {
        self.lines.iter().find(|(line_name, _)| *line_name == name).map(|(_, value)| *value)
    }

    fn get(&self, name: &'static str) -> Result<&'a str> {
        self.find(name).ok_or_else(|| plan_error(name, "a line with this field", "no such line"))
    }

    /// Parses the lines of the matmuls of a network with `layers` layers.
    fn matmul_configs(&self, layers: usize) -> Result<MatmulConfigs> {
        let config = |name: String| -> Result<MatmulConfig> {
            match self.find(&name) {
                Some(text) => text.parse(),
                None => Err(plan_error("matmuls", &format!("a line for {name}"), "no such line")),
            }
        };
        Ok(MatmulConfigs {
            forward: (0..layers).map(|layer| config(format!("forward {layer}"))).collect::<Result<_>>()?,
            input_delta: (1..layers).map(|layer| config(format!("input_delta {layer}"))).collect::<Result<_>>()?,
            gradient: config("gradients".to_owned())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{
        matmul::Tile,
        scheme::{CpuKernel, CpuScheme},
    };

    fn plan(scheme: Scheme) -> Plan {
        let key = PlanKey {
            gradus: "0.1.0".to_owned(),
            device: "a GPU: the second, vulkan".to_owned(),
            driver: "a driver, 1.2".to_owned(),
            network: "5-4-3".to_owned(),
            batch: "10".to_owned(),
        };
        Plan { key, scheme, dispatches: Vec::new() }
    }

    /// Asserts that a plan equals the plan that is parsed from its text.
    fn assert_round_trip(scheme: Scheme) {
        let plan = plan(scheme);
        let text = plan.to_string();
        assert_eq!(text.parse(), Ok(plan.clone()), "{text}");
        assert_eq!(format!("\n  {text}\n\na table: with anything\n").parse(), Ok(plan));
    }

    #[test]
    fn plans_survive_a_round_trip_through_text() {
        let tiles =
            [Tile::Subgroup8(32), Tile::Register, Tile::SlicedK { invocations: 64, slices: 8 }, Tile::SharedMemory(64)];
        for (i, tile) in tiles.into_iter().enumerate() {
            let configs = MatmulConfigs {
                gradient: MatmulConfig { tile, split_k: i + 1 },
                ..MatmulConfigs::uniform(2, MatmulConfig::new(tile))
            };
            assert_round_trip(Scheme::Layered(configs.clone()));
            assert_round_trip(Scheme::SingleWorkgroup { steps: 7, configs });
        }
        assert_round_trip(Scheme::Fused { rows: 64, workgroups: 9 });
        assert_round_trip(Scheme::SingleInvocation { steps: 7, invocations: 8 });
        for kernel in [CpuKernel::SimdRows, CpuKernel::RowBlocks, CpuKernel::FullBatch] {
            for threads in [1, 2, 16] {
                assert_round_trip(Scheme::Cpu(CpuScheme { kernel, threads }));
            }
        }
    }

    #[test]
    fn invalid_text_returns_an_error() {
        let text = plan(Scheme::Layered(MatmulConfigs::uniform(2, MatmulConfig::new(Tile::Register)))).to_string();
        for (from, to) in [
            ("gradus: 0.1.0", ""),
            ("scheme: layered", "scheme: layered, 5 rows"),
            ("scheme: layered", "scheme: fused, 64 rows"),
            ("scheme: layered", "scheme: fused, 0 rows in 9 workgroups"),
            ("scheme: layered", "scheme: single_workgroup, 99999999 steps"),
            ("scheme: layered", "scheme: cpu, on another planet"),
            ("scheme: layered", "scheme: cpu, rows in SIMD lanes, 0 threads"),
            ("forward 1: register", "forward 1: plane"),
            ("forward 1: register", "forward 1: sliced_k 8/16"),
            ("forward 1: register", "forward 1: register split_k 0"),
            ("input_delta 1: register", ""),
            ("network: 5-4-3", "network: 5-4-3-2"),
        ] {
            let invalid = text.replace(from, to);
            let error = invalid.parse::<Plan>().expect_err(&invalid);
            assert!(matches!(error, Error::InvalidPlan { .. }), "{error}");
        }
    }

    #[test]
    fn different_key_returns_an_error_with_the_field() {
        let key = plan(Scheme::Fused { rows: 64, workgroups: 9 }).key;
        assert_eq!(key.check(&key), Ok(()));
        let other = PlanKey { driver: "a driver, 1.3".to_owned(), ..key.clone() };
        let expected = Error::InvalidPlan { field: "driver", expected: key.driver.clone(), got: other.driver.clone() };
        assert_eq!(key.check(&other), Err(expected));
    }
}
