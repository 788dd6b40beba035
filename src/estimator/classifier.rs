//! The classifier.

use crate::{
    data::{dataset::Dataset, features::Features},
    error::{Error, Result, check_len},
    estimator::{
        core::{FittedState, OutputHead, require_fitted},
        mlp::Mlp,
        settings::MlpSettings,
    },
    nn::{activation::Activation, loss::Loss},
    train::policies::monitor::Monitor,
    util::blocking::blocking,
};
#[cfg(doc)]
use crate::{device::Device, train::trainer::Trainer, train::training_loop::TrainingLoop};

/// An estimator of classes, whose labels have any type with an order.
///
/// Two classes share one sigmoid output, trained with the binary cross-entropy. More classes have one output each,
/// trained with softmax and cross-entropy.
///
/// ```
/// use gradus::{Device, MlpClassifier};
/// let (x, y) = ([0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], ["same", "other", "other", "same"]);
/// let mut xor = MlpClassifier::new().hidden_layer_sizes([16]).learning_rate_init(0.02).max_iter(500).device(Device::cpu());
/// xor.fit(&x, &y)?;
/// assert_eq!(xor.predict(&x)?, y);
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "MLPClassifier")]
pub type MlpClassifier<L> = Mlp<ClassifierTask<L>>;

/// The task of a [`MlpClassifier`]: its classes and their weights.
#[derive(Debug, Clone)]
pub struct ClassifierTask<L> {
    /// The classes of the last fit, sorted.
    classes: Vec<L>,
    class_weight: ClassWeight<L>,
}

/// The weights of the classes in a fit. They multiply the sample weights of the rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum ClassWeight<L> {
    /// A weight of 1 for every class.
    #[default]
    Uniform,
    /// Weights that make the rows of every class count equally in total: [`Dataset::balanced_class_weights`].
    Balanced,
    /// One weight per listed class, and 1 for every other class. Every listed class needs at least one row.
    PerClass(Vec<(L, f32)>),
}

impl<L: Ord + Clone> Default for MlpClassifier<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: Ord + Clone> MlpClassifier<L> {
    /// Creates a classifier with the defaults of scikit-learn.
    pub fn new() -> Self {
        let task = ClassifierTask { classes: Vec::new(), class_weight: ClassWeight::default() };
        Self { settings: MlpSettings::default(), task, fitted_state: None }
    }

    /// Sets the class weights of a fit. They multiply the weights of [`MlpClassifier::fit_weighted`].
    #[must_use]
    pub fn class_weight(mut self, weights: ClassWeight<L>) -> Self {
        self.task.class_weight = weights;
        self
    }

    /// Returns the classes of the last fit, sorted.
    #[doc(alias = "classes_")]
    pub fn classes(&self) -> &[L] {
        &self.task.classes
    }

