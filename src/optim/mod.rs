//! Optimizers and learning rate schedules.

pub(crate) mod bounds;
pub(crate) mod coefficients;
pub(crate) mod optimizer;
pub(crate) mod schedule;
pub(crate) mod update_rule;
pub use optimizer::Optimizer;
pub use schedule::Schedule;
pub use update_rule::UpdateRule;
