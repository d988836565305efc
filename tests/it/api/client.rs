//! `leasehold request|approve|status|…` against a served API.

use super::bench::{Bench, Idp, Role, http};
use enforcer::client::commands::{self, Command, Common, Format, Which};
use enforcer::client::connect::Connect;
use enforcer::client::{download, verify};
use enforcer::core::limits::Limits;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// A command's exit code, answer and notes.
struct Ran {
    code: u8,
    out: String,
    notes: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{} {}", self.out, self.notes))
    }
}

fn common(bench: &Bench, role: Role, format: Format) -> Common {
    Common { connect: connect(bench, role), format }
}

fn connect(bench: &Bench, role: Role) -> Connect {
    let file = bench.folder.path().join(format!("token-{role:?}"));
    std::fs::write(&file, bench.idp.token(role).unwrap()).unwrap();
    Connect { url: Some(bench.url.clone()), token_file: Some(file), ca: None }
}

async fn run(command: &Command) -> Ran {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let code = commands::run(command, &mut out, &mut notes).await.unwrap();
    Ran { code, out: String::from_utf8(out).unwrap(), notes: String::from_utf8(notes).unwrap() }
}

fn request(common: Common, connection: &str, wait: bool) -> Command {
    Command::Request {
        connection: connection.to_owned(),
        via: None,
        reason: Some("totals".to_owned()),
        ticket: Some("INC-1".to_owned()),
        lifetime: None,
        wait,
        then: None,
        common,
    }
}

#[tokio::test]
async fn the_life_of_a_window_on_a_terminal() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let of = |role| common(&bench, role, Format::Human);
    let asked = run(&request(of(Role::Owner), "ledger", false)).await;
    assert_eq!(asked.code, 0, "{}", asked.notes);
    assert!(asked.out.contains("waits for approval until"), "{}", asked.out);
    assert!(asked.out.contains("1 from group:leads and 1 from group:security"), "{}", asked.out);
    let id = asked.out.split_whitespace().next().unwrap().to_owned();
    let listed = run(&Command::Requests { which: which(), common: of(Role::Approver) }).await;
    assert!(listed.out.contains("yours to decide") && listed.out.contains("totals"), "{}", listed.out);
    let own = run(&Command::Approve { id: id.clone(), common: of(Role::Owner) }).await;
    assert_eq!(own.code, 1);
    assert!(own.notes.contains("nobody decides their own request"), "{}", own.notes);
    let first = run(&Command::Approve { id: id.clone(), common: of(Role::Approver) }).await;
    assert!(first.notes.contains("reason: totals"), "the approver reads what is asked: {}", first.notes);
    assert_eq!(first.code, 0);
    let second = run(&Command::Approve { id: id.clone(), common: of(Role::Auditor) }).await;
    assert!(second.out.contains("opened win_"), "{}", second.out);
    let status = run(&Command::Status { common: of(Role::Owner) }).await;
    for part in ["commit     c1", "digest     digest-c1", "ledger-read", "win_"] {
        assert!(status.out.contains(part), "{part}: {}", status.out);
    }
    let window = second.out.split_whitespace().find(|word| word.starts_with("win_")).unwrap().to_owned();
    let revoked = run(&Command::Revoke { id: window, common: of(Role::Controller) }).await;
    assert!(revoked.out.starts_with("ended win_"), "{}", revoked.out);
    let access = run(&Command::Access { connection: None, common: of(Role::Owner) }).await;
    assert!(access.out.contains("you are dana (human), in devs"), "{}", access.out);
}

fn which() -> Which {
    Which { limit: 50, ..Which::default() }
}

#[tokio::test]
async fn waiting_ends_with_the_decision() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let of = |role| common(&bench, role, Format::Json);
    let command = request(of(Role::Owner), "ledger", true);
    let waiting = run(&command);
    let deciding = async {
        for _ in 0..100 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            let listed = run(&Command::Requests { which: which(), common: of(Role::Approver) }).await.json();
            if let Some(id) = listed[0]["id"].as_str() {
                let deny = Command::Deny {
                    id: id.to_owned(),
                    reason: Some("not today".to_owned()),
                    common: of(Role::Approver),
                };
                return run(&deny).await;
            }
        }
        panic!("the request never came");
    };
    let (waited, denied) = tokio::join!(waiting, deciding);
    assert_eq!(denied.json()["did"], "denied");
    assert_eq!(waited.code, 1);
    assert_eq!(waited.json()["request"]["settled"]["note"], "not today");
}

