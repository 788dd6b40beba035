//! Plots of training runs and their results, as SVG text or PNG bytes. [`save`] writes either to a file.
//!
//! ```no_run
//! # use gradus::{History, metrics::Metrics, plot};
//! # fn example(history: &History, metrics: &Metrics, names: &[String]) -> gradus::Result<()> {
//! plot::save("out/curves.svg", plot::training_curves("Digits", history))?;
//! if let Some(matrix) = metrics.confusion_matrix() {
//!     plot::save("out/confusion_matrix.svg", plot::confusion_matrix("Digits", matrix, names))?;
//! }
//! # Ok(()) }
//! ```
//!
//! The same data gives the same bytes. Values that are not finite are not drawn. A plot without finite values says so.

pub(crate) mod axis;
pub(crate) mod chart;
pub(crate) mod confusion_matrix;
pub(crate) mod curves;
pub(crate) mod decision_boundary;
pub(crate) mod histograms;
pub(crate) mod png;
pub(crate) mod predicted_vs_target;
pub(crate) mod search;
pub(crate) mod uncertainty_bands;

use std::{io, path::Path};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

pub use confusion_matrix::confusion_matrix;
pub use curves::{learning_rate_curve, training_curves};
pub use decision_boundary::DecisionBoundary;
pub use histograms::histograms;
pub use png::png;
pub use predicted_vs_target::predicted_vs_target;
pub use search::{loss_comparison, search};
pub use uncertainty_bands::UncertaintyBands;

use crate::{error::Result, util::files};

/// The palette of Okabe and Ito, which color-blind people can distinguish. It is without black, and without the yellow
/// that is invisible on white.
const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];
const BLUE: RGBColor = PALETTE[0];
const VERMILION: RGBColor = PALETTE[1];
const TEXT: RGBColor = RGBColor(40, 40, 40);
const FAINT_TEXT: RGBColor = RGBColor(130, 130, 130);
const FRAME: RGBColor = RGBColor(200, 200, 200);
const GRID: RGBColor = RGBColor(232, 232, 232);

const LEFT: Pos = Pos { h_pos: HPos::Left, v_pos: VPos::Center };
const CENTER: Pos = Pos { h_pos: HPos::Center, v_pos: VPos::Center };
const RIGHT: Pos = Pos { h_pos: HPos::Right, v_pos: VPos::Center };

/// The vertical center of the title.
const TITLE_Y: i32 = 24;

/// The vertical center of the legend.
const LEGEND_Y: i32 = 52;

/// The height of the title and the legend together.
const HEAD_PIXELS: i32 = 70;

/// The maximum number of rows of a data set that are drawn. More rows are sampled evenly.
const MAX_DRAWN_ROWS: usize = 4000;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawResult = std::result::Result<(), DrawingAreaErrorKind<io::Error>>;

/// Writes a plot to a file atomically, and creates its directory if needed.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the file cannot be written.
#[doc(alias = "savefig")]
pub fn save(path: impl AsRef<Path>, plot: impl AsRef<[u8]>) -> Result<()> {
    files::write(path.as_ref(), plot.as_ref())
}

/// Returns an SVG with a title and the elements that `draw` adds.
fn draw_svg(title: &str, size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> DrawResult) -> String {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
    let draw_all = || {
        area.fill(&WHITE)?;
        let title = truncate_text(title, 20, f64::from(size.0) - 24.0);
        write_text(&area, &title, (20, TEXT, CENTER), (size.0 as i32 / 2, TITLE_Y))?;
        draw(&area)?;
        area.present()
    };
    draw_all().expect("writing to a string cannot fail");
    drop(area);
    text
}

/// Writes a line of text at a pixel. The style is its size in pixels, its color and its anchor.
fn write_text(area: &Area<'_>, text: &str, style: (i32, RGBColor, Pos), pixel: (i32, i32)) -> DrawResult {
    let (size, color, anchor) = style;
    area.draw_text(&xml_text(text), &text_style(size, color).pos(anchor), pixel)
}

