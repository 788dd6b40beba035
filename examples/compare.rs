//! Where a GPU starts to win: the time of a training step there and on the CPU engine, over width and batch.
//!
//!     cargo run --release --example compare
//!     cargo run --release --example compare -- --device llvmpipe --seconds 10
//!
//! The networks are width-width-width-width, with sigmoid and mean squared error; their data lies on the device.

mod common;

use std::{
    error::Error,
    io::IsTerminal,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use gradus::{Activation, Dataset, Device, Network, Trainer, TrainerSettings};
use indicatif::ProgressBar;
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use serde_json::{Value, json};

use common::{
    Exit,
    options::{DeviceOptions, JsonOption, OutOption, SeedOption},
};

const WIDTHS: [usize; 7] = [16, 32, 64, 128, 256, 512, 1024];
const BATCHES: [usize; 5] = [16, 64, 256, 1024, 4096];

/// Says where a GPU starts to win.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    seed: SeedOption,
    #[command(flatten)]
    out: OutOption,
    #[command(flatten)]
    json: JsonOption,
    /// About how long to measure; networks whose steps would take too long for it are left out
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
}

/// A network and a batch.
#[derive(Clone, Copy)]
struct Cell {
    width: usize,
    batch: usize,
    /// The floating-point operations of a step.
    flop: u64,
    /// Seconds a step on the CPU engine and on the device, unless it was left out.
    times: Option<[f64; 2]>,
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let seconds = arguments.seconds;
    let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
    let time = time.ok_or_else(|| Exit::Usage(format!("--seconds: expected a number above 0, got {seconds}")))?;
    if arguments.device.device == "cpu" {
        let why = "--device cpu: nothing to compare the CPU engine with; name a GPU or a software adapter";
        return Err(Exit::Usage(why.to_owned()));
    }
    let device = arguments.device.open()?;
    if !device.is_gpu() {
        return Err(Exit::Usage(nothing_to_compare(&arguments.device)?));
    }
    let out = arguments.out.create("out/compare")?;

    let start = Instant::now();
    let cells = measure(&device, time, arguments.seed.seed)?;
    let seconds = start.elapsed().as_secs_f64();
    common::print_line!("| width | batch | FLOP a step | CPU engine | {} | times as fast |", device.name());
    common::print_line!("|---|---|---|---|---|---|");
    for cell in &cells {
        let Cell { width, batch, flop, times } = cell;
        let [cpu, other] = times.map_or([(); 2].map(|()| "left out".to_owned()), |times| times.map(duration));
        let ratio = cell.ratio().map_or(String::new(), two_digits);
        common::print_line!("| {width} | {batch} | {} | {cpu} | {other} | {ratio} |", scaled(*flop));
    }
    let crossover = crossover(&cells);
    common::print_line!("{}", in_words(&device, &cells, crossover));

    let picture = out.join("compare.svg");
    let failed = |error: Box<dyn Error>| Exit::Failed(format!("{}: {error}", picture.display()));
    draw(&picture, &device, &cells, crossover).map_err(failed)?;
    common::print_line!("picture: {}", picture.display());
    let table: Vec<Value> = cells.iter().map(Cell::json).collect();
    let own = json!({ "seed": arguments.seed.seed, "seconds": seconds, "crossover": crossover, "table": table });
    arguments.json.print("compare", &device, own);
    Ok(())
}

/// Why there is nothing to compare without a real GPU, and what to do.
fn nothing_to_compare(options: &DeviceOptions) -> Result<String, Exit> {
    let adapters = gradus::device::adapters(options.backend.flags())?;
    let names = adapters.iter().filter_map(|adapter| adapter.info.name.split_whitespace().next());
    Ok(match names.map(|name| format!("--device {name}")).reduce(|all, name| format!("{all}, {name}")) {
        Some(names) => format!("no real GPU to compare the CPU with; a software adapter has to be named: {names}"),
        None => "no GPU to compare the CPU with, and no software adapter such as llvmpipe either".to_owned(),
    })
}

