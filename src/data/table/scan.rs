//! One pass over the cells of a table: what each column holds, and how its numbers are written.

use rayon::prelude::*;

use crate::data::table::{
    Table,
    number_format::{NumberFormat, parse_plain, split_symbol},
    settings::CsvSettings,
};

/// The cells that one thread looks at before the next takes over.
const CELLS_PER_THREAD: usize = 1 << 16;

/// Places in [`NumberFormat::CANDIDATES`]: the formats between which a point or a comma alone does not decide.
const PLAIN: usize = 0;
const COMMA_GROUPS: usize = 1;
const COMMA_DECIMAL: usize = 2;
const POINT_GROUPS: usize = 3;

/// Bit i: candidate i has a decimal point.
const POINT_DECIMALS: u16 = {
    let (mut bits, mut at) = (0, 0);
    while at < NumberFormat::CANDIDATES.len() {
        bits |= ((NumberFormat::CANDIDATES[at].decimal == '.') as u16) << at;
        at += 1;
    }
    bits
};

/// Places in [`CheckpointCounts::grouped`].
const POINT: usize = 0;
const COMMA: usize = 1;

/// What one pass found in a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scan {
    /// Missing cells.
    pub missing: usize,
    /// How its numbers are written; none if a cell is not a number or all are missing.
    pub format: Option<NumberFormat>,
    /// Another format in which the same cells are other numbers.
    pub alternative: Option<NumberFormat>,
    /// The smallest and the largest number.
    pub range: [f64; 2],
    /// Whether a number is not an f32.
    pub is_inexact: bool,
}

/// A cell that is not a number in a column whose other cells may be numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonNumber {
    /// The row of the cell.
    pub row: usize,
    /// The number format that most cells of the column have.
    pub format: NumberFormat,
    /// How many cells have it.
    pub numbers: usize,
}

/// What is known of a column after some of its cells.
#[derive(Debug, Clone)]
struct ColumnCounts {
    missing: usize,
    present: usize,
    /// Bit i: every cell so far is a number in candidate i.
    possible_formats: u16,
    /// The sign that every cell so far has, and how many cells have it.
    symbol: Option<char>,
    with_symbol: usize,
    /// Cells with a decimal point or comma that could separate thousands.
    grouped: [usize; 2],
    /// Whole numbers without a separator: the largest of at most three digits, and whether one has more.
    largest_small: Option<u16>,
    has_large: bool,
    /// Of the numbers in plain format.
    range: [f64; 2],
    is_inexact: bool,
}

impl ColumnCounts {
    const NEW: Self = Self {
        missing: 0,
        present: 0,
        possible_formats: (1 << NumberFormat::CANDIDATES.len()) - 1,
        symbol: None,
        with_symbol: 0,
        grouped: [0; 2],
        largest_small: None,
        has_large: false,
        range: [f64::INFINITY, f64::NEG_INFINITY],
        is_inexact: false,
    };

    fn add(&mut self, cell: &str) {
        self.present += 1;
        if self.possible_formats == 0 {
            return;
        }
        let value = parse_plain(cell);
        if let Some(value) = value {
            self.range = [self.range[0].min(value), self.range[1].max(value)];
            self.is_inexact |= f64::from(value as f32) != value;
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
            self.add_whole(digits);
            return;
        }
        // Then it rules nothing out that was still possible: it has a decimal point, and no other mark.
        if value.is_some() && self.possible_formats & !POINT_DECIMALS == 0 {
            return;
        }
        // A cell that is a plain number has no comma.
        self.grouped[POINT] += usize::from(self.is_possible(POINT_GROUPS) && is_grouped(POINT_GROUPS, &bare));
        self.grouped[COMMA] += usize::from(value.is_none() && is_grouped(COMMA_GROUPS, &bare));
        for (at, format) in NumberFormat::CANDIDATES.iter().enumerate() {
            // It has no separator of thousands either, so it is the same number in every format with a decimal point.
            let is_same = value.is_some() && format.decimal == '.';
            if self.possible_formats & 1 << at != 0 && !is_same && format.parse_bare(&bare).is_none() {
                self.possible_formats &= !(1 << at);
            }
        }
    }

    fn add_whole(&mut self, digits: &str) {
        match digits.parse::<u16>() {
            Ok(value) if digits.len() <= 3 => self.largest_small = self.largest_small.max(Some(value)),
            _ => self.has_large = true,
        }
    }

