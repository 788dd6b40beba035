//! How long a training step takes, on every workload, on the CPU engine and on the adapters that are named, beside what
//! the same device reaches at best: a bare product, a copy, a dispatch. Each workload is first compared with the
//! reference: a device that computes wrongly is not timed.
//!
//!     cargo bench --bench training -- --device cpu --device llvmpipe
//!     cargo bench --bench training -- --device gpu --workload 784-30-10 --tune --profile

mod ceilings;
mod common;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use gradus::{
    Device, Network, Trainer, TrainerSettings,
    nn::LayerParameters,
    plan::{Plan, Profile, Tuner},
    reference::{Parameters, Reference},
};
use serde_json::{Value, json};

use ceilings::PeakRates;
use common::{BenchResult, Times, cpu, exit, is_hardware, line, network, numbers, open, times, trainer};

/// The widths and the batch of each workload; sigmoid, mean squared error and SGD everywhere.
const WORKLOADS: &[(&[usize], usize)] = &[
    (&[2, 2, 1], 4),
    (&[784, 30, 10], 10),
    (&[784, 128, 10], 64),
    (&[784, 800, 10], 128),
    (&[64, 64, 64, 64, 64, 64], 16_384),
    (&[1024, 1024, 1024, 1024], 512),
    (&[784, 2500, 2000, 1500, 1000, 500, 10], 256),
    (&[64, 64, 64, 64, 64, 64], 262_144),
];

/// The workload whose epochs are timed as well: its steps are so short that what surrounds them shows.
const EPOCHS_OF: &[usize] = &[784, 30, 10];

