//! The archive against a store that fails, forgets to answer, or holds something else.

use super::store::{Call, Put, Store, StoreError};
use super::*;
use crate::recording::log::check::{Bring, Earlier, Report, check_all, check_everywhere};
use crate::recording::tests::{TempFolder, at, client_left, decision, from_client, key, opened};
use crate::recording::{self, Disk, Flush, OsDisk, Recorder, RecorderError, Sink, Source};
use bytes::Bytes;
use lang::program::rules::Recorded;
use std::fs;
use std::io;
use std::time::Duration;

/// What the store does at the call that is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing, and says so.
    Refuses,
    /// What it was asked for, and the answer is lost.
    Forgets,
}

#[derive(Debug, Default)]
struct Memory {
    objects: BTreeMap<String, Bytes>,
    calls: u64,
    fault: Option<(u64, Mode)>,
}

#[derive(Clone, Debug, Default)]
struct MemoryStore(Arc<Mutex<Memory>>);

impl MemoryStore {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap()
    }

    fn call<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> Result<T, StoreError> {
        let mut memory = self.memory();
        memory.calls += 1;
        let lost = || StoreError::Failed { verb: "put", name: "x".into(), said: "lost".into() };
        match memory.fault {
            Some((call, Mode::Refuses)) if call == memory.calls => Err(lost()),
            Some((call, Mode::Forgets)) if call == memory.calls => {
                work(&mut memory);
                Err(lost())
            }
            Some(_) | None => Ok(work(&mut memory)),
        }
    }

    fn names(&self, folder: &str) -> Vec<String> {
        self.memory().objects.keys().filter(|name| name.starts_with(folder)).cloned().collect()
    }
}

impl Store for MemoryStore {
    fn put_new<'a>(&'a self, name: &'a str, bytes: Bytes) -> Call<'a, Put> {
        Box::pin(async move {
            self.call(|memory| {
                if memory.objects.contains_key(name) {
                    return Put::Exists;
                }
                memory.objects.insert(name.to_owned(), bytes);
                Put::Written
            })
        })
    }

    fn get<'a>(&'a self, name: &'a str) -> Call<'a, Option<Bytes>> {
        Box::pin(async move { self.call(|memory| memory.objects.get(name).cloned()) })
    }

    fn list<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<(String, u64)>> {
        Box::pin(async move {
            self.call(|memory| {
                let below = format!("{folder}/");
                let found = memory.objects.iter().filter_map(|(name, bytes)| {
                    Some((name.strip_prefix(&below)?.to_owned(), u64::try_from(bytes.len()).unwrap()))
                });
                found.collect()
            })
        })
    }

    fn last<'a>(&'a self, folder: &'a str, before: Option<&'a str>) -> Call<'a, Option<String>> {
        Box::pin(async move {
            self.call(|memory| {
                let below = format!("{folder}/");
                let names = memory.objects.keys().filter_map(|name| name.strip_prefix(&below));
                names.filter(|name| before.is_none_or(|before| *name < before)).max().map(str::to_owned)
            })
        })
    }

    fn folders<'a>(&'a self, folder: &'a str) -> Call<'a, Vec<String>> {
        Box::pin(async move {
            self.call(|memory| {
                let below = format!("{folder}/");
                let names = memory.objects.keys().filter_map(|name| name.strip_prefix(&below)?.split_once('/'));
                names.map(|(name, _)| name.to_owned()).collect::<std::collections::BTreeSet<_>>().into_iter().collect()
            })
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> Call<'a, ()> {
        Box::pin(async move { self.call(|memory| drop(memory.objects.remove(name))) })
    }
}

/// The operating system's files, without waits for the medium: what a crash would take is not what is tried here.
#[derive(Debug)]
struct Hasty(OsDisk);

#[derive(Debug)]
struct HastySink(Box<dyn Sink>);

#[derive(Debug)]
struct HastyFlush;

impl Flush for HastyFlush {
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for HastySink {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn flush(&self) -> io::Result<Arc<dyn Flush>> {
        Ok(Arc::new(HastyFlush))
    }
}

impl Disk for Hasty {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.0.create_folder(folder)
    }
    fn create_file(&self, file: &Path) -> io::Result<Box<dyn Sink>> {
        Ok(Box::new(HastySink(self.0.create_file(file)?)))
    }
    fn append_file(&self, file: &Path) -> io::Result<Box<dyn Sink>> {
        Ok(Box::new(HastySink(self.0.append_file(file)?)))
    }
    fn open_file(&self, file: &Path) -> io::Result<Box<dyn Source>> {
        self.0.open_file(file)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove_file(&self, file: &Path) -> io::Result<()> {
        self.0.remove_file(file)
    }
    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        self.0.remove_folder(folder)
    }
    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        self.0.free_bytes(folder)
    }
}

