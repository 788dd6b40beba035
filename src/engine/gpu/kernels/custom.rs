//! Whether the WGSL of a formula of the caller's own says the same as its Rust.

use crate::{
    engine::gpu::{
        device::{
            Gpu,
            bindings::{Binding, PAIR_BYTES},
            dispatch::Dispatch,
            pipeline::BindingLayout,
            readback::read,
        },
        kernels::kernel_source::source_of,
        layout::buffers::ARENA_USAGES,
    },
    error::{Error, Result},
    nn::{
        activation::Activation,
        custom::{TEST_POINTS, check_close},
        loss::Loss,
        network::Network,
    },
};

/// Expected outputs that a loss is tried with.
const TARGETS: [f64; 3] = [0.0, 1.0, 0.37];

/// A formula, and its derivative, of an output and of the expected one, which an activation does not look at.
struct CheckedFunction<'a> {
    name: &'static str,
    wgsl: &'static [&'static str],
    arguments: &'static str,
    apply: &'a dyn Fn(f64, f64) -> f64,
    derivative: &'a dyn Fn(f64, f64) -> f64,
}

/// Runs every formula of the caller's that a training uses, and refuses one that differs.
pub(crate) async fn check(gpu: &Gpu, network: &Network, loss: Loss) -> Result<()> {
    for layer in network.layers() {
        if let Activation::Custom(custom) = layer.activation {
            let (apply, gradient) = (|z, _| custom.apply(z), |z, _| custom.derivative(z));
            let (name, wgsl) = (custom.name(), custom.pieces());
            check_function(gpu, &CheckedFunction { name, wgsl, arguments: "at", apply: &apply, derivative: &gradient })
                .await?;
        }
    }
    if let Loss::Custom(custom) = loss {
        let (apply, gradient) = (|y, t| custom.apply(y, t), |y, t| custom.derivative(y, t));
        let (name, wgsl) = (custom.name(), custom.pieces());
        check_function(
            gpu,
            &CheckedFunction { name, wgsl, arguments: "at, expected", apply: &apply, derivative: &gradient },
        )
        .await?;
    }
    Ok(())
}

/// Whether there is one of WGSL's loops in a text, outside of comments.
fn has_loop(text: &str) -> bool {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut words = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.any(|word| matches!(word, "for" | "while" | "loop"))
}

/// Calls a formula and its derivative at `count` places.
pub(crate) fn evaluation_dispatch(name: &str, wgsl: &[&str], arguments: &str, count: usize) -> Dispatch {
    let call = |function: &str, end: &str| {
        format!("fn {function}(at: vec4f, expected: vec4f) -> vec4f {{ return {name}{end}({arguments}); }}\n")
    };
    let source = [
        format!("const COUNT: u32 = {count}u;\n"),
        call("tried", ""),
        call("evaluate_derivative", "_derivative"),
        wgsl.concat(),
        source_of(shader!("step/custom_check")).to_string(),
    ];
    let (name, source) = (format!("the WGSL of {name}"), source.concat());
    Dispatch {
        entry_point: "custom_check",
        workgroups: [1; 3],
        loop_iterations: count,
        max_steps: 1,
        flop: 0,
        bytes: 0,
        name,
        source,
    }
}

async fn check_function(gpu: &Gpu, formula: &CheckedFunction<'_>) -> Result<()> {
    let CheckedFunction { name, wgsl, arguments, apply, derivative: gradient } = formula;
    if gpu.max_loop_iterations.is_some() && wgsl.iter().any(|text| has_loop(text)) {
        let expected = "no loop, whose rounds a software adapter would count with those of the products".to_owned();
        return Err(Error::InvalidSetting {
            name: "WGSL of a formula",
            expected,
            got: format!("one in that of {name}"),
        });
    }
    let pairs: Vec<(f64, f64)> = TARGETS.iter().flat_map(|t| TEST_POINTS.map(|at| (at, *t))).collect();
    let count = pairs.len() / 4;
    let dispatch = evaluation_dispatch(name, wgsl, arguments, count);
    let set = BindingLayout::new(gpu, "custom_check", &[Binding::Cursor, Binding::Write]).await?;
    let kernel = set.kernel(gpu, &dispatch).await?;
    let cursor = gpu.buffer("custom_check", PAIR_BYTES, wgpu::BufferUsages::UNIFORM).await?;
    let places = gpu.buffer("custom_check", 4 * 16 * count as u64, ARENA_USAGES).await?;
    let group = set.bind(gpu, "custom_check", &[&cursor, &places]).await?;
    let inputs: Vec<f32> = pairs.iter().map(|p| p.0 as f32).chain(pairs.iter().map(|p| p.1 as f32)).collect();
    gpu.upload(&places, 0, bytemuck::cast_slice(&inputs));
    gpu.compute(|pass| {
        pass.set_bind_group(0, &group, &[0]);
        kernel.record(pass);
    });
    let outputs: Vec<f32> = read(gpu, &places, 2 * 16 * count as u64, 8 * count).await?;
    let (values, slopes) = outputs.split_at(4 * count);
    for ((at, t), (value, slope)) in pairs.iter().zip(values.iter().zip(slopes)) {
        let place = |what: &str| format!("{what}{} at {at}, expected {t}", dispatch.name);
        check_close(&place(""), apply(*at, *t), f64::from(*value))?;
        check_close(&place("slope by "), gradient(*at, *t), f64::from(*slope))?;
    }
    Ok(())
}
