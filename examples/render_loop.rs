//! Trains inside a render loop, and draws the predictions of the network in every frame.
//!
//!     cargo run --release --example render_loop -- --device llvmpipe
//!
//! The application creates its own wgpu device and queue, and gradus records into the application's command encoders. The
//! encoder of each frame runs some training steps, predicts the color of every pixel, and draws the pixels. The loop
//! reads nothing back and waits for nothing until the end, when the saved frames become one plot. The loop draws into a
//! texture instead of a window, so that the example runs without a display.

mod common;

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use gradus::{Activation, Dataset, Device, Init, Loss, Network, Optimizer, Trainer, TrainerSettings, plot, wgpu};
use serde_json::json;

use common::{
    Exit,
    options::{DeviceOptions, JsonOption, OutDirOption, SeedOption},
    print_line,
};

/// Trains inside a render loop, and draws the predictions of the network in every frame.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    seed: SeedOption,
    #[command(flatten)]
    out_dir: OutDirOption,
    #[command(flatten)]
    json: JsonOption,
    /// Number of frames to draw
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(16..))]
    frames: u32,
}

/// The width and height of a frame in pixels. The shader contains the same number.
const SIZE: u32 = 128;
const PIXELS: u32 = SIZE * SIZE;

const STEPS_PER_FRAME: usize = 16;

/// The number of pixels per prediction. gradus limits the rows of a recorded prediction, so a frame is split into bands.
const BAND_PIXELS: u32 = 4096;
const BANDS: u32 = PIXELS / BAND_PIXELS;
/// The outputs of a band: three f32 per pixel.
const BAND_BYTES: u64 = 12 * BAND_PIXELS as u64;

/// Draws one triangle that covers the frame. The color of a pixel is the output of the network.
const SHADER: &str = "
@group(0) @binding(0) var<storage, read> colors: array<f32>;

