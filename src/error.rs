//! The error type of the crate: what failed, what was expected, what was found, and what to do.

/// The result type of every fallible function in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate, with the values that it depends on.
///
/// Errors that a caller, a driver or a device can cause are values of this type. A panic is a bug in gradus.
///
/// A message has the form `what went wrong: expected X, got Y; do Z`.
#[derive(Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter matches the requested device.
    #[error("device not found: requested {requested}; {}; {hint}", list_adapters(.found))]
    DeviceNotFound {
        /// The request, in words.
        requested: String,
        /// A description of every adapter that was found.
        found: Vec<String>,
        /// The action that may help.
        hint: String,
    },
    /// An adapter that was found, but could not be opened as a device.
    #[error("failed to open adapter {adapter}: {reason}")]
    DeviceOpen {
        /// The description of the adapter.
        adapter: String,
        /// The reason that the driver or wgpu gave.
        reason: String,
    },
    /// A limit of the device that is too small. gradus checks limits before it allocates memory.
    #[error(
        "device limit exceeded: {name}: expected {limit} >= {required}, got {available}; reduce the batch size or the \
         network, or use another device"
    )]
    DeviceLimit {
        /// The buffer or kernel that exceeds the limit.
        name: String,
        /// The name of the limit, as in `wgpu::Limits` if wgpu defines it.
        limit: &'static str,
        /// The required value of the limit.
        required: u64,
        /// The value that the device allows.
        available: u64,
    },
    /// A setting or an argument with an invalid value.
    #[error("{name}: expected {expected}, got {got}")]
    InvalidSetting {
        /// The name of the setting.
        name: &'static str,
        /// The accepted values.
        expected: String,
        /// The given value, followed by the action that may help.
        got: String,
    },
    /// A call that the state of an object does not allow, for example a prediction by an estimator that is not fitted.
    #[error("{message}")]
    InvalidState {
        /// The state of the object, and the call that changes it.
        message: String,
    },
    /// Data with the wrong number of values.
    #[doc(alias = "size mismatch")]
    #[error("{name}: expected {expected} values, got {got}")]
    Shape {
        /// The name of the data.
        name: String,
        /// The expected number of values.
        expected: usize,
        /// The given number of values.
        got: usize,
    },
    /// A custom activation or loss that contradicts its derivative or its WGSL.
    #[error("{what}: expected {expected}, got {got}")]
    CustomFunction {
        /// The name of the function, and the value that was compared.
        what: String,
        /// The value that follows from the other definition.
        expected: f64,
        /// The value of the function.
        got: f64,
    },
    /// Data with a value that is NaN or infinite.
    #[doc(alias = "NaN")]
    #[error("{name}: row {row}, column {column}: expected a finite number, got {value}")]
    NonFinite {
        /// The name of the data.
        name: &'static str,
        /// The row of the value, counted from 0.
        row: usize,
        /// The column of the value, counted from 0.
        column: usize,
        /// The value.
        value: f32,
    },
    /// A class id that is not below the number of classes.
    #[error("target of row {row}: expected a class id below {classes}, got {class}")]
    ClassOutOfRange {
        /// The row of the target, counted from 0.
        row: usize,
        /// The class id.
        class: u32,
        /// The number of classes.
        classes: usize,
    },
    /// A training loss that is NaN or infinite. The usual causes are a large learning rate and unscaled data.
    #[doc(alias = "NaN")]
    #[error("training diverged: the loss of step {step} is {loss}; {hint}")]
    Diverged {
        /// The step, counted from 0.
        step: u64,
        /// The loss of the step.
        loss: f32,
        /// The likely cause, and the action that may help.
        hint: String,
    },
    /// A diverged member of a population, whose parameters are not finite.
    #[error(
        "member {member} diverged: {}; call Population::restore if it has a snapshot, or use Population::active_members",
        divergence_text(.step)
    )]
    MemberDiverged {
        /// The index of the member.
        member: usize,
        /// The step, counted from 0, whose loss is not finite. `None` if no step computed a loss since then.
        step: Option<u64>,
    },
    /// A plan that gradus cannot parse, or that does not fit the device, driver, version, network or batch size.
    #[error("invalid plan: {field}: expected {expected}, got {got}; set plan to None to let gradus choose")]
    InvalidPlan {
        /// The field of the plan that does not match.
        field: &'static str,
        /// The required value of the field.
        expected: String,
        /// The value in the plan.
        got: String,
    },
    /// A file that could not be read or written.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The path of the file.
        path: std::path::PathBuf,
        /// The reason that the operating system gave.
        reason: String,
    },
    /// A file with invalid content, or bytes in memory that are parsed like a file.
    #[error("{file}: {location}: expected {expected}, got {got}")]
    Format {
        /// The path of the file, or a name for the bytes.
        file: String,
        /// The location in the file, for example a byte, a line and column, or a tensor.
        location: String,
        /// The valid content.
        expected: String,
        /// The content that was found.
        got: String,
    },
    /// An allocation that failed on the device or the host.
    #[error("out of memory: {context}")]
    OutOfMemory {
        /// The data that the memory was for, and the reason that the driver gave.
        context: String,
    },
    /// A device that was unplugged, reset or destroyed. Its memory is lost; open a new [`Device`](crate::Device).
    #[error("device lost: {reason}")]
    DeviceLost {
        /// The reason that the driver or wgpu gave.
        reason: String,
    },
    /// A device that did not answer within the timeout of [`Device::with_timeout`](crate::Device::with_timeout).
    #[error("device timeout: no answer within {seconds} s; set a longer timeout with Device::with_timeout")]
    Timeout {
        /// The timeout in seconds.
        seconds: f64,
    },
    /// A bug in gradus or in a driver, for example a shader that wgpu rejects.
    #[error("internal error: {context}: {reason}")]
    Internal {
        /// The object that could not be created.
        context: String,
        /// The reason that wgpu or another library gave.
        reason: String,
    },
}

