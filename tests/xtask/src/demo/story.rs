//! The story: what happens to an agent, a person, a merge and an auditor.

use super::teller::{Teller, chapter, leasehold, psql, psql_in_the_background};
use crate::cast::{LENA, PAULA, PIET, Person, SAM, TRIAGE};
use crate::clock;
use crate::command::{Ran, complaint, run};
use crate::fault::{Doing as _, Fault, Outcome, ensure};
use crate::say;
use crate::scene::Scene;
use serde_json::Value;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The agent's window. Long enough for four statements, short enough to watch its end.
const WINDOW_SECONDS: u64 = 30;
/// How much later than its window a session may be seen to end, on a busy machine.
const SLACK_SECONDS: f64 = 5.0;

/// Tells it.
pub(super) fn tell(teller: &mut Teller<'_>) {
    agent(teller);
    person(teller);
    merges(teller);
    audit(teller);
}

fn agent(teller: &mut Teller<'_>) {
    let opened = Cell::new(0.0);
    chapter("1. An AI agent, a window of 30 seconds, and what stands in its way");
    teller.step("an agent without a window is refused", |scene| {
        let ran = psql(scene, &TRIAGE, "prod-logs", &["select 1"])?;
        refused_at_login(&ran, &["window"])
    });
    teller.step("it asks, and the policy alone may answer", |scene| {
        let reason = "INC-4711: checkout is slow";
        let lifetime = format!("{WINDOW_SECONDS}s");
        opened.set(clock::unix_seconds());
        let ran = leasehold(scene, &TRIAGE, &["request", "prod-logs", "--reason", reason, "--lifetime", &lifetime])?;
        ensure(ran.ok(), || complaint("the request failed", &ran).to_string())?;
        Ok(format!("a window of {WINDOW_SECONDS} s is open"))
    });
    teller.step("it reads with an unchanged psql", |scene| {
        let sql = "select level, count(*) from public.events group by level order by level";
        let ran = psql(scene, &TRIAGE, "prod-logs", &[sql])?;
        ensure(ran.ok(), || complaint("the query failed", &ran).to_string())?;
        let direct = scene.cluster.value("logs", sql)?;
        ensure(ran.out.trim() == direct, || format!("a direct connection says something else: {direct}"))?;
        Ok("the same rows as over a direct connection".to_owned())
    });
    teller.step("it tries to delete: the statement is refused, the connection lives on", |scene| {
        let before = scene.cluster.value("logs", "select count(*) from public.events")?;
        let ran = psql(scene, &TRIAGE, "prod-logs", &["delete from public.events", "select 'still here'"])?;
        ensure(ran.err.contains("ERROR"), || complaint("the delete was not refused", &ran).to_string())?;
        ensure(ran.err.contains(".kdl"), || complaint("the refusal names no policy file", &ran).to_string())?;
        ensure(ran.out.contains("still here"), || complaint("the connection did not survive", &ran).to_string())?;
        let after = scene.cluster.value("logs", "select count(*) from public.events")?;
        ensure(before == after, || format!("{before} events before, {after} after"))?;
        Ok(format!("refused with the rule, its file and line; still {after} events"))
    });
    teller.step("it reads personal data: it sees keyed hashes, and no value leaves", |scene| {
        let ran = psql(scene, &TRIAGE, "prod-logs", &["select email from public.logins limit 3"])?;
        ensure(ran.ok(), || complaint("the query failed", &ran).to_string())?;
        ensure(!ran.said().contains("@mail.example"), || "a personal address left the gateway".to_owned())?;
        let hashes = ran.out.split_whitespace().filter(|word| word.len() == 64).count();
        ensure(hashes == 3, || complaint("these are no hashes", &ran).to_string())?;
        Ok("the mask of agents: three hashes under the gateway's key".to_owned())
    });
    teller.step("the window ends in the middle of a query", |scene| window_end(scene, opened.get()));
    teller.step("and the agent is refused again", |scene| {
        let ran = psql(scene, &TRIAGE, "prod-logs", &["select 1"])?;
        refused_at_login(&ran, &["window"])?;
        let ran = leasehold(scene, &TRIAGE, &["request", "prod-logs", "--reason", "INC-4711: once more"])?;
        ensure(!ran.ok(), || "a new window opened at once, in spite of the cool-down".to_owned())?;
        Ok("no window, and a new one only after the cool-down of 15 minutes".to_owned())
    });
}