fn text_style(size: i32, color: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&color)
}

/// Replaces characters that XML does not allow by spaces.
fn xml_text(text: &str) -> String {
    let is_invalid = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if is_invalid(c) { ' ' } else { c }).collect()
}

/// Returns the approximate width of a text in pixels. The viewer chooses the font, so the exact width is unknown.
fn text_width(text: &str, size: i32) -> f64 {
    text.chars().map(|c| letter_width(c) * f64::from(size)).sum()
}

/// Returns the approximate width of a character relative to the font size.
fn letter_width(letter: char) -> f64 {
    match letter {
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.74,
        'f' | 'i' | 'j' | 'l' | 'r' | 't' | ' ' | '.' | ',' | ':' | '-' | '(' | ')' => 0.3,
        _ if letter.is_ascii_uppercase() => 0.58,
        _ if letter.is_ascii() => 0.48,
        _ => 0.81,
    }
}

/// Truncates a text that is wider than `max_width` pixels, and appends an ellipsis.
fn truncate_text(text: &str, size: i32, max_width: f64) -> String {
    if text_width(text, size) <= max_width {
        return text.to_owned();
    }
    let mut remaining = max_width - text_width("…", size);
    let fits = |c: &char| {
        remaining -= letter_width(*c) * f64::from(size);
        remaining >= 0.0
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.truncate(short.trim_end().len());
    short + "…"
}

/// Draws the legend: a centered row of names with their colors, at most as wide as the plot.
fn draw_legend(area: &Area<'_>, entries: &[(String, RGBColor)]) -> DrawResult {
    const SIZE: i32 = 15;
    let available = area.dim_in_pixel().0 as f64 - 24.0;
    // Truncate names only if all of them together are wider than the plot.
    let total: f64 = entries.iter().map(|(name, _)| 44.0 + text_width(name, SIZE)).sum();
    let max_width = if total <= available { available } else { available / entries.len() as f64 - 44.0 };
    let names: Vec<String> = entries.iter().map(|(name, _)| truncate_text(name, SIZE, max_width)).collect();
    let widths: Vec<i32> = names.iter().map(|name| 44 + text_width(name, SIZE) as i32).collect();
    let mut x = (area.dim_in_pixel().0 as i32 - widths.iter().sum::<i32>() + 16) / 2;
    for ((name, (_, color)), width) in names.iter().zip(entries).zip(widths) {
        area.draw(&Rectangle::new([(x, LEGEND_Y - 5), (x + 20, LEGEND_Y + 5)], color.filled()))?;
        write_text(area, name, (SIZE, TEXT, LEFT), (x + 26, LEGEND_Y))?;
        x += width;
    }
    Ok(())
}

/// Returns the name of a class, or its id if it has no name.
fn class_name(names: &[impl AsRef<str>], class: usize) -> String {
    names.get(class).map_or_else(|| class.to_string(), |name| name.as_ref().to_owned())
}

/// Mixes a color with white: a fraction of 0 gives white, 1 gives the color.
fn tint(color: RGBColor, fraction: f64) -> RGBColor {
    let mix = |channel: u8| (255.0 + (f64::from(channel) - 255.0) * fraction.clamp(0.0, 1.0)).round() as u8;
    RGBColor(mix(color.0), mix(color.1), mix(color.2))
}

/// Formats a number >= 0 with few characters, for example `1.2M` for 1234567.
fn format_short(value: f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.into_iter().find(|(factor, _)| value >= *factor) {
        _ if value >= 1e15 || (value > 0.0 && value < 0.01) => format!("{value:.0e}"),
        Some((factor, unit)) if value >= 1e4 => {
            format!("{:.*}{unit}", usize::from(value < 10.0 * factor), value / factor)
        }
        _ if value.fract() == 0.0 => value.to_string(),
        _ => format!("{value:.*}", usize::from(value < 100.0) + usize::from(value < 10.0)),
    }
}
