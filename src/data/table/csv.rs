//! CSV files: lines of cells, with quotes around cells that contain a delimiter or a line end.

use std::{
    io::{Chain, Read},
    ops::Range,
    path::Path,
};

use csv::{ByteRecord, ReaderBuilder};
use rayon::prelude::*;

use crate::{
    data::table::{
        Table,
        decode::{count_line_ends, decode, decompress},
        dialect::{Dialect, WHITESPACE, collapse_whitespace, detect_dialect},
        number_format::NumberFormat,
        raw_table::RawTable,
        settings::{CsvSettings, Reading},
    },
    error::Result,
    util::files::{format_error, read},
};

/// The maximum number of columns. The names of more columns would take more memory than the file.
const MAX_COLUMNS: usize = 1 << 16;
/// The maximum size of a file, also after decompression.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The size of a part of a file that one thread reads.
const PART_BYTES: usize = 1 << 22;
/// The maximum number of parts that are read before their cells are joined.
const MAX_PENDING_PARTS: usize = 16;

/// A line after the end of the file. The reader returns it as a separate record unless the last cell of the file has an
/// open quote.
const END_SENTINEL: &[u8] = b"\nend\n";

impl Table {
    /// Reads a CSV file: plain, compressed with gzip, or alone in a zip archive.
    ///
    /// The file is UTF-8, UTF-16, or has another [`Encoding`](crate::data::table::Encoding) that `settings` states.
    /// gradus skips empty lines and removes spaces around cells. A column without a name gets its number as the name,
    /// for example `column 3`.
    ///
    /// gradus detects the delimiter from the first lines unless `settings` states it. It decides the [`NumberFormat`]
    /// of each column from all of its cells. [`Table::readings`] lists further assumptions that the file does not
    /// state.
    ///
    /// # Errors
    /// - [`Error::Io`](crate::Error::Io) if the file cannot be read.
    /// - [`Error::Format`](crate::Error::Format) with the line if the file has no header, two columns with the same
    ///   name, a line with another number of cells than the header, an open quote, or bytes that are invalid in its
    ///   encoding.
    /// - [`Error::Format`](crate::Error::Format) if the file is larger than 1 GiB or has another format.
    /// - [`Error::InvalidSetting`](crate::Error::InvalidSetting) if the delimiter, the comment character, a decimal
    ///   mark or the thousands separator is invalid.
    #[doc(alias = "read_csv")]
    pub fn load_csv(path: impl AsRef<Path>, settings: &CsvSettings) -> Result<Self> {
        let path = path.as_ref();
        Self::parse_csv(&read(path, MAX_FILE_BYTES)?, &path.display().to_string(), settings)
    }

    /// Reads the content of a CSV file. Errors call the file `name`.
    ///
    /// # Errors
    /// Returns the same errors as [`Table::load_csv`], except [`Error::Io`](crate::Error::Io).
    pub fn parse_csv(content: &[u8], name: &str, settings: &CsvSettings) -> Result<Self> {
        settings.check()?;
        let decompressed = decompress(content, name, MAX_FILE_BYTES)?;
        if decompressed.len() as u64 > MAX_FILE_BYTES {
            // Decompression stops at the limit, so the complete size is unknown.
            let got = format!("at least {}; split the file", decompressed.len());
            return Err(format_error(&name, "size", format_args!("at most {MAX_FILE_BYTES} bytes"), got));
        }
        let (text, encoding) = decode(&decompressed, name, settings.encoding)?;
        let dialect = detect_dialect(&text, settings);
        let settings = CsvSettings { delimiter: Some(dialect.delimiter), encoding: Some(encoding), ..settings.clone() };
        let text = if dialect.delimiter == WHITESPACE { collapse_whitespace(&text).into() } else { text };
        let mut table = parse(text.as_bytes(), name, &dialect, settings)?;
        if table.settings.header && table.column_names.iter().all(|name| is_number(name)) {
            table.readings.push(Reading::NumericHeader);
        }
        Ok(Self::from_raw(table))
    }
}

