//! Times steps of many networks of one shape that train together, in alternation with a trainer of one network.
//!
//!     cargo bench --bench population -- --device cpu --device llvmpipe
//!     cargo bench --bench population -- --device gpu --workload 784-30-10 --networks 1,10,100 --json
//!
//! Before the bench times a workload, it compares members of a small population with trainers of one network. If their
//! bits differ, it stops with an error. The bench also measures the time of the host: with a wgpu device that computes
//! nothing.

mod common;

use std::process::ExitCode;

use clap::Parser;
use gradus::{
    Activation, Dataset, Device, Loss, Member, Network, Optimizer, Population, Trainer, TrainerSettings,
    nn::LayerParameters, plan::Plan, wgpu,
};
use serde_json::{Value, json};

use common::{
    BenchResult, Times, cpu_description, exit_code, measure, measure_in_turn, network_name, open_device, plan_field,
    values,
};

/// A network and its data set.
struct Workload {
    layer_sizes: &'static [usize],
    batch_size: usize,
    rows: usize,
    hidden_activation: Activation,
    /// Softmax cross-entropy has class targets. The mean squared error has a sigmoid output layer.
    loss: Loss,
}

const WORKLOADS: &[Workload] = &[
    Workload {
        layer_sizes: &[2, 2, 1],
        batch_size: 4,
        rows: 32,
        hidden_activation: Activation::Sigmoid,
        loss: Loss::Mse,
    },
    Workload {
        layer_sizes: &[784, 30, 10],
        batch_size: 10,
        rows: 10_000,
        hidden_activation: Activation::Sigmoid,
        loss: Loss::Mse,
    },
    Workload {
        layer_sizes: &[64, 64, 64],
        batch_size: 64,
        rows: 512,
        hidden_activation: Activation::Tanh,
        loss: Loss::SoftmaxCrossEntropy,
    },
];

/// The numbers of members and steps for the comparison of bits. There are more members than a workgroup of a software
/// adapter has invocations.
const COMPARED_MEMBERS: usize = 9;
const COMPARED_STEPS: usize = 30;

/// The maximum memory for the parameters, gradients and activations of all networks.
const MAX_BYTES: usize = 2 << 30;

/// The maximum number of seconds for a step of all networks.
const MAX_SECONDS_PER_STEP: f64 = 3.0;

/// Times steps of many networks that train together.
#[derive(Parser)]
struct Arguments {
    /// Device: auto, gpu, cpu, or part of an adapter's name; may be repeated
    #[arg(long, default_value = "cpu")]
    device: Vec<String>,
    /// Run only the workloads whose layer sizes contain this text, for example 784-30-10 [default: all]
    #[arg(long, default_value = "", hide_default_value = true)]
    workload: String,
    /// Numbers of networks, separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1000, 10_000])]
    networks: Vec<usize>,
    /// Seconds for timing each population with its single network, and the host
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Print one JSON object per line instead of tables
    #[arg(long)]
    json: bool,
    /// Ignored: `cargo bench` passes this option to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The measurement of a workload with a number of networks.
struct Row<'a> {
    workload: &'a Workload,
    networks: usize,
    /// The time per step of all networks.
    population: Times,
    /// The time per step of a trainer with one network, measured in alternation.
    single: Times,
    /// The training throughput of the population relative to that of one network: the median over the samples.
    speedup_over_one: f64,
    /// The seconds of the host per step of all networks. `None` on the CPU engine.
    host: Option<f64>,
    plan: Plan,
}

