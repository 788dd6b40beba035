//! Data sets on the device: resident, in parts, or streamed.

pub(crate) mod dataset;
pub(crate) mod stream;
