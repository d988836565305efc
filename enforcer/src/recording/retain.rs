//! Retention: recordings that were kept long enough are removed, and a line of the log stays in their place.
//!
//! A recording that is live, held, or cannot be read whole is never removed. The tombstone comes first: a crash leaves
//! a line without a removal, never a removal without a line.

use super::archive::{self, Receipt};
use super::format::Chain;
use super::hold::hold_file;
use super::key::hexadecimal;
use super::list;
use super::log::{Leaf, Line};
use super::{Recorder, adopt};
use crate::core::id::SessionId;
use lang::time::Timestamp;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

/// What one pass of retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Recordings that were removed.
    pub removed: u64,
    /// Recordings that are old enough and held.
    pub held: u64,
    /// Recordings that are old enough and cannot be removed now.
    pub stuck: u64,
    /// Recordings that are old enough and not in the archive yet.
    pub waiting: u64,
}

/// The ending of a folder whose tombstone is written.
const GONE: &str = "gone";

impl Recorder {
    /// Removes the recordings that ended more than `keep_ms` before `now` and are not held.
    ///
    /// # Errors
    /// When the folder of all recordings cannot be read.
    pub fn retain(&self, now: Timestamp, keep_ms: u64) -> io::Result<Retained> {
        let recordings = &self.0.settings.folder;
        let mut done = Retained::default();
        self.note_hold_files(now)?;
        for (session, folder) in list::all(recordings)? {
            // The opening is cheap to read, and nothing ended before it.
            let opened = list::summary(recordings, &session)?.and_then(|found| found.opened);
            if opened.is_none_or(|(opened, _)| now.ms_since(opened) < keep_ms || opened > now) {
                continue;
            }
            match self.retain_one(&session, &folder, now, keep_ms) {
                Ok(One::Young) => {}
                Ok(One::Held) => done.held += 1,
                Ok(One::Removed) => done.removed += 1,
                Ok(One::Waiting) => done.waiting += 1,
                Err(error) => {
                    tracing::error!(%session, %error, "a recording cannot be removed");
                    done.stuck += 1;
                }
            }
        }
        self.sweep_gone(recordings)?;
        self.retain_archived(now, keep_ms, &mut done)?;
        Ok(done)
    }

    /// Buries the recordings that are in the archive alone. Their objects go once the tombstone is signed.
    fn retain_archived(&self, now: Timestamp, keep_ms: u64, done: &mut Retained) -> io::Result<()> {
        let recordings = &self.0.settings.folder;
        for session in archive::receipt_list(recordings)? {
            let Some(receipt) = Receipt::read(recordings, &session)? else { continue };
            let ended = Timestamp::from_unix_ms(receipt.ended);
            let old = ended <= now && now.ms_since(ended) >= keep_ms;
            if receipt.tombstone.is_some() || !old || list::find(recordings, &session)?.is_some() {
                continue;
            }
            // Nobody can begin to hold it between the question and the tombstone.
            let holds = self.holds();
            if holds.contains_key(&session) || hold_file(recordings, &session).try_exists()? {
                done.held += 1;
                continue;
            }
            self.bury(&session, now, (receipt.records, receipt.chain))?;
            done.removed += 1;
        }
        Ok(())
    }

    /// Writes the tombstone of a recording into the log and, where it is in the archive, into its receipt.
    fn bury(&self, session: &SessionId, now: Timestamp, (records, chain): (u64, Chain)) -> io::Result<()> {
        let leaf = Leaf::Removed { records, chain, why: "retention".to_owned() };
        let tombstone = Line { leaf, at: now, session: session.clone() };
        self.0.log.append(&tombstone).map_err(io::Error::other)?;
        let recordings = &self.0.settings.folder;
        if let Some(mut receipt) = Receipt::read(recordings, session)? {
            receipt.bury(&tombstone, |message| self.0.key.sign(message));
            receipt.write(self.0.disk.as_ref(), recordings, session)?;
            if let Some(spool) = &self.0.spool {
                spool.nudge();
            }
        }
        tracing::info!(%session, records, chain = hexadecimal(&chain), "a recording was removed by retention");
        Ok(())
    }

