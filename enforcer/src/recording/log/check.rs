//! Holds a folder of recordings against its log: nothing removed, rolled back or added, and where the first fault is.
//!
//! Needs the files and the public key alone. Memory grows with the number of recordings, not with their size.

use super::line::{Leaf, check, parse_line};
use super::merkle::{Hash, Tree};
use super::note::{Checkpoint, Witness};
use super::{LINE_BYTES_MAX, checkpoint_file, entries_file};
use crate::core::id::SessionId;
use crate::recording::format::Chain;
use crate::recording::read::{End, ReadError, Reader};
use crate::recording::{PublicKey, hold, list};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

const NOTE_BYTES_MAX: u64 = 64 << 10;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// The recording that it concerns; none when it concerns the log.
    pub session: Option<SessionId>,
    /// The line of the log that it concerns, from 0.
    pub entry: Option<u64>,
    /// One sentence.
    pub sentence: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Lines of the log.
    pub entries: u64,
    /// Lines that its checkpoint covers.
    pub signed_entries: u64,
    /// Recordings that are complete and as the log says.
    pub complete: u64,
    /// Recordings that are intact and were not closed: live, or left by a gateway that was stopped.
    pub unclosed: u64,
    /// Recordings that are in the archive alone.
    pub archived: u64,
    /// Recordings that retention removed.
    pub removed: u64,
    /// Recordings that are held against retention.
    pub held: u64,
    /// What is wrong, in the order of the log.
    pub findings: Vec<Finding>,
}

/// A head that the log states.
#[derive(Clone, Copy)]
struct Head {
    entry: u64,
    records: u64,
    chain: Chain,
}

#[derive(Default)]
struct Facts {
    opened: Option<Head>,
    ended: Option<(Head, bool)>,
    archived: Option<Head>,
    removed: Option<u64>,
}

#[derive(Default)]
struct Entries {
    facts: BTreeMap<SessionId, Facts>,
    count: u64,
    holds: hold::All,
    findings: Vec<Finding>,
    /// Removals of what was held.
    violations: Vec<Finding>,
    /// The tree's hash at the sizes that were asked for.
    roots: BTreeMap<u64, Hash>,
}

/// An earlier checkpoint that somebody kept, and the witness that countersigned it.
#[derive(Debug, Default)]
pub struct Earlier {
    /// Its text.
    pub note: Option<String>,
    /// Who must have countersigned it.
    pub witness: Option<Witness>,
}

/// Brings a recording from the archive into a folder of its session's name; none when the archive has it not.
pub type Bring<'a> = &'a mut dyn FnMut(&SessionId) -> Result<Option<PathBuf>, String>;

/// Checks everything that is here. What is in the archive alone is counted.
///
/// # Errors
/// When the file system refuses.
pub fn check_all(recordings: &Path, key: PublicKey, earlier: &Earlier) -> Result<Report, ReadError> {
    check_everywhere(recordings, key, earlier, None)
}

/// Checks everything, also what is in the archive alone where that can be brought here, one recording at a time.
///
/// # Errors
/// When the file system refuses.
pub fn check_everywhere(
    recordings: &Path,
    key: PublicKey,
    earlier: &Earlier,
    bring: Option<Bring<'_>>,
) -> Result<Report, ReadError> {
    let io = |source| ReadError::Io { path: recordings.to_owned(), source };
    let mut report = Report::default();
    let note = optional_text(&checkpoint_file(recordings)).map_err(io)?;
    let current = note.as_deref().map(|note| Checkpoint::open(note, key));
    let kept = earlier.note.as_deref().map(|note| Checkpoint::open(note, key));
    let sizes: Vec<u64> = [&current, &kept].into_iter().flatten().flatten().map(|head| head.size).collect();
    let mut entries = read_entries(recordings, &sizes).map_err(io)?;
    report.entries = entries.count;
    report.findings.append(&mut entries.findings);
    report.held = u64::try_from(entries.holds.len()).unwrap_or(u64::MAX);
    let whole = report.findings.is_empty();
    report.findings.append(&mut entries.violations);
    match current {
        Some(Ok(head)) => {
            report.signed_entries = head.size.min(entries.count);
            against(&entries, &head, "its checkpoint", whole, &mut report.findings);
        }
        Some(Err(error)) => report.findings.push(of_log(None, error.to_string())),
        None if entries.count > 0 => {
            report.findings.push(of_log(None, "the log's checkpoint is missing".to_owned()));
        }
        None => {}
    }
    check_earlier(earlier, kept, &entries, whole, &mut report.findings);
    check_recordings(recordings, key, &entries, bring, &mut report)?;
    report.findings.sort_by_key(|finding| finding.entry.unwrap_or(u64::MAX));
    Ok(report)
}

