//! Long runs: growing memory, files larger than the memory, many trainers at once. The tests use small sizes;
//! `.ci/endurance` runs them at full size.
#![cfg(all(feature = "npy", target_os = "linux"))]

use std::{
    env, fs,
    io::{BufWriter, Write},
    thread,
};

use crate::common::{Folder, LIMIT, bits, child_test, devices, is_child_test, numbers, process_kib, run_within, xor};
use gradus::{
    Activation, Dataset, Device, Features, Loss, Network, Optimizer, Trainer, TrainerSettings,
    data::{FileRows, formats::Npy},
};

/// Returns the number in an environment variable, or `default`.
fn size(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn memory_does_not_grow_with_the_number_of_steps() {
    let steps = size("GRADUS_TEST_STEPS", 30_000);
    if !is_child_test() {
        let mut child = child_test("endurance::memory_does_not_grow_with_the_number_of_steps");
        let outcome = run_within(&mut child, LIMIT * (1 + steps / 30_000) as u32);
        println!("{}", outcome.expect(0, &["1 passed"]).stdout);
        return;
    }
    for device in devices() {
        let network = Network::new(2).dense(2, Activation::Sigmoid).dense(1, Activation::Sigmoid);
        let settings =
            TrainerSettings { batch_size: 4, optimizer: Optimizer::sgd(0.5), seed: 1, ..TrainerSettings::default() };
        let mut trainer = Trainer::new(&device, &network, &xor(), settings).expect("a trainer");
        let part = (steps / 10) as usize;
        let memory_kib: Vec<u64> = (0..10)
            .map(|_| {
                trainer.run(part).expect("steps");
                process_kib("VmRSS")
            })
            .collect();
        let growth = memory_kib[9].saturating_sub(memory_kib[1]);
        println!("{device}: {} steps, {} KiB after two tenths, {growth} KiB more at the end", 10 * part, memory_kib[1]);
        assert!(growth <= 2048, "{device}: KiB after each tenth: {memory_kib:?}");
    }
}

#[test]
fn trainers_on_eight_threads_compute_the_bits_of_a_single_trainer() {
    let rounds = size("GRADUS_TEST_ROUNDS", 1);
    for device in devices() {
        let train = |seed: u64| {
            let network = Network::new(5).dense(16, Activation::Tanh).dense(3, Activation::Identity);
            let data = Dataset::new(64, numbers(320, 1), numbers(192, 2)).expect("a data set");
            let settings = TrainerSettings { batch_size: 16, seed, ..TrainerSettings::default() };
            let mut trainer = Trainer::new(&device, &network, &data, settings).expect("a trainer");
            trainer.run(200).expect("steps");
            bits(&trainer.parameters().expect("parameters"))
        };
        let sequential: Vec<_> = (0..8).map(train).collect();
        for round in 0..rounds {
            let train = &train;
            let concurrent: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || train(seed))).collect();
                threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            });
            assert!(concurrent == sequential, "{device}, round {round}: other bits than one after another");
        }
    }
}

const COLUMNS: usize = 784;
/// The environment variable with the path of the file that a child process trains on.
const FILE: &str = "GRADUS_TEST_LARGE_FILE";

fn data(rows: usize, features: impl Into<Features>) -> Dataset {
    let classes: Vec<u32> = (0..rows as u32).map(|row| row % 10).collect();
    Dataset::new(rows, features, classes).expect("a data set")
}

/// Trains and returns the maximum memory of this process in KiB, minus its memory before the data set existed.
fn memory_growth(device: &Device, steps: usize, data_set: impl FnOnce() -> Dataset) -> u64 {
    let network = Network::new(COLUMNS).dense(30, Activation::Relu).dense(10, Activation::Identity);
    let settings = TrainerSettings { batch_size: 64, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    let device = device.clone().with_dataset_memory_limit(1 << 20);
    let train = |data: Dataset, steps: usize| {
        let mut trainer = Trainer::new(&device, &network, &data, settings.clone()).expect("a trainer");
        trainer.run(steps.min(trainer.steps_per_epoch())).expect("steps").losses.len()
    };
    // Train once before measuring: the compiler of the driver allocates memory.
    train(data(4096, Features::bytes(vec![7; 4096 * COLUMNS], 1.0 / 255.0)), 10);
    fs::write("/proc/self/clear_refs", "5").expect("VmHWM can be reset");
    let before = process_kib("VmRSS");
    let steps = train(data_set(), steps);
    let growth = process_kib("VmHWM").saturating_sub(before);
    println!("{device}: {steps} steps, at most {growth} KiB more");
    growth
}

#[test]
fn streaming_a_file_needs_less_memory_than_its_size() {
    let mib = size("GRADUS_TEST_MIB", 144);
    if let Ok(path) = env::var(FILE) {
        let steps = size("GRADUS_TEST_STEPS", 300) as usize;
        for device in devices() {
            let growth = memory_growth(&device, steps, || {
                let rows = FileRows::open_npy(&path).expect("rows").with_scale(1.0 / 255.0);
                data(rows.rows(), rows)
            });
            assert!(growth < (mib << 10) / 3, "{device}: {growth} KiB for a file of {mib} MiB");
            assert!(growth < 256 << 10, "{device}: {growth} KiB");
        }
        // Check the method: loading the whole file must show in the measurement.
        if mib < 1024 {
            let growth = memory_growth(&Device::cpu(), 1, || {
                let array = Npy::load(&path).expect("an array");
                data(array.rows(), array.into_values())
            });
            assert!(growth > (mib << 10) / 2, "{growth} KiB for a loaded file of {mib} MiB");
        }
        return;
    }
    let block: Vec<u8> = (0..251 * COLUMNS).map(|i| ((i / COLUMNS * 31 + i % COLUMNS * 7) % 251) as u8).collect();
    let blocks = (mib << 20) as usize / block.len();
    let rows = 251 * blocks;
    let folder = Folder::new();
    let path = folder.join("rows.npy");
    let mut file = BufWriter::new(fs::File::create(&path).expect("a file"));
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({rows}, {COLUMNS}), }}\n");
    file.write_all(b"\x93NUMPY\x01\x00").expect("a header");
    file.write_all(&(header.len() as u16).to_le_bytes()).expect("a header");
    file.write_all(header.as_bytes()).expect("a header");
    (0..blocks).for_each(|_| file.write_all(&block).expect("rows"));
    file.into_inner().expect("a complete file");
    let mut child = child_test("endurance::streaming_a_file_needs_less_memory_than_its_size");
    child.env(FILE, &path);
    let outcome = run_within(&mut child, LIMIT * (1 + mib / 144) as u32);
    println!("{}", outcome.expect(0, &["1 passed"]).stdout);
}