    /// Gives a recording's folder the name that the next sweep removes.
    pub(super) fn set_aside(&self, folder: &Path) -> io::Result<()> {
        self.0.disk.rename(folder, &folder.with_extension(GONE))
    }

    fn retain_one(&self, session: &SessionId, folder: &Path, now: Timestamp, keep_ms: u64) -> io::Result<One> {
        let (ended, leaf, live) = adopt::head(folder).map_err(io::Error::other)?;
        if live || now.ms_since(ended) < keep_ms {
            return Ok(One::Young);
        }
        // Nobody can begin to hold it between the question and the removal.
        let holds = self.holds();
        if holds.contains_key(session) || hold_file(&self.0.settings.folder, session).try_exists()? {
            return Ok(One::Held);
        }
        let (Leaf::Closed { records, chain } | Leaf::Left { records, chain }) = leaf else {
            return Ok(One::Young);
        };
        if self.0.spool.is_some() && !archive::archived(&self.0.settings.folder, session) {
            // Objects of it may be in the archive already, and nothing would remove them.
            return Ok(One::Waiting);
        }
        self.bury(session, now, (records, chain))?;
        // Whatever the durability: a lost machine must not keep the removal and lose the tombstone.
        self.0.log.publish()?;
        self.set_aside(folder)?;
        Ok(One::Removed)
    }

    /// Removes the folders whose tombstones are written, also those of an earlier pass.
    pub(super) fn sweep_gone(&self, recordings: &Path) -> io::Result<()> {
        for month in list::months(recordings)? {
            for entry in fs::read_dir(&month)? {
                let folder = entry?.path();
                if folder.extension().is_none_or(|extension| extension != GONE) {
                    continue;
                }
                let mut bytes = 0_u64;
                for file in fs::read_dir(&folder)? {
                    let file = file?;
                    bytes = bytes.saturating_add(file.metadata()?.len());
                    self.0.disk.remove_file(&file.path())?;
                }
                self.0.disk.remove_folder(&folder)?;
                let less = |now: u64| Some(now.saturating_sub(bytes));
                let _ = self.0.usage.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            }
            self.0.disk.sync_folder(&month)?;
        }
        Ok(())
    }
}

enum One {
    Young,
    Held,
    Removed,
    Waiting,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::hold::{self, HoldError};
    use crate::recording::log::check::{Earlier, check_all};
    use crate::recording::tests::{TempFolder, at, client_left, key, opened, recorder};
    use lang::program::rules::Recorded;

    #[test]
    fn old_recordings_go_unless_they_are_held_and_leave_a_signed_line() {
        let temp = TempFolder::new();
        let recorder = recorder(&temp.0, u64::MAX);
        for number in 1..=3 {
            let mut session = recorder.open(at(0), opened(number), Recorded::Full).unwrap();
            session.close(at(1_000), &client_left()).unwrap();
        }
        let _live = recorder.open(at(0), opened(4), Recorded::Full).unwrap();
        let hold = hold_file(&temp.0, &opened(2).session);
        fs::create_dir_all(hold.parent().unwrap()).unwrap();
        fs::write(&hold, "case 17\n").unwrap();

        assert_eq!(recorder.retain(at(60_000), 59_500).unwrap(), Retained::default(), "not old enough");
        let done = recorder.retain(at(61_000), 59_500).unwrap();
        assert_eq!(done, Retained { removed: 2, held: 1, ..Retained::default() });
        assert_eq!(list::all(&temp.0).unwrap().into_keys().collect::<Vec<_>>(), [opened(2).session, opened(4).session]);
        fs::remove_file(&hold).unwrap();
        assert_eq!(recorder.retain(at(62_000), 59_500).unwrap(), Retained { removed: 1, ..Retained::default() });
        drop(recorder);
        let report = check_all(&temp.0, key().public(), &Earlier::default()).unwrap();
        assert_eq!((report.removed, report.unclosed, report.findings.len()), (3, 1, 0), "{report:?}");
    }

