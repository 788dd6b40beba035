//! Networks that come into a group, leave it, and are looked at.

use crate::engine::{
    cpu::group::{GroupConfig, LaneGroup},
    state::TrainingState,
    step::StepGenerator,
};

/// A network in a lane.
pub(crate) struct GroupMember {
    /// Its number in the population.
    pub(crate) member: usize,
    pub(crate) generator: StepGenerator,
    /// How many steps it has taken since its optimizer started.
    pub(crate) steps_since_reset: u64,
}

impl LaneGroup {
    /// The networks, lane by lane.
    pub(crate) fn members(&self) -> &[GroupMember] {
        &self.members
    }

    /// Those of one lane.
    pub(crate) fn member_mut(&mut self, lane: usize) -> &mut GroupMember {
        &mut self.members[lane]
    }

    /// Gives a network the next lane.
    pub(crate) fn push(&mut self, kind: &GroupConfig, member: GroupMember, state: &TrainingState) {
        self.members.push(member);
        self.set_training_state(kind, self.members.len() - 1, state);
    }

    /// Takes the last network out.
    pub(crate) fn pop(&mut self, kind: &GroupConfig) -> Option<(GroupMember, TrainingState)> {
        let memory = self.training_state(kind, self.members.len().checked_sub(1)?);
        self.members.pop().map(|seat| (seat, memory))
    }

    /// Puts another network in a lane, and gives the one that was there.
    pub(crate) fn replace(
        &mut self,
        kind: &GroupConfig,
        lane: usize,
        (seat, memory): (GroupMember, TrainingState),
    ) -> (GroupMember, TrainingState) {
        let before = self.training_state(kind, lane);
        self.set_training_state(kind, lane, &memory);
        (std::mem::replace(&mut self.members[lane], seat), before)
    }

    /// All that training has changed of the network in a lane.
    pub(crate) fn training_state(&self, kind: &GroupConfig, lane: usize) -> TrainingState {
        let flat = |values: &[f32], plane: usize, planes: usize| {
            let of = |register: usize| values[(register * planes + plane) * kind.lanes + lane];
            let mut flat = vec![of(kind.layout.flat_offsets.len()); kind.layout.flat_len];
            kind.layout.flat_offsets.iter().enumerate().for_each(|(register, place)| flat[*place] = of(register));
            flat
        };
        TrainingState {
            parameters: flat(&self.parameters, 0, 1),
            statistics: Vec::new(),
            optimizer_state: (0..kind.state_per_parameter())
                .map(|plane| flat(&self.optimizer_state, plane, kind.state_per_parameter()))
                .collect(),
            accumulated_gradients: (kind.generator.gradient_accumulation > 1).then(|| flat(&self.gradients, 0, 1)),
        }
    }

    /// Puts all that training changes of the network in a lane where it was.
    pub(crate) fn set_training_state(&mut self, kind: &GroupConfig, lane: usize, state: &TrainingState) {
        let (lanes, planes) = (kind.lanes, kind.state_per_parameter());
        // Padding is where no parameter is; if there is none, its register is of no matter.
        let is_padding = |place: &usize| kind.layout.flat_offsets.binary_search(place).is_err();
        let padding = (0..kind.layout.flat_len).find(is_padding).unwrap_or(0);
        for (register, place) in kind.layout.flat_offsets.iter().chain([&padding]).enumerate() {
            self.parameters[register * lanes + lane] = state.parameters[*place];
            for (plane, values) in state.optimizer_state.iter().enumerate() {
                self.optimizer_state[(register * planes + plane) * lanes + lane] = values[*place];
            }
            if let Some(gradients) = &state.accumulated_gradients {
                self.gradients[register * lanes + lane] = gradients[*place];
            }
        }
    }
}
