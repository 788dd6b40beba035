//! Images from a folder with a folder a class: PNG and JPEG files.

use std::{
    fs,
    io::Cursor,
    panic,
    path::{Path, PathBuf},
};

use image::{DynamicImage, ImageError, ImageFormat, ImageReader, Limits, imageops::FilterType};
use rayon::prelude::*;

use super::{failed, image_set::ImageSet, read, wrong};
use crate::{Dataset, Error, Result, error::room};

/// The most bytes of a file.
const MOST_FILE: u64 = 1 << 26;

/// The most pixels on a side.
const MOST_SIDE: u32 = 1 << 14;

/// The most pixels that a byte of a file can stand for: deflate makes 1,032 bytes of one, with 8 pixels in each; JPEG is far
/// below that.
const PIXELS_A_BYTE: u64 = 8 * 1032;

/// The most memory for decoding an image, and for what it becomes.
const MOST_DECODED: u64 = 1 << 28;

/// The most bytes of all images together.
const MOST: u64 = 1 << 34;

/// How images are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageSettings {
    /// Whether a pixel becomes red, green and blue, and not one grey.
    pub color: bool,
    /// What every image is resized to, `[height, width]`; its sides need not stay in proportion. If none, all have to be
    /// of the same size.
    pub size: Option<[u32; 2]>,
}

impl ImageSettings {
    /// The height and the width of one PNG or JPEG image and its bytes, as [`ImageSet::of_folder`] has them: what a network
    /// that learned from a folder is asked about. Errors call the image `name`.
    ///
    /// # Errors
    /// As [`ImageSet::of_folder`].
    pub fn decode(&self, content: &[u8], name: &str) -> Result<([usize; 2], Vec<u8>)> {
        self.check()?;
        let image = decoded_bytes(content, name, self)?;
        Ok(([image.height() as usize, image.width() as usize], image.into_bytes()))
    }

    fn check(&self) -> Result<()> {
        match self.size {
            Some(size) if size.iter().any(|side| !(1..=MOST_SIDE).contains(side)) => {
                let (expected, got) = (format!("1 to {MOST_SIDE} pixels a side"), format!("{size:?}"));
                Err(Error::Setting { what: "size of images", expected, got })
            }
            _ => Ok(()),
        }
    }
}

impl ImageSet {
    /// Of a folder with a folder for each class, which has the class's name, and PNG and JPEG files in those. Classes are
    /// sorted by name and so are the images of each; transparency is dropped, and 16 bits a channel become 8.
    ///
    /// Files that do not end in png, jpg or jpeg are passed over, and so is what begins with a dot.
    ///
    /// # Errors
    /// [`Error::File`] for what cannot be read, [`Error::Format`] if there is no class, a class without images, or an image
    /// that cannot be decoded, is of another size than the first, or larger than 2^14 pixels a side or 2^28 bytes,
    /// [`Error::Setting`] for a size to resize to that has longer sides.
    pub fn of_folder(folder: impl AsRef<Path>, settings: &ImageSettings) -> Result<Self> {
        let folder = folder.as_ref();
        settings.check()?;
        let (mut classes, mut files) = (Vec::new(), Vec::new());
        for class in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
            let images: Vec<_> = entries(&class)?.into_iter().filter(|path| is_image(path)).collect();
            if images.is_empty() {
                return Err(wrong(&class.display(), "folder", "PNG or JPEG files", "none"));
            }
            let id = classes.len() as u32;
            classes.push(class.file_name().unwrap_or_default().to_string_lossy().into_owned());
            files.extend(images.into_iter().map(|path| (path, id)));
        }
        let Some((first, _)) = files.first() else {
            return Err(wrong(&folder.display(), "folder", "a folder for each class", "none"));
        };
        let first = decoded(first, settings)?;
        let (width, height) = (first.width() as usize, first.height() as usize);
        let channels = if settings.color { 3 } else { 1 };
        let len = width * height * channels;
        let all = len.saturating_mul(files.len());
        if all as u64 > MOST {
            let got = format!("{} of {len} bytes", files.len());
            return Err(wrong(&folder.display(), "images", format_args!("at most {MOST} bytes of them"), got));
        }
        let mut bytes = room(all, "images")?;
        // Room is reserved, and memory taken for what was decoded alone.
        for some in files.chunks(AT_ONCE) {
            let start = bytes.len();
            bytes.resize(start + some.len() * len, 0);
            let failure = bytes[start..].par_chunks_mut(len).zip(some).find_map_first(|(into, (path, _))| {
                let filled = decoded(path, settings).and_then(|image| fill(into, &image, [height, width], path));
                filled.err()
            });
            if let Some(error) = failure {
                return Err(error);
            }
        }
        let ids: Vec<u32> = files.iter().map(|(_, class)| *class).collect();
        Ok(Self { height, width, channels, classes, data: Dataset::new(files.len(), bytes, ids)? })
    }
}