    #[test]
    fn what_somebody_holds_stays_whatever_happens_to_files_and_the_log_says_so() {
        let temp = TempFolder::new();
        let begun = recorder(&temp.0, u64::MAX);
        for number in 1..=2 {
            let mut session = begun.open(at(0), opened(number), Recorded::Full).unwrap();
            session.close(at(1_000), &client_left()).unwrap();
        }
        let (first, second) = (opened(1).session, opened(2).session);
        assert!(begun.hold(&first, "corp:t1:sam", "case 17, 100 % sure", at(2_000)).unwrap());
        assert!(!begun.hold(&first, "corp:t1:lea", "another", at(2_001)).unwrap(), "it is held already");
        assert!(matches!(begun.hold(&opened(3).session, "corp:t1:sam", "", at(2_002)), Err(HoldError::Absent)));
        let file = hold_file(&temp.0, &second);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "case 18\n").unwrap();
        let held = Retained { held: 2, ..Retained::default() };
        assert_eq!(begun.retain(at(90_000), 1).unwrap(), held);
        drop(begun);

        // Another process knows the same from the log, and the file's absence releases what the file held, no more.
        let recorder = recorder(&temp.0, u64::MAX);
        assert_eq!(recorder.held(&first).unwrap().why, "case 17, 100 % sure");
        fs::remove_file(&file).unwrap();
        assert_eq!(recorder.retain(at(91_000), 1).unwrap(), Retained { held: 1, removed: 1, ..Retained::default() });
        assert_eq!(hold::logged(&temp.0, &first).unwrap().asked.unwrap().by, "corp:t1:sam");
        recorder.0.log.publish().unwrap();
        let report = |folder: &Path| check_all(folder, key().public(), &Earlier::default()).unwrap();
        assert_eq!((report(&temp.0).held, report(&temp.0).removed, report(&temp.0).findings.len()), (1, 1, 0));

        assert!(recorder.release(&first, "corp:t1:sam", "closed", at(92_000)).unwrap());
        assert!(!recorder.release(&first, "corp:t1:sam", "closed", at(92_000)).unwrap());
        assert_eq!(recorder.retain(at(93_000), 1).unwrap().removed, 1);
        assert!(matches!(recorder.hold(&first, "corp:t1:sam", "late", at(94_000)), Err(HoldError::Absent)));
        recorder.0.log.publish().unwrap();
        let words = ["held", "held", "released", "removed", "released", "removed"].map(str::to_owned);
        let log = fs::read_to_string(crate::recording::log::entries_file(&temp.0)).unwrap();
        let said: Vec<String> = log.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
        assert_eq!(&said[4..], words, "{log}");
        assert!(report(&temp.0).findings.is_empty(), "{:?}", report(&temp.0));
    }

    #[test]
    fn a_removal_of_what_is_held_is_found() {
        let temp = TempFolder::new();
        let recorder = recorder(&temp.0, u64::MAX);
        let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
        let head = session.close(at(1_000), &client_left()).unwrap();
        recorder.hold(&opened(1).session, "corp:t1:sam", "case 17", at(2_000)).unwrap();
        // A gateway that was changed: the tombstone without the question.
        recorder.bury(&opened(1).session, at(3_000), (head.records, head.chain)).unwrap();
        recorder.set_aside(session.folder()).unwrap();
        recorder.0.log.publish().unwrap();
        let report = check_all(&temp.0, key().public(), &Earlier::default()).unwrap();
        assert_eq!((report.findings.len(), report.findings[0].entry), (1, Some(3)), "{report:?}");
        assert!(report.findings[0].sentence.contains("held"), "{report:?}");
    }

    #[test]
    fn a_recording_that_was_tampered_with_is_kept() {
        let temp = TempFolder::new();
        let folder = {
            let recorder = recorder(&temp.0, u64::MAX);
            let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
            session.close(at(1_000), &client_left()).unwrap();
            session.folder().to_owned()
        };
        let file = folder.join("000000.rec.zst");
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() - 40;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
        let recorder = recorder(&temp.0, u64::MAX);
        let done = recorder.retain(at(99_999_999), 1).unwrap();
        assert_eq!(done.removed, 0);
        assert!(folder.exists());
    }
}
