//! Trained networks in other programs: as WGSL functions in shaders of others, and as ONNX and safetensors files, which
//! Python reads where `GRADUS_TEST_PYTHON` names one that has onnx, onnxruntime and safetensors.

use std::process::Command;

use crate::common::{self, Folder, adapters, callers, numbers};
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

/// One network for each activation, norm and scaling, by name, trained for some steps.
fn models() -> Vec<(String, Model)> {
    let hidden = Activation::ALL.iter().copied().chain([Activation::Prelu { initial_slope: 0.25 }]);
    let plain = hidden.map(|a| (a.to_string(), Network::new(5).dense(7, a).dense(3, Activation::Tanh), None));
    let norm =
        |norm: fn(Network) -> Network| norm(Network::new(5).dense(7, Activation::Relu)).dense(3, Activation::Identity);
    let softmax = Network::new(5).dense(6, Activation::Tanh).dense(4, Activation::Softmax);
    let others = [
        ("batch norm", norm(Network::batch_norm), None),
        ("layer norm", norm(Network::layer_norm), None),
        ("standard scaling", norm(|n| n), Some(Scaling::Standard)),
        ("min-max scaling", norm(|n| n), Some(Scaling::MinMax)),
        ("softmax", softmax, None),
        ("one layer", Network::new(5).dense(1, Activation::Sigmoid), Some(Scaling::Standard)),
    ];
    plain.chain(others.map(|(name, network, scaling)| (name.to_owned(), network, scaling))).map(trained).collect()
}

fn trained((name, network, scaling): (String, Network, Option<Scaling>)) -> (String, Model) {
    let outputs = network.outputs();
    let wide: Vec<f32> = numbers(ROWS * 5, 3).iter().enumerate().map(|(i, x)| x * (1.0 + (i % 5) as f32)).collect();
    let answers: Vec<f32> = numbers(ROWS * outputs, 4).iter().map(|t| f32::from(u8::from(*t > 0.0))).collect();
    let mut data = Dataset::new(ROWS, wide, answers).expect("a data set");
    if let Some(scaling) = scaling {
        let scaler = Scaler::fit(scaling, &data);
        data = data.with_scaler(&scaler).expect("a scaler of its columns");
    }
    let loss = match network.layers().last().map(|layer| layer.activation) {
        Some(Activation::Softmax) => gradus::Loss::SoftmaxCrossEntropy,
        _ => gradus::Loss::Mse,
    };
    let optimizer = gradus::Optimizer::adam(0.01);
    // A batch norm needs more than the one row that is left of an epoch.
    let settings = TrainerSettings { batch_size: 4, loss, optimizer, drop_last: true, ..TrainerSettings::default() };
    let mut trainer = Trainer::new(&Device::cpu(), &network, &data, settings).expect("a trainer");
    trainer.run(12).expect("steps");
    let model = trainer.model().expect("a model");
    (name, model)
}

fn answers(model: &Model, inputs: &[f32]) -> Vec<f32> {
    gradus::Predictor::from_model(&Device::cpu(), model).and_then(|mut p| p.predict(inputs)).expect("answers")
}

/// Runs a function of a model's for each row, as somebody's shader would.
fn run(
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
    var answer = net(row);
    for (var i = 0u; i < {outputs}u; i++) {{ y[id.x * {outputs}u + i] = answer[i]; }}
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
    back.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("it can be read"));
    device.poll(wgpu::PollType::wait_indefinitely()).expect("it ends");
    let view = back.get_mapped_range(..).expect("it is mapped");
    bytemuck::pod_collect_to_vec(&view)
}

#[test]
fn a_function_in_somebodys_shader_answers_as_the_network_does() {
    let rows = numbers(ROWS * 5, 8);
    for adapter in adapters() {
        let device = callers(&adapter, None);
        for (name, model) in models() {
            let sizes = (model.network.inputs(), model.network.outputs());
            let expected = answers(&model, &rows);
            for weights in [WgslWeights::Constants, WgslWeights::Buffer { group: 1, binding: 0 }] {
                let function = model.to_wgsl("net", weights).unwrap_or_else(|error| panic!("{name}: {error}"));
                let found = run(&device, &function, sizes, &rows);
                for (found, expected) in found.iter().zip(&expected) {
                    let is_near = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
                    assert!(is_near, "{}, {name}, {weights:?}: {found}, not {expected}", adapter.info.name);
                }
            }
        }
    }
}

