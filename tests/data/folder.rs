//! Image sets from folders of PNG and JPEG files.

use std::fs;

use gradus::{
    Features, Targets,
    data::formats::{BlendedImageSettings, ImageSet, ImageSettings},
};

use super::expect_error;
use crate::common::Folder;

// The color types of the PNG format.
const GRAY: u8 = 0;
const RGB: u8 = 2;
const PALETTE: u8 = 3;
const GRAY_ALPHA: u8 = 4;
const RGBA: u8 = 6;

// JPEG files that the crate `image` 0.25 wrote: all pixels `[200, 100, 50]`, all pixels `[1, 2, 3]`, one black pixel,
// and squares of 16x16 pixels with the gray values 10, 20, 30 above 40, 50, 60.
const JPEG_8_BY_16: &[u8] = include_bytes!("color_8x16.jpg");
const JPEG_5_BY_7: &[u8] = include_bytes!("color_5x7.jpg");
const GRAY_JPEG_1_BY_1: &[u8] = include_bytes!("gray_1x1.jpg");
const GRAY_JPEG_32_BY_48: &[u8] = include_bytes!("gray_32x48.jpg");

/// Returns a PNG file with a single color. `size` is `[height, width]`.
fn uniform_png(size: [u32; 2], color: [u8; 3]) -> Vec<u8> {
    png(size, RGB, |_, _| color)
}

const GRAYSCALE: ImageSettings = ImageSettings { color: false, size: None };
const COLOR: ImageSettings = ImageSettings { color: true, ..GRAYSCALE };

#[test]
fn classes_and_images_are_sorted_by_name() {
    let folder = Folder::new();
    folder.file("dog/2.PNG", uniform_png([1, 2], [30; 3]));
    folder.file("dog/1.png", uniform_png([1, 2], [20; 3]));
    // A PNG file with the extension of a JPEG file, which is a common mistake.
    folder.file("cat/a.jpeg", uniform_png([1, 2], [10, 20, 30]));
    for other in ["cat/.hidden.png", "cat/notes.txt", ".git/config", "README.md"] {
        folder.file(other, "not an image");
    }
    let set = ImageSet::from_folder(&folder.0, &GRAYSCALE).unwrap();
    assert_eq!((set.height, set.width, set.channels), (1, 2, 1));
    assert_eq!(set.classes, ["cat", "dog"]);
    assert_eq!(set.data.targets(), &Targets::Classes(vec![0, 1, 1]));
    let Features::U8 { bytes, scale } = set.data.features() else { panic!("bytes stay bytes") };
    assert_eq!((&bytes[2..], *scale), (&[20, 20, 30, 30][..], 1.0 / 255.0));
    assert!((15..25).contains(&bytes[0]), "the gray value of 10, 20 and 30 is {}", bytes[0]);

    let set = ImageSet::from_folder(&folder.0, &COLOR).unwrap();
    let Features::U8 { bytes, .. } = set.data.features() else { panic!("bytes stay bytes") };
    assert_eq!((set.channels, set.data.inputs()), (3, 6));
    assert_eq!(bytes[..9], [10, 20, 30, 10, 20, 30, 20, 20, 20]);
}

#[test]
fn images_of_different_sizes_are_an_error_unless_resized() {
    let folder = Folder::new();
    folder.file("a/1.jpg", JPEG_8_BY_16);
    folder.file("a/2.png", uniform_png([9, 16], [200, 100, 50]));
    expect_error(
        ImageSet::from_folder(&folder.0, &COLOR),
        &["2.png: image: expected 8x16 pixels, as the first", "got 9x16"],
    );
    let set = ImageSet::from_folder(&folder.0, &ImageSettings { size: Some([4, 5]), ..COLOR }).unwrap();
    assert_eq!((set.height, set.width, set.data.inputs()), (4, 5, 60));
    let Features::U8 { bytes, .. } = set.data.features() else { panic!("bytes stay bytes") };
    let is_near = |pixel: &[u8]| pixel.iter().zip([200, 100, 50]).all(|(a, b)| a.abs_diff(b) < 4);
    assert!(bytes.chunks(3).all(is_near), "{bytes:?}");
    for size in [[0, 5], [5, 16_385]] {
        let settings = ImageSettings { size: Some(size), ..GRAYSCALE };
        expect_error(
            ImageSet::from_folder(&folder.0, &settings),
            &["ImageSettings::size: expected 1 to 16384 pixels per side"],
        );
    }
}

