//! CSV files: lines of cells, in quotes where they contain a delimiter or a line end.

use std::{io::Read, path::Path};

use csv::{ByteRecord, ReaderBuilder};

use super::{
    CsvSettings, Reading, Table,
    decode::{decode, decompress},
    dialect::{self, Dialect, WHITESPACE},
    number_format::NumberFormat,
};
use crate::{
    Error, Result,
    formats::{read, wrong},
};

/// The most columns: the names of more would take more memory than the file.
const MOST_COLUMNS: usize = 1 << 16;
/// The most bytes of a file.
const MOST: u64 = 1 << 30;

/// A line that is read after the file's last one, unless that is inside quotes at the end.
const AFTER: &[u8] = b"\nend\n";

impl Table {
    /// Reads a CSV file: UTF-8, UTF-16 with a byte order mark, or another [`Encoding`](super::Encoding) of `settings`; plain,
    /// in gzip, or alone in a zip archive. Empty lines are skipped, and spaces around a cell do not count. A column without
    /// a name is called `column 3` if it is the third.
    ///
    /// The delimiter is detected from the first lines unless `settings` gives it. How numbers are written is decided for
    /// each column from all of its cells ([`NumberFormat`]). [`Table::readings`] lists what else was read in a way that
    /// the file does not state.
    ///
    /// # Errors
    /// - [`Error::File`] if the file cannot be read.
    /// - [`Error::Format`] with the line if it is larger than 1 GiB, has no header, two columns of one name, a line with
    ///   more or fewer cells than the header, a quote that is not closed, or text in another encoding.
    /// - [`Error::Setting`] if the delimiter, the comment character, the decimal mark or the thousands separator cannot be
    ///   one.
    pub fn open(path: impl AsRef<Path>, settings: &CsvSettings) -> Result<Self> {
        let path = path.as_ref();
        Self::read(&read(path, MOST)?, &path.display().to_string(), settings)
    }

    /// Reads the content of a CSV file. Errors call it `name`.
    ///
    /// # Errors
    /// Returns the same errors as [`Table::open`].
    pub fn read(content: &[u8], name: &str, settings: &CsvSettings) -> Result<Self> {
        settings.check()?;
        let plain = decompress(content, name, MOST)?;
        if plain.len() as u64 > MOST {
            return Err(wrong(&name, "size", format_args!("at most {MOST} bytes"), plain.len()));
        }
        let (text, encoding) = decode(plain, name, settings.encoding)?;
        let dialect = dialect::detect(&text, settings);
        let settings = CsvSettings { delimiter: Some(dialect.delimiter), encoding: Some(encoding), ..settings.clone() };
        let mut parser = Parser { name, dialect: &dialect, settings, table: None, trailing: 0 };
        match dialect.delimiter {
            WHITESPACE => parser.run(dialect::tabs(&text).as_bytes())?,
            _ => parser.run(text.as_bytes())?,
        }
        drop(text);
        let mut table = parser.finish()?;
        table.scans = table.scan(&[]);
        if table.settings.header && table.names.iter().all(|name| is_number(name)) {
            table.readings.push(Reading::NumericHeader);
        }
        Ok(table)
    }
}

struct Parser<'a> {
    name: &'a str,
    dialect: &'a Dialect,
    settings: CsvSettings,
    table: Option<Table>,
    /// Rows with an empty cell behind the last column.
    trailing: usize,
}

