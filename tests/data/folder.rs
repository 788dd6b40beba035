use std::fs;

use gradus::{
    Features, Targets,
    data::formats::{BlendedImageSettings, ImageSet, ImageSettings},
};

use super::refused;
use crate::common::Folder;

/// Color types of the PNG format.
const GRAY: u8 = 0;
const RGB: u8 = 2;
const PALETTE: u8 = 3;
const GRAY_ALPHA: u8 = 4;
const RGBA: u8 = 6;

/// JPEG files that the crate `image` 0.25 wrote: all pixels `[200, 100, 50]`, all pixels `[1, 2, 3]`, one black pixel, and
/// squares of 16x16 pixels with the gray values 10, 20, 30 above 40, 50, 60.
const JPEG_8_BY_16: &[u8] = include_bytes!("color_8x16.jpg");
const JPEG_5_BY_7: &[u8] = include_bytes!("color_5x7.jpg");
const GRAY_JPEG_1_BY_1: &[u8] = include_bytes!("gray_1x1.jpg");
const GRAY_JPEG_32_BY_48: &[u8] = include_bytes!("gray_32x48.jpg");

/// A PNG file of one color, `[height, width]`.
fn picture(size: [u32; 2], color: [u8; 3]) -> Vec<u8> {
    png(size, RGB, |_, _| color)
}

const GREY: ImageSettings = ImageSettings { color: false, size: None };
const COLOR: ImageSettings = ImageSettings { color: true, ..GREY };

#[test]
fn a_folder_a_class_becomes_bytes_in_the_order_of_the_names() {
    let folder = Folder::new();
    folder.file("dog/2.PNG", picture([1, 2], [30; 3]));
    folder.file("dog/1.png", picture([1, 2], [20; 3]));
    // Under a wrong name, as they often are.
    folder.file("cat/a.jpeg", picture([1, 2], [10, 20, 30]));
    for other in ["cat/.hidden.png", "cat/notes.txt", ".git/config", "README.md"] {
        folder.file(other, "not an image");
    }
    let set = ImageSet::from_folder(&folder.0, &GREY).unwrap();
    assert_eq!((set.height, set.width, set.channels), (1, 2, 1));
    assert_eq!(set.classes, ["cat", "dog"]);
    assert_eq!(set.data.targets(), &Targets::Classes(vec![0, 1, 1]));
    let Features::U8 { bytes, scale } = set.data.features() else { panic!("bytes stay bytes") };
    assert_eq!((&bytes[2..], *scale), (&[20, 20, 30, 30][..], 1.0 / 255.0));
    assert!((15..25).contains(&bytes[0]), "a grey of 10, 20 and 30");

    let set = ImageSet::from_folder(&folder.0, &COLOR).unwrap();
    let Features::U8 { bytes, .. } = set.data.features() else { panic!("bytes stay bytes") };
    assert_eq!((set.channels, set.data.inputs()), (3, 6));
    assert_eq!(bytes[..9], [10, 20, 30, 10, 20, 30, 20, 20, 20]);
}

#[test]
fn images_of_other_sizes_are_refused_or_resized_and_jpeg_is_read() {
    let folder = Folder::new();
    folder.file("a/1.jpg", JPEG_8_BY_16);
    folder.file("a/2.png", picture([9, 16], [200, 100, 50]));
    refused(
        ImageSet::from_folder(&folder.0, &COLOR),
        &["2.png: image: expected 8x16 pixels, as the first", "got 9x16"],
    );
    let set = ImageSet::from_folder(&folder.0, &ImageSettings { size: Some([4, 5]), ..COLOR }).unwrap();
    assert_eq!((set.height, set.width, set.data.inputs()), (4, 5, 60));
    let Features::U8 { bytes, .. } = set.data.features() else { panic!("bytes stay bytes") };
    let is_near = |pixel: &[u8]| pixel.iter().zip([200, 100, 50]).all(|(a, b)| a.abs_diff(b) < 4);
    assert!(bytes.chunks(3).all(is_near), "{bytes:?}");
    for size in [[0, 5], [5, 16_385]] {
        let settings = ImageSettings { size: Some(size), ..GREY };
        refused(ImageSet::from_folder(&folder.0, &settings), &["size of images: expected 1 to 16384 pixels a side"]);
    }
}

