//! Networks and settings as JSON: families by the names that they print, formulas of the caller's own by theirs.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    nn::{
        activation::Activation,
        custom::{CustomActivation, CustomLoss},
        init::Init,
        loss::Loss,
        network::Network,
        normalization::Norm,
    },
    optim::{optimizer::Optimizer, schedule::Schedule},
    train::settings::Settings,
};

/// Formulas of the caller's own that a file may name: it holds their names alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Formulas<'a> {
    /// The activations.
    pub activations: &'a [&'static CustomActivation],
    /// The losses.
    pub losses: &'a [&'static CustomLoss],
}

/// What stands before the name of a formula of the caller's own.
const CUSTOM: &str = "custom ";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkRecord {
    inputs: usize,
    layers: Vec<LayerRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerRecord {
    outputs: usize,
    activation: String,
    #[serde(default)]
    norm: Option<Norm>,
    #[serde(default)]
    dropout: f64,
    weight: Init,
    bias: Init,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsRecord {
    batch: usize,
    /// Not in files that were written before the setting existed.
    #[serde(default, skip_serializing_if = "is_false")]
    drop_last: bool,
    loss: String,
    optimizer: Optimizer,
    schedule: Schedule,
    accumulate: usize,
    seed: u64,
    shuffle: bool,
    weighted: bool,
    input_noise: f64,
    chunk: Option<usize>,
    plan: Option<String>,
}

/// What serde asks of a setting that is only stored where it is set.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl NetworkRecord {
    pub(crate) fn of(network: &Network) -> Self {
        let layer = |layer: &crate::nn::network::Dense| LayerRecord {
            outputs: layer.outputs,
            activation: match layer.activation {
                Activation::Custom(custom) => format!("{CUSTOM}{}", custom.name()),
                other => other.to_string(),
            },
            norm: layer.norm,
            dropout: layer.dropout,
            weight: layer.weight,
            bias: layer.bias,
        };
        Self { inputs: network.inputs(), layers: network.layers().iter().map(layer).collect() }
    }

    /// The network, which can be built.
    pub(crate) fn network(&self, formulas: &Formulas<'_>) -> Result<Network> {
        let mut network = Network::new(self.inputs);
        for layer in &self.layers {
            let known = formulas.activations.iter().map(|custom| (custom.name(), Activation::Custom(custom)));
            let activation = named("activation", &layer.activation, known)?;
            network = network.dense(layer.outputs, activation).dropout(layer.dropout);
            network = match layer.norm {
                Some(Norm::Layer) => network.layer_norm(),
                Some(Norm::Batch) => network.batch_norm(),
                None => network,
            };
        }
        let mut layers = self.layers.iter();
        let network = network.init_each(|_| layers.next().map_or((Init::Zeros, Init::Zeros), |l| (l.weight, l.bias)));
        network.check()?;
        Ok(network)
    }
}

impl SettingsRecord {
    pub(crate) fn of(settings: &Settings) -> Self {
        let Settings { batch, drop_last, loss, optimizer, schedule, accumulate, seed, .. } = settings.clone();
        let Settings { shuffle, weighted, input_noise, chunk, plan, .. } = settings;
        Self {
            batch,
            drop_last,
            loss: match loss {
                Loss::Custom(custom) => format!("{CUSTOM}{}", custom.name()),
                other => other.to_string(),
            },
            optimizer,
            schedule,
            accumulate,
            seed,
            shuffle: *shuffle,
            weighted: *weighted,
            input_noise: *input_noise,
            chunk: *chunk,
            plan: plan.as_ref().map(ToString::to_string),
        }
    }

    /// The settings, which a network can be trained with.
    pub(crate) fn settings(self, network: &Network, formulas: &Formulas<'_>) -> Result<Settings> {
        let Self {
            batch,
            drop_last,
            loss,
            optimizer,
            schedule,
            accumulate,
            seed,
            shuffle,
            weighted,
            input_noise,
            chunk,
            plan,
        } = self;
        let known = formulas.losses.iter().map(|custom| (custom.name(), Loss::Custom(custom)));
        let loss = named("loss", &loss, known)?;
        let plan = plan.map(|text| text.parse()).transpose()?;
        let settings = Settings {
            batch,
            drop_last,
            loss,
            optimizer,
            schedule,
            accumulate,
            seed,
            shuffle,
            weighted,
            input_noise,
            chunk,
            plan,
        };
        settings.check(network)?;
        Ok(settings)
    }
}

/// The member of a family that a text names, or the formula of the caller's own.
fn named<T: FromStr<Err = Error> + Copy>(
    what: &'static str,
    text: &str,
    known: impl Iterator<Item = (&'static str, T)> + Clone,
) -> Result<T> {
    let Some(name) = text.strip_prefix(CUSTOM) else { return text.parse() };
    known.clone().find(|(other, _)| *other == name).map(|(_, formula)| formula).ok_or_else(|| {
        let names: Vec<_> = known.map(|(name, _)| name).collect();
        let given = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Error::Setting { what, expected: format!("{name}, which the file names, among the formulas"), got: given }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::update_rule::Rule;

    static SQUARE: CustomActivation = CustomActivation::new(
        "square",
        "fn square(z: vec4f) -> vec4f { return z * z; } fn square_gradient(z: vec4f) -> vec4f { return 2.0 * z; }",
        |z| z * z,
        |z| 2.0 * z,
    );
    static ABSOLUTE: CustomLoss = CustomLoss::new(
        "absolute",
        "fn absolute(y: vec4f, t: vec4f) -> vec4f { return abs(y - t); }
        fn absolute_gradient(y: vec4f, t: vec4f) -> vec4f { return sign(y - t); }",
        |y, t| (y - t).abs(),
        |y, t| (y - t).signum(),
    );
    const FORMULAS: Formulas<'static> = Formulas { activations: &[&SQUARE], losses: &[&ABSOLUTE] };

    fn round_trip(network: &Network, settings: &Settings) {
        let text = serde_json::to_string(&NetworkRecord::of(network)).unwrap();
        let back = serde_json::from_str::<NetworkRecord>(&text).unwrap().network(&FORMULAS);
        assert_eq!(back.as_ref(), Ok(network), "{text}");
        let text = serde_json::to_string(&SettingsRecord::of(settings)).unwrap();
        let back = serde_json::from_str::<SettingsRecord>(&text).unwrap().settings(network, &FORMULAS);
        assert_eq!(back.as_ref(), Ok(settings), "{text}");
    }

    #[test]
    fn every_member_of_every_family_comes_back() {
        let activations = Activation::ALL.iter().copied();
        for activation in activations.chain([Activation::Prelu { slope: 0.1 }, Activation::Custom(&SQUARE)]) {
            let network = Network::new(3).dense(4, activation).dense(2, Activation::Identity);
            round_trip(&network, &Settings::default());
        }
        for init in Init::ALL {
            round_trip(&Network::new(3).dense(2, Activation::Tanh).init(*init, *init), &Settings::default());
        }
        let network = Network::new(3).dense(4, Activation::Sine { frequency: 1.0 / 3.0 }).dropout(0.1).batch_norm();
        let network = network.dense(4, Activation::Tanh).layer_norm().dense(2, Activation::Identity);
        for loss in Loss::ALL.iter().copied().chain([Loss::Custom(&ABSOLUTE)]) {
            let sigmoid = loss.output_activation().unwrap_or(Activation::Identity);
            let network = Network::new(3).dense(2, sigmoid);
            round_trip(&network, &Settings { loss, ..Settings::default() });
        }
        for optimizer in Optimizer::ALL {
            round_trip(&network, &Settings { optimizer: *optimizer, ..Settings::default() });
        }
        for rule in Rule::ALL {
            let optimizer = Optimizer::new(*rule, 0.1 + 0.2).clip_norm(0.7);
            round_trip(
                &network,
                &Settings { optimizer, seed: u64::MAX, chunk: Some(3), drop_last: true, ..Settings::default() },
            );
        }
        let steps = Schedule::multi_step([3, 7]);
        let nested = Schedule::PerEpoch(Box::new(Schedule::WarmUp { steps: 5, start: 0.1, then: Box::new(steps) }));
        for schedule in [nested, Schedule::cosine(9), Schedule::one_cycle(90)] {
            round_trip(&network, &Settings { schedule, ..Settings::default() });
        }
    }

    #[test]
    fn a_formula_that_was_not_given_is_asked_for_by_name() {
        let network = Network::new(3).dense(2, Activation::Custom(&SQUARE));
        let refused = NetworkRecord::of(&network).network(&Formulas::default()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "activation: expected square, which the file names, among the formulas, got none"
        );
    }
}
