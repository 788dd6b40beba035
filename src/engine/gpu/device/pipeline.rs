//! The compute pipelines of assembled WGSL, and the binding layouts that they share.

use std::{num::NonZeroU64, sync::atomic::Ordering};

use crate::{
    engine::gpu::device::{
        Gpu,
        bindings::{Binding, PAIR_BYTES},
        dispatch::Dispatch,
    },
    error::Result,
};

/// A binding layout that several kernels share, so that one bind group serves all of them.
pub(crate) struct BindingLayout {
    bindings: &'static [Binding],
    layout: wgpu::BindGroupLayout,
    pipeline_layout: wgpu::PipelineLayout,
}

impl BindingLayout {
    /// Creates the layout of `bindings`: the i-th is `@binding(i)` of group 0.
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
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(label),
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            Self { bindings, layout, pipeline_layout }
        })
        .await
    }

    /// Binds `buffers` in order: the i-th buffer is `@binding(i)`. The first buffer holds the cursors; a kernel sees
    /// one of them, at the dynamic offset.
    pub(crate) async fn bind(&self, gpu: &Gpu, label: &str, buffers: &[&wgpu::Buffer]) -> Result<wgpu::BindGroup> {
        let ranges: Vec<_> = buffers.iter().map(|buffer| (*buffer, None)).collect();
        self.bind_ranges(gpu, label, &ranges).await
    }

    /// Binds `buffers` like [`bind`](Self::bind). A buffer with a number of bytes is bound up to that number only.
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

    /// Returns the kernels of dispatches, in order; see [`kernel`](Self::kernel).
    pub(crate) async fn kernels(&self, gpu: &Gpu, dispatches: &[Dispatch]) -> Result<Vec<Kernel>> {
        let mut kernels = Vec::with_capacity(dispatches.len());
        for dispatch in dispatches {
            kernels.push(self.kernel(gpu, dispatch).await?);
        }
        Ok(kernels)
    }

    /// Returns the kernel of a dispatch. It builds the pipeline if the device has not cached one of the same source.
    pub(crate) async fn kernel(&self, gpu: &Gpu, dispatch: &Dispatch) -> Result<Kernel> {
        let workgroups = dispatch.workgroups;
        if let Some(pipeline) = gpu.pipelines.find(self.bindings, dispatch) {
            return Ok(Kernel { pipeline, workgroups });
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
        gpu.pipelines.insert(self.bindings, dispatch, &pipeline);
        Ok(Kernel { pipeline, workgroups })
    }
}

/// A compute pipeline and the number of workgroups of its dispatch.
pub(crate) struct Kernel {
    pipeline: wgpu::ComputePipeline,
    workgroups: [u32; 3],
}

impl Kernel {
    pub(crate) const fn workgroups(&self) -> [u32; 3] {
        self.workgroups
    }

    /// Returns the number of workgroups for `member_count` members.
    pub(crate) const fn workgroups_for(&self, member_count: usize) -> [u32; 3] {
        [self.workgroups[0], self.workgroups[1], member_count as u32]
    }

    /// Records the dispatch with its own number of workgroups. The caller has set the bind group.
    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.record_workgroups(pass, self.workgroups);
    }

    /// Records the dispatch with the given number of workgroups. The caller has set the bind group.
    pub(crate) fn record_workgroups(&self, pass: &mut wgpu::ComputePass<'_>, [x, y, z]: [u32; 3]) {
        pass.set_pipeline(&self.pipeline);
        pass.dispatch_workgroups(x, y, z);
    }
}
