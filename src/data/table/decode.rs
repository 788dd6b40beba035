//! Decompression and decoding of a CSV file: gzip, zip, byte order marks and encodings.

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

/// Decompresses a gzip file, or a zip archive with one file; returns other content unchanged.
///
/// The result has at most `max + 1` bytes. The additional byte shows that the file is too large.
///
/// # Errors
/// [`Error::Format`](crate::Error::Format) if a compressed file is invalid, or if the file has another format.
pub(crate) fn decompress<'a>(content: &'a [u8], name: &str, max: u64) -> Result<Cow<'a, [u8]>> {
    if content.starts_with(signature::GZIP) {
        let mut decompressed = Vec::new();
        let read = gzip::gzip_reader(content).and_then(|reader| reader.take(max + 1).read_to_end(&mut decompressed));
        return match read {
            Ok(_) => Ok(decompressed.into()),
            Err(error) => Err(format_error(&name, "gzip", "a complete gzip file", format_args!("an error: {error}"))),
        };
    }
    let head = &content[..content.len().min(signature::HEAD_BYTES)];
    let format = signature::recognize(head);
    if head.starts_with(signature::ZIP) && format.is_some_and(|format| format.starts_with("a zip archive")) {
        let archive = Archive::read(content, name)?;
        let files: Vec<&str> = archive.names().filter(|file| !file.ends_with('/')).collect();
        return match files.as_slice() {
            [file] => archive.open(file, max).map(Into::into),
            _ => {
                let got = format!("{} files; extract the table from the archive", files.len());
                Err(format_error(&name, "zip", "an archive with one file", got))
            }
        };
    }
    // A table may start with the signature of another format, if the signature consists of letters.
    let is_text = str::from_utf8(head).is_ok() && !head.contains(&0) && !head.trim_ascii_start().starts_with(b"<");
    match format.filter(|_| !is_text) {
        Some(format) => Err(format_error(&name, "byte 0", "text in columns (CSV)", format)),
        None => Ok(content.into()),
    }
}

/// Returns the text of a file and its encoding.
///
/// Without `encoding`, the byte order mark decides. Without a byte order mark, zero bytes at the start mean UTF-16, and
/// otherwise the encoding is UTF-8.
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
        let (valid, invalid) = text.split_at(error.valid_up_to());
        let byte_in_line = valid.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        let location = format!("line {}, byte {byte_in_line}", 1 + count_line_ends(valid));
        let got = format!(
            "bytes {:02x?}; save the file in UTF-8, or if it is in Windows-1252 or Latin-1, set that encoding",
            &invalid[..invalid.len().min(4)]
        );
        format_error(&name, location, "text in UTF-8", got)
    })
}

/// Returns the number of line ends. A line ends in `\n`, `\r\n` or `\r`.
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
    if !rest.is_empty() {
        let expected = "an even number of bytes of UTF-16 text";
        return Err(format_error(&name, "size", expected, content.len()));
    }
    let mut text = String::with_capacity(pairs.len());
    for (index, c) in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).enumerate() {
        match c {
            Ok('\u{feff}') if index == 0 => {}
            Ok(c) => text.push(c),
            Err(error) => {
                let location = format!("line {}", 1 + count_line_ends(text.as_bytes()));
                let got = format!("the unpaired surrogate {:04x}", error.unpaired_surrogate());
                return Err(format_error(&name, location, "text in UTF-16", got));
            }
        }
    }
    Ok(text)
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
        let utf16 = |has_byte_order_mark: bool, bytes: fn(u16) -> [u8; 2]| {
            let text = if has_byte_order_mark { "\u{feff}a;ä\n1;€" } else { "a;ä\n1;€" };
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
        let (text, _) = decode(b"\xe4\x80", "t", Some(Encoding::Windows1252)).unwrap();
        assert_eq!(text, "ä€");
    }

    #[test]
    fn invalid_utf16_returns_an_error_with_its_location() {
        let error = |content: &[u8]| decode(content, "t", Some(Encoding::Utf16Le)).unwrap_err().to_string();
        assert_eq!(error(b"\xff\xfea"), "t: size: expected an even number of bytes of UTF-16 text, got 3");
        let surrogate = b"\xff\xfea\0\n\0\x00\xd8b\0";
        assert_eq!(error(surrogate), "t: line 2: expected text in UTF-16, got the unpaired surrogate d800");
    }
}
