//! A folder of recordings against its log: everything that may be done to it is found, and where.

use super::check::{Earlier, Report, check_all};
use super::note::Checkpoint;
use super::*;
use crate::recording::tests::{TempFolder, at, client_left, decision, key, opened, recorder};
use lang::program::rules::Recorded;
use std::fs;

/// Three closed recordings; the folders, in order.
fn three(folder: &Path) -> Vec<PathBuf> {
    let recorder = recorder(folder, 400);
    (1..=3)
        .map(|number| {
            let mut session = recorder.open(at(i64::from(number)), opened(number), Recorded::Full).unwrap();
            (0..4).for_each(|step| session.append(&[decision(step)]).unwrap());
            session.close(at(9), &client_left()).unwrap();
            session.folder().to_owned()
        })
        .collect()
}

fn report(folder: &Path) -> Report {
    check_all(folder, key().public(), &Earlier::default()).unwrap()
}

fn only_finding(folder: &Path) -> check::Finding {
    let report = report(folder);
    assert_eq!(report.findings.len(), 1, "{report:?}");
    report.findings[0].clone()
}

#[test]
fn an_untouched_folder_is_intact() {
    let temp = TempFolder::new();
    three(&temp.0);
    let report = report(&temp.0);
    assert_eq!((report.entries, report.signed_entries, report.complete), (6, 6, 3));
    assert!(report.findings.is_empty(), "{report:?}");
}

#[test]
fn a_recording_that_vanishes_is_missed() {
    let temp = TempFolder::new();
    let folders = three(&temp.0);
    fs::remove_dir_all(&folders[1]).unwrap();
    let finding = only_finding(&temp.0);
    assert_eq!((finding.session, finding.entry), (Some(opened(2).session), Some(2)));
    assert!(finding.sentence.contains("missing"), "{}", finding.sentence);
}

#[test]
fn a_recording_that_is_rolled_back_is_found() {
    let temp = TempFolder::new();
    let folders = three(&temp.0);
    // Without its last segment it is a well-formed recording that was never closed.
    let last = crate::recording::list::last_segment(&folders[2]).unwrap().unwrap();
    fs::remove_file(folders[2].join(format!("{last:06}.rec.zst"))).unwrap();
    let finding = only_finding(&temp.0);
    assert_eq!(finding.session, Some(opened(3).session));
    assert!(finding.sentence.contains("rolled back"), "{}", finding.sentence);
}

#[test]
fn a_recording_in_the_place_of_another_is_found() {
    let temp = TempFolder::new();
    let folders = three(&temp.0);
    fs::remove_dir_all(&folders[0]).unwrap();
    let copy = std::process::Command::new("cp").arg("-r").arg(&folders[1]).arg(&folders[0]).status().unwrap();
    assert!(copy.success());
    let finding = only_finding(&temp.0);
    assert_eq!(finding.session, Some(opened(1).session));
    assert!(finding.sentence.contains("another session"), "{}", finding.sentence);
}

#[test]
fn a_log_that_is_changed_is_located() {
    let temp = TempFolder::new();
    three(&temp.0);
    let file = entries_file(&temp.0);
    let whole = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    // A line changed, a line removed, two exchanged.
    let changed = whole.replace(lines[3], &lines[3].replace(" 9 ", " 7 "));
    assert_ne!(changed, whole);
    let removed = whole.replace(&format!("{}\n", lines[3]), "");
    let mut swapped = lines.clone();
    swapped.swap(3, 4);
    for text in [changed, removed, swapped.join("\n") + "\n"] {
        fs::write(&file, &text).unwrap();
        let report = report(&temp.0);
        assert_eq!(report.findings[0].entry, Some(3), "{report:?}");
        // A gateway does not go on upon such a log.
        let settings = crate::recording::Settings::new(temp.0.clone());
        let refused = crate::recording::Recorder::new(settings, key()).unwrap_err();
        assert!(matches!(refused, crate::recording::RecorderError::Io { verb: "read", .. }), "{refused:?}");
    }
    fs::write(&file, &whole).unwrap();
    assert!(report(&temp.0).findings.is_empty());
}

