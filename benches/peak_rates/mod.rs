//! The peak rates of a device, measured before the workloads: a bare matmul, a copy, and a dispatch.

use gemm_common::Parallelism;
use gemm_f32::gemm::f32::get_gemm_fn;
use gradus::{Device, TrainerSettings, plan::Tuner, wgpu};
use rayon::prelude::*;

use super::{BenchResult, is_hardware, measure, network, trainer};

/// The number of bytes of a copy, more than most caches hold.
const COPY_BYTES: usize = 64 << 20;

/// The number of dispatches in one pass. Each depends on the one before it.
const DISPATCHES: u32 = 1000;

/// The maximum number of seconds for one rate.
const MAX_SECONDS: f64 = 0.7;

/// The peak rates of a device.
pub struct PeakRates {
    /// The rate of a bare matmul in GFLOP/s.
    pub gemm: f64,
    /// The rate of a copy in GB/s. Bytes that are read and bytes that are written both count.
    pub copy: f64,
    /// The time in microseconds of a dispatch that depends on the one before it. `None` on the CPU engine.
    pub dispatch: Option<f64>,
}

impl PeakRates {
    /// Measures the rates of a device, each for at most `seconds`.
    ///
    /// On a software adapter, the matmul also runs with the best plan of `tuner`, if there is one.
    pub fn measure(device: &Device, seconds: f64, tuner: Option<&Tuner>) -> BenchResult<Self> {
        let seconds = seconds.min(MAX_SECONDS);
        Ok(match device.wgpu() {
            None => Self { gemm: cpu_gemm(seconds)?, copy: cpu_copy(seconds)?, dispatch: None },
            Some(wgpu) => Self {
                gemm: adapter_gemm(device, tuner)?,
                copy: adapter_copy(wgpu, seconds)?,
                dispatch: Some(adapter_dispatch(wgpu, seconds)?),
            },
        })
    }
}

/// Returns the GFLOP/s of the gemm crate on all threads.
fn cpu_gemm(seconds: f64) -> BenchResult<f64> {
    const N: usize = 1024;
    let (a, b, mut output) = (vec![1.0_f32; N * N], vec![1.0_f32; N * N], vec![0.0_f32; N * N]);
    let (column_stride, row_stride, all_threads) = (1, N as isize, Parallelism::Rayon(0));
    let times = measure(seconds, |repetitions| {
        for _ in 0..repetitions {
            let (a, b, output) = (a.as_ptr(), b.as_ptr(), output.as_mut_ptr());
            // SAFETY: the three matrices have N rows of N values in row-major order, and `output` overlaps neither `a` nor
            // `b`.
            unsafe {
                get_gemm_fn()(
                    N,
                    N,
                    N,
                    output,
                    row_stride,
                    column_stride,
                    false,
                    b,
                    row_stride,
                    column_stride,
                    a,
                    row_stride,
                    column_stride,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    all_threads,
                );
            }
        }
        Ok(())
    })?;
    if let Some(wrong) = output.iter().find(|sum| **sum != N as f32) {
        return Err(format!("gemm crate: expected every sum to be {N}, got {wrong}").into());
    }
    Ok(2.0 * (N * N * N) as f64 / times.min / 1e9)
}

/// Returns the GB/s of a copy on all threads.
fn cpu_copy(seconds: f64) -> BenchResult<f64> {
    const PART: usize = 1 << 16;
    // The values are not zero, because the operating system may map all zero pages to one page.
    let (from, mut to) = (vec![1_u32; COPY_BYTES / 4], vec![2_u32; COPY_BYTES / 4]);
    let times = measure(seconds, |repetitions| {
        for _ in 0..repetitions {
            to.par_chunks_mut(PART).zip(from.par_chunks(PART)).for_each(|(to, from)| to.copy_from_slice(from));
        }
        Ok(())
    })?;
    Ok(2.0 * COPY_BYTES as f64 / times.min / 1e9)
}

/// Returns the GFLOP/s of the fastest kernel of a large layer. A software adapter also runs the best plan of `tuner`.
fn adapter_gemm(device: &Device, tuner: Option<&Tuner>) -> BenchResult<f64> {
    const ROWS: usize = 1024;
    let network = network(&[1024, 1024]);
    let default_settings = TrainerSettings { batch_size: ROWS, ..TrainerSettings::default() };
    // A GPU needs several steps to reach its full clock. A software adapter takes about a second for a few steps.
    let steps = if is_hardware(device) { 64 } else { 1 };
    let mut candidates = vec![default_settings.clone()];
    if let Some(tuner) = tuner.filter(|_| !is_hardware(device))
        && let Some(best) = tuner.measure(device, &network, &default_settings)?.into_iter().next()
    {
        candidates.push(TrainerSettings { plan: Some(best.plan), ..default_settings });
    }
    let mut best: f64 = 0.0;
    for settings in candidates {
        let mut trainer = trainer(device, &network, &settings, ROWS)?;
        for _ in 0..3 {
            let profile = trainer.profile(steps)?;
            let timed = profile.kernels.iter().filter(|kernel| kernel.seconds_per_step > 0.0);
            best = timed.map(|kernel| kernel.flop as f64 / kernel.seconds_per_step / 1e9).fold(best, f64::max);
        }
    }
    Ok(best)
}

/// Returns the GB/s of a copy from buffer to buffer.
fn adapter_copy((device, queue): (&wgpu::Device, &wgpu::Queue), seconds: f64) -> BenchResult<f64> {
    let size = device.limits().max_buffer_size.min(COPY_BYTES as u64);
    let buffer =
        |usage| device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
    let (from, to) = (buffer(wgpu::BufferUsages::COPY_SRC), buffer(wgpu::BufferUsages::COPY_DST));
    let times = measure(seconds, |repetitions| {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for _ in 0..repetitions {
            encoder.copy_buffer_to_buffer(&from, 0, &to, 0, size);
        }
        queue.submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(())
    })?;
    Ok(2.0 * size as f64 / times.min / 1e9)
}

/// Returns the microseconds of a dispatch with almost no work. Each dispatch depends on the one before it.
fn adapter_dispatch((device, queue): (&wgpu::Device, &wgpu::Queue), seconds: f64) -> BenchResult<f64> {
    const WGSL: &str = "@group(0) @binding(0) var<storage, read_write> count: array<u32>;
        @compute @workgroup_size(1) fn add() { count[0] += 1u; }";
    let source = wgpu::ShaderSource::Wgsl(WGSL.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let usage = wgpu::BufferUsages::STORAGE;
    let count =
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 16, usage, mapped_at_creation: false });
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: count.as_entire_binding() }],
    });
    let times = measure(seconds, |passes| {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for _ in 0..passes {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            (0..DISPATCHES).for_each(|_| pass.dispatch_workgroups(1, 1, 1));
        }
        queue.submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(())
    })?;
    Ok(times.min / f64::from(DISPATCHES) * 1e6)
}
