//! A kernel: assembled WGSL made into a pipeline, and the two sets of arenas that kernels are bound to.

use std::{
    collections::VecDeque,
    num::NonZeroU64,
    sync::{Mutex, PoisonError, atomic::Ordering},
};

use crate::{
    engine::gpu::{device::Gpu, kernels::kernel_set::Dispatch},
    error::Result,
};

/// How a binding is declared in WGSL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// `var<uniform>` at an offset that is given when it is bound.
    Cursor,
    /// `var<uniform>`
    Uniform,
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    Write,
}

/// The bindings of `shaders/step/step.wgsl`, in order.
pub(crate) const STEP_BINDINGS: &[Binding] = {
    use Binding::{Cursor, Read, Write};
    &[Cursor, Read, Write, Write, Write, Write, Write]
};

/// The bindings of `shaders/data/window.wgsl`, in order, and behind them what scales the features.
pub(crate) const SCALED_WINDOW_BINDINGS: &[Binding] = {
    use Binding::{Cursor, Read, Uniform, Write};
    &[Cursor, Read, Uniform, Read, Read, Write, Write, Write, Read]
};

/// The same where nothing does.
pub(crate) const WINDOW_BINDINGS: &[Binding] = SCALED_WINDOW_BINDINGS.split_at(SCALED_WINDOW_BINDINGS.len() - 1).0;

/// The storage buffers that every device has to let a shader see.
pub(crate) const MIN_STORAGE_BUFFERS: u32 = {
    const fn count_storage_buffers(bindings: &[Binding]) -> u32 {
        let (mut i, mut count) = (0, 0);
        while i < bindings.len() {
            count += matches!(bindings[i], Binding::Read | Binding::Write) as u32;
            i += 1;
        }
        count
    }
    let (step, window) = (count_storage_buffers(STEP_BINDINGS), count_storage_buffers(SCALED_WINDOW_BINDINGS));
    if step > window { step } else { window }
};

/// The bindings of `shaders/step/step_table.wgsl`, in order.
pub(crate) const STEP_TABLE_BINDINGS: &[Binding] = {
    use Binding::{Cursor, Read, Write};
    &[Cursor, Read, Read, Write]
};

/// Bytes of the structs `Cursor`, `Shard` and `Chunk`.
pub(crate) const PAIR_BYTES: u64 = 8;

/// A set of bindings that several kernels share, so that it is bound once for all of them.
pub(crate) struct BindingLayout {
    bindings: &'static [Binding],
    layout: wgpu::BindGroupLayout,
    pipeline_layout: wgpu::PipelineLayout,
}

