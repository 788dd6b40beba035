//! The GPU engine: every step runs in WGSL compute shaders.

/// The text of a shader in `shaders/`.
macro_rules! shader {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path, ".wgsl"))
    };
}

pub(crate) mod data;
pub(crate) mod device;
pub(crate) mod kernels;
pub(crate) mod layout;
pub(crate) mod plan;
pub(crate) mod run;
#[cfg(test)]
pub(crate) mod tests;
