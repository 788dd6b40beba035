//! What classifiers and regressors do alike: the fit, the partial fit, and the outputs.

use crate::{
    data::{
        dataset::Dataset,
        features::{Features, check_same_scale},
        scaling::Scaler,
        split::Split,
    },
    device::{Device, DeviceRequest},
    error::{Error, Result},
    estimator::settings::{LearningRate, MlpSettings},
    nn::{activation::Activation, loss::Loss},
    train::{
        history::History,
        policies::Monitor,
        settings::TrainerSettings,
        trainer::Trainer,
        training_loop::{CallbackAction, Progress, TrainingLoop, Validation},
    },
    util::rng::Rng,
};

/// What a task makes of the network's end.
pub(crate) struct OutputHead {
    pub(crate) outputs: usize,
    pub(crate) activation: Activation,
    pub(crate) loss: Loss,
    /// Whether the rows that validate have to have the same share of every class.
    pub(crate) stratified: bool,
    /// The score of the rows that validate.
    pub(crate) validation_monitor: Monitor,
}

/// What a fit leaves.
pub(crate) struct FittedState {
    pub(crate) trainer: Trainer,
    pub(crate) history: History,
    pub(crate) loss_curve: Vec<f64>,
}

/// The learning rate at which an adaptive one ends, and by what it is divided.
const ADAPTIVE_MIN_AND_DIVISOR: (f64, f64) = (1e-6, 5.0);

impl FittedState {
    /// Fits a network to a data set.
    pub(crate) async fn fit(settings: &MlpSettings, head: &OutputHead, data: &Dataset) -> Result<Self> {
        settings.check()?;
        let mut fit = TrainingLoop::new(settings.max_iter);
        let mut train = data.clone();
        if settings.early_stopping {
            let split = Split { fraction: settings.validation_fraction, stratified: head.stratified };
            let (rest, held_out) = data.split(&split, settings.random_state)?;
            if held_out.rows() < 2 {
                let (expected, got) = ("at least 2".to_owned(), held_out.rows().to_string());
                return Err(Error::InvalidSetting { name: "rows that validate", expected, got });
            }
            (train, fit.validation) = (rest, Validation::Data(held_out));
        }
        if let Some(scaling) = settings.scaling {
            let scaler = Scaler::fit(scaling, &train);
            train = train.with_scaler(&scaler)?;
        }
        let batch = settings.max_batch_size().min(train.rows());
        let mut trainer = build_trainer(settings, head, data.inputs(), Some(&train), (batch, train.rows())).await?;
        let mut progress = ImprovementTracker::default();
        let decide = async |now: &mut Progress<'_>| progress.decide(settings, head, now).await;
        let mut history = fit.run_with_callback_async(&mut trainer, decide).await?;
        history.best_epoch = progress.best_epoch;
        if settings.early_stopping && trainer.has_snapshot() {
            trainer.restore()?;
        }
        let loss_curve = history.epochs.iter().map(|epoch| epoch.loss).collect();
        Ok(Self { trainer, history, loss_curve })
    }

    /// A network that was shown nothing yet, for partial fits.
    pub(crate) async fn untrained(settings: &MlpSettings, head: &OutputHead, inputs: usize) -> Result<Self> {
        settings.check()?;
        if settings.scaling.is_some() {
            let expected = "none in a partial fit without a fit before, which would learn it".to_owned();
            return Err(Error::InvalidSetting { name: "scaling", expected, got: "some".into() });
        }
        let trainer =
            build_trainer(settings, head, inputs, None, (settings.max_batch_size(), settings.max_batch_size())).await?;
        Ok(Self { trainer, history: History::default(), loss_curve: Vec::new() })
    }

    /// One pass over a data set, in batches by hand.
    pub(crate) async fn partial_fit(&mut self, settings: &MlpSettings, data: &Dataset) -> Result<()> {
        let trainer = &mut self.trainer;
        let (inputs, outputs) = (trainer.network().inputs(), trainer.network().outputs());
        data.check_shape(inputs, outputs)?;
        trainer.set_byte_scale(data)?;
        let mut rows: Vec<usize> = (0..data.rows()).collect();
        if settings.shuffle {
            // Every call draws an order of its own.
            let mut draws = Rng::new(settings.random_state ^ (self.loss_curve.len() as u64 + 1).rotate_left(32));
            for place in 0..rows.len() {
                let other = place + draws.next_below(rows.len() - place);
                rows.swap(place, other);
            }
        }
        trainer.take_report_async().await?;
        for rows in rows.chunks(trainer.max_manual_rows()) {
            let (mut x, mut t) = (vec![0.0; rows.len() * inputs], vec![0.0; rows.len() * outputs]);
            for ((row, x), t) in rows.iter().zip(x.chunks_exact_mut(inputs)).zip(t.chunks_exact_mut(outputs)) {
                data.write_features(*row, x);
                data.write_target(*row, t);
            }
            data.check_read()?;
            trainer.step_async(&x, &t).await?;
        }
        self.loss_curve.push(trainer.take_report_async().await?.mean_loss());
        Ok(())
    }

