//! A device without memory left. Both software drivers take theirs from the process, so a child process has little.
#![cfg(target_os = "linux")]

mod common;

use std::{
    env, fs,
    process::{Command, id},
};

use common::{adapters, bits, numbers, open, run, xor};
use gradus::{Activation, Dataset, Device, Error, Loss, Network, Settings, Trainer};

/// What tells a process started by this test which adapter it is to be without memory on.
const ADAPTER: &str = "GRADUS_TEST_MEMORY_OF";

/// Lets this process have so many MiB more than it has.
fn leave(mebibytes: u64) {
    let status = fs::read_to_string("/proc/self/status").expect("the system tells");
    let line = status.lines().find(|line| line.starts_with("VmSize:")).expect("the size of all that is mapped");
    let kibibytes: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    let limit = (kibibytes << 10) + (mebibytes << 20);
    let set = Command::new("prlimit").args(["--pid", &id().to_string(), &format!("--as={limit}:")]).status();
    assert!(set.expect("prlimit is part of every Linux").success());
}

fn small(device: &Device) -> Vec<u32> {
    let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid);
    let mut trainer = Trainer::new(device, &network, &xor(), Settings::default()).expect("it is small");
    trainer.run(20).expect("steps");
    bits(&trainer.parameters().expect("parameters"))
}

/// Of 1024 bytes each.
const ROWS: usize = 1 << 19;

fn fitted(device: &Device, data: &Dataset) -> (bool, Vec<u32>) {
    let network = Network::new(1024).dense(4, Activation::Sigmoid);
    let settings = Settings { batch: 64, loss: Loss::Mse, ..Settings::default() };
    let mut trainer = Trainer::new(device, &network, data, settings).expect("streamed, if it must be");
    trainer.run(12).expect("steps");
    let streams = trainer.plan().rows().iter().any(|row| row.kernel == "stream");
    (streams, bits(&trainer.parameters().expect("parameters")))
}

/// What a child does: with memory and then without.
fn with_little(device: &Device) {
    let data = Dataset::new(ROWS, vec![7; ROWS * 1024], numbers(ROWS * 4, 3)).expect("half a GiB");
    let before = (small(device), fitted(device, &data));
    assert!(!before.1.0, "it was to be held by the device");

    leave(256);
    let (streams, same) = fitted(device, &data);
    assert!(streams && same == before.1.1, "streamed: {streams}");
    let wide = Network::new(64).dense(64, Activation::Sigmoid);
    let trainer = || Trainer::by_hand(device, &wide, Settings { batch: 100_000, ..Settings::default() });
    let held: Result<Vec<_>, _> = (0..64).map(|_| trainer()).collect();
    match held {
        Err(Error::OutOfMemory { what }) => println!("refused: {what}"),
        other => panic!("{:?}", other.err()),
    }
    assert!(small(device) == before.0, "the device goes on");
}

#[test]
fn what_finds_no_memory_is_an_error_or_streamed_and_the_device_goes_on() {
    let wanted = env::var(ADAPTER).ok();
    for adapter in adapters() {
        match &wanted {
            Some(name) if *name == adapter.info.name => return with_little(&open(&adapter, None)),
            None if adapter.is_software => {
                let mut child = Command::new(env::current_exe().expect("a file"));
                let test = "what_finds_no_memory_is_an_error_or_streamed_and_the_device_goes_on";
                child.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ADAPTER, &adapter.info.name);
                run(&mut child).expect(0, &["refused: "]);
            }
            _ => {}
        }
    }
}
