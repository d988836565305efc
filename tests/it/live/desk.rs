//! The commands of people, as programs on a terminal: sign-in by browser and by another device, access asked for by
//! `connect`, waiting, what follows, what is followed, extension; against a certified provider and a real PostgreSQL.

use super::people::{People, scene};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use xtask::clock;
use xtask::command::{Ran, Running, must, run_within, start};
use xtask::scene::Scene;
use xtask::service::signal;
use xtask::tools;

/// A connection with an extension, each of its steps decided by one other person.
const DESK: &str = r#"/- kdl-version 2
connection desk kind=postgres {
    owner team:payments
    address "127.0.0.5:PORT" database=ledger_dev
    credential (env)"BENCH_PASSWORD" user=gateway_rw
    tls off
    label env=dev data=public
}
approval desk-peer { quorum 1 from=group:payments-leads; }
grant desk id=desk-read {
    to group:payments-dev
    when requested
    lifetime "10m" extend=1 by="5m"
    permit read
    approval desk-peer
}
operate desk {
    to group:security
    on desk
    may requests replay watch revoke policy
}
"#;

/// A sign-in starts a browser, which may take its time where many things are under way.
const RUN_MAX: Duration = Duration::from_mins(3);

/// Somebody's terminal: a home of their own, and a browser that signs them in.
struct Desk<'a> {
    scene: &'a Scene,
    login: &'static str,
    home: PathBuf,
}

impl<'a> Desk<'a> {
    fn new(scene: &'a Scene, login: &'static str) -> Self {
        let home = scene.folder.join("homes").join(login);
        let bin = home.join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let browser = bin.join("xdg-open");
        let script = format!(
            "#!/bin/sh\nexec '{}' '{}' '{login}' \"$1\" > '{}' 2>&1\n",
            tools::node().unwrap().display(),
            scene.places.root.join("tests/idp/oidc-provider/browser.mjs").display(),
            home.join("browser.log").display(),
        );
        std::fs::write(&browser, script).unwrap();
        std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { scene, login, home }
    }

    fn environment(&self, command: &mut Command) {
        let psql = self.scene.cluster.psql().parent().unwrap().to_owned();
        let path = [self.home.join("bin"), psql, PathBuf::from("/usr/bin"), PathBuf::from("/bin")];
        command.env_clear().env("PATH", std::env::join_paths(path).unwrap()).env("HOME", &self.home);
        command.env("LEASEHOLD_URL", self.scene.gateway.url()).env("LEASEHOLD_CA", &self.scene.gateway.ca);
    }

    fn program(&self) -> PathBuf {
        self.scene.places.built("debug", "leasehold")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.args(arguments);
        self.environment(&mut command);
        command
    }

