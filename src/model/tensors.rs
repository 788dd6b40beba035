//! safetensors files: named tensors and one metadata text.
//!
//! All metadata is one JSON text under one key. With several keys, safetensors would write them in a different order in
//! every run, but the same content must give the same bytes.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Display,
    fs::File,
    io::Read,
    path::Path,
};

use bytemuck::AnyBitPattern;
use half::f16;
use safetensors::{
    Dtype, SafeTensorError, SafeTensors,
    tensor::{Metadata, TensorInfo, TensorView},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    data::formats::{signature, signature::MAX_SAFETENSORS_HEADER_BYTES},
    error::{Error, Result, first_non_finite, try_with_capacity},
    model::tensor_names::TensorNames,
    nn::{network::Network, parameters::LayerParameters},
    util::files::{self, format_error, io_error, join_names},
};

/// The key of the metadata text of gradus.
const METADATA_KEY: &str = "gradus";

/// A tensor to write.
struct TensorBytes<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

/// A writer that collects the tensors of a file.
#[derive(Default)]
pub(crate) struct Writer<'a> {
    tensors: Vec<(String, TensorBytes<'a>)>,
}

impl<'a> Writer<'a> {
    /// Adds one vector of parameter layout, for example the parameters. `prefix` starts the name of each tensor.
    /// Running statistics are added if `layers` has them.
    pub(crate) fn add_layers(
        &mut self,
        prefix: &str,
        network: &Network,
        names: &TensorNames,
        layers: &'a [LayerParameters],
    ) -> Result<()> {
        names.check(network)?;
        for tensor in names.tensors(network) {
            let values = layers[tensor.layer].tensor(tensor.kind);
            if !tensor.kind.is_trained() && values.is_empty() {
                continue;
            }
            let bytes = bytemuck::cast_slice(values);
            self.tensors.push((
                prefix.to_owned() + &tensor.name,
                TensorBytes { dtype: Dtype::F32, shape: tensor.shape, bytes },
            ));
        }
        Ok(())
    }

    /// Adds a tensor of bytes.
    pub(crate) fn add_bytes(&mut self, name: &str, bytes: &'a [u8]) {
        self.tensors.push((name.to_owned(), TensorBytes { dtype: Dtype::U8, shape: vec![bytes.len()], bytes }));
    }

    /// Adds the batch counters that PyTorch expects beside the running statistics of batch normalization. They are 0.
    pub(crate) fn add_counters(&mut self, network: &Network, names: &TensorNames) {
        let zero = || TensorBytes { dtype: Dtype::I64, shape: Vec::new(), bytes: &[0; 8] };
        self.tensors.extend(names.batch_counters(network).into_iter().map(|name| (name, zero())));
    }

    /// Returns the bytes of the file. `record` becomes its metadata.
    pub(crate) fn into_bytes(mut self, record: Option<&impl Serialize>) -> Result<Vec<u8>> {
        let internal = |reason: String| Error::Internal { context: "safetensors file".into(), reason };
        let text = record.map(serde_json::to_string).transpose().map_err(|error| internal(error.to_string()))?;
        let metadata = text.map(|text| HashMap::from([(METADATA_KEY.to_owned(), text)]));
        // The order of `safetensors::serialize`: the widest types first, then by name. That function is not used
        // because it aborts the process if it cannot allocate the file.
        self.tensors.sort_by(|(name_a, a), (name_b, b)| b.dtype.cmp(&a.dtype).then_with(|| name_a.cmp(name_b)));
        let mut end = 0;
        let mut infos = Vec::with_capacity(self.tensors.len());
        for (name, tensor) in &self.tensors {
            let start = end;
            end += tensor.bytes.len();
            let (dtype, shape) = (tensor.dtype, tensor.shape.clone());
            infos.push((name.clone(), TensorInfo { dtype, shape, data_offsets: (start, end) }));
        }
        let header = Metadata::new(metadata, infos).map_err(|error| internal(error.to_string()))?;
        let mut header = serde_json::to_vec(&header).map_err(|error| internal(error.to_string()))?;
        header.resize(header.len().next_multiple_of(8), b' ');
        if header.len() as u64 > MAX_SAFETENSORS_HEADER_BYTES {
            let expected = format!("at most {MAX_SAFETENSORS_HEADER_BYTES} bytes in the header of the file");
            let got = format!("{}; shorten Model::metadata", header.len());
            return Err(Error::InvalidSetting { name: "metadata", expected, got });
        }
        let mut content = try_with_capacity(8 + header.len() + end, "the content of a safetensors file")?;
        content.extend((header.len() as u64).to_le_bytes());
        content.extend(header);
        for (_, tensor) in &self.tensors {
            content.extend_from_slice(tensor.bytes);
        }
        Ok(content)
    }
}

