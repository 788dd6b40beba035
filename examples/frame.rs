//! Trains inside a running render loop: in every frame the same command encoder takes some steps of training, asks the
//! network for the colour of every pixel, and draws them. Nothing is read back and nothing is waited for until the end,
//! when the frames that were kept become one picture.
//!
//!     cargo run --release --example frame -- --device llvmpipe
//!
//! The device and the queue are the application's own, made with wgpu; gradus is given them and records into the
//! application's encoders. There is no window, so that it runs anywhere: the loop draws into a texture.

mod common;

use std::process::ExitCode;

use clap::Parser;
use gradus::{Activation, Dataset, Device, Init, Loss, Network, Optimizer, Trainer, TrainerSettings, plot, wgpu};
use serde_json::json;

use common::{
    Exit,
    options::{DeviceOptions, JsonOption, OutOption, SeedOption},
    print_line,
};

/// Trains inside a render loop and draws what the network has learned.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    seed: SeedOption,
    #[command(flatten)]
    out: OutOption,
    #[command(flatten)]
    json: JsonOption,
    /// How many frames the loop runs for
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(16..))]
    frames: u32,
}

/// Pixels of a frame, each way.
const SIZE: u32 = 128;
const STEPS_A_FRAME: usize = 16;

/// Draws a triangle that covers the frame; the outputs are the pixels' colours.
const SHADER: &str = "
@group(0) @binding(0) var<storage, read> colours: array<f32>;

