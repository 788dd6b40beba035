//! The handwritten digits of `examples/data/`.

use gradus::{Dataset, Features};

use super::classifier::Images;

/// The digits, with every fifth of each kind held out. A line is 64 pixels from 0 to 16, row by row, and the digit.
pub fn images() -> Result<Images, String> {
    let (mut train, mut test) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    let mut seen = [0; 10];
    for (number, line) in (1..).zip(include_str!("../data/digits.csv").lines()) {
        let values: Result<Vec<u8>, _> = line.split(',').map(str::parse).collect();
        let (pixels, digit) = match values.as_deref() {
            Ok([pixels @ .., digit @ 0..=9]) if pixels.len() == 64 => (pixels, *digit),
            _ => return Err(format!("examples/data/digits.csv: line {number} is not 64 pixels and a digit")),
        };
        let seen = &mut seen[usize::from(digit)];
        *seen += 1;
        let (features, classes) = if *seen % 5 == 0 { &mut test } else { &mut train };
        features.extend_from_slice(pixels);
        classes.push(u32::from(digit));
    }
    let set = |(bytes, classes): (Vec<u8>, Vec<u32>)| {
        Dataset::new(classes.len(), Features::U8 { bytes, scale: 1.0 / 16.0 }, classes)
            .map_err(|error| error.to_string())
    };
    let classes = (0..10).map(|digit| digit.to_string()).collect();
    Ok(Images { width: 8, classes, train: set(train)?, test: set(test)? })
}
