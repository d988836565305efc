//! Attacks on the way in, over an in-memory connection and paused time.

use super::super::wire::frame::{Frame, ServerTag};
use super::super::wire::server::{Authentication, Fields, NegotiateProtocolVersion};
use super::*;
use crate::gateway::tls::{provider, roots, server_config};
use bytes::BufMut;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use secrecy::ExposeSecret;
use std::net::{Ipv4Addr, Ipv6Addr};
use tokio::io::DuplexStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SSL: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const GSS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];

/// One identity provider.
struct One;

impl Providers for One {
    fn provider(&self, idp: &str) -> Option<Provider> {
        let (metadata, scope) = ("https://idp.example/.well-known/openid-configuration", "a\"b");
        (idp == "main").then(|| Provider { metadata: metadata.to_owned(), scope: scope.to_owned() })
    }
}

fn bearer_packet() -> Vec<u8> {
    startup(&[("user", "me"), ("database", "prod-logs"), ("options", "-c leasehold.idp=main -c leasehold.via=x")])
}

fn first(response: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    write::sasl_initial_response(&mut out, "OAUTHBEARER", response);
    out.to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_shown_by_oauthbearer_as_rfc_7628_says() {
    // RFC 7628, 4.1, with the host and port that it sends.
    for said in [
        "n,,\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
        "y,,\x01host=server.example.com\x01port=143\x01auth=bearer  vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
    ] {
        let script = [bearer_packet(), first(said.as_bytes())].concat();
        let (arrived, heard) = meet(LOOPBACK, None, async |client| say(client, &script).await).await;
        let Ok(Arrival::Login(login)) = arrived else { panic!("{said:?}: {arrived:?}") };
        assert_eq!(login.token.expose_secret(), "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
        assert_eq!((login.asked.idp.as_deref(), login.asked.via.as_deref()), (Some("main"), Some("x")));
        drop(heard);
    }
}

#[tokio::test(start_paused = true)]
async fn who_shows_no_token_is_told_where_to_get_one() {
    // libpq 18: an empty `auth`, then one 0x01 after the server's answer.
    let mut answer = BytesMut::new();
    write::sasl_response(&mut answer, b"\x01");
    let script = [bearer_packet(), first(b"n,,\x01auth=\x01\x01"), answer.to_vec()].concat();
    let (arrived, heard) = meet(LOOPBACK, None, async |client| say(client, &script).await).await;
    assert!(matches!(arrived, Err(StartupError::Refused(_))), "{arrived:?}");
    let heard = frames(heard);
    let steps: Vec<_> = heard.iter().filter(|frame| frame.tag() == ServerTag::Authentication).collect();
    assert_eq!(Authentication::read(steps[0].body()), Ok(Authentication::Sasl(vec!["OAUTHBEARER"])));
    let Ok(Authentication::SaslContinue(json)) = Authentication::read(steps[1].body()) else { panic!("{heard:?}") };
    let expected = r#"{"status":"invalid_token","openid-configuration":"https://idp.example/.well-known/openid-configuration","scope":"a\"b"}"#;
    assert_eq!(std::str::from_utf8(json).unwrap(), expected);
    assert_eq!(heard.last().map(Frame::tag), Some(ServerTag::ErrorResponse));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_bearer_message_is_refused() {
    let unknown = startup(&[("user", "me"), ("database", "prod-logs"), ("options", "-c leasehold.idp=other")]);
    let script = [unknown, first(b"n,,\x01auth=\x01\x01")].concat();
    let (arrived, heard) = meet(LOOPBACK, None, async |client| say(client, &script).await).await;
    assert!(arrived.is_err());
    assert_eq!(refusal(heard), "28000");
    for said in [
        &b""[..],
        b"n,,",
        b"n,,\x01\x01",
        b"n,,\x01auth=Bearer x\x01",
        b"n,,\x01auth=Bearer x\x01\x01x",
        b"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01",
        b"n,,\x01auth=Basic x\x01\x01",
        b"n,,\x01auth=Bearer\x01\x01",
        b"n,,\x01auth=Bearer x y\x01\x01",
        b"n,,\x01auth=Bearer =x\x01\x01",
        b"n,,\x01auth=Bearer x\0y\x01\x01",
        b"n,,\x01Auth1=Bearer x\x01\x01",
        b"n,a=me,\x01auth=Bearer x\x01\x01",
        b"p=tls-unique,,\x01auth=Bearer x\x01\x01",
        b"\xff,,\x01auth=Bearer x\x01\x01",
    ] {
        let script = [bearer_packet(), first(said)].concat();
        let (arrived, heard) = meet(LOOPBACK, None, async |client| say(client, &script).await).await;
        assert!(matches!(arrived, Err(StartupError::Refused(_))), "{said:?}: {arrived:?}");
        assert!(!refusal(heard).is_empty());
    }
    let mut scram = BytesMut::new();
    write::sasl_initial_response(&mut scram, "SCRAM-SHA-256", b"n,,n=,r=x");
    let (arrived, heard) =
        meet(LOOPBACK, None, async |client| say(client, &[bearer_packet(), scram.to_vec()].concat()).await).await;
    assert!(arrived.is_err());
    assert_eq!(refusal(heard), "08P01");
}

struct Certificate {
    server: Arc<ServerConfig>,
    client: ClientConfig,
}

fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["gateway".to_owned()]).unwrap();
    let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(pem.as_bytes()).unwrap())
        .with_no_client_auth();
    Certificate { server: server_config(pem.as_bytes(), key.as_bytes(), &[ALPN]).unwrap(), client }
}

fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut out = BytesMut::new();
    packet::write_startup(&mut out, parameters).unwrap();
    out.to_vec()
}

fn login_packet() -> Vec<u8> {
    startup(&[("user", "me"), ("database", "prod-logs/incident")])
}

fn password(text: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    write::frame(&mut out, b'p', |out| out.put_slice(text));
    out.to_vec()
}

/// Runs a client's script against the door; gives what came in and what the script returned.
async fn meet<R>(
    peer: IpAddr,
    tls: Option<&Arc<ServerConfig>>,
    script: impl AsyncFnOnce(DuplexStream) -> R,
) -> (Result<Arrival<DuplexStream>, StartupError>, R) {
    let (gateway, client) = tokio::io::duplex(256 << 10);
    let limits = Limits::default();
    tokio::join!(arrive(gateway, Door { peer, tls, limits: &limits, providers: &One }), script(client))
}

/// Says everything at once, then listens until the gateway closes or falls silent for a second.
async fn say(mut client: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> BytesMut {
    client.write_all(bytes).await.unwrap();
    listen(&mut client).await
}

async fn listen(client: &mut (impl AsyncRead + Unpin)) -> BytesMut {
    let mut heard = BytesMut::new();
    while let Ok(Ok(1..)) = timeout(Duration::from_secs(1), client.read_buf(&mut heard)).await {}
    heard
}

fn frames(mut bytes: BytesMut) -> Vec<Frame<ServerTag>> {
    let mut found = Vec::new();
    while let Some(frame) = Frame::next(&mut bytes, &Limits::default()).unwrap() {
        found.push(frame);
    }
    assert!(bytes.is_empty());
    found
}

/// The SQLSTATE of the only message heard, which must be a FATAL error.
fn refusal(heard: BytesMut) -> String {
    let frames = frames(heard);
    let frame = frames.last().expect("a refusal must be told");
    assert_eq!(frame.tag(), ServerTag::ErrorResponse);
    let fields = Fields::read(frame.body()).unwrap();
    assert_eq!(fields.severity(), Some("FATAL"));
    fields.code().unwrap().to_owned()
}

fn login(arrival: Result<Arrival<DuplexStream>, StartupError>) -> Box<Login<DuplexStream>> {
    match arrival {
        Ok(Arrival::Login(login)) => login,
        other => panic!("not a login: {other:?}"),
    }
}

/// Says `bytes` in plaintext from loopback and expects to be refused with this code.
async fn refused_with(bytes: &[u8], code: &str) {
    let (arrival, heard) = meet(LOOPBACK, None, async |client| say(client, bytes).await).await;
    assert!(matches!(arrival, Err(StartupError::Refused(_))), "{arrival:?}");
    assert_eq!(refusal(heard), code, "{:?}", &bytes[..bytes.len().min(80)]);
}

#[tokio::test(start_paused = true)]
async fn a_login_over_loopback() {
    let all = [login_packet(), password(b"a.b.c\0")].concat();
    let (arrival, heard) = meet(LOOPBACK, None, async |client| say(client, &all).await).await;
    let login = login(arrival);
    assert_eq!((login.asked.connection.as_str(), login.asked.via.as_deref()), ("prod-logs", Some("incident")));
    assert_eq!(login.token.expose_secret(), "a.b.c");
    assert!(!format!("{login:?}").contains("a.b.c"));
    let heard = frames(heard);
    assert_eq!(heard.len(), 1);
    assert_eq!(Authentication::read(heard[0].body()), Ok(Authentication::CleartextPassword));
}

#[tokio::test(start_paused = true)]
async fn one_byte_at_a_time_gives_the_same() {
    let all = [&GSS[..], &SSL[..], &login_packet(), &password(b"token\0")].concat();
    let (arrival, _) = meet(LOOPBACK, None, async |mut client: DuplexStream| {
        for byte in &all {
            client.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        listen(&mut client).await
    })
    .await;
    assert_eq!(login(arrival).token.expose_secret(), "token");
}

#[tokio::test(start_paused = true)]
async fn half_open_clients_are_dropped_at_every_step() {
    let all = [&GSS[..], &SSL[..], &login_packet(), &password(b"token\0")].concat();
    for cut in 0..all.len() {
        let (arrival, ()) = meet(LOOPBACK, None, async |mut client: DuplexStream| {
            client.write_all(&all[..cut]).await.unwrap();
            tokio::time::sleep(Duration::from_mins(1)).await;
            drop(client);
        })
        .await;
        assert!(matches!(arrival, Err(StartupError::Timeout { .. })), "{cut}: {arrival:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_and_a_whole_login_have_deadlines() {
    let (gateway, mut client) = tokio::io::duplex(1024);
    let limits = Limits::default();
    let began = Instant::now();
    assert!(arrive(gateway, Door { peer: LOOPBACK, tls: None, limits: &limits, providers: &One }).await.is_err());
    assert_eq!(began.elapsed().as_secs(), limits.handshake_step_max.as_secs());
    assert!(client.write_all(b"x").await.is_err());

    // Each packet comes within its step, but there is no end to them.
    let (gateway, mut client) = tokio::io::duplex(1024);
    let began = Instant::now();
    let slow = async {
        for packet in [&GSS[..], &SSL[..], &login_packet()] {
            tokio::time::sleep(Duration::from_secs(8)).await;
            client.write_all(packet).await.unwrap();
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
    };
    let door = Door { peer: LOOPBACK, tls: None, limits: &limits, providers: &One };
    let arrived = async {
        let arrival = arrive(gateway, door).await;
        (arrival, began.elapsed())
    };
    let ((arrival, took), ()) = tokio::join!(arrived, slow);
    assert!(matches!(arrival, Err(StartupError::Timeout { step: "complete the login" })), "{arrival:?}");
    assert_eq!(took.as_secs(), limits.login_max.as_secs());
}

#[tokio::test(start_paused = true)]
async fn impossible_lengths_are_refused() {
    for length in [0_u32, 3, 7, 1 << 31, (1 << 31) + 1, u32::MAX] {
        refused_with(&length.to_be_bytes(), "08P01").await;
    }
    for length in [(1_u32 << 31) - 1, 65_536, 10_001] {
        refused_with(&length.to_be_bytes(), "54000").await;
    }
    refused_with(b"GET / HTTP/1.1\r\n\r\n", "54000").await;
}

#[tokio::test(start_paused = true)]
async fn a_length_that_wraps_uncovers_no_second_message() {
    let token = password(b"token\0");
    let wrapped = [&login_packet()[..], &[b'p', 255, 255, 255, 255], &token[..]].concat();
    refused_with(&wrapped, "08P01").await;
}

#[tokio::test(start_paused = true)]
async fn plaintext_before_the_upgrade_is_never_heard() {
    let tls = certificate();
    let smuggled = [&SSL[..], &login_packet(), &password(b"token\0")].concat();
    let (arrival, heard) = meet(LOOPBACK, Some(&tls.server), async |client| say(client, &smuggled).await).await;
    assert!(matches!(arrival, Err(StartupError::Tls(_))), "{arrival:?}");
    assert_eq!(heard[0], b'S');
    // An alert of TLS may follow, but no word of PostgreSQL.
    assert!(heard.len() == 1 || heard[1] == 0x15, "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn plaintext_ahead_of_a_real_handshake_is_never_heard() {
    let tls = certificate();
    let (arrival, shook) = meet(LOOPBACK, Some(&tls.server), async |mut client: DuplexStream| {
        client.write_all(&[&SSL[..], &login_packet()].concat()).await.unwrap();
        client.read_u8().await.unwrap();
        let name = ServerName::try_from("gateway").unwrap();
        TlsConnector::from(Arc::new(tls.client)).connect(name, client).await.is_ok()
    })
    .await;
    assert!(matches!(arrival, Err(StartupError::Tls(_))), "{arrival:?}");
    assert!(!shook);
}

/// Brings TLS up as a client does, direct or after an SSLRequest.
async fn shake(
    mut client: DuplexStream,
    mut config: ClientConfig,
    alpn: &[&[u8]],
    direct: bool,
) -> io::Result<tokio_rustls::client::TlsStream<DuplexStream>> {
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    if !direct {
        client.write_all(&SSL).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'S');
    }
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("gateway").unwrap(), client).await
}

#[tokio::test(start_paused = true)]
async fn tls_after_a_request_and_direct() {
    for (alpn, direct) in [(&[][..], false), (&[ALPN][..], false), (&[ALPN][..], true)] {
        let tls = certificate();
        let all = [login_packet(), password(b"token\0")].concat();
        let (arrival, _) = meet(REMOTE, Some(&tls.server), async |client| {
            say(shake(client, tls.client, alpn, direct).await.unwrap(), &all).await
        })
        .await;
        let login = login(arrival);
        assert!(login.stream.is_tls());
        assert_eq!(login.token.expose_secret(), "token");
    }
}

#[tokio::test(start_paused = true)]
async fn direct_tls_without_the_protocol_is_refused() {
    let tls = certificate();
    let (arrival, ()) = meet(REMOTE, Some(&tls.server), async |client| {
        if let Ok(mut stream) = shake(client, tls.client, &[], true).await {
            listen(&mut stream).await;
        }
    })
    .await;
    assert!(matches!(arrival, Err(StartupError::TlsUnasked)), "{arrival:?}");
    for direct in [false, true] {
        let tls = certificate();
        let (arrival, shook) = meet(REMOTE, Some(&tls.server), async |client| {
            shake(client, tls.client, &[b"http/1.1"], direct).await.is_ok()
        })
        .await;
        assert!(matches!(arrival, Err(StartupError::Tls(_))) && !shook, "{arrival:?}");
    }
    let (arrival, ()) = meet(REMOTE, None, async |mut client: DuplexStream| {
        client.write_all(&[TLS_RECORD_BYTE, 3, 1]).await.unwrap();
        assert!(listen(&mut client).await.is_empty());
    })
    .await;
    assert!(matches!(arrival, Err(StartupError::TlsUnasked)), "{arrival:?}");
}

#[tokio::test(start_paused = true)]
async fn encryption_is_asked_for_once() {
    for twice in [[SSL, SSL], [GSS, GSS]] {
        let (arrival, mut heard) = meet(LOOPBACK, None, async |client| say(client, &twice.concat()).await).await;
        assert!(matches!(arrival, Err(StartupError::Refused(_))), "{arrival:?}");
        assert_eq!(heard.split_to(1)[..], *b"N");
        assert_eq!(refusal(heard), "08P01");
    }
    for again in [SSL, GSS] {
        let tls = certificate();
        let (arrival, heard) = meet(REMOTE, Some(&tls.server), async |client| {
            say(shake(client, tls.client, &[], false).await.unwrap(), &again).await
        })
        .await;
        assert!(matches!(arrival, Err(StartupError::Refused(_))), "{arrival:?}");
        assert_eq!(refusal(heard), "08P01");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_not_even_asked_for_in_plaintext() {
    for tls in [None, Some(certificate().server)] {
        let (arrival, heard) = meet(REMOTE, tls.as_ref(), async |client| say(client, &login_packet()).await).await;
        assert!(matches!(arrival, Err(StartupError::Refused(_))));
        assert_eq!(frames(heard.clone()).len(), 1);
        assert_eq!(refusal(heard), "28000");
    }
    let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
    for peer in [LOOPBACK, mapped, IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let all = [login_packet(), password(b"token\0")].concat();
        let (arrival, _) = meet(peer, None, async |client| say(client, &all).await).await;
        assert!(arrival.is_ok(), "{peer}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_but_a_password_follows_the_question() {
    let mut query = BytesMut::new();
    write::query(&mut query, "drop table t").unwrap();
    for intruder in [login_packet(), SSL.to_vec(), query.to_vec(), vec![b'X', 0, 0, 0, 4]] {
        refused_with(&[login_packet(), intruder].concat(), "08P01").await;
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_are_bounded_text() {
    for (text, code) in
        [(&b"\0"[..], "28P01"), (b"", "08P01"), (b"token", "08P01"), (b"to\0ken\0", "08P01"), (b"to\xffken\0", "08P01")]
    {
        refused_with(&[login_packet(), password(text)].concat(), code).await;
    }
    let of = |bytes: usize| [login_packet(), password(&[&vec![b't'; bytes - 1][..], b"\0"].concat())].concat();
    let (arrival, _) = meet(LOOPBACK, None, async |client| say(client, &of(65_535)).await).await;
    assert_eq!(login(arrival).token.expose_secret().len(), 65_534);
    refused_with(&of(65_536), "54000").await;
}

#[tokio::test(start_paused = true)]
async fn parameters_that_are_attacks() {
    let with = |name: &str, value: &str| startup(&[("user", "me"), ("database", "prod-logs"), (name, value)]);
    refused_with(&with("replication", "database"), "0A000").await;
    refused_with(&with("options", "-c search_path=evil"), "0A000").await;
    refused_with(&with("client_encoding", "SJIS"), "0A000").await;
    refused_with(&with("application_name", &"x".repeat(9_000)), "22023").await;
    refused_with(&with("application_name", &"x".repeat(65_536)), "54000").await;
    refused_with(&startup(&[("user", "me"), ("database", "host=evil")]), "3D000").await;
    refused_with(&startup(&[("user", "me"), ("database", "x' y=\"z\"")]), "3D000").await;
    let mut smuggled = with("application_name", "x");
    let end = smuggled.len() - 1;
    smuggled.splice(end..end, *b"role\0postgres\0\0");
    let length = u32::try_from(smuggled.len()).unwrap();
    smuggled[..4].copy_from_slice(&length.to_be_bytes());
    refused_with(&smuggled, "08P01").await;
    refused_with(&[0, 0, 0, 9, 0, 2, 0, 0, 0], "0A000").await;
}

#[tokio::test(start_paused = true)]
async fn unknown_versions_are_negotiated_before_the_question() {
    let mut newer = startup(&[("user", "me"), ("database", "prod-logs"), ("_pq_.x", "1")]);
    newer[6..8].copy_from_slice(&9999_u16.to_be_bytes());
    let all = [newer, password(b"token\0")].concat();
    let (arrival, heard) = meet(LOOPBACK, None, async |client| say(client, &all).await).await;
    assert_eq!(login(arrival).asked.minor, 2);
    let heard = frames(heard);
    let said = NegotiateProtocolVersion::read(heard[0].body()).unwrap();
    assert_eq!((said.version, said.unknown_options), (0x0003_0002, vec!["_pq_.x"]));
    assert_eq!(heard[1].tag(), ServerTag::Authentication);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_request_is_handed_over_with_its_connection_and_without_a_word() {
    let mut out = BytesMut::new();
    packet::write_cancel_request(&mut out, 7, &[9; 32]);
    let (arrival, mut client) = meet(REMOTE, None, async |mut client: DuplexStream| {
        client.write_all(&out).await.unwrap();
        client
    })
    .await;
    let Ok(Arrival::Cancel(request, stream)) = arrival else { panic!("{arrival:?}") };
    assert_eq!((request.pid, request.secret), (7, vec![9; 32]));
    let mut heard = [0];
    let early = tokio::time::timeout(Duration::from_secs(5), client.read(&mut heard)).await;
    assert!(early.is_err(), "its end would say that the target has taken the request: {early:?}");
    drop(stream);
    assert_eq!(client.read(&mut heard).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_no_fault() {
    for cut in [0, 4, login_packet().len()] {
        let (arrival, ()) = meet(LOOPBACK, None, async |mut client: DuplexStream| {
            client.write_all(&login_packet()[..cut]).await.unwrap();
        })
        .await;
        assert!(matches!(arrival, Err(StartupError::Left | StartupError::Broken(_))), "{cut}: {arrival:?}");
    }
}
