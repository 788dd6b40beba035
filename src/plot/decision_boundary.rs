//! What a network answers all over the plane of its two inputs.

use plotters::prelude::*;

use crate::{
    data::dataset::{Answers, Dataset},
    error::{Error, Result, check_len},
    metrics::classification::first_largest,
    plot::{
        BLUE, GRID, LEFT, MOST_ROWS, PALETTE, TEXT, VERMILION,
        axis::{Axis, bounds, label},
        chart::{Chart, LABELS},
        class_name, cut, png, svg, tinted, write,
    },
};

/// The network is asked at so many places each way.
const PLACES: usize = 256;
/// Pixels of the picture each way, and of the same in an SVG.
const SIDE: u32 = 768;
const SHOWN: i32 = 512;

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
pub struct Boundary {
    x: (f64, f64),
    y: (f64, f64),
    /// `[PLACES, PLACES]`, the upper row first.
    shades: Vec<RGBColor>,
    /// Places from the upper left, both from 0 to 1, and what belongs there.
    rows: Vec<([f64; 2], RGBColor)>,
    meaning: Meaning,
}

/// What colours mean.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    /// One of so many classes.
    Classes(usize),
    /// A number between these.
    Values(f64, f64),
}

impl Boundary {
    /// Asks a network for its outputs, `[rows, outputs]`, at 65,536 places around the rows of a data set: inputs
    /// `[rows, 2]`, as they are before a scaling that the data set may have. [`Trainer::predict`](crate::train::Trainer::predict)
    /// takes them so.
    ///
    /// # Errors
    /// [`Error::Setting`] if the data set has not two inputs, [`Error::Shape`] if the outputs or the answers do not divide
    /// into the rows, and those of `predict`.
    pub fn new(data: &Dataset, predict: impl FnOnce(&[f32]) -> Result<Vec<f32>>) -> Result<Self> {
        if data.inputs() != 2 {
            let (expected, got) = ("2".to_owned(), data.inputs().to_string());
            return Err(Error::Setting { what: "inputs of a data set whose boundary is drawn", expected, got });
        }
        let mut places = vec![[0.0f32; 2]; data.rows()];
        places.iter_mut().enumerate().for_each(|(row, to)| data.write_raw_features(row, to));
        data.check_read()?;
        let [x, y] = [0, 1].map(|column| around(places.iter().map(|place| f64::from(place[column]))));

        let part = |i: usize| (i as f64 + 0.5) / PLACES as f64;
        let between = |(low, high): (f64, f64), part: f64| (low + (high - low) * part) as f32;
        let asked: Vec<f32> = (0..PLACES * PLACES)
            .flat_map(|i| [between(x, part(i % PLACES)), between(y, 1.0 - part(i / PLACES))])
            .collect();
        let answers = predict(&asked)?;
        let outputs = (answers.len() / (PLACES * PLACES)).max(1);
        check_len("outputs at the places of a boundary", PLACES * PLACES * outputs, answers.len())?;

        let values = match data.answers() {
            Answers::Values(values) => values.clone(),
            Answers::Classes(classes) => classes.iter().map(|class| *class as f32).collect(),
        };
        let (is_class, width) = (matches!(data.answers(), Answers::Classes(_)), values.len() / data.rows());
        let meaning = if outputs > 1 { Meaning::Classes(outputs) } else { Meaning::between(&values) };
        if !is_class {
            check_len("answers of a boundary", data.rows() * outputs, values.len())?;
        }
        let of_row = |row: usize| match (&values[row * width..(row + 1) * width], meaning) {
            ([class], Meaning::Classes(_)) if is_class => class_colour(*class as usize),
            (values, meaning) => meaning.colour(values, 1.0),
        };
        let along = |(low, high): (f64, f64), value: f32| (f64::from(value) - low) / (high - low);
        let rows = (0..data.rows()).step_by(data.rows().div_ceil(MOST_ROWS)).map(|row| {
            let [a, b] = places[row];
            ([along(x, a), 1.0 - along(y, b)], of_row(row))
        });
        let rows = rows.collect();
        let shades = answers.chunks_exact(outputs).map(|values| meaning.colour(values, 0.45)).collect();
        Ok(Self { x, y, shades, rows, meaning })
    }

    /// The text of an SVG with axes and the names of the classes; a class without one is its number. Of a single output the
    /// first name is that of the least answer, the second that of the largest.
    pub fn svg(&self, title: &str, names: &[impl AsRef<str>]) -> String {
        let (x, y) =
            (Axis::linear("first input", self.x.0, self.x.1), Axis::linear("second input", self.y.0, self.y.1));
        let (left, top) = (LABELS.0, 48);
        let (right, bottom) = (left + SHOWN, top + SHOWN);
        let text = svg(title, (right as u32 + 190, (bottom + LABELS.1) as u32), |area| {
            Chart { corner: (left, top), size: (SHOWN, SHOWN), x: &x, y: &y }.frame(area)?;
            for (line, (name, colour)) in self.legend(names).iter().enumerate() {
                let y = top + 10 + 22 * line as i32;
                area.draw(&Circle::new((right + 20, y), 6, colour.filled()))?;
                write(area, &cut(name, 14, 150.0), (14, TEXT, LEFT), (right + 32, y))?;
            }
            Ok(())
        });
        // The drawing knows no pixels: they go behind its first element, the white ground, and below all others.
        let ground = text.find("/>\n").map_or(0, |at| at + 3);
        let image = format!(
            "<image x=\"{left}\" y=\"{top}\" width=\"{SHOWN}\" height=\"{SHOWN}\" href=\"data:image/png;base64,{}\"/>\n",
            base64(&self.png())
        );
        [&text[..ground], &image, &text[ground..]].concat()
    }

