//! Malformed files and files that are larger than the memory, in processes with little memory and time.
//!
//! Every input of the fuzzers in `tests/fuzz`, seeds and finds, goes through its parser, so that fixed bugs stay fixed.
//! A panic names its input.
#![cfg(all(feature = "csv", feature = "images", feature = "npy"))]

use std::{env, fs, panic, path::Path};

use crate::common::{child_test, limit_memory, run};

#[path = "fuzz/parsers.rs"]
mod parsers;

/// The environment variable with the memory that a child process may allocate, in MiB. If it is set but is no number,
/// as in `.ci/memcheck`, there is no limit.
const MEMORY_LIMIT: &str = "GRADUS_TEST_MIB_LEFT";

/// Runs a test of this file in a child process. `limit` is the value of [`MEMORY_LIMIT`].
fn run_in_child(test: &str, limit: &str) {
    run(child_test(&format!("malformed_files::{test}")).env(MEMORY_LIMIT, limit)).expect(0, &["1 passed"]);
}

#[test]
fn parsers_accept_or_reject_every_fuzzer_input() {
    let Ok(limit) = env::var(MEMORY_LIMIT) else {
        return run_in_child("parsers_accept_or_reject_every_fuzzer_input", "512");
    };
    if cfg!(target_os = "linux")
        && let Ok(mebibytes) = limit.parse()
    {
        limit_memory(mebibytes);
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    for (name, parser) in parsers::PARSERS {
        let inputs = fs::read_dir(corpus.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut count = 0;
        for path in inputs.map(|entry| entry.expect("a file").path()) {
            let input = fs::read(&path).expect("a file");
            if panic::catch_unwind(|| parser(&input)).is_err() {
                panic!("{} makes its parser panic", path.display());
            }
            count += 1;
        }
        assert!(count > 0, "{name} has no inputs");
    }
}

#[cfg(target_os = "linux")]
mod large {
    use std::io::{self, Read, Write};

    use flate2::{Compression, write::GzEncoder};
    use gradus::{
        Activation, Dataset, Error, Model, Network,
        data::{
            FileRows,
            formats::{Idx, Npy},
        },
        model::TensorNames,
        nn::LayerParameters,
    };

    use super::*;
    use crate::common::Folder;

    const WIDE: usize = 1 << 13;

    /// Returns a model of a quarter of a GiB.
    fn model() -> Model {
        let layer = LayerParameters::new(vec![0.5; WIDE * WIDE], vec![0.5; WIDE]);
        Model::new(Network::new(WIDE).dense(WIDE, Activation::Identity), vec![layer]).expect("a model")
    }

    /// Writes half a GiB of labels as a gzip file of half a MiB.
    fn write_labels(path: &Path) {
        let mut file = GzEncoder::new(fs::File::create(path).expect("a file"), Compression::fast());
        file.write_all(&[0, 0, 8, 1, 0x20, 0, 0, 0]).expect("a header");
        io::copy(&mut io::repeat(7).take(1 << 29), &mut file).expect("labels");
        file.finish().expect("a file");
    }

    /// Panics unless `result` is an error about missing memory.
    fn expect_out_of_memory<T>(operation: &str, result: Result<T, Error>) {
        let error = result.err().unwrap_or_else(|| panic!("{operation}: no error"));
        let is_memory_error = matches!(error, Error::OutOfMemory { .. } | Error::Io { .. });
        assert!(is_memory_error && error.to_string().contains("memory"), "{operation}: {error}");
    }

    #[test]
    fn loading_and_saving_without_memory_is_an_error() {
        if env::var(MEMORY_LIMIT).is_err() {
            return run_in_child("large::loading_and_saving_without_memory_is_an_error", "");
        }
        let folder = Folder::new();
        let [file, packed, new] = ["model.safetensors", "labels.gz", "new"].map(|name| folder.0.join(name));
        let (model, array) = (model(), Npy::new([WIDE, WIDE], vec![0.5; WIDE * WIDE]).expect("an array"));
        let names = TensorNames::sequential(&model.network);
        model.save(&file).expect("a file");
        write_labels(&packed);

        // Memory for less than one copy, and for less than two.
        for mebibytes in [128, 384] {
            limit_memory(mebibytes);
            expect_out_of_memory("load", Model::load(&file));
            expect_out_of_memory("load_weights", Model::load_weights(&file, &model.network, &names));
            expect_out_of_memory("save_onnx", model.save_onnx(&new));
            expect_out_of_memory("labels", Idx::load(&packed));
        }
        limit_memory(128);
        expect_out_of_memory("save", model.save(&new));
        expect_out_of_memory("save_weights", model.save_weights(&new, &names));
        expect_out_of_memory("Npy::save", array.save(&new));
        assert!(!new.exists());

        // A class id may be any number, and a row may have any length.
        let large_class = Dataset::new(1, &[0.0], &[u32::MAX]).expect("a data set");
        expect_out_of_memory("balanced_class_weights", large_class.balanced_class_weights());
        let long = folder.0.join("long.npy");
        let columns = 1_u64 << 34;
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (1, {columns}), }}");
        let mut content = b"\x93NUMPY\x01\x00".to_vec();
        content.extend((header.len() as u16).to_le_bytes());
        content.extend(header.bytes());
        fs::write(&long, &content).expect("a file");
        let opened = fs::OpenOptions::new().write(true).open(&long).expect("a file");
        opened.set_len(content.len() as u64 + 4 * columns).expect("a sparse file");
        expect_out_of_memory("Dataset::new", FileRows::open_npy(&long).and_then(|rows| Dataset::new(1, rows, &[0.0])));

        limit_memory(2048);
        model.save(&new).expect("enough memory to save");
        assert!(Model::load(&new).as_ref() == Ok(&model));
    }
}