    /// The outputs for rows of features.
    pub(crate) async fn outputs(&mut self, x: Features) -> Result<Vec<f32>> {
        check_same_scale(self.trainer.byte_scale(), &x)?;
        if let (Features::F64(values), Some(scaler)) = (&x, self.trainer.scaler()) {
            let scaled = scaler.transform_f64(values)?;
            return self.trainer.predict_scaled(&scaled).await;
        }
        self.trainer.predict_async(&x.into_f32()?).await
    }
}

/// A trainer for batches of so many rows, in epochs of so many.
async fn build_trainer(
    settings: &MlpSettings,
    head: &OutputHead,
    inputs: usize,
    data: Option<&Dataset>,
    (batch, rows): (usize, usize),
) -> Result<Trainer> {
    let device = match &settings.device {
        Some(device) => device.clone(),
        None => Device::request_async(&DeviceRequest::default()).await?,
    };
    let network = settings.network(inputs, head.outputs, head.activation);
    let settings = TrainerSettings {
        batch_size: batch,
        loss: head.loss,
        optimizer: settings.optimizer(batch),
        schedule: settings.schedule(rows),
        seed: settings.random_state,
        shuffle: settings.shuffle,
        ..TrainerSettings::default()
    };
    Trainer::new_async(&device, &network, data, settings).await
}

/// Whether epochs get better, as scikit-learn counts it: against the best so far, which may be better by less than `tol`.
#[derive(Debug, Clone)]
struct ImprovementTracker {
    /// The least loss, or the largest score with its sign turned.
    best: f64,
    /// The number of that epoch, to which early stopping goes back.
    best_epoch: Option<usize>,
    /// Epochs in a row that were no better.
    epochs_without_improvement: usize,
}

impl Default for ImprovementTracker {
    fn default() -> Self {
        Self { best: f64::INFINITY, best_epoch: None, epochs_without_improvement: 0 }
    }
}

impl ImprovementTracker {
    /// Looks at an epoch: whether it is the best, and whether there were too many that were no better.
    fn observe(&mut self, settings: &MlpSettings, value: f64) -> (bool, bool) {
        self.epochs_without_improvement =
            if value > self.best - settings.tol { self.epochs_without_improvement + 1 } else { 0 };
        let is_best = value < self.best;
        if is_best {
            self.best = value;
        }
        (is_best, self.epochs_without_improvement > settings.n_iter_no_change)
    }

    async fn decide(
        &mut self,
        settings: &MlpSettings,
        head: &OutputHead,
        now: &mut Progress<'_>,
    ) -> Result<CallbackAction> {
        let Some(epoch) = now.history.last() else { return Ok(CallbackAction::Continue) };
        let score =
            epoch.validation.as_ref().and_then(|validation| head.validation_monitor.validation_value(validation));
        let (is_best, is_enough) = self.observe(settings, score.map_or(epoch.loss, |score| -score));
        if is_best && settings.early_stopping {
            self.best_epoch = Some(now.history.epochs.len() - 1);
            now.trainer.snapshot_async().await?;
        }
        let rate = now.trainer.learning_rate();
        if !is_enough {
            return Ok(CallbackAction::Continue);
        }
        if settings.learning_rate != LearningRate::Adaptive || rate <= ADAPTIVE_MIN_AND_DIVISOR.0 {
            return Ok(CallbackAction::Stop);
        }
        self.epochs_without_improvement = 0;
        Ok(CallbackAction::SetLearningRate(rate / ADAPTIVE_MIN_AND_DIVISOR.1))
    }
}

/// Refuses to ask what was not fitted.
pub(crate) fn require_fitted<T>(fitted: Option<T>) -> Result<T> {
    let none = || Error::InvalidSetting {
        name: "estimator",
        expected: "one that was fitted".into(),
        got: "one that was not".into(),
    };
    fitted.ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After which of these losses a fit ends.
    fn ends(n_iter_no_change: usize, losses: &[f64]) -> Option<usize> {
        let settings = MlpSettings { n_iter_no_change, tol: 0.1, ..MlpSettings::default() };
        let mut improvement = ImprovementTracker::default();
        losses.iter().position(|loss| improvement.observe(&settings, *loss).1)
    }

    #[test]
    fn epochs_are_counted_as_scikit_learn_counts_them() {
        assert_eq!(ends(2, &[1.0, 0.5, 0.5, 0.5, 0.5]), Some(4), "more than two in a row");
        assert_eq!(ends(2, &[1.0, 0.95, 0.9, 0.85, 0.8]), Some(3), "small changes do not add up");
        assert_eq!(ends(2, &[1.0, 1.0, 1.0, 0.85, 1.0, 1.0, 0.7, 0.5]), None);
        assert_eq!(ends(0, &[1.0, 0.5, 0.45]), Some(2));
    }
}
