use std::{fs, path::PathBuf};

use gradus::{
    Checkpoint, Dataset, Features, Model,
    data::formats::{Idx, Npy},
};

use super::refused;
use crate::common::Folder;

/// A file that numpy wrote.
fn numpys(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// An npy file of version 1 with this header.
fn npy(header: &str, values: &[u8]) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), values].concat()
}

fn floats(values: &[f32]) -> Features {
    Features::F32(values.to_vec())
}

#[test]
fn what_numpy_writes_is_read() {
    let rows = [0.0, 1.0, 2.0, 250.0, 4.0, 5.0];
    for name in [
        "little_f2",
        "big_f2",
        "little_f4",
        "big_f4",
        "little_f8",
        "big_f8",
        "little_i2",
        "big_u2",
        "little_i8",
        "version2",
    ] {
        let array = Npy::load(numpys(&format!("{name}.npy"))).unwrap();
        assert_eq!((array.shape(), array.rows(), array.values()), (&[2, 3][..], 2, &floats(&rows)), "{name}");
    }
    let bytes = Npy::load(numpys("u1.npy")).unwrap();
    assert_eq!(bytes.values(), &Features::U8 { bytes: vec![0, 1, 2, 250, 4, 5], scale: 1.0 });
    let truths = Npy::load(numpys("bool.npy")).unwrap();
    assert_eq!(truths.values(), &Features::U8 { bytes: vec![0, 0, 0, 1, 1, 1], scale: 1.0 });
    assert_eq!(Npy::load(numpys("signed.npy")).unwrap().values(), &floats(&[-128.0, -1.0, 127.0]));
    let scalar = Npy::load(numpys("scalar.npy")).unwrap();
    assert_eq!((scalar.shape(), scalar.rows(), scalar.values()), (&[][..], 1, &floats(&[1.5])));
    let fortran = Npy::load(numpys("fortran.npy")).unwrap();
    let counted: Vec<f32> = (0..24u8).map(f32::from).collect();
    assert_eq!((fortran.shape(), fortran.values()), (&[2, 3, 4][..], &floats(&counted)));
}

/// In one row or one column the values are in the same order either way.
#[test]
fn a_fortran_array_of_one_row_or_column_is_read_and_its_rows_stay_in_the_file() {
    for (name, sizes) in [("fortran_column", [3, 1]), ("fortran_row", [1, 3])] {
        let path = numpys(&format!("{name}.npy"));
        let values = floats(&[1.5, -2.0, 1e5]);
        let array = Npy::load(&path).unwrap();
        assert_eq!((array.shape(), array.values()), (&sizes[..], &values), "{name}");
        let rows = Npy::rows_in(&path).unwrap();
        assert_eq!([rows.rows(), rows.columns()], sizes, "{name}");
        let data = Dataset::new(sizes[0], rows, vec![0u32; sizes[0]]).unwrap();
        let read: Vec<f32> = (0..sizes[0]).flat_map(|row| data.row(row).unwrap()).collect();
        assert_eq!(Features::F32(read), values, "{name}");
    }
    refused(Npy::rows_in(numpys("fortran.npy")), &["values in row order, got a Fortran-order array", "Npy::open"]);
}

/// Nothing is divided unless the caller says so, and the data set tells what it is.
#[test]
fn the_scale_is_that_of_the_caller_in_memory_and_in_the_file() {
    let folder = Folder::new();
    let wide = npy("{'descr': '<u2', 'fortran_order': False, 'shape': (2, 1)}", &[0, 0, 0xff, 0xff]);
    let wide = folder.file("wide.npy", wide);
    let of = |features: Features| {
        let rows = features.clone();
        let data = Dataset::new(2, rows, &[0.0, 1.0]).unwrap();
        (data.row(1).unwrap(), data.to_string())
    };
    let told = |what: &str, inputs: usize| {
        format!("2 rows of {inputs} feature{} ({what}), with 1 value each", if inputs == 1 { "" } else { "s" })
    };
    let rows = Npy::rows_in(&wide).unwrap();
    assert_eq!(of(rows.clone().into()), (vec![65_535.0], told("u16 in a file", 1)));
    let scaled = rows.with_scale(1.0 / 65_535.0);
    assert_eq!(of(scaled.clone().into()), (vec![1.0], told("u16 times 0.000015259022 in a file", 1)));
    assert_eq!(scaled.scale(), 1.0 / 65_535.0);

    let bytes = Npy::rows_in(numpys("u1.npy")).unwrap();
    assert_eq!(of(bytes.clone().into()), (vec![250.0, 4.0, 5.0], told("bytes times 1 in a file", 3)));
    let half = bytes.with_scale(0.5);
    assert_eq!(of(half.into()), (vec![125.0, 2.0, 2.5], told("bytes times 0.5 in a file", 3)));
    let bytes = Npy::load(numpys("u1.npy")).unwrap().into_values();
    assert_eq!(of(bytes.clone()), (vec![250.0, 4.0, 5.0], told("bytes times 1", 3)));
    assert_eq!(of(bytes.with_scale(0.5).unwrap()), (vec![125.0, 2.0, 2.5], told("bytes times 0.5", 3)));
    refused(
        floats(&[1.0]).with_scale(0.5),
        &["Features::with_scale: expected bytes or rows in a file, got f32; multiply"],
    );
    // Too large, or no number: in memory, in the file, and where a value of the file times the scale is none.
    for scale in [f32::NAN, f32::MAX] {
        refused(Dataset::new(1, Features::bytes([1], scale), &[0.0]), &["byte scale: expected a finite number"]);
        refused(Dataset::new(2, Npy::rows_in(&wide).unwrap().with_scale(scale), &[0.0; 2]), &["byte scale"]);
    }
    let large = Npy::rows_in(&wide).unwrap().with_scale(1e35);
    refused(Dataset::new(2, large, &[0.0; 2]), &["features: row 1, column 0: expected a finite number, got inf"]);
}

