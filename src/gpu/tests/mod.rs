//! The kernels against the reference, on every adapter that is there.

mod engine;
mod ensemble;
mod kernels;
mod shaders;

use super::{
    Gpu,
    adapters::Search,
    draft::{Setup, identity},
    engine::Engine,
};
use crate::{
    Activation, Dataset, Init, LayerParameters, Loss, Network, Norm, Optimizer,
    cpu::reference::{Parameters, Reference},
    order::Order,
    plan::{Plan, Scheme, Tile, Way, Ways},
    step::{Batch, Course},
};

/// Every adapter there is, or those that `WGPU_ADAPTER_NAME` means. None is a failure, unless the environment says so.
fn gpus() -> Vec<Gpu> {
    let found = pollster::block_on(Search::default().report()).expect("adapters are listed");
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
    let search = Search { backends: Some(info.backend.into()), name: Some(info.name.clone()) };
    pollster::block_on(search.open(limits)).expect("the adapter gives a device")
}

/// The tiles that run on a device.
fn tiles(gpu: &Gpu) -> Vec<Tile> {
    Tile::ALL.iter().copied().filter(|tile| tile.runs_on(gpu)).collect()
}

/// Which scheme a test trains by.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// The planner's own.
    Planned,
    /// Each product in so many parts.
    Layered(Tile, usize),
    Fused(Tile),
    Tiny(Tile),
    Lane,
}

impl Form {
    fn scheme(self, layers: usize) -> Option<Scheme> {
        let ways = |tile, parts| Ways::all(layers, Way { tile, parts });
        match self {
            Self::Planned => None,
            Self::Layered(tile, parts) => Some(Scheme::Layered(ways(tile, parts))),
            Self::Fused(tile) => Some(Scheme::Fused { rows: tile.size()[0].next_multiple_of(64), ways: ways(tile, 1) }),
            Self::Lane => Some(Scheme::Lane { steps: 3, lanes: 8 }),
            Self::Tiny(tile) => Some(Scheme::Tiny { steps: 3, ways: ways(tile, 1) }),
        }
    }
}

/// Every form, with the tiles that are the quickest to compile.
const FORMS: [Form; 5] = {
    let small = Tile::Sliced { lanes: 8, split: 1 };
    [Form::Planned, Form::Layered(Tile::Plain, 3), Form::Fused(Tile::Plain), Form::Tiny(small), Form::Lane]
};

/// Numbers from -1 to 1 in which swapped rows and columns show: 251 is a prime.
fn numbers(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + seed * 101) % 251) as f32 / 125.0 - 1.0).collect()
}

/// What a test trains: a network, and for every model its own parameters, rate and order of the rows.
struct Case {
    network: Network,
    loss: Loss,
    optimizer: Optimizer,
    accumulate: u64,
    batch: usize,
    rows: usize,
    models: usize,
    form: Form,
    weighted: bool,
    noise: f32,
}

impl Case {
    fn new(network: Network, form: Form) -> Self {
        let optimizer = Optimizer::sgd(0.7);
        let (weighted, noise) = (false, 0.0);
        let (loss, accumulate) = (Loss::Mse, 1);
        Self { network, loss, optimizer, accumulate, batch: 6, rows: 17, models: 1, form, weighted, noise }
    }

    /// Features from -1 to 1 and answers from 0 to 1; softmax gets classes. Weights go from 0 to 2.
    fn data(&self) -> Dataset {
        let data = self.unweighted();
        let weights = (0..self.rows).map(|row| (row % 5) as f32 * 0.5).collect::<Vec<_>>();
        if self.weighted { data.with_weights(weights).expect("a weight a row") } else { data }
    }

    fn unweighted(&self) -> Dataset {
        let features = numbers(self.rows * self.network.inputs(), 1);
        let outputs = self.network.outputs();
        if self.loss.looks_at_the_row() {
            let classes: Vec<u32> = (0..self.rows).map(|row| (row * 7 % outputs) as u32).collect();
            return Dataset::new(self.rows, features, classes).expect("a data set");
        }
        let answers = numbers(self.rows * outputs, 2).iter().map(|v| 0.5 * v + 0.5).collect::<Vec<_>>();
        Dataset::new(self.rows, features, answers).expect("a data set")
    }

    fn course(&self, model: usize) -> Course {
        let learning_rate = self.optimizer.learning_rate * (1.0 + 0.5 * model as f64);
        let optimizer = Optimizer { learning_rate, ..self.optimizer };
        let outputs = self.network.outputs();
        Course {
            rows: self.rows,
            subset: None,
            batch: self.batch,
            outputs,
            loss: self.loss,
            optimizer,
            schedule: crate::Schedule::Constant,
            accumulate: self.accumulate,
            seed: 40 + model as u64,
            dropout: None,
        }
    }

