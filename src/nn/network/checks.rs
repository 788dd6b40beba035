//! Checks of a network, and of the inputs and parameters that a caller passes for it.

use crate::{
    error::{Error, Result, check_finite, check_len},
    nn::{
        activation::Activation,
        dense::Dense,
        network::Network,
        parameters::LayerParameters,
        tensors::{TensorKind, TensorSpec},
    },
};

/// The maximum number of layers of a network.
const MAX_LAYERS: usize = 256;
/// The maximum number of inputs of a network and of neurons in a layer.
const MAX_WIDTH: usize = 1 << 20;

impl Network {
    /// Returns an error if the network cannot be trained.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the number of layers or the width of a layer is out of range, if an activation, a
    /// dropout probability or an initializer is invalid, or if a layer does not allow its activation, its normalization
    /// or its dropout.
    /// [`Error::CustomFunction`] if the derivative of a custom activation is wrong.
    pub(crate) fn check(&self) -> Result<()> {
        let (output_layer, hidden_layers) = match self.layers.split_last() {
            Some(layers) if self.layers.len() <= MAX_LAYERS => layers,
            _ => return invalid("number of layers", &format!("1 to {MAX_LAYERS}"), self.layers.len().to_string()),
        };
        for width in std::iter::once(self.inputs).chain(self.layers.iter().map(|layer| layer.outputs)) {
            if width == 0 || width > MAX_WIDTH {
                return invalid("width of a layer", &format!("1 to {MAX_WIDTH}"), width.to_string());
            }
        }
        for layer in &self.layers {
            layer.activation.check()?;
        }
        self.check_dropout(hidden_layers, output_layer)?;
        self.check_normalization(output_layer)?;
        check_activations(hidden_layers, output_layer)?;
        for init in self.layers.iter().flat_map(|layer| [layer.weight_init, layer.bias_init]) {
            let std = init.std(1, 1);
            if !(std as f32).is_finite() || std < 0.0 {
                return invalid("initializer", "a finite standard deviation >= 0", format!("{init:?}"));
            }
        }
        Ok(())
    }

    /// Checks that only hidden layers use dropout, with valid probabilities.
    fn check_dropout(&self, hidden_layers: &[Dense], output_layer: &Dense) -> Result<()> {
        for layer in hidden_layers {
            if !(0.0..1.0).contains(&layer.dropout) {
                return invalid("dropout", "a probability in [0, 1)", layer.dropout.to_string());
            }
        }
        for dropout in [self.input_dropout, output_layer.dropout] {
            if dropout != 0.0 {
                let got = format!("{dropout}; call Network::dropout after a hidden layer");
                return invalid("dropout", "0 for the inputs and the output layer", got);
            }
        }
        Ok(())
    }

    /// Checks that only hidden layers have a normalization.
    fn check_normalization(&self, output_layer: &Dense) -> Result<()> {
        if self.input_normalization {
            let got = "the inputs; call layer_norm or batch_norm after a hidden layer".to_owned();
            return invalid("normalization", "a hidden layer", got);
        }
        if output_layer.normalization.is_some() {
            let got = "the output layer; call layer_norm or batch_norm after a hidden layer".to_owned();
            return invalid("normalization", "a hidden layer", got);
        }
        Ok(())
    }

    /// Returns the number of rows of the inputs.
    ///
    /// # Errors
    /// [`Error::Shape`] if the inputs are empty, or if the last row is incomplete.
    /// [`Error::NonFinite`] if a value is NaN or infinite.
    pub(crate) fn check_inputs(&self, inputs: &[f32]) -> Result<usize> {
        let rows = inputs.len() / self.inputs;
        check_len("inputs", rows.max(1) * self.inputs, inputs.len())?;
        check_finite("inputs", self.inputs, inputs)?;
        Ok(rows)
    }

    /// Returns an error if the parameters do not fit the network.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of layers, or the number of values of a tensor, is wrong.
    /// [`Error::NonFinite`] if a value is NaN or infinite.
    /// [`Error::InvalidSetting`] if a running variance is negative.
    pub(crate) fn check_parameters(&self, layers: &[LayerParameters]) -> Result<()> {
        check_len("layers of parameters", self.layers.len(), layers.len())?;
        for (i, (dense, parameters)) in self.layers.iter().zip(layers).enumerate() {
            let tensors = dense.tensors();
            for kind in TensorKind::ALL {
                let len = tensors.iter().find(|tensor| tensor.kind == kind).map_or(0, TensorSpec::len);
                check_len(&format!("{} of layer {i}", kind.plural()), len, parameters.tensor(kind).len())?;
            }
            for tensor in &tensors {
                let columns = if tensor.kind.is_weight() { tensor.rows } else { tensor.columns };
                check_finite(tensor.kind.plural(), columns, parameters.tensor(tensor.kind))?;
            }
            for variance in &parameters.running_var {
                if *variance < 0.0 {
                    return invalid("running variance", "a number >= 0", format!("{variance} in layer {i}"));
                }
            }
        }
        Ok(())
    }
}

/// Checks that each activation is allowed in its layer.
fn check_activations(hidden_layers: &[Dense], output_layer: &Dense) -> Result<()> {
    for layer in hidden_layers {
        if layer.activation == Activation::Softmax {
            return invalid("softmax", "the output layer", "a hidden layer".to_owned());
        }
    }
    if output_layer.activation.has_parameters() {
        let got = output_layer.activation.to_string();
        return invalid("activation of the output layer", "an activation without trained parameters", got);
    }
    for layer in hidden_layers.iter().filter(|layer| layer.activation.has_parameters()) {
        let expected = "a layer without normalization and dropout";
        if layer.normalization.is_some() {
            return invalid("prelu", expected, "a layer with normalization".to_owned());
        }
        if layer.dropout > 0.0 {
            return invalid("prelu", expected, format!("a layer with dropout {}", layer.dropout));
        }
    }
    Ok(())
}

/// Returns [`Error::InvalidSetting`].
fn invalid(name: &'static str, expected: &str, got: String) -> Result<()> {
    Err(Error::InvalidSetting { name, expected: expected.to_owned(), got })
}