    /// The same on a terminal.
    fn on_terminal(&self, arguments: &str) -> Command {
        let mut command = Command::new("script");
        command.args(["-qec", &format!("{} {arguments}", self.program().display()), "/dev/null"]);
        self.environment(&mut command);
        command.env("TERM", "dumb");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let ran = run_within(&mut self.command(arguments), RUN_MAX);
        ran.unwrap_or_else(|fault| panic!("{} {arguments:?}: {fault}; browser: {}", self.login, self.browsed()))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["--format", "json"]].concat());
        assert!(ran.ok(), "{}: {arguments:?}: {}", self.login, ran.said());
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{arguments:?}: {}", ran.said()))
    }

    /// What the browser of the last sign-in said.
    fn browsed(&self) -> String {
        said(&self.home.join("browser.log"))
    }

    /// The file in which the sign-in is kept.
    fn kept(&self) -> PathBuf {
        let folder = self.home.join(".config/leasehold/tokens");
        assert_eq!(mode(&folder), 0o700);
        let mut files = std::fs::read_dir(folder).unwrap();
        let file = files.next().expect("a sign-in is kept").unwrap().path();
        assert!(files.next().is_none());
        file
    }

    fn by_browser(&self) {
        let ran = self.run(&["login"]);
        let browser = self.browsed();
        assert!(ran.ok(), "{}\n{browser}", ran.said());
        assert!(browser.contains("You are signed in"), "{browser}");
        assert!(ran.out.contains("a file that only this user reads"), "{}", ran.err);
    }

    /// The command line says where to go; somebody goes there with another browser.
    fn by_device(&self) {
        let file = self.home.join("login.log");
        std::fs::write(&file, "").unwrap();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "exec \"$0\" login --device --format json 2> \"$1\""]).arg(self.program()).arg(&file);
        self.environment(&mut shell);
        let running = start(&mut shell).unwrap();
        let address = clock::wait_for("the address for the other device", Duration::from_secs(20), || {
            let said = std::fs::read_to_string(&file).unwrap_or_default();
            Ok(said.lines().find_map(|line| line.strip_prefix("or open ")).map(str::to_owned))
        });
        let mut browser = Command::new(self.home.join("bin/xdg-open"));
        must(browser.arg(address.unwrap())).unwrap();
        let ran = running.finish(Duration::from_mins(2)).unwrap();
        let told: Value = serde_json::from_str(&ran.out).unwrap_or_default();
        let signed_in = (&told["signed_in"], &told["kept_in"]) == (&true.into(), &"file".into());
        assert!(ran.ok() && signed_in, "{}\n{}\nbrowser: {}", ran.said(), said(&file), self.browsed());
    }

    /// Approves the one request that waits.
    fn approve(&self) -> Value {
        let id = clock::wait_for("a request to decide", Duration::from_secs(20), || {
            let waiting = self.json(&["requests", "--connection", "desk"]);
            Ok(waiting[0]["id"].as_str().map(str::to_owned))
        });
        self.json(&["approve", &id.unwrap()])
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn desk_scene(name: &str) -> (Scene, People) {
    scene(name, vec![("connections/desk.kdl".to_owned(), DESK.to_owned())])
}

/// What a program that is still running has said into a file.
fn said(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

fn following(desk: &Desk<'_>, file: &Path) -> Running {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "exec \"$0\" sessions --follow --format json > \"$1\""]).arg(desk.program()).arg(file);
    desk.environment(&mut shell);
    start(&mut shell).unwrap()
}

#[test]
fn people_work_from_their_terminals() {
    let (scene, _people) = desk_scene("desk");
    let [paula, lena, sam] = ["paula", "lena", "sam"].map(|login| Desk::new(&scene, login));
    let before = paula.run(&["status"]);
    assert_eq!((before.code, before.err.contains("leasehold login")), (Some(3), true), "{}", before.said());
    paula.by_browser();
    lena.by_device();
    sam.by_browser();
    let file = paula.kept();
    assert_eq!(mode(&file), 0o600);
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(kept["access_token"].is_string() && kept["refresh_token"].is_string());

    // `connect` asks for access, waits for it, and becomes psql.
    let live = scene.folder.join("follow.jsonl");
    let follower = following(&sam, &live);
    let connect = ["connect", "desk", "--reason", "a look", "--", "-Atc", "select 'from ' || 'psql'"];
    let connected = start(&mut paula.command(&connect)).unwrap();
    assert_eq!(lena.approve()["did"], "opened");
    let ran = connected.finish(Duration::from_secs(30)).unwrap();
    assert_eq!((ran.code, ran.out.trim()), (Some(0), "from psql"), "{}", ran.said());
    assert!(ran.err.contains("waits for approval"), "{}", ran.err);
    // With the window open it connects at once.
    let ran = paula.run(&["connect", "desk", "--", "-Atc", "select pg_sleep(2.5)"]);
    assert!(ran.ok(), "{}", ran.said());
    let events = clock::wait_for("the follower saw it", Duration::from_secs(20), || {
        let events = said(&live);
        Ok(events.contains("\"ended\"").then_some(events))
    });
    let events: Vec<Value> = events.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["event"] == "began" && event["session"]["connection"] == "desk"));
    signal(follower.pid(), "INT");
    drop(follower.finish(Duration::from_secs(10)));

    extended_waited_and_ended(&paula, &lena, &sam);
    every_list_is_json(&paula, &sam);
    tokens_stay_inside(&paula, &file, &kept);
}

