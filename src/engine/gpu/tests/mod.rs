//! Tests of the GPU engine: they compare the kernels with the f64 reference on every adapter.

pub(crate) mod engine;
pub(crate) mod ensemble;
#[cfg(feature = "test-backends")]
pub(crate) mod growth;
pub(crate) mod kernels;
#[cfg(feature = "test-backends")]
pub(crate) mod loops;
#[cfg(feature = "test-backends")]
pub(crate) mod planner;
#[cfg(feature = "test-backends")]
pub(crate) mod shaders;

use rayon::prelude::*;

use crate::{
    data::dataset::Dataset,
    device::adapters::AdapterFilter,
    diagnostics::case::{Case, PlanVariant, SMALL_TILE, network, test_values},
    engine::{
        gpu::{device::Gpu, run::engine::Engine},
        step::{Batch, StepGenerator},
    },
    error::Error,
    nn::{activation::Activation, loss::Loss, network::Network, parameters::LayerParameters},
    optim::optimizer::Optimizer,
    plan::matmul::{MatmulConfig, MatmulConfigs, Tile},
};

/// Opens all adapters whose name contains `WGPU_ADAPTER_NAME`, or all adapters if the variable is not set.
///
/// It panics if there is no adapter, unless `GRADUS_TEST_NO_GPU` is 1.
pub(crate) fn gpus() -> Vec<Gpu> {
    let found = pollster::block_on(AdapterFilter::default().list()).expect("adapters are listed");
    let name_filter = std::env::var("WGPU_ADAPTER_NAME").map(|name| name.to_lowercase()).unwrap_or_default();
    let infos =
        found.into_iter().map(|adapter| adapter.info).filter(|info| info.name.to_lowercase().contains(&name_filter));
    let gpus: Vec<_> = infos.map(|info| open(&info, None)).collect();
    let needs_gpu = std::env::var("GRADUS_TEST_NO_GPU").as_deref() != Ok("1");
    assert!(
        !gpus.is_empty() || !needs_gpu,
        "no adapter was found; run tests/run.sh, which installs one, or set GRADUS_TEST_NO_GPU=1"
    );
    gpus
}

/// Opens the device of an adapter, on the backend that listed it.
fn open(info: &wgpu::AdapterInfo, limits: Option<&wgpu::Limits>) -> Gpu {
    let filter = AdapterFilter { backends: Some(info.backend.into()), name: Some(info.name.clone()) };
    pollster::block_on(filter.open(limits)).expect("a device")
}

/// Returns the tiles that run on a device.
fn tiles(gpu: &Gpu) -> Vec<Tile> {
    Tile::ALL.iter().copied().filter(|tile| tile.runs_on(gpu)).collect()
}

/// Checks each case for its number of steps, on all cores, because the driver spends most of the time compiling.
fn check_all(gpu: &Gpu, cases: Vec<(Case, usize)>) {
    cases.into_par_iter().with_max_len(1).for_each(|(case, steps)| case.check(gpu, steps));
}

/// Returns whether to test only a selection of the kernels, which is the default: a software adapter takes seconds to
/// compile a kernel. `tests/run.sh --full` sets `GRADUS_TEST_FULL` to test all.
fn is_quick() -> bool {
    std::env::var("GRADUS_TEST_FULL").as_deref() != Ok("1")
}

/// One plan variant per scheme, with the tiles that compile fastest.
const VARIANTS: [PlanVariant; 5] = [
    PlanVariant::Planned,
    PlanVariant::Layered(Tile::Register, 3),
    PlanVariant::Fused(4),
    PlanVariant::SingleWorkgroup(SMALL_TILE),
    PlanVariant::SingleInvocation,
];

impl Case {
    /// Trains on the device and with the reference, and panics if a result differs.
    fn check(&self, gpu: &Gpu, steps: usize) {
        let compares_outputs = self.compares_outputs
            || (self.member_count == 1 && !self.has_dropout() && matches!(self.variant, PlanVariant::Planned));
        let case = Self { compares_outputs, ..self.clone() };
        let name = format!("{}: {self}", gpu.info.name);
        let worst = pollster::block_on(case.run(Some(gpu), steps)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(worst.passed(), "{name}: {worst:?}");
        gpu.check().expect("wgpu reports no error");
    }

    /// Creates the engine of this case. Its parameters are set, and its arenas are filled with NaN.
    fn build_engine(&self, gpu: &Gpu, data: Option<&Dataset>, chunk: Option<usize>) -> Engine {
        pollster::block_on(self.engine(gpu, data, chunk)).expect("an engine")
    }

    /// Returns the error of creating the engine of this case; `None` if it can be created.
    fn build_error(&self, gpu: &Gpu) -> Option<Error> {
        let plan = self.plan(gpu);
        pollster::block_on(Engine::new(gpu, self.engine_config(None, plan.as_ref()).expect("a step generator"))).err()
    }

    /// Returns the data set of this case.
    fn dataset(&self) -> Dataset {
        self.data().expect("a data set")
    }
}

/// Returns `optimizer`, or SGD if the comparison with the reference would be unstable: the gradients of L1 and hinge
/// loss all have the same magnitude, so their sums may be 0 except for rounding errors. An optimizer that uses the sign
/// of the gradient would amplify these errors.
fn optimizer_for_loss(loss: Loss, optimizer: Optimizer) -> Optimizer {
    let has_constant_gradients = matches!(loss, Loss::L1 | Loss::Hinge);
    if has_constant_gradients && optimizer.is_sign_sensitive() { Optimizer::sgd(0.1) } else { optimizer }
}

/// Returns a batch of a manual step, from inputs, targets and sample weights.
fn batch([inputs, targets, sample_weights]: &[Vec<f32>; 3]) -> Batch<'_> {
    Batch { inputs, targets, sample_weights: Some(sample_weights) }
}

/// Returns a network of hidden layers of width 4 with different activations. With `has_dropout`, every second layer has
/// dropout.
fn hidden_layers(layers: usize, has_dropout: bool) -> Network {
    let activations = [Activation::Relu, Activation::Tanh, Activation::Gelu];
    let mut network = Network::new(2);
    for layer in 0..layers {
        network = network.dense(4, activations[layer % activations.len()]);
        if has_dropout && layer % 2 == 0 {
            network = network.dropout(0.1);
        }
    }
    network
}