/// Splits the text of a file into column names and cells.
fn parse(content: &[u8], name: &str, dialect: &Dialect, settings: CsvSettings) -> Result<RawTable> {
    let comment = settings.comment;
    let part = |start: usize, end: usize, line: u32| Part { name, content, start, end, line, dialect, comment };
    let first_line = 1 + count_line_ends(&content[..dialect.header_offset]);
    let mut records = part(dialect.header_offset, content.len(), first_line).records();
    let mut record = ByteRecord::new();
    let Some(header_line) = records.next(&mut record)? else {
        let expected = if settings.header { "a line with the column names" } else { "at least 1 row" };
        let is_blank = content.iter().all(u8::is_ascii_whitespace);
        let got = if is_blank { "an empty file" } else { "only comments and empty lines" };
        return Err(format_error(&name, "line 1", expected, got));
    };
    if record.len() > MAX_COLUMNS {
        let (location, got) = (format!("line {header_line}"), format!("{}; check the delimiter", record.len()));
        return Err(format_error(&name, location, format_args!("at most {MAX_COLUMNS} columns"), got));
    }
    let has_header = settings.header;
    let names: Vec<String> = if has_header {
        (1..).zip(record.iter()).map(|(number, name)| column_name(number, name)).collect()
    } else {
        (1..=record.len()).map(|number| number.to_string()).collect()
    };
    let mut table = RawTable::new(name.to_owned(), header_line, &names, settings)?;
    table.readings.extend(dialect.readings.iter().cloned());
    let mut shape = RowShape { columns: names.len(), header_line, has_trailing_delimiter: false };
    let mut cells = Cells::default();
    if has_header {
        let start = after_line_end(content, records.position().min(content.len()));
        if records.next(&mut record)?.is_none() {
            return Ok(table);
        }
        shape.has_trailing_delimiter =
            record.len() == shape.columns + 1 && record[shape.columns].trim_ascii().is_empty();
        records = part(start, content.len(), line_at(content, dialect.header_offset, start)).records();
    } else {
        record.iter().for_each(|cell| cells.push_cell(cell));
        cells.lines.push(header_line);
    }
    let start = after_line_end(content, records.position().min(content.len()));
    cells.text.reserve(content.len() - start);
    // Without quotes every line is a record, so threads can read parts of the file independently.
    if memchr::memchr(b'"', &content[start..]).is_some() {
        cells.read(records, shape)?;
    } else {
        let mut line = line_at(content, dialect.header_offset, start);
        for ranges in split_parts(content, start).chunks(MAX_PENDING_PARTS) {
            let line_counts: Vec<u32> =
                ranges.par_iter().map(|range| count_line_ends(&content[range.start..range.end])).collect();
            let mut parts = Vec::with_capacity(ranges.len());
            for (range, lines) in ranges.iter().zip(line_counts) {
                parts.push(part(range.start, range.end, line));
                line += lines;
            }
            let read_part = |part: &Part<'_>| {
                let mut cells = Cells::default();
                cells.read_lines(part, shape).map(|()| cells)
            };
            for part_cells in parts.par_iter().map(read_part).collect::<Vec<Result<Cells>>>() {
                cells.append(part_cells?);
            }
        }
    }
    if shape.has_trailing_delimiter {
        table.readings.push(Reading::TrailingDelimiters);
    }
    // The whole text is valid UTF-8, and cells end only at ASCII characters.
    table.text = String::from_utf8(cells.text).map_err(|error| format_error(&name, "text", "UTF-8", error))?;
    table.cell_ends = cells.ends;
    table.lines = cells.lines;
    Ok(table)
}

/// Splits a text without quotes into ranges of bytes that end after a line end.
fn split_parts(content: &[u8], mut start: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    while start < content.len() {
        let min_end = (start + PART_BYTES).min(content.len());
        let end = memchr::memchr2(b'\n', b'\r', &content[min_end..])
            .map_or(content.len(), |offset| after_line_end(content, min_end + offset + 1));
        parts.push(start..end);
        start = end;
    }
    parts
}

