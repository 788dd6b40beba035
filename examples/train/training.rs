//! The training: splits the data set, creates the network, and trains it with early stopping.

use gradus::{
    Activation, Dataset, Device, EarlyStopping, History, Loss, Model, Network, Targets, Trainer, TrainerSettings,
    TrainingLoop,
    data::{Scaler, Scaling, Split, table::Encoder},
    train::ProgressBar,
};

use crate::{
    Arguments,
    common::{
        Exit, print_line,
        tables::{format_number, join_some, short, usage},
    },
};

/// The size of the validation set, as a fraction of the rows that are not in the test set.
const VALIDATION_FRACTION: f64 = 0.15;

/// The maximum number of classes to print.
const MAX_PRINTED_CLASSES: usize = 12;

/// Classes with fewer rows are printed as rare.
const MIN_ROWS_PER_CLASS: usize = 5;

/// The data sets, the network and the settings of a training run.
pub struct TrainingSetup {
    /// All rows.
    pub data: Dataset,
    pub train: Dataset,
    /// The rows that decide when to stop.
    pub validation: Dataset,
    /// The rows of `train` and `validation`.
    pub train_and_validation: Dataset,
    /// The held-out rows, for the printed metrics.
    pub test: Dataset,
    pub network: Network,
    pub settings: TrainerSettings,
    pub training_loop: TrainingLoop,
    /// The scaling of the target, if it is a number.
    target_scaling: Option<TargetScaling>,
}

/// The mean and the standard deviation of a numeric target. The network trains on `(target - mean) / std`.
#[derive(Clone, Copy)]
struct TargetScaling {
    mean: f64,
    std: f64,
}

/// A trained network.
pub struct Trained {
    /// The model. Its inputs are the features of the encoder, and its outputs are not scaled.
    pub model: Model,
    pub history: History,
    /// The loss on the test set, with scaled targets.
    pub test_loss: f64,
}

impl TrainingSetup {
    /// Splits the rows, and creates the network.
    pub fn new(arguments: &Arguments, encoder: &Encoder, data: Dataset) -> Result<Self, Exit> {
        check_and_print_target(encoder, &data)?;
        let seed = arguments.seed.seed;
        let stratified = encoder.classes().is_some();
        let test_fraction = arguments.test_fraction;
        if !(0.01..=0.9).contains(&test_fraction) {
            return Err(Exit::Usage(format!("--test-fraction: expected 0.01 to 0.9, got {test_fraction}")));
        }
        let (train_and_validation, test) = data.split(&Split { fraction: test_fraction, stratified }, seed)?;
        let (train, validation) =
            train_and_validation.split(&Split { fraction: VALIDATION_FRACTION, stratified }, seed)?;
        let (train_rows, validation_rows, test_rows) = (train.rows(), validation.rows(), test.rows());
        print_line!("rows: {train_rows} training, {validation_rows} validation, {test_rows} test");

        let target_scaling = match train.targets() {
            Targets::Values(values) => Some(TargetScaling::fit(encoder.target(), values)?),
            Targets::Classes(_) => None,
        };
        let (network, loss) = network(arguments, data.inputs(), encoder.classes());
        // About 50 steps per epoch are enough for few rows, and not too many for a GPU with many rows.
        let default_batch_size = (train_rows / 50).next_power_of_two().clamp(8, 256);
        let batch_size = arguments.batch_size.unwrap_or(default_batch_size);
        let optimizer = arguments.optimizer.optimizer(arguments.learning_rate);
        let settings = TrainerSettings { batch_size, loss, optimizer, seed, ..TrainerSettings::default() };
        let early_stopping = EarlyStopping { patience: arguments.patience, ..EarlyStopping::default() };
        let training_loop = TrainingLoop::new(arguments.epochs.or(50))
            .validation_data(&with_scaled_targets(&validation, target_scaling)?)
            .early_stopping(early_stopping);
        Ok(Self {
            data,
            train,
            validation,
            train_and_validation,
            test,
            network,
            settings,
            training_loop,
            target_scaling,
        })
    }

    /// Trains the network.
    pub fn train(&self, device: &Device) -> Result<Trained, Exit> {
        let scaler = Scaler::fit(Scaling::Standard, &self.train);
        let train = with_scaled_targets(&self.train, self.target_scaling)?.with_scaler(&scaler)?;
        let mut trainer = Trainer::new(device, &self.network, &train, self.settings.clone())?;
        let mut bar = ProgressBar::new(&self.training_loop, &trainer);
        let history = self.training_loop.run_with_callback(&mut trainer, |progress| bar.update(progress));
        // Clear the progress bar before an error is printed.
        drop(bar);
        let history = history?;
        let test_loss = trainer.evaluate(&with_scaled_targets(&self.test, self.target_scaling)?)?.loss();
        let mut model = trainer.model()?;
        if let (Some(TargetScaling { mean, std }), Some(last)) = (self.target_scaling, model.parameters.last_mut()) {
            // The last layer is linear, so its parameters can undo the scaling of the target. Programs that use the model
            // then need no scaling.
            last.weight.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * std) as f32);
            last.bias.iter_mut().for_each(|bias| *bias = (f64::from(*bias) * std + mean) as f32);
        }
        Ok(Trained { model, history, test_loss })
    }

    /// Describes the network: `4-64-64-3, relu`.
    pub fn network_description(&self) -> String {
        let layers = self.network.layers();
        let mut sizes = vec![self.network.inputs().to_string()];
        sizes.extend(layers.iter().map(|layer| layer.outputs.to_string()));
        let hidden = if layers.len() > 1 { layers.first() } else { None };
        let activation = hidden.map_or("linear".to_owned(), |layer| layer.activation.to_string());
        format!("{}, {activation}", sizes.join("-"))
    }
}

