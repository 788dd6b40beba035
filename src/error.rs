//! The one error type of the crate: what failed, what was expected, what was found, and what to do.

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong. Panics are bugs of this crate; everything a caller, a driver or a device can cause is a value.
#[derive(Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A device was asked for that is not there.
    #[error("no such device: asked for {asked}; {}; {hint}", there(.found))]
    NoDevice {
        /// What was asked for, in words.
        asked: String,
        /// Every adapter that is there, one description each.
        found: Vec<String>,
        /// What to do about it.
        hint: String,
    },
    /// An adapter is there but gave no device.
    #[error("the adapter {adapter} gave no device: {why}")]
    Device {
        /// The adapter's description.
        adapter: String,
        /// The driver's or wgpu's reason.
        why: String,
    },
    /// A limit of the device is too small for what was asked; found before anything was allocated.
    #[error(
        "{what} needs {limit} of {need}, and this device has {have}; a smaller batch or network may fit, or another device"
    )]
    Limit {
        /// What did not fit.
        what: String,
        /// The limit, by its name in `wgpu::Limits` where it is one of those.
        limit: &'static str,
        /// What is needed.
        need: u64,
        /// What the device has.
        have: u64,
    },
    /// A setting that cannot be used.
    #[error("{what}: expected {expected}, got {got}")]
    Setting {
        /// The setting's name.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What was given.
        got: String,
    },
    /// Data of the wrong size.
    #[error("{what}: expected {expected} values, got {got}")]
    Shape {
        /// Which data.
        what: String,
        /// How many values were expected.
        expected: usize,
        /// How many were given.
        got: usize,
    },
    /// A formula of the caller's own that contradicts its derivative or its WGSL.
    #[error("{what}: expected {expected}, got {got}")]
    Formula {
        /// Which value of which formula.
        what: String,
        /// What the other says.
        expected: f64,
        /// What it says.
        got: f64,
    },
    /// A value that is not a finite number.
    #[error("{what}: row {row}, column {column} is {value}; every value has to be finite")]
    NonFinite {
        /// Which data.
        what: &'static str,
        /// The row, counted from 0.
        row: usize,
        /// The column, counted from 0.
        column: usize,
        /// The value.
        value: f32,
    },
    /// A class id beyond the network's outputs.
    #[error("row {row}: class {class} is not one of the network's {classes}")]
    Class {
        /// The row, counted from 0.
        row: usize,
        /// The class id found.
        class: u32,
        /// How many classes there are.
        classes: usize,
    },
    /// The loss left the finite numbers: the learning rate is too large, or the data too far from 0.
    #[error("the loss of step {step} is {loss}: training diverged; {hint}")]
    Diverged {
        /// The step, counted from 0.
        step: u64,
        /// Its loss.
        loss: f32,
        /// The likely cause, and what to do about it.
        hint: String,
    },
    /// A network of a population that has diverged was asked for: its parameters are not finite numbers.
    #[error(
        "network {member} of the population has diverged{}; Population::in_training lists those that have not, and \
         Population::restore takes this one back if it was kept before",
        at(.step)
    )]
    MemberDiverged {
        /// The number of the network.
        member: usize,
        /// The step, counted from 0, whose loss was not a finite number; none if no loss was computed since.
        step: Option<u64>,
    },
    /// A plan that cannot be used here: for another device, driver, network or batch, not understood, or beyond what the
    /// device or its kernels can do.
    #[error("the plan's {what}: expected {expected}, got {got}; without a plan one is made")]
    Plan {
        /// Which line of it.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What it says.
        got: String,
    },
    /// A file that could not be read or written.
    #[error("{}: {why}", path.display())]
    File {
        /// Where.
        path: std::path::PathBuf,
        /// The system's reason.
        why: String,
    },
    /// A file, or bytes like one's, whose content is not what it should be.
    #[error("{file}: {place}: expected {expected}, got {got}")]
    Format {
        /// Its path, or what the bytes should be.
        file: String,
        /// Where in it: a byte, a line and a column, a tensor, by what its format is read.
        place: String,
        /// What would do.
        expected: String,
        /// What is there.
        got: String,
    },
    /// The device, or the host, has no memory left.
    #[error("out of memory: {what}")]
    OutOfMemory {
        /// What was being allocated, and the driver's words.
        what: String,
    },
    /// The device is gone: unplugged, reset or destroyed. What it held is lost.
    #[error("the device was lost: {why}")]
    DeviceLost {
        /// The driver's or wgpu's reason.
        why: String,
    },
    /// The device did not answer in time.
    #[error("the device did not answer within {seconds} s")]
    Timeout {
        /// How long was waited.
        seconds: f64,
    },
    /// A bug of this crate or of a driver: wgpu refused what we built.
    #[error("{what} was refused by wgpu: {why}")]
    Internal {
        /// What was being built.
        what: String,
        /// wgpu's words.
        why: String,
    },
}

/// As [`Display`](std::fmt::Display), because this is what `fn main() -> Result<()>` shows.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

fn at(step: &Option<u64>) -> String {
    step.map_or(String::new(), |step| format!(": the loss of its step {step} is not a finite number"))
}

fn there(found: &[String]) -> String {
    match found {
        [] => "no adapter was found".to_owned(),
        found => format!("found: {}", found.join("; ")),
    }
}

/// `Ok` if `got` values are as many as expected, the [`Error::Shape`] otherwise.
pub(crate) fn check_len(what: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Shape { what: what.to_owned(), expected, got }) }
}

/// `Ok` if every value is finite, the place of the first that is not otherwise. `columns` is the length of a row.
pub(crate) fn check_finite(what: &'static str, columns: usize, values: &[f32]) -> Result<()> {
    match first_not_finite(values) {
        None => Ok(()),
        Some(at) => Err(Error::NonFinite { what, row: at / columns, column: at % columns, value: values[at] }),
    }
}

/// The index of the first value that is not finite.
pub(crate) fn first_not_finite(values: &[f32]) -> Option<usize> {
    const BLOCK: usize = 1024;
    // A loop that can stop at every value is not vectorized: check whole blocks, and search only the block that fails.
    let is_finite = |block: &[f32]| block.iter().fold(true, |all, value| all & value.is_finite());
    let block = values.chunks(BLOCK).position(|block| !is_finite(block))? * BLOCK;
    values[block..].iter().position(|value| !value.is_finite()).map(|at| block + at)
}

/// An empty vector with room for so many values.
pub(crate) fn room<T>(count: usize, what: &str) -> Result<Vec<T>> {
    let mut values = Vec::new();
    let no_room = |error| Error::OutOfMemory { what: format!("{what}: {error}") };
    values.try_reserve_exact(count).map_err(no_room)?;
    Ok(values)
}

/// `Ok` if the device has what is needed, [`Error::Limit`] otherwise.
pub(crate) fn check_limit(what: &str, limit: &'static str, need: u64, have: u64) -> Result<()> {
    if need <= have { Ok(()) } else { Err(Error::Limit { what: what.to_owned(), limit, need, have }) }
}
