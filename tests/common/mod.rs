//! What the tests share: the devices to walk, data that is easy to make, child processes with a time limit, and folders.

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

/// The CPU engine, and every adapter that is there.
pub fn devices() -> Vec<Device> {
    let adapters = adapters();
    let opened = adapters.iter().map(|adapter| open(adapter, None));
    std::iter::once(Device::cpu()).chain(opened).collect()
}

/// The same for what lies above them and is one code for all; where it has to be quick, the CPU engine alone.
pub fn devices_unless_quick() -> Vec<Device> {
    if is_quick() { vec![Device::cpu()] } else { devices() }
}

/// Whether to run the short selection, which is the default: a software adapter takes seconds to compile most kernels.
/// `tests/run.sh --full` sets the variable.
pub fn is_quick() -> bool {
    std::env::var("GRADUS_TEST_FULL").as_deref() != Ok("1")
}

/// Every adapter of every backend, or the one that `WGPU_ADAPTER_NAME` names. None at all is a failure, unless the
/// environment says that there is none: a suite that skips its work without a word is worth nothing.
pub fn adapters() -> Vec<AdapterReport> {
    let mut adapters = gradus::device::adapters(None).expect("adapters are listed");
    if let Ok(wanted) = std::env::var("WGPU_ADAPTER_NAME") {
        let wanted = wanted.to_lowercase();
        adapters.retain(|adapter| adapter.info.name.to_lowercase().contains(&wanted));
    }
    // Twins cannot be told apart by name.
    let mut seen = HashSet::new();
    adapters.retain(|adapter| seen.insert((adapter.info.name.clone(), adapter.info.backend)));
    let none_is_fine = std::env::var("GRADUS_TEST_NO_GPU").is_ok_and(|value| value == "1");
    assert!(
        !adapters.is_empty() || none_is_fine,
        "no adapter to test on: run tests/run.sh, which installs a software one, or set GRADUS_TEST_NO_GPU=1 \
         (and mind WGPU_ADAPTER_NAME, WGPU_BACKEND and VK_DRIVER_FILES)"
    );
    adapters
}

/// An adapter's device, by its name and backend, with all of the adapter's limits unless others are given.
pub fn open(adapter: &AdapterReport, limits: Option<wgpu::Limits>) -> Device {
    Device::request(&request(adapter, limits)).expect("the adapter gives a device")
}

pub fn request(adapter: &AdapterReport, limits: Option<wgpu::Limits>) -> DeviceRequest {
    let choice = DeviceSelector::Name(adapter.info.name.clone());
    DeviceRequest { selector: choice, backends: Some(adapter.info.backend.into()), limits }
}

/// A device and queue as an application of its own would have them, without features; the adapter's limits unless others
/// are given.
pub fn callers(adapter: &AdapterReport, limits: Option<wgpu::Limits>) -> (wgpu::Device, wgpu::Queue) {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    let backends = adapter.info.backend.into();
    descriptor.backends = backends;
    let all = pollster::block_on(wgpu::Instance::new(descriptor).enumerate_adapters(backends));
    let found = all.into_iter().find(|one| one.get_info().name == adapter.info.name).expect("it was listed");
    let required_limits = limits.unwrap_or_else(|| found.limits());
    let descriptor = wgpu::DeviceDescriptor { required_limits, ..wgpu::DeviceDescriptor::default() };
    pollster::block_on(found.request_device(&descriptor)).expect("the adapter gives a device")
}

/// Numbers from -1 to 1 in which swapped rows and columns show: 251 is a prime.
pub fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + seed * 101) % 251) as f32 / 125.0 - 1.0).collect()
}

/// The two inputs and the answer of each row of XOR.
pub const XOR: ([f32; 8], [f32; 4]) = ([0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0]);

pub fn xor() -> Dataset {
    Dataset::new(4, &XOR.0, &XOR.1).expect("four rows")
}

/// Parameters as bits, so that equal means equal.
pub fn bits(layers: &[LayerParameters]) -> Vec<u32> {
    layers.iter().flat_map(|layer| layer.weight.iter().chain(&layer.bias)).map(|value| value.to_bits()).collect()
}

/// What a child process left.
pub struct Outcome {
    /// The exit status, if it ended by itself.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Fails with all that the process wrote unless it ended with `status` and wrote every one of `texts`.
    pub fn expect(&self, status: i32, texts: &[&str]) -> &Self {
        let Self { stdout, stderr, .. } = self;
        let all = format!("--- stdout\n{stdout}\n--- stderr\n{stderr}");
        assert_eq!(self.status, Some(status), "\n{all}");
        for text in texts {
            assert!(stdout.contains(text) || stderr.contains(text), "no {text:?} in\n{all}");
        }
        assert!(!stderr.contains("panicked"), "\n{all}");
        self
    }

    /// The last line of standard output, which is to be JSON.
    pub fn json(&self) -> serde_json::Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error} in the last line: {last:?}"))
    }
}

/// An example's program. `cargo test` builds the examples next to the tests, and gives no path to them.
pub fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps").join("examples");
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.is_file(),
        "{} is not there: `cargo test` builds it, and so does `cargo build --examples`; `cargo test --test all` alone \
         does not",
        program.display()
    );
    let mut command = Command::new(program);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

const ALONE: &str = "GRADUS_TEST_ALONE";

/// Whether this process is there for one test.
pub fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// A test again, in a process of its own, for what concerns a whole process: its memory, its limits, its end. It is named with
/// its module.
///
/// What the process finds in its environment tells it that it is the one: see [`is_alone`].
pub fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test has a path"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ALONE, "1");
    command
}

/// Longer than a child of these tests ever should take.
pub const LIMIT: Duration = Duration::from_secs(240);

/// Runs a command to its end. One that takes longer than it ever should is ended, and fails.
pub fn run(command: &mut Command) -> Outcome {
    run_within(command, LIMIT)
}

/// [`run`] for a command that may take as long as this.
pub fn run_within(command: &mut Command, limit: Duration) -> Outcome {
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the program starts");
    // Both pipes are emptied all the time, or a child that writes much would wait for ever.
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
            child.kill().expect("a child can be ended");
            panic!("{command:?} did not end within {limit:?}");
        }
        thread::sleep(Duration::from_millis(20));
    };
    let [stdout, stderr] = [stdout, stderr].map(|pipe| pipe.join().expect("a pipe is read"));
    Outcome { status: status.code(), stdout, stderr }
}

/// A number of KiB that Linux tells of this process: `VmSize`, all that is mapped, `VmRSS`, what it takes, or `VmHWM`, the
/// most that it took.
pub fn kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is told");
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number")
}

/// Lets this process have so many MiB more than it has, on Linux.
pub fn leave(mebibytes: u64) {
    let limit = (kib("VmSize") << 10) + (mebibytes << 20);
    let id = std::process::id().to_string();
    let set = Command::new("prlimit").args(["--pid", &id, &format!("--as={limit}:")]).status();
    assert!(set.expect("prlimit is part of every Linux").success());
}

/// A new folder for a test's files, removed with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("gradus-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    /// The path of a file in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, in folders that are made if need be, and gives its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
        std::fs::write(&path, content).expect("a temporary file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