#[test]
fn an_invalid_image_folder_is_an_error_with_its_file() {
    let folder = Folder::new();
    expect_error(
        ImageSet::from_folder(&folder.0, &GRAYSCALE),
        &["folder: expected at least 1 folder, one per class, got 0"],
    );
    expect_error(ImageSet::from_folder(folder.join("nowhere"), &GRAYSCALE), &["nowhere: "]);
    fs::create_dir(folder.join("empty")).unwrap();
    expect_error(
        ImageSet::from_folder(&folder.0, &GRAYSCALE),
        &["empty: folder: expected at least 1 PNG or JPEG file, got 0"],
    );
    folder.file("empty/1.png", uniform_png([2, 2], [1; 3]));
    for (content, found) in [(&b""[..], "an empty file"), (b"GIF89a", "a GIF image; convert it to PNG")] {
        folder.file("empty/2.png", content);
        expect_error(
            ImageSet::from_folder(&folder.0, &GRAYSCALE),
            &["2.png: image: expected a PNG or JPEG image, got", found],
        );
    }
}

#[test]
fn damaged_images_cause_no_panic_and_huge_ones_are_errors() {
    let folder = Folder::new();
    for whole in [uniform_png([5, 7], [1, 2, 3]), JPEG_5_BY_7.to_vec()] {
        for end in (0..whole.len()).step_by(3) {
            folder.file("a/1.png", &whole[..end]);
            if let Err(error) = ImageSet::from_folder(&folder.0, &GRAYSCALE) {
                assert!(error.to_string().contains("1.png: image: expected "), "{error}");
            }
        }
        for index in (0..whole.len()).step_by(3) {
            let mut changed = whole.clone();
            changed[index] ^= 0xff;
            folder.file("a/1.png", changed);
            let _ = ImageSet::from_folder(&folder.0, &GRAYSCALE);
        }
    }
    // A PNG file whose header states 2^31 - 1 pixels per side, with the checksum of that header.
    let mut huge = uniform_png([1, 1], [0; 3]);
    huge[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let mut sum = flate2::Crc::new();
    sum.update(&huge[12..29]);
    huge[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    folder.file("a/1.png", huge);
    expect_error(
        ImageSet::from_folder(&folder.0, &GRAYSCALE),
        &["1.png: image: expected at most 16384 pixels per side, got 2147483647x2147483647"],
    );
    // A gray JPEG file of a few hundred bytes: its pixels fit into the memory limit, but three times as many do not.
    let mut wide = GRAY_JPEG_1_BY_1.to_vec();
    let frame = wide.windows(2).position(|marker| marker == [0xff, 0xc0]).expect("a frame");
    wide[frame + 5..frame + 9].copy_from_slice(&[0x30, 0, 0x30, 0]);
    expect_error(
        COLOR.decode(&wide, "wide"),
        &["wide: image: expected at most 268435456 bytes of pixels, got 452984832"],
    );
}

/// Returns a PNG file with 8 bits per sample. `size` is `[height, width]`, and `pixel(x, y)` returns the samples of a
/// pixel.
fn png<const N: usize>(size: [u32; 2], color: u8, pixel: impl Fn(u32, u32) -> [u8; N]) -> Vec<u8> {
    png_with_depth(size, 8, color, pixel)
}

/// Like [`png`], with `depth` bits per sample. A sample of 16 bits has two bytes.
fn png_with_depth<const N: usize>(
    [height, width]: [u32; 2],
    depth: u8,
    color: u8,
    pixel: impl Fn(u32, u32) -> [u8; N],
) -> Vec<u8> {
    let mut rows = Vec::new();
    for y in 0..height {
        // The row's filter: none.
        rows.push(0);
        for x in 0..width {
            rows.extend(pixel(x, y));
        }
    }
    let header = header([height, width], depth, color);
    chunks(&[(b"IHDR", &header), (b"IDAT", &deflate(&rows)), (b"IEND", &[])])
}

/// Returns a PNG file with these chunks.
fn chunks(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, content) in chunks {
        file.extend((content.len() as u32).to_be_bytes());
        let named = [&kind[..], content].concat();
        let mut sum = flate2::Crc::new();
        sum.update(&named);
        file.extend(named);
        file.extend(sum.sum().to_be_bytes());
    }
    file
}

fn deflate(rows: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, rows).expect("writing to a vector cannot fail");
    encoder.finish().expect("writing to a vector cannot fail")
}

/// Returns the content of a PNG header chunk.
fn header([height, width]: [u32; 2], depth: u8, color: u8) -> Vec<u8> {
    [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, color, 0, 0, 0]].concat()
}

