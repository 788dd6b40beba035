//! End-to-end checks: whole networks, through the public functions that applications call.

pub(crate) mod predictions;
pub(crate) mod setup;
pub(crate) mod training;

use crate::{device::Device, diagnostics::worst_error::WorstError, error::Result, nn::task::Task};

/// A check of public functions, in addition to the cases that train beside the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndToEndCheck {
    /// Gradients against finite differences of the loss, for the network of a number; see [`training::gradient_case`].
    Gradients(usize),
    /// Values and derivatives of every activation, near 0, at its kinks and far from 0.
    Activations,
    /// A training run on XOR against the losses of the reference, and against the bits of a second run.
    Training,
    /// The metrics of a trainer on a data set.
    Evaluation,
    /// The metrics of the members of a population, each on its own rows.
    Metrics { task: Task },
    /// Streamed rows against rows on the device. Only for GPUs.
    Stream,
    /// The combined predictions of an ensemble.
    Ensemble { outputs: usize },
    /// A custom activation and a custom loss.
    CustomFunctions,
    /// Predictions recorded into a command encoder. Only for GPUs.
    RecordedPredictions,
    /// The step table that the device builds. Only for GPUs.
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

    /// Returns the group of the check in the report.
    pub(crate) const fn group(self) -> &'static str {
        match self {
            Self::Gradients(_) => "finite differences",
            Self::Activations => "activations and losses",
            Self::Training => "training",
            Self::Stream => "data",
            Self::Evaluation | Self::Metrics { .. } | Self::Ensemble { .. } | Self::RecordedPredictions => {
                "predictions and metrics"
            }
            Self::CustomFunctions => "custom functions",
            Self::StepTable => "step table",
        }
    }

    /// Returns the name of the check in the report.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Gradients(number) => format!("gradients: {}", training::gradient_case(number).name),
            Self::Activations => "every activation from -10000 to 10000".to_owned(),
            Self::Training => "XOR, 2-8-1 tanh sigmoid, mse, momentum, 100 steps, 2 runs".to_owned(),
            Self::Evaluation => "evaluation of a classification".to_owned(),
            Self::Metrics { task } => {
                let task = match task {
                    Task::Classification => "classification",
                    Task::MultiLabel => "multi-label classification",
                    Task::Regression => "regression",
                };
                format!("metrics of 3 members, {task}")
            }
            Self::Stream => "streamed rows, 3 members".to_owned(),
            Self::Ensemble { outputs } => format!("ensemble of 5 networks, outputs: {outputs}"),
            Self::CustomFunctions => "custom activation and loss".to_owned(),
            Self::RecordedPredictions => "recorded predictions".to_owned(),
            Self::StepTable => "step table of the device".to_owned(),
        }
    }

    pub(crate) const fn needs_gpu(self) -> bool {
        match self {
            Self::Stream | Self::RecordedPredictions | Self::StepTable => true,
            Self::Gradients(_)
            | Self::Activations
            | Self::Training
            | Self::Evaluation
            | Self::Metrics { .. }
            | Self::Ensemble { .. }
            | Self::CustomFunctions => false,
        }
    }

    /// Runs the check and returns its worst error.
    ///
    /// # Errors
    /// The error that prevented a comparison.
    pub(crate) async fn run(self, device: &Device) -> Result<WorstError> {
        let mut worst = WorstError::default();
        match self {
            Self::Gradients(number) => training::gradients(&mut worst, device, number).await?,
            Self::Activations => training::activations(&mut worst, device).await?,
            Self::Training => training::training(&mut worst, device).await?,
            Self::Evaluation => predictions::evaluation(&mut worst, device).await?,
            Self::Metrics { task } => predictions::population_metrics(&mut worst, device, task).await?,
            Self::Stream => training::stream(&mut worst, device).await?,
            Self::Ensemble { outputs } => predictions::ensemble(&mut worst, device, outputs).await?,
            Self::CustomFunctions => training::custom_functions(&mut worst, device).await?,
            Self::RecordedPredictions => predictions::recorded_predictions(&mut worst, device).await?,
            Self::StepTable => training::step_table(&mut worst, device).await?,
        }
        Ok(worst)
    }
}
