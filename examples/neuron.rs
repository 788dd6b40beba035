//! The textbook by the numbers: one step of one neuron, then one step of a network with a hidden layer. Every number
//! stands beside its formula, computed by hand in 64 bits and read from the device in 32.
//!
//!     cargo run --release --example neuron -- --device gpu

mod common;

use std::process::ExitCode;

use clap::Parser;
use gradus::{Activation, Device, Loss, Network, Optimizer, Trainer, TrainerSettings, nn::LayerParameters};
use serde_json::{Value, json};

use common::{
    Exit,
    options::{DeviceOptions, JsonOption},
};

/// Shows every number of one training step, by hand and from the device.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    json: JsonOption,
}

/// A chain of sigmoid layers, one row of data, and the rate of the one step that is taken.
struct Lesson {
    title: &'static str,
    /// The names of the neurons, layer by layer; the last layer has one.
    neurons: &'static [&'static [&'static str]],
    /// Weights and biases before the step. Halves and quarters, which 32 bits hold exactly.
    before: Vec<LayerParameters>,
    x: &'static [f32],
    expected: f32,
    rate: f64,
}

/// What a step computes, in the order in which the tables show it.
struct Step {
    /// Layer by layer, neuron by neuron.
    z: Vec<Vec<f64>>,
    a: Vec<Vec<f64>>,
    loss: f64,
    delta: Vec<Vec<f64>>,
    /// Layer by layer, neuron by neuron: a neuron's weights, then its bias.
    gradients: Vec<f64>,
    after: Vec<f64>,
}

/// One line of a table.
struct Line {
    name: String,
    formula: String,
    by_hand: f64,
    device: f64,
}

impl Line {
    fn json(&self) -> Value {
        let Self { name, formula, by_hand, device } = self;
        json!({ "name": name, "formula": formula, "by_hand": by_hand, "device": device })
    }

    fn difference(&self) -> f64 {
        (self.device - self.by_hand).abs()
    }
}

/// All numbers here are about 1, where 32 bits are good for 6e-8; an e^-z of a GPU may be off by some of these.
const TOLERANCE: f64 = 1e-5;

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let device = arguments.device.open()?;
    let layer = |weight: &[f32], bias: &[f32]| LayerParameters::new(weight.to_vec(), bias.to_vec());
    let lessons = [
        Lesson {
            title: "One neuron: y = sigmoid(w1 x1 + w2 x2 + w3 x3 + b)",
            neurons: &[&["y"]],
            before: vec![layer(&[0.5, -0.75, 0.25], &[0.125])],
            x: &[1.0, 0.5, -1.5],
            expected: 1.0,
            rate: 0.5,
        },
        Lesson {
            title: "One hidden layer: two inputs, the hidden neurons h1 and h2, the output y; all sigmoid",
            neurons: &[&["h1", "h2"], &["y"]],
            before: vec![layer(&[0.5, -0.25, -1.0, 0.75], &[0.25, -0.5]), layer(&[1.5, -1.25], &[0.5])],
            x: &[1.0, -0.5],
            expected: 0.0,
            rate: 0.5,
        },
    ];
    let mut lines = Vec::new();
    for lesson in &lessons {
        let table = lesson.table(&lesson.by_hand(), &lesson.on_device(&device)?);
        lesson.print(&table, &device);
        lines.extend(table);
    }
    let Some(worst) = lines.iter().max_by(|a, b| a.difference().total_cmp(&b.difference())) else { return Ok(()) };
    let difference = worst.difference();
    common::print_line!("largest difference between device and hand: {difference:.1e}, in {}", worst.name);

    let quantities: Vec<Value> = lines.iter().map(Line::json).collect();
    let own = json!({ "largest_difference": difference, "largest_in": worst.name, "quantities": quantities });
    arguments.json.print("neuron", &device, own);
    if difference <= TOLERANCE {
        Ok(())
    } else {
        Err(Exit::Failed(format!("{} differs by {difference:.1e}, more than {TOLERANCE:e}", worst.name)))
    }
}

