//! Custom activations and losses on every device.

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

/// Trains a network on XOR for 50 steps and returns its predictions.
fn train_and_predict(device: &gradus::Device, activation: Activation, loss: Loss) -> Result<Vec<f32>, Error> {
    let network = Network::new(2).dense(7, activation).dense(1, Activation::Sigmoid);
    let network = network.init(Init::HeUniform, Init::Zeros);
    let settings =
        TrainerSettings { batch_size: 4, loss, optimizer: Optimizer::sgd(0.5), ..TrainerSettings::default() };
    let mut trainer = Trainer::new(device, &network, &xor(), settings)?;
    trainer.run(50)?;
    trainer.predict(&XOR.0)
}

#[test]
fn custom_functions_train_like_built_in_ones() {
    let (bent, leaky) = (Activation::Custom(&BENT), Activation::LeakyRelu { negative_slope: 0.3 });
    let are_close = |a: &[f32], b: &[f32], tolerance: f32| a.iter().zip(b).all(|(a, b)| (a - b).abs() < tolerance);
    for device in devices() {
        let built_in = train_and_predict(&device, leaky, Loss::Mse).expect("it trains");
        let custom = train_and_predict(&device, bent, Loss::Mse).expect("it trains");
        assert!(are_close(&built_in, &custom, 1e-6), "{device}: {built_in:?} {custom:?}");
        let on_cpu = train_and_predict(&gradus::Device::cpu(), bent, Loss::Custom(&FOURTH)).expect("it trains");
        let on_device = train_and_predict(&device, bent, Loss::Custom(&FOURTH)).expect("it trains");
        assert!(are_close(&on_cpu, &on_device, 1e-5), "{device}: {on_cpu:?} {on_device:?}");
    }
}

#[test]
fn a_gpu_rejects_wgsl_that_differs_from_the_function() {
    static WRONG: CustomActivation = CustomActivation::new("bent", LEAKY, |z| z, |_| 1.0);
    static BROKEN: CustomActivation = CustomActivation::new(
        "broken",
        "fn broken(z: vec4f) -> vec4f { return z; } fn broken_derivative(z: vec4f) -> vec4f { return 1; }",
        |z| z,
        |_| 1.0,
    );
    for device in devices() {
        let [wrong, broken] =
            [&WRONG, &BROKEN].map(|custom| train_and_predict(&device, Activation::Custom(custom), Loss::Mse));
        if device.is_gpu() {
            assert!(matches!(wrong, Err(Error::CustomFunction { .. })), "{device}: {wrong:?}");
            let error = broken.expect_err("the WGSL is invalid").to_string();
            assert!(error.contains("the WGSL of broken"), "{device}: {error}");
        } else {
            assert!(wrong.is_ok() && broken.is_ok(), "{device}");
        }
    }
}

#[test]
fn a_software_adapter_rejects_custom_wgsl_with_loops() {
    static LOOPING: CustomActivation = CustomActivation::new(
        "halved",
        "// Approximates z / 2.
         fn halved(z: vec4f) -> vec4f { var y = z; for (var i = 0u; i < 64u; i++) { y = 0.5 * (y + 0.5 * z); } return y; }
         fn halved_derivative(z: vec4f) -> vec4f { return vec4f(0.5); }",
        |z| 0.5 * z,
        |_| 0.5,
    );
    for adapter in adapters() {
        let device = open(&adapter, None);
        let outcome = train_and_predict(&device, Activation::Custom(&LOOPING), Loss::Mse);
        if adapter.info.device_type == gradus::wgpu::DeviceType::Cpu {
            assert!(
                matches!(outcome, Err(Error::InvalidSetting { name: "WGSL of a custom function", .. })),
                "{device}: {outcome:?}"
            );
        } else {
            assert!(outcome.is_ok(), "{device}: {outcome:?}");
        }
    }
}

#[test]
fn every_device_rejects_a_wrong_derivative() {
    static WRONG: CustomActivation = CustomActivation::new("bent", LEAKY, |z| z * z, |z| z);
    for device in devices() {
        let outcome = train_and_predict(&device, Activation::Custom(&WRONG), Loss::Mse);
        assert!(matches!(outcome, Err(Error::CustomFunction { .. })), "{device}: {outcome:?}");
    }
}
