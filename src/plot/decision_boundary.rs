//! The decision boundary of a network with two inputs.

use plotters::prelude::*;

use crate::{
    data::dataset::{Dataset, Targets},
    error::{Error, Result, check_len},
    metrics::classification::argmax,
    plot::{
        BLUE, GRID, LEFT, MAX_DRAWN_ROWS, PALETTE, TEXT, VERMILION,
        axis::{Axis, bounds, format_tick},
        chart::{Chart, LABEL_MARGINS},
        class_name, draw_svg, png, tint, truncate_text, write_text,
    },
};

/// The width and height of the grid of predictions.
const GRID_POINTS: usize = 256;

/// The width and height of the PNG.
const PNG_PIXELS: u32 = 768;

/// The width and height of the image in the SVG.
const SVG_PIXELS: i32 = 512;

/// The maximum number of classes in the legend, which is as high as the image.
const MAX_LEGEND_CLASSES: usize = 22;

/// The predictions of a network on the plane of its two inputs, with the rows of a data set as dots.
///
/// ```
/// # fn main() -> gradus::Result<()> {
/// # use gradus::{Activation, Dataset, Device, Network, Trainer, TrainerSettings, plot::DecisionBoundary};
/// # let network = Network::new(2).dense(2, Activation::Identity);
/// # let data = Dataset::new(4, &[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], &[0u32, 1, 1, 0])?;
/// # let mut trainer = Trainer::new(&Device::cpu(), &network, &data, TrainerSettings::default())?;
/// let boundary = DecisionBoundary::new(&data, |inputs| trainer.predict(inputs))?;
/// assert!(boundary.to_svg("XOR", &["same", "different"]).starts_with("<svg"));
/// # Ok(()) }
/// ```
///
/// Several outputs are classes, and each point has the color of its largest output. A single output is a value: blue at
/// the minimum of the targets, vermilion at the maximum, and white half-way, which is the decision threshold of targets
/// 0 and 1. The threshold of logits is 0, so shift them in the closure. Points with a NaN output are gray.
#[doc(alias = "DecisionBoundaryDisplay")]
#[derive(Debug, Clone)]
pub struct DecisionBoundary {
    /// The range of the first input.
    x: (f64, f64),
    /// The range of the second input.
    y: (f64, f64),
    /// The color of each grid point, `[GRID_POINTS, GRID_POINTS]`, upper row first.
    grid_colors: Vec<RGBColor>,
    dots: Vec<Dot>,
    coloring: Coloring,
}

/// A row of the data set.
#[derive(Debug, Clone, Copy)]
struct Dot {
    /// The position from the upper left corner, in `[0, 1]`.
    position: [f64; 2],
    color: RGBColor,
}

/// The meaning of the colors.
#[derive(Debug, Clone, Copy)]
enum Coloring {
    /// The ids of `count` classes.
    Classes { count: usize },
    /// Values from `min` to `max`.
    Values { min: f64, max: f64 },
}

impl DecisionBoundary {
    /// Computes the outputs of a network on a grid of 256 × 256 points around the rows of a data set.
    ///
    /// `predict` takes raw inputs of shape `[rows, 2]` and returns outputs of shape `[rows, outputs]`, like
    /// [`Trainer::predict`](crate::train::Trainer::predict).
    ///
    /// # Errors
    /// - [`Error::InvalidSetting`] if the data set does not have 2 inputs.
    /// - [`Error::Shape`] if the number of outputs is not a multiple of the rows, or if the targets do not match the
    ///   outputs.
    /// - The errors of `predict`.
    pub fn new(data: &Dataset, predict: impl FnOnce(&[f32]) -> Result<Vec<f32>>) -> Result<Self> {
        if data.inputs() != 2 {
            let (expected, got) = ("a data set with 2 inputs".to_owned(), data.inputs().to_string());
            return Err(Error::InvalidSetting { name: "DecisionBoundary", expected, got });
        }
        let mut points = vec![[0.0f32; 2]; data.rows()];
        points.iter_mut().enumerate().for_each(|(row, point)| data.write_raw_features(row, point));
        data.check_read()?;
        let [x, y] = [0, 1].map(|column| padded_bounds(points.iter().map(|point| f64::from(point[column]))));

        let center = |i: usize| (i as f64 + 0.5) / GRID_POINTS as f64;
        let interpolate = |(low, high): (f64, f64), fraction: f64| (low + (high - low) * fraction) as f32;
        let mut grid: Vec<f32> = Vec::with_capacity(2 * GRID_POINTS * GRID_POINTS);
        for row in 0..GRID_POINTS {
            for column in 0..GRID_POINTS {
                grid.extend([interpolate(x, center(column)), interpolate(y, 1.0 - center(row))]);
            }
        }
        let predictions = predict(&grid)?;
        let outputs = (predictions.len() / (GRID_POINTS * GRID_POINTS)).max(1);
        check_len("outputs at the grid points", GRID_POINTS * GRID_POINTS * outputs, predictions.len())?;

        let (values, has_classes) = match data.targets() {
            Targets::Values(values) => (values.clone(), false),
            Targets::Classes(classes) => (classes.iter().map(|class| *class as f32).collect(), true),
        };
        let target_columns = values.len() / data.rows();
        let coloring = if outputs > 1 { Coloring::Classes { count: outputs } } else { Coloring::for_values(&values) };
        if !has_classes {
            check_len("targets", data.rows() * outputs, values.len())?;
        }
        let row_color = |row: usize| match (&values[row * target_columns..(row + 1) * target_columns], coloring) {
            ([class], Coloring::Classes { .. }) if has_classes => class_color(*class as usize),
            (values, coloring) => coloring.color(values, 1.0),
        };
        let position = |(low, high): (f64, f64), value: f32| (f64::from(value) - low) / (high - low);
        let drawn_rows = (0..data.rows()).step_by(data.rows().div_ceil(MAX_DRAWN_ROWS));
        let dots = drawn_rows.map(|row| {
            let [a, b] = points[row];
            Dot { position: [position(x, a), 1.0 - position(y, b)], color: row_color(row) }
        });
        let dots = dots.collect();
        let grid_colors = predictions.chunks_exact(outputs).map(|values| coloring.color(values, 0.45)).collect();
        Ok(Self { x, y, grid_colors, dots, coloring })
    }

