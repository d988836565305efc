//! `cargo xtask demo`: the product at work, told step by step with real clients.
//!
//! Each step says what it does, does it, and checks what came of it. Nothing here knows the product from inside: if a
//! step's program is wrong, the step is wrong.

mod story;
mod teller;

use crate::fault::{Fault, Outcome};
use crate::policy::git_works;
use crate::say::{self, Tone};
use crate::scene::{self, Choice, Scene};
use crate::setup::{self, Want};
use crate::tools::Places;
use std::process::ExitCode;
pub use teller::Tally;
use teller::Teller;

/// Installs what is missing, builds the programs and tells the story.
pub fn run(keep: bool) -> Outcome<ExitCode> {
    let places = setup::run(Want::Demo)?;
    say::step("build: leasehold and leaseholdc");
    scene::build(&places, "debug")?;
    let tally = tell(&places, keep)?;
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells the story with programs that are built already.
pub fn tell(places: &Places, keep: bool) -> Outcome<Tally> {
    git_works()?;
    say::step("start: PostgreSQL, the development identity provider, a policy repository, the gateway");
    let scene = Scene::start(places, &places.target.join("demo"), &Choice::default())?;
    say::note(&format!("PostgreSQL with made-up rows      127.0.0.1:{}", scene.cluster.port));
    say::note(&format!("identity provider (DEVELOPMENT)   {}", scene.idp.authority));
    say::note(&format!("policy repository                 {}", scene.repository.bare.display()));
    say::note(&format!(
        "gateway                           127.0.0.1:{}, API {}",
        scene.gateway.port,
        scene.gateway.url()
    ));
    let mut teller = Teller::new(&scene);
    story::tell(&mut teller);
    let tally = teller.end();
    if keep {
        stay(&scene)?;
    }
    Ok(tally)
}

/// Keeps everything running until this program is ended, and says how to use it.
fn stay(scene: &Scene) -> Outcome<()> {
    use crate::cast::{LENA, PAULA, Person, SAM, TRIAGE};
    say::line("");
    say::line(&say::toned(Tone::Bold, "Everything keeps running until you press Ctrl-C here. In another terminal:"));
    let bin = scene.places.built("debug", "leasehold");
    // The story's own agent has to wait until its next window.
    let another = Person { name: "another-bot", oid: "a0000000-0000-4000-8000-000000000009", ..TRIAGE };
    let lines = [
        format!("export LEASEHOLD_URL={}", scene.gateway.url()),
        format!("alias leasehold={}", bin.display()),
        format!(
            "mint() {{ {} -e 'fetch(\"{}/mint\", {{ method: \"POST\", body: process.argv[1] }}).then(a => a.json()).then(a => console.log(a.access_token))' \"$1\"; }}   # DEVELOPMENT ONLY: nobody is asked for a password",
            crate::tools::node()?.display(),
            scene.idp.authority
        ),
        format!("AGENT=$(mint '{}')", another.claims()),
        format!("PAULA=$(mint '{}')", PAULA.claims()),
        format!("LENA=$(mint '{}')", LENA.claims()),
        format!("SAM=$(mint '{}')", SAM.claims()),
        "LEASEHOLD_TOKEN=$AGENT leasehold request prod-logs --reason 'looking around'".to_owned(),
        format!("PGPASSWORD=$AGENT {} '{}'", scene.cluster.psql().display(), scene.gateway.conninfo("prod-logs", "me")),
        format!(
            "PGPASSWORD=$PAULA {} '{}'",
            scene.cluster.psql().display(),
            scene.gateway.conninfo("ledger-dev", "me")
        ),
        "LEASEHOLD_TOKEN=$SAM leasehold sessions --all".to_owned(),
        format!("cd {}   # change a policy, commit, and `git push origin main`", scene.repository.work.display()),
    ];
    for line in lines {
        say::line(&format!("  {line}"));
    }
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
        if !crate::service::is_alive(scene.gateway.pid()) {
            return Err(Fault::new(format!("the gateway ended: {}", crate::command::tail(&scene.gateway.log(), 10))));
        }
    }
}
