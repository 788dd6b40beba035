//! Compares the time of a training step on a GPU with that on the CPU engine, over network width and batch size.
//!
//!     cargo run --release --example cpu_vs_gpu
//!     cargo run --release --example cpu_vs_gpu -- --device llvmpipe --seconds 10
//!
//! The networks have three layers, with as many inputs as neurons per layer, sigmoid and mean squared error. Their data is
//! on the device. The result is the crossover: the number of FLOP per step above which the GPU is faster.

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
    Exit, device_name,
    options::{DeviceOptions, JsonOption, OutDirOption, SeedOption},
    print_line,
};

const WIDTHS: [usize; 7] = [16, 32, 64, 128, 256, 512, 1024];
const BATCH_SIZES: [usize; 5] = [16, 64, 256, 1024, 4096];

/// Compares the time of a training step on a GPU with that on the CPU engine.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    seed: SeedOption,
    #[command(flatten)]
    out_dir: OutDirOption,
    #[command(flatten)]
    json: JsonOption,
    /// Approximate duration of the measurement in seconds. It skips networks whose steps take too long
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
}

/// A network width and a batch size: one cell of the table and the plot.
#[derive(Clone, Copy)]
struct Cell {
    width: usize,
    batch_size: usize,
    /// The floating-point operations per step.
    flop: u64,
    /// The times of a step, or `None` if the measurement skipped the cell.
    times: Option<StepTimes>,
}

/// The seconds per step.
#[derive(Clone, Copy)]
struct StepTimes {
    cpu: f64,
    device: f64,
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let seconds = arguments.seconds;
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero());
    let duration = duration.ok_or_else(|| Exit::Usage(format!("--seconds: expected a number > 0, got {seconds}")))?;
    if arguments.device.device == "cpu" {
        let message = "--device: expected a GPU or a software adapter to compare the CPU engine with, got cpu";
        return Err(Exit::Usage(message.to_owned()));
    }
    let device = arguments.device.open()?;
    if !device.is_gpu() {
        return Err(Exit::Usage(no_gpu_message(&arguments.device)?));
    }
    let out_dir = arguments.out_dir.create("out/cpu_vs_gpu")?;

    let start = Instant::now();
    let cells = measure(&device, duration, arguments.seed.seed)?;
    let seconds = start.elapsed().as_secs_f64();
    print_line!("| width | batch size | FLOP per step | CPU engine | {} | speedup |", device.name());
    print_line!("|---|---|---|---|---|---|");
    for cell in &cells {
        let [cpu, device] = match cell.times {
            Some(StepTimes { cpu, device }) => [cpu, device].map(format_seconds),
            None => ["skipped", "skipped"].map(str::to_owned),
        };
        let speedup = cell.speedup().map_or(String::new(), format_factor);
        let (width, batch_size, flop) = (cell.width, cell.batch_size, format_flop(cell.flop));
        print_line!("| {width} | {batch_size} | {flop} | {cpu} | {device} | {speedup} |");
    }
    let crossover = crossover_flop(&cells);
    print_summary(&device, &cells, crossover);

    let plot_path = out_dir.join("cpu_vs_gpu.svg");
    let draw_error = |error: Box<dyn Error>| Exit::Failed(format!("{}: {error}", plot_path.display()));
    draw(&plot_path, &device, &cells, crossover).map_err(draw_error)?;
    print_line!("plot: {}", plot_path.display());
    let cells: Vec<Value> = cells.iter().map(Cell::json).collect();
    let keys = json!({ "seed": arguments.seed.seed, "seconds": seconds, "crossover_flop": crossover, "cells": cells });
    arguments.json.print("cpu_vs_gpu", &device, keys);
    Ok(())
}

/// Returns the message for a machine without a GPU: the software adapters that the user can name.
fn no_gpu_message(options: &DeviceOptions) -> Result<String, Exit> {
    let adapters = gradus::device::adapters(options.backend.flags())?;
    let names = adapters.iter().filter_map(|adapter| adapter.info.name.split_whitespace().next());
    let suggestions: Vec<_> = names.map(|name| format!("--device {name}")).collect();
    Ok(match suggestions.is_empty() {
        false => format!("no GPU found; to use a software adapter, pass {}", suggestions.join(" or ")),
        true => "no GPU and no software adapter found; install a GPU driver or llvmpipe".to_owned(),
    })
}

