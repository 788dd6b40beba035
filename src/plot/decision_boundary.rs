//! What a network answers all over the plane of its two inputs.

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

/// The network is asked at so many places each way.
const GRID_POINTS: usize = 256;
/// Pixels of the picture each way, and of the same in an SVG.
const PNG_PIXELS: u32 = 768;
const SVG_PIXELS: i32 = 512;

/// What a network with two inputs answers all over their plane, with the rows of a data set on top.
///
/// ```
/// # fn main() -> gradus::Result<()> {
/// # use gradus::{Activation, Dataset, Device, Network, Settings, Trainer, plot::Boundary};
/// # let network = Network::new(2).dense(2, Activation::Identity);
/// # let data = Dataset::new(4, &[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], &[0u32, 1, 1, 0])?;
/// # let mut trainer = Trainer::new(&Device::cpu(), &network, &data, Settings::default())?;
/// let boundary = Boundary::new(&data, |inputs| trainer.predict(inputs))?;
/// assert!(boundary.svg("XOR", &["same", "different"]).starts_with("<svg"));
/// # Ok(()) }
/// ```
///
/// Several outputs are classes, and the largest has the place. A single output is a number: blue at the least of the answers,
/// vermilion at the largest, white half-way, which for yes and no is where the answer changes. (If that is elsewhere, as with
/// logits, it is for the closure to shift them.) Places where an output is NaN are grey.
#[derive(Debug, Clone)]
pub struct DecisionBoundary {
    x: (f64, f64),
    y: (f64, f64),
    /// `[PLACES, PLACES]`, the upper row first.
    grid_colors: Vec<RGBColor>,
    /// Places from the upper left, both from 0 to 1, and what belongs there.
    dots: Vec<([f64; 2], RGBColor)>,
    coloring: Coloring,
}

/// What colours mean.
#[derive(Debug, Clone, Copy)]
enum Coloring {
    /// One of so many classes.
    Classes(usize),
    /// A number between these.
    Values(f64, f64),
}

impl DecisionBoundary {
    /// Asks a network for its outputs, `[rows, outputs]`, at 65,536 places around the rows of a data set: inputs
    /// `[rows, 2]`, as they are before a scaling that the data set may have. [`Trainer::predict`](crate::train::Trainer::predict)
    /// takes them so.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the data set has not two inputs, [`Error::Shape`] if the outputs or the answers do not divide
    /// into the rows, and those of `predict`.
    pub fn new(data: &Dataset, predict: impl FnOnce(&[f32]) -> Result<Vec<f32>>) -> Result<Self> {
        if data.inputs() != 2 {
            let (expected, got) = ("2".to_owned(), data.inputs().to_string());
            return Err(Error::InvalidSetting { name: "inputs of a data set whose boundary is drawn", expected, got });
        }
        let mut places = vec![[0.0f32; 2]; data.rows()];
        places.iter_mut().enumerate().for_each(|(row, to)| data.write_raw_features(row, to));
        data.check_read()?;
        let [x, y] = [0, 1].map(|column| padded_bounds(places.iter().map(|place| f64::from(place[column]))));

        let part = |i: usize| (i as f64 + 0.5) / GRID_POINTS as f64;
        let between = |(low, high): (f64, f64), part: f64| (low + (high - low) * part) as f32;
        let asked: Vec<f32> = (0..GRID_POINTS * GRID_POINTS)
            .flat_map(|i| [between(x, part(i % GRID_POINTS)), between(y, 1.0 - part(i / GRID_POINTS))])
            .collect();
        let answers = predict(&asked)?;
        let outputs = (answers.len() / (GRID_POINTS * GRID_POINTS)).max(1);
        check_len("outputs at the places of a boundary", GRID_POINTS * GRID_POINTS * outputs, answers.len())?;

        let values = match data.targets() {
            Targets::Values(values) => values.clone(),
            Targets::Classes(classes) => classes.iter().map(|class| *class as f32).collect(),
        };
        let (is_class, width) = (matches!(data.targets(), Targets::Classes(_)), values.len() / data.rows());
        let meaning = if outputs > 1 { Coloring::Classes(outputs) } else { Coloring::for_values(&values) };
        if !is_class {
            check_len("answers of a boundary", data.rows() * outputs, values.len())?;
        }
        let of_row = |row: usize| match (&values[row * width..(row + 1) * width], meaning) {
            ([class], Coloring::Classes(_)) if is_class => class_color(*class as usize),
            (values, meaning) => meaning.color(values, 1.0),
        };
        let along = |(low, high): (f64, f64), value: f32| (f64::from(value) - low) / (high - low);
        let rows = (0..data.rows()).step_by(data.rows().div_ceil(MAX_DRAWN_ROWS)).map(|row| {
            let [a, b] = places[row];
            ([along(x, a), 1.0 - along(y, b)], of_row(row))
        });
        let rows = rows.collect();
        let shades = answers.chunks_exact(outputs).map(|values| meaning.color(values, 0.45)).collect();
        Ok(Self { x, y, grid_colors: shades, dots: rows, coloring: meaning })
    }

