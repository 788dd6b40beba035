//! IDX files, the format of MNIST.

use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use gradus::{
    Dataset, Features, Targets,
    data::{
        FileRows,
        formats::{Idx, ImageSet},
    },
};

use super::expect_error;
use crate::common::Folder;

/// Returns the bytes of a file: `words` in big-endian order, then `values`.
fn file(words: &[u32], values: &[u8]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).chain(values.iter().copied()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("writing to a vector cannot fail");
    encoder.finish().expect("writing to a vector cannot fail")
}

#[test]
fn plain_and_gzipped_images_load_as_bytes() {
    let folder = Folder::new();
    let images = file(&[0x0803, 2, 1, 3], &[1, 2, 3, 4, 5, 6]);
    let labels = folder.file("labels", file(&[0x0801, 2], &[2, 0]));
    for images in [folder.file("images", &images), folder.file("images.GZ", gzip(&images))] {
        let values = Features::from(vec![1u8, 2, 3, 4, 5, 6]);
        assert_eq!(Idx::load(&images).unwrap(), Idx { shape: vec![2, 1, 3], values });
        let set = ImageSet::from_idx(&images, &labels).unwrap();
        assert_eq!((set.height, set.width, set.channels), (1, 3, 1));
        assert_eq!(set.classes, ["0", "1", "2"]);
        assert_eq!(set.data.features(), &Features::U8 { bytes: vec![1, 2, 3, 4, 5, 6], scale: 1.0 / 255.0 });
        assert_eq!(set.data.targets(), &Targets::Classes(vec![2, 0]));
    }
    let three = folder.file("three", file(&[0x0801, 3], &[2, 0, 1]));
    let images = folder.join("images");
    expect_error(
        ImageSet::from_idx(&images, &three),
        &["three: byte 4, the shape: expected [2], one label per image", "got [3]"],
    );
    expect_error(
        ImageSet::from_idx(&three, &labels),
        &["three: byte 4, the shape: expected [rows, height, width], got [3]"],
    );
    expect_error(Idx::load(folder.join("none")), &["none: "]);
}

/// Every value type that torchvision reads, with the same values: 2 rows of 1 column.
#[test]
fn every_value_type_loads_and_opens() {
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
            assert_eq!(read, Idx { shape: vec![2, 1], values: Features::F32(values.to_vec()) }, "{kind:#x}");
        }
        let data = Dataset::new(2, FileRows::open_idx(&path).unwrap(), vec![0u32; 2]).unwrap();
        assert_eq!([0, 1].map(|row| data.row(row).unwrap()[0]), *values, "{kind:#x}");
        expect_error(Idx::from_reader(&content[..content.len() - 1], "short"), &["byte 12, the values"]);
        expect_error(
            FileRows::open_idx(folder.file("long", [&content[..], &[0]].concat())),
            &["long: byte 12, the values"],
        );
    }
    // Labels of 32 bits, as in QMNIST.
    let images = folder.file("images", file(&[0x0803, 2, 1, 1], &[7, 9]));
    let labels = folder.file("labels", file(&[0x0c01, 2], &[0, 0, 0, 1, 0, 0, 0, 0]));
    let set = ImageSet::from_idx(&images, &labels).unwrap();
    assert_eq!((set.classes.len(), set.data.targets()), (2, &Targets::Classes(vec![1, 0])));
    for (label, words) in [([0xff; 4], "class ids"), ([0, 1, 0, 0], "labels: expected 0 to 65535, got 65536")] {
        let labels = folder.file("labels", file(&[0x0c01, 2], &[[0; 4], label].concat()));
        expect_error(ImageSet::from_idx(&images, labels), &[words]);
    }
    let floats = folder.file("floats", file(&[0x0d03, 1, 1, 1], &[0; 4]));
    expect_error(ImageSet::from_idx(floats, &images), &["0x08, unsigned bytes, got another type; use Idx::load"]);
}

