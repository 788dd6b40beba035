//! One machine: a wgpu device, what may go wrong with it, and the one place where the host waits for it.

pub(crate) mod bindings;
pub(crate) mod dispatch;
#[cfg(test)]
pub(crate) mod mutant;
pub(crate) mod pacer;
pub(crate) mod pipeline;
pub(crate) mod pipeline_cache;
pub(crate) mod readback;

#[cfg(not(target_family = "wasm"))]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    engine::gpu::device::{dispatch::Dispatch, pipeline_cache::PipelineCache},
    error::{Error, Result, check_limit},
};

/// The longest the host waits for a GPU, and for a software adapter, which may need minutes for what a GPU does in a
/// second.
const TIMEOUTS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(600)];

/// llvmpipe ends every loop, without a word, once an invocation went round 65,535 times, all its loops together
/// (LP_MAX_TGSI_LOOP_ITERATIONS). Some are left to what the plan does not count.
pub(crate) const MAX_SOFTWARE_LOOP_ITERATIONS: usize = 65_000;

/// Bytes of one upload: a failed staging allocation inside wgpu loses the device, so it is kept small.
pub(crate) const MAX_UPLOAD_BYTES: usize = 8 << 20;

/// What a device is asked for if its adapter has it: subgroups for some tiles, and a clock for profiles.
pub(crate) const WANTED_FEATURES: wgpu::Features = wgpu::Features::SUBGROUP.union(TIMESTAMP_FEATURES);
/// Times around each dispatch.
pub(crate) const TIMESTAMP_FEATURES: wgpu::Features =
    wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES);

/// A wgpu device and its queue. A clone is the same device.
#[derive(Clone)]
pub(crate) struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) info: wgpu::AdapterInfo,
    pub(crate) limits: wgpu::Limits,
    /// How often an invocation may go round its loops, all of them together, where that is limited.
    pub(crate) max_loop_iterations: Option<usize>,
    /// Whether we made the device, and with it its handlers.
    pub(crate) is_owned: bool,
    /// That the device is gone, which is why what was made on it is invalid: it outweighs the fault.
    pub(crate) device_lost: Arc<OnceLock<Error>>,
    /// The first thing that went wrong outside any error scope.
    pub(crate) first_error: Arc<OnceLock<Error>>,
    pub(crate) counts: Arc<CallCounts>,
    pub(crate) pipelines: Arc<PipelineCache>,
    /// The most bytes of a data set that it is to hold, where that is limited.
    pub(crate) dataset_memory_limit: Option<u64>,
    /// The longest the host waits for it.
    #[cfg_attr(target_family = "wasm", allow(dead_code))]
    pub(crate) timeout: Duration,
}

/// How often the host did what it should not do inside an epoch.
#[derive(Debug, Default)]
pub(crate) struct CallCounts {
    buffers: AtomicU64,
    bind_groups: AtomicU64,
    pipelines: AtomicU64,
    maps: AtomicU64,
    waits: AtomicU64,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("adapter", &self.info.name).finish_non_exhaustive()
    }
}

/// The most bytes that a device binds. WGSL counts them in u32, whatever the device offers, and some drivers miscompute beyond
/// 4 GiB (wgpu #10305).
pub(crate) fn binding_limit(limits: &wgpu::Limits) -> u64 {
    limits.max_storage_buffer_binding_size.min(u32::MAX.into())
}

