//! Mutation tests of the self-test: they change one number or operator of a WGSL file at a time, and expect a check to
//! fail.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    device::Device,
    diagnostics::{Check, tests::llvmpipe},
    engine::gpu::device::mutant,
    error::Error,
};

/// The time limit for the checks of one mutant, after which it counts as survived.
const MUTANT_TIMEOUT: Duration = Duration::from_secs(8);

/// A WGSL file.
pub(crate) struct File {
    /// The path below `shaders/`, without extension.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A change of a file in one place.
#[derive(Clone)]
struct Mutant {
    /// The line of the change, counted from 1.
    line: usize,
    from: String,
    to: String,
    /// The text of the whole file after the change.
    text: String,
}

/// The result of running the checks with a mutant.
enum MutantOutcome {
    /// The check of this name failed.
    Caught(String),
    /// The mutant is not valid WGSL, so no kernel was built.
    Rejected,
    /// No check failed.
    Survived,
}

/// A check, with the sources of the kernels that it builds and its run time.
struct TimedCheck {
    check: Check,
    sources: HashSet<String>,
    duration: Duration,
}

/// Returns all WGSL files, sorted by path.
pub(crate) fn shader_files() -> Vec<File> {
    fn collect_files(folder: &Path, all: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("the directory is readable") {
            let path = entry.expect("the entry is readable").path();
            if path.is_dir() { collect_files(&path, all) } else { all.push(path) }
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut all = Vec::new();
    collect_files(&folder, &mut all);
    all.sort();
    let file = |path: PathBuf| {
        let name = path.strip_prefix(&folder).expect("the path is below shaders/").with_extension("");
        let text = std::fs::read_to_string(&path).expect("the file is readable");
        File { name: name.to_string_lossy().replace('\\', "/"), text }
    };
    all.into_iter().map(file).collect()
}

/// The replacements of operators and calls. The last ones negate results, for files without operators and numbers.
const REPLACEMENTS: [(&str, &str); 31] = [
    (" += ", " -= "),
    (" -= ", " += "),
    (" *= ", " += "),
    (" ^= ", " |= "),
    (" + ", " - "),
    (" - ", " + "),
    (" * ", " + "),
    (" / ", " * "),
    (" % ", " / "),
    (" & ", " | "),
    (" | ", " & "),
    (" ^ ", " | "),
    (" >> ", " << "),
    (" << ", " >> "),
    (" <= ", " > "),
    (" >= ", " < "),
    (" < ", " >= "),
    (" > ", " <= "),
    (" == ", " != "),
    (" != ", " == "),
    (" && ", " || "),
    (" || ", " && "),
    ("min(", "max("),
    ("max(", "min("),
    ("(-", "("),
    (" -", " "),
    ("if ", "if !"),
    ("return z;", "return -z;"),
    ("return v;", "return -v;"),
    ("] = v;", "] = -v;"),
    (" position.y, ", " position.x, "),
];

/// Returns all mutants of a file: one per number and per match of [`REPLACEMENTS`]. Attributes and comments do not
/// change.
fn list_mutants(file: &File) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    let mut line_start = 0;
    for (index, line) in file.text.split_inclusive('\n').enumerate() {
        let code = line.find("//").map_or(line, |comment| &line[..comment]);
        if !code.contains('@') {
            let mut add = |column: usize, from: &str, to: String| {
                let start = line_start + column;
                let text = format!("{}{to}{}", &file.text[..start], &file.text[start + from.len()..]);
                mutants.push(Mutant { line: index + 1, from: from.trim().to_owned(), to: to.trim().to_owned(), text });
            };
            for (from, to) in REPLACEMENTS {
                code.match_indices(from).for_each(|(column, _)| add(column, from, to.to_owned()));
            }
            for (column, literal) in find_literals(code) {
                add(column, literal, other_literal(literal));
            }
        }
        line_start += line.len();
    }
    mutants
}

/// Returns the numbers in a line of code, with their columns.
fn find_literals(code: &str) -> Vec<(usize, &str)> {
    let bytes = code.as_bytes();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
    let (mut literals, mut start) = (Vec::new(), 0);
    while start < bytes.len() {
        if !is_word(bytes[start]) {
            start += 1;
            continue;
        }
        let mut end = start;
        let is_exponent = |end: usize| bytes[end] == b'-' && bytes[end - 1] == b'e' && bytes[start].is_ascii_digit();
        while end < bytes.len() && (is_word(bytes[end]) || is_exponent(end)) {
            end += 1;
        }
        if bytes[start].is_ascii_digit() {
            literals.push((start, &code[start..end]));
        }
        start = end;
    }
    literals
}

/// Returns a different number of the same type.
fn other_literal(literal: &str) -> String {
    let (digits, suffix) = match literal.strip_suffix('u') {
        Some(digits) => (digits, "u"),
        None => (literal, ""),
    };
    if let Some(hex) = digits.strip_prefix("0x") {
        return format!("{:#x}{suffix}", u64::from_str_radix(hex, 16).expect("WGSL has valid numbers") ^ 0x10);
    }
    if let Ok(whole) = digits.parse::<u64>() {
        return format!("{}{suffix}", whole + 1);
    }
    let value: f64 = digits.parse().expect("WGSL has valid numbers");
    format!("{:?}", if value == 0.0 { 1.0 } else { 1.5 * value })
}

/// Runs a check, which must pass, and records its sources and its run time.
fn time_check(device: &Device, check: Check) -> TimedCheck {
    // Taking the recorded sources clears those of earlier checks.
    mutant::assembled();
    let start = Instant::now();
    let result = pollster::block_on(check.run_to_report(device));
    assert!(result.passed, "{result}");
    TimedCheck { check, sources: mutant::assembled(), duration: start.elapsed() }
}

/// Runs the checks that build a kernel from a file, with a mutant of that file.
fn test_mutant(device: &mut Device, checks: &[TimedCheck], file: &File, mutant: &Mutant) -> MutantOutcome {
    let start = Instant::now();
    for TimedCheck { check, .. } in checks.iter().filter(|timed| timed.sources.contains(&file.text)) {
        let pair = [file.text.clone(), mutant.text.clone()];
        let result = mutant::with_mutant(pair, || pollster::block_on(check.run_to_report(device)));
        match result.failure {
            Some(Error::Internal { .. }) => return MutantOutcome::Rejected,
            Some(Error::DeviceLost { .. } | Error::Timeout { .. }) => {
                *device = llvmpipe().expect("llvmpipe opened before");
                return MutantOutcome::Caught(check.to_string());
            }
            _ if !result.passed => return MutantOutcome::Caught(check.to_string()),
            _ if start.elapsed() > MUTANT_TIMEOUT => break,
            _ => {}
        }
    }
    MutantOutcome::Survived
}

/// Returns at most `count` mutants, sampled over the whole file. The sample is the same in every run.
fn sample_mutants(mutants: &[Mutant], count: usize) -> Vec<Mutant> {
    let hash = |index: usize| (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let mut hashed: Vec<(u64, &Mutant)> =
        mutants.iter().enumerate().map(|(index, mutant)| (hash(index), mutant)).collect();
    hashed.sort_by_key(|(hash, _)| *hash);
    hashed.into_iter().take(count).map(|(_, mutant)| mutant.clone()).collect()
}

#[test]
fn self_test_detects_mutants_of_four_shaders_and_names_the_check() {
    // llvmpipe is the only driver that ends every loop.
    let Some(mut device) = llvmpipe() else { return };
    let mut checks = Vec::new();
    for check in Check::all(&device) {
        if check.group.starts_with("activations") || check.group.starts_with("data") {
            checks.push(time_check(&device, check));
        }
    }
    let files = shader_files();
    for (file_name, text_of_check) in [
        ("activation/gelu", "gelu"),
        ("optimizer/sgd", "sgd"),
        ("entry/single_invocation", "single_invocation"),
        ("features/u8", "bytes"),
    ] {
        let file = files.iter().find(|file| file.name == file_name).expect("the shader exists");
        let mut caught_by = None;
        for mutant in sample_mutants(&list_mutants(file), 9) {
            if let MutantOutcome::Caught(check) = test_mutant(&mut device, &checks, file, &mutant) {
                caught_by = Some(check);
                break;
            }
        }
        let check = caught_by.unwrap_or_else(|| panic!("no check catches a mutant of {file_name}"));
        assert!(check.contains(text_of_check), "{check} catches a mutant of {file_name}");
    }
}

/// Takes minutes. `.ci/mutate_shaders` runs this test, and stores the page that it writes.
#[test]
#[ignore = "takes minutes: .ci/mutate_shaders"]
fn self_test_detects_a_mutant_of_every_shader() {
    let mut device = llvmpipe().expect("llvmpipe is installed, the only driver that ends every loop");
    let count = std::env::var("GRADUS_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let mut checks: Vec<_> = Check::all(&device).into_iter().map(|check| time_check(&device, check)).collect();
    // The fastest checks first.
    checks.sort_by_key(|timed| timed.duration);
    let (mut rows, mut folders, mut undetected) = (String::new(), BTreeMap::<String, [usize; 4]>::new(), Vec::new());
    for file in shader_files() {
        let all = list_mutants(&file);
        let [mut caught, mut rejected, mut tried] = [0; 3];
        let mut survivors = Vec::new();
        for mutant in &sample_mutants(&all, all.len()) {
            // If no mutant is caught, try more than `count`.
            if tried >= count + rejected && (caught > 0 || tried >= 40) {
                break;
            }
            tried += 1;
            match test_mutant(&mut device, &checks, &file, mutant) {
                MutantOutcome::Caught(_) => caught += 1,
                MutantOutcome::Rejected => rejected += 1,
                MutantOutcome::Survived => {
                    survivors.push(format!("line {} `{}` to `{}`", mutant.line, mutant.from, mutant.to))
                }
            }
        }
        let row = format!(
            "| {} | {} | {caught} of {} | {rejected} | {} |",
            file.name,
            all.len(),
            tried - rejected,
            survivors.join("; ")
        );
        println!("{row}");
        let _ = writeln!(rows, "{row}");
        let folder = file.name.split_once('/').map_or("other", |(folder, _)| folder);
        let sums = folders.entry(folder.to_owned()).or_default();
        for (sum, addend) in sums.iter_mut().zip([1, caught, tried - rejected, rejected]) {
            *sum += addend;
        }
        if caught == 0 {
            undetected.push(file.name);
        }
    }
    let mut page = "# Mutants of the shaders that the self-test catches\n\n".to_owned();
    page += "`.ci/mutate_shaders` writes this page. It changes one number or operator of a file at a time, and runs the \
             checks of `gradus::diagnostics` that use the file on llvmpipe. Rejected mutants are not valid WGSL.\n\n\
             | directory | files | caught | rejected |\n|---|---|---|---|\n";
    for (folder, [files, caught, tried, rejected]) in &folders {
        let _ = writeln!(page, "| {folder} | {files} | {caught} of {tried} | {rejected} |");
    }
    let sum = |i: usize| folders.values().map(|sums| sums[i]).sum::<usize>();
    let _ = writeln!(page, "| all | {} | {} of {} | {} |", sum(0), sum(1), sum(2), sum(3));
    page += "\n| file | mutants | caught | rejected | survived |\n|---|---|---|---|---|\n";
    page += &rows;
    if let Ok(path) = std::env::var("GRADUS_MUTANTS_PAGE") {
        std::fs::write(path, &page).expect("the page is written");
    }
    assert!(undetected.is_empty(), "no check catches a mutant of {undetected:?}");
}

#[test]
fn every_shader_has_mutants() {
    for file in shader_files() {
        assert!(!list_mutants(&file).is_empty(), "{} has no mutants", file.name);
    }
}