#[test]
fn what_is_no_folder_of_images_is_refused_with_its_file() {
    let folder = Folder::new();
    refused(ImageSet::from_folder(&folder.0, &GREY), &["folder: expected a folder for each class, got none"]);
    refused(ImageSet::from_folder(folder.join("nowhere"), &GREY), &["nowhere: "]);
    fs::create_dir(folder.join("empty")).unwrap();
    refused(ImageSet::from_folder(&folder.0, &GREY), &["empty: folder: expected PNG or JPEG files, got none"]);
    folder.file("empty/1.png", picture([2, 2], [1; 3]));
    for (content, words) in [(&b""[..], "an empty file"), (b"GIF89a", "a GIF image; convert it to PNG")] {
        folder.file("empty/2.png", content);
        refused(ImageSet::from_folder(&folder.0, &GREY), &["2.png: image: expected a PNG or JPEG image, got", words]);
    }
}

#[test]
fn cuts_of_an_image_are_refused_or_read_and_a_huge_one_is_refused() {
    let folder = Folder::new();
    for whole in [picture([5, 7], [1, 2, 3]), JPEG_5_BY_7.to_vec()] {
        for end in (0..whole.len()).step_by(3) {
            folder.file("a/1.png", &whole[..end]);
            if let Err(error) = ImageSet::from_folder(&folder.0, &GREY) {
                assert!(error.to_string().contains("1.png: image: expected "), "{error}");
            }
        }
        for at in (0..whole.len()).step_by(3) {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            folder.file("a/1.png", changed);
            let _ = ImageSet::from_folder(&folder.0, &GREY);
        }
    }
    // A PNG that says it is 2^31 - 1 pixels on a side, with the checksum that says so too.
    let mut huge = picture([1, 1], [0; 3]);
    huge[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let mut sum = flate2::Crc::new();
    sum.update(&huge[12..29]);
    huge[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    folder.file("a/1.png", huge);
    refused(ImageSet::from_folder(&folder.0, &GREY), &["1.png: image: expected one that can be decoded"]);
    // Of a few hundred bytes, and grey: the decoder may have the memory for it, and its colors would take three times that.
    let mut wide = GRAY_JPEG_1_BY_1.to_vec();
    let frame = wide.windows(2).position(|marker| marker == [0xff, 0xc0]).expect("a frame");
    wide[frame + 5..frame + 9].copy_from_slice(&[0x30, 0, 0x30, 0]);
    refused(COLOR.decode(&wide, "wide"), &["wide: image: expected at most 268435456 bytes of pixels, got 452984832"]);
}

/// A PNG file with 8 bits per sample, `[height, width]`, whose pixel at (x, y) has these samples.
fn png<const N: usize>(size: [u32; 2], color: u8, pixel: impl Fn(u32, u32) -> [u8; N]) -> Vec<u8> {
    png_with_depth(size, 8, color, pixel)
}

/// A PNG file with `depth` bits per sample; samples of 16 bits are two bytes.
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
    chunks(&[(b"IHDR", &header), (b"IDAT", &deflated(&rows)), (b"IEND", &[])])
}

/// A PNG file of these chunks.
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

fn deflated(rows: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, rows).expect("a vector takes every byte");
    encoder.finish().expect("a vector takes every byte")
}

/// A PNG header of so many pixels, with its depth and color type.
fn header([height, width]: [u32; 2], depth: u8, color: u8) -> Vec<u8> {
    [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, color, 0, 0, 0]].concat()
}

