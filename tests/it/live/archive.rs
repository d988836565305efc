//! Recordings in real object stores, and their keys from a real key service: what is archived, what a failure costs,
//! and that the archive alone gives a recording back.

use super::failures::elsewhere;
use super::fresh;
use super::raw::Raw;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use xtask::cast::{PAULA, SAM};
use xtask::clock::wait_for;
use xtask::command::{Ran, run};
use xtask::scene::{Choice, Scene};
use xtask::service::{free_port, secret};
use xtask::stores::{AZURITE_ACCOUNT, AZURITE_KEY, BUCKET, Blob, S3, Vault, private_file};
use xtask::tools::Places;

/// A connection that is recorded in full, and people who may replay it.
fn policy() -> Vec<(String, String)> {
    let audit = "/- kdl-version 2\noperate dev-audit { to group:security; on env=dev; may replay; }\n";
    vec![elsewhere("in-full", "127.0.0.1:PORT"), ("connections/dev-audit.kdl".to_owned(), audit.to_owned())]
}

/// A folder of the test's own, beside the scene's.
fn beside(name: &str) -> (Places, PathBuf) {
    let places = Places::find().unwrap();
    let folder = places.target.join("live").join(format!("{name}-stores"));
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    (places, folder)
}

/// One session, recorded in full; its name.
fn session(scene: &Scene, says: &str) -> String {
    let mut raw = Raw::login(scene.gateway.port, "in-full", &scene.token(&PAULA).unwrap()).expect("a session opens");
    assert_eq!(raw.query(&format!("select '{says}'")).unwrap(), [says]);
    drop(raw);
    let listed = scene.gateway.ask_json(&scene.token(&PAULA).unwrap(), &["sessions", "--all"]).unwrap();
    listed[0]["id"].as_str().expect("the session is listed").to_owned()
}

/// A command of `leasehold` with the archive's variables.
fn with_archive(scene: &Scene, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = Command::new(scene.places.built("debug", "leasehold"));
    command.args(arguments).envs(variables.iter().copied()).env("HOME", &scene.folder);
    run(&mut command).unwrap()
}

fn archived(scene: &Scene) {
    wait_for("everything is in the archive", Duration::from_secs(60), || {
        let pending = scene.gateway.metric("leasehold_archive_pending")?;
        Ok((scene.gateway.metric("leasehold_archive_up")? == 1.0 && pending == 0.0).then_some(()))
    })
    .unwrap();
}

fn public_key(scene: &Scene) -> String {
    scene.gateway.folder.join("state/recording.key.pub").display().to_string()
}

/// What the archive alone gives back, and what the folder together with it says.
fn gives_back(scene: &Scene, url: &str, variables: &[(&str, &str)], id: &str, says: &str) {
    let key = public_key(scene);
    let verified = with_archive(scene, variables, &["verify", id, "--archive", url, "--public-key", &key]);
    assert_eq!(verified.code, Some(0), "{}", verified.said());
    let replayed = with_archive(scene, variables, &["replay", id, "--archive", url, "--public-key", &key]);
    assert!(replayed.ok() && replayed.out.contains(says), "{}", replayed.said());
    let recordings = scene.gateway.folder.join("recordings").display().to_string();
    let all = ["verify", "--recordings", &recordings, "--archive", url, "--public-key", &key];
    let all = with_archive(scene, variables, &all);
    assert_eq!(all.code, Some(0), "{}", all.said());
    println!("said: {}", all.out.trim());
    // Nothing but the archive, as on another machine.
    let search = ["sessions", "--archive", url, "--text", "select", "--since", "7d", "--format", "json"];
    let found = with_archive(scene, variables, &search);
    let found: serde_json::Value = serde_json::from_str(&found.out).unwrap_or_else(|_| panic!("{}", found.said()));
    let names: Vec<&str> = found.as_array().unwrap().iter().filter_map(|one| one["session"].as_str()).collect();
    assert!(names.contains(&id), "{found}");
}

