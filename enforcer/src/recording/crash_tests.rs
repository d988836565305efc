//! A disk in memory that fails, dies or loses power at any of the writer's calls: what was forwarded is on record, and
//! the next gateway and the verifier say exactly what is there.
//!
//! Power loss keeps what was synced, any prefix of a file's other bytes, and either state of a name whose folder was not
//! synced. The sealing and the log have threads of their own: the n-th call differs between runs, what must hold does not.

use super::log::check::{Earlier, Report, check_all};
use super::read::{End, Reader};
use super::tests::{TempFolder, at, client_left, key, opened, to_client};
use super::*;
use crate::core::event::{Event, What};
use lang::program::rules::Recorded;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Cursor;
use std::sync::{Mutex, MutexGuard};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The call fails, and later ones work.
    Error,
    /// The process ends in the call.
    Kill,
    /// The machine ends in the call.
    Power(u64),
}

#[derive(Clone, Debug, Default)]
struct File {
    data: Vec<u8>,
    /// Bytes that were synced.
    durable: usize,
}

/// A name: a folder, or a file by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Folder,
    File(usize),
}

#[derive(Debug, Default)]
struct State {
    calls: u64,
    fault: Option<(u64, Mode)>,
    files: Vec<File>,
    names: BTreeMap<PathBuf, Name>,
    durable: BTreeMap<PathBuf, Name>,
}

#[derive(Clone, Debug, Default)]
struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct SimFile(SimDisk, usize);

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Counts a call; whether it must fail, and how.
    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.calls += 1;
        match state.fault {
            Some((n, Mode::Error)) if state.calls == n => Err(io::Error::other("injected")),
            Some((n, Mode::Kill | Mode::Power(_))) if state.calls >= n => Err(io::Error::other("dead")),
            _ => Ok(state),
        }
    }

    /// Whether the call that failed last was the one that does half of its work.
    fn at_the_fault(&self) -> bool {
        let state = self.state();
        state.fault.is_some_and(|(n, _)| state.calls == n)
    }

    /// Puts what survives into a real folder.
    fn survive(&self, root: &Path) {
        let state = self.state();
        let mut random = match state.fault {
            Some((_, Mode::Power(seed))) => seed | 1,
            _ => 0,
        };
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random >> 33
        };
        let power = matches!(state.fault, Some((_, Mode::Power(_))));
        let all: BTreeSet<&PathBuf> = state.names.keys().chain(state.durable.keys()).collect();
        fs::create_dir_all(root).unwrap();
        for path in all {
            let (now, then) = (state.names.get(path), state.durable.get(path));
            let kept = if !power || now == then || next() % 2 == 0 { now } else { then };
            let Some(kept) = kept.filter(|_| path.parent().is_some_and(Path::exists)) else { continue };
            match kept {
                Name::Folder => fs::create_dir_all(path).unwrap(),
                Name::File(number) => {
                    let file = &state.files[*number];
                    let free = file.data.len() - file.durable;
                    let more = if power { usize::try_from(next()).unwrap() % (free + 1) } else { free };
                    fs::write(path, &file.data[..file.durable + more]).unwrap();
                }
            }
        }
    }
}

impl Disk for SimDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        if state.names.contains_key(folder) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let parents: Vec<PathBuf> = folder.ancestors().map(Path::to_owned).collect();
        for parent in parents {
            state.names.entry(parent).or_insert(Name::Folder);
        }
        Ok(())
    }

    fn create_file(&self, file: &Path) -> io::Result<Box<dyn Sink>> {
        let mut state = self.call()?;
        if state.names.contains_key(file) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.push(File::default());
        let number = state.files.len() - 1;
        state.names.insert(file.to_owned(), Name::File(number));
        Ok(Box::new(SimFile(self.clone(), number)))
    }

    fn append_file(&self, file: &Path) -> io::Result<Box<dyn Sink>> {
        self.create_file(file)
    }

    fn open_file(&self, file: &Path) -> io::Result<Box<dyn Source>> {
        let state = self.call()?;
        match state.names.get(file) {
            Some(Name::File(number)) => Ok(Box::new(Cursor::new(state.files[*number].data.clone()))),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        let name = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), name);
        Ok(())
    }

    fn remove_file(&self, file: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        state.names.remove(file).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        self.remove_file(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        let inside = |path: &Path| path.parent() == Some(folder);
        state.durable.retain(|path, _| !inside(path));
        let now: Vec<_> = state.names.iter().filter(|(path, _)| inside(path)).map(|(p, n)| (p.clone(), *n)).collect();
        state.durable.extend(now);
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl Sink for SimFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let outcome = self.0.call().map(|mut state| state.files[self.1].data.extend_from_slice(bytes));
        if outcome.is_err() && self.0.at_the_fault() {
            // A part of the bytes got through.
            self.0.state().files[self.1].data.extend_from_slice(&bytes[..bytes.len() / 2]);
        }
        outcome
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.0.call()?;
        let file = &mut state.files[self.1];
        file.durable = file.data.len();
        Ok(())
    }

    fn flush(&self) -> io::Result<Arc<dyn Flush>> {
        Ok(Arc::new(SimFile(self.0.clone(), self.1)))
    }
}

