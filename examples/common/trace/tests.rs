use super::*;

const GOOD: &str = r#"{
    "layers": [{"inputs": 2, "outputs": 1, "activation": "sigmoid", "weight": [[0.5, -0.25]], "bias": [0.125]}],
    "loss": "mse", "optimizer": {"name": "sgd", "lr": 0.5}, "batches": [[0, 2], [2, 3]],
    "x": [[1, 0], [0, 1], [1, 1]], "y": [[0.5], [1], [0]], "losses": [0.1, 0.2],
    "gradients": [{"weight": [[0, 0]], "bias": [0]}], "final": [{"weight": [[0, 0]], "bias": [0]}],
    "predict": [[0.5], [0.5], [0.5]]
}"#;

#[test]
fn a_good_trace_is_read() {
    let trace = Trace::parse(GOOD).expect("it is good");
    assert_eq!((trace.steps(), trace.x.len(), trace.steps[1].end), (2, 6, 3));
}

/// One change to a good trace each, and what the reason has to speak of.
#[test]
fn what_contradicts_itself_is_malformed_and_what_is_unknown_is_unsupported() {
    let malformed = [
        ("\"x\": [[1, 0], [0, 1], [1, 1]], ", "", "x is missing"),
        ("[[0, 2], [2, 3]]", "[]", "batches is empty"),
        ("[2, 3]]", "[2, 4]]", "batches[1]"),
        ("[2, 3]]", "[3, 3]]", "batches[1]"),
        ("[2, 3]]", "[2]]", "batches[1]"),
        ("[2, 3]]", "[-1, 3]]", "batches[1]"),
        ("[1, 1]]", "[1]]", "x[2]"),
        ("[0.5], [1], [0]]", "[0.5], [1]]", "y has 2 rows instead of 3"),
        ("[0.1, 0.2]", "[0.1]", "losses"),
        ("[0.1, 0.2]", "[0.1, null]", "losses[1]"),
        ("\"lr\": 0.5", "\"lr\": \"0.5\"", "optimizer.lr"),
        ("\"lr\": 0.5", "\"lr\": 0.5, \"momentum\": 0.5, \"nesterov\": 1", "optimizer.nesterov"),
        ("\"name\": \"sgd\"", "\"name\": \"adam\", \"betas\": [0.9]", "optimizer.betas"),
        ("\"loss\"", "\"lr_schedule\": [0.5], \"loss\"", "lr_schedule has 1 values instead of 2"),
        ("\"inputs\": 2", "\"inputs\": 0", "layers[0].inputs"),
        ("\"inputs\": 2", "\"inputs\": 18446744073709551615", "layers[0].weight[0]"),
        ("\"outputs\": 1", "\"outputs\": 99999999999", "layers[0].weight"),
        ("\"bias\": [0.125]", "\"bias\": [1e39]", "32 bits"),
        ("\"bias\": [0.125]", "\"bias\": [1e999]", "number"),
        ("[{\"inputs\"", "[1, {\"inputs\"", "layers[0]"),
        ("\"final\": [", "\"final\": [{}, ", "final has 2 layers"),
        ("\"activation\"", "\"norm\": \"layer\", \"activation\"", "layers[0].gain is missing"),
        ("\"sigmoid\"", "\"prelu\"", "layers[0].slope is missing"),
    ];
    for (from, to, reason) in malformed {
        let json = GOOD.replacen(from, to, 1);
        assert_ne!(json, GOOD, "{from}");
        let refusal = Trace::parse(&json).map(|_| ()).expect_err(to);
        assert!(matches!(&refusal, Refusal::Malformed(why) if why.contains(reason)), "{to}: {refusal}");
    }
    let unsupported = [
        ("\"sigmoid\"", "\"swish\"", "swish"),
        ("\"mse\"", "\"quantile\"", "quantile"),
        ("\"mse\"", "\"softmax_cross_entropy\"", "softmax_cross_entropy on a last layer of sigmoid"),
        ("\"sgd\"", "\"lbfgs\"", "lbfgs"),
        ("\"lr\": 0.5", "\"lr\": 0.5, \"nesterov\": true", "the option nesterov of sgd"),
        ("\"sgd\"", "\"rprop\", \"weight_decay\": 0.1", "the option weight_decay of rprop"),
        ("\"loss\"", "\"epsilon\": 0.1, \"loss\"", "the option epsilon"),
        ("\"mse\"", "\"relative_l2\", \"epsilon\": 0.1", "the epsilon 0.1"),
        ("\"activation\"", "\"dropout\": 0.5, \"activation\"", "dropout"),
        ("\"activation\"", "\"norm\": \"group\", \"activation\"", "the norm \"group\" of layers[0]"),
        ("\"activation\"", "\"gain\": [1], \"activation\"", "the option gain of layers[0]"),
        ("\"final\": [{", "\"final\": [{\"shift\": [1], ", "the option shift of final[0]"),
    ];
    for (from, to, reason) in unsupported {
        let refusal = Trace::parse(&GOOD.replacen(from, to, 1)).map(|_| ()).expect_err(to);
        assert!(matches!(&refusal, Refusal::Unsupported(why) if why.contains(reason)), "{to}: {refusal}");
    }
}

#[test]
fn every_cut_of_a_trace_is_refused() {
    for end in 0..GOOD.len() - 1 {
        assert!(Trace::parse(&GOOD[..end]).is_err(), "cut after {end} bytes");
    }
    assert!(Trace::parse(&"[".repeat(100_000)).is_err());
}

#[test]
fn the_error_is_relative_to_the_largest_entry_and_sees_a_nan() {
    let error = |ours: &[f64], theirs: &[f64]| compare(String::new(), ours, theirs).error;
    assert_eq!(error(&[1.0, 3.0], &[1.0, 4.0]), 0.25);
    assert_eq!(error(&[0.0], &[0.0]), 0.0);
    assert_eq!(error(&[0.5], &[0.0]), f64::INFINITY);
    assert_eq!(error(&[f64::NAN, 1.0], &[1.0, 1.0]), f64::INFINITY);
    assert_eq!(error(&[1.0], &[1.0, 1.0]), f64::INFINITY);
}
