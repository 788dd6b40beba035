//! A trace's JSON, taken apart with reasons: what is missing, of the wrong kind, or not asked for by anybody.

use std::{cell::RefCell, fmt};

use serde_json::{Map, Value};

/// Why a trace cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is not a trace, or contradicts itself.
    Malformed(String),
    /// It is a trace of something that is not there yet.
    Unsupported(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "malformed trace: {why}"),
            Self::Unsupported(why) => write!(f, "not supported yet: {why}"),
        }
    }
}

impl std::error::Error for Refusal {}

pub type Refused<T> = std::result::Result<T, Refusal>;

pub fn malformed<T>(why: impl Into<String>) -> Refused<T> {
    Err(Refusal::Malformed(why.into()))
}

pub fn unsupported<T>(why: impl Into<String>) -> Refused<T> {
    Err(Refusal::Unsupported(why.into()))
}

/// An object that notes which keys it was asked for: another one would be an option that changes the training in a way
/// we do not know.
pub struct Object<'a> {
    /// Where it stands, such as `layers[0]`; empty for the whole trace.
    at: String,
    map: &'a Map<String, Value>,
    asked: RefCell<Vec<String>>,
}

impl<'a> Object<'a> {
    pub fn new(value: &'a Value, at: impl Into<String>) -> Refused<Self> {
        let at = at.into();
        match value.as_object() {
            Some(map) => Ok(Self { at, map, asked: RefCell::default() }),
            None if at.is_empty() => malformed("the trace is not an object"),
            None => malformed(format!("{at} is not an object")),
        }
    }

    /// Where a key stands.
    pub fn at(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }

    pub fn find(&self, key: &str) -> Option<&'a Value> {
        self.asked.borrow_mut().push(key.to_owned());
        self.map.get(key)
    }

    pub fn get(&self, key: &str) -> Refused<&'a Value> {
        self.find(key).map_or_else(|| malformed(format!("{} is missing", self.at(key))), Ok)
    }

    pub fn array(&self, key: &str) -> Refused<&'a Vec<Value>> {
        array(self.get(key)?, &self.at(key))
    }

    pub fn text(&self, key: &str) -> Refused<&'a str> {
        let text = self.get(key)?.as_str();
        text.map_or_else(|| malformed(format!("{} is not a string", self.at(key))), Ok)
    }

    pub fn size(&self, key: &str) -> Refused<usize> {
        let value = self.get(key)?;
        match value.as_u64().map(usize::try_from) {
            Some(Ok(size)) if size > 0 => Ok(size),
            _ => malformed(format!("{} is {value}, not a size", self.at(key))),
        }
    }

    /// A number that has to be there.
    pub fn number(&self, key: &str) -> Refused<f64> {
        number(self.get(key)?, &self.at(key))
    }

    /// A number that may be missing.
    pub fn number_if(&self, key: &str) -> Refused<Option<f64>> {
        self.find(key).map(|value| number(value, &self.at(key))).transpose()
    }

    /// A number, or PyTorch's own choice.
    pub fn number_or(&self, key: &str, default: f64) -> Refused<f64> {
        Ok(self.number_if(key)?.unwrap_or(default))
    }

    /// Two numbers, or PyTorch's own choice.
    pub fn pair_or(&self, key: &str, default: [f64; 2]) -> Refused<[f64; 2]> {
        let Some(value) = self.find(key) else { return Ok(default) };
        let pair = numbers(value, &self.at(key), Some(2))?;
        Ok([pair[0], pair[1]])
    }

    /// Whether an option is switched on; it is off unless given.
    pub fn flag(&self, key: &str) -> Refused<bool> {
        let value = self.find(key).map_or(Some(false), Value::as_bool);
        value.map_or_else(|| malformed(format!("{} is neither true nor false", self.at(key))), Ok)
    }

    pub fn numbers(&self, key: &str, len: Option<usize>) -> Refused<Vec<f64>> {
        numbers(self.get(key)?, &self.at(key), len)
    }

    /// `rows` rows of `columns` numbers, or any number of rows but none.
    pub fn matrix(&self, key: &str, rows: Option<usize>, columns: usize) -> Refused<Vec<f64>> {
        let (at, given) = (self.at(key), self.array(key)?);
        if given.is_empty() || rows.is_some_and(|rows| rows != given.len()) {
            let expected = rows.map_or("at least 1".to_owned(), |rows| rows.to_string());
            return malformed(format!("{at} has {} rows instead of {expected}", given.len()));
        }
        let row = |(i, row): (usize, &Value)| numbers(row, &format!("{at}[{i}]"), Some(columns));
        Ok(given.iter().enumerate().map(row).collect::<Refused<Vec<_>>>()?.concat())
    }

    /// Refuses the first key that nobody asked for; `of` says whose option it would be.
    pub fn finish(self, of: &str) -> Refused<()> {
        let asked = self.asked.borrow();
        match self.map.keys().find(|key| !asked.contains(key)) {
            None => Ok(()),
            Some(key) if of.is_empty() => unsupported(format!("the option {key}")),
            Some(key) => unsupported(format!("the option {key} of {of}")),
        }
    }
}

pub fn array<'a>(value: &'a Value, at: &str) -> Refused<&'a Vec<Value>> {
    value.as_array().map_or_else(|| malformed(format!("{at} is not an array")), Ok)
}

fn numbers(value: &Value, at: &str, len: Option<usize>) -> Refused<Vec<f64>> {
    let values = array(value, at)?;
    match len {
        Some(len) if len != values.len() => malformed(format!("{at} has {} values instead of {len}", values.len())),
        _ => values.iter().enumerate().map(|(i, value)| number(value, &format!("{at}[{i}]"))).collect(),
    }
}

fn number(value: &Value, at: &str) -> Refused<f64> {
    match value.as_f64() {
        // One that f32 does not hold would arrive on a device as infinite.
        Some(number) if number.is_finite() && !(number as f32).is_finite() => {
            malformed(format!("{at}: {number:e} is beyond the numbers of 32 bits"))
        }
        Some(number) if number.is_finite() => Ok(number),
        _ => malformed(format!("{at} is not a finite number")),
    }
}
