//! From a data set to a trained model: what is held out, the network, and the training.

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
        tables::{digits, few, refused, short},
    },
};

/// The share of the rows that are not held out which decide when to stop.
const VALIDATION: f64 = 0.15;

/// As many classes are counted in the text.
const FEW: usize = 12;

/// All that a training takes.
pub struct TrainingSetup {
    /// All rows.
    pub data: Dataset,
    /// Those that the network learns from, those that decide when to stop, and both.
    pub train: Dataset,
    pub validation: Dataset,
    pub learn: Dataset,
    /// Those that it is tested on.
    pub test: Dataset,
    pub network: Network,
    pub settings: TrainerSettings,
    pub fit: TrainingLoop,
    /// What is taken from the answers, and what they are divided by then, if they are numbers.
    scale: Option<(f64, f64)>,
}

/// A trained network.
pub struct Trained {
    /// It takes the encoder's features and gives the answers as they stand in the file.
    pub model: Model,
    pub history: History,
    /// The loss on the rows that it is tested on.
    pub loss: f64,
}

impl TrainingSetup {
    /// Splits the rows and makes the network.
    pub fn new(arguments: &Arguments, encoder: &Encoder, data: Dataset) -> Result<Self, Exit> {
        tell_target(encoder, &data)?;
        let seed = arguments.seed.seed;
        let stratified = encoder.classes().is_some();
        if !(0.01..=0.9).contains(&arguments.hold_out) {
            return Err(Exit::Usage(format!("--hold-out: expected 0.01 to 0.9, got {}", arguments.hold_out)));
        }
        let (learn, test) = data.split(&Split { fraction: arguments.hold_out, stratified }, seed)?;
        let (train, validation) = learn.split(&Split { fraction: VALIDATION, stratified }, seed)?;
        let (count, validate, tested) = (train.rows(), validation.rows(), test.rows());
        print_line!("{count} rows to learn from, {validate} to tell when to stop, {tested} held out");

        let scale = match train.targets() {
            Targets::Values(values) => Some(mean_and_deviation(values)?),
            Targets::Classes(_) => None,
        };
        let (network, loss) = network(arguments, data.inputs(), encoder.classes());
        // Some 50 steps an epoch, which are enough for few rows and not too many for a GPU with many.
        let batch = arguments.batch.unwrap_or((count / 50).next_power_of_two().clamp(8, 256));
        let optimizer = arguments.optimizer.optimizer(arguments.learning_rate);
        let settings = TrainerSettings { batch_size: batch, loss, optimizer, seed, ..TrainerSettings::default() };
        let stopping = EarlyStopping { patience: arguments.patience, ..EarlyStopping::default() };
        let epochs = arguments.epochs.or(50);
        let fit = TrainingLoop::new(epochs).validation_data(&scaled(&validation, scale)?).early_stopping(stopping);
        Ok(Self { data, train, validation, learn, test, network, settings, fit, scale })
    }

    /// Trains the network.
    pub fn train(&self, device: &Device) -> Result<Trained, Exit> {
        let scaler = Scaler::fit(Scaling::Standard, &self.train);
        let train = scaled(&self.train, self.scale)?.with_scaler(&scaler)?;
        let mut trainer = Trainer::new(device, &self.network, &train, self.settings.clone())?;
        let mut bar = ProgressBar::new(&self.fit, &trainer);
        let history = self.fit.run_with_callback(&mut trainer, |progress| bar.update(progress));
        drop(bar);
        let history = history?;
        let loss = trainer.evaluate(&scaled(&self.test, self.scale)?)?.loss();
        let mut model = trainer.model()?;
        if let (Some((mean, deviation)), Some(last)) = (self.scale, model.parameters.last_mut()) {
            // The last layer is linear, so it can undo the scaling of the answers: whoever reads the model need not.
            last.weight.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * deviation) as f32);
            last.bias.iter_mut().for_each(|bias| *bias = (f64::from(*bias) * deviation + mean) as f32);
        }
        Ok(Trained { model, history, loss })
    }

    /// The network in words: `4-64-64-3, relu`.
    pub fn words(&self) -> String {
        let widths = self.network.layers().iter().map(|layer| layer.outputs.to_string());
        let widths: Vec<String> = std::iter::once(self.network.inputs().to_string()).chain(widths).collect();
        let hidden = self.network.layers().len() > 1;
        let activation = self.network.layers().first().filter(|_| hidden);
        let activation = activation.map_or("linear".to_owned(), |layer| layer.activation.to_string());
        format!("{}, {activation}", widths.join("-"))
    }
}

