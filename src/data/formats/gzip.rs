//! gzip files, recognized by their content.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;

use crate::data::formats::signature::GZIP;

/// The content of `from`, decompressed if it is a gzip file.
pub(crate) fn gzip_reader<'a>(from: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut from = BufReader::new(from);
    // A read may return a single byte, and the buffer cannot be asked for more.
    let mut head = Vec::new();
    from.by_ref().take(GZIP.len() as u64).read_to_end(&mut head)?;
    let is_gzip = head == GZIP;
    let whole = Cursor::new(head).chain(from);
    Ok(if is_gzip { Box::new(GzipMembers { member: Some(GzDecoder::new(whole)) }) } else { Box::new(whole) })
}

/// The content of all members of a gzip file. Zero bytes between and after members are padding, as on tapes and in files
/// whose size is a multiple of a block; GNU gzip and CPython skip them, too.
struct GzipMembers<R> {
    /// The member that is being read; none after the last.
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
                    // A rest that is no gzip member is an error of its header.
                    self.member = Some(GzDecoder::new(rest));
                }
            }
        }
    }
}

/// Skips zero bytes: whether anything follows them.
fn skip_zeros(from: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
        let is_end = zeros < buffer.len();
        from.consume(zeros);
        if is_end {
            return Ok(true);
        }
    }
}
