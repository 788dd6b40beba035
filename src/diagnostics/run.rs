//! Trains a case on a device and in the reference, and compares the results.

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
    metrics::row_metrics::is_correct,
    nn::{normalization::Normalization, parameters::LayerParameters},
    optim::schedule::Schedule,
    plan::Plan,
    train::run_report::RunReport,
};

/// The distance of an output to the threshold, or to the next class, within which rounding may change the prediction.
const DECISION_MARGIN: f64 = 1e-3;

/// The quantity that compares the bits of two equal training runs.
const REPEAT_CHECK: &str = "bits of a second run";

/// The result of a training run. Parameters, EMA and running statistics are flat, and those of all members follow each
/// other.
struct TrainingOutcome {
    /// The metrics of `[step][member]`.
    metrics: Vec<RawStepMetrics>,
    parameters: Vec<f32>,
    ema_parameters: Option<Vec<f32>>,
    statistics: Vec<f32>,
}

impl TrainingOutcome {
    /// Returns the bits of all values.
    fn bits(&self) -> Vec<u32> {
        let Self { metrics, parameters, ema_parameters, statistics } = self;
        let values = [metrics.as_flattened(), parameters, ema_parameters.as_deref().unwrap_or_default(), statistics];
        values.concat().into_iter().map(f32::to_bits).collect()
    }
}

impl Case {
    /// Trains on a GPU, or on the CPU engine for `None`, and compares the results with those of the reference. A second
    /// run must give the same bits.
    ///
    /// The compared results are the losses, the correct rows and the parameters, and on request gradients and
    /// predictions.
    ///
    /// # Errors
    /// The error that prevented a comparison.
    pub(crate) async fn run(&self, gpu: Option<&Gpu>, steps: usize) -> Result<WorstError> {
        let data = self.data()?;
        let mut worst = WorstError::default();
        match gpu {
            Some(gpu) => {
                let gpu = gpu.with_cleared_errors(self.max_binding_bytes);
                let (mut engine, outcome) = self.train_on_gpu(&gpu, &data, steps).await?;
                self.compare_training(&mut worst, &data, &outcome, steps)?;
                if self.compares_outputs {
                    self.compare_outputs(&mut worst, &mut engine, &data, &outcome).await?;
                }
                drop(engine);
                let (_, repeated) = self.train_on_gpu(&gpu, &data, steps).await?;
                worst.compare_equal(REPEAT_CHECK, &repeated.bits(), &outcome.bits());
                gpu.check()?;
            }
            None => {
                let (engine, outcome) = self.train_on_cpu(&data, steps)?;
                self.compare_training(&mut worst, &data, &outcome, steps)?;
                if self.compares_outputs {
                    let layers = self.network.layers_from_flat(engine.parameters(), engine.statistics());
                    let (inputs, outputs) = self.reference_predictions(&data, &layers)?;
                    worst.compare("outputs", &engine.predict(&inputs), &outputs, self.tolerance());
                }
                let (_, repeated) = self.train_on_cpu(&data, steps)?;
                worst.compare_equal(REPEAT_CHECK, &repeated.bits(), &outcome.bits());
            }
        }
        Ok(worst)
    }

