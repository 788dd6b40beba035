//! What a network has to be better than to be worth anything.

use gradus::{
    Dataset, Features, Targets,
    data::{Scaler, Scaling},
};

use crate::common::{Exit, tables::TestMetrics};

/// Least squares are solved for so many features at most: the work grows with the third power.
const MOST_FEATURES: usize = 512;

/// The scaled features of every row.
fn rows(data: &Dataset, scaler: &Scaler) -> Result<Vec<Vec<f64>>, Exit> {
    let Features::F32(values) = data.features() else { return Ok(Vec::new()) };
    let mut values = values.clone();
    scaler.transform(&mut values)?;
    Ok(values.chunks(data.inputs()).map(|row| row.iter().copied().map(f64::from).collect()).collect())
}

/// Baselines with their names, learned from one part of the rows and judged on another. `classes` are their names.
pub fn all(learn: &Dataset, test: &Dataset, classes: Option<&[String]>) -> Result<Vec<(String, TestMetrics)>, Exit> {
    let scaler = Scaler::fit(Scaling::Standard, learn);
    let parts = (rows(learn, &scaler)?, rows(test, &scaler)?);
    match (learn.targets(), test.targets(), classes) {
        (Targets::Classes(learned), Targets::Classes(tested), Some(names)) => {
            of_classes((&parts.0, learned), (&parts.1, tested), names)
        }
        (Targets::Values(learned), Targets::Values(tested), _) => of_numbers((&parts.0, learned), (&parts.1, tested)),
        _ => Ok(Vec::new()),
    }
}

type Part<'a, T> = (&'a [Vec<f64>], &'a [T]);

fn of_classes(learn: Part<'_, u32>, test: Part<'_, u32>, names: &[String]) -> Result<Vec<(String, TestMetrics)>, Exit> {
    let mut counts = vec![0.0f64; names.len()];
    let mut means = vec![vec![0.0; learn.0[0].len()]; names.len()];
    for (row, class) in learn.0.iter().zip(learn.1) {
        counts[*class as usize] += 1.0;
        means[*class as usize].iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    for (mean, count) in means.iter_mut().zip(&counts) {
        mean.iter_mut().for_each(|sum| *sum /= count);
    }
    // Of equals the first; a class without a row has a mean that is NaN, and is never the nearest.
    let frequent = (0..names.len()).rev().max_by(|a, b| counts[*a].total_cmp(&counts[*b])).unwrap_or(0);
    let nearest = |row: &[f64]| {
        let distance = |mean: &[f64]| mean.iter().zip(row).map(|(m, v)| (m - v).powi(2)).sum::<f64>();
        let distances = means.iter().map(|mean| distance(mean)).enumerate().filter(|(_, distance)| !distance.is_nan());
        distances.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(frequent, |(class, _)| class)
    };
    let expected = || test.1.iter().map(|class| *class as usize);
    let always = TestMetrics::of_classes(names.len(), expected().map(|class| (class, frequent)))?;
    let near = TestMetrics::of_classes(names.len(), expected().zip(test.0.iter().map(|row| nearest(row))))?;
    Ok(vec![(format!("always {}", names[frequent]), always), ("nearest class mean".to_owned(), near)])
}

fn of_numbers(learn: Part<'_, f32>, test: Part<'_, f32>) -> Result<Vec<(String, TestMetrics)>, Exit> {
    let mean = learn.1.iter().copied().map(f64::from).sum::<f64>() / learn.1.len() as f64;
    let judged = |answer: &dyn Fn(&[f64]) -> f64| {
        TestMetrics::of_numbers(test.1.iter().copied().zip(test.0.iter().map(|row| answer(row) as f32)))
    };
    let mut all = vec![("always the mean".to_owned(), judged(&|_| mean)?)];
    let weights = if learn.0[0].len() <= MOST_FEATURES { least_squares(learn, mean) } else { None };
    if let Some(weights) = weights {
        let answer = |row: &[f64]| mean + row.iter().zip(&weights).map(|(value, weight)| value * weight).sum::<f64>();
        all.push(("least squares".to_owned(), judged(&answer)?));
    }
    Ok(all)
}

/// The weights of a linear model on features of mean 0, by Cholesky's factors of the normal equations. The features of one
/// category of several add up to a constant, so a little is added to the diagonal.
fn least_squares((rows, answers): Part<'_, f32>, mean: f64) -> Option<Vec<f64>> {
    let n = rows.first()?.len();
    let mut matrix = vec![vec![0.0; n]; n];
    let mut right = vec![0.0; n];
    for (row, answer) in rows.iter().zip(answers) {
        for (i, value) in row.iter().enumerate() {
            right[i] += value * (f64::from(*answer) - mean);
            row[..=i].iter().enumerate().for_each(|(j, other)| matrix[i][j] += value * other);
        }
    }
    for i in 0..n {
        matrix[i][i] += 1e-6 * rows.len() as f64;
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let rest = matrix[i][j] - known;
            matrix[i][j] = if i == j { rest.sqrt() } else { rest / matrix[j][j] };
        }
    }
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
