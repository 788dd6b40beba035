//! Helpers that do not depend on networks: files, JSON numbers, random numbers, vectorized math and time.

pub(crate) mod blocking;
pub(crate) mod clock;
pub(crate) mod family;
pub(crate) mod files;
pub(crate) mod math;
pub(crate) mod number;
pub(crate) mod rng;
