//! CSV files: lines of cells, in quotes where they contain a delimiter or a line end.

use std::{
    io::{Chain, Read},
    path::Path,
};

use csv::{ByteRecord, ReaderBuilder};
use rayon::prelude::*;

use crate::{
    data::table::{
        Table,
        decode::{count_line_ends, decode, decompress},
        dialect,
        dialect::{Dialect, WHITESPACE},
        number_format::NumberFormat,
        settings::{CsvSettings, Reading},
    },
    error::{Error, Result},
    util::files::{format_error, read},
};

/// The most columns: the names of more would take more memory than the file.
const MAX_COLUMNS: usize = 1 << 16;
/// The most bytes of a file.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// A line that is read after the file's last one, unless that is inside quotes at the end.
const END_SENTINEL: &[u8] = b"\nend\n";

impl Table {
    /// Reads a CSV file: UTF-8, UTF-16 with a byte order mark, or another [`Encoding`](crate::data::table::Encoding) of `settings`; plain,
    /// in gzip, or alone in a zip archive. Empty lines are skipped, and spaces around a cell do not count. A column without
    /// a name is called `column 3` if it is the third.
    ///
    /// The delimiter is detected from the first lines unless `settings` gives it. How numbers are written is decided for
    /// each column from all of its cells ([`NumberFormat`]). [`Table::readings`] lists what else was read in a way that
    /// the file does not state.
    ///
    /// # Errors
    /// - [`Error::Io`] if the file cannot be read.
    /// - [`Error::Format`] with the line if it is larger than 1 GiB, has no header, two columns of one name, a line with
    ///   more or fewer cells than the header, a quote that is not closed, or text in another encoding.
    /// - [`Error::InvalidSetting`] if the delimiter, the comment character, the decimal mark or the thousands separator cannot be
    ///   one.
    pub fn load_csv(path: impl AsRef<Path>, settings: &CsvSettings) -> Result<Self> {
        let path = path.as_ref();
        Self::parse_csv(&read(path, MAX_FILE_BYTES)?, &path.display().to_string(), settings)
    }

    /// Reads the content of a CSV file. Errors call it `name`.
    ///
    /// # Errors
    /// Returns the same errors as [`Table::load_csv`].
    pub fn parse_csv(content: &[u8], name: &str, settings: &CsvSettings) -> Result<Self> {
        settings.check()?;
        let plain = decompress(content, name, MAX_FILE_BYTES)?;
        if plain.len() as u64 > MAX_FILE_BYTES {
            return Err(format_error(&name, "size", format_args!("at most {MAX_FILE_BYTES} bytes"), plain.len()));
        }
        let (text, encoding) = decode(&plain, name, settings.encoding)?;
        let dialect = dialect::detect_dialect(&text, settings);
        let settings = CsvSettings { delimiter: Some(dialect.delimiter), encoding: Some(encoding), ..settings.clone() };
        let text = if dialect.delimiter == WHITESPACE { dialect::collapse_whitespace(&text).into() } else { text };
        let mut table = parse(text.as_bytes(), name, &dialect, settings)?;
        table.scans = table.scan(&[]);
        if table.settings.header && table.column_names.iter().all(|name| is_number(name)) {
            table.readings.push(Reading::NumericHeader);
        }
        Ok(table)
    }
}

