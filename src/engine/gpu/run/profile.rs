//! How long each kernel takes: by the device's clock where it has one, else by the host's. Not on the web, which has no
//! clock of either kind here.

use std::time::Instant;

use crate::{
    engine::gpu::{
        device::{Gpu, TIMESTAMP_FEATURES, readback::read},
        run::{engine::Engine, engine_layout::RawStepMetrics},
    },
    error::Result,
    plan::profile::KernelTime,
};

/// Times that one query set holds.
const MAX_TIMESTAMPS: u32 = wgpu::QUERY_SET_MAX_QUERIES;

/// Whether the device takes times around a dispatch. A software adapter takes them when it is told to, which may be long
/// before it works.
fn has_timestamps(gpu: &Gpu) -> bool {
    gpu.device.features().contains(TIMESTAMP_FEATURES) && !gpu.is_software()
}

impl Engine {
    /// How many of so many steps a profile takes: those of one chunk, and by the device's clock no more than a submission
    /// should have, or there are times for.
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

    /// How many dispatches so many steps are.
    fn dispatch_count(&self, steps: usize) -> usize {
        let mut visits = 0;
        self.for_each_dispatch(steps, true, |_| visits += 1);
        visits
    }

    /// Takes the steps `first` to `first + steps`, after `before` updates, of [`Engine::profiled_steps`], and gives the seconds of
    /// each kernel a step, the metrics as [`Engine::run`] does, and whether the device took the times.
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

    pub(crate) async fn time_on_device(&self, gpu: &Gpu, steps: usize) -> Result<Vec<f64>> {
        let queries = gpu
            .run_scoped("times", |device| {
                let ty = wgpu::QueryType::Timestamp;
                device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("times"), ty, count: MAX_TIMESTAMPS })
            })
            .await?;
        let bytes = u64::from(MAX_TIMESTAMPS) * size_of::<u64>() as u64;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let times = gpu.buffer("times", bytes, usage).await?;
        // A time before the first dispatch and one behind each.
        let mut kernels = Vec::new();
        let mut encoder = gpu.encoder();
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.write_timestamp(&queries, 0);
            self.for_each_dispatch(steps, true, |visit| {
                visit.record(&mut pass);
                kernels.push(visit.index);
                pass.write_timestamp(&queries, kernels.len() as u32);
            });
        }
        encoder.resolve_query_set(&queries, 0..kernels.len() as u32 + 1, &times, 0);
        gpu.wait(gpu.submit(encoder)).await?;
        let taken: Vec<u64> = read(gpu, &times, 0, kernels.len() + 1).await?;
        let period = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
        let mut seconds = vec![0.0; self.kernel_set.all().count()];
        for (kernel, pair) in kernels.iter().zip(taken.windows(2)) {
            seconds[*kernel] += pair[1].saturating_sub(pair[0]) as f64 * period;
        }
        Ok(seconds)
    }

    async fn time_on_host(&self, gpu: &Gpu, steps: usize) -> Result<Vec<f64>> {
        let mut empty = f64::INFINITY;
        for _ in 0..10 {
            let start = Instant::now();
            gpu.wait(gpu.compute(|_| {})).await?;
            empty = empty.min(start.elapsed().as_secs_f64());
        }
        let mut seconds = vec![0.0; self.kernel_set.all().count()];
        let mut waited = Ok(());
        self.for_each_dispatch(steps, true, |visit| {
            if waited.is_err() {
                return;
            }
            // Each is waited for before the next is submitted; wgpu's wait is not asynchronous on native platforms.
            let start = Instant::now();
            let submission = gpu.compute(|pass| visit.record_alone(pass));
            waited = pollster::block_on(gpu.wait(submission));
            seconds[visit.index] += (start.elapsed().as_secs_f64() - empty).max(0.0);
        });
        waited.map(|()| seconds)
    }
}
