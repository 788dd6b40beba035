//! How long a chunk of steps is, and which numbers its networks share.

use crate::{
    engine::{
        gpu::{device::Gpu, layout::arenas::Arenas},
        step::{Course, Start, Step},
    },
    error::{Result, check_limit},
    optim::coefficients::Numbers,
};

/// The most steps a chunk has, and the most bytes of its table of steps.
const CHUNK: (usize, usize) = (4096, 64 << 20);
/// The most bytes of what networks share that is brought for a chunk.
const SHARED: usize = 16 << 20;
/// Steps without rows behind a chunk's last, at most: kernels run in whole workgroups and dispatches over several steps, so
/// that they may look at as many more, but never beyond the window.
pub(crate) const BEHIND: usize = 64;

/// How many steps a chunk has on a device at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    pub(crate) chunk: usize,
    /// How many steps without rows stand behind a chunk's last.
    pub(crate) behind: usize,
    pub(crate) models: usize,
    /// How many different numbers the networks share.
    pub(crate) tempos: usize,
}

/// Which networks share the numbers that change from update to update.
pub(crate) struct Tempos {
    /// One course of each.
    pub(crate) all: Vec<Course>,
    /// Which of them is that of the network in a slot.
    pub(crate) of_slots: Vec<u32>,
}

impl Tempos {
    pub(crate) fn new(courses: &[Course]) -> Self {
        let mut all: Vec<Course> = Vec::new();
        let tempo = |course: &Course| {
            let known = all.iter().position(|other| course.has_tempo_of(other));
            known.unwrap_or_else(|| {
                all.push(course.clone());
                all.len() - 1
            }) as u32
        };
        let of_slots = courses.iter().map(tempo).collect();
        Self { all, of_slots }
    }

    /// Lets the networks in two slots change places.
    pub(crate) fn swap(&mut self, slot: usize, other: usize) {
        self.of_slots.swap(slot, other);
    }

    pub(crate) const fn count(&self) -> usize {
        self.all.len()
    }
}

impl Length {
    pub(crate) fn new(gpu: &Gpu, arenas: &Arenas, tempos: usize) -> Self {
        let behind = BEHIND.min(arenas.window);
        let rows = CHUNK.1.min(gpu.most_bytes()) / (arenas.models * size_of::<Step>());
        let chunk = rows.saturating_sub(behind).clamp(1, CHUNK.0);
        let shared = SHARED.min(gpu.most_bytes()) / (tempos * size_of::<Numbers>());
        Self { chunk: chunk.min(shared.max(1)), behind, models: arenas.models, tempos }
    }

    /// Bytes of the table, of what starts each network, and of what they share.
    pub(crate) const fn bytes(self) -> [(&'static str, u64); 3] {
        let Self { chunk, behind, models, tempos } = self;
        [
            ("steps", ((chunk + behind) * models * size_of::<Step>()) as u64),
            ("starts", (models * size_of::<Start>()) as u64),
            ("shared numbers", (chunk * tempos * size_of::<Numbers>()) as u64),
        ]
    }

    /// Refuses a device that cannot hold them.
    pub(crate) fn check(self, gpu: &Gpu) -> Result<()> {
        let most = gpu.most_bytes() as u64;
        let check = |(name, bytes)| check_limit(name, "max_storage_buffer_binding_size", bytes, most);
        self.bytes().into_iter().try_for_each(check)
    }
}
