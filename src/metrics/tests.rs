//! Comparison of the metrics with scikit-learn; `tests/metrics/make_metrics.py` writes the expected values.

use std::ops::Range;

use serde_json::Value;

use super::*;
use crate::{
    error::Error,
    metrics::classification::{argmax, rank},
};

/// The tolerance of f64 results, relative to the value of scikit-learn, or absolute if that is less than 1.
const TOLERANCE: f64 = 1e-12;

fn parse_cases(json: &str) -> Vec<Value> {
    serde_json::from_str(json).expect("a JSON list")
}

/// Returns a number; NaN if scikit-learn calls it undefined.
fn number(value: &Value) -> f64 {
    if value.is_null() { f64::NAN } else { value.as_f64().expect("a number") }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(number).collect()
}

fn f32s(value: &Value) -> Vec<f32> {
    numbers(value).into_iter().map(|value| value as f32).collect()
}

fn rows(value: &Value) -> Vec<Vec<f32>> {
    value.as_array().expect("a list").iter().map(f32s).collect()
}

fn sample_weights(case: &Value) -> Option<Vec<f64>> {
    (!case["weights"].is_null()).then(|| numbers(&case["weights"]))
}

#[track_caller]
fn assert_close(case: &Value, name: &str, values: &[f64], expected: &[f64]) {
    let is_close = |a: f64, b: f64| (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * b.abs().max(1.0);
    let are_close = values.len() == expected.len()
        && values.iter().zip(expected).all(|(value, expected)| is_close(*value, *expected));
    assert!(are_close, "{}: {name}: got {values:?}, scikit-learn gives {expected:?}", case["name"]);
}

/// Returns the metrics of rows that are added in one call, and in three calls.
fn add_in_one_and_three_calls(
    rows: usize,
    new: impl Fn() -> Metrics,
    add: impl Fn(&mut Metrics, Range<usize>),
) -> [Metrics; 2] {
    let mut one_call = new();
    add(&mut one_call, 0..rows);
    let mut three_calls = new();
    for part in [0..rows / 3, rows / 3..rows / 2, rows / 2..rows] {
        add(&mut three_calls, part);
    }
    [one_call, three_calls]
}

#[test]
fn classification_metrics_match_scikit_learn() {
    let cases = parse_cases(include_str!("../../tests/metrics/classification.json"));
    assert_eq!(cases.len(), 17);
    for case in &cases {
        let (outputs, targets, losses) = (rows(&case["outputs"]), numbers(&case["expected"]), f32s(&case["losses"]));
        let (weights, predictions) = (sample_weights(case), numbers(&case["predicted"]));
        let add = |metrics: &mut Metrics, rows: Range<usize>| {
            for row in rows {
                let target = targets[row] as u32;
                let (predicted, rank) = match (&*outputs[row], case["threshold"].as_f64()) {
                    (outputs, None) => (argmax(outputs), rank(outputs, target as usize)),
                    (outputs, Some(threshold)) => {
                        let predicted = u32::from(f64::from(outputs[0]) > threshold);
                        (predicted, u32::from(predicted != target))
                    }
                };
                assert_eq!(f64::from(predicted), predictions[row], "{}: row {row}", case["name"]);
                let weight = weights.as_ref().map_or(1.0, |weights| weights[row]);
                metrics.add_row(target, predicted, rank, losses[row], weight).expect("a valid row");
            }
        };
        let classes = case["classes"].as_u64().expect("a number") as usize;
        for metrics in add_in_one_and_three_calls(targets.len(), || Metrics::new(Some(classes), None), add) {
            assert_classification_metrics(case, &metrics);
        }
    }
}

fn assert_classification_metrics(case: &Value, metrics: &Metrics) {
    let confusion = metrics.confusion_matrix().expect("a confusion matrix");
    let matrix: Vec<_> = case["confusion"].as_array().expect("a list").iter().map(numbers).collect();
    assert_close(case, "confusion", &confusion.rows().flatten().collect::<Vec<_>>(), &matrix.concat());
    assert_close(case, "loss", &[metrics.loss()], &[number(&case["loss"])]);
    assert_close(case, "accuracy", &[metrics.accuracy().unwrap()], &[number(&case["accuracy"])]);
    let balanced_accuracy = metrics.balanced_accuracy().unwrap();
    assert_close(case, "balanced accuracy", &[balanced_accuracy], &[number(&case["balanced_accuracy"])]);
    let top_k: Vec<_> = (1..=confusion.class_count()).map(|k| metrics.top_k_accuracy(k).unwrap()).collect();
    if case["top_k"].is_null() {
        assert_close(case, "top k", &top_k, &[number(&case["accuracy"]), 1.0]);
    } else {
        assert_close(case, "top k", &top_k, &numbers(&case["top_k"]));
    }
    let extreme_k = [metrics.top_k_accuracy(0).unwrap(), metrics.top_k_accuracy(usize::MAX).unwrap()];
    assert_close(case, "top 0 and top usize::MAX", &extreme_k, &[0.0, 1.0]);
    for (average, name) in Average::ALL.iter().zip(["macro", "micro", "weighted", "binary"]) {
        let scores = [metrics.precision(*average), metrics.recall(*average), metrics.f1(*average)].map(Option::unwrap);
        assert_close(case, name, &scores, &["precision", "recall", "f1"].map(|metric| number(&case[metric][name])));
    }
    assert_close(case, "precision per class", &confusion.precision_per_class(), &numbers(&case["precision"]["each"]));
    assert_close(case, "recall per class", &confusion.recall_per_class(), &numbers(&case["recall"]["each"]));
    assert_close(case, "f1 per class", &confusion.f1_per_class(), &numbers(&case["f1"]["each"]));
    assert_eq!((metrics.r2(), metrics.mean_absolute_error()), (None, None));
}

#[test]
fn multi_label_metrics_match_scikit_learn() {
    let cases = parse_cases(include_str!("../../tests/metrics/labels.json"));
    assert_eq!(cases.len(), 8);
    for case in &cases {
        let (targets, outputs, weights) = (rows(&case["targets"]), rows(&case["outputs"]), sample_weights(case));
        let threshold = case["threshold"].as_f64().expect("a number") as f32;
        let labels = targets[0].len();
        let add = |metrics: &mut Metrics, rows: Range<usize>| {
            for row in rows {
                let weight = weights.as_ref().map_or(1.0, |weights| weights[row]);
                metrics.add_loss(0.5 * weight, weight).expect("a valid weight");
                metrics.add_labels(&outputs[row], &targets[row], threshold, weight);
            }
        };
        let new = || Metrics::new(None, None).with_labels(labels);
        for metrics in add_in_one_and_three_calls(targets.len(), new, add) {
            assert_multi_label_metrics(case, &metrics);
            let json = serde_json::to_string(&metrics).expect("JSON");
            assert_eq!(serde_json::from_str::<Metrics>(&json).expect("metrics"), metrics);
        }
    }
}

fn assert_multi_label_metrics(case: &Value, metrics: &Metrics) {
    let accuracies = [metrics.accuracy(), metrics.label_accuracy()].map(Option::unwrap);
    assert_close(case, "accuracies", &accuracies, &["accuracy", "label_accuracy"].map(|name| number(&case[name])));
    for (average, name) in Average::ALL.iter().zip(["macro", "micro", "weighted"]) {
        let scores = [metrics.precision(*average), metrics.recall(*average), metrics.f1(*average)].map(Option::unwrap);
        assert_close(case, name, &scores, &["precision", "recall", "f1"].map(|metric| number(&case[metric][name])));
    }
    let binary = [Metrics::precision, Metrics::recall, Metrics::f1].map(|score| score(metrics, Average::Binary));
    assert_eq!(binary, [None; 3]);
    assert!(metrics.confusion_matrix().is_none());
    assert_eq!((metrics.balanced_accuracy(), metrics.top_k_accuracy(1)), (None, None));
}

#[test]
fn metrics_saved_before_multi_label_support_are_parsed() {
    let json = r#"{"loss":1.0,"weight":2.0,"correct":1.0,"confusion_matrix":null,"rank_weights":[],"regression":null}"#;
    let metrics: Metrics = serde_json::from_str(json).expect("metrics");
    assert_eq!((metrics.accuracy(), metrics.label_accuracy()), (Some(0.5), None));
}

#[test]
fn regression_metrics_match_scikit_learn() {
    let cases = parse_cases(include_str!("../../tests/metrics/regression.json"));
    assert_eq!(cases.len(), 10);
    for case in &cases {
        let (targets, outputs, weights) = (rows(&case["targets"]), rows(&case["outputs"]), sample_weights(case));
        let add = |metrics: &mut Metrics, rows: Range<usize>| {
            let (mut squared, mut absolute) = (vec![0.0; targets[0].len()], vec![0.0; targets[0].len()]);
            for row in rows.clone() {
                let weight = weights.as_ref().map_or(1.0, |weights| weights[row]);
                for (output, (y, t)) in outputs[row].iter().zip(&targets[row]).enumerate() {
                    let error = f64::from(*y) - f64::from(*t);
                    squared[output] += weight * error * error;
                    absolute[output] += weight * error.abs();
                }
            }
            let weights = weights.as_ref().map(|weights| &weights[rows.clone()]);
            let total_weight = weights.map_or(rows.len() as f64, |weights| weights.iter().sum());
            let loss = squared.iter().sum::<f64>() / squared.len() as f64;
            metrics.add_loss(loss, total_weight).expect("a valid weight");
            metrics.add_outputs(&targets[rows].concat(), weights, &squared, &absolute).expect("valid rows");
        };
        let new = || Metrics::new(None, Some(targets[0].len()));
        for metrics in add_in_one_and_three_calls(targets.len(), new, add) {
            assert_regression_metrics(case, &metrics);
        }
    }
}

fn assert_regression_metrics(case: &Value, metrics: &Metrics) {
    let regression = metrics.regression().expect("regression metrics");
    let r2: Vec<_> = (0..regression.outputs()).map(|output| regression.r2_for_output(output).unwrap()).collect();
    assert_close(case, "r2 per output", &r2, &numbers(&case["r2_each"]));
    for (name, value) in [
        ("r2", metrics.r2()),
        ("mean_squared_error", metrics.mean_squared_error()),
        ("mean_absolute_error", metrics.mean_absolute_error()),
        ("root_mean_squared_error", metrics.root_mean_squared_error()),
    ] {
        assert_close(case, name, &[value.unwrap()], &[number(&case[name])]);
    }
    assert_close(case, "loss", &[metrics.loss()], &[number(&case["mean_squared_error"])]);
    assert_eq!((metrics.accuracy(), metrics.top_k_accuracy(1), metrics.f1(Average::Macro)), (None, None, None));
}

#[test]
fn an_invalid_row_returns_an_error_and_leaves_the_metrics_unchanged() {
    let mut metrics = Metrics::new(Some(3), None);
    let invalid_rows = [(3, 0, 0, 1.0), (0, 3, 0, 1.0), (0, 0, 3, 1.0), (0, 0, 0, -1.0), (0, 0, 0, f64::NAN)];
    for (target, predicted, rank, weight) in invalid_rows {
        let error = metrics.add_row(target, predicted, rank, 1.0, weight).expect_err("an error");
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    }
    assert!(metrics.add_loss(1.0, f64::INFINITY).is_err());
    assert_eq!(metrics, Metrics::new(Some(3), None));
    assert!(metrics.loss().is_nan() && metrics.top_k_accuracy(1).is_some_and(f64::is_nan));
}
