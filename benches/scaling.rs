//! Times training steps over the batch size, the width and the depth of a network, as a table and as a plot.
//!
//!     cargo bench --bench scaling -- --device cpu --device llvmpipe
//!     cargo bench --bench scaling -- --device gpu --seconds 60 --output scaling.svg
//!
//! This bench does not check the results of a device; the bench `training` does.

use std::{error::Error, ops::Range, path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;
use gradus::{Activation, Dataset, Device, Network, Trainer, TrainerSettings, device::DeviceRequest};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

/// A network shape: layers of equal width.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    width: usize,
    depth: usize,
    batch_size: usize,
}

/// A quantity that grows from point to point, while the others stay constant.
struct Series {
    /// The label of the axis, with the constant quantities.
    label: &'static str,
    points: &'static [usize],
    shape: fn(usize) -> Shape,
}

const SERIES: [Series; 3] = [
    Series {
        label: "batch size (256-256-256-256)",
        points: &[1, 4, 16, 64, 256, 1024, 4096],
        shape: |batch_size| Shape { width: 256, depth: 3, batch_size },
    },
    Series {
        label: "width (3 layers, batch size 256)",
        points: &[16, 32, 64, 128, 256, 512, 1024],
        shape: |width| Shape { width, depth: 3, batch_size: 256 },
    },
    Series {
        label: "depth (layers of 128 neurons, batch size 256)",
        points: &[1, 2, 4, 8, 16],
        shape: |depth| Shape { width: 128, depth, batch_size: 256 },
    },
];

/// The number of samples of a measurement. The result is their median.
const SAMPLES: usize = 5;

type BenchResult<T> = Result<T, Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The microseconds per step of the measured points of a series, by device. They end at the first skipped point.
type SeriesTimes = Vec<Vec<f64>>;

/// Times training steps over the batch size, the width and the depth of a network.
#[derive(Parser)]
struct Arguments {
    /// Device: auto, gpu, cpu, or part of an adapter's name; may be repeated
    #[arg(long, default_value = "cpu")]
    device: Vec<String>,
    /// Approximate duration of the timing in seconds, without compiling kernels. It skips points that take too long
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Path of the plot
    #[arg(long, value_name = "FILE", default_value = "benches/plots/scaling.svg")]
    output: PathBuf,
    /// Ignored: `cargo bench` passes this option to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let _ = env_logger::try_init();
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> BenchResult<()> {
    let mut devices = Vec::new();
    for name in &arguments.device {
        let selector = name.parse().unwrap_or_default();
        devices.push(Device::request(&DeviceRequest { selector, ..DeviceRequest::default() })?);
    }
    devices.iter().filter_map(Device::fallback_reason).for_each(|reason| println!("{reason}"));
    let all_times = measure(&devices, arguments.seconds)?;

    let names: Vec<String> = devices.iter().map(Device::name).collect();
    println!("gradus {}: us per training step\n", env!("CARGO_PKG_VERSION"));
    println!("| quantity | value | {} |", names.join(" | "));
    println!("|---|---|{}", "---|".repeat(names.len()));
    for (Series { label, points, .. }, series_times) in SERIES.iter().zip(&all_times) {
        for (i, point) in points.iter().enumerate() {
            let cell = |times: &Vec<f64>| times.get(i).map_or("skipped".to_owned(), |us| format!("{us:.2}"));
            println!("| {label} | {point} | {} |", series_times.iter().map(cell).collect::<Vec<_>>().join(" | "));
        }
    }
    if let Some(directory) = arguments.output.parent() {
        std::fs::create_dir_all(directory)?;
    }
    draw(arguments, &names, &all_times).map_err(|error| format!("{}: {error}", arguments.output.display()))?;
    println!("\nplot: {}", arguments.output.display());
    Ok(())
}

/// A point of a series to measure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    flop: u64,
    /// The FLOP of the previous point of the series.
    previous_flop: u64,
    series: usize,
    index: usize,
    shape: Shape,
}

/// Times the points of all series in the order of their FLOP, so that the large ones get the time that the small ones left.
fn measure(devices: &[Device], seconds: f64) -> BenchResult<Vec<SeriesTimes>> {
    let mut points = Vec::new();
    for (series, Series { points: values, shape, .. }) in SERIES.iter().enumerate() {
        let mut previous_flop = 0;
        for (index, value) in values.iter().enumerate() {
            let shape = shape(*value);
            let flop = network(shape).flop_per_step(shape.batch_size);
            points.push(Point { flop, previous_flop, series, index, shape });
            previous_flop = flop;
        }
    }
    points.sort_unstable();
    let mut all_times = vec![vec![Vec::new(); devices.len()]; SERIES.len()];
    let (mut remaining_seconds, mut remaining_measurements) = (seconds, points.len() * devices.len());
    for point in points {
        for (device, times) in devices.iter().zip(&mut all_times[point.series]) {
            let available = remaining_seconds / remaining_measurements as f64;
            remaining_measurements -= 1;
            // The estimate assumes that the time grows like the FLOP, which is rather too much. The calibration takes about as
            // long as a sample.
            let estimate = |previous_us: &f64| {
                let us = previous_us * point.flop as f64 / point.previous_flop as f64;
                1e-6 * us * (SAMPLES + 1) as f64
            };
            // Always measure the first point. Skip all points after a skipped one: they would take even longer.
            let is_next = times.len() == point.index;
            if is_next && times.last().is_none_or(|previous_us| estimate(previous_us) <= available) {
                let mut trainer = warm_trainer(device, point.shape)?;
                let start = Instant::now();
                times.push(1e6 * seconds_per_step(&mut trainer, available / 2.0)?);
                remaining_seconds -= start.elapsed().as_secs_f64();
            }
        }
    }
    Ok(all_times)
}

