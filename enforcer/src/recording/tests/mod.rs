//! What the tests of recordings share: a folder that goes, a key, events, a small recording. The tests stand in files by
//! their idea: `writing`, `faults`, `tamper`, `reading`.

mod faults;
mod reading;
mod retaining;
mod tamper;
mod writing;

use super::read::{End, Entry, ReadError, Reader, Tampered};
use super::*;
use crate::core::event::{Decision, Event, What};
use crate::core::id::SessionId;
use crate::core::identity::Subject;
use crate::core::machine::{Cause, Close};
use bytes::Bytes;
use std::fs;
use std::sync::atomic::AtomicU32;

pub(crate) struct TempFolder(pub(crate) PathBuf);

impl TempFolder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("leasehold-recording-{}-{number}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_777_900_000_000 + ms)
}

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

pub(crate) fn opened(number: u8) -> Opened {
    Opened {
        session: SessionId::from_random([number; 10]),
        gateway: "gw-1".into(),
        subject: Subject { idp: "corp".into(), tenant: "t1".into(), id: "o1".into() },
        subject_name: Some("mara@acme.example".into()),
        kind: "human".into(),
        groups: vec!["payments".into()],
        connection: "orders".into(),
        protocol: "postgres".into(),
        grant: "orders-read".into(),
        request: None,
        window: None,
        ends: at(600_000),
        recorded: "full".into(),
        bundle: "b".repeat(64),
        commit: "c".repeat(40),
        reason: Some("INC-7".into()),
        ticket: None,
        client_user: "mara".into(),
        application_name: Some("psql".into()),
        trace: None,
        peer: "127.0.0.1:5000".into(),
    }
}

pub(crate) fn recorder(folder: &Path, segment_bytes: u64) -> Recorder {
    let settings = Settings::new(folder.to_owned());
    Recorder::with_disk(settings, key(), Box::new(OsDisk), segment_bytes).unwrap()
}

pub(crate) fn from_client(ms: i64, bytes: impl Into<Bytes>) -> Event {
    Event { at: at(ms), what: What::FromClient(bytes.into()) }
}

pub(crate) fn to_client(ms: i64, bytes: impl Into<Bytes>) -> Event {
    Event { at: at(ms), what: What::ToClient(bytes.into()) }
}

pub(crate) fn decision(ms: i64) -> Event {
    Event {
        at: at(ms),
        what: What::Decision(Decision {
            outcome: "allowed".into(),
            accesses: vec!["select public.orders".into()],
            rule: Some("grant orders-read".into()),
            place: Some("policies/orders.kdl:12".into()),
            sentence: "the grant `orders-read` allows this".into(),
        }),
    }
}

pub(crate) fn client_left() -> Close {
    Close { cause: Cause::Client, sentence: "the client left".into() }
}

fn read_all(folder: &Path) -> Result<(Vec<Entry>, End), ReadError> {
    read_with(folder, Some(key().public()))
}

fn read_with(folder: &Path, key: Option<PublicKey>) -> Result<(Vec<Entry>, End), ReadError> {
    let mut reader = Reader::open(folder, key)?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        entries.push(entry);
    }
    Ok((entries, reader.end().unwrap()))
}

fn kinds(entries: &[Entry]) -> Vec<&'static str> {
    entries
        .iter()
        .map(|entry| match &entry.event.what {
            What::Opened(_) => "opened",
            What::FromClient(_) => "from",
            What::ToClient(_) => "to",
            What::RowsOmitted { .. } => "omitted",
            What::Decision(_) => "decision",
            What::Reauthorised { .. } => "reauthorised",
            What::Closed { .. } => "closed",
        })
        .collect()
}

/// A small closed recording; returns its folder.
fn small(folder: &Path, close: bool) -> PathBuf {
    let recorder = recorder(folder, u64::MAX);
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    session.append(&[from_client(10, &b"Q\0\0\0\x0dSELECT 1\0"[..]), decision(11)]).unwrap();
    session.append(&[to_client(2_000, &b"C\0\0\0\x0dSELECT 1\0"[..])]).unwrap();
    session.append(&[from_client(2_001, &b"X\0\0\0\x04"[..])]).unwrap();
    if close {
        session.close(at(2_500), &client_left()).unwrap();
    }
    session.folder().to_owned()
}

/// The same recording with its compressed segments decompressed, which is as valid.
fn unsealed(folder: &Path) -> PathBuf {
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().unwrap() == "zst" {
            let bytes = fs::read(&file).unwrap();
            let plain = zstd::decode_all(bytes.as_slice()).unwrap();
            fs::write(file.with_extension(""), plain).unwrap();
            fs::remove_file(&file).unwrap();
        }
    }
    folder.to_owned()
}
