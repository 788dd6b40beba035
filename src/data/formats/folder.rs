//! Loads image sets from a folder with one subfolder per class, which contains PNG and JPEG files.

use std::{
    fs::{self, Metadata},
    panic,
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use crate::{
    data::formats::{
        image::{Colors, Format, Image, MAX_SIDE, Rejection, decode},
        image_set::ImageSet,
        signature::describe,
    },
    error::{Error, Result, try_with_capacity},
    util::files::{format_error, io_error, join_names, read},
};

/// The maximum size of an image file in bytes.
const MAX_FILE_BYTES: u64 = 1 << 26;

/// The maximum size of all decoded images together in bytes.
const MAX_TOTAL_BYTES: u64 = 1 << 34;

/// The maximum number of images that are decoded in parallel.
const MAX_PARALLEL_IMAGES: usize = 64;

/// The file extensions of image formats that gradus does not read. It logs a warning for these files.
const UNSUPPORTED_EXTENSIONS: &[&str] = &[
    "avif", "bmp", "gif", "heic", "heif", "jfif", "jp2", "jxl", "pbm", "pgm", "pnm", "ppm", "tga", "tif", "tiff",
    "webp",
];

/// The settings for decoding images. Transparent pixels are blended over white, as in a browser, or over the color of
/// [`ImageSettings::over`].
///
/// ```
/// # use gradus::data::formats::ImageSettings;
/// let settings = ImageSettings { color: true, size: Some([32, 32]) };
/// assert_ne!(settings.over([0, 0, 0]), settings.over([255; 3]));
/// ```
#[doc(alias = "ImageFolder")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageSettings {
    /// Whether to decode red, green and blue instead of grayscale.
    #[doc(alias = "color_mode")]
    pub color: bool,
    /// The size `[height, width]` to which all images are resized. The aspect ratio of an image may change. Without a
    /// size, all images must have the same size.
    #[doc(alias = "image_size")]
    #[doc(alias = "Resize")]
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
    /// Returns the settings with a background `[red, green, blue]`.
    pub const fn over(self, background: [u8; 3]) -> BlendedImageSettings {
        BlendedImageSettings { settings: self, background }
    }

    /// Decodes one image over a white background; see [`BlendedImageSettings::decode`].
    ///
    /// # Errors
    /// Returns the errors of [`BlendedImageSettings::decode`].
    pub fn decode(&self, content: &[u8], name: &str) -> Result<([usize; 2], Vec<u8>)> {
        self.over(WHITE).decode(content, name)
    }
}

impl BlendedImageSettings {
    /// Decodes one PNG or JPEG image, and returns `[height, width]` and the bytes `[height, width, channels]`.
    ///
    /// The bytes are those of [`ImageSet::from_folder`] with the same settings, so a network that was trained on a
    /// folder can predict them. Error messages contain `name`.
    ///
    /// # Errors
    /// [`Error::Format`] if the image cannot be decoded, or is larger than 2^14 pixels per side or 2^28 bytes.
    /// [`Error::InvalidSetting`] if a side of [`ImageSettings::size`] is 0 or larger than 2^14 pixels.
    pub fn decode(&self, content: &[u8], name: &str) -> Result<([usize; 2], Vec<u8>)> {
        self.check()?;
        let image = decode_content(content, name, self)?;
        Ok(([image.height, image.width], image.bytes))
    }

    fn check(&self) -> Result<()> {
        match self.settings.size {
            Some(size) if size.iter().any(|side| !(1..=MAX_SIDE).contains(side)) => {
                let (expected, got) = (format!("1 to {MAX_SIDE} pixels per side"), format!("{size:?}"));
                Err(Error::InvalidSetting { name: "ImageSettings::size", expected, got })
            }
            _ => Ok(()),
        }
    }
}

impl ImageSet {
    /// Loads a folder with one subfolder per class, which contains PNG and JPEG files. The name of a class is the name
    /// of its subfolder. Classes are sorted by name, and the images of a class by file name.
    ///
    /// Transparent pixels are blended over white, or over the color of [`ImageSettings::over`]. gradus applies the
    /// orientation that the camera stored (EXIF). Samples of 16 bits are rounded to 8 bits.
    ///
    /// Files with an extension other than png, jpg or jpeg are skipped, and so are names that begin with a dot. gradus
    /// logs a warning for skipped files with the extension of another image format, and for identical images in
    /// different classes ([`ImageSet::duplicates`]).
    ///
    /// # Errors
    /// [`Error::Io`] if a file or folder cannot be read, for example a link without a target.
    /// [`Error::Format`] if there is no class, if a class has no images, or if an image cannot be decoded, differs in
    /// size from the first image, or is larger than 2^14 pixels per side or 2^28 bytes.
    /// [`Error::InvalidSetting`] if a side of [`ImageSettings::size`] is 0 or larger than 2^14 pixels.
    #[doc(alias = "ImageFolder")]
    #[doc(alias = "image_dataset_from_directory")]
    pub fn from_folder(folder: impl AsRef<Path>, settings: impl Into<BlendedImageSettings>) -> Result<Self> {
        let (folder, settings) = (folder.as_ref(), &settings.into());
        settings.check()?;
        let Listing { classes, files, class_ids } = list_images(folder)?;
        let Some(first) = files.first() else {
            return Err(format_error(&folder.display(), "folder", "at least 1 folder, one per class", 0));
        };
        let first = decode_file(first, settings)?;
        let (height, width) = (first.height, first.width);
        let channels = if settings.settings.color { 3 } else { 1 };
        let image_bytes = height * width * channels;
        let total_bytes = image_bytes.saturating_mul(files.len());
        if total_bytes as u64 > MAX_TOTAL_BYTES {
            let expected = format!("at most {MAX_TOTAL_BYTES} bytes in total");
            let got = format!("{} images of {image_bytes} bytes; set a smaller ImageSettings::size", files.len());
            return Err(format_error(&folder.display(), "images", expected, got));
        }
        // Reserve the capacity for all images, but touch only the memory of images that are decoded.
        let mut bytes = try_with_capacity(total_bytes, "images")?;
        for chunk in files.chunks(MAX_PARALLEL_IMAGES) {
            let start = bytes.len();
            bytes.resize(start + chunk.len() * image_bytes, 0);
            let first_error = bytes[start..].par_chunks_mut(image_bytes).zip(chunk).find_map_first(|(into, path)| {
                let image = decode_file(path, settings);
                image.and_then(|image| write_pixels(into, &image, [height, width], path)).err()
            });
            if let Some(error) = first_error {
                return Err(error);
            }
        }
        Self::new([height, width, channels], classes, bytes, class_ids, files)
    }
}

