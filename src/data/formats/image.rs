//! Decodes PNG and JPEG images to pixels of 8 bits.

use std::io::Cursor;

use png::{BitDepth, Transformations};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// The largest accepted width and height of an image, in pixels.
pub(crate) const MAX_SIDE: u32 = 1 << 14;

/// The maximum number of pixels that one byte of a file can encode: deflate expands 1 byte to at most 1,032, and a byte
/// holds at most 8 pixels. JPEG has fewer pixels per byte.
const MAX_PIXELS_PER_BYTE: u64 = 8 * 1032;

/// The largest accepted size of a decoded image in bytes, before and after the conversion of its colors.
const MAX_DECODED_BYTES: u64 = 1 << 28;

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG_SIGNATURE: &[u8] = b"\xff\xd8\xff";

/// The luminance of red, green and blue in sRGB: the Y row of the matrix from BT.709 primaries at white point D65 to
/// XYZ.
const LUMINANCE: [f32; 3] = [0.212_647_84, 0.715_179_2, 0.072_173_04];

/// The factor between samples of 8 and of 16 bits: 65535 / 255.
const WIDE_STEPS: u32 = 257;

/// The reason that an image is rejected, as in [`Error::Format`](crate::error::Error::Format).
pub(crate) struct Rejection {
    pub expected: String,
    pub got: String,
}

impl Rejection {
    fn new(expected: impl Into<String>, got: impl ToString) -> Self {
        Self { expected: expected.into(), got: got.to_string() }
    }

    fn undecodable(error: impl ToString) -> Self {
        Self::new("a valid image", format_args!("an error: {}", error.to_string()))
    }
}

type Decoded<T> = Result<T, Rejection>;

/// The file formats that this module decodes.
#[derive(Clone, Copy)]
pub(crate) enum Format {
    Png,
    Jpeg,
}

impl Format {
    /// Recognizes the format by the first bytes of a file; file extensions are often wrong.
    pub(crate) fn recognize(content: &[u8]) -> Option<Self> {
        if content.starts_with(PNG_SIGNATURE) {
            Some(Self::Png)
        } else if content.starts_with(JPEG_SIGNATURE) {
            Some(Self::Jpeg)
        } else {
            None
        }
    }
}

/// The colors that a decoded image gets.
#[derive(Clone, Copy)]
pub(crate) struct Colors {
    /// Whether a pixel has red, green and blue instead of one gray value.
    pub is_rgb: bool,
    /// The color that transparent pixels are blended over.
    pub background: [u8; 3],
}

/// An image of 8 bits per channel, `[height, width, channels]`, with 1 (gray) or 3 channels (red, green, blue).
pub(crate) struct Image {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub bytes: Vec<u8>,
}

/// Decodes an image, applies the orientation that a camera stored (EXIF), and converts its colors.
pub(crate) fn decode(content: &[u8], format: Format, colors: Colors) -> Decoded<Image> {
    match format {
        Format::Png => decode_png(content, colors),
        Format::Jpeg => decode_jpeg(content, colors),
    }
}

fn decode_png(content: &[u8], colors: Colors) -> Decoded<Image> {
    let limits = png::Limits { bytes: MAX_DECODED_BYTES as usize };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(content), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let info = decoder.read_header_info().map_err(Rejection::undecodable)?;
    let (width, height) = (info.width, info.height);
    if width.max(height) > MAX_SIDE {
        let expected = format!("at most {MAX_SIDE} pixels per side");
        return Err(Rejection::new(expected, format_args!("{height}x{width}; resize the image")));
    }
    // EXPAND converts palettes and samples of fewer than 8 bits to bytes, and a transparent color to an alpha channel.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(Rejection::undecodable)?;
    let (color_type, depth) = reader.output_color_type();
    let is_wide = depth == BitDepth::Sixteen;
    let layout = Layout { height, width, channels: color_type.samples(), is_wide };
    layout.check(content.len(), colors)?;
    let mut samples = vec![0; layout.bytes() as usize];
    reader.next_frame(&mut samples).map_err(Rejection::undecodable)?;
    let image = layout.convert(samples, colors);
    Ok(image.oriented(png_orientation(content)))
}

