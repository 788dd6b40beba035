//! The header of an npy file: the type, the order and the shape of the values.

use std::fmt::Display;

use crate::{
    data::{formats::signature, value_type::ValueType},
    error::Result,
    util::files::format_error,
};

/// The first bytes of every npy file.
const MAGIC: &[u8] = signature::NPY;

/// The header of an npy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub value_type: ValueType,
    /// Whether the values are in Fortran order: column by column.
    pub is_fortran: bool,
    /// The size of each dimension. In C order the last index changes fastest.
    pub shape: Vec<usize>,
    /// The offset of the first value in the file, in bytes.
    pub data_offset: usize,
}

impl Header {
    /// Parses the header of `content`. Error messages contain `name`.
    pub fn read(content: &[u8], name: &str) -> Result<Self> {
        let header_error = |offset: usize, expected: &str, got: &dyn Display| {
            Err(format_error(&name, format_args!("byte {offset}, the header"), expected, got))
        };
        if !content.starts_with(MAGIC) {
            return Err(format_error(&name, "byte 0", "a numpy npy file", signature::describe(content)));
        }
        let (text_bytes, text_offset) = match content.get(MAGIC.len()..) {
            Some(&[1, _, a, b, ..]) => (usize::from(u16::from_le_bytes([a, b])), 10),
            Some(&[2 | 3, _, a, b, c, d, ..]) => (u32::from_le_bytes([a, b, c, d]) as usize, 12),
            Some(&[version @ (0 | 4..), ..]) => return header_error(6, "version 1, 2 or 3", &version),
            _ => return header_error(content.len(), "the length of the header", &"the end of the file"),
        };
        let Some(text) = content.get(text_offset..).and_then(|rest| rest.get(..text_bytes)) else {
            let got = content.len().saturating_sub(text_offset);
            return header_error(text_offset, &format!("{text_bytes} bytes"), &got);
        };
        let mut parser = DictParser { text, position: 0 };
        match parser.parse_header() {
            Ok(ArrayDescription { value_type, is_fortran, shape }) => {
                Ok(Self { value_type, is_fortran, shape, data_offset: text_offset + text_bytes })
            }
            Err(expected) => header_error(text_offset + parser.position, &expected, &parser.describe_rest()),
        }
    }
}

/// The contents of the dictionary in a header.
struct ArrayDescription {
    value_type: ValueType,
    is_fortran: bool,
    shape: Vec<usize>,
}

/// A parser of a Python dictionary with the three keys that numpy writes, without nested dictionaries or lists.
struct DictParser<'a> {
    text: &'a [u8],
    position: usize,
}

/// The maximum number of dimensions of an array, which is also the limit of numpy.
const MAX_DIMENSIONS: usize = 64;

/// The result of a parser. The error is the text that was expected at the position of the parser.
type ParseResult<T> = Result<T, String>;

impl<'a> DictParser<'a> {
    fn parse_header(&mut self) -> ParseResult<ArrayDescription> {
        let (mut value_type, mut is_fortran, mut shape) = (None, None, None);
        self.require(b"{")?;
        while !self.skip_if(b"}") {
            let key_position = self.position;
            match self.parse_string()? {
                b"descr" => {
                    self.require(b":")?;
                    value_type = Some(self.parse_value_type()?);
                }
                b"fortran_order" => {
                    self.require(b":")?;
                    is_fortran = Some(self.parse_bool()?);
                }
                b"shape" => {
                    self.require(b":")?;
                    shape = Some(self.parse_shape()?);
                }
                _ => {
                    self.position = key_position;
                    return Err("'descr', 'fortran_order' or 'shape'".into());
                }
            }
            if !self.skip_if(b",") {
                self.require(b"}")?;
                break;
            }
        }
        match (value_type, is_fortran, shape) {
            (Some(value_type), Some(is_fortran), Some(shape)) => Ok(ArrayDescription { value_type, is_fortran, shape }),
            _ => Err("the keys 'descr', 'fortran_order' and 'shape' before this byte".into()),
        }
    }

