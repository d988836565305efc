//! Attacks by a target, over an in-memory connection and paused time.

mod fake;

use super::super::login::Secret;
use super::super::scram::ScramError;
use super::super::wire::WireError;
use super::super::wire::server::TransactionStatus;
use super::super::wire::sqlstate::SqlState;
use super::super::wire::write::{self, Notice, Severity};
use super::*;
use crate::gateway::tls::roots;
use bytes::BufMut;
use fake::{Certificate, Fake, PASSWORD, PINS, PLUS, SCRAM, certificate};
use secrecy::SecretString;
use tokio::io::DuplexStream;
use tokio::time::Instant;

type Outcome = Result<Upstream<DuplexStream>, UpstreamError>;

fn target(tls: UpstreamTls) -> Target {
    Target {
        address: Address { host: "db".to_owned(), port: 5432 },
        tls,
        terms: Terms {
            user: "gateway_ro".to_owned(),
            database: "logs".to_owned(),
            secret: Secret::Password(SecretString::from(PASSWORD)),
            read_only: false,
            application_name: "leasehold ses_1".to_owned(),
            settings: vec![("TimeZone", "UTC".to_owned())],
            secrets: Vec::new(),
        },
    }
}

fn full(certificate: &Certificate) -> UpstreamTls {
    UpstreamTls::verify_full(roots(certificate.authority.as_bytes()).unwrap()).unwrap()
}

fn chain_only(certificate: &Certificate) -> UpstreamTls {
    UpstreamTls::verify_ca(roots(certificate.authority.as_bytes()).unwrap()).unwrap()
}

/// Runs a login against a scripted target.
async fn meet<R>(target: &Target, script: impl AsyncFnOnce(Fake<DuplexStream>) -> R) -> (Outcome, R) {
    let (gateway, far) = tokio::io::duplex(256 << 10);
    let limits = Limits::default();
    tokio::join!(login(gateway, target, &limits), script(Fake::new(far)))
}

/// Runs a login without TLS against a target that says `script` after the StartupMessage; gives the error, after
/// checking that the password was not said.
async fn fails(script: impl AsyncFnOnce(&mut Fake<DuplexStream>)) -> UpstreamError {
    let (outcome, heard) = meet(&target(UpstreamTls::Off), async |mut fake| {
        fake.startup().await;
        script(&mut fake).await;
        fake.rest().await
    })
    .await;
    assert!(!heard.windows(PASSWORD.len()).any(|bytes| bytes == PASSWORD.as_bytes()));
    outcome.expect_err("the login must fail")
}

