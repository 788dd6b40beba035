//! What tells the networks of a population apart, and what must not.

use crate::{
    data::{
        dataset::Dataset,
        subset::{Rows, Subset},
    },
    engine::step::{Course, Earlier},
    error::{Error, Result},
    nn::{dropout::Dropout, loss::Loss, network::Network, task::Task},
    train::settings::Settings,
};

/// One network of a [`crate::population::Population`].
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// How it is trained. What kernels are made from is the same in all members: all but the seed, the schedule, and the
    /// numbers of the optimizer.
    pub settings: Settings,
    /// Which rows it learns from.
    pub rows: Rows,
    /// The share that each layer with dropout drops, if it is another than the network's: from 0 to below 1.
    pub dropout: Option<f64>,
}

impl Member {
    /// One that learns from all rows.
    pub const fn new(settings: Settings) -> Self {
        Self { settings, rows: Rows::All, dropout: None }
    }

    /// The same on some rows.
    #[must_use]
    pub const fn on(mut self, rows: Rows) -> Self {
        self.rows = rows;
        self
    }

    /// The same with a share of its own that is dropped.
    #[must_use]
    pub const fn dropping(mut self, share: f64) -> Self {
        self.dropout = Some(share);
        self
    }

    /// The one share that all of its layers with dropout drop.
    fn share(&self, network: &Network) -> Result<f64> {
        let network = self.network(network);
        let mut shares = network.layers().iter().map(|layer| layer.dropout).filter(|share| *share != 0.0);
        let wrong = |expected: &str, got: &str| {
            Err(Error::Setting { what: "dropout of a population", expected: expected.into(), got: got.into() })
        };
        match (shares.next(), self.dropout) {
            (None, Some(0.0)) => Ok(0.0),
            (None, _) => wrong("a network with dropout", "one without"),
            (Some(share), _) if shares.all(|other| other == share) => Ok(share),
            _ => wrong("a share for each network, where layers drop different ones", "a network without"),
        }
    }

    /// The network that it is.
    pub(crate) fn network(&self, network: &Network) -> Network {
        self.dropout.map_or_else(|| network.clone(), |share| network.clone().dropping(share))
    }
}

/// The members with the loss that is chosen for the targets where theirs is [`Loss::Auto`]: one for all, and one message.
pub(crate) fn chosen(network: &Network, data: &Dataset, members: &[Member]) -> Vec<Member> {
    let mut members = members.to_vec();
    if members.iter().any(|member| member.settings.loss == Loss::Auto) {
        let chosen = Loss::Auto.chosen(network, Some(data.answers()));
        for member in members.iter_mut().filter(|member| member.settings.loss == Loss::Auto) {
            member.settings.loss = chosen;
        }
    }
    members
}

/// What each member's steps do.
pub(crate) fn courses(network: &Network, data: &Dataset, members: &[Member]) -> Result<Vec<Course>> {
    let Some(first) = members.first() else {
        let (expected, got) = ("at least 1".to_owned(), "0".to_owned());
        return Err(Error::Setting { what: "networks of a population", expected, got });
    };
    // The kernels have a batch of one size; who has fewer rows than that takes all of them in a step.
    let rows = |member: &Member| Ok(Subset::of(member.rows, data.rows())?.map_or(data.rows(), |s| s.rows as usize));
    let most_rows = members.iter().map(rows).collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or(0);
    // Where one has a share of its own, the kernel asks each.
    let labels = Task::of(network, first.settings.loss, Some(data.answers())) == Task::MultiLabel;
    let has_dropouts = members.iter().any(|member| member.dropout.is_some());
    members
        .iter()
        .enumerate()
        .map(|(number, member)| {
            let Settings { batch, drop_last, loss, optimizer, schedule, accumulate, seed, .. } =
                member.settings.clone();
            member.settings.check(&member.network(network))?;
            check_same(number, first, member)?;
            let subset = Subset::of(member.rows, data.rows())?;
            let rows = subset.map_or(data.rows(), |subset| subset.rows as usize);
            let batch = if drop_last { batch } else { batch.min(most_rows) };
            let (outputs, accumulate) = (network.outputs(), accumulate as u64);
            let dropout = if has_dropouts { Some(Dropout::of(member.share(network)?)) } else { None };
            let course = Course {
                rows,
                subset,
                batch,
                outputs,
                loss,
                optimizer,
                schedule,
                accumulate,
                seed,
                dropout,
                labels,
                drop_last,
                earlier: Earlier::default(),
            };
            course.check(network)?;
            Ok(course)
        })
        .collect()
}

/// What keeps two networks from being trained by the same kernels, if anything does.
pub(crate) fn differs(one: &Member, other: &Member) -> Option<&'static str> {
    let (one, other) = (&one.settings, &other.settings);
    let (ours, theirs) = (&one.optimizer, &other.optimizer);
    let is_same = [
        ("batch", one.batch == other.batch),
        ("drop_last", one.drop_last == other.drop_last),
        ("loss", one.loss == other.loss),
        ("accumulate", one.accumulate == other.accumulate),
        ("shuffle", one.shuffle == other.shuffle),
        ("weighted", one.weighted == other.weighted),
        ("input noise", one.input_noise.to_bits() == other.input_noise.to_bits()),
        ("chunk", one.chunk == other.chunk),
        ("plan", one.plan == other.plan),
        ("kind of optimizer", ours.kind() == theirs.kind() && ours.decoupled == theirs.decoupled),
    ];
    is_same.into_iter().find(|(_, is_same)| !is_same).map(|(what, _)| what)
}

/// Refuses a member that is not of the kind of the first.
fn check_same(number: usize, first: &Member, member: &Member) -> Result<()> {
    match differs(first, member) {
        None => Ok(()),
        Some(what) => Err(Error::Setting {
            what: "settings of a population",
            expected: format!("the same {what} in all networks"),
            got: format!("another in number {number}"),
        }),
    }
}