@vertex
fn corner(@builtin(vertex_index) i: u32) -> @builtin(position) vec4f {
    return vec4f(f32(i % 2u) * 4.0 - 1.0, f32(i / 2u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn pixel(@builtin(position) at: vec4f) -> @location(0) vec4f {
    let i = 3u * (u32(at.y) * 128u + u32(at.x));
    return vec4f(colours[i], colours[i + 1u], colours[i + 2u], 1.0);
}";

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

/// What the network should learn: the colour at a place, both coordinates from -1 to 1.
fn colour(x: f32, y: f32) -> [f32; 3] {
    let (radius, angle) = (x.hypot(y), y.atan2(x));
    let petal = 0.5 + 0.5 * (5.0 * angle + 6.0 * radius).sin();
    let inside = 1.0 / (1.0 + (12.0 * (radius - 0.45 - 0.4 * petal)).exp());
    [inside * (0.4 + 0.6 * petal), inside * 0.7 * (1.0 - radius), 0.25 + 0.5 * (1.0 - inside) * radius]
}

/// The places of all pixels, row by row.
fn places() -> Vec<f32> {
    let centre = |i: u32| (i as f32 + 0.5) / SIZE as f32 * 2.0 - 1.0;
    (0..SIZE * SIZE).flat_map(|i| [centre(i % SIZE), centre(i / SIZE)]).collect()
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let out = arguments.out.create("out/frame")?;
    // An application would have made its own; this takes the one that the options mean.
    let opened = arguments.device.open()?;
    let Some((device, queue)) = opened.wgpu().map(|(device, queue)| (device.clone(), queue.clone())) else {
        return Err(Exit::Failed("frames are drawn on a GPU; --device names one, such as llvmpipe".into()));
    };

    let seed = arguments.seed.seed;
    let inputs = places();
    let answers: Vec<f32> = inputs.as_chunks::<2>().0.iter().flat_map(|[x, y]| colour(*x, *y)).collect();
    let data = Dataset::new((SIZE * SIZE) as usize, inputs.clone(), answers)?;
    let sine = Activation::Sine { frequency: 1.0 };
    let network = Network::new(2).dense(48, sine).dense(48, sine).init(Init::Uniform { limit: 0.3 }, Init::Zeros);
    let network = network.dense(3, Activation::Sigmoid);
    let first = Network::new(2).dense(48, sine).init(Init::Normal { std: 5.0 }, Init::Uniform { limit: 3.0 });
    let settings = TrainerSettings {
        batch_size: 512,
        loss: Loss::Mse,
        optimizer: Optimizer::adam(0.004),
        seed,
        ..TrainerSettings::default()
    };
    let mut trainer = Trainer::new(&Device::from_wgpu(device.clone(), queue.clone())?, &network, &data, settings)?;
    // Waves of several lengths to begin with (Tancik et al. 2020).
    let mut parameters = trainer.parameters()?;
    let mut waves =
        Trainer::without_dataset(&Device::cpu(), &first, TrainerSettings { seed, ..TrainerSettings::default() })?
            .parameters()?;
    parameters[0] = waves.remove(0);
    trainer.set_parameters(&parameters)?;

    let frame = Frame::new(&device, &queue, &inputs);
    let mut rows = Vec::new();
    let start = std::time::Instant::now();
    for number in 1..=arguments.frames {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        trainer.record_steps(&mut encoder, STEPS_A_FRAME)?;
        let pixels = SIZE * SIZE;
        // A recording takes so many rows at once at most; the frame is cut into as many bands.
        for band in 0..pixels / BAND {
            trainer.record_prediction(&mut encoder, &frame.places[band as usize], BAND as usize, &frame.outputs)?;
            let bytes = u64::from(BAND) * 12;
            encoder.copy_buffer_to_buffer(&frame.outputs, 0, &frame.colours, u64::from(band) * bytes, bytes);
        }
        frame.draw(&mut encoder);
        let is_kept = [1, arguments.frames / 16, arguments.frames / 4, arguments.frames].contains(&number);
        let kept = is_kept.then(|| frame.copy(&device, &mut encoder));
        queue.submit([encoder.finish()]);
        rows.extend(kept);
    }
    let pixels: Vec<Vec<u8>> = rows.iter().map(|copy| frame.read(&device, copy)).collect();
    let seconds = start.elapsed().as_secs_f64();
    let report = trainer.take_report()?;
    let (early, late) = (report.losses[0], report.losses[report.losses.len() - 1]);

    let path = out.join("frames.png");
    let picture = plot::png(SIZE * pixels.len() as u32, SIZE, |x, y| {
        let at = (4 * (y * SIZE + x % SIZE)) as usize;
        [0, 1, 2].map(|i| pixels[(x / SIZE) as usize][at + i])
    });
    plot::save(&path, picture)?;
    let frames = arguments.frames;
    print_line!(
        "{frames} frames with {STEPS_A_FRAME} steps each in {seconds:.1} s; the loss fell from {early:.4} to {late:.4}"
    );
    print_line!("four of them, from the first to the last, are in {}", path.display());
    let own = json!({ "frames": frames, "first_loss": early, "train_loss": late, "seconds": seconds, "seed": seed });
    arguments.json.print("frame", &opened, own);
    Ok(())
}

/// Pixels of which the network is asked at once.
const BAND: u32 = 4096;

/// What the loop draws with.
struct Frame {
    places: Vec<wgpu::Buffer>,
    outputs: wgpu::Buffer,
    colours: wgpu::Buffer,
    texture: wgpu::Texture,
    pipeline: wgpu::RenderPipeline,
    group: wgpu::BindGroup,
}

impl Frame {
    fn new(device: &wgpu::Device, queue: &wgpu::Queue, inputs: &[f32]) -> Self {
        let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let buffer = |bytes: u32| {
            let size = u64::from(bytes);
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage: storage,
                mapped_at_creation: false,
            })
        };
        let places = inputs.chunks(2 * BAND as usize).map(|band| {
            let bytes: Vec<u8> = band.iter().flat_map(|value| value.to_le_bytes()).collect();
            let band = buffer(bytes.len() as u32);
            queue.write_buffer(&band, 0, &bytes);
            band
        });
        let (places, outputs, colours) = (places.collect(), buffer(12 * BAND), buffer(12 * SIZE * SIZE));
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
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("frame"),
            source: wgpu::ShaderSource::Wgsl(SHADER.into()),
        });
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("frame"),
            layout: None,
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("corner"),
                compilation_options: Default::default(),
                buffers: &[],
            },
            primitive: Default::default(),
            depth_stencil: None,
            multisample: Default::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("pixel"),
                compilation_options: Default::default(),
                targets: &[Some(texture.format().into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("frame"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: colours.as_entire_binding() }],
        });
        Self { places, outputs, colours, texture, pipeline, group }
    }

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
        pass.set_bind_group(0, &self.group, &[]);
        pass.draw(0..3, 0..1);
    }

    /// A copy of the frame that the host can read.
    fn copy(&self, device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let size = u64::from(4 * SIZE * SIZE);
        let copy =
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
        let layout =
            wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * SIZE), rows_per_image: Some(SIZE) };
        let into = wgpu::TexelCopyBufferInfo { buffer: &copy, layout };
        encoder.copy_texture_to_buffer(self.texture.as_image_copy(), into, self.texture.size());
        copy
    }

    fn read(&self, device: &wgpu::Device, copy: &wgpu::Buffer) -> Vec<u8> {
        copy.slice(..).map_async(wgpu::MapMode::Read, |mapped| mapped.expect("it maps"));
        device.poll(wgpu::PollType::wait_indefinitely()).expect("the frames end");
        copy.slice(..).get_mapped_range().expect("it is mapped").to_vec()
    }
}
