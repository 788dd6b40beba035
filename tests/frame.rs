//! Training and predicting in the caller's own frame: its device, its encoder, its buffers.

use crate::common::{adapters, bits, callers, devices, numbers};
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

/// The devices of every adapter, made as an application makes its own.
fn frames() -> impl Iterator<Item = (Device, wgpu::Device, wgpu::Queue)> {
    adapters().into_iter().map(|adapter| {
        let (device, queue) = callers(&adapter, None);
        (Device::from_wgpu(device.clone(), queue.clone()).expect("its limits are enough"), device, queue)
    })
}

#[test]
fn recorded_steps_are_the_steps_of_a_run() {
    for (ours, device, queue) in frames() {
        let mut run = Trainer::new(&ours, &network(), &data(), settings()).expect("a trainer");
        let mut recorded = Trainer::new(&ours, &network(), &data(), settings()).expect("a trainer");
        let report = run.run(30).expect("it trains");
        // Two recordings wait in their encoders at once, and one encoder holds two.
        let encoders = [&[7][..], &[1, 12], &[10]].map(|recordings| {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for steps in recordings {
                recorded.record_steps(&mut encoder, *steps).expect("a recording");
            }
            encoder
        });
        queue.submit(encoders.map(wgpu::CommandEncoder::finish));
        assert_eq!(recorded.take_report().expect("losses"), report, "{ours}");
        let [run, recorded] = [run, recorded].map(|trainer| bits(&trainer.parameters().expect("parameters")));
        assert_eq!(run, recorded, "{ours}");
    }
}

#[test]
fn predictions_go_into_a_buffer_of_the_callers() {
    for (ours, device, queue) in frames() {
        let mut trainer = Trainer::new(&ours, &network(), &data(), settings()).expect("a trainer");
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
        let mut alone = Predictor::new(&ours, &network(), &trainer.parameters().expect("parameters")).expect("one");
        assert_eq!(alone.predict(&points).expect("outputs"), expected, "{ours}");
        for by_trainer in [true, false] {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.clear_buffer(&outputs, 0, None);
            if by_trainer {
                trainer.record_prediction(&mut encoder, &inputs, rows, &outputs).expect("a recording");
            } else {
                alone.record(&mut encoder, &inputs, rows, &outputs).expect("a recording");
            }
            encoder.copy_buffer_to_buffer(&outputs, 0, &read, 0, read.size());
            queue.submit([encoder.finish()]);
            read.slice(..).map_async(wgpu::MapMode::Read, |mapped| mapped.expect("it maps"));
            device.poll(wgpu::PollType::wait_indefinitely()).expect("it ends");
            let found: Vec<f32> = {
                let view = read.slice(..).get_mapped_range().expect("it is mapped");
                view.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            };
            read.unmap();
            assert_eq!(found, expected, "{ours}, by the trainer: {by_trainer}");
        }

        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let short = trainer.record_prediction(&mut encoder, &inputs, rows + 1, &outputs);
        assert!(matches!(short, Err(Error::Shape { .. })), "{ours}: {short:?}");
        let unused = trainer.record_prediction(&mut encoder, &read, rows, &outputs);
        assert!(matches!(unused, Err(Error::Shape { .. } | Error::InvalidSetting { .. })), "{ours}: {unused:?}");
        for rows in [0, alone.max_rows().expect("a GPU") + 1] {
            let wrong = alone.record(&mut encoder, &inputs, rows, &outputs);
            assert!(matches!(wrong, Err(Error::InvalidSetting { .. })), "{ours}: {wrong:?}");
        }
        for steps in [0, 1_000_000] {
            let wrong = trainer.record_steps(&mut encoder, steps);
            assert!(matches!(wrong, Err(Error::InvalidSetting { .. })), "{ours}: {wrong:?}");
        }
    }
}

#[test]
fn a_predictor_answers_as_the_trainer_whose_parameters_it_has() {
    for device in devices() {
        let mut trainer = Trainer::new(&device, &network(), &data(), settings()).expect("a trainer");
        let mut predictor = Predictor::new(&device, &network(), &trainer.parameters().expect("some")).expect("one");
        trainer.run(20).expect("it trains");
        predictor.set_parameters(&trainer.parameters().expect("parameters")).expect("they fit");
        for rows in [1, 5000] {
            let points = numbers(rows * 3, 4);
            assert_eq!(predictor.predict(&points), trainer.predict(&points), "{device}, {rows} rows");
        }
        assert!(matches!(predictor.predict(&[1.0; 4]), Err(Error::Shape { .. })), "{device}");
        assert!(matches!(predictor.predict(&[f32::NAN; 3]), Err(Error::NonFinite { .. })), "{device}");
        assert!(matches!(Predictor::new(&device, &network(), &[]), Err(Error::Shape { .. })), "{device}");
    }
}
