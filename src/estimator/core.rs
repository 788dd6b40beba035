//! What classifiers and regressors do alike: the fit, the partial fit, and the outputs.

use crate::{
    data::{
        dataset::Dataset,
        features::{Features, check_scale_as},
        scaling::Scaler,
        split::Split,
    },
    device::{Device, Request},
    error::{Error, Result},
    estimator::settings::{LearningRate, MlpSettings},
    nn::{activation::Activation, loss::Loss},
    train::{
        history::History,
        policies::Monitor,
        settings::Settings,
        trainer::Trainer,
        training_loop::{Decision, Fit, Progress, Validation},
    },
    util::rng::Draws,
};

/// What a task makes of the network's end.
pub(crate) struct Head {
    pub(crate) outputs: usize,
    pub(crate) activation: Activation,
    pub(crate) loss: Loss,
    /// Whether the rows that validate have to have the same share of every class.
    pub(crate) stratified: bool,
    /// The score of the rows that validate.
    pub(crate) score: Monitor,
}

/// What a fit leaves.
pub(crate) struct Fitted {
    pub(crate) trainer: Trainer,
    pub(crate) history: History,
    pub(crate) loss_curve: Vec<f64>,
}

/// The learning rate at which an adaptive one ends, and by what it is divided.
const ADAPTIVE: (f64, f64) = (1e-6, 5.0);

impl Fitted {
    /// Fits a network to a data set.
    pub(crate) async fn fit(settings: &MlpSettings, head: &Head, data: &Dataset) -> Result<Self> {
        settings.check()?;
        let mut fit = Fit::new(settings.max_iter);
        let mut train = data.clone();
        if settings.early_stopping {
            let split = Split { share: settings.validation_fraction, stratified: head.stratified };
            let (rest, held_out) = data.split(&split, settings.random_state)?;
            if held_out.rows() < 2 {
                let (expected, got) = ("at least 2".to_owned(), held_out.rows().to_string());
                return Err(Error::Setting { what: "rows that validate", expected, got });
            }
            (train, fit.validation) = (rest, Validation::Data(held_out));
        }
        if let Some(scaling) = settings.scaling {
            let scaler = Scaler::learn(scaling, &train);
            train = train.with_scaling(&scaler)?;
        }
        let batch = settings.batch().min(train.rows());
        let mut trainer = trainer(settings, head, data.inputs(), Some(&train), (batch, train.rows())).await?;
        let mut progress = Improvement::default();
        let decide = async |now: &mut Progress<'_>| progress.decide(settings, head, now).await;
        let mut history = fit.run_with_async(&mut trainer, decide).await?;
        history.best = progress.epoch;
        if settings.early_stopping && trainer.has_kept() {
            trainer.restore()?;
        }
        let loss_curve = history.epochs.iter().map(|epoch| epoch.loss).collect();
        Ok(Self { trainer, history, loss_curve })
    }

    /// A network that was shown nothing yet, for partial fits.
    pub(crate) async fn blank(settings: &MlpSettings, head: &Head, inputs: usize) -> Result<Self> {
        settings.check()?;
        if settings.scaling.is_some() {
            let expected = "none in a partial fit without a fit before, which would learn it".to_owned();
            return Err(Error::Setting { what: "scaling", expected, got: "some".into() });
        }
        let trainer = trainer(settings, head, inputs, None, (settings.batch(), settings.batch())).await?;
        Ok(Self { trainer, history: History::default(), loss_curve: Vec::new() })
    }

    /// One pass over a data set, in batches by hand.
    pub(crate) async fn partial_fit(&mut self, settings: &MlpSettings, data: &Dataset) -> Result<()> {
        let trainer = &mut self.trainer;
        let (inputs, outputs) = (trainer.network().inputs(), trainer.network().outputs());
        data.check_for(inputs, outputs)?;
        trainer.learn_scale(data)?;
        let mut rows: Vec<usize> = (0..data.rows()).collect();
        if settings.shuffle {
            // Every call draws an order of its own.
            let mut draws = Draws::new(settings.random_state ^ (self.loss_curve.len() as u64 + 1).rotate_left(32));
            for place in 0..rows.len() {
                let other = place + draws.below(rows.len() - place);
                rows.swap(place, other);
            }
        }
        trainer.losses_async().await?;
        for rows in rows.chunks(trainer.most_rows()) {
            let (mut x, mut t) = (vec![0.0; rows.len() * inputs], vec![0.0; rows.len() * outputs]);
            for ((row, x), t) in rows.iter().zip(x.chunks_exact_mut(inputs)).zip(t.chunks_exact_mut(outputs)) {
                data.write_features(*row, x);
                data.write_expected(*row, t);
            }
            data.check_read()?;
            trainer.step_async(&x, &t).await?;
        }
        self.loss_curve.push(trainer.losses_async().await?.loss());
        Ok(())
    }

