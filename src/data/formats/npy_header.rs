//! The header of an npy file: what the values are, and how many.

use std::fmt::Display;

use crate::{
    data::{file_rows::ValueType, formats::signature},
    error::Result,
    util::files::format_error,
};

/// What begins every npy file.
const MAGIC: &[u8] = signature::NPY;

/// A header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub value_type: ValueType,
    /// Whether the values lie column by column.
    pub is_fortran: bool,
    /// The sizes, the slowest first where the values lie row by row.
    pub shape: Vec<usize>,
    /// Where in the file the values begin.
    pub data_offset: usize,
}

impl Header {
    /// Reads the header of `content`; errors call it `name`.
    pub fn read(content: &[u8], name: &str) -> Result<Self> {
        let refused = |at: usize, expected: &str, got: &dyn Display| {
            Err(format_error(&name, format_args!("byte {at}, the header"), expected, got))
        };
        if !content.starts_with(MAGIC) {
            return Err(format_error(&name, "byte 0", "a numpy npy file", signature::describe(content)));
        }
        let (length, begin) = match content.get(MAGIC.len()..) {
            Some(&[1, _, a, b, ..]) => (usize::from(u16::from_le_bytes([a, b])), 10),
            Some(&[2 | 3, _, a, b, c, d, ..]) => (u32::from_le_bytes([a, b, c, d]) as usize, 12),
            Some(&[version @ (0 | 4..), ..]) => return refused(6, "version 1, 2 or 3", &version),
            _ => return refused(content.len(), "the length of the header", &"the end of the file"),
        };
        let Some(text) = content.get(begin..).and_then(|rest| rest.get(..length)) else {
            let got = content.len().saturating_sub(begin);
            return refused(begin, &format!("{length} bytes"), &got);
        };
        let mut literal = DictParser { text, position: 0 };
        match literal.parse_header() {
            Ok((kind, is_fortran, sizes)) => {
                Ok(Self { value_type: kind, is_fortran, shape: sizes, data_offset: begin + length })
            }
            Err(expected) => refused(begin + literal.position, &expected, &literal.rest()),
        }
    }
}

/// A walk through a Python dictionary with the three keys that numpy writes, and nothing that nests.
struct DictParser<'a> {
    text: &'a [u8],
    position: usize,
}

/// The most sizes of an array: numpy allows no more.
const MAX_DIMENSIONS: usize = 64;

/// What was expected where the walk stands, if it is something else.
type ParseResult<T> = Result<T, String>;

impl<'a> DictParser<'a> {
    fn parse_header(&mut self) -> ParseResult<(ValueType, bool, Vec<usize>)> {
        let (mut kind, mut is_fortran, mut sizes) = (None, None, None);
        self.take(b"{")?;
        while !self.takes(b"}") {
            let before = self.position;
            match self.string()? {
                b"descr" => {
                    self.take(b":")?;
                    kind = Some(self.kind()?);
                }
                b"fortran_order" => {
                    self.take(b":")?;
                    is_fortran = Some(self.truth()?);
                }
                b"shape" => {
                    self.take(b":")?;
                    sizes = Some(self.sizes()?);
                }
                _ => {
                    self.position = before;
                    return Err("'descr', 'fortran_order' or 'shape'".into());
                }
            }
            if !self.takes(b",") {
                self.take(b"}")?;
                break;
            }
        }
        match (kind, is_fortran, sizes) {
            (Some(kind), Some(is_fortran), Some(sizes)) => Ok((kind, is_fortran, sizes)),
            _ => Err("'descr', 'fortran_order' and 'shape' before".into()),
        }
    }

    fn kind(&mut self) -> ParseResult<ValueType> {
        let expected = "numbers, such as '<f2', '<f4', '<f8', '|u1', '|b1', '<i8' or '>u2'";
        self.skip();
        let before = self.position;
        // What is no string is a record of several columns.
        let Ok(name) = self.string() else { return Err(expected.into()) };
        if let [order @ (b'<' | b'>' | b'|' | b'='), letter @ (b'f' | b'i' | b'u' | b'b'), width @ b'1'..=b'8'] = name {
            let width = usize::from(width - b'0');
            let widths: &[usize] = match letter {
                b'f' => &[2, 4, 8],
                b'b' => &[1],
                _ => &[1, 2, 4, 8],
            };
            if widths.contains(&width) && (width == 1 || *order != b'|') {
                let is_big_endian = *order == b'>' || *order == b'=' && cfg!(target_endian = "big");
                return Ok(ValueType { type_code: *letter, width, is_big_endian });
            }
        }
        self.position = before;
        Err(expected.into())
    }

    fn truth(&mut self) -> ParseResult<bool> {
        if self.takes(b"True") {
            return Ok(true);
        }
        self.take(b"False").map(|()| false).map_err(|_| "True or False".into())
    }

    fn sizes(&mut self) -> ParseResult<Vec<usize>> {
        let mut sizes = Vec::new();
        self.take(b"(")?;
        while !self.takes(b")") {
            if sizes.len() == MAX_DIMENSIONS {
                return Err(format!("at most {MAX_DIMENSIONS} sizes"));
            }
            sizes.push(self.size()?);
            if !self.takes(b",") {
                self.take(b")")?;
                break;
            }
        }
        Ok(sizes)
    }

    fn size(&mut self) -> ParseResult<usize> {
        self.skip();
        let digits = self.text[self.position..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let size = str::from_utf8(&self.text[self.position..self.position + digits])
            .ok()
            .and_then(|digits| digits.parse().ok());
        let size = size.ok_or_else(|| format!("a size from 0 to {}", usize::MAX))?;
        self.position += digits;
        // Python 2 wrote its long integers so.
        self.takes(b"L");
        Ok(size)
    }

    /// A string without escapes, in either kind of quotes.
    fn string(&mut self) -> ParseResult<&'a [u8]> {
        self.skip();
        let rest = &self.text[self.position..];
        let quote = rest.first().copied().filter(|quote| [b'\'', b'"'].contains(quote));
        let found = quote.and_then(|quote| rest[1..].iter().position(|byte| *byte == quote));
        let len = found.ok_or("a string in quotes")?;
        self.position += len + 2;
        Ok(&rest[1..=len])
    }

    fn take(&mut self, word: &[u8]) -> ParseResult<()> {
        if self.takes(word) { Ok(()) } else { Err(format!("'{}'", word.escape_ascii())) }
    }

    /// Whether what comes next is `word`, which is passed then.
    fn takes(&mut self, word: &[u8]) -> bool {
        self.skip();
        let is_next = self.text[self.position..].starts_with(word);
        self.position += if is_next { word.len() } else { 0 };
        is_next
    }

    fn skip(&mut self) {
        self.position += self.text[self.position..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }

    /// The next few bytes, for an error.
    fn rest(&self) -> String {
        let rest = &self.text[self.position..];
        // A string is shown alone, without what follows it.
        let quote = rest.first().filter(|first| [b'\'', b'"'].contains(first));
        let end = quote.and_then(|quote| rest[1..].iter().position(|byte| byte == quote));
        let shown = &rest[..end.map_or(rest.len(), |end| end + 2).min(24)];
        match rest {
            [] => "its end".to_owned(),
            _ => format!("{:?}", String::from_utf8_lossy(shown)),
        }
    }
}
