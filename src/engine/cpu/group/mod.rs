//! Lane groups: small networks that train together, each in one SIMD lane of the vector registers.
//!
//! Every lane of a register holds the same value of another network, so even a network with two neurons and four rows
//! leaves no lane empty. The steps of a group stay in the cache, and the host prepares a step once for all members.
//!
//! Each member gets the same bits as in [`crate::engine::cpu::small_network`]: the operations on its values have the
//! same order, and gradients are summed over the rows in the order in which the lanes of a register are summed there.
//! The columns are the same too, but each column has a register per row of the batch:
//!
//! ```text
//! column 1, row 1 | column 1, row 2 | ... | column 2, row 1 | ...
//! ```

pub(crate) mod aligned;
pub(crate) mod coefficients;
pub(crate) mod config;
pub(crate) mod lane_group;
pub(crate) mod member;
pub(crate) mod run;
pub(crate) mod sampling;
pub(crate) mod step;
#[cfg(test)]
mod tests;
pub(crate) mod update;
