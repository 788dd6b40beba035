//! The checks that the fuzzers and `tests/malformed_files.rs` apply to an input: each parser accepts or rejects it, and
//! an accepted value can be used and written.

use std::{
    borrow::Cow,
    env,
    fmt::Display,
    fs,
    path::{Path, PathBuf},
    process,
    str::FromStr,
};

use flate2::read::MultiGzDecoder;
use gradus::{
    Activation, Checkpoint, Dataset, Device, Features, Loss, Model, Network, Predictor, Trainer, TrainerSettings,
    data::{
        FileRows,
        formats::{Idx, ImageSettings, Npy},
        table::{
            CategoryEncoding, CategoryImputation, CsvSettings, Encoder, EncoderSettings, NumericImputation, Table,
            TargetKind, UnknownCategory,
        },
    },
    model::TensorNames,
    plan::Plan,
};
use serde_json::Value;

/// A function that parses an input, and panics if the input is a find.
pub type Parser = fn(&[u8]);

/// The parsers by the names of their targets.
pub const PARSERS: [(&str, Parser); 13] = [
    ("checkpoint", checkpoint),
    ("encoder", encoder),
    ("idx", idx),
    ("image", image),
    ("model", model),
    ("names", names),
    ("npy", npy),
    ("npz", npz),
    ("plan", plan),
    ("rows", rows),
    ("table", table),
    ("trace", trace),
    ("weights", weights),
];

/// The maximum number of inputs, outputs or rows of a network that is run. Larger ones would be slow.
const MAX_VALUES: usize = 1 << 12;

fn model(input: &[u8]) {
    for bytes in [Cow::Borrowed(input)].into_iter().chain(with_valid_lengths(input)) {
        let Ok(model) = Model::from_bytes(&bytes) else { continue };
        let written = model.to_bytes().expect("an accepted value can be written");
        assert_eq!(Model::from_bytes(&written).as_ref(), Ok(&model));
        let inputs = model.network.inputs();
        if inputs <= MAX_VALUES
            && let Ok(mut predictor) = Predictor::from_model(&Device::cpu(), &model)
        {
            let _ = predictor.predict(&vec![0.5; inputs]);
        }
    }
}

fn checkpoint(input: &[u8]) {
    for bytes in [Cow::Borrowed(input)].into_iter().chain(with_valid_lengths(input)) {
        let Ok(checkpoint) = Checkpoint::from_bytes(&bytes) else { continue };
        let written = checkpoint.to_bytes().expect("an accepted value can be written");
        // Compare bytes, because a loss that is NaN differs from itself.
        let rewritten = Checkpoint::from_bytes(&written).and_then(|checkpoint| checkpoint.to_bytes());
        assert_eq!(rewritten.as_ref(), Ok(&written));
        let _ = (checkpoint.history.to_string(), checkpoint.history.to_csv(), checkpoint.history.to_json_lines());
        let network = &checkpoint.model.network;
        let [inputs, outputs] = [network.inputs(), network.outputs()];
        if inputs.max(outputs).max(checkpoint.settings.batch_size) <= MAX_VALUES
            && let Ok(mut trainer) = Trainer::resume(&Device::cpu(), &checkpoint, None)
        {
            let _ = trainer.step(&vec![0.5; inputs], &vec![0.5; outputs]);
            let _ = trainer.checkpoint();
        }
    }
}

/// Corrects the length of the header and the length of a safetensors file. Mutations rarely hit these two numbers.
fn with_valid_lengths(input: &[u8]) -> Option<Cow<'_, [u8]>> {
    const MAX_TENSOR_BYTES: u64 = 1 << 16;
    let input = input.get(8..)?;
    let header = &input[..=input.iter().rposition(|byte| *byte == b'}')?];
    let tensors: Value = serde_json::from_slice(header).ok()?;
    let ends = tensors.as_object()?.values().filter_map(|tensor| tensor.get("data_offsets")?.get(1)?.as_u64());
    let end = ends.max().filter(|end| *end <= MAX_TENSOR_BYTES).unwrap_or(0) as usize;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(input);
    file.resize(8 + header.len() + end, 0);
    Some(file.into())
}