fn decode_jpeg(content: &[u8], colors: Colors) -> Decoded<Image> {
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(MAX_SIDE as usize)
        .set_max_height(MAX_SIDE as usize);
    let mut header = JpegDecoder::new_with_options(ZCursor::new(content), options);
    header.decode_headers().map_err(Rejection::undecodable)?;
    let (width, height) = header.dimensions().unwrap_or_default();
    let is_gray = header.input_colorspace() == Some(ColorSpace::Luma);
    let (channels, color_space) = if is_gray { (1, ColorSpace::Luma) } else { (3, ColorSpace::RGB) };
    let layout = Layout { height: height as u32, width: width as u32, channels, is_wide: false };
    layout.check(content.len(), colors)?;
    let orientation = header.exif().and_then(|exif| exif_orientation(exif));
    let options = options.jpeg_set_out_colorspace(color_space);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(content), options);
    let mut samples = vec![0; layout.bytes() as usize];
    decoder.decode_into(&mut samples).map_err(Rejection::undecodable)?;
    let image = layout.convert(samples, colors);
    Ok(image.oriented(orientation.unwrap_or_default()))
}

/// The samples of a decoded file: `[height, width, channels]`, with alpha as the second or fourth channel.
#[derive(Clone, Copy)]
struct Layout {
    height: u32,
    width: u32,
    channels: usize,
    /// Whether a sample has 16 bits, big endian, instead of 8.
    is_wide: bool,
}

impl Layout {
    fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    fn bytes(self) -> u64 {
        let sample_bytes = if self.is_wide { 2 } else { 1 };
        self.pixels() * self.channels as u64 * sample_bytes
    }

    fn has_alpha(self) -> bool {
        self.channels.is_multiple_of(2)
    }

    /// Rejects images that would take too much memory or time for a file of `file_bytes` bytes.
    fn check(self, file_bytes: usize, colors: Colors) -> Decoded<()> {
        let converted_channels = if colors.is_rgb || self.has_alpha() { 3 } else { 1 };
        let bytes = self.bytes().max(self.pixels() * converted_channels);
        if bytes > MAX_DECODED_BYTES {
            return Err(Rejection::new(format!("at most {MAX_DECODED_BYTES} bytes of pixels"), bytes));
        }
        // The decoders fill in the missing pixels of a truncated file, which takes seconds for a large image.
        let max_pixels = MAX_PIXELS_PER_BYTE * file_bytes as u64;
        if self.pixels() > max_pixels {
            let expected = format!("at most {max_pixels} pixels in {file_bytes} bytes");
            return Err(Rejection::new(expected, self.pixels()));
        }
        if self.pixels() == 0 {
            return Err(Rejection::new("at least one pixel", format_args!("{}x{}", self.height, self.width)));
        }
        Ok(())
    }

    /// Converts samples to the requested colors.
    fn convert(self, samples: Vec<u8>, colors: Colors) -> Image {
        let bytes = match (self.channels, colors.is_rgb) {
            (1, false) => self.narrowed(samples),
            (1, true) => self.narrowed(samples).into_iter().flat_map(|gray| [gray; 3]).collect(),
            (3, true) => self.narrowed(samples),
            (3, false) if self.is_wide => {
                let (wide, _) = samples.as_chunks::<6>();
                let value =
                    |high: u8, low: u8| f32::from(u16::from_be_bytes([high, low])) * (1.0 / f32::from(u16::MAX));
                wide.iter()
                    .map(|&[r0, r1, g0, g1, b0, b1]| luminance([value(r0, r1), value(g0, g1), value(b0, b1)]))
                    .collect()
            }
            (3, false) => gray_of_rgb(&samples),
            (_, is_rgb) => {
                let blended = self.blend(self.narrowed(samples), colors.background);
                if is_rgb { blended } else { gray_of_rgb(&blended) }
            }
        };
        let channels = if colors.is_rgb { 3 } else { 1 };
        Image { height: self.height as usize, width: self.width as usize, channels, bytes }
    }

    /// Converts samples to 8 bits.
    fn narrowed(self, samples: Vec<u8>) -> Vec<u8> {
        if !self.is_wide {
            return samples;
        }
        let (wide, _) = samples.as_chunks::<2>();
        wide.iter().map(|sample| narrow(u16::from_be_bytes(*sample))).collect()
    }

    /// Blends pixels with an alpha channel over a background, and returns red, green and blue.
    fn blend(self, samples: Vec<u8>, background: [u8; 3]) -> Vec<u8> {
        let mut rgb = Vec::with_capacity(3 * self.pixels() as usize);
        for pixel in samples.chunks_exact(self.channels) {
            let (color, alpha) = match *pixel {
                [r, g, b, alpha] => ([r, g, b], u32::from(alpha)),
                [gray, alpha] => ([gray; 3], u32::from(alpha)),
                _ => continue,
            };
            for (value, below) in color.into_iter().zip(background) {
                let sum = u32::from(value) * alpha + u32::from(below) * (255 - alpha);
                rgb.push(((sum + 127) / 255) as u8);
            }
        }
        rgb
    }
}

