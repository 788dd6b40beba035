//! The data set on the device: uploaded once, in several shards if it exceeds the size of a binding. The module
//! [`stream`](crate::engine::gpu::data::stream) is for data sets that the device does not hold.

use rayon::prelude::*;

use crate::{
    data::{
        dataset::{Dataset, Targets},
        features::Features,
        file_rows::FileRows,
        scaling::scaler::Scaler,
        subset::SubsetParams,
    },
    engine::gpu::{
        device::{
            Gpu, MAX_UPLOAD_BYTES,
            bindings::{PAIR_BYTES, SCALED_WINDOW_BINDINGS, WINDOW_BINDINGS},
            pipeline::BindingLayout,
        },
        layout::{arenas::Arenas, buffers::Buffers},
    },
    error::{Result, check_limit},
    nn::layout::pad_to_vec4,
};

/// The minimum number of bytes that several threads write in parallel.
const MIN_PARALLEL_BYTES: usize = 1 << 18;

/// The part of a data set in one pair of buffers. A clone refers to the same buffers.
#[derive(Clone)]
pub(crate) struct Shard {
    pub(crate) features: wgpu::Buffer,
    pub(crate) targets: wgpu::Buffer,
    /// The struct `Shard` of `shaders/data/window.wgsl`: the first row and the number of rows.
    pub(crate) span: wgpu::Buffer,
}

/// A data set on the device. A clone refers to the same buffers.
#[derive(Clone)]
pub(crate) struct DeviceDataset {
    pub(crate) data: Dataset,
    has_sample_weights: bool,
    pub(crate) shards: Vec<Shard>,
}

/// Returns the bytes of a row of features and of a row of targets, in the formats of `shaders/features/` and
/// `shaders/targets/`.
pub(crate) fn row_bytes(data: &Dataset) -> [usize; 2] {
    let feature_bytes = if data.features_without_origin().byte_scale().is_some() { 1 } else { 4 };
    let target_bytes = match data.targets() {
        Targets::Values(values) => 4 * pad_to_vec4(values.len() / data.rows()),
        Targets::Classes(_) => 4,
    };
    [feature_bytes * pad_to_vec4(data.inputs()), target_bytes]
}

/// Returns the bytes of the sample weights of `rows` rows, padded to vec4s. They follow the targets of all rows.
pub(crate) fn sample_weight_bytes(rows: usize, has_sample_weights: bool) -> usize {
    if has_sample_weights { (4 * rows).next_multiple_of(16) } else { 0 }
}

/// Returns the bytes of `rows` rows, with their sample weights.
pub(crate) fn rows_bytes(data: &Dataset, rows: usize, has_sample_weights: bool) -> u64 {
    let bytes_per_row: usize = row_bytes(data).iter().sum();
    (rows * bytes_per_row + sample_weight_bytes(rows, has_sample_weights)) as u64
}

/// Returns the number of rows of the data set that fit into a shard.
///
/// # Errors
/// [`Error::DeviceLimit`](crate::Error::DeviceLimit) if one row exceeds the binding limit of the device.
pub(crate) fn rows_per_shard(gpu: &Gpu, data: &Dataset, has_sample_weights: bool) -> Result<usize> {
    let [feature_bytes, target_bytes] = row_bytes(data);
    let max_bytes = gpu.max_binding_bytes();
    // The sample weights of a shard are padded to a vec4, by at most 12 bytes.
    let (weight_bytes, padding) = if has_sample_weights { (4, 12) } else { (0, 0) };
    let bytes_per_row = feature_bytes.max(target_bytes + weight_bytes);
    let required = (bytes_per_row + padding) as u64;
    check_limit("features and targets of one row", "max_storage_buffer_binding_size", required, max_bytes as u64)?;
    Ok(((max_bytes - padding) / bytes_per_row).min(data.rows()))
}

impl DeviceDataset {
    /// Uploads a data set, with its sample weights if `has_sample_weights` is set.
    pub(crate) async fn new(gpu: &Gpu, data: &Dataset, has_sample_weights: bool) -> Result<Self> {
        let max_rows = rows_per_shard(gpu, data, has_sample_weights)?;
        let mut shards = Vec::new();
        for first in (0..data.rows()).step_by(max_rows) {
            let rows = max_rows.min(data.rows() - first);
            let shard = Shard::for_dataset(gpu, data, (first, rows), has_sample_weights).await?;
            shard.upload_rows(gpu, data, rows, rows, has_sample_weights, |index| Some(first + index));
            shards.push(shard);
        }
        data.check_read()?;
        Ok(Self { data: data.clone(), has_sample_weights, shards })
    }