/// The classes of a folder and their image files.
struct Listing {
    /// The names of the classes, by class id.
    classes: Vec<String>,
    files: Vec<PathBuf>,
    /// The class id of each file.
    class_ids: Vec<u32>,
}

/// Lists the images of a folder with one subfolder per class, and logs a warning about images of unsupported formats.
fn list_images(folder: &Path) -> Result<Listing> {
    let (mut classes, mut files, mut class_ids) = (Vec::new(), Vec::new(), Vec::new());
    let mut skipped = Vec::new();
    for (class_folder, metadata) in list_entries(folder)? {
        if !metadata.is_dir() {
            continue;
        }
        let count_before = files.len();
        for (path, metadata) in list_entries(&class_folder)? {
            if has_extension(&path, &["png", "jpg", "jpeg"]) {
                if !metadata.is_file() {
                    return Err(format_error(&path.display(), "image", "a file", "a folder or a device"));
                }
                files.push(path);
                class_ids.push(classes.len() as u32);
            } else if has_extension(&path, UNSUPPORTED_EXTENSIONS) {
                skipped.push(path.display().to_string());
            }
        }
        if files.len() == count_before {
            return Err(format_error(&class_folder.display(), "folder", "at least 1 PNG or JPEG file", 0));
        }
        classes.push(class_folder.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    if !skipped.is_empty() {
        log::warn!("skipped images that are neither PNG nor JPEG: {}; convert them to PNG", join_names(&skipped));
    }
    Ok(Listing { classes, files, class_ids })
}

/// Returns the entries of a folder whose names do not begin with a dot, sorted by name, with the metadata of the files
/// that links point to.
fn list_entries(folder: &Path) -> Result<Vec<(PathBuf, Metadata)>> {
    let read_paths = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = read_paths().map_err(|error| io_error(folder, &error))?;
    paths.retain(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    paths.sort();
    let with_metadata = |path: PathBuf| match fs::metadata(&path) {
        Ok(metadata) => Ok((path, metadata)),
        Err(error) => Err(io_error(&path, &error)),
    };
    paths.into_iter().map(with_metadata).collect()
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|extension| extensions.iter().any(|other| extension.eq_ignore_ascii_case(other)))
}

/// Decodes an image file to the colors and size of the settings.
fn decode_file(path: &Path, settings: &BlendedImageSettings) -> Result<Image> {
    decode_content(&read(path, MAX_FILE_BYTES)?, &path.display().to_string(), settings)
}

fn decode_content(content: &[u8], name: &str, settings: &BlendedImageSettings) -> Result<Image> {
    let Some(format) = Format::recognize(content) else {
        return Err(format_error(&name, "image", "a PNG or JPEG image", describe(content)));
    };
    let colors = Colors { is_rgb: settings.settings.color, background: settings.background };
    // zune-jpeg 0.5.15 panics on some damaged files: https://github.com/etemesi254/zune-image/issues/409
    let Ok(decoded) = panic::catch_unwind(|| decode(content, format, colors)) else {
        return Err(format_error(&name, "image", "a valid image", "an image on which the decoder panics"));
    };
    let image = match decoded {
        Ok(image) => image,
        Err(Rejection { expected, got }) => return Err(format_error(&name, "image", expected, got)),
    };
    // Blend before resizing: the mean of transparent pixels would contain their hidden colors.
    if let Some([height, width]) = settings.settings.size
        && [height as usize, width as usize] != [image.height, image.width]
    {
        return Ok(image.resized(height as usize, width as usize));
    }
    Ok(image)
}

/// Copies the pixels of an image to its row. Returns an error if its size differs from `[height, width]` of the first
/// image.
fn write_pixels(into: &mut [u8], image: &Image, [height, width]: [usize; 2], path: &Path) -> Result<()> {
    if [image.height, image.width] != [height, width] {
        let expected = format!("{height}x{width} pixels, as the first image has");
        let got = format!("{}x{}; set ImageSettings::size to resize all images", image.height, image.width);
        return Err(format_error(&path.display(), "image", expected, got));
    }
    into.copy_from_slice(&image.bytes);
    Ok(())
}