fn check_earlier(
    earlier: &Earlier,
    kept: Option<Result<Checkpoint, super::note::NoteError>>,
    entries: &Entries,
    whole: bool,
    findings: &mut Vec<Finding>,
) {
    match kept {
        Some(Ok(head)) => against(entries, &head, "the checkpoint that was kept", whole, findings),
        Some(Err(error)) => findings.push(of_log(None, format!("the checkpoint that was kept: {error}"))),
        None => {}
    }
    if let (Some(witness), Some(note)) = (&earlier.witness, &earlier.note)
        && let Err(error) = witness.countersigned(note)
    {
        findings.push(of_log(None, error.to_string()));
    }
}

fn of_log(entry: Option<u64>, sentence: String) -> Finding {
    Finding { session: None, entry, sentence }
}

/// Holds the log against a head of its own.
fn against(entries: &Entries, head: &Checkpoint, which: &str, whole: bool, findings: &mut Vec<Finding>) {
    if head.size > entries.count {
        let sentence =
            format!("the log was rolled back: {which} covers {} lines and {} are left", head.size, entries.count);
        findings.push(of_log(Some(entries.count), sentence));
    } else if entries.roots.get(&head.size) != Some(&head.root) && whole {
        let sentence = format!("one of the first {} lines of the log is not what {which} covers", head.size);
        findings.push(of_log(None, sentence));
    }
}