    /// Parameters of a model; biases are not 0, so that a kernel without them shows.
    fn parameters(&self, model: usize) -> Vec<LayerParameters> {
        let network = self.network.clone().init(Init::LecunNormal, Init::Uniform { limit: 0.5 });
        let mut layers = network.layout().layers(&network.initial(model as u64).unwrap());
        network.put_statistics(&network.first_statistics(), &mut layers);
        layers
    }

    /// What an engine is made of for it.
    fn setup<'a>(&'a self, data: Option<&'a Dataset>, plan: Option<&'a Plan>) -> Setup<'a> {
        let (courses, weighted, noise) = (vec![self.course(0)], self.weighted, self.noise);
        Setup {
            network: &self.network,
            courses,
            data,
            uploaded: None,
            streams: false,
            shuffle: true,
            chunk: None,
            plan,
            weighted,
            noise,
        }
    }

    /// The plan of its form.
    fn plan(&self, gpu: &Gpu) -> Option<Plan> {
        let of = identity(gpu, &self.network, self.batch);
        let scheme = self.form.scheme(self.network.layers().len());
        scheme.map(|scheme| Plan { of, scheme, table: Vec::new() })
    }

    /// The engine with its parameters, every arena poisoned with NaN wherever a kernel has to write before it reads.
    fn engine(&self, gpu: &Gpu, data: Option<&Dataset>, chunk: Option<usize>) -> Engine {
        let courses = (0..self.models).map(|model| self.course(model)).collect();
        let plan = self.plan(gpu);
        let setup = Setup { courses, chunk, ..self.setup(data, plan.as_ref()) };
        let mut engine = pollster::block_on(Engine::new(gpu, setup)).expect("an engine");
        let layout = self.network.layout();
        let flat = (0..self.models).flat_map(|model| {
            let mut flat = layout.flat(&self.parameters(model));
            for (place, next) in layout.places.iter().zip(layout.places.iter().skip(1)) {
                let end = place.offset + (place.inputs + place.vectors).next_multiple_of(4) * place.stride;
                flat[end..next.offset].fill(f32::NAN);
            }
            flat
        });
        let statistics = self.network.first_statistics().repeat(self.models);
        engine.set_parameters(&flat.collect::<Vec<_>>(), &statistics);
        for buffer in [&engine.buffers.activations, &engine.buffers.deltas] {
            gpu.upload(buffer, 0, bytemuck::cast_slice(&vec![f32::NAN; buffer.size() as usize / 4]));
        }
        engine
    }

    /// The reference that a model is judged by.
    fn reference(&self, model: usize) -> Reference {
        let optimizer = self.course(model).optimizer;
        let reference = Reference::new(&self.network, self.loss, optimizer, &self.parameters(model));
        reference.expect("a reference").accumulating(self.accumulate)
    }

    /// The rows of a model's step and their weights, as the reference takes them.
    fn batch_of(&self, data: &Dataset, model: usize, step: u64) -> [Vec<f64>; 3] {
        let step = self.course(model).step(step, step);
        let order = Order::new(self.rows as u32, step.key);
        let [mut inputs, mut expected, mut weights] = [const { Vec::new() }; 3];
        let (mut x, mut t) = (vec![0.0; self.network.inputs()], vec![0.0; self.network.outputs()]);
        for place in step.first..step.first + step.rows {
            data.write_features(order.row(place) as usize, &mut x);
            data.write_expected(order.row(place) as usize, &mut t);
            weights.push(f64::from(data.weight(order.row(place) as usize)));
            if self.noise > 0.0 {
                crate::cpu::noise::add(self.noise, step.key, place, &mut x);
            }
            inputs.extend(x.iter().map(|v| f64::from(*v)));
            expected.extend(t.iter().map(|v| f64::from(*v)));
        }
        [inputs, expected, weights]
    }

    /// Dropout's factors in a model's step, as the reference takes them.
    fn factors(&self, model: usize, step: u64) -> Vec<Vec<f64>> {
        let step = self.course(model).step(step, step);
        self.network.dropout_factors(step.key, step.first, step.rows)
    }

    /// Trains on the device and in the reference, and compares losses, parameters, gradients and predictions.
    fn check(&self, gpu: &Gpu, steps: usize) {
        let what = format!(
            "{} {:?} {} x {} {:?} batch {} x {} rows {} models {}",
            gpu.info.name,
            self.form,
            self.loss,
            self.optimizer.name(),
            self.widths(),
            self.accumulate,
            self.batch,
            self.rows,
            self.models
        );
        let data = self.data();
        let mut engine = self.engine(gpu, Some(&data), None);
        let metrics = pollster::block_on(engine.run(0, 0, steps)).expect("training runs");
        let flat = pollster::block_on(engine.parameters()).expect("parameters come back");
        let layout = self.network.layout();
        for model in 0..self.models {
            let mut reference = self.reference(model);
            for step in 0..steps {
                let [inputs, expected, weights] = self.batch_of(&data, model, step as u64);
                let factors = self.factors(model, step as u64);
                let loss = reference.step_with_factors(&inputs, &expected, &weights, factors).expect("a step");
                let ours = f64::from(metrics[step * self.models + model][0]);
                assert!(
                    (ours - loss).abs() <= self.tolerance() * loss.abs().max(0.01),
                    "{what}: loss {ours}, not {loss}"
                );
            }
            let ours = layout.layers(&flat[model * layout.len..(model + 1) * layout.len]);
            self.compare(&what, &ours, reference.parameters());
        }
        // Gradients and predictions take the planner's ways, whatever the form.
        if self.models == 1
            && self.network.layers().iter().all(|l| l.dropout == 0.0)
            && matches!(self.form, Form::Planned | Form::Layered(Tile::Plain, _))
        {
            let [inputs, expected, weights] = self.batch_of(&data, 0, 0);
            let f32s = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<_>>();
            engine.set_parameters(&layout.flat(&self.parameters(0)), &self.network.first_statistics());
            let brought = [&inputs, &expected, &weights].map(|values| f32s(values));
            let ours = pollster::block_on(engine.gradients(batch(&brought), self.course(0).step(0, 0)));
            let ours = ours.expect("gradients");
            self.compare(
                &what,
                &layout.layers(&ours),
                &self.reference(0).gradients_weighted(&inputs, &expected, &weights).expect("gradients"),
            );
            let ours = pollster::block_on(engine.predict(&f32s(&inputs))).expect("predictions");
            close(
                &format!("{what}: outputs"),
                &ours,
                &self.reference(0).predict(&inputs).expect("outputs"),
                self.tolerance(),
            );
        }
        gpu.check().expect("no complaint from wgpu");
    }

    fn compare(&self, what: &str, ours: &[LayerParameters], reference: &[Parameters]) {
        for (i, (ours, theirs)) in ours.iter().zip(reference).enumerate() {
            for (name, ours, theirs) in [
                ("weights", &ours.weight, &theirs.weight),
                ("biases", &ours.bias, &theirs.bias),
                ("gains", &ours.gain, &theirs.gain),
                ("shifts", &ours.shift, &theirs.shift),
                ("slopes", &ours.slope, &theirs.slope),
            ] {
                // A batch norm takes away what a bias adds: its gradient is 0 but for rounding.
                let is_idle = name == "biases" && self.network.layers()[i].norm == Some(Norm::Batch);
                let tolerance = if is_idle { 1.0 } else { self.tolerance() };
                close(&format!("{what}: {name} {i}"), ours, theirs, tolerance);
            }
        }
    }

    fn widths(&self) -> Vec<usize> {
        std::iter::once(self.network.inputs()).chain(self.network.layers().iter().map(|l| l.outputs)).collect()
    }

    /// Of a tensor's largest entry: the bound of a sum of K terms in f32, K being the longest, with room for the
    /// activations and for the layers after.
    fn tolerance(&self) -> f64 {
        // The formulas of these are compared by themselves, in `cpu/update`.
        if self.optimizer.rounds_coarsely() {
            return 5e-3;
        }
        let longest = self.widths().into_iter().chain([self.batch]).max().unwrap_or(1);
        let rounded = 2e-6 * self.network.layers().len() as f64 + 2.0 * longest as f64 * f64::from(f32::EPSILON / 2.0);
        // A norm over a few rows or neurons divides by what is small at times, and what was rounded grows.
        if self.network.has_vectors() { 10.0 * rounded } else { rounded }
    }
}

