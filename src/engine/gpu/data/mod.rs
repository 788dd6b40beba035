//! Data sets on the device: uploaded once, in one or several shards, or streamed.

pub(crate) mod dataset;
pub(crate) mod stream;
