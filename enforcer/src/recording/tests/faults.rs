//! Recorders on disks that fill, fail or are slow: nothing is accepted that is not written.

use super::*;
use std::sync::Mutex;

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