fn window_end(scene: &Scene, opened: f64) -> Outcome<String> {
    let ran = psql(scene, &TRIAGE, "prod-logs", &["select pg_sleep(55)"])?;
    let lived = clock::unix_seconds() - opened;
    ensure(!ran.ok(), || "the query ran to its end".to_owned())?;
    ensure(ran.err.contains("57P01") || ran.err.contains("FATAL"), || {
        complaint("the session did not end with FATAL", &ran).to_string()
    })?;
    #[expect(clippy::cast_precision_loss, reason = "a small number of seconds")]
    let window = WINDOW_SECONDS as f64;
    ensure(lived >= window - 1.0, || format!("the session ended after {lived:.1} s, before its window"))?;
    ensure(lived <= window + SLACK_SECONDS, || format!("the session lived {lived:.1} s"))?;
    let sql = "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep(55)%' \
               and pid <> pg_backend_pid()";
    clock::wait_for("the statement ends at the server too", Duration::from_secs(5), || {
        Ok((scene.cluster.value("logs", sql)? == "0").then_some(()))
    })?;
    Ok(format!("cut {lived:.1} s after the request, at the server too"))
}

fn person(teller: &mut Teller<'_>) {
    let request = Cell::new(None);
    chapter("2. A person, regulated data, and four eyes");
    teller.step("Paula asks for the payments ledger: people have to agree", |scene| {
        let arguments = ["request", "payments-db", "--reason", "customer disputes entry 17", "--ticket", "INC-4712"];
        let ran = leasehold(scene, &PAULA, &arguments)?;
        ensure(ran.ok(), || complaint("the request failed", &ran).to_string())?;
        let id = request_id(&ran)?;
        request.set(Some(id));
        let ran = psql(scene, &PAULA, "payments-db", &["select 1"])?;
        refused_at_login(&ran, &["window", "approv"])?;
        Ok("waiting for a lead and for security".to_owned())
    });
    let id = request.take().unwrap_or_default();
    teller.step("she cannot approve herself", |scene| {
        let ran = leasehold(scene, &PAULA, &["approve", &id])?;
        ensure(!ran.ok(), || "she could".to_owned())?;
        Ok("refused".to_owned())
    });
    teller.step("Lena, a lead, and Sam, of security, approve", |scene| {
        for approver in [&LENA, &SAM] {
            let ran = leasehold(scene, approver, &["approve", &id])?;
            ensure(ran.ok(), || complaint(&format!("{} could not approve", approver.name), &ran).to_string())?;
            if approver.oid == LENA.oid {
                let early = psql(scene, &PAULA, "payments-db", &["select 1"])?;
                refused_at_login(&early, &["window", "approv"])?;
            }
        }
        Ok("one approval was not enough, two are".to_owned())
    });
    teller.step("Paula reads the ledger", |scene| {
        let sql = "select currency, count(*), sum(amount_cents) from public.ledger_entries group by currency";
        let ran = psql(scene, &PAULA, "payments-db", &[sql])?;
        ensure(ran.ok(), || complaint("the query failed", &ran).to_string())?;
        let direct = scene.cluster.value("ledger", sql)?;
        ensure(ran.out.trim() == direct, || format!("a direct connection says something else: {direct}"))?;
        Ok("the same rows as over a direct connection".to_owned())
    });
}

fn merges(teller: &mut Teller<'_>) {
    chapter("3. A pull request narrows access, and the merge reaches a live session");
    teller.step("a merge cuts a session in the middle of a query", narrowing_merge);
    chapter("4. A broken commit changes nothing");
    teller.step("a commit with a mistake reaches main", broken_merge);
}

