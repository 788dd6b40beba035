use super::*;

const VALID: &str = r#"{
    "layers": [{"inputs": 2, "outputs": 1, "activation": "sigmoid", "weight": [[0.5, -0.25]], "bias": [0.125]}],
    "loss": "mse", "optimizer": {"name": "sgd", "lr": 0.5}, "batches": [[0, 2], [2, 3]],
    "x": [[1, 0], [0, 1], [1, 1]], "y": [[0.5], [1], [0]], "losses": [0.1, 0.2],
    "gradients": [{"weight": [[0, 0]], "bias": [0]}], "final": [{"weight": [[0, 0]], "bias": [0]}],
    "predict": [[0.5], [0.5], [0.5]]
}"#;

#[test]
fn valid_trace_is_parsed() {
    let trace = Trace::parse(VALID).expect("a valid trace");
    assert_eq!((trace.steps(), trace.x.len(), trace.steps[1].end), (2, 6, 3));
}

/// Each case replaces one part of a valid trace. The third string is a part of the expected error.
#[test]
fn invalid_traces_return_an_error_with_the_location() {
    let cases = [
        ("\"x\": [[1, 0], [0, 1], [1, 1]], ", "", "x is missing"),
        ("[[0, 2], [2, 3]]", "[]", "batches: expected at least 1 batch, got 0"),
        ("[2, 3]]", "[2, 4]]", "batches[1]: expected a range of rows 0 to 3, got [2, 4]"),
        ("[2, 3]]", "[3, 3]]", "batches[1]: expected a range of rows 0 to 3, got [3, 3]"),
        ("[2, 3]]", "[2]]", "batches[1]: expected [start, end], got [2]"),
        ("[2, 3]]", "[-1, 3]]", "batches[1]: expected a range of rows 0 to 3, got [-1, 3]"),
        ("[1, 1]]", "[1]]", "x[2]: expected 2 values, got 1"),
        ("[0.5], [1], [0]]", "[0.5], [1]]", "y: expected 3 rows, got 2"),
        ("[0.1, 0.2]", "[0.1]", "losses: expected 2 values, got 1"),
        ("[0.1, 0.2]", "[0.1, null]", "losses[1]: expected a finite number, got null"),
        ("\"lr\": 0.5", "\"lr\": \"0.5\"", "optimizer.lr: expected a finite number, got \"0.5\""),
        (
            "\"lr\": 0.5",
            "\"lr\": 0.5, \"momentum\": 0.5, \"nesterov\": 1",
            "optimizer.nesterov: expected true or false, got 1",
        ),
        ("\"name\": \"sgd\"", "\"name\": \"adam\", \"betas\": [0.9]", "optimizer.betas: expected 2 values, got 1"),
        ("\"loss\"", "\"lr_schedule\": [0.5], \"loss\"", "lr_schedule: expected 2 values, got 1"),
        ("\"inputs\": 2", "\"inputs\": 0", "layers[0].inputs: expected an integer >= 1, got 0"),
        ("\"inputs\": 2", "\"inputs\": 18446744073709551615", "layers[0].weight[0]: expected"),
        ("\"outputs\": 1", "\"outputs\": 99999999999", "layers[0].weight: expected 99999999999 rows, got 1"),
        ("\"bias\": [0.125]", "\"bias\": [1e39]", "expected a number that f32 can hold, got 1e39"),
        ("\"bias\": [0.125]", "\"bias\": [1e999]", "number"),
        ("[{\"inputs\"", "[1, {\"inputs\"", "layers[0]: expected an object, got 1"),
        ("\"final\": [", "\"final\": [{}, ", "final: expected 1 layers, got 2"),
        ("\"activation\"", "\"norm\": \"layer\", \"activation\"", "layers[0].gain is missing"),
        ("\"sigmoid\"", "\"prelu\"", "layers[0].slope is missing"),
    ];
    for (from, to, expected) in cases {
        let json = VALID.replacen(from, to, 1);
        assert_ne!(json, VALID, "{from}");
        let error = Trace::parse(&json).map(|_| ()).expect_err(to);
        assert!(matches!(&error, TraceError::Invalid(reason) if reason.contains(expected)), "{to}: {error}");
    }
}

#[test]
fn unsupported_options_return_an_error_with_their_name() {
    let cases = [
        ("\"sigmoid\"", "\"swish\"", "activation \"swish\" of layers[0]"),
        ("\"mse\"", "\"quantile\"", "loss \"quantile\""),
        ("\"mse\"", "\"softmax_cross_entropy\"", "loss softmax_cross_entropy: expected the output activation"),
        ("\"sgd\"", "\"lbfgs\"", "optimizer \"lbfgs\""),
        ("\"lr\": 0.5", "\"lr\": 0.5, \"nesterov\": true", "option nesterov of sgd"),
        ("\"sgd\"", "\"rprop\", \"weight_decay\": 0.1", "option weight_decay of rprop"),
        ("\"loss\"", "\"epsilon\": 0.1, \"loss\"", "option epsilon"),
        ("\"mse\"", "\"relative_l2\", \"epsilon\": 0.1", "epsilon 0.1 of relative_l2"),
        ("\"activation\"", "\"dropout\": 0.5, \"activation\"", "option dropout of layers[0]"),
        ("\"activation\"", "\"norm\": \"group\", \"activation\"", "norm \"group\" of layers[0]"),
        ("\"activation\"", "\"gain\": [1], \"activation\"", "option gain of layers[0]"),
        ("\"final\": [{", "\"final\": [{\"shift\": [1], ", "option shift of final[0]"),
    ];
    for (from, to, expected) in cases {
        let error = Trace::parse(&VALID.replacen(from, to, 1)).map(|_| ()).expect_err(to);
        assert!(matches!(&error, TraceError::Unsupported(reason) if reason.contains(expected)), "{to}: {error}");
    }
}

#[test]
fn truncated_traces_return_an_error() {
    for end in 0..VALID.len() - 1 {
        assert!(Trace::parse(&VALID[..end]).is_err(), "truncated after {end} bytes");
    }
    assert!(Trace::parse(&"[".repeat(100_000)).is_err());
}

#[test]
fn tensor_error_is_relative_to_the_largest_recorded_value() {
    let error = |ours: &[f64], theirs: &[f64]| tensor_error(String::new(), ours, theirs).error;
    assert_eq!(error(&[1.0, 3.0], &[1.0, 4.0]), 0.25);
    assert_eq!(error(&[0.0], &[0.0]), 0.0);
    assert_eq!(error(&[0.5], &[0.0]), f64::INFINITY);
}

#[test]
fn tensor_error_is_infinite_for_nan_and_for_missing_values() {
    let error = |ours: &[f64], theirs: &[f64]| tensor_error(String::new(), ours, theirs).error;
    assert_eq!(error(&[f64::NAN, 1.0], &[1.0, 1.0]), f64::INFINITY);
    assert_eq!(error(&[1.0], &[1.0, 1.0]), f64::INFINITY);
}
