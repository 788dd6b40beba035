//! The data set on the device: uploaded once, in shards where one binding cannot hold it.
//! [`crate::engine::gpu::data::stream`] is for those that the device is not to hold.

use rayon::prelude::*;

use crate::{
    data::{
        dataset::{Dataset, Targets},
        features::Features,
        file_rows::FileRows,
        scaling::Scaler,
        subset::SubsetParams,
    },
    engine::gpu::{
        device::{
            Gpu,
            bindings::{PAIR_BYTES, SCALED_WINDOW_BINDINGS, WINDOW_BINDINGS},
            pipeline::BindingLayout,
        },
        layout::{arenas::Arenas, buffers::Buffers},
    },
    error::{Result, check_limit},
    nn::layout::pad_to_vec4,
};

/// From so many bytes on they are written by several threads.
const MIN_PARALLEL_BYTES: usize = 1 << 18;

/// Rows of the data set that lie in one pair of buffers. A clone is the same buffers.
#[derive(Clone)]
pub(crate) struct Shard {
    pub(crate) features: wgpu::Buffer,
    pub(crate) targets: wgpu::Buffer,
    /// `Shard` in `shaders/data/window.wgsl`: the first row and the number of rows.
    pub(crate) span: wgpu::Buffer,
}

/// A data set on the device. A clone is the same buffers.
#[derive(Clone)]
pub(crate) struct DeviceDataset {
    pub(crate) data: Dataset,
    has_sample_weights: bool,
    pub(crate) shards: Vec<Shard>,
}

/// Bytes of a row of features and of a row of answers, as `shaders/features/` and `shaders/answers/` read them.
pub(crate) fn row_bytes(data: &Dataset) -> [usize; 2] {
    let feature = if data.features_without_origin().byte_scale().is_some() { 1 } else { 4 };
    let answers = match data.targets() {
        Targets::Values(values) => 4 * pad_to_vec4(values.len() / data.rows()),
        Targets::Classes(_) => 4,
    };
    [feature * pad_to_vec4(data.inputs()), answers]
}

/// Bytes of the weights of so many rows, which lie behind all of their answers: whole vec4s.
pub(crate) fn sample_weight_bytes(rows: usize, has_sample_weights: bool) -> usize {
    if has_sample_weights { (4 * rows).next_multiple_of(16) } else { 0 }
}

/// Bytes of so many rows.
pub(crate) fn rows_bytes(data: &Dataset, rows: usize, has_sample_weights: bool) -> u64 {
    let bytes: usize = row_bytes(data).iter().sum();
    (rows * bytes + sample_weight_bytes(rows, has_sample_weights)) as u64
}

/// How many rows of the data set a shard holds on a device.
pub(crate) fn rows_per_shard(gpu: &Gpu, data: &Dataset, has_sample_weights: bool) -> Result<usize> {
    let [features, answers] = row_bytes(data);
    let have = gpu.max_binding_bytes();
    // Rounding up the weights of all rows may take as much as those of a few more.
    let (weight, rest) = if has_sample_weights { (4, 12) } else { (0, 0) };
    let largest = features.max(answers + weight);
    let need = (largest + rest) as u64;
    check_limit("one row of the data set", "max_storage_buffer_binding_size", need, have as u64)?;
    Ok(((have - rest) / largest).min(data.rows()))
}

impl DeviceDataset {
    pub(crate) async fn new(gpu: &Gpu, data: &Dataset, has_sample_weights: bool) -> Result<Self> {
        let rows = rows_per_shard(gpu, data, has_sample_weights)?;
        let mut shards = Vec::new();
        for first in (0..data.rows()).step_by(rows) {
            let rows = rows.min(data.rows() - first);
            let shard = Shard::for_dataset(gpu, data, (first, rows), has_sample_weights).await?;
            shard.upload_rows(gpu, data, rows, rows, has_sample_weights, |place| Some(first + place));
            shards.push(shard);
        }
        data.check_read()?;
        Ok(Self { data: data.clone(), has_sample_weights, shards })
    }

    /// Whether it is this data set, with weights if they are wanted.
    pub(crate) fn is_for(&self, data: &Dataset, has_sample_weights: bool) -> bool {
        self.data.is_same(data) && self.has_sample_weights == has_sample_weights
    }
}

/// The bindings of the window's kernels, bound to each shard: with what scales the features, if anything does.
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
    let set =
        BindingLayout::new(gpu, "window", if scaling.is_some() { SCALED_WINDOW_BINDINGS } else { WINDOW_BINDINGS })
            .await?;
    let mut groups = Vec::new();
    for shard in shards {
        let Buffers { cursors, step_table: steps, rows, activations, metrics, .. } = buffers;
        // As `shaders/data/window.wgsl` declares them.
        let bound = [cursors, steps, &shard.span, &shard.features, &shard.targets, rows, activations, metrics];
        let bound: Vec<_> = bound.into_iter().chain(&scaling).collect();
        groups.push(set.bind(gpu, "window", &bound).await?);
    }
    Ok((set, groups))
}

/// Uploads which rows each network takes, as `shaders/data/subset.wgsl` reads it.
pub(crate) async fn upload_subsets(gpu: &Gpu, subsets: &[SubsetParams]) -> Result<wgpu::Buffer> {
    let bytes: &[u8] = bytemuck::cast_slice(subsets);
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.buffer("rows of each network", bytes.len() as u64, usage).await?;
    gpu.upload(&buffer, 0, bytes);
    Ok(buffer)
}