#[test]
fn half_precision_rows_that_stay_in_their_file_are_those_in_memory() {
    let header = "{'descr': '<f2', 'fortran_order': False, 'shape': (4, 2)}";
    // As numpy rounds them: 1.5, -0.25, the largest, the smallest, -0, 1/3, 1024, and -2.
    let halves: [u16; 8] = [0x3e00, 0xb400, 0x7bff, 0x0001, 0x8000, 0x3555, 0x6400, 0xc000];
    let values = [1.5, -0.25, 65504.0, 5.960_464_5e-8, -0.0, 0.333_251_95, 1024.0, -2.0];
    let folder = Folder::new();
    let path = folder.file("half.npy", npy(header, halves.map(u16::to_le_bytes).as_flattened()));
    assert_eq!(Npy::load(&path).unwrap().values(), &floats(&values));
    let data = Dataset::new(4, Npy::rows_in(&path).unwrap(), vec![0u32; 4]).unwrap();
    let read: Vec<f32> = (0..4).flat_map(|row| data.row(row).unwrap()).collect();
    assert_eq!(read, values);
    for (pattern, word) in [(0x7c00u16, "inf"), (0xfc00, "-inf"), (0x7e01, "NaN")] {
        let mut wrong = halves;
        wrong[5] = pattern;
        let path = folder.file("wrong.npy", npy(header, wrong.map(u16::to_le_bytes).as_flattened()));
        let words = ["features: row 2, column 1: expected a finite number, got", word];
        refused(Dataset::new(4, Npy::rows_in(&path).unwrap(), vec![0u32; 4]), &words);
        refused(Dataset::new(4, Npy::load(&path).unwrap().into_values(), vec![0u32; 4]), &words);
    }
}

