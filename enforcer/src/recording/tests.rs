//! Recordings against failing disks, killed writers and changed bytes.

use super::read::{End, Entry, ReadError, Reader, Tampered};
use super::*;
use crate::core::event::{Decision, Event, What};
use crate::core::id::SessionId;
use crate::core::identity::Subject;
use crate::core::machine::{Cause, Close};
use bytes::Bytes;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
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

/// What a [`FaultyDisk`] does, changed while a test runs.
#[derive(Debug, Default)]
struct Faults {
    free: u64,
    write: Option<io::ErrorKind>,
    /// Bytes that still get through before a write fails.
    partial: usize,
    sync: bool,
    create: bool,
    syncs: u32,
    writes: u32,
}

#[derive(Clone, Debug)]
struct FaultyDisk(Arc<Mutex<Faults>>);

#[derive(Debug)]
struct FaultySink(Box<dyn Sink>, Arc<Mutex<Faults>>);

#[derive(Debug)]
struct FaultyFlush(Arc<dyn Flush>, Arc<Mutex<Faults>>);

impl Flush for FaultyFlush {
    fn sync(&self) -> io::Result<()> {
        let mut faults = self.1.lock().unwrap();
        faults.syncs += 1;
        if faults.sync { Err(io::Error::other("medium")) } else { self.0.sync() }
    }
}

impl Disk for FaultyDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        OsDisk.create_folder(folder)
    }
    fn create_file(&self, file: &Path) -> io::Result<Box<dyn Sink>> {
        if self.0.lock().unwrap().create {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(Box::new(FaultySink(OsDisk.create_file(file)?, Arc::clone(&self.0))))
    }
    fn append_file(&self, file: &Path) -> io::Result<Box<dyn Sink>> {
        OsDisk.append_file(file)
    }
    fn open_file(&self, file: &Path) -> io::Result<Box<dyn Source>> {
        OsDisk.open_file(file)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }
    fn remove_file(&self, file: &Path) -> io::Result<()> {
        OsDisk.remove_file(file)
    }
    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        OsDisk.remove_folder(folder)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        OsDisk.sync_folder(folder)
    }
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().free)
    }
}

impl Sink for FaultySink {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut faults = self.1.lock().unwrap();
        faults.writes += 1;
        if let Some(kind) = faults.write {
            self.0.write_all(&bytes[..faults.partial.min(bytes.len())])?;
            return Err(kind.into());
        }
        self.0.write_all(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        let mut faults = self.1.lock().unwrap();
        faults.syncs += 1;
        if faults.sync { Err(io::Error::other("medium")) } else { self.0.sync() }
    }
    fn flush(&self) -> io::Result<Arc<dyn Flush>> {
        Ok(Arc::new(FaultyFlush(self.0.flush()?, Arc::clone(&self.1))))
    }
}

fn faulty(folder: &Path, durability: Durability) -> (Recorder, Arc<Mutex<Faults>>) {
    let faults = Arc::new(Mutex::new(Faults { free: 1 << 30, ..Faults::default() }));
    let settings = Settings { durability, free_bytes_min: 1 << 20, ..Settings::new(folder.to_owned()) };
    let disk = Box::new(FaultyDisk(Arc::clone(&faults)));
    (Recorder::with_disk(settings, key(), disk, 1 << 20).unwrap(), faults)
}

#[test]
fn a_failed_write_ends_the_recording_wherever_it_happens() {
    for partial in [0, 5, 40, 150] {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::Other] {
            let temp = TempFolder::new();
            let (recorder, faults) = faulty(&temp.0, Durability::Process);
            let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
            session.append(&[decision(1)]).unwrap();
            faults.lock().unwrap().write = Some(kind);
            faults.lock().unwrap().partial = partial;
            let error = session.append(&[decision(2), decision(3)]).unwrap_err();
            assert!(matches!(error, RecorderError::Io { verb: "write", .. }), "{error:?}");
            // The disk works again: the recording must not go on behind a hole.
            faults.lock().unwrap().write = None;
            assert!(matches!(session.append(&[decision(4)]), Err(RecorderError::Broken)));
            assert!(matches!(session.close(at(5), &client_left()), Err(RecorderError::Broken)));
            let (entries, end) = read_all(session.folder()).unwrap();
            assert_eq!(kinds(&entries), ["opened", "decision"]);
            assert!(matches!(end, End::Unclosed { .. }));
        }
    }
}

#[test]
fn durability_disk_waits_for_the_medium_at_each_batch() {
    let temp = TempFolder::new();
    let (recorder, faults) = faulty(&temp.0, Durability::Disk);
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    let counts = || {
        let faults = faults.lock().unwrap();
        (faults.syncs, faults.writes)
    };
    let (syncs, writes) = counts();
    session.append(&[decision(1), decision(2), decision(3)]).unwrap();
    assert_eq!(counts(), (syncs + 1, writes + 1));
    faults.lock().unwrap().sync = true;
    assert!(matches!(session.append(&[decision(4)]), Err(RecorderError::Io { verb: "sync", .. })));
    assert!(matches!(session.append(&[decision(5)]), Err(RecorderError::Broken)));
}

