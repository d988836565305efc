//! Values that are larger than any message may be, from a real target and from a client.

use super::masking::{Mode, through, worlds};
use super::raw::{Message, Raw};
use xtask::cast::PAULA;

/// Bytes that the gateway may take beside what it took before.
const MORE_KIB_MAX: u64 = 64 << 10;

/// The most memory that the gateway has had, in KiB.
fn memory_kib(gateway: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{gateway}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_value_that_is_too_large_ends_its_statement_and_is_never_kept() {
    // A gateway of its own: what others have it do counts in its memory.
    let scene = worlds("large");
    let mut raw = Raw::login(scene.gateway.port, "hashed", &scene.token(&PAULA).unwrap()).expect("the login works");
    assert_eq!(raw.query("select 1").unwrap(), ["1"]);
    let before = memory_kib(scene.gateway.pid());
    for mode in [Mode::Simple, Mode::Binary] {
        mode.send(&mut raw, "select 1, repeat('x', 100000000)");
        let answer = raw.until_ready();
        assert!(answer.iter().all(|message| message.tag != 'D'), "{mode:?}");
        let refusal = answer.iter().find_map(Message::refusal).expect("an error");
        assert_eq!((refusal.severity.as_str(), refusal.code.as_str()), ("ERROR", "54000"), "{mode:?}: {refusal:?}");
        assert!(refusal.whole.contains("a row of 1000000") && refusal.whole.contains("substring"), "{refusal:?}");
        assert_eq!(raw.query("select 'goes on'").unwrap(), ["goes on"], "{mode:?}");
    }
    let refusal = raw.query("copy (select repeat('x', 100000000)) to stdout").expect_err("too large");
    assert_eq!(refusal.code, "54000");
    assert_eq!(raw.query("select length(repeat('x', 100000000))").unwrap(), ["100000000"]);
    let more = memory_kib(scene.gateway.pid()) - before;
    assert!(more < MORE_KIB_MAX, "the gateway took {more} KiB more");
}

#[test]
fn a_message_of_a_client_that_is_too_large_ends_the_session_with_a_sentence() {
    for tag in [b'B', b'd', b'Q', b'P'] {
        let mut raw = through("hashed");
        raw.send(&[&[tag][..], &0x3fff_ffff_u32.to_be_bytes(), b"x"].concat());
        let said = raw.ends();
        let refusal = said.iter().find_map(Message::refusal).expect("a sentence");
        assert!(refusal.severity == "FATAL" && refusal.whole.contains("the maximum is"), "{refusal:?}");
    }
}