/// Times every network that the time is enough for, on the CPU and on `device`: first every other width and batch, so
/// that little time still shows the whole range, and each time the smallest first. They come back by FLOP.
fn measure(device: &Device, time: Duration, seed: u64) -> Result<Vec<Cell>, Exit> {
    let mut cells = Vec::new();
    for (i, width) in WIDTHS.into_iter().enumerate() {
        for (j, batch) in BATCHES.into_iter().enumerate() {
            let is_later = i % 2 + j % 2 > 0;
            cells.push((is_later, Cell { width, batch, flop: network(width).flop_per_step(batch), times: None }));
        }
    }
    cells.sort_by_key(|(is_later, cell)| (*is_later, cell.flop));
    let all = cells.len();
    eprintln!("{all} networks on both, in about {} s", time.as_secs_f64());
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(all as u64) } else { ProgressBar::hidden() };
    let devices = [Device::cpu(), device.clone()];
    // The best FLOP/s so far. Smaller networks reach less, so that what a larger one takes is rather overestimated.
    let mut rates = [f64::INFINITY; 2];
    let start = Instant::now();
    for (i, (_, cell)) in cells.iter_mut().enumerate() {
        bar.inc(1);
        let left = time.saturating_sub(start.elapsed());
        // One step to warm up, and one to time. No network is worth more than a quarter of what is left for all.
        let least: f64 = rates.iter().map(|rate| 2.0 * cell.flop as f64 / rate).sum();
        if least > left.as_secs_f64() / 4.0 || left.is_zero() {
            continue;
        }
        let rows = 2 * cell.batch;
        let data = Dataset::new(rows, numbers(rows * cell.width), numbers(rows * cell.width))?;
        let mut times = [0.0; 2];
        for ((device, seconds), rate) in devices.iter().zip(&mut times).zip(&mut rates) {
            let settings = TrainerSettings { batch_size: cell.batch, seed, ..TrainerSettings::default() };
            let mut trainer = Trainer::new(device, &network(cell.width), &data, settings)?;
            *seconds = seconds_of_a_step(&mut trainer, left / (2 * (all - i)) as u32)?;
            let reached = cell.flop as f64 / *seconds;
            *rate = if rate.is_finite() { rate.max(reached) } else { reached };
        }
        cell.times = Some(times);
    }
    bar.finish_and_clear();
    cells.sort_by_key(|(_, cell)| cell.flop);
    Ok(cells.into_iter().map(|(_, cell)| cell).collect())
}

fn network(width: usize) -> Network {
    (0..3).fold(Network::new(width), |network, _| network.dense(width, Activation::Sigmoid))
}

/// Numbers from 0 to 1.
fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 37 % 251) as f32 / 250.0).collect()
}

/// The least of the stretches of steps that `time` is enough for, but of one at least.
fn seconds_of_a_step(trainer: &mut Trainer, time: Duration) -> gradus::Result<f64> {
    trainer.run(1)?;
    let (mut steps, mut best) = (1, f64::INFINITY);
    let begin = Instant::now();
    while best.is_infinite() || begin.elapsed() < time {
        let start = Instant::now();
        trainer.run(steps)?;
        let took = start.elapsed();
        best = best.min(took.as_secs_f64() / steps as f64);
        if took < time / 8 {
            steps *= 2;
        }
    }
    Ok(best)
}

/// From how many FLOP a step on the device is faster: what agrees with the most measured networks; none if that is
/// nowhere.
fn crossover(cells: &[Cell]) -> Option<u64> {
    let disagree = |least: Option<u64>| {
        let is_wrong = |cell: &&Cell| {
            let faster = least.is_some_and(|least| cell.flop >= least);
            cell.ratio().is_some_and(|ratio| (ratio > 1.0) != faster)
        };
        cells.iter().filter(is_wrong).count()
    };
    let measured = cells.iter().filter(|cell| cell.times.is_some());
    // The first of equals is taken: rather nowhere than somewhere, and rather late than early.
    let mut all: Vec<Option<u64>> = measured.map(|cell| Some(cell.flop)).chain([None]).collect();
    all.reverse();
    all.into_iter().min_by_key(|least| disagree(*least)).flatten()
}

