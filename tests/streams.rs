//! Data sets that the device does not hold, and those that stay in their file: the same bits, and an error where there are none.

use std::fs;

use crate::common::{Folder, adapters, bits, devices, numbers, open};
use gradus::{
    Activation, Dataset, Device, Error, Features, Loss, Member, MlpClassifier, Network, Optimizer, Population, Trainer,
    TrainerSettings,
    data::{
        Fold, Scaler, Scaling, Split, Subset,
        formats::{Idx, Npy},
    },
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

/// Every kind of data set, and how it is trained.
fn kinds() -> Vec<(Dataset, TrainerSettings)> {
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

/// What a training leaves, as bits.
fn trained(device: &Device, data: &Dataset, settings: &TrainerSettings) -> [Vec<u32>; 3] {
    let mut trainer = Trainer::new(device, &network(settings.loss), data, settings.clone()).expect("a trainer");
    let mut losses = trainer.run(17).expect("steps").losses;
    losses.extend(trainer.run(40).expect("steps").losses);
    let metrics = trainer.evaluate(data).expect("an evaluation");
    let told = vec![metrics.loss() as f32, metrics.accuracy().unwrap_or_default() as f32];
    let of = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    [of(losses), of(told), bits(&trainer.parameters().expect("parameters"))]
}

#[test]
fn a_streamed_data_set_trains_the_same_bits() {
    for adapter in adapters() {
        let device = open(&adapter, None);
        for (i, (data, settings)) in kinds().iter().enumerate() {
            let [resident, streamed] = [device.clone(), device.clone().with_dataset_memory_limit(0)]
                .map(|device| trained(&device, data, settings));
            assert!(resident == streamed, "{device}, kind {i}");
        }
    }
}

#[test]
fn the_plan_says_that_it_streams_and_what_is_streamed_is_not_recorded() {
    for adapter in adapters() {
        let device = open(&adapter, None).with_dataset_memory_limit(1000);
        let (data, settings) = &kinds()[0];
        let mut trainer = Trainer::new(&device, &network(settings.loss), data, settings.clone()).expect("a trainer");
        assert!(trainer.plan().dispatches().iter().any(|row| row.kernel == "stream"), "{}", trainer.plan());
        assert!(trainer.profile(20).is_ok());
        let (wgpu, _) = device.wgpu().expect("a device");
        let mut encoder = wgpu.create_command_encoder(&gradus::wgpu::CommandEncoderDescriptor::default());
        let refused = trainer.record_steps(&mut encoder, 1).expect_err("it is not there");
        assert!(refused.to_string().contains("streamed"), "{refused}");

        let small = Dataset::new(4, numbers(4 * INPUTS, 1), numbers(12, 2)).expect("a data set");
        let trainer = Trainer::new(&device, &network(settings.loss), &small, settings.clone()).expect("a trainer");
        assert!(trainer.plan().dispatches().iter().all(|row| row.kernel != "stream"), "{}", trainer.plan());
    }
}

/// The histories and scores of networks with rows of their own.
fn populated(device: &Device, data: &Dataset) -> (Vec<RunReport>, Vec<f64>) {
    let rows = [
        Subset::All,
        Subset::TrainFold(Fold { index: 1, count: 3, seed: Some(3) }),
        Subset::Range { start: 20, len: 50 },
        Subset::Bootstrap { seed: 4 },
        Subset::TrainFold(Fold { index: 0, count: 4, seed: None }),
    ];
    let settings = settings(Loss::SoftmaxCrossEntropy);
    let member =
        |(seed, rows): (u64, &Subset)| Member::new(TrainerSettings { seed, ..settings.clone() }).with_subset(*rows);
    let members: Vec<Member> = (0..).zip(&rows).map(member).collect();
    let mut population = Population::new(device, &network(settings.loss), data, &members).expect("a population");
    let mut reports = population.run(13).expect("steps");
    population.stop(1).expect("a network");
    reports.extend(population.run(20).expect("steps"));
    let mut scores = Vec::new();
    for metrics in [population.evaluate(data), population.evaluate_subsets(&rows)] {
        for metrics in metrics.expect("an evaluation") {
            scores.extend([metrics.loss(), metrics.accuracy().unwrap_or_default()]);
        }
    }
    (reports, scores)
}

#[test]
fn networks_with_rows_of_their_own_take_them_from_a_stream_too() {
    for adapter in adapters() {
        let device = open(&adapter, None);
        let (data, _) = &kinds()[3];
        let [resident, streamed] =
            [device.clone(), device.clone().with_dataset_memory_limit(0)].map(|device| populated(&device, data));
        assert_eq!(resident, streamed, "{device}");
    }
}

/// An npy file of these numbers, as f64 with the highest byte first.
fn big_f64(values: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '>f8', 'fortran_order': False, 'shape': ({ROWS}, 2, 3), }}");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    values.iter().for_each(|value| file.extend(f64::from(*value).to_be_bytes()));
    file
}

