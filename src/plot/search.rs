//! Plots of a hyperparameter search, and of the losses of several training runs.

use plotters::prelude::*;

use crate::{
    plot::{
        BLUE, FAINT_TEXT, HEAD_PIXELS, PALETTE, VERMILION,
        axis::{Axis, bounds},
        chart::{Chart, LABEL_MARGINS, Line, is_finite_point},
        draw_legend, draw_svg,
    },
    search::result::SearchResult,
    train::{history::History, policies::monitor::Monitor},
};

/// The ratio of the largest value of a hyperparameter to the smallest one above which its axis is logarithmic.
const MIN_LOG_RATIO: f64 = 20.0;

/// Plots the metric of every trial of a search over the values of each hyperparameter as SVG, with one panel per
/// hyperparameter.
///
/// A vertical line through a point shows the standard deviation over the folds. Pruned trials are gray, and diverged
/// trials are not drawn.
pub fn search(title: &str, result: &SearchResult) -> String {
    let is_percentage = result.monitor == Monitor::ValidationAccuracy;
    let unit = if is_percentage { 100.0 } else { 1.0 };
    let scores: Vec<_> = result.trials.iter().map(|trial| unit * trial.scores.mean(result.monitor)).collect();
    let stds: Vec<_> = result.trials.iter().map(|trial| unit * trial.scores.std(result.monitor)).collect();
    let best = result.best_index();
    let label = if is_percentage { format!("{} (%)", result.monitor) } else { result.monitor.to_string() };
    let heights = || scores.iter().zip(&stds).flat_map(|(score, std)| [score - std, score + std]);
    let y = if result.monitor.is_minimized() {
        Axis::for_losses(&label, heights())
    } else {
        let (low, high) = bounds(heights()).unwrap_or((0.0, unit));
        let margin = 0.04 * (high - low);
        Axis::linear(&label, low - margin, (high + margin).min(unit))
    };
    let panels: Vec<_> = result
        .hyperparameters
        .iter()
        .enumerate()
        .map(|(index, name)| (index, hyperparameter_axis(name, result, index)))
        .collect();
    let size = if panels.len() > 1 { (376, 300) } else { (600, 320) };
    let panel_width = LABEL_MARGINS.0 + size.0 + 24;
    let mut entries = vec![("trial".to_owned(), BLUE)];
    if result.trials.iter().any(|trial| trial.pruned) {
        entries.push(("pruned trial".to_owned(), FAINT_TEXT));
    }
    entries.extend(best.map(|_| ("best trial".to_owned(), VERMILION)));
    let svg_size = ((panel_width * panels.len() as i32) as u32, (HEAD_PIXELS + size.1 + LABEL_MARGINS.1) as u32);
    draw_svg(title, svg_size, |area| {
        draw_legend(area, &entries)?;
        for (index, x) in &panels {
            let corner = (LABEL_MARGINS.0 + *index as i32 * panel_width, HEAD_PIXELS);
            let chart = Chart { corner, size, x, y: &y };
            chart.draw_grid(area)?;
            let points: Vec<_> =
                result.trials.iter().zip(&scores).map(|(trial, score)| (trial.values[*index], *score)).collect();
            if !points.iter().any(is_finite_point) {
                chart.draw_empty(area)?;
            }
            // Draw the best trial last, so that no other trial hides it.
            let others = (0..points.len()).filter(|trial| Some(*trial) != best);
            for trial in others.chain(best).filter(|trial| is_finite_point(&points[*trial])) {
                let (value, score) = points[trial];
                let color = if Some(trial) == best {
                    VERMILION
                } else if result.trials[trial].pruned {
                    FAINT_TEXT
                } else {
                    BLUE
                };
                let pixel = |score: f64| chart.pixel((x.position(value), y.position(score)));
                let ends = [score - stds[trial], score + stds[trial]].map(pixel);
                area.draw(&PathElement::new(ends, color.stroke_width(1)))?;
                let radius = if Some(trial) == best { 5 } else { 3 };
                area.draw(&Circle::new(pixel(score), radius, color.filled()))?;
            }
        }
        Ok(())
    })
}

/// Returns the axis of a hyperparameter.
fn hyperparameter_axis<'a>(name: &'a str, result: &SearchResult, index: usize) -> Axis<'a> {
    let (low, high) = bounds(result.trials.iter().map(|trial| trial.values[index])).unwrap_or((0.0, 1.0));
    if low > 0.0 && high / low >= MIN_LOG_RATIO {
        return Axis::logarithmic(name, low / 1.1, high * 1.1);
    }
    let margin = 0.03 * (high - low);
    Axis::linear(name, low - margin, high + margin)
}

/// Plots the training losses of several networks over the epochs as SVG, each with its name.
///
/// The axis of the loss is logarithmic if the losses differ much.
pub fn loss_comparison(title: &str, histories: &[(&str, &History)]) -> String {
    let points = |history: &History| (1..).map(f64::from).zip(history.epochs.iter().map(|epoch| epoch.loss)).collect();
    let line = |((_, history), color): (&(&str, &History), &RGBColor)| Line {
        name: "loss",
        color: *color,
        points: points(history),
    };
    let lines: Vec<_> = histories.iter().zip(PALETTE.iter().cycle()).map(line).collect();
    let named = histories.iter().zip(&lines).map(|((name, _), line)| ((*name).to_owned(), line.color));
    let entries: Vec<_> = named.collect();
    let longest = histories.iter().map(|(_, history)| history.epochs.len()).max().unwrap_or(0);
    let (x, y) = (
        Axis::for_count("epoch", longest),
        Axis::for_losses("training loss", lines.iter().flat_map(|line| &line.points).map(|point| point.1)),
    );
    let size = (600, 320);
    draw_svg(title, ((LABEL_MARGINS.0 + size.0 + 24) as u32, (HEAD_PIXELS + size.1 + LABEL_MARGINS.1) as u32), |area| {
        draw_legend(area, &entries)?;
        Chart { corner: (LABEL_MARGINS.0, HEAD_PIXELS), size, x: &x, y: &y }.draw_lines(area, &lines, &[])
    })
}