/// The optimizer, or the textbook's beside a loss whose gradients are all of one size: their sums may be 0 but for rounding,
/// and a step that follows the sign would follow that.
fn steady(loss: Loss, optimizer: Optimizer) -> Optimizer {
    let is_steep = matches!(loss, Loss::L1 | Loss::Hinge);
    if is_steep && optimizer.rounds_coarsely() { Optimizer::sgd(0.1) } else { optimizer }
}

/// Fails unless every value is within `tolerance` of the largest of the reference's.
fn close(what: &str, ours: &[f32], reference: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), reference.len(), "{what}");
    let largest = reference.iter().fold(1e-6, |m: f64, v| m.max(v.abs()));
    for (i, (ours, theirs)) in ours.iter().zip(reference).enumerate() {
        let error = (f64::from(*ours) - theirs).abs() / largest;
        assert!(error <= tolerance, "{what}: {ours} instead of {theirs} at {i}, {error:e} of the largest entry");
    }
}

/// Inputs, expected outputs and weights that are brought by hand.
fn batch([inputs, expected, weights]: &[Vec<f32>; 3]) -> Batch<'_> {
    Batch { inputs, expected, weights: Some(weights) }
}

/// A network of these widths with one activation everywhere.
fn network(widths: &[usize], activation: Activation) -> Network {
    widths[1..].iter().fold(Network::new(widths[0]), |network, n| network.dense(*n, activation))
}
