//! Trained networks in other programs: as WGSL functions, and as ONNX and safetensors files.
//!
//! Python reads the files if `GRADUS_TEST_PYTHON` is the path of a Python with onnx, onnxruntime and safetensors.

use std::process::Command;

use crate::common::{self, Folder, adapters, application_device, numbers};
use gradus::{
    Activation, Dataset, Device, Model, Network, Trainer, TrainerSettings,
    data::{Scaler, Scaling},
    model::WgslWeights,
    nn::CustomActivation,
    wgpu,
};
use serde_json::json;
use wgpu::util::DeviceExt;

const ROWS: usize = 9;

/// Returns a trained model for each activation, normalization and scaling, with its name.
fn models() -> Vec<(String, Model)> {
    let hidden = Activation::ALL.iter().copied().chain([Activation::Prelu { initial_slope: 0.25 }]);
    let plain = hidden.map(|a| (a.to_string(), Network::new(5).dense(7, a).dense(3, Activation::Tanh), None));
    let with_layer =
        |add: fn(Network) -> Network| add(Network::new(5).dense(7, Activation::Relu)).dense(3, Activation::Identity);
    let softmax = Network::new(5).dense(6, Activation::Tanh).dense(4, Activation::Softmax);
    let others = [
        ("batch norm", with_layer(Network::batch_norm), None),
        ("layer norm", with_layer(Network::layer_norm), None),
        ("standard scaling", with_layer(|n| n), Some(Scaling::Standard)),
        ("min-max scaling", with_layer(|n| n), Some(Scaling::MinMax)),
        ("softmax", softmax, None),
        ("one layer", Network::new(5).dense(1, Activation::Sigmoid), Some(Scaling::Standard)),
    ];
    plain.chain(others.map(|(name, network, scaling)| (name.to_owned(), network, scaling))).map(train).collect()
}

/// Trains a model for 12 steps, on features with a different range in each column.
fn train((name, network, scaling): (String, Network, Option<Scaling>)) -> (String, Model) {
    let outputs = network.outputs();
    let features: Vec<f32> = numbers(ROWS * 5, 3).iter().enumerate().map(|(i, x)| x * (1.0 + (i % 5) as f32)).collect();
    let targets: Vec<f32> = numbers(ROWS * outputs, 4).iter().map(|t| f32::from(u8::from(*t > 0.0))).collect();
    let mut data = Dataset::new(ROWS, features, targets).expect("a data set");
    if let Some(scaling) = scaling {
        let scaler = Scaler::fit(scaling, &data);
        data = data.with_scaler(&scaler).expect("a scaler of these columns");
    }
    let loss = match network.layers().last().map(|layer| layer.activation) {
        Some(Activation::Softmax) => gradus::Loss::SoftmaxCrossEntropy,
        _ => gradus::Loss::Mse,
    };
    let optimizer = gradus::Optimizer::adam(0.01);
    // The last batch of an epoch has one row, which is too few for batch normalization.
    let settings = TrainerSettings { batch_size: 4, loss, optimizer, drop_last: true, ..TrainerSettings::default() };
    let mut trainer = Trainer::new(&Device::cpu(), &network, &data, settings).expect("a trainer");
    trainer.run(12).expect("steps");
    let model = trainer.model().expect("a model");
    (name, model)
}

fn predict(model: &Model, inputs: &[f32]) -> Vec<f32> {
    gradus::Predictor::from_model(&Device::cpu(), model).and_then(|mut p| p.predict(inputs)).expect("predictions")
}

