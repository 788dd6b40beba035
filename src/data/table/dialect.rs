//! Detection of the delimiter and the header of a CSV file from its first lines.

use crate::data::table::settings::{CsvSettings, Reading};

/// The delimiter for runs of spaces and tabs.
pub(crate) const WHITESPACE: u8 = b' ';

/// The maximum number of records to examine.
const MAX_SAMPLED_LINES: usize = 100;

/// The delimiter and the location of the header of a CSV file.
pub(crate) struct Dialect {
    pub delimiter: u8,
    /// The byte offset of the header, after comments and the `sep=` line.
    pub header_offset: usize,
    /// The assumptions that the file does not state.
    pub readings: Vec<Reading>,
}

impl Dialect {
    /// Returns the byte between cells after [`collapse_whitespace`].
    pub const fn separator(&self) -> u8 {
        if self.delimiter == WHITESPACE { b'\t' } else { self.delimiter }
    }
}

/// Detects what the settings do not state.
pub(crate) fn detect_dialect(text: &str, settings: &CsvSettings) -> Dialect {
    let mut readings = Vec::new();
    let mut header_offset = 0;
    let mut stated_delimiter = settings.delimiter;
    let first_line = text.split(['\n', '\r']).next().unwrap_or_default();
    let quoted_value = first_line.strip_prefix("\"sep=").and_then(|rest| rest.strip_suffix('"'));
    let sep_value = first_line.strip_prefix("sep=").or(quoted_value);
    // Spreadsheets write the delimiter into a separate line before the header.
    if let Some(&[delimiter]) = sep_value.map(str::as_bytes)
        && !delimiter.is_ascii_alphanumeric()
    {
        header_offset = first_line.len();
        stated_delimiter = stated_delimiter.or(Some(delimiter));
        readings.push(Reading::DelimiterLine);
    }
    let delimiter_from = |offset: usize| {
        stated_delimiter.unwrap_or_else(|| guess_delimiter(&first_records(&text[offset..], settings.comment)))
    };
    if settings.comment.is_none() {
        let comments = find_comments(&text[header_offset..], &delimiter_from);
        if comments.lines > 0 {
            header_offset += comments.bytes;
            readings.push(Reading::Comments { lines: comments.lines });
        }
    }
    Dialect { delimiter: delimiter_from(header_offset), header_offset, readings }
}

/// The comment lines before the header.
struct Comments {
    /// The number of lines that start with `#`.
    lines: usize,
    /// The number of bytes up to the header, including empty lines.
    bytes: usize,
}

/// Finds the lines before the header that start with `#`.
///
/// If the last of these lines has as many cells as the next line, it is the header, and the `#` is part of the first
/// column name. `delimiter_from` returns the delimiter of the text from an offset.
fn find_comments(text: &str, delimiter_from: &dyn Fn(usize) -> u8) -> Comments {
    const NO_COMMENTS: Comments = Comments { lines: 0, bytes: 0 };
    let mut bytes = 0;
    let mut lines = 0;
    for line in text.split_inclusive(['\n', '\r']) {
        if line.starts_with('#') {
            lines += 1;
        } else if !line.trim().is_empty() {
            break;
        }
        bytes += line.len();
    }
    if lines == 0 {
        return NO_COMMENTS;
    }
    let mut comment_lines: Vec<&str> = text[..bytes].split(['\n', '\r']).filter(|line| !line.is_empty()).collect();
    let next_record = first_records(&text[bytes..], None).first().copied();
    let (Some(last), Some(next)) = (comment_lines.pop(), next_record) else { return NO_COMMENTS };
    let delimiter = delimiter_from(bytes);
    let cells = count_cells(next, delimiter);
    let last_is_header = cells > 1 && count_cells(last, delimiter) == cells;
    if !last_is_header {
        Comments { lines, bytes }
    } else if comment_lines.is_empty() {
        NO_COMMENTS
    } else {
        Comments { lines: lines - 1, bytes: last.as_ptr() as usize - text.as_ptr() as usize }
    }
}

/// Returns the first records of a text, without empty records and comments.
fn first_records(text: &str, comment: Option<u8>) -> Vec<&str> {
    let mut records = Vec::new();
    let (mut start, mut is_quoted) = (0, false);
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' | b'\r' if !is_quoted => {
                records.push(&text[start..offset]);
                start = offset + 1;
            }
            _ => {}
        }
        if records.len() >= 4 * MAX_SAMPLED_LINES {
            break;
        }
    }
    if records.len() < MAX_SAMPLED_LINES {
        records.push(&text[start..]);
    }
    let is_comment = |record: &str| comment.is_some_and(|comment| record.as_bytes().first() == Some(&comment));
    records.retain(|record| !record.trim().is_empty() && !is_comment(record));
    records.truncate(MAX_SAMPLED_LINES);
    records
}

