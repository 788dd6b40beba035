//! The members of a population, and the check that one set of kernels can train all of them.

use crate::{
    data::{
        dataset::Dataset,
        subset::{Subset, SubsetParams},
    },
    engine::step::{ResumeOffset, StepGenerator},
    error::{Error, Result},
    nn::{dropout::Dropout, loss::Loss, network::Network, task::Task},
    train::settings::TrainerSettings,
};

/// A network of a [`Population`](crate::population::Population): its settings, its rows and its dropout probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The settings of the training.
    ///
    /// All members share one set of kernels. Only the seed, the schedule and the numbers of the optimizer may differ.
    pub settings: TrainerSettings,
    /// The rows that the member is trained on.
    pub subset: Subset,
    /// The probability of all dropout layers, in `[0, 1)`. `None` uses the probabilities of the network.
    pub dropout: Option<f64>,
}

impl Member {
    /// Creates a member that is trained on all rows.
    pub const fn new(settings: TrainerSettings) -> Self {
        Self { settings, subset: Subset::All, dropout: None }
    }

    /// Sets the rows that the member is trained on.
    #[must_use]
    pub const fn with_subset(mut self, subset: Subset) -> Self {
        self.subset = subset;
        self
    }

    /// Sets the probability of all dropout layers.
    #[must_use]
    pub const fn with_dropout(mut self, p: f64) -> Self {
        self.dropout = Some(p);
        self
    }

    /// Returns the probability that all dropout layers share. `number` is the index of the member, for errors.
    fn dropout_probability(&self, network: &Network, number: usize) -> Result<f64> {
        let network = self.network_with_dropout(network);
        let mut probabilities = network.layers().iter().map(|layer| layer.dropout).filter(|p| *p != 0.0);
        match (probabilities.next(), self.dropout) {
            (None, Some(0.0)) => Ok(0.0),
            (None, _) => Err(Error::InvalidSetting {
                name: "Member::dropout",
                expected: "a network with dropout layers".into(),
                got: format!("none in member {number}"),
            }),
            (Some(p), _) if probabilities.all(|other| other == p) => Ok(p),
            (Some(_), _) => Err(Error::InvalidSetting {
                name: "Member::dropout",
                expected: "a probability in every member, because the dropout layers have different ones".into(),
                got: format!("None in member {number}; use Member::with_dropout"),
            }),
        }
    }

    /// Returns the network with the dropout probability of this member.
    pub(crate) fn network_with_dropout(&self, network: &Network) -> Network {
        match self.dropout {
            Some(p) => network.clone().with_dropout(p),
            None => network.clone(),
        }
    }
}

/// Returns the members with [`Loss::Auto`] replaced by the loss that fits the targets. It is resolved only once, so
/// that gradus logs the choice once.
pub(crate) fn resolve_losses(network: &Network, data: &Dataset, members: &[Member]) -> Vec<Member> {
    let mut members = members.to_vec();
    if members.iter().any(|member| member.settings.loss == Loss::Auto) {
        let resolved = Loss::Auto.resolve_auto(network, Some(data.targets()));
        for member in members.iter_mut().filter(|member| member.settings.loss == Loss::Auto) {
            member.settings.loss = resolved;
        }
    }
    members
}

/// Returns the step generator of every member.
///
/// # Errors
/// [`Error::InvalidSetting`] if there is no member, or if one cannot be trained, alone or with the first one.
pub(crate) fn step_generators(network: &Network, data: &Dataset, members: &[Member]) -> Result<Vec<StepGenerator>> {
    let Some(first) = members.first() else {
        let (expected, got) = ("at least 1 member".to_owned(), "0".to_owned());
        return Err(Error::InvalidSetting { name: "population", expected, got });
    };
    let subsets =
        members.iter().map(|member| SubsetParams::new(member.subset, data.rows())).collect::<Result<Vec<_>>>()?;
    let row_count = |subset: &Option<SubsetParams>| subset.as_ref().map_or(data.rows(), |subset| subset.rows as usize);
    // All members share the batch size of the kernels. A member with fewer rows trains on all of them in every step.
    let max_rows = subsets.iter().map(row_count).max().unwrap_or(0);
    let is_multi_label = Task::from_targets(network, first.settings.loss, Some(data.targets())) == Task::MultiLabel;
    // If one member has its own dropout probability, the kernels read the probability of each member.
    let has_member_dropouts = members.iter().any(|member| member.dropout.is_some());
    let mut generators = Vec::with_capacity(members.len());
    for ((number, member), subset) in members.iter().enumerate().zip(subsets) {
        let settings = member.settings.clone();
        settings.check(&member.network_with_dropout(network))?;
        check_same_kernels(number, first, member)?;
        let dropout = if has_member_dropouts {
            Some(Dropout::with_probability(member.dropout_probability(network, number)?))
        } else {
            None
        };
        let generator = StepGenerator {
            rows: row_count(&subset),
            subset,
            batch_size: if settings.drop_last { settings.batch_size } else { settings.batch_size.min(max_rows) },
            outputs: network.outputs(),
            loss: settings.loss,
            optimizer: settings.optimizer,
            schedule: settings.schedule,
            gradient_accumulation: settings.gradient_accumulation as u64,
            seed: settings.seed,
            dropout,
            is_multi_label,
            drop_last: settings.drop_last,
            resume_offset: ResumeOffset::default(),
        };
        generator.check(network)?;
        generators.push(generator);
    }
    Ok(generators)
}

