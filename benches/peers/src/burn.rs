//! burn on a Vulkan adapter and on its CPU backends, with the layers, the loss and the optimizer of burn.

use burn::{
    module::Module,
    nn::{
        Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::{GradientsParams, ModuleOptimizer, SgdConfig},
    tensor::{
        Device, DeviceKind, Int, Tensor, TensorData, Transaction,
        activation::sigmoid,
        wgpu::{
            WgpuBackend,
            wgpu::{AdapterInfo, Backends, DeviceType, Instance, InstanceDescriptor},
        },
    },
};

use crate::{BATCHES, LEARNING_RATE, Peer, Permutation, Result, Trainer, values, version};

/// burn on a device.
pub struct Burn {
    device: Device,
    name: String,
    is_gpu: bool,
}

impl Burn {
    /// Opens the Vulkan adapter whose name contains `adapter`, or the one that burn selects.
    pub fn vulkan(adapter: Option<&str>) -> Result<Self> {
        let kind = adapter.map_or(Ok(DeviceKind::DefaultDevice), find_kind)?;
        let options = Device::wgpu_options().graphics_api(WgpuBackend::Vulkan).device_kind(kind);
        let (device, setup) = options.init_with_setup()?;
        let info = setup.adapter.get_info();
        if let Some(name) = adapter
            && !has_name(&info, name)
        {
            return Err(format!("--adapter {name}: burn selected another adapter, {}", info.name).into());
        }
        let language = if cfg!(feature = "spirv") { "SPIR-V" } else { "WGSL" };
        let name = format!("Vulkan {language}, {} {}", info.name, info.driver_info);
        Ok(Self::on(device, &name, info.device_type != DeviceType::Cpu))
    }

    pub fn flex() -> Self {
        Self::on(Device::flex(), "flex", false)
    }

    #[expect(deprecated, reason = "the comparison shows whether its successor is faster")]
    pub fn ndarray() -> Self {
        Self::on(Device::ndarray(), "ndarray", false)
    }

    fn on(device: Device, name: &str, is_gpu: bool) -> Self {
        Self { device: device.autodiff(), name: format!("burn {} {}", version("burn"), name.trim()), is_gpu }
    }
}

fn has_name(info: &AdapterInfo, name: &str) -> bool {
    info.name.to_lowercase().contains(&name.to_lowercase())
}

/// Returns how burn identifies an adapter: by its type, and its index among the adapters of that type.
fn find_kind(name: &str) -> Result<DeviceKind> {
    let descriptor =
        InstanceDescriptor { backends: Backends::VULKAN, ..InstanceDescriptor::new_without_display_handle() };
    let adapters = pollster::block_on(Instance::new(descriptor).enumerate_adapters(Backends::VULKAN));
    let adapters = adapters.iter().map(|adapter| adapter.get_info()).collect::<Vec<_>>();
    let Some(found) = adapters.iter().position(|info| has_name(info, name)) else {
        let names = adapters.into_iter().map(|info| info.name).collect::<Vec<_>>().join(", ");
        return Err(format!("--adapter {name}: no Vulkan adapter with this name; found: {names}").into());
    };
    let kind = adapters[found].device_type;
    let index = adapters[..found].iter().filter(|info| info.device_type == kind).count();
    match kind {
        DeviceType::DiscreteGpu => Ok(DeviceKind::DiscreteGpu(index)),
        DeviceType::IntegratedGpu => Ok(DeviceKind::IntegratedGpu(index)),
        DeviceType::VirtualGpu => Ok(DeviceKind::VirtualGpu(index)),
        // burn has no index for software adapters. `Burn::vulkan` checks which one burn selected.
        DeviceType::Cpu => Ok(DeviceKind::Cpu),
        DeviceType::Other => Err(format!("burn cannot select the adapter {}", adapters[found].name).into()),
    }
}

impl Peer for Burn {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn is_gpu(&self) -> bool {
        self.is_gpu
    }

    fn trainer(&self, layer_sizes: &[usize], permutation: Permutation) -> Result<Box<dyn Trainer>> {
        let device = &self.device;
        let layers = layer_sizes.windows(2).map(|pair| LinearConfig::new(pair[0], pair[1]).init(device)).collect();
        let data = |width: usize| {
            let rows = BATCHES * permutation.batch_size;
            Tensor::from_data(TensorData::new(values(rows * width), [rows, width]), device)
        };
        Ok(Box::new(BurnTrainer {
            network: Some(Network { layers }),
            optimizer: SgdConfig::new().init(),
            inputs: data(layer_sizes[0]),
            targets: data(layer_sizes[layer_sizes.len() - 1]),
            rows: Tensor::empty([0], device),
            permutation,
            completed_steps: 0,
        }))
    }
}

#[derive(Module, Debug)]
struct Network {
    layers: Vec<Linear>,
}

impl Network {
    fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        self.layers.iter().fold(inputs, |activations, layer| sigmoid(layer.forward(activations)))
    }
}

/// A network with its optimizer and its data.
struct BurnTrainer {
    /// The network. It is `None` only during a step, because the optimizer takes it by value.
    network: Option<Network>,
    optimizer: ModuleOptimizer,
    inputs: Tensor<2>,
    targets: Tensor<2>,
    permutation: Permutation,
    /// The permutation of the current epoch.
    rows: Tensor<1, Int>,
    completed_steps: usize,
}

impl BurnTrainer {
    /// Runs a step and returns its loss, which stays on the device.
    fn step(&mut self) -> Tensor<1> {
        if self.completed_steps.is_multiple_of(BATCHES) {
            self.rows = Tensor::from_data(self.permutation.next_epoch(), &self.inputs.device());
        }
        let batch_size = self.permutation.batch_size;
        let first = self.completed_steps % BATCHES * batch_size;
        self.completed_steps += 1;
        let rows = self.rows.clone().narrow(0, first, batch_size);
        let network = self.network.take().expect("every step puts the network back");
        let outputs = network.forward(self.inputs.clone().select(0, rows.clone()));
        let loss = MseLoss::new().forward(outputs, self.targets.clone().select(0, rows), Reduction::Mean);
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        self.network = Some(self.optimizer.step(LEARNING_RATE, network, gradients));
        loss.without_autodiff()
    }
}

impl Trainer for BurnTrainer {
    fn run(&mut self, steps: usize) -> Result<Vec<f32>> {
        let losses = (0..steps).fold(Transaction::default(), |losses, _| losses.register(self.step()));
        losses.try_execute()?.into_iter().map(|loss| Ok(loss.try_to_vec::<f32>()?[0])).collect()
    }
}
