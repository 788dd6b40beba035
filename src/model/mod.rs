//! A trained network as it leaves a program and comes back.

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
    data::scaling::Scaler,
    error::{Error, Result, check_len},
    model::{
        records::NetworkRecord,
        tensors::{Reader, Writer},
    },
    nn::{layout::LayerParameters, network::Network},
};

/// A trained network with all that a prediction needs: its layers, its parameters, what scales its inputs, and notes.
///
/// ```
/// use gradus::{Activation, Device, Model, Network, Predictor, nn::LayerParameters};
/// let network = Network::new(2).dense(1, Activation::Identity);
/// let mut model = Model::new(network, vec![LayerParameters::new(vec![1.0, 2.0], vec![0.5])])?;
/// model.notes.insert("unit".into(), "metres".into());
/// let model = Model::from_bytes(&model.to_bytes()?)?;
/// let mut predictor = Predictor::of(&Device::cpu(), &model)?;
/// assert_eq!(predictor.predict(&[3.0, 4.0])?, [11.5]);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Files
///
/// A file is a safetensors file: PyTorch's `safetensors.torch.load_file` gives the tensors as an `nn.Sequential`
/// of the same modules takes them ([`TensorNames::sequential`]), in its layout. What the layers are, the scaling and the notes
/// stand in its metadata. The same model gives the same bytes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Model {
    /// The layers.
    pub network: Network,
    /// Weights, biases and what else was learned, layer by layer.
    pub parameters: Vec<LayerParameters>,
    /// What scales the inputs before the network sees them.
    pub scaler: Option<Scaler>,
    /// What the bytes were multiplied by that it has learned from ([`Features::bytes`](crate::data::Features::bytes)), or none if its
    /// features were other numbers. A prediction takes inputs that are multiplied already: `byte * byte_scale`.
    pub byte_scale: Option<f32>,
    /// Whatever a caller wants to know of it later, such as the names of its classes.
    pub metadata: BTreeMap<String, String>,
}

/// What a file says beside its tensors. A checkpoint's says more.
#[derive(Serialize, Deserialize)]
pub(crate) struct ModelRecord<Training> {
    /// The version of what stands here.
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

/// What every format has said and will say first.
#[derive(Deserialize)]
struct FormatVersion {
    format: u32,
}

/// The version of [`ModelRecord`] that this crate writes, and the latest that it reads.
const FORMAT: u32 = 1;

/// What the names of a checkpoint's own tensors begin with.
pub(crate) const TRAINING_PREFIX: &str = "training.";

/// The largest file that is read whole; safetensors itself refuses a larger header than 100 MB.
pub(crate) const MAX_FILE_BYTES: u64 = 64 << 30;

impl Model {
    /// A network with these parameters.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a network that cannot be built, [`Error::Shape`] and [`Error::NonFinite`] for parameters that
    /// are not its.
    pub fn new(network: Network, parameters: Vec<LayerParameters>) -> Result<Self> {
        let model = Self { network, parameters, scaler: None, byte_scale: None, metadata: BTreeMap::new() };
        model.check()?;
        Ok(model)
    }

    /// The same with inputs that are scaled before the network sees them.
    ///
    /// # Errors
    /// [`Error::Shape`] if the scaler is of another number of columns.
    pub fn with_scaler(mut self, scaler: Scaler) -> Result<Self> {
        self.scaler = Some(scaler);
        self.check()?;
        Ok(self)
    }

    /// Writes it to a file. The file is there whole afterwards, or what was there before.
    ///
    /// # Errors
    /// [`Error::Io`], and as [`Model::new`], since the fields may have changed.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        crate::util::files::write(path.as_ref(), &self.to_bytes()?)
    }

    /// [`Model::save`] with names of the caller's own for the tensors. The file has no metadata: it is read by
    /// [`Model::load_weights`] and by others.
    ///
    /// # Errors
    /// As [`Model::save`]; [`Error::Shape`] and [`Error::InvalidSetting`] for names that do not fit.
    pub fn save_weights(&self, path: impl AsRef<Path>, names: &TensorNames) -> Result<()> {
        self.check()?;
        let mut writer = Writer::default();
        self.write(&mut writer, names)?;
        crate::util::files::write(path.as_ref(), &writer.into_bytes(None::<&ModelRecord<()>>)?)
    }

