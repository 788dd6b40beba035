//! Devices without free memory. Software drivers take memory from the process, so a child process with a memory limit
//! stands for a full device.
#![cfg(target_os = "linux")]

use std::env;

use crate::common::{adapters, bits, child_test, limit_memory, numbers, open, run, xor};
use gradus::{Activation, Dataset, Device, Error, Features, Loss, Network, Trainer, TrainerSettings};

/// The environment variable that names the adapter which a child process uses.
const ADAPTER: &str = "GRADUS_TEST_MEMORY_ADAPTER";

/// Trains a small network and returns its parameters.
fn train_small(device: &Device) -> Vec<u32> {
    let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid);
    let mut trainer = Trainer::new(device, &network, &xor(), TrainerSettings::default()).expect("a small trainer");
    trainer.run(20).expect("steps");
    bits(&trainer.parameters().expect("parameters"))
}

/// The number of rows, of 1024 bytes each.
const ROWS: usize = 1 << 19;

/// Returns a data set of half a GiB.
fn large_data() -> Dataset {
    Dataset::new(ROWS, Features::bytes(vec![7; ROWS * 1024], 1.0 / 255.0), numbers(ROWS * 4, 3)).expect("a data set")
}

/// Trains on `data`. Returns whether the device streamed the data set, and the parameters.
fn train_large(device: &Device, data: &Dataset) -> (bool, Vec<u32>) {
    let network = Network::new(1024).dense(4, Activation::Sigmoid);
    let settings = TrainerSettings { batch_size: 64, loss: Loss::Mse, ..TrainerSettings::default() };
    let mut trainer = Trainer::new(device, &network, data, settings).expect("a trainer");
    trainer.run(12).expect("steps");
    let streams = trainer.plan().dispatches().iter().any(|dispatch| dispatch.kernel == "stream");
    (streams, bits(&trainer.parameters().expect("parameters")))
}

/// Trains with sufficient memory and then with 256 MiB.
fn train_with_little_memory(device: &Device) {
    let data = large_data();
    let small = train_small(device);
    let (streams, parameters) = train_large(device, &data);
    assert!(!streams, "the device streams a data set that fits");

    limit_memory(256);
    let (streams, streamed_parameters) = train_large(device, &data);
    assert!(streams && streamed_parameters == parameters, "streamed: {streams}");
    let wide = Network::new(64).dense(64, Activation::Sigmoid);
    let settings = TrainerSettings { batch_size: 100_000, ..TrainerSettings::default() };
    let trainers: Result<Vec<_>, _> =
        (0..64).map(|_| Trainer::without_dataset(device, &wide, settings.clone())).collect();
    match trainers {
        Err(Error::OutOfMemory { context }) => println!("out of memory: {context}"),
        other => panic!("{:?}", other.err()),
    }
    assert!(train_small(device) == small, "the device does not work after an error");
}

/// Trains with memory for the data set on the device, and for less than half of another copy.
fn train_without_memory_for_a_copy(device: &Device) {
    let data = large_data();
    train_small(device);
    limit_memory(512 + 192);
    let (streams, parameters) = train_large(device, &data);
    assert!(!streams, "the device streams a data set that fits");
    limit_memory(4096);
    assert!(train_large(device, &data) == (false, parameters));
}

/// Calls `work` in one child process per software adapter. The child runs the same test, and the environment names its
/// adapter.
fn in_children(test: &str, expected_output: &str, work: fn(&Device)) {
    let wanted = env::var(ADAPTER).ok();
    for adapter in adapters() {
        match &wanted {
            Some(name) if *name == adapter.info.name => return work(&open(&adapter, None)),
            None if adapter.is_software => {
                run(child_test(test).env(ADAPTER, &adapter.info.name)).expect(0, &[expected_output]);
            }
            _ => {}
        }
    }
}

#[test]
fn without_memory_data_is_streamed_and_trainers_fail() {
    let test = "out_of_memory::without_memory_data_is_streamed_and_trainers_fail";
    in_children(test, "out of memory: ", train_with_little_memory);
}

#[test]
fn an_upload_needs_no_second_copy() {
    in_children("out_of_memory::an_upload_needs_no_second_copy", "1 passed", train_without_memory_for_a_copy);
}
