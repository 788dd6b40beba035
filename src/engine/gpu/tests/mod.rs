//! The kernels against the reference, on every adapter that is there.

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
    nn::{activation::Activation, layout::LayerParameters, loss::Loss, network::Network},
    optim::optimizer::Optimizer,
    plan::{MatmulConfig, MatmulConfigs, Tile},
};

/// Every adapter there is, or those that `WGPU_ADAPTER_NAME` means. None is a failure, unless the environment says so.
pub(crate) fn gpus() -> Vec<Gpu> {
    let found = pollster::block_on(AdapterFilter::default().list()).expect("adapters are listed");
    let wanted = std::env::var("WGPU_ADAPTER_NAME").map(|name| name.to_lowercase()).unwrap_or_default();
    let infos = found.into_iter().map(|adapter| adapter.info).filter(|info| info.name.to_lowercase().contains(&wanted));
    let gpus: Vec<_> = infos.map(|info| open(&info, None)).collect();
    let is_wanted = std::env::var("GRADUS_TEST_NO_GPU").as_deref() != Ok("1");
    assert!(
        !gpus.is_empty() || !is_wanted,
        "no adapter: run tests/run.sh, which installs one, or GRADUS_TEST_NO_GPU=1"
    );
    gpus
}

/// The device of that adapter, on the backend where it was found.
fn open(info: &wgpu::AdapterInfo, limits: Option<&wgpu::Limits>) -> Gpu {
    let search = AdapterFilter { backends: Some(info.backend.into()), name: Some(info.name.clone()) };
    pollster::block_on(search.open(limits)).expect("the adapter gives a device")
}

/// The tiles that run on a device.
fn tiles(gpu: &Gpu) -> Vec<Tile> {
    Tile::ALL.iter().copied().filter(|tile| tile.runs_on(gpu)).collect()
}

/// Checks so many steps of each on all cores, since a driver compiles most of the time.
fn check_all(gpu: &Gpu, cases: Vec<(Case, usize)>) {
    cases.into_par_iter().with_max_len(1).for_each(|(case, steps)| case.check(gpu, steps));
}

/// Whether to run the short selection of kernels, which is the default: a software adapter takes seconds to compile most
/// of them. `tests/run.sh --full` sets the variable.
fn is_quick() -> bool {
    std::env::var("GRADUS_TEST_FULL").as_deref() != Ok("1")
}

/// Every form, with the tiles that are the quickest to compile.
const VARIANTS: [PlanVariant; 5] = [
    PlanVariant::Planned,
    PlanVariant::Layered(Tile::Register, 3),
    PlanVariant::Fused(4),
    PlanVariant::SingleWorkgroup(SMALL_TILE),
    PlanVariant::SingleInvocation,
];

impl Case {
    /// Trains on the device and in the reference, and fails unless all that comes out is the same.
    fn check(&self, gpu: &Gpu, steps: usize) {
        let answers = self.compares_outputs
            || (self.member_count == 1 && !self.has_dropout() && matches!(self.variant, PlanVariant::Planned));
        let this = Self { compares_outputs: answers, ..self.clone() };
        let what = format!("{}: {self}", gpu.info.name);
        let found = pollster::block_on(this.run(Some(gpu), steps)).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(found.passed(), "{what}: {found:?}");
        gpu.check().expect("no complaint from wgpu");
    }

    /// The engine with its parameters, its arenas poisoned.
    fn build_engine(&self, gpu: &Gpu, data: Option<&Dataset>, chunk: Option<usize>) -> Engine {
        pollster::block_on(self.engine(gpu, data, chunk)).expect("an engine")
    }

    /// Why there is no engine for it.
    fn build_error(&self, gpu: &Gpu) -> Option<crate::error::Error> {
        let plan = self.plan(gpu);
        pollster::block_on(Engine::new(gpu, self.engine_config(None, plan.as_ref()).expect("a course"))).err()
    }

    /// Its data set.
    fn rows(&self) -> Dataset {
        self.data().expect("a data set")
    }
}

/// The optimizer, or the textbook's beside a loss whose gradients are all of one size: their sums may be 0 but for rounding,
/// and a step that follows the sign would follow that.
fn steady_optimizer(loss: Loss, optimizer: Optimizer) -> Optimizer {
    let is_steep = matches!(loss, Loss::L1 | Loss::Hinge);
    if is_steep && optimizer.is_sign_sensitive() { Optimizer::sgd(0.1) } else { optimizer }
}

/// Inputs, expected outputs and weights that are brought by hand.
fn batch([inputs, expected, weights]: &[Vec<f32>; 3]) -> Batch<'_> {
    Batch { inputs, targets: expected, sample_weights: Some(weights) }
}

/// Hidden layers of width 4, whose activations differ and some of whose outputs are dropped.
fn hidden(layers: usize, drops: bool) -> Network {
    let activations = [Activation::Relu, Activation::Tanh, Activation::Gelu];
    (0..layers).fold(Network::new(2), |network, l| {
        let network = network.dense(4, activations[l % activations.len()]);
        if drops && l % 2 == 0 { network.dropout(0.1) } else { network }
    })
}