/// Writes the same text as [`Display`](std::fmt::Display), because `fn main() -> Result<()>` prints errors with `Debug`.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

fn divergence_text(step: &Option<u64>) -> String {
    match step {
        Some(step) => format!("the loss of step {step} is not finite"),
        None => "its parameters are not finite".to_owned(),
    }
}

fn list_adapters(found: &[String]) -> String {
    match found {
        [] => "no adapter was found".to_owned(),
        found => format!("found: {}", found.join("; ")),
    }
}

/// Returns [`Error::Shape`] if `got` differs from `expected`.
pub(crate) fn check_len(name: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Shape { name: name.to_owned(), expected, got }) }
}

/// Returns [`Error::NonFinite`] with the location of the first value that is not finite. A row has `columns` values.
pub(crate) fn check_finite(name: &'static str, columns: usize, values: &[f32]) -> Result<()> {
    match first_non_finite(values) {
        None => Ok(()),
        Some(index) => {
            Err(Error::NonFinite { name, row: index / columns, column: index % columns, value: values[index] })
        }
    }
}

/// Returns the index of the first value that is not finite.
pub(crate) fn first_non_finite(values: &[f32]) -> Option<usize> {
    const BLOCK_VALUES: usize = 1024;
    // A loop that can stop at every value is not vectorized: check whole blocks, and search only the block that fails.
    let is_finite = |block: &[f32]| block.iter().fold(true, |all, value| all & value.is_finite());
    let start = values.chunks(BLOCK_VALUES).position(|block| !is_finite(block))? * BLOCK_VALUES;
    values[start..].iter().position(|value| !value.is_finite()).map(|index| start + index)
}

/// Returns an empty vector with capacity for `count` values.
///
/// # Errors
/// [`Error::OutOfMemory`] if the host cannot allocate the memory.
pub(crate) fn try_with_capacity<T>(count: usize, name: &str) -> Result<Vec<T>> {
    let mut values = Vec::new();
    let out_of_memory = |error| Error::OutOfMemory { context: format!("{name}: {error}") };
    values.try_reserve_exact(count).map_err(out_of_memory)?;
    Ok(values)
}

/// Returns [`Error::DeviceLimit`] if `required` exceeds `available`.
pub(crate) fn check_limit(name: &str, limit: &'static str, required: u64, available: u64) -> Result<()> {
    if required <= available {
        Ok(())
    } else {
        Err(Error::DeviceLimit { name: name.to_owned(), limit, required, available })
    }
}
