//! Trained networks: models, checkpoints, predictors, and their files.

pub use checkpoint::Checkpoint;
pub use export::{WgslFunction, WgslWeights};
pub use predictor::Predictor;
pub use records::CustomFunctions;
pub use tensor_names::TensorNames;

pub(crate) mod checkpoint;
pub(crate) mod export;
pub(crate) mod predictor;
pub(crate) mod records;
pub(crate) mod tensor_names;
pub(crate) mod tensors;

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    data::scaling::scaler::Scaler,
    error::{Error, Result, check_len},
    model::{
        records::NetworkRecord,
        tensors::{Reader, Writer},
    },
    nn::{network::Network, parameters::LayerParameters},
    util::files::{self, format_error},
};

/// A trained network with everything that a prediction needs: layers, parameters, scaler and metadata.
///
/// ```
/// use gradus::{Activation, Device, Model, Network, Predictor, nn::LayerParameters};
/// let network = Network::new(2).dense(1, Activation::Identity);
/// let mut model = Model::new(network, vec![LayerParameters::new(vec![1.0, 2.0], vec![0.5])])?;
/// model.metadata.insert("unit".into(), "meters".into());
/// let model = Model::from_bytes(&model.to_bytes()?)?;
/// let mut predictor = Predictor::from_model(&Device::cpu(), &model)?;
/// assert_eq!(predictor.predict(&[3.0, 4.0])?, [11.5]);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Files
///
/// A file is a safetensors file. Its tensors have the names and the layout of an `nn.Sequential` of the same modules
/// ([`TensorNames::sequential`]), so PyTorch loads them with `safetensors.torch.load_file`. The metadata of the file
/// holds the description of the layers, the scaler and the metadata of the model. The same model gives the same bytes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Model {
    /// The network.
    pub network: Network,
    /// The parameters, layer by layer.
    pub parameters: Vec<LayerParameters>,
    /// The scaler of the inputs, if there is one.
    pub scaler: Option<Scaler>,
    /// The scale of features from bytes ([`Features::bytes`](crate::data::Features::bytes)). `None` if the features
    /// were not bytes. The inputs of a prediction are scaled already: `byte * byte_scale`.
    pub byte_scale: Option<f32>,
    /// Free-form metadata stored with the model, for example class names.
    pub metadata: BTreeMap<String, String>,
}

/// The metadata of a file. The file of a checkpoint also has `training`.
#[derive(Serialize, Deserialize)]
pub(crate) struct ModelRecord<Training> {
    /// The version of the file format.
    format: u32,
    network: NetworkRecord,
    #[serde(default)]
    scaler: Option<Scaler>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    byte_scale: Option<f32>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub(crate) training: Option<Training>,
}

const fn none<T>() -> Option<T> {
    None
}

/// The version of the file format, which every version stores.
#[derive(Deserialize)]
struct FormatVersion {
    format: u32,
}

/// The version of [`ModelRecord`] that gradus writes, and the maximum version that it reads.
const FORMAT: u32 = 1;

/// The prefix of the names of the tensors that only checkpoints have.
pub(crate) const TRAINING_PREFIX: &str = "training.";

/// The maximum size of a file. safetensors itself limits the header to 100 MB.
pub(crate) const MAX_FILE_BYTES: u64 = 64 << 30;

impl Model {
    /// Creates a model from a network and its parameters, without a scaler or metadata.
    ///
    /// # Errors
    /// - [`Error::InvalidSetting`] if the network is invalid.
    /// - [`Error::Shape`] if the parameters do not fit the network.
    /// - [`Error::NonFinite`] if a parameter is NaN or infinite.
    pub fn new(network: Network, parameters: Vec<LayerParameters>) -> Result<Self> {
        let model = Self { network, parameters, scaler: None, byte_scale: None, metadata: BTreeMap::new() };
        model.check()?;
        Ok(model)
    }

    /// Sets the scaler of the inputs.
    ///
    /// # Errors
    /// [`Error::Shape`] if the scaler has a wrong number of columns.
    pub fn with_scaler(mut self, scaler: Scaler) -> Result<Self> {
        self.scaler = Some(scaler);
        self.check()?;
        Ok(self)
    }

