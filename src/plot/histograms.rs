//! Histograms of the activations and gradients of every layer.

use plotters::prelude::*;

use crate::{
    plot::{
        Area, BLUE, CENTER, DrawResult, FAINT_TEXT, FRAME, LEFT, RIGHT, TEXT, VERMILION, axis::format_tick, draw_svg,
        truncate_text, write_text,
    },
    train::histogram::{LayerHistogram, LayerQuantity},
};

/// The width and height of a panel.
const PANEL_PIXELS: (i32, i32) = (540, 150);

/// The maximum height of a bar.
const BAR_PIXELS: i32 = 78;

/// Plots the histograms of [`Trainer::histograms`](crate::train::Trainer::histograms), or some of them, as SVG. Each
/// layer is one row, with activations on the left and gradients on the right.
///
/// The height of a bar is proportional to the count of its bin. Exact zeros are in no bin; the line above states their
/// count.
pub fn histograms(title: &str, histograms: &[LayerHistogram]) -> String {
    let mut layers: Vec<usize> = histograms.iter().map(|histogram| histogram.layer).collect();
    layers.sort_unstable();
    layers.dedup();
    let height = 48 + PANEL_PIXELS.1 * layers.len().max(1) as i32 + 8;
    draw_svg(title, (2 * PANEL_PIXELS.0 as u32 + 20, height as u32), |area| {
        if histograms.is_empty() {
            write_text(area, "nothing to show", (16, FAINT_TEXT, CENTER), (PANEL_PIXELS.0 + 10, height / 2))?;
        }
        histograms.iter().try_for_each(|histogram| {
            let row = layers.iter().position(|layer| *layer == histogram.layer).unwrap_or(0) as i32;
            let column = match histogram.quantity {
                LayerQuantity::Activations => 0,
                LayerQuantity::Gradients => 1,
            };
            draw_panel(
                area,
                histogram,
                (10 + column * PANEL_PIXELS.0, 48 + row * PANEL_PIXELS.1),
                [BLUE, VERMILION][column as usize],
            )
        })
    })
}

fn draw_panel(area: &Area<'_>, histogram: &LayerHistogram, (left, top): (i32, i32), color: RGBColor) -> DrawResult {
    let (left, width) = (left + 16, PANEL_PIXELS.0 - 32);
    let text = histogram.to_string();
    write_text(area, &truncate_text(&text, 13, f64::from(width)), (13, TEXT, LEFT), (left, top + 12))?;
    let (bars_top, bars_bottom) = (top + 26, top + 26 + BAR_PIXELS);
    let max_count = histogram.counts.iter().copied().max().unwrap_or(0);
    let (first, last) = (histogram.edges.first().copied(), histogram.edges.last().copied());
    let Some((min, max)) = first.zip(last).filter(|_| max_count > 0) else {
        let middle = (left + width / 2, (bars_top + bars_bottom) / 2);
        write_text(area, "no nonzero values", (14, FAINT_TEXT, CENTER), middle)?;
        return area.draw(&PathElement::new([(left, bars_bottom), (left + width, bars_bottom)], FRAME));
    };
    let bins = histogram.counts.len();
    let bin_x = |bin: usize| left + (bin as f64 * f64::from(width) / bins as f64).round() as i32;
    for (bin, count) in histogram.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        // Every bin that is not empty has a visible bar.
        let height = (*count as f64 / max_count as f64 * f64::from(BAR_PIXELS)).round().max(1.0) as i32;
        let gap = i32::from(width >= 4 * bins as i32);
        let right = (bin_x(bin + 1) - gap).max(bin_x(bin) + 1);
        let corners = [(bin_x(bin), bars_bottom - height), (right, bars_bottom)];
        area.draw(&Rectangle::new(corners, color.filled()))?;
    }
    area.draw(&PathElement::new([(left, bars_bottom), (left + width, bars_bottom)], FRAME))?;
    // The sum of the halves cannot overflow.
    let middle = min / 2.0 + max / 2.0;
    let size = min.abs().max(max.abs());
    for (position, value, anchor) in [(0.0, min, LEFT), (0.5, middle, CENTER), (1.0, max, RIGHT)] {
        let x = left + (position * f64::from(width)) as i32;
        area.draw(&PathElement::new([(x, bars_bottom), (x, bars_bottom + 4)], FRAME))?;
        write_text(area, &format_tick(value, size / 100.0, size), (13, TEXT, anchor), (x, bars_bottom + 14))?;
    }
    Ok(())
}
