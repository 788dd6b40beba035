//! Networks whose answers are put together, by the formulas and in the order of `shaders/metrics/ensemble.wgsl`.

use rayon::prelude::*;

use crate::{engine::cpu::predictor::Predictor, metrics::classification::argmax, nn::network::Network};

/// Outputs of all networks that are held at once: some 16 MiB.
const MAX_BUFFERED_OUTPUTS: usize = 4 << 20;

pub(crate) struct Ensemble {
    inputs: usize,
    outputs: usize,
    members: Vec<Predictor>,
}

impl Ensemble {
    /// Networks with these parameters and running statistics, flat.
    pub(crate) fn new(network: &Network, members: Vec<[Vec<f32>; 2]>) -> Self {
        let member = |[flat, statistics]: [Vec<f32>; 2]| Predictor::new(network, flat, statistics);
        let members = members.into_iter().map(member).collect();
        Self { inputs: network.inputs(), outputs: network.outputs(), members }
    }

    /// For each row of inputs the outputs' means, then their summed squared deviations, then the votes: `[rows, 3, outputs]`.
    pub(crate) fn predict(&self, inputs: &[f32], threshold: f32) -> Vec<f32> {
        let Self { outputs, members, .. } = self;
        let rows = (MAX_BUFFERED_OUTPUTS / (members.len() * outputs)).max(64);
        let mut answers = vec![0.0; inputs.len() / self.inputs * 3 * outputs];
        for (block, answers) in inputs.chunks(rows * self.inputs).zip(answers.chunks_mut(rows * 3 * outputs)) {
            let each: Vec<_> = members.par_iter().map(|member| member.predict(block)).collect();
            answers.par_chunks_mut(3 * outputs).enumerate().with_min_len(64).for_each(|(row, answers)| {
                for (before, y) in each.iter().enumerate() {
                    add_member_outputs(answers, &y[row * outputs..(row + 1) * outputs], before, threshold);
                }
            });
        }
        answers
    }
}

/// Puts the outputs of a network for a row to those of the networks before.
fn add_member_outputs(answers: &mut [f32], outputs: &[f32], before: usize, threshold: f32) {
    let (means, rest) = answers.split_at_mut(outputs.len());
    let (squares, votes) = rest.split_at_mut(outputs.len());
    for ((mean, squares), y) in means.iter_mut().zip(squares).zip(outputs) {
        if before == 0 {
            *mean = *y;
        } else {
            let d = y - *mean;
            *mean += d / (before + 1) as f32;
            *squares += d * (y - *mean);
        }
    }
    match outputs {
        [y] => votes[0] += if *y > threshold { 1.0 } else { 0.0 },
        _ => votes[argmax(outputs) as usize] += 1.0,
    }
}
