//! Pictures as files: SVGs that are XML and say what they should, PNGs that can be read, for data of every kind.
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

/// Saves an SVG where it can be looked at, and gives its texts and how often each element stands in it.
struct Svg {
    texts: Vec<String>,
    elements: Vec<String>,
}

impl Svg {
    fn of(name: &str, svg: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
        plot::save(folder.join(format!("{name}.svg")), svg).expect("it can be written");
        let document = roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{name}: {error}"));
        let root = document.root_element();
        let size = |side: &str| root.attribute(side).and_then(|side| side.parse::<f64>().ok()).expect("a number");
        let (width, height) = (size("width"), size("height"));
        assert!((100.0..2000.0).contains(&width) && (100.0..40_000.0).contains(&height), "{name}: {width} x {height}");
        for element in root.descendants().filter(roxmltree::Node::is_element) {
            let all = element.attributes().filter(|attribute| attribute.name() != "href");
            for attribute in all {
                let value = attribute.value();
                assert!(!value.contains("NaN") && !value.contains("inf"), "{name}: {} {value}", attribute.name());
            }
            for (side, most) in [("x", width), ("y", height), ("x1", width), ("y2", height), ("cx", width)] {
                if let Some(at) = element.attribute(side) {
                    let at: f64 = at.parse().expect("a number");
                    assert!((0.0..=most).contains(&at), "{name}: {side} is {at} of {most}");
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

    #[track_caller]
    fn says(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(self.texts.iter().any(|found| found == text), "{text:?} is not in {:?}", self.texts);
        }
        self
    }

    fn count(&self, element: &str) -> usize {
        self.elements.iter().filter(|found| *found == element).count()
    }
}

/// Two moons of `rows` rows, so that there are two inputs.
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

/// A network of classes that learns the moons, and its training.
fn learned() -> Result<(Trainer, Dataset, History)> {
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

/// A history whose epochs have these losses, the last as well where they validate.
fn with_losses(history: &History, losses: &[f64]) -> History {
    let mut history = history.clone();
    history.best_epoch = None;
    let first = history.epochs[0].clone();
    history.epochs = losses.iter().map(|_| first.clone()).collect();
    history.epochs.iter_mut().zip(losses).for_each(|(epoch, loss)| epoch.loss = *loss);
    history
}

#[test]
fn curves_show_every_history() -> Result<()> {
    let (_, _, history) = learned()?;
    let svg = plot::training_curves("Two moons <&> \"more\"", &history);
    let best = format!("best epoch, {}", history.best_epoch.expect("there was early stopping") + 1);
    Svg::of("curves", &svg).says(&[
        "Two moons <&> \"more\"",
        "loss",
        "accuracy in %",
        "epoch",
        "training",
        "validation",
        &best,
    ]);
    assert_eq!(svg, plot::training_curves("Two moons <&> \"more\"", &history.clone()), "the same data, the same bytes");

    Svg::of("curves-empty", &plot::training_curves("Nothing yet", &History::default()))
        .says(&["nothing to show", "loss"]);
    let one = with_losses(&history, &[0.7]);
    assert!(Svg::of("curves-one", &plot::training_curves("One epoch", &one)).says(&["1"]).count("circle") >= 2);
    let gaps = [0.9, 0.8, f64::NAN, 0.7, f64::INFINITY, f64::NAN, 0.5, 0.45];
    let svg = Svg::of("curves-gaps", &plot::training_curves("Not all of it numbers", &with_losses(&history, &gaps)));
    assert!(!svg.texts.iter().any(|text| text.contains("nothing")));
    let none = with_losses(&history, &[f64::NAN; 5]);
    Svg::of("curves-nan", &plot::training_curves("No number", &none)).says(&["training"]);
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
        Svg::of(&format!("curves-{name}"), &svg).says(&["epoch"]);
        assert!(svg.len() < 200_000, "{name}: {} bytes", svg.len());
    }

    let (x, _) = moons(100);
    let sums: Vec<f32> = x.chunks(2).map(|x| x[0] * x[1]).collect();
    let data = Dataset::new(100, x, sums)?;
    let network = Network::new(2).dense(16, Activation::Tanh).dense(1, Activation::Identity);
    let fit = TrainingLoop::new(30).validation_split(0.2);
    let (_, history) = fit.train(&Device::cpu(), &network, &data, TrainerSettings::default())?;
    Svg::of("curves-r2", &plot::training_curves("A regression", &history)).says(&["r²", "validation"]);
    Ok(())
}

#[test]
fn rates_show_every_range_test() -> Result<()> {
    let (x, y) = moons(300);
    let data = Dataset::new(300, x, y)?;
    let network = Network::new(2).dense(32, Activation::Relu).dense(2, Activation::Identity);
    let settings = TrainerSettings { loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    let found = LearningRateFinder::default().run(&Device::cpu(), &network, &data, settings)?;
    let at = format!("falls fastest at {:.1e}", found.suggestion.expect("it learns"));
    Svg::of("rates", &plot::learning_rate_curve("Two moons", &found)).says(&["learning rate", "loss, smoothed", &at]);

    let of = |points: Vec<(f64, f64)>| {
        let mut rates: LearningRateCurve = found.clone();
        (rates.points, rates.suggestion) = (points, None);
        rates
    };
    for (name, points) in [
        ("empty", vec![]),
        ("one", vec![(1e-3, 0.5)]),
        ("nan", vec![(1e-3, f64::NAN), (1e-2, f64::NAN)]),
        ("narrow", (0..10).map(|i| (1e-3 + 1e-4 * f64::from(i), 0.5 - 0.01 * f64::from(i))).collect()),
        ("huge", vec![(1e-300, 1e300), (1.0, 1e308), (1e300, 1.0)]),
    ] {
        Svg::of(&format!("rates-{name}"), &plot::learning_rate_curve(&format!("Rates, {name}"), &of(points)));
    }
    Ok(())
}

/// A confusion of so many classes, most of them right.
fn confused(classes: u32, weight: f64) -> ConfusionMatrix {
    let mut confusion = ConfusionMatrix::new(classes as usize);
    for row in 0..classes * 40 {
        let predicted = if row % 7 == 0 { row * row / 3 + row / 5 } else { row };
        confusion.add(row % classes, predicted % classes, weight).expect("it is a row");
    }
    confusion
}

#[test]
fn confusion_shows_every_number_of_classes() {
    let digits: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    let svg = plot::confusion_matrix("Digits", &confused(10, 1.0), &digits);
    Svg::of("confusion", &svg).says(&["Digits", "predicted", "expected", "7"]);
    assert_eq!(svg, plot::confusion_matrix("Digits", &confused(10, 1.0), &digits), "the same data, the same bytes");

    let clothes = ["T-shirt or top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag"];
    Svg::of("confusion-names", &plot::confusion_matrix("Clothes", &confused(10, 0.125), &clothes))
        .says(&["sneaker", "9"]);
    let long = [
        "a name that is much too long to stand beside a matrix of any size",
        "短い名前ではない名前、とても長い名前である",
        "b\u{0}\n<c>",
    ];
    let svg =
        Svg::of("confusion-long", &plot::confusion_matrix(&"A long title ".repeat(20), &confused(3, 12345.678), &long));
    svg.says(&["b  <c>"]);
    assert_eq!(svg.texts.iter().filter(|text| text.ends_with('…')).count(), 5, "{:?}", svg.texts);

    Svg::of("confusion-one", &plot::confusion_matrix("One class", &confused(1, 1.0), &["all"])).says(&["all", "40"]);
    Svg::of("confusion-two", &plot::confusion_matrix("Yes and no", &confused(2, 1e12), &["no", "yes"]))
        .says(&["no", "yes"]);
    let none: [&str; 0] = [];
    for classes in [0, 1, 10] {
        let svg = plot::confusion_matrix("Nothing yet", &ConfusionMatrix::new(classes), &none);
        Svg::of(&format!("confusion-empty-{classes}"), &svg).says(&["no rows"]);
    }
    let mut nothing = ConfusionMatrix::new(3);
    nothing.add(1, 1, 0.0).expect("it is a row");
    Svg::of("confusion-weightless", &plot::confusion_matrix("Rows without weight", &nothing, &none)).says(&["no rows"]);
    for classes in [30, 100, 1000] {
        let names: Vec<String> = (0..classes).map(|class| format!("class {class}")).collect();
        let svg = plot::confusion_matrix(&format!("{classes} classes"), &confused(classes, 1.0), &names);
        let found = Svg::of(&format!("confusion-{classes}"), &svg);
        found.says(&["class 0"]);
        assert!(found.texts.iter().filter(|text| text.starts_with("class")).count() <= 100, "{:?}", found.texts);
    }
}

#[test]
fn histograms_show_every_layer() -> Result<()> {
    let (mut trainer, _, _) = learned()?;
    let (x, y) = moons(20);
    let expected: Vec<f32> = y.iter().flat_map(|class| [1.0 - *class as f32, *class as f32]).collect();
    let all = trainer.histograms(&x, &expected, 40)?;
    assert_eq!(all.len(), 6);
    for (i, histogram) in all.iter().enumerate() {
        let of = if i % 2 == 0 { LayerQuantity::Activations } else { LayerQuantity::Gradients };
        assert_eq!((histogram.layer, histogram.quantity, histogram.counts.len()), (i / 2, of, 40));
        let Some(layer) = trainer.network().layers().get(i / 2) else { panic!("there is a layer") };
        let count = if i % 2 == 0 { 20 * layer.outputs } else { layer.inputs * layer.outputs };
        assert_eq!((histogram.count(), histogram.neurons), (count as u64, layer.outputs));
    }
    // The last layer gives what a prediction gives.
    let outputs = trainer.predict(&x)?;
    let least = outputs.iter().copied().fold(f32::INFINITY, f32::min);
    assert!((all[4].edges[0] - f64::from(least)).abs() < 1e-5 * f64::from(least.abs()), "{:?}", all[4].edges);
    assert!(trainer.histograms(&x, &expected, 0).is_err() && trainer.histograms(&x[1..], &expected, 5).is_err());

    let svg = plot::histograms("Two moons", &all);
    let found = Svg::of("histograms", &svg);
    assert_eq!(found.texts.iter().filter(|text| text.starts_with("layer ")).count(), 6, "{:?}", found.texts);
    assert_eq!(svg, plot::histograms("Two moons", &all), "the same data, the same bytes");

    Svg::of("histograms-empty", &plot::histograms("Nothing yet", &[])).says(&["nothing to show"]);
    let with = |layer: usize, of: LayerQuantity, edges: &[f64], counts: &[u64]| {
        let mut histogram: LayerHistogram = all[0].clone();
        (histogram.layer, histogram.quantity) = (layer, of);
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
    let svg = Svg::of("histograms-extreme", &plot::histograms("Extremes", &extremes));
    svg.says(&["nothing but zeros, or nothing at all"]);
    Ok(())
}

#[test]
fn predictions_show_every_row_that_is_a_number() {
    let expected: Vec<f32> = (0..100u8).map(|row| 1000.0 + 2.0 * f32::from(row)).collect();
    let mut predicted: Vec<f32> = expected.iter().map(|value| value + 30.0 * (value / 9.0).sin()).collect();
    let svg = Svg::of("predictions", &plot::predicted_vs_target("Rents", &expected, &predicted));
    svg.says(&["Rents", "expected", "predicted", "1000", "1200", "a dot for each row; on the line it is right"]);
    assert_eq!(svg.count("circle"), 100);
    predicted[7] = f32::NAN;
    predicted[8] = f32::INFINITY;
    assert_eq!(Svg::of("predictions-gaps", &plot::predicted_vs_target("", &expected, &predicted)).count("circle"), 98);
    Svg::of("predictions-none", &plot::predicted_vs_target("", &[], &[])).says(&["nothing to show"]);
    for all in [[0.0; 2], [f32::MAX, f32::MIN], [1e-40, 2e-40]] {
        assert_eq!(
            Svg::of("predictions-ends", &plot::predicted_vs_target("", &all, &all)).count("circle"),
            2,
            "{all:?}"
        );
    }
    let many = vec![1.0; 10_000];
    assert_eq!(Svg::of("predictions-many", &plot::predicted_vs_target("", &many, &many)).count("circle"), 3334);
}

#[test]
fn bands_show_every_place_that_is_a_number() {
    let x: Vec<f32> = (0..50u8).map(|i| f32::from(i) / 10.0).collect();
    let (mean, deviation): (Vec<f32>, Vec<f32>) = x.iter().map(|x| (x.sin(), 0.1 * x)).unzip();
    let axes = ["time in s", "way in <m>"];
    let rows = [&x[10..20], &mean[10..20]];
    let all =
        UncertaintyBands { axis_labels: axes, x: &x, mean: &mean, std: &deviation, truth: &mean, observations: rows };
    let found = Svg::of("bands", &all.to_svg("A way"));
    found.says(&[
        "A way",
        "time in s",
        "way in <m>",
        "mean",
        "± 1 standard deviation",
        "what is right",
        "learned from",
    ]);
    assert_eq!((found.count("polygon"), found.count("circle")), (2, 10));
    assert_eq!(all.to_svg("A way"), all.to_svg("A way"), "the same data, the same bytes");
    let mut broken = deviation.clone();
    broken[25] = f32::NAN;
    let gaps = UncertaintyBands { std: &broken, ..all };
    assert_eq!(Svg::of("bands-gaps", &gaps.to_svg("A gap")).count("polygon"), 4);
    Svg::of("bands-none", &UncertaintyBands::default().to_svg("")).says(&["nothing to show"]);
    let bare = Svg::of(
        "bands-mean",
        &UncertaintyBands { x: &x, mean: &mean, ..UncertaintyBands::default() }.to_svg("A mean alone"),
    );
    assert!(bare.count("polygon") == 0 && !bare.texts.iter().any(|text| text == "learned from"), "{:?}", bare.texts);
    for ends in [[f32::MIN, f32::MAX], [f32::NEG_INFINITY, f32::NAN], [1e-40, 2e-40], [3.0, 3.0]] {
        let extreme = UncertaintyBands {
            x: &ends,
            mean: &ends,
            std: &[f32::MAX, 0.0],
            truth: &ends,
            observations: [&ends; 2],
            axis_labels: axes,
        };
        Svg::of("bands-extreme", &extreme.to_svg("Extremes"));
    }
}

#[test]
fn a_search_is_drawn_with_the_best_and_what_was_dropped() -> Result<()> {
    let (_, data, _) = learned()?;
    let network = Network::new(2).dense(6, Activation::Tanh).dense(2, Activation::Identity);
    let rates = Hyperparameter::choice("rate", [1e-4, 0.01, 0.1, 1e6], |member, rate| {
        member.settings.optimizer.learning_rate = rate;
    });
    let batches =
        Hyperparameter::choice("batch", [16.0, 20.0], |member, batch| member.settings.batch_size = batch as usize);
    let member = Member::new(TrainerSettings::default());
    let search = Search::grid(&member, &[rates, batches])?.cross_validation(KFold::new(3).shuffled(1));
    let findings = search.run_halving(&Device::cpu(), &network, &data, &SuccessiveHalving::new(30, 60))?;
    let svg = plot::search("Rates & batches", &findings);
    let found = Svg::of("search", &svg);
    found.says(&["Rates & batches", "rate", "batch", "tried", "dropped before the end", "the best", "validation loss"]);
    let drawn = findings.trials.iter().filter(|trial| trial.scores.mean(findings.monitor).is_finite()).count();
    assert_eq!(found.count("circle"), 2 * drawn, "a point in each panel for whoever has a score");
    assert_eq!(svg, plot::search("Rates & batches", &findings), "the same data, the same bytes");

    let trained = search.run(&Device::cpu(), &network, &data, &TrainingLoop::new(3))?;
    let histories = [("first", &trained.trials[0].histories[0]), ("last", &trained.trials[7].histories[0])];
    let found = Svg::of("losses", &plot::loss_comparison("Two of them", &histories));
    found.says(&["Two of them", "first", "last", "epoch", "training loss"]);
    Svg::of("losses-none", &plot::loss_comparison("None", &[])).says(&["nothing to show"]);
    Ok(())
}

#[test]
fn boundary_shows_what_a_network_answers() -> Result<()> {
    let (mut trainer, data, _) = learned()?;
    let boundary = DecisionBoundary::new(&data, |inputs| trainer.predict(inputs))?;
    let svg = boundary.to_svg("Two moons", &["upper", "lower"]);
    let found = Svg::of("boundary", &svg);
    found.says(&["Two moons", "upper", "lower", "first input", "second input"]);
    assert_eq!(found.count("image"), 1);
    assert_eq!(svg, boundary.to_svg("Two moons", &["upper", "lower"]), "the same data, the same bytes");

    let none: [&str; 0] = [];
    let sine = |inputs: &[f32]| Ok(inputs.chunks(2).map(|x| (3.0 * x[0]).sin() * x[1].cos()).collect());
    let (x, _) = moons(200);
    let values = Dataset::new(200, x.clone(), sine(&x)?)?;
    Svg::of("boundary-values", &DecisionBoundary::new(&values, sine)?.to_svg("A regression", &none))
        .says(&["first input"]);

    // Each place belongs to the nearest of so many centres on a spiral.
    let centre = |class: usize| {
        let angle = 0.7 * class as f32;
        [angle.sqrt() * angle.cos(), angle.sqrt() * angle.sin()]
    };
    let near = |classes: usize| {
        move |inputs: &[f32]| -> Result<Vec<f32>> {
            let distance = |x: &[f32], [a, b]: [f32; 2]| -(x[0] - a).hypot(x[1] - b);
            Ok(inputs
                .chunks(2)
                .flat_map(|x| (0..classes).map(|c| distance(x, centre(c))).collect::<Vec<_>>())
                .collect())
        }
    };
    for classes in [8, 100] {
        let points: Vec<f32> = (0..classes).flat_map(centre).collect();
        let data = Dataset::new(classes, points, (0..classes as u32).collect::<Vec<_>>())?;
        let names: Vec<String> = (0..classes).map(|class| format!("class {class} with quite a name")).collect();
        let svg = DecisionBoundary::new(&data, near(classes))?.to_svg(&format!("{classes} classes"), &names);
        Svg::of(&format!("boundary-{classes}"), &svg);
    }

    let constant = |value: f32| move |inputs: &[f32]| Ok(vec![value; inputs.len() / 2]);
    for (name, x, value) in [
        ("one", vec![0.0, 0.0], 1.0),
        ("nan", vec![1.0, 2.0, 3.0, 4.0], f32::NAN),
        ("huge", vec![f32::MAX, f32::MAX, f32::MIN, f32::MIN], f32::MAX),
        ("tiny", vec![1e-38, 2e-38, 3e-38, -1e-38], f32::NEG_INFINITY),
    ] {
        let data = Dataset::new(x.len() / 2, x, vec![1u32; 2][..if name == "one" { 1 } else { 2 }].to_vec())?;
        let boundary = DecisionBoundary::new(&data, constant(value))?;
        Svg::of(&format!("boundary-{name}"), &boundary.to_svg(&format!("Answers, {name}"), &none));
    }

    let refused = |data: &Dataset, predict: fn(&[f32]) -> Result<Vec<f32>>| {
        DecisionBoundary::new(data, predict).expect_err("it has to be refused").to_string()
    };
    let three = Dataset::new(1, &[1.0, 2.0, 3.0], &[0u32])?;
    let text = "inputs of a data set whose boundary is drawn: expected 2, got 3";
    assert_eq!(refused(&three, |_| Ok(vec![])), text);
    assert!(refused(&data, |_| Ok(vec![0.0; 100_000])).contains("outputs at the places of a boundary"));
    assert!(refused(&values, |x| Ok(x.to_vec())).contains("answers of a boundary"));
    Ok(())
}

#[test]
#[cfg(feature = "images")]
fn pngs_can_be_read() -> Result<()> {
    const COLOR: gradus::data::formats::ImageSettings =
        gradus::data::formats::ImageSettings { color: true, size: None };
    for (width, height) in [(1, 1), (3, 2), (300, 7)] {
        let pixel = |x: u32, y: u32| [(x * 7) as u8, (y * 31) as u8, (x * y) as u8];
        let (size, bytes) = COLOR.decode(&plot::png(width, height, pixel), "picture")?;
        assert_eq!(size, [height as usize, width as usize]);
        let expected: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
        assert!(bytes == expected);
    }
    let data = Dataset::new(2, &[0.0, 0.0, 1.0, 1.0], &[0.0, 1.0])?;
    // The left half is 0 and the right one 1, and the rows lie where their answers are.
    let boundary = DecisionBoundary::new(&data, |x| Ok(x.chunks(2).map(|x| f32::from(x[0] > 0.5)).collect()))?;
    let png = boundary.to_png();
    plot::save(Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures/boundary.png"), &png)?;
    let (size, bytes) = COLOR.decode(&png, "picture")?;
    assert_eq!(size, [768, 768]);
    let pixel = |x: usize, y: usize| &bytes[3 * (768 * y + x)..][..3];
    let (left, right) = (pixel(10, 10), pixel(757, 757));
    assert!(left[2] > left[0] && right[0] > right[2], "blue on the left, vermilion on the right");
    // The first row lies in the lower left, and its dot is stronger than what is around it.
    let place = |part: f64| ((0.08 + part) / 1.16 * 768.0) as usize;
    assert_eq!(pixel(place(0.0), 767 - place(0.0)), [0, 114, 178]);
    Ok(())
}