/// Loads weights by the tensor names of PyTorch and by names of the caller.
fn weights(input: &[u8]) {
    let plain = Network::new(5).dense(7, Activation::Tanh).dense(3, Activation::Identity);
    let normalized = Network::new(5).dense(7, Activation::Tanh).batch_norm().dense(3, Activation::Identity);
    let caller_names = TensorNames {
        dense: vec!["fc1".into(), "fc2".into()],
        normalizations: vec!["bn1".into()],
        ..TensorNames::default()
    };
    for bytes in [Cow::Borrowed(input)].into_iter().chain(with_valid_lengths(input)) {
        let file = RamFile::new("weights", &bytes);
        for (network, names) in [(&plain, &TensorNames::sequential(&plain)), (&normalized, &caller_names)] {
            let Ok(model) = Model::load_weights(&file.0, network, names) else { continue };
            let written = model.to_bytes().expect("an accepted value can be written");
            assert_eq!(Model::from_bytes(&written).as_ref(), Ok(&model));
        }
    }
}

/// Trains on rows that stay in their file. The file is one byte short in the second epoch.
fn rows(input: &[u8]) {
    let file = RamFile::new("rows", input);
    for opened in [FileRows::open_npy(&file.0), FileRows::open_idx(&file.0)] {
        let Ok(rows) = opened else { continue };
        let [count, columns] = [rows.rows(), rows.columns()];
        let network = Network::new(columns).dense(2, Activation::Sigmoid);
        let settings = TrainerSettings { batch_size: count, ..TrainerSettings::default() };
        let data = Dataset::new(count, rows, vec![1_u32; count]);
        let trained = data.and_then(|data| {
            let mut trainer = Trainer::new(&Device::cpu(), &network, &data, settings)?;
            trainer.run_epoch().map(|_| trainer)
        });
        if let Ok(mut trainer) = trained {
            fs::write(&file.0, &input[..input.len() - 1]).expect("a file");
            assert!(trainer.run_epoch().is_err(), "a missing row is no error");
        }
    }
}

/// A file with an input, in memory if the system has `/dev/shm`. Dropping it deletes the file.
struct RamFile(PathBuf);

impl RamFile {
    fn new(name: &str, content: &[u8]) -> Self {
        let ram = Path::new("/dev/shm");
        let folder = if ram.is_dir() { ram.to_owned() } else { env::temp_dir() };
        let path = folder.join(format!("gradus-{name}-{}", process::id()));
        fs::write(&path, content).expect("a file");
        Self(path)
    }
}

impl Drop for RamFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn table(input: &[u8]) {
    // The bits of the first two bytes are the settings.
    let Some((&[flags, encoding], content)) = input.split_first_chunk() else { return };
    let is_set = |bits: u8, bit: u8| bits >> bit & 1 == 1;
    let delimiter = [None, Some(b';'), Some(b' '), Some(encoding)][usize::from(flags & 3)];
    let Ok(table) = Table::parse_csv(
        content,
        "table",
        &CsvSettings { delimiter, header: is_set(flags, 2), ..CsvSettings::default() },
    ) else {
        return;
    };
    let columns = table.columns();
    assert_eq!(columns.len(), table.column_names().len());
    columns.iter().for_each(|column| assert!(!column.to_string().is_empty()));
    let rows: Vec<_> = (0..table.rows()).rev().collect();
    let reversed_twice = table.select(&rows).and_then(|reversed| reversed.select(&rows)).expect("valid rows");
    assert_eq!(reversed_twice, table);
    let settings = EncoderSettings {
        target_kind: [TargetKind::Auto, TargetKind::Classes, TargetKind::Values][usize::from(flags >> 3 & 3) % 3],
        category_encoding: if is_set(flags, 5) { CategoryEncoding::OneHot } else { CategoryEncoding::Ordinal },
        numeric_imputation: if is_set(encoding, 0) { NumericImputation::Median } else { NumericImputation::Mean },
        category_imputation: if is_set(encoding, 1) {
            CategoryImputation::NewCategory
        } else {
            CategoryImputation::MostFrequent
        },
        unknown_category: if is_set(encoding, 2) { UnknownCategory::Ignore } else { UnknownCategory::Error },
        ..EncoderSettings::default()
    };
    let target = table.column_names().last().expect("a column");
    let Ok(encoder) = Encoder::fit(&table, target, &settings) else { return };
    assert_eq!(encoder.feature_names().len(), encoder.inputs());
    let _ = encoder.dataset(&table);
    let text = serde_json::to_string(&encoder).expect("a text");
    assert_eq!(serde_json::from_str::<Encoder>(&text).expect("an encoder"), encoder);
}

