//! The scan of a table: it finds the missing cells and the number format of every column.

use rayon::prelude::*;

use crate::data::table::{
    number_format::{NumberFormat, parse_plain, split_symbol},
    raw_table::RawTable,
    settings::CsvSettings,
};

/// The number of cells that one thread scans at a time.
const CELLS_PER_THREAD: usize = 1 << 16;

/// Indices in [`NumberFormat::CANDIDATES`]: the formats that differ only in the meaning of the point or the comma.
const PLAIN: usize = 0;
const COMMA_GROUPS: usize = 1;
const COMMA_DECIMAL: usize = 2;
const POINT_GROUPS: usize = 3;

/// A bit mask of the candidates with a decimal point; bit i stands for candidate i.
const POINT_DECIMALS: u16 = {
    let (mut mask, mut i) = (0, 0);
    while i < NumberFormat::CANDIDATES.len() {
        mask |= ((NumberFormat::CANDIDATES[i].decimal == '.') as u16) << i;
        i += 1;
    }
    mask
};

/// Indices in [`ColumnCounts::grouped`].
const POINT: usize = 0;
const COMMA: usize = 1;

/// The result of the scan of one column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ColumnScan {
    /// The number of missing cells.
    pub missing: usize,
    /// The number format; `None` if a cell is not a number, or if all cells are missing.
    pub format: Option<NumberFormat>,
    /// A second format that fits all cells but gives different numbers.
    pub alternative: Option<NumberFormat>,
    /// The range of the numbers in `format`.
    pub numbers: NumberRange,
}

/// The range of the numbers of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NumberRange {
    /// The smallest number; infinite without numbers.
    pub min: f64,
    /// The largest number; negative infinite without numbers.
    pub max: f64,
    /// Whether f32 cannot represent one of the numbers exactly.
    pub is_inexact: bool,
}

impl NumberRange {
    /// The range without numbers.
    const EMPTY: Self = Self { min: f64::INFINITY, max: f64::NEG_INFINITY, is_inexact: false };

    fn add(&mut self, value: f64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.is_inexact |= f64::from(value as f32) != value;
    }

    fn merge(&mut self, other: Self) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.is_inexact |= other.is_inexact;
    }
}

/// A cell that is not a number, in a column with numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonNumber {
    /// The row of the cell.
    pub row: usize,
    /// The number format that fits most cells of the column.
    pub format: NumberFormat,
    /// The number of cells that this format fits.
    pub numbers: usize,
}

/// The counts of some cells of a column, from which its number format follows.
#[derive(Debug, Clone)]
struct ColumnCounts {
    missing: usize,
    present: usize,
    /// A bit mask of the candidates that fit every cell so far; bit i stands for candidate i.
    possible_formats: u16,
    /// The currency or percent sign of the cells so far.
    symbol: Option<char>,
    /// The number of cells with that sign.
    with_symbol: usize,
    /// The number of cells whose only mark may separate thousands: a point or a comma.
    grouped: [usize; 2],
    /// The largest whole number without a separator that has at most 3 digits.
    largest_small: Option<u16>,
    /// Whether a whole number without a separator has more than 3 digits.
    has_large: bool,
    /// The range of the cells that are numbers in the plain format.
    plain_numbers: NumberRange,
}

impl ColumnCounts {
    const EMPTY: Self = Self {
        missing: 0,
        present: 0,
        possible_formats: (1 << NumberFormat::CANDIDATES.len()) - 1,
        symbol: None,
        with_symbol: 0,
        grouped: [0; 2],
        largest_small: None,
        has_large: false,
        plain_numbers: NumberRange::EMPTY,
    };

