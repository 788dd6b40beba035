//! The members of a lane group.

use crate::engine::{state::TrainingState, step::StepGenerator};

/// A member of a population that trains in a lane.
pub(crate) struct GroupMember {
    /// The index of the member in the population.
    pub(crate) member: usize,
    pub(crate) generator: StepGenerator,
    /// The number of steps since the optimizer was reset.
    pub(crate) steps_since_reset: u64,
}

/// A member without a lane, with its training state.
pub(crate) struct DetachedMember {
    pub(crate) member: GroupMember,
    pub(crate) state: TrainingState,
}