fn encoder(input: &[u8]) {
    let Ok(encoder) = serde_json::from_slice::<Encoder>(input) else { return };
    let names = ["height", "color", "kind"];
    let table = Table::new(&names, &["1.5", "red", "cat", "", "blue", "dog", "2", "", "cat"]).expect("a table");
    let _ = (encoder.transform(&table), encoder.dataset(&table), encoder.inputs(), encoder.feature_names());
    let _ = (encoder.target(), encoder.classes());
}

fn idx(input: &[u8]) {
    let plain = Idx::from_reader(input, "plain").ok();
    let unpacked = Idx::from_reader(MultiGzDecoder::new(input), "packed").ok();
    for array in plain.into_iter().chain(unpacked) {
        assert_eq!(array.shape.iter().product::<usize>(), value_count(&array.values));
        let _ = array.class_ids();
    }
}

fn npy(input: &[u8]) {
    let Ok(array) = Npy::from_bytes(input, "array") else { return };
    assert_eq!(array.shape().iter().product::<usize>(), value_count(array.values()));
    let _ = (array.rows(), array.class_ids());
}

fn value_count(values: &Features) -> usize {
    match values {
        Features::F32(values) => values.len(),
        Features::F64(values) => values.len(),
        Features::U8 { bytes, .. } => bytes.len(),
        Features::File(_) => unreachable!("loaded values are in memory"),
    }
}

fn npz(input: &[u8]) {
    let Ok(names) = Npy::npz_names_from_bytes(input, "archive") else { return };
    for name in names.iter().take(4) {
        let _ = Npy::from_npz_bytes(input, name, "archive");
    }
}

fn image(input: &[u8]) {
    // The bits of the first byte are the settings.
    let Some((flags, content)) = input.split_first() else { return };
    let size = if flags & 2 == 2 { Some([2, 3]) } else { None };
    let background = if flags & 4 == 4 { [0, 128, 255] } else { [255; 3] };
    let settings = ImageSettings { color: flags & 1 == 1, size }.over(background);
    let Ok(([height, width], bytes)) = settings.decode(content, "image") else { return };
    assert_eq!(bytes.len(), height * width * if flags & 1 == 1 { 3 } else { 1 });
    assert!(size.is_none_or(|[h, w]| [h as usize, w as usize] == [height, width]));
}

fn plan(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    check_round_trip::<Plan>(text);
}

fn names(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    check_round_trip::<Activation>(text);
    check_round_trip::<Loss>(text);
}

/// Checks that the text of a parsed value parses to the same value.
fn check_round_trip<T: FromStr<Err = gradus::Error> + Display + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(parsed) = text.parse::<T>() {
        assert_eq!(parsed.to_string().parse(), Ok(parsed));
    }
}

fn trace(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(trace) = crate::trace::Trace::parse(text) {
        let _ = trace.replay_reference();
    }
}
