//! Pictures of pixels.

use std::io::Read;

use flate2::{Compression, Crc, read::ZlibEncoder};

/// A picture as a PNG file's bytes: its pixels at (x, y), from the upper left, have the red, green and blue that `pixel`
/// says. Both sides are at least 1.
///
/// ```
/// let grey = gradus::plot(16, 16, |x, y| [(16 * x) as u8, (16 * y) as u8, 0]);
/// assert!(grey.starts_with(b"\x89PNG"));
/// ```
pub fn png(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
    let line = 3 * width as usize;
    let (mut above, mut rows) = (vec![0u8; line], Vec::with_capacity((line + 1) * height as usize));
    for y in 0..height {
        let row: Vec<u8> = (0..width).flat_map(|x| pixel(x, y)).collect();
        // Each byte as its difference from the one above it: what changes slowly is packed well.
        rows.push(2);
        rows.extend(row.iter().zip(&above).map(|(byte, above)| byte.wrapping_sub(*above)));
        above = row;
    }
    let mut packed = Vec::new();
    ZlibEncoder::new(&*rows, Compression::default()).read_to_end(&mut packed).expect("bytes in memory can be read");
    // 8 bits a channel, three of them, nothing interlaced.
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [(b"IHDR", header), (b"IDAT", packed), (b"IEND", Vec::new())] {
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
