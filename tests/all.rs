//! All tests of what users reach, as one program, since each of its own would take the library apart and link it once more.
//! `cargo test --test all rows::` passes those of one file.

mod common;
/// The reader and player of `--example replay`; its own tests run here as well.
#[path = "../examples/common/trace.rs"]
mod trace;

mod custom;
mod data;
mod devices;
mod endurance;
mod ensemble;
mod errors;
mod estimators;
mod examples;
mod exports;
mod files;
mod fit;
mod foreign_tables;
mod frame;
mod guide;
mod hostile;
mod labels;
mod memory;
mod pictures;
mod plans;
mod population;
mod random;
mod rows;
mod saves;
mod scaling;
mod schedules;
mod scores;
mod search;
mod selftest;
mod settings;
mod sines;
mod streams;
mod traces;
mod train;
mod training;
mod worked;