@vertex
fn vertex_main(@builtin(vertex_index) i: u32) -> @builtin(position) vec4f {
    return vec4f(f32(i % 2u) * 4.0 - 1.0, f32(i / 2u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn fragment_main(@builtin(position) position: vec4f) -> @location(0) vec4f {
    let i = 3u * (u32(position.y) * 128u + u32(position.x));
    return vec4f(colors[i], colors[i + 1u], colors[i + 2u], 1.0);
}";

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let out_dir = arguments.out_dir.create("out/render_loop")?;
    // A real application creates the device and the queue itself. The example takes those of the requested device.
    let opened = arguments.device.open()?;
    let Some((device, queue)) = opened.wgpu().map(|(device, queue)| (device.clone(), queue.clone())) else {
        let message = "a render loop needs a GPU, got the CPU engine; pass --device NAME, for example llvmpipe";
        return Err(Exit::Failed(message.into()));
    };
    let seed = arguments.seed.seed;
    let inputs = pixel_coordinates();
    let mut trainer = trainer(&Device::from_wgpu(device.clone(), queue.clone())?, &inputs, seed)?;

    let frames = arguments.frames;
    let renderer = Renderer::new(&device, &queue, &inputs);
    let mut saved = Vec::new();
    let start = Instant::now();
    for frame in 1..=frames {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        trainer.record_steps(&mut encoder, STEPS_PER_FRAME)?;
        for band in 0..BANDS {
            let (inputs, outputs) = (&renderer.inputs[band as usize], &renderer.outputs);
            trainer.record_prediction(&mut encoder, inputs, BAND_PIXELS as usize, outputs)?;
            let offset = u64::from(band) * BAND_BYTES;
            encoder.copy_buffer_to_buffer(outputs, 0, &renderer.colors, offset, BAND_BYTES);
        }
        renderer.draw(&mut encoder);
        if [1, frames / 16, frames / 4, frames].contains(&frame) {
            saved.push(renderer.copy_frame(&device, &mut encoder));
        }
        queue.submit([encoder.finish()]);
    }
    let images: Vec<Vec<u8>> = saved.iter().map(|buffer| read_frame(&device, buffer)).collect();
    let seconds = start.elapsed().as_secs_f64();
    let report = trainer.take_report()?;
    let (first_loss, last_loss) = (report.losses[0], report.losses[report.losses.len() - 1]);

    let plot_path = out_dir.join("frames.png");
    // The images are next to each other, with four bytes per pixel.
    let png = plot::png(SIZE * images.len() as u32, SIZE, |x, y| {
        let offset = (4 * (y * SIZE + x % SIZE)) as usize;
        [0, 1, 2].map(|channel| images[(x / SIZE) as usize][offset + channel])
    });
    plot::save(&plot_path, png)?;
    print_line!("{frames} frames, {STEPS_PER_FRAME} steps each: {seconds:.1} s");
    print_line!("loss: {first_loss:.4} in the first step, {last_loss:.4} in the last step");
    print_line!("plot: {} ({} frames)", plot_path.display(), images.len());
    let keys = json!({
        "frames": frames, "first_loss": first_loss, "train_loss": last_loss, "seconds": seconds, "seed": seed,
    });
    arguments.json.print("render_loop", &opened, keys);
    Ok(())
}

/// Creates a trainer that learns the color of each pixel from its coordinates.
fn trainer(device: &Device, inputs: &[f32], seed: u64) -> gradus::Result<Trainer> {
    let mut targets = Vec::new();
    for [x, y] in inputs.as_chunks::<2>().0 {
        targets.extend(target_color(*x, *y));
    }
    let data = Dataset::new(PIXELS as usize, inputs.to_vec(), targets)?;
    let sine = Activation::Sine { frequency: 1.0 };
    let network = Network::new(2).dense(48, sine).dense(48, sine).init(Init::Uniform { limit: 0.3 }, Init::Zeros);
    let network = network.dense(3, Activation::Sigmoid);
    let settings = TrainerSettings {
        batch_size: 512,
        loss: Loss::Mse,
        optimizer: Optimizer::adam(0.004),
        seed,
        ..TrainerSettings::default()
    };
    let mut trainer = Trainer::new(device, &network, &data, settings)?;

    // The first layer starts with waves of several lengths (Tancik et al. 2020). A network of this layer alone draws them.
    let waves = Network::new(2).dense(48, sine).init(Init::Normal { std: 5.0 }, Init::Uniform { limit: 3.0 });
    let wave_settings = TrainerSettings { seed, ..TrainerSettings::default() };
    let mut wave_parameters = Trainer::without_dataset(&Device::cpu(), &waves, wave_settings)?.parameters()?;
    let mut parameters = trainer.parameters()?;
    parameters[0] = wave_parameters.remove(0);
    trainer.set_parameters(&parameters)?;
    Ok(trainer)
}

/// Returns the color to learn at a point. Both coordinates are in [-1, 1].
fn target_color(x: f32, y: f32) -> [f32; 3] {
    let (radius, angle) = (x.hypot(y), y.atan2(x));
    let petal = 0.5 + 0.5 * (5.0 * angle + 6.0 * radius).sin();
    let inside = 1.0 / (1.0 + (12.0 * (radius - 0.45 - 0.4 * petal)).exp());
    [inside * (0.4 + 0.6 * petal), inside * 0.7 * (1.0 - radius), 0.25 + 0.5 * (1.0 - inside) * radius]
}

/// Returns the coordinates of all pixels, row by row.
fn pixel_coordinates() -> Vec<f32> {
    let coordinate = |i: u32| (i as f32 + 0.5) / SIZE as f32 * 2.0 - 1.0;
    (0..PIXELS).flat_map(|i| [coordinate(i % SIZE), coordinate(i / SIZE)]).collect()
}

/// The application's buffers and its render pipeline.
struct Renderer {
    /// The pixel coordinates of each band.
    inputs: Vec<wgpu::Buffer>,
    /// The predictions of one band.
    outputs: wgpu::Buffer,
    /// The predictions of all bands.
    colors: wgpu::Buffer,
    texture: wgpu::Texture,
    pipeline: wgpu::RenderPipeline,
    bind_group: wgpu::BindGroup,
}

impl Renderer {
    fn new(device: &wgpu::Device, queue: &wgpu::Queue, inputs: &[f32]) -> Self {
        let storage_buffer = |size: u64| {
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        };
        let mut input_buffers = Vec::new();
        for band in inputs.chunks(2 * BAND_PIXELS as usize) {
            let bytes: Vec<u8> = band.iter().flat_map(|value| value.to_le_bytes()).collect();
            let buffer = storage_buffer(bytes.len() as u64);
            queue.write_buffer(&buffer, 0, &bytes);
            input_buffers.push(buffer);
        }
        let colors = storage_buffer(u64::from(BANDS) * BAND_BYTES);
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("frame"),
            size: wgpu::Extent3d { width: SIZE, height: SIZE, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let pipeline = render_pipeline(device, texture.format());
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("frame"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: colors.as_entire_binding() }],
        });
        Self { inputs: input_buffers, outputs: storage_buffer(BAND_BYTES), colors, texture, pipeline, bind_group }
    }

    /// Records the render pass of a frame.
    fn draw(&self, encoder: &mut wgpu::CommandEncoder) {
        let view = self.texture.create_view(&wgpu::TextureViewDescriptor::default());
        let attachment = wgpu::RenderPassColorAttachment {
            view: &view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store },
        };
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("frame"),
            color_attachments: &[Some(attachment)],
            ..Default::default()
        });
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.draw(0..3, 0..1);
    }

    /// Records a copy of the frame into a buffer that the host can read.
    fn copy_frame(&self, device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let size = u64::from(4 * PIXELS);
        let buffer =
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
        let layout =
            wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * SIZE), rows_per_image: Some(SIZE) };
        let destination = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_texture_to_buffer(self.texture.as_image_copy(), destination, self.texture.size());
        buffer
    }
}

fn render_pipeline(device: &wgpu::Device, format: wgpu::TextureFormat) -> wgpu::RenderPipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("frame"),
        source: wgpu::ShaderSource::Wgsl(SHADER.into()),
    });
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("frame"),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("vertex_main"),
            compilation_options: Default::default(),
            buffers: &[],
        },
        primitive: Default::default(),
        depth_stencil: None,
        multisample: Default::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("fragment_main"),
            compilation_options: Default::default(),
            targets: &[Some(format.into())],
        }),
        multiview_mask: None,
        cache: None,
    })
}

/// Waits for the device, and returns the bytes of a copied frame.
fn read_frame(device: &wgpu::Device, buffer: &wgpu::Buffer) -> Vec<u8> {
    buffer.slice(..).map_async(wgpu::MapMode::Read, |result| result.expect("the buffer can be mapped"));
    device.poll(wgpu::PollType::wait_indefinitely()).expect("the device is not lost");
    buffer.slice(..).get_mapped_range().expect("the buffer is mapped").to_vec()
}