    /// Saves the model to a file. Saving is atomic: after an interruption the file holds either the complete old or the
    /// complete new content.
    ///
    /// # Errors
    /// - [`Error::Io`] if the file cannot be written.
    /// - The errors of [`Model::new`], because the caller may have changed the fields.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write(path.as_ref(), &self.to_bytes()?)
    }

    /// Saves the parameters to a file with the given tensor names. The file has no metadata.
    ///
    /// [`Model::load_weights`] and other libraries, for example PyTorch, can load it.
    ///
    /// # Errors
    /// - [`Error::Shape`] or [`Error::InvalidSetting`] if the names do not fit the network.
    /// - The errors of [`Model::save`].
    #[doc(alias = "state_dict")]
    pub fn save_weights(&self, path: impl AsRef<Path>, names: &TensorNames) -> Result<()> {
        self.check()?;
        let mut writer = Writer::default();
        self.write(&mut writer, names)?;
        files::write(path.as_ref(), &writer.into_bytes(None::<&ModelRecord<()>>)?)
    }

    /// Returns the bytes of the file.
    ///
    /// # Errors
    /// The errors of [`Model::new`], because the caller may have changed the fields.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.to_bytes_with(Writer::default(), None::<()>)
    }

    /// Returns the bytes of the file. `writer` holds the additional tensors of a checkpoint, and `training` its
    /// metadata.
    pub(crate) fn to_bytes_with<'a, T: Serialize>(
        &'a self,
        mut writer: Writer<'a>,
        training: Option<T>,
    ) -> Result<Vec<u8>> {
        self.check()?;
        self.write(&mut writer, &TensorNames::sequential(&self.network))?;
        writer.into_bytes(Some(&ModelRecord {
            format: FORMAT,
            network: NetworkRecord::from_network(&self.network),
            scaler: self.scaler.clone(),
            byte_scale: self.byte_scale,
            metadata: self.metadata.clone(),
            training,
        }))
    }

    /// Loads a model from a file of [`Model::save`] or [`Checkpoint::save`].
    ///
    /// # Errors
    /// - [`Error::Io`] if the file cannot be read.
    /// - [`Error::Format`] if the file has no valid gradus metadata, or its tensors do not fit the network.
    /// - [`Error::InvalidSetting`] if the file uses a custom function; pass it to [`Model::load_with_custom`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with_custom(path, &CustomFunctions::default())
    }

    /// Loads a model with custom activations from a file of [`Model::save`] or [`Checkpoint::save`].
    ///
    /// # Errors
    /// As [`Model::load`].
    #[doc(alias = "custom_objects")]
    pub fn load_with_custom(path: impl AsRef<Path>, custom_functions: &CustomFunctions<'_>) -> Result<Self> {
        let path = path.as_ref();
        Self::read(&path.display().to_string(), &tensors::read(path, MAX_FILE_BYTES)?, custom_functions)
    }

    /// Reads a model from the bytes of [`Model::to_bytes`].
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::read("bytes", bytes, &CustomFunctions::default())
    }

    /// Loads the parameters of a network from a safetensors file with the given tensor names, for example from PyTorch.
    ///
    /// Values of type F64, F16 and BF16 are converted to f32.
    ///
    /// # Errors
    /// - [`Error::Io`] if the file cannot be read.
    /// - [`Error::Format`] if a tensor is missing, is not in the network, has a wrong shape or type, or has a value
    ///   that is not finite.
    /// - [`Error::Shape`] or [`Error::InvalidSetting`] if the names do not fit the network.
    #[doc(alias = "load_state_dict")]
    pub fn load_weights(path: impl AsRef<Path>, network: &Network, names: &TensorNames) -> Result<Self> {
        let path = path.as_ref();
        network.check()?;
        let bytes = tensors::read(path, MAX_FILE_BYTES)?;
        let file = path.display().to_string();
        let mut reader = Reader::new(&file, &bytes)?;
        let parameters = reader.read_parameters("", network, names)?;
        reader.check_all_read(network, names, None)?;
        Self::new(network.clone(), parameters)
    }

    fn read(file: &str, bytes: &[u8], custom_functions: &CustomFunctions<'_>) -> Result<Self> {
        let mut reader = Reader::new(file, bytes)?;
        let (model, _) = Self::read_with::<serde::de::IgnoredAny>(file, &mut reader, custom_functions)?;
        reader.check_all_read(&model.network, &TensorNames::sequential(&model.network), Some(TRAINING_PREFIX))?;
        Ok(model)
    }

    /// Reads the model of a file, and the metadata of the training if it is the file of a checkpoint.
    pub(crate) fn read_with<T: serde::de::DeserializeOwned>(
        file: &str,
        reader: &mut Reader<'_>,
        custom_functions: &CustomFunctions<'_>,
    ) -> Result<(Self, Option<T>)> {
        let Some(FormatVersion { format }) = reader.record()? else {
            let got = "none; to load plain weights, use Model::load_weights with a network";
            return Err(format_error(&file, "metadata", "the description of a network", got));
        };
        if format > FORMAT {
            let got = format_args!("format {format}; use a newer version of gradus");
            return Err(format_error(&file, "metadata", format_args!("at most format {FORMAT}"), got));
        }
        let Some(record) = reader.record::<ModelRecord<T>>()? else {
            unreachable!("the format version was read from the same metadata")
        };
        let network = record.network.to_network(custom_functions)?;
        let parameters = reader.read_parameters("", &network, &TensorNames::sequential(&network))?;
        let model = Self {
            network,
            parameters,
            scaler: record.scaler,
            byte_scale: record.byte_scale,
            metadata: record.metadata,
        };
        model.check()?;
        Ok((model, record.training))
    }

    /// Adds the parameters, and the counters that PyTorch expects.
    fn write<'a>(&'a self, writer: &mut Writer<'a>, names: &TensorNames) -> Result<()> {
        writer.add_layers("", &self.network, names, &self.parameters)?;
        writer.add_counters(&self.network, names);
        Ok(())
    }

    /// Returns an error if the fields do not fit together.
    pub(crate) fn check(&self) -> Result<()> {
        self.network.check()?;
        self.network.check_parameters(&self.parameters)?;
        if let Some(scale) = self.byte_scale.filter(|scale| !scale.is_finite()) {
            let (expected, got) = ("a finite number".to_owned(), scale.to_string());
            return Err(Error::InvalidSetting { name: "Model::byte_scale", expected, got });
        }
        match &self.scaler {
            Some(scaler) => check_len("scaler columns", self.network.inputs(), scaler.columns()),
            None => Ok(()),
        }
    }
}