    fn merge(mut self, other: &Self) -> Self {
        self.missing += other.missing;
        self.present += other.present;
        self.possible_formats &= other.possible_formats;
        if let (Some(ours), Some(theirs)) = (self.symbol, other.symbol)
            && ours != theirs
        {
            self.possible_formats = 0;
        }
        self.symbol = self.symbol.or(other.symbol);
        self.with_symbol += other.with_symbol;
        self.grouped = [0, 1].map(|at| self.grouped[at] + other.grouped[at]);
        self.largest_small = self.largest_small.max(other.largest_small);
        self.has_large |= other.has_large;
        self.range = [self.range[0].min(other.range[0]), self.range[1].max(other.range[1])];
        self.is_inexact |= other.is_inexact;
        self
    }

    const fn is_possible(&self, candidate: usize) -> bool {
        self.possible_formats & 1 << candidate != 0
    }

    /// The formats in which every cell is a number, the preferred ones first.
    fn possible_number_formats(&self, settings: StatedFormat) -> impl Iterator<Item = NumberFormat> {
        let is_there = self.present > 0 && (self.with_symbol == 0 || self.with_symbol == self.present);
        let StatedFormat { decimal, thousands } = settings;
        NumberFormat::CANDIDATES.into_iter().enumerate().filter_map(move |(at, format)| {
            let is_wanted = decimal.is_none_or(|decimal| decimal == format.decimal)
                && thousands.is_none_or(|thousands| format.thousands == Some(thousands));
            (is_there && is_wanted && self.possible_formats & 1 << at != 0).then_some(format.with_symbol(self.symbol))
        })
    }
}

/// Whether a cell has the thousands separator of a candidate, is written in it, and has no decimal mark.
fn is_grouped(candidate: usize, cell: &str) -> bool {
    let format = NumberFormat::CANDIDATES[candidate];
    format.thousands.is_some_and(|mark| cell.contains(mark))
        && !cell.contains(format.decimal)
        && format.parse_bare(cell).is_some()
}

/// What the settings state of the numbers of a column.
#[derive(Clone, Copy)]
struct StatedFormat {
    decimal: Option<char>,
    thousands: Option<char>,
}

impl StatedFormat {
    fn from_settings(settings: &CsvSettings, name: &str) -> Self {
        match settings.column_decimals.get(name) {
            Some(decimal) => Self { decimal: Some(*decimal), thousands: None },
            None => Self { decimal: settings.decimal, thousands: settings.thousands },
        }
    }
}

/// What the columns say together of the decimal mark of a file: whether some column can only be read with a point, and
/// some with a comma.
struct FileMarks {
    point: bool,
    comma: bool,
    comma_separates_cells: bool,
}

/// The format of a column and, if the cells alone do not decide it, the other one.
fn decide_format(
    counts: &ColumnCounts,
    settings: StatedFormat,
    marks: Option<&FileMarks>,
) -> (Option<NumberFormat>, Option<NumberFormat>) {
    let Some(first) = counts.possible_number_formats(settings).next() else { return (None, None) };
    let with = |at: usize| NumberFormat::CANDIDATES[at].with_symbol(counts.symbol);
    // The mark that is either a decimal mark or a separator of thousands: the point, or the comma.
    let is_point = counts.is_possible(PLAIN);
    let (decimal, thousands, grouped) = match is_point {
        true => (with(PLAIN), with(POINT_GROUPS), counts.grouped[POINT]),
        false => (with(COMMA_DECIMAL), with(COMMA_GROUPS), counts.grouped[COMMA]),
    };
    let is_open =
        [decimal, thousands].iter().all(|format| counts.possible_number_formats(settings).any(|one| one == *format));
    if !is_open || grouped == 0 {
        return (Some(first), None);
    }
    let Some(marks) = marks else { return (None, None) };
    // Grouped numbers stand beside whole ones below 1000, and none from 1000 up is without a separator.
    let looks_grouped = counts.largest_small.is_some() && !counts.has_large;
    let (same, other) = if is_point { (marks.point, marks.comma) } else { (marks.comma, marks.point) };
    let reads_thousands = match (same, other) {
        (true, false) => false,
        (false, true) => looks_grouped || !is_point || !marks.comma_separates_cells,
        _ if is_point => looks_grouped && counts.largest_small >= Some(100),
        _ => looks_grouped || marks.comma_separates_cells,
    };
    if reads_thousands {
        return (Some(thousands), Some(decimal));
    }
    // A column of plain decimals is not worth a word unless something speaks for the other reading.
    let is_doubtful = !is_point || looks_grouped || other || !marks.comma_separates_cells;
    (Some(decimal), is_doubtful.then_some(thousands))
}

