//! Streamed data sets: from host memory and from files. They train the same bits as data sets in device memory.

use std::fs;

use crate::common::{Folder, adapters, bits, devices, numbers, open};
use gradus::{
    Activation, Dataset, Device, Error, Features, Loss, Member, MlpClassifier, Network, Optimizer, Population, Trainer,
    TrainerSettings,
    data::{FileRows, Fold, Scaler, Scaling, Split, Subset, formats::Npy},
    train::RunReport,
};

const ROWS: usize = 101;
const INPUTS: usize = 6;

fn classes() -> Vec<u32> {
    (0..ROWS as u32).map(|row| row * row % 3).collect()
}

fn bytes() -> Vec<u8> {
    (0..ROWS * INPUTS).map(|i| (i * 37 % 251) as u8).collect()
}

fn pixels() -> Features {
    Features::bytes(bytes(), 1.0 / 255.0)
}

fn network(loss: Loss) -> Network {
    let last = loss.required_output_activation().unwrap_or(Activation::Identity);
    Network::new(INPUTS).dense(9, Activation::Tanh).dense(3, last)
}

fn settings(loss: Loss) -> TrainerSettings {
    TrainerSettings { batch_size: 8, loss, optimizer: Optimizer::adam(0.01), seed: 5, ..TrainerSettings::default() }
}

/// Returns data sets of every kind, each with settings for its training.
fn cases() -> Vec<(Dataset, TrainerSettings)> {
    let weights: Vec<f32> = (0..ROWS).map(|row| (row % 4) as f32).collect();
    let plain = Dataset::new(ROWS, numbers(ROWS * INPUTS, 1), numbers(ROWS * 3, 2)).expect("a data set");
    let classified = Dataset::new(ROWS, pixels(), classes()).expect("a data set");
    let scaler = Scaler::fit(Scaling::Standard, &classified);
    let (mse, entropy) = (settings(Loss::Mse), settings(Loss::SoftmaxCrossEntropy));
    vec![
        (plain.clone(), mse.clone()),
        (
            plain.clone().with_sample_weights(weights.clone()).expect("weights"),
            TrainerSettings { steps_per_submission: Some(3), ..mse.clone() },
        ),
        (plain.clone(), TrainerSettings { drop_last: true, ..mse.clone() }),
        (plain, TrainerSettings { shuffle: false, input_noise_std: 0.1, ..mse }),
        (classified.clone(), entropy.clone()),
        (
            classified.clone().with_sample_weights(weights).expect("weights"),
            TrainerSettings { batch_size: ROWS, ..entropy.clone() },
        ),
        (
            classified.with_scaler(&scaler).expect("a scaler"),
            TrainerSettings { gradient_accumulation: 2, batch_size: 33, ..entropy },
        ),
    ]
}

/// Trains and returns the losses, the metrics and the parameters, as bits.
fn train(device: &Device, data: &Dataset, settings: &TrainerSettings) -> [Vec<u32>; 3] {
    let mut trainer = Trainer::new(device, &network(settings.loss), data, settings.clone()).expect("a trainer");
    let mut losses = trainer.run(17).expect("steps").losses;
    losses.extend(trainer.run(40).expect("steps").losses);
    let metrics = trainer.evaluate(data).expect("an evaluation");
    let metrics = vec![metrics.loss() as f32, metrics.accuracy().unwrap_or_default() as f32];
    let to_bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    [to_bits(losses), to_bits(metrics), bits(&trainer.parameters().expect("parameters"))]
}

#[test]
fn streamed_training_computes_the_same_bits() {
    for adapter in adapters() {
        let device = open(&adapter, None);
        for (i, (data, settings)) in cases().iter().enumerate() {
            let [resident, streamed] = [device.clone(), device.clone().with_dataset_memory_limit(0)]
                .map(|device| train(&device, data, settings));
            assert!(resident == streamed, "{device}, case {i}");
        }
    }
}

#[test]
fn the_plan_shows_streaming_and_streamed_steps_cannot_be_recorded() {
    for adapter in adapters() {
        let device = open(&adapter, None).with_dataset_memory_limit(1000);
        let (data, settings) = &cases()[0];
        let mut trainer = Trainer::new(&device, &network(settings.loss), data, settings.clone()).expect("a trainer");
        let streams = trainer.plan().dispatches().iter().any(|dispatch| dispatch.kernel == "stream");
        assert!(streams, "{}", trainer.plan());
        assert!(trainer.profile(20).is_ok());
        let (wgpu, _) = device.wgpu().expect("a device");
        let mut encoder = wgpu.create_command_encoder(&gradus::wgpu::CommandEncoderDescriptor::default());
        let error = trainer.record_steps(&mut encoder, 1).expect_err("a streamed data set");
        assert!(error.to_string().contains("streamed"), "{error}");

        let small = Dataset::new(4, numbers(4 * INPUTS, 1), numbers(12, 2)).expect("a data set");
        let trainer = Trainer::new(&device, &network(settings.loss), &small, settings.clone()).expect("a trainer");
        let streams = trainer.plan().dispatches().iter().any(|dispatch| dispatch.kernel == "stream");
        assert!(!streams, "{}", trainer.plan());
    }
}

