//! The activations: each an arm here and a file in `shaders/activation/`.

use crate::{Error, Result};

/// What a neuron does with the sum of its weighted inputs and its bias, `z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `z` itself: a linear layer.
    Identity,
    /// `1 / (1 + e^-z)`, the textbook's: from 0 to 1.
    Sigmoid,
    /// `tanh z`: from -1 to 1.
    Tanh,
    /// `max(z, 0)`.
    Relu,
}

impl Activation {
    /// Every activation, for tests and benches to walk.
    pub const ALL: &[Self] = &[Self::Identity, Self::Sigmoid, Self::Tanh, Self::Relu];

    /// The name, as it stands in files and as its WGSL function is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Relu => "relu",
        }
    }

    /// The activation of `z`.
    pub fn apply(self, z: f64) -> f64 {
        match self {
            Self::Identity => z,
            Self::Sigmoid => 1.0 / (1.0 + (-z).exp()),
            Self::Tanh => z.tanh(),
            // Not max(): that would turn NaN into 0.
            Self::Relu if z < 0.0 => 0.0,
            Self::Relu => z,
        }
    }

    /// Its slope at `z`, where it has the value `a`; relu's slope at 0 is 0, as PyTorch has it.
    pub fn gradient(self, z: f64, a: f64) -> f64 {
        match self {
            Self::Identity => 1.0,
            Self::Sigmoid => a * (1.0 - a),
            Self::Tanh => 1.0 - a * a,
            Self::Relu => f64::from(z > 0.0),
        }
    }

    pub(crate) const fn wgsl(self) -> &'static str {
        match self {
            Self::Identity => include_str!("../shaders/activation/identity.wgsl"),
            Self::Sigmoid => include_str!("../shaders/activation/sigmoid.wgsl"),
            Self::Tanh => include_str!("../shaders/activation/tanh.wgsl"),
            Self::Relu => include_str!("../shaders/activation/relu.wgsl"),
        }
    }
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Activation {
    type Err = Error;

    /// The member of that name.
    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|member| member.name() == name);
        found.copied().ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|member| member.name()).collect();
            Error::Setting { what: "activation", expected: names.join(", "), got: name.to_owned() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_stays_nan() {
        for activation in Activation::ALL {
            assert!(activation.apply(f64::NAN).is_nan(), "{activation}");
        }
    }

    #[test]
    fn names_parse() {
        for activation in Activation::ALL {
            assert_eq!(activation.name().parse(), Ok(*activation));
        }
        assert!("Sigmoid".parse::<Activation>().is_err());
    }
}