/// Creates the network, and returns it with the loss for its target.
fn network(arguments: &Arguments, inputs: usize, classes: Option<&[String]>) -> (Network, Loss) {
    let hidden: &[usize] = if arguments.hidden == [0] { &[] } else { &arguments.hidden };
    let mut network = Network::new(inputs);
    for neurons in hidden {
        network = network.dense(*neurons, arguments.activation).dropout(arguments.dropout);
    }
    match classes {
        Some(classes) => (network.dense(classes.len(), Activation::Softmax), Loss::SoftmaxCrossEntropy),
        None => (network.dense(1, Activation::Identity), Loss::Mse),
    }
}

/// Prints the targets. Returns an error if they are all equal, or if there are too many classes.
fn check_and_print_target(encoder: &Encoder, data: &Dataset) -> Result<(), Exit> {
    let name = encoder.target();
    match (encoder.classes(), data.targets()) {
        (Some(classes), Targets::Classes(ids)) => check_and_print_classes(name, classes, ids),
        (_, Targets::Values(values)) => {
            let TargetScaling { mean, std } = TargetScaling::fit(name, values)?;
            let [mean, std] = [mean + f64::from(encoder.target_offset()), std].map(format_number);
            print_line!("task: regression of {name:?}, mean {mean}, std {std}");
            Ok(())
        }
        (None, Targets::Classes(_)) => Ok(()),
    }
}

fn check_and_print_classes(name: &str, classes: &[String], ids: &[u32]) -> Result<(), Exit> {
    let name = short(name);
    let are_numbers = classes.iter().all(|class| class.parse::<f64>().is_ok());
    if let [only] = classes {
        return Err(single_value_error(&name, &format!("{:?}", short(only))));
    }
    if 2 * classes.len() > ids.len() {
        let (count, rows) = (classes.len(), ids.len());
        let hint = if are_numbers { "; pass --task regression to predict numbers" } else { "" };
        let message = format!("expected at most {} classes in {rows} rows, got {count}{hint}", rows / 2);
        return Err(Exit::Usage(format!("target column {name:?}: {message}")));
    }
    let mut counts = vec![0; classes.len()];
    ids.iter().for_each(|id| counts[*id as usize] += 1);
    let counted = classes.iter().zip(&counts);
    let mut listed: Vec<String> =
        counted.take(MAX_PRINTED_CLASSES).map(|(class, count)| format!("{} ({count})", short(class))).collect();
    if classes.len() > MAX_PRINTED_CLASSES {
        listed.push("...".to_owned());
    }
    print_line!("task: classification of {name:?}, {} classes (rows): {}", classes.len(), listed.join(", "));
    if are_numbers {
        print_line!("(to predict a number instead, pass --task regression)");
    }
    let counted = classes.iter().zip(counts);
    let rare: Vec<&str> =
        counted.filter(|(_, count)| *count < MIN_ROWS_PER_CLASS).map(|(class, _)| class.as_str()).collect();
    if !rare.is_empty() {
        let rare = join_some(&rare, MAX_PRINTED_CLASSES);
        print_line!("classes with fewer than {MIN_ROWS_PER_CLASS} rows: {rare}");
    }
    Ok(())
}

fn single_value_error(name: &str, value: &str) -> Exit {
    Exit::Usage(format!("target column {name:?}: expected at least 2 different values, got only {value}"))
}

impl TargetScaling {
    /// Computes the mean and the standard deviation of a target. Returns an error if all values are equal.
    fn fit(name: &str, values: &[f32]) -> Result<Self, Exit> {
        let n = values.len() as f64;
        let mean = values.iter().copied().map(f64::from).sum::<f64>() / n;
        let variance = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / n;
        let std = variance.sqrt();
        // Rounding errors make the variance of equal values slightly larger than 0.
        if std <= 1e-12 * mean.abs() {
            return Err(single_value_error(&short(name), &format_number(mean)));
        }
        Ok(Self { mean, std })
    }
}

/// Returns the data set with scaled targets, or a copy if there is no scaling.
fn with_scaled_targets(data: &Dataset, scaling: Option<TargetScaling>) -> Result<Dataset, Exit> {
    let (Some(TargetScaling { mean, std }), Targets::Values(values)) = (scaling, data.targets()) else {
        return Ok(data.clone());
    };
    let values: Vec<f32> = values.iter().map(|value| ((f64::from(*value) - mean) / std) as f32).collect();
    Dataset::new(data.rows(), data.features().clone(), values).map_err(usage)
}
