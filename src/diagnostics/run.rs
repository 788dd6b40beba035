//! A case trained on a machine beside the reference, and all that comes out compared.

use crate::{
    data::dataset::Dataset,
    diagnostics::{case::Case, worst_error::Found},
    engine::{
        cpu,
        cpu::dataset_run::CpuDatasetRun,
        gpu::{
            device::Gpu,
            run::{
                engine::Engine,
                engine_layout::{Metric, Setup, identity},
            },
        },
        reference::{Reference, formulas::Parameters},
        step::Batch,
    },
    error::Result,
    nn::{layout::LayerParameters, normalization::Norm},
    optim::schedule::Schedule,
    plan::Plan,
    train::run_report::Report,
};

/// How close to the threshold, or to the next class, an output may come to be counted as either.
const UNSURE: f64 = 1e-3;

/// What is compared of two trainings that are the same.
const AGAIN: &str = "bits of the same training again";

/// What a training brought: metrics `[step][model]`, and of all models the parameters, their averages and the running
/// statistics, flat.
struct Trained {
    metrics: Vec<Metric>,
    parameters: Vec<f32>,
    averages: Option<Vec<f32>>,
    statistics: Vec<f32>,
}

impl Trained {
    /// All of it, to the last bit.
    fn bits(&self) -> Vec<u32> {
        let Self { metrics, parameters, averages, statistics } = self;
        let numbers = [metrics.as_flattened(), parameters, averages.as_deref().unwrap_or_default(), statistics];
        numbers.concat().into_iter().map(f32::to_bits).collect()
    }
}

impl Case {
    /// Trains on a GPU, or on the CPU if there is none, and in the reference, and compares losses, right answers, parameters, gradients and predictions; and
    /// trains again, which has to give the same bits.
    ///
    /// # Errors
    /// Whatever goes wrong before there is something to compare.
    pub(crate) async fn run(&self, gpu: Option<&Gpu>, steps: usize) -> Result<Found> {
        let data = self.data()?;
        let mut found = Found::default();
        match gpu {
            Some(gpu) => {
                let gpu = gpu.afresh(self.most_bytes);
                let (mut engine, trained) = self.on_gpu(&gpu, &data, steps).await?;
                self.judge(&mut found, &data, &trained, steps)?;
                if self.answers {
                    self.judge_more(&mut found, &mut engine, &data, &trained).await?;
                }
                drop(engine);
                let (_, again) = self.on_gpu(&gpu, &data, steps).await?;
                found.same(AGAIN, &again.bits(), &trained.bits());
                gpu.check()?;
            }
            None => {
                let (engine, trained) = self.on_cpu(&data, steps)?;
                self.judge(&mut found, &data, &trained, steps)?;
                if self.answers {
                    let layers = self.network.layers_of(engine.parameters(), engine.statistics());
                    let (inputs, outputs) = self.predicted(&data, &layers)?;
                    found.compare("outputs", &engine.predict(&inputs), &outputs, self.tolerance());
                }
                let (_, again) = self.on_cpu(&data, steps)?;
                found.same(AGAIN, &again.bits(), &trained.bits());
            }
        }
        Ok(found)
    }

