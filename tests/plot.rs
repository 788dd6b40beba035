//! Plots: SVG files that are valid XML with the expected texts and elements, and PNG files that can be decoded.
#![cfg(feature = "plot")]

use std::path::Path;

use gradus::{
    Activation, Dataset, Device, History, Loss, Member, Network, Optimizer, Result, Trainer, TrainerSettings,
    TrainingLoop,
    metrics::ConfusionMatrix,
    plot,
    plot::{DecisionBoundary, UncertaintyBands},
    search::{Hyperparameter, KFold, Search, SuccessiveHalving},
    train::{LayerHistogram, LayerQuantity, LearningRateCurve, LearningRateFinder},
};

/// The texts and the element names of an SVG document.
struct Svg {
    texts: Vec<String>,
    elements: Vec<String>,
}

impl Svg {
    /// Checks and parses a document. Also saves it in the folder for temporary test files, for inspection.
    fn parse(name: &str, svg: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plots");
        plot::save(folder.join(format!("{name}.svg")), svg).expect("a file");
        let document = roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{name}: {error}"));
        let root = document.root_element();
        let size = |side: &str| root.attribute(side).and_then(|side| side.parse::<f64>().ok()).expect("a number");
        let (width, height) = (size("width"), size("height"));
        assert!((100.0..2000.0).contains(&width) && (100.0..40_000.0).contains(&height), "{name}: {width} x {height}");
        for element in root.descendants().filter(roxmltree::Node::is_element) {
            for attribute in element.attributes().filter(|attribute| attribute.name() != "href") {
                let value = attribute.value();
                assert!(!value.contains("NaN") && !value.contains("inf"), "{name}: {} {value}", attribute.name());
            }
            for (attribute, max) in [("x", width), ("y", height), ("x1", width), ("y2", height), ("cx", width)] {
                if let Some(text) = element.attribute(attribute) {
                    let value: f64 = text.parse().expect("a number");
                    assert!((0.0..=max).contains(&value), "{name}: {attribute}: expected 0 to {max}, got {value}");
                }
            }
        }
        let texts = root.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")));
        let elements = root.descendants().filter(roxmltree::Node::is_element);
        Self {
            texts: texts.filter_map(|node| Some(node.text()?.trim().to_owned())).collect(),
            elements: elements.map(|node| node.tag_name().name().to_owned()).collect(),
        }
    }

    /// Panics unless the document contains all of `texts`.
    #[track_caller]
    fn contains(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(self.texts.iter().any(|found| found == text), "{text:?} is not in {:?}", self.texts);
        }
        self
    }

    fn count(&self, element: &str) -> usize {
        self.elements.iter().filter(|found| *found == element).count()
    }
}

/// Returns the features and classes of two interleaved half circles.
fn moons(rows: usize) -> (Vec<f32>, Vec<u32>) {
    let mut draw = 1u32;
    let mut noise = || {
        draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        0.25 * ((draw >> 8) as f32 / (1 << 24) as f32 - 0.5)
    };
    let point = |row: usize| {
        let angle = std::f32::consts::PI * (row / 2) as f32 / (rows / 2) as f32;
        let (x, y) = (angle.cos(), angle.sin());
        let [x, y] = if row.is_multiple_of(2) { [x, y] } else { [1.0 - x, 0.5 - y] };
        [x + noise(), y + noise()]
    };
    ((0..rows).flat_map(point).collect(), (0..rows as u32).map(|row| row % 2).collect())
}

/// Trains a network on the moons.
fn train_moons() -> Result<(Trainer, Dataset, History)> {
    let (x, y) = moons(300);
    let data = Dataset::new(300, x, y)?;
    let network =
        Network::new(2).dense(16, Activation::Relu).dense(16, Activation::Relu).dense(2, Activation::Identity);
    let (loss, optimizer) = (Loss::SoftmaxCrossEntropy, Optimizer::adam(0.01));
    let settings = TrainerSettings { batch_size: 20, loss, optimizer, ..TrainerSettings::default() };
    let fit = TrainingLoop::new(40).validation_data(&data).early_stopping(gradus::EarlyStopping::default());
    let mut trainer = Trainer::new(&Device::cpu(), &network, &data, settings)?;
    let history = fit.run(&mut trainer)?;
    Ok((trainer, data, history))
}