/// The crossover as a sentence.
fn in_words(device: &Device, cells: &[Cell], crossover: Option<u64>) -> String {
    let measured: Vec<(&Cell, f64)> = cells.iter().filter_map(|cell| Some((cell, cell.ratio()?))).collect();
    let at = |(cell, ratio): &(&Cell, f64)| {
        format!("{} times as fast at width {} with batch {}", two_digits(*ratio), cell.width, cell.batch)
    };
    let best = measured.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(String::new(), at);
    let faster = measured.iter().filter(|(_, ratio)| *ratio > 1.0);
    let (on, all) = (common::described(device), measured.len());
    let left_out = match cells.len() - all {
        0 => String::new(),
        some => format!("; the time was not enough for {some} more"),
    };
    match crossover {
        Some(least) => {
            let agrees = |(cell, ratio): &&(&Cell, f64)| (cell.flop >= least) == (*ratio > 1.0);
            let agree = measured.iter().filter(agrees).count();
            let first = faster.clone().find(|(cell, _)| cell.flop >= least).map_or(String::new(), at);
            let least = scaled(least);
            format!(
                "On {on} a step is faster than on the CPU engine from about {least} FLOP on, as {agree} of {all} networks \
                 print_line, e.g. {first}; at best {best}{left_out}."
            )
        }
        None => {
            let most = scaled(measured.last().map_or(0, |(cell, _)| cell.flop));
            let nowhere = match faster.count() {
                0 => "nowhere faster".to_owned(),
                some => format!("faster for only {some} of {all} networks"),
            };
            format!("On {on} a step is {nowhere} than on the CPU engine up to {most} FLOP: at best {best}{left_out}.")
        }
    }
}

impl Cell {
    /// How many times as fast as the CPU engine the device is.
    fn ratio(&self) -> Option<f64> {
        self.times.map(|[cpu, other]| cpu / other)
    }

    fn json(&self) -> Value {
        let Self { width, batch, flop, times } = self;
        let [cpu, other] = times.map_or([None; 2], |times| times.map(|seconds| Some(seconds * 1e6)));
        let ratio = self.ratio();
        json!({ "width": width, "batch": batch, "flop": flop, "cpu_us": cpu, "device_us": other, "ratio": ratio })
    }
}

/// `1234567` as `1.2 M`.
fn scaled(flop: u64) -> String {
    let units = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    let flop = flop as f64;
    let (by, unit) = units.into_iter().find(|(by, _)| flop >= *by).unwrap_or((1.0, ""));
    format!("{}{unit}", two_digits(flop / by))
}

/// Seconds as `1.2 ms`.
fn duration(seconds: f64) -> String {
    let units = [(1.0, "s"), (1e-3, "ms")];
    let (by, unit) = units.into_iter().find(|(by, _)| seconds >= *by).unwrap_or((1e-6, "us"));
    format!("{} {unit}", two_digits(seconds / by))
}

/// A positive number with two digits that count, or all of those before the point.
fn two_digits(value: f64) -> String {
    let digits = (1.0 - value.max(1e-9).log10().floor()).max(0.0) as usize;
    format!("{value:.digits$}")
}

// Blue and vermilion of Okabe and Ito's palette, which the colour-blind tell apart.
const FASTER: (f64, f64, f64) = (0.0, 114.0, 178.0);
const SLOWER: (f64, f64, f64) = (213.0, 94.0, 0.0);
const TEXT: RGBColor = RGBColor(40, 40, 40);
const LEFT_OUT: RGBColor = RGBColor(238, 238, 238);

/// How many times as fast or as slow has the full colour.
const FULL: f64 = 20.0;

/// A cell's width and height, and where the first one lies.
const CELL: (i32, i32) = (124, 64);
const CORNER: (i32, i32) = (84, 96);