/// Times a training step of every cell that `duration` suffices for, on the CPU engine and on `device`.
///
/// It starts with every other width and batch size, so that a short measurement covers the whole range, and with the
/// smallest networks. Returns the cells in the order of their FLOP.
fn measure(device: &Device, duration: Duration, seed: u64) -> Result<Vec<Cell>, Exit> {
    let mut cells = Vec::new();
    for (i, width) in WIDTHS.into_iter().enumerate() {
        for (j, batch_size) in BATCH_SIZES.into_iter().enumerate() {
            let is_second_pass = i % 2 + j % 2 > 0;
            let flop = network(width).flop_per_step(batch_size);
            cells.push((is_second_pass, Cell { width, batch_size, flop, times: None }));
        }
    }
    cells.sort_by_key(|(is_second_pass, cell)| (*is_second_pass, cell.flop));
    let count = cells.len();
    eprintln!("{count} networks on both devices, about {} s", duration.as_secs_f64());
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(count as u64) } else { ProgressBar::hidden() };
    let devices = [Device::cpu(), device.clone()];
    // The best FLOP/s so far. Smaller networks reach less, so an estimate for a larger network is rather too long.
    let mut best_rates = [f64::INFINITY; 2];
    let start = Instant::now();
    for (i, (_, cell)) in cells.iter_mut().enumerate() {
        bar.inc(1);
        let remaining = duration.saturating_sub(start.elapsed());
        // A cell needs at least two steps: a warmup and a measurement. They may take a quarter of the remaining time.
        let min_seconds: f64 = best_rates.iter().map(|rate| 2.0 * cell.flop as f64 / rate).sum();
        if min_seconds > remaining.as_secs_f64() / 4.0 || remaining.is_zero() {
            continue;
        }
        let rows = 2 * cell.batch_size;
        let data = Dataset::new(rows, values(rows * cell.width), values(rows * cell.width))?;
        let mut times = [0.0; 2];
        for ((device, seconds), best_rate) in devices.iter().zip(&mut times).zip(&mut best_rates) {
            let settings = TrainerSettings { batch_size: cell.batch_size, seed, ..TrainerSettings::default() };
            let mut trainer = Trainer::new(device, &network(cell.width), &data, settings)?;
            *seconds = seconds_per_step(&mut trainer, remaining / (2 * (count - i)) as u32)?;
            let rate = cell.flop as f64 / *seconds;
            *best_rate = if best_rate.is_finite() { best_rate.max(rate) } else { rate };
        }
        let [cpu, device] = times;
        cell.times = Some(StepTimes { cpu, device });
    }
    bar.finish_and_clear();
    cells.sort_by_key(|(_, cell)| cell.flop);
    Ok(cells.into_iter().map(|(_, cell)| cell).collect())
}

fn network(width: usize) -> Network {
    (0..3).fold(Network::new(width), |network, _| network.dense(width, Activation::Sigmoid))
}

/// Returns values in [0, 1].
fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 37 % 251) as f32 / 250.0).collect()
}

/// Returns the minimum over several samples of steps that together take about `duration`. There is at least one sample.
fn seconds_per_step(trainer: &mut Trainer, duration: Duration) -> gradus::Result<f64> {
    trainer.run(1)?;
    let (mut steps, mut best) = (1, f64::INFINITY);
    let measurement_start = Instant::now();
    while best.is_infinite() || measurement_start.elapsed() < duration {
        let start = Instant::now();
        trainer.run(steps)?;
        let elapsed = start.elapsed();
        best = best.min(elapsed.as_secs_f64() / steps as f64);
        if elapsed < duration / 8 {
            steps *= 2;
        }
    }
    Ok(best)
}

/// Returns the FLOP per step above which the device is faster, or `None` if there is no such threshold.
///
/// It is the threshold that agrees with the largest number of measured cells.
fn crossover_flop(cells: &[Cell]) -> Option<u64> {
    let disagreements =
        |threshold: Option<u64>| cells.iter().filter(|cell| cell.agrees(threshold) == Some(false)).count();
    // `min_by_key` returns the first of equal candidates: no crossover, or the largest threshold.
    let mut candidates = vec![None];
    candidates.extend(cells.iter().rev().filter(|cell| cell.times.is_some()).map(|cell| Some(cell.flop)));
    candidates.into_iter().min_by_key(|threshold| disagreements(*threshold)).flatten()
}

