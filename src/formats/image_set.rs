//! Images with a class each, as bytes.

use std::path::Path;

use super::{idx::Idx, wrong};
use crate::{Dataset, Result};

/// Images of one size and the class of each, in a data set whose features are bytes, on the device too: a network sees
/// them from 0 to 1.
#[derive(Debug, Clone)]
pub struct ImageSet {
    /// How high an image is, in pixels.
    pub height: usize,
    /// How wide an image is, in pixels.
    pub width: usize,
    /// How many bytes a pixel has: 1 if it is grey, 3 for red, green and blue.
    pub channels: usize,
    /// The names of the classes, by their ids.
    pub classes: Vec<String>,
    /// The images, pixel by pixel in reading order, and the ids of their classes.
    pub data: Dataset,
}

impl ImageSet {
    /// Of two IDX files, plain or as `.gz`: grey images, and a label for each. A class's name is its label, from 0 to the
    /// largest that occurs.
    ///
    /// # Shapes
    /// - images: `[rows, height, width]`
    /// - labels: `[rows]`
    ///
    /// # Errors
    /// As [`Idx::open`], and [`Error::Format`](crate::Error::Format) for other sizes.
    pub fn of_idx(images: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Self> {
        let (images, labels) = (images.as_ref(), labels.as_ref());
        let Idx { sizes, bytes } = Idx::open(images)?;
        let &[rows, height, width] = sizes.as_slice() else {
            let got = format_args!("{sizes:?}").to_string();
            return Err(wrong(&images.display(), "byte 4, the sizes", "3: rows, height and width", got));
        };
        let Idx { sizes, bytes: ids } = Idx::open(labels)?;
        if sizes != [rows] {
            let expected = format!("[{rows}], a label for each image");
            return Err(wrong(&labels.display(), "byte 4, the sizes", expected, format_args!("{sizes:?}")));
        }
        let largest = ids.iter().max().copied().unwrap_or_default();
        let classes = (0..=largest).map(|label| label.to_string()).collect();
        Ok(Self { height, width, channels: 1, classes, data: Dataset::new(rows, bytes, ids)? })
    }
}
