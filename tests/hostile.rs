//! Files of strangers, in processes that have little memory and time: the inputs that the fuzzers of `tests/fuzz` set out
//! from and those that they found, each by the parser that it is for, so that what was mended stays mended; and files that
//! are larger than the memory. A panic names its input.
#![cfg(all(feature = "csv", feature = "images", feature = "npy"))]

use std::{env, fs, panic, path::Path};

use crate::common::{again, leave, run};

#[path = "fuzz/parsers.rs"]
mod parsers;

/// What tells a process started by these tests how many MiB more it may take than it has. Without a number, as
/// `.ci/memcheck` sets it, it may take all.
const LEFT: &str = "GRADUS_TEST_MIB_LEFT";

/// A test of these in a process of its own.
fn apart(test: &str, left: &str) {
    run(again(&format!("hostile::{test}")).env(LEFT, left)).expect(0, &["1 passed"]);
}

#[test]
fn every_input_of_the_fuzzers_is_taken_or_refused() {
    let Ok(left) = env::var(LEFT) else { return apart("every_input_of_the_fuzzers_is_taken_or_refused", "512") };
    if cfg!(target_os = "linux")
        && let Ok(left) = left.parse()
    {
        leave(left);
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
        data::formats::{Idx, Npy},
        model::TensorNames,
        nn::LayerParameters,
    };

    use super::*;
    use crate::common::Folder;

    const WIDE: usize = 1 << 13;

    /// A quarter of a GiB.
    fn model() -> Model {
        let layer = LayerParameters::new(vec![0.5; WIDE * WIDE], vec![0.5; WIDE]);
        Model::new(Network::new(WIDE).dense(WIDE, Activation::Identity), vec![layer]).expect("a model")
    }

    /// Half a GiB of labels in half a MiB.
    fn labels(path: &Path) {
        let mut file = GzEncoder::new(fs::File::create(path).expect("a file"), Compression::fast());
        file.write_all(&[0, 0, 8, 1, 0x20, 0, 0, 0]).expect("a header");
        io::copy(&mut io::repeat(7).take(1 << 29), &mut file).expect("labels");
        file.finish().expect("a file");
    }

    /// Fails unless there was no memory for it.
    fn refused<T>(what: &str, tried: Result<T, Error>) {
        let error = tried.err().unwrap_or_else(|| panic!("{what}: it found memory"));
        let is_of_memory = matches!(error, Error::OutOfMemory { .. } | Error::Io { .. });
        assert!(is_of_memory && error.to_string().contains("memory"), "{what}: {error}");
    }

    #[test]
    fn what_there_is_no_memory_for_is_neither_loaded_nor_saved() {
        if env::var(LEFT).is_err() {
            return apart("large::what_there_is_no_memory_for_is_neither_loaded_nor_saved", "");
        }
        let folder = Folder::new();
        let [file, packed, new] = ["model.safetensors", "labels.gz", "new"].map(|name| folder.0.join(name));
        let (model, array) = (model(), Npy::new([WIDE, WIDE], vec![0.5; WIDE * WIDE]).expect("an array"));
        let names = TensorNames::sequential(&model.network);
        model.save(&file).expect("a file");
        labels(&packed);

        // Less than one copy, and less than two.
        for left in [128, 384] {
            leave(left);
            refused("load", Model::load(&file));
            refused("load_weights", Model::load_weights(&file, &model.network, &names));
            refused("save_onnx", model.save_onnx(&new));
            refused("labels", Idx::load(&packed));
        }
        leave(128);
        refused("save", model.save(&new));
        refused("save_weights", model.save_weights(&new, &names));
        refused("an array", array.save(&new));
        assert!(!new.exists());

        // A class may have any number, and a row any length.
        let one = |class: u32| Dataset::new(1, &[0.0], &[class]).expect("a data set");
        refused("weights of classes", one(u32::MAX).balanced_class_weights());
        let long = folder.0.join("long.npy");
        let columns = 1_u64 << 34;
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (1, {columns}), }}");
        let mut content = b"\x93NUMPY\x01\x00".to_vec();
        content.extend((header.len() as u16).to_le_bytes());
        content.extend(header.bytes());
        fs::write(&long, &content).expect("a file");
        let opened = fs::OpenOptions::new().write(true).open(&long).expect("a file");
        opened.set_len(content.len() as u64 + 4 * columns).expect("a file with holes");
        refused("a row", Npy::rows_in(&long).and_then(|rows| Dataset::new(1, rows, &[0.0])));

        leave(2048);
        model.save(&new).expect("there is memory again");
        assert!(Model::load(&new).as_ref() == Ok(&model));
    }
}