#[tokio::test(start_paused = true)]
async fn a_login_with_every_setting_pinned() {
    let mut target = target(UpstreamTls::Off);
    target.terms.read_only = true;
    let (outcome, asked) = meet(&target, async |mut fake| {
        let asked = fake.startup().await;
        assert_eq!(fake.scram(&[SCRAM], b"").await, (SCRAM.to_owned(), "n,,".to_owned()));
        fake.settle(&["public, pg_temp", "on", "UTF8", "on", "session"]).await;
        asked
    })
    .await;
    let upstream = outcome.unwrap();
    assert_eq!(upstream.parameters[0], ("server_version".to_owned(), "15.0".to_owned()));
    assert_eq!(upstream.key, Some(Key { pid: 77, secret: vec![1, 2, 3, 4] }));
    assert!(upstream.leftover.is_empty());
    let asked: Vec<_> = asked.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        asked,
        [
            "TimeZone=UTC",
            "application_name=leasehold ses_1",
            "client_encoding=UTF8",
            "database=logs",
            "default_transaction_read_only=on",
            "search_path=public, pg_temp",
            "standard_conforming_strings=on",
            "user=gateway_ro",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn within_tls_the_login_is_bound_to_the_certificate() {
    let certificate = certificate("db");
    for tls in [full(&certificate), chain_only(&certificate)] {
        let (outcome, chosen) = meet(&target(tls), async |fake| {
            let mut fake = fake.tls(&certificate.config).await.unwrap();
            fake.startup().await;
            let chosen = fake.scram(&[PLUS, SCRAM], &certificate.hash).await;
            fake.settle(&PINS).await;
            chosen
        })
        .await;
        assert!(outcome.unwrap().stream.is_tls());
        assert_eq!(chosen, (PLUS.to_owned(), "p=tls-server-end-point,,".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stripped_offer_is_reported_to_the_target() {
    let certificate = certificate("db");
    let (outcome, chosen) = meet(&target(full(&certificate)), async |fake| {
        let mut fake = fake.tls(&certificate.config).await.unwrap();
        fake.startup().await;
        let chosen = fake.scram(&[SCRAM], b"").await;
        fake.settle(&PINS).await;
        chosen
    })
    .await;
    assert!(outcome.is_ok());
    assert_eq!(chosen, (SCRAM.to_owned(), "y,,".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn without_tls_nothing_is_said_when_tls_is_demanded() {
    let certificate = certificate("db");
    for (answer, expected) in [(b'N', "TlsRefused"), (b'E', "TlsAnswer"), (b'R', "TlsAnswer")] {
        let (outcome, heard) = meet(&target(full(&certificate)), async |mut fake| {
            fake.packet().await;
            fake.raw(&[answer]).await;
            fake.rest().await
        })
        .await;
        assert!(format!("{:?}", outcome.unwrap_err()).starts_with(expected));
        assert_eq!(heard, [4, 210, 22, 47], "only the code of the SSLRequest");
    }
}

#[tokio::test(start_paused = true)]
async fn plaintext_after_the_yes_is_never_heard() {
    let certificate = certificate("db");
    let mut smuggled = BytesMut::from(&b"S"[..]);
    write::authentication_ok(&mut smuggled);
    write::ready_for_query(&mut smuggled, TransactionStatus::Idle);
    let (outcome, ()) = meet(&target(full(&certificate)), async |mut fake| {
        fake.packet().await;
        fake.raw(&smuggled).await;
    })
    .await;
    assert!(matches!(outcome, Err(UpstreamError::Tls(_))), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn certificates_are_verified() {
    let (right, elsewhere, stranger) = (certificate("db"), certificate("elsewhere"), certificate("db"));
    let attempt = async |tls: UpstreamTls, certificate: &Certificate| {
        meet(&target(tls), async |fake| {
            if let Some(mut fake) = fake.tls(&certificate.config).await {
                // Under TLS 1.3 the server learns of a refusal only when it reads.
                assert!(fake.frame().await.is_none());
            }
        })
        .await
        .0
        .unwrap_err()
    };
    assert!(matches!(attempt(full(&right), &stranger).await, UpstreamError::Tls(_)));
    assert!(matches!(attempt(chain_only(&right), &stranger).await, UpstreamError::Tls(_)));
    assert!(matches!(attempt(full(&elsewhere), &elsewhere).await, UpstreamError::Tls(_)));

    let (outcome, ()) = meet(&target(chain_only(&elsewhere)), async |fake| {
        let mut fake = fake.tls(&elsewhere.config).await.unwrap();
        fake.startup().await;
        fake.scram(&[PLUS, SCRAM], &elsewhere.hash).await;
        fake.settle(&PINS).await;
    })
    .await;
    assert!(outcome.is_ok(), "verify-ca leaves the name out: {outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn weaker_authentication_is_refused() {
    for (code, data) in [(3, &b""[..]), (5, b"salt"), (2, b""), (7, b""), (9, b""), (11, b"x"), (12, b"x"), (99, b"")] {
        let error = fails(async |fake| fake.auth(code, data).await).await;
        assert!(matches!(error, UpstreamError::Downgrade { .. }), "{code}: {error:?}");
    }
    let error = fails(async |fake| fake.auth(0, b"").await).await;
    assert!(matches!(error, UpstreamError::Unchecked));
    let error = fails(async |fake| fake.offer(&["SCRAM-SHA-1", "PLAIN"]).await).await;
    assert!(matches!(error, UpstreamError::Scram(ScramError::NoMechanism)));
    let error = fails(async |fake| fake.offer(&[PLUS]).await).await;
    assert!(matches!(error, UpstreamError::Scram(ScramError::NoMechanism)));
}

#[tokio::test(start_paused = true)]
async fn no_step_of_the_exchange_can_be_skipped() {
    for code in [0, 3, 5, 10, 12] {
        let error = fails(async |fake| {
            fake.offer(&[SCRAM]).await;
            fake.first().await;
            fake.auth(code, if code == 5 { b"salt" } else { b"" }).await;
        })
        .await;
        assert!(matches!(error, UpstreamError::OutOfTurn { .. } | UpstreamError::Wire(_)), "{code}: {error:?}");
    }
    // The target accepts the proof but never shows its own.
    for (code, last) in [(0, &b""[..]), (12, b"v=AAAA"), (12, b"e=other-error"), (12, b"")] {
        let error = fails(async |fake| {
            fake.offer(&[SCRAM]).await;
            let (_, _, bare) = fake.first().await;
            let nonce = bare.split_once("r=").unwrap().1;
            fake.auth(11, format!("r={nonce}x,s=c2FsdA==,i=4096").as_bytes()).await;
            fake.frame().await;
            fake.auth(code, last).await;
            fake.auth(0, b"").await;
        })
        .await;
        let is_refused = matches!(error, UpstreamError::OutOfTurn { .. } | UpstreamError::Scram(ScramError::Unproven));
        assert!(is_refused, "{code}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_challenges_are_refused() {
    let attempt = async |challenge: &dyn Fn(&str) -> String| {
        fails(async |fake| {
            fake.offer(&[SCRAM]).await;
            let (_, _, bare) = fake.first().await;
            fake.auth(11, challenge(bare.split_once("r=").unwrap().1).as_bytes()).await;
        })
        .await
    };
    let error = attempt(&|own| format!("r={own}{},s=c2FsdA==,i=4096", "n".repeat(60_000))).await;
    assert!(matches!(error, UpstreamError::Scram(ScramError::TooLong)), "{error:?}");
    let error = attempt(&|_| "r=another,s=c2FsdA==,i=4096".to_owned()).await;
    assert!(matches!(error, UpstreamError::Scram(ScramError::Nonce)), "{error:?}");
    let error = attempt(&|own| format!("r={own}x,s=c2FsdA==,i=1")).await;
    assert!(matches!(error, UpstreamError::Scram(ScramError::Iterations)), "{error:?}");
    let error = attempt(&|own| format!("r={own}x,s=c2FsdA==,i=2000000000")).await;
    assert!(matches!(error, UpstreamError::Scram(ScramError::Iterations)), "{error:?}");
    let error = attempt(&|own| format!("r={own}x,s=!!,i=4096")).await;
    assert!(matches!(error, UpstreamError::Scram(ScramError::Malformed)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn messages_are_bounded_in_size_and_number() {
    let error = fails(async |fake| fake.raw(b"R\x00\x02\x00\x00").await).await;
    assert!(matches!(error, UpstreamError::Wire(WireError::TooLong { tag: b'R', .. })), "{error:?}");
    let error = fails(async |fake| fake.raw(b"N\x00\x02\x00\x00").await).await;
    assert!(matches!(error, UpstreamError::Wire(WireError::TooLong { tag: b'N', .. })), "{error:?}");
    for length in [0_u32, 3, 1 << 31, u32::MAX] {
        let error = fails(async |fake| fake.raw(&[&b"E"[..], &length.to_be_bytes()].concat()).await).await;
        assert!(matches!(error, UpstreamError::Wire(WireError::Length { .. })), "{error:?}");
    }
    let error = fails(async |fake| {
        let notice = Notice::new(Severity::Notice, SqlState::WARNING, "still there");
        for _ in 0..300 {
            fake.send(|out| notice.write(out)).await;
        }
    })
    .await;
    assert!(matches!(error, UpstreamError::Endless), "{error:?}");
    let error = fails(async |fake| {
        fake.scram(&[SCRAM], b"").await;
        for index in 0..300 {
            fake.send(|out| write::parameter_status(out, &format!("p{index}"), "x")).await;
        }
    })
    .await;
    assert!(matches!(error, UpstreamError::Endless), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_understood_with_and_without_a_code() {
    let error = fails(async |fake| fake.raw(b"E\0\0\0\x12SFATAL\0Mnope\0\0").await).await;
    let UpstreamError::Refused { code: None, message: Some(message) } = error else { panic!("{error:?}") };
    assert_eq!(message, "nope");
    let error = fails(async |fake| fake.raw(b"E\0\0\0\x0cC28P01\0\0").await).await;
    assert!(matches!(error, UpstreamError::Refused { code: Some(code), message: None } if code == "28P01"));
    let error = fails(async |fake| fake.raw(b"E\0\0\0\x05\0").await).await;
    assert!(matches!(error, UpstreamError::Refused { code: None, message: None }));
    let error = fails(async |fake| fake.raw(b"E\0\0\0\x08Mxy\0").await).await;
    assert!(matches!(error, UpstreamError::Wire(WireError::Truncated { .. })), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_out_of_turn() {
    for tag in [b'Z', b'K', b'S', b'D', b'T', b'C', b'G', b'W', b'd', b'v', b'A', b'V', b'1', b'Q', b'x'] {
        let error = fails(async |fake| {
            fake.send(|out| {
                write::frame(out, tag, |out| match tag {
                    b'Z' => out.put_u8(b'I'),
                    b'1' => {}
                    b'K' => out.put_slice(b"\0\0\0\x01key!"),
                    _ => out.put_slice(b"a\0b\0"),
                });
            })
            .await;
        })
        .await;
        let is_refused = matches!(error, UpstreamError::OutOfTurn { .. } | UpstreamError::Wire(_));
        assert!(is_refused, "{}: {error:?}", char::from(tag));
    }
    for status in [TransactionStatus::Open, TransactionStatus::Failed] {
        let error = fails(async |fake| {
            fake.scram(&[SCRAM], b"").await;
            fake.send(|out| write::ready_for_query(out, status)).await;
        })
        .await;
        assert!(matches!(error, UpstreamError::OutOfTurn { .. }), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pins_that_did_not_take_are_noticed() {
    for (index, setting, value) in [
        (0, "search_path", "\"$user\", public"),
        (1, "standard_conforming_strings", "off"),
        (2, "client_encoding", "SJIS"),
        (4, "role", "other"),
    ] {
        let mut pins = PINS;
        pins[index] = value;
        let error = fails(async |fake| {
            fake.scram(&[SCRAM], b"").await;
            fake.settle(&pins).await;
        })
        .await;
        let UpstreamError::Pin { setting: named, found } = error else { panic!("{error:?}") };
        assert_eq!((named, found.as_str()), (setting, value));
    }
    let mut read_only = target(UpstreamTls::Off);
    read_only.terms.read_only = true;
    let (outcome, ()) = meet(&read_only, async |mut fake| {
        fake.startup().await;
        fake.scram(&[SCRAM], b"").await;
        fake.settle(&PINS).await;
    })
    .await;
    assert!(matches!(outcome, Err(UpstreamError::Pin { setting: "default_transaction_read_only", .. })));
    for pins in [&PINS[..4], &["public, pg_temp", "on", "UTF8", "on", "session", "more"][..]] {
        let error = fails(async |fake| {
            fake.scram(&[SCRAM], b"").await;
            fake.settle(pins).await;
        })
        .await;
        assert!(matches!(error, UpstreamError::Pin { .. } | UpstreamError::OutOfTurn { .. }), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_target_is_left() {
    let began = Instant::now();
    let (gateway, _far) = tokio::io::duplex(1024);
    let limits = Limits::default();
    let outcome = login(gateway, &target(UpstreamTls::Off), &limits).await;
    assert!(matches!(outcome, Err(UpstreamError::Timeout { .. })), "{outcome:?}");
    assert_eq!(began.elapsed().as_secs(), limits.handshake_step_max.as_secs());

    let (outcome, ()) = meet(&target(UpstreamTls::Off), async |mut fake| {
        fake.startup().await;
    })
    .await;
    assert!(matches!(outcome, Err(UpstreamError::Closed)), "{outcome:?}");

    let began = Instant::now();
    let (outcome, ()) = meet(&target(UpstreamTls::Off), async |mut fake| {
        fake.startup().await;
        let notice = Notice::new(Severity::Notice, SqlState::WARNING, "soon");
        for _ in 0..100 {
            tokio::time::sleep(std::time::Duration::from_secs(9)).await;
            fake.send(|out| notice.write(out)).await;
        }
    })
    .await;
    assert!(matches!(outcome, Err(UpstreamError::Timeout { step: "complete the login" })), "{outcome:?}");
    assert!(began.elapsed().as_secs() >= limits.login_max.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_sent_only_where_the_name_was_verified() {
    let certificate = certificate("db");
    let attempt = async |tls: UpstreamTls| {
        let mut target = target(tls);
        target.terms.secret = Secret::Token(SecretString::from(PASSWORD));
        meet(&target, async |fake| {
            let mut fake = fake.tls(&certificate.config).await.unwrap();
            fake.startup().await;
            fake.auth(3, b"").await;
            let token = fake.frame().await.map(|frame| frame.body().to_vec());
            if token.is_some() {
                fake.auth(0, b"").await;
                fake.settle(&PINS).await;
            }
            token
        })
        .await
    };
    let (outcome, token) = attempt(full(&certificate)).await;
    assert!(outcome.is_ok());
    assert_eq!(token, Some([PASSWORD.as_bytes(), b"\0"].concat()));
    let (outcome, token) = attempt(chain_only(&certificate)).await;
    assert!(matches!(outcome, Err(UpstreamError::Downgrade { .. })));
    assert_eq!(token, None);
}

#[test]
fn addresses() {
    let address = |host: &str, port| Some(Address { host: host.to_owned(), port });
    assert_eq!(Address::parse("db.example:5432"), address("db.example", 5432));
    assert_eq!(Address::parse("127.0.0.1:1"), address("127.0.0.1", 1));
    assert_eq!(Address::parse("[::1]:5432"), address("::1", 5432));
    for wrong in
        ["", "db", "db:", ":5432", "db:0", "db:65536", "::1:5432", "[::1:5432", "[db]:1", "d b:1", "/tmp:1", "db:1:2"]
    {
        assert_eq!(Address::parse(wrong), None, "{wrong}");
    }
}