fn optional_text(file: &Path) -> io::Result<Option<String>> {
    match File::open(file) {
        Ok(file) => {
            let mut text = String::new();
            file.take(NOTE_BYTES_MAX).read_to_string(&mut text)?;
            Ok(Some(text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_entries(recordings: &Path, sizes: &[u64]) -> io::Result<Entries> {
    let mut entries = Entries::default();
    let mut tree = Tree::default();
    entries.roots.insert(0, tree.root());
    let mut lines = match File::open(entries_file(recordings)) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(entries),
        Err(error) => return Err(error),
    };
    let mut before = String::new();
    loop {
        let mut line = Vec::new();
        if lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.pop_if(|last| *last == b'\n').is_none() {
            // A gateway writes this line, or a crash cut it.
            break;
        }
        let entry = entries.count;
        if let Some((parsed, text, stated)) = parse_line(&line) {
            if check(&before, text) != stated {
                let sentence = format!("line {entry} of the log was changed, or a line before it was removed");
                entries.findings.push(Finding { session: Some(parsed.session.clone()), entry: Some(entry), sentence });
            }
            stated.clone_into(&mut before);
            hold::follow(&mut entries.holds, &parsed);
            if matches!(parsed.leaf, Leaf::Removed { .. }) && entries.holds.contains_key(&parsed.session) {
                let sentence = "the recording was removed while the log says that it is held".to_owned();
                entries.violations.push(Finding {
                    session: Some(parsed.session.clone()),
                    entry: Some(entry),
                    sentence,
                });
            }
            let facts = entries.facts.entry(parsed.session).or_default();
            match parsed.leaf {
                Leaf::Opened { records, chain } => facts.opened = Some(Head { entry, records, chain }),
                Leaf::Closed { records, chain } => facts.ended = Some((Head { entry, records, chain }, true)),
                Leaf::Left { records, chain } => facts.ended = Some((Head { entry, records, chain }, false)),
                Leaf::Archived { records, chain } => facts.archived = Some(Head { entry, records, chain }),
                Leaf::Removed { .. } => facts.removed = Some(entry),
                Leaf::Held(_) | Leaf::Released(_) => {}
            }
        }
        tree.push(&line);
        entries.count = tree.size();
        if sizes.contains(&entries.count) {
            entries.roots.insert(entries.count, tree.root());
        }
    }
    Ok(entries)
}

fn check_recordings(
    recordings: &Path,
    key: PublicKey,
    entries: &Entries,
    mut bring: Option<Bring<'_>>,
    report: &mut Report,
) -> Result<(), ReadError> {
    let io = |source| ReadError::Io { path: recordings.to_owned(), source };
    let mut folders: BTreeMap<SessionId, PathBuf> = list::all(recordings).map_err(io)?;
    for (session, facts) in &entries.facts {
        let first = facts.opened.map(|head| head.entry).or(facts.ended.map(|(head, _)| head.entry));
        let Some(folder) = folders.remove(session) else {
            if facts.removed.is_some() {
                report.removed += 1;
            } else if let Some(archived) = &facts.archived {
                report.archived += 1;
                if let Some(sentence) = check_archived(session, key, facts, &mut bring)? {
                    let entry = Some(archived.entry);
                    report.findings.push(Finding { session: Some(session.clone()), entry, sentence });
                }
            } else {
                let sentence = "the recording is missing, and no line of the log says that it was removed".to_owned();
                report.findings.push(Finding { session: Some(session.clone()), entry: first, sentence });
            }
            continue;
        };
        match check_one(&folder, session, key, facts)? {
            Ok(true) => report.complete += 1,
            Ok(false) => report.unclosed += 1,
            Err(sentence) => {
                let entry = facts.ended.map(|(head, _)| head.entry).or(first);
                report.findings.push(Finding { session: Some(session.clone()), entry, sentence });
            }
        }
    }
    if folders.is_empty() {
        return Ok(());
    }
    // What is left may have been opened while the log was being read.
    let again = read_entries(recordings, &[]).map_err(io)?;
    for (session, folder) in folders {
        let logged = again.facts.contains_key(&session);
        if !logged && list::is_empty(&folder).map_err(io)? {
            // A session whose folder was made and that never began.
            continue;
        }
        match check_one(&folder, &session, key, &Facts::default())? {
            Ok(true) if logged => report.complete += 1,
            Ok(false) if logged => report.unclosed += 1,
            Ok(_) => {
                let sentence = "the recording has no line in the log".to_owned();
                report.findings.push(Finding { session: Some(session), entry: None, sentence });
            }
            Err(sentence) => report.findings.push(Finding { session: Some(session), entry: None, sentence }),
        }
    }
    Ok(())
}

/// What is wrong with a recording that is in the archive alone, where that can be looked at.
fn check_archived(
    session: &SessionId,
    key: PublicKey,
    facts: &Facts,
    bring: &mut Option<Bring<'_>>,
) -> Result<Option<String>, ReadError> {
    let Some(bring) = bring else { return Ok(None) };
    let folder = match bring(session) {
        Ok(Some(folder)) => folder,
        Ok(None) => return Ok(Some("it is not in the archive, and the log says that it is".to_owned())),
        Err(sentence) => return Ok(Some(format!("it cannot be fetched from the archive: {sentence}"))),
    };
    let checked = check_one(&folder, session, key, facts);
    // A copy of our own that has served its purpose.
    drop(std::fs::remove_dir_all(&folder));
    Ok(checked?.err().map(|sentence| format!("in the archive: {sentence}")))
}

/// Reads one recording to its end; whether it is complete, or what is wrong.
fn check_one(
    folder: &Path,
    session: &SessionId,
    key: PublicKey,
    facts: &Facts,
) -> Result<Result<bool, String>, ReadError> {
    let mut reader = match Reader::open(folder, Some(key)) {
        Ok(reader) => reader,
        Err(error) => return fault(error),
    };
    if reader.session().is_some_and(|found| found != session) {
        return Ok(Err("the recording of another session stands in its place".to_owned()));
    }
    if let Some(opened) = &facts.opened {
        reader.watch(opened.records);
    }
    loop {
        match reader.next_entry() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => return fault(error),
        }
    }
    if let Some(opened) = &facts.opened
        && reader.watched() != Some(opened.chain)
    {
        return Ok(Err("its opening is not the one that the log states".to_owned()));
    }
    let head = reader.head();
    match &facts.ended {
        Some((logged, _)) if logged.records != head.records => Ok(Err(format!(
            "it was rolled back or added to: it has {} records, and line {} of the log states {}",
            head.records, logged.entry, logged.records
        ))),
        Some((logged, _)) if logged.chain != head.chain => {
            Ok(Err(format!("its end is not the one that line {} of the log states", logged.entry)))
        }
        Some((_, true)) if !matches!(reader.end(), Some(End::Complete { .. })) => {
            Ok(Err("it has no close, and the log states one".to_owned()))
        }
        Some(_) | None => Ok(Ok(matches!(reader.end(), Some(End::Complete { .. })))),
    }
}

fn fault(error: ReadError) -> Result<Result<bool, String>, ReadError> {
    match error {
        ReadError::Tampered { .. } | ReadError::OtherKey { .. } | ReadError::Missing(_) => Ok(Err(error.to_string())),
        ReadError::Io { .. } | ReadError::Unfinished | ReadError::Closed(_) => Err(error),
    }
}