#[test]
fn transparent_pixels_are_blended_over_the_background() {
    let pixels = [[0, 0, 0, 0], [0, 0, 0, 255], [200, 100, 50, 128], [255, 0, 0, 1]];
    let image = png([1, 4], RGBA, |x, _| pixels[x as usize]);
    let decode = |settings: BlendedImageSettings| settings.decode(&image, "image").unwrap().1;
    assert_eq!(decode((&COLOR).into()), [255, 255, 255, 0, 0, 0, 227, 177, 152, 255, 254, 254]);
    assert_eq!(decode((&GRAYSCALE).into()), [255, 0, 186, 254]);
    let blue = COLOR.over([0, 0, 255]);
    assert_eq!(decode(blue), [0, 0, 255, 0, 0, 0, 100, 50, 152, 1, 0, 254]);
    // gradus blends before it resizes, so the black of transparent pixels does not darken their neighbors.
    let hidden = png([4, 4], RGBA, |x, _| if x < 2 { [0, 0, 0, 0] } else { [255; 4] });
    let small = ImageSettings { size: Some([2, 2]), ..GRAYSCALE }.decode(&hidden, "image").unwrap().1;
    assert_eq!(small, [255; 4]);

    // Gray with alpha, and 16 bits per channel.
    let gray = png([1, 2], GRAY_ALPHA, |x, _| [10, if x == 0 { 0 } else { 255 }]);
    assert_eq!(GRAYSCALE.decode(&gray, "image").unwrap().1, [255, 10]);
    let deep = png_with_depth([1, 2], 16, RGBA, |x, _| {
        let alpha = if x == 0 { 0 } else { 0xff };
        [0x80, 0x80, 0, 0, 0xff, 0xff, alpha, alpha]
    });
    assert_eq!(COLOR.decode(&deep, "image").unwrap().1, [255, 255, 255, 128, 0, 255]);

    // A palette with transparent colors, and 2-bit gray with one transparent value.
    let palette = chunks(&[
        (b"IHDR", &header([1, 3], 8, PALETTE)),
        (b"PLTE", &[9, 9, 9, 10, 20, 30, 200, 0, 0]),
        (b"tRNS", &[0, 255, 51]),
        (b"IDAT", &deflate(&[0, 0, 1, 2])),
        (b"IEND", &[]),
    ]);
    assert_eq!(COLOR.decode(&palette, "image").unwrap().1, [255, 255, 255, 10, 20, 30, 244, 204, 204]);
    let key = chunks(&[
        (b"IHDR", &header([1, 4], 2, GRAY)),
        (b"tRNS", &[0, 1]),
        (b"IDAT", &deflate(&[0, 0b00_01_10_11])),
        (b"IEND", &[]),
    ]);
    assert_eq!(GRAYSCALE.decode(&key, "image").unwrap().1, [0, 255, 170, 255]);
}

#[test]
fn images_without_alpha_load_at_every_depth() {
    let levels = [0u16, 0x8000, 0xffff];
    let deep = png_with_depth([1, 3], 16, GRAY, |x, _| levels[x as usize].to_be_bytes());
    assert_eq!(GRAYSCALE.decode(&deep, "image").unwrap().1, [0, 128, 255]);
    assert_eq!(COLOR.decode(&deep, "image").unwrap().1, [0, 0, 0, 128, 128, 128, 255, 255, 255]);
    let deep = png_with_depth([1, 1], 16, RGB, |_, _| [0x80, 0x80, 0, 0, 0xff, 0xff]);
    assert_eq!(COLOR.decode(&deep, "image").unwrap().1, [128, 0, 255]);
    assert_eq!(GRAYSCALE.decode(&deep, "image").unwrap().1, [46]);
    let palette = chunks(&[
        (b"IHDR", &header([2, 2], 1, PALETTE)),
        (b"PLTE", &[1, 2, 3, 250, 240, 230]),
        (b"IDAT", &deflate(&[0, 0b0100_0000, 0, 0b1000_0000])),
        (b"IEND", &[]),
    ]);
    assert_eq!(COLOR.decode(&palette, "image").unwrap().1, [1, 2, 3, 250, 240, 230, 250, 240, 230, 1, 2, 3]);
}

/// Returns EXIF metadata that contains only an orientation, in either byte order.
fn exif(orientation: u8, is_big_endian: bool) -> Vec<u8> {
    if is_big_endian {
        [&b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..], &[orientation], &[0; 6]].concat()
    } else {
        [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[orientation], &[0; 7]].concat()
    }
}

/// Inserts EXIF metadata into a JPEG file, as an APP1 segment after the first marker.
fn with_exif(jpeg: &[u8], exif: &[u8]) -> Vec<u8> {
    let (start, rest) = jpeg.split_at(2);
    let content = [&b"Exif\0\0"[..], exif].concat();
    let length = (content.len() as u16 + 2).to_be_bytes();
    [start, b"\xff\xe1", &length, &content, rest].concat()
}

