use std::{fs, io::Cursor};

use gradus::{Answers, Features, ImageSet, ImageSettings};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use super::refused;
use crate::common::Folder;

/// A picture of one color, `[height, width]`.
fn picture([height, width]: [u32; 2], color: [u8; 3], format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = RgbImage::from_pixel(width, height, Rgb(color));
    DynamicImage::from(image).write_to(&mut bytes, format).expect("it is encoded");
    bytes.into_inner()
}

const GREY: ImageSettings = ImageSettings { color: false, size: None };
const COLOR: ImageSettings = ImageSettings { color: true, size: None };

#[test]
fn a_folder_a_class_becomes_bytes_in_the_order_of_the_names() {
    let folder = Folder::new();
    folder.file("dog/2.PNG", picture([1, 2], [30; 3], ImageFormat::Png));
    folder.file("dog/1.png", picture([1, 2], [20; 3], ImageFormat::Png));
    // Under a wrong name, as they often are.
    folder.file("cat/a.jpeg", picture([1, 2], [10, 20, 30], ImageFormat::Png));
    for other in ["cat/.hidden.png", "cat/notes.txt", ".git/config", "README.md"] {
        folder.file(other, "not an image");
    }
    let set = ImageSet::of_folder(&folder.0, &GREY).unwrap();
    assert_eq!((set.height, set.width, set.channels), (1, 2, 1));
    assert_eq!(set.classes, ["cat", "dog"]);
    assert_eq!(set.data.answers(), &Answers::Classes(vec![0, 1, 1]));
    let Features::U8 { bytes, scale } = set.data.features() else { panic!("bytes stay bytes") };
    assert_eq!((&bytes[2..], *scale), (&[20, 20, 30, 30][..], 1.0 / 255.0));
    assert!((15..25).contains(&bytes[0]), "a grey of 10, 20 and 30");

    let set = ImageSet::of_folder(&folder.0, &COLOR).unwrap();
    let Features::U8 { bytes, .. } = set.data.features() else { panic!("bytes stay bytes") };
    assert_eq!((set.channels, set.data.inputs()), (3, 6));
    assert_eq!(bytes[..9], [10, 20, 30, 10, 20, 30, 20, 20, 20]);
}

#[test]
fn images_of_other_sizes_are_refused_or_resized_and_jpeg_is_read() {
    let folder = Folder::new();
    folder.file("a/1.jpg", picture([8, 16], [200, 100, 50], ImageFormat::Jpeg));
    folder.file("a/2.png", picture([9, 16], [200, 100, 50], ImageFormat::Png));
    refused(ImageSet::of_folder(&folder.0, &COLOR), &["2.png: image: expected 8x16 pixels, as the first", "got 9x16"]);
    let set = ImageSet::of_folder(&folder.0, &ImageSettings { color: true, size: Some([4, 5]) }).unwrap();
    assert_eq!((set.height, set.width, set.data.inputs()), (4, 5, 60));
    let Features::U8 { bytes, .. } = set.data.features() else { panic!("bytes stay bytes") };
    let is_near = |pixel: &[u8]| pixel.iter().zip([200, 100, 50]).all(|(a, b)| a.abs_diff(b) < 4);
    assert!(bytes.chunks(3).all(is_near), "{bytes:?}");
    for size in [[0, 5], [5, 16_385]] {
        let settings = ImageSettings { size: Some(size), ..GREY };
        refused(ImageSet::of_folder(&folder.0, &settings), &["size of images: expected 1 to 16384 pixels a side"]);
    }
}

#[test]
fn what_is_no_folder_of_images_is_refused_with_its_file() {
    let folder = Folder::new();
    refused(ImageSet::of_folder(&folder.0, &GREY), &["folder: expected a folder for each class, got none"]);
    refused(ImageSet::of_folder(folder.join("nowhere"), &GREY), &["nowhere: "]);
    fs::create_dir(folder.join("empty")).unwrap();
    refused(ImageSet::of_folder(&folder.0, &GREY), &["empty: folder: expected PNG or JPEG files, got none"]);
    folder.file("empty/1.png", picture([2, 2], [1; 3], ImageFormat::Png));
    for (content, words) in [(&b""[..], "an empty file"), (b"GIF89a", "[47, 49, 46, 38, 39, 61]")] {
        folder.file("empty/2.png", content);
        refused(ImageSet::of_folder(&folder.0, &GREY), &["2.png: image: expected PNG or JPEG, got", words]);
    }
}

#[test]
fn cuts_of_an_image_are_refused_or_read_and_a_huge_one_is_refused() {
    let folder = Folder::new();
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let whole = picture([5, 7], [1, 2, 3], format);
        for end in (0..whole.len()).step_by(3) {
            folder.file("a/1.png", &whole[..end]);
            if let Err(error) = ImageSet::of_folder(&folder.0, &GREY) {
                assert!(error.to_string().contains("1.png: image: expected "), "{error}");
            }
        }
        for at in (0..whole.len()).step_by(3) {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            folder.file("a/1.png", changed);
            let _ = ImageSet::of_folder(&folder.0, &GREY);
        }
    }
    // A PNG that says it is 2^31 - 1 pixels on a side, with the checksum that says so too.
    let mut huge = picture([1, 1], [0; 3], ImageFormat::Png);
    huge[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let mut sum = flate2::Crc::new();
    sum.update(&huge[12..29]);
    huge[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    folder.file("a/1.png", huge);
    refused(ImageSet::of_folder(&folder.0, &GREY), &["1.png: image: expected one that can be decoded"]);
    // Of a few hundred bytes, and grey: the decoder may have the memory for it, and its colors would take three times that.
    let mut wide = Vec::new();
    let grey = DynamicImage::new_luma8(1, 1);
    grey.write_to(&mut Cursor::new(&mut wide), ImageFormat::Jpeg).expect("a picture");
    let frame = wide.windows(2).position(|marker| marker == [0xff, 0xc0]).expect("a frame");
    wide[frame + 5..frame + 9].copy_from_slice(&[0x30, 0, 0x30, 0]);
    refused(COLOR.decode(&wide, "wide"), &["wide: image: expected at most 268435456 bytes of pixels, got 452984832"]);
}