/// Splits the text of a file into the names of the columns and the cells.
fn parse(content: &[u8], name: &str, dialect: &Dialect, settings: CsvSettings) -> Result<Table> {
    let comment = settings.comment;
    let part = |begin: usize, end: usize, line: u32| Part { name, content, begin, end, line, dialect, comment };
    let mut records =
        part(dialect.header_offset, content.len(), 1 + count_line_ends(&content[..dialect.header_offset])).records();
    let mut record = ByteRecord::new();
    let Some(header_line) = records.next(&mut record)? else {
        return Err(format_error(&name, "line 1", "the names of columns", "an empty file"));
    };
    if record.len() > MAX_COLUMNS {
        let expected = format_args!("at most {MAX_COLUMNS} columns");
        return Err(format_error(&name, format_args!("line {header_line}"), expected, record.len()));
    }
    let names: Vec<String> = match settings.header {
        true => (1..).zip(record.iter()).map(column_name).collect(),
        false => (1..=record.len()).map(|column| column.to_string()).collect(),
    };
    let is_header = settings.header;
    let mut table = Table::without_rows(name.to_owned(), header_line, &names, settings)?;
    table.readings.extend(dialect.readings.iter().cloned());
    let mut shape = RowShape { columns: names.len(), has_trailing_delimiter: false };
    let mut cells = Cells::default();
    if is_header {
        let begin = after_line_end(content, records.position().min(content.len()));
        if records.next(&mut record)?.is_none() {
            return Ok(table);
        }
        shape.has_trailing_delimiter =
            record.len() == shape.columns + 1 && record[shape.columns].trim_ascii().is_empty();
        records = part(begin, content.len(), line_at(content, dialect.header_offset, begin)).records();
    } else {
        record.iter().for_each(|cell| cells.push_cell(cell));
        cells.lines.push(header_line);
    }
    let begin = after_line_end(content, records.position().min(content.len()));
    cells.text.reserve(content.len() - begin);
    // Without quotes every line is a record, so that parts of the file are independent.
    if memchr::memchr(b'"', &content[begin..]).is_some() {
        cells.read(records, shape)?;
    } else {
        let mut line = line_at(content, dialect.header_offset, begin);
        for wave in split_parts(content, begin).chunks(MAX_PENDING_PARTS) {
            let counted: Vec<u32> =
                wave.par_iter().map(|(begin, end)| count_line_ends(&content[*begin..*end])).collect();
            let firsts: Vec<u32> =
                counted.iter().scan(line, |line, count| Some(std::mem::replace(line, *line + count))).collect();
            line += counted.iter().sum::<u32>();
            let read = wave.par_iter().zip(firsts).map(|((begin, end), line)| {
                let mut cells = Cells::default();
                cells.read_lines(&part(*begin, *end, line), shape).map(|()| cells)
            });
            for one in read.collect::<Vec<_>>() {
                cells.append(one?);
            }
        }
    }
    if shape.has_trailing_delimiter {
        table.readings.push(Reading::TrailingDelimiters);
    }
    // The text was valid before it was cut at delimiters.
    table.text = String::from_utf8(cells.text).map_err(|error| format_error(&name, "text", "UTF-8", error))?;
    (table.cell_ends, table.lines) = (cells.ends, cells.lines);
    Ok(table)
}

/// The bytes of a part of a file, and how many parts are read before their cells are put together.
const PART_BYTES: usize = 1 << 22;
const MAX_PENDING_PARTS: usize = 16;

/// Cuts a text without quotes behind line ends.
fn split_parts(content: &[u8], mut begin: usize) -> Vec<(usize, usize)> {
    let mut parts = Vec::new();
    while begin < content.len() {
        let least = (begin + PART_BYTES).min(content.len());
        let end = memchr::memchr2(b'\n', b'\r', &content[least..])
            .map_or(content.len(), |at| after_line_end(content, least + at + 1));
        parts.push((begin, end));
        begin = end;
    }
    parts
}

/// The line at a byte, if the byte `begin` is in a line that ends are counted from.
fn line_at(content: &[u8], begin: usize, at: usize) -> u32 {
    1 + count_line_ends(&content[..begin]) + count_line_ends(&content[begin..at])
}

/// How many cells a line has.
#[derive(Clone, Copy)]
struct RowShape {
    columns: usize,
    /// Whether every line has an empty cell behind the last column.
    has_trailing_delimiter: bool,
}

impl RowShape {
    /// What is expected and what is there if a line has another number of cells, where `behind` is the cell behind the last
    /// column.
    fn check(self, count: usize, behind: Option<&[u8]>) -> std::result::Result<(), [String; 2]> {
        let Self { columns, has_trailing_delimiter: is_trailing } = self;
        let ends_empty = count == columns + 1 && behind.is_some_and(|cell| cell.trim_ascii().is_empty());
        if count == columns && !is_trailing || ends_empty && is_trailing {
            return Ok(());
        }
        let mut got = count.to_string();
        if ends_empty {
            got += ", the last of which is empty: the line ends in a delimiter, and the lines before do not";
        } else if is_trailing && count == columns {
            got += ", without the delimiter at the end that the lines before have";
        }
        Err([format!("{columns} cells, as the first line has"), got])
    }
}

