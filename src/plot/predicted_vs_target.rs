//! What a network predicted, over what was right.

use plotters::prelude::*;

use crate::plot::{
    BLUE, CENTRE, FAINT, LEGEND, MOST_ROWS,
    axis::{Axis, bounds},
    chart::{Chart, LABELS},
    svg, write,
};

/// Pixels each way, and of the head above.
const SIDE: i32 = 440;
const HEAD: i32 = 76;

/// Predicted numbers over the expected ones, a dot for each row: where the network is right they lie on the line. Of more
/// than 4,000 rows some are drawn, evenly from all.
pub fn predictions(title: &str, expected: &[f32], predicted: &[f32]) -> String {
    let pairs = expected.iter().zip(predicted).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let pairs: Vec<_> = pairs.filter(|(a, b)| a.is_finite() && b.is_finite()).collect();
    let (low, high) = bounds(pairs.iter().flat_map(|(a, b)| [*a, *b])).unwrap_or((0.0, 1.0));
    let margin = 0.04 * (high - low);
    let [x, y] = ["expected", "predicted"].map(|what| Axis::linear(what, low - margin, high + margin));
    let size = ((LABELS.0 + SIDE + 24) as u32, (HEAD + SIDE + LABELS.1) as u32);
    svg(title, size, |area| {
        let chart = Chart { corner: (LABELS.0, HEAD), size: (SIDE, SIDE), x: &x, y: &y };
        let about = if pairs.is_empty() { "nothing to show" } else { "a dot for each row; on the line it is right" };
        write(area, about, (15, FAINT, CENTRE), (size.0 as i32 / 2, LEGEND))?;
        chart.frame(area)?;
        area.draw(&PathElement::new([chart.at((0.0, 0.0)), chart.at((1.0, 1.0))], FAINT.stroke_width(1)))?;
        pairs.iter().step_by(pairs.len().div_ceil(MOST_ROWS).max(1)).try_for_each(|(expected, predicted)| {
            let at = chart.at((x.at(*expected), y.at(*predicted)));
            area.draw(&Circle::new(at, 3, BLUE.mix(0.5).filled()))
        })
    })
}