    fn add(&mut self, cell: &str) {
        self.present += 1;
        if self.possible_formats == 0 {
            return;
        }
        let value = parse_plain(cell);
        if let Some(value) = value {
            self.plain_numbers.add(value);
        }
        let (symbol, bare) = if value.is_some() { (None, cell.into()) } else { split_symbol(cell) };
        if let Some(symbol) = symbol {
            self.with_symbol += 1;
            if *self.symbol.get_or_insert(symbol) != symbol {
                self.possible_formats = 0;
            }
        }
        let digits = bare.trim_start_matches(['-', '+']);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            self.add_whole_number(digits);
            return;
        }
        // A plain number has no mark but the decimal point, so it fits all formats with a decimal point.
        if value.is_some() && self.possible_formats & !POINT_DECIMALS == 0 {
            return;
        }
        self.grouped[POINT] += usize::from(self.is_possible(POINT_GROUPS) && is_grouped(POINT_GROUPS, &bare));
        // A plain number has no comma.
        self.grouped[COMMA] += usize::from(value.is_none() && is_grouped(COMMA_GROUPS, &bare));
        for (candidate, format) in NumberFormat::CANDIDATES.iter().enumerate() {
            // A plain number has no thousands separator, so it is the same number in all formats with a decimal point.
            let is_known_to_fit = value.is_some() && format.decimal == '.';
            if self.is_possible(candidate) && !is_known_to_fit && format.parse_bare(&bare).is_none() {
                self.possible_formats &= !(1 << candidate);
            }
        }
    }

    fn add_whole_number(&mut self, digits: &str) {
        match digits.parse::<u16>() {
            Ok(value) if digits.len() <= 3 => self.largest_small = self.largest_small.max(Some(value)),
            _ => self.has_large = true,
        }
    }

    fn merge(mut self, other: &Self) -> Self {
        self.missing += other.missing;
        self.present += other.present;
        self.possible_formats &= other.possible_formats;
        if let (Some(symbol), Some(other_symbol)) = (self.symbol, other.symbol)
            && symbol != other_symbol
        {
            self.possible_formats = 0;
        }
        self.symbol = self.symbol.or(other.symbol);
        self.with_symbol += other.with_symbol;
        self.grouped = [0, 1].map(|mark| self.grouped[mark] + other.grouped[mark]);
        self.largest_small = self.largest_small.max(other.largest_small);
        self.has_large |= other.has_large;
        self.plain_numbers.merge(other.plain_numbers);
        self
    }

    const fn is_possible(&self, candidate: usize) -> bool {
        self.possible_formats & 1 << candidate != 0
    }

    /// Returns the formats that fit every cell, in the order of preference.
    fn possible_number_formats(&self, settings: FormatSettings) -> impl Iterator<Item = NumberFormat> {
        let has_uniform_symbol = self.with_symbol == 0 || self.with_symbol == self.present;
        let has_numbers = self.present > 0 && has_uniform_symbol;
        NumberFormat::CANDIDATES.into_iter().enumerate().filter_map(move |(candidate, format)| {
            let is_possible = has_numbers && settings.allow(format) && self.is_possible(candidate);
            is_possible.then_some(format.with_symbol(self.symbol))
        })
    }

    fn can_have(&self, format: NumberFormat, settings: FormatSettings) -> bool {
        self.possible_number_formats(settings).any(|possible| possible == format)
    }
}

/// Returns whether a cell fits a candidate, has its thousands separator, and has no decimal mark.
fn is_grouped(candidate: usize, cell: &str) -> bool {
    let format = NumberFormat::CANDIDATES[candidate];
    format.thousands.is_some_and(|separator| cell.contains(separator))
        && !cell.contains(format.decimal)
        && format.parse_bare(cell).is_some()
}

/// The marks that the settings state for the numbers of a column.
#[derive(Clone, Copy)]
struct FormatSettings {
    decimal: Option<char>,
    thousands: Option<char>,
}

impl FormatSettings {
    fn new(settings: &CsvSettings, column_name: &str) -> Self {
        match settings.column_decimals.get(column_name) {
            Some(decimal) => Self { decimal: Some(*decimal), thousands: None },
            None => Self { decimal: settings.decimal, thousands: settings.thousands },
        }
    }

    fn allow(self, format: NumberFormat) -> bool {
        self.decimal.is_none_or(|decimal| decimal == format.decimal)
            && self.thousands.is_none_or(|thousands| format.thousands == Some(thousands))
    }
}

/// Evidence from all columns of a file about its decimal mark.
struct FileMarks {
    /// Whether there is a column whose cells are numbers only if the point is the decimal mark.
    point: bool,
    /// Whether there is a column whose cells are numbers only if the comma is the decimal mark.
    comma: bool,
    /// Whether a comma separates the cells.
    comma_separates_cells: bool,
}

/// The number format of a column.
struct FormatDecision {
    format: Option<NumberFormat>,
    /// A second format, if the cells alone do not decide between the two.
    alternative: Option<NumberFormat>,
}

impl FormatDecision {
    const NOT_NUMERIC: Self = Self { format: None, alternative: None };

    const fn unambiguous(format: NumberFormat) -> Self {
        Self { format: Some(format), alternative: None }
    }
}

/// Decides the number format of a column. Without `marks`, an ambiguous column counts as not numeric.
fn decide_format(counts: &ColumnCounts, settings: FormatSettings, marks: Option<&FileMarks>) -> FormatDecision {
    let Some(preferred) = counts.possible_number_formats(settings).next() else { return FormatDecision::NOT_NUMERIC };
    let candidate = |index: usize| NumberFormat::CANDIDATES[index].with_symbol(counts.symbol);
    // The ambiguous mark is the point or the comma. It is either the decimal mark or the thousands separator.
    let is_point = counts.is_possible(PLAIN);
    let (decimal, thousands, grouped) = if is_point {
        (candidate(PLAIN), candidate(POINT_GROUPS), counts.grouped[POINT])
    } else {
        (candidate(COMMA_DECIMAL), candidate(COMMA_GROUPS), counts.grouped[COMMA])
    };
    let is_ambiguous = grouped > 0 && counts.can_have(decimal, settings) && counts.can_have(thousands, settings);
    if !is_ambiguous {
        return FormatDecision::unambiguous(preferred);
    }
    let Some(marks) = marks else { return FormatDecision::NOT_NUMERIC };
    // In a column with thousands separators, only whole numbers below 1000 have no separator.
    let looks_grouped = counts.largest_small.is_some() && !counts.has_large;
    let (file_uses_mark, file_uses_other_mark) =
        if is_point { (marks.point, marks.comma) } else { (marks.comma, marks.point) };
    let is_thousands = match (file_uses_mark, file_uses_other_mark) {
        (true, false) => false,
        (false, true) => looks_grouped || !is_point || !marks.comma_separates_cells,
        (true, true) | (false, false) if is_point => looks_grouped && counts.largest_small >= Some(100),
        (true, true) | (false, false) => looks_grouped || marks.comma_separates_cells,
    };
    if is_thousands {
        return FormatDecision { format: Some(thousands), alternative: Some(decimal) };
    }
    // Report the alternative of a column with decimals only if there is evidence for it.
    let is_doubtful = !is_point || looks_grouped || file_uses_other_mark || !marks.comma_separates_cells;
    FormatDecision { format: Some(decimal), alternative: is_doubtful.then_some(thousands) }
}

