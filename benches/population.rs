//! How fast many networks of one shape train together, beside one of them alone, on the CPU engine and on the adapters that
//! are named; and what the host does for it. Before a workload is timed, networks of a small population are compared with
//! trainers of their own: a device that gives them other bits is not timed.
//!
//!     cargo bench --bench population -- --device cpu --device llvmpipe
//!     cargo bench --bench population -- --device gpu --workload 784-30-10 --networks 1,10,100 --json

mod common;

use std::process::ExitCode;

use clap::Parser;
use gradus::{
    Activation, Dataset, Device, Loss, Member, Network, Optimizer, Population, Trainer, TrainerSettings,
    nn::LayerParameters, plan::Plan, wgpu,
};
use serde_json::{Value, json};

use common::{BenchResult, Times, cpu, exit, in_turn, line, numbers, open, times};

/// A network and what it is trained on.
struct Workload {
    widths: &'static [usize],
    batch: usize,
    rows: usize,
    hidden: Activation,
    /// Softmax cross-entropy tells classes; under the mean squared error the outputs are sigmoids.
    loss: Loss,
}

const WORKLOADS: &[Workload] = &[
    Workload { widths: &[2, 2, 1], batch: 4, rows: 32, hidden: Activation::Sigmoid, loss: Loss::Mse },
    Workload { widths: &[784, 30, 10], batch: 10, rows: 10_000, hidden: Activation::Sigmoid, loss: Loss::Mse },
    Workload { widths: &[64, 64, 64], batch: 64, rows: 512, hidden: Activation::Tanh, loss: Loss::SoftmaxCrossEntropy },
];

/// The networks and the steps of the comparison of bits: more than the lanes of a workgroup on software adapters.
const COMPARED: (usize, usize) = (9, 30);
/// What parameters, gradients and values of all networks may take together.
const MOST_BYTES: usize = 2 << 30;
/// Seconds that a step of all networks may take.
const PATIENCE: f64 = 3.0;

/// Times populations.
#[derive(Parser)]
struct Arguments {
    /// auto, gpu, cpu, or part of an adapter's name; may be given several times
    #[arg(long, default_value = "cpu")]
    device: Vec<String>,
    /// Only the workloads with this in their widths, such as 784-30-10
    #[arg(long, default_value = "")]
    workload: String,
    /// How many networks, with commas
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1000, 10_000])]
    networks: Vec<usize>,
    /// How long the single network, each population and the host are timed
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// One JSON object a line instead of tables
    #[arg(long)]
    json: bool,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What was measured of a workload with so many networks.
struct Row<'a> {
    workload: &'a Workload,
    networks: usize,
    /// Of all networks together.
    step: Times,
    /// Of a trainer's one network, in turn with them.
    alone: Times,
    /// How often the speed of one network all have together: the median of the turns.
    together: f64,
    /// What the host does for a step of all networks.
    host: Option<f64>,
    plan: Plan,
}

