//! The choice of an execution plan for a network and a device.

#[cfg_attr(target_family = "wasm", allow(dead_code))]
pub(crate) mod planner;
