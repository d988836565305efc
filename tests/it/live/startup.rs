//! Attacks on the way in: lengths that lie, bytes before TLS, clients that wait, parameters that mean something else.

use super::raw::{Raw, SSL_REQUEST, message, startup};
use super::{scene, token};
use std::time::Duration;
use xtask::cast::PAULA;
use xtask::clock;

fn port() -> u16 {
    scene().gateway.port
}

/// The gateway lives, and lets a person in.
fn still_serves() {
    let mut raw = Raw::login(port(), "ledger-dev", &token(&PAULA)).expect("an ordinary login works");
    assert_eq!(raw.query("select 'alive'").unwrap(), ["alive"]);
}

#[test]
fn a_startup_length_that_lies_ends_the_connection() {
    for length in [0_u32, 3, 4, 7, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_ffff, 100_000] {
        let mut raw = Raw::connect(port());
        raw.send(&length.to_be_bytes());
        raw.send(&196_608_u32.to_be_bytes());
        raw.ends();
    }
    still_serves();
}

#[test]
fn a_message_length_that_lies_ends_the_session() {
    for length in [0_u32, 3, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
        let mut raw = Raw::login(port(), "ledger-dev", &token(&PAULA)).unwrap();
        raw.send(&[&b"Q"[..], &length.to_be_bytes(), b"select 1\0"].concat());
        let said = raw.ends();
        assert!(said.iter().all(|message| message.tag != 'D'), "length {length}: a row came back: {said:?}");
    }
    still_serves();
}

#[test]
fn a_login_one_byte_at_a_time_works() {
    let mut raw = Raw::connect(port());
    raw.trickle(&startup(&[("user", "me"), ("database", "ledger-dev")]));
    raw.authenticate(&token(&PAULA)).unwrap();
    raw.trickle(&message(b'Q', b"select 'slow'\0"));
    assert!(raw.until_ready().iter().any(|message| message.tag == 'D'));
}

#[test]
fn plaintext_sent_before_the_tls_handshake_is_never_processed() {
    let mut raw = Raw::connect(port());
    let smuggled = startup(&[("user", "me"), ("database", "ledger-dev")]);
    raw.send(&[&SSL_REQUEST[..], &smuggled].concat());
    assert_eq!(raw.byte(), Some(b'S'), "the gateway offers TLS");
    // The start-up message is no TLS handshake: whatever comes back is not an answer to it.
    let mut rest = Vec::new();
    while let Some(byte) = raw.byte() {
        rest.push(byte);
        assert!(rest.len() < 1024);
    }
    assert_ne!(rest.first(), Some(&b'R'), "the gateway asked for a password in plaintext after a request for TLS");
    still_serves();
}

#[test]
fn clients_that_wait_at_each_step_delay_nobody() {
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let silent = Raw::connect(port());
        let mut half_a_length = Raw::connect(port());
        half_a_length.send(&[0, 0]);
        let mut before_tls = Raw::connect(port());
        before_tls.send(&SSL_REQUEST);
        let mut before_password = Raw::connect(port());
        before_password.send(&startup(&[("user", "me"), ("database", "ledger-dev")]));
        waiting.extend([silent, half_a_length, before_tls, before_password]);
    }
    let start = clock::now();
    still_serves();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(8), "a login took {took:?} beside clients that wait");
    drop(waiting);
}

#[test]
fn startup_parameters_beyond_the_allow_list_are_refused() {
    let long = "x".repeat(64 * 1024);
    let cases: [&[(&str, &str)]; 8] = [
        &[("replication", "database")],
        &[("replication", "true")],
        &[("options", "-c search_path=evil")],
        &[("options", "-c role=postgres")],
        &[("options", "-c leasehold.via=dev-daily -c session_authorization=postgres")],
        &[("options", "--search_path=evil")],
        &[("role", "postgres")],
        &[("application_name", &long)],
    ];
    for case in cases {
        let mut raw = Raw::connect(port());
        raw.send(&startup(&[&[("user", "me"), ("database", "ledger-dev")], case].concat()));
        // A refusal that is said, or a connection that is closed: a question for the password is neither.
        let said = raw.receive();
        assert!(said.is_none_or(|said| said.tag == 'E'), "{case:?} was let on");
    }
    still_serves();
}

#[test]
fn names_with_quotes_spaces_and_keywords_reach_no_other_database() {
    for database in [
        "ledger-dev host=evil",
        "ledger-dev'",
        "LEDGER-DEV",
        "ledger-dev ",
        "ledger_dev",
        "postgres",
        "ledger-dev/",
        "ledger-dev/nobody",
        "",
    ] {
        let refused = Raw::login(port(), database, &token(&PAULA)).map(|_| ()).expect_err(database);
        assert_eq!(refused.severity, "FATAL", "{database}: {refused:?}");
    }
    assert!(Raw::login(port(), "ledger-dev/dev-daily", &token(&PAULA)).is_ok(), "the grant may be named");
}

#[test]
fn messages_out_of_place_end_the_session() {
    let second_startup = startup(&[("user", "me"), ("database", "prod-logs")]);
    let function_call = message(b'F', &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let unknown = message(b'!', b"");
    let late_password = message(b'p', b"again\0");
    for (what, bytes) in [
        ("a second StartupMessage", second_startup),
        ("a message of no kind", unknown),
        ("a late password", late_password),
    ] {
        let mut raw = Raw::login(port(), "ledger-dev", &token(&PAULA)).unwrap();
        raw.send(&bytes);
        let said = raw.ends();
        assert!(said.iter().all(|message| message.tag != 'Z'), "{what}: the session goes on: {said:?}");
    }
    let mut raw = Raw::login(port(), "ledger-dev", &token(&PAULA)).unwrap();
    raw.send(&function_call);
    let said = raw.receive().expect("a FunctionCall is answered");
    assert!(said.refusal().is_some(), "a FunctionCall was let through: {said:?}");
}

#[test]
fn a_huge_password_is_refused_and_a_long_one_is_read() {
    let refused = Raw::login(port(), "ledger-dev", &"x".repeat(60_000)).map(|_| ()).expect_err("no token");
    assert_eq!(refused.severity, "FATAL");
    let mut raw = Raw::connect(port());
    raw.send(&startup(&[("user", "me"), ("database", "ledger-dev")]));
    raw.receive().expect("the question for the password");
    raw.send(&[&b"p"[..], &1_000_000_u32.to_be_bytes(), &[b'x'; 4096]].concat());
    raw.ends();
    still_serves();
}
