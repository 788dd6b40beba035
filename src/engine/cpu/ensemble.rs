//! The predictions of an ensemble on the CPU, with the formulas and in the order of `shaders/metrics/ensemble.wgsl`.

use rayon::prelude::*;

use crate::{engine::cpu::predictor::Predictor, metrics::classification::argmax, nn::network::Network};

/// The maximum number of outputs of all members in memory at once: 16 MiB.
const MAX_BUFFERED_OUTPUTS: usize = 4 << 20;

/// The minimum number of rows in a block, and in the work of one thread.
const MIN_ROWS: usize = 64;

/// The members of an ensemble.
pub(crate) struct Ensemble {
    inputs: usize,
    outputs: usize,
    members: Vec<Predictor>,
}

impl Ensemble {
    /// Creates an ensemble. Each member is `[parameters, running statistics]`, both flat.
    pub(crate) fn new(network: &Network, members: Vec<[Vec<f32>; 2]>) -> Self {
        let predictor = |[parameters, statistics]: [Vec<f32>; 2]| Predictor::new(network, parameters, statistics);
        let members = members.into_iter().map(predictor).collect();
        Self { inputs: network.inputs(), outputs: network.outputs(), members }
    }

    /// Returns `[rows, 3, outputs]`: for each row the means of the outputs, their summed squared deviations, and the
    /// votes.
    ///
    /// A member with one output votes if the output is greater than `threshold`. Otherwise each member votes for its
    /// largest output.
    pub(crate) fn predict(&self, inputs: &[f32], threshold: f32) -> Vec<f32> {
        let Self { outputs, members, .. } = self;
        let block_rows = (MAX_BUFFERED_OUTPUTS / (members.len() * outputs)).max(MIN_ROWS);
        let mut results = vec![0.0; inputs.len() / self.inputs * 3 * outputs];
        let blocks = inputs.chunks(block_rows * self.inputs).zip(results.chunks_mut(block_rows * 3 * outputs));
        for (inputs, results) in blocks {
            let member_outputs: Vec<_> = members.par_iter().map(|member| member.predict(inputs)).collect();
            results.par_chunks_mut(3 * outputs).enumerate().with_min_len(MIN_ROWS).for_each(|(row, result)| {
                for (count, y) in member_outputs.iter().enumerate() {
                    add_member_outputs(result, &y[row * outputs..(row + 1) * outputs], count, threshold);
                }
            });
        }
        results
    }
}

/// Adds the outputs of one member for one row to the result of `count` other members, with Welford's algorithm (1962).
fn add_member_outputs(result: &mut [f32], outputs: &[f32], count: usize, threshold: f32) {
    let (means, rest) = result.split_at_mut(outputs.len());
    let (squared_deviations, votes) = rest.split_at_mut(outputs.len());
    for ((mean, squared_deviation), y) in means.iter_mut().zip(squared_deviations).zip(outputs) {
        if count == 0 {
            *mean = *y;
        } else {
            let difference = y - *mean;
            *mean += difference / (count + 1) as f32;
            *squared_deviation += difference * (y - *mean);
        }
    }
    match outputs {
        [y] => votes[0] += if *y > threshold { 1.0 } else { 0.0 },
        _ => votes[argmax(outputs) as usize] += 1.0,
    }
}
