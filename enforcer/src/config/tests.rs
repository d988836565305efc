//! Configurations and what is found about them.

use super::*;
use secrecy::ExposeSecret;

const GOOD: &str = r#"/- kdl-version 2
gateway name="gw-1" {
    state "/var/lib/leasehold"
    public-url "https://access.acme.example/"
    listen postgres "0.0.0.0:5432" { tls certificate="/etc/leasehold/tls.pem" key="/etc/leasehold/tls.key"; }
    listen api "0.0.0.0:8443" { tls certificate="/etc/leasehold/tls.pem" key="/etc/leasehold/tls.key"; }
    listen metrics "127.0.0.1:9464"
    repository {
        url "/srv/policy.git"
        branch main
        folder "."
        poll "5s"
        webhook-secret (file)"/etc/leasehold/webhook"
        signers "/etc/leasehold/allowed_signers"
        require-signed-by "/etc/leasehold/ci.pub"
    }
    recording {
        folder "/var/lib/leasehold/recordings"
        signing-key (file)"/etc/leasehold/recording.key"
        durability disk
        free-min "2GiB"
        quota "500GiB"
        keep "30d"
        encrypt-to "age1pvgeg69muvtm4rl9z9v73wd9penpnqcjp0lhgmfqdve6f6mgmakssn8ddk"
    }
    mask-key (file)"/etc/leasehold/mask.key"
    store sqlite
    drain "45s"
    limits {
        login-max "20s"
        sessions-max 50
        statement-bytes-max "2MiB"
    }
}
"#;

fn read(text: &str) -> (Option<Config>, Findings) {
    parse("gateway.kdl", text, Path::new("/etc/leasehold"), &|_| true)
}

fn messages(text: &str) -> Vec<String> {
    let (config, findings) = read(text);
    assert_eq!(config.is_none(), findings.has_errors(), "{:?}", findings.list());
    let errors = findings.list().iter().filter(|mistake| mistake.weight == Weight::Error);
    errors.map(|mistake| mistake.message.clone()).collect()
}

/// The good configuration with one text replaced.
fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replacen(old, new, 1)
}

#[test]
fn the_documented_form_is_read_as_it_stands() {
    let (config, findings) = read(GOOD);
    let warned: Vec<&str> = findings.list().iter().map(|mistake| mistake.message.as_str()).collect();
    assert!(warned.is_empty(), "{warned:?}");
    assert!(!findings.has_errors());
    let config = config.unwrap();
    assert_eq!((config.name.as_str(), config.public_url.as_str()), ("gw-1", "https://access.acme.example"));
    assert_eq!(config.postgres.unwrap().address.port(), 5432);
    assert_eq!(config.metrics.unwrap().tls, None);
    assert_eq!(config.repository.origin, Origin::Local("/srv/policy.git".into()));
    assert_eq!((config.repository.folder.as_str(), config.repository.poll), ("", Duration::from_secs(5)));
    assert_eq!(config.recording.durability, Durability::Disk);
    assert_eq!(config.recording.free_bytes_min, 2 << 30);
    assert_eq!(config.recording.quota_bytes, Some(500 << 30));
    assert_eq!(config.recording.keep, Some(Duration::from_hours(30 * 24)));
    assert_eq!(config.recording.recipients.len(), 1);
    assert!(!config.recording.signing_key.create);
    assert_eq!(config.drain, Duration::from_secs(45));
    assert_eq!(config.limits.login_max, Duration::from_secs(20));
    assert_eq!((config.limits.sessions_max, config.limits.statement_bytes_max), (50, 2 << 20));
    assert_eq!(config.limits.pipeline_max, Limits::default().pipeline_max);
}

#[test]
fn the_smallest_form_has_safe_defaults() {
    let (config, findings) = read(
        r#"gateway name=gw {
            state "state"
            listen postgres "127.0.0.1:0"
            listen api "127.0.0.1:8443"
            repository { url "https://git.acme.example/policy.git"; branch main; }
        }"#,
    );
    let config = config.unwrap_or_else(|| panic!("{:?}", findings.list()));
    assert_eq!(config.state, Path::new("/etc/leasehold/state"));
    assert_eq!(config.public_url, "http://127.0.0.1:8443");
    assert_eq!(config.recording.signing_key.file, Path::new("/etc/leasehold/state/recording.key"));
    assert!(config.recording.signing_key.create && config.mask_key.create);
    assert_eq!(config.recording.durability, Durability::Process);
    assert_eq!(config.repository.origin, Origin::Remote("https://git.acme.example/policy.git".into()));
    assert_eq!((config.repository.signers, config.repository.rewind), (None, None));
    assert_eq!(config.repository.require_signed_by, None);
}

