//! Steps and predictions recorded into the command encoders of an application, on its device and with its buffers.

use crate::common::{adapters, application_device, bits, devices, numbers};
use gradus::{Activation, Dataset, Device, Error, Network, Optimizer, Predictor, Trainer, TrainerSettings, wgpu};

const ROWS: usize = 50;

fn network() -> Network {
    Network::new(3).dense(9, Activation::Tanh).dense(2, Activation::Sigmoid)
}

fn data() -> Dataset {
    Dataset::new(ROWS, numbers(ROWS * 3, 1), numbers(ROWS * 2, 2)).expect("a data set")
}

fn settings() -> TrainerSettings {
    TrainerSettings { batch_size: 8, optimizer: Optimizer::momentum(0.1, 0.9), ..TrainerSettings::default() }
}

/// Returns a gradus device on the wgpu device of an application, for every adapter.
fn application_devices() -> impl Iterator<Item = (Device, wgpu::Device, wgpu::Queue)> {
    adapters().into_iter().map(|adapter| {
        let (device, queue) = application_device(&adapter, None);
        (Device::from_wgpu(device.clone(), queue.clone()).expect("its limits are sufficient"), device, queue)
    })
}

#[test]
fn recorded_steps_equal_the_steps_of_run() {
    for (gradus_device, device, queue) in application_devices() {
        let mut run = Trainer::new(&gradus_device, &network(), &data(), settings()).expect("a trainer");
        let mut recorded = Trainer::new(&gradus_device, &network(), &data(), settings()).expect("a trainer");
        let report = run.run(30).expect("it trains");
        // Several encoders hold recordings at the same time, and one encoder holds two recordings.
        let encoders = [&[7][..], &[1, 12], &[10]].map(|recordings| {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for steps in recordings {
                recorded.record_steps(&mut encoder, *steps).expect("a recording");
            }
            encoder
        });
        queue.submit(encoders.map(wgpu::CommandEncoder::finish));
        assert_eq!(recorded.take_report().expect("losses"), report, "{gradus_device}");
        let [run, recorded] = [run, recorded].map(|trainer| bits(&trainer.parameters().expect("parameters")));
        assert_eq!(run, recorded, "{gradus_device}");
    }
}

#[test]
fn recorded_predictions_equal_predict_and_invalid_recordings_fail() {
    for (gradus_device, device, queue) in application_devices() {
        let mut trainer = Trainer::new(&gradus_device, &network(), &data(), settings()).expect("a trainer");
        trainer.run(20).expect("it trains");
        let rows = 21;
        let points = numbers(rows * 3, 3);
        let expected = trainer.predict(&points).expect("outputs");
        let buffer = |bytes: usize, usage| {
            let descriptor =
                wgpu::BufferDescriptor { label: None, size: bytes as u64, usage, mapped_at_creation: false };
            device.create_buffer(&descriptor)
        };
        let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let (inputs, outputs) = (buffer(4 * points.len(), storage), buffer(4 * rows * 2 + 40, storage));
        let read = buffer(4 * rows * 2, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        let bytes: Vec<u8> = points.iter().flat_map(|value| value.to_le_bytes()).collect();
        queue.write_buffer(&inputs, 0, &bytes);
        let parameters = trainer.parameters().expect("parameters");
        let mut predictor = Predictor::new(&gradus_device, &network(), &parameters).expect("a predictor");
        assert_eq!(predictor.predict(&points).expect("outputs"), expected, "{gradus_device}");
        for by_trainer in [true, false] {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.clear_buffer(&outputs, 0, None);
            if by_trainer {
                trainer.record_prediction(&mut encoder, &inputs, rows, &outputs).expect("a recording");
            } else {
                predictor.record(&mut encoder, &inputs, rows, &outputs).expect("a recording");
            }
            encoder.copy_buffer_to_buffer(&outputs, 0, &read, 0, read.size());
            queue.submit([encoder.finish()]);
            read.slice(..).map_async(wgpu::MapMode::Read, |mapped| mapped.expect("the buffer can be mapped"));
            device.poll(wgpu::PollType::wait_indefinitely()).expect("the device finishes");
            let predicted: Vec<f32> = {
                let view = read.slice(..).get_mapped_range().expect("the buffer is mapped");
                view.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            };
            read.unmap();
            assert_eq!(predicted, expected, "{gradus_device}, by the trainer: {by_trainer}");
        }

        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let too_short = trainer.record_prediction(&mut encoder, &inputs, rows + 1, &outputs);
        assert!(matches!(too_short, Err(Error::Shape { .. })), "{gradus_device}: {too_short:?}");
        let wrong_usage = trainer.record_prediction(&mut encoder, &read, rows, &outputs);
        let is_error = matches!(wrong_usage, Err(Error::Shape { .. } | Error::InvalidSetting { .. }));
        assert!(is_error, "{gradus_device}: {wrong_usage:?}");
        for rows in [0, predictor.max_rows().expect("a GPU") + 1] {
            let result = predictor.record(&mut encoder, &inputs, rows, &outputs);
            assert!(matches!(result, Err(Error::InvalidSetting { .. })), "{gradus_device}: {result:?}");
        }
        for steps in [0, 1_000_000] {
            let result = trainer.record_steps(&mut encoder, steps);
            assert!(matches!(result, Err(Error::InvalidSetting { .. })), "{gradus_device}: {result:?}");
        }
    }
}

#[test]
fn a_predictor_predicts_like_the_trainer_of_its_parameters() {
    for device in devices() {
        let mut trainer = Trainer::new(&device, &network(), &data(), settings()).expect("a trainer");
        let parameters = trainer.parameters().expect("parameters");
        let mut predictor = Predictor::new(&device, &network(), &parameters).expect("a predictor");
        trainer.run(20).expect("it trains");
        predictor.set_parameters(&trainer.parameters().expect("parameters")).expect("parameters of this network");
        for rows in [1, 5000] {
            let points = numbers(rows * 3, 4);
            assert_eq!(predictor.predict(&points), trainer.predict(&points), "{device}, {rows} rows");
        }
        assert!(matches!(predictor.predict(&[1.0; 4]), Err(Error::Shape { .. })), "{device}");
        assert!(matches!(predictor.predict(&[f32::NAN; 3]), Err(Error::NonFinite { .. })), "{device}");
        assert!(matches!(Predictor::new(&device, &network(), &[]), Err(Error::Shape { .. })), "{device}");
    }
}
