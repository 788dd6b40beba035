//! Networks of sines (Sitzmann et al. 2020), which fit images.

use gradus::{Activation, Dataset, Device, Init, Loss, Network, Optimizer, Trainer, TrainerSettings};

const SIDE: usize = 32;

/// A gray image with edges and waves, from -1 to 1, by the coordinates of its pixels.
fn image() -> Dataset {
    let (mut points, mut values) = (Vec::new(), Vec::new());
    let at = |i: usize| 2.0 * i as f32 / (SIDE - 1) as f32 - 1.0;
    for (u, v) in (0..SIDE * SIDE).map(|i| (at(i / SIDE), at(i % SIDE))) {
        let disk = if (u - 0.2).powi(2) + (v + 0.1).powi(2) < 0.2 { 0.5 } else { -0.3 };
        let squares = if ((u * 6.0).floor() + (v * 6.0).floor()) as i32 % 2 == 0 { 0.3 } else { -0.3 };
        points.extend([u, v]);
        values.push(disk + squares + 0.2 * (14.0 * u * v).sin());
    }
    Dataset::new(SIDE * SIDE, points, values).expect("a data set")
}

/// The peak signal-to-noise ratio in dB after some steps, of values from -1 to 1.
fn psnr(network: &Network) -> f64 {
    let optimizer = Optimizer::adam(5e-4);
    let settings =
        TrainerSettings { batch_size: SIDE * SIDE, loss: Loss::Mse, optimizer, ..TrainerSettings::default() };
    let mut trainer = Trainer::new(&Device::cpu(), network, &image(), settings).expect("a trainer");
    trainer.run(250).expect("steps");
    let error = trainer.evaluate(&image()).expect("metrics").loss();
    10.0 * (4.0 / error).log10()
}

/// By default and by the name of the initialization; with Glorot's at the end it is several dB less.
#[test]
fn a_network_of_sines_fits_an_image() {
    let sine = Activation::Sine { frequency: 30.0 };
    let network = Network::new(2).dense(48, sine).dense(48, sine).dense(48, sine).dense(1, Activation::Identity);
    let paper = psnr(&network);
    let named = psnr(&network.clone().init(Init::Siren { frequency: 30.0 }, Init::Zeros));
    let glorot = psnr(&network.init_with(|layer| match layer.activation {
        Activation::Identity => (Init::GlorotUniform, Init::Zeros),
        _ => (layer.weight_init, layer.bias_init),
    }));
    println!("{paper:.1} dB, named {named:.1} dB, with Glorot's end {glorot:.1} dB");
    assert_eq!(paper, named);
    assert!(paper > glorot + 3.0, "{paper} dB, and {glorot} dB with Glorot's end");
}
