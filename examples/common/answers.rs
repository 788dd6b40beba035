//! A picture of images and of what the network answers to them, as SVG.

use std::{error::Error, path::Path};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{classifier::Images, percent};

const WRONG: RGBColor = RGBColor(200, 30, 30);
const TEXT: RGBColor = RGBColor(40, 40, 40);
const FRAME: RGBColor = RGBColor(200, 200, 200);

const FONT: &str = "sans-serif";

type DrawResult = Result<(), Box<dyn Error>>;

/// How many images a row and a column of the grid hold, and how many wrong ones it shows at most.
const COLUMNS: usize = 10;
const ROWS: usize = 5;
const MAX_WRONG: usize = 20;

/// A test image and the answer of the network.
pub struct AnsweredImage {
    /// Row by row; 0 is paper.
    pub pixels: Vec<f32>,
    /// The class of the image, and the class that the network predicts.
    pub class: usize,
    pub answer: usize,
}

/// Draws test images with the network's answers: wrong ones first, in red and with the right class, then right ones.
pub fn draw(path: &Path, title: &str, images: &Images, answered: &[AnsweredImage]) -> DrawResult {
    let wrong: Vec<_> = answered.iter().filter(|image| image.class != image.answer).collect();
    let right = answered.iter().filter(|image| image.class == image.answer);
    let shown = wrong.len().min(MAX_WRONG);
    let share = percent(1.0 - wrong.len() as f64 / answered.len().max(1) as f64);
    let caption = match (wrong.len(), shown) {
        (0, _) => format!("{share} of {} right", answered.len()),
        (n, _) if n == shown => format!("{share} of {} right; the {n} wrong answers in red", answered.len()),
        (n, _) => format!("{share} of {} right; {shown} of the {n} wrong answers in red", answered.len()),
    };
    let caption = format!("{caption}. Below each image: the network's answer");

    let height = answered.first().map_or(1, |image| image.pixels.len() / images.width.max(1)).max(1);
    // About 84 pixels an image, and whole ones a pixel of it.
    let scale = (84 / images.width.max(height)).max(1) as i32;
    let cell = (images.width as i32 * scale + 24, height as i32 * scale + 48);
    let (margin, head) = (20, 74);
    let size = (cell.0 * COLUMNS as i32 + 2 * margin, cell.1 * ROWS as i32 + head);
    let area = SVGBackend::new(path, (size.0 as u32, size.1 as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let centered =
        |size: i32, color: &RGBColor| (FONT, size).into_font().color(color).pos(Pos::new(HPos::Center, VPos::Top));
    area.draw_text(title, &centered(20, &TEXT), (size.0 / 2, 12))?;
    area.draw_text(&caption, &centered(16, &TEXT), (size.0 / 2, 42))?;

    let darkest = answered.iter().flat_map(|image| &image.pixels).fold(f32::MIN_POSITIVE, |most, v| most.max(*v));
    let cells = wrong.iter().take(shown).copied().chain(right).take(COLUMNS * ROWS);
    for (i, AnsweredImage { pixels, class, answer }) in cells.enumerate() {
        let x = margin + (i % COLUMNS) as i32 * cell.0 + 12;
        let y = head + (i / COLUMNS) as i32 * cell.1 + 4;
        let (w, h) = (images.width as i32 * scale, height as i32 * scale);
        let ink = Ink { pixels, width: images.width, darkest, x, y, scale };
        ink.draw(&area)?;
        let is_right = class == answer;
        let (color, line) = if is_right { (TEXT, FRAME.stroke_width(1)) } else { (WRONG, WRONG.stroke_width(2)) };
        area.draw(&Rectangle::new([(x - 1, y - 1), (x + w + 1, y + h + 1)], line))?;
        let name = |class: usize| images.classes.get(class).map_or("?", String::as_str);
        area.draw_text(name(*answer), &centered(16, &color), (x + w / 2, y + h + 5))?;
        if !is_right {
            area.draw_text(&format!("is {}", name(*class)), &centered(14, &color), (x + w / 2, y + h + 24))?;
        }
    }
    area.present()?;
    Ok(())
}

/// An image at a place of the picture.
struct Ink<'a> {
    pixels: &'a [f32],
    width: usize,
    /// The value that is drawn black.
    darkest: f32,
    x: i32,
    y: i32,
    scale: i32,
}

impl Ink<'_> {
    /// Draws the image as rectangles, ink on paper: neighbors of one gray in a row are one rectangle, and paper is not
    /// drawn.
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> DrawResult {
        // 17 grays are what the 8x8 digits have, and keep the file of a larger image small.
        let grays: Vec<u8> = self.pixels.iter().map(|value| (16.0 * value / self.darkest).round() as u8).collect();
        for (row, grays) in grays.chunks(self.width.max(1)).enumerate() {
            let mut start = 0;
            for run in grays.chunk_by(|a, b| a == b) {
                let gray = (255 - 255 * i32::from(run[0]) / 16).clamp(0, 255) as u8;
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
