use gradus::{Dataset, Features, Targets};
use ndarray::{Array1, Array2, array, s};

use super::refused;

#[test]
fn arrays_in_any_order_of_memory_become_data_sets() {
    let rows: Array2<f32> = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
    let by_columns = rows.t().as_standard_layout().into_owned();
    let expected = Features::F32(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    for data in [
        Dataset::from_arrays(&rows, &array![0.5f32, 1.5]).unwrap(),
        Dataset::from_arrays(&by_columns.t(), &array![[0.5f32], [1.5]]).unwrap(),
        Dataset::from_arrays(&rows.view(), &array![9.0f32, 0.5, 9.0, 1.5].slice(s![1..;2])).unwrap(),
    ] {
        assert_eq!((data.rows(), data.inputs(), data.features()), (2, 3, &expected));
        assert_eq!(data.targets(), &Targets::Values(vec![0.5, 1.5]));
    }
    let backwards = Dataset::from_arrays(&rows.slice(s![..;-1, ..2]), &array![1u32, 0].slice(s![..;-1])).unwrap();
    assert_eq!(backwards.features(), &Features::F32(vec![4.0, 5.0, 1.0, 2.0]));
    assert_eq!(backwards.targets(), &Targets::Classes(vec![0, 1]));
}

#[test]
fn bytes_stay_bytes_and_rows_have_to_be_as_many() {
    let bytes: Array2<u8> = array![[1, 2], [3, 4], [5, 6]];
    let data = Dataset::from_arrays(&bytes, &array![0u8, 1, 1]).unwrap();
    assert_eq!(data.features(), &Features::U8 { bytes: vec![1, 2, 3, 4, 5, 6], scale: 1.0 });
    refused(Dataset::from_arrays(&bytes, &array![0u32, 1]), &["rows of answers: expected 3 values, got 2"]);
    refused(Dataset::from_arrays(&bytes, &array![[0u32, 1], [0, 1], [0, 1]]), &["class ids: expected 3 values, got 6"]);
    refused(
        Dataset::from_arrays(&Array2::<f32>::zeros((0, 2)), &Array1::<u32>::zeros(0)),
        &["dataset: expected 1 to 4294967295 rows"],
    );
}