#[test]
fn rows_that_stay_in_their_file_train_the_same_bits() {
    let folder = Folder::new();
    let [floats, wide, small, idx] = ["f4.npy", "f8.npy", "u1.npy", "images"].map(|name| folder.join(name));
    let values = numbers(ROWS * INPUTS, 1);
    Npy::new([ROWS, INPUTS], values.clone()).expect("an array").save(&floats).expect("a file");
    Npy::new([ROWS, INPUTS], bytes()).expect("an array").save(&small).expect("a file");
    fs::write(&wide, big_f64(&values)).expect("a file");
    let sizes = [0x803, ROWS as u32, 2, 3].map(u32::to_be_bytes);
    fs::write(&idx, [sizes.concat(), bytes()].concat()).expect("a file");
    let entropy = settings(Loss::SoftmaxCrossEntropy);
    for device in devices() {
        let set = |features: Features| Dataset::new(ROWS, features, classes()).expect("a data set");
        let of_file = |rows: gradus::Result<gradus::data::FileRows>| set(rows.expect("rows").into());
        for device in [device.clone(), device.with_dataset_memory_limit(0)] {
            let from_memory = trained(&device, &set(values.clone().into()), &entropy);
            for path in [&floats, &wide] {
                assert!(trained(&device, &of_file(Npy::rows_in(path)), &entropy) == from_memory, "{device}, {path:?}");
            }
            let from_memory = trained(&device, &set(pixels()), &entropy);
            for rows in [Npy::rows_in(&small), Idx::rows_in(&idx)] {
                assert!(
                    trained(&device, &of_file(rows.map(|rows| rows.with_scale(1.0 / 255.0))), &entropy) == from_memory
                );
            }
        }
    }
    // Rows that were picked make a data set of their own, however many.
    let some =
        Dataset::new(ROWS, Npy::rows_in(&floats).expect("rows"), classes()).and_then(|all| all.select(&[3; 2 * ROWS]));
    let some = some.expect("rows").features().clone();
    assert!(Dataset::new(2 * ROWS, some, vec![0_u32; 2 * ROWS]).is_ok());
    // What is made of them is what is made of those in memory.
    let (here, there) = (Npy::load(&floats).expect("an array"), Npy::rows_in(&floats).expect("rows"));
    let set = |features: Features| Dataset::new(ROWS, features, classes()).expect("a data set");
    let (here, there) = (set(here.into_values()), set(there.into()));
    assert_eq!(Scaler::fit(Scaling::Standard, &here), Scaler::fit(Scaling::Standard, &there));
    let parts = |data: &Dataset| {
        let (train, test) = data.split(&Split { fraction: 0.25, stratified: true }, 3).expect("a split");
        [train, test]
    };
    for (here, there) in parts(&here).iter().zip(parts(&there)) {
        assert_eq!((here.rows(), here.targets()), (there.rows(), there.targets()));
        (0..here.rows()).for_each(|row| assert_eq!(here.row(row), there.row(row), "row {row}"));
    }
}

