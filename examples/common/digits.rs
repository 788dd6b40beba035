//! The handwritten digits in `examples/data/digits.csv`.

use gradus::{Dataset, Features};

use super::classifier::ImageSplit;

/// Pixel values are 0 (paper) to 16 (ink).
const MAX_PIXEL: f32 = 16.0;

/// Returns the digits, split into a training and a test set. The test set has every fifth image of each digit.
pub fn load() -> Result<ImageSplit, String> {
    let (mut train, mut test) = (Part::default(), Part::default());
    let mut count_per_digit = [0; 10];
    for (number, line) in (1..).zip(include_str!("../data/digits.csv").lines()) {
        // A line has 64 pixels, row by row, and then the digit.
        let values: Result<Vec<u8>, _> = line.split(',').map(str::parse).collect();
        let (pixels, digit) = match values.as_deref() {
            Ok([pixels @ .., digit @ 0..=9]) if pixels.len() == 64 => (pixels, *digit),
            _ => {
                let expected = "expected 64 pixels from 0 to 255 and a digit from 0 to 9";
                return Err(format!("examples/data/digits.csv: line {number}: {expected}, got {line:?}"));
            }
        };
        let count = &mut count_per_digit[usize::from(digit)];
        *count += 1;
        let part = if *count % 5 == 0 { &mut test } else { &mut train };
        part.pixels.extend_from_slice(pixels);
        part.digits.push(u32::from(digit));
    }
    let class_names = (0..10).map(|digit| digit.to_string()).collect();
    Ok(ImageSplit { width: 8, class_names, train: train.into_dataset()?, test: test.into_dataset()? })
}

/// The images of one part of the split.
#[derive(Default)]
struct Part {
    /// The pixels of all images, 64 per image.
    pixels: Vec<u8>,
    digits: Vec<u32>,
}

impl Part {
    fn into_dataset(self) -> Result<Dataset, String> {
        let features = Features::U8 { bytes: self.pixels, scale: 1.0 / MAX_PIXEL };
        Dataset::new(self.digits.len(), features, self.digits).map_err(|error| error.to_string())
    }
}