#[test]
fn a_log_that_is_rolled_back_with_its_checkpoint_needs_a_kept_one() {
    let temp = TempFolder::new();
    let folders = three(&temp.0);
    let kept = fs::read_to_string(checkpoint_file(&temp.0)).unwrap();
    let whole = fs::read_to_string(entries_file(&temp.0)).unwrap();
    // Whoever has an older checkpoint can present an older state, without the third recording.
    let older = whole.lines().take(4).collect::<Vec<_>>().join("\n") + "\n";
    let mut tree = merkle::Tree::default();
    older.lines().for_each(|line| tree.push(line.as_bytes()));
    let origin = note::origin("gateway");
    let note = Checkpoint { origin, size: 4, root: tree.root() }.sign(&key());
    fs::write(entries_file(&temp.0), older).unwrap();
    fs::write(checkpoint_file(&temp.0), note).unwrap();
    fs::remove_dir_all(&folders[2]).unwrap();
    assert!(report(&temp.0).findings.is_empty(), "nothing in the folder itself tells");
    let earlier = Earlier { note: Some(kept), witness: None };
    let report = check_all(&temp.0, key().public(), &earlier).unwrap();
    assert!(report.findings[0].sentence.contains("rolled back"), "{report:?}");
    // The checkpoint alone rolled back is found without help, as the lines are more than it covers, and signed again.
    fs::remove_file(checkpoint_file(&temp.0)).unwrap();
    assert!(only_finding(&temp.0).sentence.contains("checkpoint is missing"));
}

#[test]
fn what_a_killed_gateway_left_is_logged_by_the_next() {
    let temp = TempFolder::new();
    let folder = {
        let recorder = recorder(&temp.0, u64::MAX);
        let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
        session.append(&[decision(1), decision(2)]).unwrap();
        session.folder().to_owned()
    };
    // A line that the kill cut.
    let mut text = fs::read(entries_file(&temp.0)).unwrap();
    text.extend_from_slice(b"closed 17");
    fs::write(entries_file(&temp.0), text).unwrap();
    drop(recorder(&temp.0, u64::MAX));
    let found = report(&temp.0);
    assert_eq!((found.entries, found.unclosed, found.findings.len()), (3, 1, 0), "{found:?}");
    // From now on its last record cannot be cut away.
    let file = folder.join("000000.rec");
    let bytes = fs::read(&file).unwrap();
    let mut reader = crate::recording::read::Reader::open(&folder, None).unwrap();
    while reader.next_entry().unwrap().is_some() {}
    let last_record = bytes.len() - 8;
    fs::write(&file, &bytes[..last_record]).unwrap();
    assert!(only_finding(&temp.0).sentence.contains("rolled back"));
}

/// A crash may cut the last line anywhere, also before its line feed alone: the next start goes on, and nothing is
/// called changed.
#[test]
fn a_line_that_was_cut_anywhere_is_no_change() {
    let length = {
        let temp = TempFolder::new();
        three(&temp.0);
        fs::read(entries_file(&temp.0)).unwrap().len()
    };
    let last_line = 150;
    for cut in length - last_line..length {
        let temp = TempFolder::new();
        three(&temp.0);
        fs::remove_file(checkpoint_file(&temp.0)).unwrap();
        let bytes = fs::read(entries_file(&temp.0)).unwrap();
        fs::write(entries_file(&temp.0), &bytes[..cut]).unwrap();
        drop(recorder(&temp.0, 400));
        let report = report(&temp.0);
        assert!(report.findings.is_empty(), "cut at {cut} of {length}: {report:?}");
        assert_eq!(report.complete, 3, "cut at {cut}");
    }
}

#[test]
fn two_gateways_do_not_share_a_folder() {
    let temp = TempFolder::new();
    let _first = recorder(&temp.0, u64::MAX);
    let settings = crate::recording::Settings::new(temp.0.clone());
    assert!(crate::recording::Recorder::new(settings, key()).is_err());
}