/// Uploads what scales the features, as `shaders/data/scaling.wgsl` reads it.
async fn upload_scaler(gpu: &Gpu, scaler: &Scaler, arenas: &Arenas) -> Result<wgpu::Buffer> {
    let stride = 4 * arenas.input_stride();
    let mut numbers = vec![0.0; 2 * stride];
    numbers[..scaler.columns()].copy_from_slice(scaler.offset());
    numbers[stride..stride + scaler.columns()].copy_from_slice(scaler.scale());
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.buffer("scaling", 4 * numbers.len() as u64, usage).await?;
    gpu.upload(&buffer, 0, bytemuck::cast_slice(&numbers));
    Ok(buffer)
}

impl Shard {
    pub(crate) async fn new(gpu: &Gpu, [features, answers]: [usize; 2], span: [u32; 2]) -> Result<Self> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let shard = Self {
            features: gpu.buffer("features", features as u64, usage).await?,
            targets: gpu.buffer("answers", answers as u64, usage).await?,
            span: gpu.buffer("shard", PAIR_BYTES, uniform).await?,
        };
        gpu.upload(&shard.span, 0, bytemuck::cast_slice(&span));
        Ok(shard)
    }

    /// One with room for so many rows of a data set, which kernels know by numbers from `first` on.
    pub(crate) async fn for_dataset(
        gpu: &Gpu,
        data: &Dataset,
        (first, rows): (usize, usize),
        has_sample_weights: bool,
    ) -> Result<Self> {
        let [features, answers] = row_bytes(data).map(|bytes| rows * bytes);
        let bytes = [features, answers + sample_weight_bytes(rows, has_sample_weights)];
        Self::new(gpu, bytes, [first as u32, rows as u32]).await
    }

    /// Uploads the rows that belong to the first `count` places of a shard with room for so many; where none does, what is
    /// written means nothing.
    pub(crate) fn upload_rows(
        &self,
        gpu: &Gpu,
        data: &Dataset,
        room: usize,
        count: usize,
        has_sample_weights: bool,
        row: impl Fn(usize) -> Option<usize> + Sync,
    ) {
        let [features, answers] = row_bytes(data);
        let row = &row;
        let one_by_one = |bytes, write: fn(&Dataset, usize, &mut [u8])| {
            let of_place = move |place, into: &mut [u8]| row(place).into_iter().for_each(|row| write(data, row, into));
            move |first: usize, piece: &mut [u8]| write_rows(first, piece, bytes, of_place)
        };
        upload_parallel(gpu, (&self.features, 0), count, features, |first, piece| {
            match data.features_without_origin() {
                Features::File(file) => {
                    let places = piece.chunks_exact_mut(features).zip(first..);
                    write_from_file(file, places.filter_map(|(into, place)| Some((row(place)?, into))));
                }
                _ => one_by_one(features, write_features)(first, piece),
            }
        });
        upload_parallel(gpu, (&self.targets, 0), count, answers, one_by_one(answers, write_target));
        if has_sample_weights {
            upload_parallel(gpu, (&self.targets, room * answers), count, 4, one_by_one(4, write_sample_weight));
        }
    }
}

/// Uploads `count` rows of `bytes` each, whole words, from some byte of a buffer on, a few megabytes at a time, so that the
/// host holds no second copy of them all; `fill` writes those from a place on.
fn upload_parallel(
    gpu: &Gpu,
    (to, start): (&wgpu::Buffer, usize),
    count: usize,
    bytes: usize,
    fill: impl Fn(usize, &mut [u8]),
) {
    let at_once = (crate::engine::gpu::device::MAX_UPLOAD_BYTES / bytes).max(1);
    // Words, so that numbers in it are aligned.
    let mut piece: Vec<u32> = Vec::new();
    for first in (0..count).step_by(at_once) {
        piece.clear();
        piece.resize(at_once.min(count - first) * bytes / 4, 0);
        let piece = bytemuck::cast_slice_mut(&mut piece);
        fill(first, piece);
        gpu.upload(to, (start + first * bytes) as u64, piece);
        gpu.submit(gpu.encoder()); // or wgpu would stage all pieces at once
    }
}

/// Writes the rows of a piece, of `bytes` each, one by one.
fn write_rows(first: usize, piece: &mut [u8], bytes: usize, write: impl Fn(usize, &mut [u8]) + Sync) {
    if piece.len() < MIN_PARALLEL_BYTES {
        piece.chunks_exact_mut(bytes).enumerate().for_each(|(i, into)| write(first + i, into));
    } else {
        piece.par_chunks_exact_mut(bytes).enumerate().for_each(|(i, into)| write(first + i, into));
    }
}

/// Writes rows of a file as they are on a device: bytes, or f32.
fn write_from_file<'a>(file: &FileRows, rows: impl Iterator<Item = (usize, &'a mut [u8])>) {
    let columns = file.columns();
    if file.byte_scale().is_some() {
        file.write_all_bytes(rows.map(|(row, into)| (row, &mut into[..columns])));
    } else {
        file.write_all(rows.map(|(row, into)| (row, bytemuck::cast_slice_mut(&mut into[..4 * columns]))));
    }
}

fn write_features(data: &Dataset, row: usize, into: &mut [u8]) {
    data.features_without_origin().write_bytes(row, data.inputs(), into);
}

fn write_target(data: &Dataset, row: usize, into: &mut [u8]) {
    match data.targets() {
        Targets::Values(values) => {
            let n = values.len() / data.rows();
            copy_bytes(into, &values[row * n..(row + 1) * n]);
        }
        Targets::Classes(classes) => copy_bytes(into, &classes[row..=row]),
    }
}

fn write_sample_weight(data: &Dataset, row: usize, into: &mut [u8]) {
    copy_bytes(into, &[data.sample_weight(row)]);
}

fn copy_bytes<T: bytemuck::NoUninit>(into: &mut [u8], values: &[T]) {
    let bytes = bytemuck::cast_slice(values);
    into[..bytes.len()].copy_from_slice(bytes);
}
