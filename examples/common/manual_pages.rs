//! Short passages of text in ten languages, from the translated manual pages in Debian's packages `manpages-cs` etc.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

use flate2::read::GzDecoder;

use super::Exit;

/// A language of the data set.
pub struct Language {
    /// The end of the name of Debian's package: `cs` for `manpages-cs`.
    package: &'static str,
    /// The directory of the pages in `/usr/share/man`.
    directory: &'static str,
    pub name: &'static str,
}

const fn language(package: &'static str, directory: &'static str, name: &'static str) -> Language {
    Language { package, directory, name }
}

/// The languages. The index of a language is its class.
pub const LANGUAGES: [Language; 10] = [
    language("cs", "cs", "Czech"),
    language("da", "da", "Danish"),
    language("de", "de", "German"),
    language("es", "es", "Spanish"),
    language("fr", "fr", "French"),
    language("it", "it", "Italian"),
    language("nl", "nl", "Dutch"),
    language("pl", "pl", "Polish"),
    language("pt-br", "pt_BR", "Portuguese"),
    language("sv", "sv", "Swedish"),
];

/// The minimum length of a passage in letters and spaces. A passage ends after the word that reaches it.
const MIN_PASSAGE_LENGTH: usize = 20;

/// Words that mark a paragraph as untranslated, or as a long quotation.
const ENGLISH_WORDS: [&str; 12] =
    ["the", "and", "this", "with", "from", "that", "which", "are", "should", "when", "you", "your"];

/// One in this number of manual pages is held out.
const TEST_PAGE_INTERVAL: u32 = 5;

/// A passage of text with its language.
#[derive(Debug, Clone)]
pub struct Passage {
    pub text: String,
    /// The index in [`LANGUAGES`].
    pub language: usize,
}

/// Passages, split into a training and a test set.
///
/// The sets share no document: the name of a page, such as `ls.1`, decides for all translations of the page.
#[derive(Debug, Default)]
pub struct PassageSplit {
    pub train: Vec<Passage>,
    pub test: Vec<Passage>,
}

/// The maximum number of passages per language.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub train: usize,
    pub test: usize,
}

/// Loads passages from the pages of the installed packages, or from a directory such as `/usr/share/man`.
///
/// The passages of a language are spread evenly over its pages.
pub fn load(data_dir: Option<&Path>, limits: Limits) -> Result<PassageSplit, Exit> {
    let mut all = Vec::new();
    for (index, language) in LANGUAGES.iter().enumerate() {
        for page in pages(data_dir, language)? {
            let is_test = hash(page.name.as_bytes()).is_multiple_of(TEST_PAGE_INTERVAL);
            for text in paragraphs(&page.text).iter().flat_map(|paragraph| passages(paragraph)) {
                all.push((Passage { text, language: index }, is_test));
            }
        }
    }
    let mut usable = usable_passages(&all);
    let mut split = PassageSplit::default();
    for (index, language) in LANGUAGES.iter().enumerate() {
        for (part, want_test, limit) in [(&mut split.train, false, limits.train), (&mut split.test, true, limits.test)]
        {
            let mut candidates = Vec::new();
            for (passage, is_test) in &all {
                if (passage.language, *is_test) != (index, want_test) {
                    continue;
                }
                // Removing the entry makes a repeated passage count once.
                if usable.get(passage.text.as_str()) == Some(&(index, want_test)) {
                    usable.remove(passage.text.as_str());
                    candidates.push(passage);
                }
            }
            if candidates.is_empty() {
                return Err(Exit::Usage(format!("no passages in {}; {}", language.name, how_to_get())));
            }
            let count = candidates.len().min(limit);
            part.extend((0..count).map(|i| candidates[i * candidates.len() / count].clone()));
        }
    }
    Ok(split)
}

/// Returns the language of each distinct passage, and whether the passage belongs to the test set.
///
/// A passage that occurs in two languages has the language `usize::MAX`, so that no language uses it. A passage that
/// occurs in training and test pages belongs to the training set.
fn usable_passages(all: &[(Passage, bool)]) -> HashMap<&str, (usize, bool)> {
    let mut usable = HashMap::new();
    for (Passage { text, language }, is_test) in all {
        let (known_language, known_is_test) = usable.entry(text.as_str()).or_insert((*language, *is_test));
        if *known_language != *language {
            *known_language = usize::MAX;
        }
        *known_is_test &= *is_test;
    }
    usable
}