/// The network, and the loss that goes with what it tells.
fn network(arguments: &Arguments, inputs: usize, classes: Option<&[String]>) -> (Network, Loss) {
    let hidden: &[usize] = if arguments.hidden == [0] { &[] } else { &arguments.hidden };
    let mut network = Network::new(inputs);
    for width in hidden {
        network = network.dense(*width, arguments.activation).dropout(arguments.dropout);
    }
    match classes {
        Some(classes) => (network.dense(classes.len(), Activation::Softmax), Loss::SoftmaxCrossEntropy),
        None => (network.dense(1, Activation::Identity), Loss::Mse),
    }
}

/// Says what the answers are, and refuses those that nothing can be learned from.
fn tell_target(encoder: &Encoder, data: &Dataset) -> Result<(), Exit> {
    match (encoder.classes(), data.targets()) {
        (Some(classes), Targets::Classes(ids)) => tell_classes(encoder.target(), classes, ids),
        (_, Targets::Values(values)) => {
            let (mean, deviation) = mean_and_deviation(values)?;
            let [mean, deviation] = [mean + f64::from(encoder.target_offset()), deviation].map(digits);
            print_line!("to predict: {}, numbers with mean {mean}, standard deviation {deviation}", encoder.target());
            Ok(())
        }
        _ => Ok(()),
    }
}

fn tell_classes(name: &str, classes: &[String], ids: &[u32]) -> Result<(), Exit> {
    let name = short(name);
    let are_numbers = classes.iter().all(|class| class.parse::<f64>().is_ok());
    if let [only] = classes {
        let only = short(only);
        return Err(Exit::Usage(format!("the target {name:?} is {only:?} in every row: nothing to tell apart")));
    }
    if 2 * classes.len() > ids.len() {
        let (all, rows) = (classes.len(), ids.len());
        let why = format!("the target {name:?} has {all} different values in {rows} rows: too many to be classes");
        let hint = if are_numbers { "; --regress predicts numbers" } else { "" };
        return Err(Exit::Usage(why + hint));
    }
    let mut counts = vec![0; classes.len()];
    ids.iter().for_each(|id| counts[*id as usize] += 1);
    let each: Vec<String> =
        classes.iter().zip(&counts).take(FEW).map(|(class, count)| format!("{} {count}", short(class))).collect();
    let more = if classes.len() > FEW { ", ..." } else { "" };
    print_line!("to predict: {name}, {} classes: {}{more}", classes.len(), each.join(", "));
    if are_numbers {
        print_line!("(to predict it as a number instead: --regress)");
    }
    let rare = classes.iter().zip(counts).filter(|(_, count)| *count < 5).map(|(class, _)| class.as_str());
    match rare.collect::<Vec<_>>().as_slice() {
        [] => {}
        rare => print_line!("classes with few rows to learn from and to test on: {}", few(rare, FEW)),
    }
    Ok(())
}

fn mean_and_deviation(values: &[f32]) -> Result<(f64, f64), Exit> {
    let n = values.len() as f64;
    let mean = values.iter().copied().map(f64::from).sum::<f64>() / n;
    let variance = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / n;
    match variance.sqrt() {
        none if none <= 1e-12 * mean.abs() => {
            Err(Exit::Usage(format!("the target is {} in every row: nothing to tell apart", digits(mean))))
        }
        deviation => Ok((mean, deviation)),
    }
}

/// The same with answers of mean 0 and standard deviation 1, if they are numbers.
fn scaled(data: &Dataset, scale: Option<(f64, f64)>) -> Result<Dataset, Exit> {
    let (Some((mean, deviation)), Targets::Values(values)) = (scale, data.targets()) else { return Ok(data.clone()) };
    let values: Vec<f32> = values.iter().map(|value| ((f64::from(*value) - mean) / deviation) as f32).collect();
    Dataset::new(data.rows(), data.features().clone(), values).map_err(refused)
}