    /// The outputs for rows of features.
    pub(crate) async fn outputs(&mut self, x: Features) -> Result<Vec<f32>> {
        check_scale_as(self.trainer.byte_scale(), &x)?;
        if let (Features::F64(values), Some(scaler)) = (&x, self.trainer.scaler()) {
            let scaled = scaler.apply_f64(values)?;
            return self.trainer.predict_scaled(&scaled).await;
        }
        self.trainer.predict_async(&x.into_numbers()?).await
    }
}

/// A trainer for batches of so many rows, in epochs of so many.
async fn trainer(
    settings: &MlpSettings,
    head: &Head,
    inputs: usize,
    data: Option<&Dataset>,
    (batch, rows): (usize, usize),
) -> Result<Trainer> {
    let device = match &settings.device {
        Some(device) => device.clone(),
        None => Device::request_async(&Request::default()).await?,
    };
    let network = settings.network(inputs, head.outputs, head.activation);
    let settings = Settings {
        batch,
        loss: head.loss,
        optimizer: settings.optimizer(batch),
        schedule: settings.schedule(rows),
        seed: settings.random_state,
        shuffle: settings.shuffle,
        ..Settings::default()
    };
    Trainer::new_async(&device, &network, data, settings).await
}

/// Whether epochs get better, as scikit-learn counts it: against the best so far, which may be better by less than `tol`.
#[derive(Debug, Clone)]
struct Improvement {
    /// The least loss, or the largest score with its sign turned.
    best: f64,
    /// The number of that epoch, to which early stopping goes back.
    epoch: Option<usize>,
    /// Epochs in a row that were no better.
    without: usize,
}

impl Default for Improvement {
    fn default() -> Self {
        Self { best: f64::INFINITY, epoch: None, without: 0 }
    }
}

impl Improvement {
    /// Looks at an epoch: whether it is the best, and whether there were too many that were no better.
    fn look(&mut self, settings: &MlpSettings, value: f64) -> (bool, bool) {
        self.without = if value > self.best - settings.tol { self.without + 1 } else { 0 };
        let is_best = value < self.best;
        if is_best {
            self.best = value;
        }
        (is_best, self.without > settings.n_iter_no_change)
    }

    async fn decide(&mut self, settings: &MlpSettings, head: &Head, now: &mut Progress<'_>) -> Result<Decision> {
        let Some(epoch) = now.history.last() else { return Ok(Decision::GoOn) };
        let score = epoch.validation.as_ref().and_then(|validation| head.score.of_validation(validation));
        let (is_best, is_enough) = self.look(settings, score.map_or(epoch.loss, |score| -score));
        if is_best && settings.early_stopping {
            self.epoch = Some(now.history.epochs.len() - 1);
            now.trainer.keep_async().await?;
        }
        let rate = now.trainer.learning_rate();
        if !is_enough {
            return Ok(Decision::GoOn);
        }
        if settings.learning_rate != LearningRate::Adaptive || rate <= ADAPTIVE.0 {
            return Ok(Decision::Stop);
        }
        self.without = 0;
        Ok(Decision::LearningRate(rate / ADAPTIVE.1))
    }
}

/// Refuses to ask what was not fitted.
pub(crate) fn fitted<T>(fitted: Option<T>) -> Result<T> {
    let none =
        || Error::Setting { what: "estimator", expected: "one that was fitted".into(), got: "one that was not".into() };
    fitted.ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After which of these losses a fit ends.
    fn ends(n_iter_no_change: usize, losses: &[f64]) -> Option<usize> {
        let settings = MlpSettings { n_iter_no_change, tol: 0.1, ..MlpSettings::default() };
        let mut improvement = Improvement::default();
        losses.iter().position(|loss| improvement.look(&settings, *loss).1)
    }

    #[test]
    fn epochs_are_counted_as_scikit_learn_counts_them() {
        assert_eq!(ends(2, &[1.0, 0.5, 0.5, 0.5, 0.5]), Some(4), "more than two in a row");
        assert_eq!(ends(2, &[1.0, 0.95, 0.9, 0.85, 0.8]), Some(3), "small changes do not add up");
        assert_eq!(ends(2, &[1.0, 1.0, 1.0, 0.85, 1.0, 1.0, 0.7, 0.5]), None);
        assert_eq!(ends(0, &[1.0, 0.5, 0.45]), Some(2));
    }
}
