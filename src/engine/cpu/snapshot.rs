//! What training changes: kept and given back, and told in the order that all devices know.

use crate::engine::{cpu::engine::Engine, state::TrainingState};

impl Engine {
    /// Keeps the parameters and the optimizer's state of now.
    pub(crate) fn take_snapshot(&mut self) {
        let [parameters, state, statistics, gradients] = self.snapshot.get_or_insert_default();
        parameters.clone_from(&self.parameters);
        state.clone_from(&self.optimizer_state);
        statistics.clone_from(&self.thread_results[0].statistics);
        // Those that are being accumulated belong to them.
        gradients.clone_from(&self.gradients);
    }

    /// Goes back to what was kept last, if anything was.
    pub(crate) fn restore(&mut self) {
        if let Some([parameters, state, statistics, gradients]) = &self.snapshot {
            self.parameters.copy_from_slice(parameters);
            self.optimizer_state.copy_from_slice(state);
            self.thread_results[0].statistics.copy_from_slice(statistics);
            self.gradients.copy_from_slice(gradients);
        }
    }

    /// All that training has changed so far.
    pub(crate) fn training_state(&self) -> TrainingState {
        self.unpack([&self.parameters, &self.optimizer_state, self.statistics(), &self.gradients])
    }

    /// All of it as it was kept last.
    pub(crate) fn snapshot_state(&self) -> Option<TrainingState> {
        self.snapshot.as_ref().map(|kept| self.unpack(kept.each_ref().map(Vec::as_slice)))
    }

    fn unpack(&self, [parameters, state, statistics, gradients]: [&[f32]; 4]) -> TrainingState {
        let plane = |plane| {
            let mut flat = vec![0.0; parameters.len()];
            let places = self.layout.state_ranges(plane, flat.len());
            places.into_iter().for_each(|(place, there)| flat[place].copy_from_slice(&state[there]));
            flat
        };
        TrainingState {
            parameters: parameters.to_vec(),
            statistics: statistics.to_vec(),
            optimizer_state: (0..self.layout.state_per_parameter()).map(plane).collect(),
            accumulated_gradients: (self.gradient_accumulation > 1).then(|| gradients.to_vec()),
        }
    }

    /// Puts all that training changes where it was.
    pub(crate) fn set_training_state(&mut self, state: &TrainingState) {
        self.parameters.copy_from_slice(&state.parameters);
        self.thread_results[0].statistics.copy_from_slice(&state.statistics);
        for (number, plane) in state.optimizer_state.iter().enumerate() {
            for (place, there) in self.layout.state_ranges(number, plane.len()) {
                self.optimizer_state[there].copy_from_slice(&plane[place]);
            }
        }
        state.accumulated_gradients.iter().for_each(|gradients| self.gradients.copy_from_slice(gradients));
    }
}
