//! Images from a folder with a folder a class: PNG and JPEG files.

use std::{
    fs::{self, Metadata},
    panic,
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use crate::{
    data::formats::{
        image,
        image::{Colors, Format, Image, MAX_SIDE, Rejection},
        image_set::ImageSet,
        signature::describe,
    },
    error::{Error, Result, try_with_capacity},
    util::files::{format_error, io_error, join_names, read},
};

/// The most bytes of a file.
const MAX_FILE_BYTES: u64 = 1 << 26;

/// The most bytes of all images together.
const MAX_TOTAL_BYTES: u64 = 1 << 34;

/// How images are read. Transparent pixels are blended over white, as a browser shows them, or over the color of
/// [`ImageSettings::over`].
///
/// ```
/// # use gradus::data::formats::ImageSettings;
/// let settings = ImageSettings { color: true, size: Some([32, 32]) };
/// assert_ne!(settings.over([0, 0, 0]), settings.over([255; 3]));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageSettings {
    /// Whether a pixel becomes red, green and blue, and not one gray.
    pub color: bool,
    /// What every image is resized to, `[height, width]`; its sides need not stay in proportion. If none, all have to be
    /// of the same size.
    pub size: Option<[u32; 2]>,
}

/// Image settings with the background over which transparent pixels are blended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlendedImageSettings {
    settings: ImageSettings,
    /// Red, green and blue.
    background: [u8; 3],
}

const WHITE: [u8; 3] = [255; 3];

impl From<&ImageSettings> for BlendedImageSettings {
    fn from(settings: &ImageSettings) -> Self {
        settings.over(WHITE)
    }
}

impl From<&Self> for BlendedImageSettings {
    fn from(settings: &Self) -> Self {
        *settings
    }
}

impl ImageSettings {
    /// The same settings with another background: its red, green and blue.
    pub const fn over(self, background: [u8; 3]) -> BlendedImageSettings {
        BlendedImageSettings { settings: self, background }
    }

    /// Decodes one image over white; see [`BlendedImageSettings::decode`].
    ///
    /// # Errors
    /// Returns the same errors as [`ImageSet::from_folder`].
    pub fn decode(&self, content: &[u8], name: &str) -> Result<([usize; 2], Vec<u8>)> {
        self.over(WHITE).decode(content, name)
    }
}

impl BlendedImageSettings {
    /// The height and the width of one PNG or JPEG image and its bytes, as [`ImageSet::from_folder`] has them: what a network
    /// that learned from a folder is asked about. Errors call the image `name`.
    ///
    /// # Errors
    /// As [`ImageSet::from_folder`].
    pub fn decode(&self, content: &[u8], name: &str) -> Result<([usize; 2], Vec<u8>)> {
        self.check()?;
        let image = decode_content(content, name, self)?;
        Ok(([image.height, image.width], image.bytes))
    }

    fn check(&self) -> Result<()> {
        match self.settings.size {
            Some(size) if size.iter().any(|side| !(1..=MAX_SIDE).contains(side)) => {
                let (expected, got) = (format!("1 to {MAX_SIDE} pixels a side"), format!("{size:?}"));
                Err(Error::InvalidSetting { name: "size of images", expected, got })
            }
            _ => Ok(()),
        }
    }
}