fn narrowing_merge(scene: &Scene) -> Outcome<String> {
    let mut session = psql_in_the_background(scene, &PAULA, "payments-db", &["select pg_sleep(50)"])?;
    let active = "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep(50)%' \
                  and pid <> pg_backend_pid()";
    clock::wait_for("the query runs", Duration::from_secs(20), || {
        Ok((scene.cluster.value("ledger", active)? == "1").then_some(()))
    })?;
    scene.repository.edit("teams/payments/grants.kdl", |text| {
        text.replacen("id=ledger-read {\n    to group:payments-dev", "id=ledger-read {\n    to group:payments-leads", 1)
    })?;
    // The tests of the policy say who is to have the grant: they change with it.
    scene.repository.edit("tests/grants.kdl", |text| {
        text.replace("group:payments-dev\n    open payments-db", "group:payments-leads\n    open payments-db")
    })?;
    say::quoted(&scene.repository.diff()?);
    say::quoted("author$ leaseholdc check && leaseholdc test");
    for verb in ["check", "test"] {
        let ran = run(&mut scene.leaseholdc(&[verb, "."]))?;
        ensure(ran.ok(), || complaint(&format!("`leaseholdc {verb}` failed"), &ran).to_string())?;
    }
    ensure(session.is_alive(), || "the session ended before the merge".to_owned())?;
    let commit = scene.repository.merge("payments: only leads read the ledger")?;
    say::quoted("author$ git commit && git push origin main");
    let merged = clock::now();
    let ran = session.finish(Duration::from_secs(30))?;
    let took = merged.elapsed();
    say::quoted(&ran.said());
    ensure(!ran.ok() && ran.err.contains("FATAL"), || complaint("the session was not cut", &ran).to_string())?;
    ensure(ran.took < Duration::from_secs(49), || "the query ran to its end".to_owned())?;
    applied(scene, &commit)?;
    let again = psql(scene, &PAULA, "payments-db", &["select 1"])?;
    ensure(!again.ok(), || "Paula could connect again".to_owned())?;
    Ok(format!("cut {:.2} s after the push; a new connection is refused", took.as_secs_f64()))
}

fn broken_merge(scene: &Scene) -> Outcome<String> {
    let good = scene.repository.head()?;
    let session = psql_in_the_background(scene, &PIET, "ledger-dev", &["select pg_sleep(6)", "select 'survived'"])?;
    scene.repository.edit("teams/payments/grants.kdl", |text| {
        text.replacen("to group:coding-agents", "to group:coding-agnets", 1)
    })?;
    let ran = run(&mut scene.leaseholdc(&["check", "."]))?;
    say::quoted("author$ leaseholdc check");
    say::quoted(&errors_of(&ran.said()));
    ensure(ran.code == Some(1), || complaint("`leaseholdc check` found nothing", &ran).to_string())?;
    let bad = scene.repository.merge("payments: a typo")?;
    clock::wait_for("the gateway says what is wrong", Duration::from_secs(20), || {
        let policy = policy(scene)?;
        let failing = policy.get("failing") == Some(&Value::Bool(true));
        let text = policy.to_string();
        Ok((failing && text.contains(&good) && text.contains(&bad)).then_some(()))
    })?;
    let ran = leasehold(scene, &SAM, &["status"])?;
    ensure(ran.ok(), || complaint("no status", &ran).to_string())?;
    let survivor = session.finish(Duration::from_secs(30))?;
    say::quoted(&survivor.said());
    ensure(survivor.ok() && survivor.out.contains("survived"), || {
        complaint("the broken commit ended a session", &survivor).to_string()
    })?;
    let fresh = psql(scene, &PIET, "ledger-dev", &["select 'the last good policy still holds'"])?;
    ensure(fresh.ok(), || complaint("the broken commit refused a session", &fresh).to_string())?;
    scene.repository.edit("teams/payments/grants.kdl", |text| {
        text.replacen("to group:coding-agnets", "to group:coding-agents", 1)
    })?;
    let mended = scene.repository.merge("payments: mend the typo")?;
    applied(scene, &mended)?;
    Ok("the last good policy stayed in force, status says why, and the next commit mended it".to_owned())
}

/// The errors among the findings; the warnings are those of every check before.
fn errors_of(said: &str) -> String {
    let findings: Vec<&str> = said.split("\n\n").filter(|finding| finding.starts_with("error")).collect();
    findings.join("\n\n")
}

fn audit(teller: &mut Teller<'_>) {
    let session = Cell::new(None);
    chapter("5. The auditor");
    teller.step("Sam finds the session in which the agent tried to delete, and replays it", |scene| {
        let which = ["sessions", "--all", "--connection", "prod-logs"];
        leasehold(scene, &SAM, &which)?;
        let token = scene.token(&SAM)?;
        let ids = sessions_of(&scene.gateway.ask_json(&token, &which)?, &TRIAGE);
        for id in &ids {
            let ran = scene.gateway.ask(&token, &["replay", id])?;
            ensure(ran.ok(), || complaint("no replay", &ran).to_string())?;
            ensure(!ran.said().contains("@mail.example"), || "a recording holds a masked value".to_owned())?;
            if ran.out.contains("delete from public.events") {
                say::quoted(&format!("{}$ leasehold replay {id}", SAM.name));
                say::quoted(&ran.said());
                session.set(Some(id.clone()));
            }
        }
        let found = session.take().ok_or_else(|| Fault::new(format!("none of {ids:?} holds the statement")))?;
        session.set(Some(found));
        Ok(format!("one of {} sessions of the agent; none holds a personal address", ids.len()))
    });
    let id = session.take().unwrap_or_default();
    teller.step("verifies it, and a copy with one flipped byte does not verify", |scene| verify(scene, &id));
}

