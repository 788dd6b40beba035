//! Images with a class each, as bytes.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::{Path, PathBuf},
};

use crate::{
    data::{dataset::Dataset, features::Features, formats::idx::Idx},
    error::Result,
    util::files::{format_error, join_names},
};

/// The largest label: every class up to it gets a name.
const MAX_CLASS_ID: u32 = 65_535;

/// Images of one size and the class of each, in a data set whose features are bytes, on the device too: a network sees
/// them from 0 to 1.
#[derive(Debug, Clone)]
pub struct ImageSet {
    /// How high an image is, in pixels.
    pub height: usize,
    /// How wide an image is, in pixels.
    pub width: usize,
    /// How many bytes a pixel has: 1 if it is gray, 3 for red, green and blue.
    pub channels: usize,
    /// The names of the classes, by their ids.
    pub classes: Vec<String>,
    /// The images, pixel by pixel in reading order, and the ids of their classes. Bytes carry the scale 1/255, as
    /// torchvision's `ToTensor` divides them.
    pub data: Dataset,
    /// The file of each row; empty for images that come from IDX files.
    pub files: Vec<PathBuf>,
    /// Rows whose pixels are identical although their classes differ, one pair for each such row: the first row with these
    /// pixels of another class, and the row itself. One of the two labels is wrong, or the classes cannot be told apart by
    /// these images. A warning is logged where there are some.
    pub duplicates: Vec<[usize; 2]>,
}

impl ImageSet {
    /// What the bytes of images are multiplied by: 1/255, so that a network sees numbers from 0 to 1.
    pub const SCALE: f32 = 1.0 / 255.0;

    /// Of two IDX files, plain or compressed by gzip: gray images of unsigned bytes, and a label for each. A class's name is its label, from 0 to the
    /// largest that occurs.
    ///
    /// # Shapes
    /// - images: `[rows, height, width]`
    /// - labels: `[rows]`
    ///
    /// # Errors
    /// As [`Idx::load`], and [`Error::Format`](crate::Error::Format) for other sizes, images that are not unsigned bytes, and
    /// labels above 65,535; [`Error::InvalidSetting`](crate::Error::InvalidSetting) for labels that are no class ids.
    pub fn from_idx(images: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Self> {
        let (images, labels) = (images.as_ref(), labels.as_ref());
        let Idx { sizes, values } = Idx::load(images)?;
        let &[rows, height, width] = sizes.as_slice() else {
            let got = format_args!("{sizes:?}").to_string();
            return Err(format_error(&images.display(), "byte 4, the sizes", "3: rows, height and width", got));
        };
        let Features::U8 { bytes, .. } = values else {
            let got = "other numbers; use Idx::open and Dataset::new";
            return Err(format_error(&images.display(), "byte 2, the type of the values", "0x08, unsigned bytes", got));
        };
        let ids = Idx::load(labels)?;
        if ids.sizes != [rows] {
            let expected = format!("[{rows}], a label for each image");
            return Err(format_error(
                &labels.display(),
                "byte 4, the sizes",
                expected,
                format_args!("{:?}", ids.sizes),
            ));
        }
        let ids = ids.classes()?;
        let largest = ids.iter().max().copied().unwrap_or_default();
        if largest > MAX_CLASS_ID {
            return Err(format_error(&labels.display(), "labels", format_args!("0 to {MAX_CLASS_ID}"), largest));
        }
        let classes = (0..=largest).map(|label| label.to_string()).collect();
        Self::new([height, width, 1], classes, bytes, ids, Vec::new())
    }

    /// Images `[rows, height, width, channels]`.
    pub(crate) fn new(
        [height, width, channels]: [usize; 3],
        classes: Vec<String>,
        bytes: Vec<u8>,
        ids: Vec<u32>,
        files: Vec<PathBuf>,
    ) -> Result<Self> {
        let duplicates = find_duplicates(&bytes, height * width * channels, &ids);
        if !duplicates.is_empty() {
            let name = |row: usize| files.get(row).map_or(format!("row {row}"), |file| file.display().to_string());
            let pairs: Vec<_> =
                duplicates.iter().map(|[one, other]| format!("{} = {}", name(*one), name(*other))).collect();
            log::warn!("{} images are identical to one of another class: {}", pairs.len(), join_names(&pairs));
        }
        let data = Dataset::new(ids.len(), Features::bytes(bytes, Self::SCALE), ids)?;
        Ok(Self { height, width, channels, classes, data, files, duplicates })
    }
}

/// Rows of `len` bytes that are identical although their classes differ: the first such row, and each later one.
fn find_duplicates(bytes: &[u8], len: usize, classes: &[u32]) -> Vec<[usize; 2]> {
    // For the same pixels, the first row of the first class and the first row of a second one.
    let mut seen: HashMap<&[u8], (usize, Option<usize>)> = HashMap::with_capacity(classes.len());
    let mut pairs = Vec::new();
    for (row, image) in bytes.chunks_exact(len.max(1)).enumerate() {
        match seen.entry(image) {
            Entry::Vacant(place) => drop(place.insert((row, None))),
            Entry::Occupied(mut place) => {
                let (first, second) = place.get_mut();
                if classes[*first] != classes[row] {
                    second.get_or_insert(row);
                    pairs.push([*first, row]);
                } else if let Some(second) = *second {
                    pairs.push([second, row]);
                }
            }
        }
    }
    pairs
}
