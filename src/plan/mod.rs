//! How a step is computed: which products share a dispatch, in which tiles, in how many parts. Plain text for people, for
//! files, and to be pinned.

pub use profile::{KernelTime, Profile};
#[cfg(not(target_family = "wasm"))]
pub use tuner::{TunedPlan, Tuner};

pub(crate) mod profile;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod tuner;

use std::{fmt, str::FromStr};

use crate::{
    error::{Error, Result},
    nn::network::Network,
};

/// How the steps of a network are computed on a device. Its text is all there is to it: printed, saved and parsed again
/// it is the same plan.
///
/// ```text
/// gradus: 0.1.0
/// device: llvmpipe (LLVM 15.0.6, 256 bits), vulkan
/// driver: llvmpipe, Mesa 22.3.6 (LLVM 15.0.6)
/// network: 784-30-10
/// batch: 10
/// scheme: tiny, 100 steps
/// forward 0: lanes8 32
/// forward 1: lanes8 32
/// input_delta 1: lanes8 32
/// gradients: lanes8 32
/// ```
///
/// Below a blank line a table may follow, one row a dispatch, which is only for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub(crate) key: PlanKey,
    pub(crate) scheme: Scheme,
    /// The dispatches, for people; a parsed plan has none.
    pub(crate) dispatches: Vec<PlannedDispatch>,
}

/// What a plan was made for. Bits are only promised where all of it is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlanKey {
    pub(crate) gradus: String,
    pub(crate) device: String,
    pub(crate) driver: String,
    pub(crate) network: String,
    pub(crate) batch: String,
}

/// One dispatch of a plan: what [`Plan::dispatches`] tells.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlannedDispatch {
    /// What it computes, and in which tile.
    pub kernel: String,
    /// Its workgroups.
    pub workgroups: u64,
    /// How many steps one dispatch of it serves.
    pub steps_per_dispatch: usize,
    /// The floating-point operations of its products, for one step.
    pub flop: u64,
    /// The bytes it has to read and write at least, for one step.
    pub bytes: u64,
}

/// Which products share a dispatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// The CPU engine's own way.
    Cpu(String),
    /// A dispatch for each.
    Layered(MatmulConfigs),
    /// Blocks of `rows` rows through all layers, forward and back, shared out among `groups` workgroups, each with its part of
    /// the gradients; a second dispatch adds the parts up and updates.
    Fused { rows: usize, workgroups: usize },
    /// Whole steps, many of them, in one workgroup.
    SingleWorkgroup { steps: usize, configs: MatmulConfigs },
    /// Whole steps, many of them, in one invocation, of which a workgroup has `lanes`, each for a network of its own.
    SingleInvocation { steps: usize, invocations: usize },
}

/// How each product of a step is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MatmulConfigs {
    /// One a layer.
    pub(crate) forward: Vec<MatmulConfig>,
    /// One a layer but the first, for which there is none.
    pub(crate) input_delta: Vec<MatmulConfig>,
    /// All layers' together.
    pub(crate) gradient: MatmulConfig,
}

/// How a product is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MatmulConfig {
    pub(crate) tile: Tile,
    /// Parts that are added up in a second pass; 1 if there is none.
    pub(crate) split_k: usize,
}

/// How a tile of a product is computed; a file in `shaders/tile/` each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tile {
    /// In 8 lanes of a subgroup, for software adapters that have such: 16x32 outputs or 32x64.
    Subgroup8(usize),
    /// In registers alone, for other software adapters.
    Register,
    /// `split` of `lanes` invocations share the sums of a 4x4 block.
    SlicedK { invocations: usize, slices: usize },
    /// In workgroup memory, for GPUs: 32x32 outputs, 64x64 or 128x128.
    SharedMemory(usize),
}

impl Plan {
    /// The dispatches of a step, in order; none if the plan was parsed and not yet used.
    pub fn dispatches(&self) -> &[PlannedDispatch] {
        &self.dispatches
    }

    /// How many threads a plan of the CPU engine has, if it is a number that a computer may have: each takes memory.
    pub(crate) fn threads(&self) -> Option<usize> {
        const MAX_THREADS: usize = 1024;
        let Scheme::Cpu(how) = &self.scheme else { return None };
        let threads = how.rsplit(", ").next()?.split(' ').next()?.parse().ok()?;
        (1..=MAX_THREADS).contains(&threads).then_some(threads)
    }

