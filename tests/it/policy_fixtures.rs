//! Policy fixtures: every rule of the language has policies that it fires on and policies that it is silent about.
//!
//! `fixtures/policy/PXXXX/fires*.kdl` and `silent*.kdl` are whole policies in one file; a folder `fires*/` or
//! `silent*/` is a policy of several files. Findings stand in the file as comments below the line they concern:
//! `//  ^^^ error[P0101]: unknown connection …` with the carets under the place, or `//~ error[…]: …` where the place
//! begins in the first two columns. Annotated are all errors and everything with the code of the folder; other
//! warnings may come and go. Where `fires*.txt` stands beside a fixture, it is what people see of those findings.
//! `BLESS=1` rewrites the annotations and the renderings that exist; read the difference.

use compiler::{
    compile::{Compilation, Options, compile},
    system::{Memory, join},
};
use lang::{
    diag::{
        Code, Diagnostic, Severity,
        render::{Format, render},
    },
    span::LineColumn,
    time::Timestamp,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// The instant at which all fixtures are judged: a Monday morning.
const AT: &str = "2026-05-04T10:00:00+02:00";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/policy")
}

fn at() -> Timestamp {
    Timestamp::parse_rfc3339(AT).unwrap()
}

/// One fixture: its path without an extension, and its files by their path in the policy.
struct Fixture {
    place: PathBuf,
    single: bool,
    files: BTreeMap<String, String>,
}

impl Fixture {
    fn read(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if !(name.starts_with("fires") || name.starts_with("silent")) {
            return None;
        }
        let mut files = BTreeMap::new();
        if path.is_dir() {
            collect(path, "", &mut files);
            return Some(Self { place: path.to_owned(), single: false, files });
        }
        if path.extension().is_none_or(|extension| extension != "kdl") {
            return None;
        }
        files.insert("policy.kdl".to_owned(), fs::read_to_string(path).unwrap());
        Some(Self { place: path.with_extension(""), single: true, files })
    }

    fn file(&self, path: &str) -> PathBuf {
        if self.single { self.place.with_extension("kdl") } else { self.place.join(path) }
    }

    fn fires(&self) -> bool {
        self.place.file_name().unwrap().to_str().unwrap().starts_with("fires")
    }

    /// The policy without annotations, compiled.
    fn compile(&self) -> (BTreeMap<String, String>, Compilation) {
        let bare: BTreeMap<String, String> =
            self.files.iter().map(|(path, text)| (path.clone(), strip(text))).collect();
        let memory = Memory::new(at(), bare.iter().map(|(path, text)| (path.clone(), text.as_bytes().to_vec())));
        let compilation = compile(&memory, "", at(), &Options::default()).unwrap();
        (bare, compilation)
    }
}

