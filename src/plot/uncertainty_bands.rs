//! What an ensemble answers along one input, and how far it can be trusted.

use plotters::prelude::*;

use crate::plot::{
    BLUE, HEAD, MOST_ROWS, TEXT, VERMILION,
    axis::{Axis, bounds},
    chart::{Chart, LABELS, Line, is_there},
    legend, svg, tinted,
};

/// Pixels between the axes.
const SIZE: (i32, i32) = (680, 380);

/// How strong a band is over what lies below it.
const STRENGTH: f64 = 0.18;

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
pub struct Bands<'a> {
    /// What stands at the axes, with their units: of the input and of the output.
    pub axes: [&'a str; 2],
    /// The input where the mean is known, from the least to the largest.
    pub x: &'a [f32],
    /// The mean there, such as [`Consensus::mean`](crate::population::Consensus::mean).
    pub mean: &'a [f32],
    /// The standard deviation there, such as [`Consensus::deviation`](crate::population::Consensus::deviation).
    pub deviation: &'a [f32],
    /// What is right there, if it is known.
    pub truth: &'a [f32],
    /// Inputs and answers of the rows that were learned from; of more than 4,000 some are drawn, evenly from all.
    pub rows: [&'a [f32]; 2],
}

impl Bands<'_> {
    /// The text of an SVG. A band ends where its mean or deviation is no finite number, and goes on behind it.
    pub fn svg(&self, title: &str) -> String {
        let over = |values: &[f32]| self.x.iter().zip(values).map(|(x, y)| (f64::from(*x), f64::from(*y))).collect();
        let (mean, truth): (Vec<(f64, f64)>, Vec<_>) = (over(self.mean), over(self.truth));
        let rows: Vec<_> = self.rows[0].iter().zip(self.rows[1]).map(|(x, y)| (f64::from(*x), f64::from(*y))).collect();
        let edge = |by: f64| {
            let moved = |((x, mean), deviation): (&(f64, f64), &f32)| (*x, mean + by * f64::from(*deviation));
            mean.iter().zip(self.deviation).map(moved).collect::<Vec<_>>()
        };
        let edges = [2.0, 1.0].map(|by| [edge(-by), edge(by)]);

        let all = || edges.iter().flatten().chain([&mean, &truth, &rows]).flatten().filter(|point| is_there(point));
        let (low, high) = bounds(all().map(|point| point.1)).unwrap_or((0.0, 1.0));
        let (first, last) = bounds(all().map(|point| point.0)).unwrap_or((0.0, 1.0));
        let margin = 0.04 * (high - low);
        let x = Axis::linear(self.axes[0], first, last);
        let y = Axis::linear(self.axes[1], low - margin, high + margin);

        let names = [
            ("mean", BLUE, mean.is_empty()),
            ("± 1 standard deviation", tinted(BLUE, 1.0 - (1.0 - STRENGTH).powi(2)), self.deviation.is_empty()),
            ("± 2 standard deviations", tinted(BLUE, STRENGTH), self.deviation.is_empty()),
            ("what is right", VERMILION, truth.is_empty()),
            ("learned from", TEXT, rows.is_empty()),
        ];
        let shown = names.iter().filter(|(.., is_empty)| !is_empty);
        let entries: Vec<_> = shown.map(|(name, colour, _)| ((*name).to_owned(), *colour)).collect();
        let lines = [("what is right", VERMILION, truth.clone()), ("mean", BLUE, mean.clone())];
        let lines = lines.map(|(name, colour, points)| Line { name, colour, points });
        let size = ((LABELS.0 + SIZE.0 + 24) as u32, (HEAD + SIZE.1 + LABELS.1) as u32);
        svg(title, size, |area| {
            legend(area, &entries)?;
            let chart = Chart { corner: (LABELS.0, HEAD), size: SIZE, x: &x, y: &y };
            let at = |point: &(f64, f64)| chart.at((x.at(point.0), y.at(point.1)));
            chart.grid(area)?;
            if all().next().is_none() {
                return chart.nothing(area);
            }
            for [lower, upper] in &edges {
                let both: Vec<_> = lower.iter().zip(upper).collect();
                let is_whole = |both: &(&(f64, f64), &(f64, f64))| is_there(both.0) && is_there(both.1);
                for piece in both.chunk_by(|a, b| is_whole(a) == is_whole(b)).filter(|piece| is_whole(&piece[0])) {
                    let there = piece.iter().map(|(lower, _)| at(lower));
                    let back = piece.iter().rev().map(|(_, upper)| at(upper));
                    let outline: Vec<_> = there.chain(back).collect();
                    area.draw(&Polygon::new(outline, BLUE.mix(STRENGTH).filled()))?;
                }
            }
            let dots = rows.iter().step_by(rows.len().div_ceil(MOST_ROWS).max(1)).filter(|point| is_there(point));
            dots.map(at).try_for_each(|at| area.draw(&Circle::new(at, 3, TEXT.mix(0.75).filled())))?;
            chart.strokes(area, &lines)
        })
    }
}