impl Lesson {
    /// The step from the formulas, in 64 bits.
    fn by_hand(&self) -> Step {
        let sigmoid = |z: &f64| 1.0 / (1.0 + (-z).exp());
        let mut input = wide(self.x);
        let (mut inputs, mut z, mut a) = (Vec::new(), Vec::new(), Vec::new());
        for layer in &self.before {
            let neurons = layer.weight.chunks(input.len()).zip(&layer.bias);
            let sums: Vec<f64> = neurons.map(|(w, b)| dot(&wide(w), &input) + f64::from(*b)).collect();
            inputs.push(input);
            input = sums.iter().map(sigmoid).collect();
            z.push(sums);
            a.push(input.clone());
        }
        let error = input[0] - f64::from(self.expected);

        // Backward: the output's delta is the slope of the loss times the slope of the sigmoid; a hidden neuron's is
        // what the layer behind it sends back through its weights, times the slope of its own sigmoid.
        let mut sent_back = vec![2.0 * error];
        let mut delta = Vec::new();
        for (layer, a) in self.before.iter().zip(&a).rev() {
            let here: Vec<f64> = sent_back.iter().zip(a).map(|(sent, a)| sent * a * (1.0 - a)).collect();
            let inputs = layer.weight.len() / here.len();
            let column = |i: usize| wide(&layer.weight).into_iter().skip(i).step_by(inputs).collect::<Vec<_>>();
            sent_back = (0..inputs).map(|i| dot(&column(i), &here)).collect();
            delta.insert(0, here);
        }
        let gradients: Vec<f64> = delta
            .iter()
            .zip(&inputs)
            .flat_map(|(delta, input)| delta.iter().flat_map(move |d| input.iter().chain(&[1.0]).map(move |x| d * x)))
            .collect();
        let after = flat(&self.before).iter().zip(&gradients).map(|(p, g)| p - self.rate * g).collect();
        Step { z, a, loss: error * error, delta, gradients, after }
    }

    /// The step as the device takes it.
    fn on_device(&self, device: &Device) -> gradus::Result<Step> {
        let sigmoids = vec![Activation::Sigmoid; self.before.len()];
        let mut trainer = self.trainer(device, &sigmoids)?;
        let gradients = trainer.gradients(self.x, &[self.expected])?;
        // The bias enters z as it is, so with one row its gradient is the delta.
        let delta = gradients.iter().map(|layer| wide(&layer.bias)).collect();
        trainer.step(self.x, &[self.expected])?;
        let loss = f64::from(trainer.last_loss()?);
        let after = flat(&trainer.parameters()?);

        // A layer's z is what comes out of the network that ends with it, when its sigmoid is left away.
        let (mut z, mut a) = (Vec::new(), Vec::new());
        for end in 1..=self.before.len() {
            let mut activations = sigmoids[..end].to_vec();
            a.push(wide(&self.trainer(device, &activations)?.predict(self.x)?));
            activations[end - 1] = Activation::Identity;
            z.push(wide(&self.trainer(device, &activations)?.predict(self.x)?));
        }
        Ok(Step { z, a, loss, delta, gradients: flat(&gradients), after })
    }

    /// A trainer of the first layers, with these activations and the parameters from before the step.
    fn trainer(&self, device: &Device, activations: &[Activation]) -> gradus::Result<Trainer> {
        let layers = self.before.iter().zip(activations);
        let network = layers.fold(Network::new(self.x.len()), |network, (layer, activation)| {
            network.dense(layer.bias.len(), *activation)
        });
        let optimizer = Optimizer::sgd(self.rate);
        let settings = TrainerSettings { batch_size: 1, loss: Loss::Mse, optimizer, ..TrainerSettings::default() };
        let mut trainer = Trainer::without_dataset(device, &network, settings)?;
        trainer.set_parameters(&self.before[..activations.len()])?;
        Ok(trainer)
    }

