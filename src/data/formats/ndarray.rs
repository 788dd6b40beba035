//! Data sets of ndarray's arrays.

use ndarray::{ArrayBase, Data, Dimension, Ix2};

use crate::{
    data::{
        dataset::{Dataset, Targets},
        features::Features,
    },
    error::{Result, check_len},
};

impl Dataset {
    /// Of arrays or views of them, in any order of memory: features of f32 or u8, and answers of f32, or class ids of u32
    /// or u8.
    ///
    /// What comes back from a trainer becomes an array by `Array2::from_shape_vec((rows, outputs), outputs_row_by_row)`.
    ///
    /// ```
    /// # use gradus::Dataset;
    /// use ndarray::array;
    /// let data = Dataset::of_arrays(&array![[0.0f32, 0.5], [1.0, 1.5], [2.0, 2.5]], &array![0u32, 1, 0])?;
    /// assert_eq!((data.rows(), data.inputs()), (3, 2));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Shapes
    /// - features: `[rows, inputs]`
    /// - answers: `[rows, outputs]` values, or `[rows]` values or class ids
    ///
    /// # Errors
    /// As [`Dataset::new`], and [`Error::Shape`](crate::Error::Shape) if there are not as many rows in both.
    pub fn from_arrays<T: Clone, A: Clone, D: Dimension>(
        features: &ArrayBase<impl Data<Elem = T>, Ix2>,
        answers: &ArrayBase<impl Data<Elem = A>, D>,
    ) -> Result<Self>
    where
        Features: From<Vec<T>>,
        Targets: From<Vec<A>>,
    {
        let rows = features.nrows();
        check_len("rows of answers", rows, answers.shape().first().copied().unwrap_or(1))?;
        // An array's own order is row by row, whatever that of its memory.
        Self::new(rows, features.iter().cloned().collect::<Vec<T>>(), answers.iter().cloned().collect::<Vec<A>>())
    }
}
