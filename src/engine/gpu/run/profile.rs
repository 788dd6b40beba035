//! The time of each kernel, measured by timestamps of the device if it has them, otherwise by the clock of the host.
//! The web build has neither, so it has no profiles.

use std::time::Instant;

use crate::{
    engine::gpu::{
        device::{Gpu, TIMESTAMP_FEATURES, readback::read},
        run::{engine::Engine, engine_layout::RawStepMetrics},
    },
    error::Result,
    plan::profile::KernelTime,
};

/// The maximum number of timestamps in a query set.
const MAX_TIMESTAMPS: u32 = wgpu::QUERY_SET_MAX_QUERIES;

/// Returns whether the device can measure a dispatch with timestamps. A software adapter may write them long before it
/// runs the dispatch, so its timestamps are not used.
fn has_timestamps(gpu: &Gpu) -> bool {
    gpu.device.features().contains(TIMESTAMP_FEATURES) && !gpu.is_software()
}

impl Engine {
    /// Returns the number of steps that a profile of `steps` steps measures: at most one chunk. With timestamps it is
    /// also at most the pacer's number of steps, and their dispatches must fit into a query set.
    pub(crate) fn profiled_steps(&self, steps: usize) -> usize {
        let mut steps = steps.clamp(1, self.max_chunk_steps());
        if has_timestamps(&self.gpu) {
            steps = steps.min(self.pacer.steps());
            while steps > 1 && self.dispatch_count(steps) >= MAX_TIMESTAMPS as usize {
                steps /= 2;
            }
        }
        steps
    }

    /// Returns the number of dispatches of `steps` steps.
    fn dispatch_count(&self, steps: usize) -> usize {
        let mut count = 0;
        self.for_each_dispatch(steps, true, |_| count += 1);
        count
    }

    /// Runs the steps `first..first + steps` and measures each kernel. `steps` is at most [`Engine::profiled_steps`],
    /// and `steps_since_reset` steps have run before the first.
    ///
    /// Returns the time of each kernel per step, the metrics as [`Engine::run`] returns them, and whether the device
    /// measured the times.
    pub(crate) async fn profile(
        &mut self,
        first: u64,
        steps_since_reset: u64,
        steps: usize,
    ) -> Result<(Vec<KernelTime>, Vec<RawStepMetrics>, bool)> {
        let gpu = self.gpu.clone();
        self.prepare_chunk((first, steps_since_reset), 0, steps);
        let seconds = if has_timestamps(&gpu) {
            self.time_on_device(&gpu, steps).await?
        } else {
            self.time_on_host(&gpu, steps).await?
        };
        let metrics = read(&gpu, &self.buffers.metrics, 0, steps * self.member_count()).await?;
        let times = self.kernel_set.all().zip(seconds).map(|(dispatch, seconds)| KernelTime {
            kernel: dispatch.name.clone(),
            seconds_per_step: seconds / steps as f64,
            flop: dispatch.flop,
            bytes: dispatch.bytes,
        });
        Ok((times.collect(), metrics, has_timestamps(&gpu)))
    }

    /// Runs the steps of the current chunk. Returns the seconds of each kernel in [`KernelSet::all`], by the device's
    /// timestamps.
    ///
    /// [`KernelSet::all`]: crate::engine::gpu::kernels::kernel_set::KernelSet::all
    pub(crate) async fn time_on_device(&self, gpu: &Gpu, steps: usize) -> Result<Vec<f64>> {
        let queries = gpu
            .run_scoped("timestamps", |device| {
                let ty = wgpu::QueryType::Timestamp;
                let label = Some("timestamps");
                device.create_query_set(&wgpu::QuerySetDescriptor { label, ty, count: MAX_TIMESTAMPS })
            })
            .await?;
        let bytes = u64::from(MAX_TIMESTAMPS) * size_of::<u64>() as u64;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let timestamp_buffer = gpu.buffer("timestamps", bytes, usage).await?;
        // A timestamp before the first dispatch and one after each.
        let mut kernels = Vec::new();
        let mut encoder = gpu.encoder();
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.write_timestamp(&queries, 0);
            self.for_each_dispatch(steps, true, |dispatch| {
                dispatch.record(&mut pass);
                kernels.push(dispatch.index);
                pass.write_timestamp(&queries, kernels.len() as u32);
            });
        }
        encoder.resolve_query_set(&queries, 0..kernels.len() as u32 + 1, &timestamp_buffer, 0);
        gpu.wait(gpu.submit(encoder)).await?;
        let timestamps: Vec<u64> = read(gpu, &timestamp_buffer, 0, kernels.len() + 1).await?;
        let period_seconds = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
        let mut seconds = vec![0.0; self.kernel_set.all().count()];
        for (kernel, pair) in kernels.iter().zip(timestamps.windows(2)) {
            seconds[*kernel] += pair[1].saturating_sub(pair[0]) as f64 * period_seconds;
        }
        Ok(seconds)
    }

    /// Runs the steps of the current chunk, one submission per dispatch. Returns the seconds of each kernel in
    /// [`KernelSet::all`], by the host's clock. The time of an empty submission is subtracted.
    ///
    /// [`KernelSet::all`]: crate::engine::gpu::kernels::kernel_set::KernelSet::all
    async fn time_on_host(&self, gpu: &Gpu, steps: usize) -> Result<Vec<f64>> {
        let mut overhead = f64::INFINITY;
        for _ in 0..10 {
            let start = Instant::now();
            gpu.wait(gpu.compute(|_| {})).await?;
            overhead = overhead.min(start.elapsed().as_secs_f64());
        }
        let mut seconds = vec![0.0; self.kernel_set.all().count()];
        let mut result = Ok(());
        self.for_each_dispatch(steps, true, |dispatch| {
            if result.is_err() {
                return;
            }
            // Wait for each dispatch before submitting the next. On native platforms `Gpu::wait` blocks anyway.
            let start = Instant::now();
            let submission = gpu.compute(|pass| dispatch.record_alone(pass));
            result = pollster::block_on(gpu.wait(submission));
            seconds[dispatch.index] += (start.elapsed().as_secs_f64() - overhead).max(0.0);
        });
        result.map(|()| seconds)
    }
}
