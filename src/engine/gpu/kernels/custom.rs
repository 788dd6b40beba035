//! The check that the WGSL of a custom function computes the same values as its Rust code.

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

/// The targets for the check of a custom loss.
const TARGETS: [f64; 3] = [0.0, 1.0, 0.37];

/// A custom function and its derivative. The second argument is the target, which an activation ignores.
struct CheckedFunction<'a> {
    name: &'static str,
    wgsl: &'static [&'static str],
    /// The arguments of its WGSL functions, in terms of the point `x` and the target `t`.
    arguments: &'static str,
    apply: &'a dyn Fn(f64, f64) -> f64,
    derivative: &'a dyn Fn(f64, f64) -> f64,
}

/// Runs the WGSL of every custom function of a training run on the device. Returns an error if its values differ from
/// those of the Rust code.
pub(crate) async fn check(gpu: &Gpu, network: &Network, loss: Loss) -> Result<()> {
    for layer in network.layers() {
        if let Activation::Custom(custom) = layer.activation {
            let (apply, derivative) = (|z, _| custom.apply(z), |z, _| custom.derivative(z));
            let (name, wgsl) = (custom.name(), custom.pieces());
            let function = CheckedFunction { name, wgsl, arguments: "x", apply: &apply, derivative: &derivative };
            check_function(gpu, &function).await?;
        }
    }
    if let Loss::Custom(custom) = loss {
        let (apply, derivative) = (|y, t| custom.apply(y, t), |y, t| custom.derivative(y, t));
        let (name, wgsl) = (custom.name(), custom.pieces());
        let function = CheckedFunction { name, wgsl, arguments: "x, t", apply: &apply, derivative: &derivative };
        check_function(gpu, &function).await?;
    }
    Ok(())
}

/// Returns whether a WGSL text contains a loop, outside of comments.
fn has_loop(text: &str) -> bool {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut words = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.any(|word| matches!(word, "for" | "while" | "loop"))
}

/// Returns a dispatch that calls a custom function and its derivative for `count` vec4s of points.
pub(crate) fn evaluation_dispatch(name: &str, wgsl: &[&str], arguments: &str, count: usize) -> Dispatch {
    let call = |function: &str, suffix: &str| {
        format!("fn {function}(x: vec4f, t: vec4f) -> vec4f {{ return {name}{suffix}({arguments}); }}\n")
    };
    let source = [
        format!("const COUNT: u32 = {count}u;\n"),
        call("evaluate_function", ""),
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

/// Runs the WGSL of a custom function on the device. Returns an error if its values differ from those of the Rust code.
async fn check_function(gpu: &Gpu, function: &CheckedFunction<'_>) -> Result<()> {
    let CheckedFunction { name, wgsl, arguments, apply, derivative } = function;
    if gpu.max_loop_iterations.is_some() && wgsl.iter().any(|text| has_loop(text)) {
        return Err(Error::InvalidSetting {
            name: "WGSL of a custom function",
            expected: "no loop, because this software adapter limits the loop iterations of a kernel".to_owned(),
            got: format!("a loop in {name}"),
        });
    }
    let pairs: Vec<(f64, f64)> = TARGETS.iter().flat_map(|t| TEST_POINTS.map(|x| (x, *t))).collect();
    let count = pairs.len() / 4;
    let dispatch = evaluation_dispatch(name, wgsl, arguments, count);
    let layout = BindingLayout::new(gpu, "custom_check", &[Binding::Cursor, Binding::Write]).await?;
    let kernel = layout.kernel(gpu, &dispatch).await?;
    let cursor = gpu.buffer("custom_check", PAIR_BYTES, wgpu::BufferUsages::UNIFORM).await?;
    let points = gpu.buffer("custom_check", 4 * 16 * count as u64, ARENA_USAGES).await?;
    let bind_group = layout.bind(gpu, "custom_check", &[&cursor, &points]).await?;
    let inputs: Vec<f32> = pairs.iter().map(|p| p.0 as f32).chain(pairs.iter().map(|p| p.1 as f32)).collect();
    gpu.upload(&points, 0, bytemuck::cast_slice(&inputs));
    gpu.compute(|pass| {
        pass.set_bind_group(0, &bind_group, &[0]);
        kernel.record(pass);
    });
    let outputs: Vec<f32> = read(gpu, &points, 2 * 16 * count as u64, 8 * count).await?;
    let (values, derivatives) = outputs.split_at(4 * count);
    for ((x, t), (device_value, device_derivative)) in pairs.iter().zip(values.iter().zip(derivatives)) {
        let context = |quantity: &str| format!("{quantity} of {} at {x} for the target {t}", dispatch.name);
        check_close(&context("value"), apply(*x, *t), f64::from(*device_value))?;
        check_close(&context("derivative"), derivative(*x, *t), f64::from(*device_derivative))?;
    }
    Ok(())
}
