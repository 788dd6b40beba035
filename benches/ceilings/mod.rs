//! The peak rates of a device, measured before the workloads: a bare matrix product, a copy, and an empty dispatch.

use gemm_common::Parallelism;
use gemm_f32::gemm::f32::get_gemm_fn;
use gradus::{Device, TrainerSettings, plan::Tuner, wgpu};
use rayon::prelude::*;

use super::{BenchResult, is_hardware, network, times, trainer};

/// Bytes of a copy, more than most caches hold.
const COPIED: usize = 64 << 20;

/// Dispatches of one pass, each of which has to wait for the one before.
const DISPATCHES: u32 = 1000;

/// The best rates that a device reaches.
pub struct PeakRates {
    /// GFLOP/s of a bare product.
    pub gemm: f64,
    /// GB/s of a copy: what is read and what is written.
    pub copy: f64,
    /// Microseconds of a dispatch that waits for the one before; the CPU has none.
    pub dispatch: Option<f64>,
}

impl PeakRates {
    /// Measures them, each for so many seconds at most; on a software adapter the product also in the plan that a tuner, if
    /// there is one, finds to be the best.
    pub fn measure(device: &Device, seconds: f64, tuner: Option<&Tuner>) -> BenchResult<Self> {
        let seconds = seconds.min(0.7);
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

/// GFLOP/s of the gemm crate on all threads.
fn cpu_gemm(seconds: f64) -> BenchResult<f64> {
    const N: usize = 1024;
    let (a, b, mut into) = (vec![1.0_f32; N * N], vec![1.0_f32; N * N], vec![0.0_f32; N * N]);
    let (one, row, all_threads) = (1, N as isize, Parallelism::Rayon(0));
    let product = times(seconds, |products| {
        for _ in 0..products {
            let (a, b, into) = (a.as_ptr(), b.as_ptr(), into.as_mut_ptr());
            // SAFETY: all three are N rows of N, row by row, and `into` is none of the others.
            unsafe {
                get_gemm_fn()(
                    N,
                    N,
                    N,
                    into,
                    row,
                    one,
                    false,
                    b,
                    row,
                    one,
                    a,
                    row,
                    one,
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
    if into.iter().any(|sum| *sum != N as f32) {
        return Err("the gemm crate is wrong".into());
    }
    Ok(2.0 * (N * N * N) as f64 / product.min / 1e9)
}

/// GB/s of a copy on all threads.
fn cpu_copy(seconds: f64) -> BenchResult<f64> {
    const PART: usize = 1 << 16;
    // Not zeros: the pages of those may all be one.
    let (from, mut to) = (vec![1_u32; COPIED / 4], vec![2_u32; COPIED / 4]);
    let copy = times(seconds, |copies| {
        for _ in 0..copies {
            to.par_chunks_mut(PART).zip(from.par_chunks(PART)).for_each(|(to, from)| to.copy_from_slice(from));
        }
        Ok(())
    })?;
    Ok(2.0 * COPIED as f64 / copy.min / 1e9)
}

/// GFLOP/s of the best kernel of a large layer; on a software adapter also in the plan that was measured to be the best.
fn adapter_gemm(device: &Device, tuner: Option<&Tuner>) -> BenchResult<f64> {
    const ROWS: usize = 1024;
    let network = network(&[1024, 1024]);
    let own = TrainerSettings { batch_size: ROWS, ..TrainerSettings::default() };
    // A GPU needs some steps to be at its full clock; a software adapter takes a second for some.
    let steps = if is_hardware(device) { 64 } else { 1 };
    let mut all = vec![own.clone()];
    if let Some(tuner) = tuner.filter(|_| !is_hardware(device)) {
        let best = tuner.measure(device, &network, &own)?.into_iter().next();
        all.extend(best.map(|best| TrainerSettings { plan: Some(best.plan), ..own }));
    }
    let mut best: f64 = 0.0;
    for settings in all {
        let mut trainer = trainer(device, &network, &settings, ROWS)?;
        for _ in 0..3 {
            let profile = trainer.profile(steps)?;
            let timed = profile.kernels.iter().filter(|kernel| kernel.seconds_per_step > 0.0);
            best = timed.map(|kernel| kernel.flop as f64 / kernel.seconds_per_step / 1e9).fold(best, f64::max);
        }
    }
    Ok(best)
}

/// GB/s of a copy from buffer to buffer.
fn adapter_copy((device, queue): (&wgpu::Device, &wgpu::Queue), seconds: f64) -> BenchResult<f64> {
    let size = device.limits().max_buffer_size.min(COPIED as u64);
    let buffer =
        |usage| device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
    let (from, to) = (buffer(wgpu::BufferUsages::COPY_SRC), buffer(wgpu::BufferUsages::COPY_DST));
    let copy = times(seconds, |copies| {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for _ in 0..copies {
            encoder.copy_buffer_to_buffer(&from, 0, &to, 0, size);
        }
        queue.submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(())
    })?;
    Ok(2.0 * size as f64 / copy.min / 1e9)
}

/// Microseconds of a dispatch of next to nothing, each of which waits for the one before.
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
    let pass = times(seconds, |passes| {
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
    Ok(pass.min / f64::from(DISPATCHES) * 1e6)
}
