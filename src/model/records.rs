//! Networks and settings as JSON. Activations and losses are stored by their names, and so are custom functions.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    nn::{
        activation::Activation,
        custom::{CustomActivation, CustomLoss},
        dense::Dense,
        init::Init,
        loss::Loss,
        network::Network,
        normalization::Normalization,
    },
    optim::{optimizer::Optimizer, schedule::Schedule},
    train::settings::TrainerSettings,
};

/// The custom functions that a file may use. A file stores only the name of each function, so the caller provides the
/// function.
#[doc(alias = "custom_objects")]
#[derive(Debug, Clone, Copy, Default)]
pub struct CustomFunctions<'a> {
    /// The custom activations.
    pub activations: &'a [&'static CustomActivation],
    /// The custom losses.
    pub losses: &'a [&'static CustomLoss],
}

/// The prefix of the name of a custom function.
const CUSTOM_PREFIX: &str = "custom ";

/// The description of a network in a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkRecord {
    inputs: usize,
    layers: Vec<LayerRecord>,
}

/// The description of a layer in a file.
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

/// The settings of a trainer in a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsRecord {
    batch_size: usize,
    /// Missing in files of earlier versions, which did not have the setting.
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

/// Returns whether serde skips the field `drop_last`.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl NetworkRecord {
    pub(crate) fn from_network(network: &Network) -> Self {
        let layer = |layer: &Dense| LayerRecord {
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

    /// Returns the network.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the network is invalid, or uses a custom activation that `custom_functions` lacks.
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
        let network = network.init_with(|_| match layers.next() {
            Some(layer) => (layer.weight_init, layer.bias_init),
            None => (Init::Zeros, Init::Zeros),
        });
        network.check()?;
        Ok(network)
    }
}

impl SettingsRecord {
    pub(crate) fn from_settings(settings: &TrainerSettings) -> Self {
        let TrainerSettings {
            batch_size,
            drop_last,
            loss,
            optimizer,
            schedule,
            gradient_accumulation,
            seed,
            shuffle,
            sample_weights,
            input_noise_std,
            steps_per_submission,
            plan,
        } = settings.clone();
        Self {
            batch_size,
            drop_last,
            loss: match loss {
                Loss::Custom(custom) => format!("{CUSTOM_PREFIX}{}", custom.name()),
                other => other.to_string(),
            },
            optimizer,
            schedule,
            gradient_accumulation,
            seed,
            shuffle,
            sample_weights,
            input_noise_std,
            steps_per_submission,
            plan: plan.map(|plan| plan.to_string()),
        }
    }

    /// Returns the settings.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if a setting is invalid for the network, or uses a custom loss that `custom_functions`
    /// lacks.
    /// [`Error::InvalidPlan`] if the plan cannot be parsed.
    pub(crate) fn into_settings(
        self,
        network: &Network,
        custom_functions: &CustomFunctions<'_>,
    ) -> Result<TrainerSettings> {
        let known = custom_functions.losses.iter().map(|custom| (custom.name(), Loss::Custom(custom)));
        let settings = TrainerSettings {
            batch_size: self.batch_size,
            drop_last: self.drop_last,
            loss: parse_with_custom("loss", &self.loss, known)?,
            optimizer: self.optimizer,
            schedule: self.schedule,
            gradient_accumulation: self.gradient_accumulation,
            seed: self.seed,
            shuffle: self.shuffle,
            sample_weights: self.sample_weights,
            input_noise_std: self.input_noise_std,
            steps_per_submission: self.steps_per_submission,
            plan: self.plan.map(|text| text.parse()).transpose()?,
        };
        settings.check(network)?;
        Ok(settings)
    }
}

/// Parses the name of a built-in activation or loss, or finds the custom function of that name. `kind` is `activation`
/// or `loss`.
fn parse_with_custom<T: FromStr<Err = Error> + Copy>(
    kind: &str,
    text: &str,
    known: impl Iterator<Item = (&'static str, T)> + Clone,
) -> Result<T> {
    let Some(name) = text.strip_prefix(CUSTOM_PREFIX) else { return text.parse() };
    if let Some((_, function)) = known.clone().find(|(known_name, _)| *known_name == name) {
        return Ok(function);
    }
    let names: Vec<_> = known.map(|(known_name, _)| known_name).collect();
    let given = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Err(Error::InvalidSetting {
        name: "custom functions",
        expected: format!("the custom {kind} {name}, which the file uses"),
        got: format!("{given}; pass it to load_with_custom"),
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
    const CUSTOM_FUNCTIONS: CustomFunctions<'static> =
        CustomFunctions { activations: &[&SQUARE], losses: &[&ABSOLUTE] };

    /// Asserts that the network and the settings survive a round trip through JSON.
    fn assert_round_trip(network: &Network, settings: &TrainerSettings) {
        let text = serde_json::to_string(&NetworkRecord::from_network(network)).unwrap();
        let parsed = serde_json::from_str::<NetworkRecord>(&text).unwrap().to_network(&CUSTOM_FUNCTIONS);
        assert_eq!(parsed.as_ref(), Ok(network), "{text}");
        let text = serde_json::to_string(&SettingsRecord::from_settings(settings)).unwrap();
        let parsed = serde_json::from_str::<SettingsRecord>(&text).unwrap().into_settings(network, &CUSTOM_FUNCTIONS);
        assert_eq!(parsed.as_ref(), Ok(settings), "{text}");
    }

    #[test]
    fn every_variant_survives_a_round_trip() {
        let activations = Activation::ALL.iter().copied();
        for activation in activations.chain([Activation::Prelu { initial_slope: 0.1 }, Activation::Custom(&SQUARE)]) {
            let network = Network::new(3).dense(4, activation).dense(2, Activation::Identity);
            assert_round_trip(&network, &TrainerSettings::default());
        }
        for init in Init::ALL {
            assert_round_trip(
                &Network::new(3).dense(2, Activation::Tanh).init(*init, *init),
                &TrainerSettings::default(),
            );
        }
        let network = Network::new(3).dense(4, Activation::Sine { frequency: 1.0 / 3.0 }).dropout(0.1).batch_norm();
        let network = network.dense(4, Activation::Tanh).layer_norm().dense(2, Activation::Identity);
        for loss in Loss::ALL.iter().copied().chain([Loss::Custom(&ABSOLUTE)]) {
            let activation = loss.required_output_activation().unwrap_or(Activation::Identity);
            let network = Network::new(3).dense(2, activation);
            assert_round_trip(&network, &TrainerSettings { loss, ..TrainerSettings::default() });
        }
        for optimizer in Optimizer::ALL {
            assert_round_trip(&network, &TrainerSettings { optimizer: *optimizer, ..TrainerSettings::default() });
        }
        for rule in UpdateRule::ALL {
            let optimizer = Optimizer::new(*rule, 0.1 + 0.2).clip_norm(0.7);
            assert_round_trip(
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
            assert_round_trip(&network, &TrainerSettings { schedule, ..TrainerSettings::default() });
        }
    }

    #[test]
    fn missing_custom_function_returns_an_error_with_its_name() {
        let network = Network::new(3).dense(2, Activation::Custom(&SQUARE));
        let error = NetworkRecord::from_network(&network).to_network(&CustomFunctions::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "custom functions: expected the custom activation square, which the file uses, got none; pass it to \
             load_with_custom"
        );
    }
}
