//! What a search has found, and how some trainings went beside each other.

use plotters::prelude::*;

use crate::{
    plot::{
        BLUE, FAINT_TEXT, HEAD_PIXELS, PALETTE, VERMILION,
        axis::{Axis, bounds},
        chart::{Chart, LABEL_MARGINS, Line, is_finite_point},
        draw_legend, draw_svg,
    },
    search::result::SearchResult,
    train::{history::History, policies::Monitor},
};

/// Above this ratio of the largest value to the smallest they are drawn by their logarithms.
const MIN_LOG_RATIO: f64 = 20.0;

/// What each combination of a search was judged by, over the values of each number that was tried: a panel a number. An
/// upright line through a point is the standard deviation over the folds. Those that were dropped are grey, and what
/// diverged is not drawn.
pub fn search(title: &str, result: &SearchResult) -> String {
    let share = if result.monitor == Monitor::ValidationAccuracy { 100.0 } else { 1.0 };
    let scores: Vec<_> = result.trials.iter().map(|trial| share * trial.scores.mean(result.monitor)).collect();
    let spreads: Vec<_> = result.trials.iter().map(|trial| share * trial.scores.std(result.monitor)).collect();
    let best = result.best_index();
    let what = if share > 1.0 { format!("{} in %", result.monitor) } else { result.monitor.to_string() };
    let heights = || scores.iter().zip(&spreads).flat_map(|(score, spread)| [score - spread, score + spread]);
    let y = match result.monitor {
        Monitor::ValidationLoss => Axis::for_losses(&what, heights()),
        _ => {
            let (low, high) = bounds(heights()).unwrap_or((0.0, share));
            let margin = 0.04 * (high - low);
            Axis::linear(&what, low - margin, (high + margin).min(share))
        }
    };
    let panels: Vec<_> = result
        .hyperparameters
        .iter()
        .enumerate()
        .map(|(at, name)| (at, hyperparameter_axis(name, result, at)))
        .collect();
    let size = if panels.len() > 1 { (376, 300) } else { (600, 320) };
    let wide = LABEL_MARGINS.0 + size.0 + 24;
    let mut entries = vec![("tried".to_owned(), BLUE)];
    if result.trials.iter().any(|trial| trial.pruned) {
        entries.push(("dropped before the end".to_owned(), FAINT_TEXT));
    }
    entries.extend(best.map(|_| ("the best".to_owned(), VERMILION)));
    draw_svg(title, ((wide * panels.len() as i32) as u32, (HEAD_PIXELS + size.1 + LABEL_MARGINS.1) as u32), |area| {
        draw_legend(area, &entries)?;
        for (at, x) in &panels {
            let chart = Chart { corner: (LABEL_MARGINS.0 + *at as i32 * wide, HEAD_PIXELS), size, x, y: &y };
            chart.draw_grid(area)?;
            let points: Vec<_> =
                result.trials.iter().zip(&scores).map(|(trial, score)| (trial.values[*at], *score)).collect();
            if !points.iter().any(is_finite_point) {
                chart.draw_empty(area)?;
            }
            // The best is drawn last, so that nothing hides it.
            let others = (0..points.len()).filter(|number| Some(*number) != best);
            for number in others.chain(best).filter(|number| is_finite_point(&points[*number])) {
                let (value, score) = points[number];
                let colour = match (Some(number) == best, result.trials[number].pruned) {
                    (true, _) => VERMILION,
                    (_, true) => FAINT_TEXT,
                    _ => BLUE,
                };
                let pixel = |score: f64| chart.pixel((x.position(value), y.position(score)));
                let ends = [score - spreads[number], score + spreads[number]].map(pixel);
                area.draw(&PathElement::new(ends, colour.stroke_width(1)))?;
                let radius = if Some(number) == best { 5 } else { 3 };
                area.draw(&Circle::new(pixel(score), radius, colour.filled()))?;
            }
        }
        Ok(())
    })
}

/// The axis of a number that was tried.
fn hyperparameter_axis<'a>(name: &'a str, result: &SearchResult, at: usize) -> Axis<'a> {
    let (low, high) = bounds(result.trials.iter().map(|trial| trial.values[at])).unwrap_or((0.0, 1.0));
    if low > 0.0 && high / low >= MIN_LOG_RATIO {
        return Axis::logarithmic(name, low / 1.1, high * 1.1);
    }
    let margin = 0.03 * (high - low);
    Axis::linear(name, low - margin, high + margin)
}

/// The training losses of some networks over the epochs, each with its name. Losses that differ much are drawn by their
/// logarithms.
pub fn loss_comparison(title: &str, histories: &[(&str, &History)]) -> String {
    let points = |history: &History| (1..).map(f64::from).zip(history.epochs.iter().map(|epoch| epoch.loss)).collect();
    let line = |((_, history), colour): (&(&str, &History), &RGBColor)| Line {
        name: "loss",
        color: *colour,
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