fn verify(scene: &Scene, id: &str) -> Outcome<String> {
    let key = scene.gateway.folder.join("state/recording.key.pub");
    let folder = recording(scene, id)?;
    let verify = |folder: &Path| {
        leasehold(scene, &SAM, &["verify", &folder.to_string_lossy(), "--public-key", &key.to_string_lossy()])
    };
    let ran = verify(&folder)?;
    ensure(ran.ok(), || complaint("the recording does not verify", &ran).to_string())?;
    let copy = scene.folder.join("tampered").join(id);
    let files = copy_of(&folder, &copy)?;
    let file = files.first().ok_or_else(|| Fault::new("the recording has no file"))?;
    let mut bytes = std::fs::read(file).doing(|| "cannot read the copy".to_owned())?;
    let middle = bytes.len() / 2;
    let byte = bytes.get_mut(middle).ok_or_else(|| Fault::new("the recording is empty"))?;
    *byte ^= 1;
    std::fs::write(file, bytes).doing(|| "cannot change the copy".to_owned())?;
    let ran = verify(&copy)?;
    ensure(!ran.ok(), || "a changed recording verifies".to_owned())?;
    Ok("the chain holds; one flipped byte in a copy, and it does not".to_owned())
}

/// The folder of a session's recording.
fn recording(scene: &Scene, id: &str) -> Outcome<PathBuf> {
    let all = scene.gateway.folder.join("recordings");
    let months = std::fs::read_dir(&all).doing(|| format!("cannot read {}", all.display()))?;
    let mut found = months.filter_map(Result::ok).map(|month| month.path().join(id)).filter(|path| path.is_dir());
    found.next().ok_or_else(|| Fault::new("no recording of that session"))
}

/// Copies the files of a folder; they come back sorted.
fn copy_of(from: &Path, to: &Path) -> Outcome<Vec<PathBuf>> {
    std::fs::create_dir_all(to).doing(|| format!("cannot make {}", to.display()))?;
    let entries = std::fs::read_dir(from).doing(|| format!("cannot read {}", from.display()))?;
    let mut files = Vec::new();
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file()) {
        let goal = to.join(path.file_name().unwrap_or_default());
        std::fs::copy(&path, &goal).doing(|| format!("cannot copy {}", path.display()))?;
        files.push(goal);
    }
    files.sort();
    Ok(files)
}

/// A login that failed with a sentence that holds one of these words.
fn refused_at_login(ran: &Ran, words: &[&str]) -> Outcome<String> {
    ensure(!ran.ok(), || "the connection was let in".to_owned())?;
    let said = ran.err.to_lowercase();
    ensure(said.contains("fatal"), || complaint("not refused at login", ran).to_string())?;
    ensure(words.iter().any(|word| said.contains(word)), || {
        complaint("the refusal does not say why", ran).to_string()
    })?;
    Ok("refused at login, with what to do next".to_owned())
}

/// Waits until the gateway says that it applies a commit.
fn applied(scene: &Scene, commit: &str) -> Outcome<()> {
    clock::wait_for("the gateway applies the commit", Duration::from_secs(20), || {
        Ok((policy(scene)?.get("commit").and_then(Value::as_str) == Some(commit)).then_some(()))
    })
}

/// What the gateway says of its policy, to somebody who may read what is wrong with it.
fn policy(scene: &Scene) -> Outcome<Value> {
    crate::http::get(scene.gateway.api_port, "/v1/policy", Some(&scene.token(&SAM)?))?.json()
}

/// The request's name, as the answer has it.
fn request_id(ran: &Ran) -> Outcome<String> {
    let mut words = ran.out.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words
        .find(|word| word.starts_with("req_"))
        .map(str::to_owned)
        .ok_or_else(|| complaint("the answer names no request", ran))
}

/// The ids of somebody's sessions in a list.
fn sessions_of(list: &Value, who: &Person) -> Vec<String> {
    let all = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let theirs = |session: &&Value| session.pointer("/subject/id").and_then(Value::as_str) == Some(who.oid);
    all.iter().filter(theirs).filter_map(|session| session.get("id")?.as_str().map(str::to_owned)).collect()
}
