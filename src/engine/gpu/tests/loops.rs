//! Compares the loop iterations that the module `loop_counts` computes with those that the WGSL declares.
//!
//! Every loop in `shaders/` declares its iterations in a comment `// rounds:`. A small interpreter sums them along the
//! calls of an assembled kernel, with the dimensions of each layer.

use std::collections::HashMap;

use crate::engine::gpu::tests::shaders::{dispatches, packing_dispatches, self_test_dispatches};

/// The values of constants, parameters and struct members, by name.
type Values = HashMap<String, u64>;

/// A parsed kernel: its functions, its constants and its layer table.
struct Kernel<'a> {
    functions: HashMap<&'a str, Function<'a>>,
    constants: Values,
    layers: Vec<Values>,
}

struct Function<'a> {
    parameters: Vec<&'a str>,
    body: Vec<&'a str>,
}

/// The members of the WGSL struct `Layer` that are numbers, in order.
const LAYER_MEMBERS: [&str; 12] = [
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
    "first_block",
];

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Returns the text inside the parenthesis that opens at the index `start`; up to the end if it is not closed.
fn parenthesized(text: &str, start: usize) -> &str {
    let mut depth = 0;
    for (offset, c) in text[start..].char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return &text[start + 1..start + offset],
            ')' => depth -= 1,
            _ => {}
        }
    }
    // A call may continue in the next line.
    &text[start + 1..]
}