fn collect(folder: &Path, below: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = join(below, entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            collect(&entry.path(), &path, files);
        } else {
            files.insert(path, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// Whether a line is an annotation.
fn is_annotation(line: &str) -> bool {
    let Some(rest) = line.trim_start().strip_prefix("//") else { return false };
    let rest = rest.trim_start_matches([' ', '^', '~']);
    ["error[P", "warning[P", "info[P"].iter().any(|start| rest.starts_with(start))
}

fn strip(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !is_annotation(line)).collect()
}

fn is_shown(found: &Diagnostic, code: Code) -> bool {
    found.severity == Severity::Error || found.code == code
}

/// The text with a comment below every line that a finding begins in.
fn annotate(path: &str, text: &str, compilation: &Compilation, code: Code) -> String {
    let mut below: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for found in compilation.diagnostics.iter().filter(|found| is_shown(found, code)) {
        let Some(span) = found.span() else { continue };
        if compilation.sources.path(span.source) != path {
            continue;
        }
        let LineColumn { line, column } = compilation.sources.line_column(span);
        let end = compilation.sources.end_line_column(span);
        let line_text = compilation.sources.source(span.source).unwrap().line(line);
        let last = if end.line == line { end.column } else { line_text.chars().count() as u32 + 1 };
        let mut comment = String::from("//");
        if column < 3 {
            comment.push('~');
        } else {
            comment.extend(std::iter::repeat_n(' ', column as usize - 3));
            comment.extend(std::iter::repeat_n('^', (last.saturating_sub(column)).max(1) as usize));
        }
        write!(comment, " {}[{}]: {}", found.severity, found.code, found.message).unwrap();
        below.entry(line).or_default().push(comment);
    }
    let mut out = String::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        out.push_str(line);
        for comment in below.remove(&(index as u32 + 1)).unwrap_or_default() {
            if !out.ends_with('\n') {
                out.push('\n');
            }
            out.push_str(&comment);
            out.push('\n');
        }
    }
    for comment in below.into_values().flatten() {
        out.push_str(&comment);
        out.push('\n');
    }
    out
}

fn fixtures() -> Vec<(Code, Fixture)> {
    let mut all = Vec::new();
    let mut codes: Vec<PathBuf> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    codes.sort();
    for path in codes {
        let name = path.file_name().unwrap().to_str().unwrap();
        let code = Code::parse(name).unwrap_or_else(|| panic!("{name} is not the code of a rule"));
        let mut entries: Vec<PathBuf> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for entry in entries {
            match Fixture::read(&entry) {
                Some(fixture) => all.push((code, fixture)),
                None => assert!(
                    entry.extension().is_some_and(|e| e == "txt") && entry.with_extension("kdl").exists()
                        || entry.with_extension("").is_dir(),
                    "{} is used by nothing",
                    entry.display()
                ),
            }
        }
    }
    all
}

#[test]
fn findings_stand_where_fixtures_say() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut failures = String::new();
    for (code, fixture) in fixtures() {
        let (bare, compilation) = fixture.compile();
        let fired = compilation.diagnostics.iter().any(|found| found.code == code);
        if fired != fixture.fires() {
            let what = if fired { "fires" } else { "is silent" };
            writeln!(failures, "{}: {code} {what}", fixture.place.display()).unwrap();
        }
        let snapshot = fixture.place.with_extension("txt");
        if let Ok(text) = fs::read_to_string(&snapshot) {
            let shown: Vec<Diagnostic> =
                compilation.diagnostics.iter().filter(|found| is_shown(found, code)).cloned().collect();
            let human = render(Format::Human { colour: false }, &shown, &compilation.sources);
            if human != text && bless {
                fs::write(&snapshot, human).unwrap();
            } else if human != text {
                writeln!(failures, "--- {}\n{human}", snapshot.display()).unwrap();
            }
        }
        for (path, text) in &bare {
            let expected = annotate(path, text, &compilation, code);
            if expected == fixture.files[path] {
                continue;
            }
            if bless {
                fs::write(fixture.file(path), expected).unwrap();
            } else {
                writeln!(failures, "--- {}\n{expected}", fixture.file(path).display()).unwrap();
            }
        }
    }
    assert!(failures.is_empty(), "findings differ; BLESS=1 accepts these annotations:\n{failures}");
}

#[test]
fn findings_do_not_depend_on_threads_or_the_order_of_files() {
    for (_, fixture) in fixtures() {
        let files: Vec<(String, Vec<u8>)> =
            fixture.files.iter().map(|(path, text)| (path.clone(), text.as_bytes().to_vec())).collect();
        let memory = Memory::new(at(), files);
        let one = compile(&memory, "", at(), &Options { threads: 1 }).unwrap();
        let four = compile(&memory, "", at(), &Options { threads: 4 }).unwrap();
        assert_eq!(one.diagnostics, four.diagnostics, "{}", fixture.place.display());
    }
}

#[test]
fn every_folder_has_a_fixture_that_fires_and_one_that_does_not() {
    let mut fires = BTreeSet::new();
    let mut silent = BTreeSet::new();
    for (code, fixture) in fixtures() {
        if fixture.fires() {
            fires.insert(code)
        } else {
            silent.insert(code)
        };
    }
    assert_eq!(fires, silent, "left: codes with a firing fixture; right: codes with a silent one");
}
