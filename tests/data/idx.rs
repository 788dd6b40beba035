use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use gradus::{
    Dataset, Features, Targets,
    data::formats::{Idx, ImageSet},
};

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
        let values = Features::from(vec![1u8, 2, 3, 4, 5, 6]);
        assert_eq!(Idx::load(&images).unwrap(), Idx { sizes: vec![2, 1, 3], values });
        let set = ImageSet::from_idx(&images, &labels).unwrap();
        assert_eq!((set.height, set.width, set.channels), (1, 3, 1));
        assert_eq!(set.classes, ["0", "1", "2"]);
        assert_eq!(set.data.features(), &Features::U8 { bytes: vec![1, 2, 3, 4, 5, 6], scale: 1.0 / 255.0 });
        assert_eq!(set.data.targets(), &Targets::Classes(vec![2, 0]));
    }
    let three = folder.file("three", file(&[0x0801, 3], &[2, 0, 1]));
    let images = folder.join("images");
    refused(
        ImageSet::from_idx(&images, &three),
        &["three: byte 4, the sizes: expected [2], a label for each", "got [3]"],
    );
    refused(
        ImageSet::from_idx(&three, &labels),
        &["three: byte 4, the sizes: expected 3: rows, height and width, got [3]"],
    );
    refused(Idx::load(folder.join("none")), &["none: "]);
}

/// The types that torchvision reads, with the same values in each: 2 rows of 1.
#[test]
fn every_type_of_values_is_read_and_its_rows_can_stay_in_the_file() {
    let folder = Folder::new();
    let types: &[(u32, &[u8], [f32; 2])] = &[
        (0x09, &[0x05, 0xfe], [5.0, -2.0]),
        (0x0b, &[0x01, 0x00, 0xff, 0xfe], [256.0, -2.0]),
        (0x0c, &[0x00, 0x01, 0x00, 0x00, 0xff, 0xff, 0xff, 0xfe], [65_536.0, -2.0]),
        (0x0d, &[0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0], [1.5, -2.0]),
        (0x0e, &[0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0], [1.5, -2.0]),
    ];
    for (kind, bytes, values) in types {
        let content = file(&[kind << 8 | 2, 2, 1], bytes);
        let path = folder.file("plain", &content);
        for path in [&path, &folder.file("packed", gzip(&content))] {
            let read = Idx::load(path).unwrap();
            assert_eq!(read, Idx { sizes: vec![2, 1], values: Features::F32(values.to_vec()) }, "{kind:#x}");
        }
        let data = Dataset::new(2, Idx::rows_in(&path).unwrap(), vec![0u32; 2]).unwrap();
        assert_eq!([0, 1].map(|row| data.row(row).unwrap()[0]), *values, "{kind:#x}");
        refused(Idx::from_reader(&content[..content.len() - 1], "short"), &["byte 12, the values"]);
        refused(Idx::rows_in(folder.file("long", [&content[..], &[0]].concat())), &["long: byte 12, the values"]);
    }
    // Labels of 32 bits, as QMNIST has them.
    let images = folder.file("images", file(&[0x0803, 2, 1, 1], &[7, 9]));
    let labels = folder.file("labels", file(&[0x0c01, 2], &[0, 0, 0, 1, 0, 0, 0, 0]));
    let set = ImageSet::from_idx(&images, &labels).unwrap();
    assert_eq!((set.classes.len(), set.data.targets()), (2, &Targets::Classes(vec![1, 0])));
    for (label, words) in [([0xff; 4], "class ids"), ([0, 1, 0, 0], "labels: expected 0 to 65535, got 65536")] {
        let labels = folder.file("labels", file(&[0x0c01, 2], &[[0; 4], label].concat()));
        refused(ImageSet::from_idx(&images, labels), &[words]);
    }
    let floats = folder.file("floats", file(&[0x0d03, 1, 1, 1], &[0; 4]));
    refused(ImageSet::from_idx(floats, &images), &["0x08, unsigned bytes, got other numbers; use Idx::open"]);
}