    /// Returns the configuration of an engine for all members.
    pub(crate) fn engine_config<'a>(
        &'a self,
        data: Option<&'a Dataset>,
        plan: Option<&'a Plan>,
    ) -> Result<EngineConfig<'a>> {
        Ok(EngineConfig {
            network: &self.network,
            generators: (0..self.member_count).map(|member| self.step_generator(member)).collect::<Result<_>>()?,
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

    /// Returns the plan of this case, or `None` if the planner chooses it.
    pub(crate) fn plan(&self, gpu: &Gpu) -> Option<Plan> {
        let scheme = self.variant.scheme(self.network.layers().len())?;
        Some(Plan { key: plan_key(gpu, &self.network, self.batch_size), scheme, dispatches: Vec::new() })
    }

    /// Creates an engine with the parameters of all members. Every arena holds NaN wherever a kernel must write before
    /// it reads.
    pub(crate) async fn engine(
        &self,
        gpu: &Gpu,
        data: Option<&Dataset>,
        steps_per_submission: Option<usize>,
    ) -> Result<Engine> {
        let plan = self.plan(gpu);
        let config = EngineConfig { steps_per_submission, ..self.engine_config(data, plan.as_ref())? };
        let mut engine = Engine::new(gpu, config).await?;
        let layout = self.network.layout();
        let mut parameters = Vec::with_capacity(self.member_count * layout.len);
        for member in 0..self.member_count {
            let mut flat = layout.to_flat(&self.parameters(member)?);
            for (layer, next) in layout.layers().zip(layout.layers().skip(1)) {
                let end = layer.offset + (layer.inputs + layer.vector_rows).next_multiple_of(4) * layer.stride;
                flat[end..next.offset].fill(f32::NAN);
            }
            parameters.extend(flat);
        }
        engine.set_parameters(&parameters, &self.network.initial_statistics().repeat(self.member_count));
        engine.fill_with_nan();
        Ok(engine)
    }

    /// Trains all members on a GPU. Returns the engine and the outcome.
    async fn train_on_gpu(&self, gpu: &Gpu, data: &Dataset, steps: usize) -> Result<(Engine, TrainingOutcome)> {
        let mut engine = self.engine(gpu, Some(data), None).await?;
        let outcome = TrainingOutcome {
            metrics: engine.run(0, 0, steps).await?,
            parameters: engine.parameters().await?,
            ema_parameters: engine.ema_parameters().await?,
            statistics: engine.statistics().await?,
        };
        Ok((engine, outcome))
    }

    /// Trains all members on the CPU. Returns the engine of the first member and the outcome of all of them.
    fn train_on_cpu(&self, data: &Dataset, steps: usize) -> Result<(cpu::engine::Engine, TrainingOutcome)> {
        let trained = (0..self.member_count).map(|member| self.train_member_on_cpu(data, member, steps));
        let (mut engines, reports): (Vec<_>, Vec<RunReport>) = trained.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let mut metrics = Vec::with_capacity(steps * self.member_count);
        for step in 0..steps {
            metrics.extend(reports.iter().map(|report| [report.losses[step], report.correct[step] as f32]));
        }
        let concat = |values: fn(&cpu::engine::Engine) -> Vec<f32>| engines.iter().flat_map(values).collect::<Vec<_>>();
        let ema_parameters = engines.iter().map(cpu::engine::Engine::ema_parameters).collect::<Option<Vec<_>>>();
        let outcome = TrainingOutcome {
            metrics,
            parameters: concat(|engine| engine.parameters().to_vec()),
            ema_parameters: ema_parameters.map(|parameters| parameters.concat()),
            statistics: concat(|engine| engine.statistics().to_vec()),
        };
        Ok((engines.swap_remove(0), outcome))
    }

    /// Trains one member on the CPU.
    fn train_member_on_cpu(
        &self,
        data: &Dataset,
        member: usize,
        steps: usize,
    ) -> Result<(cpu::engine::Engine, RunReport)> {
        let (network, mut generator) = (self.member_network(member), self.step_generator(member)?);
        let member_data = match generator.subset.take() {
            Some(subset) => {
                data.select(&(0..subset.rows).map(|position| subset.row(position) as usize).collect::<Vec<_>>())?
            }
            None => data.clone(),
        };
        generator.batch_size = generator.batch_size.min(generator.rows);
        let flat = network.layout().to_flat(&self.parameters(member)?);
        let mut engine = cpu::engine::Engine::new(&network, &generator, self.has_sample_weights, flat.clone(), None)?;
        engine.set_parameters(&flat, &network.initial_statistics());
        let dataset_run = CpuDatasetRun {
            data: &member_data,
            shuffle: self.shuffle,
            input_noise_std: self.input_noise_std,
            has_sample_weights: self.has_sample_weights,
        };
        let mut report = RunReport::default();
        engine.in_pool(|engine| dataset_run.run(engine, generator, 0..steps as u64, 0, &mut report));
        Ok((engine, report))
    }

    /// Compares a training run with the same training run in the reference.
    fn compare_training(
        &self,
        worst: &mut WorstError,
        data: &Dataset,
        outcome: &TrainingOutcome,
        steps: usize,
    ) -> Result<()> {
        let TrainingOutcome { metrics, parameters, ema_parameters, statistics } = outcome;
        let (layout, tolerance) = (self.network.layout(), self.tolerance());
        // A prediction of the reference has no dropout and uses the running statistics, unlike the forward pass of a
        // step.
        let compares_correct_rows = !self.has_dropout()
            && self.network.layers().iter().all(|layer| layer.normalization != Some(Normalization::Batch));
        for member in 0..self.member_count {
            let mut reference = self.reference(member)?;
            let of_member = if self.member_count == 1 { String::new() } else { format!(" of member {member}") };
            for step in 0..steps {
                let [inputs, targets, weights] = self.reference_batch(data, member, step as u64)?;
                let [loss, correct] = metrics.get(step * self.member_count + member).copied().unwrap_or([f32::NAN; 2]);
                if compares_correct_rows {
                    let [min, max] = self.correct_range(&reference.predict(&inputs)?, &targets, &weights);
                    let quantity = format!("correct rows{of_member} in step {step}");
                    worst.compare_count(quantity, f64::from(correct), min..=max);
                }
                if self.schedule != Schedule::Constant {
                    let generator = self.step_generator(member)?;
                    let learning_rate = generator.optimizer.learning_rate * generator.schedule_factor(step as u64);
                    reference.set_learning_rate(learning_rate)?;
                }
                let factors = self.dropout_factors(member, step as u64)?;
                let reference_loss = reference.step_with_dropout(&inputs, &targets, &weights, factors)?;
                let quantity = format!("loss{of_member} in step {step}");
                worst.compare_with_floor(quantity, &[loss], &[reference_loss], 0.01, tolerance);
            }
            let part = |all: &[f32], len: usize| all[member * len..(member + 1) * len].to_vec();
            self.compare(worst, "", &of_member, &part(parameters, layout.len), reference.parameters());
            if let (Some(actual), Some(expected)) = (ema_parameters, reference.ema_parameters()) {
                self.compare(worst, "EMA of ", &of_member, &part(actual, layout.len), &expected);
            }
            let member_statistics = part(statistics, statistics.len() / self.member_count);
            self.compare_running_stats(worst, &of_member, &member_statistics, &reference);
        }
        Ok(())
    }

    /// Returns the minimum and the maximum of the summed weights of the correct rows. Rows whose prediction depends on
    /// rounding count only in the maximum.
    fn correct_range(&self, y: &[f64], t: &[f64], weights: &[f64]) -> [f64; 2] {
        let outputs = self.network.outputs();
        let threshold = f64::from(self.loss.decision_threshold());
        let [mut min, mut max] = [0.0_f64; 2];
        for ((y, t), weight) in y.chunks_exact(outputs).zip(t.chunks_exact(outputs)).zip(weights) {
            let gap = match y {
                _ if self.is_multi_label => y.iter().map(|y| (y - threshold).abs()).fold(f64::INFINITY, f64::min),
                [y] => (y - threshold).abs(),
                _ => {
                    let mut sorted = y.to_vec();
                    sorted.sort_by(f64::total_cmp);
                    sorted[outputs - 1] - sorted[outputs - 2]
                }
            };
            let is_certain = gap > DECISION_MARGIN;
            let is_correct = is_correct(self.loss, self.is_multi_label, &to_f32(y), &to_f32(t));
            if is_certain && is_correct {
                min += *weight;
            }
            if !is_certain || is_correct {
                max += *weight;
            }
        }
        [min, max]
    }

    /// Compares predictions with the trained parameters, and gradients at the initial ones.
    async fn compare_outputs(
        &self,
        worst: &mut WorstError,
        engine: &mut Engine,
        data: &Dataset,
        outcome: &TrainingOutcome,
    ) -> Result<()> {
        let layers = self.network.layers_from_flat(&outcome.parameters, &outcome.statistics);
        let (inputs, outputs) = self.reference_predictions(data, &layers)?;
        worst.compare("outputs", &engine.predict(&inputs).await?, &outputs, self.tolerance());
        let [inputs, targets, weights] = self.reference_batch(data, 0, 0)?;
        let initial = self.network.layout().to_flat(&self.parameters(0)?);
        engine.set_parameters(&initial, &self.network.initial_statistics());
        let [inputs_f32, targets_f32, weights_f32] = [&inputs, &targets, &weights].map(|values| to_f32(values));
        let batch = Batch { inputs: &inputs_f32, targets: &targets_f32, sample_weights: Some(&weights_f32) };
        let actual = engine.gradients(batch, self.step_generator(0)?.step(0, 0)).await?;
        let expected = self.reference(0)?.gradients_weighted(&inputs, &targets, &weights)?;
        self.compare(worst, "gradients of ", "", &actual, &expected);
        Ok(())
    }

    /// Returns the inputs of the first step, and the outputs of the reference with these parameters.
    fn reference_predictions(&self, data: &Dataset, layers: &[LayerParameters]) -> Result<(Vec<f32>, Vec<f64>)> {
        let [inputs, ..] = self.reference_batch(data, 0, 0)?;
        let reference = Reference::new(&self.network, self.loss, self.optimizer, layers)?;
        Ok((to_f32(&inputs), reference.predict(&inputs)?))
    }

    /// Compares flat parameters, or gradients, with those of the reference. The prefix and the suffix complete the
    /// names of the quantities.
    fn compare(&self, worst: &mut WorstError, prefix: &str, suffix: &str, actual: &[f32], reference: &[Parameters]) {
        let actual = self.network.layout().to_layers(actual);
        for (i, (actual, reference)) in actual.iter().zip(reference).enumerate() {
            let max_weight = reference.weight.iter().fold(1e-6, |max: f64, value| max.max(value.abs()));
            for (name, actual, reference) in [
                ("weights", &actual.weight, &reference.weight),
                ("biases", &actual.bias, &reference.bias),
                ("gammas", &actual.gamma, &reference.gamma),
                ("betas", &actual.beta, &reference.beta),
                ("PReLU slopes", &actual.prelu_slope, &reference.prelu_slope),
            ] {
                // Batch normalization removes the effect of a bias, so the gradient of the bias is only rounding.
                let has_no_effect =
                    name == "biases" && self.network.layers()[i].normalization == Some(Normalization::Batch);
                let min_scale = if has_no_effect { max_weight } else { 1e-6 };
                let quantity = format!("{prefix}{name}{suffix} in layer {i}");
                worst.compare_with_floor(quantity, actual, reference, min_scale, self.tolerance());
            }
        }
    }

    /// Compares the running statistics of batch normalization.
    fn compare_running_stats(&self, worst: &mut WorstError, suffix: &str, actual: &[f32], reference: &Reference) {
        let mut layers = vec![LayerParameters::default(); self.network.layers().len()];
        self.network.layout().set_statistics(actual, &mut layers);
        for (i, layer) in layers.iter().enumerate() {
            let (means, variances) = reference.running_stats(i);
            worst.compare(format!("running means{suffix} in layer {i}"), &layer.running_mean, means, self.tolerance());
            let quantity = format!("running variances{suffix} in layer {i}");
            worst.compare(quantity, &layer.running_var, variances, self.tolerance());
        }
    }
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}
