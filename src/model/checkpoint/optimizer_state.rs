//! The optimizer state of a checkpoint, and how it is stored in a file.

use crate::{
    error::{Error, Result, check_len},
    model::{
        checkpoint::position::TrainingPosition,
        tensor_names::TensorNames,
        tensors::{Reader, Writer},
    },
    nn::{network::Network, parameters::LayerParameters, tensors::TensorKind},
};

/// The optimizer state. Every vector has the layout of the parameters.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct OptimizerState {
    /// The state vectors, one per quantity of the update rule.
    pub(crate) vectors: Vec<Vec<LayerParameters>>,
    /// The gradients summed since the last update. `None` without gradient accumulation.
    pub(crate) accumulated_gradients: Option<Vec<LayerParameters>>,
}

/// The parameters and the optimizer state at an earlier step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) parameters: Vec<LayerParameters>,
    pub(crate) state: OptimizerState,
    pub(crate) steps_since_reset: u64,
}

impl OptimizerState {
    /// Adds the state to a file. `prefix` starts the name of each tensor.
    pub(crate) fn write<'a>(
        &'a self,
        writer: &mut Writer<'a>,
        prefix: &str,
        network: &Network,
        names: &TensorNames,
    ) -> Result<()> {
        for (index, vector) in self.vectors.iter().enumerate() {
            writer.add_layers(&vector_prefix(prefix, index), network, names, vector)?;
        }
        if let Some(gradients) = &self.accumulated_gradients {
            writer.add_layers(&gradients_prefix(prefix), network, names, gradients)?;
        }
        Ok(())
    }

    /// Reads a state that was written with the same prefix. `position` determines which tensors it has.
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        prefix: &str,
        network: &Network,
        names: &TensorNames,
        position: &TrainingPosition,
    ) -> Result<Self> {
        let mut vectors = Vec::new();
        for index in 0..position.optimizer.state_per_parameter() {
            vectors.push(reader.read_state(&vector_prefix(prefix, index), network, names)?);
        }
        let mut accumulated_gradients = None;
        if position.gradient_accumulation > 1 {
            accumulated_gradients = Some(reader.read_state(&gradients_prefix(prefix), network, names)?);
        }
        Ok(Self { vectors, accumulated_gradients })
    }

    /// Checks that the state fits the parameters of the model and the position. The caller may have changed the model.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of state vectors differs from the optimizer's.
    /// [`Error::InvalidState`] if the state belongs to another network, or to another gradient accumulation.
    pub(crate) fn check(&self, parameters: &[LayerParameters], position: &TrainingPosition) -> Result<()> {
        check_len("optimizer state vectors", position.optimizer.state_per_parameter(), self.vectors.len())?;
        let expected = trained_lengths(parameters);
        if self.vectors.iter().chain(&self.accumulated_gradients).any(|layers| trained_lengths(layers) != expected) {
            let message = "the optimizer state of the checkpoint has tensors of other sizes than its model";
            return Err(Error::InvalidState { message: message.to_owned() });
        }
        let accumulation = position.gradient_accumulation;
        if (accumulation > 1) != self.accumulated_gradients.is_some() {
            let count = if accumulation > 1 { "no" } else { "some" };
            let message = format!(
                "the checkpoint has {count} accumulated gradients, but its gradient_accumulation is {accumulation}"
            );
            return Err(Error::InvalidState { message });
        }
        Ok(())
    }
}

/// Returns the number of values of each tensor of each layer, with 0 for tensors that have no optimizer state.
fn trained_lengths(layers: &[LayerParameters]) -> Vec<[usize; TensorKind::ALL.len()]> {
    let length = |layer: &LayerParameters, kind: TensorKind| {
        if kind.is_trained() { layer.tensor(kind).len() } else { 0 }
    };
    layers.iter().map(|layer| TensorKind::ALL.map(|kind| length(layer, kind))).collect()
}

fn vector_prefix(prefix: &str, index: usize) -> String {
    format!("{prefix}state.{index}.")
}

fn gradients_prefix(prefix: &str) -> String {
    format!("{prefix}gradients.")
}