/// Trains a population whose members have different subsets. Returns the reports and the metrics.
fn train_population(device: &Device, data: &Dataset) -> (Vec<RunReport>, Vec<f64>) {
    let subsets = [
        Subset::All,
        Subset::TrainFold(Fold { index: 1, count: 3, seed: Some(3) }),
        Subset::Range { start: 20, len: 50 },
        Subset::Bootstrap { seed: 4 },
        Subset::TrainFold(Fold { index: 0, count: 4, seed: None }),
    ];
    let settings = settings(Loss::SoftmaxCrossEntropy);
    let member =
        |(seed, subset): (u64, &Subset)| Member::new(TrainerSettings { seed, ..settings.clone() }).with_subset(*subset);
    let members: Vec<Member> = (0..).zip(&subsets).map(member).collect();
    let mut population = Population::new(device, &network(settings.loss), data, &members).expect("a population");
    let mut reports = population.run(13).expect("steps");
    population.stop(1).expect("an active member");
    reports.extend(population.run(20).expect("steps"));
    let mut values = Vec::new();
    for metrics in [population.evaluate(data), population.evaluate_subsets(&subsets)] {
        for metrics in metrics.expect("metrics") {
            values.extend([metrics.loss(), metrics.accuracy().unwrap_or_default()]);
        }
    }
    (reports, values)
}

#[test]
fn members_with_subsets_compute_the_same_bits_when_streamed() {
    for adapter in adapters() {
        let device = open(&adapter, None);
        let (data, _) = &cases()[3];
        let [resident, streamed] =
            [device.clone(), device.clone().with_dataset_memory_limit(0)].map(|device| train_population(&device, data));
        assert_eq!(resident, streamed, "{device}");
    }
}

/// Returns an npy file with the values as big-endian f64.
fn big_f64(values: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '>f8', 'fortran_order': False, 'shape': ({ROWS}, 2, 3), }}");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    values.iter().for_each(|value| file.extend(f64::from(*value).to_be_bytes()));
    file
}

#[test]
fn rows_in_a_file_train_the_same_bits_as_in_memory() {
    let folder = Folder::new();
    let [floats, doubles, bytes_npy, idx] = ["f4.npy", "f8.npy", "u1.npy", "images"].map(|name| folder.join(name));
    let values = numbers(ROWS * INPUTS, 1);
    Npy::new([ROWS, INPUTS], values.clone()).expect("an array").save(&floats).expect("a file");
    Npy::new([ROWS, INPUTS], bytes()).expect("an array").save(&bytes_npy).expect("a file");
    fs::write(&doubles, big_f64(&values)).expect("a file");
    let sizes = [0x803, ROWS as u32, 2, 3].map(u32::to_be_bytes);
    fs::write(&idx, [sizes.concat(), bytes()].concat()).expect("a file");
    let entropy = settings(Loss::SoftmaxCrossEntropy);
    for device in devices() {
        let data_set = |features: Features| Dataset::new(ROWS, features, classes()).expect("a data set");
        let file_data_set = |rows: gradus::Result<FileRows>| data_set(rows.expect("rows").into());
        for device in [device.clone(), device.with_dataset_memory_limit(0)] {
            let from_memory = train(&device, &data_set(values.clone().into()), &entropy);
            for path in [&floats, &doubles] {
                assert!(
                    train(&device, &file_data_set(FileRows::open_npy(path)), &entropy) == from_memory,
                    "{device}, {path:?}"
                );
            }
            let from_memory = train(&device, &data_set(pixels()), &entropy);
            for rows in [FileRows::open_npy(&bytes_npy), FileRows::open_idx(&idx)] {
                assert!(
                    train(&device, &file_data_set(rows.map(|rows| rows.with_scale(1.0 / 255.0))), &entropy)
                        == from_memory
                );
            }
        }
    }
    // Selected rows can be the features of another data set, also more rows than the file has.
    let selected = Dataset::new(ROWS, FileRows::open_npy(&floats).expect("rows"), classes())
        .and_then(|all| all.select(&[3; 2 * ROWS]));
    let selected = selected.expect("rows").features().clone();
    assert!(Dataset::new(2 * ROWS, selected, vec![0_u32; 2 * ROWS]).is_ok());
    // Scalers and splits of rows in a file equal those of rows in memory.
    let (array, rows) = (Npy::load(&floats).expect("an array"), FileRows::open_npy(&floats).expect("rows"));
    let data_set = |features: Features| Dataset::new(ROWS, features, classes()).expect("a data set");
    let (in_memory, in_file) = (data_set(array.into_values()), data_set(rows.into()));
    assert_eq!(Scaler::fit(Scaling::Standard, &in_memory), Scaler::fit(Scaling::Standard, &in_file));
    let split = |data: &Dataset| {
        let (train, test) = data.split(&Split { fraction: 0.25, stratified: true }, 3).expect("a split");
        [train, test]
    };
    for (in_memory, in_file) in split(&in_memory).iter().zip(split(&in_file)) {
        assert_eq!((in_memory.rows(), in_memory.targets()), (in_file.rows(), in_file.targets()));
        (0..in_memory.rows()).for_each(|row| assert_eq!(in_memory.row(row), in_file.row(row), "row {row}"));
    }
}

