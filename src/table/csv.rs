//! CSV files: cells between commas, semicolons or tabs, in quotes where they have those or a line's end in them.

use std::{io::Read, path::Path};

use csv::{ReaderBuilder, StringRecord, Trim};

use super::Table;
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

/// How a CSV file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsvSettings {
    /// What stands between cells; if none, the one of comma, semicolon and tab that the first line has most of.
    pub delimiter: Option<u8>,
    /// Whether the first line has the names of the columns; if not, they are called "1", "2" and so on.
    pub header: bool,
}

impl Default for CsvSettings {
    fn default() -> Self {
        Self { delimiter: None, header: true }
    }
}

impl Table {
    /// Reads a CSV file in UTF-8. Empty lines are passed over, and spaces around a cell do not count. A column without a name
    /// is called `column 3` if it is the third. Where no comma stands between cells, `1,5` and `1.234,5` are numbers if a whole
    /// column is such numbers.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Format`] with the line if it is larger than 1 GiB, has no header, a
    /// name that is there twice, a line with more or fewer cells than the header, a quote that is not closed, or
    /// what is no UTF-8, [`Error::Setting`] for a delimiter that is a letter, a digit, a quote or a line's end.
    pub fn open(path: impl AsRef<Path>, settings: &CsvSettings) -> Result<Self> {
        let path = path.as_ref();
        Self::read(&read(path, MOST)?, &path.display().to_string(), settings)
    }

    /// Reads the content of a CSV file. Errors call it `name`.
    ///
    /// # Errors
    /// As [`Table::open`].
    pub fn read(content: &[u8], name: &str, settings: &CsvSettings) -> Result<Self> {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        if content.len() as u64 > MOST {
            return Err(wrong(&name, "size", format_args!("at most {MOST} bytes"), content.len()));
        }
        if let Err(error) = str::from_utf8(content) {
            let (before, rest) = content.split_at(error.valid_up_to());
            let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
            let place = format!("line {}, byte {column}", 1 + ends(before));
            let expected = "text in UTF-8, as which a spreadsheet can save it";
            return Err(wrong(&name, place, expected, format_args!("{:02x?}", &rest[..rest.len().min(4)])));
        }
        let delimiter = settings.delimiter.unwrap_or_else(|| delimiter(content));
        if !delimiter.is_ascii() || delimiter.is_ascii_alphanumeric() || b"\"\r\n".contains(&delimiter) {
            let expected = "an ASCII character that is no letter, digit, quote or line's end".to_owned();
            let got = format!("b'{}'", delimiter.escape_ascii());
            return Err(Error::Setting { what: "delimiter", expected, got });
        }
        let mut builder = ReaderBuilder::new();
        builder.delimiter(delimiter).has_headers(false).flexible(true).trim(Trim::All);
        let mut reader = builder.from_reader(content.chain(AFTER));
        let mut table = None;
        let (mut record, mut lines) = (StringRecord::new(), Lines { content, at: 0, line: 1 });
        loop {
            let begin = reader.position().byte() as usize;
            let is_read = reader.read_record(&mut record).is_ok_and(|is_read| is_read);
            let line = lines.of(begin);
            if lines.at >= content.len() {
                break;
            }
            // Then what was put behind the file is part of its last cell.
            if !is_read || reader.position().byte() as usize >= content.len() + AFTER.len() {
                let place = format!("line {line}");
                return Err(wrong(&name, place, "a quote that is closed", "the end of the file"));
            }
            let table = match &mut table {
                None => {
                    if record.len() > MOST_COLUMNS {
                        let expected = format_args!("at most {MOST_COLUMNS} columns");
                        return Err(wrong(&name, format_args!("line {line}"), expected, record.len()));
                    }
                    let names: Vec<String> = match settings.header {
                        true => (1..).zip(record.iter()).map(named).collect(),
                        false => (1..=record.len()).map(|column| column.to_string()).collect(),
                    };
                    let first = table.insert(Self::empty(name.to_owned(), line, &names)?);
                    if settings.header {
                        continue;
                    }
                    first
                }
                Some(table) => table,
            };
            if record.len() != table.names.len() {
                let expected = format!("{} cells, as the first line has", table.names.len());
                return Err(wrong(&name, format_args!("line {line}"), expected, record.len()));
            }
            table.push(line, record.iter())?;
        }
        let mut table = table.ok_or_else(|| wrong(&name, "line 1", "the names of columns", "an empty file"))?;
        table.delimiter = delimiter;
        table.look_for_decimal_commas();
        Ok(table)
    }
}

/// The name of a column, or one made of its number: pandas and R write none above the numbers of the rows.
fn named((column, name): (usize, &str)) -> String {
    if name.trim().is_empty() { format!("column {column}") } else { name.to_owned() }
}

/// Counts lines along with a walk through a file.
struct Lines<'a> {
    content: &'a [u8],
    at: usize,
    line: u32,
}

impl Lines<'_> {
    /// The line of what a reader finds that goes on at `begin`: it passes over the ends of lines first.
    fn of(&mut self, begin: usize) -> u32 {
        let rest = self.content.get(begin..).unwrap_or_default();
        let begin = begin + rest.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        self.line += ends(self.content.get(self.at..begin).unwrap_or_default());
        self.at = begin;
        self.line
    }
}

/// How many lines end in a piece of text; a line may end in `\n`, `\r\n` or `\r`.
fn ends(text: &[u8]) -> u32 {
    let returns = text.iter().enumerate().filter(|(at, byte)| **byte == b'\r' && text.get(at + 1) != Some(&b'\n'));
    (text.iter().filter(|byte| **byte == b'\n').count() + returns.count()) as u32
}

/// What the first line that is not empty has most of outside quotes; a comma if it has none.
fn delimiter(content: &[u8]) -> u8 {
    let mut counts = [(b'\t', 0), (b';', 0), (b',', 0)];
    let mut is_quoted = false;
    for byte in content.iter().skip_while(|byte| b"\r\n".contains(byte)) {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\r' | b'\n' if !is_quoted => break,
            _ if is_quoted => {}
            _ => counts.iter_mut().filter(|(one, _)| one == byte).for_each(|(_, count)| *count += 1),
        }
    }
    // Of equal counts the last wins.
    counts.iter().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| *delimiter)
}
