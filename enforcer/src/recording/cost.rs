//! What recording costs, as a program of its own: it asserts nothing about time, and prints a table.
//!
//! `cargo xtask bench --recording` runs it in a release build, after the costs of the gateway and of pgbouncer.

use super::tests::{TempFolder, at, client_left, decision, from_client, key, opened, to_client};
use super::*;
use crate::core::event::Event;
use lang::program::rules::Recorded;
use std::fs;

/// Statements of the first workload.
const STATEMENTS: u32 = 30_000;
/// Statements where each waits for the medium.
const STATEMENTS_ON_DISK: u32 = 1_000;
/// Bytes of one run of rows.
const ROWS_BYTES: usize = 64 << 10;
/// Runs of rows of the second workload: 256 MB.
const ROWS_RUNS: u32 = 4_096;

/// CPU time of this process so far, all threads, in microseconds.
fn cpu_us() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // User and system time in ticks of 10 ms.
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10_000
}

/// Rows as a table of orders would give them: numbers that grow, some words, a date.
fn rows() -> Vec<u8> {
    let words = ["open", "shipped", "returned", "paid", "refunded"];
    let mut out = Vec::with_capacity(ROWS_BYTES + 100);
    let mut random = 1_u64;
    while out.len() < ROWS_BYTES {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (id, word) = (out.len(), words[usize::try_from(random >> 61).unwrap() % words.len()]);
        let row = format!("D\0\0\0\x40\0\x04{id:010}|{word}|{:016x}|2026-05-{:02}", random, random % 28 + 1);
        out.extend_from_slice(row.as_bytes());
    }
    out.truncate(ROWS_BYTES);
    out
}

fn settings(folder: &Path, mode: &str) -> Settings {
    let plain = Settings::new(folder.to_owned());
    match mode {
        "disk" => Settings { durability: Durability::Disk, ..plain },
        "encrypted" => {
            let recipients = vec![age::Recipient::parse(age::tests::RECIPIENT).unwrap()];
            Settings { recipients, ..plain }
        }
        _ => plain,
    }
}

/// Appends batches, closes, waits for the sealing: CPU microseconds, and bytes on the medium for each byte of frames.
#[expect(clippy::cast_precision_loss, reason = "a measurement rounds")]
fn run(mode: &str, batch: &[Event], batches: u32, frame_bytes: u64) -> (u64, f64) {
    let temp = TempFolder::new();
    let before = cpu_us();
    let folder = {
        let recorder = Recorder::new(settings(&temp.0, mode), key()).unwrap();
        let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
        (0..batches).for_each(|_| session.append(batch).unwrap());
        session.close(at(9), &client_left()).unwrap();
        session.folder().to_owned()
    };
    let spent = cpu_us() - before;
    let stored: u64 = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    (spent, stored as f64 / (frame_bytes * u64::from(batches)) as f64)
}

/// The table.
#[test]
#[ignore = "a measurement, not a check: `cargo xtask bench --recording`"]
#[expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a measurement prints, and rounds")]
fn cost_of_recording() {
    let statement = [from_client(1, vec![b'x'; 80]), decision(1), to_client(1, vec![b'y'; 200])];
    let streamed = [to_client(1, rows())];
    println!("mode        CPU us/event   CPU ms/MB   stored/raw (rows)");
    for mode in ["process", "disk", "encrypted"] {
        let count = if mode == "disk" { STATEMENTS_ON_DISK } else { STATEMENTS };
        let (events_us, _) = run(mode, &statement, count, 280);
        let (rows_us, ratio) = run(mode, &streamed, ROWS_RUNS, ROWS_BYTES as u64);
        let megabytes = ROWS_BYTES as f64 * f64::from(ROWS_RUNS) / 1e6;
        println!(
            "{mode:<11} {:>12.2} {:>11.2} {ratio:>12.3}",
            events_us as f64 / (f64::from(count) * 3.0),
            rows_us as f64 / 1e3 / megabytes
        );
    }
    println!("all threads, the compression of full segments included; MB = 10^6 bytes of frames");
}

/// `cargo test --release -p enforcer --lib ten_gigabytes -- --ignored --nocapture`: memory stays flat over 10 GB of frames,
/// written and read back.
#[test]
#[ignore = "ten gigabytes; the command stands above"]
#[expect(clippy::print_stdout, reason = "a measurement prints")]
fn ten_gigabytes() {
    let resident = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let temp = TempFolder::new();
    let batch = [to_client(1, rows())];
    let recorder = Recorder::new(settings(&temp.0, "process"), key()).unwrap();
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    let mut peaks = Vec::new();
    for round in 0..10 {
        (0..16_384).for_each(|_| session.append(&batch).unwrap());
        peaks.push(resident());
        println!("{} GB written, peak {} kB", round + 1, resident());
    }
    session.close(at(9), &client_left()).unwrap();
    let folder = session.folder().to_owned();
    drop((session, recorder));
    let stored: u64 = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    println!("{stored} bytes on the medium, peak {} kB", resident());
    let mut reader = read::Reader::open(&folder, Some(key().public())).unwrap();
    let mut bytes = 0_u64;
    while let Some(entry) = reader.next_entry().unwrap() {
        if let crate::core::event::What::ToClient(frames) = entry.event.what {
            bytes += frames.len() as u64;
        }
    }
    println!("{bytes} bytes read back, peak {} kB", resident());
    assert_eq!(bytes, 10 * 16_384 * ROWS_BYTES as u64);
    assert!(resident() < peaks[0] + (64 << 10), "memory grows with the recording");
}
