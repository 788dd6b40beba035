//! The inputs that the fuzzers of `tests/fuzz` set out from and those that they found, each by the parser that it is for:
//! what was mended stays mended. A panic names its input.
#![cfg(all(feature = "csv", feature = "images", feature = "npy"))]

use std::{fs, panic, path::Path};

#[path = "fuzz/parsers.rs"]
mod parsers;

#[test]
fn every_input_of_the_fuzzers_is_taken_or_refused() {
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
