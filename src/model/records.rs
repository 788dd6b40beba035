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
        normalization::Normalization,
    },
    optim::{optimizer::Optimizer, schedule::Schedule},
    train::settings::TrainerSettings,
};

/// Formulas of the caller's own that a file may name: it holds their names alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct CustomFunctions<'a> {
    /// The activations.
    pub activations: &'a [&'static CustomActivation],
    /// The losses.
    pub losses: &'a [&'static CustomLoss],
}

/// What stands before the name of a formula of the caller's own.
const CUSTOM_PREFIX: &str = "custom ";

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
    normalization: Option<Normalization>,
    #[serde(default)]
    dropout: f64,
    weight_init: Init,
    bias_init: Init,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsRecord {
    batch_size: usize,
    /// Not in files that were written before the setting existed.
    #[serde(default, skip_serializing_if = "is_false")]
    drop_last: bool,
    loss: String,
    optimizer: Optimizer,
    schedule: Schedule,
    gradient_accumulation: usize,
    seed: u64,
    shuffle: bool,
    sample_weights: bool,
    input_noise_std: f64,
    steps_per_submission: Option<usize>,
    plan: Option<String>,
}

/// What serde asks of a setting that is only stored where it is set.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl NetworkRecord {
    pub(crate) fn from_network(network: &Network) -> Self {
        let layer = |layer: &crate::nn::network::Dense| LayerRecord {
            outputs: layer.outputs,
            activation: match layer.activation {
                Activation::Custom(custom) => format!("{CUSTOM_PREFIX}{}", custom.name()),
                other => other.to_string(),
            },
            normalization: layer.normalization,
            dropout: layer.dropout,
            weight_init: layer.weight_init,
            bias_init: layer.bias_init,
        };
        Self { inputs: network.inputs(), layers: network.layers().iter().map(layer).collect() }
    }

    /// The network, which can be built.
    pub(crate) fn to_network(&self, custom_functions: &CustomFunctions<'_>) -> Result<Network> {
        let mut network = Network::new(self.inputs);
        for layer in &self.layers {
            let known = custom_functions.activations.iter().map(|custom| (custom.name(), Activation::Custom(custom)));
            let activation = parse_with_custom("activation", &layer.activation, known)?;
            network = network.dense(layer.outputs, activation).dropout(layer.dropout);
            network = match layer.normalization {
                Some(Normalization::Layer) => network.layer_norm(),
                Some(Normalization::Batch) => network.batch_norm(),
                None => network,
            };
        }
        let mut layers = self.layers.iter();
        let network =
            network.init_with(|_| layers.next().map_or((Init::Zeros, Init::Zeros), |l| (l.weight_init, l.bias_init)));
        network.check()?;
        Ok(network)
    }
}

impl SettingsRecord {
    pub(crate) fn from_settings(settings: &TrainerSettings) -> Self {
        let TrainerSettings {
            batch_size: batch,
            drop_last,
            loss,
            optimizer,
            schedule,
            gradient_accumulation: accumulate,
            seed,
            ..
        } = settings.clone();
        let TrainerSettings {
            shuffle,
            sample_weights: weighted,
            input_noise_std: input_noise,
            steps_per_submission: chunk,
            plan,
            ..
        } = settings;
        Self {
            batch_size: batch,
            drop_last,
            loss: match loss {
                Loss::Custom(custom) => format!("{CUSTOM_PREFIX}{}", custom.name()),
                other => other.to_string(),
            },
            optimizer,
            schedule,
            gradient_accumulation: accumulate,
            seed,
            shuffle: *shuffle,
            sample_weights: *weighted,
            input_noise_std: *input_noise,
            steps_per_submission: *chunk,
            plan: plan.as_ref().map(ToString::to_string),
        }
    }

    /// The settings, which a network can be trained with.
    pub(crate) fn into_settings(
        self,
        network: &Network,
        custom_functions: &CustomFunctions<'_>,
    ) -> Result<TrainerSettings> {
        let Self {
            batch_size: batch,
            drop_last,
            loss,
            optimizer,
            schedule,
            gradient_accumulation: accumulate,
            seed,
            shuffle,
            sample_weights: weighted,
            input_noise_std: input_noise,
            steps_per_submission: chunk,
            plan,
        } = self;
        let known = custom_functions.losses.iter().map(|custom| (custom.name(), Loss::Custom(custom)));
        let loss = parse_with_custom("loss", &loss, known)?;
        let plan = plan.map(|text| text.parse()).transpose()?;
        let settings = TrainerSettings {
            batch_size: batch,
            drop_last,
            loss,
            optimizer,
            schedule,
            gradient_accumulation: accumulate,
            seed,
            shuffle,
            sample_weights: weighted,
            input_noise_std: input_noise,
            steps_per_submission: chunk,
            plan,
        };
        settings.check(network)?;
        Ok(settings)
    }
}

