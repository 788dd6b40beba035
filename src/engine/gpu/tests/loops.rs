//! Compares `gpu::loop_counts` with the rounds that the loops in `shaders/` declare. A small interpreter adds up the declared
//! rounds along the calls of an assembled kernel, for each layer with the layer's own numbers.

use std::collections::HashMap;

use crate::engine::gpu::tests::shaders::{dispatches, packing_dispatches, self_test_dispatches};

/// Names and their values.
type Values = HashMap<String, u64>;

/// The functions, the constants and the layers of a kernel.
struct Kernel<'a> {
    functions: HashMap<&'a str, Function<'a>>,
    constants: Values,
    layers: Vec<Values>,
}

struct Function<'a> {
    parameters: Vec<&'a str>,
    body: Vec<&'a str>,
}

/// The members of `Layer` that are numbers.
const LAYER: [&str; 12] = [
    "inputs",
    "outputs",
    "input_offset",
    "input_stride",
    "input_slot_stride",
    "output_offset",
    "output_stride",
    "output_slot_stride",
    "weights_offset",
    "delta_offset",
    "vector_rows",
    "first_workgroup",
];

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The text from the parenthesis that opens at `from` to the one that closes it, or to the end.
fn parenthesized(text: &str, from: usize) -> &str {
    let mut depth = 0;
    for (at, c) in text[from..].char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return &text[from + 1..from + at],
            ')' => depth -= 1,
            _ => {}
        }
    }
    // A call may go on in the next line.
    &text[from + 1..]
}

/// What stands between the commas that no parenthesis encloses.
fn arguments(text: &str) -> Vec<&str> {
    let (mut all, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                all.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    all.push(text[start..].trim());
    all
}

/// The lines of the block that the line before opened at this indent, without the end.
fn block_of<'a, 'b>(lines: &'b [&'a str], at: usize) -> &'b [&'a str] {
    let end = lines.iter().position(|line| indent(line) == at && line.trim_start().starts_with('}'));
    &lines[..end.expect("the end of a block")]
}

/// An expression of declared rounds: names, numbers, `+`, `-`, `*`, `/` (rounded up), parentheses and `log2`. None if it has an
/// unknown name.
fn value(text: &str, names: &dyn Fn(&str) -> Option<u64>) -> Option<u64> {
    let text = text.trim();
    for operators in [['+', '-'], ['*', '/']] {
        let mut depth = 0;
        let last = text.char_indices().rev().find(|(_, c)| {
            depth += i32::from(*c == ')') - i32::from(*c == '(');
            depth == 0 && operators.contains(c)
        });
        if let Some((at, operator)) = last {
            let (left, right) = (value(&text[..at], names)?, value(&text[at + 1..], names)?);
            return Some(match operator {
                '+' => left + right,
                '-' => left.saturating_sub(right),
                '*' => left * right,
                _ => left.div_ceil(right),
            });
        }
    }
    if let Some(inner) = text.strip_prefix('(') {
        return value(inner.strip_suffix(')')?, names);
    }
    if let Some(of) = text.strip_prefix("log2 ") {
        return Some(value(of, names)?.ilog2().into());
    }
    text.strip_suffix('u').unwrap_or(text).parse().ok().or_else(|| names(text))
}

impl<'a> Kernel<'a> {
    fn parse(source: &'a str) -> Self {
        let lines: Vec<&str> = source.lines().collect();
        let mut functions = HashMap::new();
        let mut constants = Values::new();
        for (number, line) in lines.iter().enumerate() {
            if let Some((name, of)) = line.strip_prefix("const ").and_then(|rest| rest.split_once(':')) {
                let of = of.split_once('=').map_or("", |(_, value)| value.trim().trim_end_matches(';'));
                let flag = match of {
                    "true" => Some(1),
                    "false" => Some(0),
                    _ => None,
                };
                if let Some(value) = flag.or_else(|| value(of, &|name| constants.get(name).copied())) {
                    constants.insert(name.to_owned(), value);
                }
            }
            let Some(start) = line.strip_prefix("fn ") else { continue };
            let (name, _) = start.split_once('(').expect("parameters");
            // The signature may go over several lines.
            let at = source.find(line).expect("a line of it");
            let signature = parenthesized(source, at + line.find('(').expect("parameters"));
            let parameter = |text: &'a str| text.split(':').next().and_then(|name| name.split(' ').next_back());
            let parameters = arguments(signature).into_iter().filter_map(parameter).collect();
            let opening = lines[number..].iter().position(|line| line.ends_with(['{', '}'])).expect("a body") + number;
            let body = if lines[opening].ends_with('}') { vec![] } else { block_of(&lines[opening + 1..], 0).to_vec() };
            functions.insert(name, Function { parameters, body });
        }
        let layers = layers(source);
        Self { functions, constants, layers }
    }

