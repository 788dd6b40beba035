//! How the numbers of every layer are spread.

use plotters::prelude::*;

use crate::{
    plot::{
        Area, BLUE, CENTER, DrawResult, FAINT_TEXT, FRAME, LEFT, RIGHT, TEXT, VERMILION, axis::format_tick, draw_svg,
        truncate_text, write_text,
    },
    train::histogram::{LayerHistogram, LayerQuantity},
};

/// A panel's width and height, and how high its bars may be.
const PANEL_PIXELS: (i32, i32) = (540, 150);
const BAR_PIXELS: i32 = 78;

/// Draws the histograms that [`Trainer::histograms`](crate::train::Trainer::histograms) gives, or some of them: a row for each
/// layer, its activations on the left and its gradients on the right. Bars are as high as their bin is full, the fullest as
/// high as there is room; exact zeros are in no bar, but in the line above.
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

fn draw_panel(area: &Area<'_>, histogram: &LayerHistogram, (left, top): (i32, i32), colour: RGBColor) -> DrawResult {
    let (left, wide) = (left + 16, PANEL_PIXELS.0 - 32);
    let text = histogram.to_string();
    write_text(area, &truncate_text(&text, 13, f64::from(wide)), (13, TEXT, LEFT), (left, top + 12))?;
    let (above, foot) = (top + 26, top + 26 + BAR_PIXELS);
    let most = histogram.counts.iter().copied().max().unwrap_or(0);
    let (first, last) = (histogram.edges.first().copied(), histogram.edges.last().copied());
    let Some((least, largest)) = first.zip(last).filter(|_| most > 0) else {
        let middle = (left + wide / 2, (above + foot) / 2);
        write_text(area, "nothing but zeros, or nothing at all", (14, FAINT_TEXT, CENTER), middle)?;
        return area.draw(&PathElement::new([(left, foot), (left + wide, foot)], FRAME));
    };
    let bins = histogram.counts.len();
    let at = |bin: usize| left + (bin as f64 * f64::from(wide) / bins as f64).round() as i32;
    for (bin, count) in histogram.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        // A bin that is not empty is seen, however full the others are.
        let height = (*count as f64 / most as f64 * f64::from(BAR_PIXELS)).round().max(1.0) as i32;
        let gap = i32::from(wide >= 4 * bins as i32);
        let corners = [(at(bin), foot - height), ((at(bin + 1) - gap).max(at(bin) + 1), foot)];
        area.draw(&Rectangle::new(corners, colour.filled()))?;
    }
    area.draw(&PathElement::new([(left, foot), (left + wide, foot)], FRAME))?;
    // Halves, since the difference of two finite numbers need not be one.
    let (a, b) = (least / 2.0, largest / 2.0);
    let size = least.abs().max(largest.abs());
    for (place, value, anchor) in [(0.0, least, LEFT), (0.5, a + b, CENTER), (1.0, largest, RIGHT)] {
        let x = left + (place * f64::from(wide)) as i32;
        area.draw(&PathElement::new([(x, foot), (x, foot + 4)], FRAME))?;
        write_text(area, &format_tick(value, size / 100.0, size), (13, TEXT, anchor), (x, foot + 14))?;
    }
    Ok(())
}
