//! Arrays from the npy and npz files of numpy.

use std::{fs, path::PathBuf};

use gradus::{
    Checkpoint, Dataset, Features, Model,
    data::{
        FileRows,
        formats::{Idx, Npy},
    },
};

use super::expect_error;
use crate::common::Folder;

/// Returns the path of a file that numpy wrote (`make_npy.py`).
fn numpy_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Returns the bytes of an npy file of version 1.
fn npy(header: &str, values: &[u8]) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), values].concat()
}

fn floats(values: &[f32]) -> Features {
    Features::F32(values.to_vec())
}

#[test]
fn files_of_numpy_load() {
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
        let array = Npy::load(numpy_file(&format!("{name}.npy"))).unwrap();
        assert_eq!((array.shape(), array.rows(), array.values()), (&[2, 3][..], 2, &floats(&rows)), "{name}");
    }
    let bytes = Npy::load(numpy_file("u1.npy")).unwrap();
    assert_eq!(bytes.values(), &Features::U8 { bytes: vec![0, 1, 2, 250, 4, 5], scale: 1.0 });
    let booleans = Npy::load(numpy_file("bool.npy")).unwrap();
    assert_eq!(booleans.values(), &Features::U8 { bytes: vec![0, 0, 0, 1, 1, 1], scale: 1.0 });
    assert_eq!(Npy::load(numpy_file("signed.npy")).unwrap().values(), &floats(&[-128.0, -1.0, 127.0]));
    let scalar = Npy::load(numpy_file("scalar.npy")).unwrap();
    assert_eq!((scalar.shape(), scalar.rows(), scalar.values()), (&[][..], 1, &floats(&[1.5])));
    let fortran = Npy::load(numpy_file("fortran.npy")).unwrap();
    let expected: Vec<f32> = (0..24u8).map(f32::from).collect();
    assert_eq!((fortran.shape(), fortran.values()), (&[2, 3, 4][..], &floats(&expected)));
}

/// An array of one row or one column has the same order of values in Fortran order and in C order.
#[test]
fn a_fortran_array_of_one_row_or_column_loads_and_opens() {
    for (name, shape) in [("fortran_column", [3, 1]), ("fortran_row", [1, 3])] {
        let path = numpy_file(&format!("{name}.npy"));
        let values = floats(&[1.5, -2.0, 1e5]);
        let array = Npy::load(&path).unwrap();
        assert_eq!((array.shape(), array.values()), (&shape[..], &values), "{name}");
        let rows = FileRows::open_npy(&path).unwrap();
        assert_eq!([rows.rows(), rows.columns()], shape, "{name}");
        let data = Dataset::new(shape[0], rows, vec![0u32; shape[0]]).unwrap();
        let streamed: Vec<f32> = (0..shape[0]).flat_map(|row| data.row(row).unwrap()).collect();
        assert_eq!(Features::F32(streamed), values, "{name}");
    }
    expect_error(
        FileRows::open_npy(numpy_file("fortran.npy")),
        &["expected C order (row by row), got Fortran order", "Npy::load"],
    );
}

/// Values keep their scale unless the caller sets another one, and the description of a data set contains the scale.
#[test]
fn the_caller_sets_the_scale_in_memory_and_in_files() {
    let folder = Folder::new();
    let wide = npy("{'descr': '<u2', 'fortran_order': False, 'shape': (2, 1)}", &[0, 0, 0xff, 0xff]);
    let wide = folder.file("wide.npy", wide);
    let second_row = |features: Features| {
        let data = Dataset::new(2, features, &[0.0, 1.0]).unwrap();
        (data.row(1).unwrap(), data.to_string())
    };
    let description = |kind: &str, inputs: usize| {
        format!("2 rows of {inputs} feature{} ({kind}), with 1 value each", if inputs == 1 { "" } else { "s" })
    };
    let rows = FileRows::open_npy(&wide).unwrap();
    assert_eq!(second_row(rows.clone().into()), (vec![65_535.0], description("u16 in a file", 1)));
    let scaled = rows.with_scale(1.0 / 65_535.0);
    assert_eq!(second_row(scaled.clone().into()), (vec![1.0], description("u16 times 0.000015259022 in a file", 1)));
    assert_eq!(scaled.scale(), 1.0 / 65_535.0);

    let bytes = FileRows::open_npy(numpy_file("u1.npy")).unwrap();
    assert_eq!(second_row(bytes.clone().into()), (vec![250.0, 4.0, 5.0], description("bytes times 1 in a file", 3)));
    let half = bytes.with_scale(0.5);
    assert_eq!(second_row(half.into()), (vec![125.0, 2.0, 2.5], description("bytes times 0.5 in a file", 3)));
    let bytes = Npy::load(numpy_file("u1.npy")).unwrap().into_values();
    assert_eq!(second_row(bytes.clone()), (vec![250.0, 4.0, 5.0], description("bytes times 1", 3)));
    assert_eq!(second_row(bytes.with_scale(0.5).unwrap()), (vec![125.0, 2.0, 2.5], description("bytes times 0.5", 3)));
    expect_error(
        floats(&[1.0]).with_scale(0.5),
        &["Features::with_scale: expected bytes or rows in a file, got f32; multiply"],
    );
    // A scale that is NaN or too large, and a scale whose product with a value of the file is infinite.
    for scale in [f32::NAN, f32::MAX] {
        expect_error(Dataset::new(1, Features::bytes([1], scale), &[0.0]), &["byte scale: expected a finite number"]);
        expect_error(Dataset::new(2, FileRows::open_npy(&wide).unwrap().with_scale(scale), &[0.0; 2]), &["byte scale"]);
    }
    let large = FileRows::open_npy(&wide).unwrap().with_scale(1e35);
    expect_error(Dataset::new(2, large, &[0.0; 2]), &["features: row 1, column 0: expected a finite number, got inf"]);
}

