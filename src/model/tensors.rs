//! safetensors: tensors by their names, and one text about them all. One key holds it, since the order of several would
//! differ from one run to the next, and the same content is to be the same bytes.

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
    data::formats::{signature, signature::MAX_SAFETENSORS_HEADER_BYTES as LONGEST},
    error::{Error, Result, first_non_finite, try_with_capacity},
    model::tensor_names::TensorNames,
    nn::{layout::LayerParameters, network::Network},
    util::files::{format_error, join_names},
};

/// The key of what a file says of its tensors.
const METADATA_KEY: &str = "gradus";

/// A tensor on the way into a file.
struct TensorBytes<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

/// What is gathered for a file.
#[derive(Default)]
pub(crate) struct Writer<'a> {
    tensors: Vec<(String, TensorBytes<'a>)>,
}

impl<'a> Writer<'a> {
    /// Adds the parameters of a network, each tensor's name behind a prefix; running statistics where there are some.
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

    /// Adds bytes.
    pub(crate) fn add_bytes(&mut self, name: &str, bytes: &'a [u8]) {
        self.tensors.push((name.to_owned(), TensorBytes { dtype: Dtype::U8, shape: vec![bytes.len()], bytes }));
    }

    /// Adds the counters that PyTorch asks for beside a batch norm's statistics: 0, as no batch was seen there.
    pub(crate) fn add_counters(&mut self, network: &Network, names: &TensorNames) {
        let zero = || TensorBytes { dtype: Dtype::I64, shape: Vec::new(), bytes: &[0; 8] };
        self.tensors.extend(names.batch_counters(network).into_iter().map(|name| (name, zero())));
    }

    /// The bytes of the file; `record` is what it says of the tensors.
    pub(crate) fn into_bytes(mut self, record: Option<&impl Serialize>) -> Result<Vec<u8>> {
        let refused = |why: String| Error::Internal { context: "a safetensors file".into(), reason: why };
        let text = record.map(serde_json::to_string).transpose().map_err(|error| refused(error.to_string()))?;
        let about = text.map(|text| HashMap::from([(METADATA_KEY.to_owned(), text)]));
        // The order of `safetensors::serialize`, which aborts where it finds no memory: the widest types first, then by name.
        self.tensors.sort_by(|(one, a), (other, b)| b.dtype.cmp(&a.dtype).then_with(|| one.cmp(other)));
        let mut end = 0;
        let place = |(name, values): &(String, TensorBytes<'_>)| {
            let begin = end;
            end += values.bytes.len();
            let (dtype, shape) = (values.dtype, values.shape.clone());
            (name.clone(), TensorInfo { dtype, shape, data_offsets: (begin, end) })
        };
        let places = self.tensors.iter().map(place).collect();
        let places = Metadata::new(about, places).map_err(|error| refused(error.to_string()))?;
        let mut header = serde_json::to_vec(&places).map_err(|error| refused(error.to_string()))?;
        header.resize(header.len().next_multiple_of(8), b' ');
        if header.len() as u64 > LONGEST {
            let (expected, got) = (format!("at most {LONGEST} bytes, of notes above all"), header.len().to_string());
            return Err(Error::InvalidSetting { name: "header of a safetensors file", expected, got });
        }
        let mut content = try_with_capacity(8 + header.len() + end, "the content of a safetensors file")?;
        content.extend((header.len() as u64).to_le_bytes());
        content.extend(header);
        self.tensors.iter().for_each(|(_, values)| content.extend_from_slice(values.bytes));
        Ok(content)
    }
}

/// The bytes of a safetensors file, once its first eight have said how long its header is.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>> {
    let open = || -> std::io::Result<(Vec<u8>, u64)> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut head = Vec::new();
        file.take(signature::HEAD_BYTES as u64).read_to_end(&mut head)?;
        Ok((head, bytes))
    };
    let (head, bytes) = open().map_err(|error| crate::util::files::io_error(path, &error))?;
    check_format(&path.display(), &head)?;
    // A shorter file is refused when all of it is read.
    let header = head.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    if !(2..=LONGEST.min(bytes)).contains(&header) {
        let expected = format_args!("a header of 2 to {LONGEST} bytes within the file, as safetensors has it");
        return Err(format_error(&path.display(), "byte 0", expected, header));
    }
    crate::util::files::read(path, max)
}

/// Refuses the file of another format by its name.
fn check_format(file: &dyn Display, head: &[u8]) -> Result<()> {
    match signature::recognize(&head[..head.len().min(signature::HEAD_BYTES)]) {
        Some(format) if !format.starts_with(signature::SAFETENSORS_NAME) => {
            Err(format_error(file, "byte 0", signature::SAFETENSORS_NAME, format))
        }
        _ => Ok(()),
    }
}

