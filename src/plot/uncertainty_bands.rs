//! What an ensemble answers along one input, and how far it can be trusted.

use plotters::prelude::*;

use crate::plot::{
    BLUE, HEAD_PIXELS, MAX_DRAWN_ROWS, TEXT, VERMILION,
    axis::{Axis, bounds},
    chart::{Chart, LABEL_MARGINS, Line, is_finite_point},
    draw_legend, draw_svg, tint,
};

/// Pixels between the axes.
const PLOT_PIXELS: (i32, i32) = (680, 380);

/// How strong a band is over what lies below it.
const BAND_OPACITY: f64 = 0.18;

/// The mean along one input with bands of one and two standard deviations, the rows that it was learned from, and, where
/// it is known, what is right. All of one length that belong together; what is empty is not drawn.
///
/// ```
/// use gradus::plot::Bands;
/// let (x, y) = ([0.0, 1.0, 2.0], [1.0, 1.5, 1.0]);
/// let bands = Bands { axes: ["time in s", "way in m"], x: &x, mean: &y, deviation: &[0.1, 0.1, 0.5], ..Bands::default() };
/// assert!(bands.svg("A throw").starts_with("<svg"));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct UncertaintyBands<'a> {
    /// What stands at the axes, with their units: of the input and of the output.
    pub axis_labels: [&'a str; 2],
    /// The input where the mean is known, from the least to the largest.
    pub x: &'a [f32],
    /// The mean there, such as [`EnsemblePrediction::mean`](crate::population::EnsemblePrediction::mean).
    pub mean: &'a [f32],
    /// The standard deviation there, such as [`EnsemblePrediction::std`](crate::population::EnsemblePrediction::std).
    pub std: &'a [f32],
    /// What is right there, if it is known.
    pub truth: &'a [f32],
    /// Inputs and answers of the rows that were learned from; of more than 4,000 some are drawn, evenly from all.
    pub observations: [&'a [f32]; 2],
}

impl UncertaintyBands<'_> {
    /// The text of an SVG. A band ends where its mean or deviation is no finite number, and goes on behind it.
    pub fn to_svg(&self, title: &str) -> String {
        let over = |values: &[f32]| self.x.iter().zip(values).map(|(x, y)| (f64::from(*x), f64::from(*y))).collect();
        let (mean, truth): (Vec<(f64, f64)>, Vec<_>) = (over(self.mean), over(self.truth));
        let rows: Vec<_> = self.observations[0]
            .iter()
            .zip(self.observations[1])
            .map(|(x, y)| (f64::from(*x), f64::from(*y)))
            .collect();
        let edge = |by: f64| {
            let moved = |((x, mean), deviation): (&(f64, f64), &f32)| (*x, mean + by * f64::from(*deviation));
            mean.iter().zip(self.std).map(moved).collect::<Vec<_>>()
        };
        let edges = [2.0, 1.0].map(|by| [edge(-by), edge(by)]);

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
            ("what is right", VERMILION, truth.is_empty()),
            ("learned from", TEXT, rows.is_empty()),
        ];
        let shown = names.iter().filter(|(.., is_empty)| !is_empty);
        let entries: Vec<_> = shown.map(|(name, colour, _)| ((*name).to_owned(), *colour)).collect();
        let lines = [("what is right", VERMILION, truth.clone()), ("mean", BLUE, mean.clone())];
        let lines = lines.map(|(name, colour, points)| Line { name, color: colour, points });
        let size =
            ((LABEL_MARGINS.0 + PLOT_PIXELS.0 + 24) as u32, (HEAD_PIXELS + PLOT_PIXELS.1 + LABEL_MARGINS.1) as u32);
        draw_svg(title, size, |area| {
            draw_legend(area, &entries)?;
            let chart = Chart { corner: (LABEL_MARGINS.0, HEAD_PIXELS), size: PLOT_PIXELS, x: &x, y: &y };
            let at = |point: &(f64, f64)| chart.pixel((x.position(point.0), y.position(point.1)));
            chart.draw_grid(area)?;
            if all().next().is_none() {
                return chart.draw_empty(area);
            }
            for [lower, upper] in &edges {
                let both: Vec<_> = lower.iter().zip(upper).collect();
                let is_whole = |both: &(&(f64, f64), &(f64, f64))| is_finite_point(both.0) && is_finite_point(both.1);
                for piece in both.chunk_by(|a, b| is_whole(a) == is_whole(b)).filter(|piece| is_whole(&piece[0])) {
                    let there = piece.iter().map(|(lower, _)| at(lower));
                    let back = piece.iter().rev().map(|(_, upper)| at(upper));
                    let outline: Vec<_> = there.chain(back).collect();
                    area.draw(&Polygon::new(outline, BLUE.mix(BAND_OPACITY).filled()))?;
                }
            }
            let dots =
                rows.iter().step_by(rows.len().div_ceil(MAX_DRAWN_ROWS).max(1)).filter(|point| is_finite_point(point));
            dots.map(at).try_for_each(|at| area.draw(&Circle::new(at, 3, TEXT.mix(0.75).filled())))?;
            chart.draw_strokes(area, &lines)
        })
    }
}
