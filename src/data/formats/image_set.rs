//! Image sets: images of one size as bytes, and the class of each image.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::{Path, PathBuf},
};

use crate::{
    data::{dataset::Dataset, features::Features, formats::idx::Idx},
    error::Result,
    util::files::{format_error, join_names},
};

/// The maximum class id. Every class id up to the largest one gets a name.
const MAX_CLASS_ID: u32 = 65_535;

/// Images of one size, and the class of each image. The pixels stay bytes, also on the device, and the network reads
/// them as numbers in [0, 1].
#[derive(Debug, Clone)]
pub struct ImageSet {
    /// The height of an image in pixels.
    pub height: usize,
    /// The width of an image in pixels.
    pub width: usize,
    /// The number of bytes per pixel: 1 for grayscale, 3 for red, green and blue.
    pub channels: usize,
    /// The names of the classes, by class id.
    pub classes: Vec<String>,
    /// The images `[rows, height, width, channels]` and their class ids. The scale of the bytes is 1/255, as in
    /// torchvision's `ToTensor`.
    pub data: Dataset,
    /// The file of each row; empty for images from IDX files.
    pub files: Vec<PathBuf>,
    /// Pairs of rows with identical pixels but different classes. Each pair consists of the first row of another class
    /// with these pixels, and the row itself.
    ///
    /// Either one of the two labels is wrong, or these images cannot distinguish the classes. gradus logs a warning if
    /// there are pairs.
    pub duplicates: Vec<[usize; 2]>,
}

impl ImageSet {
    /// The scale of the bytes: 1/255, which maps them to [0, 1].
    pub const SCALE: f32 = 1.0 / 255.0;

    /// Loads grayscale images and their labels from two IDX files, optionally gzip-compressed. The name of a class is
    /// its label. There is a class for each label from 0 to the largest.
    ///
    /// # Shapes
    /// - images: `[rows, height, width]`
    /// - labels: `[rows]`
    ///
    /// # Errors
    /// Returns the errors of [`Idx::load`] and [`Idx::class_ids`].
    /// [`Error::Format`](crate::Error::Format) if the shapes are different, if the images are not unsigned bytes, or if
    /// a label exceeds 65,535.
    #[doc(alias = "MNIST")]
    pub fn from_idx(images: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Self> {
        let (images, labels) = (images.as_ref(), labels.as_ref());
        let Idx { shape, values } = Idx::load(images)?;
        let &[rows, height, width] = shape.as_slice() else {
            let got = format!("{shape:?}");
            return Err(format_error(&images.display(), "byte 4, the shape", "[rows, height, width]", got));
        };
        let Features::U8 { bytes, .. } = values else {
            let (location, expected) = ("byte 2, the type of the values", "0x08, unsigned bytes");
            let got = "another type; use Idx::load and Dataset::new";
            return Err(format_error(&images.display(), location, expected, got));
        };
        let class_ids = Idx::load(labels)?;
        if class_ids.shape != [rows] {
            let (expected, got) = (format!("[{rows}], one label per image"), format!("{:?}", class_ids.shape));
            return Err(format_error(&labels.display(), "byte 4, the shape", expected, got));
        }
        let class_ids = class_ids.class_ids()?;
        let max_id = class_ids.iter().max().copied().unwrap_or_default();
        if max_id > MAX_CLASS_ID {
            return Err(format_error(&labels.display(), "labels", format_args!("0 to {MAX_CLASS_ID}"), max_id));
        }
        let classes = (0..=max_id).map(|label| label.to_string()).collect();
        Self::new([height, width, 1], classes, bytes, class_ids, Vec::new())
    }

    /// Creates an image set from images `[rows, height, width, channels]`, and logs a warning about duplicates.
    pub(crate) fn new(
        [height, width, channels]: [usize; 3],
        classes: Vec<String>,
        bytes: Vec<u8>,
        class_ids: Vec<u32>,
        files: Vec<PathBuf>,
    ) -> Result<Self> {
        let duplicates = find_duplicates(&bytes, height * width * channels, &class_ids);
        if !duplicates.is_empty() {
            let name = |row: usize| files.get(row).map_or(format!("row {row}"), |file| file.display().to_string());
            let pairs: Vec<_> =
                duplicates.iter().map(|[first, row]| format!("{} = {}", name(*first), name(*row))).collect();
            log::warn!("{} images are identical to an image of another class: {}", pairs.len(), join_names(&pairs));
        }
        let data = Dataset::new(class_ids.len(), Features::bytes(bytes, Self::SCALE), class_ids)?;
        Ok(Self { height, width, channels, classes, data, files, duplicates })
    }
}

/// The first rows with the same pixels, in two classes.
struct FirstRows {
    first: usize,
    /// The first row whose class differs from that of `first`.
    other_class: Option<usize>,
}

/// Returns pairs of rows with identical bytes but different classes; see [`ImageSet::duplicates`]. A row has
/// `row_bytes` bytes.
fn find_duplicates(bytes: &[u8], row_bytes: usize, class_ids: &[u32]) -> Vec<[usize; 2]> {
    let mut seen: HashMap<&[u8], FirstRows> = HashMap::with_capacity(class_ids.len());
    let mut pairs = Vec::new();
    for (row, image) in bytes.chunks_exact(row_bytes.max(1)).enumerate() {
        match seen.entry(image) {
            Entry::Vacant(entry) => {
                entry.insert(FirstRows { first: row, other_class: None });
            }
            Entry::Occupied(mut entry) => {
                let FirstRows { first, other_class } = entry.get_mut();
                if class_ids[*first] != class_ids[row] {
                    other_class.get_or_insert(row);
                    pairs.push([*first, row]);
                } else if let Some(other_class) = *other_class {
                    pairs.push([other_class, row]);
                }
            }
        }
    }
    pairs
}
