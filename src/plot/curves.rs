//! Plots of losses and accuracies over the epochs, and of losses over learning rates.

use crate::{
    metrics::Metrics,
    plot::{
        BLUE, FAINT_TEXT, HEAD_PIXELS, VERMILION,
        axis::{Axis, bounds},
        chart::{Chart, LABEL_MARGINS, Line},
        draw_legend, draw_svg,
    },
    train::{
        history::{Epoch, History},
        learning_rate_finder::LearningRateCurve,
    },
};

/// Plots the training and validation metrics of a history as SVG: the loss over the epochs and, beside it, the accuracy
/// or r² if there is one.
///
/// With early stopping, a vertical line marks the best epoch. The axis of the loss is logarithmic if the losses differ
/// much.
///
/// Training metrics of a row are computed before the update with its batch, validation metrics after the epoch. The
/// validation metrics may therefore be better.
#[doc(alias = "learning curve")]
pub fn training_curves(title: &str, history: &History) -> String {
    let line = |name, color, value: fn(&Epoch) -> Option<f64>| {
        let points = (1..).map(f64::from).zip(history.epochs.iter().map(|epoch| value(epoch).unwrap_or(f64::NAN)));
        Line { name, color, points: points.collect() }
    };
    let lines = |training: fn(&Epoch) -> Option<f64>, validation: fn(&Epoch) -> Option<f64>| {
        let mut lines = Vec::new();
        for (name, color, value) in [("training", BLUE, training), ("validation", VERMILION, validation)] {
            // A metric that no epoch has gets no line and no legend. A metric that is never finite gets both.
            if history.epochs.iter().any(|epoch| value(epoch).is_some()) {
                lines.push(line(name, color, value));
            }
        }
        lines
    };
    let losses = lines(|epoch| Some(epoch.loss), |epoch| Some(epoch.validation.as_ref()?.loss()));
    let accuracies = lines(
        |epoch| Some(100.0 * epoch.accuracy?),
        |epoch| Some(100.0 * epoch.validation.as_ref().and_then(Metrics::accuracy)?),
    );
    let r2 = lines(|_| None, |epoch| epoch.validation.as_ref()?.r2());

    let mut panels = vec![(Axis::for_losses("loss", y_values(&losses)), losses)];
    if !accuracies.is_empty() {
        // The axis starts at the next lower multiple of 10%, so that the last epochs are not compressed at the upper
        // end.
        let low = bounds(y_values(&accuracies)).map_or(0.0, |(min, _)| ((min - 1e-9) / 10.0).floor() * 10.0);
        panels.push((Axis::linear("accuracy (%)", low.clamp(0.0, 90.0), 100.0), accuracies));
    } else if !r2.is_empty() {
        // Clamp the lower bound: in the first epochs r² may be far below 0, the value of predicting the mean.
        let low = bounds(y_values(&r2)).map_or(0.0, |(min, _)| min.clamp(-1.0, 0.9));
        panels.push((Axis::linear("r²", (low * 10.0).floor() / 10.0, 1.0), r2));
    }
    let best = history.best_epoch.map(|best| best + 1);
    let mut entries: Vec<_> = Vec::new();
    for line in panels.iter().flat_map(|(_, lines)| lines) {
        let entry = (line.name.to_owned(), line.color);
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    entries.extend(best.map(|best| (format!("best epoch: {best}"), FAINT_TEXT)));
    let marks: Vec<_> = best.iter().map(|best| (*best as f64, FAINT_TEXT)).collect();
    let epochs = Axis::for_count("epoch", history.epochs.len());
    let size = if panels.len() > 1 { (376, 300) } else { (540, 300) };
    let panel_width = LABEL_MARGINS.0 + size.0 + 24;
    let svg_size = ((panel_width * panels.len() as i32) as u32, (HEAD_PIXELS + size.1 + LABEL_MARGINS.1) as u32);
    draw_svg(title, svg_size, |area| {
        draw_legend(area, &entries)?;
        (0..).zip(&panels).try_for_each(|(index, (axis, lines))| {
            let corner = (LABEL_MARGINS.0 + index * panel_width, HEAD_PIXELS);
            Chart { corner, size, x: &epochs, y: axis }.draw_lines(area, lines, &marks)
        })
    })
}

/// Plots the result of a [`LearningRateFinder`](crate::train::LearningRateFinder) as SVG: the smoothed loss over the
/// learning rate, with the suggested learning rate.
#[doc(alias = "lr_find")]
pub fn learning_rate_curve(title: &str, curve: &LearningRateCurve) -> String {
    let points = &curve.points;
    let (first, last) = bounds(points.iter().map(|point| point.0)).unwrap_or((1e-6, 1.0));
    // Cut off the divergence at the end, whose losses would flatten the rest of the curve.
    let early_losses = points.iter().take(points.len() / 2 + 1).map(|point| point.1);
    let max_loss = 1.3 * bounds(early_losses).map_or(1.0, |(_, max)| max);
    let shown: Vec<_> = points.iter().copied().take_while(|point| point.1.is_nan() || point.1 <= max_loss).collect();
    let (x, y) = (
        Axis::logarithmic("learning rate", first, last),
        Axis::for_losses("smoothed loss", shown.iter().map(|point| point.1)),
    );
    let lines = [Line { name: "loss", color: BLUE, points: shown }];
    let suggestion = curve.suggestion.map(|rate| (format!("steepest descent at {rate:.1e}"), VERMILION));
    let marks: Vec<_> = curve.suggestion.iter().map(|rate| (*rate, VERMILION)).collect();
    let size = (600, 320);
    draw_svg(title, ((LABEL_MARGINS.0 + size.0 + 24) as u32, (HEAD_PIXELS + size.1 + LABEL_MARGINS.1) as u32), |area| {
        draw_legend(area, suggestion.as_slice())?;
        Chart { corner: (LABEL_MARGINS.0, HEAD_PIXELS), size, x: &x, y: &y }.draw_lines(area, &lines, &marks)
    })
}

fn y_values(lines: &[Line]) -> impl Iterator<Item = f64> {
    lines.iter().flat_map(|line| &line.points).map(|point| point.1)
}
