//! Whatever is changed in the files is found, and where it is.

use super::*;
use proptest::prelude::*;

#[test]
fn every_flipped_byte_is_found() {
    for sealed in [false, true] {
        let temp = TempFolder::new();
        let mut folder = small(&temp.0, true);
        if !sealed {
            folder = unsealed(&folder);
        }
        let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
        let whole = fs::read(&file).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << (place % 8);
            fs::write(&file, &bytes).unwrap();
            match read_all(&folder) {
                Err(ReadError::Tampered { .. } | ReadError::OtherKey { .. }) => {}
                other => panic!("sealed {sealed}, byte {place}: {other:?}"),
            }
        }
        fs::write(&file, &whole).unwrap();
        assert!(read_all(&folder).is_ok());
    }
}

#[test]
fn segments_that_are_removed_swapped_or_doubled_are_found() {
    let temp = TempFolder::new();
    let recorder = recorder(&temp.0, 400);
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    (0..8).for_each(|step| session.append(&[decision(step), decision(step)]).unwrap());
    session.close(at(9), &client_left()).unwrap();
    let folder = session.folder().to_owned();
    drop((session, recorder));
    let name = |number: u32| folder.join(format!("{number:06}.rec.zst"));
    assert!(matches!(read_all(&folder).unwrap().1, End::Complete { .. }));
    assert!(name(4).exists());

    fs::rename(name(1), temp.0.join("away")).unwrap();
    assert!(matches!(read_all(&folder), Err(ReadError::Tampered { what: Tampered::Cut, segment: 0, .. })));
    fs::copy(name(2), name(1)).unwrap();
    assert!(matches!(read_all(&folder), Err(ReadError::Tampered { what: Tampered::Seal, segment: 1, .. })));
    fs::rename(temp.0.join("away"), name(1)).unwrap();

    let last = list::last_segment(&folder).unwrap().unwrap();
    fs::copy(name(last), name(last + 1)).unwrap();
    assert!(matches!(read_all(&folder), Err(ReadError::Tampered { what: Tampered::AfterClose, .. })));
    fs::remove_file(name(last + 1)).unwrap();

    fs::rename(name(last), temp.0.join("away")).unwrap();
    assert!(matches!(read_all(&folder), Ok((_, End::Unclosed { live: false, .. }))));
    fs::rename(temp.0.join("away"), name(last)).unwrap();

    // A copy that the gateway had no time to remove is fine; one that differs is not.
    let plain = zstd::decode_all(fs::read(name(2)).unwrap().as_slice()).unwrap();
    fs::write(folder.join("000002.rec"), &plain).unwrap();
    assert!(matches!(read_all(&folder).unwrap().1, End::Complete { .. }));
    fs::write(folder.join("000002.rec"), &plain[1..]).unwrap();
    assert!(matches!(read_all(&folder), Err(ReadError::Tampered { what: Tampered::Copies, segment: 2, .. })));
}