    /// The names of what goes into a layer.
    fn sources(&self, layer: usize) -> Vec<String> {
        match layer.checked_sub(1) {
            None => (1..=self.x.len()).map(|i| format!("x{i}")).collect(),
            Some(before) => self.neurons[before].iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// A quantity's name, with the neuron's where there are several.
    fn of(&self, what: &str, neuron: &str) -> String {
        if self.neurons.len() == 1 { what.to_owned() } else { format!("{what}_{neuron}") }
    }

    /// The names of a neuron's weights and, last, its bias.
    fn parameters(&self, layer: usize, neuron: &str) -> Vec<String> {
        let weight = |(i, source)| match self.neurons.len() {
            1 => format!("w{}", i + 1),
            _ => format!("w_{neuron}{source}"),
        };
        let weights = self.sources(layer).into_iter().enumerate().map(weight);
        weights.chain([self.of("b", neuron)]).collect()
    }

    /// Every number of the step beside its formula.
    fn table(&self, by_hand: &Step, device: &Step) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut line = |name: String, formula: String, by_hand: f64, device: f64| {
            lines.push(Line { name, formula, by_hand, device });
        };
        for (l, neurons) in self.neurons.iter().enumerate() {
            for (j, neuron) in neurons.iter().enumerate() {
                let z = self.of("z", neuron);
                let (parameters, sources) = (self.parameters(l, neuron), self.sources(l));
                let products = parameters.iter().zip(&sources).map(|(w, x)| format!("{w} {x}"));
                let sum: Vec<_> = products.chain(parameters.last().cloned()).collect();
                line(z.clone(), sum.join(" + "), by_hand.z[l][j], device.z[l][j]);
                line((*neuron).to_owned(), format!("1 / (1 + e^-{z})"), by_hand.a[l][j], device.a[l][j]);
            }
        }
        line("loss".into(), "(y - t)^2".into(), by_hand.loss, device.loss);
        for (l, neurons) in self.neurons.iter().enumerate().rev() {
            for (j, neuron) in neurons.iter().enumerate() {
                // One neuron stands behind every hidden one, so a single weight sends its delta back.
                let sent = match self.neurons.get(l + 1) {
                    None => "2 (y - t)".to_owned(),
                    Some(behind) => format!("delta_{} w_{}{neuron}", behind[0], behind[0]),
                };
                let formula = format!("{sent} {neuron} (1 - {neuron})");
                line(self.of("delta", neuron), formula, by_hand.delta[l][j], device.delta[l][j]);
            }
        }
        let mut at = 0;
        let mut new = Vec::new();
        for (l, neurons) in self.neurons.iter().enumerate() {
            for neuron in *neurons {
                let delta = self.of("delta", neuron);
                let factors = self.sources(l).into_iter().map(|source| format!("{delta} {source}"));
                for (name, formula) in self.parameters(l, neuron).into_iter().zip(factors.chain([delta.clone()])) {
                    line(format!("dloss/d{name}"), formula, by_hand.gradients[at], device.gradients[at]);
                    let formula = format!("{name} - rate dloss/d{name}");
                    new.push((format!("new {name}"), formula, by_hand.after[at], device.after[at]));
                    at += 1;
                }
            }
        }
        for (name, formula, by_hand, device) in new {
            line(name, formula, by_hand, device);
        }
        lines
    }

    fn print(&self, table: &[Line], device: &Device) {
        common::print_line!("{}", self.title);
        let parameters = self.neurons.iter().enumerate().flat_map(|(l, neurons)| {
            let names = neurons.iter().flat_map(move |neuron| self.parameters(l, neuron));
            names.collect::<Vec<_>>()
        });
        let named = |names: Vec<String>, values: Vec<f64>| {
            let pairs: Vec<_> = names.iter().zip(values).map(|(name, value)| format!("{name} = {value}")).collect();
            pairs.join(", ")
        };
        common::print_line!("  {}, t = {}, rate = {}", named(self.sources(0), wide(self.x)), self.expected, self.rate);
        common::print_line!("  {}\n", named(parameters.collect(), flat(&self.before)));

        let width = |of: fn(&Line) -> &str| table.iter().map(|line| of(line).len()).max().unwrap_or(0);
        let (name, formula) = (width(|line| &line.name), width(|line| &line.formula));
        common::print_line!(
            "  {:name$}   {:formula$}  {:>12}  {:>12}  difference",
            "",
            "",
            "by hand",
            device.backend()
        );
        for line in table {
            let Line { by_hand, device, .. } = line;
            let difference = line.difference();
            common::print_line!(
                "  {:name$} = {:formula$}  {by_hand:>12.8}  {device:>12.8}  {difference:>10.1e}",
                line.name,
                line.formula
            );
        }
        common::print_line!("");
    }
}

/// Layer by layer and neuron by neuron: a neuron's weights, then its bias.
fn flat(layers: &[LayerParameters]) -> Vec<f64> {
    let neurons = layers.iter().flat_map(|layer| {
        let inputs = layer.weight.len() / layer.bias.len();
        layer.weight.chunks(inputs).zip(&layer.bias)
    });
    neurons.flat_map(|(weights, bias)| wide(weights).into_iter().chain([f64::from(*bias)])).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