impl Table {
    /// Looks at all cells; a column that has one of the formats `known` keeps it.
    pub(crate) fn scan(&self, known: &[Option<NumberFormat>]) -> Vec<Scan> {
        let columns = self.column_names.len();
        let chunk = (CELLS_PER_THREAD / columns).max(1);
        let counted = (0..self.rows().div_ceil(chunk)).into_par_iter().map(|at| {
            let mut counts = vec![ColumnCounts::NEW; columns];
            for row in at * chunk..((at + 1) * chunk).min(self.rows()) {
                for (column, counts) in counts.iter_mut().enumerate() {
                    match self.cell_text(row, column) {
                        cell if self.missing.contains(cell) => counts.missing += 1,
                        cell => counts.add(cell),
                    }
                }
            }
            counts
        });
        let merged = counted.reduce_with(|one, other| one.into_iter().zip(&other).map(|(a, b)| a.merge(b)).collect());
        let counts: Vec<ColumnCounts> = merged.unwrap_or_else(|| vec![ColumnCounts::NEW; columns]);

        let stated = |column: usize| StatedFormat::from_settings(&self.settings, &self.column_names[column]);
        let certain: Vec<_> =
            counts.iter().enumerate().map(|(column, counts)| decide_format(counts, stated(column), None).0).collect();
        let has = |decimal: char| {
            let is_proof = |column: usize| {
                certain[column].is_some()
                    && counts[column].possible_number_formats(stated(column)).all(|format| format.decimal == decimal)
            };
            (0..columns).any(is_proof)
        };
        let comma_separates_cells = self.delimiter() == b',';
        let marks = FileMarks { point: has('.'), comma: has(','), comma_separates_cells };
        let scan = |(column, counts): (usize, &ColumnCounts)| {
            let (format, alternative) = match known.get(column).copied().flatten() {
                Some(format) => {
                    (counts.possible_number_formats(stated(column)).any(|one| one == format).then_some(format), None)
                }
                None => decide_format(counts, stated(column), Some(&marks)),
            };
            let (range, is_inexact) = match format {
                None => ([f64::INFINITY, f64::NEG_INFINITY], false),
                Some(NumberFormat::PLAIN) => (counts.range, counts.is_inexact),
                Some(format) => self.range_of(column, format),
            };
            Scan { missing: counts.missing, format, alternative, range, is_inexact }
        };
        counts.par_iter().enumerate().map(scan).collect()
    }

    /// The first cell of a column that is neither missing nor a number, beside numbers in the format that most cells have: a
    /// column of numbers becomes categories by one such cell. None if the column is numbers.
    pub fn first_non_number(&self, column: usize) -> Option<NonNumber> {
        if column >= self.column_names.len() || self.number_format(column).is_some() {
            return None;
        }
        let symbol = self.column_cells(column).flatten().find_map(|cell| split_symbol(cell).0);
        let symbols = [None, symbol];
        let formats = symbols[..1 + usize::from(symbol.is_some())].iter();
        let formats = formats.flat_map(|symbol| NumberFormat::CANDIDATES.map(|format| format.with_symbol(*symbol)));
        let count =
            |format: NumberFormat| self.column_cells(column).flatten().filter_map(|cell| format.parse(cell)).count();
        // Of equal counts the first wins.
        let best =
            formats.map(|format| (format, count(format))).reduce(|best, one| if one.1 > best.1 { one } else { best });
        let (format, numbers) = best?;
        let is_other = |cell: Option<&str>| cell.is_some_and(|cell| format.parse(cell).is_none());
        self.column_cells(column).position(is_other).map(|row| NonNumber { row, format, numbers })
    }

    /// The smallest and the largest number of a column in a format, and whether one of them is not an f32.
    pub(crate) fn range_of(&self, column: usize, format: NumberFormat) -> ([f64; 2], bool) {
        let (mut range, mut is_inexact) = ([f64::INFINITY, f64::NEG_INFINITY], false);
        for value in self.column_cells(column).flatten().filter_map(|cell| format.parse(cell)) {
            range = [range[0].min(value), range[1].max(value)];
            is_inexact |= f64::from(value as f32) != value;
        }
        (range, is_inexact)
    }
}
