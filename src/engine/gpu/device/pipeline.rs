//! Compute pipelines of assembled WGSL, and the binding layouts that they share.

use std::{num::NonZeroU64, sync::atomic::Ordering};

use crate::{
    engine::gpu::device::{
        Gpu,
        bindings::{Binding, PAIR_BYTES},
        dispatch::Dispatch,
    },
    error::Result,
};

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