    /// The text of an SVG with axes and the names of the classes; a class without one is its number. Of a single output the
    /// first name is that of the least answer, the second that of the largest.
    pub fn to_svg(&self, title: &str, names: &[impl AsRef<str>]) -> String {
        let (x, y) =
            (Axis::linear("first input", self.x.0, self.x.1), Axis::linear("second input", self.y.0, self.y.1));
        let (left, top) = (LABEL_MARGINS.0, 48);
        let (right, bottom) = (left + SVG_PIXELS, top + SVG_PIXELS);
        let text = draw_svg(title, (right as u32 + 190, (bottom + LABEL_MARGINS.1) as u32), |area| {
            Chart { corner: (left, top), size: (SVG_PIXELS, SVG_PIXELS), x: &x, y: &y }.draw_frame(area)?;
            for (line, (name, colour)) in self.legend(names).iter().enumerate() {
                let y = top + 10 + 22 * line as i32;
                area.draw(&Circle::new((right + 20, y), 6, colour.filled()))?;
                write_text(area, &truncate_text(name, 14, 150.0), (14, TEXT, LEFT), (right + 32, y))?;
            }
            Ok(())
        });
        // The drawing knows no pixels: they go behind its first element, the white ground, and below all others.
        let ground = text.find("/>\n").map_or(0, |at| at + 3);
        let image = format!(
            "<image x=\"{left}\" y=\"{top}\" width=\"{SVG_PIXELS}\" height=\"{SVG_PIXELS}\" href=\"data:image/png;base64,{}\"/>\n",
            base64(&self.to_png())
        );
        [&text[..ground], &image, &text[ground..]].concat()
    }

    /// A PNG file's bytes: the plane with the rows alone, 768 x 768 pixels.
    pub fn to_png(&self) -> Vec<u8> {
        let mut pixels: Vec<[f64; 3]> =
            (0..PNG_PIXELS * PNG_PIXELS).map(|i| self.pixel_color(i % PNG_PIXELS, i / PNG_PIXELS)).collect();
        let radius = if self.dots.len() > 1000 { 4.0 } else { 7.0 };
        for ([x, y], colour) in &self.dots {
            draw_dot(&mut pixels, [x * f64::from(PNG_PIXELS), y * f64::from(PNG_PIXELS)], radius, *colour);
        }
        png(PNG_PIXELS, PNG_PIXELS, |x, y| pixels[(y * PNG_PIXELS + x) as usize].map(|part| part.round() as u8))
    }

    /// The colour of a pixel without dots: the mean of the four places around it, by their nearness.
    fn pixel_color(&self, x: u32, y: u32) -> [f64; 3] {
        let near = |i: u32| {
            let at = ((f64::from(i) + 0.5) * GRID_POINTS as f64 / f64::from(PNG_PIXELS) - 0.5)
                .clamp(0.0, (GRID_POINTS - 1) as f64);
            let first = (at as usize).min(GRID_POINTS - 2);
            [(first, 1.0 - (at - first as f64)), (first + 1, at - first as f64)]
        };
        let mut sum = [0.0; 3];
        for (row, high) in near(y) {
            for (column, wide) in near(x) {
                blend_into(&mut sum, self.grid_colors[row * GRID_POINTS + column], high * wide);
            }
        }
        sum
    }