#[test]
fn transparent_pixels_are_blended_over_the_background() {
    let pixels = [[0, 0, 0, 0], [0, 0, 0, 255], [200, 100, 50, 128], [255, 0, 0, 1]];
    let image = png([1, 4], RGBA, |x, _| pixels[x as usize]);
    let of = |settings: BlendedImageSettings| settings.decode(&image, "image").unwrap().1;
    assert_eq!(of((&COLOR).into()), [255, 255, 255, 0, 0, 0, 227, 177, 152, 255, 254, 254]);
    assert_eq!(of((&GREY).into()), [255, 0, 186, 254]);
    let blue = COLOR.over([0, 0, 255]);
    assert_eq!(of(blue), [0, 0, 255, 0, 0, 0, 100, 50, 152, 1, 0, 254]);
    // Blended before it is resized: the hidden black of transparent pixels has no part in it.
    let hidden = png([4, 4], RGBA, |x, _| if x < 2 { [0, 0, 0, 0] } else { [255; 4] });
    let small = ImageSettings { size: Some([2, 2]), ..GREY }.decode(&hidden, "image").unwrap().1;
    assert_eq!(small, [255; 4]);

    // Gray with alpha, and 16 bits a channel.
    let gray = png([1, 2], GRAY_ALPHA, |x, _| [10, if x == 0 { 0 } else { 255 }]);
    assert_eq!(GREY.decode(&gray, "image").unwrap().1, [255, 10]);
    let deep = png_with_depth([1, 2], 16, RGBA, |x, _| {
        let alpha = if x == 0 { 0 } else { 0xff };
        [0x80, 0x80, 0, 0, 0xff, 0xff, alpha, alpha]
    });
    assert_eq!(COLOR.decode(&deep, "image").unwrap().1, [255, 255, 255, 128, 0, 255]);

    // A palette with transparent colors, and gray of 2 bits with one value that is transparent.
    let palette = chunks(&[
        (b"IHDR", &header([1, 3], 8, PALETTE)),
        (b"PLTE", &[9, 9, 9, 10, 20, 30, 200, 0, 0]),
        (b"tRNS", &[0, 255, 51]),
        (b"IDAT", &deflated(&[0, 0, 1, 2])),
        (b"IEND", &[]),
    ]);
    assert_eq!(COLOR.decode(&palette, "image").unwrap().1, [255, 255, 255, 10, 20, 30, 244, 204, 204]);
    let key = chunks(&[
        (b"IHDR", &header([1, 4], 2, GRAY)),
        (b"tRNS", &[0, 1]),
        (b"IDAT", &deflated(&[0, 0b00_01_10_11])),
        (b"IEND", &[]),
    ]);
    assert_eq!(GREY.decode(&key, "image").unwrap().1, [0, 255, 170, 255]);
}

#[test]
fn images_without_alpha_are_read_at_every_depth() {
    let levels = [0u16, 0x8000, 0xffff];
    let deep = png_with_depth([1, 3], 16, GRAY, |x, _| levels[x as usize].to_be_bytes());
    assert_eq!(GREY.decode(&deep, "image").unwrap().1, [0, 128, 255]);
    assert_eq!(COLOR.decode(&deep, "image").unwrap().1, [0, 0, 0, 128, 128, 128, 255, 255, 255]);
    let deep = png_with_depth([1, 1], 16, RGB, |_, _| [0x80, 0x80, 0, 0, 0xff, 0xff]);
    assert_eq!(COLOR.decode(&deep, "image").unwrap().1, [128, 0, 255]);
    assert_eq!(GREY.decode(&deep, "image").unwrap().1, [46]);
    let palette = chunks(&[
        (b"IHDR", &header([2, 2], 1, PALETTE)),
        (b"PLTE", &[1, 2, 3, 250, 240, 230]),
        (b"IDAT", &deflated(&[0, 0b0100_0000, 0, 0b1000_0000])),
        (b"IEND", &[]),
    ]);
    assert_eq!(COLOR.decode(&palette, "image").unwrap().1, [1, 2, 3, 250, 240, 230, 250, 240, 230, 1, 2, 3]);
}

/// EXIF of an orientation alone, as cameras write it in either byte order.
fn exif(orientation: u8, is_big_endian: bool) -> Vec<u8> {
    if is_big_endian {
        [&b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..], &[orientation], &[0; 6]].concat()
    } else {
        [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[orientation], &[0; 7]].concat()
    }
}

/// A JPEG file with EXIF metadata in an APP1 segment behind its first marker.
fn with_exif(jpeg: &[u8], exif: &[u8]) -> Vec<u8> {
    let (start, rest) = jpeg.split_at(2);
    let content = [&b"Exif\0\0"[..], exif].concat();
    let length = (content.len() as u16 + 2).to_be_bytes();
    [start, b"\xff\xe1", &length, &content, rest].concat()
}

