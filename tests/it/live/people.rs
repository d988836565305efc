//! A scene with people who sign in at a certified provider.

use super::fresh;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use xtask::cast::{LENA, OTTO, PAULA, Person, SAM};
use xtask::idp::{AUDIENCE, TENANT};
use xtask::scene::{Choice, Scene};
use xtask::service::{Plan, Service};
use xtask::tools::{self, Places};

/// The secret of the console's client.
const SECRET: &str = "a-client-secret-of-a-test-0123456789";

/// The provider with people, and where it answers.
pub(super) struct People {
    authority: String,
    pub(super) issuer: String,
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

/// A scene with them, and with more files of policy.
pub(super) fn scene(name: &str, policy_files: Vec<(String, String)>) -> (Scene, People) {
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
    let choice =
        Choice { authority: Some(people.authority.clone()), gateway_lines: lines, policy_files, ..Choice::default() };
    (fresh(name, &choice).unwrap(), people)
}