/// Times training steps.
#[derive(Parser)]
struct Arguments {
    /// auto, gpu, cpu, or part of an adapter's name; may be given several times
    #[arg(long, default_value = "cpu")]
    device: Vec<String>,
    /// Only the workloads with this in their widths, such as 784-30-10
    #[arg(long, default_value = "")]
    workload: String,
    /// How long each workload is timed, and tuned
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// One JSON object a line instead of tables
    #[arg(long)]
    json: bool,
    /// Also time every plan that may be the fastest, and say how far the planner's own is from it
    #[arg(long)]
    tune: bool,
    /// Also say how long each kernel of a step takes
    #[arg(long)]
    profile: bool,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What was measured of a workload.
struct Row {
    name: String,
    widths: &'static [usize],
    batch: usize,
    /// The largest error against the reference.
    error: f64,
    step: Times,
    gflops: f64,
    scheme: String,
    tuned: Option<Tuned>,
    profile: Option<Profile>,
    /// What an epoch takes longer than its steps, in percent.
    epoch_overhead: Option<f64>,
}

/// The planner's own plan beside the best one, in seconds a step.
struct Tuned {
    own: f64,
    best: f64,
    plan: Plan,
}

fn main() -> ExitCode {
    let _ = env_logger::try_init();
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> BenchResult<()> {
    for name in &arguments.device {
        let device = open(name, arguments.json)?;
        let tuner = arguments.tune.then(|| tuner(arguments));
        let peaks = PeakRates::measure(&device, arguments.seconds, tuner.as_ref())?;
        if !arguments.json {
            print_header(&device, &peaks)?;
        }
        let mut rows = Vec::new();
        for (widths, batch) in WORKLOADS {
            let name = widths.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
            if !name.contains(&arguments.workload) || (*batch > 100_000 && !is_hardware(&device)) {
                continue;
            }
            let row = Row::of(&device, name, widths, *batch, arguments)?;
            if arguments.json {
                println!("{}", row.json(&device, &peaks));
            } else {
                row.print(&peaks);
                rows.push(row);
            }
        }
        print_more(&rows);
    }
    Ok(())
}

/// What ran, on what, and what it reaches at best; then the head of the table.
fn print_header(device: &Device, peaks: &PeakRates) -> BenchResult<()> {
    let plan_on = |device: &Device| -> BenchResult<Plan> {
        Ok(Trainer::without_dataset(device, &network(&[1024, 1024]), TrainerSettings::default())?.plan())
    };
    println!("\ngradus {}: {device}", env!("CARGO_PKG_VERSION"));
    if device.is_gpu() {
        println!("driver: {}", line(&plan_on(device)?, "driver"));
    }
    println!("{}", cpu(&plan_on(&Device::cpu())?));
    let dispatch = peaks.dispatch.map_or(String::new(), |us| format!(", a dependent dispatch {us:.2} us"));
    println!("at best: GEMM {:.1} GFLOP/s, copy {:.1} GB/s{dispatch}\n", peaks.gemm, peaks.copy);
    println!("| network | batch | us/step | min..max | samples/s | GFLOP/s | % of GEMM | plan | error |");
    println!("|---|---|---|---|---|---|---|---|---|");
    Ok(())
}

/// What was measured besides the steps.
fn print_more(rows: &[Row]) {
    if rows.iter().any(|row| row.tuned.is_some()) {
        println!("\n| network | batch | planned us | best us | planned / best, 1.25 at most | best plan |");
        println!("|---|---|---|---|---|---|");
    }
    for Row { name, batch, tuned, .. } in rows {
        if let Some(Tuned { own, best, plan }) = tuned {
            let scheme = ways(plan);
            println!("| {name} | {batch} | {:.2} | {:.2} | {:.2} | {scheme} |", own * 1e6, best * 1e6, own / best);
        }
    }
    for Row { name, batch, profile, .. } in rows {
        if let Some(profile) = profile {
            println!("\n{name}, batch {batch}\n{profile}");
        }
    }
    for Row { name, epoch_overhead, .. } in rows {
        if let Some(percent) = epoch_overhead {
            println!("\nepochs of 100 steps of {name} take {percent:.1} % longer than their steps in one run");
        }
    }
}

impl Row {
    fn of(
        device: &Device,
        name: String,
        widths: &'static [usize],
        batch: usize,
        arguments: &Arguments,
    ) -> BenchResult<Self> {
        let network = network(widths);
        let settings = TrainerSettings { batch_size: batch, ..TrainerSettings::default() };
        let error = check(device, &network, &settings)?;
        let mut trainer = trainer(device, &network, &settings, 8 * batch)?;
        let step = times(arguments.seconds, |steps| Ok(trainer.run(steps).map(drop)?))?;
        let profile = if arguments.profile {
            Some(trainer.profile((arguments.seconds / 2.0 / step.median) as usize)?)
        } else {
            None
        };
        let own = trainer.plan();
        drop(trainer);
        let tuned = if arguments.tune {
            let all = tuner(arguments).measure(device, &network, &settings)?;
            // Without their tables, which a plan that was only measured does not have.
            let text = |plan: &Plan| plan.to_string().split("\n\n").next().unwrap_or_default().trim().to_owned();
            let best = all.first().ok_or("no plan was measured")?;
            let seconds =
                all.iter().find(|one| text(&one.plan) == text(&own)).map_or(f64::NAN, |one| one.seconds_per_step);
            Some(Tuned { own: seconds, best: best.seconds_per_step, plan: best.plan.clone() })
        } else {
            None
        };
        let times_epochs = widths == EPOCHS_OF;
        let epoch_overhead =
            if times_epochs { Some(epoch_overhead(device, &network, &settings, arguments)?) } else { None };
        let (gflops, scheme) = (network.flop_per_step(batch) as f64 / step.median / 1e9, line(&own, "scheme"));
        Ok(Self { name, widths, batch, error, step, gflops, scheme, tuned, profile, epoch_overhead })
    }

    fn print(&self, peaks: &PeakRates) {
        let Self { name, batch, error, gflops, scheme, .. } = self;
        let [median, min, max] = [self.step.median, self.step.min, self.step.max].map(|seconds| seconds * 1e6);
        let (rate, share) = (*batch as f64 / self.step.median, 100.0 * gflops / peaks.gemm);
        println!(
            "| {name} | {batch} | {median:.2} | {min:.2}..{max:.2} | {rate:.0} | {gflops:.2} | {share:.1} | \
             {scheme} | {error:.1e} |"
        );
    }

    /// With the keys of `pytorch.py` and some more.
    fn json(&self, device: &Device, peaks: &PeakRates) -> Value {
        let mut object = json!({
            "engine": format!("gradus {}", device.name()),
            "sizes": self.widths,
            "batch": self.batch,
            "us_per_step": self.step.median * 1e6,
            "min_us": self.step.min * 1e6,
            "max_us": self.step.max * 1e6,
            "samples_per_second": self.batch as f64 / self.step.median,
            "gflops": self.gflops,
            "scheme": self.scheme,
            "error": self.error,
            "gemm_gflops": peaks.gemm,
            "copy_gbs": peaks.copy,
            "dispatch_us": peaks.dispatch,
        });
        if let Some(percent) = self.epoch_overhead {
            object["epoch_overhead_percent"] = percent.into();
        }
        if let Some(Tuned { own, best, plan }) = &self.tuned {
            object["planned_us"] = (own * 1e6).into();
            object["best_us"] = (best * 1e6).into();
            object["best_scheme"] = line(plan, "scheme").into();
            object["best_plan"] = plan.to_string().into();
        }
        if let Some(profile) = &self.profile {
            let kernel = |one: &gradus::plan::KernelTime| json!({ "kernel": one.kernel, "us": one.seconds_per_step * 1e6, "flop": one.flop, "bytes": one.bytes });
            object["kernels"] = profile.kernels.iter().map(kernel).collect();
        }
        object
    }
}

/// The largest error of one step on a few rows, in the workload's own batch: of the gradients, and of the change of the
/// parameters, each relative to its tensor's largest entry.
fn check(device: &Device, network: &Network, settings: &TrainerSettings) -> BenchResult<f64> {
    let rows = settings.batch_size.min(8);
    let mut trainer = Trainer::without_dataset(device, network, settings.clone())?;
    let (x, t) = (numbers(rows * network.inputs()), numbers(rows * network.outputs()));
    let before = trainer.parameters()?;
    let gradients = trainer.gradients(&x, &t)?;
    trainer.step(&x, &t)?;
    let after = trainer.parameters()?;

    let mut reference = Reference::new(network, settings.loss, settings.optimizer, &before)?;
    let (x, t) = (f64s(&x), f64s(&t));
    let expected = reference.gradients(&x, &t)?;
    reference.step(&x, &t)?;

    let none = before.iter().map(|layer| Parameters {
        weight: vec![0.0; layer.weight.len()],
        bias: vec![0.0; layer.bias.len()],
        ..Parameters::default()
    });
    let of_gradients = error(&none.collect::<Vec<_>>(), &gradients, &expected);
    let before = before.iter().map(Parameters::from);
    let of_step = error(&before.collect::<Vec<_>>(), &after, reference.parameters());
    let wrong = |what, by| Err(format!("{device}: the {what} wrong by {by:e}").into());
    match (of_gradients, of_step) {
        (by, _) if by > 1e-4 => wrong("gradients are", by),
        (_, by) if by > 1e-3 => wrong("parameters after a step are", by),
        (a, b) => Ok(a.max(b)),
    }
}

/// How far the change from `before` to `ours` is from the one to `theirs`, relative to the largest change of a tensor.
fn error(before: &[Parameters], ours: &[LayerParameters], theirs: &[Parameters]) -> f64 {
    let mut worst: f64 = 0.0;
    for ((before, ours), theirs) in before.iter().zip(ours).zip(theirs) {
        let weights = (&before.weight, &ours.weight, &theirs.weight);
        for (before, ours, theirs) in [weights, (&before.bias, &ours.bias, &theirs.bias)] {
            let (mut largest, mut off) = (f64::MIN_POSITIVE, 0.0_f64);
            for ((before, ours), theirs) in before.iter().zip(ours).zip(theirs) {
                largest = largest.max((theirs - before).abs());
                // What changed is stored in the last digits of what was there, which round.
                let rounding = f64::from(f32::EPSILON) * before.abs();
                let by = ((f64::from(*ours) - theirs).abs() - rounding).max(0.0);
                // f64::max would pass over a NaN.
                off = if ours.is_finite() { off.max(by) } else { f64::INFINITY };
            }
            worst = worst.max(off / largest);
        }
    }
    worst
}

/// What epochs of 100 steps take longer than their steps in one run, in percent: the median of several pairs.
fn epoch_overhead(
    device: &Device,
    network: &Network,
    settings: &TrainerSettings,
    arguments: &Arguments,
) -> BenchResult<f64> {
    let mut trainer = trainer(device, network, settings, 100 * settings.batch_size)?;
    trainer.run(2000)?;
    let mut pairs = Vec::new();
    let begin = Instant::now();
    while pairs.len() < 3 || begin.elapsed().as_secs_f64() < arguments.seconds {
        let start = Instant::now();
        for _ in 0..20 {
            trainer.run_epoch()?;
        }
        let epochs = start.elapsed();
        trainer.run(2000)?;
        let run = start.elapsed() - epochs;
        pairs.push(epochs.as_secs_f64() / run.as_secs_f64());
    }
    pairs.sort_by(f64::total_cmp);
    Ok(100.0 * (pairs[pairs.len() / 2] - 1.0))
}

fn tuner(arguments: &Arguments) -> Tuner {
    Tuner { time_budget: Duration::from_secs_f64(arguments.seconds), ..Tuner::default() }
}

/// A plan's scheme and the ways of its products, each once.
fn ways(plan: &Plan) -> String {
    let text = plan.to_string();
    let (_, text) = text.split_once("scheme: ").unwrap_or_default();
    let mut ways: Vec<&str> = Vec::new();
    for line in text.lines().take_while(|line| !line.is_empty()) {
        let way = line.split_once(": ").map_or(line, |(_, way)| way);
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    ways.join("; ")
}

fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}
