//! Data sets from arrays of `ndarray`.

use gradus::{Dataset, Features, Targets};
use ndarray::{Array1, Array2, array, s};

use super::expect_error;

#[test]
fn arrays_in_any_memory_order_become_data_sets() {
    let rows: Array2<f32> = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
    let transposed = rows.t().as_standard_layout().into_owned();
    let expected = Features::F32(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    for data in [
        Dataset::from_arrays(&rows, &array![0.5f32, 1.5]).unwrap(),
        Dataset::from_arrays(&transposed.t(), &array![[0.5f32], [1.5]]).unwrap(),
        Dataset::from_arrays(&rows.view(), &array![9.0f32, 0.5, 9.0, 1.5].slice(s![1..;2])).unwrap(),
    ] {
        assert_eq!((data.rows(), data.inputs(), data.features()), (2, 3, &expected));
        assert_eq!(data.targets(), &Targets::Values(vec![0.5, 1.5]));
    }
    let reversed = Dataset::from_arrays(&rows.slice(s![..;-1, ..2]), &array![1u32, 0].slice(s![..;-1])).unwrap();
    assert_eq!(reversed.features(), &Features::F32(vec![4.0, 5.0, 1.0, 2.0]));
    assert_eq!(reversed.targets(), &Targets::Classes(vec![0, 1]));
}

#[test]
fn byte_arrays_stay_bytes_and_row_counts_must_agree() {
    let bytes: Array2<u8> = array![[1, 2], [3, 4], [5, 6]];
    let data = Dataset::from_arrays(&bytes, &array![0u8, 1, 1]).unwrap();
    assert_eq!(data.features(), &Features::U8 { bytes: vec![1, 2, 3, 4, 5, 6], scale: 1.0 });
    expect_error(Dataset::from_arrays(&bytes, &array![0u32, 1]), &["rows of the targets: expected 3 values, got 2"]);
    expect_error(
        Dataset::from_arrays(&bytes, &array![[0u32, 1], [0, 1], [0, 1]]),
        &["class ids: expected 3 values, got 6"],
    );
    expect_error(
        Dataset::from_arrays(&Array2::<f32>::zeros((0, 2)), &Array1::<u32>::zeros(0)),
        &["dataset: expected 1 to 4294967295 rows"],
    );
}