impl BindingLayout {
    pub(crate) async fn new(gpu: &Gpu, label: &str, bindings: &'static [Binding]) -> Result<Self> {
        let entry = |(i, binding): (usize, &Binding)| wgpu::BindGroupLayoutEntry {
            binding: i as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: match binding {
                    Binding::Cursor | Binding::Uniform => wgpu::BufferBindingType::Uniform,
                    Binding::Read => wgpu::BufferBindingType::Storage { read_only: true },
                    Binding::Write => wgpu::BufferBindingType::Storage { read_only: false },
                },
                has_dynamic_offset: *binding == Binding::Cursor,
                min_binding_size: None,
            },
            count: None,
        };
        let entries: Vec<_> = bindings.iter().enumerate().map(entry).collect();
        gpu.run_scoped(label, |device| {
            let descriptor = wgpu::BindGroupLayoutDescriptor { label: Some(label), entries: &entries };
            let layout = device.create_bind_group_layout(&descriptor);
            let pipelines = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(label),
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            Self { bindings, layout, pipeline_layout: pipelines }
        })
        .await
    }

    /// Binds `buffers` in order: the i-th buffer is `@binding(i)`. Of the first, the cursors, one is seen at a time.
    pub(crate) async fn bind(&self, gpu: &Gpu, label: &str, buffers: &[&wgpu::Buffer]) -> Result<wgpu::BindGroup> {
        let whole: Vec<_> = buffers.iter().map(|buffer| (*buffer, None)).collect();
        self.bind_ranges(gpu, label, &whole).await
    }

    /// The same with the first bytes of some buffers, where it says how many.
    pub(crate) async fn bind_ranges(
        &self,
        gpu: &Gpu,
        label: &str,
        buffers: &[(&wgpu::Buffer, Option<u64>)],
    ) -> Result<wgpu::BindGroup> {
        let mut entries = Vec::with_capacity(buffers.len());
        for (i, (buffer, bytes)) in buffers.iter().enumerate() {
            let size = NonZeroU64::new(if i == 0 { PAIR_BYTES } else { bytes.unwrap_or(0) });
            let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: 0, size });
            entries.push(wgpu::BindGroupEntry { binding: i as u32, resource });
        }
        gpu.counts.bind_groups.fetch_add(1, Ordering::Relaxed);
        let descriptor = wgpu::BindGroupDescriptor { label: Some(label), layout: &self.layout, entries: &entries };
        gpu.run_scoped(label, |device| device.create_bind_group(&descriptor)).await
    }

    /// Builds the pipelines of dispatches, in their order.
    pub(crate) async fn kernels(&self, gpu: &Gpu, dispatches: &[Dispatch]) -> Result<Vec<Kernel>> {
        let mut kernels = Vec::with_capacity(dispatches.len());
        for dispatch in dispatches {
            kernels.push(self.kernel(gpu, dispatch).await?);
        }
        Ok(kernels)
    }

    /// The pipeline of a dispatch: built, unless the device has one of the same text.
    pub(crate) async fn kernel(&self, gpu: &Gpu, dispatch: &Dispatch) -> Result<Kernel> {
        let (built, groups) = (&gpu.pipelines, dispatch.workgroups);
        if let Some(pipeline) = built.find(self.bindings, dispatch) {
            return Ok(Kernel { pipeline, workgroups: groups });
        }
        let label = Some(dispatch.name.as_str());
        let source = wgpu::ShaderSource::Wgsl(dispatch.source.as_str().into());
        gpu.counts.pipelines.fetch_add(1, Ordering::Relaxed);
        let pipeline = gpu
            .run_scoped(&dispatch.name, |device| {
                let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
                device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label,
                    layout: Some(&self.pipeline_layout),
                    module: &module,
                    entry_point: Some(dispatch.entry_point),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        // Every kernel writes its workgroup memory before it reads it.
                        zero_initialize_workgroup_memory: false,
                        ..Default::default()
                    },
                    cache: None,
                })
            })
            .await?;
        built.insert(self.bindings, dispatch, &pipeline);
        Ok(Kernel { pipeline, workgroups: groups })
    }
}

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
    fn find(&self, bindings: &[Binding], dispatch: &Dispatch) -> Option<wgpu::ComputePipeline> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |built: &CachedPipeline| {
            built.bindings == bindings && built.entry_point == dispatch.entry_point && built.source == dispatch.source
        };
        let found = all.iter().position(is_it).and_then(|at| all.remove(at))?;
        let pipeline = found.pipeline.clone();
        all.push_back(found);
        Some(pipeline)
    }

    fn insert(&self, bindings: &'static [Binding], dispatch: &Dispatch, pipeline: &wgpu::ComputePipeline) {
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

/// A pipeline and the workgroups it is dispatched over.
pub(crate) struct Kernel {
    pipeline: wgpu::ComputePipeline,
    workgroups: [u32; 3],
}

impl Kernel {
    pub(crate) const fn workgroups(&self) -> [u32; 3] {
        self.workgroups
    }

    /// Those for so many networks.
    pub(crate) const fn workgroups_for(&self, member_count: usize) -> [u32; 3] {
        [self.workgroups[0], self.workgroups[1], member_count as u32]
    }

    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.record_workgroups(pass, self.workgroups);
    }

    pub(crate) fn record_workgroups(&self, pass: &mut wgpu::ComputePass<'_>, [x, y, z]: [u32; 3]) {
        pass.set_pipeline(&self.pipeline);
        pass.dispatch_workgroups(x, y, z);
    }
}