#[test]
fn gzip_is_recognized_by_its_content_and_may_have_members_and_zeros_behind_them() {
    let folder = Folder::new();
    let whole = file(&[0x0802, 2, 3], &[1, 2, 3, 4, 5, 6]);
    let expected = Idx { sizes: vec![2, 3], values: Features::from(vec![1u8, 2, 3, 4, 5, 6]) };
    let zeros = |count: usize| vec![0; count];
    let two = [gzip(&whole[..5]), gzip(&whole[5..])];
    let good = [
        ("gzip.idx", gzip(&whole)),
        ("plain.idx.gz", whole.clone()),
        ("tail.idx.gz", [gzip(&whole), zeros(100)].concat()),
        // More than is read at once.
        ("tape.idx.gz", [gzip(&whole), zeros(1 << 15)].concat()),
        ("members.idx.gz", two.concat()),
        ("between.idx.gz", [two[0].clone(), zeros(512), two[1].clone(), zeros(1)].concat()),
    ];
    for (name, content) in good {
        assert_eq!(Idx::load(folder.file(name, &content)).unwrap(), expected, "{name}");
        assert_eq!(Idx::from_reader(&content[..], name).unwrap(), expected, "{name}");
    }
    let behind = [gzip(&whole), zeros(3), b"text".to_vec()].concat();
    refused(
        Idx::load(folder.file("text.gz", behind)),
        &["text.gz: byte 12, the values: expected 6 bytes, got 6 and then"],
    );
    let is_named =
        |path: &Path| refused(Idx::rows_in(path), &["expected an IDX file", "got a gzip file; decompress it"]);
    is_named(&folder.join("gzip.idx"));
    is_named(&folder.join("tail.idx.gz"));
    assert_eq!(Idx::rows_in(folder.join("plain.idx.gz")).unwrap().rows(), 2);
}

#[test]
fn images_that_are_the_same_in_two_classes_are_listed() {
    let folder = Folder::new();
    let images = folder.file("images", file(&[0x0803, 6, 1, 2], &[1, 1, 2, 2, 1, 1, 1, 1, 3, 3, 1, 1]));
    let of = |labels: &[u8]| {
        let labels = folder.file("labels", file(&[0x0801, 6], labels));
        ImageSet::from_idx(&images, labels).unwrap().duplicates
    };
    assert_eq!(of(&[0; 6]), [[0; 2]; 0], "the same class");
    assert_eq!(of(&[0, 1, 0, 1, 1, 0]), [[0, 3], [3, 5]]);
    assert_eq!(of(&[0, 1, 1, 2, 1, 0]), [[0, 2], [0, 3], [2, 5]]);
}

#[test]
fn what_is_not_an_idx_file_is_refused_with_its_byte() {
    let most = u32::MAX;
    let corpus: &[(&str, Vec<u8>, &str)] = &[
        ("empty", vec![], "byte 0, the magic number: expected 4 bytes, got the end of the file"),
        ("three bytes", vec![0, 0, 8], "byte 0, the magic number"),
        ("a web page", b"<!DOCTYPE html><html>".to_vec(), "got a web page"),
        ("gzip in gzip", gzip(&gzip(&[0; 9])), "byte 0, the magic number: expected an IDX file (0x0000TTNN"),
        ("an unknown type", file(&[0x0a03, 1, 1, 1], &[0; 4]), "got 0x00000a03"),
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
        refused(Idx::from_reader(&bytes[..], name), &[name, words]);
    }
    let whole = file(&[0x0802, 2, 3], &[7; 6]);
    (0..whole.len()).for_each(|end| refused(Idx::from_reader(&whole[..end], "cut"), &["cut: byte "]));
}

#[test]
fn a_compressed_file_is_refused_when_it_is_cut_damaged_or_a_bomb() {
    let folder = Folder::new();
    let whole = gzip(&file(&[0x0803, 16, 8, 8], &[9; 1024]));
    for end in 0..whole.len() {
        refused(Idx::load(folder.file("cut.gz", &whole[..end])), &["cut.gz: byte "]);
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        // The time in gzip's header and such may be anything.
        let _ = Idx::load(folder.file("damaged.gz", &damaged));
        assert!(at < 10 || Idx::load(folder.join("damaged.gz")).is_err(), "byte {at}");
    }
    // 64 MiB of zeros behind one value: no more than one byte of them is read.
    let bomb = folder.file("bomb.gz", gzip(&file(&[0x0803, 1, 1, 1], &vec![0; 1 << 26])));
    refused(Idx::load(bomb), &["bomb.gz: byte 16, the values: expected 1 bytes, got more"]);
    assert!(Idx::load(&folder.0).is_err() && fs::metadata(&folder.0).is_ok(), "a folder");
}
