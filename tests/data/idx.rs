use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};
use gradus::{Answers, Features, Idx, ImageSet};

use super::refused;
use crate::common::Folder;

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
fn images_and_labels_are_read_plain_and_compressed_and_stay_bytes() {
    let folder = Folder::new();
    let images = file(&[0x0803, 2, 1, 3], &[1, 2, 3, 4, 5, 6]);
    let labels = folder.file("labels", file(&[0x0801, 2], &[2, 0]));
    for images in [folder.file("images", &images), folder.file("images.GZ", gzip(&images))] {
        assert_eq!(Idx::open(&images).unwrap(), Idx { sizes: vec![2, 1, 3], bytes: vec![1, 2, 3, 4, 5, 6] });
        let set = ImageSet::of_idx(&images, &labels).unwrap();
        assert_eq!((set.height, set.width, set.channels), (1, 3, 1));
        assert_eq!(set.classes, ["0", "1", "2"]);
        assert_eq!(set.data.features(), &Features::U8 { bytes: vec![1, 2, 3, 4, 5, 6], scale: 1.0 / 255.0 });
        assert_eq!(set.data.answers(), &Answers::Classes(vec![2, 0]));
    }
    let three = folder.file("three", file(&[0x0801, 3], &[2, 0, 1]));
    let images = folder.join("images");
    refused(
        ImageSet::of_idx(&images, &three),
        &["three: byte 4, the sizes: expected [2], a label for each", "got [3]"],
    );
    refused(
        ImageSet::of_idx(&three, &labels),
        &["three: byte 4, the sizes: expected 3: rows, height and width, got [3]"],
    );
    refused(Idx::open(folder.join("none")), &["none: "]);
}

#[test]
fn what_is_not_an_idx_file_is_refused_with_its_byte() {
    let most = u32::MAX;
    let corpus: &[(&str, Vec<u8>, &str)] = &[
        ("empty", vec![], "byte 0, the magic number: expected 4 bytes, got the end of the file"),
        ("three bytes", vec![0, 0, 8], "byte 0, the magic number"),
        ("a web page", b"<!DOCTYPE html><html>".to_vec(), "got 0x3c21444f"),
        ("gzip under a plain name", gzip(&file(&[0x0803, 1, 1, 1], &[0])), "byte 0, the magic number"),
        ("floats", file(&[0x0d03, 1, 1, 1], &[0; 4]), "unsigned bytes, got 0x00000d03"),
        ("little-endian magic", file(&[0x0308_0000, 1, 1, 1], &[0]), "byte 0, the magic number"),
        ("a single value", file(&[0x0800], &[0]), "byte 0, the magic number"),
        ("255 sizes", file(&[0x08ff, 1, 1, 1], &[]), "byte 16, a size"),
        ("no sizes", file(&[0x0803], &[]), "byte 4, a size"),
        ("half a size", file(&[0x0803, 1, 1], &[0, 0]), "byte 12, a size: expected 4 bytes, got the end of the file"),
        ("no rows", file(&[0x0803, 0, 28, 28], &[]), "byte 4, the sizes: expected none that is 0, got [0, 28, 28]"),
        ("sizes that overflow", file(&[0x0803, most, most, most], &[]), "at most 1073741824 values"),
        ("sizes that overflow to few", file(&[0x0803, 1 << 31, 1 << 31, 4], &[]), "byte 4, the sizes"),
        ("more than the cap", file(&[0x0803, 1 << 30, 2, 1], &[]), "byte 4, the sizes"),
        ("the cap and no values", file(&[0x0803, 1 << 30, 1, 1], &[]), "expected 1073741824 bytes, got 0"),
        ("one value short", file(&[0x0803, 2, 2, 2], &[7; 7]), "byte 16, the values: expected 8 bytes, got 7"),
        ("one value more", file(&[0x0803, 2, 2, 2], &[7; 9]), "byte 16, the values: expected 8 bytes, got more"),
    ];
    for (name, bytes, words) in corpus {
        refused(Idx::read(&bytes[..], name), &[name, words]);
    }
    let whole = file(&[0x0802, 2, 3], &[7; 6]);
    (0..whole.len()).for_each(|end| refused(Idx::read(&whole[..end], "cut"), &["cut: byte "]));
}

#[test]
fn a_compressed_file_is_refused_when_it_is_cut_damaged_or_a_bomb() {
    let folder = Folder::new();
    let whole = gzip(&file(&[0x0803, 16, 8, 8], &[9; 1024]));
    for end in 0..whole.len() {
        refused(Idx::open(folder.file("cut.gz", &whole[..end])), &["cut.gz: byte "]);
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        // The time in gzip's header and such may be anything.
        let _ = Idx::open(folder.file("damaged.gz", &damaged));
        assert!(at < 10 || Idx::open(folder.join("damaged.gz")).is_err(), "byte {at}");
    }
    // 64 MiB of zeros behind one value: no more than one byte of them is read.
    let bomb = folder.file("bomb.gz", gzip(&file(&[0x0803, 1, 1, 1], &vec![0; 1 << 26])));
    refused(Idx::open(bomb), &["bomb.gz: byte 16, the values: expected 1 bytes, got more"]);
    assert!(Idx::open(&folder.0).is_err() && fs::metadata(&folder.0).is_ok(), "a folder");
}
