//! Recorded operations judged by other commits of a policy.

use super::repo::{Folder, Repo, text};
use bytes::Bytes;
use enforcer::client::commands::Format;
use enforcer::client::simulate;
use enforcer::core::event::{Decision, Event, Opened, What};
use enforcer::core::id::SessionId;
use enforcer::core::identity::Subject;
use enforcer::recording::{Recorder, Settings, SigningKey};
use lang::program::rules::Recorded;
use lang::time::Timestamp;
use std::path::Path;

fn opened(at: Timestamp) -> Opened {
    Opened {
        session: SessionId::from_random([1; 10]),
        gateway: "gw".into(),
        subject: Subject { idp: "entra".into(), tenant: "t".into(), id: "o".into() },
        subject_name: Some("mara".into()),
        kind: "human".into(),
        groups: vec!["devs".into()],
        connection: "db".into(),
        protocol: "postgres".into(),
        grant: "db".into(),
        request: None,
        window: None,
        ends: at,
        recorded: "full".into(),
        bundle: String::new(),
        commit: String::new(),
        reason: None,
        ticket: None,
        client_user: "mara".into(),
        application_name: None,
        trace: None,
        peer: "127.0.0.1:1".into(),
    }
}

/// One session with two statements, both allowed then.
fn record(folder: &Path) {
    let recorder = Recorder::new(Settings::new(folder.to_owned()), SigningKey::from_seed(&[7; 32])).unwrap();
    let at = Timestamp::parse_rfc3339("2026-05-04T10:00:00Z").unwrap();
    let mut session = recorder.open(at, opened(at), Recorded::Full).unwrap();
    for (sql, access) in [("select * from t", "select public.t"), ("select * from secret", "select public.secret")] {
        let mut frame = vec![b'Q'];
        frame.extend_from_slice(&u32::try_from(sql.len() + 5).unwrap().to_be_bytes());
        frame.extend_from_slice(sql.as_bytes());
        frame.push(0);
        let decision = Decision {
            outcome: "allowed".into(),
            accesses: vec![access.into()],
            rule: None,
            place: None,
            sentence: String::new(),
        };
        let what = [What::FromClient(Bytes::from(frame)), What::Decision(decision)];
        session.append(&what.map(|what| Event { at, what })).unwrap();
    }
}

fn simulated(repo: &Repo, recordings: &Path, policy: &str, since: &str) -> (u8, serde_json::Value) {
    let args = simulate::Args {
        policy: policy.to_owned(),
        repository: repo.path.clone(),
        folder: String::new(),
        recordings: recordings.to_owned(),
        since: since.to_owned(),
        format: Format::Json,
    };
    let mut out = Vec::new();
    let code = simulate::run(&args, &mut out).unwrap();
    (code, serde_json::from_slice(&out).unwrap_or_default())
}

#[test]
fn what_a_candidate_policy_would_change_is_listed() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let recordings = folder.0.join("recordings");
    record(&recordings);
    let same = repo.policy(&text("1h")).to_string();
    let guard = "guard no-secrets {\n    on env=dev\n    block read {\n        table public.secret\n    }\n}\n";
    let narrower = repo.policy(&format!("{}{guard}", text("1h"))).to_string();
    let (code, found) = simulated(&repo, &recordings, &same, "2026-05-01T00:00:00Z");
    assert_eq!(
        (code, found["statements"].as_u64(), found["changes"].as_array().map(Vec::len)),
        (0, Some(2), Some(0)),
        "{found}"
    );
    let (code, found) = simulated(&repo, &recordings, &narrower, "2026-05-01T00:00:00Z");
    assert_eq!(code, 1, "{found}");
    let changes = found["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1, "{found}");
    assert_eq!(changes[0]["accesses"][0], "select public.secret");
    assert_eq!((changes[0]["was"].as_str(), changes[0]["becomes"].as_str()), (Some("allowed"), Some("denied")));
    assert!(changes[0]["why"].as_str().unwrap().contains("no-secrets"), "{found}");
    // Older than what is asked for.
    let (_, found) = simulated(&repo, &recordings, "main", "2026-06-01T00:00:00Z");
    assert_eq!(found["statements"].as_u64(), Some(0));
    assert_eq!(simulated(&repo, &recordings, "nowhere", "30d").0, 3);
}
