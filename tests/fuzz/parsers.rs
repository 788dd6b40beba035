//! What the fuzzers and `tests/hostile.rs` do with an input: each parser takes it or refuses it, and what it takes can be
//! used and written again.

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

/// Fails where a find is.
pub type Parser = fn(&[u8]);

/// What is parsed, by the names of the targets.
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

/// No more values are computed with, for the sake of speed.
const FEW: usize = 1 << 12;

fn model(input: &[u8]) {
    for bytes in [Cow::Borrowed(input)].into_iter().chain(mended(input)) {
        let Ok(model) = Model::from_bytes(&bytes) else { continue };
        let written = model.to_bytes().expect("what was read can be written");
        assert_eq!(Model::from_bytes(&written).as_ref(), Ok(&model));
        let inputs = model.network.inputs();
        if inputs <= FEW
            && let Ok(mut predictor) = Predictor::from_model(&Device::cpu(), &model)
        {
            let _ = predictor.predict(&vec![0.5; inputs]);
        }
    }
}

fn checkpoint(input: &[u8]) {
    for bytes in [Cow::Borrowed(input)].into_iter().chain(mended(input)) {
        let Ok(checkpoint) = Checkpoint::from_bytes(&bytes) else { continue };
        let written = checkpoint.to_bytes().expect("what was read can be written");
        // Compared as bytes, in which a loss that is no number is itself.
        let again = Checkpoint::from_bytes(&written).and_then(|checkpoint| checkpoint.to_bytes());
        assert_eq!(again.as_ref(), Ok(&written));
        let _ = (checkpoint.history.to_string(), checkpoint.history.to_csv(), checkpoint.history.to_json_lines());
        let network = &checkpoint.model.network;
        let [inputs, outputs] = [network.inputs(), network.outputs()];
        if inputs.max(outputs).max(checkpoint.settings.batch_size) <= FEW
            && let Ok(mut trainer) = Trainer::resume(&Device::cpu(), &checkpoint, None)
        {
            let _ = trainer.step(&vec![0.5; inputs], &vec![0.5; outputs]);
            let _ = trainer.checkpoint();
        }
    }
}

/// A safetensors file whose first bytes say how long its header is, and which has as many bytes as its tensors say: those
/// two numbers alone are hard to hit.
fn mended(input: &[u8]) -> Option<Cow<'_, [u8]>> {
    const MOST: u64 = 1 << 16;
    let input = input.get(8..)?;
    let header = &input[..=input.iter().rposition(|byte| *byte == b'}')?];
    let tensors: Value = serde_json::from_slice(header).ok()?;
    let ends = tensors.as_object()?.values().filter_map(|tensor| tensor.get("data_offsets")?.get(1)?.as_u64());
    let end = ends.max().filter(|end| *end <= MOST).unwrap_or(0) as usize;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(input);
    file.resize(8 + header.len() + end, 0);
    Some(file.into())
}

/// By names of PyTorch's and of the caller's own.
fn weights(input: &[u8]) {
    let plain = Network::new(5).dense(7, Activation::Tanh).dense(3, Activation::Identity);
    let normed = Network::new(5).dense(7, Activation::Tanh).batch_norm().dense(3, Activation::Identity);
    let own = TensorNames {
        dense: vec!["fc1".into(), "fc2".into()],
        normalizations: vec!["bn1".into()],
        ..TensorNames::default()
    };
    for bytes in [Cow::Borrowed(input)].into_iter().chain(mended(input)) {
        let file = RamFile::new("weights", &bytes);
        for (network, names) in [(&plain, &TensorNames::sequential(&plain)), (&normed, &own)] {
            let Ok(model) = Model::load_weights(&file.0, network, names) else { continue };
            let written = model.to_bytes().expect("what was read can be written");
            assert_eq!(Model::from_bytes(&written).as_ref(), Ok(&model));
        }
    }
}