/// Scans all cells of a table. A column with a format in `known_formats` keeps this format if it fits, and otherwise is
/// not numeric.
pub(crate) fn scan_columns(table: &RawTable, known_formats: &[Option<NumberFormat>]) -> Vec<ColumnScan> {
    let counts = count_cells(table);
    let settings = |column: usize| FormatSettings::new(&table.settings, &table.column_names[column]);
    let requires_decimal = |mark: char| {
        counts.iter().enumerate().any(|(column, counts)| {
            decide_format(counts, settings(column), None).format.is_some()
                && counts.possible_number_formats(settings(column)).all(|format| format.decimal == mark)
        })
    };
    let marks = FileMarks {
        point: requires_decimal('.'),
        comma: requires_decimal(','),
        comma_separates_cells: table.delimiter() == b',',
    };
    let scan = |(column, counts): (usize, &ColumnCounts)| {
        let decision = match known_formats.get(column).copied().flatten() {
            Some(format) if counts.can_have(format, settings(column)) => FormatDecision::unambiguous(format),
            Some(_) => FormatDecision::NOT_NUMERIC,
            None => decide_format(counts, settings(column), Some(&marks)),
        };
        let numbers = match decision.format {
            None => NumberRange::EMPTY,
            Some(NumberFormat::PLAIN) => counts.plain_numbers,
            Some(format) => number_range(table, column, format),
        };
        let FormatDecision { format, alternative } = decision;
        ColumnScan { missing: counts.missing, format, alternative, numbers }
    };
    counts.par_iter().enumerate().map(scan).collect()
}

fn count_cells(table: &RawTable) -> Vec<ColumnCounts> {
    let columns = table.column_names.len();
    let rows_per_chunk = (CELLS_PER_THREAD / columns).max(1);
    let count_chunk = |chunk: usize| {
        let mut counts = vec![ColumnCounts::EMPTY; columns];
        for row in chunk * rows_per_chunk..((chunk + 1) * rows_per_chunk).min(table.rows()) {
            for (column, counts) in counts.iter_mut().enumerate() {
                match table.present_cell(row, column) {
                    None => counts.missing += 1,
                    Some(cell) => counts.add(cell),
                }
            }
        }
        counts
    };
    let merge = |a: Vec<ColumnCounts>, b: Vec<ColumnCounts>| -> Vec<ColumnCounts> {
        a.into_iter().zip(&b).map(|(a, b)| a.merge(b)).collect()
    };
    let chunks = table.rows().div_ceil(rows_per_chunk);
    let counts = (0..chunks).into_par_iter().map(count_chunk).reduce_with(merge);
    counts.unwrap_or_else(|| vec![ColumnCounts::EMPTY; columns])
}

/// Returns the first cell of a column that is not a number in the format that fits most of its cells.
pub(crate) fn find_non_number(table: &RawTable, column: usize) -> Option<NonNumber> {
    let cells = || table.column_cells(column);
    let symbol = cells().flatten().find_map(|cell| split_symbol(cell).0);
    let mut formats = NumberFormat::CANDIDATES.to_vec();
    if symbol.is_some() {
        formats.extend(NumberFormat::CANDIDATES.map(|format| format.with_symbol(symbol)));
    }
    let mut best: Option<(NumberFormat, usize)> = None;
    for format in formats {
        let numbers = cells().flatten().filter(|cell| format.parse(cell).is_some()).count();
        if best.is_none_or(|(_, best_numbers)| numbers > best_numbers) {
            best = Some((format, numbers));
        }
    }
    let (format, numbers) = best?;
    let row = cells().position(|cell| cell.is_some_and(|cell| format.parse(cell).is_none()))?;
    Some(NonNumber { row, format, numbers })
}

/// Returns the range of the numbers in a column, parsed in the given format.
pub(crate) fn number_range(table: &RawTable, column: usize, format: NumberFormat) -> NumberRange {
    let mut range = NumberRange::EMPTY;
    for value in table.column_cells(column).flatten().filter_map(|cell| format.parse(cell)) {
        range.add(value);
    }
    range
}
