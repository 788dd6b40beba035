//! A picture of images and of what the network answers to them, as SVG.

use std::{error::Error, path::Path};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::classifier::{Images, percent};

const WRONG: RGBColor = RGBColor(200, 30, 30);
const TEXT: RGBColor = RGBColor(40, 40, 40);
const FRAME: RGBColor = RGBColor(200, 200, 200);

const FONT: &str = "sans-serif";

type Drawn = Result<(), Box<dyn Error>>;

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