    /// A PNG file's bytes: the plane with the rows alone, 768 x 768 pixels.
    pub fn png(&self) -> Vec<u8> {
        let mut pixels: Vec<[f64; 3]> = (0..SIDE * SIDE).map(|i| self.shade(i % SIDE, i / SIDE)).collect();
        let radius = if self.rows.len() > 1000 { 4.0 } else { 7.0 };
        for ([x, y], colour) in &self.rows {
            dot(&mut pixels, [x * f64::from(SIDE), y * f64::from(SIDE)], radius, *colour);
        }
        png(SIDE, SIDE, |x, y| pixels[(y * SIDE + x) as usize].map(|part| part.round() as u8))
    }

    /// The colour of a pixel without dots: the mean of the four places around it, by their nearness.
    fn shade(&self, x: u32, y: u32) -> [f64; 3] {
        let near = |i: u32| {
            let at = ((f64::from(i) + 0.5) * PLACES as f64 / f64::from(SIDE) - 0.5).clamp(0.0, (PLACES - 1) as f64);
            let first = (at as usize).min(PLACES - 2);
            [(first, 1.0 - (at - first as f64)), (first + 1, at - first as f64)]
        };
        let mut sum = [0.0; 3];
        for (row, high) in near(y) {
            for (column, wide) in near(x) {
                mix_in(&mut sum, self.shades[row * PLACES + column], high * wide);
            }
        }
        sum
    }

    fn legend(&self, names: &[impl AsRef<str>]) -> Vec<(String, RGBColor)> {
        match self.meaning {
            Meaning::Values(least, most) => {
                let number = |value: f64| match value.fract() {
                    0.0 if value.abs() < 1e6 => value.to_string(),
                    _ => label(value, (most - least) / 100.0, most.abs().max(least.abs())),
                };
                let name = |place: usize, value| {
                    names.get(place).map_or_else(|| number(value), |name| name.as_ref().to_owned())
                };
                vec![(name(1, most), VERMILION), (name(0, least), BLUE)]
            }
            Meaning::Classes(classes) => {
                // As many as there is room for.
                let mut all: Vec<_> =
                    (0..classes.min(22)).map(|at| (class_name(names, at), class_colour(at))).collect();
                if classes > all.len() {
                    all.push((format!("and {} more", classes - all.len()), WHITE));
                }
                all
            }
        }
    }
}

impl Meaning {
    /// Numbers between the least and the largest of these.
    fn between(values: &[f32]) -> Self {
        let (least, most) = bounds(values.iter().map(|value| f64::from(*value))).unwrap_or((0.0, 1.0));
        // Where all answers are the same, it is likely one of yes and no.
        if least < most { Self::Values(least, most) } else { Self::Values(least.min(0.0), most.max(1.0)) }
    }

    /// The colour of a row of outputs, of such a strength.
    fn colour(self, outputs: &[f32], strength: f64) -> RGBColor {
        if outputs.iter().any(|output| output.is_nan()) {
            return GRID;
        }
        match self {
            Self::Classes(_) => {
                let colour = class_colour(first_largest(outputs) as usize);
                if strength < 1.0 { tinted(colour, strength) } else { colour }
            }
            Self::Values(least, most) => {
                let value = f64::from(outputs[0]).clamp(least, most);
                let place = 2.0 * (value - least) / (most - least) - 1.0;
                // Stronger than a class's: most of it is paler.
                tinted(if place < 0.0 { BLUE } else { VERMILION }, place.abs() * (0.3 + 0.7 * strength))
            }
        }
    }
}

/// The bounds of a plane with these numbers, and a margin.
fn around(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) = bounds(values).unwrap_or((0.0, 1.0));
    let size = most - least;
    let margin = if size > 1e-4 * least.abs().max(most.abs()) { 0.08 * size } else { 0.5 * most.abs().max(1.0) };
    // What the network is asked are f32.
    let most_of_all = f64::from(f32::MAX);
    ((least - margin).max(-most_of_all), (most + margin).min(most_of_all))
}

/// The colour of the class with this number: the palette's, then darker ones, then paler ones, and again from the first.
fn class_colour(class: usize) -> RGBColor {
    let colour = PALETTE[class % PALETTE.len()];
    let RGBColor(red, green, blue) = colour;
    match class / PALETTE.len() % 3 {
        0 => colour,
        1 => RGBColor(red / 2, green / 2, blue / 2),
        _ => tinted(colour, 0.55),
    }
}

/// Draws a disc with a dark rim, its edge smoothed over a pixel.
fn dot(pixels: &mut [[f64; 3]], [x, y]: [f64; 2], radius: f64, colour: RGBColor) {
    let side = f64::from(SIDE);
    let span =
        |centre: f64| (centre - radius - 1.0).max(0.0) as usize..(centre + radius + 2.0).clamp(0.0, side) as usize;
    for row in span(y) {
        for column in span(x) {
            let distance = (column as f64 + 0.5 - x).hypot(row as f64 + 0.5 - y);
            let pixel = &mut pixels[row * SIDE as usize + column];
            for (radius, colour) in [(radius, TEXT), (radius - 1.5, colour)] {
                let covered = (radius - distance + 0.5).clamp(0.0, 1.0);
                pixel.iter_mut().for_each(|part| *part *= 1.0 - covered);
                mix_in(pixel, colour, covered);
            }
        }
    }
}

fn mix_in(sum: &mut [f64; 3], RGBColor(red, green, blue): RGBColor, share: f64) {
    sum.iter_mut().zip([red, green, blue]).for_each(|(sum, part)| *sum += share * f64::from(part));
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
