//! Recordings of every version of the format, kept as files: readers of today read what earlier gateways wrote.
//!
//! `BLESS_GOLDEN=1 cargo test -p enforcer --lib golden` writes the files of the current version when there are none;
//! a file that stands is never written again.

use super::read::{End, Reader};
use super::tests::{TempFolder, at, client_left, decision, from_client, key, opened, to_client};
use super::*;
use crate::core::event::{Event, What};
use std::fs;

/// How the key of a recording is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrap {
    None,
    Age,
    Transit,
}

/// The recordings of each version that are kept; from version 2 encrypted ones as well.
const KEPT: &[(&str, Wrap)] =
    &[("v1", Wrap::None), ("v2", Wrap::None), ("v2-encrypted", Wrap::Age), ("v2-transit", Wrap::Transit)];

/// The key of the recording that a key service wrapped, and how it stands there.
const SERVED: [u8; 32] = [5; 32];
const WRAPPED: &str = "vault:v1:Z29sZGVu";

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

fn write(name: &str, wrap: Wrap) {
    let temp = TempFolder::new();
    let recipients =
        if wrap == Wrap::Age { vec![age::Recipient::parse(age::tests::RECIPIENT).unwrap()] } else { vec![] };
    let wrapped = (wrap == Wrap::Transit).then(|| transit::Wrapped {
        key: age::PayloadKey::from_bytes(&zeroize::Zeroizing::new(SERVED)).unwrap(),
        file: format!("leasehold-transit/v1\ntransit/recordings\n{WRAPPED}\n").into_bytes(),
    });
    let settings = Settings { recipients, ..Settings::new(temp.0.clone()) };
    let recorder = Recorder::with_disk(settings, key(), Box::new(OsDisk), 700).unwrap();
    let full = lang::program::rules::Recorded::Full;
    let mut session = recorder.open_with(at(0), opened(1), full, wrapped).unwrap();
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

/// A key service that knows one ciphertext of one session, and answers once.
fn service() -> (String, std::thread::JoinHandle<String>) {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answers = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut asked, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            asked.push_str(&line);
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        asked.push_str(std::str::from_utf8(&body).unwrap());
        let plain = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, SERVED);
        let body = format!("{{\"data\":{{\"plaintext\":\"{plain}\"}}}}");
        let length = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").unwrap();
        asked
    });
    (address, answers)
}

fn holds(name: &str, wrap: Wrap) {
    let folder = folder(name).join(opened(1).session.as_str());
    let mut reader = Reader::open(&folder, Some(key().public())).unwrap();
    let temp = TempFolder::new();
    let mut served = None;
    match wrap {
        Wrap::None => {}
        Wrap::Age => reader = reader.with_identities(age::Identity::parse_all(age::tests::IDENTITY).unwrap()),
        Wrap::Transit => {
            let token = temp.0.join("token");
            fs::write(&token, "s.auditor\n").unwrap();
            let (address, answers) = service();
            reader = reader.with_key_service(transit::Opener::new(&address, &token).unwrap());
            served = Some(answers);
        }
    }
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        found.push(entry.event);
    }
    assert!(matches!(reader.end(), Some(End::Complete { at: end, .. }) if end == at(2_500)));
    assert_eq!(found.first().unwrap().what, What::Opened(Box::new(opened(1))));
    assert_eq!(found.get(1..found.len() - 1).unwrap(), events());
    assert!(matches!(&found.last().unwrap().what, What::Closed { cause, .. } if cause == "client"));
    if let Some(served) = served {
        let asked = served.join().unwrap();
        let session = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, opened(1).session.as_str());
        assert!(asked.starts_with("POST /v1/transit/decrypt/recordings HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(WRAPPED) && asked.contains(&session), "{asked}");
    }
}

#[test]
fn every_version_reads_back() {
    for (name, wrap) in KEPT {
        if std::env::var_os("BLESS_GOLDEN").is_some() && !folder(name).exists() {
            write(name, *wrap);
        }
        holds(name, *wrap);
    }
    let newest = format!("v{}", format::VERSION);
    assert!(KEPT.iter().any(|(name, _)| *name == newest), "a recording of the current version is kept");
}
