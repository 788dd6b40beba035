//! What training changes: kept and given back, and told in the order that all devices know.

use crate::engine::{cpu::engine::Engine, state::Memory};

impl Engine {
    /// Keeps the parameters and the optimizer's state of now.
    pub(crate) fn keep(&mut self) {
        let [parameters, state, statistics, gradients] = self.kept.get_or_insert_default();
        parameters.clone_from(&self.parameters);
        state.clone_from(&self.state);
        statistics.clone_from(&self.lanes[0].statistics);
        // Those that are being accumulated belong to them.
        gradients.clone_from(&self.gradients);
    }

    /// Goes back to what was kept last, if anything was.
    pub(crate) fn restore(&mut self) {
        if let Some([parameters, state, statistics, gradients]) = &self.kept {
            self.parameters.copy_from_slice(parameters);
            self.state.copy_from_slice(state);
            self.lanes[0].statistics.copy_from_slice(statistics);
            self.gradients.copy_from_slice(gradients);
        }
    }

    /// All that training has changed so far.
    pub(crate) fn memory(&self) -> Memory {
        self.unpacked([&self.parameters, &self.state, self.statistics(), &self.gradients])
    }

    /// All of it as it was kept last.
    pub(crate) fn kept_memory(&self) -> Option<Memory> {
        self.kept.as_ref().map(|kept| self.unpacked(kept.each_ref().map(Vec::as_slice)))
    }

    fn unpacked(&self, [parameters, state, statistics, gradients]: [&[f32]; 4]) -> Memory {
        let plane = |plane| {
            let mut flat = vec![0.0; parameters.len()];
            let places = self.shape.plane(plane, flat.len());
            places.into_iter().for_each(|(place, there)| flat[place].copy_from_slice(&state[there]));
            flat
        };
        Memory {
            parameters: parameters.to_vec(),
            statistics: statistics.to_vec(),
            planes: (0..self.shape.planes()).map(plane).collect(),
            gradients: (self.accumulate > 1).then(|| gradients.to_vec()),
        }
    }

    /// Puts all that training changes where it was.
    pub(crate) fn set_memory(&mut self, memory: &Memory) {
        self.parameters.copy_from_slice(&memory.parameters);
        self.lanes[0].statistics.copy_from_slice(&memory.statistics);
        for (number, plane) in memory.planes.iter().enumerate() {
            for (place, there) in self.shape.plane(number, plane.len()) {
                self.state[there].copy_from_slice(&plane[place]);
            }
        }
        memory.gradients.iter().for_each(|gradients| self.gradients.copy_from_slice(gradients));
    }
}
