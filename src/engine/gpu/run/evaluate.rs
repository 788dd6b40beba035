//! What the networks in training answer, and what that is worth.

use std::ops::Range;

use crate::{
    data::{dataset::Dataset, subset::Subset},
    engine::gpu::{
        data::{dataset::Uploaded, stream::streams},
        run::{
            engine::Engine,
            evaluator::{Evaluator, Held, Scorer},
            predictor::Predictor,
        },
    },
    error::Result,
    metrics::Score,
};

impl Engine {
    /// The outputs for any number of rows, those of one model after the other's.
    pub(crate) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        self.predictor().await?.predict(inputs).await
    }

    /// The outputs for all rows of a data set, some rows after the other; it stays on the device until another one is
    /// asked for.
    pub(crate) async fn evaluate(&mut self, data: &Dataset, take: impl FnMut(Range<usize>, Vec<f32>)) -> Result<()> {
        let predictor = self.take_predictor().await?;
        let evaluator = match self.evaluator.take().filter(|evaluator| evaluator.is_of(data)) {
            Some(made) => made,
            None => {
                let held = self.held(data, false);
                Evaluator::new(&self.gpu, predictor.forward(), &self.members, data, held).await?
            }
        };
        let evaluator = self.evaluator.insert(evaluator);
        let predictor = self.predictor.insert(predictor);
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
        let scorer = match self.scorer.take().filter(|scorer| scorer.is_of(data, has_subsets, labels)) {
            Some(made) => made,
            None => {
                let held = match uploaded {
                    Some(uploaded) => Held::Already(uploaded),
                    None => self.held(data, data.weights().is_some()),
                };
                let Self { gpu, network, arenas, members, step_set, buffers, .. } = &*self;
                let how = (has_subsets, labels);
                Scorer::new(gpu, (network, arenas.models), members, (step_set, buffers), data, held, how).await?
            }
        };
        let scorer = self.scorer.insert(scorer);
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
        let predictor = self.take_predictor().await?;
        Ok(self.predictor.insert(predictor))
    }

    /// The predictor, out of its place: made if it is not there.
    async fn take_predictor(&mut self) -> Result<Predictor> {
        if let Some(made) = self.predictor.take() {
            return Ok(made);
        }
        let Self { gpu, network, arenas, members, step_set, buffers, .. } = &*self;
        Predictor::new(gpu, (network, arenas.models), members, (step_set, buffers)).await
    }
}