/// Returns the line of the byte at `offset`, counted from 1. A `\r\n` must not span `start`, which is at most `offset`.
fn line_at(content: &[u8], start: usize, offset: usize) -> u32 {
    1 + count_line_ends(&content[..start]) + count_line_ends(&content[start..offset])
}

/// The number of cells that every line must have.
#[derive(Clone, Copy)]
struct RowShape {
    columns: usize,
    /// The line of the header, or the first row without a header.
    header_line: u32,
    /// Whether every line has an empty cell after the last column.
    has_trailing_delimiter: bool,
}

impl RowShape {
    /// Returns an error if a line has another number of cells. `extra_cell` is the first cell after the last column.
    fn check(self, name: &str, line: u32, cells: usize, extra_cell: Option<&[u8]>) -> Result<()> {
        let Self { columns, header_line, has_trailing_delimiter } = self;
        let ends_in_delimiter = cells == columns + 1 && extra_cell.is_some_and(|cell| cell.trim_ascii().is_empty());
        let is_valid = if has_trailing_delimiter { ends_in_delimiter } else { cells == columns };
        if is_valid {
            return Ok(());
        }
        let explanation = if ends_in_delimiter {
            ", the last of which is empty; remove the delimiter at the end of the line"
        } else if has_trailing_delimiter && cells == columns {
            " without the delimiter at the end, which the lines before have; add it"
        } else if cells > columns {
            "; put quotes around cells that contain the delimiter"
        } else {
            ""
        };
        let expected = format!("{columns} cells, as in line {header_line}");
        Err(format_error(&name, format_args!("line {line}"), expected, format_args!("{cells}{explanation}")))
    }
}

/// The cells of a table, row by row.
#[derive(Default)]
struct Cells {
    text: Vec<u8>,
    ends: Vec<u32>,
    lines: Vec<u32>,
}

impl Cells {
    /// Adds one cell, without surrounding spaces.
    fn push_cell(&mut self, cell: &[u8]) {
        let cell = cell.trim_ascii();
        let starts_and_ends_in_ascii = [cell.first(), cell.last()].into_iter().flatten().all(u8::is_ascii);
        // Spaces outside ASCII are trimmed too.
        let text = if starts_and_ends_in_ascii { None } else { str::from_utf8(cell).ok() };
        self.text.extend_from_slice(text.map_or(cell, |text| text.trim().as_bytes()));
        self.ends.push(self.text.len() as u32);
    }

    /// Reads all remaining records of a part.
    fn read(&mut self, mut records: Records<'_>, shape: RowShape) -> Result<()> {
        let mut record = ByteRecord::new();
        while let Some(line) = records.next(&mut record)? {
            shape.check(records.name, line, record.len(), record.get(shape.columns))?;
            record.iter().take(shape.columns).for_each(|cell| self.push_cell(cell));
            self.lines.push(line);
        }
        Ok(())
    }

    /// Reads a part without quotes, in which every line is a record. This takes a third of the time of [`Cells::read`].
    fn read_lines(&mut self, part: &Part<'_>, shape: RowShape) -> Result<()> {
        let (mut rest, mut line) = (&part.content[part.start..part.end], part.line);
        while !rest.is_empty() {
            let line_len = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let record = &rest[..line_len];
            if !record.is_empty() && record.first().copied() != part.comment {
                let (mut start, mut count, mut extra_cell) = (0, 0, None);
                for end in memchr::memchr_iter(part.dialect.separator(), record).chain([record.len()]) {
                    let cell = &record[start..end];
                    if count < shape.columns {
                        self.push_cell(cell);
                    } else if count == shape.columns {
                        extra_cell = Some(cell);
                    }
                    start = end + 1;
                    count += 1;
                }
                shape.check(part.name, line, count, extra_cell)?;
                self.lines.push(line);
            }
            rest = &rest[after_line_end(rest, (line_len + 1).min(rest.len()))..];
            line += 1;
        }
        Ok(())
    }