    fn legend(&self, names: &[impl AsRef<str>]) -> Vec<(String, RGBColor)> {
        match self.coloring {
            Coloring::Values(least, most) => {
                let number = |value: f64| match value.fract() {
                    0.0 if value.abs() < 1e6 => value.to_string(),
                    _ => format_tick(value, (most - least) / 100.0, most.abs().max(least.abs())),
                };
                let name = |place: usize, value| {
                    names.get(place).map_or_else(|| number(value), |name| name.as_ref().to_owned())
                };
                vec![(name(1, most), VERMILION), (name(0, least), BLUE)]
            }
            Coloring::Classes(classes) => {
                // As many as there is room for.
                let mut all: Vec<_> = (0..classes.min(22)).map(|at| (class_name(names, at), class_color(at))).collect();
                if classes > all.len() {
                    all.push((format!("and {} more", classes - all.len()), WHITE));
                }
                all
            }
        }
    }
}

impl Coloring {
    /// Numbers between the least and the largest of these.
    fn for_values(values: &[f32]) -> Self {
        let (least, most) = bounds(values.iter().map(|value| f64::from(*value))).unwrap_or((0.0, 1.0));
        // Where all answers are the same, it is likely one of yes and no.
        if least < most { Self::Values(least, most) } else { Self::Values(least.min(0.0), most.max(1.0)) }
    }

    /// The colour of a row of outputs, of such a strength.
    fn color(self, outputs: &[f32], strength: f64) -> RGBColor {
        if outputs.iter().any(|output| output.is_nan()) {
            return GRID;
        }
        match self {
            Self::Classes(_) => {
                let colour = class_color(argmax(outputs) as usize);
                if strength < 1.0 { tint(colour, strength) } else { colour }
            }
            Self::Values(least, most) => {
                let value = f64::from(outputs[0]).clamp(least, most);
                let place = 2.0 * (value - least) / (most - least) - 1.0;
                // Stronger than a class's: most of it is paler.
                tint(if place < 0.0 { BLUE } else { VERMILION }, place.abs() * (0.3 + 0.7 * strength))
            }
        }
    }
}

/// The bounds of a plane with these numbers, and a margin.
fn padded_bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) = bounds(values).unwrap_or((0.0, 1.0));
    let size = most - least;
    let margin = if size > 1e-4 * least.abs().max(most.abs()) { 0.08 * size } else { 0.5 * most.abs().max(1.0) };
    // What the network is asked are f32.
    let most_of_all = f64::from(f32::MAX);
    ((least - margin).max(-most_of_all), (most + margin).min(most_of_all))
}

/// The colour of the class with this number: the palette's, then darker ones, then paler ones, and again from the first.
fn class_color(class: usize) -> RGBColor {
    let colour = PALETTE[class % PALETTE.len()];
    let RGBColor(red, green, blue) = colour;
    match class / PALETTE.len() % 3 {
        0 => colour,
        1 => RGBColor(red / 2, green / 2, blue / 2),
        _ => tint(colour, 0.55),
    }
}

/// Draws a disc with a dark rim, its edge smoothed over a pixel.
fn draw_dot(pixels: &mut [[f64; 3]], [x, y]: [f64; 2], radius: f64, colour: RGBColor) {
    let side = f64::from(PNG_PIXELS);
    let span =
        |centre: f64| (centre - radius - 1.0).max(0.0) as usize..(centre + radius + 2.0).clamp(0.0, side) as usize;
    for row in span(y) {
        for column in span(x) {
            let distance = (column as f64 + 0.5 - x).hypot(row as f64 + 0.5 - y);
            let pixel = &mut pixels[row * PNG_PIXELS as usize + column];
            for (radius, colour) in [(radius, TEXT), (radius - 1.5, colour)] {
                let covered = (radius - distance + 0.5).clamp(0.0, 1.0);
                pixel.iter_mut().for_each(|part| *part *= 1.0 - covered);
                blend_into(pixel, colour, covered);
            }
        }
    }
}

fn blend_into(sum: &mut [f64; 3], RGBColor(red, green, blue): RGBColor, fraction: f64) {
    sum.iter_mut().zip([red, green, blue]).for_each(|(sum, part)| *sum += fraction * f64::from(part));
}

/// Bytes as the text that a `data:` address has room for (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(three.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let letter = char::from(LETTERS[(bits >> (18 - 6 * i)) as usize % 64]);
            text.push(if i <= three.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_the_text_of_the_rfc() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
