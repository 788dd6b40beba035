//! The policies that decide after each epoch whether a training run continues, and with which learning rate.

pub(crate) mod divergence;
pub(crate) mod early_stopping;
pub(crate) mod monitor;
pub(crate) mod reduce_on_plateau;

use crate::{
    error::Result,
    train::{
        history::Epoch,
        policies::{
            early_stopping::{EarlyStopping, EarlyStoppingState},
            reduce_on_plateau::{PlateauState, ReduceOnPlateau},
        },
    },
};

/// The policies of a training loop with their state for one network.
#[derive(Debug, Clone, Default)]
pub(crate) struct LoopPolicies {
    early_stopping: Option<EarlyStoppingState>,
    reduce_on_plateau: Option<PlateauState>,
}

/// The decision of all policies after an epoch.
pub(crate) struct EpochDecision {
    /// The index of the best epoch so far. `None` without early stopping.
    pub(crate) best_epoch: Option<usize>,
    /// Whether the epoch is the best so far and the loop must take a snapshot of it.
    pub(crate) takes_snapshot: bool,
    /// Whether early stopping ends the training.
    pub(crate) stops: bool,
    /// Whether the loop must reduce the learning rate.
    pub(crate) reduces_learning_rate: bool,
}

impl LoopPolicies {
    pub(crate) fn new(early_stopping: Option<EarlyStopping>, reduce_on_plateau: Option<ReduceOnPlateau>) -> Self {
        Self {
            early_stopping: early_stopping.map(EarlyStoppingState::new),
            reduce_on_plateau: reduce_on_plateau.map(PlateauState::new),
        }
    }

    /// Observes the last epoch, whose index is `index`, and decides.
    pub(crate) fn observe(&mut self, index: usize, epoch: &Epoch) -> Result<EpochDecision> {
        let mut decision =
            EpochDecision { best_epoch: None, takes_snapshot: false, stops: false, reduces_learning_rate: false };
        if let Some(state) = &mut self.early_stopping {
            let stopping = state.observe(index, epoch)?;
            decision.best_epoch = state.best_epoch();
            decision.takes_snapshot = stopping.is_best && state.restores_best();
            decision.stops = stopping.stops;
        }
        if let Some(state) = &mut self.reduce_on_plateau {
            decision.reduces_learning_rate = state.observe(epoch)?;
        }
        Ok(decision)
    }
}
