//! Networks of sine activations (Sitzmann et al. 2020), which fit images.

use gradus::{Activation, Dataset, Device, Init, Loss, Network, Optimizer, Trainer, TrainerSettings};

const SIDE: usize = 32;

/// Returns a gray image with edges and waves. The features are the coordinates of a pixel, the target is its value.
/// Both are in [-1, 1].
fn image() -> Dataset {
    let (mut points, mut values) = (Vec::new(), Vec::new());
    let coordinate = |i: usize| 2.0 * i as f32 / (SIDE - 1) as f32 - 1.0;
    for (u, v) in (0..SIDE * SIDE).map(|i| (coordinate(i / SIDE), coordinate(i % SIDE))) {
        let disk = if (u - 0.2).powi(2) + (v + 0.1).powi(2) < 0.2 { 0.5 } else { -0.3 };
        let squares = if ((u * 6.0).floor() + (v * 6.0).floor()) as i32 % 2 == 0 { 0.3 } else { -0.3 };
        points.extend([u, v]);
        values.push(disk + squares + 0.2 * (14.0 * u * v).sin());
    }
    Dataset::new(SIDE * SIDE, points, values).expect("a data set")
}

/// Trains for 250 steps and returns the peak signal-to-noise ratio in dB, for values in [-1, 1].
fn psnr(network: &Network) -> f64 {
    let optimizer = Optimizer::adam(5e-4);
    let settings =
        TrainerSettings { batch_size: SIDE * SIDE, loss: Loss::Mse, optimizer, ..TrainerSettings::default() };
    let mut trainer = Trainer::new(&Device::cpu(), network, &image(), settings).expect("a trainer");
    trainer.run(250).expect("steps");
    let mean_squared_error = trainer.evaluate(&image()).expect("metrics").loss();
    10.0 * (4.0 / mean_squared_error).log10()
}

/// `Init::Siren` is the default of sine networks. Glorot's initialization in the output layer loses several dB.
#[test]
fn siren_initialization_fits_an_image_better_than_glorot() {
    let sine = Activation::Sine { frequency: 30.0 };
    let network = Network::new(2).dense(48, sine).dense(48, sine).dense(48, sine).dense(1, Activation::Identity);
    let default = psnr(&network);
    let siren = psnr(&network.clone().init(Init::Siren { frequency: 30.0 }, Init::Zeros));
    let glorot = psnr(&network.init_with(|layer| match layer.activation {
        Activation::Identity => (Init::GlorotUniform, Init::Zeros),
        _ => (layer.weight_init, layer.bias_init),
    }));
    println!("default: {default:.1} dB, Siren: {siren:.1} dB, Glorot in the output layer: {glorot:.1} dB");
    assert_eq!(default, siren);
    assert!(default > glorot + 3.0, "default: {default} dB, Glorot in the output layer: {glorot} dB");
}
