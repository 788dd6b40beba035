//! PNG images.

use std::io::Read;

use flate2::{Compression, Crc, read::ZlibEncoder};

/// Returns an image as the bytes of a PNG file. `pixel(x, y)` returns the red, green and blue of a pixel, counted from
/// the upper left corner.
///
/// The width and height are at least 1.
///
/// ```
/// let gradient = gradus::plot::png(16, 16, |x, y| [(16 * x) as u8, (16 * y) as u8, 0]);
/// assert!(gradient.starts_with(b"\x89PNG"));
/// ```
pub fn png(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
    let line = 3 * width as usize;
    let (mut above, mut rows) = (vec![0u8; line], Vec::with_capacity((line + 1) * height as usize));
    for y in 0..height {
        let row: Vec<u8> = (0..width).flat_map(|x| pixel(x, y)).collect();
        // Filter 2 stores the difference from the row above, which compresses smooth images well.
        rows.push(2);
        rows.extend(row.iter().zip(&above).map(|(byte, above)| byte.wrapping_sub(*above)));
        above = row;
    }
    let mut compressed = Vec::new();
    ZlibEncoder::new(&*rows, Compression::default())
        .read_to_end(&mut compressed)
        .expect("reading from memory cannot fail");
    // 8 bits per channel, RGB, without interlacing.
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [(b"IHDR", header), (b"IDAT", compressed), (b"IEND", Vec::new())] {
        let mut crc = Crc::new();
        crc.update(name);
        crc.update(&data);
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(name);
        file.extend(data);
        file.extend(crc.sum().to_be_bytes());
    }
    file
}
