//! Shared helpers: the devices to test on, simple data, child processes with a time limit, and temporary folders.

use std::{
    collections::HashSet,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use gradus::{
    Dataset, Device,
    device::{AdapterReport, DeviceRequest, DeviceSelector},
    nn::LayerParameters,
    wgpu,
};

/// Returns the CPU engine and a device for each of [`adapters`].
pub fn devices() -> Vec<Device> {
    let adapters = adapters();
    let gpus = adapters.iter().map(|adapter| open(adapter, None));
    std::iter::once(Device::cpu()).chain(gpus).collect()
}

/// Returns [`devices`] in a full run, and only the CPU engine in a quick one. For code that is the same on all devices.
pub fn devices_unless_quick() -> Vec<Device> {
    if is_quick() { vec![Device::cpu()] } else { devices() }
}

/// Returns whether to run the short selection. It is the default, because a software adapter takes seconds to compile
/// most kernels. `tests/run.sh --full` sets the variable.
pub fn is_quick() -> bool {
    std::env::var("GRADUS_TEST_FULL").as_deref() != Ok("1")
}

/// Returns every adapter of every backend, or only those that `WGPU_ADAPTER_NAME` selects.
///
/// Panics if there is no adapter, unless `GRADUS_TEST_NO_GPU=1` is set: tests must not skip their work silently.
pub fn adapters() -> Vec<AdapterReport> {
    let mut adapters = gradus::device::adapters(None).expect("the adapters can be listed");
    if let Ok(wanted) = std::env::var("WGPU_ADAPTER_NAME") {
        let wanted = wanted.to_lowercase();
        adapters.retain(|adapter| adapter.info.name.to_lowercase().contains(&wanted));
    }
    // A request by name cannot distinguish two adapters of the same name.
    let mut seen = HashSet::new();
    adapters.retain(|adapter| seen.insert((adapter.info.name.clone(), adapter.info.backend)));
    let expects_no_gpu = std::env::var("GRADUS_TEST_NO_GPU").is_ok_and(|value| value == "1");
    assert!(
        !adapters.is_empty() || expects_no_gpu,
        "no adapter to test on: run tests/run.sh, which installs a software adapter, or set GRADUS_TEST_NO_GPU=1 \
         (WGPU_ADAPTER_NAME, WGPU_BACKEND and VK_DRIVER_FILES also restrict the adapters)"
    );
    adapters
}

/// Opens an adapter, selected by its name and backend. Without `limits` the device has all limits of the adapter.
pub fn open(adapter: &AdapterReport, limits: Option<wgpu::Limits>) -> Device {
    Device::request(&request(adapter, limits)).expect("the adapter can be opened")
}

/// Returns a request for an adapter by its name and backend.
pub fn request(adapter: &AdapterReport, limits: Option<wgpu::Limits>) -> DeviceRequest {
    let selector = DeviceSelector::Name(adapter.info.name.clone());
    DeviceRequest { selector, backends: Some(adapter.info.backend.into()), limits }
}

/// Opens an adapter with wgpu alone, as an application does: without features, and with the adapter's limits unless
/// `limits` is given.
pub fn application_device(adapter: &AdapterReport, limits: Option<wgpu::Limits>) -> (wgpu::Device, wgpu::Queue) {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    let backends = adapter.info.backend.into();
    descriptor.backends = backends;
    let adapters = pollster::block_on(wgpu::Instance::new(descriptor).enumerate_adapters(backends));
    let has_same_name = |found: &wgpu::Adapter| found.get_info().name == adapter.info.name;
    let adapter = adapters.into_iter().find(has_same_name).expect("the adapter is still available");
    let required_limits = limits.unwrap_or_else(|| adapter.limits());
    let descriptor = wgpu::DeviceDescriptor { required_limits, ..wgpu::DeviceDescriptor::default() };
    pollster::block_on(adapter.request_device(&descriptor)).expect("the adapter can be opened")
}

/// Returns numbers in [-1, 1] that follow from `seed`. Their period is a prime, 251, so that a test notices swapped
/// rows and columns.
pub fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + seed * 101) % 251) as f32 / 125.0 - 1.0).collect()
}

/// The features and the targets of XOR: four rows with two features and one target each.
pub const XOR: ([f32; 8], [f32; 4]) = ([0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0]);

