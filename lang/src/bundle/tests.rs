//! What a bundle must hold and what it must refuse.

use super::*;
use crate::program::{
    Place,
    rules::{RuleId, RuleKind},
};

fn rules() -> Rules {
    Rules { name: "example".into(), timezone: "UTC".into(), ..Rules::default() }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn sources() -> SourceTable {
    let mut table = SourceTable::default();
    table.0.insert(RuleId::new(RuleKind::Policy, "example"), Place { file: "policy.kdl".into(), line: 1 });
    table
}

fn signed() -> Vec<u8> {
    build(&rules(), &sources(), Facts { sequence: 7, ..Facts::default() }, Some(&key(1))).unwrap()
}

#[test]
fn a_signed_bundle_opens_with_its_key_only() {
    let bundle = open(&signed(), &[key(2).verifying_key(), key(1).verifying_key()]).unwrap();
    assert_eq!(bundle.get().rules, rules());
    assert_eq!(bundle.get().sources, sources());
    assert_eq!(bundle.get().statement.sequence, 7);
    assert_eq!(bundle.get().statement.semantic, semantic_digest(&rules()).unwrap());
    assert_eq!(open(&signed(), &[key(2).verifying_key()]).unwrap_err(), BundleError::Untrusted);
    assert_eq!(open(&signed(), &[]).unwrap_err(), BundleError::Untrusted);
}

#[test]
fn an_attestation_says_what_its_bundle_says() {
    let facts = || Facts { sequence: 7, commit: Some("c0ffee".into()), ..Facts::default() };
    let bytes = attest(&rules(), &sources(), facts(), &key(1)).unwrap();
    let bundle = build(&rules(), &sources(), facts(), Some(&key(1))).unwrap();
    let said = attested(&bytes, &[key(1).verifying_key()]).unwrap();
    assert_eq!(said.get(), &open(&bundle, &[key(1).verifying_key()]).unwrap().get().statement);
    // As git keeps a note: with an end of line.
    assert!(attested(&[bytes.as_slice(), b"\n"].concat(), &[key(1).verifying_key()]).is_ok());
    assert_eq!(attested(&bytes, &[key(2).verifying_key()]).unwrap_err(), BundleError::Untrusted);
    assert!(matches!(
        attested(&[bytes.as_slice(), &bytes].concat(), &[key(1).verifying_key()]),
        Err(BundleError::Envelope(_))
    ));
    let long = [bytes, vec![b' '; ATTESTATION_BYTES_MAX]].concat();
    assert!(matches!(attested(&long, &[key(1).verifying_key()]), Err(BundleError::Envelope(_))));
}

#[test]
fn an_unsigned_bundle_is_refused() {
    let bytes = build(&rules(), &sources(), Facts::default(), None).unwrap();
    assert_eq!(open(&bytes, &[key(1).verifying_key()]).unwrap_err(), BundleError::Unsigned);
}

#[test]
fn changed_and_missing_bytes_are_noticed() {
    let good = signed();
    let trusted = [key(1).verifying_key()];
    for at in (0..good.len()).step_by(3) {
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        // Some bytes of the envelope carry no meaning: the key's name, and white space that JSON permits.
        if let Ok(bundle) = open(&bad, &trusted) {
            assert_eq!(bundle.get().statement.sequence, 7, "byte {at}");
            assert_eq!(bundle.get().rules, rules(), "byte {at}");
        }
        assert!(open(&good[..at], &trusted).is_err(), "cut at {at}");
    }
    let mut longer = good;
    longer.push(0);
    assert_eq!(open(&longer, &trusted).unwrap_err(), BundleError::Frame("bytes follow its end"));
}

#[test]
fn places_do_not_change_what_a_policy_means() {
    let one = open(&signed(), &[key(1).verifying_key()]).unwrap().into_inner();
    let moved = build(&rules(), &SourceTable::default(), Facts::default(), Some(&key(1))).unwrap();
    let two = open(&moved, &[key(1).verifying_key()]).unwrap().into_inner();
    assert_eq!(one.statement.semantic, two.statement.semantic);
    assert_ne!(one.statement.places, two.statement.places);
}
