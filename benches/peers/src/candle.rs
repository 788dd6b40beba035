//! candle on the CPU, with the layers, the loss and the optimizer of candle.

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::{Linear, Module, Optimizer, SGD, VarBuilder, VarMap, linear, loss::mse, ops::sigmoid};

use crate::{BATCHES, LEARNING_RATE, Peer, Permutation, Result, Trainer, values, version};

/// candle on the CPU. It uses one thread per core.
pub struct Candle;

impl Peer for Candle {
    fn name(&self) -> String {
        format!("candle {} CPU", version("candle-core"))
    }

    fn is_gpu(&self) -> bool {
        false
    }

    fn trainer(&self, layer_sizes: &[usize], permutation: Permutation) -> Result<Box<dyn Trainer>> {
        Ok(Box::new(CandleTrainer::new(layer_sizes, permutation)?))
    }
}

/// A network with its optimizer and its data.
struct CandleTrainer {
    layers: Vec<Linear>,
    optimizer: SGD,
    inputs: Tensor,
    targets: Tensor,
    permutation: Permutation,
    /// The permutation of the current epoch.
    rows: Tensor,
    completed_steps: usize,
}

impl CandleTrainer {
    fn new(layer_sizes: &[usize], permutation: Permutation) -> Result<Self> {
        let (device, variables) = (Device::Cpu, VarMap::new());
        let builder = VarBuilder::from_varmap(&variables, DType::F32, &device);
        let layers = layer_sizes.windows(2).enumerate().map(|(i, pair)| linear(pair[0], pair[1], builder.pp(i)));
        let data = |width: usize| {
            let shape = (BATCHES * permutation.batch_size, width);
            Tensor::from_vec(values(shape.0 * width), shape, &device)
        };
        Ok(Self {
            layers: layers.collect::<candle_core::Result<_>>()?,
            optimizer: SGD::new(variables.all_vars(), LEARNING_RATE)?,
            inputs: data(layer_sizes[0])?,
            targets: data(layer_sizes[layer_sizes.len() - 1])?,
            rows: Tensor::new(&permutation.rows[..], &device)?,
            permutation,
            completed_steps: 0,
        })
    }

    fn step(&mut self) -> candle_core::Result<f32> {
        if self.completed_steps.is_multiple_of(BATCHES) {
            self.rows = Tensor::new(self.permutation.next_epoch(), &Device::Cpu)?;
        }
        let batch_size = self.permutation.batch_size;
        let first = self.completed_steps % BATCHES * batch_size;
        self.completed_steps += 1;
        let rows = self.rows.i(first..first + batch_size)?;
        let mut activations = self.inputs.index_select(&rows, 0)?;
        for layer in &self.layers {
            activations = sigmoid(&layer.forward(&activations)?)?;
        }
        let loss = mse(&activations, &self.targets.index_select(&rows, 0)?)?;
        self.optimizer.backward_step(&loss)?;
        loss.to_scalar()
    }
}

impl Trainer for CandleTrainer {
    fn run(&mut self, steps: usize) -> Result<Vec<f32>> {
        let losses =
            Device::Cpu.with_context(|| (0..steps).map(|_| self.step()).collect::<candle_core::Result<_>>())?;
        Ok(losses)
    }
}
