//! What tells the networks of a population apart, and what must not.

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

/// One network of a [`crate::population::Population`].
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// How it is trained. What kernels are made from is the same in all members: all but the seed, the schedule, and the
    /// numbers of the optimizer.
    pub settings: TrainerSettings,
    /// Which rows it learns from.
    pub subset: Subset,
    /// The share that each layer with dropout drops, if it is another than the network's: from 0 to below 1.
    pub dropout: Option<f64>,
}

impl Member {
    /// One that learns from all rows.
    pub const fn new(settings: TrainerSettings) -> Self {
        Self { settings, subset: Subset::All, dropout: None }
    }

    /// The same on some rows.
    #[must_use]
    pub const fn with_subset(mut self, subset: Subset) -> Self {
        self.subset = subset;
        self
    }

    /// The same with a share of its own that is dropped.
    #[must_use]
    pub const fn with_dropout(mut self, p: f64) -> Self {
        self.dropout = Some(p);
        self
    }

    /// The one share that all of its layers with dropout drop.
    fn dropout_probability(&self, network: &Network) -> Result<f64> {
        let network = self.network_with_dropout(network);
        let mut shares = network.layers().iter().map(|layer| layer.dropout).filter(|share| *share != 0.0);
        let wrong = |expected: &str, got: &str| {
            Err(Error::InvalidSetting { name: "dropout of a population", expected: expected.into(), got: got.into() })
        };
        match (shares.next(), self.dropout) {
            (None, Some(0.0)) => Ok(0.0),
            (None, _) => wrong("a network with dropout", "one without"),
            (Some(share), _) if shares.all(|other| other == share) => Ok(share),
            _ => wrong("a share for each network, where layers drop different ones", "a network without"),
        }
    }

    /// The network that it is.
    pub(crate) fn network_with_dropout(&self, network: &Network) -> Network {
        self.dropout.map_or_else(|| network.clone(), |share| network.clone().with_dropout(share))
    }
}

/// The members with the loss that is chosen for the targets where theirs is [`Loss::Auto`]: one for all, and one message.
pub(crate) fn resolve_losses(network: &Network, data: &Dataset, members: &[Member]) -> Vec<Member> {
    let mut members = members.to_vec();
    if members.iter().any(|member| member.settings.loss == Loss::Auto) {
        let chosen = Loss::Auto.resolve_auto(network, Some(data.targets()));
        for member in members.iter_mut().filter(|member| member.settings.loss == Loss::Auto) {
            member.settings.loss = chosen;
        }
    }
    members
}

/// What each member's steps do.
pub(crate) fn step_generators(network: &Network, data: &Dataset, members: &[Member]) -> Result<Vec<StepGenerator>> {
    let Some(first) = members.first() else {
        let (expected, got) = ("at least 1".to_owned(), "0".to_owned());
        return Err(Error::InvalidSetting { name: "networks of a population", expected, got });
    };
    // The kernels have a batch of one size; who has fewer rows than that takes all of them in a step.
    let rows =
        |member: &Member| Ok(SubsetParams::new(member.subset, data.rows())?.map_or(data.rows(), |s| s.rows as usize));
    let most_rows = members.iter().map(rows).collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or(0);
    // Where one has a share of its own, the kernel asks each.
    let labels = Task::from_targets(network, first.settings.loss, Some(data.targets())) == Task::MultiLabel;
    let has_dropouts = members.iter().any(|member| member.dropout.is_some());
    members
        .iter()
        .enumerate()
        .map(|(number, member)| {
            let TrainerSettings {
                batch_size: batch,
                drop_last,
                loss,
                optimizer,
                schedule,
                gradient_accumulation: accumulate,
                seed,
                ..
            } = member.settings.clone();
            member.settings.check(&member.network_with_dropout(network))?;
            check_same_kernels(number, first, member)?;
            let subset = SubsetParams::new(member.subset, data.rows())?;
            let rows = subset.map_or(data.rows(), |subset| subset.rows as usize);
            let batch = if drop_last { batch } else { batch.min(most_rows) };
            let (outputs, accumulate) = (network.outputs(), accumulate as u64);
            let dropout =
                if has_dropouts { Some(Dropout::with_probability(member.dropout_probability(network)?)) } else { None };
            let course = StepGenerator {
                rows,
                subset,
                batch_size: batch,
                outputs,
                loss,
                optimizer,
                schedule,
                gradient_accumulation: accumulate,
                seed,
                dropout,
                is_multi_label: labels,
                drop_last,
                resume_offset: ResumeOffset::default(),
            };
            course.check(network)?;
            Ok(course)
        })
        .collect()
}

/// What keeps two networks from being trained by the same kernels, if anything does.
pub(crate) fn first_difference(one: &Member, other: &Member) -> Option<&'static str> {
    let (one, other) = (&one.settings, &other.settings);
    let (ours, theirs) = (&one.optimizer, &other.optimizer);
    let is_same = [
        ("batch", one.batch_size == other.batch_size),
        ("drop_last", one.drop_last == other.drop_last),
        ("loss", one.loss == other.loss),
        ("accumulate", one.gradient_accumulation == other.gradient_accumulation),
        ("shuffle", one.shuffle == other.shuffle),
        ("weighted", one.sample_weights == other.sample_weights),
        ("input noise", one.input_noise_std.to_bits() == other.input_noise_std.to_bits()),
        ("chunk", one.steps_per_submission == other.steps_per_submission),
        ("plan", one.plan == other.plan),
        (
            "kind of optimizer",
            ours.kernel_key() == theirs.kernel_key() && ours.decoupled_weight_decay == theirs.decoupled_weight_decay,
        ),
    ];
    is_same.into_iter().find(|(_, is_same)| !is_same).map(|(what, _)| what)
}

/// Refuses a member that is not of the kind of the first.
fn check_same_kernels(number: usize, first: &Member, member: &Member) -> Result<()> {
    match first_difference(first, member) {
        None => Ok(()),
        Some(what) => Err(Error::InvalidSetting {
            name: "settings of a population",
            expected: format!("the same {what} in all networks"),
            got: format!("another in number {number}"),
        }),
    }
}
