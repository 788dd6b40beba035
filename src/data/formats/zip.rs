//! Zip archives as numpy writes them, read from memory: files that are stored or deflated, of less than 4 GiB.
//!
//! APPNOTE.TXT by PKWARE describes the format. No number in it is believed: every place is looked up with its bounds
//! checked, and no memory is taken for what was not decompressed yet.

use std::io::Read;

use flate2::{Crc, read::DeflateDecoder};

use crate::{data::formats::signature, error::Result, util::files::format_error};

/// What the parts of an archive begin with.
const FILE_SIGNATURE: u32 = 0x0403_4b50;
const ENTRY_SIGNATURE: u32 = 0x0201_4b50;
const END_SIGNATURE: u32 = 0x0605_4b50;

/// How long the parts are without what has no fixed length.
const FILE_HEADER_BYTES: usize = 30;
const ENTRY_HEADER_BYTES: usize = 46;
const END_RECORD_BYTES: usize = 22;

/// What an archive lists.
#[derive(Debug)]
pub(crate) struct Archive<'a> {
    content: &'a [u8],
    file: &'a str,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    /// 0 if it is stored as it is, 8 if it is deflated.
    method: u16,
    checksum: u32,
    /// How many bytes it has in the archive, and how many it is.
    sizes: [u32; 2],
    /// Where in the archive it begins.
    offset: usize,
    is_encrypted: bool,
}

impl<'a> Archive<'a> {
    /// Reads the list of files in an archive; errors call it `file`.
    pub fn read(content: &'a [u8], file: &'a str) -> Result<Self> {
        // The end may have a comment behind it, of up to 2^16 bytes.
        let last = content.len().saturating_sub(END_RECORD_BYTES);
        let first = last.saturating_sub(usize::from(u16::MAX));
        let end = (first..=last).rev().find(|at| read_u32(content, *at) == Some(END_SIGNATURE));
        let parts = end.and_then(|end| Some((end, read_u16(content, end + 10)?, read_u32(content, end + 16)?)));
        let Some((_, count, mut at)) = parts.map(|(end, count, at)| (end, count, at as usize)) else {
            let place = format_args!("byte {}, the end", content.len()).to_string();
            let is_archive = content.starts_with(b"PK");
            let got = if is_archive { "no list: a part of an archive".into() } else { signature::describe(content) };
            return Err(format_error(&file, place, "the list of a zip archive", got));
        };
        let mut entries = Vec::new();
        for _ in 0..count {
            let Some((entry, next)) = Entry::read(content, at) else {
                let expected = format!("{count} entries in the list of the archive");
                return Err(format_error(&file, format_args!("byte {at}"), expected, entries.len()));
            };
            entries.push(entry);
            at = next;
        }
        Ok(Self { content, file, entries })
    }

    /// The names of the files, in the order of the list.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    #[cfg(feature = "npy")]
    /// The names of the arrays among them, without .npy.
    pub fn arrays(&self) -> impl Iterator<Item = &str> {
        self.names().filter_map(|name| name.strip_suffix(".npy"))
    }

    /// The content of a file, which may have at most so many bytes.
    pub fn open(&self, name: &str, max: u64) -> Result<Vec<u8>> {
        let refused = |at: usize, expected: &str, got: &str| {
            Err(format_error(&self.file, format_args!("byte {at}, {name}"), expected, got))
        };
        let Some(entry) = self.entries.iter().find(|entry| entry.name == name) else {
            return refused(0, "a file of this name in the archive", "none");
        };
        let [packed_len, len] = entry.sizes.map(u64::from);
        let at = entry.offset;
        if entry.is_encrypted || ![0, 8].contains(&entry.method) {
            return refused(at, "a file that is stored or deflated", &format!("method {}, or encrypted", entry.method));
        }
        if len > max || entry.sizes.contains(&u32::MAX) {
            return refused(at, &format!("at most {max} bytes"), "more");
        }
        let Some(packed) = self.compressed_bytes(entry) else {
            return refused(at, &format!("a file of {packed_len} bytes"), "the end of the archive, or no file");
        };
        let mut content = Vec::new();
        // One more than it should be, to see whether it ends.
        let unpacked = match entry.method {
            0 => packed.take(len + 1).read_to_end(&mut content),
            _ => DeflateDecoder::new(packed).take(len + 1).read_to_end(&mut content),
        };
        if let Err(error) = unpacked {
            return refused(at, &format!("{len} bytes"), &format!("{} and then: {error}", content.len()));
        }
        if content.len() as u64 != len {
            let got = if content.len() as u64 > len { "more".to_owned() } else { content.len().to_string() };
            return refused(at, &format!("{len} bytes"), &got);
        }
        let mut sum = Crc::new();
        sum.update(&content);
        if sum.sum() != entry.checksum {
            return refused(at, &format!("a checksum of {:#010x}", entry.checksum), &format!("{:#010x}", sum.sum()));
        }
        Ok(content)
    }

    /// A file as it lies in the archive.
    fn compressed_bytes(&self, entry: &Entry) -> Option<&'a [u8]> {
        (read_u32(self.content, entry.offset)? == FILE_SIGNATURE).then_some(())?;
        let name = usize::from(read_u16(self.content, entry.offset.checked_add(26)?)?);
        let extra = usize::from(read_u16(self.content, entry.offset.checked_add(28)?)?);
        let begin = entry.offset.checked_add(FILE_HEADER_BYTES + name + extra)?;
        self.content.get(begin..)?.get(..entry.sizes[0] as usize)
    }
}

impl Entry {
    /// The entry that begins at `at`, and where the next one does.
    fn read(content: &[u8], at: usize) -> Option<(Self, usize)> {
        (read_u32(content, at)? == ENTRY_SIGNATURE).then_some(())?;
        let entry = content.get(at..)?;
        let lengths = [read_u16(entry, 28)?, read_u16(entry, 30)?, read_u16(entry, 32)?].map(usize::from);
        let name = entry.get(ENTRY_HEADER_BYTES..)?.get(..lengths[0])?;
        let read = Self {
            name: String::from_utf8_lossy(name).into_owned(),
            method: read_u16(entry, 10)?,
            checksum: read_u32(entry, 16)?,
            sizes: [read_u32(entry, 20)?, read_u32(entry, 24)?],
            offset: read_u32(entry, 42)? as usize,
            is_encrypted: read_u16(entry, 8)? & 1 == 1,
        };
        Some((read, at + ENTRY_HEADER_BYTES + lengths.iter().sum::<usize>()))
    }
}

/// Two bytes of `content`, the lowest first.
fn read_u16(content: &[u8], at: usize) -> Option<u16> {
    content.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

/// Four bytes of `content`, the lowest first.
fn read_u32(content: &[u8], at: usize) -> Option<u32> {
    content.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