/// Returns a history with the given training losses.
fn with_losses(history: &History, losses: &[f64]) -> History {
    let mut history = history.clone();
    history.best_epoch = None;
    let first = history.epochs[0].clone();
    history.epochs = losses.iter().map(|_| first.clone()).collect();
    history.epochs.iter_mut().zip(losses).for_each(|(epoch, loss)| epoch.loss = *loss);
    history
}

#[test]
fn training_curves_plot_every_history() -> Result<()> {
    let (_, _, history) = train_moons()?;
    let svg = plot::training_curves("Two moons <&> \"more\"", &history);
    let best = format!("best epoch: {}", history.best_epoch.expect("a best epoch") + 1);
    Svg::parse("curves", &svg).contains(&[
        "Two moons <&> \"more\"",
        "loss",
        "accuracy (%)",
        "epoch",
        "training",
        "validation",
        &best,
    ]);
    assert_eq!(svg, plot::training_curves("Two moons <&> \"more\"", &history.clone()), "the same data, the same bytes");

    Svg::parse("curves-empty", &plot::training_curves("Nothing yet", &History::default()))
        .contains(&["nothing to show", "loss"]);
    let one_epoch = with_losses(&history, &[0.7]);
    assert!(
        Svg::parse("curves-one", &plot::training_curves("One epoch", &one_epoch)).contains(&["1"]).count("circle") >= 2
    );
    let gaps = [0.9, 0.8, f64::NAN, 0.7, f64::INFINITY, f64::NAN, 0.5, 0.45];
    let svg =
        Svg::parse("curves-gaps", &plot::training_curves("Some losses not finite", &with_losses(&history, &gaps)));
    assert!(!svg.texts.iter().any(|text| text.contains("nothing")));
    let not_finite = with_losses(&history, &[f64::NAN; 5]);
    Svg::parse("curves-nan", &plot::training_curves("No finite loss", &not_finite)).contains(&["training"]);
    for (name, losses) in [
        ("huge", vec![1e38, 3e38, 2e38]),
        ("tiny", vec![3e-12, 1e-12, 2e-12]),
        ("wide", vec![1e20, 1.0, 1e-9, 1e-12]),
        ("equal", vec![0.5; 12]),
        ("negative", vec![2.0, -1.0, -3.5, -4.0]),
        ("extreme", vec![f64::MAX, f64::MIN, 0.0]),
        (
            "long",
            (0..100_000).map(|epoch| 2.0 / (1.0 + 0.01 * f64::from(epoch)) + 0.1 * f64::from(epoch % 7)).collect(),
        ),
    ] {
        let svg = plot::training_curves(&format!("Losses, {name}"), &with_losses(&history, &losses));
        Svg::parse(&format!("curves-{name}"), &svg).contains(&["epoch"]);
        assert!(svg.len() < 200_000, "{name}: {} bytes", svg.len());
    }

    let (x, _) = moons(100);
    let products: Vec<f32> = x.chunks(2).map(|x| x[0] * x[1]).collect();
    let data = Dataset::new(100, x, products)?;
    let network = Network::new(2).dense(16, Activation::Tanh).dense(1, Activation::Identity);
    let training = TrainingLoop::new(30).validation_split(0.2);
    let (_, history) = training.train(&Device::cpu(), &network, &data, TrainerSettings::default())?;
    Svg::parse("curves-r2", &plot::training_curves("A regression", &history)).contains(&["r²", "validation"]);
    Ok(())
}