/// Cells of a table, row by row.
#[derive(Default)]
struct Cells {
    text: Vec<u8>,
    ends: Vec<u32>,
    lines: Vec<u32>,
}

impl Cells {
    /// Adds one cell.
    fn push_cell(&mut self, cell: &[u8]) {
        let cell = cell.trim_ascii();
        let begins_and_ends_in_ascii = [cell.first(), cell.last()].into_iter().flatten().all(u8::is_ascii);
        // Spaces beyond ASCII are trimmed, too.
        let trimmed = if begins_and_ends_in_ascii { None } else { str::from_utf8(cell).ok() };
        self.text.extend_from_slice(trimmed.map_or(cell, |cell| cell.trim().as_bytes()));
        self.ends.push(self.text.len() as u32);
    }

    /// Reads the rest of a part.
    fn read(&mut self, mut records: Records<'_>, shape: RowShape) -> Result<()> {
        let mut record = ByteRecord::new();
        while let Some(line) = records.next(&mut record)? {
            let behind = record.get(shape.columns);
            shape
                .check(record.len(), behind)
                .map_err(|[expected, got]| format_error(&records.name, format_args!("line {line}"), expected, got))?;
            record.iter().take(shape.columns).for_each(|cell| self.push_cell(cell));
            self.lines.push(line);
        }
        Ok(())
    }

    /// Reads a part without quotes, in which every line is a record, in a third of the time.
    fn read_lines(&mut self, part: &Part<'_>, shape: RowShape) -> Result<()> {
        let (mut rest, mut line) = (&part.content[part.begin..part.end], part.line);
        while !rest.is_empty() {
            let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let record = &rest[..end];
            if !record.is_empty() && record.first().copied() != part.comment {
                let (mut begin, mut count, mut behind) = (0, 0, None);
                for end in memchr::memchr_iter(part.dialect.separator(), record).chain([record.len()]) {
                    let cell = &record[begin..end];
                    match count {
                        _ if count < shape.columns => self.push_cell(cell),
                        _ if count == shape.columns => behind = Some(cell),
                        _ => {}
                    }
                    (begin, count) = (end + 1, count + 1);
                }
                shape
                    .check(count, behind)
                    .map_err(|[expected, got]| format_error(&part.name, format_args!("line {line}"), expected, got))?;
                self.lines.push(line);
            }
            rest = &rest[after_line_end(rest, (end + 1).min(rest.len()))..];
            line += 1;
        }
        Ok(())
    }

    fn append(&mut self, other: Self) {
        let begin = self.text.len() as u32;
        self.text.extend_from_slice(&other.text);
        self.ends.extend(other.ends.iter().map(|end| begin + end));
        self.lines.extend_from_slice(&other.lines);
    }
}

/// A part of a file that consists of whole records.
struct Part<'a> {
    name: &'a str,
    content: &'a [u8],
    begin: usize,
    end: usize,
    /// The line in which it begins.
    line: u32,
    dialect: &'a Dialect,
    comment: Option<u8>,
}

/// The records of a part.
struct Records<'a> {
    name: &'a str,
    begin: usize,
    end: usize,
    reader: csv::Reader<Chain<&'a [u8], &'static [u8]>>,
    lines: LineCounter<'a>,
}

impl<'a> Part<'a> {
    fn records(self) -> Records<'a> {
        let Self { name, content, begin, end, line, dialect, comment } = self;
        let mut builder = ReaderBuilder::new();
        builder
            .delimiter(dialect.separator())
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(1 << 16)
            .comment(comment);
        let reader = builder.from_reader(content[begin..end].chain(END_SENTINEL));
        let lines = LineCounter { content: &content[..end], position: begin, line, comment };
        Records { name, begin, end, reader, lines }
    }
}