#[test]
fn a_file_of_another_format_is_named() {
    let folder = Folder::new();
    let npz = numpys("deflated.npz");
    refused(
        Npy::load(&npz),
        &["deflated.npz: byte 0: expected a numpy npy file, got a numpy npz archive; use Npy::open_in"],
    );
    refused(Npy::rows_in(&npz), &["got a numpy npz archive; use Npy::open_in"]);
    refused(
        Npy::load_npz(numpys("u1.npy"), "x"),
        &["expected the list of a zip archive, got a numpy npy file; use Npy::open"],
    );
    refused(Idx::load(&npz), &["expected an IDX file", "got a numpy npz archive"]);
    refused(Idx::rows_in(numpys("u1.npy")), &["expected an IDX file", "got a numpy npy file; use Npy::open"]);
    let idx = folder.file("images", [0, 0, 8, 1, 0, 0, 0, 1, 7]);
    refused(Npy::load(&idx), &["got an IDX file; use Idx::open"]);
    let png = folder.file("image.npy", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    refused(Npy::load(&png), &["got a PNG image"]);
    for path in [&npz, &numpys("u1.npy"), &idx, &png] {
        refused(Model::load(path), &["byte 0: expected a safetensors file, got a"]);
        refused(Checkpoint::load(path), &["byte 0: expected a safetensors file, got a"]);
        refused(Model::from_bytes(&fs::read(path).unwrap()), &["bytes: byte 0: expected a safetensors file"]);
    }
    let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/files/plain.safetensors");
    refused(Npy::load(&model), &["got a safetensors file; use Model::load"]);
    refused(Idx::load(&model), &["got a safetensors file; use Model::load"]);
    refused(Npy::load(folder.file("page.npy", "<!DOCTYPE html><p>")), &["got a web page; a download may have failed"]);
}

#[test]
fn an_archive_gives_its_arrays_by_name_and_they_become_a_data_set() {
    for (name, sizes) in [("stored.npz", [2, 3]), ("deflated.npz", [64, 8])] {
        assert_eq!(Npy::npz_names(numpys(name)).unwrap(), ["x", "y"]);
        let (x, y) = (Npy::load_npz(numpys(name), "x").unwrap(), Npy::load_npz(numpys(name), "y").unwrap());
        assert_eq!((x.shape(), y.shape()), (&sizes[..], &sizes[..1]));
        let is_bytes = matches!(x.values(), Features::U8 { .. });
        let data = Dataset::new(x.rows(), x.into_values(), y.class_ids().unwrap()).unwrap();
        assert_eq!((data.rows(), data.inputs(), is_bytes), (sizes[0], sizes[1], name == "stored.npz"));
    }
    refused(Npy::load_npz(numpys("stored.npz"), "z"), &["stored.npz: arrays: expected one called \"z\", got x, y"]);
}

#[test]
fn what_is_saved_is_what_is_read() {
    let folder = Folder::new();
    let path = folder.join("deeper").join("saved.npy");
    for sizes in [&[][..], &[6], &[2, 3], &[1, 6, 1], &[0, 3]] {
        let count = sizes.iter().product::<usize>();
        let values: Vec<f32> = [0.5, -1.0, f32::MAX, 1e-40, f32::NEG_INFINITY, 0.0][..count].to_vec();
        for array in [Npy::new(sizes, values).unwrap(), Npy::new(sizes, vec![255u8; count]).unwrap()] {
            array.save(&path).unwrap();
            assert_eq!(Npy::load(&path).unwrap(), array);
            let begin = fs::read(&path).unwrap().iter().position(|byte| *byte == b'\n').unwrap() + 1;
            assert_eq!(begin % 64, 0, "as numpy aligns it");
        }
    }
    // Truth values are bytes of 0 and 1. Bytes with a scale are saved as what they stand for.
    let truths = Npy::load(numpys("bool.npy")).unwrap();
    truths.save(&path).unwrap();
    assert_eq!(Npy::load(&path).unwrap(), truths);
    Npy::new([2, 3], Features::bytes([6; 6], 0.25)).unwrap().save(&path).unwrap();
    assert_eq!(Npy::load(&path).unwrap().values(), &floats(&[1.5; 6]));
    // The bytes themselves, but for the spaces that fill the header.
    Npy::load(numpys("little_f4.npy")).unwrap().save(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(numpys("little_f4.npy")).unwrap());
    refused(Npy::new([2, 3], [1.0; 5].to_vec()), &["values of an array: expected 6 values, got 5"]);
    refused(Npy::new([usize::MAX, 2], vec![1.0]), &["values of an array"]);
}

#[test]
fn class_ids_are_whole_numbers() {
    let of = |values: &[f32]| Npy::new([values.len()], values).unwrap().class_ids();
    assert_eq!(of(&[0.0, 3.0, 16_777_215.0]).unwrap(), [0, 3, 16_777_215]);
    refused(of(&[0.0, 0.5]), &["class ids: expected integers in [0, 16777216), got 0.5 at index 1"]);
    // As f32, 2^24 may have been 2^24 + 1 in the file.
    for wrong in [-1.0, f32::NAN, f32::INFINITY, 16_777_216.0] {
        refused(of(&[wrong]), &["class ids: expected integers", "at index 0"]);
    }
}

#[test]
fn what_is_no_npy_file_is_refused_with_its_byte() {
    let folder = Folder::new();
    let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    assert_eq!(Npy::load(folder.file("good.npy", npy(good, &[0; 8]))).unwrap().values(), &floats(&[0.0; 2]));
    let headers = [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,) ", "byte 65, the header: expected '}', got its end"),
        ("('descr')", "byte 10, the header: expected '{', got \"('descr')\""),
        ("{}", "expected 'descr', 'fortran_order' and 'shape' before, got its end"),
        ("{'color': 1}", "byte 11, the header: expected 'descr', 'fortran_order' or 'shape', got \"'color'\""),
        (
            "{'descr': '<f3', 'fortran_order': False, 'shape': (2,)}",
            "byte 20, the header: expected numbers, such as '<f2'",
        ),
        ("{'descr': '<c8', 'fortran_order': False, 'shape': (2,)}", "'<i8' or '>u2', got \"'<c8'\""),
        ("{'descr': '|f4', 'fortran_order': False, 'shape': (2,)}", "byte 20, the header: expected numbers"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", "byte 20, the header: expected numbers"),
        ("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "byte 44, the header: expected True or False, got \"0"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "expected a size from 0 to "),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "expected a size from 0 to "),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': 2}", "expected '('"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2 2)}", "expected ')'"),
        ("{'descr' '<f4'", "byte 19, the header: expected ':', got \"'<f4'\""),
        ("{'descr", "byte 11, the header: expected a string in quotes, got \"'descr\""),
    ];
    for (header, words) in headers {
        refused(Npy::load(folder.file("bad.npy", npy(header, &[0; 8]))), &["bad.npy: byte ", words]);
    }
    let huge = ["4611686018427387904, 4", "9223372036854775807", "1000000000000", "3", "1", "0"];
    for sizes in huge {
        let header = good.replace("2,", sizes);
        refused(Npy::load(folder.file("huge.npy", npy(&header, &[0; 8]))), &["the values: expected [", "got 8 bytes"]);
    }
    refused(Npy::load(folder.file("nested.npy", npy(&"[".repeat(60_000), &[]))), &["expected '{', got \"[[[["]);
    refused(
        Npy::load(folder.file("empty.npy", "")),
        &["empty.npy: byte 0: expected a numpy npy file, got an empty file"],
    );
    refused(Npy::load(folder.file("text.npy", "1,2\n")), &["got a file that begins with \"1,2\\n\""]);
    refused(Npy::load(folder.file("new.npy", b"\x93NUMPY\x04\x00\x00\x00")), &["version 1, 2 or 3, got 4"]);
    let long = [b"\x93NUMPY\x02\x00", &u32::MAX.to_le_bytes()[..]].concat();
    refused(Npy::load(folder.file("long.npy", long)), &["byte 12, the header: expected 4294967295 bytes, got 0"]);
    refused(Npy::load(numpys("text.npy")), &["text.npy: byte 20, the header: expected numbers", "got \"'<U2'\""]);
    refused(Npy::load(numpys("record.npy")), &["record.npy: byte 20, the header: expected numbers", "got \"[('a'"]);
    refused(Npy::load(folder.join("none.npy")), &["none.npy: "]);
}