    /// Returns whether this is `data` on the device, with sample weights if and only if `has_sample_weights` is set.
    pub(crate) fn is_for(&self, data: &Dataset, has_sample_weights: bool) -> bool {
        self.data.is_same(data) && self.has_sample_weights == has_sample_weights
    }
}

/// Binds the buffers of the window kernels: one bind group per shard. With a scaler, its offsets and scales are
/// uploaded and bound too.
pub(crate) async fn bind_window(
    gpu: &Gpu,
    arenas: &Arenas,
    buffers: &Buffers,
    shards: &[Shard],
    scaler: Option<&Scaler>,
) -> Result<(BindingLayout, Vec<wgpu::BindGroup>)> {
    let scaling = match scaler {
        Some(scaler) => Some(upload_scaler(gpu, scaler, arenas).await?),
        None => None,
    };
    let bindings = if scaling.is_some() { SCALED_WINDOW_BINDINGS } else { WINDOW_BINDINGS };
    let binding_layout = BindingLayout::new(gpu, "window", bindings).await?;
    let Buffers { cursors, step_table, rows, activations, metrics, .. } = buffers;
    let mut bind_groups = Vec::new();
    for shard in shards {
        // The order of the bindings in `shaders/data/window.wgsl`.
        let window = [cursors, step_table, &shard.span, &shard.features, &shard.targets, rows, activations, metrics];
        let bound: Vec<_> = window.into_iter().chain(&scaling).collect();
        bind_groups.push(binding_layout.bind(gpu, "window", &bound).await?);
    }
    Ok((binding_layout, bind_groups))
}

/// Uploads the subset of each member, in the format of `shaders/data/subset.wgsl`.
pub(crate) async fn upload_subsets(gpu: &Gpu, subsets: &[SubsetParams]) -> Result<wgpu::Buffer> {
    let bytes: &[u8] = bytemuck::cast_slice(subsets);
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.buffer("subsets", bytes.len() as u64, usage).await?;
    gpu.upload(&buffer, 0, bytes);
    Ok(buffer)
}

/// Uploads a scaler, in the format of `shaders/data/scaling.wgsl`: the offsets of all columns, then their scales.
async fn upload_scaler(gpu: &Gpu, scaler: &Scaler, arenas: &Arenas) -> Result<wgpu::Buffer> {
    let stride = 4 * arenas.input_stride();
    let mut values = vec![0.0; 2 * stride];
    values[..scaler.columns()].copy_from_slice(scaler.offset());
    values[stride..stride + scaler.columns()].copy_from_slice(scaler.scale());
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.buffer("scaler", 4 * values.len() as u64, usage).await?;
    gpu.upload(&buffer, 0, bytemuck::cast_slice(&values));
    Ok(buffer)
}

impl Shard {
    /// Creates a shard with buffers of `feature_bytes` and `target_bytes` bytes. `span` is its first row and its number
    /// of rows.
    pub(crate) async fn new(gpu: &Gpu, [feature_bytes, target_bytes]: [usize; 2], span: [u32; 2]) -> Result<Self> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let shard = Self {
            features: gpu.buffer("features", feature_bytes as u64, usage).await?,
            targets: gpu.buffer("targets", target_bytes as u64, usage).await?,
            span: gpu.buffer("shard span", PAIR_BYTES, uniform).await?,
        };
        gpu.upload(&shard.span, 0, bytemuck::cast_slice(&span));
        Ok(shard)
    }

    /// Creates a shard with room for `rows` rows of a data set. Kernels address its rows by `first..first + rows`.
    pub(crate) async fn for_dataset(
        gpu: &Gpu,
        data: &Dataset,
        (first, rows): (usize, usize),
        has_sample_weights: bool,
    ) -> Result<Self> {
        let [feature_bytes, target_bytes] = row_bytes(data).map(|bytes| rows * bytes);
        let bytes = [feature_bytes, target_bytes + sample_weight_bytes(rows, has_sample_weights)];
        Self::new(gpu, bytes, [first as u32, rows as u32]).await
    }

    /// Uploads rows of the data set to the first `count` slots of this shard, which has room for `capacity` rows.
    ///
    /// `row` maps a slot to its row in the data set. A slot without a row gets unspecified values.
    pub(crate) fn upload_rows(
        &self,
        gpu: &Gpu,
        data: &Dataset,
        capacity: usize,
        count: usize,
        has_sample_weights: bool,
        row: impl Fn(usize) -> Option<usize> + Sync,
    ) {
        let [feature_bytes, target_bytes] = row_bytes(data);
        let row = &row;
        let write_each = |bytes_per_row, write: fn(&Dataset, usize, &mut [u8])| {
            let write_slot = move |slot, to: &mut [u8]| {
                if let Some(row) = row(slot) {
                    write(data, row, to);
                }
            };
            move |first: usize, piece: &mut [u8]| write_rows(first, piece, bytes_per_row, write_slot)
        };
        upload_parallel(gpu, (&self.features, 0), count, feature_bytes, |first, piece| {
            match data.features_without_origin() {
                Features::File(file) => {
                    let slots = piece.chunks_exact_mut(feature_bytes).zip(first..);
                    write_from_file(file, slots.filter_map(|(to, slot)| Some((row(slot)?, to))));
                }
                Features::F32(_) | Features::F64(_) | Features::U8 { .. } => {
                    write_each(feature_bytes, write_features)(first, piece)
                }
            }
        });
        upload_parallel(gpu, (&self.targets, 0), count, target_bytes, write_each(target_bytes, write_target));
        if has_sample_weights {
            let weights = (&self.targets, capacity * target_bytes);
            upload_parallel(gpu, weights, count, 4, write_each(4, write_sample_weight));
        }
    }
}

