//! Data sets from arrays of the crate `ndarray`.

use ndarray::{ArrayBase, Data, Dimension, Ix2};

use crate::{
    data::{
        dataset::{Dataset, Targets},
        features::Features,
    },
    error::{Result, check_len},
};

impl Dataset {
    /// Creates a data set from two arrays or views in any memory order. The features are f32, f64 or u8; the targets
    /// are f32 values, or class ids in u32 or u8.
    ///
    /// `Array2::from_shape_vec((rows, outputs), predictions)` converts the predictions of a trainer to an array.
    ///
    /// ```
    /// # use gradus::Dataset;
    /// use ndarray::array;
    /// let data = Dataset::from_arrays(&array![[0.0f32, 0.5], [1.0, 1.5], [2.0, 2.5]], &array![0u32, 1, 0])?;
    /// assert_eq!((data.rows(), data.inputs()), (3, 2));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Shapes
    /// - features: `[rows, inputs]`
    /// - targets: `[rows, outputs]` values, or `[rows]` values or class ids
    ///
    /// # Errors
    /// Returns the errors of [`Dataset::new`].
    /// [`Error::Shape`](crate::Error::Shape) if the numbers of rows of both arrays differ.
    pub fn from_arrays<F: Clone, T: Clone, D: Dimension>(
        features: &ArrayBase<impl Data<Elem = F>, Ix2>,
        targets: &ArrayBase<impl Data<Elem = T>, D>,
    ) -> Result<Self>
    where
        Features: From<Vec<F>>,
        Targets: From<Vec<T>>,
    {
        let rows = features.nrows();
        check_len("rows of the targets", rows, targets.shape().first().copied().unwrap_or(1))?;
        // `iter` visits the elements row by row in any memory order.
        Self::new(rows, features.iter().cloned().collect::<Vec<F>>(), targets.iter().cloned().collect::<Vec<T>>())
    }
}