#[test]
fn a_file_truncated_during_training_is_an_error_on_every_call() {
    let folder = Folder::new();
    let path = folder.join("rows.npy");
    for device in devices() {
        Npy::new([ROWS, INPUTS], numbers(ROWS * INPUTS, 1)).expect("an array").save(&path).expect("a file");
        let rows = FileRows::open_npy(&path).expect("rows");
        let data = Dataset::new(ROWS, rows, classes()).expect("a data set");
        let device = device.with_dataset_memory_limit(0);
        let settings = settings(Loss::SoftmaxCrossEntropy);
        let mut trainer = Trainer::new(&device, &network(settings.loss), &data, settings).expect("a trainer");
        trainer.run(5).expect("steps");
        let file = fs::OpenOptions::new().write(true).open(&path).expect("a file");
        file.set_len(1000).expect("a truncated file");
        for _ in 0..2 {
            let error = trainer.run(20).expect_err("rows are missing");
            assert!(matches!(error, Error::Io { .. }), "{device}: {error}");
            assert!(error.to_string().contains("rows.npy: the file ends before byte"), "{device}: {error}");
            assert!(matches!(trainer.evaluate(&data), Err(Error::Io { .. })), "{device}");
        }
        // Creating a data set of bytes does not read them, because all bytes are finite.
        Npy::new([ROWS, INPUTS], bytes()).expect("an array").save(&path).expect("a file");
        let rows = FileRows::open_npy(&path).expect("rows");
        let file = fs::OpenOptions::new().write(true).open(&path).expect("a file");
        file.set_len(300).expect("a truncated file");
        let mut classifier = MlpClassifier::new().device(device.clone());
        for _ in 0..2 {
            let result = classifier.partial_fit(rows.clone(), &classes(), Some(&[0, 1, 2])).map(drop);
            assert!(matches!(result, Err(Error::Io { .. })), "{device}: {result:?}");
        }
    }
}

#[test]
fn opening_an_invalid_file_is_an_error() {
    let folder = Folder::new();
    let path = folder.join("rows.npy");
    let save = |values: Vec<f32>| {
        Npy::new([ROWS, INPUTS], values).expect("an array").save(&path).expect("a file");
        fs::read(&path).expect("a file")
    };
    let error = |content: &[u8]| {
        fs::write(&path, content).expect("a file");
        FileRows::open_npy(&path).map(|rows| rows.rows()).expect_err("an invalid file").to_string()
    };
    let whole = save(numbers(ROWS * INPUTS, 1));
    assert!(error(&whole[..whole.len() - 1]).contains("got 2423 bytes"));
    assert!(error(&[&whole[..], b"x"].concat()).contains("got 2425 bytes"));
    assert!(error(b"").contains("expected a numpy npy file, got an empty file"));
    let mut fortran = whole.clone();
    let offset = whole.windows(5).position(|word| word == b"False").expect("fortran_order");
    fortran[offset..offset + 5].copy_from_slice(b"True ");
    assert!(error(&fortran).contains("column by column"), "{}", error(&fortran));

    let mut values = numbers(ROWS * INPUTS, 1);
    values[70 * INPUTS + 4] = f32::NAN;
    save(values);
    let non_finite = Dataset::new(ROWS, FileRows::open_npy(&path).expect("rows"), classes()).expect_err("a NaN");
    assert!(matches!(non_finite, Error::NonFinite { row: 70, column: 4, .. }), "{non_finite}");
    let too_few = Dataset::new(ROWS + 1, FileRows::open_npy(&path).expect("rows"), vec![0_u32; ROWS + 1]);
    assert!(matches!(too_few, Err(Error::Shape { .. })));
    assert!(matches!(FileRows::open_npy(folder.join("none")), Err(Error::Io { .. })));
    let idx = [[0x803, 2, 2, 2].map(u32::to_be_bytes).concat(), vec![0; 7]].concat();
    fs::write(&path, idx).expect("a file");
    assert!(matches!(FileRows::open_idx(&path), Err(Error::Format { .. })));
}
