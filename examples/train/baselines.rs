//! Baselines: simple models that the network should beat.

use gradus::{
    Dataset, Features, Targets,
    data::{Scaler, Scaling},
};

use crate::common::{Exit, tables::TestMetrics};

/// The maximum number of features for the least-squares baseline. Its work grows with the third power of the features.
const MAX_FEATURES: usize = 512;

/// The ridge term per row. The one-hot features of a column add up to a constant, so the normal equations alone are
/// singular.
const RIDGE: f64 = 1e-6;

/// The metrics of a baseline on the test set.
pub struct Baseline {
    pub name: String,
    pub metrics: TestMetrics,
}

/// Rows with scaled features, and their targets.
struct Rows<'a, T> {
    features: Vec<Vec<f64>>,
    targets: &'a [T],
}

/// Fits the baselines to `train`, and evaluates them on `test`. For classification, `class_names` has the names.
pub fn all(train: &Dataset, test: &Dataset, class_names: Option<&[String]>) -> Result<Vec<Baseline>, Exit> {
    let scaler = Scaler::fit(Scaling::Standard, train);
    let (train_features, test_features) = (scaled_features(train, &scaler)?, scaled_features(test, &scaler)?);
    match (train.targets(), test.targets(), class_names) {
        (Targets::Classes(train_targets), Targets::Classes(test_targets), Some(class_names)) => {
            let train = Rows { features: train_features, targets: train_targets };
            classification(&train, &Rows { features: test_features, targets: test_targets }, class_names)
        }
        (Targets::Values(train_targets), Targets::Values(test_targets), _) => {
            let train = Rows { features: train_features, targets: train_targets };
            regression(&train, &Rows { features: test_features, targets: test_targets })
        }
        _ => Ok(Vec::new()),
    }
}

fn scaled_features(data: &Dataset, scaler: &Scaler) -> Result<Vec<Vec<f64>>, Exit> {
    let Features::F32(values) = data.features() else { return Ok(Vec::new()) };
    let mut values = values.clone();
    scaler.transform(&mut values)?;
    Ok(values.chunks(data.inputs()).map(|row| row.iter().copied().map(f64::from).collect()).collect())
}

/// Returns the baselines for classes: always the most frequent class, and the class with the nearest mean.
fn classification(train: &Rows<'_, u32>, test: &Rows<'_, u32>, class_names: &[String]) -> Result<Vec<Baseline>, Exit> {
    let classes = class_names.len();
    let mut counts = vec![0.0f64; classes];
    let mut means = vec![vec![0.0; train.features[0].len()]; classes];
    for (row, class) in train.features.iter().zip(train.targets) {
        counts[*class as usize] += 1.0;
        means[*class as usize].iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    for (mean, count) in means.iter_mut().zip(&counts) {
        mean.iter_mut().for_each(|sum| *sum /= count);
    }
    // `max_by` returns the last of equal classes, so the reversed order selects the first.
    let most_frequent = (0..classes).rev().max_by(|a, b| counts[*a].total_cmp(&counts[*b])).unwrap_or(0);
    // The mean of a class without a training row is NaN. Such a class is never the nearest.
    let nearest = |row: &Vec<f64>| {
        let distance = |mean: &[f64]| mean.iter().zip(row).map(|(m, v)| (m - v).powi(2)).sum::<f64>();
        let distances = means.iter().map(|mean| distance(mean)).enumerate().filter(|(_, distance)| !distance.is_nan());
        distances.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(most_frequent, |(class, _)| class)
    };
    let targets = || test.targets.iter().map(|class| *class as usize);
    let nearest_classes = test.features.iter().map(nearest);
    Ok(vec![
        Baseline {
            name: format!("always {}", class_names[most_frequent]),
            metrics: TestMetrics::from_classes(classes, targets().map(|class| (class, most_frequent)))?,
        },
        Baseline {
            name: "nearest class mean".to_owned(),
            metrics: TestMetrics::from_classes(classes, targets().zip(nearest_classes))?,
        },
    ])
}

/// Returns the baselines for numbers: always the mean, and linear regression.
fn regression(train: &Rows<'_, f32>, test: &Rows<'_, f32>) -> Result<Vec<Baseline>, Exit> {
    let mean = train.targets.iter().copied().map(f64::from).sum::<f64>() / train.targets.len() as f64;
    let metrics = |predict: &dyn Fn(&[f64]) -> f64| {
        let predictions = test.features.iter().map(|row| predict(row) as f32);
        TestMetrics::from_values(test.targets.iter().copied().zip(predictions))
    };
    let mut baselines = vec![Baseline { name: "always the mean".to_owned(), metrics: metrics(&|_| mean)? }];
    if let Some(weights) = least_squares(train, mean) {
        let predict = |row: &[f64]| mean + row.iter().zip(&weights).map(|(value, weight)| value * weight).sum::<f64>();
        baselines.push(Baseline { name: "least squares".to_owned(), metrics: metrics(&predict)? });
    }
    Ok(baselines)
}

/// Returns the weights of a linear regression on features with mean 0, by the Cholesky decomposition of the normal
/// equations. Returns `None` if there are too many features or the equations have no finite solution.
fn least_squares(train: &Rows<'_, f32>, mean: f64) -> Option<Vec<f64>> {
    let n = train.features.first()?.len();
    if n > MAX_FEATURES {
        return None;
    }
    let mut matrix = vec![vec![0.0; n]; n];
    let mut right = vec![0.0; n];
    for (row, target) in train.features.iter().zip(train.targets) {
        for (i, value) in row.iter().enumerate() {
            right[i] += value * (f64::from(*target) - mean);
            row[..=i].iter().enumerate().for_each(|(j, other)| matrix[i][j] += value * other);
        }
    }
    // The lower triangle of the matrix becomes the Cholesky factor.
    for i in 0..n {
        matrix[i][i] += RIDGE * train.features.len() as f64;
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let rest = matrix[i][j] - known;
            matrix[i][j] = if i == j { rest.sqrt() } else { rest / matrix[j][j] };
        }
    }
    // Forward substitution, then backward substitution.
    for i in 0..n {
        let known: f64 = (0..i).map(|k| matrix[i][k] * right[k]).sum();
        right[i] = (right[i] - known) / matrix[i][i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|k| matrix[k][i] * right[k]).sum();
        right[i] = (right[i] - known) / matrix[i][i];
    }
    right.iter().all(|weight| weight.is_finite()).then_some(right)
}
