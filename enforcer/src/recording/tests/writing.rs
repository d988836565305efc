//! What a recorder writes reads back, whatever the order of calls and the moment at which it stops.

use super::*;
use std::os::unix::fs::MetadataExt;

#[test]
fn a_closed_recording_reads_back_complete() {
    let temp = TempFolder::new();
    let folder = small(&temp.0, true);
    // Dropping the recorder waited for the compression.
    assert!(folder.join("000000.rec.zst").exists());
    assert!(!folder.join("000000.rec").exists());
    assert_eq!(folder.file_name().unwrap().to_str().unwrap(), opened(1).session.as_str());
    let (entries, end) = read_all(&folder).unwrap();
    assert_eq!(kinds(&entries), ["opened", "from", "decision", "to", "from", "closed"]);
    assert_eq!(entries.iter().map(|entry| entry.record).collect::<Vec<_>>(), [0, 2, 3, 4, 6, 7]);
    assert_eq!(entries[1].event, from_client(10, &b"Q\0\0\0\x0dSELECT 1\0"[..]));
    assert_eq!(end, End::Complete { records: 9, at: at(2_500) });
    assert!(matches!(read_with(&folder, None).unwrap().1, End::Complete { .. }));
}

#[test]
fn folders_and_files_are_private() {
    let temp = TempFolder::new();
    let recordings = temp.0.join("deep/recordings");
    let folder = small(&recordings, true);
    for path in [recordings.as_path(), folder.parent().unwrap(), folder.as_path()] {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o700, "{}", path.display());
    }
    assert_eq!(fs::metadata(folder.join("000000.rec.zst")).unwrap().mode() & 0o777, 0o600);
    let temp = TempFolder::new();
    let recorder = recorder(&temp.0, u64::MAX);
    let session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    assert_eq!(fs::metadata(session.folder().join("000000.rec")).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_killed_writer_loses_nothing_and_the_end_is_said() {
    let temp = TempFolder::new();
    let folder = small(&temp.0, false);
    let (entries, end) = read_all(&folder).unwrap();
    assert_eq!(kinds(&entries), ["opened", "from", "decision", "to", "from"]);
    assert_eq!(end, End::Unclosed { records: 7, signed_records: 6, torn_bytes: 0, live: false });

    // A write that was cut short by the kill.
    let file = folder.join("000000.rec");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 3]).unwrap();
    let (entries, end) = read_all(&folder).unwrap();
    assert_eq!(entries.len(), 4);
    let End::Unclosed { records: 6, torn_bytes, .. } = end else { panic!("{end:?}") };
    assert!(torn_bytes > 0);
}

#[test]
fn a_recording_that_grows_can_be_read() {
    let temp = TempFolder::new();
    let recorder = recorder(&temp.0, 600);
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    for step in 0..20 {
        session.append(&[decision(step)]).unwrap();
        let (entries, end) = read_all(session.folder()).unwrap();
        assert_eq!(entries.len(), usize::try_from(step).unwrap() + 2);
        assert!(matches!(end, End::Unclosed { live: true, torn_bytes: 0, .. }), "{end:?}");
    }
    assert_eq!(list(&temp.0, 10).unwrap()[0].state, State::Live);
    let folder = session.folder().to_owned();
    drop(session);
    assert!(matches!(read_all(&folder).unwrap().1, End::Unclosed { live: false, .. }));
    assert_eq!(list(&temp.0, 10).unwrap()[0].state, State::Unclosed);
}

#[test]
fn the_level_none_keeps_decisions_only() {
    let temp = TempFolder::new();
    let recorder = recorder(&temp.0, u64::MAX);
    let mut session = recorder.open(at(0), opened(1), Recorded::None).unwrap();
    let omitted = Event { at: at(3), what: What::RowsOmitted { rows: 3, bytes: 30 } };
    session.append(&[from_client(1, &b"canary"[..]), decision(2), omitted, to_client(4, &b"canary"[..])]).unwrap();
    session.close(at(5), &client_left()).unwrap();
    let (entries, _) = read_all(session.folder()).unwrap();
    assert_eq!(kinds(&entries), ["opened", "decision", "closed"]);
    let What::Opened(opened) = &entries[0].event.what else { panic!() };
    assert_eq!(opened.recorded, "none");
}

#[test]
fn long_runs_of_frames_are_split_and_join_again() {
    let temp = TempFolder::new();
    let recorder = recorder(&temp.0, 2 << 20);
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    let long: Vec<u8> = (0..9_000_000_u32).map(|i| i.to_le_bytes()[0] ^ i.to_le_bytes()[1]).collect();
    session.append(&[to_client(1, long.clone())]).unwrap();
    session.append(&[decision(2)]).unwrap();
    session.close(at(3), &client_left()).unwrap();
    let folder = session.folder().to_owned();
    drop((session, recorder));
    let (entries, end) = read_all(&folder).unwrap();
    let joined: Vec<u8> = entries
        .iter()
        .filter_map(|entry| if let What::ToClient(bytes) = &entry.event.what { Some(bytes.to_vec()) } else { None })
        .flatten()
        .collect();
    assert!(joined == long);
    assert!(matches!(end, End::Complete { .. }));
    assert!(folder.join("000001.rec.zst").exists());
}

#[test]
fn order_is_enforced() {
    let temp = TempFolder::new();
    let recorder = recorder(&temp.0, u64::MAX);
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    assert!(matches!(recorder.open(at(0), opened(1), Recorded::Full), Err(RecorderError::Exists(_))));
    session.close(at(1), &client_left()).unwrap();
    assert!(matches!(session.append(&[decision(2)]), Err(RecorderError::Refused(_))));
    assert!(matches!(session.close(at(1), &client_left()), Err(RecorderError::Refused(_))));

    let mut session = recorder.open(at(0), opened(2), Recorded::Full).unwrap();
    let second = Event { at: at(1), what: What::Opened(Box::new(opened(2))) };
    assert!(matches!(session.append(&[second]), Err(RecorderError::Refused(_))));
    assert!(matches!(session.append(&[decision(2)]), Err(RecorderError::Broken)));
    assert!(matches!(session.close(at(3), &client_left()), Err(RecorderError::Broken)));
}

#[test]
fn an_appended_end_is_not_written_twice() {
    let temp = TempFolder::new();
    let recorder = recorder(&temp.0, u64::MAX);
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    let ended = What::Closed { cause: "window-end".into(), sentence: "the window ended".into() };
    session.append(&[Event { at: at(1), what: ended }]).unwrap();
    session.close(at(2), &client_left()).unwrap();
    let (entries, end) = read_all(session.folder()).unwrap();
    assert_eq!(kinds(&entries), ["opened", "closed"]);
    assert!(matches!(end, End::Complete { .. }));
}

#[test]
fn idle_sessions_can_be_signed() {
    let temp = TempFolder::new();
    let recorder = recorder(&temp.0, u64::MAX);
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    session.append(&[decision(1)]).unwrap();
    assert!(matches!(read_all(session.folder()).unwrap().1, End::Unclosed { records: 3, signed_records: 2, .. }));
    session.checkpoint(at(5_000)).unwrap();
    session.checkpoint(at(9_000)).unwrap();
    assert!(matches!(read_all(session.folder()).unwrap().1, End::Unclosed { records: 4, signed_records: 4, .. }));
}