fn main() -> ExitCode {
    let _ = env_logger::try_init();
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> BenchResult<()> {
    for name in &arguments.device {
        let device = open(name, arguments.json)?;
        if !arguments.json {
            print_header(&device)?;
        }
        for workload in WORKLOADS.iter().filter(|workload| workload.name().contains(&arguments.workload)) {
            workload.check(&device)?;
            for networks in &arguments.networks {
                match Row::of(&device, workload, *networks, arguments.seconds)? {
                    Ok(row) if arguments.json => println!("{}", row.json(&device)),
                    Ok(row) => row.print(),
                    Err(why) if arguments.json => eprintln!("{} of {}: {why}", networks, workload.name()),
                    Err(why) => println!("| {} | {} | {networks} | {why} | | | | | |", workload.name(), workload.batch),
                }
            }
        }
    }
    Ok(())
}

/// What ran, on what; then the head of the table.
fn print_header(device: &Device) -> BenchResult<()> {
    let plan = |device: &Device| WORKLOADS[0].trainer(device, 0, None).map(|trainer| trainer.plan());
    println!("\ngradus {}: {device}", env!("CARGO_PKG_VERSION"));
    if device.is_gpu() {
        println!("driver: {}", line(&plan(device)?, "driver"));
    }
    println!("{}\n", cpu(&plan(&Device::cpu())?));
    println!(
        "| network | batch | networks | us/step of all | min..max | network steps/s | one alone, us | x its speed | host us/step | plan |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    Ok(())
}

impl Workload {
    fn name(&self) -> String {
        self.widths.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
    }

    fn network(&self) -> Network {
        let last = if self.loss == Loss::Mse { Activation::Sigmoid } else { Activation::Identity };
        let (inputs, outputs) = (self.widths[0], self.widths[self.widths.len() - 1]);
        let hidden = &self.widths[1..self.widths.len() - 1];
        hidden
            .iter()
            .fold(Network::new(inputs), |network, width| network.dense(*width, self.hidden))
            .dense(outputs, last)
    }

    fn data(&self) -> gradus::Result<Dataset> {
        let (rows, outputs) = (self.rows, self.widths[self.widths.len() - 1]);
        let features = numbers(rows * self.widths[0]);
        if self.loss == Loss::Mse {
            return Dataset::new(rows, features, numbers(rows * outputs));
        }
        let classes: Vec<u32> = (0..rows).map(|row| (row * 37 % 251 % outputs) as u32).collect();
        Dataset::new(rows, features, classes)
    }

    /// Of each network another seed and another rate.
    fn settings(&self, number: usize, plan: Option<Plan>) -> TrainerSettings {
        let optimizer = Optimizer::sgd(0.1 / (1.0 + number as f64 / 1000.0));
        TrainerSettings {
            batch_size: self.batch,
            loss: self.loss,
            optimizer,
            seed: number as u64,
            plan,
            ..TrainerSettings::default()
        }
    }

    fn trainer(&self, device: &Device, number: usize, plan: Option<Plan>) -> BenchResult<Trainer> {
        Ok(Trainer::new(device, &self.network(), &self.data()?, self.settings(number, plan))?)
    }

    fn population(&self, device: &Device, networks: usize) -> gradus::Result<Population> {
        let members: Vec<_> = (0..networks).map(|number| Member::new(self.settings(number, None))).collect();
        Population::new(device, &self.network(), &self.data()?, &members)
    }

    /// Compares the first and the last of some networks with what they are alone under the same plan.
    fn check(&self, device: &Device) -> BenchResult<()> {
        let (networks, steps) = COMPARED;
        let mut population = self.population(device, networks)?;
        let reports = population.run(steps)?;
        for number in [0, networks - 1] {
            let mut alone = self.trainer(device, number, Some(population.plan()))?;
            let report = alone.run(steps)?;
            let is_same = bits(&report.losses).eq(bits(&reports[number].losses))
                && flat(&alone.parameters()?).eq(flat(&population.parameters(number)?));
            if !is_same {
                return Err(
                    format!("{device}: network {number} of {networks} of {} is another alone", self.name()).into()
                );
            }
        }
        Ok(())
    }

    /// What all networks take at least: parameters and gradients, and three values a neuron of a batch.
    fn bytes(&self, networks: usize) -> usize {
        let parameters: usize = self.widths.windows(2).map(|layer| (layer[0] + 1) * layer[1]).sum();
        4 * networks * (2 * parameters + 3 * self.batch * self.widths.iter().sum::<usize>())
    }
}

impl<'a> Row<'a> {
    /// The row, or why there is none.
    fn of(device: &Device, workload: &'a Workload, networks: usize, seconds: f64) -> BenchResult<Result<Self, String>> {
        let bytes = workload.bytes(networks);
        if bytes > MOST_BYTES {
            return Ok(Err(format!("left out: some {:.1} GB", bytes as f64 / 1e9)));
        }
        let mut trainer = workload.trainer(device, 0, None)?;
        let first = times(seconds / 10.0, |steps| Ok(trainer.run(steps).map(drop)?))?;
        if first.median * networks as f64 > PATIENCE {
            return Ok(Err(format!("left out: some {:.0} s a step", first.median * networks as f64)));
        }
        let mut population = match workload.population(device, networks) {
            Ok(population) => population,
            Err(error @ (gradus::Error::DeviceLimit { .. } | gradus::Error::OutOfMemory { .. })) => {
                return Ok(Err(format!("left out: {error}")));
            }
            Err(error) => return Err(error.into()),
        };
        let stretches = in_turn(
            seconds,
            [&mut |steps| Ok(trainer.run(steps).map(drop)?), &mut |steps| Ok(population.run(steps).map(drop)?)],
        )?;
        if population.active_members().count() < networks {
            return Err(format!("{device}: networks of {} have diverged", workload.name()).into());
        }
        let plan = population.plan();
        drop(population);
        let [alone, all] = stretches;
        let mut turns = alone;
        turns.iter_mut().zip(all).for_each(|(one, all)| *one *= networks as f64 / all);
        let host = match device.wgpu() {
            Some((device, _)) => Some(host(device, workload, networks, seconds)?),
            None => None,
        };
        let [step, alone, turns] = [all, alone, turns].map(Times::new);
        Ok(Ok(Self { workload, networks, step, alone, together: turns.median, host, plan }))
    }

    fn print(&self) {
        let Self { workload, networks, together, plan, .. } = self;
        let [median, min, max] = [self.step.median, self.step.min, self.step.max].map(|seconds| seconds * 1e6);
        let (name, batch, rate) = (workload.name(), workload.batch, *networks as f64 / self.step.median);
        let (alone, scheme) = (self.alone.median * 1e6, line(plan, "scheme"));
        let host = self.host.map_or(String::new(), |seconds| format!("{:.2}", seconds * 1e6));
        println!(
            "| {name} | {batch} | {networks} | {median:.2} | {min:.2}..{max:.2} | {rate:.0} | {alone:.2} | \
             {together:.2} | {host} | {scheme} |"
        );
    }

    /// With the keys of `vmap.py` and some more.
    fn json(&self, device: &Device) -> Value {
        json!({
            "engine": format!("gradus {}", device.name()),
            "sizes": self.workload.widths,
            "batch": self.workload.batch,
            "networks": self.networks,
            "us_per_step": self.step.median * 1e6,
            "min_us": self.step.min * 1e6,
            "max_us": self.step.max * 1e6,
            "network_steps_per_second": self.networks as f64 / self.step.median,
            "one_alone_us": self.alone.median * 1e6,
            "times_one": self.together,
            "host_us": self.host.map(|seconds| seconds * 1e6),
            "scheme": line(&self.plan, "scheme"),
        })
    }
}

/// Seconds of the host for a step of all networks: that of wgpu's device that computes nothing, with buffers as large.
fn host(like: &wgpu::Device, workload: &Workload, networks: usize, seconds: f64) -> BenchResult<f64> {
    let wgpu::Limits { max_buffer_size, max_storage_buffer_binding_size, .. } = like.limits();
    let required_limits = wgpu::Limits { max_buffer_size, max_storage_buffer_binding_size, ..wgpu::Limits::default() };
    let (device, queue) =
        wgpu::Device::noop(&wgpu::DeviceDescriptor { required_limits, ..wgpu::DeviceDescriptor::default() });
    let mut population = workload.population(&Device::from_wgpu(device, queue)?, networks)?;
    Ok(times(seconds, |steps| Ok(population.run(steps).map(drop)?))?.median)
}

fn bits(values: &[f32]) -> impl Iterator<Item = u32> + '_ {
    values.iter().map(|value| value.to_bits())
}

fn flat(layers: &[LayerParameters]) -> impl Iterator<Item = u32> + '_ {
    layers.iter().flat_map(|layer| bits(&layer.weight).chain(bits(&layer.bias)))
}