/// Prints the crossover, the number of cells that agree with it, and the best speedup.
fn print_summary(device: &Device, cells: &[Cell], crossover: Option<u64>) {
    let measured = cells.iter().filter(|cell| cell.times.is_some()).count();
    let device = device_name(device);
    match crossover {
        Some(threshold) => {
            let agreeing = cells.iter().filter(|cell| cell.agrees(crossover) == Some(true)).count();
            let flop = format_flop(threshold);
            print_line!("crossover: {device} is faster than the CPU engine from about {flop} FLOP per step");
            print_line!("networks that agree with the crossover: {agreeing} of {measured}");
        }
        None => {
            let max = cells.iter().filter(|cell| cell.times.is_some()).map(|cell| cell.flop).max().unwrap_or(0);
            let max = format_flop(max);
            print_line!("crossover: none, {device} is slower than the CPU engine up to {max} FLOP per step");
            let faster = cells.iter().filter(|cell| cell.speedup().is_some_and(|speedup| speedup > 1.0)).count();
            print_line!("networks that are faster on {device}: {faster} of {measured}");
        }
    }
    let speedups = cells.iter().filter_map(|cell| Some((cell, cell.speedup()?)));
    if let Some((cell, speedup)) = speedups.max_by(|a, b| a.1.total_cmp(&b.1)) {
        let speedup = format_factor(speedup);
        print_line!("best speedup: {speedup}x at width {}, batch size {}", cell.width, cell.batch_size);
    }
    let skipped = cells.len() - measured;
    if skipped > 0 {
        print_line!("networks skipped for lack of time: {skipped}; pass a larger --seconds to measure them");
    }
}

impl Cell {
    /// Returns the ratio of the step time on the CPU engine to that on the device.
    fn speedup(&self) -> Option<f64> {
        self.times.map(|StepTimes { cpu, device }| cpu / device)
    }

    /// Returns whether the measurement agrees with a crossover, or `None` for a skipped cell.
    fn agrees(&self, crossover: Option<u64>) -> Option<bool> {
        let is_above = crossover.is_some_and(|threshold| self.flop >= threshold);
        self.speedup().map(|speedup| (speedup > 1.0) == is_above)
    }

    fn json(&self) -> Value {
        let microseconds = |seconds: f64| 1e6 * seconds;
        json!({
            "width": self.width,
            "batch_size": self.batch_size,
            "flop": self.flop,
            "cpu_us": self.times.map(|times| microseconds(times.cpu)),
            "device_us": self.times.map(|times| microseconds(times.device)),
            "speedup": self.speedup(),
        })
    }
}

/// Formats a number of FLOP: `1234567` becomes `1.2 M`.
fn format_flop(flop: u64) -> String {
    let units = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    let flop = flop as f64;
    let (scale, unit) = units.into_iter().find(|(scale, _)| flop >= *scale).unwrap_or((1.0, ""));
    format!("{}{unit}", format_factor(flop / scale))
}

/// Formats a duration in seconds: `0.00123` becomes `1.2 ms`.
fn format_seconds(seconds: f64) -> String {
    let units = [(1.0, "s"), (1e-3, "ms")];
    let (scale, unit) = units.into_iter().find(|(scale, _)| seconds >= *scale).unwrap_or((1e-6, "us"));
    format!("{} {unit}", format_factor(seconds / scale))
}