/// Calls the WGSL function of a model for each row, in a shader of an application.
fn run_function(
    (device, queue): &(wgpu::Device, wgpu::Queue),
    function: &gradus::model::WgslFunction,
    (inputs, outputs): (usize, usize),
    rows: &[f32],
) -> Vec<f32> {
    let count = rows.len() / inputs;
    let text = format!(
        "{}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3u) {{
    var row: array<f32, {inputs}>;
    for (var i = 0u; i < {inputs}u; i++) {{ row[i] = x[id.x * {inputs}u + i]; }}
    var outputs = net(row);
    for (var i = 0u; i < {outputs}u; i++) {{ y[id.x * {outputs}u + i] = outputs[i]; }}
}}",
        function.source
    );
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let buffer = |values: &[f32]| {
        device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: bytemuck::cast_slice(values),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        })
    };
    let [x, y, weights] = [rows, &vec![0.0; count * outputs], &function.buffer].map(buffer);
    let bind = |group: u32, buffers: &[&wgpu::Buffer]| {
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let layout = pipeline.get_bind_group_layout(group);
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries })
    };
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind(0, &[&x, &y]), &[]);
        if !function.buffer.is_empty() {
            pass.set_bind_group(1, &bind(1, &[&weights]), &[]);
        }
        pass.dispatch_workgroups(count as u32, 1, 1);
    }
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let back =
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size: y.size(), usage, mapped_at_creation: false });
    encoder.copy_buffer_to_buffer(&y, 0, &back, 0, y.size());
    queue.submit([encoder.finish()]);
    back.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("the buffer can be mapped"));
    device.poll(wgpu::PollType::wait_indefinitely()).expect("the device finishes");
    let view = back.get_mapped_range(..).expect("the buffer is mapped");
    bytemuck::pod_collect_to_vec(&view)
}

#[test]
fn the_wgsl_function_predicts_like_the_model() {
    let rows = numbers(ROWS * 5, 8);
    for adapter in adapters() {
        let device = application_device(&adapter, None);
        for (name, model) in models() {
            let sizes = (model.network.inputs(), model.network.outputs());
            let expected = predict(&model, &rows);
            for weights in [WgslWeights::Constants, WgslWeights::Buffer { group: 1, binding: 0 }] {
                let function = model.to_wgsl("net", weights).unwrap_or_else(|error| panic!("{name}: {error}"));
                let context = format!("{}, {name}, {weights:?}", adapter.info.name);
                let outputs = run_function(&device, &function, sizes, &rows);
                for (output, expected) in outputs.iter().zip(&expected) {
                    let is_close = (output - expected).abs() <= 1e-5 * expected.abs().max(1.0);
                    assert!(is_close, "{context}: expected {expected}, got {output}");
                }
            }
        }
    }
}

