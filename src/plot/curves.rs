//! Losses and accuracies over the epochs, and losses over the learning rates.

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

/// Loss over the epochs and, beside it, the accuracy or r² if there is one: while training, and on the rows that validate.
/// An upright line stands at the best epoch, where there was early stopping. Losses that differ much are drawn by their
/// logarithms.
///
/// In training every row counts as it was met, before the update by its batch, and in validation all of them after the
/// epoch: the second may well be the better.
pub fn training_curves(title: &str, history: &History) -> String {
    let line = |name, colour, value: fn(&Epoch) -> Option<f64>| {
        let points = (1..).map(f64::from).zip(history.epochs.iter().map(|epoch| value(epoch).unwrap_or(f64::NAN)));
        Line { name, color: colour, points: points.collect() }
    };
    let lines = |training: fn(&Epoch) -> Option<f64>, validation: fn(&Epoch) -> Option<f64>| {
        let both = [line("training", BLUE, training), line("validation", VERMILION, validation)];
        // What no epoch has, finite or not, there is no line for.
        let is_there = [training, validation].map(|value| history.epochs.iter().any(|epoch| value(epoch).is_some()));
        both.into_iter().zip(is_there).filter(|(_, is_there)| *is_there).map(|(line, _)| line).collect::<Vec<_>>()
    };
    let losses = lines(|epoch| Some(epoch.loss), |epoch| Some(epoch.validation.as_ref()?.loss()));
    let accuracies = lines(
        |epoch| Some(100.0 * epoch.accuracy?),
        |epoch| Some(100.0 * epoch.validation.as_ref().and_then(Metrics::accuracy)?),
    );
    let r2 = lines(|_| None, |epoch| epoch.validation.as_ref()?.r2());

    let mut panels = vec![(Axis::for_losses("loss", y_values(&losses)), losses)];
    if !accuracies.is_empty() {
        // To the next ten per cent below, so that the last epochs are not squeezed into the upper edge.
        let least = bounds(y_values(&accuracies)).map_or(0.0, |(least, _)| ((least - 1e-9) / 10.0).floor() * 10.0);
        panels.push((Axis::linear("accuracy in %", least.clamp(0.0, 90.0), 100.0), accuracies));
    } else if !r2.is_empty() {
        // The first epochs may be much worse than the mean of the answers, which would be 0.
        let least = bounds(y_values(&r2)).map_or(0.0, |(least, _)| least.clamp(-1.0, 0.9));
        panels.push((Axis::linear("r²", (least * 10.0).floor() / 10.0, 1.0), r2));
    }
    let best = history.best_epoch.map(|best| best + 1);
    let mut entries: Vec<_> = Vec::new();
    for line in panels.iter().flat_map(|(_, lines)| lines) {
        let entry = (line.name.to_owned(), line.color);
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    entries.extend(best.map(|best| (format!("best epoch, {best}"), FAINT_TEXT)));
    let marks: Vec<_> = best.iter().map(|best| (*best as f64, FAINT_TEXT)).collect();
    let epochs = Axis::for_count("epoch", history.epochs.len());
    let size = if panels.len() > 1 { (376, 300) } else { (540, 300) };
    let wide = LABEL_MARGINS.0 + size.0 + 24;
    draw_svg(title, ((wide * panels.len() as i32) as u32, (HEAD_PIXELS + size.1 + LABEL_MARGINS.1) as u32), |area| {
        draw_legend(area, &entries)?;
        (0..).zip(&panels).try_for_each(|(at, (axis, lines))| {
            let corner = (LABEL_MARGINS.0 + at * wide, HEAD_PIXELS);
            Chart { corner, size, x: &epochs, y: axis }.draw_lines(area, lines, &marks)
        })
    })
}

/// The smoothed loss over the learning rates of a range test, and the rate that it suggests.
pub fn learning_rate_curve(title: &str, rates: &LearningRateCurve) -> String {
    let points = &rates.points;
    let (first, last) = bounds(points.iter().map(|point| point.0)).unwrap_or((1e-6, 1.0));
    // What explodes at the end would press the rest flat.
    let early = points.iter().take(points.len() / 2 + 1).map(|point| point.1);
    let most = 1.3 * bounds(early).map_or(1.0, |(_, most)| most);
    let shown: Vec<_> = points.iter().copied().take_while(|point| point.1.is_nan() || point.1 <= most).collect();
    let (x, y) = (
        Axis::logarithmic("learning rate", first, last),
        Axis::for_losses("loss, smoothed", shown.iter().map(|point| point.1)),
    );
    let lines = [Line { name: "loss", color: BLUE, points: shown }];
    let suggestion = rates.suggestion.map(|rate| (format!("falls fastest at {rate:.1e}"), VERMILION));
    let marks: Vec<_> = rates.suggestion.iter().map(|rate| (*rate, VERMILION)).collect();
    let size = (600, 320);
    draw_svg(title, ((LABEL_MARGINS.0 + size.0 + 24) as u32, (HEAD_PIXELS + size.1 + LABEL_MARGINS.1) as u32), |area| {
        draw_legend(area, suggestion.as_slice())?;
        Chart { corner: (LABEL_MARGINS.0, HEAD_PIXELS), size, x: &x, y: &y }.draw_lines(area, &lines, &marks)
    })
}

fn y_values(lines: &[Line]) -> impl Iterator<Item = f64> {
    lines.iter().flat_map(|line| &line.points).map(|point| point.1)
}
