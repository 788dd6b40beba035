//! Custom activations and losses. The caller defines each one in Rust, for the CPU and the reference, and in WGSL, for
//! GPUs.

use crate::error::{Error, Result};

/// An activation that the caller defines, for [`Activation::Custom`](crate::nn::Activation::Custom).
///
/// The WGSL text defines the function `fn NAME(z: vec4f) -> vec4f` and its derivative `fn NAME_derivative(z: vec4f) ->
/// vec4f`. It may define more functions. `z` holds the pre-activations of four neurons.
///
/// When gradus creates a trainer, it checks the derivative by finite differences, and runs the WGSL to compare it with
/// the Rust functions. Loops in the WGSL work on GPUs only: gradus cannot count their iterations for a software
/// adapter.
///
/// ```
/// use gradus::{Activation, nn::CustomActivation};
/// static SQUARE: CustomActivation = CustomActivation::new(
///     "square",
///     "fn square(z: vec4f) -> vec4f { return z * z; } fn square_derivative(z: vec4f) -> vec4f { return 2.0 * z; }",
///     |z| z * z,
///     |z| 2.0 * z,
/// );
/// let network = gradus::Network::new(2).dense(3, Activation::Custom(&SQUARE)).dense(1, Activation::Identity);
/// ```
#[derive(Debug)]
pub struct CustomActivation {
    text: FunctionText,
    apply: fn(f64) -> f64,
    derivative: fn(f64) -> f64,
}

/// A loss that the caller defines, for [`Loss::Custom`](crate::nn::Loss::Custom). It is a function of one output `y`
/// and its target `t`, before the mean over the rows and the outputs.
///
/// The WGSL text defines the function `fn NAME(y: vec4f, t: vec4f) -> vec4f` and its derivative by `y`,
/// `fn NAME_derivative(y: vec4f, t: vec4f) -> vec4f`. gradus checks both like the functions of a [`CustomActivation`].
///
/// ```
/// use gradus::{Loss, nn::CustomLoss};
/// static CUBIC: CustomLoss = CustomLoss::new(
///     "cubic",
///     "fn cubic(y: vec4f, t: vec4f) -> vec4f { let e = abs(y - t); return e * e * e; }
///      fn cubic_derivative(y: vec4f, t: vec4f) -> vec4f { return 3.0 * (y - t) * abs(y - t); }",
///     |y, t| (y - t).abs().powi(3),
///     |y, t| 3.0 * (y - t) * (y - t).abs(),
/// );
/// let loss = Loss::Custom(&CUBIC);
/// assert_eq!(loss.name(), "cubic");
/// ```
#[derive(Debug)]
pub struct CustomLoss {
    text: FunctionText,
    apply: fn(f64, f64) -> f64,
    derivative: fn(f64, f64) -> f64,
}

/// The name and the WGSL source of a custom function.
#[derive(Debug, PartialEq)]
struct FunctionText {
    name: &'static str,
    wgsl: &'static str,
}

impl PartialEq for CustomActivation {
    /// Compares the names and the WGSL, because Rust functions cannot be compared reliably.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl PartialEq for CustomLoss {
    /// Compares the names and the WGSL, because Rust functions cannot be compared reliably.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The points at which gradus compares custom functions: on both sides of 0, at different distances. Round numbers are
/// missing, because kinks are there.
pub(crate) const TEST_POINTS: [f64; 12] =
    [-7.313, -2.917, -1.0303, -0.6107, -0.2213, -0.0307, 0.0211, 0.1907, 0.5303, 0.9611, 3.0107, 6.8903];

/// The maximum difference between a derivative and a finite difference, and between WGSL and Rust, relative to the
/// larger absolute value or to 1.
const TOLERANCE: f64 = 1e-4;

impl CustomActivation {
    /// Creates an activation with the value `apply(z)` and the derivative `derivative(z)`.
    ///
    /// `name` consists of lower-case letters, digits and `_`, and starts with a letter. gradus checks the definition
    /// later, when it creates a trainer or a predictor, and then returns [`Error::CustomFunction`] or
    /// [`Error::InvalidSetting`].
    pub const fn new(
        name: &'static str,
        wgsl: &'static str,
        apply: fn(f64) -> f64,
        derivative: fn(f64) -> f64,
    ) -> Self {
        Self { text: FunctionText { name, wgsl }, apply, derivative }
    }

    /// Returns the name, which is also the name of the WGSL function.
    pub const fn name(&self) -> &'static str {
        self.text.name
    }

    pub(crate) fn apply(&self, z: f64) -> f64 {
        (self.apply)(z)
    }

    pub(crate) fn derivative(&self, z: f64) -> f64 {
        (self.derivative)(z)
    }

