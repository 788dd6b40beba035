//! Snapshots of the training state, and its conversion to the layout that is the same on every device.

use crate::engine::{
    cpu::{
        batch::StateRange,
        engine::{Engine, EngineSnapshot},
    },
    state::TrainingState,
};

impl Engine {
    /// Takes a snapshot of the training state. It replaces the previous snapshot.
    pub(crate) fn take_snapshot(&mut self) {
        let EngineSnapshot { parameters, optimizer_state, statistics, gradients } =
            self.snapshot.get_or_insert_default();
        parameters.clone_from(&self.parameters);
        optimizer_state.clone_from(&self.optimizer_state);
        statistics.clone_from(&self.thread_results[0].statistics);
        // Accumulated gradients are part of the training state.
        gradients.clone_from(&self.gradients);
    }

    /// Restores the snapshot if there is one.
    pub(crate) fn restore(&mut self) {
        if let Some(EngineSnapshot { parameters, optimizer_state, statistics, gradients }) = &self.snapshot {
            self.parameters.copy_from_slice(parameters);
            self.optimizer_state.copy_from_slice(optimizer_state);
            self.thread_results[0].statistics.copy_from_slice(statistics);
            self.gradients.copy_from_slice(gradients);
        }
    }

    /// Returns the training state.
    pub(crate) fn training_state(&self) -> TrainingState {
        self.to_training_state(&self.parameters, &self.optimizer_state, self.statistics(), &self.gradients)
    }

    /// Returns the training state of the snapshot if there is one.
    pub(crate) fn snapshot_state(&self) -> Option<TrainingState> {
        let EngineSnapshot { parameters, optimizer_state, statistics, gradients } = self.snapshot.as_ref()?;
        Some(self.to_training_state(parameters, optimizer_state, statistics, gradients))
    }

    /// Converts values from the layout of the engine.
    fn to_training_state(
        &self,
        parameters: &[f32],
        optimizer_state: &[f32],
        statistics: &[f32],
        gradients: &[f32],
    ) -> TrainingState {
        let state_vector = |index| {
            let mut flat = vec![0.0; parameters.len()];
            for StateRange { parameters, state } in self.layout.state_ranges(index, flat.len()) {
                flat[parameters].copy_from_slice(&optimizer_state[state]);
            }
            flat
        };
        TrainingState {
            parameters: parameters.to_vec(),
            statistics: statistics.to_vec(),
            optimizer_state: (0..self.layout.state_per_parameter()).map(state_vector).collect(),
            accumulated_gradients: (self.gradient_accumulation > 1).then(|| gradients.to_vec()),
        }
    }

    /// Sets the training state.
    pub(crate) fn set_training_state(&mut self, state: &TrainingState) {
        self.parameters.copy_from_slice(&state.parameters);
        self.thread_results[0].statistics.copy_from_slice(&state.statistics);
        for (index, state_vector) in state.optimizer_state.iter().enumerate() {
            for StateRange { parameters, state } in self.layout.state_ranges(index, state_vector.len()) {
                self.optimizer_state[state].copy_from_slice(&state_vector[parameters]);
            }
        }
        if let Some(gradients) = &state.accumulated_gradients {
            self.gradients.copy_from_slice(gradients);
        }
    }
}