    /// Returns an SVG with axes and a legend. Classes without a name show their id.
    ///
    /// For a single output, the first name is the minimum of the targets, and the second name is the maximum.
    pub fn to_svg(&self, title: &str, names: &[impl AsRef<str>]) -> String {
        let (x, y) =
            (Axis::linear("first input", self.x.0, self.x.1), Axis::linear("second input", self.y.0, self.y.1));
        let (left, top) = (LABEL_MARGINS.0, 48);
        let (right, bottom) = (left + SVG_PIXELS, top + SVG_PIXELS);
        let text = draw_svg(title, (right as u32 + 190, (bottom + LABEL_MARGINS.1) as u32), |area| {
            Chart { corner: (left, top), size: (SVG_PIXELS, SVG_PIXELS), x: &x, y: &y }.draw_frame(area)?;
            for (line, (name, color)) in self.legend(names).iter().enumerate() {
                let y = top + 10 + 22 * line as i32;
                area.draw(&Circle::new((right + 20, y), 6, color.filled()))?;
                write_text(area, &truncate_text(name, 14, 150.0), (14, TEXT, LEFT), (right + 32, y))?;
            }
            Ok(())
        });
        // plotters cannot embed images. Insert the image after the first element, the white background, so that all
        // other elements are above it.
        let background_end = text.find("/>\n").map_or(0, |start| start + 3);
        let image = format!(
            "<image x=\"{left}\" y=\"{top}\" width=\"{SVG_PIXELS}\" height=\"{SVG_PIXELS}\" href=\"data:image/png;base64,{}\"/>\n",
            base64(&self.to_png())
        );
        [&text[..background_end], &image, &text[background_end..]].concat()
    }

    /// Returns a PNG of 768 × 768 pixels without axes and legend.
    pub fn to_png(&self) -> Vec<u8> {
        let mut pixels: Vec<[f64; 3]> =
            (0..PNG_PIXELS * PNG_PIXELS).map(|i| self.pixel_color(i % PNG_PIXELS, i / PNG_PIXELS)).collect();
        let radius = if self.dots.len() > 1000 { 4.0 } else { 7.0 };
        for dot in &self.dots {
            draw_dot(&mut pixels, dot.position.map(|part| part * f64::from(PNG_PIXELS)), radius, dot.color);
        }
        png(PNG_PIXELS, PNG_PIXELS, |x, y| pixels[(y * PNG_PIXELS + x) as usize].map(|channel| channel.round() as u8))
    }

    /// Returns the color of a pixel below the dots, by bilinear interpolation between four grid points.
    fn pixel_color(&self, x: u32, y: u32) -> [f64; 3] {
        // The two nearest grid points along an axis, with their weights.
        let neighbors = |pixel: u32| {
            let position = ((f64::from(pixel) + 0.5) * GRID_POINTS as f64 / f64::from(PNG_PIXELS) - 0.5)
                .clamp(0.0, (GRID_POINTS - 1) as f64);
            let first = (position as usize).min(GRID_POINTS - 2);
            [(first, 1.0 - (position - first as f64)), (first + 1, position - first as f64)]
        };
        let mut sum = [0.0; 3];
        for (row, row_weight) in neighbors(y) {
            for (column, column_weight) in neighbors(x) {
                blend_into(&mut sum, self.grid_colors[row * GRID_POINTS + column], row_weight * column_weight);
            }
        }
        sum
    }

