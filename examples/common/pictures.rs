//! Pictures of a training as SVG: its curves, and what the network answers.

use std::{error::Error, path::Path};

use gradus::Rates;
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::classifier::{History, Images, Score, percent};

// Blue and vermilion of Okabe and Ito's palette, which the colour-blind tell apart; grey for what frames the data.
const TRAIN: RGBColor = RGBColor(0, 114, 178);
const TEST: RGBColor = RGBColor(213, 94, 0);
const WRONG: RGBColor = RGBColor(200, 30, 30);
const TEXT: RGBColor = RGBColor(40, 40, 40);
const FRAME: RGBColor = RGBColor(200, 200, 200);
const GRID: RGBColor = RGBColor(232, 232, 232);

const FONT: &str = "sans-serif";

type Drawn = Result<(), Box<dyn Error>>;

/// Draws loss and accuracy over the epochs, side by side.
pub fn curves(path: &Path, title: &str, history: &History) -> Drawn {
    let area = SVGBackend::new(path, (960, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let area = area.margin(12, 12, 12, 20).titled(title, (FONT, 20).into_font().color(&TEXT))?;
    let (left, right) = area.split_horizontally(462);

    let all = || history.train.iter().chain(&history.test);
    let most = all().map(|score| score.loss).filter(|loss| loss.is_finite()).fold(0.0, f64::max);
    let most = if most > 0.0 { 1.05 * most } else { 1.0 };
    panel(&left, "loss", history, 0.0..most, |score| score.loss)?;

    let least = all().map(|score| score.accuracy).filter(|a| a.is_finite()).fold(1.0, f64::min);
    // To the next ten per cent below, so that the last epochs are not squeezed into the upper edge.
    let least = (10.0 * least - 1e-9).floor().clamp(0.0, 9.0) * 10.0;
    panel(&right, "accuracy in %", history, least..100.0, |score| 100.0 * score.accuracy)?;
    area.present()?;
    Ok(())
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    what: &str,
    history: &History,
    range: std::ops::Range<f64>,
    value: impl Fn(&Score) -> f64,
) -> Drawn {
    let epochs = u32::try_from(history.train.len())?.max(2);
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(44)
        .y_label_area_size(62)
        .build_cartesian_2d(1..epochs, range.clone())?;
    // Enough decimals to tell the labels of the axis apart, which are about a tenth of its length from each other.
    let digits = (1.0 - (range.end - range.start).log10()).ceil().clamp(0.0, 8.0) as usize;
    // Dots as well where there are few points, and a line alone would be hard to see.
    let dot = if epochs <= 10 { 3 } else { 0 };
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(FRAME)
        .label_style((FONT, 14).into_font().color(&TEXT))
        .axis_desc_style((FONT, 15).into_font().color(&TEXT))
        .x_labels(8)
        .y_labels(8)
        .y_label_formatter(&|y| {
            if (0.0..1e5).contains(&range.end) { format!("{y:.digits$}") } else { format!("{y:.1e}") }
        })
        .x_desc("epoch")
        .y_desc(what)
        .draw()?;
    for (name, scores, colour) in [("train", &history.train, TRAIN), ("held out", &history.test, TEST)] {
        let points = scores.iter().map(&value).zip(1u32..).map(|(y, epoch)| (epoch, y)).filter(|(_, y)| y.is_finite());
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2).filled()).point_size(dot))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(2)));
    }
    let falls = what == "loss";
    chart
        .configure_series_labels()
        .position(if falls { SeriesLabelPosition::UpperRight } else { SeriesLabelPosition::LowerRight })
        .margin(16)
        .legend_area_size(30)
        .label_font((FONT, 15).into_font().color(&TEXT))
        .background_style(WHITE)
        .border_style(FRAME)
        .draw()?;
    Ok(())
}

