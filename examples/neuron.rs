//! Shows every number of a training step, first of one neuron, then of a network with a hidden layer.
//!
//!     cargo run --release --example neuron -- --device gpu
//!
//! Each line has a quantity, its formula, an f64 reference calculation in this file, and the f32 value from the device.

mod common;

use std::process::ExitCode;

use clap::Parser;
use gradus::{Activation, Device, Loss, Network, Optimizer, Trainer, TrainerSettings, nn::LayerParameters};
use serde_json::{Value, json};

use common::{
    Exit,
    options::{DeviceOptions, JsonOption},
    print_line,
};

/// Shows every number of a training step, next to its formula and a reference calculation.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    json: JsonOption,
}

/// A network of sigmoid layers, one row of data, and the learning rate of one training step.
struct Lesson {
    title: &'static str,
    /// The names of the neurons, layer by layer. The last layer has one neuron.
    neurons: &'static [&'static [&'static str]],
    /// The parameters before the step. They are multiples of 1/8, which f32 stores exactly.
    before: Vec<LayerParameters>,
    x: &'static [f32],
    target: f32,
    learning_rate: f64,
}

/// The quantities of a training step, in the order of the tables.
struct Step {
    /// The pre-activations, layer by layer, neuron by neuron.
    z: Vec<Vec<f64>>,
    /// The activations, in the same order.
    a: Vec<Vec<f64>>,
    loss: f64,
    delta: Vec<Vec<f64>>,
    /// The gradients, layer by layer, neuron by neuron: the weights of a neuron, then its bias.
    gradients: Vec<f64>,
    /// The parameters after the step, in the order of the gradients.
    after: Vec<f64>,
}

/// A line of a table.
struct Line {
    name: String,
    formula: String,
    reference: f64,
    device: f64,
}

impl Line {
    fn json(&self) -> Value {
        let Self { name, formula, reference, device } = self;
        json!({ "name": name, "formula": formula, "reference": reference, "device": device })
    }

    fn difference(&self) -> f64 {
        (self.device - self.reference).abs()
    }
}

/// All quantities are about 1, where f32 has a precision of 6e-8. The exponential function of a GPU may be off by several
/// units of that precision.
const TOLERANCE: f64 = 1e-5;

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let device = arguments.device.open()?;
    let mut lines = Vec::new();
    for lesson in lessons() {
        let table = lesson.table(&lesson.reference_step(), &lesson.device_step(&device)?);
        lesson.print(&table, &device);
        lines.extend(table);
    }
    let Some(worst) = lines.iter().max_by(|a, b| a.difference().total_cmp(&b.difference())) else { return Ok(()) };
    let difference = worst.difference();
    print_line!("largest difference between device and reference: {difference:.1e} in {}", worst.name);

    let quantities: Vec<Value> = lines.iter().map(Line::json).collect();
    let keys =
        json!({ "largest_difference": difference, "largest_difference_in": worst.name, "quantities": quantities });
    arguments.json.print("neuron", &device, keys);
    if difference <= TOLERANCE {
        Ok(())
    } else {
        let name = &worst.name;
        Err(Exit::Failed(format!("{name}: expected a difference of at most {TOLERANCE:e}, got {difference:.1e}")))
    }
}

fn lessons() -> [Lesson; 2] {
    let layer = |weight: &[f32], bias: &[f32]| LayerParameters::new(weight.to_vec(), bias.to_vec());
    [
        Lesson {
            title: "One neuron: y = sigmoid(w1 x1 + w2 x2 + w3 x3 + b)",
            neurons: &[&["y"]],
            before: vec![layer(&[0.5, -0.75, 0.25], &[0.125])],
            x: &[1.0, 0.5, -1.5],
            target: 1.0,
            learning_rate: 0.5,
        },
        Lesson {
            title: "One hidden layer: two inputs, the hidden neurons h1 and h2, the output y; all sigmoid",
            neurons: &[&["h1", "h2"], &["y"]],
            before: vec![layer(&[0.5, -0.25, -1.0, 0.75], &[0.25, -0.5]), layer(&[1.5, -1.25], &[0.5])],
            x: &[1.0, -0.5],
            target: 0.0,
            learning_rate: 0.5,
        },
    ]
}