#[test]
fn recordings_go_to_s3_wait_while_it_is_down_and_leave_this_machine() {
    let (places, folder) = beside("archive-s3");
    let port = free_port().unwrap();
    let key = secret().unwrap();
    private_file(&folder.join("s3.key"), &key).unwrap();
    let recording_lines = format!(
        "archive \"s3://{BUCKET}/gw-dev\" {{\n    endpoint \"http://127.0.0.1:{port}\"\n    region \"us-east-1\"\n    \
         access-key \"AKIALEASEHOLD\"\n    secret (file)\"{}\"\n    keep-local \"1s\"\n}}\n",
        folder.join("s3.key").display()
    );
    let policy_files = policy();
    let scene = fresh("archive-s3", &Choice { recording_lines, policy_files, ..Choice::default() }).unwrap();
    // The store is not there yet: sessions work, and what they recorded waits here.
    let id = session(&scene, "while it is down");
    wait_for("the failure and what waits show", Duration::from_secs(30), || {
        let failed = scene.gateway.metric("leasehold_archive_failures_total")? > 0.0;
        Ok((failed && scene.gateway.metric("leasehold_archive_pending")? >= 1.0).then_some(()))
    })
    .unwrap();
    assert!(!scene.gateway.log().contains(&key), "the secret stands in the log");
    let mut store = S3::start_on(&places, &folder, port).unwrap();
    archived(&scene);
    let endpoint = store.endpoint();
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIALEASEHOLD"),
        ("AWS_SECRET_ACCESS_KEY", key.as_str()),
    ];
    let url = format!("s3://{BUCKET}/gw-dev");
    wait_for("the recording leaves this machine", Duration::from_secs(30), || {
        Ok(files_of(&scene, &id).is_empty().then_some(()))
    })
    .unwrap();
    gives_back(&scene, &url, &variables, &id, "while it is down");
    // The gateway hands out what it has only in the archive.
    let through = scene.gateway.ask(&scene.token(&SAM).unwrap(), &["replay", &id]).unwrap();
    assert!(through.out.contains("while it is down"), "{}", through.said());
    // With the store gone again, sessions open and end as before.
    store.stop();
    session(&scene, "down again");
    let away =
        with_archive(&scene, &variables, &["verify", &id, "--archive", &url, "--public-key", &public_key(&scene)]);
    assert_eq!(away.code, Some(3), "{}", away.said());
}

/// The files of a recording on this machine.
fn files_of(scene: &Scene, id: &str) -> Vec<PathBuf> {
    let recordings = scene.gateway.folder.join("recordings");
    let folders = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.path()).collect()
    };
    folders(&recordings).iter().flat_map(|month| folders(&month.join(id))).collect()
}

/// Makes Azurite's container with a request that is signed as Azure's documentation says.
fn make_container(blob: &Blob) {
    let (date, version) = ("Sun, 22 Nov 2026 08:00:00 GMT", "2021-08-06");
    let date = httpdate().unwrap_or_else(|| date.to_owned());
    let text = format!(
        "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n/{AZURITE_ACCOUNT}/{AZURITE_ACCOUNT}/{BUCKET}\nrestype:container"
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(AZURITE_KEY).unwrap());
    let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    let headers = [
        ("x-ms-date", date.as_str()),
        ("x-ms-version", version),
        ("Authorization", &format!("SharedKey {AZURITE_ACCOUNT}:{signature}")),
    ];
    let path = format!("/{AZURITE_ACCOUNT}/{BUCKET}?restype=container");
    let made = xtask::http::put(blob.port, &path, &headers, "").unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
}

/// The time as HTTP has it.
fn httpdate() -> Option<String> {
    let ran = run(Command::new("date").args(["-u", "+%a, %d %b %Y %H:%M:%S GMT"]).env("LC_ALL", "C")).ok()?;
    Some(ran.out.trim().to_owned())
}

