"""Computes metrics with scikit-learn 1.7.2 in float64. `src/metrics` must reproduce them.

    pip install scikit-learn==1.7.2 && python make_metrics.py OUT_DIR

classification.json, regression.json and labels.json each contain a list of cases. A number that scikit-learn calls
undefined is null.
A case of classification.json:
  name, classes
  outputs    one list per row: the scores of all classes, or the single output of a binary classifier
  threshold  a single output above it predicts class 1; null if there are several outputs
  expected   class ids
  weights    sample weights, one per row, or null
  losses     one per row
  loss       their weighted mean
  predicted  class ids; the first of several largest scores
  confusion  [expected][predicted]
  accuracy, balanced_accuracy
  top_k      for k = 1, 2, .., classes; null if there is a single output
  precision, recall, f1
             {"macro", "micro", "weighted", "binary": class 1 against all others, "each": one per class}
A case of regression.json:
  name
  targets    one list per row
  outputs    one list per row
  weights    sample weights, one per row, or null
  r2, mean_squared_error, mean_absolute_error, root_mean_squared_error
  r2_each    one per output
A case of labels.json, whose rows have any number of labels:
  name
  outputs    one list per row
  threshold  an output above it predicts the label
  targets    one list of 0 and 1 per row
  weights    sample weights, one per row, or null
  accuracy   the fraction of rows with all labels correct
  label_accuracy  1 - hamming_loss
  precision, recall, f1
             {"macro", "micro", "weighted"}
"""

import json, pathlib, sys, warnings
import numpy as np
import sklearn
from sklearn import metrics

assert sklearn.__version__ == "1.7.2", sklearn.__version__
warnings.simplefilter("ignore")
SCORES = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}
rng = np.random.default_rng(1)
f32 = lambda values: np.asarray(values, np.float32).astype(np.float64)


def top_k(expected, outputs, weights, k):
    # For two classes scikit-learn expects one score per row. A third class, which is never first, permits two scores.
    scores = np.column_stack([outputs, np.full(len(outputs), -1e9)])
    return metrics.top_k_accuracy_score(expected, scores, k=k, labels=range(scores.shape[1]), sample_weight=weights)


def classification(name, classes, outputs, expected, weights=None, threshold=None):
    outputs, expected = f32(outputs), np.asarray(expected)
    single = outputs.shape[1] == 1
    predicted = (outputs[:, 0] > threshold).astype(int) if single else outputs.argmax(axis=1)
    losses = f32(rng.integers(0, 64, len(expected)) / 16)
    labels, both = range(classes), dict(sample_weight=weights, zero_division=0)
    case = {
        "name": name, "classes": classes, "outputs": outputs.tolist(), "threshold": threshold,
        "expected": expected.tolist(), "weights": None if weights is None else list(weights),
        "losses": losses.tolist(), "loss": np.average(losses, weights=weights), "predicted": predicted.tolist(),
        "confusion": metrics.confusion_matrix(expected, predicted, labels=labels, sample_weight=weights).tolist(),
        "accuracy": metrics.accuracy_score(expected, predicted, sample_weight=weights),
        "balanced_accuracy": metrics.balanced_accuracy_score(expected, predicted, sample_weight=weights),
        "top_k": None if single else [top_k(expected, outputs, weights, k) for k in range(1, classes + 1)],
    }
    for metric, score in SCORES.items():
        case[metric] = {a: score(expected, predicted, average=a, **both) for a in ["macro", "micro", "weighted"]}
        binary = dict(average="binary") if classes == 2 else dict(average="macro", labels=[1])
        case[metric]["binary"] = score(expected, predicted, **binary, **both)
        case[metric]["each"] = score(expected, predicted, average=None, labels=labels, **both).tolist()
    return case


def scores(rows, classes):
    """Returns scores on a coarse grid, so that many are equal."""
    return rng.integers(-4, 5, (rows, classes)) / 2


def weights(rows):
    return np.round(rng.random(rows) * 3, 3)


def leaning(outputs, expected):
    """Increases the scores of the expected classes, so that not every metric is near chance."""
    outputs[np.arange(len(expected)), expected] += 1.5
    return outputs