/// Returns the data set of [`XOR`].
pub fn xor() -> Dataset {
    Dataset::new(4, &XOR.0, &XOR.1).expect("a data set")
}

/// Returns the weights and biases as bits, for exact comparisons.
pub fn bits(layers: &[LayerParameters]) -> Vec<u32> {
    layers.iter().flat_map(|layer| layer.weight.iter().chain(&layer.bias)).map(|value| value.to_bits()).collect()
}

/// The result of a child process.
pub struct Outcome {
    /// The exit status; `None` if a signal ended the process.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Panics with the complete output unless the process ended with `status` and wrote all of `texts`.
    pub fn expect(&self, status: i32, texts: &[&str]) -> &Self {
        let Self { stdout, stderr, .. } = self;
        let output = format!("--- stdout\n{stdout}\n--- stderr\n{stderr}");
        assert_eq!(self.status, Some(status), "\n{output}");
        for text in texts {
            assert!(stdout.contains(text) || stderr.contains(text), "no {text:?} in\n{output}");
        }
        assert!(!stderr.contains("panicked"), "\n{output}");
        self
    }

    /// Parses the last line of standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("the last line is no JSON: {error}: {last:?}"))
    }
}

/// Returns a command that runs an example. `cargo test` builds the examples next to the tests, but passes no path to
/// them.
pub fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().nth(2).expect("tests are in target/PROFILE/deps").join("examples");
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.is_file(),
        "{} does not exist: run `cargo build --examples`; `cargo test` builds the examples, `cargo test --test all` \
         does not",
        program.display()
    );
    let mut command = Command::new(program);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

const CHILD_VARIABLE: &str = "GRADUS_TEST_CHILD";

/// Returns whether [`child_test`] started this process.
pub fn is_child_test() -> bool {
    std::env::var_os(CHILD_VARIABLE).is_some()
}

/// Returns a command that runs one test in a separate process, for tests of properties of a process, for example its
/// memory. `test` is the path of the test, with its module.
///
/// The command sets an environment variable, so that the test can find out that it is the child: see [`is_child_test`].
pub fn child_test(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test has a path"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD_VARIABLE, "1");
    command
}

/// The time limit of a child process.
pub const LIMIT: Duration = Duration::from_secs(240);

/// Runs a command and waits for its end. Panics if it takes longer than [`LIMIT`].
pub fn run(command: &mut Command) -> Outcome {
    run_within(command, LIMIT)
}

/// Runs a command and waits for its end. Kills the process and panics if it takes longer than `limit`.
pub fn run_within(command: &mut Command, limit: Duration) -> Outcome {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // Read both pipes all the time: a child that fills a pipe would wait forever.
    let drain = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).expect("a pipe can be read");
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = drain(Box::new(child.stdout.take().expect("a pipe")));
    let stderr = drain(Box::new(child.stderr.take().expect("a pipe")));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if start.elapsed() > limit {
            child.kill().expect("a child can be killed");
            panic!("{command:?} did not end within {limit:?}");
        }
        thread::sleep(Duration::from_millis(20));
    };
    let [stdout, stderr] = [stdout, stderr].map(|reader| reader.join().expect("the reader does not panic"));
    Outcome { status: status.code(), stdout, stderr }
}

/// Returns a memory size of this process in KiB, on Linux: `VmSize` (mapped), `VmRSS` (resident) or `VmHWM` (maximum of
/// `VmRSS`).
pub fn process_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has this file");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the file has this line");
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number")
}

/// Limits the memory of this process to its present size plus `mebibytes`, on Linux.
pub fn limit_memory(mebibytes: u64) {
    let limit = (process_kib("VmSize") << 10) + (mebibytes << 20);
    let id = std::process::id().to_string();
    let status = Command::new("prlimit").args(["--pid", &id, &format!("--as={limit}:")]).status();
    assert!(status.expect("prlimit is part of every Linux").success());
}

/// A new temporary folder. Dropping it deletes it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("gradus-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    /// Returns the path of a file in the folder.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and returns its path. Creates missing folders.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::create_dir_all(path.parent().expect("the path is in the folder")).expect("a folder");
        std::fs::write(&path, content).expect("a temporary file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
