//! A lane group: its members, and their values in the lanes.

use crate::{
    engine::{
        cpu::{
            engine::BatchMetrics,
            group::{
                aligned::AlignedFloats,
                coefficients::LaneCoefficients,
                config::{GroupConfig, LANES},
                member::{DetachedMember, GroupMember},
                sampling::SampledSteps,
            },
        },
        state::TrainingState,
    },
    optim::optimizer::Optimizer,
};

/// A group of at most as many members as a vector register has lanes.
///
/// Every vector of parameter length has one register per parameter, in the order of
/// [`PackedLayout`](crate::engine::cpu::group::config::PackedLayout).
pub(crate) struct LaneGroup {
    pub(crate) members: Vec<GroupMember>,
    pub(crate) parameters: AlignedFloats,
    /// The gradients of the last batch.
    pub(crate) gradient_sums: AlignedFloats,
    /// The stored gradients, if [`GroupConfig::stores_gradients`].
    pub(crate) gradients: AlignedFloats,
    /// The optimizer state. All state values of a parameter are adjacent.
    pub(crate) optimizer_state: AlignedFloats,
    /// The values of the rows of a batch.
    pub(crate) registers: AlignedFloats,
    /// A buffer for the features of one row, or for its outputs and targets.
    pub(crate) row_buffer: Vec<f32>,
    pub(crate) sampled: SampledSteps,
    pub(crate) coefficients: LaneCoefficients,
    /// Whether the coefficients are the same in every step.
    pub(crate) is_constant: bool,
    /// The optimizer of one of the members, one with penalties if there is any. It also fits members without penalties,
    /// because their penalty coefficients are 0.
    pub(crate) optimizer: Optimizer,
    /// The metrics of the sampled steps, with one entry per lane.
    pub(crate) step_metrics: Vec<[BatchMetrics; LANES]>,
}

impl LaneGroup {
    /// Creates a group without members.
    pub(crate) fn new(config: &GroupConfig) -> Self {
        let floats = config.parameter_registers() * config.lanes;
        let gradient_floats = if config.stores_gradients() { floats } else { 0 };
        let register_floats = config.small_network.registers_per_group * config.generator.batch_size * config.lanes;
        Self {
            members: Vec::with_capacity(config.lanes),
            parameters: AlignedFloats::new(floats),
            gradient_sums: AlignedFloats::new(floats),
            gradients: AlignedFloats::new(gradient_floats),
            optimizer_state: AlignedFloats::new(floats * config.state_per_parameter()),
            registers: AlignedFloats::new(register_floats),
            row_buffer: vec![0.0; config.small_network.inputs.max(2 * config.small_network.outputs)],
            sampled: SampledSteps::new(&config.generator),
            coefficients: LaneCoefficients::default(),
            is_constant: false,
            optimizer: config.generator.optimizer,
            step_metrics: Vec::new(),
        }
    }

    /// Returns the members, one per lane.
    pub(crate) fn members(&self) -> &[GroupMember] {
        &self.members
    }

    /// Returns the member in a lane.
    pub(crate) fn member_mut(&mut self, lane: usize) -> &mut GroupMember {
        &mut self.members[lane]
    }

    /// Adds a member in the next lane.
    pub(crate) fn push(&mut self, config: &GroupConfig, member: GroupMember, state: &TrainingState) {
        self.members.push(member);
        self.set_training_state(config, self.members.len() - 1, state);
    }

    /// Removes the member in the last lane, and returns it.
    pub(crate) fn pop(&mut self, config: &GroupConfig) -> Option<DetachedMember> {
        let state = self.training_state(config, self.members.len().checked_sub(1)?);
        self.members.pop().map(|member| DetachedMember { member, state })
    }

    /// Replaces the member in a lane, and returns the previous one.
    pub(crate) fn replace(&mut self, config: &GroupConfig, lane: usize, new: DetachedMember) -> DetachedMember {
        let previous_state = self.training_state(config, lane);
        self.set_training_state(config, lane, &new.state);
        let previous_member = std::mem::replace(&mut self.members[lane], new.member);
        DetachedMember { member: previous_member, state: previous_state }
    }

    /// Returns the training state of the member in a lane.
    pub(crate) fn training_state(&self, config: &GroupConfig, lane: usize) -> TrainingState {
        let layout = &config.layout;
        // Each register holds `vectors` values per lane; this reads the value `vector` of every register.
        let to_flat = |values: &[f32], vector: usize, vectors: usize| {
            let value = |register: usize| values[(register * vectors + vector) * config.lanes + lane];
            // Fill with the padding, which is the last register.
            let mut flat = vec![value(layout.flat_offsets.len()); layout.flat_len];
            for (register, offset) in layout.flat_offsets.iter().enumerate() {
                flat[*offset] = value(register);
            }
            flat
        };
        let state_vectors = config.state_per_parameter();
        TrainingState {
            parameters: to_flat(&self.parameters, 0, 1),
            statistics: Vec::new(),
            optimizer_state: (0..state_vectors)
                .map(|vector| to_flat(&self.optimizer_state, vector, state_vectors))
                .collect(),
            accumulated_gradients: (config.generator.gradient_accumulation > 1).then(|| to_flat(&self.gradients, 0, 1)),
        }
    }

    /// Sets the training state of the member in a lane.
    pub(crate) fn set_training_state(&mut self, config: &GroupConfig, lane: usize, state: &TrainingState) {
        let (lanes, state_vectors) = (config.lanes, config.state_per_parameter());
        // An offset without a parameter is padding. Without padding, the last register has no effect.
        let is_padding = |offset: &usize| config.layout.flat_offsets.binary_search(offset).is_err();
        let padding = (0..config.layout.flat_len).find(is_padding).unwrap_or(0);
        for (register, offset) in config.layout.flat_offsets.iter().chain([&padding]).enumerate() {
            self.parameters[register * lanes + lane] = state.parameters[*offset];
            for (vector, values) in state.optimizer_state.iter().enumerate() {
                self.optimizer_state[(register * state_vectors + vector) * lanes + lane] = values[*offset];
            }
            if let Some(gradients) = &state.accumulated_gradients {
                self.gradients[register * lanes + lane] = gradients[*offset];
            }
        }
    }
}
