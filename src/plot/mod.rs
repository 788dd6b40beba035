//! Pictures of a training and of what came of it, as the text of an SVG or the bytes of a PNG; [`save`] writes either.
//!
//! ```no_run
//! # use gradus::{Fit, History, Trainer, metrics::Metrics, plot};
//! # fn draw(history: &History, metrics: &Metrics, names: &[String]) -> gradus::Result<()> {
//! plot::save("out/curves.svg", plot::curves("Digits", history))?;
//! if let Some(confusion) = metrics.confusion() {
//!     plot::save("out/confusion.svg", plot::confusion("Digits", confusion, names))?;
//! }
//! # Ok(()) }
//! ```
//!
//! The same data give the same bytes. What is not a finite number is not drawn; where nothing is left, the picture says so.

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

use crate::error::Result;

/// Okabe and Ito's palette, which the colour-blind tell apart, but for black and the yellow that white swallows.
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

/// Where titles and legends stand, and where what is below them begins, in pixels from the top.
const TITLE_Y: i32 = 24;
const LEGEND_Y: i32 = 52;
const HEAD_PIXELS: i32 = 70;

/// So many rows of a data set are drawn at most, evenly from all.
const MAX_DRAWN_ROWS: usize = 4000;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawResult = std::result::Result<(), DrawingAreaErrorKind<io::Error>>;

/// Writes a picture into a file, all of it or nothing; its folder is made if need be.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if it cannot be written.
pub fn save(path: impl AsRef<Path>, picture: impl AsRef<[u8]>) -> Result<()> {
    crate::util::files::write(path.as_ref(), picture.as_ref())
}

/// The text of an SVG with a title and what `draw` draws.
fn draw_svg(title: &str, size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> DrawResult) -> String {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
    let all = || {
        area.fill(&WHITE)?;
        let title = truncate_text(title, 20, f64::from(size.0) - 24.0);
        write_text(&area, &title, (20, TEXT, CENTER), (size.0 as i32 / 2, TITLE_Y))?;
        draw(&area)?;
        area.present()
    };
    all().expect("a string takes whatever is drawn");
    drop(area);
    text
}

/// Writes a line, of so many pixels and a colour, at `at` as `anchor` says.
fn write_text(area: &Area<'_>, text: &str, (size, colour, anchor): (i32, RGBColor, Pos), at: (i32, i32)) -> DrawResult {
    area.draw_text(&xml_text(text), &text_style(size, colour).pos(anchor), at)
}

fn text_style(size: i32, colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&colour)
}

/// A line without what XML has no place for.
fn xml_text(text: &str) -> String {
    let is_no_text = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if is_no_text(c) { ' ' } else { c }).collect()
}

/// About how many pixels wide a line is; the fonts are the viewer's, and not known here.
fn text_width(text: &str, size: i32) -> f64 {
    text.chars().map(|c| letter_width(c) * f64::from(size)).sum()
}

/// The width of a letter for each pixel of a line's size, of which a font takes four fifths.
fn letter_width(letter: char) -> f64 {
    match letter {
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.74,
        'f' | 'i' | 'j' | 'l' | 'r' | 't' | ' ' | '.' | ',' | ':' | '-' | '(' | ')' => 0.3,
        _ if letter.is_ascii_uppercase() => 0.58,
        _ if letter.is_ascii() => 0.48,
        _ => 0.81,
    }
}

/// A line that is cut where it would be wider than so many pixels.
fn truncate_text(text: &str, size: i32, max: f64) -> String {
    if text_width(text, size) <= max {
        return text.to_owned();
    }
    let mut left = max - text_width("…", size);
    let is_within = |c: &char| {
        left -= letter_width(*c) * f64::from(size);
        left >= 0.0
    };
    let mut short: String = text.chars().take_while(is_within).collect();
    short.truncate(short.trim_end().len());
    short + "…"
}

/// A row of coloured names, in the middle of the picture and as wide as it at most.
fn draw_legend(area: &Area<'_>, entries: &[(String, RGBColor)]) -> DrawResult {
    const SIZE: i32 = 15;
    let wide = area.dim_in_pixel().0 as f64 - 24.0;
    // Names are cut only where all of them would be wider than the picture.
    let whole: f64 = entries.iter().map(|(name, _)| 44.0 + text_width(name, SIZE)).sum();
    let most = if whole <= wide { wide } else { wide / entries.len() as f64 - 44.0 };
    let names: Vec<String> = entries.iter().map(|(name, _)| truncate_text(name, SIZE, most)).collect();
    let widths: Vec<i32> = names.iter().map(|name| 44 + text_width(name, SIZE) as i32).collect();
    let mut x = (area.dim_in_pixel().0 as i32 - widths.iter().sum::<i32>() + 16) / 2;
    for ((name, (_, colour)), width) in names.iter().zip(entries).zip(widths) {
        area.draw(&Rectangle::new([(x, LEGEND_Y - 5), (x + 20, LEGEND_Y + 5)], colour.filled()))?;
        write_text(area, name, (SIZE, TEXT, LEFT), (x + 26, LEGEND_Y))?;
        x += width;
    }
    Ok(())
}

/// A class by its name, or by its number where it has none.
fn class_name(names: &[impl AsRef<str>], class: usize) -> String {
    names.get(class).map_or_else(|| class.to_string(), |name| name.as_ref().to_owned())
}

/// A colour that is mixed with white: white for 0, the whole colour for 1.
fn tint(colour: RGBColor, fraction: f64) -> RGBColor {
    let mixed = |part: u8| (255.0 + (f64::from(part) - 255.0) * fraction.clamp(0.0, 1.0)).round() as u8;
    RGBColor(mixed(colour.0), mixed(colour.1), mixed(colour.2))
}

/// A number from 0 up in a few letters: `1234567` as `1.2M`.
fn format_short(value: f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.into_iter().find(|(by, _)| value >= *by) {
        _ if value >= 1e15 || (value > 0.0 && value < 0.01) => format!("{value:.0e}"),
        Some((by, unit)) if value >= 1e4 => format!("{:.*}{unit}", usize::from(value < 10.0 * by), value / by),
        _ if value.fract() == 0.0 => value.to_string(),
        _ => format!("{value:.*}", usize::from(value < 100.0) + usize::from(value < 10.0)),
    }
}
