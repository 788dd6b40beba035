//! The data set on the device: uploaded once, in shards where one binding cannot hold it.

use super::{
    Gpu,
    arenas::Arenas,
    buffers::Buffers,
    kernel::{PAIR, SCALED_WINDOW, Set, WINDOW},
};
use crate::{Answers, Dataset, Features, Result, Scaler, error::check_limit, rows::Subset};

/// Rows of the data set that lie in one pair of buffers. A clone is the same buffers.
#[derive(Clone)]
pub(super) struct Shard {
    pub(super) features: wgpu::Buffer,
    pub(super) answers: wgpu::Buffer,
    /// `Shard` in `shaders/window.wgsl`: the first row and the number of rows.
    pub(super) span: wgpu::Buffer,
}

/// A data set on the device. A clone is the same buffers.
#[derive(Clone)]
pub(crate) struct Uploaded {
    pub(super) data: Dataset,
    weighted: bool,
    pub(super) shards: Vec<Shard>,
}

/// Bytes of a row of features and of a row of answers, as `shaders/features/` and `shaders/answers/` read them.
fn row_bytes(data: &Dataset, arenas: &Arenas) -> [usize; 2] {
    let features = match data.features() {
        Features::F32(_) => 16 * arenas.input_stride(),
        Features::U8 { .. } => 4 * arenas.input_stride(),
    };
    let answers = match data.answers() {
        Answers::Values(_) => 16 * arenas.output_stride(),
        Answers::Classes(_) => 4,
    };
    [features, answers]
}

/// Bytes of the weights of so many rows, which lie behind all of their answers: whole vec4s.
fn weight_bytes(rows: usize, arenas: &Arenas) -> usize {
    if arenas.weight.is_some() { (4 * rows).next_multiple_of(16) } else { 0 }
}

/// Bytes of all rows.
pub(super) fn bytes_of_data(data: &Dataset, arenas: &Arenas) -> u64 {
    let [features, answers] = row_bytes(data, arenas);
    (data.rows() * (features + answers) + weight_bytes(data.rows(), arenas)) as u64
}

/// How many rows of the data set a shard holds on a device.
pub(super) fn rows_a_shard(gpu: &Gpu, data: &Dataset, arenas: &Arenas) -> Result<usize> {
    let [features, answers] = row_bytes(data, arenas);
    let have = gpu.most_bytes();
    // Rounding up the weights of all rows may take as much as those of a few more.
    let (weight, rest) = if arenas.weight.is_some() { (4, 12) } else { (0, 0) };
    let largest = features.max(answers + weight);
    let need = (largest + rest) as u64;
    check_limit("one row of the data set", "max_storage_buffer_binding_size", need, have as u64)?;
    Ok(((have - rest) / largest).min(data.rows()))
}

impl Uploaded {
    pub(super) async fn new(gpu: &Gpu, data: &Dataset, arenas: &Arenas) -> Result<Self> {
        let rows = rows_a_shard(gpu, data, arenas)?;
        let [feature_bytes, answer_bytes] = row_bytes(data, arenas);
        let mut shards = Vec::new();
        for first in (0..data.rows()).step_by(rows) {
            let rows = rows.min(data.rows() - first);
            let bytes = [rows * feature_bytes, rows * answer_bytes + weight_bytes(rows, arenas)];
            let shard = Shard::new(gpu, bytes, [first as u32, rows as u32]).await?;
            let (features, answers, weights) =
                ((&shard.features, 0), (&shard.answers, 0), (&shard.answers, rows * answer_bytes));
            write(gpu, features, first..first + rows, feature_bytes, |row, into| write_features(data, row, into));
            write(gpu, answers, first..first + rows, answer_bytes, |row, into| write_answer(data, row, into));
            if arenas.weight.is_some() {
                write(gpu, weights, first..first + rows, 4, |row, into| put(into, &[data.weight(row)]));
            }
            shards.push(shard);
        }
        Ok(Self { data: data.clone(), weighted: arenas.weight.is_some(), shards })
    }

    /// Whether it is this data set, with weights if they are wanted.
    pub(super) fn is_of(&self, data: &Dataset, weighted: bool) -> bool {
        self.data.is_same(data) && self.weighted == weighted
    }
}

