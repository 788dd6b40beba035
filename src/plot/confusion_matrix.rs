//! The confusion matrix of a classification.

use std::collections::BTreeMap;

use plotters::{prelude::*, style::FontTransform};

use crate::{
    metrics::classification::ConfusionMatrix,
    plot::{
        BLUE, CENTER, FAINT_TEXT, FRAME, GRID, LEGEND_Y, RIGHT, TEXT, VERMILION, class_name, draw_svg, format_short,
        text_style, text_width, tint, truncate_text, write_text, xml_text,
    },
};

/// The maximum width and height of the matrix.
const MAX_MATRIX_PIXELS: usize = 640;

/// The maximum width and height of a cell.
const MAX_CELL_PIXELS: usize = 56;

/// The height of a class name.
const NAME_LINE_PIXELS: usize = 16;

/// The maximum width of a class name.
const MAX_NAME_PIXELS: f64 = 150.0;

/// The minimum width of a cell with a number in it.
const MIN_NUMBER_PIXELS: usize = 20;

/// Plots a confusion matrix as SVG, with one row per target class and one column per predicted class.
///
/// The numbers are the summed sample weights of the rows. The color shows the fraction of the row: blue for correct and
/// vermilion for incorrect predictions. Classes without a name show their id. With many classes only some have a label,
/// and with more than 640 several classes share a cell.
#[doc(alias = "ConfusionMatrixDisplay")]
pub fn confusion_matrix(title: &str, confusion: &ConfusionMatrix, names: &[impl AsRef<str>]) -> String {
    let classes = confusion.class_count();
    let classes_per_cell = classes.div_ceil(MAX_MATRIX_PIXELS).max(1);
    let cells = classes.div_ceil(classes_per_cell);
    let cell = (MAX_MATRIX_PIXELS / cells.max(1)).clamp(1, MAX_CELL_PIXELS);
    let side = (cell * cells) as i32;

    let mut weights: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let mut sums = vec![0.0; cells];
    for (target, predicted, weight) in confusion.weights() {
        let (row, column) = (target as usize / classes_per_cell, predicted as usize / classes_per_cell);
        *weights.entry((row, column)).or_default() += weight;
        sums[row] += weight;
    }

    let stride = NAME_LINE_PIXELS.div_ceil(cell);
    let labels: Vec<(i32, String)> = (0..cells)
        .step_by(stride)
        .map(|index| {
            let name = truncate_text(&class_name(names, index * classes_per_cell), 14, MAX_NAME_PIXELS);
            ((index * cell + cell / 2) as i32, name)
        })
        .collect();
    let longest = labels.iter().map(|(_, name)| text_width(name, 14)).fold(0.0, f64::max) as i32;
    // Names below the columns are horizontal if they fit, and vertical otherwise.
    let is_horizontal = f64::from(longest) <= 0.9 * (cell * stride) as f64;
    let (left, top) = (longest + 50, 84);
    let below = if is_horizontal { 20 } else { longest + 12 };
    let size = ((left + side + 24).max(420), top + side + below + 34);
    let left = left + (size.0 - left - side - 24) / 2;

    let total: f64 = sums.iter().sum();
    let caption = if total == 0.0 {
        "no rows".to_owned()
    } else {
        format!(
            "accuracy {:.2}% ({} rows); color: fraction of the row",
            100.0 * confusion.accuracy(),
            format_short(total)
        )
    };
    draw_svg(title, (size.0 as u32, size.1 as u32), |area| {
        write_text(area, &caption, (15, FAINT_TEXT, CENTER), (size.0 / 2, LEGEND_Y))?;
        if classes == 0 {
            return Ok(());
        }
        for ((row, column), weight) in &weights {
            let corner = (left + (column * cell) as i32, top + (row * cell) as i32);
            let fraction = weight / sums[*row];
            // The square root keeps rare confusions visible.
            let shade = if *weight > 0.0 { fraction.sqrt() } else { 0.0 };
            let fill = tint(if row == column { BLUE } else { VERMILION }, shade).filled();
            let end = (corner.0 + cell as i32, corner.1 + cell as i32);
            area.draw(&Rectangle::new([corner, end], fill))?;
            if cell >= MIN_NUMBER_PIXELS {
                let ink = if shade > 0.7 { WHITE } else { TEXT };
                let size = if cell >= 36 { 15 } else { 11 };
                let middle = (corner.0 + cell as i32 / 2, corner.1 + cell as i32 / 2);
                write_text(area, &format_short(*weight), (size, ink, CENTER), middle)?;
            }
        }
        let end = |cells: usize| (cells * cell) as i32;
        if cell >= MIN_NUMBER_PIXELS {
            for index in 1..cells {
                let (x, y) = (left + end(index), top + end(index));
                area.draw(&PathElement::new([(x, top), (x, top + end(cells))], GRID))?;
                area.draw(&PathElement::new([(left, y), (left + end(cells), y)], GRID))?;
            }
        }
        area.draw(&Rectangle::new([(left, top), (left + end(cells), top + end(cells))], FRAME))?;
        for (offset, name) in &labels {
            write_text(area, name, (14, TEXT, RIGHT), (left - 6, top + offset))?;
            let (x, y) = (left + offset, top + end(cells));
            if is_horizontal {
                write_text(area, name, (14, TEXT, CENTER), (x, y + 12))?;
            } else {
                let rotated = text_style(14, TEXT).transform(FontTransform::Rotate270).pos(RIGHT);
                area.draw_text(&xml_text(name), &rotated, (x, y + 6))?;
            }
        }
        write_text(area, "prediction", (15, TEXT, CENTER), (left + end(cells) / 2, top + end(cells) + below + 16))?;
        let rotated = text_style(15, TEXT).transform(FontTransform::Rotate270).pos(CENTER);
        area.draw_text("target", &rotated, (left - longest - 26, top + end(cells) / 2))
    })
}
