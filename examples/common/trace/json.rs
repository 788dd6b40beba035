//! Access to the JSON of a trace. Every error names the location in the trace.

use std::{cell::RefCell, fmt};

use serde_json::{Map, Value};

/// The reason why a trace cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceError {
    /// The text is not a trace, or the trace contradicts itself.
    Invalid(String),
    /// The trace uses a function or an option that gradus does not have.
    Unsupported(String),
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason) => write!(f, "invalid trace: {reason}"),
            Self::Unsupported(reason) => write!(f, "unsupported trace: {reason}"),
        }
    }
}

impl std::error::Error for TraceError {}

pub type TraceResult<T> = std::result::Result<T, TraceError>;

/// Returns [`TraceError::Invalid`].
pub fn invalid<T>(reason: impl Into<String>) -> TraceResult<T> {
    Err(TraceError::Invalid(reason.into()))
}

/// Returns [`TraceError::Unsupported`].
pub fn unsupported<T>(reason: impl Into<String>) -> TraceResult<T> {
    Err(TraceError::Unsupported(reason.into()))
}

/// A JSON object that records which keys were read.
///
/// A key that nobody read is an option that gradus does not know. Ignoring it would replay a different training, so
/// [`Self::finish`] reports it.
pub struct Object<'a> {
    /// The location in the trace, such as `layers[0]`. It is empty for the whole trace.
    location: String,
    map: &'a Map<String, Value>,
    keys_read: RefCell<Vec<String>>,
}

impl<'a> Object<'a> {
    pub fn new(value: &'a Value, location: impl Into<String>) -> TraceResult<Self> {
        let location = location.into();
        match value.as_object() {
            Some(map) => Ok(Self { location, map, keys_read: RefCell::default() }),
            None if location.is_empty() => invalid("expected a JSON object"),
            None => invalid(format!("{location}: expected an object, got {value}")),
        }
    }

    /// Returns the location of a key.
    pub fn location(&self, key: &str) -> String {
        if self.location.is_empty() { key.to_owned() } else { format!("{}.{key}", self.location) }
    }

    /// Returns the value of an optional key.
    pub fn find(&self, key: &str) -> Option<&'a Value> {
        self.keys_read.borrow_mut().push(key.to_owned());
        self.map.get(key)
    }

    /// Returns the value of a required key.
    pub fn get(&self, key: &str) -> TraceResult<&'a Value> {
        self.find(key).map_or_else(|| invalid(format!("{} is missing", self.location(key))), Ok)
    }

    pub fn array(&self, key: &str) -> TraceResult<&'a Vec<Value>> {
        array(self.get(key)?, &self.location(key))
    }

    pub fn text(&self, key: &str) -> TraceResult<&'a str> {
        let value = self.get(key)?;
        let error = || invalid(format!("{}: expected a string, got {value}", self.location(key)));
        value.as_str().map_or_else(error, Ok)
    }

    /// Returns a positive integer.
    pub fn size(&self, key: &str) -> TraceResult<usize> {
        let value = self.get(key)?;
        match value.as_u64().map(usize::try_from) {
            Some(Ok(size)) if size > 0 => Ok(size),
            _ => invalid(format!("{}: expected an integer >= 1, got {value}", self.location(key))),
        }
    }

    /// Returns a required number.
    pub fn number(&self, key: &str) -> TraceResult<f64> {
        number(self.get(key)?, &self.location(key))
    }

    /// Returns an optional number.
    pub fn optional_number(&self, key: &str) -> TraceResult<Option<f64>> {
        self.find(key).map(|value| number(value, &self.location(key))).transpose()
    }

    /// Returns a number, or `default` if the key is missing.
    pub fn number_or(&self, key: &str, default: f64) -> TraceResult<f64> {
        Ok(self.optional_number(key)?.unwrap_or(default))
    }

    /// Returns two numbers, or `default` if the key is missing.
    pub fn pair_or(&self, key: &str, default: [f64; 2]) -> TraceResult<[f64; 2]> {
        let Some(value) = self.find(key) else { return Ok(default) };
        let pair = numbers(value, &self.location(key), Some(2))?;
        Ok([pair[0], pair[1]])
    }

    /// Returns a Boolean, or `false` if the key is missing.
    pub fn flag(&self, key: &str) -> TraceResult<bool> {
        let Some(value) = self.find(key) else { return Ok(false) };
        let error = || invalid(format!("{}: expected true or false, got {value}", self.location(key)));
        value.as_bool().map_or_else(error, Ok)
    }

    /// Returns an array of numbers, which must have `len` elements if a length is given.
    pub fn numbers(&self, key: &str, len: Option<usize>) -> TraceResult<Vec<f64>> {
        numbers(self.get(key)?, &self.location(key), len)
    }

    /// Returns a matrix of `rows` rows with `columns` numbers each. `None` accepts any number of rows except 0.
    pub fn matrix(&self, key: &str, rows: Option<usize>, columns: usize) -> TraceResult<Vec<f64>> {
        let (location, array) = (self.location(key), self.array(key)?);
        if array.is_empty() || rows.is_some_and(|rows| rows != array.len()) {
            let expected = rows.map_or("at least 1".to_owned(), |rows| rows.to_string());
            return invalid(format!("{location}: expected {expected} rows, got {}", array.len()));
        }
        let mut values = Vec::new();
        for (i, row) in array.iter().enumerate() {
            values.extend(numbers(row, &format!("{location}[{i}]"), Some(columns))?);
        }
        Ok(values)
    }

    /// Returns an error if the object has a key that was not read. `owner` names the owner of the option.
    pub fn finish(self, owner: &str) -> TraceResult<()> {
        let keys_read = self.keys_read.borrow();
        match self.map.keys().find(|key| !keys_read.contains(key)) {
            None => Ok(()),
            Some(key) if owner.is_empty() => unsupported(format!("option {key}")),
            Some(key) => unsupported(format!("option {key} of {owner}")),
        }
    }
}

pub fn array<'a>(value: &'a Value, location: &str) -> TraceResult<&'a Vec<Value>> {
    value.as_array().map_or_else(|| invalid(format!("{location}: expected an array, got {value}")), Ok)
}

fn numbers(value: &Value, location: &str, len: Option<usize>) -> TraceResult<Vec<f64>> {
    let values = array(value, location)?;
    match len {
        Some(len) if len != values.len() => invalid(format!("{location}: expected {len} values, got {}", values.len())),
        _ => values.iter().enumerate().map(|(i, value)| number(value, &format!("{location}[{i}]"))).collect(),
    }
}

fn number(value: &Value, location: &str) -> TraceResult<f64> {
    match value.as_f64() {
        // A larger number would become infinite on the device.
        Some(number) if number.is_finite() && !(number as f32).is_finite() => {
            invalid(format!("{location}: expected a number that f32 can hold, got {number:e}"))
        }
        Some(number) if number.is_finite() => Ok(number),
        _ => invalid(format!("{location}: expected a finite number, got {value}")),
    }
}
