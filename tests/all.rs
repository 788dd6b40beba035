//! The integration tests: one program, so that the library is linked only once.
//!
//! `cargo test --test all trainer::` runs the tests of one file.

mod common;
/// The parser and the replay of `--example replay`. Its unit tests run in this program too.
#[path = "../examples/common/trace.rs"]
mod trace;

mod atomic_saves;
mod csv_dialects;
mod custom_functions;
mod data;
mod devices;
mod endurance;
mod ensemble;
mod errors;
mod estimators;
mod examples;
mod exports;
mod feature_scaling;
mod guide;
mod malformed_files;
mod model_files;
mod multilabel;
mod out_of_memory;
mod plans;
mod plot;
mod population;
mod population_metrics;
mod random_cases;
mod recording;
mod sample_weights_and_noise;
mod schedules;
mod search;
mod self_test;
mod settings;
mod sine_networks;
mod streaming;
mod traces;
mod train_example;
mod trainer;
mod training_loop;
mod worked_examples;
