//! The reader of IDX files against hostile ones. The examples are no targets of `cargo test`, so their tests run here.

#[path = "../examples/common/idx.rs"]
#[allow(dead_code, reason = "only its own tests run here")]
mod idx;