impl Gpu {
    /// A device of our own: its faults are kept as values, nothing panics.
    pub(crate) fn owned(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let gpu = Self { is_owned: true, ..Self::from_caller(device, queue) };
        let fault = Arc::clone(&gpu.first_error);
        gpu.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::error!("{error}");
            let _ = fault.set(from_wgpu("a command", error));
        }));
        let loss = Arc::clone(&gpu.device_lost);
        gpu.device.set_device_lost_callback(move |reason, why| {
            let _ = loss.set(Error::DeviceLost { reason: format!("{reason:?}: {why}") });
        });
        gpu
    }

    /// A caller's device: its handlers are the caller's and stay as they are.
    pub(crate) fn from_caller(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let (info, limits) = (device.adapter_info(), device.limits());
        let loop_budget = (info.device_type == wgpu::DeviceType::Cpu).then_some(MAX_SOFTWARE_LOOP_ITERATIONS);
        let patience = TIMEOUTS[usize::from(loop_budget.is_some())];
        let (loss, fault, counts, pipelines) = Default::default();
        let (is_own, resident_limit) = (false, None);
        Self {
            device,
            queue,
            info,
            limits,
            max_loop_iterations: loop_budget,
            is_owned: is_own,
            device_lost: loss,
            first_error: fault,
            counts,
            pipelines,
            dataset_memory_limit: resident_limit,
            timeout: patience,
        }
    }

    /// Whether it is a program that pretends to be a GPU.
    pub(crate) fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// `Ok` unless the device was lost or refused something.
    pub(crate) fn check(&self) -> Result<()> {
        self.device_lost.get().or_else(|| self.first_error.get()).map_or(Ok(()), |error| Err(error.clone()))
    }

    /// `Ok` unless the device is gone, which a caller's device tells nobody but the caller: what is submitted to a lost
    /// device gets a number that no wait knows. Not by a wait of no time: when another thread waits as well, wgpu 30.0.1
    /// may panic in one that runs out of time.
    ///
    /// To be asked before anything is made: what is made on a lost device is invalid, and wgpu says so, to the handler
    /// of uncaptured errors, only where it is used.
    pub(crate) async fn check_alive(&self) -> Result<()> {
        self.wait(self.submit(self.encoder())).await
    }

    /// `Ok` unless the device was lost or refused something. That it is gone may be told after what it refused because of that,
    /// so then it is asked.
    async fn check_after_poll(&self) -> Result<()> {
        match self.check() {
            Err(error) if !matches!(error, Error::DeviceLost { .. }) => self.check_alive().await,
            told => told,
        }
    }

    /// Runs `build` and gives what wgpu says against it as an error instead of a panic.
    pub(crate) async fn run_scoped<T>(&self, what: &str, build: impl FnOnce(&wgpu::Device) -> T) -> Result<T> {
        self.check_after_poll().await?;
        let (value, [validation, internal, memory]) = self.with_error_scopes(|| build(&self.device));
        let errors = [validation.await, internal.await, memory.await];
        match errors.into_iter().flatten().next() {
            // On a device that is gone all is invalid.
            Some(error) => Err(self.check_alive().await.err().unwrap_or_else(|| from_wgpu(what, error))),
            None => self.check_after_poll().await.map(|()| value),
        }
    }

    /// Runs `work`. What comes with its value answers what wgpu says against it, an answer for each kind of error.
    fn with_error_scopes<T>(&self, work: impl FnOnce() -> T) -> (T, [impl Future<Output = Option<wgpu::Error>>; 3]) {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let value = work();
        // The guards belong to this thread and close in reverse; only their answers may wait.
        (value, [validation.pop(), internal.pop(), memory.pop()])
    }

    /// A buffer of `bytes`, all 0.
    pub(crate) async fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        check_limit(label, "max_buffer_size", bytes, self.limits.max_buffer_size)?;
        self.counts.buffers.fetch_add(1, Ordering::Relaxed);
        let size = bytes.next_multiple_of(16).max(16);
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        self.run_scoped(&format!("buffer of {bytes} bytes for {label}"), |device| device.create_buffer(&descriptor))
            .await
    }

    /// The most bytes that one binding of a buffer may have.
    pub(crate) fn max_binding_bytes(&self) -> usize {
        let limit = binding_limit(&self.limits).min(self.limits.max_buffer_size);
        usize::try_from(limit).unwrap_or(usize::MAX) / 16 * 16
    }

    /// Writes `data` to a buffer, in pieces that the driver can stage.
    pub(crate) fn upload(&self, buffer: &wgpu::Buffer, offset: u64, data: &[u8]) {
        for (i, piece) in data.chunks(MAX_UPLOAD_BYTES).enumerate() {
            let offset = offset + (i * MAX_UPLOAD_BYTES) as u64;
            self.run_guarded("an upload", || self.queue.write_buffer(buffer, offset, piece));
            if piece.len() == MAX_UPLOAD_BYTES {
                self.submit(self.encoder()); // wgpu keeps what is staged until the next submission
            }
        }
    }

    /// Refuses what the device cannot run.
    pub(crate) fn check_dispatch(&self, dispatch: &Dispatch) -> Result<()> {
        let most = dispatch.workgroups.into_iter().max().unwrap_or(0);
        let have = self.limits.max_compute_workgroups_per_dimension;
        check_limit(&dispatch.name, "max_compute_workgroups_per_dimension", most.into(), have.into())?;
        if let Some(have) = self.max_loop_iterations {
            check_limit(
                &dispatch.name,
                "loop iterations of a software adapter",
                dispatch.loop_iterations as u64,
                have as u64,
            )?;
        }
        Ok(())
    }

    pub(crate) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// Submits one compute pass.
    pub(crate) fn compute(&self, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) -> wgpu::SubmissionIndex {
        let mut encoder = self.encoder();
        record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        self.submit(encoder)
    }

    /// Submits commands.
    pub(crate) fn submit(&self, encoder: wgpu::CommandEncoder) -> wgpu::SubmissionIndex {
        self.run_guarded("a submission", || self.queue.submit([encoder.finish()]))
    }

    /// Runs `command`; on a caller's device the caller's handler must not hear of what goes wrong with it.
    pub(crate) fn run_guarded<T>(&self, what: &str, command: impl FnOnce() -> T) -> T {
        if self.is_owned {
            return command();
        }
        let (value, answers) = self.with_error_scopes(command);
        // Natively they are there at once; on the web they are not waited for.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for answer in answers {
            if let std::task::Poll::Ready(Some(error)) = std::pin::pin!(answer).poll(&mut context) {
                let _ = self.first_error.set(from_wgpu(what, error));
            }
        }
        value
    }

    /// Waits until a submission is done.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) async fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        self.counts.waits.fetch_add(1, Ordering::Relaxed);
        let patience = self.timeout;
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(patience) };
        // wgpu 30 panics when it polls a device that was lost.
        let polled = catch_unwind(AssertUnwindSafe(|| self.device.poll(wait)));
        let lost = match polled {
            Ok(Ok(_)) => return self.check(),
            Ok(Err(wgpu::PollError::Timeout)) => {
                return self.check().and(Err(Error::Timeout { seconds: patience.as_secs_f64() }));
            }
            // wgpu drops what is submitted to a lost device, without a word, and knows no such submission then.
            Ok(Err(wgpu::PollError::WrongSubmissionIndex(..))) => "it takes no more commands",
            Err(_) => "the driver gave no reason",
        };
        Err(self.device_lost.get_or_init(|| Error::DeviceLost { reason: lost.into() }).clone())
    }

    /// Waits until all submissions are done; the browser polls the device.
    #[cfg(target_family = "wasm")]
    pub(crate) async fn wait(&self, _: wgpu::SubmissionIndex) -> Result<()> {
        self.counts.waits.fetch_add(1, Ordering::Relaxed);
        self.submitted_work_done().await;
        self.check()
    }

    /// Waits until the browser reports that all submitted work is done.
    #[cfg(target_family = "wasm")]
    async fn submitted_work_done(&self) {
        let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
        self.queue.on_submitted_work_done(move || {
            let _ = sender.send(());
        });
        receiver.receive().await;
    }

    /// Buffers made, bind groups made, pipelines built, maps and waits so far.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> [u64; 5] {
        let c = &self.counts;
        [&c.buffers, &c.bind_groups, &c.pipelines, &c.maps, &c.waits].map(|count| count.load(Ordering::Relaxed))
    }
}

fn from_wgpu(what: &str, error: wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { source } => Error::OutOfMemory { context: format!("{what}: {source}") },
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            Error::Internal { context: what.to_owned(), reason: description }
        }
    }
}
