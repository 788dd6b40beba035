//! Charts: a rectangle between two axes, with lines in it.

use plotters::{prelude::*, style::FontTransform};

use crate::plot::{Area, CENTER, DrawResult, FAINT_TEXT, FRAME, GRID, RIGHT, TEXT, axis::Axis, text_style, write_text};

/// The maximum number of points of a line. A longer line is divided into half as many intervals, and drawn through the
/// minimum and the maximum of each.
const MAX_POINTS: usize = 2000;

/// The maximum number of points of a line whose points are drawn as dots.
const MAX_DOTS: usize = 10;

/// The pixels for the labels of the axes, on the left and below.
pub(crate) const LABEL_MARGINS: (i32, i32) = (84, 48);

/// A line through points.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) color: RGBColor,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A rectangle between two axes.
pub(crate) struct Chart<'a> {
    pub(crate) corner: (i32, i32),
    pub(crate) size: (i32, i32),
    pub(crate) x: &'a Axis<'a>,
    pub(crate) y: &'a Axis<'a>,
}

impl Chart<'_> {
    /// Returns the pixel at positions in `[0, 1]`, counted from the lower left.
    pub(crate) fn pixel(&self, (x, y): (f64, f64)) -> (i32, i32) {
        let interpolate = |start: i32, size: i32, position: f64| start + (f64::from(size) * position).round() as i32;
        (interpolate(self.corner.0, self.size.0, x), interpolate(self.corner.1, self.size.1, 1.0 - y))
    }

    /// Draws the frame, and the labels and ticks of the axes.
    pub(crate) fn draw_frame(&self, area: &Area<'_>) -> DrawResult {
        area.draw(&Rectangle::new([self.pixel((0.0, 1.0)), self.pixel((1.0, 0.0))], FRAME))?;
        for (position, label) in &self.x.ticks {
            let (x, y) = self.pixel((*position, 0.0));
            area.draw(&PathElement::new([(x, y), (x, y + 5)], FRAME))?;
            write_text(area, label, (14, TEXT, CENTER), (x, y + 16))?;
        }
        for (position, label) in &self.y.ticks {
            let (x, y) = self.pixel((0.0, *position));
            area.draw(&PathElement::new([(x - 5, y), (x, y)], FRAME))?;
            write_text(area, label, (14, TEXT, RIGHT), (x - 9, y))?;
        }
        let (middle, bottom) = self.pixel((0.5, 0.0));
        write_text(area, self.x.label, (15, TEXT, CENTER), (middle, bottom + 38))?;
        let (left, middle) = self.pixel((0.0, 0.5));
        let rotated = text_style(15, TEXT).transform(FontTransform::Rotate270).pos(CENTER);
        area.draw_text(self.y.label, &rotated, (left - LABEL_MARGINS.0 + 16, middle))
    }

    /// Draws the frame and the grid.
    pub(crate) fn draw_grid(&self, area: &Area<'_>) -> DrawResult {
        for (y, _) in &self.y.ticks {
            area.draw(&PathElement::new([self.pixel((0.0, *y)), self.pixel((1.0, *y))], GRID))?;
        }
        for (x, _) in &self.x.ticks {
            area.draw(&PathElement::new([self.pixel((*x, 0.0)), self.pixel((*x, 1.0))], GRID))?;
        }
        self.draw_frame(area)
    }

    /// Draws the frame, the grid and the lines, and a vertical line at every x value of `marks`.
    pub(crate) fn draw_lines(&self, area: &Area<'_>, lines: &[Line], marks: &[(f64, RGBColor)]) -> DrawResult {
        self.draw_grid(area)?;
        for (value, color) in marks {
            let x = self.x.position(*value);
            area.draw(&PathElement::new([self.pixel((x, 0.0)), self.pixel((x, 1.0))], color.stroke_width(2)))?;
        }
        self.draw_strokes(area, lines)?;
        if lines.iter().flat_map(|line| &line.points).any(is_finite_point) {
            return Ok(());
        }
        self.draw_empty(area)
    }

    /// Writes that the chart has no data.
    pub(crate) fn draw_empty(&self, area: &Area<'_>) -> DrawResult {
        write_text(area, "nothing to show", (16, FAINT_TEXT, CENTER), self.pixel((0.5, 0.5)))
    }

    /// Draws only the lines. A point that is not finite leaves a gap.
    pub(crate) fn draw_strokes(&self, area: &Area<'_>, lines: &[Line]) -> DrawResult {
        for line in lines {
            for piece in line
                .points
                .chunk_by(|a, b| is_finite_point(a) == is_finite_point(b))
                .filter(|piece| is_finite_point(&piece[0]))
            {
                let points =
                    thin_out(piece).into_iter().map(|(a, b)| self.pixel((self.x.position(a), self.y.position(b))));
                let points: Vec<_> = points.collect();
                if piece.len() == 1 || line.points.len() <= MAX_DOTS {
                    points.iter().try_for_each(|pixel| area.draw(&Circle::new(*pixel, 3, line.color.filled())))?;
                }
                area.draw(&PathElement::new(points, line.color.stroke_width(2)))?;
            }
        }
        Ok(())
    }
}

/// Returns whether both coordinates of a point are finite.
pub(crate) fn is_finite_point((x, y): &(f64, f64)) -> bool {
    x.is_finite() && y.is_finite()
}

/// Returns at most about [`MAX_POINTS`] of the points, so that a line through them looks the same.
fn thin_out(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    let interval_len = points.len().div_ceil(MAX_POINTS / 2);
    let mut thinned = Vec::with_capacity(MAX_POINTS);
    for interval in points.chunks(interval_len) {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let extremes = [interval.iter().min_by(by_height), interval.iter().max_by(by_height)];
        let mut extremes = extremes.into_iter().flatten().copied().collect::<Vec<_>>();
        extremes.sort_by(|a, b| a.0.total_cmp(&b.0));
        thinned.extend(extremes);
    }
    thinned
}