#[test]
fn no_session_opens_on_a_full_disk_and_a_running_one_ends_with_a_close() {
    let temp = TempFolder::new();
    let (recorder, faults) = faulty(&temp.0, Durability::Process);
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    faults.lock().unwrap().free = 1000;
    let error = recorder.open(at(0), opened(2), Recorded::Full).unwrap_err();
    assert_eq!(error.to_string(), "the disk of the recordings has 1000 bytes left and 1048576 must stay free");
    assert!(recorder.ready().is_err());
    assert!(matches!(session.append(&[decision(1)]), Err(RecorderError::NoSpace { .. })));
    assert!(matches!(session.append(&[decision(2)]), Err(RecorderError::Broken)));
    let full = Close { cause: Cause::Recorder, sentence: "the disk is full".into() };
    session.close(at(3), &full).unwrap();
    assert!(matches!(read_all(session.folder()).unwrap().1, End::Complete { .. }));
    faults.lock().unwrap().free = 1 << 30;
    recorder.open(at(0), opened(3), Recorded::Full).unwrap();
}

#[test]
fn a_disk_that_fills_is_noticed_while_appending() {
    let temp = TempFolder::new();
    let (recorder, faults) = faulty(&temp.0, Durability::Process);
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    faults.lock().unwrap().free = 0;
    let block = vec![1_u8; 256 << 10];
    let accepted = (0..100).take_while(|_| session.append(&[to_client(1, block.clone())]).is_ok()).count();
    assert!((10..=16).contains(&accepted), "{accepted}");
}

#[test]
fn a_segment_that_cannot_be_created_ends_the_recording() {
    let temp = TempFolder::new();
    let (recorder, faults) = faulty(&temp.0, Durability::Process);
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    session.append(&[to_client(1, vec![1_u8; 1 << 20])]).unwrap();
    faults.lock().unwrap().create = true;
    assert!(matches!(session.append(&[decision(2)]), Err(RecorderError::Io { verb: "create", .. })));
    assert!(matches!(session.append(&[decision(2)]), Err(RecorderError::Broken)));
    assert!(recorder.open(at(0), opened(2), Recorded::Full).is_err());
}

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

#[test]
fn another_key_or_session_is_found() {
    let temp = TempFolder::new();
    let folder = small(&temp.0, true);
    let other = SigningKey::from_seed(&[8; 32]).public();
    assert!(matches!(read_with(&folder, Some(other)), Err(ReadError::OtherKey { .. })));
    assert!(matches!(Reader::open(&temp.0, None), Err(ReadError::Missing(_))));
}

#[test]
fn lists_show_the_newest_first_with_their_states() {
    let temp = TempFolder::new();
    let recorder = recorder(&temp.0, u64::MAX);
    let mut first = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    first.close(at(1), &client_left()).unwrap();
    let later = Timestamp::from_unix_ms(at(0).unix_ms() + 40 * 86_400_000);
    let second = recorder.open(later, opened(2), Recorded::Full).unwrap();
    let broken = recorder.open(later, opened(3), Recorded::Full).unwrap();
    fs::write(broken.folder().join("000000.rec"), [0_u8; 500]).unwrap();
    let found = list(&temp.0, 10).unwrap();
    let facts: Vec<_> = found.iter().map(|summary| (summary.session.clone(), summary.state.word())).collect();
    let session = |number| opened(number).session;
    assert_eq!(facts, [(session(2), "live"), (session(3), "damaged"), (session(1), "closed")]);
    assert_eq!(list(&temp.0, 1).unwrap().len(), 1);
    assert_eq!(find(&temp.0, &session(2)).unwrap().unwrap(), second.folder());
    assert_eq!(find(&temp.0, &session(9)).unwrap(), None);
    assert!(
        matches!(summary(&temp.0, &session(1)).unwrap().unwrap().state, State::Closed { cause, .. } if cause == "client")
    );
    assert!(list(&temp.0.join("nowhere"), 10).unwrap().is_empty());
}

