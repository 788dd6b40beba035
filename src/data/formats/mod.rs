//! File formats of data sets: IDX, npy, npz, and folders of images.

#[cfg(feature = "images")]
pub(crate) mod folder;
pub(crate) mod gzip;
pub(crate) mod idx;
#[cfg(feature = "images")]
pub(crate) mod image;
pub(crate) mod image_set;
#[cfg(feature = "ndarray")]
pub(crate) mod ndarray;
#[cfg(feature = "npy")]
pub(crate) mod npy;
#[cfg(feature = "npy")]
pub(crate) mod npy_header;
#[cfg(feature = "images")]
pub(crate) mod resize;
pub(crate) mod signature;
#[cfg(any(feature = "csv", feature = "npy"))]
pub(crate) mod zip;
#[cfg(feature = "images")]
pub use folder::{BlendedImageSettings, ImageSettings};
pub use idx::Idx;
pub use image_set::ImageSet;
#[cfg(feature = "npy")]
pub use npy::Npy;