/// Images that are decoded at the same time.
const AT_ONCE: usize = 64;

/// What is in a folder and does not begin with a dot, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let all = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = all().map_err(|error| failed(folder, &error))?;
    paths.retain(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    paths.sort();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    let ends = |end: &std::ffi::OsStr| ["png", "jpg", "jpeg"].iter().any(|one| end.eq_ignore_ascii_case(one));
    path.extension().is_some_and(ends) && path.is_file()
}

/// The image in a file, in the colors and of the size that were asked for.
fn decoded(path: &Path, settings: &ImageSettings) -> Result<DynamicImage> {
    decoded_bytes(&read(path, MOST_FILE)?, &path.display().to_string(), settings)
}

fn decoded_bytes(content: &[u8], name: &str, settings: &ImageSettings) -> Result<DynamicImage> {
    let refused = |expected: &str, got: String| wrong(&name, "image", expected, got);
    // What it is stands in its first bytes; names are often wrong.
    let format = image::guess_format(content).ok().filter(|is| [ImageFormat::Png, ImageFormat::Jpeg].contains(is));
    let format = format.ok_or_else(|| refused("PNG or JPEG", first_bytes(content)))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_SIDE);
    limits.max_image_height = Some(MOST_SIDE);
    limits.max_alloc = Some(MOST_DECODED);
    let open = || {
        let mut reader = ImageReader::with_format(Cursor::new(content), format);
        reader.limits(limits.clone());
        reader
    };
    let decode = || {
        let cannot = |error: ImageError| refused("one that can be decoded", error.to_string());
        // The limits are the decoder's: grey pixels that become colors are three times as many bytes afterwards.
        let (width, height) = open().into_dimensions().map_err(cannot)?;
        let bytes = u64::from(width) * u64::from(height) * if settings.color { 3 } else { 1 };
        if bytes > MOST_DECODED {
            return Err(refused(&format!("at most {MOST_DECODED} bytes of pixels"), bytes.to_string()));
        }
        // What is cut off is decoded to its end all the same, and that of a large image takes seconds.
        let (pixels, held) = (u64::from(width) * u64::from(height), PIXELS_A_BYTE * content.len() as u64);
        if pixels > held {
            return Err(refused(&format!("at most {held} pixels in {} bytes", content.len()), pixels.to_string()));
        }
        open().decode().map_err(cannot)
    };
    // zune-jpeg 0.5.15 panics where some damaged files lead it: https://github.com/etemesi254/zune-image/issues/409
    let image = panic::catch_unwind(decode)
        .unwrap_or_else(|_| Err(refused("one that can be decoded", "one that the decoder panics at".to_owned())))?;
    if image.width() == 0 || image.height() == 0 {
        return Err(refused("at least one pixel", format!("{}x{}", image.height(), image.width())));
    }
    // The colors first: to blend pixels that are transparent would let their hidden colors in.
    let image = match settings.color {
        true => DynamicImage::from(image.to_rgb8()),
        false => DynamicImage::from(image.to_luma8()),
    };
    Ok(match settings.size {
        Some([height, width]) if (width, height) != (image.width(), image.height()) => {
            image.resize_exact(width, height, FilterType::Triangle)
        }
        _ => image,
    })
}

fn first_bytes(content: &[u8]) -> String {
    match content {
        [] => "an empty file".to_owned(),
        _ => format!("a file that begins with the bytes {:02x?}", &content[..content.len().min(8)]),
    }
}

fn fill(into: &mut [u8], image: &DynamicImage, [height, width]: [usize; 2], path: &Path) -> Result<()> {
    let own = [image.height() as usize, image.width() as usize];
    if own != [height, width] {
        let expected = format!("{height}x{width} pixels, as the first image has, or a size to resize all to");
        return Err(wrong(&path.display(), "image", expected, format_args!("{}x{}", own[0], own[1])));
    }
    into.copy_from_slice(image.as_bytes());
    Ok(())
}
