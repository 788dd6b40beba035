//! The GPU engine: training steps, predictions, evaluations, snapshots, profiles and recorded steps.

pub(crate) mod chunk_dispatches;
#[cfg_attr(target_family = "wasm", allow(dead_code))]
pub(crate) mod engine;
pub(crate) mod engine_layout;
pub(crate) mod evaluate;
pub(crate) mod inference;
pub(crate) mod manual;
pub(crate) mod parameters;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod profile;
pub(crate) mod record;
pub(crate) mod snapshot;
pub(crate) mod state;
pub(crate) mod step_table;
pub(crate) mod test_hooks;
