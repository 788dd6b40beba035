//! Checks of the numbers in optimizers and schedules.

use crate::error::{Error, Result};

/// Returns [`Error::InvalidSetting`] unless `is_valid` is true. `expected` describes the valid numbers.
pub(crate) fn check_number(name: &'static str, got: f64, is_valid: bool, expected: &str) -> Result<()> {
    if is_valid {
        return Ok(());
    }
    Err(Error::InvalidSetting { name, expected: expected.to_owned(), got: format_short(got) })
}

/// Checks that `got` is in `[min, max]`.
pub(crate) fn check_range(name: &'static str, got: f64, min: f64, max: f64) -> Result<()> {
    let expected = format!("a number in [{}, {}]", format_short(min), format_short(max));
    check_number(name, got, got >= min && got <= max, &expected)
}

/// Checks that `got` is in `[0, 1)`.
pub(crate) fn check_below_one(name: &'static str, got: f64) -> Result<()> {
    check_number(name, got, (0.0..1.0).contains(&got), "a number in [0, 1)")
}

/// Checks that `got` is finite and not negative.
pub(crate) fn check_not_negative(name: &'static str, got: f64) -> Result<()> {
    check_number(name, got, got.is_finite() && got >= 0.0, "a finite number >= 0")
}

/// Checks that the integer `got` is at least 1.
pub(crate) fn check_at_least_one(name: &'static str, got: u64) -> Result<()> {
    if got > 0 {
        return Ok(());
    }
    Err(Error::InvalidSetting { name, expected: "at least 1".to_owned(), got: got.to_string() })
}

/// Formats a number, in scientific notation if it is very small or very large.
fn format_short(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && size.is_finite() && !(1e-4..1e7).contains(&size) {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}