/// The first and last byte of every record in the plain first segment.
fn records(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut all = Vec::new();
    let mut at = format::SEGMENT_HEADER_BYTES;
    while at < bytes.len() {
        let length = usize::try_from(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap();
        let end = at + format::RECORD_HEADER_BYTES + length + format::CHECK_BYTES;
        all.push(at..end);
        at = end;
    }
    all
}

#[test]
fn records_that_are_deleted_reordered_doubled_or_spliced_in_are_located() {
    let temp = TempFolder::new();
    let folder = unsealed(&small(&temp.0, true));
    let file = folder.join("000000.rec");
    let whole = fs::read(&file).unwrap();
    let other = {
        let temp = TempFolder::new();
        let recorder = recorder(&temp.0, u64::MAX);
        let mut session = recorder.open(at(0), opened(2), Recorded::Full).unwrap();
        session.append(&[from_client(10, &b"Q\0\0\0\x0dSELECT 1\0"[..]), decision(11)]).unwrap();
        session.close(at(20), &client_left()).unwrap();
        let folder = session.folder().to_owned();
        drop((session, recorder));
        fs::read(unsealed(&folder).join("000000.rec")).unwrap()
    };
    let (places, theirs) = (records(&whole), records(&other));
    assert!(places.len() > 5 && theirs.len() > 3, "{places:?}");
    let record = |number: usize| whole[places[number].clone()].to_vec();
    for number in 0..places.len() - 1 {
        let (before, after) = (&whole[..places[number].start], &whole[places[number].end..]);
        let next = &whole[places[number + 1].end..];
        let spliced = other[theirs[number.min(theirs.len() - 1)].clone()].to_vec();
        let edits = [
            ("deleted", [before, after].concat()),
            ("reordered", [before, &record(number + 1), &record(number), next].concat()),
            ("doubled", [before, &record(number), &record(number), after].concat()),
            ("spliced in", [before, &spliced, after].concat()),
        ];
        for (edit, bytes) in edits {
            fs::write(&file, &bytes).unwrap();
            // What stands there first differs at this record, or at the next one where it stands twice.
            let expected = u64::try_from(number + usize::from(edit == "doubled")).unwrap();
            match read_all(&folder) {
                Err(ReadError::Tampered { segment: 0, record: Some(found), .. }) if found == expected => {}
                found => panic!("record {number} {edit}: {found:?}"),
            }
        }
    }
}

#[test]
fn another_key_or_session_is_found() {
    let temp = TempFolder::new();
    let folder = small(&temp.0, true);
    let other = SigningKey::from_seed(&[8; 32]).public();
    assert!(matches!(read_with(&folder, Some(other)), Err(ReadError::OtherKey { .. })));
    assert!(matches!(Reader::open(&temp.0, None), Err(ReadError::Missing(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Any edit of the plain bytes is found, or is a plain truncation, which shows as a missing close.
    #[test]
    fn edits_are_found(kind in 0..5, first in 0..4096_usize, second in 0..4096_usize, byte: u8) {
        let temp = TempFolder::new();
        let folder = unsealed(&small(&temp.0, true));
        let file = folder.join("000000.rec");
        let whole = fs::read(&file).unwrap();
        let mut bytes = whole.clone();
        let (first, second) = (first % whole.len(), second % whole.len());
        match kind {
            0 => { bytes.remove(first); }
            1 => bytes.insert(first, byte),
            2 => bytes.swap(first, second),
            3 => bytes.truncate(first),
            _ => { bytes.drain(first.min(second)..first.max(second)); }
        }
        fs::write(&file, &bytes).unwrap();
        match read_all(&folder) {
            Ok((_, End::Complete { .. })) => prop_assert_eq!(bytes, whole),
            // The fragment of a record that was being written is no evidence: it is counted and never shown.
            Ok((_, End::Unclosed { torn_bytes, .. })) => prop_assert!(whole.starts_with(&bytes[..bytes.len() - torn_bytes])),
            Err(ReadError::Tampered { .. } | ReadError::OtherKey { .. }) => {}
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    /// Hostile files never panic, compressed or not.
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600), head in any::<bool>(), name in 0..2) {
        let temp = TempFolder::new();
        let folder = small(&temp.0, true);
        let sealed = fs::read(folder.join("000000.rec.zst")).unwrap();
        let plain = zstd::decode_all(sealed.as_slice()).unwrap();
        fs::remove_file(folder.join("000000.rec.zst")).unwrap();
        let (name, original) = if name == 0 { ("000000.rec", plain) } else { ("000000.rec.zst", sealed) };
        let mut hostile = if head { original[..original.len().min(200)].to_vec() } else { Vec::new() };
        hostile.extend_from_slice(&bytes);
        fs::write(folder.join(name), &hostile).unwrap();
        for key in [None, Some(key().public())] {
            let read = read_with(&folder, key);
            let complete = matches!(read, Ok((_, End::Complete { .. })));
            prop_assert!(!complete);
        }
        drop(list(&temp.0, 10).unwrap());
    }
}
