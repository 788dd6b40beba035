//! Pictures of pixels, as PNG.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use flate2::{Compression, Crc, write::ZlibEncoder};

/// Writes a picture whose pixels at (x, y), from the upper left, have the red, green and blue that `pixel` says.
pub fn write(path: &Path, width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> io::Result<()> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    for y in 0..height {
        // Each row is stored as it is.
        zlib.write_all(&[0])?;
        (0..width).try_for_each(|x| zlib.write_all(&pixel(x, y)))?;
    }
    let mut file = File::create(path)?;
    file.write_all(b"\x89PNG\r\n\x1a\n")?;
    // 8 bits a channel, three of them, nothing interlaced.
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    for (name, data) in [(b"IHDR", header), (b"IDAT", zlib.finish()?), (b"IEND", Vec::new())] {
        let mut crc = Crc::new();
        crc.update(name);
        crc.update(&data);
        file.write_all(&(data.len() as u32).to_be_bytes())?;
        file.write_all(name)?;
        file.write_all(&data)?;
        file.write_all(&crc.sum().to_be_bytes())?;
    }
    Ok(())
}
