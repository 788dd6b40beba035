//! Tells classes.

use crate::{
    data::{dataset::Dataset, features::Features},
    error::{Error, Result, check_len},
    estimator::{
        Mlp, MlpClassifier,
        core::{FittedState, OutputHead, require_fitted},
        settings::MlpSettings,
    },
    nn::{activation::Activation, loss::Loss},
    train::policies::Monitor,
    util::blocking::blocking,
};
#[cfg(doc)]
use crate::{device::Device, train::trainer::Trainer, train::training_loop::TrainingLoop};

/// What a classifier knows of its classes.
#[derive(Debug, Clone)]
pub struct ClassifierTask<L> {
    /// In their order.
    classes: Vec<L>,
    class_weight: ClassWeight<L>,
}

/// What the rows of each class weigh.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum ClassWeight<L> {
    /// All the same.
    #[default]
    Uniform,
    /// So that all classes weigh the same: [`Dataset::balanced_class_weights`].
    Balanced,
    /// As given; 1 for a class that is not among them. A class that no row has is refused.
    PerClass(Vec<(L, f32)>),
}

impl<L: Ord + Clone> Default for MlpClassifier<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: Ord + Clone> MlpClassifier<L> {
    /// With scikit-learn's defaults.
    pub fn new() -> Self {
        let task = ClassifierTask { classes: Vec::new(), class_weight: ClassWeight::default() };
        Self { settings: MlpSettings::default(), task, fitted_state: None }
    }

    /// What the rows of each class weigh in a fit, by which the weights of [`MlpClassifier::fit_weighted`] are multiplied.
    #[must_use]
    pub fn class_weight(mut self, weights: ClassWeight<L>) -> Self {
        self.task.class_weight = weights;
        self
    }

    /// The classes of the last fit, in their order.
    pub fn classes(&self) -> &[L] {
        &self.task.classes
    }

    blocking! {
        /// Fits a new network to rows and their labels.
        ///
        /// # Shapes
        /// - x: `[rows, features]`
        /// - y: `[rows]`
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] for settings that cannot be used, no rows, or labels that are all the same,
        /// [`Error::Shape`] if `x` does not divide into the rows of `y`, [`Error::NonFinite`], and as [`Device::auto`],
        /// [`Trainer::new`] and [`TrainingLoop::run`].
        pub fn fit(&mut self, x: impl Into<Features>, y: &[L]) -> Result<&mut Self> = self.fit_async(x, y);
    }

    /// The asynchronous form of [`MlpClassifier::fit`].
    ///
    /// # Errors
    /// As [`MlpClassifier::fit`].
    pub async fn fit_async(&mut self, x: impl Into<Features>, y: &[L]) -> Result<&mut Self> {
        self.fit_with_weights(x.into(), y, None).await
    }

    blocking! {
        /// The same with a weight for each row; see [`Dataset::with_sample_weights`].
        ///
        /// # Errors
        /// As [`MlpClassifier::fit`] and [`Dataset::with_sample_weights`].
        pub fn fit_weighted(&mut self, x: impl Into<Features>, y: &[L], weights: &[f32]) -> Result<&mut Self>
            = self.fit_weighted_async(x, y, weights);
    }

    /// The asynchronous form of [`MlpClassifier::fit_weighted`].
    ///
    /// # Errors
    /// As [`MlpClassifier::fit_weighted`].
    pub async fn fit_weighted_async(&mut self, x: impl Into<Features>, y: &[L], weights: &[f32]) -> Result<&mut Self> {
        self.fit_with_weights(x.into(), y, Some(weights)).await
    }

    blocking! {
        /// Takes what is fitted so far, or a new network, through these rows once, in batches. The first call names all
        /// classes that will ever come, unless there was a fit before; class weights do not count here.
        ///
        /// # Errors
        /// As [`MlpClassifier::fit`]; [`Error::InvalidSetting`] for a label that is none of the classes, for none at the first
        /// call or others later, with early stopping, and with a scaling that no fit has learned.
        pub fn partial_fit(&mut self, x: impl Into<Features>, y: &[L], classes: Option<&[L]>) -> Result<&mut Self>
            = self.partial_fit_async(x, y, classes);
    }

    /// The asynchronous form of [`MlpClassifier::partial_fit`].
    ///
    /// # Errors
    /// As [`MlpClassifier::partial_fit`].
    pub async fn partial_fit_async(
        &mut self,
        x: impl Into<Features>,
        y: &[L],
        classes: Option<&[L]>,
    ) -> Result<&mut Self> {
        let classes = match (classes, &self.fitted_state) {
            (Some(classes), None) => sort_unique(classes)?,
            (None, Some(_)) => self.task.classes.clone(),
            (Some(classes), Some(_)) if sort_unique(classes)? == self.task.classes => self.task.classes.clone(),
            (given, _) => {
                let got = if given.is_some() { "others" } else { "none" }.to_owned();
                let expected = "all of them at the first call, and the same or none later".to_owned();
                return Err(Error::InvalidSetting { name: "classes of a partial fit", expected, got });
            }
        };
        self.check_partial()?;
        let data = build_dataset(x.into(), y, &classes)?;
        if self.fitted_state.is_none() {
            self.fitted_state =
                Some(FittedState::untrained(&self.settings, &output_head(classes.len()), data.inputs()).await?);
            self.task.classes = classes;
        }
        require_fitted(self.fitted_state.as_mut())?.partial_fit(&self.settings, &data).await?;
        Ok(self)
    }

    blocking! {
        /// The most likely label of each row.
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] if nothing was fitted, and as [`Trainer::predict`].
        pub fn predict(&mut self, x: impl Into<Features>) -> Result<Vec<L>> = self.predict_async(x);
    }

    /// The asynchronous form of [`MlpClassifier::predict`].
    ///
    /// # Errors
    /// As [`MlpClassifier::predict`].
    pub async fn predict_async(&mut self, x: impl Into<Features>) -> Result<Vec<L>> {
        let outputs = require_fitted(self.fitted_state.as_mut())?.outputs(x.into()).await?;
        let classes = &self.task.classes;
        let class = |row: &[f32]| match row {
            [yes] => usize::from(*yes > 0.5),
            // The first of the largest.
            row => (0..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best }),
        };
        Ok(outputs.chunks_exact(output_count(classes.len())).map(|row| classes[class(row)].clone()).collect())
    }

    blocking! {
        /// How likely each class is, `[rows, classes]`, in the order of [`MlpClassifier::classes`].
        ///
        /// # Errors
        /// As [`MlpClassifier::predict`].
        pub fn predict_proba(&mut self, x: impl Into<Features>) -> Result<Vec<f32>> = self.predict_proba_async(x);
    }

    /// The asynchronous form of [`MlpClassifier::predict_proba`].
    ///
    /// # Errors
    /// As [`MlpClassifier::predict`].
    pub async fn predict_proba_async(&mut self, x: impl Into<Features>) -> Result<Vec<f32>> {
        let outputs = require_fitted(self.fitted_state.as_mut())?.outputs(x.into()).await?;
        let shares = |row: &[f32]| match row {
            [yes] => vec![1.0 - yes, *yes],
            row => softmax(row),
        };
        Ok(outputs.chunks_exact(output_count(self.task.classes.len())).flat_map(shares).collect())
    }

    blocking! {
        /// The accuracy: the share of the rows whose label is predicted, from 0 to 1. A label that no fit has seen is
        /// never right.
        ///
        /// # Errors
        /// As [`MlpClassifier::predict`], and [`Error::Shape`] if there is not a label for each row.
        pub fn score(&mut self, x: impl Into<Features>, y: &[L]) -> Result<f64> = self.score_async(x, y);
    }

    /// The asynchronous form of [`MlpClassifier::score`].
    ///
    /// # Errors
    /// As [`MlpClassifier::score`].
    pub async fn score_async(&mut self, x: impl Into<Features>, y: &[L]) -> Result<f64> {
        let answers = self.predict_async(x).await?;
        check_len("labels", answers.len(), y.len())?;
        let right = answers.iter().zip(y).filter(|(answer, label)| answer == label).count();
        Ok(right as f64 / y.len() as f64)
    }

    async fn fit_with_weights(&mut self, x: Features, y: &[L], weights: Option<&[f32]>) -> Result<&mut Self> {
        let classes = sort_unique(y)?;
        let mut data = build_dataset(x, y, &classes)?;
        if let Some(weights) = weights {
            data = data.with_sample_weights(weights)?;
        }
        data = match &self.task.class_weight {
            ClassWeight::Uniform => data,
            ClassWeight::Balanced => {
                let weights = data.balanced_class_weights()?;
                data.with_class_weights(&weights)?
            }
            ClassWeight::PerClass(given) => {
                let mut weights = vec![1.0; classes.len()];
                for (label, weight) in given {
                    let (expected, got) = ("one that is among the labels".to_owned(), "another".to_owned());
                    let none = |_| Error::InvalidSetting { name: "class of a weight", expected, got };
                    weights[classes.binary_search(label).map_err(none)?] = *weight;
                }
                data.with_class_weights(&weights)?
            }
        };
        // Whatever happens from here on, the fit before is gone.
        self.fitted_state = None;
        self.fitted_state = Some(FittedState::fit(&self.settings, &output_head(classes.len()), &data).await?);
        self.task.classes = classes;
        Ok(self)
    }
}