    /// Refuses a pinned plan that is not this one.
    pub(crate) fn check(&self, pinned: &Self) -> Result<()> {
        self.key.check(&pinned.key)?;
        let [here, there] = [&self.scheme, &pinned.scheme].map(Scheme::to_string);
        if self.scheme == pinned.scheme { Ok(()) } else { Err(plan_error("scheme", &here, &there)) }
    }
}

impl Scheme {
    pub(crate) const fn matmul_configs(&self) -> Option<&MatmulConfigs> {
        match self {
            Self::Cpu(_) | Self::Fused { .. } | Self::SingleInvocation { .. } => None,
            Self::Layered(ways) | Self::SingleWorkgroup { configs: ways, .. } => Some(ways),
        }
    }
}

impl MatmulConfigs {
    /// All products of a network of `layers` layers in one way.
    pub(crate) fn uniform(layers: usize, config: MatmulConfig) -> Self {
        Self { forward: vec![config; layers], input_delta: vec![config; layers.saturating_sub(1)], gradient: config }
    }

    /// Of the forward product, the input delta, if there is one, and the gradient.
    pub(crate) fn for_layer(&self, layer: usize) -> [Option<&MatmulConfig>; 3] {
        let input_delta = layer.checked_sub(1).and_then(|before| self.input_delta.get(before));
        [self.forward.get(layer), input_delta, Some(&self.gradient)]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &MatmulConfig> {
        self.forward.iter().chain(&self.input_delta).chain([&self.gradient])
    }
}

impl MatmulConfig {
    pub(crate) const fn new(tile: Tile) -> Self {
        Self { tile, split_k: 1 }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subgroup8(columns) => write!(f, "lanes8 {columns}"),
            Self::Register => f.write_str("plain"),
            Self::SlicedK { invocations: lanes, slices: split } => write!(f, "sliced {lanes}/{split}"),
            Self::SharedMemory(size) => write!(f, "staged {size}"),
        }
    }
}

impl fmt::Display for MatmulConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.split_k {
            1 => write!(f, "{}", self.tile),
            parts => write!(f, "{} in {parts} parts", self.tile),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(how) => write!(f, "cpu, {how}"),
            Self::Layered(_) => write!(f, "layered"),
            Self::Fused { rows, workgroups: groups } => write!(f, "fused, {rows} rows in {groups} workgroups"),
            Self::SingleWorkgroup { steps, .. } => write!(f, "tiny, {steps} steps"),
            Self::SingleInvocation { steps, invocations: lanes } => write!(f, "lane, {steps} steps in {lanes} lanes"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.key.lines() {
            writeln!(f, "{name}: {value}")?;
        }
        writeln!(f, "scheme: {}", self.scheme)?;
        if let Some(ways) = self.scheme.matmul_configs() {
            for (i, way) in ways.forward.iter().enumerate() {
                writeln!(f, "forward {i}: {way}")?;
            }
            for (i, way) in ways.input_delta.iter().enumerate().rev() {
                writeln!(f, "input_delta {}: {way}", i + 1)?;
            }
            writeln!(f, "gradients: {}", ways.gradient)?;
        }
        if !self.dispatches.is_empty() {
            writeln!(f, "\n{:<36} {:>10} {:>6} {:>12} {:>12}", "dispatch", "workgroups", "steps", "MFLOP", "MB")?;
        }
        for row in &self.dispatches {
            let (kernel, groups, steps) = (&row.kernel, row.workgroups, row.steps_per_dispatch);
            let (flop, bytes) = (row.flop as f64 / 1e6, row.bytes as f64 / 1e6);
            writeln!(f, "{kernel:<36} {groups:>10} {steps:>6} {flop:>12.4} {bytes:>12.4}")?;
        }
        Ok(())
    }
}

impl PlanKey {
    pub(crate) fn new(device: String, driver: String, network: &Network, batch: usize) -> Self {
        let widths = std::iter::once(network.inputs()).chain(network.layers().iter().map(|l| l.outputs));
        let network = widths.map(|width| width.to_string()).collect::<Vec<_>>().join("-");
        let line = |text: String| text.replace('\n', " ").trim().to_owned();
        let gradus = env!("CARGO_PKG_VERSION").to_owned();
        Self { gradus, device: line(device), driver: line(driver), network, batch: batch.to_string() }
    }

