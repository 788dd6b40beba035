//! Decompresses gzip files, which are recognized by their content.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;

use crate::data::formats::signature::GZIP;

/// Returns a reader of the content of `from`, which decompresses gzip files and passes on all others.
pub(crate) fn gzip_reader<'a>(from: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut from = BufReader::new(from);
    // `fill_buf` may return a single byte, which is too few to recognize the format.
    let mut head = Vec::new();
    from.by_ref().take(GZIP.len() as u64).read_to_end(&mut head)?;
    let is_gzip = head == GZIP;
    let content = Cursor::new(head).chain(from);
    Ok(if is_gzip { Box::new(GzipMembers { member: Some(GzDecoder::new(content)) }) } else { Box::new(content) })
}

/// A reader of the content of all members of a gzip file.
///
/// It skips zero bytes between and after members, like GNU gzip and CPython. They are padding on tapes, and in files
/// whose size is a multiple of a block.
struct GzipMembers<R> {
    /// The current member; `None` after the last one.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(member) = &mut self.member else { return Ok(0) };
            let count = member.read(into)?;
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            if let Some(member) = self.member.take() {
                let mut rest = member.into_inner();
                if skip_zeros(&mut rest)? {
                    // If the rest is not a gzip member, the decoder returns an error for its header.
                    self.member = Some(GzDecoder::new(rest));
                }
            }
        }
    }
}

/// Skips zero bytes. Returns whether other bytes follow.
fn skip_zeros(from: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
        let has_other_bytes = zeros < buffer.len();
        from.consume(zeros);
        if has_other_bytes {
            return Ok(true);
        }
    }
}
