//! A rectangle between two axes, and lines in it.

use plotters::{prelude::*, style::FontTransform};

use crate::plot::{Area, CENTER, DrawResult, FAINT_TEXT, FRAME, GRID, RIGHT, TEXT, axis::Axis, text_style, write_text};

/// Above this number of points a line is drawn through the least and the largest of each of half as many stretches.
const MAX_POINTS: usize = 2000;

/// Up to so many points each is a dot as well.
const MAX_DOTS: usize = 10;

/// How much room the labels of the axes take, on the left and below.
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
    /// The pixel at places from 0 to 1, from the lower left.
    pub(crate) fn pixel(&self, (x, y): (f64, f64)) -> (i32, i32) {
        let along = |from: i32, size: i32, place: f64| from + (f64::from(size) * place).round() as i32;
        (along(self.corner.0, self.size.0, x), along(self.corner.1, self.size.1, 1.0 - y))
    }

    /// Draws the frame, and the names and ticks of the axes.
    pub(crate) fn draw_frame(&self, area: &Area<'_>) -> DrawResult {
        area.draw(&Rectangle::new([self.pixel((0.0, 1.0)), self.pixel((1.0, 0.0))], FRAME))?;
        for (place, label) in &self.x.ticks {
            let (x, y) = self.pixel((*place, 0.0));
            area.draw(&PathElement::new([(x, y), (x, y + 5)], FRAME))?;
            write_text(area, label, (14, TEXT, CENTER), (x, y + 16))?;
        }
        for (place, label) in &self.y.ticks {
            let (x, y) = self.pixel((0.0, *place));
            area.draw(&PathElement::new([(x - 5, y), (x, y)], FRAME))?;
            write_text(area, label, (14, TEXT, RIGHT), (x - 9, y))?;
        }
        let (middle, foot) = self.pixel((0.5, 0.0));
        write_text(area, self.x.label, (15, TEXT, CENTER), (middle, foot + 38))?;
        let (left, middle) = self.pixel((0.0, 0.5));
        let upright = text_style(15, TEXT).transform(FontTransform::Rotate270).pos(CENTER);
        area.draw_text(self.y.label, &upright, (left - LABEL_MARGINS.0 + 16, middle))
    }

    /// Draws the frame and a grid in it.
    pub(crate) fn draw_grid(&self, area: &Area<'_>) -> DrawResult {
        for (place, _) in &self.y.ticks {
            area.draw(&PathElement::new([self.pixel((0.0, *place)), self.pixel((1.0, *place))], GRID))?;
        }
        for (place, _) in &self.x.ticks {
            area.draw(&PathElement::new([self.pixel((*place, 0.0)), self.pixel((*place, 1.0))], GRID))?;
        }
        self.draw_frame(area)
    }

    /// Draws the frame and lines in it, and upright ones at the places `marks` of x.
    pub(crate) fn draw_lines(&self, area: &Area<'_>, lines: &[Line], marks: &[(f64, RGBColor)]) -> DrawResult {
        self.draw_grid(area)?;
        for (at, colour) in marks {
            let place = self.x.position(*at);
            area.draw(&PathElement::new([self.pixel((place, 0.0)), self.pixel((place, 1.0))], colour.stroke_width(2)))?;
        }
        self.draw_strokes(area, lines)?;
        if lines.iter().flat_map(|line| &line.points).any(is_finite_point) {
            return Ok(());
        }
        self.draw_empty(area)
    }

    /// Says that there is nothing in it.
    pub(crate) fn draw_empty(&self, area: &Area<'_>) -> DrawResult {
        write_text(area, "nothing to show", (16, FAINT_TEXT, CENTER), self.pixel((0.5, 0.5)))
    }

    /// Draws lines alone. One ends where a number is not finite, and goes on behind it.
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
                    points.iter().try_for_each(|at| area.draw(&Circle::new(*at, 3, line.color.filled())))?;
                }
                area.draw(&PathElement::new(points, line.color.stroke_width(2)))?;
            }
        }
        Ok(())
    }
}

/// Whether a point can be drawn.
pub(crate) fn is_finite_point((x, y): &(f64, f64)) -> bool {
    x.is_finite() && y.is_finite()
}

/// So many of the points that a line through them looks the same.
fn thin_out(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(MAX_POINTS / 2);
    let ends = points.chunks(stretch).flat_map(|points| {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let mut ends = [points.iter().min_by(by_height), points.iter().max_by(by_height)];
        ends.sort_by(|a, b| a.map_or(0.0, |a| a.0).total_cmp(&b.map_or(0.0, |b| b.0)));
        ends.into_iter().flatten()
    });
    ends.copied().collect()
}
