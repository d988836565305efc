//! The format of recordings, held to its document: a reader that was written from `docs/recording-format.md` alone reads
//! and verifies what gateways wrote, the kept files of every version among it, and finds what was changed.

mod cbor;
mod log;
mod reader;
mod wrapped;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use cbor::Value;
use reader::{Read, read};
use std::fs;
use std::path::{Path, PathBuf};

const SESSION: &str = "ses_1802g0401802g040";
const IDENTITY: &str = "AGE-SECRET-KEY-16AXDDE4YWZKJARYG0T867C9GKRHDCW8KNSWW3PZ07WVLX7MA5R3S4CLC9Y";
/// The instant that the kept recordings count from.
const START: i128 = 1_777_900_000_000;

fn public_key() -> Vec<u8> {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap().public_key().as_ref().to_vec()
}

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/recordings").join(name).join(SESSION)
}

/// What the kept recordings hold, as the document names it: the middle events, without the opening and the end.
fn middle() -> Vec<(i128, &'static str, Value)> {
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let text = |text: &str| Value::Text(text.to_owned());
    let map = |members: &[(&str, Value)]| {
        Value::Map(members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    };
    let decision = map(&[
        ("outcome", text("allowed")),
        ("accesses", Value::List(vec![text("select public.orders")])),
        ("rule", text("grant orders-read")),
        ("place", text("policies/orders.kdl:12")),
        ("sentence", text("the grant `orders-read` allows this")),
    ]);
    vec![
        (10, "from_client", bytes(b"Q\0\0\0\x1aSELECT id, note FROM t\0")),
        (11, "decision", decision),
        (12, "to_client", bytes(b"T\0\0\0\x2a\0\x02id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0note\0")),
        (13, "to_client", bytes(b"\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0")),
        (14, "to_client", bytes(b"D\0\0\0\x13\0\x02\0\0\0\x011\0\0\0\x04\xc3\xa4bc")),
        (15, "rows_omitted", map(&[("rows", Value::Number(2)), ("bytes", Value::Number(99))])),
        (1_500, "to_client", bytes(b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I")),
        (1_600, "reauthorised", map(&[("bundle", text(&"d".repeat(64))), ("commit", text(&"e".repeat(40)))])),
        (1_700, "from_client", bytes(b"X\0\0\0\x04")),
    ]
}

fn assert_whole(name: &str, read: &Read) {
    assert_eq!((read.closed, read.hidden), (Some(1_777_900_002_500), 0), "{name}");
    let (first, rest) = read.events.split_first().unwrap();
    assert_eq!((first.0, first.1.as_str()), (START, "opened"), "{name}");
    assert_eq!(first.2.member("session"), Some(&Value::Text(SESSION.to_owned())));
    assert_eq!(first.2.member("subject").and_then(|subject| subject.member("id")), Some(&Value::Text("o1".to_owned())));
    for fact in "gateway subject_name kind groups connection protocol grant request window ends recorded bundle commit \
                 reason ticket client_user application_name trace peer"
        .split_whitespace()
    {
        assert!(first.2.member(fact).is_some(), "{name}: the opening states no {fact}");
    }
    let (last, rest) = rest.split_last().unwrap();
    assert_eq!(
        (last.1.as_str(), last.2.member("cause")),
        ("closed", Some(&Value::Text("client".to_owned()))),
        "{name}"
    );
    let found: Vec<_> = rest.iter().map(|(at, kind, value)| (at - START, kind.as_str(), value.clone())).collect();
    assert_eq!(found, middle(), "{name}");
}

#[test]
fn the_document_is_enough_to_read_and_verify_every_version() {
    let key = public_key();
    let identity = wrapped::identity(IDENTITY);
    for (name, version, identity) in [("v1", 1, None), ("v2", 2, None), ("v2-encrypted", 2, Some(&identity))] {
        let read = read(&kept(name), &key, identity).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        assert_eq!(read.version, version);
        assert_whole(name, &read);
    }
    // Without the identity the chain and the signatures verify all the same, and the facts of the session stay readable.
    for name in ["v2-encrypted", "v2-transit"] {
        let blind = read(&kept(name), &key, None).unwrap();
        let kinds: Vec<&str> = blind.events.iter().map(|(_, kind, _)| kind.as_str()).collect();
        assert_eq!((kinds.as_slice(), blind.hidden), (["opened", "reauthorised", "closed"].as_slice(), 8), "{name}");
        assert!(blind.closed.is_some());
    }
    let transit = read(&kept("v2-transit"), &key, None).unwrap().wrapped.unwrap();
    assert_eq!(transit, b"leasehold-transit/v1\ntransit/recordings\nvault:v1:Z29sZGVu\n");
}

#[test]
fn what_was_changed_is_found_by_the_document_alone() {
    let folder = std::env::temp_dir().join(format!("leasehold-format-{}", std::process::id())).join(SESSION);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    let names: Vec<String> =
        fs::read_dir(kept("v2")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for name in &names {
        let sealed = fs::read(kept("v2").join(name)).unwrap();
        let plain = zstd::decode_all(&sealed[..sealed.len() - 72]).unwrap();
        fs::write(folder.join(name.trim_end_matches(".zst")), plain).unwrap();
    }
    let key = public_key();
    let whole = read(&folder, &key, None).unwrap();
    assert_whole("uncompressed", &whole);
    for name in &names {
        let file = folder.join(name.trim_end_matches(".zst"));
        let bytes = fs::read(&file).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << (place % 8);
            fs::write(&file, &changed).unwrap();
            let fault = read(&folder, &key, None).expect_err("a flipped bit");
            assert_eq!(format!("{:06}.rec", fault.0), name.trim_end_matches(".zst"), "{fault:?} at {place}");
        }
        fs::write(&file, &bytes).unwrap();
    }
    assert_eq!(read(&folder, &key, None).unwrap(), whole);
    fs::remove_dir_all(folder.parent().unwrap()).unwrap();
}
