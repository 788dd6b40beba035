//! The one error type of the crate: what failed, what was expected, what was found, and what to do.

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong. Panics are bugs of this crate; everything a caller, a driver or a device can cause is a value.
#[derive(Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A device was asked for that is not there.
    #[error("device not found: requested {requested}; {}; {hint}", list_adapters(.found))]
    DeviceNotFound {
        /// What was asked for, in words.
        requested: String,
        /// Every adapter that is there, one description each.
        found: Vec<String>,
        /// What to do about it.
        hint: String,
    },
    /// An adapter is there but gave no device.
    #[error("adapter {adapter} could not be opened: {reason}")]
    DeviceOpen {
        /// The adapter's description.
        adapter: String,
        /// The driver's or wgpu's reason.
        reason: String,
    },
    /// A limit of the device is too small for what was asked; found before anything was allocated.
    #[error(
        "device limit exceeded: {name} need {limit} >= {required}, this device allows {available}; reduce the batch size or the \
         network, or use another device"
    )]
    DeviceLimit {
        /// What did not fit.
        name: String,
        /// The limit, by its name in `wgpu::Limits` where it is one of those.
        limit: &'static str,
        /// What is needed.
        required: u64,
        /// What the device has.
        available: u64,
    },
    /// A setting that cannot be used.
    #[error("{name}: expected {expected}, got {got}")]
    InvalidSetting {
        /// The setting's name.
        name: &'static str,
        /// What would do.
        expected: String,
        /// What was given.
        got: String,
    },
    /// A call that the state of an object does not allow, for example a prediction by an estimator that was not fitted.
    #[error("{message}")]
    InvalidState {
        /// The state, and what to do.
        message: String,
    },
    /// Data of the wrong size.
    #[error("{name}: expected {expected} values, got {got}")]
    Shape {
        /// Which data.
        name: String,
        /// How many values were expected.
        expected: usize,
        /// How many were given.
        got: usize,
    },
    /// A formula of the caller's own that contradicts its derivative or its WGSL.
    #[error("{what}: expected {expected}, got {got}")]
    CustomFunction {
        /// Which value of which formula.
        what: String,
        /// What the other says.
        expected: f64,
        /// What it says.
        got: f64,
    },
    /// A value that is not a finite number.
    #[error("{name}: row {row}, column {column}: expected a finite number, got {value}")]
    NonFinite {
        /// Which data.
        name: &'static str,
        /// The row, counted from 0.
        row: usize,
        /// The column, counted from 0.
        column: usize,
        /// The value.
        value: f32,
    },
    /// A class id beyond the network's outputs.
    #[error("target of row {row}: expected a class id below {classes}, got {class}")]
    ClassOutOfRange {
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
        step_text(.step)
    )]
    MemberDiverged {
        /// The number of the network.
        member: usize,
        /// The step, counted from 0, whose loss was not a finite number; none if no loss was computed since.
        step: Option<u64>,
    },
    /// A plan that cannot be used here: for another device, driver, network or batch, not understood, or beyond what the
    /// device or its kernels can do.
    #[error("invalid plan: {field}: expected {expected}, got {got}; set plan to None to let gradus choose")]
    InvalidPlan {
        /// Which line of it.
        field: &'static str,
        /// What would do.
        expected: String,
        /// What it says.
        got: String,
    },
    /// A file that could not be read or written.
    #[error("{}: {reason}", path.display())]
    Io {
        /// Where.
        path: std::path::PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// A file, or bytes like one's, whose content is not what it should be.
    #[error("{file}: {location}: expected {expected}, got {got}")]
    Format {
        /// Its path, or what the bytes should be.
        file: String,
        /// Where in it: a byte, a line and a column, a tensor, by what its format is read.
        location: String,
        /// What would do.
        expected: String,
        /// What is there.
        got: String,
    },
    /// The device, or the host, has no memory left.
    #[error("out of memory: {context}")]
    OutOfMemory {
        /// What was being allocated, and the driver's words.
        context: String,
    },
    /// The device is gone: unplugged, reset or destroyed. What it held is lost.
    #[error("the device was lost: {reason}")]
    DeviceLost {
        /// The driver's or wgpu's reason.
        reason: String,
    },
    /// The device did not answer in time.
    #[error("the device did not answer within {seconds} s")]
    Timeout {
        /// How long was waited.
        seconds: f64,
    },
    /// A bug of this crate or of a driver: wgpu refused what we built.
    #[error("wgpu rejected {context}: {reason}")]
    Internal {
        /// What was being built.
        context: String,
        /// wgpu's words.
        reason: String,
    },
}

/// As [`Display`](std::fmt::Display), because this is what `fn main() -> Result<()>` shows.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

fn step_text(step: &Option<u64>) -> String {
    step.map_or(String::new(), |step| format!(": the loss of its step {step} is not a finite number"))
}

fn list_adapters(found: &[String]) -> String {
    match found {
        [] => "no adapter was found".to_owned(),
        found => format!("found: {}", found.join("; ")),
    }
}

/// `Ok` if `got` values are as many as expected, the [`Error::Shape`] otherwise.
pub(crate) fn check_len(what: &str, target: usize, got: usize) -> Result<()> {
    if target == got { Ok(()) } else { Err(Error::Shape { name: what.to_owned(), expected: target, got }) }
}

/// `Ok` if every value is finite, the place of the first that is not otherwise. `columns` is the length of a row.
pub(crate) fn check_finite(what: &'static str, columns: usize, values: &[f32]) -> Result<()> {
    match first_non_finite(values) {
        None => Ok(()),
        Some(at) => Err(Error::NonFinite { name: what, row: at / columns, column: at % columns, value: values[at] }),
    }
}

/// The index of the first value that is not finite.
pub(crate) fn first_non_finite(values: &[f32]) -> Option<usize> {
    const BLOCK_VALUES: usize = 1024;
    // A loop that can stop at every value is not vectorized: check whole blocks, and search only the block that fails.
    let is_finite = |block: &[f32]| block.iter().fold(true, |all, value| all & value.is_finite());
    let block = values.chunks(BLOCK_VALUES).position(|block| !is_finite(block))? * BLOCK_VALUES;
    values[block..].iter().position(|value| !value.is_finite()).map(|at| block + at)
}

/// An empty vector with room for so many values.
pub(crate) fn try_with_capacity<T>(count: usize, what: &str) -> Result<Vec<T>> {
    let mut values = Vec::new();
    let no_room = |error| Error::OutOfMemory { context: format!("{what}: {error}") };
    values.try_reserve_exact(count).map_err(no_room)?;
    Ok(values)
}

/// `Ok` if the device has what is needed, [`Error::DeviceLimit`] otherwise.
pub(crate) fn check_limit(what: &str, limit: &'static str, need: u64, have: u64) -> Result<()> {
    if need <= have {
        Ok(())
    } else {
        Err(Error::DeviceLimit { name: what.to_owned(), limit, required: need, available: have })
    }
}