    pub(crate) fn lines(&self) -> [(&'static str, &str); 5] {
        let Self { gradus, device, driver, network, batch } = self;
        [("gradus", gradus), ("device", device), ("driver", driver), ("network", network), ("batch", batch)]
    }

    /// Refuses a plan that was made for something else.
    pub(crate) fn check(&self, pinned: &Self) -> Result<()> {
        for ((what, here), (_, there)) in self.lines().into_iter().zip(pinned.lines()) {
            if here != there {
                return Err(Error::InvalidPlan { field: what, expected: here.to_owned(), got: there.to_owned() });
            }
        }
        Ok(())
    }
}

/// The text of a plan, line by line.
struct PlanLines<'a>(Vec<(&'a str, &'a str)>);

impl<'a> PlanLines<'a> {
    fn new(text: &'a str) -> Self {
        let lines = text.lines().map(str::trim).skip_while(|line| line.is_empty());
        let lines = lines.take_while(|line| !line.is_empty());
        Self(lines.map(|line| line.split_once(':').map_or((line, ""), |(name, value)| (name, value.trim()))).collect())
    }

    fn find(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn get(&self, name: &'static str) -> Result<&'a str> {
        self.find(name).ok_or_else(|| plan_error(name, "a line of it", "none"))
    }
}

/// What the schemes of a GPU look like.
const SCHEME_FORMATS: &str =
    "layered, or such as: fused, 64 rows in 256 workgroups; tiny, 100 steps; lane, 100 steps in 8 lanes";

pub(crate) fn plan_error(what: &'static str, expected: &str, got: &str) -> Error {
    Error::InvalidPlan { field: what, expected: expected.to_owned(), got: got.to_owned() }
}

/// A number from 1 to a million: no plan has more of anything.
fn parse_count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|n| (1..=1_000_000).contains(n))
}

impl FromStr for Tile {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Some((lanes, split)) = text.strip_prefix("sliced ").and_then(|size| size.split_once('/')) {
            let size = parse_count(lanes).zip(parse_count(split));
            let fits = |(lanes, split): &(usize, usize)| {
                lanes.is_power_of_two() && split.is_power_of_two() && split <= lanes && (8..=256).contains(lanes)
            };
            return size
                .filter(fits)
                .map(|(lanes, split)| Self::SlicedK { invocations: lanes, slices: split })
                .ok_or(());
        }
        match text {
            "lanes8 32" => Ok(Self::Subgroup8(32)),
            "lanes8 64" => Ok(Self::Subgroup8(64)),
            "plain" => Ok(Self::Register),
            "staged 32" => Ok(Self::SharedMemory(32)),
            "staged 64" => Ok(Self::SharedMemory(64)),
            "staged 128" => Ok(Self::SharedMemory(128)),
            _ => Err(()),
        }
    }
}

impl FromStr for MatmulConfig {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (tile, parts) = match text.split_once(" in ") {
            None => (text, Some(1)),
            Some((tile, parts)) => (tile, parts.strip_suffix(" parts").and_then(parse_count)),
        };
        let tile = tile.parse().ok();
        let way = tile.zip(parts).map(|(tile, parts)| Self { tile, split_k: parts });
        way.ok_or_else(|| plan_error("way of a product", "such as staged 64 in 4 parts", text))
    }
}

impl FromStr for Plan {
    type Err = Error;

