//! Members and conversions that the end-to-end checks share.

use crate::{
    data::subset::{Fold, Subset},
    population::member::Member,
    train::settings::TrainerSettings,
};

/// Returns three members with different seeds. Each is trained without another third of the rows.
pub(crate) fn fold_members(settings: &TrainerSettings) -> Vec<Member> {
    let member = |index| {
        let settings = TrainerSettings { seed: index as u64, ..settings.clone() };
        Member::new(settings).with_subset(Subset::TrainFold(Fold { index, count: 3, seed: Some(5) }))
    };
    (0..3).map(member).collect()
}

pub(crate) fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}