def classifications():
    expected = rng.integers(0, 10, 100)
    yield classification("ten classes", 10, leaning(scores(100, 10), expected), expected)
    yield classification("ten classes, weighted", 10, leaning(scores(100, 10), expected), expected, weights(100))
    some = rng.choice([0, 1, 2, 3, 4, 6, 8], 60)
    outputs = leaning(scores(60, 10), some)
    outputs[:, [3, 7]] = -9
    outputs[::6, 5] = 9
    # 7 and 9 are absent, 3 is expected but never predicted, 5 is predicted but never expected.
    outputs[:, 9] = -9
    yield classification("ten classes, some absent", 10, outputs, some)
    yield classification("ten classes, some absent, weighted", 10, outputs, some, weights(60))
    yield classification("ten classes, all equal", 10, np.zeros((20, 10)), np.arange(20) % 10, weights(20))
    yield classification("ten classes, two of them there", 10, outputs[some < 2], some[some < 2])
    two = rng.integers(0, 2, 40)
    yield classification("two classes", 2, leaning(scores(40, 2), two), two)
    yield classification("two classes, weighted", 2, leaning(scores(40, 2), two), two, weights(40))
    yield classification("two classes, the second never predicted", 2, [[1, 0]] * 8, [0, 1] * 4)
    yield classification("two classes, the second absent", 2, [[1, 0]] * 4, [0] * 4)
    yield classification("two classes, the first absent", 2, [[0, 1]] * 4, [1] * 4, weights(4))
    yield classification("two classes, all wrong", 2, [[1, 0], [0, 1]] * 3, [1, 0] * 3)
    three = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]
    yield classification("a class that weighs nothing", 3, three, [0, 1, 2, 1, 0], np.array([1, 0.5, 0, 2, 0.25]))
    yield classification("one row", 3, [[0, 2, 1]], [1])
    sigmoid = rng.integers(0, 9, (40, 1)) / 8
    yield classification("a sigmoid", 2, sigmoid, two, threshold=0.5)
    yield classification("a sigmoid, weighted", 2, sigmoid, two, weights(40), threshold=0.5)
    yield classification("a logit, weighted", 2, scores(40, 1), two, weights(40), threshold=0.0)


def regression(name, targets, outputs, weights=None):
    targets, outputs = f32(targets), f32(outputs)
    each = lambda score, **how: score(targets, outputs, sample_weight=weights, **how)
    r2_each = each(metrics.r2_score, multioutput="raw_values")
    case = {
        "name": name, "targets": targets.tolist(), "outputs": outputs.tolist(),
        "weights": None if weights is None else list(weights), "r2": each(metrics.r2_score),
        "r2_each": np.broadcast_to(r2_each, targets.shape[1]).tolist(),
    }
    for score in [metrics.mean_squared_error, metrics.mean_absolute_error, metrics.root_mean_squared_error]:
        case[score.__name__] = each(score)
    return case


def regressions():
    numbers = lambda rows, columns: np.round(rng.standard_normal((rows, columns)), 3)
    one, three, noise = numbers(50, 1), numbers(50, 3) + [0, 5, -100], numbers(50, 3) / 4
    yield regression("one output", one, one + noise[:, :1])
    yield regression("one output, weighted", one, one + noise[:, :1], weights(50))
    yield regression("three outputs", three, three + noise)
    yield regression("three outputs, weighted", three, three + noise, weights(50))
    yield regression("worse than the mean", three, -three)
    yield regression("some weigh nothing", three[:6], (three + noise)[:6], np.array([0, 1, 0, 2.5, 0.5, 0]))
    constant = np.column_stack([np.full(50, 0.5), np.full(50, -2.0), three[:, 1]])
    missed = constant + np.column_stack([np.zeros(50), noise[:, 1:]])
    yield regression("constant targets", constant, missed)
    # Weights in eighths: scikit-learn detects constant targets only if their weighted mean has no rounding error.
    yield regression("constant targets, weighted", constant, missed, rng.integers(0, 17, 50) / 8)
    yield regression("perfect", three, three)
    yield regression("one row", [[1.0, 2.0]], [[1.0, 2.5]])


def multilabel(name, outputs, targets, weights=None, threshold=0.5):
    outputs, targets = f32(outputs), np.asarray(targets)
    predicted, both = (outputs > threshold).astype(int), dict(sample_weight=weights, zero_division=0)
    case = {
        "name": name, "outputs": outputs.tolist(), "threshold": threshold, "targets": targets.tolist(),
        "weights": None if weights is None else list(weights),
        "accuracy": metrics.accuracy_score(targets, predicted, sample_weight=weights),
        "label_accuracy": 1 - metrics.hamming_loss(targets, predicted, sample_weight=weights),
    }
    for metric, score in SCORES.items():
        case[metric] = {a: score(targets, predicted, average=a, **both) for a in ["macro", "micro", "weighted"]}
    return case


def multilabels():
    targets = rng.integers(0, 2, (60, 5))
    outputs = (targets + rng.integers(-4, 5, (60, 5)) / 4) / 2 + 0.25
    yield multilabel("five labels", outputs, targets)
    yield multilabel("five labels, weighted", outputs, targets, weights(60))
    yield multilabel("logits, weighted", outputs - 0.5, targets, weights(60), threshold=0.0)
    absent = targets.copy()
    absent[:, 1], outputs[:, 2], absent[::3] = 0, 0, 0
    yield multilabel("one absent, one never predicted, rows without labels", outputs, absent)
    yield multilabel("the same, weighted", outputs, absent, np.array([0.0, 1.0, 2.0] * 20))
    yield multilabel("no labels at all", np.zeros((4, 3)), np.zeros((4, 3), int))
    yield multilabel("all right", targets, targets)
    yield multilabel("one row", [[0.9, 0.1, 0.6]], [[1, 0, 0]])


def without_nan(value):
    if isinstance(value, dict): return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list): return [without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


out = pathlib.Path(sys.argv[1])
for name, cases in [("classification", classifications()), ("regression", regressions()), ("labels", multilabels())]:
    lines = [json.dumps(without_nan(case), allow_nan=False) for case in cases]
    (out / f"{name}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