/// Draws the smoothed loss over the learning rates of a range test, and the rate that it suggests.
pub fn rates(path: &Path, title: &str, rates: &Rates) -> Drawn {
    let area = SVGBackend::new(path, (720, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let area = area.margin(12, 12, 12, 20).titled(title, (FONT, 20).into_font().color(&TEXT))?;
    let first = rates.points.first().map_or(1e-6, |point| point.0);
    let last = rates.points.last().map_or(1.0, |point| point.0).max(2.0 * first);
    let losses = || rates.points.iter().map(|point| point.1);
    let least = losses().fold(f64::INFINITY, f64::min);
    // What explodes at the end would press the rest flat.
    let most = losses().take(rates.points.len() / 2 + 1).fold(f64::MIN_POSITIVE, f64::max);
    let (low, high) = if least.is_finite() { ((least - 0.1 * most).max(0.0), 1.3 * most) } else { (0.0, 1.0) };
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .x_label_area_size(44)
        .y_label_area_size(62)
        .build_cartesian_2d((first..last).log_scale(), low..high)?;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(FRAME)
        .label_style((FONT, 14).into_font().color(&TEXT))
        .axis_desc_style((FONT, 15).into_font().color(&TEXT))
        .x_label_formatter(&|x| format!("{x:.0e}"))
        .y_labels(8)
        .y_label_formatter(&|y| format!("{y:.1}"))
        .x_desc("learning rate")
        .y_desc("loss, smoothed")
        .draw()?;
    let points = rates.points.iter().copied().take_while(|point| point.1 <= high);
    chart.draw_series(LineSeries::new(points, TRAIN.stroke_width(2)))?;
    if let Some(rate) = rates.suggestion {
        let line = TEST.stroke_width(2);
        chart
            .draw_series(LineSeries::new([(rate, low), (rate, high)], line))?
            .label(format!("falls fastest at {rate:.1e}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], line));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .margin(16)
            .legend_area_size(30)
            .label_font((FONT, 15).into_font().color(&TEXT))
            .background_style(WHITE)
            .border_style(FRAME)
            .draw()?;
    }
    area.present()?;
    Ok(())
}

/// Draws what a network tells over what is right, which would lie on the line.
pub fn told(path: &Path, title: &str, unit: &str, answers: &[(f32, f32)]) -> Drawn {
    let area = SVGBackend::new(path, (520, 560)).into_drawing_area();
    area.fill(&WHITE)?;
    let area = area.margin(12, 12, 12, 20).titled(title, (FONT, 20).into_font().color(&TEXT))?;
    let most = answers.iter().flat_map(|(t, y)| [*t, *y]).filter(|v| v.is_finite()).fold(f32::MIN_POSITIVE, f32::max);
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .x_label_area_size(44)
        .y_label_area_size(62)
        .build_cartesian_2d(0.0..1.05 * most, 0.0..1.05 * most)?;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(FRAME)
        .label_style((FONT, 14).into_font().color(&TEXT))
        .axis_desc_style((FONT, 15).into_font().color(&TEXT))
        .x_desc(format!("measured, {unit}"))
        .y_desc(format!("told, {unit}"))
        .draw()?;
    chart.draw_series(LineSeries::new([(0.0, 0.0), (most, most)], FRAME.stroke_width(2)))?;
    let points = answers.iter().filter(|(t, y)| t.is_finite() && y.is_finite());
    chart.draw_series(points.map(|point| Circle::new(*point, 3, TRAIN.mix(0.6).filled())))?;
    area.present()?;
    Ok(())
}

/// How many images a row and a column of the grid hold, and how many wrong ones it shows at most.
const COLUMNS: usize = 10;
const ROWS: usize = 5;
const MOST_WRONG: usize = 20;

/// Draws test images with the network's answers: wrong ones first, in red and with the right class, then right ones.
/// A row of `answered` is an image (0 is paper), its class, and the class that the network answers.
pub fn answers(path: &Path, title: &str, images: &Images, answered: &[(Vec<f32>, usize, usize)]) -> Drawn {
    let wrong: Vec<_> = answered.iter().filter(|(_, class, answer)| class != answer).collect();
    let right = answered.iter().filter(|(_, class, answer)| class == answer);
    let shown = wrong.len().min(MOST_WRONG);
    let share = percent(1.0 - wrong.len() as f64 / answered.len().max(1) as f64);
    let caption = match (wrong.len(), shown) {
        (0, _) => format!("{share} of {} right", answered.len()),
        (n, _) if n == shown => format!("{share} of {} right; the {n} wrong answers in red", answered.len()),
        (n, _) => format!("{share} of {} right; {shown} of the {n} wrong answers in red", answered.len()),
    };
    let caption = format!("{caption}. Below each image: the network's answer");

    let height = answered.first().map_or(1, |(image, ..)| image.len() / images.width.max(1)).max(1);
    // About 84 pixels an image, and whole ones a pixel of it.
    let scale = (84 / images.width.max(height)).max(1) as i32;
    let cell = (images.width as i32 * scale + 24, height as i32 * scale + 48);
    let (margin, head) = (20, 74);
    let size = (cell.0 * COLUMNS as i32 + 2 * margin, cell.1 * ROWS as i32 + head);
    let area = SVGBackend::new(path, (size.0 as u32, size.1 as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let centred =
        |size: i32, colour: &RGBColor| (FONT, size).into_font().color(colour).pos(Pos::new(HPos::Center, VPos::Top));
    area.draw_text(title, &centred(20, &TEXT), (size.0 / 2, 12))?;
    area.draw_text(&caption, &centred(16, &TEXT), (size.0 / 2, 42))?;

    let darkest = answered.iter().flat_map(|(image, ..)| image).fold(f32::MIN_POSITIVE, |most, v| most.max(*v));
    let cells = wrong.iter().take(shown).copied().chain(right).take(COLUMNS * ROWS);
    for (i, (image, class, answer)) in cells.enumerate() {
        let x = margin + (i % COLUMNS) as i32 * cell.0 + 12;
        let y = head + (i / COLUMNS) as i32 * cell.1 + 4;
        let (w, h) = (images.width as i32 * scale, height as i32 * scale);
        ink(&area, image, images.width, darkest, (x, y), scale)?;
        let is_right = class == answer;
        let (colour, line) = if is_right { (TEXT, FRAME.stroke_width(1)) } else { (WRONG, WRONG.stroke_width(2)) };
        area.draw(&Rectangle::new([(x - 1, y - 1), (x + w + 1, y + h + 1)], line))?;
        let name = |class: usize| images.classes.get(class).map_or("?", String::as_str);
        area.draw_text(name(*answer), &centred(16, &colour), (x + w / 2, y + h + 5))?;
        if !is_right {
            area.draw_text(&format!("is {}", name(*class)), &centred(14, &colour), (x + w / 2, y + h + 24))?;
        }
    }
    area.present()?;
    Ok(())
}

/// Draws an image as rectangles, ink on paper: neighbours of one grey in a row are one, and paper is not drawn.
fn ink(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    image: &[f32],
    width: usize,
    darkest: f32,
    at: (i32, i32),
    scale: i32,
) -> Drawn {
    // 17 greys are what the 8x8 digits have, and keep the file of a larger image small.
    let greys: Vec<u8> = image.iter().map(|value| (16.0 * value / darkest).round() as u8).collect();
    for (row, greys) in greys.chunks(width.max(1)).enumerate() {
        let mut start = 0;
        for run in greys.chunk_by(|a, b| a == b) {
            let grey = (255 - 255 * i32::from(run[0]) / 16).clamp(0, 255) as u8;
            let (x, y) = (at.0 + start * scale, at.1 + row as i32 * scale);
            start += run.len() as i32;
            if grey < 255 {
                let corner = (at.0 + start * scale, y + scale);
                area.draw(&Rectangle::new([(x, y), corner], RGBColor(grey, grey, grey).filled()))?;
            }
        }
    }
    Ok(())
}
