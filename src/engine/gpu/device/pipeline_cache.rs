//! The cache of the compute pipelines of a device.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use crate::engine::gpu::device::{bindings::Binding, dispatch::Dispatch};

/// The number of pipelines that a device caches, in use or not.
const MAX_CACHED_PIPELINES: usize = 256;

/// The pipelines of a device that were requested last, the latest at the end.
///
/// A driver takes up to seconds to compile a pipeline, and folds, searches and restarts request the same pipelines
/// repeatedly.
#[derive(Default)]
pub(crate) struct PipelineCache(Mutex<VecDeque<CachedPipeline>>);

/// A pipeline with its key: the bindings, the entry point and the WGSL source.
struct CachedPipeline {
    bindings: &'static [Binding],
    entry_point: &'static str,
    source: String,
    pipeline: wgpu::ComputePipeline,
}

impl PipelineCache {
    /// Returns the pipeline of a dispatch if it is cached.
    pub(crate) fn find(&self, bindings: &[Binding], dispatch: &Dispatch) -> Option<wgpu::ComputePipeline> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_key = |cached: &CachedPipeline| {
            cached.bindings == bindings
                && cached.entry_point == dispatch.entry_point
                && cached.source == dispatch.source
        };
        let found = all.iter().position(has_key).and_then(|index| all.remove(index))?;
        let pipeline = found.pipeline.clone();
        all.push_back(found);
        Some(pipeline)
    }

    /// Adds the pipeline of a dispatch. If the cache is full, it drops the pipeline that was not requested for the
    /// longest time.
    pub(crate) fn insert(&self, bindings: &'static [Binding], dispatch: &Dispatch, pipeline: &wgpu::ComputePipeline) {
        let Dispatch { entry_point, ref source, .. } = *dispatch;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == MAX_CACHED_PIPELINES {
            all.pop_front();
        }
        all.push_back(CachedPipeline { bindings, entry_point, source: source.clone(), pipeline: pipeline.clone() });
    }
}