/// Reads the bytes of a safetensors file of at most `max` bytes.
///
/// It checks the format and the length of the header first, so that a wrong file is not read into memory.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>> {
    let open = || -> std::io::Result<(Vec<u8>, u64)> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut head = Vec::new();
        file.take(signature::HEAD_BYTES as u64).read_to_end(&mut head)?;
        Ok((head, bytes))
    };
    let (head, bytes) = open().map_err(|error| io_error(path, &error))?;
    check_format(&path.display(), &head)?;
    // A file of fewer than eight bytes has no length.
    let header_bytes = head.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    if !(2..=MAX_SAFETENSORS_HEADER_BYTES.min(bytes)).contains(&header_bytes) {
        let expected =
            format_args!("a safetensors header of 2 to {MAX_SAFETENSORS_HEADER_BYTES} bytes within the file");
        return Err(format_error(&path.display(), "byte 0", expected, header_bytes));
    }
    files::read(path, max)
}

/// Returns an error with the name of the format if the first bytes are those of another format.
fn check_format(file: &dyn Display, head: &[u8]) -> Result<()> {
    match signature::recognize(&head[..head.len().min(signature::HEAD_BYTES)]) {
        Some(format) if !format.starts_with(signature::SAFETENSORS_NAME) => {
            Err(format_error(file, "byte 0", signature::SAFETENSORS_NAME, format))
        }
        _ => Ok(()),
    }
}

