//! Activations and losses of the caller's own: each a formula in Rust, for the CPU and the reference, and the same in
//! WGSL, for GPUs.

use crate::error::{Error, Result};

/// An activation of the caller's own, for [`crate::nn::Activation::Custom`].
///
/// The WGSL text has two functions, `fn NAME(z: vec4f) -> vec4f` and `fn NAME_derivative(z: vec4f) -> vec4f`, and may have
/// more. That the formulas and their slopes belong together is checked by finite differences, and that WGSL says the
/// same as Rust by running it, when a trainer is made. It may have loops on GPUs alone: a software adapter counts
/// their rounds with those of the products.
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

/// A loss of the caller's own, for [`crate::nn::Loss::Custom`]: of one output `y` against the expected `t`, before the mean
/// over the batch and the outputs.
///
/// The WGSL text has two functions, `fn NAME(y: vec4f, t: vec4f) -> vec4f` and `fn NAME_derivative(y: vec4f, t: vec4f) ->
/// vec4f`, the derivative by `y`. Both are checked as those of a [`CustomActivation`].
#[derive(Debug)]
pub struct CustomLoss {
    text: FunctionText,
    apply: fn(f64, f64) -> f64,
    derivative: fn(f64, f64) -> f64,
}

#[derive(Debug, PartialEq)]
struct FunctionText {
    name: &'static str,
    wgsl: &'static str,
}

impl PartialEq for CustomActivation {
    /// Whether the texts are the same; functions have no identity to compare.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl PartialEq for CustomLoss {
    /// Whether the texts are the same; functions have no identity to compare.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Where formulas are tried: on both sides of 0, near it and further away, and on no round number, where kinks are.
pub(crate) const TEST_POINTS: [f64; 12] =
    [-7.313, -2.917, -1.0303, -0.6107, -0.2213, -0.0307, 0.0211, 0.1907, 0.5303, 0.9611, 3.0107, 6.8903];

/// How far a slope may be from the finite difference, and WGSL from Rust, of the larger one's size or of 1.
const TOLERANCE: f64 = 1e-4;

impl CustomActivation {
    /// An activation whose value at `z` is `apply(z)`, and whose slope there is `gradient(z)`.
    pub const fn new(name: &'static str, wgsl: &'static str, apply: fn(f64) -> f64, gradient: fn(f64) -> f64) -> Self {
        Self { text: FunctionText { name, wgsl }, apply, derivative: gradient }
    }

    /// The name, as its WGSL function is called.
    pub const fn name(&self) -> &'static str {
        self.text.name
    }

    pub(crate) fn apply(&self, z: f64) -> f64 {
        (self.apply)(z)
    }

    pub(crate) fn derivative(&self, z: f64) -> f64 {
        (self.derivative)(z)
    }

    pub(crate) const fn pieces(&'static self) -> &'static [&'static str] {
        std::slice::from_ref(&self.text.wgsl)
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.text.check()?;
        TEST_POINTS.into_iter().try_for_each(|z| check_derivative(self.text.name, z, self.apply, (self.derivative)(z)))
    }
}

impl CustomLoss {
    /// A loss that is `apply(y, t)` for an output `y` and the expected `t`, and whose derivative by `y` is `gradient(y, t)`.
    pub const fn new(
        name: &'static str,
        wgsl: &'static str,
        apply: fn(f64, f64) -> f64,
        gradient: fn(f64, f64) -> f64,
    ) -> Self {
        Self { text: FunctionText { name, wgsl }, apply, derivative: gradient }
    }

    /// The name, as its WGSL function is called.
    pub const fn name(&self) -> &'static str {
        self.text.name
    }

    pub(crate) fn apply(&self, y: f64, t: f64) -> f64 {
        (self.apply)(y, t)
    }

    pub(crate) fn derivative(&self, y: f64, t: f64) -> f64 {
        (self.derivative)(y, t)
    }

    pub(crate) const fn pieces(&'static self) -> &'static [&'static str] {
        std::slice::from_ref(&self.text.wgsl)
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.text.check()?;
        for t in [0.0, 1.0, 0.37] {
            let at = |y| (self.apply)(y, t);
            TEST_POINTS
                .into_iter()
                .try_for_each(|y| check_derivative(self.text.name, y, at, (self.derivative)(y, t)))?;
        }
        Ok(())
    }
}

impl FunctionText {
    fn check(&self) -> Result<()> {
        let Self { name, wgsl } = self;
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !is_name {
            let expected = "small letters, digits and _, the first a letter".to_owned();
            return Err(Error::InvalidSetting { name: "name of a custom formula", expected, got: (*name).to_owned() });
        }
        for function in [format!("fn {name}("), format!("fn {name}_derivative(")] {
            if !wgsl.contains(&function) {
                let expected = format!("`{function}`");
                return Err(Error::InvalidSetting {
                    name: "WGSL of a custom formula",
                    expected,
                    got: (*wgsl).to_owned(),
                });
            }
        }
        Ok(())
    }
}

fn check_derivative(name: &str, at: f64, apply: impl Fn(f64) -> f64, given: f64) -> Result<()> {
    let step = 1e-5;
    let slope = (apply(at + step) - apply(at - step)) / (2.0 * step);
    check_close(&format!("slope of {name} at {at}, by finite differences"), slope, given)
}

/// Refuses what is not nearly `expected`.
pub(crate) fn check_close(what: &str, expected: f64, got: f64) -> Result<()> {
    if (expected - got).abs() <= TOLERANCE * expected.abs().max(got.abs()).max(1.0) {
        return Ok(());
    }
    Err(Error::CustomFunction { what: what.to_owned(), expected, got })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUBE: &str = "fn cube(z: vec4f) -> vec4f { return z * z * z; } fn cube_derivative(z: vec4f) -> vec4f { return 3.0 * z * z; }";

    #[test]
    fn formulas_that_do_not_belong_together_are_refused() {
        assert_eq!(CustomActivation::new("cube", CUBE, |z| z * z * z, |z| 3.0 * z * z).check(), Ok(()));
        let wrong = CustomActivation::new("cube", CUBE, |z| z * z * z, |z| z * z).check();
        assert!(matches!(wrong, Err(Error::CustomFunction { .. })), "{wrong:?}");
        let nan = CustomActivation::new("cube", CUBE, |_| f64::NAN, |_| f64::NAN).check();
        assert!(matches!(nan, Err(Error::CustomFunction { .. })), "{nan:?}");
        for name in ["other", "Cube", "cu be", ""] {
            let misnamed = CustomActivation::new(name, CUBE, |z| z * z * z, |z| 3.0 * z * z).check();
            assert!(matches!(misnamed, Err(Error::InvalidSetting { .. })), "{misnamed:?}");
        }
        let loss = CustomLoss::new("cube", CUBE, |y, t| (y - t).powi(2), |y, t| 2.0 * (y - t));
        assert_eq!(loss.check(), Ok(()));
        let wrong = CustomLoss::new("cube", CUBE, |y, t| (y - t).powi(2), |y, t| 2.0 * (t - y)).check();
        assert!(matches!(wrong, Err(Error::CustomFunction { .. })), "{wrong:?}");
    }
}