#[test]
fn recordings_go_to_azure_blob_storage() {
    let (places, folder) = beside("archive-azure");
    let blob = Blob::start(&places, &folder).unwrap();
    make_container(&blob);
    private_file(&folder.join("account.key"), AZURITE_KEY).unwrap();
    let recording_lines = format!(
        "archive \"azure://{BUCKET}/gw-dev\" {{\n    endpoint \"{}\"\n    account \"{AZURITE_ACCOUNT}\"\n    \
         secret (file)\"{}\"\n}}\n",
        blob.endpoint(),
        folder.join("account.key").display()
    );
    let policy_files = policy();
    let scene = fresh("archive-azure", &Choice { recording_lines, policy_files, ..Choice::default() }).unwrap();
    let id = session(&scene, "in the blob");
    archived(&scene);
    let endpoint = blob.endpoint();
    let variables = [
        ("AZURE_STORAGE_ACCOUNT_NAME", AZURITE_ACCOUNT),
        ("AZURE_STORAGE_ACCOUNT_KEY", AZURITE_KEY),
        ("AZURE_STORAGE_ENDPOINT", endpoint.as_str()),
        ("AZURE_ALLOW_HTTP", "true"),
    ];
    gives_back(&scene, &format!("azure://{BUCKET}/gw-dev"), &variables, &id, "in the blob");
}

#[test]
fn keys_come_from_a_key_service_and_without_it_no_session_opens() {
    let (places, folder) = beside("keys");
    println!("{}", Vault::version(&places).unwrap().trim());
    let mut vault = Vault::start(&places, &folder).unwrap();
    private_file(&folder.join("gateway.token"), &vault.encrypt_token).unwrap();
    private_file(&folder.join("auditor.token"), &vault.decrypt_token).unwrap();
    let recording_lines = format!(
        "key-service \"{}\" {{\n    key \"transit/recordings\"\n    token (file)\"{}\"\n}}\n",
        vault.address(),
        folder.join("gateway.token").display()
    );
    let policy_files = policy();
    let scene = fresh("keys", &Choice { recording_lines, policy_files, ..Choice::default() }).unwrap();
    let id = session(&scene, "under a wrapped key");
    let mut open = Raw::login(scene.gateway.port, "in-full", &scene.token(&PAULA).unwrap()).unwrap();

    let recordings = scene.gateway.folder.join("recordings").display().to_string();
    let key = public_key(&scene);
    let show = |token: &str| {
        let (address, token) = (vault.address(), folder.join(token).display().to_string());
        let arguments = ["replay", &id, "--recordings", &recordings, "--key-service", &address, "--key-token", &token];
        with_archive(&scene, &[], &arguments)
    };
    let shown = show("auditor.token");
    assert!(shown.ok() && shown.out.contains("under a wrapped key"), "{}", shown.said());
    let refused = show("gateway.token");
    assert!(!refused.ok() && refused.said().contains("403"), "the gateway's token opens nothing: {}", refused.said());
    let blind = with_archive(&scene, &[], &["replay", &id, "--recordings", &recordings]);
    assert!(
        blind.ok() && !blind.out.contains("under a wrapped key") && blind.out.contains("encrypted"),
        "{}",
        blind.out
    );
    let verified = with_archive(&scene, &[], &["verify", &id, "--recordings", &recordings, "--public-key", &key]);
    assert_eq!(verified.code, Some(0), "no key is needed to verify: {}", verified.said());

    vault.stop();
    let refusal = Raw::login(scene.gateway.port, "in-full", &scene.token(&PAULA).unwrap()).map(|_| ());
    let refusal = refusal.expect_err("without its key service nothing opens");
    println!("said: {}", refusal.whole);
    assert!(refusal.severity == "FATAL" && refusal.whole.contains("recorded"), "{refusal:?}");
    assert!(scene.gateway.metric("leasehold_recording_failures_total").unwrap() >= 1.0);
    assert_eq!(open.query("select 'it goes on'").unwrap(), ["it goes on"], "what was open goes on");
    assert!(!scene.gateway.log().contains(&vault.encrypt_token), "the token stands in the log");
}
