//! Helpers without knowledge of networks: files, numbers in files, random numbers, time.

pub(crate) mod blocking;
pub(crate) mod clock;
pub(crate) mod family;
pub(crate) mod files;
pub(crate) mod math;
pub(crate) mod number;
pub(crate) mod rng;