    /// What an engine is made of for it.
    pub(crate) fn setup<'a>(&'a self, data: Option<&'a Dataset>, plan: Option<&'a Plan>) -> Result<Setup<'a>> {
        Ok(Setup {
            network: &self.network,
            courses: (0..self.models).map(|model| self.course(model)).collect::<Result<_>>()?,
            data,
            uploaded: None,
            streams: false,
            shuffle: self.shuffle,
            chunk: None,
            plan,
            weighted: self.weighted,
            noise: self.noise,
        })
    }

    /// The plan of its form.
    pub(crate) fn plan(&self, gpu: &Gpu) -> Option<Plan> {
        let of = identity(gpu, &self.network, self.batch);
        let scheme = self.form.scheme(self.network.layers().len());
        scheme.map(|scheme| Plan { of, scheme, table: Vec::new() })
    }

    /// The engine with its parameters, every arena poisoned with NaN wherever a kernel has to write before it reads.
    pub(crate) async fn engine(&self, gpu: &Gpu, data: Option<&Dataset>, chunk: Option<usize>) -> Result<Engine> {
        let plan = self.plan(gpu);
        let setup = Setup { chunk, ..self.setup(data, plan.as_ref())? };
        let mut engine = Engine::new(gpu, setup).await?;
        let layout = self.network.layout();
        let mut all = Vec::with_capacity(self.models * layout.len);
        for model in 0..self.models {
            let mut flat = layout.flat(&self.parameters(model)?);
            for (place, next) in layout.places().zip(layout.places().skip(1)) {
                let end = place.offset + (place.inputs + place.vectors).next_multiple_of(4) * place.stride;
                flat[end..next.offset].fill(f32::NAN);
            }
            all.extend(flat);
        }
        engine.set_parameters(&all, &self.network.first_statistics().repeat(self.models));
        engine.poison();
        Ok(engine)
    }

    /// An engine that has trained all models, and what it brought.
    async fn on_gpu(&self, gpu: &Gpu, data: &Dataset, steps: usize) -> Result<(Engine, Trained)> {
        let mut engine = self.engine(gpu, Some(data), None).await?;
        let metrics = engine.run(0, 0, steps).await?;
        let (parameters, averages) = (engine.parameters().await?, engine.average().await?);
        let trained = Trained { metrics, parameters, averages, statistics: engine.statistics().await? };
        Ok((engine, trained))
    }

    /// The CPU engine of the first model, and what all of them brought.
    fn on_cpu(&self, data: &Dataset, steps: usize) -> Result<(cpu::engine::Engine, Trained)> {
        let engines = (0..self.models).map(|model| self.model_on_cpu(data, model, steps));
        let (mut engines, reports): (Vec<_>, Vec<Report>) = engines.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let metric = |step: usize| reports.iter().map(move |r| [r.losses[step], r.right[step] as f32]);
        let all = |of: fn(&cpu::engine::Engine) -> Vec<f32>| engines.iter().flat_map(of).collect::<Vec<_>>();
        let averages = engines.iter().map(cpu::engine::Engine::average).collect::<Option<Vec<_>>>();
        let trained = Trained {
            metrics: (0..steps).flat_map(metric).collect(),
            parameters: all(|engine| engine.parameters().to_vec()),
            averages: averages.map(|averages| averages.concat()),
            statistics: all(|engine| engine.statistics().to_vec()),
        };
        Ok((engines.swap_remove(0), trained))
    }

    /// A model trained by the CPU engine, and what it told.
    fn model_on_cpu(&self, data: &Dataset, model: usize, steps: usize) -> Result<(cpu::engine::Engine, Report)> {
        let (network, mut course) = (self.network_of(model), self.course(model)?);
        let own = match course.subset.take() {
            Some(subset) => {
                data.select(&(0..subset.rows).map(|place| subset.row(place) as usize).collect::<Vec<_>>())?
            }
            None => data.clone(),
        };
        course.batch = course.batch.min(course.rows);
        let flat = network.layout().flat(&self.parameters(model)?);
        let mut engine = cpu::engine::Engine::new(&network, &course, self.weighted, flat.clone(), None)?;
        engine.set_parameters(&flat, &network.first_statistics());
        let how = CpuDatasetRun { data: &own, shuffle: self.shuffle, noise: self.noise, weighted: self.weighted };
        let mut report = Report::default();
        engine.in_pool(|engine| how.run(engine, course, 0..steps as u64, 0, &mut report));
        Ok((engine, report))
    }

    /// Compares a training with the reference's.
    fn judge(&self, found: &mut Found, data: &Dataset, trained: &Trained, steps: usize) -> Result<()> {
        let Trained { metrics, parameters, averages, statistics } = trained;
        let (layout, tolerance) = (self.network.layout(), self.tolerance());
        let counts = !self.drops() && self.network.layers().iter().all(|layer| layer.norm != Some(Norm::Batch));
        for model in 0..self.models {
            let mut reference = self.reference(model)?;
            let of = if self.models == 1 { String::new() } else { format!(" of network {model}") };
            for step in 0..steps {
                let [inputs, expected, weights] = self.batch_of(data, model, step as u64)?;
                let [loss, right] = metrics.get(step * self.models + model).copied().unwrap_or([f32::NAN; 2]);
                if counts {
                    let [least, most] = self.right(&reference.predict(&inputs)?, &expected, &weights);
                    found.count(format!("right answers{of} in step {step}"), f64::from(right), least, most);
                }
                if !matches!(self.schedule, Schedule::Constant) {
                    let course = self.course(model)?;
                    reference.set_learning_rate(course.optimizer.learning_rate * course.factor(step as u64))?;
                }
                let factors = self.factors(model, step as u64)?;
                let theirs = reference.step_with_factors(&inputs, &expected, &weights, factors)?;
                found.compare_to(format!("loss{of} in step {step}"), &[loss], &[theirs], 0.01, tolerance);
            }
            let part = |all: &[f32], len: usize| all[model * len..(model + 1) * len].to_vec();
            self.compare(found, ("", &of), &part(parameters, layout.len), reference.parameters());
            if let (Some(ours), Some(theirs)) = (averages, reference.averaged_parameters()) {
                self.compare(found, ("averaged ", &of), &part(ours, layout.len), &theirs);
            }
            self.compare_running(found, &of, &part(statistics, statistics.len() / self.models), &reference);
        }
        Ok(())
    }

    /// The sum of the weights of the rows that are right at least, and at most: an output that is nearly the threshold, or nearly
    /// as large as another, may fall to either side.
    fn right(&self, y: &[f64], t: &[f64], weights: &[f64]) -> [f64; 2] {
        let outputs = self.network.outputs();
        let mut sums = [0.0; 2];
        for ((y, t), weight) in y.chunks_exact(outputs).zip(t.chunks_exact(outputs)).zip(weights) {
            let from_threshold = y.iter().map(|y| (y - f64::from(self.loss.threshold())).abs());
            let gap = match y {
                _ if self.labels => from_threshold.fold(f64::INFINITY, f64::min),
                [y] => (y - f64::from(self.loss.threshold())).abs(),
                _ => {
                    let mut sorted = y.to_vec();
                    sorted.sort_by(f64::total_cmp);
                    sorted[outputs - 1] - sorted[outputs - 2]
                }
            };
            let [y, t] = [y, t].map(|values| values.iter().map(|v| *v as f32).collect::<Vec<_>>());
            let is_sure = gap > UNSURE;
            let is_right = crate::metrics::row_metrics::is_right(self.loss, self.labels, &y, &t);
            for (sum, counts) in sums.iter_mut().zip([is_sure && is_right, !is_sure || is_right]) {
                *sum += if counts { *weight } else { 0.0 };
            }
        }
        sums
    }

    /// Compares what an engine says without training: predictions with the parameters that it has, and the gradients at the
    /// first ones.
    async fn judge_more(
        &self,
        found: &mut Found,
        engine: &mut Engine,
        data: &Dataset,
        trained: &Trained,
    ) -> Result<()> {
        let layers = self.network.layers_of(&trained.parameters, &trained.statistics);
        let (inputs, outputs) = self.predicted(data, &layers)?;
        found.compare("outputs", &engine.predict(&inputs).await?, &outputs, self.tolerance());
        let [inputs, expected, weights] = self.batch_of(data, 0, 0)?;
        let first = self.network.layout().flat(&self.parameters(0)?);
        engine.set_parameters(&first, &self.network.first_statistics());
        let brought = [&inputs, &expected, &weights].map(|values| narrow(values));
        let [inputs_f32, expected_f32, weights_f32] = &brought;
        let batch = Batch { inputs: inputs_f32, expected: expected_f32, weights: Some(weights_f32) };
        let ours = engine.gradients(batch, self.course(0)?.step(0, 0)).await?;
        let theirs = self.reference(0)?.gradients_weighted(&inputs, &expected, &weights)?;
        self.compare(found, ("gradients of ", ""), &ours, &theirs);
        Ok(())
    }

    /// The inputs of the first step, and what the reference answers with these parameters.
    fn predicted(&self, data: &Dataset, layers: &[LayerParameters]) -> Result<(Vec<f32>, Vec<f64>)> {
        let [inputs, ..] = self.batch_of(data, 0, 0)?;
        let reference = Reference::new(&self.network, self.loss, self.optimizer, layers)?;
        Ok((narrow(&inputs), reference.predict(&inputs)?))
    }

    /// Compares flat parameters with the reference's, layer by layer.
    fn compare(&self, found: &mut Found, (kind, of): (&str, &str), ours: &[f32], reference: &[Parameters]) {
        let ours = self.network.layout().layers(ours);
        for (i, (ours, theirs)) in ours.iter().zip(reference).enumerate() {
            let largest = theirs.weight.iter().fold(1e-6, |most: f64, v| most.max(v.abs()));
            for (name, ours, theirs) in [
                ("weights", &ours.weight, &theirs.weight),
                ("biases", &ours.bias, &theirs.bias),
                ("gains", &ours.gain, &theirs.gain),
                ("shifts", &ours.shift, &theirs.shift),
                ("slopes", &ours.slope, &theirs.slope),
            ] {
                // A batch norm takes away what a bias adds: its gradient is 0 but for rounding.
                let is_idle = name == "biases" && self.network.layers()[i].norm == Some(Norm::Batch);
                let least = if is_idle { largest } else { 1e-6 };
                let what = format!("{kind}{name}{of} in layer {i}");
                found.compare_to(what, ours, theirs, least, self.tolerance());
            }
        }
    }

    /// Compares the running statistics of batch norms.
    fn compare_running(&self, found: &mut Found, of: &str, ours: &[f32], reference: &Reference) {
        let mut layers = vec![LayerParameters::default(); self.network.layers().len()];
        self.network.layout().put_statistics(ours, &mut layers);
        for (i, layer) in layers.iter().enumerate() {
            let (means, variances) = reference.running(i);
            found.compare(format!("running means{of} in layer {i}"), &layer.running_mean, means, self.tolerance());
            let what = format!("running variances{of} in layer {i}");
            found.compare(what, &layer.running_variance, variances, self.tolerance());
        }
    }
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}
