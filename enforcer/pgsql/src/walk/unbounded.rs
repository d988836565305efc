//! Every evasion of `fixtures/guards` that reaches all rows is judged to, and no statement of an application is.

use crate::bounds::STACK_BYTES;
use crate::judge;
use crate::session::SessionFacts;
use std::path::{Path, PathBuf};

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines.map(|line| line.replace("\\r", "\r").replace("\\n", "\n")).collect()
}

fn guards() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/guards")
}

/// Whether some statement of a session reaches every row.
fn reaches_all(session: &str) -> bool {
    session.split(" ;; ").filter_map(|sql| judge(sql, &SessionFacts::pinned(18)).ok()).flatten().any(|statement| {
        let all = statement.accesses.iter().map(ToString::to_string);
        all.into_iter().any(|access| access.contains(".unbounded ") || access.starts_with("truncate "))
    })
}

/// The lines that are judged otherwise than `wanted`.
fn wrong(paths: Vec<PathBuf>, wanted: bool) -> Vec<String> {
    let judged = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let all = paths.iter().flat_map(|path| lines(path));
        all.filter(|session| reaches_all(session) != wanted).collect()
    });
    judged.unwrap().join().unwrap()
}

#[test]
fn evasions_of_a_guard_on_bulk_reach_all_rows() {
    assert_eq!(wrong(vec![guards().join("evasions/bulk.txt")], true), Vec::<String>::new());
}

#[test]
fn statements_of_applications_reach_some_rows() {
    let files = std::fs::read_dir(guards().join("ordinary")).unwrap();
    assert_eq!(wrong(files.map(|file| file.unwrap().path()).collect(), false), Vec::<String>::new());
}