/// A file that is read.
pub(crate) struct Reader<'a> {
    file: &'a str,
    tensors: SafeTensors<'a>,
    metadata: Option<String>,
    /// The tensors that somebody has asked for.
    read_names: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// Reads bytes; `file` is what they are called in errors.
    pub(crate) fn new(file: &'a str, bytes: &'a [u8]) -> Result<Self> {
        check_format(&file, bytes)?;
        let wrong = |error: SafeTensorError| {
            let place = match &error {
                SafeTensorError::InvalidOffset(name) => format!("tensor {name}"),
                SafeTensorError::MetadataIncompleteBuffer => format!("end, byte {}", bytes.len()),
                _ => "header".to_owned(),
            };
            crate::util::files::format_error(&file, place, "a safetensors file", error)
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(wrong)?;
        let about = metadata.metadata().as_ref().and_then(|about| about.get(METADATA_KEY)).cloned();
        let tensors = SafeTensors::deserialize(bytes).map_err(wrong)?;
        Ok(Self { file, tensors, metadata: about, read_names: BTreeSet::new() })
    }

    /// What the file says of its tensors, if gradus has written it.
    pub(crate) fn record<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let parse = |text: &String| {
            let wrong = |error: serde_json::Error| {
                crate::util::files::format_error(
                    &self.file,
                    format_args!("metadata {METADATA_KEY}"),
                    "what gradus writes",
                    error,
                )
            };
            serde_json::from_str(text).map_err(wrong)
        };
        self.metadata.as_ref().map(parse).transpose()
    }

    /// What there is for each parameter of a network, in tensors whose names stand behind a prefix: the parameters themselves
    /// with their running statistics, or what an optimizer keeps, which may be any number or none, such as the root of an infinite
    /// sum of squares.
    pub(crate) fn read_layers(
        &mut self,
        prefix: &str,
        network: &Network,
        names: &TensorNames,
        are_parameters: bool,
    ) -> Result<Vec<LayerParameters>> {
        names.check(network)?;
        let mut layers = vec![LayerParameters::default(); network.layers().len()];
        for tensor in names.tensors(network).iter().filter(|tensor| are_parameters || tensor.kind.is_trained()) {
            let name = prefix.to_owned() + &tensor.name;
            *layers[tensor.layer].tensor_mut(tensor.kind) = self.read_values(name, &tensor.shape, are_parameters)?;
        }
        Ok(layers)
    }

    /// Bytes that were added by [`ColumnWriter::add_bytes`].
    pub(crate) fn read_bytes(&mut self, name: &str) -> Result<&'a [u8]> {
        let tensor = self.tensor(name)?;
        if tensor.dtype() != Dtype::U8 {
            return Err(format_error(&self.file, format_args!("tensor {name}"), "U8", tensor.dtype()));
        }
        self.read_names.insert(name.to_owned());
        Ok(tensor.data())
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'a>> {
        self.tensors.tensor(name).map_err(|_| {
            let mut there = self.tensors.names();
            there.sort_unstable();
            format_error(&self.file, format_args!("tensor {name}"), "to be there", join_names(&there))
        })
    }

    fn read_values(&mut self, name: String, shape: &[usize], are_finite: bool) -> Result<Vec<f32>> {
        let (place, tensor) = (format!("tensor {name}"), self.tensor(&name)?);
        if tensor.shape() != shape {
            return Err(format_error(
                &self.file,
                place,
                format_args!("the shape {shape:?}"),
                format_args!("{:?}", tensor.shape()),
            ));
        }
        let values = match tensor.dtype() {
            Dtype::F32 => convert_values(tensor.data(), &place, |value: f32| value)?,
            Dtype::F64 => convert_values(tensor.data(), &place, |value: f64| value as f32)?,
            Dtype::F16 => convert_values(tensor.data(), &place, |half: u16| f16::from_bits(half).to_f32())?,
            // The upper half of an f32.
            Dtype::BF16 => convert_values(tensor.data(), &place, |half: u16| f32::from_bits(u32::from(half) << 16))?,
            other => return Err(format_error(&self.file, place, "F32, F64, F16 or BF16", other)),
        };
        if let Some(at) = first_non_finite(&values).filter(|_| are_finite) {
            return Err(format_error(&self.file, place, "finite numbers", format_args!("{} at {at}", values[at])));
        }
        self.read_names.insert(name);
        Ok(values)
    }

    /// Refuses a file with tensors that nobody has asked for, but PyTorch's counters and those behind `spared`.
    pub(crate) fn check_all_read(&self, network: &Network, names: &TensorNames, spared: Option<&str>) -> Result<()> {
        let counters = names.batch_counters(network);
        let is_known = |name: &&str| {
            self.read_names.contains(*name)
                || counters.iter().any(|counter| counter == name)
                || spared.is_some_and(|prefix| name.starts_with(prefix))
        };
        match self.tensors.names().into_iter().filter(|name| !is_known(name)).min() {
            None => Ok(()),
            Some(name) => {
                let place = format!("tensor {name}");
                Err(format_error(&self.file, place, "none that the network has no place for", "it"))
            }
        }
    }
}

/// The values that lie in bytes, each as an f32.
fn convert_values<T: AnyBitPattern>(bytes: &[u8], what: &str, number: impl Fn(T) -> f32) -> Result<Vec<f32>> {
    let mut into = try_with_capacity(bytes.len() / size_of::<T>(), what)?;
    into.extend(bytes.chunks_exact(size_of::<T>()).map(|value| number(bytemuck::pod_read_unaligned(value))));
    Ok(into)
}