impl Lesson {
    /// Computes the step from the formulas in f64.
    fn reference_step(&self) -> Step {
        let sigmoid = |z: &f64| 1.0 / (1.0 + (-z).exp());
        let mut input = to_f64(self.x);
        let (mut inputs, mut z, mut a) = (Vec::new(), Vec::new(), Vec::new());
        for layer in &self.before {
            let neurons = layer.weight.chunks(input.len()).zip(&layer.bias);
            let sums: Vec<f64> = neurons.map(|(w, b)| dot(&to_f64(w), &input) + f64::from(*b)).collect();
            inputs.push(input);
            input = sums.iter().map(sigmoid).collect();
            z.push(sums);
            a.push(input.clone());
        }
        let error = input[0] - f64::from(self.target);

        // Backward pass. The delta of the output is the derivative of the loss times the derivative of the sigmoid. The
        // delta of a hidden neuron is the weighted sum of the deltas of the next layer, times the derivative of its own
        // sigmoid.
        let mut output_gradient = vec![2.0 * error];
        let mut delta = Vec::new();
        for (layer, a) in self.before.iter().zip(&a).rev() {
            let layer_delta: Vec<f64> = output_gradient.iter().zip(a).map(|(g, a)| g * a * (1.0 - a)).collect();
            let inputs = layer.weight.len() / layer_delta.len();
            let column = |i: usize| to_f64(&layer.weight).into_iter().skip(i).step_by(inputs).collect::<Vec<_>>();
            output_gradient = (0..inputs).map(|i| dot(&column(i), &layer_delta)).collect();
            delta.insert(0, layer_delta);
        }
        let gradients: Vec<f64> = delta
            .iter()
            .zip(&inputs)
            .flat_map(|(delta, input)| delta.iter().flat_map(move |d| input.iter().chain(&[1.0]).map(move |x| d * x)))
            .collect();
        let after = flatten(&self.before).iter().zip(&gradients).map(|(p, g)| p - self.learning_rate * g).collect();
        Step { z, a, loss: error * error, delta, gradients, after }
    }

    /// Runs the step on the device.
    fn device_step(&self, device: &Device) -> gradus::Result<Step> {
        let sigmoids = vec![Activation::Sigmoid; self.before.len()];
        let mut trainer = self.trainer(device, &sigmoids)?;
        let gradients = trainer.gradients(self.x, &[self.target])?;
        // The derivative of z with respect to the bias is 1, so with one row the gradient of the bias is the delta.
        let delta = gradients.iter().map(|layer| to_f64(&layer.bias)).collect();
        trainer.step(self.x, &[self.target])?;
        let loss = f64::from(trainer.last_loss()?);
        let after = flatten(&trainer.parameters()?);

        // The pre-activations of a layer are the outputs of a network that ends with this layer, without its sigmoid.
        let (mut z, mut a) = (Vec::new(), Vec::new());
        for end in 1..=self.before.len() {
            let mut activations = sigmoids[..end].to_vec();
            a.push(to_f64(&self.trainer(device, &activations)?.predict(self.x)?));
            activations[end - 1] = Activation::Identity;
            z.push(to_f64(&self.trainer(device, &activations)?.predict(self.x)?));
        }
        Ok(Step { z, a, loss, delta, gradients: flatten(&gradients), after })
    }

    /// Creates a trainer of the first layers, with the given activations and the parameters before the step.
    fn trainer(&self, device: &Device, activations: &[Activation]) -> gradus::Result<Trainer> {
        let mut network = Network::new(self.x.len());
        for (layer, activation) in self.before.iter().zip(activations) {
            network = network.dense(layer.bias.len(), *activation);
        }
        let optimizer = Optimizer::sgd(self.learning_rate);
        let settings = TrainerSettings { batch_size: 1, loss: Loss::Mse, optimizer, ..TrainerSettings::default() };
        let mut trainer = Trainer::without_dataset(device, &network, settings)?;
        trainer.set_parameters(&self.before[..activations.len()])?;
        Ok(trainer)
    }

