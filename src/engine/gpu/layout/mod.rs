//! Where everything lies in the arenas of a device.

pub(crate) mod arenas;
pub(crate) mod buffers;
pub(crate) mod chunk;
pub(crate) mod matmul;