impl ImageSet {
    /// Of a folder with a folder for each class, which has the class's name, and PNG and JPEG files in those. Classes are
    /// sorted by name and so are the images of each. Transparent pixels are blended over white or the color of
    /// [`ImageSettings::over`], the
    /// orientation that a camera has stored (EXIF) is applied, and 16 bits a channel become 8.
    ///
    /// Files that do not end in png, jpg or jpeg are passed over, and so is what begins with a dot. A warning is logged for
    /// those that are images of other formats by their names, and for images that are identical in several classes
    /// ([`ImageSet::duplicates`]).
    ///
    /// # Errors
    /// [`Error::Io`] for what cannot be read, such as a link that leads nowhere, [`Error::Format`] if there is no class, a
    /// class without images, or an image that cannot be decoded, is of another size than the first, or larger than 2^14
    /// pixels a side or 2^28 bytes, [`Error::InvalidSetting`] for a size to resize to that has longer sides.
    pub fn from_folder(folder: impl AsRef<Path>, settings: impl Into<BlendedImageSettings>) -> Result<Self> {
        let (folder, settings) = (folder.as_ref(), &settings.into());
        settings.check()?;
        let (mut classes, mut files, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for (class, _) in list_entries(folder)?.into_iter().filter(|(_, about)| about.is_dir()) {
            let count = files.len();
            for (path, about) in list_entries(&class)? {
                if has_extension(&path, &["png", "jpg", "jpeg"]) {
                    if !about.is_file() {
                        return Err(format_error(&path.display(), "image", "a file", "a folder or a device"));
                    }
                    files.push((path, classes.len() as u32));
                } else if has_extension(&path, UNREAD_EXTENSIONS) {
                    skipped.push(path.display().to_string());
                }
            }
            if files.len() == count {
                return Err(format_error(&class.display(), "folder", "PNG or JPEG files", "none"));
            }
            classes.push(class.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
        if !skipped.is_empty() {
            log::warn!("images that are neither PNG nor JPEG are skipped; convert them: {}", join_names(&skipped));
        }
        let Some((first, _)) = files.first() else {
            return Err(format_error(&folder.display(), "folder", "a folder for each class", "none"));
        };
        let first = decode_file(first, settings)?;
        let (width, height) = (first.width, first.height);
        let channels = if settings.settings.color { 3 } else { 1 };
        let len = width * height * channels;
        let all = len.saturating_mul(files.len());
        if all as u64 > MAX_TOTAL_BYTES {
            let got = format!("{} of {len} bytes", files.len());
            return Err(format_error(
                &folder.display(),
                "images",
                format_args!("at most {MAX_TOTAL_BYTES} bytes of them"),
                got,
            ));
        }
        let mut bytes = try_with_capacity(all, "images")?;
        // Room is reserved, and memory taken for what was decoded alone.
        for some in files.chunks(MAX_PARALLEL_IMAGES) {
            let start = bytes.len();
            bytes.resize(start + some.len() * len, 0);
            let failure = bytes[start..].par_chunks_mut(len).zip(some).find_map_first(|(into, (path, _))| {
                let filled =
                    decode_file(path, settings).and_then(|image| write_pixels(into, &image, [height, width], path));
                filled.err()
            });
            if let Some(error) = failure {
                return Err(error);
            }
        }
        let ids: Vec<u32> = files.iter().map(|(_, class)| *class).collect();
        let files = files.into_iter().map(|(path, _)| path).collect();
        Self::new([height, width, channels], classes, bytes, ids, files)
    }
}

/// How the names of images end that are not read.
const UNREAD_EXTENSIONS: &[&str] = &[
    "avif", "bmp", "gif", "heic", "heif", "jfif", "jp2", "jxl", "pbm", "pgm", "pnm", "ppm", "tga", "tif", "tiff",
    "webp",
];

/// Images that are decoded at the same time.
const MAX_PARALLEL_IMAGES: usize = 64;

/// What is in a folder and does not begin with a dot, sorted, with what it is: links are followed.
fn list_entries(folder: &Path) -> Result<Vec<(PathBuf, Metadata)>> {
    let all = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = all().map_err(|error| io_error(folder, &error))?;
    paths.retain(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    paths.sort();
    let about = |path: PathBuf| match fs::metadata(&path) {
        Ok(about) => Ok((path, about)),
        Err(error) => Err(io_error(&path, &error)),
    };
    paths.into_iter().map(about).collect()
}

fn has_extension(path: &Path, ends: &[&str]) -> bool {
    path.extension().is_some_and(|end| ends.iter().any(|one| end.eq_ignore_ascii_case(one)))
}

/// The image in a file, in the colors and of the size that were asked for.
fn decode_file(path: &Path, settings: &BlendedImageSettings) -> Result<Image> {
    decode_content(&read(path, MAX_FILE_BYTES)?, &path.display().to_string(), settings)
}

fn decode_content(content: &[u8], name: &str, settings: &BlendedImageSettings) -> Result<Image> {
    let Some(format) = Format::recognize(content) else {
        return Err(format_error(&name, "image", "a PNG or JPEG image", describe(content)));
    };
    let colors = Colors { is_rgb: settings.settings.color, background: settings.background };
    // zune-jpeg 0.5.15 panics on some damaged files: https://github.com/etemesi254/zune-image/issues/409
    let Ok(decoded) = panic::catch_unwind(|| image::decode(content, format, colors)) else {
        return Err(format_error(&name, "image", "one that can be decoded", "one that the decoder panics at"));
    };
    let image = match decoded {
        Ok(image) => image,
        Err(Rejection { expected, got }) => return Err(format_error(&name, "image", expected, got)),
    };
    // Colors are converted first: the mean of pixels that are still transparent would contain their hidden colors.
    if let Some([height, width]) = settings.settings.size
        && [height as usize, width as usize] != [image.height, image.width]
    {
        return Ok(image.resized(height as usize, width as usize));
    }
    Ok(image)
}

fn write_pixels(into: &mut [u8], image: &Image, [height, width]: [usize; 2], path: &Path) -> Result<()> {
    let own = [image.height, image.width];
    if own != [height, width] {
        let expected = format!("{height}x{width} pixels, as the first image has, or a size to resize all to");
        return Err(format_error(&path.display(), "image", expected, format_args!("{}x{}", own[0], own[1])));
    }
    into.copy_from_slice(&image.bytes);
    Ok(())
}
