//! A wgpu device: its errors, its buffers and submissions, and the only function in which the host waits for it.

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

/// The default timeouts of a GPU and of a software adapter, which may need minutes for the work that a GPU does in a
/// second.
const TIMEOUTS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(600)];

/// The maximum number of loop iterations per invocation on a software adapter, summed over all loops.
///
/// llvmpipe silently ends every loop of an invocation after 65,535 iterations in total (LP_MAX_TGSI_LOOP_ITERATIONS).
/// This maximum is lower, to leave a reserve for loops that the plan does not count.
pub(crate) const MAX_SOFTWARE_LOOP_ITERATIONS: usize = 65_000;

/// The maximum bytes of one upload. It is small because wgpu loses the device if the allocation of the staging memory
/// fails.
pub(crate) const MAX_UPLOAD_BYTES: usize = 8 << 20;

/// The features that gradus requests if the adapter has them: subgroups for some tiles, and timestamps for profiles.
pub(crate) const WANTED_FEATURES: wgpu::Features = wgpu::Features::SUBGROUP.union(TIMESTAMP_FEATURES);
/// The features for timestamps around each dispatch.
pub(crate) const TIMESTAMP_FEATURES: wgpu::Features =
    wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES);

/// A wgpu device and its queue. A clone refers to the same device.
#[derive(Clone)]
pub(crate) struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) info: wgpu::AdapterInfo,
    pub(crate) limits: wgpu::Limits,
    /// The maximum number of loop iterations per invocation, summed over all loops, if the device has such a limit.
    pub(crate) max_loop_iterations: Option<usize>,
    /// Whether gradus opened the device and installed its error handlers.
    pub(crate) is_owned: bool,
    /// The error of a lost device. [`Gpu::check`] reports it rather than `first_error`, because all objects of a lost
    /// device are invalid.
    pub(crate) device_lost: Arc<OnceLock<Error>>,
    /// The first error outside any error scope of [`Gpu::run_scoped`].
    pub(crate) first_error: Arc<OnceLock<Error>>,
    pub(crate) counts: Arc<CallCounts>,
    pub(crate) pipelines: Arc<PipelineCache>,
    /// The maximum bytes of a data set on the device, if the caller has set a limit.
    pub(crate) dataset_memory_limit: Option<u64>,
    /// The maximum time that the host waits for the device.
    #[cfg_attr(target_family = "wasm", allow(dead_code))]
    pub(crate) timeout: Duration,
}

/// The numbers of expensive calls, which the host must avoid inside an epoch.
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

/// Returns the maximum bytes of a storage buffer binding. WGSL indexes bytes with u32, whatever the device offers, and
/// some drivers compute wrong results beyond 4 GiB (wgpu #10305).
pub(crate) fn binding_limit(limits: &wgpu::Limits) -> u64 {
    limits.max_storage_buffer_binding_size.min(u32::MAX.into())
}