impl Records<'_> {
    /// Reads a record that is not empty, and returns its line.
    fn next(&mut self, record: &mut ByteRecord) -> Result<Option<u32>> {
        let begin = self.position();
        let is_read = self.reader.read_byte_record(record).is_ok_and(|is_read| is_read);
        let line = self.lines.line_of(begin);
        if self.lines.position >= self.end {
            return Ok(None);
        }
        // At the end, AFTER is part of a last cell whose quote is not closed.
        if !is_read || self.position() >= self.end + END_SENTINEL.len() {
            let place = format!("line {line}");
            return Err(format_error(&self.name, place, "a quote that is closed", "the end of the file"));
        }
        Ok(Some(line))
    }

    /// The byte of the file up to which it was read.
    fn position(&self) -> usize {
        self.begin + self.reader.position().byte() as usize
    }
}

fn is_number(name: &str) -> bool {
    NumberFormat::CANDIDATES.iter().any(|format| format.parse(name).is_some())
}

/// The name of a column, or one made of its number: pandas and R write none above the numbers of the rows.
fn column_name((column, name): (usize, &[u8])) -> String {
    let name = String::from_utf8_lossy(name);
    if name.trim().is_empty() { format!("column {column}") } else { name.into_owned() }
}

/// Counts lines along with a walk through a file.
struct LineCounter<'a> {
    content: &'a [u8],
    position: usize,
    line: u32,
    comment: Option<u8>,
}

impl LineCounter<'_> {
    /// The line of the record that a reader finds from `begin` on: it skips line ends and comments first.
    fn line_of(&mut self, mut begin: usize) -> u32 {
        loop {
            let rest = self.content.get(begin..).unwrap_or_default();
            begin += rest.iter().take_while(|byte| b"\r\n".contains(byte)).count();
            let rest = self.content.get(begin..).unwrap_or_default();
            match self.comment {
                Some(comment) if rest.first() == Some(&comment) => {
                    begin += rest.iter().take_while(|byte| !b"\r\n".contains(byte)).count();
                }
                _ => break,
            }
        }
        self.line += count_line_ends(self.content.get(self.position..begin).unwrap_or_default());
        self.position = begin;
        self.line
    }
}

/// The byte behind a line end, where `at` may lie within `\r\n`.
fn after_line_end(content: &[u8], at: usize) -> usize {
    let is_within = at > 0 && content[at - 1] == b'\r' && content.get(at) == Some(&b'\n');
    at + usize::from(is_within)
}

impl CsvSettings {
    /// Returns an error if a character cannot have the meaning that it is given.
    fn check(&self) -> Result<()> {
        let refused = |what, expected: &str, got: String| {
            Err(Error::InvalidSetting { name: what, expected: expected.to_owned(), got })
        };
        let is_mark = |byte: u8| byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\"\r\n".contains(&byte);
        for (what, byte) in [("delimiter", self.delimiter), ("comment", self.comment)] {
            if let Some(byte) = byte.filter(|byte| !is_mark(*byte)) {
                let expected = "an ASCII character other than a letter, a digit, a quote or a line end";
                return refused(what, expected, format!("b'{}'", byte.escape_ascii()));
            }
        }
        if self.comment.is_some() && self.comment == self.delimiter {
            return refused("comment", "another character than the delimiter", "the same".into());
        }
        for decimal in self.decimal.iter().chain(self.column_decimals.values()) {
            if !['.', ','].contains(decimal) {
                return refused("decimal", "\".\" or \",\"", format!("{decimal:?}"));
            }
        }
        if let Some(thousands) =
            self.thousands.filter(|mark| !NumberFormat::CANDIDATES.iter().any(|f| f.thousands == Some(*mark)))
        {
            return refused("thousands", "\",\", \".\", \"'\", \"_\" or a space", format!("{thousands:?}"));
        }
        if self.thousands.is_some() && self.thousands == self.decimal {
            return refused("thousands", "another character than the decimal mark", "the same".into());
        }
        Ok(())
    }
}
