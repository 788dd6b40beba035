//! The table of a chunk's steps, made on the device: nothing that grows with networks times steps is brought there.

use crate::{
    engine::{
        gpu::{
            device::{
                Gpu,
                pipeline::{Kernel, PAIR, STEPS, Set},
            },
            kernels::kernel_set::{Dispatch, LANES, folded},
            layout::chunk::{Length, Tempos},
        },
        step::{Course, Earlier, Start},
    },
    error::Result,
    optim::coefficients::Numbers,
};

/// What makes the table.
pub(crate) struct Timetable {
    kernel: Kernel,
    group: wgpu::BindGroup,
    head: wgpu::Buffer,
    starts: wgpu::Buffer,
    shared: wgpu::Buffer,
    length: Length,
    tempos: Tempos,
}

/// What a chunk's table is made from: bytes for the three buffers.
pub(crate) struct Entries([Vec<u8>; 3]);

impl Timetable {
    pub(crate) async fn new(
        gpu: &Gpu,
        dispatch: &Dispatch,
        (length, tempos): (Length, Tempos),
        steps: &wgpu::Buffer,
    ) -> Result<Self> {
        let [_, starts, shared] = length.bytes();
        let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let head = gpu.buffer("chunk", PAIR, uniform).await?;
        let starts = gpu.buffer(starts.0, starts.1, storage).await?;
        let shared = gpu.buffer(shared.0, shared.1, storage).await?;
        let set = Set::new(gpu, "timetable", STEPS).await?;
        let group = set.bind(gpu, "timetable", &[&head, &starts, &shared, steps]).await?;
        let kernel = set.kernel(gpu, dispatch).await?;
        Ok(Self { kernel, group, head, starts, shared, length, tempos })
    }

    /// What the table of `steps` steps from `first` on is made from, after `before` updates, whose metrics go to the ring
    /// from `ring` on. The networks in training are those of the first slots.
    pub(crate) fn entries(
        &self,
        courses: &[Course],
        (first, before): (u64, u64),
        ring: usize,
        steps: usize,
    ) -> Entries {
        let Tempos { all, of_slots } = &self.tempos;
        let updates = before..before + steps as u64;
        let of_tempo = |course: &Course| updates.clone().map(|before| course.shared(before)).collect::<Vec<_>>();
        let shared: Vec<Numbers> = all.iter().flat_map(of_tempo).collect();
        let start = |(course, tempo): (&Course, &u32)| course.start(first, before, *tempo);
        let idle = std::iter::repeat_n(Start::default(), self.length.models - courses.len());
        let starts: Vec<Start> = courses.iter().zip(of_slots).map(start).chain(idle).collect();
        let head = [steps, ring].map(|number| number as u32);
        let bytes = |values: &[u8]| values.to_vec();
        let parts = [
            bytes(bytemuck::cast_slice(&head)),
            bytes(bytemuck::cast_slice(&starts)),
            bytes(bytemuck::cast_slice(&shared)),
        ];
        Entries(parts)
    }

    /// Lets the networks in two slots change places.
    pub(crate) fn swap(&mut self, slot: usize, other: usize) {
        self.tempos.swap(slot, other);
    }

    /// Sets what came before the steps of all networks.
    pub(crate) fn set_earlier(&mut self, earlier: Earlier) {
        self.tempos.all.iter_mut().for_each(|course| course.earlier = earlier);
    }

    /// Brings them to the device, ahead of what is submitted next.
    pub(crate) fn upload(&self, gpu: &Gpu, entries: &Entries) {
        let to = [&self.head, &self.starts, &self.shared];
        to.into_iter().zip(&entries.0).for_each(|(to, part)| gpu.upload(to, 0, part));
    }

    /// The same by copies in an encoder of the caller's, from a buffer that holds all parts behind each other.
    pub(crate) fn copy(&self, encoder: &mut wgpu::CommandEncoder, from: &wgpu::Buffer, entries: &Entries) {
        let mut at = 0;
        for (to, part) in [&self.head, &self.starts, &self.shared].into_iter().zip(&entries.0) {
            encoder.copy_buffer_to_buffer(from, at, to, 0, part.len() as u64);
            at += part.len() as u64;
        }
    }

    /// What makes the table of so many steps: the kernel, what it is bound to, and its workgroups.
    pub(crate) fn dispatch(&self, steps: usize) -> (&Kernel, &wgpu::BindGroup, [u32; 3]) {
        let entries = (steps + self.length.behind) * self.length.models;
        (&self.kernel, &self.group, folded(entries.div_ceil(LANES), 1))
    }
}

impl Entries {
    /// All parts behind each other.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.concat()
    }
}