/// A setting in which two members differ, although all members that share kernels must agree in it.
pub(crate) struct SettingDifference {
    name: &'static str,
    /// The values of the two members as text; `None` for a plan, whose text is long.
    values: Option<[String; 2]>,
}

/// Returns the first difference that keeps two members from sharing kernels, or `None` if one population can train
/// both.
pub(crate) fn first_difference(one: &Member, other: &Member) -> Option<SettingDifference> {
    let settings = [&one.settings, &other.settings];
    let [a, b] = settings;
    let difference = |name, value: fn(&TrainerSettings) -> String| {
        Some(SettingDifference { name, values: Some(settings.map(value)) })
    };
    if a.batch_size != b.batch_size {
        difference("batch_size", |settings| settings.batch_size.to_string())
    } else if a.drop_last != b.drop_last {
        difference("drop_last", |settings| settings.drop_last.to_string())
    } else if a.loss != b.loss {
        difference("loss", |settings| settings.loss.to_string())
    } else if a.gradient_accumulation != b.gradient_accumulation {
        difference("gradient_accumulation", |settings| settings.gradient_accumulation.to_string())
    } else if a.shuffle != b.shuffle {
        difference("shuffle", |settings| settings.shuffle.to_string())
    } else if a.sample_weights != b.sample_weights {
        difference("sample_weights", |settings| settings.sample_weights.to_string())
    } else if a.input_noise_std.to_bits() != b.input_noise_std.to_bits() {
        difference("input_noise_std", |settings| settings.input_noise_std.to_string())
    } else if a.steps_per_submission != b.steps_per_submission {
        difference("steps_per_submission", |settings| format!("{:?}", settings.steps_per_submission))
    } else if a.plan != b.plan {
        Some(SettingDifference { name: "plan", values: None })
    } else if a.optimizer.kernel_key() != b.optimizer.kernel_key() {
        difference("optimizer", describe_optimizer)
    } else if a.optimizer.decoupled_weight_decay != b.optimizer.decoupled_weight_decay {
        difference("decoupled_weight_decay", |settings| settings.optimizer.decoupled_weight_decay.to_string())
    } else {
        None
    }
}

/// Returns the name of an optimizer, and the options that change its kernels.
fn describe_optimizer(settings: &TrainerSettings) -> String {
    let optimizer = &settings.optimizer;
    let mut options: Vec<String> = Vec::new();
    for (flag, is_set) in optimizer.rule.kernel_flags() {
        if *is_set {
            options.push(flag.to_lowercase());
        }
    }
    for (option, is_set) in [
        ("clip_value", optimizer.clip_value.is_some()),
        ("clip_norm", optimizer.clip_norm.is_some()),
        ("ema", optimizer.ema_decay.is_some()),
        ("regularize_biases", optimizer.regularize_biases),
    ] {
        if is_set {
            options.push(option.to_owned());
        }
    }
    if options.is_empty() {
        optimizer.name().to_owned()
    } else {
        format!("{} ({})", optimizer.name(), options.join(", "))
    }
}

/// Returns an error if a member cannot share kernels with the first one.
fn check_same_kernels(number: usize, first: &Member, member: &Member) -> Result<()> {
    let Some(SettingDifference { name, values }) = first_difference(first, member) else { return Ok(()) };
    let (expected, got) = match values {
        Some([expected, got]) => {
            (format!("{name} {expected} in every member, as in member 0"), format!("{got} in member {number}"))
        }
        None => (format!("the {name} of member 0 in every member"), format!("a different {name} in member {number}")),
    };
    Err(Error::InvalidSetting { name: "population", expected, got })
}
