//! How the time of a training step grows with the batch, the width and the depth of a network, on the CPU engine and on
//! the adapters that are named, as a table and as a picture. Whether they compute rightly is `training`'s to say.
//!
//!     cargo bench --bench growth -- --device cpu --device llvmpipe
//!     cargo bench --bench growth -- --device gpu --seconds 60 --out growth.svg

use std::{error::Error, ops::Range, path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;
use gradus::{Activation, Dataset, Device, Network, Trainer, TrainerSettings, device::DeviceRequest};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

/// What grows, with its unit and with what stays as it is; how far; and the width, the depth and the batch of a point.
type Growth = (&'static str, &'static [usize], fn(usize) -> [usize; 3]);

const GROWTHS: [Growth; 3] = [
    ("batch, in rows (256-256-256-256)", &[1, 4, 16, 64, 256, 1024, 4096], |batch| [256, 3, batch]),
    ("width, in neurons (3 layers, batch 256)", &[16, 32, 64, 128, 256, 512, 1024], |width| [width, 3, 256]),
    ("depth, in layers (of 128 neurons, batch 256)", &[1, 2, 4, 8, 16], |depth| [128, depth, 256]),
];

/// How many stretches the median is taken of.
const SAMPLES: usize = 5;

type BenchResult<T> = Result<T, Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The microseconds of a step of each point of a growth that was timed, by device.
type Series = Vec<Vec<f64>>;

/// Times training steps of growing networks.
#[derive(Parser)]
struct Arguments {
    /// auto, gpu, cpu, or part of an adapter's name; may be given several times
    #[arg(long, default_value = "cpu")]
    device: Vec<String>,
    /// How long to time all; what would take more than its share is left out. To build the kernels takes longer still
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Where the picture goes
    #[arg(long, default_value = "benches/pictures/growth.svg")]
    out: PathBuf,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let _ = env_logger::try_init();
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> BenchResult<()> {
    let choice = |name: &String| name.parse().unwrap_or_default();
    let open = |name| Device::request(&DeviceRequest { selector: choice(name), ..DeviceRequest::default() });
    let devices = arguments.device.iter().map(open).collect::<gradus::Result<Vec<_>>>()?;
    devices.iter().filter_map(Device::fallback_reason).for_each(|note| println!("{note}"));
    let all = measure(&devices, arguments.seconds)?;

    let names: Vec<String> = devices.iter().map(Device::name).collect();
    println!("gradus {}: microseconds of a training step\n", env!("CARGO_PKG_VERSION"));
    println!("| what grows | to | {} |", names.join(" | "));
    println!("|---|---|{}", "---|".repeat(names.len()));
    for ((axis, points, _), series) in GROWTHS.iter().zip(&all) {
        for (i, x) in points.iter().enumerate() {
            let time = |times: &Vec<f64>| times.get(i).map_or("left out".to_owned(), |us| format!("{us:.2}"));
            println!("| {axis} | {x} | {} |", series.iter().map(time).collect::<Vec<_>>().join(" | "));
        }
    }
    if let Some(folder) = arguments.out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    draw(arguments, &names, &all).map_err(|error| format!("{}: {error}", arguments.out.display()))?;
    println!("\npicture: {}", arguments.out.display());
    Ok(())
}

/// Times the points in the order of their FLOP, so that the large ones have what the small ones left of the time.
fn measure(devices: &[Device], seconds: f64) -> BenchResult<Vec<Series>> {
    let mut points = Vec::new();
    for (of, (_, xs, sizes)) in GROWTHS.iter().enumerate() {
        let mut last = 0;
        for (i, sizes) in xs.iter().map(|x| sizes(*x)).enumerate() {
            let [width, depth, batch] = sizes;
            let flop = network(width, depth).flop_per_step(batch);
            points.push((flop, last, of, i, sizes));
            last = flop;
        }
    }
    points.sort_unstable();
    let mut all = vec![vec![Vec::new(); devices.len()]; GROWTHS.len()];
    let (mut left, mut to_do) = (seconds, points.len() * devices.len());
    for (flop, last, of, i, sizes) in points {
        for (device, times) in devices.iter().zip(&mut all[of]) {
            let share = left / to_do as f64;
            to_do -= 1;
            // As if time grew with the FLOP, which is rather too much; a step is counted before the stretches.
            let expected = |us: &f64| 1e-6 * us * flop as f64 / last as f64 * (SAMPLES + 1) as f64;
            // The first point always; what follows one that was left out would take longer still.
            if times.len() == i && times.last().is_none_or(|us| expected(us) <= share) {
                let mut trainer = warm_trainer(device, sizes)?;
                let start = Instant::now();
                times.push(1e6 * seconds_of_a_step(&mut trainer, share / 2.0)?);
                left -= start.elapsed().as_secs_f64();
            }
        }
    }
    Ok(all)
}

/// A trainer with its data on the device, after its first step, for which some drivers compile.
fn warm_trainer(device: &Device, [width, depth, batch]: [usize; 3]) -> gradus::Result<Trainer> {
    // Enough rows for most epochs to be many steps.
    let rows = (2 * batch).max(4096);
    let numbers: Vec<f32> = (0..rows * width).map(|i| (i * 37 % 251) as f32 / 250.0).collect();
    let (data, settings) = (
        Dataset::new(rows, numbers.clone(), numbers)?,
        TrainerSettings { batch_size: batch, ..TrainerSettings::default() },
    );
    let mut trainer = Trainer::new(device, &network(width, depth), &data, settings)?;
    trainer.run(1)?;
    Ok(trainer)
}

/// The median of stretches that take the given time together.
fn seconds_of_a_step(trainer: &mut Trainer, seconds: f64) -> gradus::Result<f64> {
    let mut stretch = |steps| {
        let start = Instant::now();
        trainer.run(steps).map(|_| start.elapsed().as_secs_f64())
    };
    let (long, mut steps) = (seconds / SAMPLES as f64, 1);
    let mut took = stretch(steps)?;
    while took < long / 4.0 {
        steps *= 2;
        took = stretch(steps)?;
    }
    steps = ((steps as f64 * long / took) as usize).max(1);
    let mut times = [0.0; SAMPLES];
    for time in &mut times {
        *time = stretch(steps)? / steps as f64;
    }
    times.sort_by(f64::total_cmp);
    Ok(times[SAMPLES / 2])
}

fn network(width: usize, depth: usize) -> Network {
    (0..depth).fold(Network::new(width), |network, _| network.dense(width, Activation::Sigmoid))
}

// Of Okabe and Ito's palette, which the colour-blind tell apart; grey for what frames the data.
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];
const TEXT: RGBColor = RGBColor(40, 40, 40);
const FRAME: RGBColor = RGBColor(200, 200, 200);
const GRID: RGBColor = RGBColor(232, 232, 232);
const FONT: &str = "sans-serif";

/// Draws a panel for each growth, on one scale of times, with the devices' names above.
fn draw(arguments: &Arguments, names: &[String], all: &[Series]) -> BenchResult<()> {
    let area = SVGBackend::new(&arguments.out, (1200, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let style = |size: i32, horizontal| (FONT, size).into_font().color(&TEXT).pos(Pos::new(horizontal, VPos::Center));
    area.draw_text("Time of a training step", &style(18, HPos::Center), (600, 20))?;
    let each = 1160 / names.len() as i32;
    for ((name, colour), i) in names.iter().zip(COLOURS.iter().cycle()).zip(0..) {
        // In the middle of its part of the row, as far as can be told without the font.
        let x = 20 + i * each + (each - 30 - 7 * name.len() as i32).max(0) / 2;
        area.draw(&PathElement::new([(x, 48), (x + 24, 48)], colour.stroke_width(2)))?;
        area.draw(&Circle::new((x + 12, 48), 3, colour.filled()))?;
        area.draw_text(name, &style(14, HPos::Left), (x + 30, 48))?;
    }
    let (_, panels) = area.split_vertically(62);
    let times = || all.iter().flatten().flatten().copied();
    let decade = |us: f64, to: fn(f64) -> f64| 10_f64.powi(to(us.log10()) as i32);
    let min = decade(times().fold(f64::INFINITY, f64::min), f64::floor);
    let range = min..decade(times().fold(0.0, f64::max), f64::ceil).max(10.0 * min);
    for ((panel, growth), series) in panels.split_evenly((1, GROWTHS.len())).iter().zip(&GROWTHS).zip(all) {
        draw_panel(panel, growth, series, range.clone())?;
    }
    area.present()?;
    Ok(())
}

fn draw_panel(area: &Area<'_>, (axis, points, _): &Growth, series: &Series, range: Range<f64>) -> BenchResult<()> {
    let points: Vec<f64> = points.iter().map(|x| *x as f64).collect();
    let x = (points[0] / 1.2..points[points.len() - 1] * 1.2).log_scale().with_key_points(points.clone());
    let decades = std::iter::successors(Some(range.start), |us| Some(us * 10.0)).take_while(|us| *us < 1.1 * range.end);
    let y = range.clone().log_scale().with_key_points(decades.collect());
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
        .x_desc(*axis)
        .y_desc("time of a step")
        .draw()?;
    for (times, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let line = points.iter().copied().zip(times.iter().copied());
        chart.draw_series(LineSeries::new(line, colour.stroke_width(2).filled()).point_size(3))?;
    }
    Ok(())
}