    /// Reads what [`fmt::Display`] wrote.
    ///
    /// # Errors
    /// [`Error::InvalidPlan`] if a line is missing or not understood.
    fn from_str(text: &str) -> Result<Self> {
        let lines = PlanLines::new(text);
        let of = |name| lines.get(name).map(str::to_owned);
        let of = PlanKey {
            gradus: of("gradus")?,
            device: of("device")?,
            driver: of("driver")?,
            network: of("network")?,
            batch: of("batch")?,
        };
        let scheme = lines.get("scheme")?;
        if let Some(how) = scheme.strip_prefix("cpu, ") {
            return Ok(Self { key: of, scheme: Scheme::Cpu(how.to_owned()), dispatches: Vec::new() });
        }
        let two = |kind: &str, [between, end]: [&str; 2]| {
            let (first, second) = scheme.strip_prefix(kind)?.strip_suffix(end)?.split_once(between)?;
            parse_count(first).zip(parse_count(second))
        };
        if let Some((steps, lanes)) = two("lane, ", [" steps in ", " lanes"]) {
            return Ok(Self {
                key: of,
                scheme: Scheme::SingleInvocation { steps, invocations: lanes },
                dispatches: Vec::new(),
            });
        }
        if let Some((rows, groups)) = two("fused, ", [" rows in ", " workgroups"]) {
            return Ok(Self { key: of, scheme: Scheme::Fused { rows, workgroups: groups }, dispatches: Vec::new() });
        }
        let layers = of.network.split('-').count().saturating_sub(1);
        let way = |name: String| {
            let text = lines.find(&name);
            text.ok_or_else(|| plan_error("a product", &format!("a line for {name}"), "none"))?.parse()
        };
        let ways = MatmulConfigs {
            forward: (0..layers).map(|i| way(format!("forward {i}"))).collect::<Result<_>>()?,
            input_delta: (1..layers).map(|i| way(format!("input_delta {i}"))).collect::<Result<_>>()?,
            gradient: way("gradients".to_owned())?,
        };
        let (kind, rest) = scheme.split_once(", ").unwrap_or((scheme, ""));
        let scheme = match (kind, rest.strip_suffix(" steps").and_then(parse_count)) {
            ("layered", _) if rest.is_empty() => Scheme::Layered(ways),
            ("tiny", Some(steps)) => Scheme::SingleWorkgroup { steps, configs: ways },
            _ => return Err(plan_error("scheme", SCHEME_FORMATS, scheme)),
        };
        Ok(Self { key: of, scheme, dispatches: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(scheme: Scheme) -> Plan {
        let text = |text: &str| text.to_owned();
        let of = PlanKey {
            gradus: text("0.1.0"),
            device: text("a GPU: the second, vulkan"),
            driver: text("a driver, 1.2"),
            network: text("5-4-3"),
            batch: text("10"),
        };
        Plan { key: of, scheme, dispatches: Vec::new() }
    }

    #[test]
    fn a_plan_survives_its_text() {
        let tiles =
            [Tile::Subgroup8(32), Tile::Register, Tile::SlicedK { invocations: 64, slices: 8 }, Tile::SharedMemory(64)];
        for (i, tile) in tiles.into_iter().enumerate() {
            let ways = MatmulConfigs {
                gradient: MatmulConfig { tile, split_k: i + 1 },
                ..MatmulConfigs::uniform(2, MatmulConfig::new(tile))
            };
            for scheme in [
                Scheme::Layered(ways.clone()),
                Scheme::Fused { rows: 64, workgroups: 9 },
                Scheme::SingleWorkgroup { steps: 7, configs: ways },
                Scheme::SingleInvocation { steps: 7, invocations: 8 },
                Scheme::Cpu("2 threads, by rows".to_owned()),
            ] {
                let plan = plan(scheme);
                let text = plan.to_string();
                assert_eq!(text.parse(), Ok(plan.clone()), "{text}");
                assert_eq!(format!("\n  {text}\n\na table: with anything\n").parse(), Ok(plan));
            }
        }
    }

    #[test]
    fn what_is_no_plan_is_refused_in_words() {
        let text = plan(Scheme::Layered(MatmulConfigs::uniform(2, MatmulConfig::new(Tile::Register)))).to_string();
        for (from, to) in [
            ("gradus: 0.1.0", ""),
            ("scheme: layered", "scheme: layered, 5 rows"),
            ("scheme: layered", "scheme: fused, 64 rows"),
            ("scheme: layered", "scheme: fused, 0 rows in 9 workgroups"),
            ("scheme: layered", "scheme: tiny, 99999999 steps"),
            ("forward 1: plain", "forward 1: plane"),
            ("forward 1: plain", "forward 1: sliced 8/16"),
            ("forward 1: plain", "forward 1: plain in 0 parts"),
            ("input_delta 1: plain", ""),
            ("network: 5-4-3", "network: 5-4-3-2"),
        ] {
            let broken = text.replace(from, to);
            let error = broken.parse::<Plan>().expect_err(&broken);
            assert!(matches!(error, Error::InvalidPlan { .. }), "{error}");
        }
    }

    #[test]
    fn a_plan_for_something_else_is_refused() {
        let here = plan(Scheme::Cpu("1 thread".to_owned())).key;
        assert_eq!(here.check(&here), Ok(()));
        let there = PlanKey { driver: "a driver, 1.3".to_owned(), ..here.clone() };
        let expected = Error::InvalidPlan { field: "driver", expected: here.driver.clone(), got: there.driver.clone() };
        assert_eq!(here.check(&there), Err(expected));
    }
}