    fn legend(&self, names: &[impl AsRef<str>]) -> Vec<(String, RGBColor)> {
        match self.coloring {
            Coloring::Values { min, max } => {
                let number = |value: f64| match value.fract() {
                    0.0 if value.abs() < 1e6 => value.to_string(),
                    _ => format_tick(value, (max - min) / 100.0, max.abs().max(min.abs())),
                };
                let name = |index: usize, value| {
                    names.get(index).map_or_else(|| number(value), |name| name.as_ref().to_owned())
                };
                vec![(name(1, max), VERMILION), (name(0, min), BLUE)]
            }
            Coloring::Classes { count } => {
                let shown = 0..count.min(MAX_LEGEND_CLASSES);
                let mut entries: Vec<_> = shown.map(|class| (class_name(names, class), class_color(class))).collect();
                if count > entries.len() {
                    entries.push((format!("and {} more", count - entries.len()), WHITE));
                }
                entries
            }
        }
    }
}

impl Coloring {
    /// Creates the coloring for values between the minimum and the maximum of `values`.
    fn for_values(values: &[f32]) -> Self {
        let (min, max) = bounds(values.iter().map(|value| f64::from(*value))).unwrap_or((0.0, 1.0));
        // Equal targets are probably all 0 or all 1.
        if min < max { Self::Values { min, max } } else { Self::Values { min: min.min(0.0), max: max.max(1.0) } }
    }

    /// Returns the color of one row of outputs. A lower strength gives a paler color.
    fn color(self, outputs: &[f32], strength: f64) -> RGBColor {
        if outputs.iter().any(|output| output.is_nan()) {
            return GRID;
        }
        match self {
            Self::Classes { .. } => {
                let color = class_color(argmax(outputs) as usize);
                if strength < 1.0 { tint(color, strength) } else { color }
            }
            Self::Values { min, max } => {
                let value = f64::from(outputs[0]).clamp(min, max);
                let position = 2.0 * (value - min) / (max - min) - 1.0;
                // Stronger than the color of a class, because most values are far from the bounds and therefore paler.
                tint(if position < 0.0 { BLUE } else { VERMILION }, position.abs() * (0.3 + 0.7 * strength))
            }
        }
    }
}

/// Returns the bounds of the values with a margin, within the range of f32.
fn padded_bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (min, max) = bounds(values).unwrap_or((0.0, 1.0));
    let size = max - min;
    let margin = if size > 1e-4 * min.abs().max(max.abs()) { 0.08 * size } else { 0.5 * max.abs().max(1.0) };
    ((min - margin).max(f64::from(f32::MIN)), (max + margin).min(f64::from(f32::MAX)))
}

/// Returns the color of a class: first the palette, then darker colors, then paler ones. After these the colors repeat.
fn class_color(class: usize) -> RGBColor {
    let color = PALETTE[class % PALETTE.len()];
    let RGBColor(red, green, blue) = color;
    match class / PALETTE.len() % 3 {
        0 => color,
        1 => RGBColor(red / 2, green / 2, blue / 2),
        _ => tint(color, 0.55),
    }
}

/// Draws a disc with a dark, antialiased edge.
fn draw_dot(pixels: &mut [[f64; 3]], [x, y]: [f64; 2], radius: f64, color: RGBColor) {
    let side = f64::from(PNG_PIXELS);
    let span =
        |center: f64| (center - radius - 1.0).max(0.0) as usize..(center + radius + 2.0).clamp(0.0, side) as usize;
    for row in span(y) {
        for column in span(x) {
            let distance = (column as f64 + 0.5 - x).hypot(row as f64 + 0.5 - y);
            let pixel = &mut pixels[row * PNG_PIXELS as usize + column];
            for (radius, color) in [(radius, TEXT), (radius - 1.5, color)] {
                let coverage = (radius - distance + 0.5).clamp(0.0, 1.0);
                pixel.iter_mut().for_each(|channel| *channel *= 1.0 - coverage);
                blend_into(pixel, color, coverage);
            }
        }
    }
}

/// Adds a fraction of a color to a sum.
fn blend_into(sum: &mut [f64; 3], RGBColor(red, green, blue): RGBColor, fraction: f64) {
    sum.iter_mut().zip([red, green, blue]).for_each(|(sum, channel)| *sum += fraction * f64::from(channel));
}

/// Encodes bytes as base64 (RFC 4648), for a `data:` URL.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(group.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let letter = char::from(LETTERS[(bits >> (18 - 6 * i)) as usize % 64]);
            text.push(if i <= group.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_examples_of_rfc_4648() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