fn recorder(folder: &Path, keep_local_ms: Option<u64>) -> Recorder {
    let place = Place::parse("file:///nowhere").unwrap();
    let archive = Some(Settings { place, keep_local_ms });
    let settings = recording::Settings { archive, ..recording::Settings::new(folder.to_owned()) };
    for _ in 0..400 {
        match Recorder::with_disk(settings.clone(), key(), Box::new(Hasty(OsDisk)), 400) {
            Ok(recorder) => return recorder,
            // A child that another test starts holds the lock of the log as well until it runs its own program.
            Err(RecorderError::Io { source, .. }) if source.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the lock of the log is never free");
}

fn archivist(recorder: &Recorder, store: &MemoryStore) -> Archivist {
    let mut archivist = Archivist::new(recorder.clone()).unwrap();
    archivist.with_store(Arc::new(store.clone()));
    archivist.plain_after = Duration::ZERO;
    archivist
}

/// A closed recording of several segments and one that stays open.
fn record(recorder: &Recorder) -> recording::SessionRecorder {
    let mut closed = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    (0..4).for_each(|step| closed.append(&[from_client(step, &b"Q\0\0\0\x0dSELECT 1\0"[..]), decision(step)]).unwrap());
    closed.close(at(9), &client_left()).unwrap();
    let mut live = recorder.open(at(10), opened(2), Recorded::Full).unwrap();
    (0..4).for_each(|step| live.append(&[decision(10 + step)]).unwrap());
    live
}

/// The files of a recording here.
fn here(recorder: &Recorder, number: u8) -> BTreeMap<String, Vec<u8>> {
    let folder = recording::find(recorder.folder(), &opened(number).session).unwrap();
    let files = folder.into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let file = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    files.map(|entry| file(entry.unwrap())).collect()
}

/// The recording in the archive, fetched and verified.
async fn fetched(store: &MemoryStore, number: u8) -> Fetched {
    let temp = TempFolder::new();
    // The test's own calls are neither counted nor made to fail.
    let before = {
        let mut memory = store.memory();
        (memory.calls, memory.fault.take())
    };
    let fetched = fetch(store, &opened(number).session, &temp.0).await.unwrap();
    (store.memory().calls, store.memory().fault) = before;
    if let Fetched::Here(folder) = &fetched {
        let mut reader = recording::read::Reader::open(folder, Some(key().public())).unwrap();
        while reader.next_entry().unwrap().is_some() {}
    }
    fetched
}

/// Waits for the sealer and the log: dropping a recorder joins its threads.
fn restart(recorder: Recorder, folder: &Path, keep_local_ms: Option<u64>) -> Recorder {
    drop(recorder);
    self::recorder(folder, keep_local_ms)
}

fn report(recorder: &Recorder) -> Report {
    check_all(recorder.folder(), key().public(), &Earlier::default()).unwrap()
}

#[tokio::test]
async fn segments_go_up_on_the_way_and_the_rest_after_the_end() {
    let temp = TempFolder::new();
    let store = MemoryStore::default();
    let recorder = recorder(&temp.0, None);
    let mut live = record(&recorder);
    let mut archivist = archivist(&recorder, &store);
    for _ in 0..2_000 {
        archivist.round(at(20)).await.unwrap();
        if archived(&temp.0, &opened(1).session) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(fetched(&store, 1).await, Fetched::Here(_)));
    assert!(!archived(&temp.0, &opened(2).session), "it lives");
    live.close(at(30), &client_left()).unwrap();
    drop(live);
    for _ in 0..2_000 {
        archivist.round(at(31)).await.unwrap();
        if archived(&temp.0, &opened(2).session) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(archived(&temp.0, &opened(2).session));
    assert_eq!(recorder.meter().archive.pending.get(), 0);
    assert!(matches!(fetched(&store, 2).await, Fetched::Here(_)));
    let head = newest_checkpoint(&store, key().public()).await.unwrap().unwrap();
    let kept = Earlier { note: Some(head), witness: None };
    assert!(check_all(&temp.0, key().public(), &kept).unwrap().findings.is_empty());
}

/// Everything from the first segment to the removal after retention, with one call that fails; how many calls it took.
async fn one(fault: Option<(u64, Mode)>) -> u64 {
    let temp = TempFolder::new();
    let store = MemoryStore::default();
    let first = recorder(&temp.0, Some(1_000));
    drop(record(&first));
    let mut recorder = restart(first, &temp.0, Some(1_000));
    let before = (here(&recorder, 1), here(&recorder, 2));
    store.memory().fault = fault;
    let mut failures = 0;
    let ids = [opened(1).session, opened(2).session];
    let kept_ms = 3_600_000;
    for step in 0..20 {
        let now = at(10_000 + i64::from(step));
        let mut archivist = archivist(&recorder, &store);
        let outcome = match archivist.round(now).await {
            Ok(()) => archivist.trim(now).await,
            Err(error) => Err(error),
        };
        drop(archivist);
        // Whatever happened: what is not here is in the archive, whole.
        for (number, files) in [(1, &before.0), (2, &before.1)] {
            if here(&recorder, number).is_empty() {
                let found = matches!(fetched(&store, number).await, Fetched::Here(_));
                assert!(found, "{fault:?}: recording {number} is nowhere");
            } else {
                assert_eq!(&here(&recorder, number), files, "{fault:?}");
            }
        }
        assert!(report(&recorder).findings.is_empty(), "{fault:?}: {:?}", report(&recorder));
        // The process ends at the failure, and another goes on.
        failures += u32::from(outcome.is_err());
        if outcome.is_err() {
            recorder = restart(recorder, &temp.0, Some(1_000));
        }
        if ids.iter().all(|id| recording::find(&temp.0, id).unwrap().is_none()) {
            break;
        }
    }
    assert_eq!(report(&recorder).archived, 2, "{fault:?}");
    failures += retained(&store, recorder, &temp.0, kept_ms, fault).await;
    assert_eq!(failures, u32::from(fault.is_some()), "{fault:?}");
    store.memory().calls
}

/// Retention of what is in the archive alone: tombstones before removals. How many rounds failed.
async fn retained(
    store: &MemoryStore,
    mut recorder: Recorder,
    folder: &Path,
    keep_ms: u64,
    fault: Option<(u64, Mode)>,
) -> u32 {
    let now = at(4_000_000);
    let mut failures = 0;
    assert_eq!(recorder.retain(now, keep_ms).unwrap().removed, 2);
    for _ in 0..5 {
        let outcome = archivist(&recorder, store).round(now).await;
        failures += u32::from(outcome.is_err());
        if outcome.is_err() {
            // The recorder itself goes, not a clone of it: the last one holds the lock of the log.
            recorder = restart(recorder, folder, Some(1_000));
        }
    }
    for number in [1, 2] {
        let Fetched::Removed(tombstone) = fetched(store, number).await else { panic!("{fault:?}: {number} is left") };
        let lines: Vec<&str> = tombstone.lines().collect();
        assert_eq!((lines[0], lines.len()), ("leasehold tombstone v1", 3));
        let signature: Vec<u8> = lines[2]
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let message = receipt::tombstone_message(lines[1]);
        assert!(key().public().verifies(&message, &signature.try_into().unwrap()), "{tombstone}");
    }
    let report = report(&recorder);
    assert_eq!((report.removed, report.findings.len()), (2, 0), "{fault:?} {report:?}");
    failures
}

#[tokio::test]
async fn a_failure_at_every_call_loses_nothing_and_is_made_up_for() {
    let calls = one(None).await;
    assert!(calls > 15, "{calls}");
    for call in 1..=calls {
        for mode in [Mode::Refuses, Mode::Forgets] {
            one(Some((call, mode))).await;
        }
    }
}

#[tokio::test]
async fn an_object_that_is_another_is_left_as_it_is_and_the_recording_stays_here() {
    let temp = TempFolder::new();
    let store = MemoryStore::default();
    let first = recorder(&temp.0, Some(0));
    drop(record(&first));
    let recorder = restart(first, &temp.0, Some(0));
    let name = format!("recordings/{}/000000.rec.zst", opened(1).session);
    store.memory().objects.insert(name.clone(), Bytes::from_static(b"something else"));
    let mut archivist = archivist(&recorder, &store);
    for _ in 0..3 {
        archivist.round(at(10_000)).await.unwrap();
        archivist.trim(at(10_000)).await.unwrap();
    }
    assert_eq!(store.memory().objects[&name], "something else");
    assert!(!here(&recorder, 1).is_empty() && !archived(&temp.0, &opened(1).session));
    assert_eq!(recorder.meter().archive.conflicts.get(), 1);
    assert!(here(&recorder, 2).is_empty(), "another recording is archived all the same");
    assert_eq!(recorder.retain(at(9_000_000_000), 1).unwrap().waiting, 1);
}

#[tokio::test]
async fn what_was_changed_in_the_archive_is_found_and_located() {
    let temp = TempFolder::new();
    let store = MemoryStore::default();
    let first = recorder(&temp.0, Some(0));
    drop(record(&first));
    let recorder = restart(first, &temp.0, Some(0));
    let mut archivist = archivist(&recorder, &store);
    archivist.round(at(10_000)).await.unwrap();
    archivist.trim(at(10_000)).await.unwrap();
    let check = |store: &MemoryStore| {
        let into = TempFolder::new();
        let (tx, store) = (into.0.clone(), store.clone());
        let mut bring = move |session: &SessionId| {
            let fetched = futures_util::FutureExt::now_or_never(fetch(&store, session, &tx));
            match fetched.unwrap().map_err(|error| error.to_string())? {
                Fetched::Here(folder) => Ok(Some(folder)),
                Fetched::Removed(_) | Fetched::Unknown => Ok(None),
            }
        };
        let earlier = Earlier::default();
        check_everywhere(&temp.0, key().public(), &earlier, Some(&mut bring as Bring<'_>)).unwrap()
    };
    let intact = check(&store);
    assert_eq!((intact.archived, intact.findings.len()), (2, 0), "{intact:?}");
    let names = store.names(&format!("recordings/{}", opened(1).session));
    for name in &names {
        let bytes = store.memory().objects.remove(name).unwrap();
        let missing = check(&store);
        assert_eq!(missing.findings.len(), 1, "{name} is missing: {missing:?}");
        let mut changed = bytes.to_vec();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        store.memory().objects.insert(name.clone(), changed.into());
        let flipped = check(&store);
        assert_eq!(flipped.findings.len(), 1, "{name} is changed: {flipped:?}");
        assert_eq!(flipped.findings[0].session, Some(opened(1).session));
        store.memory().objects.insert(name.clone(), bytes);
    }
}

/// What a search over an archive alone finds, and how many recordings were brought for it.
fn found_in(store: &MemoryStore, file: Option<&Path>, table: &str) -> (Vec<String>, u32) {
    use crate::recording::index::{Elsewhere, Search, search_elsewhere};
    use futures_util::FutureExt as _;
    let sessions = sessions(store).now_or_never().unwrap().unwrap();
    let (into, mut brought) = (TempFolder::new(), 0);
    let mut bring = |session: &SessionId| {
        brought += 1;
        match fetch(store, session, &into.0).now_or_never().unwrap().map_err(|error| error.to_string())? {
            Fetched::Here(folder) => Ok(Some(folder)),
            Fetched::Removed(_) | Fetched::Unknown => Ok(None),
        }
    };
    let mut elsewhere = Elsewhere { sessions, bring: &mut bring };
    let search = Search { table: Some(table.to_owned()), since: Some(at(0)), limit: 10, ..Search::default() };
    let found = search_elsewhere(None, file, &mut elsewhere, &search).unwrap();
    assert_eq!(fs::read_dir(&into.0).unwrap().count(), 0, "nothing that was brought is left");
    (found.into_iter().map(|found| found.session).collect(), brought)
}

#[tokio::test]
async fn the_index_is_made_from_the_archive_alone() {
    let temp = TempFolder::new();
    let store = MemoryStore::default();
    let first = recorder(&temp.0, Some(0));
    drop(record(&first));
    let recorder = restart(first, &temp.0, Some(0));
    let mut archivist = archivist(&recorder, &store);
    archivist.round(at(10_000)).await.unwrap();
    archivist.trim(at(10_000)).await.unwrap();
    assert!(here(&recorder, 1).is_empty() && here(&recorder, 2).is_empty(), "both are in the archive alone");
    let both = [opened(2).session.to_string(), opened(1).session.to_string()];
    let file = temp.0.join("elsewhere.sqlite");
    std::thread::scope(|scope| {
        let stack = std::thread::Builder::new().stack_size(pgsql::bounds::STACK_BYTES);
        let asked = || {
            assert_eq!(found_in(&store, None, "public.orders"), (both.to_vec(), 2));
            assert_eq!(found_in(&store, None, "public.other").0, Vec::<String>::new());
            assert_eq!(found_in(&store, Some(&file), "public.orders"), (both.to_vec(), 2));
            // The closed one was read to its close; the other one, left by its gateway, is looked at again.
            assert_eq!(found_in(&store, Some(&file), "public.orders"), (both.to_vec(), 1));
        };
        stack.spawn_scoped(scope, asked).unwrap().join().unwrap();
    });
}

#[tokio::test]
async fn checkpoints_of_strangers_hide_no_rollback() {
    let temp = TempFolder::new();
    let store = MemoryStore::default();
    let recorder = recorder(&temp.0, None);
    drop(recorder.open(at(0), opened(1), Recorded::Full).unwrap());
    recorder.0.log.publish().unwrap();
    archivist(&recorder, &store).round(at(2)).await.unwrap();
    let older = newest_checkpoint(&store, key().public()).await.unwrap().unwrap();
    drop(recorder.open(at(3), opened(2), Recorded::Full).unwrap());
    recorder.0.log.publish().unwrap();
    archivist(&recorder, &store).round(at(4)).await.unwrap();
    let genuine = newest_checkpoint(&store, key().public()).await.unwrap().unwrap();
    assert_ne!(older, genuine);
    for number in 0..3_u64 {
        store.memory().objects.insert(format!("log/checkpoints/{:012}", 900_000 + number), older.clone().into());
        store.memory().objects.insert(format!("log/checkpoints/{:012}", 999_000 + number), Bytes::from_static(b"x"));
    }
    assert_eq!(newest_checkpoint(&store, key().public()).await.unwrap(), Some(genuine));
    for number in 0..40_u64 {
        store.memory().objects.insert(format!("log/checkpoints/{:012}", 999_100 + number), Bytes::from_static(b"x"));
    }
    assert!(newest_checkpoint(&store, key().public()).await.is_err(), "which one is the newest cannot be told");
}

#[tokio::test]
async fn a_log_that_is_rolled_back_with_its_checkpoint_is_held_against_the_archive() {
    let temp = TempFolder::new();
    let store = MemoryStore::default();
    let recorder = recorder(&temp.0, None);
    drop(recorder.open(at(0), opened(1), Recorded::Full).unwrap());
    recorder.0.log.publish().unwrap();
    let log = recording::log::folder(&temp.0);
    let saved: Vec<_> =
        ["entries", "checkpoint"].map(|name| (log.join(name), fs::read(log.join(name)).unwrap())).into();
    drop(recorder.open(at(1), opened(2), Recorded::Full).unwrap());
    recorder.0.log.publish().unwrap();
    archivist(&recorder, &store).round(at(2)).await.unwrap();
    drop(recorder);
    for (file, bytes) in &saved {
        fs::write(file, bytes).unwrap();
    }
    let second = recording::find(&temp.0, &opened(2).session).unwrap().unwrap();
    fs::remove_dir_all(second).unwrap();
    assert!(
        check_all(&temp.0, key().public(), &Earlier::default()).unwrap().findings.is_empty(),
        "by itself it is whole"
    );
    let note = newest_checkpoint(&store, key().public()).await.unwrap();
    let report = check_all(&temp.0, key().public(), &Earlier { note, witness: None }).unwrap();
    assert!(report.findings[0].sentence.contains("rolled back"), "{report:?}");
}
