//! What a regression tells over what was measured.

use plotters::prelude::*;

use super::{
    BLUE, FRAME, HEAD,
    axis::{Axis, bounds},
    chart::{Chart, LABELS},
    svg,
};

/// What a network tells over what was measured, each pair a dot; on the line they are the same. Both axes are in the same
/// unit, which the title may name.
pub fn predictions(title: &str, pairs: &[(f32, f32)]) -> String {
    let numbers = || pairs.iter().flat_map(|(measured, told)| [f64::from(*measured), f64::from(*told)]);
    let (low, high) = bounds(numbers()).unwrap_or((0.0, 1.0));
    let (x, y) = (Axis::linear("measured", low, high), Axis::linear("predicted", low, high));
    let size = (400, 400);
    svg(title, ((LABELS.0 + size.0 + 24) as u32, (HEAD + size.1 + LABELS.1) as u32), |area| {
        let chart = Chart { corner: (LABELS.0, HEAD - 20), size, x: &x, y: &y };
        chart.frame(area)?;
        area.draw(&PathElement::new([chart.at((0.0, 0.0)), chart.at((1.0, 1.0))], FRAME.stroke_width(2)))?;
        let is_there = |(measured, told): &&(f32, f32)| measured.is_finite() && told.is_finite();
        let mut dots = pairs.iter().filter(is_there).map(|(measured, told)| {
            let at = chart.at((x.at(f64::from(*measured)), y.at(f64::from(*told))));
            area.draw(&Circle::new(at, 3, BLUE.mix(0.6).filled()))
        });
        dots.try_for_each(|drawn| drawn)
    })
}
