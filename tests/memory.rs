//! A device without memory left. Both software drivers take theirs from the process, so a child process has little.
#![cfg(target_os = "linux")]

use std::env;

use crate::common::{adapters, again, bits, leave, numbers, open, run, xor};
use gradus::{Activation, Dataset, Device, Error, Features, Loss, Network, Trainer, TrainerSettings};

/// What tells a process started by this test which adapter it is to be without memory on.
const ADAPTER: &str = "GRADUS_TEST_MEMORY_OF";

fn small(device: &Device) -> Vec<u32> {
    let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid);
    let mut trainer = Trainer::new(device, &network, &xor(), TrainerSettings::default()).expect("it is small");
    trainer.run(20).expect("steps");
    bits(&trainer.parameters().expect("parameters"))
}

/// Of 1024 bytes each.
const ROWS: usize = 1 << 19;

fn half_a_gib() -> Dataset {
    Dataset::new(ROWS, Features::bytes(vec![7; ROWS * 1024], 1.0 / 255.0), numbers(ROWS * 4, 3)).expect("a data set")
}

/// Whether it was streamed, and what came of it.
fn fitted(device: &Device, data: &Dataset) -> (bool, Vec<u32>) {
    let network = Network::new(1024).dense(4, Activation::Sigmoid);
    let settings = TrainerSettings { batch_size: 64, loss: Loss::Mse, ..TrainerSettings::default() };
    let mut trainer = Trainer::new(device, &network, data, settings).expect("streamed, if it must be");
    trainer.run(12).expect("steps");
    let streams = trainer.plan().dispatches().iter().any(|row| row.kernel == "stream");
    (streams, bits(&trainer.parameters().expect("parameters")))
}

/// What a child does: with memory and then without.
fn with_little(device: &Device) {
    let data = half_a_gib();
    let before = (small(device), fitted(device, &data));
    assert!(!before.1.0, "it was to be held by the device");

    leave(256);
    let (streams, same) = fitted(device, &data);
    assert!(streams && same == before.1.1, "streamed: {streams}");
    let wide = Network::new(64).dense(64, Activation::Sigmoid);
    let trainer = || {
        Trainer::without_dataset(device, &wide, TrainerSettings { batch_size: 100_000, ..TrainerSettings::default() })
    };
    let held: Result<Vec<_>, _> = (0..64).map(|_| trainer()).collect();
    match held {
        Err(Error::OutOfMemory { context: what }) => println!("refused: {what}"),
        other => panic!("{:?}", other.err()),
    }
    assert!(small(device) == before.0, "the device goes on");
}

/// What a child does: with memory for the data set on the device, and for less than half of another copy.
fn with_enough(device: &Device) {
    let data = half_a_gib();
    small(device);
    leave(512 + 192);
    let (streams, first) = fitted(device, &data);
    assert!(!streams, "there was room for it");
    leave(4096);
    assert!(fitted(device, &data) == (false, first));
}

/// Does what a child does in one for each software adapter, in which the test starts again.
fn in_children(test: &str, told: &[&str], work: fn(&Device)) {
    let wanted = env::var(ADAPTER).ok();
    for adapter in adapters() {
        match &wanted {
            Some(name) if *name == adapter.info.name => return work(&open(&adapter, None)),
            None if adapter.is_software => {
                run(again(test).env(ADAPTER, &adapter.info.name)).expect(0, told);
            }
            _ => {}
        }
    }
}

#[test]
fn what_finds_no_memory_is_an_error_or_streamed_and_the_device_goes_on() {
    let test = "memory::what_finds_no_memory_is_an_error_or_streamed_and_the_device_goes_on";
    in_children(test, &["refused: "], with_little);
}

#[test]
fn a_data_set_is_uploaded_where_there_is_no_room_for_a_second_copy() {
    in_children("memory::a_data_set_is_uploaded_where_there_is_no_room_for_a_second_copy", &["1 passed"], with_enough);
}