/// Creates a trainer with its data set on the device, and runs its first step. Some drivers compile kernels in that step.
fn warm_trainer(device: &Device, shape: Shape) -> gradus::Result<Trainer> {
    let Shape { width, batch_size, .. } = shape;
    // At least 4,096 rows, so that most epochs have many steps.
    let rows = (2 * batch_size).max(4096);
    let values: Vec<f32> = (0..rows * width).map(|i| (i * 37 % 251) as f32 / 250.0).collect();
    let data = Dataset::new(rows, values.clone(), values)?;
    let settings = TrainerSettings { batch_size, ..TrainerSettings::default() };
    let mut trainer = Trainer::new(device, &network(shape), &data, settings)?;
    trainer.run(1)?;
    Ok(trainer)
}

/// Returns the median over samples that together take about `seconds`.
fn seconds_per_step(trainer: &mut Trainer, seconds: f64) -> gradus::Result<f64> {
    let mut sample = |steps| {
        let start = Instant::now();
        trainer.run(steps).map(|_| start.elapsed().as_secs_f64())
    };
    let (sample_seconds, mut steps) = (seconds / SAMPLES as f64, 1);
    let mut elapsed = sample(steps)?;
    while elapsed < sample_seconds / 4.0 {
        steps *= 2;
        elapsed = sample(steps)?;
    }
    steps = ((steps as f64 * sample_seconds / elapsed) as usize).max(1);
    let mut times = [0.0; SAMPLES];
    for time in &mut times {
        *time = sample(steps)? / steps as f64;
    }
    times.sort_by(f64::total_cmp);
    Ok(times[SAMPLES / 2])
}

fn network(Shape { width, depth, .. }: Shape) -> Network {
    (0..depth).fold(Network::new(width), |network, _| network.dense(width, Activation::Sigmoid))
}

// The colors of Okabe and Ito's palette, which is safe for color blindness. Gray is for the frame.
const COLORS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];
const TEXT: RGBColor = RGBColor(40, 40, 40);
const FRAME: RGBColor = RGBColor(200, 200, 200);
const GRID: RGBColor = RGBColor(232, 232, 232);
const FONT: &str = "sans-serif";

/// The size of the plot, and the width that the legend covers.
const PLOT_SIZE: (u32, u32) = (1200, 400);
const LEGEND_WIDTH: i32 = 1160;

/// Draws one panel per series with a common time axis, and a legend of the devices above the panels.
fn draw(arguments: &Arguments, names: &[String], all_times: &[SeriesTimes]) -> BenchResult<()> {
    let area = SVGBackend::new(&arguments.output, PLOT_SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let style = |size: i32, horizontal| (FONT, size).into_font().color(&TEXT).pos(Pos::new(horizontal, VPos::Center));
    area.draw_text("Time per training step", &style(18, HPos::Center), (600, 20))?;
    let entry_width = LEGEND_WIDTH / names.len() as i32;
    for ((name, color), i) in names.iter().zip(COLORS.iter().cycle()).zip(0..) {
        // Center the entry. The width of the text is an estimate, because the SVG does not contain the font.
        let text_width = 7 * name.len() as i32;
        let x = 20 + i * entry_width + (entry_width - 30 - text_width).max(0) / 2;
        area.draw(&PathElement::new([(x, 48), (x + 24, 48)], color.stroke_width(2)))?;
        area.draw(&Circle::new((x + 12, 48), 3, color.filled()))?;
        area.draw_text(name, &style(14, HPos::Left), (x + 30, 48))?;
    }
    let (_, panels) = area.split_vertically(62);
    let times = || all_times.iter().flatten().flatten().copied();
    // The time axis ends at powers of ten.
    let power_of_ten = |us: f64, round: fn(f64) -> f64| 10_f64.powi(round(us.log10()) as i32);
    let min = power_of_ten(times().fold(f64::INFINITY, f64::min), f64::floor);
    let max = power_of_ten(times().fold(0.0, f64::max), f64::ceil).max(10.0 * min);
    let panels = panels.split_evenly((1, SERIES.len()));
    for ((panel, series), series_times) in panels.iter().zip(&SERIES).zip(all_times) {
        draw_panel(panel, series, series_times, min..max)?;
    }
    area.present()?;
    Ok(())
}

fn draw_panel(area: &Area<'_>, series: &Series, series_times: &SeriesTimes, range: Range<f64>) -> BenchResult<()> {
    let points: Vec<f64> = series.points.iter().map(|point| *point as f64).collect();
    let x = (points[0] / 1.2..points[points.len() - 1] * 1.2).log_scale().with_key_points(points.clone());
    let powers_of_ten =
        std::iter::successors(Some(range.start), |us| Some(us * 10.0)).take_while(|us| *us < 1.1 * range.end);
    let y = range.clone().log_scale().with_key_points(powers_of_ten.collect());
    let mut chart =
        ChartBuilder::on(area).margin(8).x_label_area_size(44).y_label_area_size(70).build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(FRAME)
        .label_style((FONT, 13).into_font().color(&TEXT))
        .axis_desc_style((FONT, 14).into_font().color(&TEXT))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|us| match *us {
            us if us > 0.9e6 => format!("{:.0} s", us / 1e6),
            us if us > 0.9e3 => format!("{:.0} ms", us / 1e3),
            us => format!("{us:.0} us"),
        })
        .x_desc(series.label)
        .y_desc("time per step")
        .draw()?;
    for (times, color) in series_times.iter().zip(COLORS.iter().cycle()) {
        let line = points.iter().copied().zip(times.iter().copied());
        chart.draw_series(LineSeries::new(line, color.stroke_width(2).filled()).point_size(3))?;
    }
    Ok(())
}
