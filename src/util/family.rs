//! What the families have in common: a member is an arm of an enum and a few WGSL files, and text names it.

use std::fmt::Display;

use crate::error::{Error, Result};

/// The files of a member: its own, and those that it builds on.
macro_rules! files {
    ($($path:literal),*) => {
        &[$(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path, ".wgsl"))),*]
    };
}
pub(crate) use files;

/// The member that a text means: its name, or its name and its number, such as `elu` or `elu(0.5)`.
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
    // What has no number is not given one, and one that is not understood is not passed over.
    found.filter(|member| given == text || (number.is_some() && member.to_string().ends_with(')'))).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|member| name(*member)).collect();
        Error::InvalidSetting { name: what, expected: names.join(", "), got: text.to_owned() }
    })
}