/// A desktop: a bus, a keyring that its owner has unlocked, and what a person does there.
const DESKTOP: &str = r#"
printf pw | gnome-keyring-daemon --unlock --components=secrets > /dev/null
search="service leasehold origin $LEASEHOLD_URL"
"$0" login || exit 1
secret-tool lookup $search | grep -q access_token && echo "the keyring holds it"
"$0" status --format json > status.json && echo "it is used"
"$0" logout
secret-tool lookup $search | grep -q access_token || echo "the keyring has forgotten it"
"$0" status > after.txt 2>&1
echo "exit $?"
"#;

#[test]
fn a_desktop_keeps_the_sign_in_in_its_keyring() {
    let (scene, _people) = desk_scene("desktop");
    let paula = Desk::new(&scene, "paula");
    let mut session = Command::new("dbus-run-session");
    session.args(["--", "/bin/sh", "-c", DESKTOP]).arg(paula.program());
    paula.environment(&mut session);
    let run = paula.home.join("run");
    std::fs::create_dir_all(&run).unwrap();
    session.env("XDG_RUNTIME_DIR", &run).current_dir(&paula.home);
    let ran = run_within(&mut session, RUN_MAX).unwrap();
    assert!(ran.out.contains("the token is in the keyring"), "{}\n{}", ran.said(), paula.browsed());
    let lines: Vec<&str> = ran.out.lines().filter(|line| !line.starts_with("signed")).collect();
    assert_eq!(
        lines,
        ["the keyring holds it", "it is used", "the keyring has forgotten it", "exit 3"],
        "{}",
        ran.said()
    );
    assert!(!paula.home.join(".config/leasehold/tokens").exists(), "no file holds it as well");
}

/// Extension with a new approval; `request --wait --then` on a terminal shows that it waits, and runs what follows.
fn extended_waited_and_ended(paula: &Desk<'_>, lena: &Desk<'_>, sam: &Desk<'_>) {
    let window = paula.json(&["windows", "--mine"])[0].clone();
    let id = window["id"].as_str().unwrap().to_owned();
    let extension = start(&mut paula.command(&["extend", &id, "--reason", "longer", "--wait", "--format", "json"]));
    let approved = lena.approve();
    assert_eq!((&approved["did"], &approved["request"]["purpose"]), (&"extended".into(), &"extend".into()));
    let ran = extension.unwrap().finish(Duration::from_secs(20)).unwrap();
    let done: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.said()));
    assert_eq!((&done["did"], &done["window"]["extensions"]), (&"extended".into(), &1.into()), "{done}");
    assert_ne!(done["window"]["ends"], window["ends"]);
    let again = paula.run(&["extend", &id]);
    assert_eq!((again.code, again.err.contains("which is the most")), (Some(1), true), "{}", again.said());
    assert_eq!(sam.json(&["revoke", &id])["window"]["ended"]["cause"], "revoked");

    let line = "request desk --reason 'once more' --wait --then 'echo it is open; exit 7'";
    let waiting = start(&mut paula.on_terminal(line)).unwrap();
    std::thread::sleep(Duration::from_millis(2_500));
    lena.approve();
    let ran = waiting.finish(Duration::from_secs(20)).unwrap();
    assert_eq!(ran.code, Some(7), "the command's own exit code: {}", ran.said());
    assert!(ran.out.contains("waiting for ") && ran.out.contains(" s, 0 approved"), "progress: {}", ran.out);
    assert!(ran.out.contains("it is open"), "{}", ran.out);

    let window = paula.json(&["windows", "--mine"])[0]["id"].as_str().unwrap().to_owned();
    paula.json(&["revoke", &window]);
    let asked = paula.json(&["request", "desk", "--reason", "never mind"]);
    let id = asked["request"]["id"].as_str().unwrap().to_owned();
    assert_eq!(paula.json(&["withdraw", &id])["did"], "withdrawn");
    let line = ["request", "desk", "--reason", "no", "--wait", "--then", "echo never"];
    let waiting = start(&mut paula.command(&line)).unwrap();
    let id = clock::wait_for("a request to deny", Duration::from_secs(20), || {
        Ok(lena.json(&["requests", "--connection", "desk"])[0]["id"].as_str().map(str::to_owned))
    });
    lena.json(&["deny", &id.unwrap(), "--reason", "not today"]);
    let ran = waiting.finish(Duration::from_secs(20)).unwrap();
    assert!(ran.code == Some(1) && !ran.out.contains("never"), "what was denied is not followed: {}", ran.said());
    assert!(ran.said().contains("not today"), "{}", ran.said());
}