#[test]
fn the_exif_orientation_is_applied() {
    // The results of Pillow's ImageOps.exif_transpose for the rows 1 2 3 and 4 5 6.
    let transposed: [([usize; 2], [u8; 6]); 8] = [
        ([2, 3], [1, 2, 3, 4, 5, 6]),
        ([2, 3], [3, 2, 1, 6, 5, 4]),
        ([2, 3], [6, 5, 4, 3, 2, 1]),
        ([2, 3], [4, 5, 6, 1, 2, 3]),
        ([3, 2], [1, 4, 2, 5, 3, 6]),
        ([3, 2], [4, 1, 5, 2, 6, 3]),
        ([3, 2], [6, 3, 5, 2, 4, 1]),
        ([3, 2], [3, 6, 2, 5, 1, 4]),
    ];
    let pixels = deflate(&[0, 10, 20, 30, 0, 40, 50, 60]);
    let header = header([2, 3], 8, GRAY);
    for (orientation, (size, expected)) in (1..).zip(transposed) {
        for is_big_endian in [false, true] {
            let exif = exif(orientation, is_big_endian);
            // The EXIF chunk before the pixels, as Pillow writes it, and after them.
            let before = chunks(&[(b"IHDR", &header), (b"eXIf", &exif), (b"IDAT", &pixels), (b"IEND", &[])]);
            let after = chunks(&[(b"IHDR", &header), (b"IDAT", &pixels), (b"eXIf", &exif), (b"IEND", &[])]);
            for image in [before, after] {
                let (decoded_size, bytes) = GRAYSCALE.decode(&image, "image").unwrap();
                assert_eq!((decoded_size, bytes), (size, expected.map(|value| 10 * value).to_vec()), "{orientation}");
            }
            let jpeg = with_exif(GRAY_JPEG_32_BY_48, &exif);
            let ([height, width], bytes) = GRAYSCALE.decode(&jpeg, "image").unwrap();
            assert_eq!([height, width], size.map(|side| 16 * side), "{orientation}");
            let center = |i: usize| bytes[(16 * (i / size[1]) + 8) * width + 16 * (i % size[1]) + 8];
            let is_near = (0..6).zip(expected).all(|(i, value)| center(i).abs_diff(10 * value) < 4);
            assert!(is_near, "JPEG, {orientation}");
        }
    }
    // Invalid metadata is ignored.
    for exif in [&b""[..], b"II*\0", b"MM\0*\xff\xff\xff\xff", &exif(9, false), &exif(0, true)] {
        let image = chunks(&[(b"IHDR", &header), (b"eXIf", exif), (b"IDAT", &pixels), (b"IEND", &[])]);
        assert_eq!(GRAYSCALE.decode(&image, "image").unwrap(), ([2, 3], vec![10, 20, 30, 40, 50, 60]));
    }
}

/// Black shapes on a transparent background differ only in alpha, and still are different images.
#[test]
fn equal_images_in_different_classes_are_listed_with_their_files() {
    let folder = Folder::new();
    let shape = |diagonal: u32| png([8, 8], RGBA, |x, y| [0, 0, 0, if x + y == diagonal { 255 } else { 0 }]);
    folder.file("a/1.png", shape(1));
    folder.file("a/2.png", shape(2));
    folder.file("b/3.png", shape(3));
    for settings in [GRAYSCALE, COLOR] {
        let set = ImageSet::from_folder(&folder.0, &settings).unwrap();
        assert_eq!(set.duplicates, [[0; 2]; 0]);
    }
    folder.file("b/4.png", shape(2));
    let set = ImageSet::from_folder(&folder.0, &GRAYSCALE).unwrap();
    assert_eq!(set.duplicates, [[1, 3]]);
    assert_eq!([&set.files[1], &set.files[3]], [&folder.join("a/2.png"), &folder.join("b/4.png")]);
}

#[test]
fn unreadable_entries_of_a_folder_are_errors() {
    let folder = Folder::new();
    folder.file("a/1.png", uniform_png([1, 1], [1; 3]));
    folder.file("a/other.webp", "skipped with a warning");
    assert_eq!(ImageSet::from_folder(&folder.0, &GRAYSCALE).unwrap().data.rows(), 1);
    fs::create_dir(folder.join("a/2.png")).unwrap();
    expect_error(ImageSet::from_folder(&folder.0, &GRAYSCALE), &["2.png: image: expected a file, got a folder"]);
    fs::remove_dir(folder.join("a/2.png")).unwrap();
    #[cfg(unix)]
    for link in ["a/3.png", "b"] {
        std::os::unix::fs::symlink(folder.join("nowhere"), folder.join(link)).unwrap();
        expect_error(ImageSet::from_folder(&folder.0, &GRAYSCALE), &[link, "No such file"]);
        fs::remove_file(folder.join(link)).unwrap();
    }
}