/// A reader of a file in memory.
pub(crate) struct Reader<'a> {
    file: &'a str,
    tensors: SafeTensors<'a>,
    metadata: Option<String>,
    /// The names of the tensors that were read.
    read_names: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// Parses the header. `file` is the name for error messages.
    pub(crate) fn new(file: &'a str, bytes: &'a [u8]) -> Result<Self> {
        check_format(&file, bytes)?;
        let invalid = |error: SafeTensorError| {
            let location = match &error {
                SafeTensorError::InvalidOffset(name) => format!("tensor {name}"),
                SafeTensorError::MetadataIncompleteBuffer => format!("end, byte {}", bytes.len()),
                _ => "header".to_owned(),
            };
            format_error(&file, location, "a valid safetensors file", format_args!("an error: {error}"))
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(invalid)?;
        let metadata = header.metadata().as_ref().and_then(|entries| entries.get(METADATA_KEY)).cloned();
        let tensors = SafeTensors::deserialize(bytes).map_err(invalid)?;
        Ok(Self { file, tensors, metadata, read_names: BTreeSet::new() })
    }

    /// Parses the metadata of gradus, if the file has it.
    pub(crate) fn record<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let Some(text) = &self.metadata else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|error| {
            let got = format_args!("an error: {error}");
            format_error(&self.file, format_args!("metadata {METADATA_KEY}"), "valid gradus metadata", got)
        })
    }

    /// Reads the parameters of a network with their running statistics. `prefix` starts the name of each tensor. All
    /// values must be finite.
    pub(crate) fn read_parameters(
        &mut self,
        prefix: &str,
        network: &Network,
        names: &TensorNames,
    ) -> Result<Vec<LayerParameters>> {
        self.read_layers(prefix, network, names, true)
    }

    /// Reads one vector of the optimizer state, without running statistics. `prefix` starts the name of each tensor.
    ///
    /// The values may be NaN or infinite: a sum of squares can overflow in a training run that still works.
    pub(crate) fn read_state(
        &mut self,
        prefix: &str,
        network: &Network,
        names: &TensorNames,
    ) -> Result<Vec<LayerParameters>> {
        self.read_layers(prefix, network, names, false)
    }

    fn read_layers(
        &mut self,
        prefix: &str,
        network: &Network,
        names: &TensorNames,
        are_parameters: bool,
    ) -> Result<Vec<LayerParameters>> {
        names.check(network)?;
        let mut layers = vec![LayerParameters::default(); network.layers().len()];
        for tensor in names.tensors(network) {
            if are_parameters || tensor.kind.is_trained() {
                let name = prefix.to_owned() + &tensor.name;
                *layers[tensor.layer].tensor_mut(tensor.kind) =
                    self.read_values(name, &tensor.shape, are_parameters)?;
            }
        }
        Ok(layers)
    }

    /// Reads a tensor of [`Writer::add_bytes`].
    pub(crate) fn read_bytes(&mut self, name: &str) -> Result<&'a [u8]> {
        let tensor = self.tensor(name)?;
        if tensor.dtype() != Dtype::U8 {
            return Err(format_error(&self.file, format_args!("tensor {name}"), "the type U8", tensor.dtype()));
        }
        self.read_names.insert(name.to_owned());
        Ok(tensor.data())
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'a>> {
        self.tensors.tensor(name).map_err(|_| {
            let mut names = self.tensors.names();
            names.sort_unstable();
            format_error(&self.file, "tensors", format_args!("a tensor {name}"), join_names(&names))
        })
    }

    fn read_values(&mut self, name: String, shape: &[usize], must_be_finite: bool) -> Result<Vec<f32>> {
        let (location, tensor) = (format!("tensor {name}"), self.tensor(&name)?);
        if tensor.shape() != shape {
            let (expected, got) = (format!("the shape {shape:?}"), format!("{:?}", tensor.shape()));
            return Err(format_error(&self.file, location, expected, got));
        }
        let values = match tensor.dtype() {
            Dtype::F32 => convert_values(tensor.data(), &location, |value: f32| value)?,
            Dtype::F64 => convert_values(tensor.data(), &location, |value: f64| value as f32)?,
            Dtype::F16 => convert_values(tensor.data(), &location, |bits: u16| f16::from_bits(bits).to_f32())?,
            // A bfloat16 is the upper half of an f32.
            Dtype::BF16 => convert_values(tensor.data(), &location, |bits: u16| f32::from_bits(u32::from(bits) << 16))?,
            other => return Err(format_error(&self.file, location, "the type F32, F64, F16 or BF16", other)),
        };
        if let Some(index) = first_non_finite(&values).filter(|_| must_be_finite) {
            let got = format_args!("{} at index {index}", values[index]);
            return Err(format_error(&self.file, location, "finite numbers", got));
        }
        self.read_names.insert(name);
        Ok(values)
    }

    /// Returns an error if the file has a tensor that was not read. The batch counters of PyTorch and tensors whose
    /// names start with `ignored_prefix` are allowed.
    pub(crate) fn check_all_read(
        &self,
        network: &Network,
        names: &TensorNames,
        ignored_prefix: Option<&str>,
    ) -> Result<()> {
        let counters = names.batch_counters(network);
        let is_known = |name: &&str| {
            self.read_names.contains(*name)
                || counters.iter().any(|counter| counter == name)
                || ignored_prefix.is_some_and(|prefix| name.starts_with(prefix))
        };
        match self.tensors.names().into_iter().filter(|name| !is_known(name)).min() {
            None => Ok(()),
            Some(name) => {
                let got = format_args!("{name}; check the TensorNames");
                Err(format_error(&self.file, "tensors", "only tensors of the network", got))
            }
        }
    }
}

/// Converts the bytes of a tensor to f32 values. `name` is the name for error messages.
fn convert_values<T: AnyBitPattern>(bytes: &[u8], name: &str, convert: impl Fn(T) -> f32) -> Result<Vec<f32>> {
    let mut values = try_with_capacity(bytes.len() / size_of::<T>(), name)?;
    values.extend(bytes.chunks_exact(size_of::<T>()).map(|value| convert(bytemuck::pod_read_unaligned(value))));
    Ok(values)
}
