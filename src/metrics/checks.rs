//! Checks of the arguments that the metrics add.

use crate::error::{Error, Result};

/// Returns an error if `weight` is not a valid sample weight.
pub(crate) fn check_sample_weight(weight: f64) -> Result<()> {
    if weight.is_finite() && weight >= 0.0 {
        return Ok(());
    }
    let expected = "a finite number >= 0".to_owned();
    Err(Error::InvalidSetting { name: "sample weight", expected, got: weight.to_string() })
}

/// Returns an error if `class` is not below the number of classes.
pub(crate) fn check_class(name: &'static str, class: u32, classes: usize) -> Result<()> {
    if (class as usize) < classes {
        return Ok(());
    }
    let expected = format!("a class id below {classes}");
    Err(Error::InvalidSetting { name, expected, got: class.to_string() })
}