#[test]
fn half_precision_rows_stream_like_they_load() {
    let header = "{'descr': '<f2', 'fortran_order': False, 'shape': (4, 2)}";
    // The bits that numpy gives to 1.5, -0.25, the largest and the smallest number, -0, 1/3, 1024 and -2.
    let halves: [u16; 8] = [0x3e00, 0xb400, 0x7bff, 0x0001, 0x8000, 0x3555, 0x6400, 0xc000];
    let values = [1.5, -0.25, 65504.0, 5.960_464_5e-8, -0.0, 0.333_251_95, 1024.0, -2.0];
    let folder = Folder::new();
    let path = folder.file("half.npy", npy(header, halves.map(u16::to_le_bytes).as_flattened()));
    assert_eq!(Npy::load(&path).unwrap().values(), &floats(&values));
    let data = Dataset::new(4, FileRows::open_npy(&path).unwrap(), vec![0u32; 4]).unwrap();
    let streamed: Vec<f32> = (0..4).flat_map(|row| data.row(row).unwrap()).collect();
    assert_eq!(streamed, values);
    for (pattern, value) in [(0x7c00u16, "inf"), (0xfc00, "-inf"), (0x7e01, "NaN")] {
        let mut non_finite = halves;
        non_finite[5] = pattern;
        let path = folder.file("non_finite.npy", npy(header, non_finite.map(u16::to_le_bytes).as_flattened()));
        let words = ["features: row 2, column 1: expected a finite number, got", value];
        expect_error(Dataset::new(4, FileRows::open_npy(&path).unwrap(), vec![0u32; 4]), &words);
        expect_error(Dataset::new(4, Npy::load(&path).unwrap().into_values(), vec![0u32; 4]), &words);
    }
}

