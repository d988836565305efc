//! Wire transcripts: text files that play a client and a server against the PostgreSQL machine, with a scripted clock.
//!
//! Every transcript runs twice, with all bytes of a step at once and one byte at a time; both must give the same.
//! `BLESS=1` rewrites the expected lines. The syntax stands in `fixtures/wire/README.md`.

mod frames;
mod levels;
mod policy;
mod script;

use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fixtures/wire")
}

#[test]
fn transcripts_hold() {
    let mut files: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(files.len() >= 5, "the transcripts moved");
    let bless = std::env::var_os("BLESS").is_some();
    let mut failures = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let whole = on_a_large_stack({
            let text = text.clone();
            move || script::play(&text, script::Feed::Whole)
        });
        let singly = on_a_large_stack({
            let text = text.clone();
            move || script::play(&text, script::Feed::ByteByByte)
        });
        assert_eq!(whole, singly, "{}: one byte at a time gives something else", file.display());
        if whole != text {
            if bless {
                fs::write(&file, &whole).unwrap();
            } else {
                failures.push(format!("{}:\n{}", file.display(), difference(&text, &whole)));
            }
        }
    }
    assert!(failures.is_empty(), "{} transcript(s) differ:\n{}", failures.len(), failures.join("\n"));
}

/// Statements are parsed on the thread that plays: as in the gateway, it has a large stack.
fn on_a_large_stack<T: Send + 'static>(play: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(pgsql::bounds::STACK_BYTES).spawn(play).unwrap().join().unwrap()
}

fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let at = expected.iter().zip(&found).position(|(a, b)| a != b).unwrap_or(expected.len().min(found.len()));
    let show =
        |lines: &[&str]| lines.iter().skip(at).take(4).map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n");
    format!("  line {}, expected:\n{}\n  found:\n{}", at + 1, show(&expected), show(&found))
}
