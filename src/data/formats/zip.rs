//! Reads zip archives of numpy and similar programs from memory: stored or deflated files of less than 4 GiB.
//!
//! APPNOTE.TXT by PKWARE describes the format. Archives are untrusted: every offset is checked before it is used, and
//! memory grows only with the content that was actually decompressed.

use std::io::Read;

use flate2::{Crc, read::DeflateDecoder};

use crate::{
    data::formats::signature,
    error::Result,
    util::files::{format_error, join_names},
};

/// The signatures at the start of each part of an archive.
const FILE_SIGNATURE: u32 = 0x0403_4b50;
const ENTRY_SIGNATURE: u32 = 0x0201_4b50;
const END_SIGNATURE: u32 = 0x0605_4b50;

/// The length in bytes of the fixed-size fields of each part of an archive.
const FILE_HEADER_BYTES: usize = 30;
const ENTRY_HEADER_BYTES: usize = 46;
const END_RECORD_BYTES: usize = 22;

/// The compression methods that this module supports.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// The placeholder for a size that is stored in a zip64 field. This module does not support zip64.
const ZIP64_SIZE: u32 = u32::MAX;

/// An archive with its list of files (the central directory).
#[derive(Debug)]
pub(crate) struct Archive<'a> {
    content: &'a [u8],
    /// The name of the archive in error messages.
    file: &'a str,
    entries: Vec<Entry>,
}

/// An entry of the central directory.
#[derive(Debug)]
struct Entry {
    name: String,
    /// The compression method: [`STORED`], [`DEFLATED`] or one that this module does not support.
    method: u16,
    checksum: u32,
    /// The size in the archive, in bytes.
    compressed_size: u32,
    /// The size of the content, in bytes.
    size: u32,
    /// The offset of the file header in the archive.
    offset: usize,
    is_encrypted: bool,
}

impl<'a> Archive<'a> {
    /// Reads the central directory of an archive. Error messages contain `file`.
    pub fn read(content: &'a [u8], file: &'a str) -> Result<Self> {
        // A comment of at most 65,535 bytes may follow the end record.
        let last = content.len().saturating_sub(END_RECORD_BYTES);
        let first = last.saturating_sub(usize::from(u16::MAX));
        let end = (first..=last).rev().find(|offset| read_u32(content, *offset) == Some(END_SIGNATURE));
        let end_record = end.and_then(|end| Some((read_u16(content, end + 10)?, read_u32(content, end + 16)?)));
        let Some((entry_count, directory_offset)) = end_record else {
            let location = format!("byte {}, the end", content.len());
            let got = if content.starts_with(b"PK") {
                "an incomplete zip archive".to_owned()
            } else {
                signature::describe(content)
            };
            return Err(format_error(&file, location, "the central directory of a zip archive", got));
        };
        let mut offset = directory_offset as usize;
        let mut entries = Vec::new();
        for _ in 0..entry_count {
            let Some((entry, next_offset)) = Entry::read(content, offset) else {
                let expected = format!("{entry_count} entries in the central directory");
                return Err(format_error(&file, format_args!("byte {offset}"), expected, entries.len()));
            };
            entries.push(entry);
            offset = next_offset;
        }
        Ok(Self { content, file, entries })
    }

    /// Returns the names of the files, in the order of the central directory.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// Returns the names of the npy files without `.npy`.
    #[cfg(feature = "npy")]
    pub fn arrays(&self) -> impl Iterator<Item = &str> {
        self.names().filter_map(|name| name.strip_suffix(".npy"))
    }