#[tokio::test]
async fn json_answers_and_exit_codes() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let of = |role| common(&bench, role, Format::Json);
    let opened = run(&request(of(Role::Owner), "long", false)).await;
    assert_eq!((opened.code, &opened.json()["did"]), (0, &Value::from("opened")));
    let refused = run(&request(of(Role::Stranger), "long", false)).await;
    assert_eq!((refused.code, &refused.json()["status"]), (1, &Value::from(403)));
    let expired = run(&Command::Status { common: of(Role::Expired) }).await;
    assert_eq!(expired.code, 1, "{}", expired.out);
    let mut nowhere = of(Role::Owner);
    nowhere.connect.url = Some("http://127.0.0.1:9".to_owned());
    let away = run(&Command::Status { common: nowhere.clone() }).await;
    assert_eq!(away.code, 4);
    assert!(away.json()["error"].as_str().unwrap().contains("cannot reach the gateway"), "{}", away.out);
    nowhere.connect.token_file = Some(PathBuf::from("/nonexistent"));
    assert_eq!(run(&Command::Status { common: nowhere.clone() }).await.code, 3);
    nowhere.connect.url = Some("http://gateway.example".to_owned());
    assert_eq!(run(&Command::Status { common: nowhere }).await.code, 3);
    for ran in [opened, refused, expired, away] {
        for role in [Role::Owner, Role::Stranger, Role::Expired] {
            let token = bench.idp.token(role).unwrap();
            let payload = token.split('.').nth(1).unwrap();
            assert!(!ran.out.contains(payload) && !ran.notes.contains(payload));
        }
    }
}

#[tokio::test]
async fn a_recording_comes_through_the_api_and_verifies() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let (_, _, session) = bench.furnish().await;
    let key = bench.folder.path().join("key.pub");
    std::fs::write(&key, bench.recorder.public_key().to_pem().unwrap()).unwrap();
    assert_eq!(download::remote(session.as_str(), None), Some(session.clone()));
    assert_eq!(download::remote("/some/folder", None), None);
    let downloaded = download::recording(&connect(&bench, Role::Auditor), &session).await.unwrap();
    let args = verify::Args {
        archive: enforcer::client::archive::Args::default(),
        recording: Some(downloaded.path().to_str().unwrap().to_owned()),
        against: None,
        witness: None,
        public_key: key,
        recordings: None,
        format: verify::Format::Text,
    };
    let mut out = Vec::new();
    let outcome = verify::run(&args, &mut out).unwrap();
    assert_eq!(outcome, verify::Outcome::Complete, "{}", String::from_utf8_lossy(&out));
    let path = downloaded.path();
    drop(downloaded);
    assert!(!path.exists());
    assert!(download::recording(&connect(&bench, Role::Controller), &session).await.is_err());
}

#[tokio::test]
async fn tls_is_verified_against_the_given_authority() {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = signed.cert.pem();
    let tls = enforcer::gateway::tls::server_config(
        pem.as_bytes(),
        signed.signing_key.serialize_pem().as_bytes(),
        &[b"h2", b"http/1.1"],
    )
    .unwrap();
    let bench = Bench::start_with(&Idp::start().await, &http(), Some(Arc::clone(&tls)), &Limits::default()).await;
    let ca = bench.folder.path().join("ca.pem");
    std::fs::write(&ca, pem).unwrap();
    let mut common = common(&bench, Role::Owner, Format::Json);
    common.connect.ca = Some(ca.clone());
    let status = run(&Command::Status { common: common.clone() }).await;
    assert_eq!((status.code, &status.json()["policy"]["commit"]), (0, &Value::from("c1")), "{}", status.notes);
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&ca, other.cert.pem()).unwrap();
    assert_eq!(run(&Command::Status { common }).await.code, 4);
}