    /// The bytes of its file.
    ///
    /// # Errors
    /// As [`Model::new`], since the fields may have changed.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.to_bytes_with(Writer::default(), None::<()>)
    }

    /// The bytes of its file with what a checkpoint adds.
    pub(crate) fn to_bytes_with<'a, T: Serialize>(
        &'a self,
        mut writer: Writer<'a>,
        training: Option<T>,
    ) -> Result<Vec<u8>> {
        self.check()?;
        self.write(&mut writer, &TensorNames::sequential(&self.network))?;
        let (network, scaler, notes) =
            (NetworkRecord::from_network(&self.network), self.scaler.clone(), self.metadata.clone());
        let byte_scale = self.byte_scale;
        writer.into_bytes(Some(&ModelRecord { format: FORMAT, network, scaler, byte_scale, metadata: notes, training }))
    }

    /// Reads a file of [`Model::save`], or the model of a [`crate::model::Checkpoint`].
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Format`] if it is no such file, [`Error::InvalidSetting`] if it names a
    /// formula of the caller's own: those have to be given to [`Model::load_with_custom`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with_custom(path, &CustomFunctions::default())
    }

    /// [`Model::load`] for a network with activations of the caller's own.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_with_custom(path: impl AsRef<Path>, custom_functions: &CustomFunctions<'_>) -> Result<Self> {
        let path = path.as_ref();
        Self::read(&path.display().to_string(), &tensors::read(path, MAX_FILE_BYTES)?, custom_functions)
    }

    /// A model of the bytes of [`Model::to_bytes`].
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::read("bytes", bytes, &CustomFunctions::default())
    }

    /// Reads the parameters of a network from a safetensors file of PyTorch's, for example, whose tensors have these names.
    /// F64, F16 and BF16 become f32.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Format`] if a tensor is not there, of another shape or type, not
    /// finite, or of no place in the network; [`Error::Shape`] and [`Error::InvalidSetting`] for names that do not fit.
    pub fn load_weights(path: impl AsRef<Path>, network: &Network, names: &TensorNames) -> Result<Self> {
        let path = path.as_ref();
        network.check()?;
        let bytes = tensors::read(path, MAX_FILE_BYTES)?;
        let file = path.display().to_string();
        let mut reader = Reader::new(&file, &bytes)?;
        let parameters = reader.read_layers("", network, names, true)?;
        reader.check_all_read(network, names, None)?;
        Self::new(network.clone(), parameters)
    }

    fn read(file: &str, bytes: &[u8], custom_functions: &CustomFunctions<'_>) -> Result<Self> {
        let mut reader = Reader::new(file, bytes)?;
        let (model, _) = Self::read_with::<serde::de::IgnoredAny>(file, &mut reader, custom_functions)?;
        reader.check_all_read(&model.network, &TensorNames::sequential(&model.network), Some(TRAINING_PREFIX))?;
        Ok(model)
    }

    /// The model of a file, and what a checkpoint's says of its training.
    pub(crate) fn read_with<T: serde::de::DeserializeOwned>(
        file: &str,
        reader: &mut Reader<'_>,
        custom_functions: &CustomFunctions<'_>,
    ) -> Result<(Self, Option<T>)> {
        let Some(FormatVersion { format }) = reader.record()? else {
            let expected = "what gradus writes; weights alone are read for a network by Model::load_weights";
            return Err(crate::util::files::format_error(&file, "metadata", expected, "none of it"));
        };
        if format > FORMAT {
            let expected = format_args!("format {FORMAT} at most; a newer gradus may read it");
            return Err(crate::util::files::format_error(&file, "metadata", expected, format_args!("format {format}")));
        }
        let Some(record) = reader.record::<ModelRecord<T>>()? else { unreachable!("it was there") };
        let network = record.network.to_network(custom_functions)?;
        let parameters = reader.read_layers("", &network, &TensorNames::sequential(&network), true)?;
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

    fn write<'a>(&'a self, writer: &mut Writer<'a>, names: &TensorNames) -> Result<()> {
        writer.add_layers("", &self.network, names, &self.parameters)?;
        writer.add_counters(&self.network, names);
        Ok(())
    }

    /// Refuses parts that do not fit together.
    pub(crate) fn check(&self) -> Result<()> {
        self.network.check()?;
        self.network.check_parameters(&self.parameters)?;
        if let Some(scale) = self.byte_scale.filter(|scale| !scale.is_finite()) {
            let (expected, got) = ("a finite number".to_owned(), scale.to_string());
            return Err(Error::InvalidSetting { name: "byte scale of a model", expected, got });
        }
        let columns = self.scaler.as_ref().map(Scaler::columns);
        columns.map_or(Ok(()), |columns| check_len("columns of a scaler", self.network.inputs(), columns))
    }
}
