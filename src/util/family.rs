//! Helpers for families of functions, such as activations. A member is an enum variant with a name and WGSL files.

use std::fmt::Display;

use crate::error::{Error, Result};

/// Returns the contents of the WGSL files of a member, given by their paths in `shaders/`.
macro_rules! files {
    ($($path:literal),*) => {
        &[$(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path, ".wgsl"))),*]
    };
}
pub(crate) use files;

/// Parses the name of a member, optionally with its number in parentheses, such as `elu` or `elu(0.5)`.
///
/// # Errors
/// [`Error::InvalidSetting`] if no member has this name, or if the number is invalid or not allowed.
pub(crate) fn parse<T: Copy + Display>(
    what: &'static str,
    text: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
    with_number: impl Fn(T, f64) -> T,
) -> Result<T> {
    let (given, number) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        Some((given, number)) => (given, number.parse().ok()),
        None => (text, None),
    };
    let found = all.iter().find(|member| name(**member) == given);
    let found = found.map(|member| number.map_or(*member, |number| with_number(*member, number)));
    // Reject a number for a member without one, and a number that cannot be parsed.
    found.filter(|member| given == text || (number.is_some() && member.to_string().ends_with(')'))).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(ToString::to_string).collect();
        Error::InvalidSetting { name: what, expected: format!("one of {}", names.join(", ")), got: text.to_owned() }
    })
}