#[test]
fn learning_rate_curves_plot_every_curve() -> Result<()> {
    let (x, y) = moons(300);
    let data = Dataset::new(300, x, y)?;
    let network = Network::new(2).dense(32, Activation::Relu).dense(2, Activation::Identity);
    let settings = TrainerSettings { loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    let curve = LearningRateFinder::default().run(&Device::cpu(), &network, &data, settings)?;
    let at = format!("steepest descent at {:.1e}", curve.suggestion.expect("a suggestion"));
    Svg::parse("learning-rates", &plot::learning_rate_curve("Two moons", &curve)).contains(&[
        "learning rate",
        "smoothed loss",
        &at,
    ]);

    let with_points = |points: Vec<(f64, f64)>| {
        let mut changed: LearningRateCurve = curve.clone();
        (changed.points, changed.suggestion) = (points, None);
        changed
    };
    for (name, points) in [
        ("empty", vec![]),
        ("one", vec![(1e-3, 0.5)]),
        ("nan", vec![(1e-3, f64::NAN), (1e-2, f64::NAN)]),
        ("narrow", (0..10).map(|i| (1e-3 + 1e-4 * f64::from(i), 0.5 - 0.01 * f64::from(i))).collect()),
        ("huge", vec![(1e-300, 1e300), (1.0, 1e308), (1e300, 1.0)]),
    ] {
        Svg::parse(
            &format!("learning-rates-{name}"),
            &plot::learning_rate_curve(&format!("Rates, {name}"), &with_points(points)),
        );
    }
    Ok(())
}

/// Returns the confusion matrix of mostly correct predictions.
fn confusion_matrix(classes: u32, weight: f64) -> ConfusionMatrix {
    let mut matrix = ConfusionMatrix::new(classes as usize);
    for row in 0..classes * 40 {
        let predicted = if row % 7 == 0 { row * row / 3 + row / 5 } else { row };
        matrix.add(row % classes, predicted % classes, weight).expect("valid classes");
    }
    matrix
}

#[test]
fn confusion_matrices_plot_any_number_of_classes() {
    let digits: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    let svg = plot::confusion_matrix("Digits", &confusion_matrix(10, 1.0), &digits);
    Svg::parse("confusion", &svg).contains(&["Digits", "prediction", "target", "7"]);
    assert_eq!(
        svg,
        plot::confusion_matrix("Digits", &confusion_matrix(10, 1.0), &digits),
        "the same data, the same bytes"
    );

    let clothes = ["T-shirt or top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag"];
    Svg::parse("confusion-names", &plot::confusion_matrix("Clothes", &confusion_matrix(10, 0.125), &clothes))
        .contains(&["sneaker", "9"]);
    let long = [
        "a name that is much too long to stand beside a matrix of any size",
        "短い名前ではない名前、とても長い名前である",
        "b\u{0}\n<c>",
    ];
    let svg = Svg::parse(
        "confusion-long",
        &plot::confusion_matrix(&"A long title ".repeat(20), &confusion_matrix(3, 12345.678), &long),
    );
    svg.contains(&["b  <c>"]);
    assert_eq!(svg.texts.iter().filter(|text| text.ends_with('…')).count(), 5, "{:?}", svg.texts);

    Svg::parse("confusion-one", &plot::confusion_matrix("One class", &confusion_matrix(1, 1.0), &["all"]))
        .contains(&["all", "40"]);
    Svg::parse("confusion-two", &plot::confusion_matrix("Yes and no", &confusion_matrix(2, 1e12), &["no", "yes"]))
        .contains(&["no", "yes"]);
    let none: [&str; 0] = [];
    for classes in [0, 1, 10] {
        let svg = plot::confusion_matrix("Nothing yet", &ConfusionMatrix::new(classes), &none);
        Svg::parse(&format!("confusion-empty-{classes}"), &svg).contains(&["no rows"]);
    }
    let mut nothing = ConfusionMatrix::new(3);
    nothing.add(1, 1, 0.0).expect("valid classes");
    Svg::parse("confusion-weightless", &plot::confusion_matrix("Rows without weight", &nothing, &none))
        .contains(&["no rows"]);
    for classes in [30, 100, 1000] {
        let names: Vec<String> = (0..classes).map(|class| format!("class {class}")).collect();
        let svg = plot::confusion_matrix(&format!("{classes} classes"), &confusion_matrix(classes, 1.0), &names);
        let svg = Svg::parse(&format!("confusion-{classes}"), &svg);
        svg.contains(&["class 0"]);
        assert!(svg.texts.iter().filter(|text| text.starts_with("class")).count() <= 100, "{:?}", svg.texts);
    }
}

#[test]
fn histograms_plot_every_layer() -> Result<()> {
    let (mut trainer, _, _) = train_moons()?;
    let (x, y) = moons(20);
    let targets: Vec<f32> = y.iter().flat_map(|class| [1.0 - *class as f32, *class as f32]).collect();
    let all = trainer.histograms(&x, &targets, 40)?;
    assert_eq!(all.len(), 6);
    for (i, histogram) in all.iter().enumerate() {
        let quantity = if i % 2 == 0 { LayerQuantity::Activations } else { LayerQuantity::Gradients };
        assert_eq!((histogram.layer, histogram.quantity, histogram.counts.len()), (i / 2, quantity, 40));
        let Some(layer) = trainer.network().layers().get(i / 2) else { panic!("no layer {}", i / 2) };
        let count = if i % 2 == 0 { 20 * layer.outputs } else { layer.inputs * layer.outputs };
        assert_eq!((histogram.count(), histogram.neurons), (count as u64, layer.outputs));
    }
    // The activations of the last layer are the predictions.
    let outputs = trainer.predict(&x)?;
    let min = outputs.iter().copied().fold(f32::INFINITY, f32::min);
    assert!((all[4].edges[0] - f64::from(min)).abs() < 1e-5 * f64::from(min.abs()), "{:?}", all[4].edges);
    assert!(trainer.histograms(&x, &targets, 0).is_err() && trainer.histograms(&x[1..], &targets, 5).is_err());

    let svg = plot::histograms("Two moons", &all);
    let found = Svg::parse("histograms", &svg);
    assert_eq!(found.texts.iter().filter(|text| text.starts_with("layer ")).count(), 6, "{:?}", found.texts);
    assert_eq!(svg, plot::histograms("Two moons", &all), "the same data, the same bytes");

    Svg::parse("histograms-empty", &plot::histograms("Nothing yet", &[])).contains(&["nothing to show"]);
    let with = |layer: usize, quantity: LayerQuantity, edges: &[f64], counts: &[u64]| {
        let mut histogram: LayerHistogram = all[0].clone();
        (histogram.layer, histogram.quantity) = (layer, quantity);
        (histogram.edges, histogram.counts) = (edges.to_vec(), counts.to_vec());
        histogram
    };
    let (activations, gradients) = (LayerQuantity::Activations, LayerQuantity::Gradients);
    let mut tiny = with(0, gradients, &[1e-30, 2e-30, 3e-30], &[1, u64::MAX / 2]);
    (tiny.mean, tiny.std) = (f64::MAX, 0.0);
    let many: Vec<f64> = (0..=2000).map(|edge| f64::from(edge) - 1000.0).collect();
    let extremes = [
        with(0, activations, &[], &[]),
        tiny,
        with(7, activations, &[f64::MIN, 0.0, f64::MAX], &[0, 1]),
        with(9, gradients, &many, &vec![3; 2000]),
    ];
    let svg = Svg::parse("histograms-extreme", &plot::histograms("Extremes", &extremes));
    svg.contains(&["no nonzero values"]);
    Ok(())
}

#[test]
fn predicted_vs_target_plots_every_finite_row() {
    let targets: Vec<f32> = (0..100u8).map(|row| 1000.0 + 2.0 * f32::from(row)).collect();
    let mut predicted: Vec<f32> = targets.iter().map(|value| value + 30.0 * (value / 9.0).sin()).collect();
    let svg = Svg::parse("predictions", &plot::predicted_vs_target("Rents", &targets, &predicted));
    svg.contains(&[
        "Rents",
        "target",
        "prediction",
        "1000",
        "1200",
        "one dot per row; on the diagonal, prediction equals target",
    ]);
    assert_eq!(svg.count("circle"), 100);
    predicted[7] = f32::NAN;
    predicted[8] = f32::INFINITY;
    assert_eq!(
        Svg::parse("predictions-gaps", &plot::predicted_vs_target("", &targets, &predicted)).count("circle"),
        98
    );
    Svg::parse("predictions-none", &plot::predicted_vs_target("", &[], &[])).contains(&["nothing to show"]);
    for all in [[0.0; 2], [f32::MAX, f32::MIN], [1e-40, 2e-40]] {
        assert_eq!(
            Svg::parse("predictions-ends", &plot::predicted_vs_target("", &all, &all)).count("circle"),
            2,
            "{all:?}"
        );
    }
    let many = vec![1.0; 10_000];
    assert_eq!(Svg::parse("predictions-many", &plot::predicted_vs_target("", &many, &many)).count("circle"), 3334);
}

#[test]
fn uncertainty_bands_plot_every_finite_point() {
    let x: Vec<f32> = (0..50u8).map(|i| f32::from(i) / 10.0).collect();
    let (mean, std): (Vec<f32>, Vec<f32>) = x.iter().map(|x| (x.sin(), 0.1 * x)).unzip();
    let axes = ["time in s", "way in <m>"];
    let rows = [&x[10..20], &mean[10..20]];
    let all = UncertaintyBands { axis_labels: axes, x: &x, mean: &mean, std: &std, truth: &mean, observations: rows };
    let svg = Svg::parse("bands", &all.to_svg("A way"));
    svg.contains(&[
        "A way",
        "time in s",
        "way in <m>",
        "mean",
        "± 1 standard deviation",
        "true function",
        "training data",
    ]);
    assert_eq!((svg.count("polygon"), svg.count("circle")), (2, 10));
    assert_eq!(all.to_svg("A way"), all.to_svg("A way"), "the same data, the same bytes");
    let mut std_with_nan = std.clone();
    std_with_nan[25] = f32::NAN;
    let gaps = UncertaintyBands { std: &std_with_nan, ..all };
    assert_eq!(Svg::parse("bands-gaps", &gaps.to_svg("A gap")).count("polygon"), 4);
    Svg::parse("bands-none", &UncertaintyBands::default().to_svg("")).contains(&["nothing to show"]);
    let only_mean = Svg::parse(
        "bands-mean",
        &UncertaintyBands { x: &x, mean: &mean, ..UncertaintyBands::default() }.to_svg("A mean alone"),
    );
    assert!(
        only_mean.count("polygon") == 0 && !only_mean.texts.iter().any(|text| text == "training data"),
        "{:?}",
        only_mean.texts
    );
    for ends in [[f32::MIN, f32::MAX], [f32::NEG_INFINITY, f32::NAN], [1e-40, 2e-40], [3.0, 3.0]] {
        let extreme = UncertaintyBands {
            x: &ends,
            mean: &ends,
            std: &[f32::MAX, 0.0],
            truth: &ends,
            observations: [&ends; 2],
            axis_labels: axes,
        };
        Svg::parse("bands-extreme", &extreme.to_svg("Extremes"));
    }
}

#[test]
fn a_search_is_plotted_with_best_and_pruned_trials() -> Result<()> {
    let (_, data, _) = train_moons()?;
    let network = Network::new(2).dense(6, Activation::Tanh).dense(2, Activation::Identity);
    let rates = Hyperparameter::choice("rate", [1e-4, 0.01, 0.1, 1e6], |member, rate| {
        member.settings.optimizer.learning_rate = rate;
    });
    let batches =
        Hyperparameter::choice("batch", [16.0, 20.0], |member, batch| member.settings.batch_size = batch as usize);
    let member = Member::new(TrainerSettings::default());
    let search = Search::grid(&member, &[rates, batches])?.cross_validation(KFold::new(3).shuffled(1));
    let result = search.run_halving(&Device::cpu(), &network, &data, &SuccessiveHalving::new(30, 60))?;
    let svg = plot::search("Rates & batches", &result);
    let found = Svg::parse("search", &svg);
    found.contains(&["Rates & batches", "rate", "batch", "trial", "pruned trial", "best trial", "validation loss"]);
    let finite = result.trials.iter().filter(|trial| trial.scores.mean(result.monitor).is_finite()).count();
    assert_eq!(found.count("circle"), 2 * finite, "one point in each panel per trial with a finite score");
    assert_eq!(svg, plot::search("Rates & batches", &result), "the same data, the same bytes");

    let trained = search.run(&Device::cpu(), &network, &data, &TrainingLoop::new(3))?;
    let histories = [("first", &trained.trials[0].histories[0]), ("last", &trained.trials[7].histories[0])];
    let found = Svg::parse("losses", &plot::loss_comparison("Two of them", &histories));
    found.contains(&["Two of them", "first", "last", "epoch", "training loss"]);
    Svg::parse("losses-none", &plot::loss_comparison("None", &[])).contains(&["nothing to show"]);
    Ok(())
}

#[test]
fn decision_boundaries_plot_classes_and_values() -> Result<()> {
    let (mut trainer, data, _) = train_moons()?;
    let boundary = DecisionBoundary::new(&data, |inputs| trainer.predict(inputs))?;
    let svg = boundary.to_svg("Two moons", &["upper", "lower"]);
    let found = Svg::parse("boundary", &svg);
    found.contains(&["Two moons", "upper", "lower", "first input", "second input"]);
    assert_eq!(found.count("image"), 1);
    assert_eq!(svg, boundary.to_svg("Two moons", &["upper", "lower"]), "the same data, the same bytes");

    let none: [&str; 0] = [];
    let sine = |inputs: &[f32]| Ok(inputs.chunks(2).map(|x| (3.0 * x[0]).sin() * x[1].cos()).collect());
    let (x, _) = moons(200);
    let values = Dataset::new(200, x.clone(), sine(&x)?)?;
    Svg::parse("boundary-values", &DecisionBoundary::new(&values, sine)?.to_svg("A regression", &none))
        .contains(&["first input"]);

    // The class of a point is the nearest of several centers on a spiral.
    let center = |class: usize| {
        let angle = 0.7 * class as f32;
        [angle.sqrt() * angle.cos(), angle.sqrt() * angle.sin()]
    };
    let nearest_center = |classes: usize| {
        move |inputs: &[f32]| -> Result<Vec<f32>> {
            let distance = |x: &[f32], [a, b]: [f32; 2]| -(x[0] - a).hypot(x[1] - b);
            Ok(inputs
                .chunks(2)
                .flat_map(|x| (0..classes).map(|c| distance(x, center(c))).collect::<Vec<_>>())
                .collect())
        }
    };
    for classes in [8, 100] {
        let points: Vec<f32> = (0..classes).flat_map(center).collect();
        let data = Dataset::new(classes, points, (0..classes as u32).collect::<Vec<_>>())?;
        let names: Vec<String> = (0..classes).map(|class| format!("class {class} with quite a name")).collect();
        let svg = DecisionBoundary::new(&data, nearest_center(classes))?.to_svg(&format!("{classes} classes"), &names);
        Svg::parse(&format!("boundary-{classes}"), &svg);
    }

    let constant = |value: f32| move |inputs: &[f32]| Ok(vec![value; inputs.len() / 2]);
    for (name, x, value) in [
        ("one", vec![0.0, 0.0], 1.0),
        ("nan", vec![1.0, 2.0, 3.0, 4.0], f32::NAN),
        ("huge", vec![f32::MAX, f32::MAX, f32::MIN, f32::MIN], f32::MAX),
        ("tiny", vec![1e-38, 2e-38, 3e-38, -1e-38], f32::NEG_INFINITY),
    ] {
        let rows = x.len() / 2;
        let data = Dataset::new(rows, x, vec![1u32; rows])?;
        let boundary = DecisionBoundary::new(&data, constant(value))?;
        Svg::parse(&format!("boundary-{name}"), &boundary.to_svg(&format!("Predictions, {name}"), &none));
    }

    let error = |data: &Dataset, predict: fn(&[f32]) -> Result<Vec<f32>>| {
        DecisionBoundary::new(data, predict).expect_err("invalid inputs or outputs").to_string()
    };
    let three = Dataset::new(1, &[1.0, 2.0, 3.0], &[0u32])?;
    let text = "DecisionBoundary: expected a data set with 2 inputs, got 3";
    assert_eq!(error(&three, |_| Ok(vec![])), text);
    assert!(error(&data, |_| Ok(vec![0.0; 100_000])).contains("outputs at the grid points"));
    assert!(error(&values, |x| Ok(x.to_vec())).contains("targets"));
    Ok(())
}

#[test]
#[cfg(feature = "images")]
fn png_files_can_be_decoded() -> Result<()> {
    const COLOR: gradus::data::formats::ImageSettings =
        gradus::data::formats::ImageSettings { color: true, size: None };
    for (width, height) in [(1, 1), (3, 2), (300, 7)] {
        let pixel = |x: u32, y: u32| [(x * 7) as u8, (y * 31) as u8, (x * y) as u8];
        let (size, bytes) = COLOR.decode(&plot::png(width, height, pixel), "plot")?;
        assert_eq!(size, [height as usize, width as usize]);
        let expected: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
        assert!(bytes == expected);
    }
    let data = Dataset::new(2, &[0.0, 0.0, 1.0, 1.0], &[0.0, 1.0])?;
    // The left half predicts 0 and the right half 1, like the targets of the rows there.
    let boundary = DecisionBoundary::new(&data, |x| Ok(x.chunks(2).map(|x| f32::from(x[0] > 0.5)).collect()))?;
    let png = boundary.to_png();
    plot::save(Path::new(env!("CARGO_TARGET_TMPDIR")).join("plots/boundary.png"), &png)?;
    let (size, bytes) = COLOR.decode(&png, "plot")?;
    assert_eq!(size, [768, 768]);
    let pixel = |x: usize, y: usize| &bytes[3 * (768 * y + x)..][..3];
    let (left, right) = (pixel(10, 10), pixel(757, 757));
    assert!(left[2] > left[0] && right[0] > right[2], "blue on the left, vermilion on the right");
    // The first row is in the lower left. Its dot has the full color of its class.
    let position = |fraction: f64| ((0.08 + fraction) / 1.16 * 768.0) as usize;
    assert_eq!(pixel(position(0.0), 767 - position(0.0)), [0, 114, 178]);
    Ok(())
}