    /// Returns the names of the inputs of a layer.
    fn input_names(&self, layer: usize) -> Vec<String> {
        match layer.checked_sub(1) {
            None => (1..=self.x.len()).map(|i| format!("x{i}")).collect(),
            Some(previous) => self.neurons[previous].iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// Returns the name of a quantity of a neuron, without the neuron if the network has only one layer.
    fn quantity_name(&self, quantity: &str, neuron: &str) -> String {
        if self.neurons.len() == 1 { quantity.to_owned() } else { format!("{quantity}_{neuron}") }
    }

    /// Returns the names of the weights of a neuron and, last, of its bias.
    fn parameter_names(&self, layer: usize, neuron: &str) -> Vec<String> {
        let weight = |(i, input)| match self.neurons.len() {
            1 => format!("w{}", i + 1),
            _ => format!("w_{neuron}{input}"),
        };
        let weights = self.input_names(layer).into_iter().enumerate().map(weight);
        weights.chain([self.quantity_name("b", neuron)]).collect()
    }

    /// Returns the lines of the table: every quantity of the step with its formula.
    fn table(&self, reference: &Step, device: &Step) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut line = |name: String, formula: String, reference: f64, device: f64| {
            lines.push(Line { name, formula, reference, device });
        };
        for (l, neurons) in self.neurons.iter().enumerate() {
            for (j, neuron) in neurons.iter().enumerate() {
                let z = self.quantity_name("z", neuron);
                let (parameters, inputs) = (self.parameter_names(l, neuron), self.input_names(l));
                let products = parameters.iter().zip(&inputs).map(|(w, x)| format!("{w} {x}"));
                let terms: Vec<_> = products.chain(parameters.last().cloned()).collect();
                line(z.clone(), terms.join(" + "), reference.z[l][j], device.z[l][j]);
                line((*neuron).to_owned(), format!("1 / (1 + e^-{z})"), reference.a[l][j], device.a[l][j]);
            }
        }
        line("loss".into(), "(y - t)^2".into(), reference.loss, device.loss);
        for (l, neurons) in self.neurons.iter().enumerate().rev() {
            for (j, neuron) in neurons.iter().enumerate() {
                // The next layer has one neuron, so the weighted sum of its deltas has one term.
                let output_gradient = match self.neurons.get(l + 1) {
                    None => "2 (y - t)".to_owned(),
                    Some(next) => format!("delta_{} w_{}{neuron}", next[0], next[0]),
                };
                let formula = format!("{output_gradient} {neuron} (1 - {neuron})");
                line(self.quantity_name("delta", neuron), formula, reference.delta[l][j], device.delta[l][j]);
            }
        }
        let mut index = 0;
        let mut updates = Vec::new();
        for (l, neurons) in self.neurons.iter().enumerate() {
            for neuron in *neurons {
                let delta = self.quantity_name("delta", neuron);
                let weight_formulas = self.input_names(l).into_iter().map(|input| format!("{delta} {input}"));
                let formulas = weight_formulas.chain([delta.clone()]);
                for (name, formula) in self.parameter_names(l, neuron).into_iter().zip(formulas) {
                    let gradients = (reference.gradients[index], device.gradients[index]);
                    line(format!("dloss/d{name}"), formula, gradients.0, gradients.1);
                    let update = format!("{name} - rate dloss/d{name}");
                    updates.push((format!("new {name}"), update, reference.after[index], device.after[index]));
                    index += 1;
                }
            }
        }
        for (name, formula, reference, device) in updates {
            line(name, formula, reference, device);
        }
        lines
    }

    fn print(&self, table: &[Line], device: &Device) {
        print_line!("{}", self.title);
        let mut parameter_names = Vec::new();
        for (l, neurons) in self.neurons.iter().enumerate() {
            for neuron in *neurons {
                parameter_names.extend(self.parameter_names(l, neuron));
            }
        }
        let assignments = |names: Vec<String>, values: Vec<f64>| {
            let pairs: Vec<_> = names.iter().zip(values).map(|(name, value)| format!("{name} = {value}")).collect();
            pairs.join(", ")
        };
        let inputs = assignments(self.input_names(0), to_f64(self.x));
        print_line!("  {inputs}, t = {}, rate = {}", self.target, self.learning_rate);
        print_line!("  {}\n", assignments(parameter_names, flatten(&self.before)));

        let width = |column: fn(&Line) -> &str| table.iter().map(|line| column(line).len()).max().unwrap_or(0);
        let (name_width, formula_width) = (width(|line| &line.name), width(|line| &line.formula));
        let blank = " ".repeat(name_width + formula_width + 5);
        print_line!("{blank}  {:>12}  {:>12}  difference", "reference", device.backend());
        for line in table {
            let Line { name, formula, reference, device } = line;
            let difference = line.difference();
            print_line!(
                "  {name:name_width$} = {formula:formula_width$}  {reference:>12.8}  {device:>12.8}  {difference:>10.1e}"
            );
        }
        print_line!("");
    }
}

/// Returns the parameters or gradients, layer by layer and neuron by neuron: the weights of a neuron, then its bias.
fn flatten(layers: &[LayerParameters]) -> Vec<f64> {
    let neurons = layers.iter().flat_map(|layer| {
        let inputs = layer.weight.len() / layer.bias.len();
        layer.weight.chunks(inputs).zip(&layer.bias)
    });
    neurons.flat_map(|(weights, bias)| to_f64(weights).into_iter().chain([f64::from(*bias)])).collect()
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
