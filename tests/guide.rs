//! The guide says what is: its WGSL stands in `shaders/`, its numbers are those of the example `neuron`. Its snippets are
//! tests of their own.

use std::{fs, path::Path};

use crate::common::{example, run};

/// Names and texts of the chapters, in order.
fn chapters() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide");
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let mut chapters: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a text"))
        })
        .collect();
    chapters.sort();
    chapters
}

/// The lines of each block of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<Vec<&'a str>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(fence) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.extend((fence == language).then_some(block));
        }
    }
    blocks
}

/// Where a quote ends that begins at one of the lines from `from` on; all of it may be further to the left than there.
fn end_of_quote(file: &[&str], from: usize, quote: &[&str]) -> Option<usize> {
    let stands_at = |at: &usize| {
        let Some(lines) = file.get(*at..at + quote.len()) else { return false };
        let Some(indent) = lines[0].strip_suffix(quote[0]) else { return false };
        let is_line = |(line, quoted): (&&str, &&str)| match line.strip_prefix(indent) {
            Some(rest) => rest == *quoted,
            None => line.is_empty() && quoted.is_empty(),
        };
        indent.trim().is_empty() && lines.iter().zip(quote).all(is_line)
    };
    (from..file.len()).find(stands_at).map(|at| at + quote.len())
}

#[test]
fn every_chapter_has_a_formula_wgsl_a_snippet_and_the_device() {
    let chapters = chapters();
    assert_eq!(chapters.len(), 8);
    for (name, text) in chapters {
        for part in ["# The formula", "# The numbers", "# In Rust", "# In WGSL", "# On the device"] {
            assert!(text.lines().any(|line| line == part), "{name} has no {part:?}");
        }
        for language in ["text", "rust", "wgsl"] {
            assert!(!blocks(&text, language).is_empty(), "{name} has no {language}");
        }
    }
}

#[test]
fn wgsl_stands_in_the_shaders_as_quoted() {
    for (name, text) in chapters() {
        for block in blocks(&text, "wgsl") {
            let path = block[0].strip_prefix("// ").expect("the first line says from where it is");
            let file = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
            let file = file.unwrap_or_else(|error| panic!("{name}, {path}: {error}"));
            // Loops declare their rounds for a test, not for readers.
            let file: Vec<_> = file.lines().filter(|line| !line.trim_start().starts_with("// rounds:")).collect();
            let mut from = 0;
            for quote in block[1..].split(|line| line.trim() == "// ...") {
                let end = end_of_quote(&file, from, quote);
                from = end.unwrap_or_else(|| panic!("{name}: {path} does not say\n{}", quote.join("\n")));
            }
        }
    }
}

#[test]
fn numbers_are_those_of_the_example() {
    let outcome = run(example("neuron").args(["--device", "cpu", "--json"]));
    let json = outcome.expect(0, &[]).json();
    let quantities: Vec<(&str, &str, f64)> = json["quantities"]
        .as_array()
        .expect("quantities")
        .iter()
        .map(|one| {
            let text = |key: &str| one[key].as_str().expect(key);
            (text("name"), text("formula"), one["by_hand"].as_f64().expect("a number"))
        })
        .collect();
    // Up to the rounding of the last decimal place that is given.
    let is = |given: &str, value: f64| {
        let places = given.split_once('.').map_or(0, |(_, decimals)| decimals.len() as i32);
        let given: f64 = given.parse().expect("a number");
        (given - value).abs() <= 0.500_001 * 0.1f64.powi(places)
    };

    let mut told = vec![false; quantities.len()];
    for (name, text) in chapters() {
        // A row of a table: `name` | `formula` | `with the numbers` | value
        for row in text.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let [quantity, formula, _, value] = cells[..] else { panic!("{name}: {row}") };
            let found = quantities.iter().position(|of| (of.0, of.1) == (quantity, formula) && is(value, of.2));
            told[found.unwrap_or_else(|| panic!("{name}: the example does not say {row}"))] = true;
        }
        // And any other number with five decimals or more.
        let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.').map(|token| token.trim_matches('.'));
        let is_long = |number: &&str| {
            let decimals = number.split_once('.').map_or("", |(_, decimals)| decimals);
            decimals.len() > 4 && !decimals.contains('.')
        };
        for number in numbers.filter(is_long) {
            assert!(quantities.iter().any(|of| is(number, of.2.abs())), "{name}: the example does not say {number}");
        }
    }
    let untold: Vec<_> = quantities.iter().zip(told).filter(|(_, told)| !told).map(|(of, _)| of.0).collect();
    assert!(untold.is_empty(), "the guide does not tell {untold:?}");
}