#[test]
fn an_error_names_the_format_of_a_wrong_file() {
    let folder = Folder::new();
    let npz = numpy_file("deflated.npz");
    expect_error(
        Npy::load(&npz),
        &["deflated.npz: byte 0: expected a numpy npy file, got a numpy npz archive; use Npy::load_npz"],
    );
    expect_error(FileRows::open_npy(&npz), &["got a numpy npz archive; use Npy::load_npz"]);
    expect_error(
        Npy::load_npz(numpy_file("u1.npy"), "x"),
        &["expected the central directory of a zip archive, got a numpy npy file; use Npy::load"],
    );
    expect_error(Idx::load(&npz), &["expected an IDX file", "got a numpy npz archive"]);
    expect_error(
        FileRows::open_idx(numpy_file("u1.npy")),
        &["expected an IDX file", "got a numpy npy file; use Npy::load"],
    );
    let idx = folder.file("images", [0, 0, 8, 1, 0, 0, 0, 1, 7]);
    expect_error(Npy::load(&idx), &["got an IDX file; use Idx::load"]);
    let png = folder.file("image.npy", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    expect_error(Npy::load(&png), &["got a PNG image"]);
    for path in [&npz, &numpy_file("u1.npy"), &idx, &png] {
        expect_error(Model::load(path), &["byte 0: expected a safetensors file, got a"]);
        expect_error(Checkpoint::load(path), &["byte 0: expected a safetensors file, got a"]);
        expect_error(Model::from_bytes(&fs::read(path).unwrap()), &["bytes: byte 0: expected a safetensors file"]);
    }
    let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/files/plain.safetensors");
    expect_error(Npy::load(&model), &["got a safetensors file; use Model::load"]);
    expect_error(Idx::load(&model), &["got a safetensors file; use Model::load"]);
    expect_error(
        Npy::load(folder.file("page.npy", "<!DOCTYPE html><p>")),
        &["got a web page; a download may have failed"],
    );
}

#[test]
fn arrays_of_an_archive_load_by_name() {
    for (name, shape) in [("stored.npz", [2, 3]), ("deflated.npz", [64, 8])] {
        assert_eq!(Npy::npz_names(numpy_file(name)).unwrap(), ["x", "y"]);
        let (x, y) = (Npy::load_npz(numpy_file(name), "x").unwrap(), Npy::load_npz(numpy_file(name), "y").unwrap());
        assert_eq!((x.shape(), y.shape()), (&shape[..], &shape[..1]));
        let is_bytes = matches!(x.values(), Features::U8 { .. });
        let data = Dataset::new(x.rows(), x.into_values(), y.class_ids().unwrap()).unwrap();
        assert_eq!((data.rows(), data.inputs(), is_bytes), (shape[0], shape[1], name == "stored.npz"));
    }
    expect_error(
        Npy::load_npz(numpy_file("stored.npz"), "z"),
        &["stored.npz: arrays: expected an array \"z\", got x, y"],
    );
}

#[test]
fn saved_arrays_load_unchanged() {
    let folder = Folder::new();
    let path = folder.join("deeper").join("saved.npy");
    for shape in [&[][..], &[6], &[2, 3], &[1, 6, 1], &[0, 3]] {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = [0.5, -1.0, f32::MAX, 1e-40, f32::NEG_INFINITY, 0.0][..count].to_vec();
        for array in [Npy::new(shape, values).unwrap(), Npy::new(shape, vec![255u8; count]).unwrap()] {
            array.save(&path).unwrap();
            assert_eq!(Npy::load(&path).unwrap(), array);
            let header_len = fs::read(&path).unwrap().iter().position(|byte| *byte == b'\n').unwrap() + 1;
            assert_eq!(header_len % 64, 0, "numpy aligns the values to 64 bytes");
        }
    }
    // Booleans are bytes of 0 and 1. Bytes with a scale are saved as their scaled values.
    let booleans = Npy::load(numpy_file("bool.npy")).unwrap();
    booleans.save(&path).unwrap();
    assert_eq!(Npy::load(&path).unwrap(), booleans);
    Npy::new([2, 3], Features::bytes([6; 6], 0.25)).unwrap().save(&path).unwrap();
    assert_eq!(Npy::load(&path).unwrap().values(), &floats(&[1.5; 6]));
    // A file of numpy keeps its bytes.
    Npy::load(numpy_file("little_f4.npy")).unwrap().save(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(numpy_file("little_f4.npy")).unwrap());
    expect_error(Npy::new([2, 3], [1.0; 5].to_vec()), &["Npy::new: expected 6 values, got 5"]);
    expect_error(Npy::new([usize::MAX, 2], vec![1.0]), &["Npy::new: "]);
}

#[test]
fn class_ids_must_be_whole_numbers() {
    let class_ids = |values: &[f32]| Npy::new([values.len()], values).unwrap().class_ids();
    assert_eq!(class_ids(&[0.0, 3.0, 16_777_215.0]).unwrap(), [0, 3, 16_777_215]);
    expect_error(class_ids(&[0.0, 0.5]), &["class ids: expected integers in [0, 16777216), got 0.5 at index 1"]);
    // 2^24 may have been 2^24 + 1 in the file, which f32 rounds to 2^24.
    for value in [-1.0, f32::NAN, f32::INFINITY, 16_777_216.0] {
        expect_error(class_ids(&[value]), &["class ids: expected integers", "at index 0"]);
    }
}

#[test]
fn an_invalid_npy_file_is_an_error_with_its_byte() {
    let folder = Folder::new();
    let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    assert_eq!(Npy::load(folder.file("good.npy", npy(good, &[0; 8]))).unwrap().values(), &floats(&[0.0; 2]));
    let headers = [
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,) ",
            "byte 65, the header: expected '}', got the end of the header",
        ),
        ("('descr')", "byte 10, the header: expected '{', got \"('descr')\""),
        ("{}", "expected the keys 'descr', 'fortran_order' and 'shape' before this byte, got the end of the header"),
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
    for (header, message) in headers {
        expect_error(Npy::load(folder.file("bad.npy", npy(header, &[0; 8]))), &["bad.npy: byte ", message]);
    }
    let shapes = ["4611686018427387904, 4", "9223372036854775807", "1000000000000", "3", "1", "0"];
    for shape in shapes {
        let header = good.replace("2,", shape);
        expect_error(
            Npy::load(folder.file("huge.npy", npy(&header, &[0; 8]))),
            &["the values: expected [", "got 8 bytes"],
        );
    }
    expect_error(Npy::load(folder.file("nested.npy", npy(&"[".repeat(60_000), &[]))), &["expected '{', got \"[[[["]);
    expect_error(
        Npy::load(folder.file("empty.npy", "")),
        &["empty.npy: byte 0: expected a numpy npy file, got an empty file"],
    );
    expect_error(Npy::load(folder.file("text.npy", "1,2\n")), &["got a file that begins with \"1,2\\n\""]);
    expect_error(Npy::load(folder.file("new.npy", b"\x93NUMPY\x04\x00\x00\x00")), &["version 1, 2 or 3, got 4"]);
    let long = [b"\x93NUMPY\x02\x00", &u32::MAX.to_le_bytes()[..]].concat();
    expect_error(Npy::load(folder.file("long.npy", long)), &["byte 12, the header: expected 4294967295 bytes, got 0"]);
    expect_error(
        Npy::load(numpy_file("text.npy")),
        &["text.npy: byte 20, the header: expected numbers", "got \"'<U2'\""],
    );
    expect_error(
        Npy::load(numpy_file("record.npy")),
        &["record.npy: byte 20, the header: expected numbers", "got \"[('a'"],
    );
    expect_error(Npy::load(folder.join("none.npy")), &["none.npy: "]);
}

