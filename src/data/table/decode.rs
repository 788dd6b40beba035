//! From the bytes of a file to text: compression, byte order marks and encodings.

use std::{borrow::Cow, io::Read};

use crate::{
    data::{
        formats::{gzip, signature, zip::Archive},
        table::settings::Encoding,
    },
    error::Result,
    util::files::format_error,
};
const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";

/// Decompresses a file that is compressed: gzip, or a zip archive with one file. At most `most` bytes come out, and one
/// more if there are more. A file of another format is an error that names it.
pub(crate) fn decompress<'a>(content: &'a [u8], name: &str, max: u64) -> Result<Cow<'a, [u8]>> {
    if content.starts_with(signature::GZIP) {
        let mut unpacked = Vec::new();
        let read = gzip::gzip_reader(content).and_then(|from| from.take(max + 1).read_to_end(&mut unpacked));
        return read
            .map(|_| unpacked.into())
            .map_err(|error| format_error(&name, "gzip", "a complete gzip stream", error));
    }
    let head = &content[..content.len().min(signature::HEAD_BYTES)];
    let format = signature::recognize(head);
    if head.starts_with(signature::ZIP) && format.is_some_and(|format| format.starts_with("a zip archive")) {
        let archive = Archive::read(content, name)?;
        let files: Vec<&str> = archive.names().filter(|file| !file.ends_with('/')).collect();
        return match files.as_slice() {
            [file] => archive.open(file, max).map(Into::into),
            _ => Err(format_error(&name, "zip", "an archive with one file", format_args!("{} files", files.len()))),
        };
    }
    // A table may begin with the letters of another format.
    let is_text = str::from_utf8(head).is_ok() && !head.contains(&0) && !head.trim_ascii_start().starts_with(b"<");
    match format.filter(|_| !is_text) {
        Some(format) => Err(format_error(&name, "byte 0", "text in columns (CSV)", format)),
        None => Ok(content.into()),
    }
}

/// The text of a file and its encoding: as asked for, or by its byte order mark, or UTF-16 by its zero bytes, or UTF-8.
pub(crate) fn decode<'a>(
    content: &'a [u8],
    name: &str,
    encoding: Option<Encoding>,
) -> Result<(Cow<'a, str>, Encoding)> {
    let encoding = encoding.unwrap_or_else(|| detect_encoding(content));
    let text = match encoding {
        Encoding::Utf8 | Encoding::Utf8Bom => content.strip_prefix(UTF8_BOM).unwrap_or(content),
        Encoding::Utf16Le => {
            return decode_utf16(content, name, u16::from_le_bytes).map(|text| (text.into(), encoding));
        }
        Encoding::Utf16Be => {
            return decode_utf16(content, name, u16::from_be_bytes).map(|text| (text.into(), encoding));
        }
        Encoding::Windows1252 => {
            let (text, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(content);
            return Ok((text, encoding));
        }
    };
    str::from_utf8(text).map(|text| (text.into(), encoding)).map_err(|error| {
        let (before, rest) = text.split_at(error.valid_up_to());
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        let place = format!("line {}, byte {column}", 1 + count_line_ends(before));
        let got = format!(
            "{:02x?}; if the file is in Windows-1252 or Latin-1, set that encoding",
            &rest[..rest.len().min(4)]
        );
        format_error(&name, place, "text in UTF-8, as which a spreadsheet can save it", got)
    })
}

/// How many lines end in a piece of text; a line may end in `\n`, `\r\n` or `\r`.
pub(crate) fn count_line_ends(text: &[u8]) -> u32 {
    let returns = memchr::memchr_iter(b'\r', text).filter(|at| text.get(at + 1) != Some(&b'\n'));
    (memchr::memchr_iter(b'\n', text).count() + returns.count()) as u32
}

fn detect_encoding(content: &[u8]) -> Encoding {
    match content {
        [0xef, 0xbb, 0xbf, ..] => Encoding::Utf8Bom,
        [0xff, 0xfe, ..] => Encoding::Utf16Le,
        [0xfe, 0xff, ..] => Encoding::Utf16Be,
        [a, 0, b, 0, ..] if *a > 0 && *b > 0 => Encoding::Utf16Le,
        [0, a, 0, b, ..] if *a > 0 && *b > 0 => Encoding::Utf16Be,
        _ => Encoding::Utf8,
    }
}

fn decode_utf16(content: &[u8], name: &str, unit: impl Fn([u8; 2]) -> u16) -> Result<String> {
    let (pairs, rest) = content.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    let text: std::result::Result<String, _> = char::decode_utf16(units).collect();
    let (Ok(text), []) = (text, rest) else {
        return Err(format_error(&name, "text", "UTF-16", "an odd number of bytes or an unpaired surrogate"));
    };
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(content: &[u8]) -> (String, Encoding) {
        let (text, encoding) = decode(content, "t", None).unwrap();
        (text.into_owned(), encoding)
    }

    #[test]
    fn every_encoding_gives_the_same_text() {
        let utf16 = |mark: bool, bytes: fn(u16) -> [u8; 2]| {
            let text = if mark { "\u{feff}a;ä\n1;€" } else { "a;ä\n1;€" };
            text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>()
        };
        for (content, encoding) in [
            ("a;ä\n1;€".as_bytes().to_vec(), Encoding::Utf8),
            ("\u{feff}a;ä\n1;€".as_bytes().to_vec(), Encoding::Utf8Bom),
            (utf16(true, u16::to_le_bytes), Encoding::Utf16Le),
            (utf16(true, u16::to_be_bytes), Encoding::Utf16Be),
            (utf16(false, u16::to_be_bytes), Encoding::Utf16Be),
        ] {
            assert_eq!(text(&content), ("a;ä\n1;€".to_owned(), encoding), "{encoding:?}");
        }
        let latin = decode(b"\xe4\x80", "t", Some(Encoding::Windows1252)).unwrap();
        assert_eq!(latin.0, "ä€");
        assert!(decode(b"\xff\xfea", "t", None).is_err());
    }
}
