//! What only shows after long: memory that grows, files larger than the memory, many trainers at once. Small here;
//! `.ci/endurance` runs it at full size.
#![cfg(all(feature = "npy", target_os = "linux"))]

use std::{
    env, fs,
    io::{BufWriter, Write},
    thread,
};

use crate::common::{Folder, LIMIT, again, bits, devices, is_alone, kib, numbers, run_within, xor};
use gradus::{
    Activation, Dataset, Device, Features, Loss, Network, Optimizer, Trainer, TrainerSettings, data::formats::Npy,
};

/// A number of the environment.
fn size(name: &str, small: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(small)
}

#[test]
fn a_million_steps_take_no_more_memory_than_the_first() {
    let steps = size("GRADUS_TEST_STEPS", 30_000);
    if !is_alone() {
        let mut child = again("endurance::a_million_steps_take_no_more_memory_than_the_first");
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
        let taken: Vec<u64> = (0..10)
            .map(|_| {
                trainer.run(part).expect("steps");
                kib("VmRSS")
            })
            .collect();
        let grown = taken[9].saturating_sub(taken[1]);
        println!("{device}: {} steps, {} KiB after two tenths, {grown} KiB more at the end", 10 * part, taken[1]);
        assert!(grown <= 2048, "{device}: KiB after each tenth: {taken:?}");
    }
}

#[test]
fn many_trainers_share_a_device() {
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
        let alone: Vec<_> = (0..8).map(train).collect();
        for round in 0..rounds {
            let train = &train;
            let together: Vec<_> = thread::scope(|scope| {
                let all: Vec<_> = (0..8).map(|seed| scope.spawn(move || train(seed))).collect();
                all.into_iter().map(|one| one.join().expect("no panic")).collect()
            });
            assert!(together == alone, "{device}, round {round}: other bits than alone");
        }
    }
}

const COLUMNS: usize = 784;
const FILE: &str = "GRADUS_TEST_LARGE_FILE";

fn data(rows: usize, features: impl Into<Features>) -> Dataset {
    let classes: Vec<u32> = (0..rows as u32).map(|row| row % 10).collect();
    Dataset::new(rows, features, classes).expect("a data set")
}

/// How many KiB more this process takes at some time of a training than before it had the data set.
fn growth(device: &Device, steps: usize, data_set: impl FnOnce() -> Dataset) -> u64 {
    let network = Network::new(COLUMNS).dense(30, Activation::Relu).dense(10, Activation::Identity);
    let settings = TrainerSettings { batch_size: 64, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    let device = device.clone().with_dataset_memory_limit(1 << 20);
    let train = |data: Dataset, steps: usize| {
        let mut trainer = Trainer::new(&device, &network, &data, settings.clone()).expect("a trainer");
        trainer.run(steps.min(trainer.steps_per_epoch())).expect("steps").losses.len()
    };
    // What the compiler takes is taken by now.
    train(data(4096, Features::bytes(vec![7; 4096 * COLUMNS], 1.0 / 255.0)), 10);
    fs::write("/proc/self/clear_refs", "5").expect("the most so far is forgotten");
    let before = kib("VmRSS");
    let taken = train(data_set(), steps);
    let grown = kib("VmHWM").saturating_sub(before);
    println!("{device}: {taken} steps, {grown} KiB more at most");
    grown
}

#[test]
fn a_file_trains_in_less_memory_than_it_has_bytes() {
    let mib = size("GRADUS_TEST_MIB", 144);
    if let Ok(path) = env::var(FILE) {
        let steps = size("GRADUS_TEST_STEPS", 300) as usize;
        for device in devices() {
            let grown = growth(&device, steps, || {
                let rows = Npy::rows_in(&path).expect("rows").with_scale(1.0 / 255.0);
                data(rows.rows(), rows)
            });
            assert!(grown < (mib << 10) / 3, "{device}: {grown} KiB for a file of {mib} MiB");
            assert!(grown < 256 << 10, "{device}: {grown} KiB");
        }
        // One that is read whole would be noticed.
        if mib < 1024 {
            let grown = growth(&Device::cpu(), 1, || {
                let array = Npy::load(&path).expect("an array");
                data(array.rows(), array.into_values())
            });
            assert!(grown > (mib << 10) / 2, "{grown} KiB for a file of {mib} MiB that is read");
        }
        return;
    }
    let block: Vec<u8> = (0..251 * COLUMNS).map(|at| ((at / COLUMNS * 31 + at % COLUMNS * 7) % 251) as u8).collect();
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
    file.into_inner().expect("it is written");
    let mut child = again("endurance::a_file_trains_in_less_memory_than_it_has_bytes");
    child.env(FILE, &path);
    let outcome = run_within(&mut child, LIMIT * (1 + mib / 144) as u32);
    println!("{}", outcome.expect(0, &["1 passed"]).stdout);
}