    /// Returns the WGSL source, as a slice with one text.
    pub(crate) const fn pieces(&'static self) -> &'static [&'static str] {
        std::slice::from_ref(&self.text.wgsl)
    }

    /// Returns an error if the name or the WGSL is invalid, or if the derivative differs from the finite difference.
    pub(crate) fn check(&self) -> Result<()> {
        self.text.check()?;
        for z in TEST_POINTS {
            check_derivative(self.text.name, z, self.apply, (self.derivative)(z))?;
        }
        Ok(())
    }
}

impl CustomLoss {
    /// Creates a loss with the value `apply(y, t)` and the derivative `derivative(y, t)` by the output `y`.
    ///
    /// `name` consists of lower-case letters, digits and `_`, and starts with a letter. gradus checks the definition
    /// later, when it creates a trainer, and then returns [`Error::CustomFunction`] or [`Error::InvalidSetting`].
    pub const fn new(
        name: &'static str,
        wgsl: &'static str,
        apply: fn(f64, f64) -> f64,
        derivative: fn(f64, f64) -> f64,
    ) -> Self {
        Self { text: FunctionText { name, wgsl }, apply, derivative }
    }

    /// Returns the name, which is also the name of the WGSL function.
    pub const fn name(&self) -> &'static str {
        self.text.name
    }

    pub(crate) fn apply(&self, y: f64, t: f64) -> f64 {
        (self.apply)(y, t)
    }

    pub(crate) fn derivative(&self, y: f64, t: f64) -> f64 {
        (self.derivative)(y, t)
    }

    /// Returns the WGSL source, as a slice with one text.
    pub(crate) const fn pieces(&'static self) -> &'static [&'static str] {
        std::slice::from_ref(&self.text.wgsl)
    }

    /// Returns an error if the name or the WGSL is invalid, or if the derivative differs from the finite difference.
    pub(crate) fn check(&self) -> Result<()> {
        self.text.check()?;
        for t in [0.0, 1.0, 0.37] {
            for y in TEST_POINTS {
                check_derivative(self.text.name, y, |y| (self.apply)(y, t), (self.derivative)(y, t))?;
            }
        }
        Ok(())
    }
}

impl FunctionText {
    /// Returns an error if the name is no WGSL name, or if the WGSL does not define the two functions.
    fn check(&self) -> Result<()> {
        let Self { name, wgsl } = self;
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !is_name {
            let expected = "lower-case letters, digits and _, starting with a letter".to_owned();
            let got = format!("{name:?}");
            return Err(Error::InvalidSetting { name: "name of a custom function", expected, got });
        }
        for function in [format!("fn {name}("), format!("fn {name}_derivative(")] {
            if !wgsl.contains(&function) {
                let expected = format!("the text {function:?}");
                let got = format!("the functions {:?}", function_names(wgsl));
                return Err(Error::InvalidSetting { name: "WGSL of a custom function", expected, got });
            }
        }
        Ok(())
    }
}

/// Returns the names of the functions in a WGSL text, for error messages.
fn function_names(wgsl: &str) -> Vec<&str> {
    wgsl.split("fn ").skip(1).filter_map(|text| text.split('(').next()).map(str::trim).collect()
}

/// Returns an error if `derivative` differs from the finite difference of `apply` at `point`.
fn check_derivative(name: &str, point: f64, apply: impl Fn(f64) -> f64, derivative: f64) -> Result<()> {
    let step = 1e-5;
    let difference = (apply(point + step) - apply(point - step)) / (2.0 * step);
    check_close(&format!("derivative of {name} at {point}, compared with finite differences"), difference, derivative)
}

/// Returns [`Error::CustomFunction`] if `got` differs from `expected` by more than the tolerance, or if one of them is
/// NaN.
pub(crate) fn check_close(what: &str, expected: f64, got: f64) -> Result<()> {
    if (expected - got).abs() <= TOLERANCE * expected.abs().max(got.abs()).max(1.0) {
        return Ok(());
    }
    Err(Error::CustomFunction { what: what.to_owned(), expected, got })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUBE: &str = "
        fn cube(z: vec4f) -> vec4f { return z * z * z; }
        fn cube_derivative(z: vec4f) -> vec4f { return 3.0 * z * z; }
    ";

    #[test]
    fn invalid_names_and_wrong_derivatives_return_an_error() {
        assert_eq!(CustomActivation::new("cube", CUBE, |z| z * z * z, |z| 3.0 * z * z).check(), Ok(()));
        let wrong = CustomActivation::new("cube", CUBE, |z| z * z * z, |z| z * z).check();
        assert!(matches!(wrong, Err(Error::CustomFunction { .. })), "{wrong:?}");
        let nan = CustomActivation::new("cube", CUBE, |_| f64::NAN, |_| f64::NAN).check();
        assert!(matches!(nan, Err(Error::CustomFunction { .. })), "{nan:?}");
        for name in ["other", "Cube", "cu be", ""] {
            let result = CustomActivation::new(name, CUBE, |z| z * z * z, |z| 3.0 * z * z).check();
            assert!(matches!(result, Err(Error::InvalidSetting { .. })), "{result:?}");
        }
        let loss = CustomLoss::new("cube", CUBE, |y, t| (y - t).powi(2), |y, t| 2.0 * (y - t));
        assert_eq!(loss.check(), Ok(()));
        let wrong = CustomLoss::new("cube", CUBE, |y, t| (y - t).powi(2), |y, t| 2.0 * (t - y)).check();
        assert!(matches!(wrong, Err(Error::CustomFunction { .. })), "{wrong:?}");
    }
}