    blocking! {
        /// Fits a new network to rows of features and their labels.
        ///
        /// # Shapes
        /// - x: `[rows, features]`
        /// - y: `[rows]`
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] if a setting is invalid, or if `y` has fewer than 2 classes.
        /// - [`Error::Shape`] if the length of `x` is not a multiple of the length of `y`.
        /// - [`Error::NonFinite`] if a feature is not finite.
        /// - The errors of [`Device::auto`], [`Trainer::new`] and [`TrainingLoop::run`].
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
        /// Like [`MlpClassifier::fit`], with one sample weight per row; see [`Dataset::with_sample_weights`].
        ///
        /// # Errors
        /// The errors of [`MlpClassifier::fit`] and [`Dataset::with_sample_weights`].
        #[doc(alias = "sample_weight")]
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
        /// Trains the fitted network, or a new one, for one epoch on these rows, in batches.
        ///
        /// If no fit came before, the first call needs all classes that any call will have. Later calls may repeat the
        /// same classes or pass `None`. Partial fits ignore the class weights.
        ///
        /// # Errors
        /// - [`Error::InvalidState`] with early stopping, or if the settings have a scaling and no fit came before.
        /// - [`Error::InvalidSetting`] if `classes` is missing in the first call or differs in a later one, or if a
        ///   label is not among the classes.
        /// - The errors of [`MlpClassifier::fit`].
        #[doc(alias = "warm_start")]
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
        let classes = self.partial_fit_classes(classes)?;
        self.check_partial_fit()?;
        let data = build_dataset(x.into(), y, &classes)?;
        if self.fitted_state.is_none() {
            self.fitted_state =
                Some(FittedState::untrained(&self.settings, &output_head(classes.len()), data.inputs()).await?);
            self.task.classes = classes;
        }
        require_fitted(self.fitted_state.as_mut())?.partial_fit(&self.settings, &data).await?;
        Ok(self)
    }

    /// Returns the sorted classes of a partial fit: those of the earlier fit, or the given ones in the first call.
    fn partial_fit_classes(&self, classes: Option<&[L]>) -> Result<Vec<L>> {
        let given = classes.map(sort_unique).transpose()?;
        if self.fitted_state.is_none() {
            return given.ok_or_else(|| Error::InvalidSetting {
                name: "partial_fit: classes of the first call",
                expected: "all classes of all calls".into(),
                got: "None".into(),
            });
        }
        let fitted = &self.task.classes;
        match given {
            None => Ok(fitted.clone()),
            Some(given) if given == *fitted => Ok(given),
            Some(given) => {
                let new = given.iter().filter(|class| fitted.binary_search(class).is_err()).count();
                Err(Error::InvalidSetting {
                    name: "partial_fit: classes differ from the first call",
                    expected: format!("the same {} classes or None", fitted.len()),
                    got: format!("{} classes, {new} of them new", given.len()),
                })
            }
        }
    }

    blocking! {
        /// Returns the most probable class of each row.
        ///
        /// # Errors
        /// - [`Error::InvalidState`] if the classifier is not fitted.
        /// - The errors of [`Trainer::predict`].
        pub fn predict(&mut self, x: impl Into<Features>) -> Result<Vec<L>> = self.predict_async(x);
    }

    /// The asynchronous form of [`MlpClassifier::predict`].
    ///
    /// # Errors
    /// As [`MlpClassifier::predict`].
    pub async fn predict_async(&mut self, x: impl Into<Features>) -> Result<Vec<L>> {
        let outputs = require_fitted(self.fitted_state.as_mut())?.outputs(x.into()).await?;
        let classes = &self.task.classes;
        let rows = outputs.chunks_exact(output_count(classes.len()));
        Ok(rows.map(|row| classes[predicted_class(row)].clone()).collect())
    }

    blocking! {
        /// Returns the probability of each class, of shape `[rows, classes]`, in the order of
        /// [`MlpClassifier::classes`].
        ///
        /// # Errors
        /// The errors of [`MlpClassifier::predict`].
        pub fn predict_proba(&mut self, x: impl Into<Features>) -> Result<Vec<f32>> = self.predict_proba_async(x);
    }

    /// The asynchronous form of [`MlpClassifier::predict_proba`].
    ///
    /// # Errors
    /// As [`MlpClassifier::predict_proba`].
    pub async fn predict_proba_async(&mut self, x: impl Into<Features>) -> Result<Vec<f32>> {
        let outputs = require_fitted(self.fitted_state.as_mut())?.outputs(x.into()).await?;
        let probabilities = |row: &[f32]| match row {
            [second_class] => vec![1.0 - second_class, *second_class],
            row => softmax(row),
        };
        Ok(outputs.chunks_exact(output_count(self.task.classes.len())).flat_map(probabilities).collect())
    }

    blocking! {
        /// Returns the accuracy: the fraction of rows whose predicted class equals the label, in `[0, 1]`.
        ///
        /// A label that is not among the classes of the fit counts as an incorrect prediction.
        ///
        /// # Errors
        /// - [`Error::Shape`] if the number of labels differs from the number of rows.
        /// - The errors of [`MlpClassifier::predict`].
        #[doc(alias = "accuracy_score")]
        pub fn score(&mut self, x: impl Into<Features>, y: &[L]) -> Result<f64> = self.score_async(x, y);
    }

    /// The asynchronous form of [`MlpClassifier::score`].
    ///
    /// # Errors
    /// As [`MlpClassifier::score`].
    pub async fn score_async(&mut self, x: impl Into<Features>, y: &[L]) -> Result<f64> {
        let predictions = self.predict_async(x).await?;
        check_len("labels", predictions.len(), y.len())?;
        let correct = predictions.iter().zip(y).filter(|(prediction, label)| prediction == label).count();
        Ok(correct as f64 / y.len() as f64)
    }

    async fn fit_with_weights(&mut self, x: Features, y: &[L], sample_weights: Option<&[f32]>) -> Result<&mut Self> {
        let classes = sort_unique(y)?;
        let mut data = build_dataset(x, y, &classes)?;
        if let Some(weights) = sample_weights {
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
                for (index, (label, weight)) in given.iter().enumerate() {
                    let class = classes.binary_search(label).map_err(|_| Error::InvalidSetting {
                        name: "class_weight",
                        expected: "classes that occur in the labels".into(),
                        got: format!("a class without rows at index {index}"),
                    })?;
                    weights[class] = *weight;
                }
                data.with_class_weights(&weights)?
            }
        };
        // A fit that fails from here on leaves no fitted state, so that the network and the classes always belong
        // together.
        self.fitted_state = None;
        self.fitted_state = Some(FittedState::fit(&self.settings, &output_head(classes.len()), &data).await?);
        self.task.classes = classes;
        Ok(self)
    }
}

/// Returns the number of outputs for a number of classes.
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

/// Returns the class id that a row of outputs predicts. Of equal largest outputs the first one wins.
fn predicted_class(row: &[f32]) -> usize {
    if let [second_class] = row {
        return usize::from(*second_class > 0.5);
    }
    let mut best = 0;
    for class in 1..row.len() {
        if row[class] > row[best] {
            best = class;
        }
    }
    best
}

/// Returns the distinct labels in ascending order.
///
/// # Errors
/// [`Error::InvalidSetting`] for fewer than 2 distinct labels.
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

/// Returns a data set whose targets are the class ids of the labels.
fn build_dataset<L: Ord>(x: Features, y: &[L], classes: &[L]) -> Result<Dataset> {
    let mut ids = Vec::with_capacity(y.len());
    for (row, label) in y.iter().enumerate() {
        let Ok(id) = classes.binary_search(label) else {
            let expected = format!("only the {} classes of the first call", classes.len());
            return Err(Error::InvalidSetting { name: "labels", expected, got: format!("a new class in row {row}") });
        };
        ids.push(id as u32);
    }
    Dataset::new(y.len(), x, ids)
}

/// Returns the softmax of a row. It subtracts the maximum first, so that no exponential overflows.
fn softmax(row: &[f32]) -> Vec<f32> {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|y| libm::exp(f64::from(y - max))).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}