/// Draws how many times as fast the device is, over width and batch.
fn draw(path: &Path, device: &Device, cells: &[Cell], crossover: Option<u64>) -> Result<(), Box<dyn Error>> {
    let right = CORNER.0 + CELL.0 * WIDTHS.len() as i32;
    let bottom = CORNER.1 + CELL.1 * BATCHES.len() as i32;
    let size = (right as u32 + 20, bottom as u32 + 64);
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    let style = |size: i32, colour: RGBColor, at| ("sans-serif", size).into_font().color(&colour).pos(at);
    let centre = Pos::new(HPos::Center, VPos::Center);
    let middle = (CORNER.0 + right) / 2;
    let title = format!("A training step on {}, times as fast as the CPU engine", device.name());
    area.draw_text(&title, &style(20, TEXT, centre), (middle, 26))?;
    let line = crossover.map_or(String::new(), |least| format!("; black line: {} FLOP a step", scaled(least)));
    let legend = format!("blue: faster, orange: slower{line}; below: a step on the CPU engine / there");
    area.draw_text(&legend, &style(15, TEXT, centre), (middle, 54))?;

    let corner = |cell: &Cell| {
        let column = WIDTHS.iter().position(|width| *width == cell.width).unwrap_or(0) as i32;
        let row = BATCHES.iter().rev().position(|batch| *batch == cell.batch).unwrap_or(0) as i32;
        (CORNER.0 + column * CELL.0, CORNER.1 + row * CELL.1)
    };
    for cell in cells {
        let (x, y) = corner(cell);
        let (colour, ink) = cell.ratio().map_or((LEFT_OUT, TEXT), colours);
        area.draw(&Rectangle::new([(x + 1, y + 1), (x + CELL.0 - 1, y + CELL.1 - 1)], colour.filled()))?;
        let x = x + CELL.0 / 2;
        match (cell.ratio(), cell.times) {
            (Some(ratio), Some([cpu, other])) => {
                area.draw_text(&two_digits(ratio), &style(20, ink, centre), (x, y + 24))?;
                let times = format!("{} / {}", duration(cpu), duration(other));
                area.draw_text(&times, &style(12, ink, centre), (x, y + 47))?;
            }
            _ => area.draw_text("left out", &style(12, ink, centre), (x, y + CELL.1 / 2))?,
        }
    }
    let line = BLACK.stroke_width(3);
    for cell in cells.iter().filter(|cell| crossover.is_some_and(|least| cell.flop >= least)) {
        let (x, y) = corner(cell);
        let is_below =
            |width: usize, batch: usize| crossover.is_some_and(|least| network(width).flop_per_step(batch) < least);
        if cell.width > WIDTHS[0] && is_below(cell.width / 2, cell.batch) {
            area.draw(&PathElement::new([(x, y), (x, y + CELL.1)], line))?;
        }
        if cell.batch > BATCHES[0] && is_below(cell.width, cell.batch / 4) {
            area.draw(&PathElement::new([(x, y + CELL.1), (x + CELL.0, y + CELL.1)], line))?;
        }
    }
    for (width, x) in WIDTHS.iter().zip((CORNER.0 + CELL.0 / 2..).step_by(CELL.0 as usize)) {
        area.draw_text(&width.to_string(), &style(14, TEXT, centre), (x, bottom + 16))?;
    }
    for (batch, y) in BATCHES.iter().rev().zip((CORNER.1 + CELL.1 / 2..).step_by(CELL.1 as usize)) {
        let at = Pos::new(HPos::Right, VPos::Center);
        area.draw_text(&batch.to_string(), &style(14, TEXT, at), (CORNER.0 - 8, y))?;
    }
    area.draw_text("width of the inputs and of the three layers", &style(15, TEXT, centre), (middle, bottom + 42))?;
    area.draw_text("batch", &style(15, TEXT, Pos::new(HPos::Right, VPos::Center)), (CORNER.0 - 8, CORNER.1 - 14))?;
    area.present()?;
    Ok(())
}

/// The colour of a cell and of the text in it: white where both devices are equally fast.
fn colours(ratio: f64) -> (RGBColor, RGBColor) {
    let share = (ratio.ln() / FULL.ln()).clamp(-1.0, 1.0);
    let full = if share > 0.0 { FASTER } else { SLOWER };
    let mixed = |full: f64| (255.0 + (full - 255.0) * share.abs()).round() as u8;
    let ink = if share.abs() > 0.6 { WHITE } else { TEXT };
    (RGBColor(mixed(full.0), mixed(full.1), mixed(full.2)), ink)
}
