//! The console in a real Chromium, and the command line's sign-in, against a certified identity provider.

use super::fresh;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use xtask::cast::{LENA, OTTO, PAULA, Person, SAM};
use xtask::command::run_within;
use xtask::idp::{AUDIENCE, TENANT};
use xtask::scene::{Choice, Scene};
use xtask::service::{Plan, Service};
use xtask::tools::{self, Places};

/// The secret of the console's client.
const SECRET: &str = "a-client-secret-of-a-test-0123456789";

/// The provider with people, and where it answers.
struct People {
    authority: String,
    issuer: String,
    _service: Service,
}

fn people(places: &Places, folder: &Path) -> People {
    let person = |person: &Person| json!({ "oid": person.oid, "name": person.name, "groups": person.groups });
    let people = json!({
        "paula": person(&PAULA), "lena": person(&LENA), "sam": person(&SAM), "otto": person(&OTTO),
    });
    std::fs::create_dir_all(folder).unwrap();
    let config = folder.join("people.json");
    let text = json!({ "tenant": TENANT, "audience": AUDIENCE, "port": 0, "secret": SECRET, "people": people });
    std::fs::write(&config, text.to_string()).unwrap();
    let mut command = Command::new(tools::node().unwrap());
    command.arg(places.root.join("tests/idp/oidc-provider/people.mjs")).arg(&config);
    let plan = Plan { name: "people", command, folder, stop_signal: "TERM", user: None, remove: None };
    let service = Service::start(&plan).unwrap();
    let said: Value = service
        .ready_when(Duration::from_mins(1), || {
            service.said().lines().find_map(|line| serde_json::from_str::<Value>(line).ok().filter(Value::is_object))
        })
        .unwrap();
    let text = |name: &str| said[name].as_str().unwrap().to_owned();
    People { authority: text("authority"), issuer: text("issuer"), _service: service }
}

fn scene(name: &str) -> (Scene, People) {
    let places = Places::find().unwrap();
    let folder = places.target.join("live").join(format!("{name}-people"));
    let people = people(&places, &folder);
    let secret = folder.join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let lines = format!(
        "sign-in entra {{ client-id console; secret (file)\"{}\"; cli-client-id cli; \
         scope \"openid offline_access access\"; resource \"{AUDIENCE}\"; }}\n",
        secret.display()
    );
    let choice = Choice { authority: Some(people.authority.clone()), gateway_lines: lines, ..Choice::default() };
    (fresh(name, &choice).unwrap(), people)
}

/// Debian's Chromium; `apt-get install chromium`.
fn chromium() -> PathBuf {
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .expect("no Chromium: run `cargo xtask setup` (apt-get install chromium)")
}

#[test]
fn people_ask_approve_watch_terminate_and_replay_in_a_browser() {
    let (scene, people) = scene("console");
    let shots = scene.folder.join("shots");
    std::fs::create_dir_all(&shots).unwrap();
    let config = scene.folder.join("console.json");
    let text = json!({
        "url": scene.gateway.url(), "issuer": people.issuer, "audience": AUDIENCE, "psql": scene.cluster.psql(),
        "postgres": { "port": scene.gateway.port, "ca": scene.gateway.ca }, "shots": shots, "chromium": chromium(),
    });
    std::fs::write(&config, text.to_string()).unwrap();
    let mut node = Command::new(tools::node().unwrap());
    node.arg(scene.places.root.join("tests/console/run.mjs")).arg(&config);
    let ran = run_within(&mut node, Duration::from_mins(5)).unwrap();
    assert!(ran.ok(), "{}\n{}\ngateway:\n{}", ran.out, ran.err, scene.gateway.log());
    assert_eq!(ran.out.lines().filter(|line| line.starts_with("ok ")).count(), 12, "{}", ran.out);
}