#[test]
fn a_file_that_ends_while_it_trains_is_an_error_again_and_again() {
    let folder = Folder::new();
    let path = folder.join("rows.npy");
    for device in devices() {
        Npy::new([ROWS, INPUTS], numbers(ROWS * INPUTS, 1)).expect("an array").save(&path).expect("a file");
        let rows = Npy::rows_in(&path).expect("rows");
        let data = Dataset::new(ROWS, rows, classes()).expect("a data set");
        let device = device.with_dataset_memory_limit(0);
        let settings = settings(Loss::SoftmaxCrossEntropy);
        let mut trainer = Trainer::new(&device, &network(settings.loss), &data, settings).expect("a trainer");
        trainer.run(5).expect("steps");
        let file = fs::OpenOptions::new().write(true).open(&path).expect("a file");
        file.set_len(1000).expect("it is cut");
        for _ in 0..2 {
            let refused = trainer.run(20).expect_err("rows are missing");
            assert!(matches!(refused, Error::Io { .. }), "{device}: {refused}");
            assert!(refused.to_string().contains("rows.npy: the file ends before byte"), "{device}: {refused}");
            assert!(matches!(trainer.evaluate(&data), Err(Error::Io { .. })), "{device}");
        }
        // Bytes are not looked at before they are taken.
        Npy::new([ROWS, INPUTS], bytes()).expect("an array").save(&path).expect("a file");
        let rows = Npy::rows_in(&path).expect("rows");
        let file = fs::OpenOptions::new().write(true).open(&path).expect("a file");
        file.set_len(300).expect("it is cut");
        let mut network = MlpClassifier::new().device(device.clone());
        for _ in 0..2 {
            let refused = network.partial_fit(rows.clone(), &classes(), Some(&[0, 1, 2])).map(drop);
            assert!(matches!(refused, Err(Error::Io { .. })), "{device}: {refused:?}");
        }
    }
}

#[test]
fn a_file_whose_rows_cannot_stay_there_is_refused() {
    let folder = Folder::new();
    let path = folder.join("rows.npy");
    let saved = |values: Vec<f32>| {
        Npy::new([ROWS, INPUTS], values).expect("an array").save(&path).expect("a file");
        fs::read(&path).expect("a file")
    };
    let refused = |content: &[u8]| {
        fs::write(&path, content).expect("a file");
        Npy::rows_in(&path).map(|rows| rows.rows()).expect_err("it is refused").to_string()
    };
    let whole = saved(numbers(ROWS * INPUTS, 1));
    assert!(refused(&whole[..whole.len() - 1]).contains("got 2423 bytes"));
    assert!(refused(&[&whole[..], b"x"].concat()).contains("got 2425 bytes"));
    assert!(refused(b"").contains("expected a numpy npy file, got an empty file"));
    let mut turned = whole.clone();
    let at = whole.windows(5).position(|word| word == b"False").expect("a word");
    turned[at..at + 5].copy_from_slice(b"True ");
    assert!(refused(&turned).contains("column by column"), "{}", refused(&turned));

    let mut values = numbers(ROWS * INPUTS, 1);
    values[70 * INPUTS + 4] = f32::NAN;
    saved(values);
    let wrong = Dataset::new(ROWS, Npy::rows_in(&path).expect("rows"), classes()).expect_err("it is no number");
    assert!(matches!(wrong, Error::NonFinite { row: 70, column: 4, .. }), "{wrong}");
    let other = Dataset::new(ROWS + 1, Npy::rows_in(&path).expect("rows"), vec![0_u32; ROWS + 1]);
    assert!(matches!(other, Err(Error::Shape { .. })));
    assert!(matches!(Npy::rows_in(folder.join("none")), Err(Error::Io { .. })));
    let idx = [[0x803, 2, 2, 2].map(u32::to_be_bytes).concat(), vec![0; 7]].concat();
    fs::write(&path, idx).expect("a file");
    assert!(matches!(Idx::rows_in(&path), Err(Error::Format { .. })));
}