fn every_list_is_json(paula: &Desk<'_>, sam: &Desk<'_>) {
    for list in [&["requests", "--all"][..], &["windows", "--all"], &["sessions", "--all"], &["audit"]] {
        for desk in [paula, sam] {
            assert!(desk.json(list).as_array().is_some_and(|rows| !rows.is_empty()), "{} {list:?}", desk.login);
        }
    }
    for list in [&["reviews"][..], &["notices"]] {
        assert!(sam.json(list).is_array(), "{list:?}");
    }
    for object in [&["status"][..], &["access"], &["access", "desk"]] {
        assert!(paula.json(object).is_object(), "{object:?}");
    }
    let refused = paula.run(&["notices", "--format", "json"]);
    let problem: Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!((refused.code, &problem["status"]), (Some(1), &403.into()));
}

/// The token renews itself, is in no output, and goes with the sign-out.
fn tokens_stay_inside(paula: &Desk<'_>, file: &Path, kept: &Value) {
    let mut short = kept.clone();
    short["expires_at"] = 1.into();
    std::fs::write(file, short.to_string()).unwrap();
    let status = paula.run(&["status"]);
    assert!(status.ok(), "a sign-in that is over is renewed: {}", status.said());
    let renewed: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_ne!(renewed["access_token"], kept["access_token"]);
    assert_eq!(mode(file), 0o600);
    let token = renewed["access_token"].as_str().unwrap();
    assert!(!status.said().contains(token) && !paula.scene.gateway.log().contains(token));
    assert!(paula.run(&["logout"]).ok());
    assert!(!file.exists());
    assert_eq!(paula.run(&["status"]).code, Some(3));
}

/// Every command that the program offers, asked of itself.
fn commands(desk: &Desk<'_>) -> Vec<String> {
    let help = desk.run(&["--help"]).out;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let named = listed.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    named.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn every_command_completes_and_has_a_page() {
    super::build_once().unwrap();
    let desk = Desk::new(super::scene(), "nobody");
    let all = commands(&desk);
    assert!(all.len() > 20, "{all:?}");
    let folder = desk.home.join("man");
    assert!(desk.run(&["man", folder.to_str().unwrap()]).ok());
    let script = desk.home.join("completion.bash");
    std::fs::write(&script, desk.run(&["completions", "bash"]).out).unwrap();
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(desk.run(&["completions", shell]).out.contains("leasehold"), "{shell}");
    }
    for name in &all {
        let page = std::fs::read_to_string(folder.join(format!("leasehold-{name}.1"))).unwrap();
        assert!(page.contains(".SH DESCRIPTION") && page.contains(".SH SYNOPSIS"), "{name}");
        let mut bash = Command::new("bash");
        let line = format!(
            "source '{}'; COMP_WORDS=(leasehold '{name}'); COMP_CWORD=1; _leasehold leasehold '{name}' leasehold; \
             echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let ran = must(bash.args(["-c", &line])).unwrap();
        assert!(ran.out.split_whitespace().any(|word| word == name), "{name}: {}", ran.said());
    }
    // What becomes another program, serves, writes files, or has its form in a command below.
    let formatless = ["connect", "serve", "config", "man", "catalog", "completions"].map(str::to_owned);
    for name in all.iter().filter(|name| !formatless.contains(name)) {
        assert!(desk.run(&[name, "--help"]).out.contains("--format"), "{name} answers programs too");
    }
}
