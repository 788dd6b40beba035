//! Checks of what a caller calls: whole networks through the doors that a program goes through.

pub(crate) mod predictions;
pub(crate) mod training;

use crate::{
    data::subset::{Fold, Subset},
    device::Device,
    diagnostics::worst_error::WorstError,
    error::Result,
    nn::task::Task,
    population::member::Member,
    train::settings::TrainerSettings,
};

/// What is checked besides what is trained beside the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndToEndCheck {
    /// The gradients are the slopes of the loss, of a network of this number.
    Gradients(usize),
    /// Values and slopes of every activation, near 0 and where it bends and ends.
    Activations,
    /// XOR is learned, with the losses of the reference, and again with the same bits.
    Training,
    /// What a trainer says a network is worth on a data set.
    Evaluation,
    /// What networks are worth on rows of their own, of classes, of labels or of values.
    Metrics { task: Task },
    /// Rows that the device does not hold are the rows that it would hold, on GPUs alone.
    Stream,
    /// What networks answer together, with one output or several.
    Ensemble { outputs: usize },
    /// Formulas of the caller's own.
    CustomFunctions,
    /// Predictions that are recorded, on GPUs alone.
    RecordedPredictions,
    /// The table of steps that the device makes, on GPUs alone.
    StepTable,
}

impl EndToEndCheck {
    pub(crate) const ALL: [Self; 15] = [
        Self::Gradients(0),
        Self::Gradients(1),
        Self::Gradients(2),
        Self::Activations,
        Self::Training,
        Self::Evaluation,
        Self::Metrics { task: Task::Classification },
        Self::Metrics { task: Task::MultiLabel },
        Self::Metrics { task: Task::Regression },
        Self::Stream,
        Self::Ensemble { outputs: 1 },
        Self::Ensemble { outputs: 3 },
        Self::RecordedPredictions,
        Self::CustomFunctions,
        Self::StepTable,
    ];

    pub(crate) const fn group(self) -> &'static str {
        match self {
            Self::Gradients(_) => "finite differences",
            Self::Activations => "activations and losses",
            Self::Training => "training",
            Self::Stream => "data",
            Self::Evaluation | Self::Metrics { .. } | Self::Ensemble { .. } | Self::RecordedPredictions => "answers",
            Self::CustomFunctions | Self::StepTable => "tables",
        }
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Gradients(number) => format!("slopes of the loss: {}", training::gradient_case(number).2),
            Self::Activations => "every activation from -10000 to 10000".to_owned(),
            Self::Training => "XOR, 2-8-1 tanh sigmoid, mse, momentum, 100 steps, twice".to_owned(),
            Self::Evaluation => "evaluation of classes".to_owned(),
            Self::Metrics { task } => {
                let of = match task {
                    Task::Classification => "classes",
                    Task::MultiLabel => "labels",
                    Task::Regression => "values",
                };
                format!("scores of 3 networks on {of}")
            }
            Self::Stream => "rows streamed to 3 networks".to_owned(),
            Self::Ensemble { outputs } => format!("5 networks together, outputs: {outputs}"),
            Self::CustomFunctions => "formulas of the caller's own".to_owned(),
            Self::RecordedPredictions => "a recorded prediction".to_owned(),
            Self::StepTable => "the table of steps".to_owned(),
        }
    }

    pub(crate) const fn needs_gpu(self) -> bool {
        matches!(self, Self::Stream | Self::RecordedPredictions | Self::StepTable)
    }

    /// # Errors
    /// Whatever goes wrong before there is something to compare.
    pub(crate) async fn run(self, device: &Device) -> Result<WorstError> {
        let mut found = WorstError::default();
        match self {
            Self::Gradients(number) => training::gradients(&mut found, device, number).await?,
            Self::Activations => training::activations(&mut found, device).await?,
            Self::Training => training::training(&mut found, device).await?,
            Self::Evaluation => crate::diagnostics::end_to_end::predictions::evaluation(&mut found, device).await?,
            Self::Metrics { task } => {
                crate::diagnostics::end_to_end::predictions::population_metrics(&mut found, device, task).await?
            }
            Self::Stream => training::stream(&mut found, device).await?,
            Self::Ensemble { outputs } => {
                crate::diagnostics::end_to_end::predictions::ensemble(&mut found, device, outputs).await?
            }
            Self::CustomFunctions => training::custom_functions(&mut found, device).await?,
            Self::RecordedPredictions => {
                crate::diagnostics::end_to_end::predictions::recording(&mut found, device).await?
            }
            Self::StepTable => training::step_table(&mut found, device).await?,
        }
        Ok(found)
    }
}

/// Three networks, each with a seed of its own and without a third of the rows.
fn members(settings: &TrainerSettings) -> Vec<Member> {
    let member = |fold| {
        let settings = TrainerSettings { seed: fold as u64, ..settings.clone() };
        Member::new(settings).with_subset(Subset::TrainFold(Fold { index: fold, count: 3, seed: Some(5) }))
    };
    (0..3).map(member).collect()
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}
