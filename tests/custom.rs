//! Formulas of the caller's own, on every device.

use crate::common::{XOR, adapters, devices, open, xor};
use gradus::{
    Activation, Error, Init, Loss, Network, Optimizer, Trainer, TrainerSettings,
    nn::{CustomActivation, CustomLoss},
};

const LEAKY: &str = "
fn bent(z: vec4f) -> vec4f { return select(z, 0.3 * z, z < vec4f()); }
fn bent_derivative(z: vec4f) -> vec4f { return select(vec4f(0.3), vec4f(1.0), z > vec4f()); }";

static BENT: CustomActivation =
    CustomActivation::new("bent", LEAKY, |z| if z < 0.0 { 0.3 * z } else { z }, |z| if z > 0.0 { 1.0 } else { 0.3 });

static FOURTH: CustomLoss = CustomLoss::new(
    "fourth",
    "fn fourth(y: vec4f, t: vec4f) -> vec4f { let e = y - t; return e * e * e * e; }
     fn fourth_derivative(y: vec4f, t: vec4f) -> vec4f { let e = y - t; return 4.0 * e * e * e; }",
    |y, t| (y - t).powi(4),
    |y, t| 4.0 * (y - t).powi(3),
);

fn trained(device: &gradus::Device, activation: Activation, loss: Loss) -> Result<Vec<f32>, Error> {
    let network = Network::new(2).dense(7, activation).dense(1, Activation::Sigmoid);
    let network = network.init(Init::HeUniform, Init::Zeros);
    let settings =
        TrainerSettings { batch_size: 4, loss, optimizer: Optimizer::sgd(0.5), ..TrainerSettings::default() };
    let mut trainer = Trainer::new(device, &network, &xor(), settings)?;
    trainer.run(50)?;
    trainer.predict(&XOR.0)
}

#[test]
fn a_formula_of_the_callers_trains_as_ours_does() {
    for device in devices() {
        let (bent, leaky) = (Activation::Custom(&BENT), Activation::LeakyRelu { negative_slope: 0.3 });
        let (ours, theirs) = (trained(&device, leaky, Loss::Mse), trained(&device, bent, Loss::Mse));
        let (ours, theirs) = (ours.expect("it runs"), theirs.expect("it runs"));
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
        assert!(ours.iter().zip(&theirs).all(near), "{device}: {ours:?} {theirs:?}");
        let cpu = trained(&gradus::Device::cpu(), bent, Loss::Custom(&FOURTH)).expect("it runs");
        let here = trained(&device, bent, Loss::Custom(&FOURTH)).expect("it runs");
        assert!(cpu.iter().zip(&here).all(|(a, b)| (a - b).abs() < 1e-5), "{device}: {cpu:?} {here:?}");
    }
}

#[test]
fn wgsl_that_says_something_else_is_refused_where_it_would_run() {
    static WRONG: CustomActivation = CustomActivation::new("bent", LEAKY, |z| z, |_| 1.0);
    static BROKEN: CustomActivation = CustomActivation::new(
        "broken",
        "fn broken(z: vec4f) -> vec4f { return z; } fn broken_derivative(z: vec4f) -> vec4f { return 1; }",
        |z| z,
        |_| 1.0,
    );
    for device in devices() {
        let [wrong, broken] = [&WRONG, &BROKEN].map(|custom| trained(&device, Activation::Custom(custom), Loss::Mse));
        if device.is_gpu() {
            assert!(matches!(wrong, Err(Error::CustomFunction { .. })), "{device}: {wrong:?}");
            let why = broken.expect_err("it is no WGSL").to_string();
            assert!(why.contains("the WGSL of broken"), "{device}: {why}");
        } else {
            assert!(wrong.is_ok() && broken.is_ok(), "{device}");
        }
    }
}

#[test]
fn loops_are_refused_where_their_rounds_are_limited() {
    static LOOPING: CustomActivation = CustomActivation::new(
        "halved",
        "// Looks for the half of z.
         fn halved(z: vec4f) -> vec4f { var y = z; for (var i = 0u; i < 64u; i++) { y = 0.5 * (y + 0.5 * z); } return y; }
         fn halved_derivative(z: vec4f) -> vec4f { return vec4f(0.5); }",
        |z| 0.5 * z,
        |_| 0.5,
    );
    for adapter in adapters() {
        let device = open(&adapter, None);
        let outcome = trained(&device, Activation::Custom(&LOOPING), Loss::Mse);
        if adapter.info.device_type == gradus::wgpu::DeviceType::Cpu {
            assert!(
                matches!(outcome, Err(Error::InvalidSetting { name: "WGSL of a formula", .. })),
                "{device}: {outcome:?}"
            );
        } else {
            assert!(outcome.is_ok(), "{device}: {outcome:?}");
        }
    }
}

#[test]
fn a_slope_that_is_not_the_formulas_is_refused_everywhere() {
    static WRONG: CustomActivation = CustomActivation::new("bent", LEAKY, |z| z * z, |z| z);
    for device in devices() {
        let wrong = trained(&device, Activation::Custom(&WRONG), Loss::Mse);
        assert!(matches!(wrong, Err(Error::CustomFunction { .. })), "{device}: {wrong:?}");
    }
}
