//! Retention on a disk that fails at any of its calls: a tombstone may stand without a removal, never the reverse, and the
//! tombstone is on the medium before anything goes.

use super::*;
use crate::recording::hold::hold_file;
use crate::recording::log::check::{Earlier, Report, check_all};
use crate::recording::log::entries_file;
use std::sync::Mutex;

#[derive(Debug, Default)]
struct State {
    calls: u64,
    fails: Option<u64>,
    /// Whether the log has lines that the medium may not have.
    unsynced: bool,
    /// Removals that came before their tombstone was safe.
    early: Vec<PathBuf>,
}

#[derive(Clone, Debug, Default)]
struct Watched(Arc<Mutex<State>>);

#[derive(Debug)]
struct WatchedSink(Watched, Box<dyn Sink>, bool);

#[derive(Debug)]
struct WatchedFlush(Watched, Arc<dyn Flush>, bool);

impl Watched {
    fn call(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.calls += 1;
        if state.fails == Some(state.calls) { Err(io::Error::other("injected")) } else { Ok(()) }
    }

    fn sink(&self, file: &Path, sink: Box<dyn Sink>) -> Box<dyn Sink> {
        Box::new(WatchedSink(self.clone(), sink, file.ends_with("log/entries")))
    }

    fn goes(&self, path: &Path) {
        let mut state = self.0.lock().unwrap();
        if state.unsynced {
            state.early.push(path.to_owned());
        }
    }
}

impl Sink for WatchedSink {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.call()?;
        self.1.write_all(bytes)?;
        self.0.0.lock().unwrap().unsynced |= self.2;
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.call()?;
        self.1.sync()?;
        self.0.0.lock().unwrap().unsynced &= !self.2;
        Ok(())
    }
    fn flush(&self) -> io::Result<Arc<dyn Flush>> {
        Ok(Arc::new(WatchedFlush(self.0.clone(), self.1.flush()?, self.2)))
    }
}

impl Flush for WatchedFlush {
    fn sync(&self) -> io::Result<()> {
        self.0.call()?;
        self.1.sync()?;
        self.0.0.lock().unwrap().unsynced &= !self.2;
        Ok(())
    }
}

impl Disk for Watched {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.call()?;
        OsDisk.create_folder(folder)
    }
    fn create_file(&self, file: &Path) -> io::Result<Box<dyn Sink>> {
        self.call()?;
        Ok(self.sink(file, OsDisk.create_file(file)?))
    }
    fn append_file(&self, file: &Path) -> io::Result<Box<dyn Sink>> {
        self.call()?;
        Ok(self.sink(file, OsDisk.append_file(file)?))
    }
    fn open_file(&self, file: &Path) -> io::Result<Box<dyn Source>> {
        self.call()?;
        OsDisk.open_file(file)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call()?;
        if to.extension().is_some_and(|extension| extension == "gone") {
            self.goes(from);
        }
        OsDisk.rename(from, to)
    }
    fn remove_file(&self, file: &Path) -> io::Result<()> {
        self.call()?;
        OsDisk.remove_file(file)
    }
    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        self.call()?;
        OsDisk.remove_folder(folder)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.call()?;
        OsDisk.sync_folder(folder)
    }
    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        OsDisk.free_bytes(folder)
    }
}

fn report(folder: &Path) -> Report {
    check_all(folder, key().public(), &Earlier::default()).unwrap()
}

/// A recorder once the lock of the log is free: children of other tests hold it for a moment.
fn patient(folder: &Path, disk: &dyn Fn() -> Box<dyn Disk>) -> Recorder {
    for _ in 0..400 {
        match Recorder::with_disk(Settings::new(folder.to_owned()), key(), disk(), u64::MAX) {
            Err(RecorderError::Io { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            outcome => return outcome.unwrap(),
        }
    }
    panic!("the lock of the log is never free");
}

/// One pass over three recordings, of which one is held, with one call that fails; how many calls there were.
fn one(fails: Option<u64>) -> u64 {
    let temp = TempFolder::new();
    let plain: &dyn Fn() -> Box<dyn Disk> = &|| Box::new(OsDisk);
    let first = patient(&temp.0, plain);
    for number in 1..=3 {
        let mut session = first.open(at(0), opened(number), Recorded::Full).unwrap();
        session.close(at(1_000), &client_left()).unwrap();
    }
    drop(first);
    let hold = hold_file(&temp.0, &opened(2).session);
    fs::create_dir_all(hold.parent().unwrap()).unwrap();
    fs::write(&hold, "case 17\n").unwrap();

    let watched = Watched::default();
    let recorder = patient(&temp.0, &|| Box::new(watched.clone()));
    {
        let mut state = watched.0.lock().unwrap();
        (state.calls, state.fails) = (0, fails);
    }
    let passed = recorder.retain(at(90_000), 1);
    let calls = {
        let mut state = watched.0.lock().unwrap();
        state.fails = None;
        assert_eq!(state.early, Vec::<PathBuf>::new(), "call {fails:?}: removed before its tombstone was safe");
        state.calls
    };
    drop((passed, recorder));
    let next = patient(&temp.0, plain);
    next.0.log.publish().unwrap();
    let after = report(&temp.0);
    assert!(after.findings.is_empty(), "call {fails:?}: {after:?}");
    assert_eq!(after.complete + after.removed, 3, "call {fails:?}: {after:?}");
    next.retain(at(91_000), 1).unwrap();
    next.0.log.publish().unwrap();
    let done = report(&temp.0);
    assert_eq!((done.complete, done.removed, done.held, done.findings.len()), (1, 2, 1, 0), "call {fails:?}: {done:?}");
    assert!(fs::read_to_string(entries_file(&temp.0)).unwrap().contains(" file case%2017 "));
    calls
}

#[test]
fn retention_that_fails_at_any_call_removes_nothing_without_a_tombstone() {
    let calls = one(None);
    assert!(calls > 12, "{calls}");
    (1..=calls).for_each(|call| {
        one(Some(call));
    });
}
