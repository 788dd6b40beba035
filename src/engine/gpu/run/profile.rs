//! How long each kernel takes: by the device's clock where it has one, else by the host's. Not on the web, which has no
//! clock of either kind here.

use std::time::Instant;

use crate::{
    engine::gpu::{
        device::{CLOCK, Gpu, readback::read},
        run::{engine::Engine, engine_layout::Metric},
    },
    error::Result,
    plan::profile::KernelTime,
};

/// Times that one query set holds.
const TIMES: u32 = wgpu::QUERY_SET_MAX_QUERIES;

/// Whether the device takes times around a dispatch. A software adapter takes them when it is told to, which may be long
/// before it works.
fn has_clock(gpu: &Gpu) -> bool {
    gpu.device.features().contains(CLOCK) && !gpu.is_software()
}

impl Engine {
    /// How many of so many steps a profile takes: those of one chunk, and by the device's clock no more than a submission
    /// should have, or there are times for.
    pub(crate) fn profiled(&self, steps: usize) -> usize {
        let mut steps = steps.clamp(1, self.chunk());
        if has_clock(&self.gpu) {
            steps = steps.min(self.pace.steps());
            while steps > 1 && self.visits(steps) >= TIMES as usize {
                steps /= 2;
            }
        }
        steps
    }

    /// How many dispatches so many steps are.
    fn visits(&self, steps: usize) -> usize {
        let mut visits = 0;
        self.visit(steps, true, |_| visits += 1);
        visits
    }

    /// Takes the steps `first` to `first + steps`, after `before` updates, of [`Engine::profiled`], and gives the seconds of
    /// each kernel a step, the metrics as [`Engine::run`] does, and whether the device took the times.
    pub(crate) async fn profile(
        &mut self,
        first: u64,
        before: u64,
        steps: usize,
    ) -> Result<(Vec<KernelTime>, Vec<Metric>, bool)> {
        let gpu = self.gpu.clone();
        self.prepare((first, before), 0, steps);
        let seconds =
            if has_clock(&gpu) { self.by_device(&gpu, steps).await? } else { self.by_host(&gpu, steps).await? };
        let metrics = read(&gpu, &self.buffers.metrics, 0, steps * self.models()).await?;
        let times = self.dispatches.all().zip(seconds).map(|(dispatch, seconds)| KernelTime {
            kernel: dispatch.name.clone(),
            seconds: seconds / steps as f64,
            flop: dispatch.flop,
            bytes: dispatch.bytes,
        });
        Ok((times.collect(), metrics, has_clock(&gpu)))
    }

    pub(crate) async fn by_device(&self, gpu: &Gpu, steps: usize) -> Result<Vec<f64>> {
        let queries = gpu
            .scoped("times", |device| {
                let ty = wgpu::QueryType::Timestamp;
                device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("times"), ty, count: TIMES })
            })
            .await?;
        let bytes = u64::from(TIMES) * size_of::<u64>() as u64;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let times = gpu.buffer("times", bytes, usage).await?;
        // A time before the first dispatch and one behind each.
        let mut kernels = Vec::new();
        let mut encoder = gpu.encoder();
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.write_timestamp(&queries, 0);
            self.visit(steps, true, |visit| {
                visit.record(&mut pass);
                kernels.push(visit.number);
                pass.write_timestamp(&queries, kernels.len() as u32);
            });
        }
        encoder.resolve_query_set(&queries, 0..kernels.len() as u32 + 1, &times, 0);
        gpu.wait(gpu.submit(encoder)).await?;
        let taken: Vec<u64> = read(gpu, &times, 0, kernels.len() + 1).await?;
        let period = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
        let mut seconds = vec![0.0; self.dispatches.all().count()];
        for (kernel, pair) in kernels.iter().zip(taken.windows(2)) {
            seconds[*kernel] += pair[1].saturating_sub(pair[0]) as f64 * period;
        }
        Ok(seconds)
    }

    async fn by_host(&self, gpu: &Gpu, steps: usize) -> Result<Vec<f64>> {
        let mut empty = f64::INFINITY;
        for _ in 0..10 {
            let start = Instant::now();
            gpu.wait(gpu.compute(|_| {})).await?;
            empty = empty.min(start.elapsed().as_secs_f64());
        }
        let mut seconds = vec![0.0; self.dispatches.all().count()];
        let mut waited = Ok(());
        self.visit(steps, true, |visit| {
            if waited.is_err() {
                return;
            }
            // Each is waited for before the next is submitted; wgpu's wait is not asynchronous on native platforms.
            let start = Instant::now();
            let submission = gpu.compute(|pass| visit.record_alone(pass));
            waited = pollster::block_on(gpu.wait(submission));
            seconds[visit.number] += (start.elapsed().as_secs_f64() - empty).max(0.0);
        });
        waited.map(|()| seconds)
    }
}