fn main() -> ExitCode {
    let _ = env_logger::try_init();
    exit_code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> BenchResult<()> {
    for name in &arguments.device {
        let device = open_device(name, arguments.json)?;
        if !arguments.json {
            print_header(&device)?;
        }
        for workload in WORKLOADS.iter().filter(|workload| workload.name().contains(&arguments.workload)) {
            workload.check(&device)?;
            for networks in &arguments.networks {
                match Row::measure(&device, workload, *networks, arguments.seconds)? {
                    Measurement::Row(row) if arguments.json => println!("{}", row.json(&device)),
                    Measurement::Row(row) => row.print(),
                    Measurement::Skipped(reason) if arguments.json => {
                        eprintln!("{networks} networks of {}: skipped: {reason}", workload.name());
                    }
                    Measurement::Skipped(reason) => {
                        let (name, batch_size) = (workload.name(), workload.batch_size);
                        println!("| {name} | {batch_size} | {networks} | skipped: {reason} | | | | | | |");
                    }
                }
            }
        }
    }
    Ok(())
}

/// Prints the device, the driver and the CPU, and the header of the table.
fn print_header(device: &Device) -> BenchResult<()> {
    let plan = |device: &Device| WORKLOADS[0].trainer(device, 0, None).map(|trainer| trainer.plan());
    println!("\ngradus {}: {device}", env!("CARGO_PKG_VERSION"));
    if device.is_gpu() {
        println!("driver: {}", plan_field(&plan(device)?, "driver"));
    }
    println!("{}\n", cpu_description(&plan(&Device::cpu())?));
    println!(
        "| network | batch size | networks | us per step of all | min to max | network steps/s | us per step of one | \
         speedup over one | host us per step | scheme |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    Ok(())
}

impl Workload {
    fn name(&self) -> String {
        network_name(self.layer_sizes)
    }

    fn outputs(&self) -> usize {
        self.layer_sizes[self.layer_sizes.len() - 1]
    }

    fn network(&self) -> Network {
        let mut network = Network::new(self.layer_sizes[0]);
        for neurons in &self.layer_sizes[1..self.layer_sizes.len() - 1] {
            network = network.dense(*neurons, self.hidden_activation);
        }
        let output_activation = if self.loss == Loss::Mse { Activation::Sigmoid } else { Activation::Identity };
        network.dense(self.outputs(), output_activation)
    }

    fn data(&self) -> gradus::Result<Dataset> {
        let features = values(self.rows * self.layer_sizes[0]);
        if self.loss == Loss::Mse {
            return Dataset::new(self.rows, features, values(self.rows * self.outputs()));
        }
        let classes: Vec<u32> = (0..self.rows).map(|row| (row * 37 % 251 % self.outputs()) as u32).collect();
        Dataset::new(self.rows, features, classes)
    }

    /// Returns the settings of a member. Each member has its own seed and learning rate.
    fn settings(&self, member: usize, plan: Option<Plan>) -> TrainerSettings {
        TrainerSettings {
            batch_size: self.batch_size,
            loss: self.loss,
            optimizer: Optimizer::sgd(0.1 / (1.0 + member as f64 / 1000.0)),
            seed: member as u64,
            plan,
            ..TrainerSettings::default()
        }
    }

    fn trainer(&self, device: &Device, member: usize, plan: Option<Plan>) -> BenchResult<Trainer> {
        Ok(Trainer::new(device, &self.network(), &self.data()?, self.settings(member, plan))?)
    }

    fn population(&self, device: &Device, networks: usize) -> gradus::Result<Population> {
        let members: Vec<_> = (0..networks).map(|member| Member::new(self.settings(member, None))).collect();
        Population::new(device, &self.network(), &self.data()?, &members)
    }

    /// Compares the first and the last member of a small population with a trainer that has the same plan.
    fn check(&self, device: &Device) -> BenchResult<()> {
        let mut population = self.population(device, COMPARED_MEMBERS)?;
        let reports = population.run(COMPARED_STEPS)?;
        for member in [0, COMPARED_MEMBERS - 1] {
            let mut trainer = self.trainer(device, member, Some(population.plan()))?;
            let report = trainer.run(COMPARED_STEPS)?;
            let losses_agree = bits(&report.losses).eq(bits(&reports[member].losses));
            if !losses_agree
                || parameter_bits(&trainer.parameters()?).ne(parameter_bits(&population.parameters(member)?))
            {
                let name = self.name();
                return Err(format!(
                    "{device}, {name}: expected member {member} of {COMPARED_MEMBERS} to have the bits of a trainer, got \
                     other bits"
                )
                .into());
            }
        }
        Ok(())
    }

    /// Returns a lower bound for the memory of all networks: parameters, gradients, and three values per neuron and row of
    /// a batch.
    fn min_bytes(&self, networks: usize) -> usize {
        let parameters: usize = self.layer_sizes.windows(2).map(|layer| (layer[0] + 1) * layer[1]).sum();
        let neurons = self.layer_sizes.iter().sum::<usize>();
        4 * networks * (2 * parameters + 3 * self.batch_size * neurons)
    }
}

/// The result of [`Row::measure`].
enum Measurement<'a> {
    Row(Box<Row<'a>>),
    /// The reason why the workload was skipped.
    Skipped(String),
}

impl<'a> Row<'a> {
    fn measure(device: &Device, workload: &'a Workload, networks: usize, seconds: f64) -> BenchResult<Measurement<'a>> {
        let bytes = workload.min_bytes(networks);
        if bytes > MAX_BYTES {
            return Ok(Measurement::Skipped(format!("needs {:.1} GB", bytes as f64 / 1e9)));
        }
        let mut trainer = workload.trainer(device, 0, None)?;
        let single_step = measure(seconds / 10.0, |steps| Ok(trainer.run(steps).map(drop)?))?;
        let expected_seconds = single_step.median * networks as f64;
        if expected_seconds > MAX_SECONDS_PER_STEP {
            return Ok(Measurement::Skipped(format!("needs about {expected_seconds:.0} s per step")));
        }
        let mut population = match workload.population(device, networks) {
            Ok(population) => population,
            Err(error @ (gradus::Error::DeviceLimit { .. } | gradus::Error::OutOfMemory { .. })) => {
                return Ok(Measurement::Skipped(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        let [single, all] = measure_in_turn(
            seconds,
            [&mut |steps| Ok(trainer.run(steps).map(drop)?), &mut |steps| Ok(population.run(steps).map(drop)?)],
        )?;
        let active = population.active_members().count();
        if active < networks {
            let name = workload.name();
            return Err(
                format!("{device}, {name}: expected {networks} finite members, got {active}; others diverged").into()
            );
        }
        let plan = population.plan();
        drop(population);
        let mut speedups = single;
        speedups.iter_mut().zip(all).for_each(|(single, all)| *single *= networks as f64 / all);
        let host = match device.wgpu() {
            Some((device, _)) => Some(host_seconds(device, workload, networks, seconds)?),
            None => None,
        };
        Ok(Measurement::Row(Box::new(Self {
            workload,
            networks,
            population: Times::new(all),
            single: Times::new(single),
            speedup_over_one: Times::new(speedups).median,
            host,
            plan,
        })))
    }

    fn print(&self) {
        let Self { workload, networks, population, single, speedup_over_one, host, plan } = self;
        let [median, min, max] = [population.median, population.min, population.max].map(|seconds| seconds * 1e6);
        let (name, batch_size, single) = (workload.name(), workload.batch_size, single.median * 1e6);
        let (rate, scheme) = (*networks as f64 / population.median, plan_field(plan, "scheme"));
        let host = host.map_or(String::new(), |seconds| format!("{:.2}", seconds * 1e6));
        println!(
            "| {name} | {batch_size} | {networks} | {median:.2} | {min:.2} to {max:.2} | {rate:.0} | {single:.2} | \
             {speedup_over_one:.2} | {host} | {scheme} |"
        );
    }

    /// Returns the keys of `peers/vmap.py`, and additional ones.
    fn json(&self, device: &Device) -> Value {
        json!({
            "engine": format!("gradus {}", device.name()),
            "layer_sizes": self.workload.layer_sizes,
            "batch_size": self.workload.batch_size,
            "networks": self.networks,
            "us_per_step": self.population.median * 1e6,
            "min_us": self.population.min * 1e6,
            "max_us": self.population.max * 1e6,
            "network_steps_per_second": self.networks as f64 / self.population.median,
            "single_us_per_step": self.single.median * 1e6,
            "speedup_over_one": self.speedup_over_one,
            "host_us_per_step": self.host.map(|seconds| seconds * 1e6),
            "scheme": plan_field(&self.plan, "scheme"),
        })
    }
}

/// Returns the seconds of the host per step of all networks.
///
/// It measures them with wgpu's no-op device, which computes nothing, and buffers as large as those of `like`.
fn host_seconds(like: &wgpu::Device, workload: &Workload, networks: usize, seconds: f64) -> BenchResult<f64> {
    let wgpu::Limits { max_buffer_size, max_storage_buffer_binding_size, .. } = like.limits();
    let required_limits = wgpu::Limits { max_buffer_size, max_storage_buffer_binding_size, ..wgpu::Limits::default() };
    let (device, queue) =
        wgpu::Device::noop(&wgpu::DeviceDescriptor { required_limits, ..wgpu::DeviceDescriptor::default() });
    let mut population = workload.population(&Device::from_wgpu(device, queue)?, networks)?;
    Ok(measure(seconds, |steps| Ok(population.run(steps).map(drop)?))?.median)
}

fn bits(values: &[f32]) -> impl Iterator<Item = u32> + '_ {
    values.iter().map(|value| value.to_bits())
}

fn parameter_bits(layers: &[LayerParameters]) -> impl Iterator<Item = u32> + '_ {
    layers.iter().flat_map(|layer| bits(&layer.weight).chain(bits(&layer.bias)))
}