/// Splits a list at the commas outside of parentheses.
fn arguments(text: &str) -> Vec<&str> {
    let (mut all, mut depth, mut start) = (Vec::new(), 0, 0);
    for (index, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                all.push(text[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    all.push(text[start..].trim());
    all
}

/// Returns the lines of a block without its closing line. The line before `lines` opens it, and has the indent `depth`.
fn block_lines<'a, 'b>(lines: &'b [&'a str], depth: usize) -> &'b [&'a str] {
    let end = lines.iter().position(|line| indent(line) == depth && line.trim_start().starts_with('}'));
    &lines[..end.expect("the end of a block")]
}

/// Evaluates an expression of names, numbers, `+`, `-`, `*`, `/` (rounded up), parentheses and `log2`. `lookup` returns
/// the value of a name. Returns `None` if a name is unknown.
fn evaluate(text: &str, lookup: &dyn Fn(&str) -> Option<u64>) -> Option<u64> {
    let text = text.trim();
    for operators in [['+', '-'], ['*', '/']] {
        let mut depth = 0;
        let last = text.char_indices().rev().find(|(_, c)| {
            depth += i32::from(*c == ')') - i32::from(*c == '(');
            depth == 0 && operators.contains(c)
        });
        if let Some((index, operator)) = last {
            let (left, right) = (evaluate(&text[..index], lookup)?, evaluate(&text[index + 1..], lookup)?);
            return Some(match operator {
                '+' => left + right,
                '-' => left.saturating_sub(right),
                '*' => left * right,
                _ => left.div_ceil(right),
            });
        }
    }
    if let Some(inner) = text.strip_prefix('(') {
        return evaluate(inner.strip_suffix(')')?, lookup);
    }
    if let Some(argument) = text.strip_prefix("log2 ") {
        return Some(evaluate(argument, lookup)?.ilog2().into());
    }
    text.strip_suffix('u').unwrap_or(text).parse().ok().or_else(|| lookup(text))
}

impl<'a> Kernel<'a> {
    /// Parses the WGSL of a kernel. It relies on the formatting of the files in `shaders/`.
    fn parse(source: &'a str) -> Self {
        let lines: Vec<&str> = source.lines().collect();
        let mut functions = HashMap::new();
        let mut constants = Values::new();
        for (number, line) in lines.iter().enumerate() {
            if let Some((name, definition)) = line.strip_prefix("const ").and_then(|rest| rest.split_once(':')) {
                let value = definition.split_once('=').map_or("", |(_, value)| value.trim().trim_end_matches(';'));
                let flag = match value {
                    "true" => Some(1),
                    "false" => Some(0),
                    _ => None,
                };
                if let Some(value) = flag.or_else(|| evaluate(value, &|name| constants.get(name).copied())) {
                    constants.insert(name.to_owned(), value);
                }
            }
            let Some(signature) = line.strip_prefix("fn ") else { continue };
            let (name, _) = signature.split_once('(').expect("parameters");
            // The signature may span several lines.
            let line_start = source.find(line).expect("a line of the source");
            let parameter_list = parenthesized(source, line_start + line.find('(').expect("parameters"));
            let parameter = |text: &'a str| text.split(':').next().and_then(|name| name.split(' ').next_back());
            let parameters = arguments(parameter_list).into_iter().filter_map(parameter).collect();
            let opening = lines[number..].iter().position(|line| line.ends_with(['{', '}'])).expect("a body") + number;
            let body =
                if lines[opening].ends_with('}') { vec![] } else { block_lines(&lines[opening + 1..], 0).to_vec() };
            functions.insert(name, Function { parameters, body });
        }
        let layers = parse_layers(source);
        Self { functions, constants, layers }
    }

    /// Evaluates an expression with local values and the constants of the kernel.
    fn value(&self, text: &str, values: &Values) -> Option<u64> {
        evaluate(text, &|name| values.get(name).or_else(|| self.constants.get(name)).copied())
    }

    /// Returns whether a condition is known to be false.
    fn is_false(&self, condition: &str, values: &Values) -> bool {
        condition.split("&&").any(|part| {
            let value = |text: &str| self.value(text, values);
            if let Some((left, right)) = part.split_once('>') {
                return value(left).zip(value(right)).is_some_and(|(left, right)| left <= right);
            }
            match part.trim().strip_prefix('!') {
                Some(flag) => value(flag) == Some(1),
                None => value(part) == Some(0),
            }
        })
    }

    /// Returns the iterations of all loops of a function and of the functions that it calls.
    fn function_iterations(&self, name: &str, mut values: Values) -> u64 {
        self.block_iterations(&self.functions[name].body, &mut values)
    }

    /// Returns the iterations of all loops of a block of lines.
    fn block_iterations(&self, lines: &[&str], values: &mut Values) -> u64 {
        let (mut all, mut declared, mut next) = (0, None, 0);
        while let Some(line) = lines.get(next) {
            let code = line.split("//").next().unwrap_or_default().trim();
            let below = &lines[next + 1..];
            next += 1;
            if let Some(iterations) = line.trim().strip_prefix("// rounds:") {
                declared = Some(iterations);
            } else if code.starts_with("for ") || code.starts_with("loop ") || code.starts_with("while ") {
                let declared =
                    declared.take().unwrap_or_else(|| panic!("a loop without a comment `// rounds:`: {line}"));
                let body = block_lines(below, indent(line));
                next += body.len();
                all += self.loop_iterations(code, declared, body, values);
            } else if code.starts_with("switch ") {
                let cases = block_lines(below, indent(line));
                next += cases.len();
                all += cases.iter().map(|case| self.call_iterations(case, values)).max().unwrap_or(0);
            } else if let Some((_, condition)) = code.split_once("if ") {
                if self.is_false(condition.trim_end_matches('{'), values) {
                    next += block_lines(below, indent(line)).len();
                } else {
                    all += self.call_iterations(condition, values);
                }
            } else if let Some(layer) = code.strip_prefix("let l = layer(") {
                if let Some(layer) = self.value(layer.trim_end_matches(");"), values) {
                    self.set_layer(layer, values);
                }
            } else if let Some(number) = code.strip_prefix("let number = ") {
                if let Some(number) = self.value(number.trim_end_matches(';'), values) {
                    values.insert("number".to_owned(), number);
                }
            } else if let Some(call) = code.strip_prefix("var p = ") {
                // The kernel `grid` derives the layer from its workgroup, so take the layer with the most iterations.
                let [first, last] = ["FIRST_LAYER", "LAST_LAYER"].map(|name| self.constants[name]);
                let layer_iterations = |layer: u64| {
                    let mut values = values.clone();
                    values.insert("l".to_owned(), layer);
                    self.set_matmul_args(call, &mut values);
                    self.block_iterations(below, &mut values)
                };
                return all + (first..=last).map(layer_iterations).max().unwrap_or(0);
            } else {
                all += self.call_iterations(code, values);
            }
        }
        all
    }

    /// Returns the iterations of a loop and of the loops in its body, and one more for the last check of its condition.
    /// The driver unrolls a loop whose declared condition is false, so it counts as 0 iterations.
    fn loop_iterations(&self, head: &str, declared: &str, body: &[&str], values: &Values) -> u64 {
        let (expression, condition) = declared.split_once(" if ").unwrap_or((declared, ""));
        let iterations =
            self.value(expression, values).unwrap_or_else(|| panic!("unknown name in {declared}: {values:?}"));
        if !condition.is_empty() && self.is_false(condition, values) {
            return 0;
        }
        // In a loop over layers, every iteration has the dimensions of its layer.
        let layers = if head.starts_with("for (var l = 0u;") {
            Some(0..iterations)
        } else if head.starts_with("for (var l = ") {
            Some(1..iterations + 1)
        } else {
            None
        };
        let body_iterations = match layers {
            Some(layers) => layers
                .map(|layer| {
                    let mut values = values.clone();
                    values.insert("l".to_owned(), layer);
                    self.block_iterations(body, &mut values)
                })
                .sum(),
            None => iterations * self.block_iterations(body, &mut values.clone()),
        };
        1 + iterations + body_iterations
    }

    /// Returns the sum of the iterations of all functions that a line calls.
    fn call_iterations(&self, line: &str, values: &Values) -> u64 {
        let mut all = 0;
        for (open, _) in line.match_indices('(') {
            let start = line[..open].rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |i| i + 1);
            let name = &line[start..open];
            let Some(function) = self.functions.get(name) else { continue };
            let mut callee_values = Values::new();
            for (parameter, argument) in function.parameters.iter().zip(arguments(parenthesized(line, open))) {
                self.bind_argument(parameter, argument, values, &mut callee_values);
            }
            all += self.function_iterations(name, callee_values);
        }
        all
    }

    /// Adds the known values of an argument to the values of the called function.
    fn bind_argument(&self, parameter: &str, argument: &str, values: &Values, callee_values: &mut Values) {
        if let Some(value) = self.value(argument, values) {
            callee_values.insert(parameter.to_owned(), value);
        }
        if parameter == argument {
            let prefix = format!("{argument}.");
            let members = values.iter().filter(|(name, _)| name.starts_with(&prefix));
            callee_values.extend(members.map(|(name, value)| (name.clone(), *value)));
        } else if argument.contains("_args(") {
            let mut passed = values.clone();
            self.set_matmul_args(argument, &mut passed);
            callee_values.extend(passed.into_iter().filter(|(name, _)| name.starts_with("p.")));
        } else if let Some(call) = argument.strip_prefix("tile_task(") {
            let slice = arguments(call.trim_end_matches(')')).pop().and_then(|slice| self.value(slice, values));
            let depth = values["p.depth"];
            callee_values.insert("task.depth".to_owned(), slice.map_or(depth, |slice| slice.min(depth)));
        }
    }

    /// Sets the members of the variable `l`, which holds a layer.
    fn set_layer(&self, layer: u64, values: &mut Values) {
        values.retain(|name, _| !name.starts_with("l."));
        let members = self.layers[layer as usize].iter();
        values.extend(members.map(|(name, value)| (format!("l.{name}"), *value)));
    }

    /// Sets the dimensions of a matmul, as the files of `shaders/matmul/` compute them.
    fn set_matmul_args(&self, call: &str, values: &mut Values) {
        let (kind, arguments) = call.split_once("_args(").expect("a call of a function for matmul arguments");
        let layer = self.value(arguments.split(',').next().unwrap_or_default(), values).expect("a layer");
        let member = |name: &str| self.layers[layer as usize][name];
        let batch = self.constants["BATCH"];
        let [rows, columns, depth, split] = match kind {
            "forward" => [batch, 4 * member("output_stride"), 4 * member("input_stride"), member("split_x")],
            "input_delta" => [batch, 4 * member("input_stride"), 4 * member("output_stride"), member("split_y")],
            "gradient" => [(member("inputs") + 4) / 4 * 4, 4 * member("output_stride"), batch, member("split_z")],
            _ => panic!("unknown matmul: {kind}"),
        };
        for (name, value) in [("rows", rows), ("columns", columns), ("depth", depth), ("sliced_k", split)] {
            values.insert(format!("p.{name}"), value);
        }
    }
}