#[test]
fn all_names_in_the_wgsl_begin_with_the_function_name() {
    for (name, model) in models() {
        let texts = ["a", "b_2"].map(|name| model.to_wgsl(name, WgslWeights::Constants).expect("a function").source);
        // Both functions are in one shader, in which a duplicate name is an error.
        let module = naga::front::wgsl::parse_str(&texts.concat()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let functions: Vec<_> = module.functions.iter().filter_map(|(_, function)| function.name.clone()).collect();
        for function in functions {
            let has_prefix =
                ["a", "b_2"].iter().any(|prefix| function == *prefix || function.starts_with(&format!("{prefix}_")));
            assert!(has_prefix && !function.ends_with("_gradient"), "{name}: {function}");
        }
    }
}

#[test]
fn models_that_cannot_be_exported_are_errors() {
    static SQUARE: CustomActivation = CustomActivation::new(
        "square",
        "
        fn square_derivative(z: vec4f) -> vec4f {
            return factor * z;
        }
        const factor: f32 = 2.0;
        fn square(z: vec4f) -> vec4f {
            let factor = z;
            return z * factor;
        }
        ",
        |z| z * z,
        |z| 2.0 * z,
    );
    let train_model = |network: Network| train(("custom".to_owned(), network, None)).1;
    let custom = train_model(Network::new(5).dense(4, Activation::Custom(&SQUARE)).dense(3, Activation::Tanh));
    assert_eq!(
        custom.to_onnx().expect_err("ONNX has no custom activations").to_string(),
        "activation: expected a built-in activation for the export to ONNX, got the custom activation square"
    );
    for adapter in adapters() {
        let function = custom.to_wgsl("net", WgslWeights::Constants).expect("a function");
        let rows = numbers(10, 1);
        let outputs = run_function(&application_device(&adapter, None), &function, (5, 3), &rows);
        assert!(
            outputs.iter().zip(predict(&custom, &rows)).all(|(a, b)| (a - b).abs() < 1e-5),
            "{}",
            adapter.info.name
        );
    }
    let large = train_model(Network::new(5).dense(2000, Activation::Relu).dense(3, Activation::Identity));
    let error = large.to_wgsl("net", WgslWeights::Constants).expect_err("too many numbers").to_string();
    assert_eq!(error, "WgslWeights::Constants: expected at most 16384 values, got 24064; use WgslWeights::Buffer");
    assert!(large.to_wgsl("net", WgslWeights::Buffer { group: 0, binding: 0 }).is_ok());
    let reserved = naga::keywords::wgsl::RESERVED.iter().copied();
    for name in ["", "1net", "net work", "_net", "größe", "exp", "vec4f", "max"].into_iter().chain(reserved) {
        assert!(large.to_wgsl(name, WgslWeights::Constants).is_err(), "{name}");
    }
}

/// Covers names of variables in the WGSL, of declarations in custom activations, and of types and functions of WGSL.
#[test]
fn the_wgsl_is_valid_or_the_function_name_is_an_error() {
    static SQUARE: CustomActivation = CustomActivation::new(
        "square",
        "const weights: f32 = 2.0;
        fn square(z: vec4f) -> vec4f { return z * z; }
        fn square_derivative(z: vec4f) -> vec4f { return weights * z; }",
        |z| z * z,
        |z| 2.0 * z,
    );
    let train_model = |name: &str, network: Network| train((name.to_owned(), network, Some(Scaling::Standard))).1;
    let built_in =
        train_model("built-in", Network::new(5).dense(3, Activation::Gelu).layer_norm().dense(3, Activation::Softmax));
    let assert_valid = |text: &str, name: &str| {
        let module = naga::front::wgsl::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(module.functions.iter().any(|(_, function)| function.name.as_deref() == Some(name)));
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty())
            .validate(&module)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    };
    let names =
        ["input", "output", "x0", "x1", "i", "j", "k", "z", "a", "e", "most", "sum", "mean0", "weights", "gelu"];
    let types = ["vec2f", "vec4h", "mat4x4f", "mat2x3h", "array", "u32", "exp", "inverseSqrt", "i32", "f16", "fn"];
    for weights in [WgslWeights::Constants, WgslWeights::Buffer { group: 2, binding: 1 }] {
        for name in names {
            assert_valid(
                &built_in.to_wgsl(name, weights).unwrap_or_else(|error| panic!("{name}: {error}")).source,
                name,
            );
        }
        for name in types {
            let error = built_in.to_wgsl(name, weights).expect_err("a name of WGSL").to_string();
            assert!(error.contains(&format!("{name:?}, which is a keyword, a reserved word")), "{error}");
        }
    }
    let error = built_in.to_wgsl("1net", WgslWeights::Constants).expect_err("an invalid name").to_string();
    assert!(error.contains("expected ASCII letters, digits and _, beginning with a letter, got \"1net\""), "{error}");
    // `net_weights` would be declared twice.
    let custom =
        train_model("custom", Network::new(5).dense(4, Activation::Custom(&SQUARE)).dense(3, Activation::Tanh));
    let error = custom.to_wgsl("net", WgslWeights::Constants).expect_err("a duplicate name").to_string();
    assert!(error.contains("the custom activations square") && error.contains("net_weights"), "{error}");
}

#[test]
fn python_runs_and_loads_the_exported_files() {
    let Ok(python) = std::env::var("GRADUS_TEST_PYTHON") else {
        return eprintln!("skipped: set GRADUS_TEST_PYTHON to a Python with onnx, onnxruntime and safetensors");
    };
    let folder = Folder::new();
    let inputs = numbers(ROWS * 5, 8);
    let mut cases = Vec::new();
    for (i, (name, mut model)) in models().into_iter().enumerate() {
        model.metadata.insert("name".into(), name.clone());
        let file = folder.join(i.to_string());
        model.save_onnx(file.with_extension("onnx")).expect("a file");
        model.save(file.with_extension("safetensors")).expect("a file");
        let layers: Vec<_> =
            model.network.layers().iter().map(|layer| (layer.activation.to_string(), layer.normalization)).collect();
        let weights: Vec<_> = model.parameters.iter().map(|layer| [&layer.weight, &layer.bias]).collect();
        cases.push(json!({ "name": name, "file": file, "layers": layers, "weights": weights,
            "scaled": model.scaler.is_some(), "inputs": inputs, "outputs": predict(&model, &inputs) }));
    }
    folder.file("cases.json", json!(cases).to_string());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/check_files.py");
    let outcome = common::run(Command::new(python).arg(script).arg(&folder.0));
    outcome.expect(0, &[&format!("{} models", cases.len())]);
}
