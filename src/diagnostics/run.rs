//! A case trained on a machine beside the reference, and all that comes out compared.

use crate::{
    data::dataset::Dataset,
    diagnostics::{case::Case, worst_error::WorstError},
    engine::{
        cpu,
        cpu::dataset_run::CpuDatasetRun,
        gpu::{
            device::Gpu,
            run::{
                engine::Engine,
                engine_layout::{EngineConfig, RawStepMetrics, plan_key},
            },
        },
        reference::{Reference, formulas::Parameters},
        step::Batch,
    },
    error::Result,
    nn::{layout::LayerParameters, normalization::Normalization},
    optim::schedule::Schedule,
    plan::Plan,
    train::run_report::RunReport,
};

/// How close to the threshold, or to the next class, an output may come to be counted as either.
const DECISION_MARGIN: f64 = 1e-3;

/// What is compared of two trainings that are the same.
const REPEAT_CHECK: &str = "bits of the same training again";

/// What a training brought: metrics `[step][model]`, and of all models the parameters, their averages and the running
/// statistics, flat.
struct TrainingOutcome {
    metrics: Vec<RawStepMetrics>,
    parameters: Vec<f32>,
    ema_parameters: Option<Vec<f32>>,
    statistics: Vec<f32>,
}

impl TrainingOutcome {
    /// All of it, to the last bit.
    fn bits(&self) -> Vec<u32> {
        let Self { metrics, parameters, ema_parameters: averages, statistics } = self;
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
    pub(crate) async fn run(&self, gpu: Option<&Gpu>, steps: usize) -> Result<WorstError> {
        let data = self.data()?;
        let mut found = WorstError::default();
        match gpu {
            Some(gpu) => {
                let gpu = gpu.with_cleared_errors(self.max_binding_bytes);
                let (mut engine, trained) = self.train_on_gpu(&gpu, &data, steps).await?;
                self.compare_training(&mut found, &data, &trained, steps)?;
                if self.compares_outputs {
                    self.compare_outputs(&mut found, &mut engine, &data, &trained).await?;
                }
                drop(engine);
                let (_, again) = self.train_on_gpu(&gpu, &data, steps).await?;
                found.compare_equal(REPEAT_CHECK, &again.bits(), &trained.bits());
                gpu.check()?;
            }
            None => {
                let (engine, trained) = self.train_on_cpu(&data, steps)?;
                self.compare_training(&mut found, &data, &trained, steps)?;
                if self.compares_outputs {
                    let layers = self.network.layers_from_flat(engine.parameters(), engine.statistics());
                    let (inputs, outputs) = self.reference_predictions(&data, &layers)?;
                    found.compare("outputs", &engine.predict(&inputs), &outputs, self.tolerance());
                }
                let (_, again) = self.train_on_cpu(&data, steps)?;
                found.compare_equal(REPEAT_CHECK, &again.bits(), &trained.bits());
            }
        }
        Ok(found)
    }

    /// What an engine is made of for it.
    pub(crate) fn engine_config<'a>(
        &'a self,
        data: Option<&'a Dataset>,
        plan: Option<&'a Plan>,
    ) -> Result<EngineConfig<'a>> {
        Ok(EngineConfig {
            network: &self.network,
            generators: (0..self.member_count).map(|model| self.step_generator(model)).collect::<Result<_>>()?,
            data,
            device_dataset: None,
            must_stream: false,
            shuffle: self.shuffle,
            steps_per_submission: None,
            plan,
            has_sample_weights: self.has_sample_weights,
            input_noise_std: self.input_noise_std,
        })
    }

    /// The plan of its form.
    pub(crate) fn plan(&self, gpu: &Gpu) -> Option<Plan> {
        let of = plan_key(gpu, &self.network, self.batch_size);
        let scheme = self.variant.scheme(self.network.layers().len());
        scheme.map(|scheme| Plan { key: of, scheme, dispatches: Vec::new() })
    }

    /// The engine with its parameters, every arena poisoned with NaN wherever a kernel has to write before it reads.
    pub(crate) async fn engine(&self, gpu: &Gpu, data: Option<&Dataset>, chunk: Option<usize>) -> Result<Engine> {
        let plan = self.plan(gpu);
        let setup = EngineConfig { steps_per_submission: chunk, ..self.engine_config(data, plan.as_ref())? };
        let mut engine = Engine::new(gpu, setup).await?;
        let layout = self.network.layout();
        let mut all = Vec::with_capacity(self.member_count * layout.len);
        for model in 0..self.member_count {
            let mut flat = layout.to_flat(&self.parameters(model)?);
            for (place, next) in layout.layers().zip(layout.layers().skip(1)) {
                let end = place.offset + (place.inputs + place.vector_rows).next_multiple_of(4) * place.stride;
                flat[end..next.offset].fill(f32::NAN);
            }
            all.extend(flat);
        }
        engine.set_parameters(&all, &self.network.initial_statistics().repeat(self.member_count));
        engine.fill_with_nan();
        Ok(engine)
    }

    /// An engine that has trained all models, and what it brought.
    async fn train_on_gpu(&self, gpu: &Gpu, data: &Dataset, steps: usize) -> Result<(Engine, TrainingOutcome)> {
        let mut engine = self.engine(gpu, Some(data), None).await?;
        let metrics = engine.run(0, 0, steps).await?;
        let (parameters, averages) = (engine.parameters().await?, engine.ema_parameters().await?);
        let trained =
            TrainingOutcome { metrics, parameters, ema_parameters: averages, statistics: engine.statistics().await? };
        Ok((engine, trained))
    }

    /// The CPU engine of the first model, and what all of them brought.
    fn train_on_cpu(&self, data: &Dataset, steps: usize) -> Result<(cpu::engine::Engine, TrainingOutcome)> {
        let engines = (0..self.member_count).map(|model| self.train_member_on_cpu(data, model, steps));
        let (mut engines, reports): (Vec<_>, Vec<RunReport>) = engines.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let metric = |step: usize| reports.iter().map(move |r| [r.losses[step], r.correct[step] as f32]);
        let all = |of: fn(&cpu::engine::Engine) -> Vec<f32>| engines.iter().flat_map(of).collect::<Vec<_>>();
        let averages = engines.iter().map(cpu::engine::Engine::ema_parameters).collect::<Option<Vec<_>>>();
        let trained = TrainingOutcome {
            metrics: (0..steps).flat_map(metric).collect(),
            parameters: all(|engine| engine.parameters().to_vec()),
            ema_parameters: averages.map(|averages| averages.concat()),
            statistics: all(|engine| engine.statistics().to_vec()),
        };
        Ok((engines.swap_remove(0), trained))
    }

    /// A model trained by the CPU engine, and what it told.
    fn train_member_on_cpu(
        &self,
        data: &Dataset,
        model: usize,
        steps: usize,
    ) -> Result<(cpu::engine::Engine, RunReport)> {
        let (network, mut course) = (self.member_network(model), self.step_generator(model)?);
        let own = match course.subset.take() {
            Some(subset) => {
                data.select(&(0..subset.rows).map(|place| subset.row(place) as usize).collect::<Vec<_>>())?
            }
            None => data.clone(),
        };
        course.batch_size = course.batch_size.min(course.rows);
        let flat = network.layout().to_flat(&self.parameters(model)?);
        let mut engine = cpu::engine::Engine::new(&network, &course, self.has_sample_weights, flat.clone(), None)?;
        engine.set_parameters(&flat, &network.initial_statistics());
        let how = CpuDatasetRun {
            data: &own,
            shuffle: self.shuffle,
            input_noise_std: self.input_noise_std,
            has_sample_weights: self.has_sample_weights,
        };
        let mut report = RunReport::default();
        engine.in_pool(|engine| how.run(engine, course, 0..steps as u64, 0, &mut report));
        Ok((engine, report))
    }

    /// Compares a training with the reference's.
    fn compare_training(
        &self,
        worst: &mut WorstError,
        data: &Dataset,
        trained: &TrainingOutcome,
        steps: usize,
    ) -> Result<()> {
        let TrainingOutcome { metrics, parameters, ema_parameters: averages, statistics } = trained;
        let (layout, tolerance) = (self.network.layout(), self.tolerance());
        let counts = !self.has_dropout()
            && self.network.layers().iter().all(|layer| layer.normalization != Some(Normalization::Batch));
        for model in 0..self.member_count {
            let mut reference = self.reference(model)?;
            let of = if self.member_count == 1 { String::new() } else { format!(" of network {model}") };
            for step in 0..steps {
                let [inputs, expected, weights] = self.reference_batch(data, model, step as u64)?;
                let [loss, right] = metrics.get(step * self.member_count + model).copied().unwrap_or([f32::NAN; 2]);
                if counts {
                    let [least, most] = self.correct_range(&reference.predict(&inputs)?, &expected, &weights);
                    worst.compare_count(format!("right answers{of} in step {step}"), f64::from(right), least, most);
                }
                if !matches!(self.schedule, Schedule::Constant) {
                    let course = self.step_generator(model)?;
                    reference
                        .set_learning_rate(course.optimizer.learning_rate * course.schedule_factor(step as u64))?;
                }
                let factors = self.dropout_factors(model, step as u64)?;
                let theirs = reference.step_with_dropout(&inputs, &expected, &weights, factors)?;
                worst.compare_with_floor(format!("loss{of} in step {step}"), &[loss], &[theirs], 0.01, tolerance);
            }
            let part = |all: &[f32], len: usize| all[model * len..(model + 1) * len].to_vec();
            self.compare(worst, ("", &of), &part(parameters, layout.len), reference.parameters());
            if let (Some(ours), Some(theirs)) = (averages, reference.ema_parameters()) {
                self.compare(worst, ("averaged ", &of), &part(ours, layout.len), &theirs);
            }
            self.compare_running_stats(worst, &of, &part(statistics, statistics.len() / self.member_count), &reference);
        }
        Ok(())
    }

    /// The sum of the weights of the rows that are right at least, and at most: an output that is nearly the threshold, or nearly
    /// as large as another, may fall to either side.
    fn correct_range(&self, y: &[f64], t: &[f64], weights: &[f64]) -> [f64; 2] {
        let outputs = self.network.outputs();
        let mut sums = [0.0; 2];
        for ((y, t), weight) in y.chunks_exact(outputs).zip(t.chunks_exact(outputs)).zip(weights) {
            let from_threshold = y.iter().map(|y| (y - f64::from(self.loss.decision_threshold())).abs());
            let gap = match y {
                _ if self.is_multi_label => from_threshold.fold(f64::INFINITY, f64::min),
                [y] => (y - f64::from(self.loss.decision_threshold())).abs(),
                _ => {
                    let mut sorted = y.to_vec();
                    sorted.sort_by(f64::total_cmp);
                    sorted[outputs - 1] - sorted[outputs - 2]
                }
            };
            let [y, t] = [y, t].map(|values| values.iter().map(|v| *v as f32).collect::<Vec<_>>());
            let is_sure = gap > DECISION_MARGIN;
            let is_right = crate::metrics::row_metrics::is_correct(self.loss, self.is_multi_label, &y, &t);
            for (sum, counts) in sums.iter_mut().zip([is_sure && is_right, !is_sure || is_right]) {
                *sum += if counts { *weight } else { 0.0 };
            }
        }
        sums
    }

    /// Compares what an engine says without training: predictions with the parameters that it has, and the gradients at the
    /// first ones.
    async fn compare_outputs(
        &self,
        worst: &mut WorstError,
        engine: &mut Engine,
        data: &Dataset,
        trained: &TrainingOutcome,
    ) -> Result<()> {
        let layers = self.network.layers_from_flat(&trained.parameters, &trained.statistics);
        let (inputs, outputs) = self.reference_predictions(data, &layers)?;
        worst.compare("outputs", &engine.predict(&inputs).await?, &outputs, self.tolerance());
        let [inputs, expected, weights] = self.reference_batch(data, 0, 0)?;
        let first = self.network.layout().to_flat(&self.parameters(0)?);
        engine.set_parameters(&first, &self.network.initial_statistics());
        let brought = [&inputs, &expected, &weights].map(|values| to_f32(values));
        let [inputs_f32, expected_f32, weights_f32] = &brought;
        let batch = Batch { inputs: inputs_f32, targets: expected_f32, sample_weights: Some(weights_f32) };
        let ours = engine.gradients(batch, self.step_generator(0)?.step(0, 0)).await?;
        let theirs = self.reference(0)?.gradients_weighted(&inputs, &expected, &weights)?;
        self.compare(worst, ("gradients of ", ""), &ours, &theirs);
        Ok(())
    }

    /// The inputs of the first step, and what the reference answers with these parameters.
    fn reference_predictions(&self, data: &Dataset, layers: &[LayerParameters]) -> Result<(Vec<f32>, Vec<f64>)> {
        let [inputs, ..] = self.reference_batch(data, 0, 0)?;
        let reference = Reference::new(&self.network, self.loss, self.optimizer, layers)?;
        Ok((to_f32(&inputs), reference.predict(&inputs)?))
    }

    /// Compares flat parameters with the reference's, layer by layer.
    fn compare(&self, worst: &mut WorstError, (kind, of): (&str, &str), ours: &[f32], reference: &[Parameters]) {
        let ours = self.network.layout().to_layers(ours);
        for (i, (ours, theirs)) in ours.iter().zip(reference).enumerate() {
            let largest = theirs.weight.iter().fold(1e-6, |most: f64, v| most.max(v.abs()));
            for (name, ours, theirs) in [
                ("weights", &ours.weight, &theirs.weight),
                ("biases", &ours.bias, &theirs.bias),
                ("gains", &ours.gamma, &theirs.gamma),
                ("shifts", &ours.beta, &theirs.beta),
                ("slopes", &ours.prelu_slope, &theirs.prelu_slope),
            ] {
                // A batch norm takes away what a bias adds: its gradient is 0 but for rounding.
                let is_idle = name == "biases" && self.network.layers()[i].normalization == Some(Normalization::Batch);
                let least = if is_idle { largest } else { 1e-6 };
                let what = format!("{kind}{name}{of} in layer {i}");
                worst.compare_with_floor(what, ours, theirs, least, self.tolerance());
            }
        }
    }

    /// Compares the running statistics of batch norms.
    fn compare_running_stats(&self, worst: &mut WorstError, of: &str, ours: &[f32], reference: &Reference) {
        let mut layers = vec![LayerParameters::default(); self.network.layers().len()];
        self.network.layout().set_statistics(ours, &mut layers);
        for (i, layer) in layers.iter().enumerate() {
            let (means, variances) = reference.running_stats(i);
            worst.compare(format!("running means{of} in layer {i}"), &layer.running_mean, means, self.tolerance());
            let what = format!("running variances{of} in layer {i}");
            worst.compare(what, &layer.running_var, variances, self.tolerance());
        }
    }
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}