/// Rows that stay in their file, which ends early in the second epoch.
fn rows(input: &[u8]) {
    let file = RamFile::new("rows", input);
    for opened in [Npy::rows_in(&file.0), Idx::rows_in(&file.0)] {
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
            fs::write(&file.0, &input[..input.len() - 1]).expect("it was made");
            assert!(trainer.run_epoch().is_err(), "a row that is not there");
        }
    }
}

/// A file of an input, in memory where the system has a folder there.
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
    let Some((&[how, encoding], content)) = input.split_first_chunk() else { return };
    // Bit by bit.
    let is = |bits: u8, bit: u8| bits >> bit & 1 == 1;
    let delimiter = [None, Some(b';'), Some(b' '), Some(encoding)][usize::from(how & 3)];
    let Ok(table) =
        Table::parse_csv(content, "table", &CsvSettings { delimiter, header: is(how, 2), ..CsvSettings::default() })
    else {
        return;
    };
    let columns = table.columns();
    assert_eq!(columns.len(), table.column_names().len());
    columns.iter().for_each(|column| assert!(!column.to_string().is_empty()));
    let rows: Vec<_> = (0..table.rows()).rev().collect();
    let turned = table.select(&rows).and_then(|turned| turned.select(&rows)).expect("rows that are there");
    assert_eq!(turned, table);
    let settings = EncoderSettings {
        target_kind: [TargetKind::Auto, TargetKind::Classes, TargetKind::Values][usize::from(how >> 3 & 3) % 3],
        category_encoding: if is(how, 5) { CategoryEncoding::OneHot } else { CategoryEncoding::Ordinal },
        numeric_imputation: if is(encoding, 0) { NumericImputation::Median } else { NumericImputation::Mean },
        category_imputation: if is(encoding, 1) {
            CategoryImputation::NewCategory
        } else {
            CategoryImputation::MostFrequent
        },
        unknown_category: if is(encoding, 2) { UnknownCategory::Ignore } else { UnknownCategory::Error },
        ..EncoderSettings::default()
    };
    let answer = table.column_names().last().expect("a column");
    let Ok(encoder) = Encoder::fit(&table, answer, &settings) else { return };
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
    for read in plain.into_iter().chain(unpacked) {
        assert_eq!(read.sizes.iter().product::<usize>(), values(&read.values));
        let _ = read.classes();
    }
}

fn npy(input: &[u8]) {
    let Ok(array) = Npy::from_bytes(input, "array") else { return };
    assert_eq!(array.shape().iter().product::<usize>(), values(array.values()));
    let _ = (array.rows(), array.class_ids());
}

/// How many values were read.
fn values(values: &Features) -> usize {
    match values {
        Features::F32(values) => values.len(),
        Features::F64(values) => values.len(),
        Features::U8 { bytes, .. } => bytes.len(),
        Features::File(_) => unreachable!("it was read"),
    }
}

fn npz(input: &[u8]) {
    let Ok(names) = Npy::npz_names_from_bytes(input, "archive") else { return };
    for name in names.iter().take(4) {
        let _ = Npy::from_npz_bytes(input, name, "archive");
    }
}

fn image(input: &[u8]) {
    let Some((how, content)) = input.split_first() else { return };
    let size = if how & 2 == 2 { Some([2, 3]) } else { None };
    let background = if how & 4 == 4 { [0, 128, 255] } else { [255; 3] };
    let settings = ImageSettings { color: how & 1 == 1, size }.over(background);
    let Ok(([height, width], bytes)) = settings.decode(content, "image") else { return };
    assert_eq!(bytes.len(), height * width * if how & 1 == 1 { 3 } else { 1 });
    assert!(size.is_none_or(|[h, w]| [h as usize, w as usize] == [height, width]));
}

fn plan(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    survives::<Plan>(text);
}

fn names(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    survives::<Activation>(text);
    survives::<Loss>(text);
}

/// What a text is parsed to has a text of its own, which is parsed to the same.
fn survives<T: FromStr<Err = gradus::Error> + Display + PartialEq + std::fmt::Debug>(text: &str) {
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