    fn value(&self, text: &str, values: &Values) -> Option<u64> {
        value(text, &|name| values.get(name).or_else(|| self.constants.get(name)).copied())
    }

    /// Whether a condition is known to be false.
    fn is_false(&self, condition: &str, values: &Values) -> bool {
        condition.split("&&").any(|part| {
            let of = |text: &str| self.value(text, values);
            if let Some((left, right)) = part.split_once('>') {
                return of(left).zip(of(right)).is_some_and(|(left, right)| left <= right);
            }
            match part.trim().strip_prefix('!') {
                Some(flag) => of(flag) == Some(1),
                None => of(part) == Some(0),
            }
        })
    }

    /// The rounds of a function's loops.
    fn rounds(&self, name: &str, mut values: Values) -> u64 {
        self.rounds_of(&self.functions[name].body, &mut values)
    }

    fn rounds_of(&self, lines: &[&str], values: &mut Values) -> u64 {
        let (mut all, mut declared, mut at) = (0, None, 0);
        while let Some(line) = lines.get(at) {
            let code = line.split("//").next().unwrap_or_default().trim();
            let below = &lines[at + 1..];
            at += 1;
            if let Some(rounds) = line.trim().strip_prefix("// rounds:") {
                declared = Some(rounds);
            } else if code.starts_with("for ") || code.starts_with("loop ") || code.starts_with("while ") {
                let declared = declared.take().unwrap_or_else(|| panic!("a loop declares no rounds: {line}"));
                let body = block_of(below, indent(line));
                at += body.len();
                all += self.rounds_of_loop(code, declared, body, values);
            } else if code.starts_with("switch ") {
                let cases = block_of(below, indent(line));
                at += cases.len();
                all += cases.iter().map(|case| self.calls(case, values)).max().unwrap_or(0);
            } else if let Some((_, condition)) = code.split_once("if ") {
                if self.is_false(condition.trim_end_matches('{'), values) {
                    at += block_of(below, indent(line)).len();
                } else {
                    all += self.calls(condition, values);
                }
            } else if let Some(layer) = code.strip_prefix("let l = layer(") {
                if let Some(layer) = self.value(layer.trim_end_matches(");"), values) {
                    self.set_layer(layer, values);
                }
            } else if let Some(number) = code.strip_prefix("let number = ") {
                if let Some(number) = self.value(number.trim_end_matches(';'), values) {
                    values.insert("number".to_owned(), number);
                }
            } else if let Some(place) = code.strip_prefix("var p = ") {
                // A grid finds its layer by its number.
                let [first, last] = ["FIRST_LAYER", "LAST_LAYER"].map(|name| self.constants[name]);
                let of_layer = |layer: u64| {
                    let mut values = values.clone();
                    values.insert("l".to_owned(), layer);
                    self.set_place(place, &mut values);
                    self.rounds_of(below, &mut values)
                };
                return all + (first..=last).map(of_layer).max().unwrap_or(0);
            } else {
                all += self.calls(code, values);
            }
        }
        all
    }

    /// Each round, and what is in it, and one more for the end. A loop that the driver unrolls has none.
    fn rounds_of_loop(&self, head: &str, declared: &str, body: &[&str], values: &Values) -> u64 {
        let (rounds, condition) = declared.split_once(" if ").unwrap_or((declared, ""));
        let rounds = self.value(rounds, values).unwrap_or_else(|| panic!("rounds of a loop: {declared} of {values:?}"));
        if !condition.is_empty() && self.is_false(condition, values) {
            return 0;
        }
        // The layers differ.
        let layers = if head.starts_with("for (var l = 0u;") {
            Some(0..rounds)
        } else if head.starts_with("for (var l = ") {
            Some(1..rounds + 1)
        } else {
            None
        };
        let inside = |values: &mut Values| self.rounds_of(body, values);
        let inside = match layers {
            Some(layers) => layers
                .map(|layer| {
                    let mut values = values.clone();
                    values.insert("l".to_owned(), layer);
                    inside(&mut values)
                })
                .sum(),
            None => rounds * inside(&mut values.clone()),
        };
        1 + rounds + inside
    }

    /// The rounds of the functions that a line calls.
    fn calls(&self, line: &str, values: &Values) -> u64 {
        let mut all = 0;
        for (at, _) in line.match_indices('(') {
            let start = line[..at].rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
            let Some(function) = self.functions.get(&line[start..at]) else { continue };
            let mut inner = Values::new();
            for (parameter, argument) in function.parameters.iter().zip(arguments(parenthesized(line, at))) {
                self.pass(parameter, argument, values, &mut inner);
            }
            all += self.rounds(&line[start..at], inner);
        }
        all
    }

