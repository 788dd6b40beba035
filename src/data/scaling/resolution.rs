//! The resolution of f32: columns whose values are so far from 0 that f32 rounds different values to the same number.

use crate::data::features::MAX_EXACT_INTEGER;

/// The ratio of the largest absolute value to the range from which a column always needs an offset. From this ratio on,
/// the range contains fewer than 2^14 different f32.
const MAX_DISTANCE_RATIO: f64 = 1024.0;

/// Returns the number to subtract in f64 from values in `[min, max]` before they are rounded to f32, so that different
/// values stay different. It is 0 if they stay different without it.
///
/// `values` returns the values. It is called only if the range does not decide.
pub(crate) fn resolution_offset([min, max]: [f64; 2], values: impl FnOnce() -> Vec<f64>) -> f32 {
    let (range, max_abs) = (max - min, max.abs().max(min.abs()));
    if !range.is_finite() || max_abs <= 4.0 * range || range == 0.0 {
        return 0.0;
    }
    let has_equal_f32 = || {
        let mut values = values();
        values.sort_unstable_by(f64::total_cmp);
        values.windows(2).any(|pair| pair[0] != pair[1] && pair[0] as f32 == pair[1] as f32)
    };
    if max_abs > MAX_DISTANCE_RATIO * range || has_equal_f32() { min as f32 } else { 0.0 }
}

/// Returns the origin of each column of rows in f64, or an empty vector if every origin is 0.
pub(crate) fn column_origins(rows: &[f64], columns: usize) -> Vec<f32> {
    let mut ranges = vec![[f64::INFINITY, f64::NEG_INFINITY]; columns];
    let mut are_inexact = vec![false; columns];
    for row in rows.chunks_exact(columns) {
        for ((value, range), is_inexact) in row.iter().zip(&mut ranges).zip(&mut are_inexact) {
            *range = [range[0].min(*value), range[1].max(*value)];
            *is_inexact |= f64::from(*value as f32) != *value;
        }
    }
    let origin = |column: usize| {
        let values = || rows.iter().skip(column).step_by(columns).copied().collect();
        if are_inexact[column] { resolution_offset(ranges[column], values) } else { 0.0 }
    };
    let origins: Vec<f32> = (0..columns).map(origin).collect();
    if origins.iter().all(|origin| *origin == 0.0) { Vec::new() } else { origins }
}

/// Logs a warning for each column of f32 whose values are so far from 0, compared with their range, that f32 cannot
/// distinguish them. The caller then probably rounded different values to the same number.
pub(crate) fn warn_about_lost_values(rows: &[f32], columns: usize) {
    if rows.iter().fold(0.0f32, |max, value| max.max(value.abs())) < MAX_EXACT_INTEGER {
        return;
    }
    for column in 0..columns {
        let values = || rows.iter().skip(column).step_by(columns).copied();
        let (min, max) =
            values().fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), value| (min.min(value), max.max(value)));
        let max_abs = max.abs().max(min.abs());
        if max_abs < MAX_EXACT_INTEGER || f64::from(max_abs) < MAX_DISTANCE_RATIO * (f64::from(max) - f64::from(min)) {
            continue;
        }
        let mut distinct: Vec<f32> = values().collect();
        distinct.sort_unstable_by(f32::total_cmp);
        distinct.dedup();
        if distinct.len() * columns < rows.len() {
            log::warn!(
                "feature {column}: {} rows have only {} distinct values near {max_abs:e}, where f32 numbers are {} apart; \
                 pass the features as f64 with a scaler, or subtract an offset before rounding to f32",
                rows.len() / columns,
                distinct.len(),
                f32::from_bits(max_abs.to_bits() + 1) - max_abs
            );
        }
    }
}