    fn parse_value_type(&mut self) -> ParseResult<ValueType> {
        let expected = "numbers, such as '<f2', '<f4', '<f8', '|u1', '|b1', '<i8' or '>u2'";
        self.skip_spaces();
        let start = self.position;
        // A structured array has a list of columns here instead of a string.
        let Ok(name) = self.parse_string() else { return Err(expected.into()) };
        if let [order @ (b'<' | b'>' | b'|' | b'='), type_code @ (b'f' | b'i' | b'u' | b'b'), digit @ b'1'..=b'8'] =
            name
        {
            let width = usize::from(digit - b'0');
            let widths: &[usize] = match type_code {
                b'f' => &[2, 4, 8],
                b'b' => &[1],
                _ => &[1, 2, 4, 8],
            };
            if widths.contains(&width) && (width == 1 || *order != b'|') {
                let is_big_endian = *order == b'>' || *order == b'=' && cfg!(target_endian = "big");
                return Ok(ValueType { type_code: *type_code, width, is_big_endian });
            }
        }
        self.position = start;
        Err(expected.into())
    }

    fn parse_bool(&mut self) -> ParseResult<bool> {
        if self.skip_if(b"True") {
            return Ok(true);
        }
        self.require(b"False").map(|()| false).map_err(|_| "True or False".into())
    }

    fn parse_shape(&mut self) -> ParseResult<Vec<usize>> {
        let mut shape = Vec::new();
        self.require(b"(")?;
        while !self.skip_if(b")") {
            if shape.len() == MAX_DIMENSIONS {
                return Err(format!("at most {MAX_DIMENSIONS} dimensions"));
            }
            shape.push(self.parse_size()?);
            if !self.skip_if(b",") {
                self.require(b")")?;
                break;
            }
        }
        Ok(shape)
    }

    fn parse_size(&mut self) -> ParseResult<usize> {
        self.skip_spaces();
        let digit_count = self.text[self.position..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = &self.text[self.position..self.position + digit_count];
        let size = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let size = size.ok_or_else(|| format!("a size from 0 to {}", usize::MAX))?;
        self.position += digit_count;
        // Python 2 writes the suffix L after long integers.
        self.skip_if(b"L");
        Ok(size)
    }

    /// Parses a string without escapes, in single or double quotes.
    fn parse_string(&mut self) -> ParseResult<&'a [u8]> {
        self.skip_spaces();
        let rest = &self.text[self.position..];
        let quote = rest.first().copied().filter(|quote| [b'\'', b'"'].contains(quote));
        let found = quote.and_then(|quote| rest[1..].iter().position(|byte| *byte == quote));
        let len = found.ok_or("a string in quotes")?;
        self.position += len + 2;
        Ok(&rest[1..=len])
    }

    /// Skips `word`. Returns an error if the rest does not start with it.
    fn require(&mut self, word: &[u8]) -> ParseResult<()> {
        if self.skip_if(word) { Ok(()) } else { Err(format!("'{}'", word.escape_ascii())) }
    }

    /// Skips spaces, and `word` if the rest starts with it. Returns whether it does.
    fn skip_if(&mut self, word: &[u8]) -> bool {
        self.skip_spaces();
        let is_next = self.text[self.position..].starts_with(word);
        self.position += if is_next { word.len() } else { 0 };
        is_next
    }

    fn skip_spaces(&mut self) {
        self.position += self.text[self.position..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }

    /// Returns the next bytes for an error message: a complete string in quotes, or at most 24 bytes.
    fn describe_rest(&self) -> String {
        let rest = &self.text[self.position..];
        if rest.is_empty() {
            return "the end of the header".to_owned();
        }
        let quote = rest.first().filter(|first| [b'\'', b'"'].contains(first));
        let closing_quote = quote.and_then(|quote| rest[1..].iter().position(|byte| byte == quote));
        let len = closing_quote.map_or(rest.len(), |index| index + 2).min(24);
        format!("{:?}", String::from_utf8_lossy(&rest[..len]))
    }
}