impl Flush for SimFile {
    fn sync(&self) -> io::Result<()> {
        Sink::sync(&mut SimFile(self.0.clone(), self.1))
    }
}

/// The life of three sessions up to the fault; the text of every event that was forwarded, by session.
fn live(root: &Path, disk: &SimDisk, durability: Durability) -> BTreeMap<u8, Vec<String>> {
    let settings = Settings { durability, ..Settings::new(root.to_owned()) };
    let mut forwarded: BTreeMap<u8, Vec<String>> = BTreeMap::new();
    let Ok(recorder) = Recorder::with_disk(settings, key(), Box::new(disk.clone()), 500) else {
        return forwarded;
    };
    let mut sessions = BTreeMap::new();
    for round in 0..5_u8 {
        for number in 1..=3_u8 {
            if number == round + 1
                && let Ok(session) = recorder.open(at(0), opened(number), Recorded::Full)
            {
                sessions.insert(number, session);
            }
            let Some(session) = sessions.get_mut(&number) else { continue };
            let text = format!("<{number}.{round}>");
            let event = to_client(i64::from(round) * 400, text.clone() + &"x".repeat(90));
            if session.append(&[event]).is_ok() {
                forwarded.entry(number).or_default().push(text);
            } else {
                // The session ends: it is cut, and closed where that is possible.
                if let Some(mut session) = sessions.remove(&number) {
                    let _ = session.close(at(2_000), &client_left());
                }
            }
        }
    }
    for mut session in sessions.into_values().take(2) {
        let _ = session.close(at(9_000), &client_left());
    }
    forwarded
}

fn texts(folder: &Path) -> (Vec<u8>, Option<End>) {
    let mut reader = Reader::open(folder, Some(key().public())).unwrap();
    let mut all = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        if let What::ToClient(bytes) = entry.event.what {
            all.extend_from_slice(&bytes);
        }
    }
    (all, reader.end())
}

fn verify(root: &Path) -> Report {
    check_all(root, key().public(), &Earlier::default()).unwrap()
}

/// Runs with one fault; how many calls there were.
fn one(durability: Durability, fault: Option<(u64, Mode)>) -> u64 {
    let temp = TempFolder::new();
    let root = temp.0.join("recordings");
    let disk = SimDisk::default();
    disk.state().fault = fault;
    let forwarded = live(&root, &disk, durability);
    disk.survive(&root);
    let about = || format!("{durability:?} {fault:?}");
    for (number, expected) in &forwarded {
        let folder = find(&root, &opened(*number).session).unwrap().unwrap_or_else(|| panic!("{}: lost", about()));
        let (found, _) = texts(&folder);
        let found = String::from_utf8(found).unwrap();
        for text in expected {
            assert!(found.contains(text), "{}: {text} was forwarded and is not on record", about());
        }
    }
    // The next gateway starts on what is there, and then everything is accounted for.
    drop(Recorder::new(Settings::new(root.clone()), key()).unwrap_or_else(|error| panic!("{}: {error:?}", about())));
    let report = verify(&root);
    assert!(report.findings.is_empty(), "{}: {report:?}", about());
    let begun = folders(&root).unwrap().into_values().filter(|folder| !list::is_empty(folder).unwrap()).count();
    assert_eq!(report.complete + report.unclosed, u64::try_from(begun).unwrap(), "{}", about());
    disk.state().calls
}