    /// What a function knows of an argument.
    fn pass(&self, parameter: &str, argument: &str, values: &Values, inner: &mut Values) {
        if let Some(value) = self.value(argument, values) {
            inner.insert(parameter.to_owned(), value);
        }
        if parameter == argument {
            let prefix = format!("{argument}.");
            let members = values.iter().filter(|(name, _)| name.starts_with(&prefix));
            inner.extend(members.map(|(name, value)| (name.clone(), *value)));
        } else if argument.contains("_args(") {
            let mut passed = values.clone();
            self.set_place(argument, &mut passed);
            inner.extend(passed.into_iter().filter(|(name, _)| name.starts_with("p.")));
        } else if let Some(of) = argument.strip_prefix("tile_task(") {
            let slice = arguments(of.trim_end_matches(')')).pop().and_then(|slice| self.value(slice, values));
            let depth = values["p.depth"];
            inner.insert("task.depth".to_owned(), slice.map_or(depth, |slice| slice.min(depth)));
        }
    }

    fn set_layer(&self, layer: u64, values: &mut Values) {
        values.retain(|name, _| !name.starts_with("l."));
        let members = self.layers[layer as usize].iter();
        values.extend(members.map(|(name, value)| (format!("l.{name}"), *value)));
    }

    /// The numbers of `shaders/product/*`.
    fn set_place(&self, call: &str, values: &mut Values) {
        let (product, rest) = call.split_once("_args(").expect("a place");
        let layer = self.value(rest.split(',').next().unwrap_or_default(), values).expect("a layer");
        let of = |name: &str| self.layers[layer as usize][name];
        let batch = self.constants["BATCH"];
        let [rows, columns, depth, split] = match product {
            "forward" => [batch, 4 * of("output_stride"), 4 * of("input_stride"), of("split_x")],
            "input_delta" => [batch, 4 * of("input_stride"), 4 * of("output_stride"), of("split_y")],
            "gradient" => [(of("inputs") + 4) / 4 * 4, 4 * of("output_stride"), batch, of("split_z")],
            _ => panic!("no product: {product}"),
        };
        for (name, value) in [("rows", rows), ("columns", columns), ("depth", depth), ("sliced_k", split)] {
            values.insert(format!("p.{name}"), value);
        }
    }
}

/// What the function `layer` says.
fn layers(source: &str) -> Vec<Values> {
    let mut all: HashMap<usize, Values> = HashMap::new();
    let mut default = None;
    let offset = source.split_once("layer_table[l - ").and_then(|(_, rest)| rest.split_once('u'));
    let mut row = offset.map_or(0, |(first, _)| first.parse().expect("a number"));
    for line in source.lines().filter(|line| line.contains("Layer(")) {
        let (before, of) = line.split_once("Layer(").expect("a layer");
        let numbers: Vec<u64> = of
            .split(|c: char| !c.is_ascii_digit())
            .filter(|number| !number.is_empty())
            .filter_map(|number| number.parse().ok())
            .collect();
        // The 3 of `vec3u` stands in front of the splits.
        let names = LAYER.iter().copied().chain(["vec3u", "split_x", "split_y", "split_z"]);
        let values: Values = names.map(str::to_owned).zip(numbers).collect();
        if let Some(cases) = before.trim().strip_prefix("case ") {
            let cases = cases.split(':').next().unwrap_or_default().split(", ");
            all.extend(cases.map(|case| (case.trim_end_matches('u').parse().expect("a number"), values.clone())));
        } else if offset.is_some() {
            all.insert(row, values);
            row += 1;
        } else {
            default = Some(values);
        }
    }
    let declared = source.lines().find_map(|line| line.strip_prefix("const LAYERS: u32 = "));
    let count = declared.map_or(0, |count| count.trim_end_matches("u;").parse().expect("a number"));
    (0..count).map(|layer| all.remove(&layer).or_else(|| default.clone()).unwrap_or_default()).collect()
}

/// A plan may count more rounds than there are, for loops that a kernel does not always have, but never fewer.
#[test]
fn the_counted_rounds_are_those_that_the_loops_declare() {
    let mut wrong = std::collections::BTreeMap::new();
    for dispatch in dispatches().into_iter().chain(packing_dispatches()).chain(self_test_dispatches()) {
        let mut kernel = Kernel::parse(&dispatch.source);
        kernel.constants.entry("MEMBERS".to_owned()).or_insert(3);
        let (declared, counted) = (kernel.rounds(dispatch.entry_point, Values::new()), dispatch.loop_iterations as u64);
        // How often a place walks round the grid of rows is up to chance.
        let most = if dispatch.entry_point == "row_order" { 768 } else { 5 * declared + 64 };
        if counted < declared || counted > most {
            wrong
                .entry(dispatch.entry_point)
                .or_insert(format!("{}: {declared} rounds, {counted} counted", dispatch.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
