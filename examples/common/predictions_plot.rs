//! A plot of test images with the predictions of a network, as SVG.

use std::{error::Error, path::Path};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{classifier::ImageSplit, percent};

const INCORRECT: RGBColor = RGBColor(200, 30, 30);
const TEXT: RGBColor = RGBColor(40, 40, 40);
const FRAME: RGBColor = RGBColor(200, 200, 200);

const FONT: &str = "sans-serif";

/// The size of the grid of images.
const COLUMNS: usize = 10;
const ROWS: usize = 5;
const MAX_INCORRECT: usize = 20;

/// The approximate size of an image in the plot.
const IMAGE_PIXELS: usize = 84;

/// The number of gray levels, without white. The 8x8 digits have 16, and few levels keep the file of a larger image
/// small.
const GRAY_LEVELS: u8 = 16;

type DrawResult = Result<(), Box<dyn Error>>;

/// A test image and the prediction for it.
pub struct PredictedImage {
    /// The pixels, row by row; 0 is paper.
    pub pixels: Vec<f32>,
    /// The target.
    pub class: usize,
    /// The predicted class.
    pub prediction: usize,
}

/// Draws test images with their predictions: first the incorrect ones, in red and with the target, then correct ones.
pub fn draw(path: &Path, title: &str, images: &ImageSplit, predicted: &[PredictedImage]) -> DrawResult {
    let incorrect: Vec<_> = predicted.iter().filter(|image| image.class != image.prediction).collect();
    let correct = predicted.iter().filter(|image| image.class == image.prediction);
    let shown = incorrect.len().min(MAX_INCORRECT);

    let height = predicted.first().map_or(1, |image| image.pixels.len() / images.width.max(1)).max(1);
    // An integer scale keeps the pixels square and equally large.
    let scale = (IMAGE_PIXELS / images.width.max(height)).max(1) as i32;
    let cell = (images.width as i32 * scale + 24, height as i32 * scale + 48);
    let (margin, header) = (20, 74);
    let size = (cell.0 * COLUMNS as i32 + 2 * margin, cell.1 * ROWS as i32 + header);
    let area = SVGBackend::new(path, (size.0 as u32, size.1 as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let centered =
        |size: i32, color: &RGBColor| (FONT, size).into_font().color(color).pos(Pos::new(HPos::Center, VPos::Top));
    area.draw_text(title, &centered(20, &TEXT), (size.0 / 2, 12))?;
    let caption = caption(predicted.len(), incorrect.len(), shown);
    area.draw_text(&caption, &centered(16, &TEXT), (size.0 / 2, 42))?;

    let max = predicted.iter().flat_map(|image| &image.pixels).fold(f32::MIN_POSITIVE, |max, value| max.max(*value));
    let cells = incorrect.iter().take(shown).copied().chain(correct).take(COLUMNS * ROWS);
    for (i, PredictedImage { pixels, class, prediction }) in cells.enumerate() {
        let x = margin + (i % COLUMNS) as i32 * cell.0 + 12;
        let y = header + (i / COLUMNS) as i32 * cell.1 + 4;
        let (w, h) = (images.width as i32 * scale, height as i32 * scale);
        PlacedImage { pixels, width: images.width, max, x, y, scale }.draw(&area)?;
        let is_correct = class == prediction;
        let (color, line) = match is_correct {
            true => (TEXT, FRAME.stroke_width(1)),
            false => (INCORRECT, INCORRECT.stroke_width(2)),
        };
        area.draw(&Rectangle::new([(x - 1, y - 1), (x + w + 1, y + h + 1)], line))?;
        let name = |class: usize| images.class_names.get(class).map_or("?", String::as_str);
        area.draw_text(name(*prediction), &centered(16, &color), (x + w / 2, y + h + 5))?;
        if !is_correct {
            area.draw_text(&format!("target: {}", name(*class)), &centered(14, &color), (x + w / 2, y + h + 24))?;
        }
    }
    area.present()?;
    Ok(())
}

/// Returns the caption: the test accuracy, and what the labels mean.
fn caption(rows: usize, incorrect: usize, shown: usize) -> String {
    let correct = rows - incorrect;
    let accuracy = percent(correct as f64 / rows.max(1) as f64);
    let accuracy = format!("Test accuracy {accuracy} ({correct} of {rows}).");
    match incorrect {
        0 => format!("{accuracy} Label: prediction"),
        _ if incorrect == shown => format!("{accuracy} The {shown} misclassified images in red. Label: prediction"),
        _ => format!("{accuracy} {shown} of the {incorrect} misclassified images in red. Label: prediction"),
    }
}

/// An image at a position in the plot.
struct PlacedImage<'a> {
    pixels: &'a [f32],
    width: usize,
    /// The pixel value that is drawn black.
    max: f32,
    x: i32,
    y: i32,
    /// The size of a pixel of the image in the plot.
    scale: i32,
}

impl PlacedImage<'_> {
    /// Draws the image as dark rectangles on white.
    ///
    /// Adjacent pixels of equal gray in a row become one rectangle, and white pixels none, so that the file is small.
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> DrawResult {
        let level = |value: &f32| (f32::from(GRAY_LEVELS) * value / self.max).round() as u8;
        let levels: Vec<u8> = self.pixels.iter().map(level).collect();
        for (row, levels) in levels.chunks(self.width.max(1)).enumerate() {
            let mut start = 0;
            for run in levels.chunk_by(|a, b| a == b) {
                let gray = (255 - 255 * i32::from(run[0]) / i32::from(GRAY_LEVELS)).clamp(0, 255) as u8;
                let x = self.x + start * self.scale;
                let y = self.y + row as i32 * self.scale;
                start += run.len() as i32;
                if gray < 255 {
                    let corner = (self.x + start * self.scale, y + self.scale);
                    area.draw(&Rectangle::new([(x, y), corner], RGBColor(gray, gray, gray).filled()))?;
                }
            }
        }
        Ok(())
    }
}