#[test]
fn every_name_of_a_function_begins_with_its_own() {
    for (name, model) in models() {
        let texts = ["a", "b_2"].map(|name| model.to_wgsl(name, WgslWeights::Constants).expect("a function").source);
        // Both in one shader, where a name that stands twice would be refused.
        let module = naga::front::wgsl::parse_str(&texts.concat()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let functions: Vec<_> = module.functions.iter().filter_map(|(_, function)| function.name.clone()).collect();
        for function in functions {
            let begins = ["a", "b_2"].iter().any(|own| function == *own || function.starts_with(&format!("{own}_")));
            assert!(begins && !function.ends_with("_gradient"), "{name}: {function}");
        }
    }
}

#[test]
fn what_cannot_be_exported_is_refused() {
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
    let of = |network: Network| trained(("custom".to_owned(), network, None)).1;
    let custom = of(Network::new(5).dense(4, Activation::Custom(&SQUARE)).dense(3, Activation::Tanh));
    assert_eq!(
        custom.to_onnx().expect_err("ONNX has none").to_string(),
        "activation to export: expected one that ONNX has, got square, the caller's own"
    );
    for adapter in adapters() {
        let function = custom.to_wgsl("net", WgslWeights::Constants).expect("WGSL has it");
        let rows = numbers(10, 1);
        let found = run(&callers(&adapter, None), &function, (5, 3), &rows);
        assert!(found.iter().zip(answers(&custom, &rows)).all(|(a, b)| (a - b).abs() < 1e-5), "{}", adapter.info.name);
    }
    let large = of(Network::new(5).dense(2000, Activation::Relu).dense(3, Activation::Identity));
    let refused = large.to_wgsl("net", WgslWeights::Constants).expect_err("too many numbers").to_string();
    assert_eq!(
        refused,
        "numbers in the text of a WGSL function: expected at most 16384; a buffer holds more, got 24064"
    );
    assert!(large.to_wgsl("net", WgslWeights::Buffer { group: 0, binding: 0 }).is_ok());
    let taken = naga::keywords::wgsl::RESERVED.iter().copied();
    for name in ["", "1net", "net work", "_net", "größe", "exp", "vec4f", "max"].into_iter().chain(taken) {
        assert!(large.to_wgsl(name, WgslWeights::Constants).is_err(), "{name}");
    }
}

/// The names of the variables in the text, of what custom activations declare, and of types and functions of WGSL.
#[test]
fn a_text_is_valid_under_its_name_or_the_name_is_refused_with_the_reason() {
    static SQUARE: CustomActivation = CustomActivation::new(
        "square",
        "const weights: f32 = 2.0;
        fn square(z: vec4f) -> vec4f { return z * z; }
        fn square_derivative(z: vec4f) -> vec4f { return weights * z; }",
        |z| z * z,
        |z| 2.0 * z,
    );
    let of = |name: &str, network: Network| trained((name.to_owned(), network, Some(Scaling::Standard))).1;
    let own = of("own", Network::new(5).dense(3, Activation::Gelu).layer_norm().dense(3, Activation::Softmax));
    let valid = |text: &str, name: &str| {
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
            valid(&own.to_wgsl(name, weights).unwrap_or_else(|error| panic!("{name}: {error}")).source, name);
        }
        for name in types {
            let error = own.to_wgsl(name, weights).expect_err("WGSL's own").to_string();
            assert!(error.contains(&format!("{name:?}, which is a keyword, a reserved word")), "{error}");
        }
    }
    let error = own.to_wgsl("1net", WgslWeights::Constants).expect_err("no name").to_string();
    assert!(error.contains("expected ASCII letters, digits and _, beginning with a letter, got \"1net\""), "{error}");
    // `net_weights` would be declared twice.
    let custom = of("custom", Network::new(5).dense(4, Activation::Custom(&SQUARE)).dense(3, Activation::Tanh));
    let error = custom.to_wgsl("net", WgslWeights::Constants).expect_err("two of a name").to_string();
    assert!(error.contains("the custom activations square") && error.contains("net_weights"), "{error}");
}

#[test]
fn python_runs_and_reads_what_was_written() {
    let Ok(python) = std::env::var("GRADUS_TEST_PYTHON") else {
        return eprintln!("not tested: GRADUS_TEST_PYTHON names no Python with onnx, onnxruntime and safetensors");
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
            "scaled": model.scaler.is_some(), "inputs": inputs, "outputs": answers(&model, &inputs) }));
    }
    folder.file("cases.json", json!(cases).to_string());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/check_files.py");
    let outcome = common::run(Command::new(python).arg(script).arg(&folder.0));
    outcome.expect(0, &[&format!("{} models", cases.len())]);
}
