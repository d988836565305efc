//! Whoever compiles again and again finds what is found from nothing, whatever was edited in between.

use crate::{
    compile::{Compilation, Options, compile, compile_again},
    kept::Kept,
    system::{Memory, Os, Source as _},
};
use lang::time::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Files = BTreeMap<String, String>;

/// The example policy of the repository.
fn example() -> Files {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies");
    let read = |path: &str| String::from_utf8(Os.read(&format!("{root}/{path}"), 1 << 20).unwrap()).unwrap();
    Os.list(root).unwrap().into_iter().map(|entry| (entry.path.clone(), read(&entry.path))).collect()
}

/// What an edit does to the line that it meets.
#[derive(Clone, Copy, Debug)]
enum Edit {
    Remove,
    Repeat,
    /// Another line of the policy in its place.
    Replace,
    /// A comment before it, which moves all that follows.
    Comment,
    /// Its first digit becomes another one.
    Count,
    /// The whole file goes, or comes back as it was at first.
    File,
}

const EDITS: [Edit; 6] = [Edit::Remove, Edit::Repeat, Edit::Replace, Edit::Comment, Edit::Count, Edit::File];

fn edit(files: &mut Files, first: &Files, (kind, file, line): (usize, usize, usize)) {
    let path = first.keys().nth(file % first.len()).unwrap();
    let kind = EDITS[kind % EDITS.len()];
    let Some(text) = files.get(path).filter(|_| !matches!(kind, Edit::File)) else {
        if files.remove(path).is_none() {
            files.insert(path.clone(), first[path].clone());
        }
        return;
    };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = line % lines.len().max(1);
    let Some(own) = lines.get(at).cloned() else { return };
    match kind {
        Edit::Remove => drop(lines.remove(at)),
        Edit::Repeat => lines.insert(at, own),
        Edit::Replace => {
            let all: Vec<&str> = first.values().flat_map(|text| text.lines()).collect();
            lines[at] = all[(line * 31) % all.len()].to_owned();
        }
        Edit::Comment => lines.insert(at, "// moved".to_owned()),
        Edit::Count => lines[at] = own.replacen(|c: char| c.is_ascii_digit(), "3", 1),
        Edit::File => {}
    }
    files.insert(path.clone(), lines.join("\n") + "\n");
}

/// Everything that anybody can see of a compilation.
fn seen(found: &Compilation) -> String {
    let tables = found.program.as_ref().map(|program| (program.rules(), program.sources()));
    format!(
        "{:#?}\n{} {:?}\n{:?} {:?}\n{:?}\n{tables:?}\n{:?}",
        found.diagnostics, found.dropped, found.policy, found.tests, found.exercised, found.documents, found.checked
    )
}

fn at() -> Timestamp {
    Timestamp::parse_rfc3339("2026-05-04T10:00:00Z").unwrap()
}

/// Compiles after each edit both ways; returns how often the policy still stood.
fn follow(edits: &[(usize, usize, usize)]) -> usize {
    let first = example();
    let (mut files, mut kept, mut sound) = (first.clone(), Kept::default(), 0);
    for step in std::iter::once(None).chain(edits.iter().map(Some)) {
        if let Some(step) = step {
            edit(&mut files, &first, *step);
        }
        let source = Memory::new(at(), files.clone());
        let options = Options { threads: 2 };
        let again = compile_again(&source, "", at(), &options, &mut kept).unwrap();
        let anew = compile(&source, "", at(), &options).unwrap();
        assert_eq!(seen(&again), seen(&anew), "after {step:?}");
        sound += usize::from(anew.program.is_some());
    }
    sound
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn again_finds_what_is_found_anew(edits in prop::collection::vec((0..6_usize, 0..100_usize, 0..1_000_usize), 1..6)) {
        follow(&edits);
    }
}

/// Edits that leave the policy sound, so that what is kept of connections is put to use.
#[test]
fn edits_of_one_file_keep_the_rest() {
    let comments: Vec<(usize, usize, usize)> = (0..9).map(|file| (3, file, 5 * file)).collect();
    assert!(follow(&comments) > 5);
    assert!(follow(&[(4, 8, 12), (4, 9, 20), (3, 8, 1), (5, 9, 0), (5, 9, 0)]) > 1);
}
