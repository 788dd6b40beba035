//! candle on the CPU, with its own layers, loss and optimizer.

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::{Linear, Module, Optimizer, SGD, VarBuilder, VarMap, linear, loss::mse, ops::sigmoid};

use crate::{BATCHES, Order, Peer, RATE, Result, Trainer, numbers, version};

/// candle on the CPU. It takes as many threads as there are cores.
pub struct Candle;

impl Peer for Candle {
    fn name(&self) -> String {
        format!("candle {} CPU", version("candle-core"))
    }

    fn is_gpu(&self) -> bool {
        false
    }

    fn trainer(&self, widths: &[usize], order: Order) -> Result<Box<dyn Trainer>> {
        Ok(Box::new(Training::new(widths, order)?))
    }
}

struct Training {
    layers: Vec<Linear>,
    optimizer: SGD,
    inputs: Tensor,
    targets: Tensor,
    order: Order,
    rows: Tensor,
    done: usize,
}

impl Training {
    fn new(widths: &[usize], order: Order) -> Result<Self> {
        let (device, variables) = (Device::Cpu, VarMap::new());
        let builder = VarBuilder::from_varmap(&variables, DType::F32, &device);
        let layers = widths.windows(2).enumerate().map(|(i, pair)| linear(pair[0], pair[1], builder.pp(i)));
        let data = |width: usize| {
            let shape = (BATCHES * order.batch, width);
            Tensor::from_vec(numbers(shape.0 * width), shape, &device)
        };
        Ok(Self {
            layers: layers.collect::<candle_core::Result<_>>()?,
            optimizer: SGD::new(variables.all_vars(), RATE)?,
            inputs: data(widths[0])?,
            targets: data(widths[widths.len() - 1])?,
            rows: Tensor::new(&order.rows[..], &device)?,
            order,
            done: 0,
        })
    }

    fn step(&mut self) -> candle_core::Result<f32> {
        if self.done.is_multiple_of(BATCHES) {
            self.rows = Tensor::new(self.order.next(), &Device::Cpu)?;
        }
        let first = self.done % BATCHES * self.order.batch;
        self.done += 1;
        let rows = self.rows.i(first..first + self.order.batch)?;
        let mut values = self.inputs.index_select(&rows, 0)?;
        for layer in &self.layers {
            values = sigmoid(&layer.forward(&values)?)?;
        }
        let loss = mse(&values, &self.targets.index_select(&rows, 0)?)?;
        self.optimizer.backward_step(&loss)?;
        loss.to_scalar()
    }
}

impl Trainer for Training {
    fn run(&mut self, steps: usize) -> Result<Vec<f32>> {
        let losses =
            Device::Cpu.with_context(|| (0..steps).map(|_| self.step()).collect::<candle_core::Result<_>>())?;
        Ok(losses)
    }
}
