//! IDX files, the format of MNIST: a magic number that says the type of the values and how many sizes follow, then the
//! sizes, then the values; every number big-endian. Plain, or compressed by gzip.
//!
//! <http://yann.lecun.com/exdb/mnist> describes the format. Nothing in a file is trusted: no memory is taken before its
//! size is known to be sane, and a file is exactly as long as its sizes say.

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;

/// The most values a file may hold; the largest IDX sets in use (EMNIST) have about 550 million.
const MOST: usize = 1 << 30;

/// How much memory is taken before the first value was seen.
const FIRST: usize = 1 << 20;

/// The values of one file: bytes, and the sizes of the array that they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// The sizes, the slowest first: `[rows, height, width]` for images, `[rows]` for labels.
    pub sizes: Vec<usize>,
    /// The values, row by row.
    pub bytes: Vec<u8>,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which part of the file.
    pub what: &'static str,
    /// What would do.
    pub expected: String,
    /// What was found.
    pub got: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.what, self.expected, self.got)
    }
}

impl std::error::Error for Refusal {}

fn refuse<T>(what: &'static str, expected: impl fmt::Display, got: impl fmt::Display) -> Result<T, Refusal> {
    Err(Refusal { what, expected: expected.to_string(), got: got.to_string() })
}

impl Idx {
    /// Reads the file at `path`, which has to hold bytes in an array of `rank` sizes. A name that ends in `.gz` is a
    /// compressed file.
    pub fn open(path: &Path, rank: usize) -> Result<Self, Refusal> {
        let file = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(error) => return refuse("file", "one that can be read", error),
        };
        if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz")) {
            Self::read(MultiGzDecoder::new(file), rank)
        } else {
            Self::read(file, rank)
        }
    }

    /// Reads bytes in an array of `rank` sizes.
    pub fn read(mut from: impl Read, rank: usize) -> Result<Self, Refusal> {
        let magic = word(&mut from, "magic number")?;
        // Two zeros, the type of the values (8 is an unsigned byte), and how many sizes there are.
        let expected = 0x0800 | rank as u32;
        if magic != expected {
            return refuse("magic number", format_args!("{expected:#010x}"), format_args!("{magic:#010x}"));
        }
        let mut sizes = Vec::with_capacity(rank);
        for _ in 0..rank {
            sizes.push(word(&mut from, "size")? as usize);
        }
        let len = sizes.iter().try_fold(1usize, |len, size| len.checked_mul(*size));
        let len = match len {
            Some(0) => return refuse("sizes", "none that is 0", format_args!("{sizes:?}")),
            Some(len) if len <= MOST => len,
            _ => return refuse("sizes", format_args!("at most {MOST} values"), format_args!("{sizes:?}")),
        };
        let mut bytes = Vec::with_capacity(len.min(FIRST));
        // One byte more than there should be, to see whether the file ends where it says.
        if let Err(error) = from.take(len as u64 + 1).read_to_end(&mut bytes) {
            return refuse("values", format_args!("{len} bytes"), format_args!("{} and then: {error}", bytes.len()));
        }
        match bytes.len() {
            got if got == len => Ok(Self { sizes, bytes }),
            got if got > len => refuse("values", format_args!("{len} bytes"), "more"),
            got => refuse("values", format_args!("{len} bytes"), got),
        }
    }
}

fn word(from: &mut impl Read, what: &'static str) -> Result<u32, Refusal> {
    let mut bytes = [0; 4];
    match from.read_exact(&mut bytes) {
        Ok(()) => Ok(u32::from_be_bytes(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => refuse(what, "4 bytes", "the end of the file"),
        Err(error) => refuse(what, "4 bytes", error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    /// A file with these big-endian words in front.
    fn file(words: &[u32], values: &[u8]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).chain(values.iter().copied()).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("a vector takes every byte");
        encoder.finish().expect("a vector takes every byte")
    }

    #[test]
    fn images_and_labels_are_read_plain_and_compressed() {
        let images = file(&[0x0803, 2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let expected = Idx { sizes: vec![2, 1, 3], bytes: vec![1, 2, 3, 4, 5, 6] };
        assert_eq!(Idx::read(&images[..], 3), Ok(expected.clone()));
        assert_eq!(Idx::read(MultiGzDecoder::new(&gzip(&images)[..]), 3), Ok(expected));
        let labels = file(&[0x0801, 4], &[3, 1, 4, 1]);
        assert_eq!(Idx::read(&labels[..], 1), Ok(Idx { sizes: vec![4], bytes: vec![3, 1, 4, 1] }));
    }

    #[test]
    fn what_is_not_an_idx_file_is_refused() {
        let most = u32::MAX;
        let corpus: &[(&str, Vec<u8>, &str)] = &[
            ("empty", vec![], "magic number"),
            ("three bytes", vec![0, 0, 8], "magic number"),
            ("a web page", b"<!DOCTYPE html><html>".to_vec(), "magic number"),
            ("gzip under a plain name", gzip(&file(&[0x0803, 1, 1, 1], &[0])), "magic number"),
            ("floats", file(&[0x0d03, 1, 1, 1], &[0; 4]), "magic number"),
            ("labels in place of images", file(&[0x0801, 1], &[0]), "magic number"),
            ("little-endian magic", file(&[0x0308_0000, 1, 1, 1], &[0]), "magic number"),
            ("255 sizes", file(&[0x08ff, 1, 1, 1], &[0]), "magic number"),
            ("no sizes", file(&[0x0803], &[]), "size"),
            ("half a size", file(&[0x0803, 1, 1], &[0, 0]), "size"),
            ("no rows", file(&[0x0803, 0, 28, 28], &[]), "sizes"),
            ("no width", file(&[0x0803, 60_000, 28, 0], &[]), "sizes"),
            ("sizes that overflow", file(&[0x0803, most, most, most], &[]), "sizes"),
            ("sizes that overflow to few", file(&[0x0803, 1 << 31, 1 << 31, 4], &[]), "sizes"),
            ("more than the cap", file(&[0x0803, 1 << 30, 2, 1], &[]), "sizes"),
            ("the cap and no values", file(&[0x0803, 1 << 30, 1, 1], &[]), "values"),
            ("one value short", file(&[0x0803, 2, 2, 2], &[7; 7]), "values"),
            ("one value more", file(&[0x0803, 2, 2, 2], &[7; 9]), "values"),
        ];
        for (name, bytes, what) in corpus {
            assert_eq!(Idx::read(&bytes[..], 3).map_err(|e| e.what), Err(*what), "{name}");
        }
    }

    #[test]
    fn a_compressed_file_is_refused_when_it_is_cut_damaged_or_a_bomb() {
        let whole = gzip(&file(&[0x0803, 16, 8, 8], &[9; 1024]));
        for end in 0..whole.len() {
            assert!(Idx::read(MultiGzDecoder::new(&whole[..end]), 3).is_err(), "cut after {end} bytes");
        }
        let mut damaged = whole.clone();
        let middle = whole.len() / 2;
        damaged[middle] ^= 0xff;
        assert!(Idx::read(MultiGzDecoder::new(&damaged[..]), 3).is_err());
        // 64 MiB of zeros behind one value: no more than one byte of them is read.
        let bomb = gzip(&file(&[0x0803, 1, 1, 1], &vec![0; 1 << 26]));
        assert_eq!(Idx::read(MultiGzDecoder::new(&bomb[..]), 3).map_err(|e| e.got), Err("more".to_owned()));
    }
}
