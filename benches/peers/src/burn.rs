//! burn on a Vulkan adapter and on its CPU backends, with its own layers, loss and optimizer.

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

use crate::{BATCHES, Order, Peer, RATE, Result, Trainer, numbers, version};

/// burn on a device.
pub struct Burn {
    device: Device,
    name: String,
    is_gpu: bool,
}

impl Burn {
    /// On the Vulkan adapter with this in its name, or on the one that burn takes.
    pub fn vulkan(adapter: Option<&str>) -> Result<Self> {
        let kind = adapter.map_or(Ok(DeviceKind::DefaultDevice), find)?;
        let options = Device::wgpu_options().graphics_api(WgpuBackend::Vulkan).device_kind(kind);
        let (device, setup) = options.init_with_setup()?;
        let info = setup.adapter.get_info();
        if !adapter.is_none_or(|name| is_called(&info, name)) {
            return Err(format!("burn took {} instead", info.name).into());
        }
        let language = if cfg!(feature = "spirv") { "SPIR-V" } else { "WGSL" };
        let name = format!("Vulkan {language}, {} {}", info.name, info.driver_info);
        Ok(Self::on(device, &name, info.device_type != DeviceType::Cpu))
    }

    pub fn flex() -> Self {
        Self::on(Device::flex(), "flex", false)
    }

    #[expect(deprecated, reason = "to see whether its successor is faster")]
    pub fn ndarray() -> Self {
        Self::on(Device::ndarray(), "ndarray", false)
    }

    fn on(device: Device, name: &str, is_gpu: bool) -> Self {
        Self { device: device.autodiff(), name: format!("burn {} {}", version("burn"), name.trim()), is_gpu }
    }
}

fn is_called(info: &AdapterInfo, name: &str) -> bool {
    info.name.to_lowercase().contains(&name.to_lowercase())
}

/// The adapter as burn names it: by its type and its place among the adapters of that type.
fn find(name: &str) -> Result<DeviceKind> {
    let descriptor =
        InstanceDescriptor { backends: Backends::VULKAN, ..InstanceDescriptor::new_without_display_handle() };
    let adapters = pollster::block_on(Instance::new(descriptor).enumerate_adapters(Backends::VULKAN));
    let adapters = adapters.iter().map(|adapter| adapter.get_info()).collect::<Vec<_>>();
    let Some(found) = adapters.iter().position(|info| is_called(info, name)) else {
        let names = adapters.into_iter().map(|info| info.name).collect::<Vec<_>>().join(", ");
        return Err(format!("no Vulkan adapter is called {name}; there is {names}").into());
    };
    let kind = adapters[found].device_type;
    let place = adapters[..found].iter().filter(|info| info.device_type == kind).count();
    match kind {
        DeviceType::DiscreteGpu => Ok(DeviceKind::DiscreteGpu(place)),
        DeviceType::IntegratedGpu => Ok(DeviceKind::IntegratedGpu(place)),
        DeviceType::VirtualGpu => Ok(DeviceKind::VirtualGpu(place)),
        // burn knows one of them only; which it took is looked at when it has.
        DeviceType::Cpu => Ok(DeviceKind::Cpu),
        DeviceType::Other => Err(format!("burn cannot be told to take {}", adapters[found].name).into()),
    }
}

impl Peer for Burn {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn is_gpu(&self) -> bool {
        self.is_gpu
    }

    fn trainer(&self, widths: &[usize], order: Order) -> Result<Box<dyn Trainer>> {
        let device = &self.device;
        let layers = widths.windows(2).map(|pair| LinearConfig::new(pair[0], pair[1]).init(device)).collect();
        let data = |width: usize| {
            let rows = BATCHES * order.batch;
            Tensor::from_data(TensorData::new(numbers(rows * width), [rows, width]), device)
        };
        Ok(Box::new(Training {
            network: Some(Network { layers }),
            optimizer: SgdConfig::new().init(),
            inputs: data(widths[0]),
            targets: data(widths[widths.len() - 1]),
            rows: Tensor::empty([0], device),
            order,
            done: 0,
        }))
    }
}

#[derive(Module, Debug)]
struct Network {
    layers: Vec<Linear>,
}

impl Network {
    fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        self.layers.iter().fold(inputs, |values, layer| sigmoid(layer.forward(values)))
    }
}

struct Training {
    /// Always there between two steps.
    network: Option<Network>,
    optimizer: ModuleOptimizer,
    inputs: Tensor<2>,
    targets: Tensor<2>,
    order: Order,
    rows: Tensor<1, Int>,
    done: usize,
}

impl Training {
    /// Takes a step and gives its loss, which stays on the device.
    fn step(&mut self) -> Tensor<1> {
        if self.done.is_multiple_of(BATCHES) {
            self.rows = Tensor::from_data(self.order.next(), &self.inputs.device());
        }
        let first = self.done % BATCHES * self.order.batch;
        self.done += 1;
        let rows = self.rows.clone().narrow(0, first, self.order.batch);
        let network = self.network.take().expect("a step leaves a network");
        let outputs = network.forward(self.inputs.clone().select(0, rows.clone()));
        let loss = MseLoss::new().forward(outputs, self.targets.clone().select(0, rows), Reduction::Mean);
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        self.network = Some(self.optimizer.step(RATE, network, gradients));
        loss.without_autodiff()
    }
}

impl Trainer for Training {
    fn run(&mut self, steps: usize) -> Result<Vec<f32>> {
        let losses = (0..steps).fold(Transaction::default(), |losses, _| losses.register(self.step()));
        losses.try_execute()?.into_iter().map(|loss| Ok(loss.try_to_vec::<f32>()?[0])).collect()
    }
}