/// Returns the 32-bit FNV-1a hash of `bytes`.
pub fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Returns the commands that install the manual pages.
fn how_to_get() -> String {
    let packages: Vec<_> = LANGUAGES.iter().map(|language| format!("manpages-{}", language.package)).collect();
    let packages = packages.join(" ");
    format!(
        "run `sudo apt-get install {packages}`; if the system excludes manual pages, run `apt-get download {packages}`, \
         unpack each .deb with `dpkg -x FILE x` and pass --data-dir x/usr/share/man"
    )
}

/// A manual page.
struct Page {
    /// The name with its section, such as `ls.1`. All translations of a page have the same name.
    name: String,
    text: String,
}

/// Loads the pages of a language.
fn pages(data_dir: Option<&Path>, language: &Language) -> Result<Vec<Page>, Exit> {
    let package = language.package;
    let missing = || Exit::Usage(format!("no manual pages of manpages-{package}; {}", how_to_get()));
    let mut paths: Vec<PathBuf> = match data_dir {
        None => {
            // The directories also contain pages of other packages. Listing the files of this package keeps the results
            // independent of the installed packages.
            let listed = Command::new("dpkg-query").args(["-L", &format!("manpages-{package}")]).output();
            let listed = listed.map_err(|_| missing())?.stdout;
            String::from_utf8_lossy(&listed).lines().map(PathBuf::from).collect()
        }
        Some(data_dir) => {
            let entries = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
            entries(data_dir.join(language.directory)).flat_map(entries).collect()
        }
    };
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "gz") && path.is_file();
    paths.retain(is_page);
    paths.sort();
    if paths.is_empty() {
        return Err(missing());
    }
    let read = |path: &PathBuf| {
        let mut bytes = Vec::new();
        let unpacked = File::open(path).and_then(|file| GzDecoder::new(file).read_to_end(&mut bytes));
        unpacked.map_err(|error| Exit::Usage(format!("{}: {error}", path.display())))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Page { name, text: String::from_utf8_lossy(&bytes).into_owned() })
    };
    paths.iter().map(read).collect()
}

/// Returns the paragraphs of a page: the lines between two roff requests, without code examples.
fn paragraphs(page: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    let mut is_code = false;
    for line in page.lines() {
        let Some(request) = line.strip_prefix(['.', '\'']) else {
            if let Some(last) = paragraphs.last_mut().filter(|_| !is_code) {
                *last += line;
                last.push('\n');
            }
            continue;
        };
        match request.split_whitespace().next().unwrap_or_default() {
            "nf" | "EX" => is_code = true,
            "fi" | "EE" => is_code = false,
            // Requests that set a name in another font do not end the paragraph.
            "B" | "I" | "BR" | "RB" | "IR" | "RI" | "BI" | "IB" | "R" | "SM" => continue,
            _ => {}
        }
        paragraphs.push(String::new());
    }
    paragraphs
}

/// Splits a paragraph into passages of lower-case words. Returns none for an English paragraph.
fn passages(paragraph: &str) -> Vec<String> {
    let text = plain_text(paragraph).to_lowercase();
    let words = || text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    if words().any(|word| ENGLISH_WORDS.contains(&word)) {
        return Vec::new();
    }
    let (mut passages, mut passage) = (Vec::new(), String::new());
    for word in words() {
        if !passage.is_empty() {
            passage.push(' ');
        }
        passage += word;
        if passage.chars().count() >= MIN_PASSAGE_LENGTH {
            passages.push(std::mem::take(&mut passage));
        }
    }
    passages
}

/// Removes the roff escapes from a text, and the text in bold or italics.
///
/// Bold and italics mark names of programs and options, which are equal in every language.
fn plain_text(text: &str) -> String {
    let mut plain = String::new();
    let mut is_name = false;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(if is_name { ' ' } else { c });
            continue;
        }
        match rest.next() {
            // These escapes have zero width.
            Some('&' | ',' | '/' | ':' | '%' | '|' | '^' | 'c') => {}
            Some('f') => is_name = escape_argument(&mut rest).is_some_and(|font| font.contains(['B', 'I'])),
            Some('s') => {
                let text = rest.as_str();
                rest = text.trim_start_matches(['+', '-']).trim_start_matches(|c: char| c.is_ascii_digit()).chars();
            }
            Some('(') => drop(rest.by_ref().take(2).count()),
            Some('[') => drop(rest.find(|c| *c == ']')),
            _ => plain.push(' '),
        }
    }
    plain
}

/// Returns the argument of an escape: one letter, two letters after `(`, or the text in brackets.
fn escape_argument(rest: &mut std::str::Chars<'_>) -> Option<String> {
    Some(match rest.next()? {
        '(' => rest.take(2).collect(),
        '[' => rest.take_while(|c| *c != ']').collect(),
        c => c.to_string(),
    })
}