/// Uploads `count` rows of `bytes_per_row` bytes, a multiple of 4, to the byte offset `start` of a buffer.
///
/// `fill` writes a piece of a few megabytes, given the index of its first row. The host thus holds no second copy of
/// all rows.
fn upload_parallel(
    gpu: &Gpu,
    (buffer, start): (&wgpu::Buffer, usize),
    count: usize,
    bytes_per_row: usize,
    fill: impl Fn(usize, &mut [u8]),
) {
    let rows_per_piece = (MAX_UPLOAD_BYTES / bytes_per_row).max(1);
    // A vector of u32 aligns the values in it.
    let mut piece: Vec<u32> = Vec::new();
    for first in (0..count).step_by(rows_per_piece) {
        piece.clear();
        piece.resize(rows_per_piece.min(count - first) * bytes_per_row / 4, 0);
        let piece = bytemuck::cast_slice_mut(&mut piece);
        fill(first, piece);
        gpu.upload(buffer, (start + first * bytes_per_row) as u64, piece);
        gpu.submit(gpu.encoder()); // Without a submission wgpu would keep the staging memory of all pieces.
    }
}

/// Writes the rows of a piece, `bytes_per_row` bytes each, one by one. `first` is the index of its first row.
fn write_rows(first: usize, piece: &mut [u8], bytes_per_row: usize, write: impl Fn(usize, &mut [u8]) + Sync) {
    if piece.len() < MIN_PARALLEL_BYTES {
        piece.chunks_exact_mut(bytes_per_row).enumerate().for_each(|(i, to)| write(first + i, to));
    } else {
        piece.par_chunks_exact_mut(bytes_per_row).enumerate().for_each(|(i, to)| write(first + i, to));
    }
}

/// Writes rows of a file in the format of the device: bytes, or f32. Each row comes with its destination.
fn write_from_file<'a>(file: &FileRows, rows: impl Iterator<Item = (usize, &'a mut [u8])>) {
    let columns = file.columns();
    if file.byte_scale().is_some() {
        file.write_all_bytes(rows.map(|(row, to)| (row, &mut to[..columns])));
    } else {
        file.write_all(rows.map(|(row, to)| (row, bytemuck::cast_slice_mut(&mut to[..4 * columns]))));
    }
}

fn write_features(data: &Dataset, row: usize, to: &mut [u8]) {
    data.features_without_origin().write_bytes(row, data.inputs(), to);
}

fn write_target(data: &Dataset, row: usize, to: &mut [u8]) {
    match data.targets() {
        Targets::Values(values) => {
            let n = values.len() / data.rows();
            copy_bytes(to, &values[row * n..(row + 1) * n]);
        }
        Targets::Classes(classes) => copy_bytes(to, &classes[row..=row]),
    }
}

fn write_sample_weight(data: &Dataset, row: usize, to: &mut [u8]) {
    copy_bytes(to, &[data.sample_weight(row)]);
}

/// Copies the bytes of `values` to the start of `to`.
fn copy_bytes<T: bytemuck::NoUninit>(to: &mut [u8], values: &[T]) {
    let bytes = bytemuck::cast_slice(values);
    to[..bytes.len()].copy_from_slice(bytes);
}