#[test]
fn every_cut_and_every_changed_byte_is_read_or_refused() {
    let folder = Folder::new();
    for name in ["little_f4.npy", "version2.npy", "fortran.npy"] {
        let whole = fs::read(numpys(name)).unwrap();
        for end in 0..whole.len() {
            refused(Npy::from_bytes(&whole[..end], "cut"), &["cut: byte "]);
        }
        for (at, change) in (0..whole.len()).flat_map(|at| [0x01, 0x10, 0xff].map(|change| (at, change))) {
            let mut changed = whole.clone();
            changed[at] ^= change;
            let _ = Npy::from_bytes(changed, "changed");
        }
    }
    for name in ["stored.npz", "deflated.npz"] {
        let whole = fs::read(numpys(name)).unwrap();
        for end in 0..whole.len() {
            refused(Npy::load_npz(folder.file("cut.npz", &whole[..end]), "x"), &["cut.npz: byte "]);
        }
        for (at, change) in (0..whole.len()).flat_map(|at| [0x01, 0xff].map(|change| (at, change))) {
            let mut changed = whole.clone();
            changed[at] ^= change;
            let path = folder.file("changed.npz", changed);
            let _ = Npy::load_npz(&path, "x");
        }
    }
}

#[test]
fn an_archive_that_lies_is_refused() {
    let folder = Folder::new();
    let whole = fs::read(numpys("deflated.npz")).unwrap();
    let list = whole.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    let changed = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        Npy::load_npz(folder.file("lies.npz", changed), "x")
    };
    refused(changed(list + 24, &[1, 0, 0, 0]), &["byte 0, x.npy: expected 1 bytes, got more"]);
    refused(changed(list + 24, &[0xfe, 0xff, 0xff, 0xff]), &["expected 4294967294 bytes, got 2176"]);
    refused(changed(list + 24, &[0xff; 4]), &["expected at most 4294967296 bytes, got more"]);
    refused(changed(list + 20, &[0xfe; 4]), &["a file of 4278124286 bytes, got the end of the archive"]);
    refused(changed(list + 42, &[0xff; 4]), &["byte 4294967295, x.npy"]);
    refused(changed(list + 16, &[0; 4]), &["x.npy: expected a checksum of 0x00000000, got 0x"]);
    refused(changed(list + 10, &[12]), &["stored or deflated, got method 12"]);
    refused(changed(list + 8, &[1]), &["or encrypted"]);
    refused(changed(whole.len() - 12, &[9, 0]), &["expected 9 entries in the list of the archive, got 2"]);
    refused(changed(whole.len() - 6, &[0xff; 4]), &["byte 4294967295: expected 2 entries"]);
    refused(
        Npy::npz_names(folder.file("empty.npz", "")),
        &["empty.npz: byte 0, the end: expected the list of a zip archive, got an empty file"],
    );
    refused(
        Npy::npz_names(numpys("u1.npy")),
        &["u1.npy: byte 134, the end: expected the list of a zip archive, got a numpy npy file"],
    );
}