/// Parses the layer table, from the WGSL function `layer`.
fn parse_layers(source: &str) -> Vec<Values> {
    let mut all: HashMap<usize, Values> = HashMap::new();
    let mut default = None;
    let offset = source.split_once("layer_table[l - ").and_then(|(_, rest)| rest.split_once('u'));
    let mut row = offset.map_or(0, |(first, _)| first.parse().expect("a number"));
    for line in source.lines().filter(|line| line.contains("Layer(")) {
        let (before, arguments) = line.split_once("Layer(").expect("a layer");
        let numbers: Vec<u64> = arguments
            .split(|c: char| !c.is_ascii_digit())
            .filter(|number| !number.is_empty())
            .filter_map(|number| number.parse().ok())
            .collect();
        // The filter also finds the digit of `vec3u`, before the split-K numbers.
        let names = LAYER_MEMBERS.iter().copied().chain(["vec3u", "split_x", "split_y", "split_z"]);
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

/// The computed number may exceed the declared one, because some loops are optional, but it must not be smaller.
#[test]
fn computed_loop_iterations_match_the_declared_ones() {
    let mut mismatches = std::collections::BTreeMap::new();
    for dispatch in dispatches().into_iter().chain(packing_dispatches()).chain(self_test_dispatches()) {
        let mut kernel = Kernel::parse(&dispatch.source);
        kernel.constants.entry("MEMBERS".to_owned()).or_insert(3);
        let declared = kernel.function_iterations(dispatch.entry_point, Values::new());
        let computed = dispatch.loop_iterations as u64;
        // The number of times that a position cycles through the grid of the permutation is random.
        let max = if dispatch.entry_point == "row_order" { 768 } else { 5 * declared + 64 };
        if computed < declared || computed > max {
            let message = format!("{}: {declared} declared, {computed} computed", dispatch.name);
            mismatches.entry(dispatch.entry_point).or_insert(message);
        }
    }
    assert!(mismatches.is_empty(), "{mismatches:#?}");
}
