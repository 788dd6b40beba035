//! Scaling of features, column by column: a scaler is fitted once, and the device applies it to every row.

pub(crate) mod fit;
pub(crate) mod resolution;
pub(crate) mod scaler;
