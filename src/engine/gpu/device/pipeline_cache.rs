//! The pipelines that a device keeps.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use crate::engine::gpu::device::{bindings::Binding, dispatch::Dispatch};

/// So many pipelines a device keeps, in use or not.
const MAX_CACHED_PIPELINES: usize = 256;

/// The pipelines that a device was asked for last, the latest at the end. Drivers take up to seconds for one, and folds,
/// searches and restarts ask for the same again and again.
#[derive(Default)]
pub(crate) struct PipelineCache(Mutex<VecDeque<CachedPipeline>>);

/// A pipeline and what it was built of.
struct CachedPipeline {
    bindings: &'static [Binding],
    entry_point: &'static str,
    source: String,
    pipeline: wgpu::ComputePipeline,
}

impl PipelineCache {
    pub(crate) fn find(&self, bindings: &[Binding], dispatch: &Dispatch) -> Option<wgpu::ComputePipeline> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |built: &CachedPipeline| {
            built.bindings == bindings && built.entry_point == dispatch.entry_point && built.source == dispatch.source
        };
        let found = all.iter().position(is_it).and_then(|at| all.remove(at))?;
        let pipeline = found.pipeline.clone();
        all.push_back(found);
        Some(pipeline)
    }

    pub(crate) fn insert(&self, bindings: &'static [Binding], dispatch: &Dispatch, pipeline: &wgpu::ComputePipeline) {
        let Dispatch { entry_point: entry, ref source, .. } = *dispatch;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == MAX_CACHED_PIPELINES {
            all.pop_front();
        }
        all.push_back(CachedPipeline {
            bindings,
            entry_point: entry,
            source: source.clone(),
            pipeline: pipeline.clone(),
        });
    }
}