#[test]
fn gzip_is_detected_by_content_with_several_members_and_padding() {
    let folder = Folder::new();
    let whole = file(&[0x0802, 2, 3], &[1, 2, 3, 4, 5, 6]);
    let expected = Idx { shape: vec![2, 3], values: Features::from(vec![1u8, 2, 3, 4, 5, 6]) };
    let zeros = |count: usize| vec![0; count];
    let members = [gzip(&whole[..5]), gzip(&whole[5..])];
    let files = [
        ("gzip.idx", gzip(&whole)),
        ("plain.idx.gz", whole.clone()),
        ("tail.idx.gz", [gzip(&whole), zeros(100)].concat()),
        // More padding than the reader reads at once.
        ("tape.idx.gz", [gzip(&whole), zeros(1 << 15)].concat()),
        ("members.idx.gz", members.concat()),
        ("between.idx.gz", [members[0].clone(), zeros(512), members[1].clone(), zeros(1)].concat()),
    ];
    for (name, content) in files {
        assert_eq!(Idx::load(folder.file(name, &content)).unwrap(), expected, "{name}");
        assert_eq!(Idx::from_reader(&content[..], name).unwrap(), expected, "{name}");
    }
    let with_trailing_text = [gzip(&whole), zeros(3), b"text".to_vec()].concat();
    expect_error(
        Idx::load(folder.file("text.gz", with_trailing_text)),
        &["text.gz: byte 12, the values: expected 6 bytes, got 6 bytes, then"],
    );
    let expect_gzip_error = |path: &Path| {
        expect_error(FileRows::open_idx(path), &["expected an IDX file", "got a gzip file; decompress it"])
    };
    expect_gzip_error(&folder.join("gzip.idx"));
    expect_gzip_error(&folder.join("tail.idx.gz"));
    assert_eq!(FileRows::open_idx(folder.join("plain.idx.gz")).unwrap().rows(), 2);
}

#[test]
fn equal_images_in_different_classes_are_listed() {
    let folder = Folder::new();
    let images = folder.file("images", file(&[0x0803, 6, 1, 2], &[1, 1, 2, 2, 1, 1, 1, 1, 3, 3, 1, 1]));
    let duplicates = |labels: &[u8]| {
        let labels = folder.file("labels", file(&[0x0801, 6], labels));
        ImageSet::from_idx(&images, labels).unwrap().duplicates
    };
    assert_eq!(duplicates(&[0; 6]), [[0; 2]; 0], "all images have the same class");
    assert_eq!(duplicates(&[0, 1, 0, 1, 1, 0]), [[0, 3], [3, 5]]);
    assert_eq!(duplicates(&[0, 1, 1, 2, 1, 0]), [[0, 2], [0, 3], [2, 5]]);
}

#[test]
fn an_invalid_idx_file_is_an_error_with_its_byte() {
    let max = u32::MAX;
    let files: &[(&str, Vec<u8>, &str)] = &[
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
        ("no rows", file(&[0x0803, 0, 28, 28], &[]), "byte 4, the shape: expected sizes >= 1, got [0, 28, 28]"),
        ("sizes that overflow", file(&[0x0803, max, max, max], &[]), "at most 1073741824 values"),
        ("sizes that overflow to few", file(&[0x0803, 1 << 31, 1 << 31, 4], &[]), "byte 4, the shape"),
        ("more values than the limit", file(&[0x0803, 1 << 30, 2, 1], &[]), "byte 4, the shape"),
        ("the limit and no values", file(&[0x0803, 1 << 30, 1, 1], &[]), "expected 1073741824 bytes, got 0"),
        ("one value too few", file(&[0x0803, 2, 2, 2], &[7; 7]), "byte 16, the values: expected 8 bytes, got 7"),
        ("one value too many", file(&[0x0803, 2, 2, 2], &[7; 9]), "byte 16, the values: expected 8 bytes, got more"),
    ];
    for (name, bytes, message) in files {
        expect_error(Idx::from_reader(&bytes[..], name), &[name, message]);
    }
    let whole = file(&[0x0802, 2, 3], &[7; 6]);
    (0..whole.len()).for_each(|end| expect_error(Idx::from_reader(&whole[..end], "cut"), &["cut: byte "]));
}

#[test]
fn truncated_damaged_and_oversized_gzip_files_are_errors() {
    let folder = Folder::new();
    let whole = gzip(&file(&[0x0803, 16, 8, 8], &[9; 1024]));
    for end in 0..whole.len() {
        expect_error(Idx::load(folder.file("cut.gz", &whole[..end])), &["cut.gz: byte "]);
    }
    for index in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[index] ^= 0xff;
        let loaded = Idx::load(folder.file("damaged.gz", &damaged));
        // Some bytes of the gzip header may have any value, for example the time.
        assert!(index < 10 || loaded.is_err(), "byte {index}");
    }
    // 64 MiB of zeros after the only value: the reader stops after the first byte of them.
    let bomb = folder.file("bomb.gz", gzip(&file(&[0x0803, 1, 1, 1], &vec![0; 1 << 26])));
    expect_error(Idx::load(bomb), &["bomb.gz: byte 16, the values: expected 1 bytes, got more"]);
    assert!(Idx::load(&folder.0).is_err() && fs::metadata(&folder.0).is_ok(), "a folder loads as a file");
}