/// The bindings of the window's kernels, bound to each shard: with what scales the features, if anything does.
pub(super) async fn bind_window(
    gpu: &Gpu,
    arenas: &Arenas,
    buffers: &Buffers,
    shards: &[Shard],
    scaler: Option<&Scaler>,
) -> Result<(Set, Vec<wgpu::BindGroup>)> {
    let scaling = match scaler {
        Some(scaler) => Some(upload_scaler(gpu, scaler, arenas).await?),
        None => None,
    };
    let set = Set::new(gpu, "window", if scaling.is_some() { SCALED_WINDOW } else { WINDOW }).await?;
    let mut groups = Vec::new();
    for shard in shards {
        let Buffers { cursors, steps, rows, activations, metrics, .. } = buffers;
        // As `shaders/window.wgsl` declares them.
        let bound = [cursors, steps, &shard.span, &shard.features, &shard.answers, rows, activations, metrics];
        let bound: Vec<_> = bound.into_iter().chain(&scaling).collect();
        groups.push(set.bind(gpu, "window", &bound).await?);
    }
    Ok((set, groups))
}

/// Uploads which rows each network takes, as `shaders/subset.wgsl` reads it.
pub(super) async fn upload_subsets(gpu: &Gpu, subsets: &[Subset]) -> Result<wgpu::Buffer> {
    let bytes: &[u8] = bytemuck::cast_slice(subsets);
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.buffer("rows of each network", bytes.len() as u64, usage).await?;
    gpu.upload(&buffer, 0, bytes);
    Ok(buffer)
}

/// Uploads what scales the features, as `shaders/scaling.wgsl` reads it.
async fn upload_scaler(gpu: &Gpu, scaler: &Scaler, arenas: &Arenas) -> Result<wgpu::Buffer> {
    let stride = 4 * arenas.input_stride();
    let mut numbers = vec![0.0; 2 * stride];
    numbers[..scaler.columns()].copy_from_slice(scaler.shift());
    numbers[stride..stride + scaler.columns()].copy_from_slice(scaler.factor());
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.buffer("scaling", 4 * numbers.len() as u64, usage).await?;
    gpu.upload(&buffer, 0, bytemuck::cast_slice(&numbers));
    Ok(buffer)
}

impl Shard {
    pub(super) async fn new(gpu: &Gpu, [features, answers]: [usize; 2], span: [u32; 2]) -> Result<Self> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let shard = Self {
            features: gpu.buffer("features", features as u64, usage).await?,
            answers: gpu.buffer("answers", answers as u64, usage).await?,
            span: gpu.buffer("shard", PAIR, uniform).await?,
        };
        gpu.upload(&shard.span, 0, bytemuck::cast_slice(&span));
        Ok(shard)
    }
}

/// Uploads rows of `bytes` each from some byte of a buffer on, a few megabytes at a time, so that the host holds no second
/// copy of them all.
fn write(
    gpu: &Gpu,
    (to, start): (&wgpu::Buffer, usize),
    rows: std::ops::Range<usize>,
    bytes: usize,
    fill: impl Fn(usize, &mut [u8]),
) {
    let at_once = (super::UPLOAD / bytes).max(1);
    let mut piece = Vec::new();
    for first in rows.clone().step_by(at_once) {
        let some = first..(first + at_once).min(rows.end);
        piece.clear();
        piece.resize(some.len() * bytes, 0);
        some.zip(piece.chunks_exact_mut(bytes)).for_each(|(row, into)| fill(row, into));
        gpu.upload(to, (start + (first - rows.start) * bytes) as u64, &piece);
        gpu.submit(gpu.encoder()); // or wgpu would stage all pieces at once
    }
}

fn write_features(data: &Dataset, row: usize, into: &mut [u8]) {
    let n = data.inputs();
    match data.features() {
        Features::F32(values) => put(into, &values[row * n..(row + 1) * n]),
        Features::U8 { bytes, .. } => into[..n].copy_from_slice(&bytes[row * n..(row + 1) * n]),
    }
}

fn write_answer(data: &Dataset, row: usize, into: &mut [u8]) {
    match data.answers() {
        Answers::Values(values) => {
            let n = values.len() / data.rows();
            put(into, &values[row * n..(row + 1) * n]);
        }
        Answers::Classes(classes) => put(into, &classes[row..=row]),
    }
}

fn put<T: bytemuck::NoUninit>(into: &mut [u8], values: &[T]) {
    let bytes = bytemuck::cast_slice(values);
    into[..bytes.len()].copy_from_slice(bytes);
}
