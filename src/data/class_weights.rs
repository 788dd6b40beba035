//! Class weights: sample weights that depend on the class of the row.

use std::collections::BTreeMap;

use crate::{
    data::dataset::{Dataset, Targets},
    error::{Error, Result, try_with_capacity},
};

impl Dataset {
    /// Returns the data set with the sample weight of each row multiplied by the weight of its class. Rows without a
    /// sample weight count as weight 1.
    ///
    /// # Errors
    /// [`Error::ClassOutOfRange`] if a class id is not below the number of weights.
    /// [`Error::InvalidSetting`] if the targets are not class ids, if a weight is negative or not finite, or if the
    /// sample weights of all rows are 0.
    #[doc(alias = "class_weight")]
    pub fn with_class_weights(self, weights: &[f32]) -> Result<Self> {
        let classes = self.class_targets()?;
        let row_weight = |(row, class): (usize, &u32)| match weights.get(*class as usize) {
            Some(weight) => Ok(weight * self.sample_weight(row)),
            None => Err(Error::ClassOutOfRange { row, class: *class, classes: weights.len() }),
        };
        let weights = classes.iter().enumerate().map(row_weight).collect::<Result<Vec<_>>>()?;
        self.with_sample_weights(weights)
    }

    /// Returns class weights that give every class the same total weight (scikit-learn's `class_weight="balanced"`).
    ///
    /// The weight of a class is `rows / (classes * rows_of_class)`, where `classes` counts the classes that occur. The
    /// result has one weight per class id up to the largest; a class without rows gets 0.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the targets are not class ids.
    /// [`Error::OutOfMemory`] if the largest class id is too large for a weight per class.
    #[doc(alias = "compute_class_weight")]
    pub fn balanced_class_weights(&self) -> Result<Vec<f32>> {
        let mut counts = BTreeMap::new();
        for class in self.class_targets()? {
            *counts.entry(*class as usize).or_insert(0u32) += 1;
        }
        let weight_count = counts.last_key_value().map_or(0, |(max, _)| max.saturating_add(1));
        // A class id may be any u32. Return an error, because a failed allocation of `vec!` would abort.
        try_with_capacity::<f32>(weight_count, "class weights")?;
        let mut weights = vec![0.0; weight_count];
        for (class, rows_of_class) in &counts {
            weights[*class] = (self.rows() as f64 / (counts.len() as f64 * f64::from(*rows_of_class))) as f32;
        }
        Ok(weights)
    }

    /// Returns the class ids, or an error if the targets are values.
    fn class_targets(&self) -> Result<&[u32]> {
        match self.targets() {
            Targets::Classes(classes) => Ok(classes),
            Targets::Values(_) => {
                let expected = "targets that are class ids".to_owned();
                Err(Error::InvalidSetting { name: "class weights", expected, got: "values".into() })
            }
        }
    }
}