#[test]
fn an_error_at_every_call_loses_nothing_that_was_forwarded() {
    for durability in [Durability::Process, Durability::Disk] {
        let calls = one(durability, None);
        assert!(calls > 40, "{calls}");
        (1..=calls).for_each(|n| {
            one(durability, Some((n, Mode::Error)));
        });
    }
}

#[test]
fn a_kill_at_every_call_loses_nothing_that_was_forwarded() {
    let calls = one(Durability::Process, None);
    (1..=calls).for_each(|n| {
        one(Durability::Process, Some((n, Mode::Kill)));
    });
}

#[test]
fn power_loss_at_every_call_loses_nothing_that_was_forwarded_with_durability_disk() {
    let calls = one(Durability::Disk, None);
    (1..=calls).for_each(|n| {
        one(Durability::Disk, Some((n, Mode::Power(n * 7_919))));
    });
}

/// `cargo test -p enforcer --lib recording::crash_tests -- --ignored`: many power losses at every call.
#[test]
#[ignore = "minutes of work; the command stands above"]
fn power_loss_at_every_call_many_times() {
    let calls = one(Durability::Disk, None);
    for seed in 1..=40 {
        (1..=calls).for_each(|n| {
            one(Durability::Disk, Some((n, Mode::Power(n * 104_729 + seed))));
        });
    }
}

/// The child of the test below: records until it is killed, and says on its standard output what it was told to forward.
#[test]
#[ignore = "the child of another test"]
#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn writes_until_it_is_killed() {
    let Some(root) = std::env::var_os("LEASEHOLD_KILL_FOLDER") else { return };
    let number: u8 = std::env::var("LEASEHOLD_KILL_NUMBER").unwrap().parse().unwrap();
    let recorder = Recorder::with_disk(Settings::new(root.into()), key(), Box::new(OsDisk), 20_000).unwrap();
    let mut session = recorder.open(at(0), opened(number), Recorded::Full).unwrap();
    for count in 0..10_000_000_u64 {
        let event = Event { at: at(i64::try_from(count).unwrap()), what: What::ToClient(format!("<{count}>").into()) };
        session.append(&[event]).unwrap();
        println!("forwarded {count}");
    }
}

/// `cargo test -p enforcer --lib killed_a_hundred_times -- --ignored`: a process that records is killed (SIGKILL) under
/// load, again and again over one folder.
#[test]
#[ignore = "a hundred processes; the command stands above"]
fn killed_a_hundred_times() {
    use std::io::BufRead;
    let temp = TempFolder::new();
    let root = temp.0.join("recordings");
    let mut forwarded_in_all = 0_u64;
    for number in 1..=100_u8 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "recording::crash_tests::writes_until_it_is_killed", "--ignored", "--nocapture"])
            .env("LEASEHOLD_KILL_FOLDER", &root)
            .env("LEASEHOLD_KILL_NUMBER", number.to_string())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = io::BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = None;
        let until = u64::from(number) * 37 % 1_500;
        let mut note = |line: String| {
            if let Some(count) = line.strip_prefix("forwarded ") {
                // The last line may have been cut by the kill.
                last = count.parse::<u64>().ok().or(last);
            }
            last
        };
        for line in lines.by_ref() {
            if note(line.unwrap()).is_some_and(|count| count >= until) {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            note(line);
        }
        let last = last.unwrap();
        let folder = find(&root, &opened(number).session).unwrap().unwrap();
        let (found, end) = texts(&folder);
        let found = String::from_utf8(found).unwrap();
        let expected: String = (0..=last).map(|count| format!("<{count}>")).collect::<Vec<_>>().concat();
        assert!(found.starts_with(&expected), "kill {number}: something that was forwarded is not on record");
        assert!(matches!(end, Some(End::Unclosed { live: false, .. })), "{end:?}");
        forwarded_in_all += last;
    }
    drop(Recorder::new(Settings::new(root.clone()), key()).unwrap());
    let report = verify(&root);
    assert_eq!((report.unclosed, report.findings.len()), (100, 0), "{report:?}");
    assert!(forwarded_in_all > 10_000);
}
