//! The log of a gateway, from its document alone, over a folder that the product wrote: lines, checks, the tree, the
//! checkpoint, and a note that a witness countersigned.

use super::public_key;
use super::reader::{blake3_of, read, verifies};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use enforcer::core::id::SessionId;
use enforcer::core::machine::{Cause, Close};
use enforcer::recording::{Recorder, Settings, SigningKey};
use lang::program::rules::Recorded;
use lang::time::Timestamp;
use std::fs;
use std::path::{Path, PathBuf};

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    digest(&SHA256, &parts.concat()).as_ref().to_vec()
}

/// RFC 6962, word for word.
fn root(leaves: &[&str]) -> Vec<u8> {
    match leaves {
        [] => sha256(&[]),
        [one] => sha256(&[&[0], one.as_bytes()]),
        many => {
            let mut split = 1;
            while split * 2 < many.len() {
                split *= 2;
            }
            sha256(&[&[1], &root(&many[..split]), &root(&many[split..])])
        }
    }
}

/// The key's hash of the signed-note specification.
fn key_hash(name: &str, algorithm: u8, key: &[u8]) -> Vec<u8> {
    sha256(&[name.as_bytes(), b"\n", &[algorithm], key])[..4].to_vec()
}

fn facts(number: u8) -> enforcer::core::event::Opened {
    enforcer::core::event::Opened {
        session: SessionId::from_random([number; 10]),
        gateway: "gw 1".into(),
        subject: enforcer::core::identity::Subject { idp: "corp".into(), tenant: "t1".into(), id: "o1".into() },
        subject_name: None,
        kind: "human".into(),
        groups: Vec::new(),
        connection: "orders".into(),
        protocol: "postgres".into(),
        grant: "orders-read".into(),
        request: None,
        window: None,
        ends: Timestamp::from_unix_ms(9_000),
        recorded: "full".into(),
        bundle: "b".repeat(64),
        commit: "c".repeat(40),
        reason: None,
        ticket: None,
        client_user: "mara".into(),
        application_name: None,
        trace: None,
        peer: "127.0.0.1:1".into(),
    }
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A folder with the recordings of three sessions, one of them held and one removed.
fn written(name: &str) -> Folder {
    let folder = Folder(std::env::temp_dir().join(format!("leasehold-{name}-{}", std::process::id())));
    drop(fs::remove_dir_all(&folder.0));
    let settings = Settings { gateway: "gw 1".into(), ..Settings::new(folder.0.clone()) };
    let recorder = Recorder::new(settings, SigningKey::from_seed(&[7; 32])).unwrap();
    let at = Timestamp::from_unix_ms;
    for number in 1..=3 {
        let opened = facts(number);
        let mut session = recorder.open(at(i64::from(number)), opened, Recorded::Full).unwrap();
        if number < 3 {
            session.close(at(100), &Close { cause: Cause::Client, sentence: "bye".into() }).unwrap();
        }
    }
    recorder.hold(&SessionId::from_random([1; 10]), "corp:t1:sam", "Fall 17, 50 %", at(200)).unwrap();
    assert_eq!(recorder.retain(at(10_000), 1).unwrap().removed, 1 + 1, "all that was not held");
    drop(recorder);
    folder
}

fn lines(folder: &Path) -> (String, Vec<Vec<String>>) {
    let text = fs::read_to_string(folder.join("log/entries")).unwrap();
    let lines = text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect();
    (text, lines)
}

#[test]
fn the_log_is_as_its_document_says() {
    let folder = written("format-log");
    let (text, lines) = lines(&folder.0);
    let mut before = String::new();
    for (line, words) in text.lines().zip(&lines) {
        let (said, check) = line.rsplit_once(' ').unwrap();
        let expected = blake3_of(&[b"leasehold log v1\0", before.as_bytes(), said.as_bytes()]);
        assert_eq!(check, hexadecimal(&expected[..8]), "{line}");
        assert_eq!(words.len(), if words[0] == "removed" { 7 } else { 6 }, "{line}");
        check.clone_into(&mut before);
    }
    let held: Vec<&Vec<String>> = lines.iter().filter(|words| words[0] == "held").collect();
    assert_eq!(
        held[0][1..5],
        ["200", SessionId::from_random([1; 10]).as_str(), "corp:t1:sam", "Fall%2017,%2050%20%25"]
    );
    // Each end that the log states is the one that the files have.
    for words in lines.iter().filter(|words| words[0] == "closed") {
        let recording = folder.0.join("1970-01").join(&words[2]);
        if let Ok(read) = read(&recording, &public_key(), None) {
            assert_eq!(
                (words[3].as_str(), words[4].as_str()),
                (read.records.to_string().as_str(), hexadecimal(&read.chain).as_str())
            );
        } else {
            assert!(lines.iter().any(|other| other[0] == "removed" && other[2] == words[2] && other[4] == words[4]));
        }
    }
    let note = fs::read_to_string(folder.0.join("log/checkpoint")).unwrap();
    let (body, signatures) = note.split_once("\n\n").unwrap();
    let leaves: Vec<&str> = text.lines().collect();
    let expected = format!("leasehold/gw_1\n{}\n{}", leaves.len(), STANDARD.encode(root(&leaves)));
    assert_eq!(body, expected);
    let signature = signatures.strip_prefix("\u{2014} leasehold/gw_1 ").unwrap().trim_end();
    let bytes = STANDARD.decode(signature).unwrap();
    assert_eq!(bytes[..4], key_hash("leasehold/gw_1", 1, &public_key()));
    assert!(verifies(&public_key(), format!("{body}\n").as_bytes(), &bytes[4..]));
}

/// An outside witness: it reads the note, checks the log's signature, and adds its own line, as
/// <https://github.com/C2SP/C2SP/blob/main/tlog-cosignature.md> has it.
#[test]
fn a_witness_of_its_own_making_is_believed_and_its_note_finds_a_rollback() {
    use enforcer::recording::log::check::{Earlier, check_all};
    use enforcer::recording::log::note::Witness;
    let folder = written("format-witness");
    let note = fs::read_to_string(folder.0.join("log/checkpoint")).unwrap();
    let witness = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let (name, key) = ("witness.example/w1", witness.public_key().as_ref().to_vec());
    let id = key_hash(name, 4, &key);
    let (body, _) = note.split_once("\n\n").unwrap();
    let time = 1_800_000_000_u64;
    let signature = witness.sign(format!("cosignature/v1\ntime {time}\n{body}\n").as_bytes());
    let line = STANDARD.encode([id.as_slice(), &time.to_be_bytes(), signature.as_ref()].concat());
    let countersigned = format!("{note}\u{2014} {name} {line}\n");
    let text = format!("{name}+{}+{}", hexadecimal(&id), STANDARD.encode([&[4], key.as_slice()].concat()));
    let witness = Witness::parse(&text).unwrap();
    assert_eq!(witness.countersigned(&countersigned), Ok(time));
    let public = SigningKey::from_seed(&[7; 32]).public();
    let earlier = |note: &str| Earlier { note: Some(note.to_owned()), witness: Some(witness.clone()) };
    let report = check_all(&folder.0, public, &earlier(&countersigned)).unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
    let alone = check_all(&folder.0, public, &earlier(&note)).unwrap();
    assert!(alone.findings.iter().any(|finding| finding.sentence.contains("countersignature")), "{alone:?}");
    // The log goes back to before its last lines, and whoever holds the gateway's key signs it anew.
    let entries = folder.0.join("log/entries");
    let older: String = lines(&folder.0).0.lines().take(6).map(|line| format!("{line}\n")).collect();
    fs::write(&entries, &older).unwrap();
    let leaves: Vec<&str> = older.lines().collect();
    let body = format!("leasehold/gw_1\n6\n{}\n", STANDARD.encode(root(&leaves)));
    let gateway = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let signed =
        [key_hash("leasehold/gw_1", 1, &public_key()).as_slice(), gateway.sign(body.as_bytes()).as_ref()].concat();
    fs::write(
        folder.0.join("log/checkpoint"),
        format!("{body}\n\u{2014} leasehold/gw_1 {}\n", STANDARD.encode(signed)),
    )
    .unwrap();
    let rolled = check_all(&folder.0, public, &earlier(&countersigned)).unwrap();
    let found = rolled.findings.iter().find(|finding| finding.sentence.contains("rolled back")).unwrap();
    assert_eq!(found.entry, Some(6), "{rolled:?}");
}
