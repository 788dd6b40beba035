//! The outputs for a data set that stays on the device: uploaded when it is first asked for, then only the outputs travel.

use std::ops::Range;

use super::{
    Gpu,
    arenas::Members,
    buffers::{ARENA, Buffers},
    dispatches::Dispatches,
    kernel::Kernel,
    predictor::Predictor,
    resident,
};
use crate::{Dataset, Features, Result, plan::Scheme, step::Step};

pub(super) struct Evaluator {
    data: Dataset,
    order: Kernel,
    gather: Kernel,
    /// One a shard.
    groups: Vec<wgpu::BindGroup>,
    steps: wgpu::Buffer,
}

impl Evaluator {
    /// Uploads a data set for a predictor of a single network.
    pub(super) async fn new(gpu: &Gpu, predictor: &Predictor, members: &Members, data: &Dataset) -> Result<Self> {
        let arenas = predictor.arenas();
        let scale = if let Features::U8 { scale, .. } = data.features() { *scale } else { 1.0 };
        let (data_rows, is_scaled) = (data.rows(), data.scaler().is_some());
        let members = Members { shuffle: false, data_rows, scale, noise: 0.0, is_scaled, ..members.clone() };
        // Of a plan without steps there are just the kernels that bring rows.
        let none = Scheme::Cpu(String::new());
        let Dispatches { order, gather, .. } =
            Dispatches::new(arenas, &members, &none, Some(data.features()), Some(data.answers()));
        [&order, &gather].into_iter().try_for_each(|dispatch| dispatch.check(gpu))?;
        gpu.check_alive().await?;
        let shards = resident::upload(gpu, data, arenas).await?;
        let rows = gpu.buffer("rows", 4 * arenas.batch as u64, ARENA).await?;
        let activations = predictor.activations().clone();
        let buffers = Buffers { rows, activations, ..Buffers::spares(gpu).await? };
        let (set, groups) = resident::bind_window(gpu, arenas, &buffers, &shards, data.scaler()).await?;
        let (order, gather) = (set.kernel(gpu, &order).await?, set.kernel(gpu, &gather).await?);
        Ok(Self { data: data.clone(), order, gather, groups, steps: buffers.steps })
    }

    /// Whether it is of this data set.
    pub(super) fn is_of(&self, data: &Dataset) -> bool {
        self.data.is_same(data)
    }

    /// How many rows there are.
    pub(super) const fn rows(&self) -> usize {
        self.data.rows()
    }

    /// Brings rows, as many as the predictor takes at most, to where it wants them.
    pub(super) fn bring(&self, gpu: &Gpu, rows: &Range<usize>) {
        let step = Step { rows: rows.len() as u32, first: rows.start as u32, ..Step::default() };
        gpu.upload(&self.steps, 0, bytemuck::bytes_of(&step));
        gpu.compute(|pass| {
            for (i, group) in self.groups.iter().enumerate() {
                pass.set_bind_group(0, group, &[0]);
                if i == 0 {
                    self.order.record(pass);
                }
                self.gather.record(pass);
            }
        });
    }
}
