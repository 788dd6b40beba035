//! What the networks in training answer, and what that is worth.

use std::ops::Range;

use super::{
    engine::Engine,
    evaluator::{Evaluator, Held, Scorer},
    predictor::Predictor,
    resident::Uploaded,
    stream::streams,
};
use crate::{Dataset, Result, metrics::Score, rows::Subset};

impl Engine {
    /// The outputs for any number of rows, those of one model after the other's.
    pub(crate) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        self.predictor().await?.predict(inputs).await
    }

    /// The outputs for all rows of a data set, some rows after the other; it stays on the device until another one is
    /// asked for.
    pub(crate) async fn evaluate(&mut self, data: &Dataset, take: impl FnMut(Range<usize>, Vec<f32>)) -> Result<()> {
        self.predictor().await?;
        let Some(predictor) = &self.predictor else { unreachable!("made above") };
        if !self.evaluator.as_ref().is_some_and(|evaluator| evaluator.is_of(data)) {
            self.evaluator = None;
            let held = self.held(data, false);
            let made = Evaluator::new(&self.gpu, predictor.forward(), &self.members, data, held).await?;
            self.evaluator = Some(made);
        }
        let Some(evaluator) = &self.evaluator else { unreachable!("made above") };
        evaluator.outputs(&self.gpu, predictor, take).await
    }

    /// What the networks of the first slots, as many as there are `rows`, are worth on these rows of a data set, judged on
    /// the device. The data set stays there until another one is asked for; `uploaded` may be the same one.
    pub(crate) async fn score(
        &mut self,
        data: &Dataset,
        uploaded: Option<Uploaded>,
        rows: &[Option<Subset>],
        labels: bool,
    ) -> Result<Vec<Score>> {
        let has_subsets = rows.iter().any(Option::is_some);
        if !self.scorer.as_ref().is_some_and(|scorer| scorer.is_of(data, has_subsets, labels)) {
            self.scorer = None;
            let held = uploaded.map_or_else(|| self.held(data, data.weights().is_some()), Held::Already);
            let Self { gpu, network, arenas, members, step_set, buffers, .. } = &*self;
            let how = (has_subsets, labels);
            let made = Scorer::new(gpu, (network, arenas.models), members, (step_set, buffers), data, held, how);
            self.scorer = Some(made.await?);
        }
        let Some(scorer) = &self.scorer else { unreachable!("made above") };
        scorer.score(&self.gpu, rows).await
    }

    /// The data set that the networks learn from, on the device.
    pub(crate) fn resident(&self) -> Option<Uploaded> {
        self.uploaded.clone()
    }

    /// The data set that was scored last, on the device.
    pub(crate) fn scored(&self) -> Option<Uploaded> {
        self.scorer.as_ref().and_then(Scorer::uploaded).cloned()
    }

    /// Whether the device holds a data set: it may be the one that the networks learn from.
    fn held(&self, data: &Dataset, weighted: bool) -> Held {
        match &self.uploaded {
            Some(uploaded) if uploaded.is_of(data, weighted) => Held::Already(uploaded.clone()),
            _ if self.stream.as_ref().is_some_and(|stream| stream.is_of(data)) => Held::Never,
            _ if streams(&self.gpu, data, weighted) => Held::Never,
            _ => Held::NotYet,
        }
    }

    /// The predictor of these networks.
    pub(crate) async fn predictor(&mut self) -> Result<&mut Predictor> {
        if self.predictor.is_none() {
            let Self { gpu, network, arenas, members, step_set, buffers, .. } = &*self;
            let made = Predictor::new(gpu, (network, arenas.models), members, (step_set, buffers)).await?;
            self.predictor = Some(made);
        }
        let Some(predictor) = &mut self.predictor else { unreachable!("made above") };
        Ok(predictor)
    }
}
