//! What a search has found, and how some trainings went beside each other.

use plotters::prelude::*;

use crate::{
    plot::{
        BLUE, FAINT, HEAD, PALETTE, VERMILION,
        axis::{Axis, bounds},
        chart::{Chart, LABELS, Line, is_there},
        legend, svg,
    },
    search::result::Findings,
    train::{history::History, policies::Monitor},
};

/// Above this ratio of the largest value to the smallest they are drawn by their logarithms.
const LOGARITHMIC: f64 = 20.0;

/// What each combination of a search was judged by, over the values of each number that was tried: a panel a number. An
/// upright line through a point is the standard deviation over the folds. Those that were dropped are grey, and what
/// diverged is not drawn.
pub fn search(title: &str, findings: &Findings) -> String {
    let share = if findings.monitor == Monitor::ValidationAccuracy { 100.0 } else { 1.0 };
    let scores: Vec<_> = findings.trials.iter().map(|trial| share * trial.scores.mean(findings.monitor)).collect();
    let spreads: Vec<_> = findings.trials.iter().map(|trial| share * trial.scores.spread(findings.monitor)).collect();
    let best = findings.best_number();
    let what = if share > 1.0 { format!("{} in %", findings.monitor) } else { findings.monitor.to_string() };
    let heights = || scores.iter().zip(&spreads).flat_map(|(score, spread)| [score - spread, score + spread]);
    let y = match findings.monitor {
        Monitor::ValidationLoss => Axis::of_losses(&what, heights()),
        _ => {
            let (low, high) = bounds(heights()).unwrap_or((0.0, share));
            let margin = 0.04 * (high - low);
            Axis::linear(&what, low - margin, (high + margin).min(share))
        }
    };
    let panels: Vec<_> = findings.names.iter().enumerate().map(|(at, name)| (at, over(name, findings, at))).collect();
    let size = if panels.len() > 1 { (376, 300) } else { (600, 320) };
    let wide = LABELS.0 + size.0 + 24;
    let mut entries = vec![("tried".to_owned(), BLUE)];
    if findings.trials.iter().any(|trial| trial.dropped) {
        entries.push(("dropped before the end".to_owned(), FAINT));
    }
    entries.extend(best.map(|_| ("the best".to_owned(), VERMILION)));
    svg(title, ((wide * panels.len() as i32) as u32, (HEAD + size.1 + LABELS.1) as u32), |area| {
        legend(area, &entries)?;
        for (at, x) in &panels {
            let chart = Chart { corner: (LABELS.0 + *at as i32 * wide, HEAD), size, x, y: &y };
            chart.grid(area)?;
            let points: Vec<_> =
                findings.trials.iter().zip(&scores).map(|(trial, score)| (trial.values[*at], *score)).collect();
            if !points.iter().any(is_there) {
                chart.nothing(area)?;
            }
            // The best is drawn last, so that nothing hides it.
            let others = (0..points.len()).filter(|number| Some(*number) != best);
            for number in others.chain(best).filter(|number| is_there(&points[*number])) {
                let (value, score) = points[number];
                let colour = match (Some(number) == best, findings.trials[number].dropped) {
                    (true, _) => VERMILION,
                    (_, true) => FAINT,
                    _ => BLUE,
                };
                let pixel = |score: f64| chart.at((x.at(value), y.at(score)));
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
fn over<'a>(name: &'a str, findings: &Findings, at: usize) -> Axis<'a> {
    let (low, high) = bounds(findings.trials.iter().map(|trial| trial.values[at])).unwrap_or((0.0, 1.0));
    if low > 0.0 && high / low >= LOGARITHMIC {
        return Axis::logarithmic(name, low / 1.1, high * 1.1);
    }
    let margin = 0.03 * (high - low);
    Axis::linear(name, low - margin, high + margin)
}

/// The training losses of some networks over the epochs, each with its name. Losses that differ much are drawn by their
/// logarithms.
pub fn losses(title: &str, histories: &[(&str, &History)]) -> String {
    let points = |history: &History| (1..).map(f64::from).zip(history.epochs.iter().map(|epoch| epoch.loss)).collect();
    let line = |((_, history), colour): (&(&str, &History), &RGBColor)| Line {
        name: "loss",
        colour: *colour,
        points: points(history),
    };
    let lines: Vec<_> = histories.iter().zip(PALETTE.iter().cycle()).map(line).collect();
    let named = histories.iter().zip(&lines).map(|((name, _), line)| ((*name).to_owned(), line.colour));
    let entries: Vec<_> = named.collect();
    let longest = histories.iter().map(|(_, history)| history.epochs.len()).max().unwrap_or(0);
    let (x, y) = (
        Axis::counted("epoch", longest),
        Axis::of_losses("training loss", lines.iter().flat_map(|line| &line.points).map(|point| point.1)),
    );
    let size = (600, 320);
    svg(title, ((LABELS.0 + size.0 + 24) as u32, (HEAD + size.1 + LABELS.1) as u32), |area| {
        legend(area, &entries)?;
        Chart { corner: (LABELS.0, HEAD), size, x: &x, y: &y }.lines(area, &lines, &[])
    })
}