/// Formats a positive number with two significant digits, or with all digits before the decimal point if there are more.
fn format_factor(value: f64) -> String {
    let decimals = (1.0 - value.max(1e-9).log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}

// Blue and vermilion of Okabe and Ito's palette, which is safe for color blindness.
const FASTER: [f64; 3] = [0.0, 114.0, 178.0];
const SLOWER: [f64; 3] = [213.0, 94.0, 0.0];
const TEXT: RGBColor = RGBColor(40, 40, 40);
const SKIPPED: RGBColor = RGBColor(238, 238, 238);

/// The speedup or slowdown with the full color.
const MAX_FACTOR: f64 = 20.0;

/// The size of a cell in pixels, and the corner of the first cell.
const CELL: (i32, i32) = (124, 64);
const CORNER: (i32, i32) = (84, 96);

const CENTER: Pos = Pos { h_pos: HPos::Center, v_pos: VPos::Center };
const RIGHT: Pos = Pos { h_pos: HPos::Right, v_pos: VPos::Center };

/// Draws the speedup over width and batch size.
fn draw(path: &Path, device: &Device, cells: &[Cell], crossover: Option<u64>) -> Result<(), Box<dyn Error>> {
    let right = CORNER.0 + CELL.0 * WIDTHS.len() as i32;
    let bottom = CORNER.1 + CELL.1 * BATCH_SIZES.len() as i32;
    let size = (right as u32 + 20, bottom as u32 + 64);
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    let style = |size: i32, color: RGBColor, anchor: Pos| ("sans-serif", size).into_font().color(&color).pos(anchor);
    let middle = (CORNER.0 + right) / 2;
    let title = format!("Speedup of a training step on {} over the CPU engine", device.name());
    area.draw_text(&title, &style(20, TEXT, CENTER), (middle, 26))?;
    let line = crossover.map_or(String::new(), |flop| format!("; black line: {} FLOP per step", format_flop(flop)));
    let legend =
        format!("blue: faster than the CPU engine, orange: slower; small print: time per step, CPU / device{line}");
    area.draw_text(&legend, &style(15, TEXT, CENTER), (middle, 54))?;

    for cell in cells {
        let (x, y) = cell_corner(cell);
        let (color, text_color) = cell.speedup().map_or((SKIPPED, TEXT), cell_colors);
        area.draw(&Rectangle::new([(x + 1, y + 1), (x + CELL.0 - 1, y + CELL.1 - 1)], color.filled()))?;
        let x = x + CELL.0 / 2;
        match (cell.speedup(), cell.times) {
            (Some(speedup), Some(StepTimes { cpu, device })) => {
                area.draw_text(&format_factor(speedup), &style(20, text_color, CENTER), (x, y + 24))?;
                let times = format!("{} / {}", format_seconds(cpu), format_seconds(device));
                area.draw_text(&times, &style(12, text_color, CENTER), (x, y + 47))?;
            }
            _ => area.draw_text("skipped", &style(12, text_color, CENTER), (x, y + CELL.1 / 2))?,
        }
    }
    if let Some(threshold) = crossover {
        let line = BLACK.stroke_width(3);
        let is_below = |width: usize, batch_size: usize| network(width).flop_per_step(batch_size) < threshold;
        for cell in cells.iter().filter(|cell| cell.flop >= threshold) {
            let (x, y) = cell_corner(cell);
            if cell.width > WIDTHS[0] && is_below(cell.width / 2, cell.batch_size) {
                area.draw(&PathElement::new([(x, y), (x, y + CELL.1)], line))?;
            }
            if cell.batch_size > BATCH_SIZES[0] && is_below(cell.width, cell.batch_size / 4) {
                area.draw(&PathElement::new([(x, y + CELL.1), (x + CELL.0, y + CELL.1)], line))?;
            }
        }
    }
    for (width, x) in WIDTHS.iter().zip((CORNER.0 + CELL.0 / 2..).step_by(CELL.0 as usize)) {
        area.draw_text(&width.to_string(), &style(14, TEXT, CENTER), (x, bottom + 16))?;
    }
    for (batch_size, y) in BATCH_SIZES.iter().rev().zip((CORNER.1 + CELL.1 / 2..).step_by(CELL.1 as usize)) {
        area.draw_text(&batch_size.to_string(), &style(14, TEXT, RIGHT), (CORNER.0 - 8, y))?;
    }
    area.draw_text("width of the input and of the three layers", &style(15, TEXT, CENTER), (middle, bottom + 42))?;
    area.draw_text("batch size", &style(15, TEXT, RIGHT), (CORNER.0 - 8, CORNER.1 - 14))?;
    area.present()?;
    Ok(())
}

/// Returns the top left corner of a cell in the plot. The largest batch size is in the first row.
fn cell_corner(cell: &Cell) -> (i32, i32) {
    let column = WIDTHS.iter().position(|width| *width == cell.width).unwrap_or(0) as i32;
    let row = BATCH_SIZES.iter().rev().position(|size| *size == cell.batch_size).unwrap_or(0) as i32;
    (CORNER.0 + column * CELL.0, CORNER.1 + row * CELL.1)
}

/// Returns the color of a cell and of its text. A cell is white if both devices are equally fast.
fn cell_colors(speedup: f64) -> (RGBColor, RGBColor) {
    let strength = (speedup.ln() / MAX_FACTOR.ln()).clamp(-1.0, 1.0);
    let full_color = if strength > 0.0 { FASTER } else { SLOWER };
    let [r, g, b] = full_color.map(|full| (255.0 + (full - 255.0) * strength.abs()).round() as u8);
    let text_color = if strength.abs() > 0.6 { WHITE } else { TEXT };
    (RGBColor(r, g, b), text_color)
}