impl Gpu {
    /// Wraps a device that gradus opened. Its handlers store errors as values instead of panicking.
    pub(crate) fn owned(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let gpu = Self { is_owned: true, ..Self::from_caller(device, queue) };
        let first_error = Arc::clone(&gpu.first_error);
        gpu.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::error!("{error}");
            let _ = first_error.set(from_wgpu("command", error));
        }));
        let device_lost = Arc::clone(&gpu.device_lost);
        gpu.device.set_device_lost_callback(move |reason, message| {
            let _ = device_lost.set(Error::DeviceLost { reason: format!("{reason:?}: {message}") });
        });
        gpu
    }

    /// Wraps the caller's device, and leaves the caller's error handlers installed.
    pub(crate) fn from_caller(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let (info, limits) = (device.adapter_info(), device.limits());
        let is_software = info.device_type == wgpu::DeviceType::Cpu;
        Self {
            device,
            queue,
            info,
            limits,
            max_loop_iterations: is_software.then_some(MAX_SOFTWARE_LOOP_ITERATIONS),
            is_owned: false,
            device_lost: Arc::default(),
            first_error: Arc::default(),
            counts: Arc::default(),
            pipelines: Arc::default(),
            dataset_memory_limit: None,
            timeout: TIMEOUTS[usize::from(is_software)],
        }
    }

    /// Returns whether the device is a software adapter, which runs shaders on the CPU.
    pub(crate) fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// Returns the error of a lost device, or else the first error of a command, if there is one.
    pub(crate) fn check(&self) -> Result<()> {
        self.device_lost.get().or_else(|| self.first_error.get()).map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Returns an error if the device is lost, by waiting for an empty submission.
    ///
    /// Call it before creating buffers or pipelines: on a lost device they are invalid, and wgpu reports this only when
    /// they are used, to the handler of uncaptured errors.
    ///
    /// A caller's device reports its loss only to the caller's handler. But a lost device discards submissions, so
    /// waiting for one fails. The wait has the normal timeout: while another thread waits too, wgpu 30.0.1 may panic in
    /// a wait that times out.
    pub(crate) async fn check_alive(&self) -> Result<()> {
        self.wait(self.submit(self.encoder())).await
    }

    /// Returns the same errors as [`check`](Self::check). wgpu may report errors that a device loss caused before the
    /// loss, so after any other error this function checks whether the device is lost.
    async fn check_after_poll(&self) -> Result<()> {
        match self.check() {
            Err(error) if !matches!(error, Error::DeviceLost { .. }) => self.check_alive().await,
            result => result,
        }
    }

    /// Runs `build`, and returns an error of wgpu as [`Error`] instead of a panic. `what` names the created object.
    pub(crate) async fn run_scoped<T>(&self, what: &str, build: impl FnOnce(&wgpu::Device) -> T) -> Result<T> {
        self.check_after_poll().await?;
        let (value, [validation, internal, memory]) = self.with_error_scopes(|| build(&self.device));
        let errors = [validation.await, internal.await, memory.await];
        match errors.into_iter().flatten().next() {
            // On a lost device every object is invalid, so the loss is the error to report.
            Some(error) => Err(self.check_alive().await.err().unwrap_or_else(|| from_wgpu(what, error))),
            None => self.check_after_poll().await.map(|()| value),
        }
    }

    /// Runs `work` inside error scopes. Returns its value, and one future per kind of error, which yields the error of
    /// `work`.
    fn with_error_scopes<T>(&self, work: impl FnOnce() -> T) -> (T, [impl Future<Output = Option<wgpu::Error>>; 3]) {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let value = work();
        // Scopes belong to the thread, so close them here, in reverse order. Only the futures may be awaited later.
        (value, [validation.pop(), internal.pop(), memory.pop()])
    }

    /// Creates a buffer of `bytes` bytes, filled with 0.
    pub(crate) async fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        check_limit(label, "max_buffer_size", bytes, self.limits.max_buffer_size)?;
        self.counts.buffers.fetch_add(1, Ordering::Relaxed);
        let size = bytes.next_multiple_of(16).max(16);
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        self.run_scoped(&format!("buffer of {bytes} bytes for {label}"), |device| device.create_buffer(&descriptor))
            .await
    }

    /// Returns the maximum bytes of a binding, a multiple of 16. A buffer may be smaller than the binding limit.
    pub(crate) fn max_binding_bytes(&self) -> usize {
        let limit = binding_limit(&self.limits).min(self.limits.max_buffer_size);
        usize::try_from(limit).unwrap_or(usize::MAX) / 16 * 16
    }

    /// Writes `data` to a buffer at the byte offset `offset`, in pieces of at most [`MAX_UPLOAD_BYTES`].
    pub(crate) fn upload(&self, buffer: &wgpu::Buffer, offset: u64, data: &[u8]) {
        for (i, piece) in data.chunks(MAX_UPLOAD_BYTES).enumerate() {
            let offset = offset + (i * MAX_UPLOAD_BYTES) as u64;
            self.run_guarded("upload", || self.queue.write_buffer(buffer, offset, piece));
            if piece.len() == MAX_UPLOAD_BYTES {
                self.submit(self.encoder()); // wgpu frees staging memory only after the next submission
            }
        }
    }

    /// Returns [`Error::DeviceLimit`] if the dispatch exceeds a limit of the device.
    pub(crate) fn check_dispatch(&self, dispatch: &Dispatch) -> Result<()> {
        let required = dispatch.workgroups.into_iter().max().unwrap_or(0);
        let available = self.limits.max_compute_workgroups_per_dimension;
        check_limit(&dispatch.name, "max_compute_workgroups_per_dimension", required.into(), available.into())?;
        if let Some(available) = self.max_loop_iterations {
            let (limit, required) = ("loop iterations of a software adapter", dispatch.loop_iterations as u64);
            check_limit(&dispatch.name, limit, required, available as u64)?;
        }
        Ok(())
    }

    pub(crate) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// Submits one compute pass, whose commands `record` records.
    pub(crate) fn compute(&self, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) -> wgpu::SubmissionIndex {
        let mut encoder = self.encoder();
        record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        self.submit(encoder)
    }

    /// Submits the commands of an encoder.
    pub(crate) fn submit(&self, encoder: wgpu::CommandEncoder) -> wgpu::SubmissionIndex {
        self.run_guarded("submission", || self.queue.submit([encoder.finish()]))
    }

    /// Runs `command`. On a caller's device it stores an error in `first_error`, so that wgpu does not call the
    /// caller's error handler.
    pub(crate) fn run_guarded<T>(&self, what: &str, command: impl FnOnce() -> T) -> T {
        if self.is_owned {
            return command();
        }
        let (value, errors) = self.with_error_scopes(command);
        // On native platforms the futures are ready at once. On the web do not wait for them.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for error in errors {
            if let std::task::Poll::Ready(Some(error)) = std::pin::pin!(error).poll(&mut context) {
                let _ = self.first_error.set(from_wgpu(what, error));
            }
        }
        value
    }

    /// Waits until the device has finished a submission, at most for the timeout.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) async fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        self.counts.waits.fetch_add(1, Ordering::Relaxed);
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(self.timeout) };
        // wgpu 30 panics when it polls a lost device.
        let result = catch_unwind(AssertUnwindSafe(|| self.device.poll(wait)));
        let reason = match result {
            Ok(Ok(_)) => return self.check(),
            Ok(Err(wgpu::PollError::Timeout)) => {
                return self.check().and(Err(Error::Timeout { seconds: self.timeout.as_secs_f64() }));
            }
            // wgpu silently drops submissions to a lost device, and then does not know their index.
            Ok(Err(wgpu::PollError::WrongSubmissionIndex(..))) => "the device accepts no more commands",
            Err(_) => "the driver gave no reason",
        };
        Err(self.device_lost.get_or_init(|| Error::DeviceLost { reason: reason.into() }).clone())
    }

    /// Waits until the device has finished all submissions. The browser polls the device.
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

    /// Returns the numbers of created buffers, bind groups and pipelines, of mappings, and of waits so far.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> [u64; 5] {
        let c = &self.counts;
        [&c.buffers, &c.bind_groups, &c.pipelines, &c.maps, &c.waits].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Converts an error of wgpu. `what` names the object or the command.
fn from_wgpu(what: &str, error: wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { source } => Error::OutOfMemory { context: format!("{what}: {source}") },
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            Error::Internal { context: what.to_owned(), reason: description }
        }
    }
}