impl<Task> Mlp<Task> {
    /// Refuses partial fits that would have to hold rows out.
    pub(crate) fn check_partial(&self) -> Result<()> {
        if !self.settings.early_stopping {
            return Ok(());
        }
        let expected = "none in a partial fit, which has no rows to spare".to_owned();
        Err(Error::InvalidSetting { name: "early stopping", expected, got: "some".into() })
    }
}

const fn output_count(classes: usize) -> usize {
    if classes == 2 { 1 } else { classes }
}

fn output_head(classes: usize) -> OutputHead {
    let (activation, loss) = match output_count(classes) {
        1 => (Activation::Sigmoid, Loss::BinaryCrossEntropy),
        _ => (Activation::Identity, Loss::SoftmaxCrossEntropy),
    };
    OutputHead {
        outputs: output_count(classes),
        activation,
        loss,
        stratified: true,
        validation_monitor: Monitor::ValidationAccuracy,
    }
}

/// Labels in their order, each once.
fn sort_unique<L: Ord + Clone>(labels: &[L]) -> Result<Vec<L>> {
    let mut classes = labels.to_vec();
    classes.sort();
    classes.dedup();
    if classes.len() < 2 {
        let (expected, got) = ("at least 2".to_owned(), classes.len().to_string());
        return Err(Error::InvalidSetting { name: "classes", expected, got });
    }
    Ok(classes)
}

/// Rows and the numbers of their classes.
fn build_dataset<L: Ord>(x: Features, y: &[L], classes: &[L]) -> Result<Dataset> {
    let mut ids = Vec::with_capacity(y.len());
    for (row, label) in y.iter().enumerate() {
        let Ok(id) = classes.binary_search(label) else {
            let expected = format!("one of the {} classes", classes.len());
            return Err(Error::InvalidSetting { name: "label", expected, got: format!("another in row {row}") });
        };
        ids.push(id as u32);
    }
    Dataset::new(y.len(), x, ids)
}

/// The largest taken out first, nothing overflows.
fn softmax(row: &[f32]) -> Vec<f32> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|y| libm::exp(f64::from(y - largest))).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}