impl Parser<'_> {
    fn run(&mut self, content: &[u8]) -> Result<()> {
        let mut builder = ReaderBuilder::new();
        let delimiter = if self.dialect.delimiter == WHITESPACE { b'\t' } else { self.dialect.delimiter };
        builder.delimiter(delimiter).has_headers(false).flexible(true).buffer_capacity(1 << 16);
        builder.comment(self.settings.comment);
        let mut reader = builder.from_reader(content[self.dialect.begin..].chain(AFTER));
        let mut record = ByteRecord::new();
        let mut lines = Lines { content, at: 0, line: 1, comment: self.settings.comment };
        loop {
            let begin = self.dialect.begin + reader.position().byte() as usize;
            let is_read = reader.read_byte_record(&mut record).is_ok_and(|is_read| is_read);
            let line = lines.of(begin);
            if lines.at >= content.len() {
                return Ok(());
            }
            // At the end, AFTER is part of a last cell whose quote is not closed.
            let end = self.dialect.begin + reader.position().byte() as usize;
            if !is_read || end >= content.len() + AFTER.len() {
                let place = format!("line {line}");
                return Err(wrong(&self.name, place, "a quote that is closed", "the end of the file"));
            }
            self.add(line, &record)?;
        }
    }

    fn add(&mut self, line: u32, record: &ByteRecord) -> Result<()> {
        let refused = |place: String, expected: String, got: String| Err(wrong(&self.name, place, expected, got));
        let Some(table) = &mut self.table else {
            if record.len() > MOST_COLUMNS {
                return refused(
                    format!("line {line}"),
                    format!("at most {MOST_COLUMNS} columns"),
                    record.len().to_string(),
                );
            }
            let names: Vec<String> = match self.settings.header {
                true => (1..).zip(record.iter()).map(named).collect(),
                false => (1..=record.len()).map(|column| column.to_string()).collect(),
            };
            let table = self.table.insert(Table::empty(self.name.to_owned(), line, &names, self.settings.clone())?);
            return if self.settings.header { Ok(()) } else { table.push(line, record.iter()) };
        };
        let columns = table.names.len();
        let is_trailing = record.len() == columns + 1 && record[columns].trim_ascii().is_empty();
        if is_trailing && self.trailing == table.rows() {
            self.trailing += 1;
        } else if record.len() != columns || self.trailing > 0 {
            let mut got = record.len().to_string();
            if is_trailing {
                got += ", the last of which is empty: the line ends in a delimiter, and lines before do not";
            } else if record.len() == columns {
                got += ", without the delimiter at the end that all lines before have";
            }
            let expected = format!("{} cells, as the first line has", columns + usize::from(self.trailing > 0));
            return refused(format!("line {line}"), expected, got);
        }
        table.push(line, record.iter().take(columns))
    }

    fn finish(self) -> Result<Table> {
        let missing = || wrong(&self.name, "line 1", "the names of columns", "an empty file");
        let mut table = self.table.ok_or_else(missing)?;
        table.readings.extend(self.dialect.readings.iter().cloned());
        if self.trailing > 0 {
            table.readings.push(Reading::TrailingDelimiters);
        }
        Ok(table)
    }
}

fn is_number(name: &str) -> bool {
    NumberFormat::CANDIDATES.iter().any(|format| format.parse(name).is_some())
}

/// The name of a column, or one made of its number: pandas and R write none above the numbers of the rows.
fn named((column, name): (usize, &[u8])) -> String {
    let name = String::from_utf8_lossy(name);
    if name.trim().is_empty() { format!("column {column}") } else { name.into_owned() }
}

/// Counts lines along with a walk through a file.
struct Lines<'a> {
    content: &'a [u8],
    at: usize,
    line: u32,
    comment: Option<u8>,
}

impl Lines<'_> {
    /// The line of the record that a reader finds from `begin` on: it skips line ends and comments first.
    fn of(&mut self, mut begin: usize) -> u32 {
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
        self.line += line_ends(self.content.get(self.at..begin).unwrap_or_default());
        self.at = begin;
        self.line
    }
}

/// How many lines end in a piece of text; a line may end in `\n`, `\r\n` or `\r`.
pub(super) fn line_ends(text: &[u8]) -> u32 {
    let (mut ends, mut before) = (0, 0);
    for byte in text {
        ends += u32::from(*byte == b'\n' && before != b'\r' || *byte == b'\r');
        before = *byte;
    }
    ends
}

impl CsvSettings {
    /// Returns an error if a character cannot have the meaning that it is given.
    fn check(&self) -> Result<()> {
        let refused =
            |what, expected: &str, got: String| Err(Error::Setting { what, expected: expected.to_owned(), got });
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