#[test]
fn truncated_and_changed_files_cause_no_panic() {
    let folder = Folder::new();
    for name in ["little_f4.npy", "version2.npy", "fortran.npy"] {
        let whole = fs::read(numpy_file(name)).unwrap();
        for end in 0..whole.len() {
            expect_error(Npy::from_bytes(&whole[..end], "cut"), &["cut: byte "]);
        }
        for (index, change) in (0..whole.len()).flat_map(|index| [0x01, 0x10, 0xff].map(|change| (index, change))) {
            let mut changed = whole.clone();
            changed[index] ^= change;
            let _ = Npy::from_bytes(changed, "changed");
        }
    }
    for name in ["stored.npz", "deflated.npz"] {
        let whole = fs::read(numpy_file(name)).unwrap();
        for end in 0..whole.len() {
            expect_error(Npy::load_npz(folder.file("cut.npz", &whole[..end]), "x"), &["cut.npz: byte "]);
        }
        for (index, change) in (0..whole.len()).flat_map(|index| [0x01, 0xff].map(|change| (index, change))) {
            let mut changed = whole.clone();
            changed[index] ^= change;
            let path = folder.file("changed.npz", changed);
            let _ = Npy::load_npz(&path, "x");
        }
    }
}

#[test]
fn an_archive_with_a_wrong_directory_is_an_error() {
    let folder = Folder::new();
    let whole = fs::read(numpy_file("deflated.npz")).unwrap();
    let directory = whole.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    let load_changed = |offset: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[offset..offset + bytes.len()].copy_from_slice(bytes);
        Npy::load_npz(folder.file("changed.npz", changed), "x")
    };
    expect_error(load_changed(directory + 24, &[1, 0, 0, 0]), &["byte 0, x.npy: expected 1 bytes, got more"]);
    expect_error(load_changed(directory + 24, &[0xfe, 0xff, 0xff, 0xff]), &["expected 4294967294 bytes, got 2176"]);
    expect_error(load_changed(directory + 24, &[0xff; 4]), &["expected a file of less than 4 GiB, got a zip64 entry"]);
    expect_error(
        load_changed(directory + 20, &[0xfe; 4]),
        &["a file header and 4278124286 bytes, got the end of the archive"],
    );
    expect_error(load_changed(directory + 42, &[0xff; 4]), &["byte 4294967295, x.npy"]);
    expect_error(load_changed(directory + 16, &[0; 4]), &["x.npy: expected a checksum of 0x00000000, got 0x"]);
    expect_error(load_changed(directory + 10, &[12]), &["a stored or deflated file, got compression method 12"]);
    expect_error(load_changed(directory + 8, &[1]), &["got an encrypted file"]);
    expect_error(load_changed(whole.len() - 12, &[9, 0]), &["expected 9 entries in the central directory, got 2"]);
    expect_error(load_changed(whole.len() - 6, &[0xff; 4]), &["byte 4294967295: expected 2 entries"]);
    expect_error(
        Npy::npz_names(folder.file("empty.npz", "")),
        &["empty.npz: byte 0, the end: expected the central directory of a zip archive, got an empty file"],
    );
    expect_error(
        Npy::npz_names(numpy_file("u1.npy")),
        &["u1.npy: byte 134, the end: expected the central directory of a zip archive, got a numpy npy file"],
    );
}
