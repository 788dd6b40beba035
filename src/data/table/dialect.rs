//! What stands between the cells of a CSV file, and where its columns begin, found out from its first lines.

use crate::data::table::settings::{CsvSettings, Reading};

/// The delimiter that stands for runs of spaces and tabs.
pub(crate) const WHITESPACE: u8 = b' ';

/// The lines that are looked at.
const MAX_SAMPLED_LINES: usize = 100;

/// What was found out.
pub(crate) struct Dialect {
    pub delimiter: u8,
    /// The byte at which the first line of the columns begins.
    pub header_offset: usize,
    pub readings: Vec<Reading>,
}

impl Dialect {
    /// The byte between cells, once runs of spaces and tabs are one tab.
    pub const fn separator(&self) -> u8 {
        if self.delimiter == WHITESPACE { b'\t' } else { self.delimiter }
    }
}

/// Looks at the first lines, as far as the settings do not say it.
pub(crate) fn detect_dialect(text: &str, settings: &CsvSettings) -> Dialect {
    let mut readings = Vec::new();
    let mut begin = 0;
    let mut stated = settings.delimiter;
    let first = text.split(['\n', '\r']).next().unwrap_or_default();
    let named = first.strip_prefix("sep=").or(first.strip_prefix("\"sep=").and_then(|rest| rest.strip_suffix('"')));
    // Spreadsheets write the delimiter into a line of its own.
    if let Some(&[delimiter]) = named.map(str::as_bytes)
        && !delimiter.is_ascii_alphanumeric()
    {
        begin = first.len();
        stated = stated.or(Some(delimiter));
        readings.push(Reading::DelimiterLine);
    }
    let delimiter =
        |begin: usize| stated.unwrap_or_else(|| guess_delimiter(&first_records(&text[begin..], settings.comment)));
    if settings.comment.is_none() {
        let lines = count_comments(&text[begin..], &delimiter);
        if lines.0 > 0 {
            begin += lines.1;
            readings.push(Reading::Comments { lines: lines.0 });
        }
    }
    Dialect { delimiter: delimiter(begin), header_offset: begin, readings }
}

/// How many lines that begin with `#` stand before the columns, and how many bytes those are. A `#` before the first name
/// of a header is part of the name: then its line has as many cells as the next.
fn count_comments(text: &str, delimiter: &dyn Fn(usize) -> u8) -> (usize, usize) {
    let mut begin = 0;
    let mut lines = 0;
    for line in text.split_inclusive(['\n', '\r']) {
        if line.starts_with('#') {
            lines += 1;
        } else if !line.trim().is_empty() {
            break;
        }
        begin += line.len();
    }
    if lines == 0 {
        return (0, 0);
    }
    let content = &text[begin..];
    let mut above: Vec<&str> = text[..begin].split(['\n', '\r']).filter(|line| !line.is_empty()).collect();
    let (Some(last), Some(next)) = (above.pop(), first_records(content, None).first().copied()) else { return (0, 0) };
    let by = delimiter(text.len() - content.len());
    let is_header = count_cells(last, by) == count_cells(next, by) && count_cells(next, by) > 1;
    match (is_header, above.len()) {
        (false, _) => (lines, begin),
        (true, 0) => (0, 0),
        (true, _) => (lines - 1, last.as_ptr() as usize - text.as_ptr() as usize),
    }
}

/// The first records of a text that are not empty.
fn first_records(text: &str, comment: Option<u8>) -> Vec<&str> {
    let mut records = Vec::new();
    let (mut begin, mut is_quoted) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' | b'\r' if !is_quoted => {
                records.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
        if records.len() >= 4 * MAX_SAMPLED_LINES {
            break;
        }
    }
    if records.len() < MAX_SAMPLED_LINES {
        records.push(&text[begin..]);
    }
    let is_comment = |record: &str| comment.is_some_and(|comment| record.as_bytes().first() == Some(&comment));
    records.retain(|record| !record.trim().is_empty() && !is_comment(record));
    records.truncate(MAX_SAMPLED_LINES);
    records
}

/// How many cells a record has.
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

/// The delimiter that the header has, and all lines alike, most of; else the one that the header has most of; else runs of
/// spaces or tabs if all lines have as many; else a comma.
fn guess_delimiter(records: &[&str]) -> u8 {
    let Some(header) = records.first() else { return b',' };
    // Of equal counts the last wins.
    let candidates = [b'|', b'\t', b';', b','];
    let count = |delimiter: &u8| count_cells(header, *delimiter);
    let most = |candidates: &mut dyn Iterator<Item = u8>| candidates.filter(|one| count(one) > 1).max_by_key(count);
    let is_regular = |delimiter: u8| {
        let expected = count_cells(header, delimiter);
        // A line may end in a delimiter.
        records[1..].iter().all(|record| (expected..=expected + 1).contains(&count_cells(record, delimiter)))
    };
    let regular = most(&mut candidates.into_iter().filter(|one| is_regular(*one)));
    let has_spaces = count_cells(header, WHITESPACE) > 1 && is_regular(WHITESPACE) && records.len() > 1;
    match regular.or_else(|| most(&mut candidates.into_iter())) {
        Some(delimiter) => delimiter,
        None if has_spaces => WHITESPACE,
        None => b',',
    }
}

/// A text with one tab for each run of spaces and tabs outside quotes, and none at the ends of lines.
pub(crate) fn collapse_whitespace(text: &str) -> String {
    let mut with_tabs = String::with_capacity(text.len());
    let (mut is_quoted, mut is_run, mut is_begin) = (false, false, true);
    for c in text.chars() {
        match c {
            ' ' | '\t' if !is_quoted => is_run = true,
            '\n' | '\r' if !is_quoted => {
                with_tabs.push(c);
                (is_run, is_begin) = (false, true);
            }
            _ => {
                is_quoted ^= c == '"';
                if is_run && !is_begin {
                    with_tabs.push('\t');
                }
                with_tabs.push(c);
                (is_run, is_begin) = (false, false);
            }
        }
    }
    with_tabs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delimiter(text: &str) -> u8 {
        detect_dialect(text, &CsvSettings::default()).delimiter
    }

    #[test]
    fn the_delimiter_is_the_one_that_all_lines_have_alike() {
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
    fn lines_before_the_columns_are_recognized() {
        fn begin(text: &str) -> (&str, u8) {
            let dialect = detect_dialect(text, &CsvSettings::default());
            (&text[dialect.header_offset..], dialect.delimiter)
        }
        assert_eq!(begin("sep=;\na;b,c\n"), ("\na;b,c\n", b';'));
        assert_eq!(begin("# one, two\n\n# three\na,b\n1,2\n"), ("a,b\n1,2\n", b','));
        assert_eq!(begin("#a,b\n1,2\n"), ("#a,b\n1,2\n", b','));
        assert_eq!(begin("# by hand\n#a;b\n1;2\n"), ("#a;b\n1;2\n", b';'));
    }
}