#[test]
fn keys_are_created_private_and_read_again() {
    let temp = TempFolder::new();
    let file = temp.0.join("state/recording.key");
    let (key, created) = SigningKey::load_or_create(&file).unwrap();
    assert!(created);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let (again, created) = SigningKey::load_or_create(&file).unwrap();
    assert!(!created);
    assert_eq!(key.public(), again.public());
    assert_eq!(PublicKey::load(&public_file(&file)).unwrap(), key.public());
    assert_eq!(PublicKey::parse(&key.public().to_string()), Some(key.public()));
    let seed = fs::read_to_string(&file).unwrap();
    assert!(seed.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(!format!("{key:?}").contains(seed.lines().nth(1).unwrap()));
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert!(matches!(SigningKey::load_or_create(&file), Err(KeyError::Exposed { .. })));
    fs::write(temp.0.join("bad"), "nothing").unwrap();
    fs::set_permissions(temp.0.join("bad"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert!(matches!(SigningKey::load(&temp.0.join("bad")), Err(KeyError::Malformed { .. })));
}

#[test]
fn an_encrypted_recording_is_verified_without_its_key_and_read_with_it() {
    const CANARY: &[u8] = b"canary-4471";
    let temp = TempFolder::new();
    let recipients = vec![age::Recipient::parse(age::tests::RECIPIENT).unwrap()];
    let settings = Settings { recipients, ..Settings::new(temp.0.clone()) };
    let recorder = Recorder::with_disk(settings, key(), Box::new(OsDisk), 2_000).unwrap();
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    let rows: Vec<Event> = (0..6).map(|step| to_client(step, [CANARY, &[7; 900]].concat())).collect();
    for row in &rows {
        session.append(std::slice::from_ref(row)).unwrap();
    }
    session.append(&[decision(10)]).unwrap();
    session.close(at(20), &client_left()).unwrap();
    let folder = unsealed(&{
        let folder = session.folder().to_owned();
        drop((session, recorder));
        folder
    });
    for entry in fs::read_dir(&folder).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY));
        assert!(!bytes.windows(13).any(|window| window == b"public.orders"));
    }
    let (entries, end) = read_all(&folder).unwrap();
    assert_eq!(kinds(&entries), ["opened", "closed"]);
    assert!(matches!(end, End::Complete { .. }));
    let identities = || age::Identity::parse_all(age::tests::IDENTITY).unwrap();
    let mut reader = Reader::open(&folder, Some(key().public())).unwrap().with_identities(identities());
    let found: Vec<Entry> = reader.by_ref().map(Result::unwrap).collect();
    assert_eq!(found.iter().filter(|entry| rows.contains(&entry.event)).count(), rows.len());
    assert!(found.iter().any(|entry| entry.event == decision(10)));
    assert_eq!(reader.hidden(), 0);
    // Every changed byte is found without the key.
    let file = folder.join("000000.rec");
    let whole = fs::read(&file).unwrap();
    for place in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        fs::write(&file, &bytes).unwrap();
        assert!(read_all(&folder).is_err(), "byte {place}");
    }
}

#[test]
fn a_quota_ends_sessions_and_keeps_new_ones_out() {
    let temp = TempFolder::new();
    let settings = Settings { quota_bytes: Some(9 << 20), ..Settings::new(temp.0.clone()) };
    let recorder = Recorder::with_disk(settings, key(), Box::new(OsDisk), u64::MAX).unwrap();
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    let block = vec![1_u8; 1 << 20];
    let accepted = (0..20).take_while(|_| session.append(&[to_client(1, block.clone())]).is_ok()).count();
    assert!((8..=12).contains(&accepted), "{accepted}");
    let full = Close { cause: Cause::Recorder, sentence: "the quota is used up".into() };
    session.close(at(3), &full).unwrap();
    assert!(matches!(recorder.open(at(4), opened(2), Recorded::Full), Err(RecorderError::Quota { .. })));
    drop((session, recorder));
    // Compressed, the same recordings leave room again.
    let settings = Settings { quota_bytes: Some(9 << 20), ..Settings::new(temp.0.clone()) };
    let recorder = Recorder::with_disk(settings, key(), Box::new(OsDisk), u64::MAX).unwrap();
    assert!(recorder.used_bytes() < 1 << 20);
    recorder.open(at(5), opened(3), Recorded::Full).unwrap();
}

#[tokio::test]
async fn sessions_wait_together_for_the_medium() {
    let temp = TempFolder::new();
    let (recorder, faults) = faulty(&temp.0, Durability::Disk);
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    let inline = faults.lock().unwrap().syncs;
    let pending = session.begin(&[decision(1)]).unwrap().unwrap();
    pending.wait().await.unwrap();
    assert_eq!(faults.lock().unwrap().syncs, inline + 1, "by the thread that waits for all");
    faults.lock().unwrap().sync = true;
    let pending = session.begin(&[decision(2)]).unwrap().unwrap();
    assert!(pending.wait().await.is_err());
    faults.lock().unwrap().sync = false;
    assert!(matches!(session.begin(&[decision(3)]), Err(RecorderError::Broken)));
    assert!(matches!(session.close(at(4), &client_left()), Err(RecorderError::Broken)));
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
