//! The prediction of an ensemble over one input, with its uncertainty.

use plotters::prelude::*;

use crate::plot::{
    BLUE, HEAD_PIXELS, MAX_DRAWN_ROWS, TEXT, VERMILION,
    axis::{Axis, bounds},
    chart::{Chart, LABEL_MARGINS, Line, is_finite_point},
    draw_legend, draw_svg, tint,
};

/// The width and height of the chart.
const PLOT_PIXELS: (i32, i32) = (680, 380);

/// The opacity of a band.
const BAND_OPACITY: f64 = 0.18;

/// A plot of a mean over one input, with bands of one and two standard deviations, the training data and the true
/// function.
///
/// `x`, `mean`, `std` and `truth` have one value per point. Empty slices are not drawn.
///
/// ```
/// use gradus::plot::UncertaintyBands;
/// let bands = UncertaintyBands {
///     axis_labels: ["time (s)", "height (m)"],
///     x: &[0.0, 1.0, 2.0],
///     mean: &[1.0, 1.5, 1.0],
///     std: &[0.1, 0.1, 0.5],
///     ..UncertaintyBands::default()
/// };
/// assert!(bands.to_svg("A throw").starts_with("<svg"));
/// ```
#[doc(alias = "fill_between")]
#[derive(Debug, Clone, Copy, Default)]
pub struct UncertaintyBands<'a> {
    /// The labels of the input and the output, with their units.
    pub axis_labels: [&'a str; 2],
    /// The inputs, in ascending order.
    pub x: &'a [f32],
    /// The mean at each input, for example [`EnsemblePrediction::mean`](crate::population::EnsemblePrediction::mean).
    pub mean: &'a [f32],
    /// The standard deviation at each input, for example
    /// [`EnsemblePrediction::std`](crate::population::EnsemblePrediction::std).
    pub std: &'a [f32],
    /// The true function at each input, if it is known.
    pub truth: &'a [f32],
    /// The inputs and targets of the training data. More than 4,000 rows are sampled evenly.
    pub observations: [&'a [f32]; 2],
}

impl UncertaintyBands<'_> {
    /// Returns the plot as SVG. A band has a gap where its mean or standard deviation is not finite.
    pub fn to_svg(&self, title: &str) -> String {
        let (mean, truth) = (points(self.x, self.mean), points(self.x, self.truth));
        let rows = points(self.observations[0], self.observations[1]);
        let edge = |factor: f64| {
            let shift = |((x, mean), std): (&(f64, f64), &f32)| (*x, mean + factor * f64::from(*std));
            mean.iter().zip(self.std).map(shift).collect::<Vec<_>>()
        };
        let edges = [2.0, 1.0].map(|factor| [edge(-factor), edge(factor)]);

        let all =
            || edges.iter().flatten().chain([&mean, &truth, &rows]).flatten().filter(|point| is_finite_point(point));
        let (low, high) = bounds(all().map(|point| point.1)).unwrap_or((0.0, 1.0));
        let (first, last) = bounds(all().map(|point| point.0)).unwrap_or((0.0, 1.0));
        let margin = 0.04 * (high - low);
        let x = Axis::linear(self.axis_labels[0], first, last);
        let y = Axis::linear(self.axis_labels[1], low - margin, high + margin);

        let names = [
            ("mean", BLUE, mean.is_empty()),
            ("± 1 standard deviation", tint(BLUE, 1.0 - (1.0 - BAND_OPACITY).powi(2)), self.std.is_empty()),
            ("± 2 standard deviations", tint(BLUE, BAND_OPACITY), self.std.is_empty()),
            ("true function", VERMILION, truth.is_empty()),
            ("training data", TEXT, rows.is_empty()),
        ];
        let shown = names.iter().filter(|(.., is_empty)| !is_empty);
        let entries: Vec<_> = shown.map(|(name, color, _)| ((*name).to_owned(), *color)).collect();
        let lines = [("true function", VERMILION, truth.clone()), ("mean", BLUE, mean.clone())];
        let lines = lines.map(|(name, color, points)| Line { name, color, points });
        let size =
            ((LABEL_MARGINS.0 + PLOT_PIXELS.0 + 24) as u32, (HEAD_PIXELS + PLOT_PIXELS.1 + LABEL_MARGINS.1) as u32);
        draw_svg(title, size, |area| {
            draw_legend(area, &entries)?;
            let chart = Chart { corner: (LABEL_MARGINS.0, HEAD_PIXELS), size: PLOT_PIXELS, x: &x, y: &y };
            let pixel = |point: &(f64, f64)| chart.pixel((x.position(point.0), y.position(point.1)));
            chart.draw_grid(area)?;
            if all().next().is_none() {
                return chart.draw_empty(area);
            }
            for [lower, upper] in &edges {
                let pairs: Vec<_> = lower.iter().zip(upper).collect();
                let is_finite = |pair: &(&(f64, f64), &(f64, f64))| is_finite_point(pair.0) && is_finite_point(pair.1);
                for piece in pairs.chunk_by(|a, b| is_finite(a) == is_finite(b)).filter(|piece| is_finite(&piece[0])) {
                    let lower_edge = piece.iter().map(|(lower, _)| pixel(lower));
                    let upper_edge = piece.iter().rev().map(|(_, upper)| pixel(upper));
                    let outline: Vec<_> = lower_edge.chain(upper_edge).collect();
                    area.draw(&Polygon::new(outline, BLUE.mix(BAND_OPACITY).filled()))?;
                }
            }
            let dots =
                rows.iter().step_by(rows.len().div_ceil(MAX_DRAWN_ROWS).max(1)).filter(|point| is_finite_point(point));
            dots.map(pixel).try_for_each(|pixel| area.draw(&Circle::new(pixel, 3, TEXT.mix(0.75).filled())))?;
            chart.draw_strokes(area, &lines)
        })
    }
}

/// Returns the points of a line.
fn points(x: &[f32], y: &[f32]) -> Vec<(f64, f64)> {
    x.iter().zip(y).map(|(x, y)| (f64::from(*x), f64::from(*y))).collect()
}