    /// Returns the decompressed content of a file of at most `max_bytes` bytes.
    pub fn open(&self, name: &str, max_bytes: u64) -> Result<Vec<u8>> {
        let entry_error = |offset: usize, expected: &str, got: &str| {
            Err(format_error(&self.file, format_args!("byte {offset}, {name}"), expected, got))
        };
        let Some(entry) = self.entries.iter().find(|entry| entry.name == name) else {
            let names: Vec<_> = self.names().collect();
            return entry_error(0, "a file of this name in the archive", &join_names(&names));
        };
        let (offset, size) = (entry.offset, u64::from(entry.size));
        if entry.is_encrypted {
            return entry_error(offset, "a stored or deflated file", "an encrypted file");
        }
        if ![STORED, DEFLATED].contains(&entry.method) {
            return entry_error(offset, "a stored or deflated file", &format!("compression method {}", entry.method));
        }
        if [entry.compressed_size, entry.size].contains(&ZIP64_SIZE) {
            return entry_error(offset, "a file of less than 4 GiB", "a zip64 entry");
        }
        if size > max_bytes {
            return entry_error(offset, &format!("at most {max_bytes} bytes"), &size.to_string());
        }
        let Some(compressed) = self.compressed_bytes(entry) else {
            let expected = format!("a file header and {} bytes", entry.compressed_size);
            return entry_error(offset, &expected, "the end of the archive, or no file header");
        };
        let mut content = Vec::new();
        // Read one byte more than expected, to detect content after the end.
        let result = match entry.method {
            STORED => compressed.take(size + 1).read_to_end(&mut content),
            _ => DeflateDecoder::new(compressed).take(size + 1).read_to_end(&mut content),
        };
        if let Err(error) = result {
            let got = format!("{} bytes, then: {error}", content.len());
            return entry_error(offset, &format!("{size} bytes"), &got);
        }
        let len = content.len() as u64;
        if len != size {
            let got = if len > size { format!("more than {size}") } else { len.to_string() };
            return entry_error(offset, &format!("{size} bytes"), &got);
        }
        let mut checksum = Crc::new();
        checksum.update(&content);
        if checksum.sum() != entry.checksum {
            let expected = format!("a checksum of {:#010x}", entry.checksum);
            return entry_error(offset, &expected, &format!("{:#010x}", checksum.sum()));
        }
        Ok(content)
    }

    /// Returns the bytes of a file as stored in the archive; `None` if they or the file header are not in the archive.
    fn compressed_bytes(&self, entry: &Entry) -> Option<&'a [u8]> {
        if read_u32(self.content, entry.offset)? != FILE_SIGNATURE {
            return None;
        }
        let name_bytes = usize::from(read_u16(self.content, entry.offset.checked_add(26)?)?);
        let extra_bytes = usize::from(read_u16(self.content, entry.offset.checked_add(28)?)?);
        let start = entry.offset.checked_add(FILE_HEADER_BYTES + name_bytes + extra_bytes)?;
        self.content.get(start..)?.get(..entry.compressed_size as usize)
    }
}

impl Entry {
    /// Reads the entry at `offset`. Returns it with the offset of the next entry; `None` if there is no valid entry.
    fn read(content: &[u8], offset: usize) -> Option<(Self, usize)> {
        if read_u32(content, offset)? != ENTRY_SIGNATURE {
            return None;
        }
        let entry = content.get(offset..)?;
        let name_bytes = usize::from(read_u16(entry, 28)?);
        let extra_bytes = usize::from(read_u16(entry, 30)?);
        let comment_bytes = usize::from(read_u16(entry, 32)?);
        let name = entry.get(ENTRY_HEADER_BYTES..)?.get(..name_bytes)?;
        let read = Self {
            name: String::from_utf8_lossy(name).into_owned(),
            method: read_u16(entry, 10)?,
            checksum: read_u32(entry, 16)?,
            compressed_size: read_u32(entry, 20)?,
            size: read_u32(entry, 24)?,
            offset: read_u32(entry, 42)? as usize,
            is_encrypted: read_u16(entry, 8)? & 1 == 1,
        };
        Some((read, offset + ENTRY_HEADER_BYTES + name_bytes + extra_bytes + comment_bytes))
    }
}

/// Reads a little-endian number of two bytes; `None` if it is not in `content`.
fn read_u16(content: &[u8], offset: usize) -> Option<u16> {
    content.get(offset..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

/// Reads a little-endian number of four bytes; `None` if it is not in `content`.
fn read_u32(content: &[u8], offset: usize) -> Option<u32> {
    content.get(offset..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