    fn append(&mut self, other: Self) {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(&other.text);
        self.ends.extend(other.ends.iter().map(|end| start + end));
        self.lines.extend_from_slice(&other.lines);
    }
}

/// A part of a file that consists of whole records.
struct Part<'a> {
    name: &'a str,
    content: &'a [u8],
    /// The offset of the first byte in the content.
    start: usize,
    end: usize,
    /// The line of the first byte.
    line: u32,
    dialect: &'a Dialect,
    comment: Option<u8>,
}

/// A reader of the records of a part.
struct Records<'a> {
    name: &'a str,
    start: usize,
    end: usize,
    reader: csv::Reader<Chain<&'a [u8], &'static [u8]>>,
    lines: LineCounter<'a>,
}

impl<'a> Part<'a> {
    fn records(self) -> Records<'a> {
        let Self { name, content, start, end, line, dialect, comment } = self;
        let mut builder = ReaderBuilder::new();
        builder
            .delimiter(dialect.separator())
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(1 << 16)
            .comment(comment);
        let reader = builder.from_reader(content[start..end].chain(END_SENTINEL));
        let lines = LineCounter { content: &content[..end], position: start, line, comment };
        Records { name, start, end, reader, lines }
    }
}

impl Records<'_> {
    /// Reads the next record that is not empty, and returns its line; `None` at the end of the part.
    fn next(&mut self, record: &mut ByteRecord) -> Result<Option<u32>> {
        let start = self.position();
        let is_read = self.reader.read_byte_record(record).is_ok_and(|is_read| is_read);
        let line = self.lines.line_of(start);
        if self.lines.position >= self.end {
            return Ok(None);
        }
        // An open quote in the last cell swallows the sentinel.
        if !is_read || self.position() >= self.end + END_SENTINEL.len() {
            let got = "the end of the file; close the quote, or remove it";
            return Err(format_error(&self.name, format_args!("line {line}"), "a closing quote", got));
        }
        Ok(Some(line))
    }

    /// Returns the offset in the file up to which the reader has read.
    fn position(&self) -> usize {
        self.start + self.reader.position().byte() as usize
    }
}

fn is_number(name: &str) -> bool {
    NumberFormat::CANDIDATES.iter().any(|format| format.parse(name).is_some())
}

/// Returns the name of a column, or a name with its number if it has none. pandas and R write no name for row numbers.
fn column_name(number: usize, name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    if name.trim().is_empty() { format!("column {number}") } else { name.into_owned() }
}

/// A counter of the lines up to a position that only moves forward.
struct LineCounter<'a> {
    content: &'a [u8],
    position: usize,
    line: u32,
    comment: Option<u8>,
}

impl LineCounter<'_> {
    /// Returns the line of the record that a reader finds from `start` on. The reader skips line ends and comments
    /// first.
    fn line_of(&mut self, start: usize) -> u32 {
        let mut record_start = start;
        loop {
            let rest = self.content.get(record_start..).unwrap_or_default();
            record_start += rest.iter().take_while(|byte| b"\r\n".contains(byte)).count();
            let rest = self.content.get(record_start..).unwrap_or_default();
            match self.comment {
                Some(comment) if rest.first() == Some(&comment) => {
                    record_start += rest.iter().take_while(|byte| !b"\r\n".contains(byte)).count();
                }
                Some(_) | None => break,
            }
        }
        self.line += count_line_ends(self.content.get(self.position..record_start).unwrap_or_default());
        self.position = record_start;
        self.line
    }
}

/// Returns the offset after a line end. `offset` may lie between `\r` and `\n`.
fn after_line_end(content: &[u8], offset: usize) -> usize {
    let is_inside = offset > 0 && content[offset - 1] == b'\r' && content.get(offset) == Some(&b'\n');
    offset + usize::from(is_inside)
}