/// Returns the number of cells of a record.
fn count_cells(record: &str, delimiter: u8) -> usize {
    if delimiter == WHITESPACE {
        return collapse_whitespace(record).split('\t').count();
    }
    let mut is_quoted = false;
    1 + record
        .bytes()
        .filter(|byte| {
            is_quoted ^= *byte == b'"';
            !is_quoted && *byte == delimiter
        })
        .count()
}

/// Guesses the delimiter. The choices, in order:
///
/// 1. the delimiter with the most cells in the header, among those with which all records have as many cells
/// 2. the delimiter with the most cells in the header
/// 3. runs of spaces and tabs, if all records have as many cells
/// 4. a comma
fn guess_delimiter(records: &[&str]) -> u8 {
    let Some(header) = records.first() else { return b',' };
    // max_by_key returns the last of equal counts, so the preferred delimiter is last.
    let delimiters = [b'|', b'\t', b';', b','];
    let header_cells = |delimiter: &u8| count_cells(header, *delimiter);
    let is_regular = |delimiter: &u8| {
        let expected = header_cells(delimiter);
        // A line may end in a delimiter.
        records[1..].iter().all(|record| (expected..=expected + 1).contains(&count_cells(record, *delimiter)))
    };
    let in_header = || delimiters.into_iter().filter(move |delimiter| header_cells(delimiter) > 1);
    let regular = in_header().filter(is_regular).max_by_key(header_cells);
    if let Some(delimiter) = regular.or_else(|| in_header().max_by_key(header_cells)) {
        return delimiter;
    }
    let has_space_columns = records.len() > 1 && header_cells(&WHITESPACE) > 1 && is_regular(&WHITESPACE);
    if has_space_columns { WHITESPACE } else { b',' }
}

/// Replaces each run of spaces and tabs outside quotes by one tab, and removes it at the start and end of lines.
pub(crate) fn collapse_whitespace(text: &str) -> String {
    let mut collapsed = String::with_capacity(text.len());
    let (mut is_quoted, mut is_after_run, mut is_line_start) = (false, false, true);
    for c in text.chars() {
        match c {
            ' ' | '\t' if !is_quoted => is_after_run = true,
            '\n' | '\r' if !is_quoted => {
                collapsed.push(c);
                (is_after_run, is_line_start) = (false, true);
            }
            _ => {
                is_quoted ^= c == '"';
                if is_after_run && !is_line_start {
                    collapsed.push('\t');
                }
                collapsed.push(c);
                (is_after_run, is_line_start) = (false, false);
            }
        }
    }
    collapsed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delimiter(text: &str) -> u8 {
        detect_dialect(text, &CsvSettings::default()).delimiter
    }

    #[test]
    fn the_delimiter_gives_all_lines_the_same_number_of_cells() {
        for (text, expected) in [
            ("a|b\n1|2\n", b'|'),
            ("a b  c\n1 2\t3\n", WHITESPACE),
            (" a b\n 1 2 \n", WHITESPACE),
            ("a b\n1\n", b','),
            ("price, EUR;area, m2\n1,5;2\n1;2\n", b';'),
            ("a;b,c\n1;2\n", b';'),
            ("a,b\n1,2,\n", b','),
            ("name\n\"x y\"\n", b','),
            ("", b','),
        ] {
            assert_eq!(delimiter(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sep_lines_and_comments_before_the_header_are_skipped() {
        fn detect(text: &str) -> (&str, u8) {
            let dialect = detect_dialect(text, &CsvSettings::default());
            (&text[dialect.header_offset..], dialect.delimiter)
        }
        assert_eq!(detect("sep=;\na;b,c\n"), ("\na;b,c\n", b';'));
        assert_eq!(detect("# one, two\n\n# three\na,b\n1,2\n"), ("a,b\n1,2\n", b','));
        assert_eq!(detect("#a,b\n1,2\n"), ("#a,b\n1,2\n", b','));
        assert_eq!(detect("# comment\n#a;b\n1;2\n"), ("#a;b\n1;2\n", b';'));
    }
}
