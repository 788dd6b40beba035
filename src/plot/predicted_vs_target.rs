//! Predictions over targets.

use plotters::prelude::*;

use crate::plot::{
    BLUE, CENTER, FAINT_TEXT, LEGEND_Y, MAX_DRAWN_ROWS,
    axis::{Axis, bounds},
    chart::{Chart, LABEL_MARGINS},
    draw_svg, write_text,
};

/// The width and height of the chart.
const PLOT_PIXELS: i32 = 440;

/// The height of the title and the caption together.
const HEAD_PIXELS: i32 = 76;

/// Plots predictions over targets as SVG, with one dot per row. On the diagonal, the prediction equals the target.
///
/// More than 4,000 rows are sampled evenly.
#[doc(alias = "PredictionErrorDisplay")]
#[doc(alias = "scatter plot")]
pub fn predicted_vs_target(title: &str, targets: &[f32], predicted: &[f32]) -> String {
    let pairs = targets.iter().zip(predicted).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let pairs: Vec<_> = pairs.filter(|(a, b)| a.is_finite() && b.is_finite()).collect();
    let (low, high) = bounds(pairs.iter().flat_map(|(a, b)| [*a, *b])).unwrap_or((0.0, 1.0));
    let margin = 0.04 * (high - low);
    let [x, y] = ["target", "prediction"].map(|label| Axis::linear(label, low - margin, high + margin));
    let size = ((LABEL_MARGINS.0 + PLOT_PIXELS + 24) as u32, (HEAD_PIXELS + PLOT_PIXELS + LABEL_MARGINS.1) as u32);
    draw_svg(title, size, |area| {
        let chart = Chart { corner: (LABEL_MARGINS.0, HEAD_PIXELS), size: (PLOT_PIXELS, PLOT_PIXELS), x: &x, y: &y };
        let caption = if pairs.is_empty() {
            "nothing to show"
        } else {
            "one dot per row; on the diagonal, prediction equals target"
        };
        write_text(area, caption, (15, FAINT_TEXT, CENTER), (size.0 as i32 / 2, LEGEND_Y))?;
        chart.draw_frame(area)?;
        area.draw(&PathElement::new([chart.pixel((0.0, 0.0)), chart.pixel((1.0, 1.0))], FAINT_TEXT.stroke_width(1)))?;
        pairs.iter().step_by(pairs.len().div_ceil(MAX_DRAWN_ROWS).max(1)).try_for_each(|(target, prediction)| {
            let pixel = chart.pixel((x.position(*target), y.position(*prediction)));
            area.draw(&Circle::new(pixel, 3, BLUE.mix(0.5).filled()))
        })
    })
}