#[test]
fn one_mistake_is_one_finding() {
    let tls = r#" { tls certificate="/etc/leasehold/tls.pem" key="/etc/leasehold/tls.key"; }"#;
    let cases = [
        (with(tls, ""), "needs TLS"),
        (with(r#" key="/etc/leasehold/tls.key""#, ""), "certificate and a key"),
        (with(r#"(file)"/etc/leasehold/webhook""#, r#""hunter2""#), "a secret never stands"),
        (with("(file)\"/etc/leasehold/mask.key\"", "(vault)\"kv/mask\""), "reads secrets from files"),
        (with("/srv/policy.git", "https://user:token@git.example/p.git"), "a secret never stands"),
        (with("/srv/policy.git", "https://token@git.example/p.git"), "a secret never stands"),
        (with("/srv/policy.git", "http://git.example/p.git"), "does not prove who the server is"),
        (with("/srv/policy.git", "git://git.example/p.git"), "does not prove who the server is"),
        (with("/srv/policy.git", "ext::sh -c id"), "not a repository"),
        (with("/srv/policy.git", "--upload-pack=id"), "not a repository"),
        (with("/srv/policy.git", "ssh://-oProxyCommand=id/x"), "does not prove who the server is"),
        (with("branch main", "branch \"a..b\""), "is not a branch"),
        (with("folder \".\"", "folder \"../x\""), "leaves the repository"),
        (with("poll \"5s\"", "poll 5"), "a text is needed"),
        (with("poll \"5s\"", "poll \"0s\""), "no time at all"),
        (with("poll \"5s\"", "poll \"5s\"\n        poll \"6s\""), "`poll` stands twice"),
        (with("poll \"5s\"", "rewind \"abc\""), "is not a commit"),
        (with("free-min \"2GiB\"", "free-min \"2GB\""), "not a size"),
        (with("encrypt-to \"age1", "encrypt-to \"age2"), "no age recipient"),
        (with("durability disk", "durability maybe"), "no durability"),
        (with("keep \"30d\"", "archive \"gs://b\""), "no archive"),
        (with("keep \"30d\"", "archive \"s3://b\" { secret (file)\"/k\"; }"), "belong together"),
        (with("keep \"30d\"", "archive \"s3://b\" { secret \"hunter2\"; access-key A; }"), "never stands"),
        (with("keep \"30d\"", "archive \"s3://b\" { account a; }"), "S3 has no `account`"),
        (with("keep \"30d\"", "archive \"s3://b\" { endpoint \"http://s3.example\"; }"), "only https"),
        (with("keep \"30d\"", "archive \"azure://c\" { secret (file)\"/k\"; }"), "needs `account`"),
        (with("keep \"30d\"", "archive \"file:///a\" { region x; }"), "a folder has no `region`"),
        (
            with("keep \"30d\"", "key-service \"https://v.example\" { key \"transit/a\"; token (file)\"/t\"; }"),
            "one of the two",
        ),
        (with("name=\"gw-1\"", "name=\"GW 1\""), "not a name"),
        (with("name=\"gw-1\"", "name=gw-1 name=gw-2"), "`name` stands twice"),
        (with("0.0.0.0:5432", "localhost:5432"), "not an address"),
        (with("0.0.0.0:8443", "0.0.0.0:5432"), "share one address"),
        (with("listen metrics", "listen mysql"), "nothing that listens"),
        (with("listen metrics", "listen api"), "`listen api` stands twice"),
        (with("https://access.acme.example/", "http://access.acme.example/"), "only https"),
        (with("store sqlite", "store postgres (file)\"/dsn\""), "SQLite only"),
        (with("store sqlite", "store mysql"), "no engine"),
        (with("store sqlite", "graph entra { client-id x; }"), "Microsoft Graph"),
        (with("sessions-max 50", "sessions-max 0"), "out of bounds"),
        (with("sessions-max 50", "sessions-max \"many\""), "whole number"),
        (with("sessions-max 50", "sesions-max 50"), "knows no `sesions-max`"),
        (with("statement-bytes-max \"2MiB\"", "statement-bytes-max \"2TiB\""), "out of bounds"),
        (with("drain \"45s\"", "drain \"45s\" \"46s\""), "no further argument"),
        (with("drain \"45s\"", "drain \"45s\" { x; }"), "knows no `x`"),
        (with("drain \"45s\"", "drain \"45s\" hard=#true"), "no property `hard`"),
        (with("drain \"45s\"", "(soft)drain \"45s\""), "takes no annotation"),
        (with("state \"/var/lib/leasehold\"", "state (file)\"/var/lib/leasehold\""), "takes no annotation"),
        (with("state \"/var/lib/leasehold\"", ""), "needs `state`"),
        (with("branch main", ""), "needs `branch`"),
        (format!("{GOOD}\ngateway name=b {{ }}"), "`gateway` stands twice"),
        (format!("{GOOD}\nlogging debug"), "knows no `logging`"),
        (String::new(), "no `gateway`"),
    ];
    for (text, says) in cases {
        let found = messages(&text);
        assert!(found.len() == 1 && found[0].contains(says), "{says}: {found:?}");
    }
}

#[test]
fn all_mistakes_are_shown_at_once_in_the_order_of_the_file() {
    let text = with("0.0.0.0:5432", "0.0.0.0")
        .replace("branch main", "brnach main")
        .replace("free-min \"2GiB\"", "free-min big")
        .replace("store sqlite", "store postgres (file)\"/dsn\"")
        .replace("sessions-max 50", "sessions-max -1");
    let (config, findings) = read(&text);
    assert!(config.is_none());
    let errors = findings.list().iter().filter(|mistake| mistake.weight == Weight::Error);
    let found: Vec<&str> = errors.map(|mistake| mistake.message.as_str()).collect();
    assert_eq!(found.len(), 6, "{found:?}");
    let mut shown = Vec::new();
    findings.render(&mut shown).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    let places: Vec<usize> = ["`0.0.0.0` is not", "needs `branch`", "no `brnach`", "not a size", "SQLite only"]
        .iter()
        .map(|text| shown.find(text).unwrap_or_else(|| panic!("{text} in {shown}")))
        .collect();
    assert!(places.is_sorted(), "{shown}");
    assert!(shown.contains("did you mean `branch`?") && shown.contains("gateway.kdl:"), "{shown}");
    let told = findings.json();
    assert_eq!((told["ok"].as_bool(), told["findings"].as_array().map(Vec::len)), (Some(false), Some(6)));
    let line = text.lines().position(|line| line.contains("brnach")).unwrap() + 1;
    assert!(told["findings"].as_array().unwrap().iter().any(|one| one["at"]["line"] == line), "{told:#}");
}

#[test]
fn an_archive_and_a_key_service_are_read() {
    let archive = "archive \"s3://acme/gw-1\" { region eu-central-1; access-key AKIA; secret (file)\"s3.key\"; keep-local \"7d\"; }";
    let service = "key-service \"https://v.example:8200/\" { key \"kms/transit/recordings\"; token (file)\"token\"; }";
    let text = with("keep \"30d\"", archive)
        .replace("encrypt-to \"age1pvgeg69muvtm4rl9z9v73wd9penpnqcjp0lhgmfqdve6f6mgmakssn8ddk\"", service);
    let (config, findings) = read(&text);
    assert!(!findings.has_errors(), "{:?}", findings.list());
    let recording = config.unwrap().recording;
    let archive = recording.archive.unwrap();
    assert_eq!((archive.place.prefix.as_str(), archive.keep_local_ms), ("gw-1", Some(7 * 86_400_000)));
    assert_eq!(archive.place.secret.as_deref(), Some(Path::new("/etc/leasehold/s3.key")));
    let service = recording.key_service.unwrap();
    assert_eq!(
        (service.address.as_str(), service.mount.as_str(), service.key.as_str()),
        ("https://v.example:8200", "kms/transit", "recordings")
    );
}

#[test]
fn channels_are_read() {
    let channel = "channel security webhook=\"https://hooks.example/x\" secret=(file)\"hook\"";
    let (config, findings) = read(&with("store sqlite", channel));
    let config = config.unwrap();
    assert_eq!(config.channels[0].secret.as_deref(), Some(Path::new("/etc/leasehold/hook")));
    assert!(findings.list().iter().all(|mistake| !mistake.message.contains("channel")));
    assert!(!findings.has_errors());
    let inline = with("store sqlite", "channel security webhook=\"https://hooks.example/x\" secret=hunter2");
    assert!(messages(&inline).iter().any(|message| message.contains("a secret never stands")));
}

#[test]
fn a_sign_in_is_read_whole() {
    let block = "sign-in entra { client-id console; secret (file)\"hook\"; cli-client-id cli; resource \"api://x\"; }";
    let (config, findings) = read(&with("store sqlite", block));
    assert!(!findings.has_errors());
    let sign_in = config.unwrap().sign_in.unwrap();
    assert_eq!(
        (sign_in.idp.as_str(), sign_in.client_id.as_str(), sign_in.scope.as_str()),
        ("entra", "console", "openid")
    );
    assert_eq!(sign_in.cli_client_id.as_deref(), Some("cli"));
    assert!(messages(&with("store sqlite", "sign-in entra { scope openid; }")).iter().any(|m| m.contains("client-id")));
}

#[test]
fn nobody_signs_in_without_tls_beyond_this_machine() {
    let sign_in = "sign-in entra { client-id console; }";
    let plain = with("https://access.acme.example/", "http://127.0.0.1:8443").replacen("store sqlite", sign_in, 1);
    assert!(messages(&plain).iter().any(|message| message.contains("sign in over https only")));
    let tls = " { tls certificate=\"/etc/leasehold/tls.pem\" key=\"/etc/leasehold/tls.key\"; }";
    let api = format!("listen api \"0.0.0.0:8443\"{tls}");
    let bare = with(&api, "listen api \"0.0.0.0:8443\"").replacen("store sqlite", sign_in, 1);
    assert!(messages(&bare).iter().any(|message| message.contains("needs TLS")));
    let local = plain.replacen(&api, "listen api \"127.0.0.1:8443\"", 1);
    assert_eq!(messages(&local), Vec::<String>::new());
    assert_eq!(messages(&with("store sqlite", sign_in)), Vec::<String>::new());
}

#[test]
fn files_that_are_named_must_exist() {
    let (config, findings) = parse("gateway.kdl", GOOD, Path::new("/"), &|path| !path.ends_with("tls.key"));
    assert!(config.is_none());
    let of_key = findings.list().iter().filter(|mistake| mistake.message.contains("/etc/leasehold/tls.key"));
    assert_eq!(of_key.count(), 2, "{:?}", findings.list());
}

#[test]
fn hostile_texts_are_findings() {
    for text in ["{", "gateway {", "}}}", "gateway name=15m {}", "\u{0}", &"{".repeat(1000), &"a{".repeat(400)] {
        assert!(!messages(text).is_empty(), "{text:.20}");
    }
    assert!(messages(&format!("// {}", "x".repeat(300_000)))[0].contains("too large"));
}

#[test]
fn keys_are_created_closed_and_read_back() {
    let folder = std::env::temp_dir().join(format!("leasehold-config-{}", std::process::id()));
    prepare_state(&folder).unwrap();
    let key = KeyFile { file: folder.join("mask.key"), create: true };
    let first = *mask_key(&key).unwrap().expose_secret();
    assert_eq!(fs::metadata(&key.file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(*mask_key(&key).unwrap().expose_secret(), first);
    assert_ne!(first, [0; 32]);
    let absent = KeyFile { file: folder.join("other.key"), create: false };
    assert!(mask_key(&absent).is_err());
    fs::set_permissions(&key.file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert!(mask_key(&key).is_err());
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert!(prepare_state(&folder).is_err());
    fs::remove_dir_all(&folder).unwrap();
}
