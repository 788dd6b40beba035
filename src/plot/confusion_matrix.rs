//! Which classes were taken for which.

use std::collections::BTreeMap;

use plotters::{prelude::*, style::FontTransform};

use crate::{
    metrics::classification::ConfusionMatrix,
    plot::{
        BLUE, CENTER, FAINT_TEXT, FRAME, GRID, LEGEND_Y, RIGHT, TEXT, VERMILION, class_name, draw_svg, format_short,
        text_style, text_width, tint, truncate_text, write_text,
    },
};

/// The most pixels of the matrix each way, and of a cell.
const MAX_MATRIX_PIXELS: usize = 640;
const MAX_CELL_PIXELS: usize = 56;

/// A line of names is so high, and so long at most.
const NAME_LINE_PIXELS: usize = 16;
const MAX_NAME_PIXELS: f64 = 150.0;

/// Fewer pixels than these a number does not fit into.
const MIN_NUMBER_PIXELS: usize = 20;

/// A confusion matrix: a row for each expected class, and in it what was predicted. The colours are shares of their row,
/// blue for right answers and vermilion for wrong ones; the numbers are the rows of the data set, by their weights.
///
/// A class without a name is its number. Where there are many classes, only some are named; where there are more than 640,
/// as many as need be share a cell.
pub fn confusion_matrix(title: &str, confusion: &ConfusionMatrix, names: &[impl AsRef<str>]) -> String {
    let classes = confusion.class_count();
    // So many classes share a cell, and so many cells there are each way.
    let shared = classes.div_ceil(MAX_MATRIX_PIXELS).max(1);
    let cells = classes.div_ceil(shared);
    let cell = (MAX_MATRIX_PIXELS / cells.max(1)).clamp(1, MAX_CELL_PIXELS);
    let side = (cell * cells) as i32;

    let mut weights: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let mut sums = vec![0.0; cells];
    for (expected, predicted, weight) in confusion.weights() {
        let at = (expected as usize / shared, predicted as usize / shared);
        *weights.entry(at).or_default() += weight;
        sums[at.0] += weight;
    }

    let stride = NAME_LINE_PIXELS.div_ceil(cell);
    let labels: Vec<(i32, String)> = (0..cells)
        .step_by(stride)
        .map(|at| ((at * cell + cell / 2) as i32, truncate_text(&class_name(names, at * shared), 14, MAX_NAME_PIXELS)))
        .collect();
    let longest = labels.iter().map(|(_, name)| text_width(name, 14)).fold(0.0, f64::max) as i32;
    // Names lie below their columns if they fit there, and stand on end otherwise.
    let lies = f64::from(longest) <= 0.9 * (cell * stride) as f64;
    let (left, top) = (longest + 50, 84);
    let below = if lies { 20 } else { longest + 12 };
    let size = ((left + side + 24).max(420), top + side + below + 34);
    let left = left + (size.0 - left - side - 24) / 2;

    let total: f64 = sums.iter().sum();
    let about = match total {
        0.0 => "no rows".to_owned(),
        _ => {
            format!(
                "{:.2} % of {} right; colours are shares of their row",
                100.0 * confusion.accuracy(),
                format_short(total)
            )
        }
    };
    draw_svg(title, (size.0 as u32, size.1 as u32), |area| {
        write_text(area, &about, (15, FAINT_TEXT, CENTER), (size.0 / 2, LEGEND_Y))?;
        if classes == 0 {
            return Ok(());
        }
        for ((expected, predicted), weight) in &weights {
            let corner = (left + (predicted * cell) as i32, top + (expected * cell) as i32);
            let share = weight / sums[*expected];
            let right = expected == predicted;
            // The root, since what is rare has to be seen as well.
            let shade = if *weight > 0.0 { share.sqrt() } else { 0.0 };
            let fill = tint(if right { BLUE } else { VERMILION }, shade).filled();
            let end = (corner.0 + cell as i32, corner.1 + cell as i32);
            area.draw(&Rectangle::new([corner, end], fill))?;
            if cell >= MIN_NUMBER_PIXELS {
                let ink = if shade > 0.7 { WHITE } else { TEXT };
                let size = if cell >= 36 { 15 } else { 11 };
                let middle = (corner.0 + cell as i32 / 2, corner.1 + cell as i32 / 2);
                write_text(area, &format_short(*weight), (size, ink, CENTER), middle)?;
            }
        }
        let end = |at: usize| (at * cell) as i32;
        if cell >= MIN_NUMBER_PIXELS {
            for at in 1..cells {
                let (x, y) = (left + end(at), top + end(at));
                area.draw(&PathElement::new([(x, top), (x, top + end(cells))], GRID))?;
                area.draw(&PathElement::new([(left, y), (left + end(cells), y)], GRID))?;
            }
        }
        area.draw(&Rectangle::new([(left, top), (left + end(cells), top + end(cells))], FRAME))?;
        for (place, name) in &labels {
            write_text(area, name, (14, TEXT, RIGHT), (left - 6, top + place))?;
            let (x, y) = (left + place, top + end(cells));
            if lies {
                write_text(area, name, (14, TEXT, CENTER), (x, y + 12))?;
            } else {
                let upright = text_style(14, TEXT).transform(FontTransform::Rotate270).pos(RIGHT);
                area.draw_text(&crate::plot::xml_text(name), &upright, (x, y + 6))?;
            }
        }
        write_text(area, "predicted", (15, TEXT, CENTER), (left + end(cells) / 2, top + end(cells) + below + 16))?;
        let upright = text_style(15, TEXT).transform(FontTransform::Rotate270).pos(CENTER);
        area.draw_text("expected", &upright, (left - longest - 26, top + end(cells) / 2))
    })
}
