//! Recordings of every version of the format, kept as files: readers of today read what earlier gateways wrote.
//!
//! `BLESS_GOLDEN=1 cargo test -p enforcer --lib golden` writes the files of the current version when there are none;
//! a file that stands is never written again.

use super::read::{End, Reader};
use super::tests::{TempFolder, at, client_left, decision, from_client, key, opened, to_client};
use super::*;
use crate::core::event::{Event, What};
use std::fs;

/// The recordings of each version that are kept; from version 2 an encrypted one as well.
const KEPT: &[(&str, bool)] = &[("v1", false), ("v2", false), ("v2-encrypted", true)];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/recordings").join(name)
}

/// One event of each kind, over several segments.
fn events() -> Vec<Event> {
    vec![
        from_client(10, &b"Q\0\0\0\x1aSELECT id, note FROM t\0"[..]),
        decision(11),
        to_client(12, &b"T\0\0\0\x2a\0\x02id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0note\0"[..]),
        to_client(13, &b"\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"[..]),
        to_client(14, &b"D\0\0\0\x13\0\x02\0\0\0\x011\0\0\0\x04\xc3\xa4bc"[..]),
        Event { at: at(15), what: What::RowsOmitted { rows: 2, bytes: 99 } },
        to_client(1_500, &b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I"[..]),
        Event { at: at(1_600), what: What::Reauthorised { bundle: "d".repeat(64), commit: "e".repeat(40) } },
        from_client(1_700, &b"X\0\0\0\x04"[..]),
    ]
}

fn write(name: &str, encrypted: bool) {
    let temp = TempFolder::new();
    let recipients = if encrypted { vec![age::Recipient::parse(age::tests::RECIPIENT).unwrap()] } else { vec![] };
    let settings = Settings { recipients, ..Settings::new(temp.0.clone()) };
    let recorder = Recorder::with_disk(settings, key(), Box::new(OsDisk), 700).unwrap();
    let mut session = recorder.open(at(0), opened(1), lang::program::rules::Recorded::Full).unwrap();
    for event in events() {
        session.append(&[event]).unwrap();
    }
    session.close(at(2_500), &client_left()).unwrap();
    let from = session.folder().to_owned();
    drop((session, recorder));
    let to = folder(name).join(from.file_name().unwrap());
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(&from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn holds(name: &str, encrypted: bool) {
    let folder = folder(name).join(opened(1).session.as_str());
    let mut reader = Reader::open(&folder, Some(key().public())).unwrap();
    if encrypted {
        reader = reader.with_identities(age::Identity::parse_all(age::tests::IDENTITY).unwrap());
    }
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        found.push(entry.event);
    }
    assert!(matches!(reader.end(), Some(End::Complete { at: end, .. }) if end == at(2_500)));
    assert_eq!(found.first().unwrap().what, What::Opened(Box::new(opened(1))));
    assert_eq!(found.get(1..found.len() - 1).unwrap(), events());
    assert!(matches!(&found.last().unwrap().what, What::Closed { cause, .. } if cause == "client"));
}

#[test]
fn every_version_reads_back() {
    for (name, encrypted) in KEPT {
        if std::env::var_os("BLESS_GOLDEN").is_some() && !folder(name).exists() {
            write(name, *encrypted);
        }
        holds(name, *encrypted);
    }
    let newest = format!("v{}", format::VERSION);
    assert!(KEPT.iter().any(|(name, _)| *name == newest), "a recording of the current version is kept");
}
