//! The update coefficients of all lanes.

use crate::{engine::cpu::group::config::LANES, optim::coefficients::UpdateCoefficients};

/// The number of values in [`UpdateCoefficients`].
const COEFFICIENT_COUNT: usize = size_of::<UpdateCoefficients>() / size_of::<f32>();

/// The update coefficients of all lanes: for each coefficient an array with its value in every lane.
#[derive(Clone, Copy, Default)]
pub(crate) struct LaneCoefficients([[f32; LANES]; COEFFICIENT_COUNT]);

impl LaneCoefficients {
    /// Sets the coefficients of a lane.
    pub(crate) fn set(&mut self, lane: usize, coefficients: UpdateCoefficients) {
        let values: [f32; COEFFICIENT_COUNT] = bytemuck::cast(coefficients);
        self.0.iter_mut().zip(values).for_each(|(lanes, value)| lanes[lane] = value);
    }

    /// Returns the coefficients of a lane.
    #[inline(always)]
    pub(crate) const fn get(&self, lane: usize) -> UpdateCoefficients {
        let [learning_rate, c0, c1, c2, c3, c4, c5, decay, l1, clip_value, clip_norm, ema_weight] = &self.0;
        UpdateCoefficients {
            learning_rate: learning_rate[lane],
            coefficients: [c0[lane], c1[lane], c2[lane], c3[lane], c4[lane], c5[lane]],
            decay: decay[lane],
            l1: l1[lane],
            clip_value: clip_value[lane],
            clip_norm: clip_norm[lane],
            ema_weight: ema_weight[lane],
        }
    }
}
