//! What only shows after long: memory that grows, files larger than the memory, many trainers at once. Small here;
//! `.ci/endurance` runs it at full size.
#![cfg(all(feature = "npy", target_os = "linux"))]

mod common;

use std::{
    env, fs,
    io::{BufWriter, Write},
    path::Path,
    process::Command,
    thread,
};

use common::{bits, devices, numbers, xor};
use gradus::{Activation, Dataset, Device, Loss, Network, Npy, Optimizer, Settings, Trainer};

/// A number of the environment.
fn size(name: &str, small: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(small)
}

/// A number of KiB that the system tells of this process: `VmRSS`, what it takes, or `VmHWM`, the most that it took.
fn kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is told");
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number")
}

#[test]
fn a_million_steps_take_no_more_memory_than_the_first() {
    let steps = size("GRADUS_TEST_STEPS", 30_000);
    for device in devices() {
        let network = Network::new(2).dense(2, Activation::Sigmoid).dense(1, Activation::Sigmoid);
        let settings = Settings { batch: 4, optimizer: Optimizer::sgd(0.5), seed: 1, ..Settings::default() };
        let mut trainer = Trainer::new(&device, &network, &xor(), settings).expect("a trainer");
        let part = (steps / 10) as usize;
        let taken: Vec<u64> = (0..10)
            .map(|_| {
                trainer.run(part).expect("steps");
                kib("VmRSS:")
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
            let settings = Settings { batch: 16, seed, ..Settings::default() };
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

/// Trains on the file, in a process of its own.
fn train_on(path: &Path, device: &Device, steps: usize) {
    let rows = Npy::rows_in(path).expect("rows");
    let count = rows.rows();
    let classes: Vec<u32> = (0..count as u32).map(|row| row % 10).collect();
    let data = Dataset::new(count, rows, classes).expect("a data set");
    let network = Network::new(COLUMNS).dense(30, Activation::Relu).dense(10, Activation::Identity);
    let settings = Settings { batch: 64, loss: Loss::SoftmaxCrossEntropy, ..Settings::default() };
    let device = device.clone().with_resident_limit(16 << 20);
    let mut trainer = Trainer::new(&device, &network, &data, settings).expect("a trainer");
    let report = trainer.run(steps.min(trainer.steps_per_epoch())).expect("steps");
    println!("{device}: {} steps, {} KiB at most so far", report.losses.len(), kib("VmHWM:"));
}

#[test]
fn a_file_trains_in_less_memory_than_it_has_bytes() {
    if let Ok(path) = env::var(FILE) {
        devices().iter().for_each(|device| train_on(Path::new(&path), device, size("GRADUS_TEST_STEPS", 300) as usize));
        println!("PEAK {}", kib("VmHWM:"));
        return;
    }
    let mib = size("GRADUS_TEST_MIB", 48);
    let rows = (mib << 20) as usize / COLUMNS;
    let path = env::temp_dir().join(format!("gradus-endurance-{}.npy", std::process::id()));
    let mut file = BufWriter::new(fs::File::create(&path).expect("a file"));
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({rows}, {COLUMNS}), }}\n");
    file.write_all(b"\x93NUMPY\x01\x00").expect("a header");
    file.write_all(&(header.len() as u16).to_le_bytes()).expect("a header");
    file.write_all(header.as_bytes()).expect("a header");
    for row in 0..rows {
        let values: Vec<u8> = (0..COLUMNS).map(|i| ((row * 31 + i * 7) % 251) as u8).collect();
        file.write_all(&values).expect("rows");
    }
    file.into_inner().expect("it is written");
    let test = env::current_exe().expect("a test has a path");
    let mut child = Command::new(test);
    child.args(["--exact", "a_file_trains_in_less_memory_than_it_has_bytes", "--nocapture"]).env(FILE, &path);
    let output = child.output().expect("a process");
    fs::remove_file(&path).expect("it was made above");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let peak = text.lines().find_map(|line| line.strip_prefix("PEAK ")).and_then(|kib| kib.parse::<u64>().ok());
    let peak = peak.expect("it tells") >> 10;
    println!("{text}\na file of {mib} MiB took {peak} MiB at most");
    assert!(peak < 1024, "a file of {mib} MiB took {peak} MiB");
}