/// Rounds a sample of 16 bits to 8 bits.
fn narrow(sample: u16) -> u8 {
    ((u32::from(sample) + WIDE_STEPS / 2) / WIDE_STEPS) as u8
}

fn gray_of_rgb(rgb: &[u8]) -> Vec<u8> {
    let (pixels, _) = rgb.as_chunks::<3>();
    pixels.iter().map(|pixel| luminance(pixel.map(|value| f32::from(value) * (1.0 / 255.0)))).collect()
}

/// Returns the gray value of a color whose channels are in [0, 1].
fn luminance(rgb: [f32; 3]) -> u8 {
    let mut sum = 0.0;
    for (value, weight) in rgb.into_iter().zip(LUMINANCE) {
        sum += value * weight;
    }
    (sum * 255.0).round() as u8
}

/// The rotation or reflection that shows an image upright: the EXIF orientations 1 to 8, in this order.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Orientation {
    #[default]
    Upright,
    MirroredHorizontally,
    Rotated180,
    MirroredVertically,
    Transposed,
    Rotated90,
    Transversed,
    Rotated270,
}

impl Orientation {
    const fn from_exif(value: u16) -> Option<Self> {
        Some(match value {
            1 => Self::Upright,
            2 => Self::MirroredHorizontally,
            3 => Self::Rotated180,
            4 => Self::MirroredVertically,
            5 => Self::Transposed,
            6 => Self::Rotated90,
            7 => Self::Transversed,
            8 => Self::Rotated270,
            _ => return None,
        })
    }

    const fn swaps_sides(self) -> bool {
        matches!(self, Self::Transposed | Self::Rotated90 | Self::Transversed | Self::Rotated270)
    }
}

/// Returns the orientation in the eXIf chunk of a PNG file. The decoder does not read the chunk if it follows the
/// pixels.
fn png_orientation(content: &[u8]) -> Orientation {
    let mut rest = content.get(PNG_SIGNATURE.len()..).unwrap_or_default();
    while let Some((&[a, b, c, d, ref kind @ ..], after)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if kind == b"eXIf" {
            return after.get(..length).and_then(exif_orientation).unwrap_or_default();
        }
        // A checksum of four bytes follows the content.
        rest = length.checked_add(4).and_then(|length| after.get(length..)).unwrap_or_default();
    }
    Orientation::default()
}

/// Returns the orientation in EXIF metadata, which have the format of a TIFF file; `None` if they are malformed.
fn exif_orientation(exif: &[u8]) -> Option<Orientation> {
    const ORIENTATION: u16 = 0x112;
    const SHORT: u16 = 3;
    const ENTRY_BYTES: usize = 12;
    let is_big_endian = match exif.first_chunk()? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let u16_at = |offset: usize| {
        let bytes = *exif.get(offset..)?.first_chunk()?;
        Some(if is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let u32_at = |offset: usize| {
        let bytes = *exif.get(offset..)?.first_chunk()?;
        Some(if is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let directory = u32_at(4)? as usize;
    let entries = usize::from(u16_at(directory)?);
    for i in 0..entries {
        let entry = directory.checked_add(2 + i * ENTRY_BYTES)?;
        if u16_at(entry)? == ORIENTATION && u16_at(entry + 2)? == SHORT && u32_at(entry + 4)? == 1 {
            return Orientation::from_exif(u16_at(entry + 8)?);
        }
    }
    None
}

impl Image {
    /// Returns the image rotated or reflected, so that it is upright.
    fn oriented(self, orientation: Orientation) -> Self {
        if orientation == Orientation::Upright {
            return self;
        }
        let (bottom, right) = (self.height - 1, self.width - 1);
        let (height, width) =
            if orientation.swaps_sides() { (self.width, self.height) } else { (self.height, self.width) };
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for y in 0..height {
            for x in 0..width {
                let (row, column) = match orientation {
                    Orientation::Upright => (y, x),
                    Orientation::MirroredHorizontally => (y, right - x),
                    Orientation::Rotated180 => (bottom - y, right - x),
                    Orientation::MirroredVertically => (bottom - y, x),
                    Orientation::Transposed => (x, y),
                    Orientation::Rotated90 => (bottom - x, y),
                    Orientation::Transversed => (bottom - x, right - y),
                    Orientation::Rotated270 => (x, right - y),
                };
                let start = (row * self.width + column) * self.channels;
                bytes.extend_from_slice(&self.bytes[start..start + self.channels]);
            }
        }
        Self { height, width, bytes, ..self }
    }
}
