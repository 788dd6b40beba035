//! Recognizes file formats by the first bytes of a file. A reader that expects another format describes the file with
//! these words.

/// The number of bytes from which [`recognize`] recognizes every format.
pub(crate) const HEAD_BYTES: usize = 512;

/// The maximum length of a safetensors header, in bytes. The crate `safetensors` rejects longer headers.
pub(crate) const MAX_SAFETENSORS_HEADER_BYTES: u64 = 100_000_000;

/// The beginning of the description of safetensors files.
pub(crate) const SAFETENSORS_NAME: &str = "a safetensors file";

/// The first bytes of an npy file.
pub(crate) const NPY: &[u8] = b"\x93NUMPY";

/// The first bytes of a gzip file.
pub(crate) const GZIP: &[u8] = b"\x1f\x8b";

/// The first bytes of a zip archive that contains a file.
#[cfg(feature = "csv")]
pub(crate) const ZIP: &[u8] = b"PK\x03\x04";

/// The first bytes of formats, and their descriptions with the action that may help.
const SIGNATURES: &[(&[u8], &str)] = &[
    (NPY, "a numpy npy file; use Npy::load"),
    (GZIP, "a gzip file; decompress it first (Idx::load also reads compressed IDX files)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image; use ImageSettings::decode, or ImageSet::from_folder for a folder of images"),
    (b"\xff\xd8\xff", "a JPEG image; use ImageSettings::decode, or ImageSet::from_folder for a folder of images"),
    (b"GIF8", "a GIF image; convert it to PNG"),
    (b"II*\0", "a TIFF image; convert it to PNG"),
    (b"MM\0*", "a TIFF image; convert it to PNG"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image; convert it to PNG"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file; save its arrays with numpy.save"),
    (b"MATLAB ", "a MATLAB file; save its arrays with numpy.save"),
    (b"PAR1", "a Parquet file; save it as CSV"),
    (b"ARROW1", "an Arrow file; save it as CSV"),
    (b"FEA1", "a Feather file; save it as CSV"),
    (b"SQLite format 3\0", "an SQLite database; export its tables as CSV"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document, such as an xls file; save it as CSV"),
    (b"BZh", "a bzip2 file; decompress it first"),
    (b"\xfd7zXZ\0", "an xz file; decompress it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd file; decompress it first"),
    (b"\x04\x22\x4d\x18", "an lz4 file; decompress it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (b"GGUF", "a GGUF file; save the weights as safetensors"),
    (b"%PDF-", "a PDF document"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; run git lfs pull"),
];

/// The description of Python pickles of the protocols 2 to 5.
const PICKLE: &str = "a Python pickle, as torch.save wrote before PyTorch 1.6; save weights as safetensors, arrays with \
                      numpy.save";

/// Returns a description of the format of a file for an error message; `None` if the format is unknown. `head` contains
/// the first [`HEAD_BYTES`] bytes, or all bytes of a shorter file.
pub(crate) fn recognize(head: &[u8]) -> Option<&'static str> {
    if let Some((_, name)) = SIGNATURES.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(name);
    }
    match head {
        [b'P', b'K', 3, 4, ..] => return Some(describe_zip(head)),
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => return Some("a BMP image; convert it to PNG"),
        [b'R', b'I', b'F', b'F', _, _, _, _, kind @ ..] if kind.starts_with(b"WEBP") => {
            return Some("a WebP image; convert it to PNG");
        }
        [b'R', b'I', b'F', b'F', _, _, _, _, kind @ ..] if kind.starts_with(b"WAVE") => {
            return Some("a WAV sound file");
        }
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => return Some("an MP4, HEIC or AVIF file"),
        [0x80, 2..=5, ..] => return Some(PICKLE),
        [0, 0, 8 | 9 | 0x0b..=0x0e, 1..=255, ..] => {
            return Some("an IDX file; use Idx::load, or ImageSet::from_idx for images");
        }
        _ => {}
    }
    if let Some(length) = head.first_chunk().map(|length| u64::from_le_bytes(*length))
        && (2..=MAX_SAFETENSORS_HEADER_BYTES).contains(&length)
        && head.get(8) == Some(&b'{')
    {
        return Some("a safetensors file; use Model::load, Checkpoint::load or Model::load_weights");
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some("a tar archive; unpack it first");
    }
    let text = head.trim_ascii_start();
    let starts = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
    if starts("<!doctype html") || starts("<html") {
        return Some("a web page; a download may have failed");
    }
    starts("<?xml").then_some("an XML document")
}

/// Returns a description of a zip archive, which depends on the name of its first file.
fn describe_zip(head: &[u8]) -> &'static str {
    let length = head.get(26..28).map_or(0, |bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
    let rest = head.get(30..).unwrap_or_default();
    let name = &rest[..rest.len().min(length)];
    if name.ends_with(b".npy") {
        "a numpy npz archive; use Npy::load_npz with the name of an array (Npy::npz_names lists them)"
    } else if name.ends_with(b"/data.pkl") {
        "a PyTorch file of torch.save; save the weights as safetensors"
    } else if name == b"[Content_Types].xml" || name.starts_with(b"xl/") {
        "an Office document, such as an xlsx file; save it as CSV"
    } else {
        "a zip archive; unpack it first (Npy::load_npz reads npz archives)"
    }
}

/// Returns a description of a file for an error message: its format, or its first bytes if the format is unknown.
#[cfg(any(feature = "csv", feature = "images", feature = "npy", test))]
pub(crate) fn describe(content: &[u8]) -> String {
    const MAX_SHOWN_BYTES: usize = 16;
    match recognize(&content[..content.len().min(HEAD_BYTES)]) {
        Some(name) => name.to_owned(),
        None if content.is_empty() => "an empty file".to_owned(),
        None => format!("a file that begins with \"{}\"", content[..content.len().min(MAX_SHOWN_BYTES)].escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognized_by_their_first_bytes() {
        let mut tar = vec![b'a'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let archive = |name: &str| {
            let mut head = b"PK\x03\x04".to_vec();
            head.resize(30, 0);
            head[26] = name.len() as u8;
            head.extend(name.bytes());
            head
        };
        let cases: &[(&[u8], &str)] = &[
            (b"\x93NUMPY\x01\0", "npy"),
            (b"\x1f\x8b\x08", "gzip"),
            (&archive("x.npy"), "npz"),
            (&archive("archive/data.pkl"), "torch.save"),
            (&archive("[Content_Types].xml"), "xlsx"),
            (&archive("readme"), "a zip archive"),
            (b"PK\x05\x06", "empty zip"),
            (b"\0\0\x08\x03\0\0\0\x02", "IDX"),
            (b"\0\0\x0d\x01", "IDX"),
            (b"\x40\0\0\0\0\0\0\0{\"a\"", "safetensors"),
            (b"\x89PNG\r\n\x1a\n", "PNG"),
            (b"\xff\xd8\xff\xe0", "JPEG"),
            (b"RIFF\x10\0\0\0WEBPVP8", "WebP"),
            (b"RIFF\x10\0\0\0WAVEfmt", "WAV"),
            (b"BM\x36\0\0\0\0\0\0\0\x36\0", "BMP"),
            (b"\x80\x02\x8a\nl\xfc", "pickle"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (b"\n <!DOCTYPE HTML>", "web page"),
            (b"<?xml version", "XML"),
            (&tar, "tar"),
            (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ];
        for (head, word) in cases {
            assert!(describe(head).contains(word), "{}: {}", head.escape_ascii(), describe(head));
        }
    }

    #[test]
    fn unknown_content_is_described_by_its_first_bytes() {
        // A CSV table may begin with the letters BM like a BMP image.
        for text in ["BMI,age\n1,2\n3,4\n", "1,2,3\n", "\0\0\x0a\x01", "\0\0\x08\0", "\x02"] {
            assert_eq!(recognize(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(describe(b""), "an empty file");
        assert_eq!(describe(b"a,b\n1,2\n"), "a file that begins with \"a,b\\n1,2\\n\"");
        assert!(describe(&[0xab; 4096]).len() < 128);
    }
}