/// The member of a family that a text names, or the formula of the caller's own.
fn parse_with_custom<T: FromStr<Err = Error> + Copy>(
    what: &'static str,
    text: &str,
    known: impl Iterator<Item = (&'static str, T)> + Clone,
) -> Result<T> {
    let Some(name) = text.strip_prefix(CUSTOM_PREFIX) else { return text.parse() };
    known.clone().find(|(other, _)| *other == name).map(|(_, formula)| formula).ok_or_else(|| {
        let names: Vec<_> = known.map(|(name, _)| name).collect();
        let given = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Error::InvalidSetting {
            name: what,
            expected: format!("{name}, which the file names, among the formulas"),
            got: given,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::update_rule::UpdateRule;

    static SQUARE: CustomActivation = CustomActivation::new(
        "square",
        "fn square(z: vec4f) -> vec4f { return z * z; } fn square_derivative(z: vec4f) -> vec4f { return 2.0 * z; }",
        |z| z * z,
        |z| 2.0 * z,
    );
    static ABSOLUTE: CustomLoss = CustomLoss::new(
        "absolute",
        "fn absolute(y: vec4f, t: vec4f) -> vec4f { return abs(y - t); }
        fn absolute_derivative(y: vec4f, t: vec4f) -> vec4f { return sign(y - t); }",
        |y, t| (y - t).abs(),
        |y, t| (y - t).signum(),
    );
    const FORMULAS: CustomFunctions<'static> = CustomFunctions { activations: &[&SQUARE], losses: &[&ABSOLUTE] };

    fn round_trip(network: &Network, settings: &TrainerSettings) {
        let text = serde_json::to_string(&NetworkRecord::from_network(network)).unwrap();
        let back = serde_json::from_str::<NetworkRecord>(&text).unwrap().to_network(&FORMULAS);
        assert_eq!(back.as_ref(), Ok(network), "{text}");
        let text = serde_json::to_string(&SettingsRecord::from_settings(settings)).unwrap();
        let back = serde_json::from_str::<SettingsRecord>(&text).unwrap().into_settings(network, &FORMULAS);
        assert_eq!(back.as_ref(), Ok(settings), "{text}");
    }

    #[test]
    fn every_member_of_every_family_comes_back() {
        let activations = Activation::ALL.iter().copied();
        for activation in activations.chain([Activation::Prelu { initial_slope: 0.1 }, Activation::Custom(&SQUARE)]) {
            let network = Network::new(3).dense(4, activation).dense(2, Activation::Identity);
            round_trip(&network, &TrainerSettings::default());
        }
        for init in Init::ALL {
            round_trip(&Network::new(3).dense(2, Activation::Tanh).init(*init, *init), &TrainerSettings::default());
        }
        let network = Network::new(3).dense(4, Activation::Sine { frequency: 1.0 / 3.0 }).dropout(0.1).batch_norm();
        let network = network.dense(4, Activation::Tanh).layer_norm().dense(2, Activation::Identity);
        for loss in Loss::ALL.iter().copied().chain([Loss::Custom(&ABSOLUTE)]) {
            let sigmoid = loss.required_output_activation().unwrap_or(Activation::Identity);
            let network = Network::new(3).dense(2, sigmoid);
            round_trip(&network, &TrainerSettings { loss, ..TrainerSettings::default() });
        }
        for optimizer in Optimizer::ALL {
            round_trip(&network, &TrainerSettings { optimizer: *optimizer, ..TrainerSettings::default() });
        }
        for rule in UpdateRule::ALL {
            let optimizer = Optimizer::new(*rule, 0.1 + 0.2).clip_norm(0.7);
            round_trip(
                &network,
                &TrainerSettings {
                    optimizer,
                    seed: u64::MAX,
                    steps_per_submission: Some(3),
                    drop_last: true,
                    ..TrainerSettings::default()
                },
            );
        }
        let steps = Schedule::multi_step([3, 7]);
        let nested =
            Schedule::PerEpoch(Box::new(Schedule::Warmup { steps: 5, start_factor: 0.1, schedule: Box::new(steps) }));
        for schedule in [nested, Schedule::cosine(9), Schedule::one_cycle(90)] {
            round_trip(&network, &TrainerSettings { schedule, ..TrainerSettings::default() });
        }
    }

    #[test]
    fn a_formula_that_was_not_given_is_asked_for_by_name() {
        let network = Network::new(3).dense(2, Activation::Custom(&SQUARE));
        let refused = NetworkRecord::from_network(&network).to_network(&CustomFunctions::default()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "activation: expected square, which the file names, among the formulas, got none"
        );
    }
}