#[test]
fn the_orientation_that_a_camera_stored_is_applied() {
    // As Pillow's ImageOps.exif_transpose turns the rows 1 2 3 and 4 5 6.
    let turned: [([usize; 2], [u8; 6]); 8] = [
        ([2, 3], [1, 2, 3, 4, 5, 6]),
        ([2, 3], [3, 2, 1, 6, 5, 4]),
        ([2, 3], [6, 5, 4, 3, 2, 1]),
        ([2, 3], [4, 5, 6, 1, 2, 3]),
        ([3, 2], [1, 4, 2, 5, 3, 6]),
        ([3, 2], [4, 1, 5, 2, 6, 3]),
        ([3, 2], [6, 3, 5, 2, 4, 1]),
        ([3, 2], [3, 6, 2, 5, 1, 4]),
    ];
    let pixels = deflated(&[0, 10, 20, 30, 0, 40, 50, 60]);
    let header = header([2, 3], 8, GRAY);
    for (orientation, (size, expected)) in (1..).zip(turned) {
        for is_big_endian in [false, true] {
            let exif = exif(orientation, is_big_endian);
            // Before the pixels, as Pillow writes it, and behind them.
            let before = chunks(&[(b"IHDR", &header), (b"eXIf", &exif), (b"IDAT", &pixels), (b"IEND", &[])]);
            let behind = chunks(&[(b"IHDR", &header), (b"IDAT", &pixels), (b"eXIf", &exif), (b"IEND", &[])]);
            for image in [before, behind] {
                let (found, bytes) = GREY.decode(&image, "image").unwrap();
                assert_eq!((found, bytes), (size, expected.map(|value| 10 * value).to_vec()), "{orientation}");
            }
            let jpeg = with_exif(GRAY_JPEG_32_BY_48, &exif);
            let ([height, width], bytes) = GREY.decode(&jpeg, "image").unwrap();
            assert_eq!([height, width], size.map(|side| 16 * side), "{orientation}");
            let center = |i: usize| bytes[(16 * (i / size[1]) + 8) * width + 16 * (i % size[1]) + 8];
            let is_near = (0..6).zip(expected).all(|(i, value)| center(i).abs_diff(10 * value) < 4);
            assert!(is_near, "JPEG, {orientation}");
        }
    }
    // Metadata that make no sense turn nothing.
    for exif in [&b""[..], b"II*\0", b"MM\0*\xff\xff\xff\xff", &exif(9, false), &exif(0, true)] {
        let image = chunks(&[(b"IHDR", &header), (b"eXIf", exif), (b"IDAT", &pixels), (b"IEND", &[])]);
        assert_eq!(GREY.decode(&image, "image").unwrap(), ([2, 3], vec![10, 20, 30, 40, 50, 60]));
    }
}

/// Black shapes on transparent ground are different images; the same one in two classes is listed by its files.
#[test]
fn images_that_are_the_same_in_two_classes_are_listed_by_their_files() {
    let folder = Folder::new();
    let shape = |at: u32| png([8, 8], RGBA, |x, y| [0, 0, 0, if x + y == at { 255 } else { 0 }]);
    folder.file("a/1.png", shape(1));
    folder.file("a/2.png", shape(2));
    folder.file("b/3.png", shape(3));
    for settings in [GREY, COLOR] {
        let set = ImageSet::from_folder(&folder.0, &settings).unwrap();
        assert_eq!(set.duplicates, [[0; 2]; 0]);
    }
    folder.file("b/4.png", shape(2));
    let set = ImageSet::from_folder(&folder.0, &GREY).unwrap();
    assert_eq!(set.duplicates, [[1, 3]]);
    assert_eq!([&set.files[1], &set.files[3]], [&folder.join("a/2.png"), &folder.join("b/4.png")]);
}

#[test]
fn what_cannot_be_read_in_a_folder_is_an_error() {
    let folder = Folder::new();
    folder.file("a/1.png", picture([1, 1], [1; 3]));
    folder.file("a/other.webp", "passed over with a warning");
    assert_eq!(ImageSet::from_folder(&folder.0, &GREY).unwrap().data.rows(), 1);
    fs::create_dir(folder.join("a/2.png")).unwrap();
    refused(ImageSet::from_folder(&folder.0, &GREY), &["2.png: image: expected a file, got a folder"]);
    fs::remove_dir(folder.join("a/2.png")).unwrap();
    #[cfg(unix)]
    for link in ["a/3.png", "b"] {
        std::os::unix::fs::symlink(folder.join("nowhere"), folder.join(link)).unwrap();
        refused(ImageSet::from_folder(&folder.0, &GREY), &[link, "No such file"]);
        fs::remove_file(folder.join(link)).unwrap();
    }
}
