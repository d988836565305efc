//! Tells steps, checks them and adds them up.

use crate::cast::Person;
use crate::clock;
use crate::command::{Ran, run_within, start};
use crate::fault::Outcome;
use crate::say::{self, Tone};
use crate::scene::Scene;
use std::process::Command;
use std::time::Duration;

/// How it went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Steps that behaved.
    pub held: usize,
    /// Steps that did not.
    pub failed: usize,
}

/// The one who tells.
#[derive(Debug)]
pub(super) struct Teller<'a> {
    /// What the story plays on.
    pub(super) scene: &'a Scene,
    rows: Vec<(String, Result<String, String>, Duration)>,
}

impl<'a> Teller<'a> {
    /// Begins.
    pub(super) fn new(scene: &'a Scene) -> Self {
        Self { scene, rows: Vec::new() }
    }

    /// One step: what should happen, the doing, and what came of it in a few words.
    pub(super) fn step(&mut self, what: &str, run: impl FnOnce(&Scene) -> Outcome<String>) {
        say::line("");
        say::step(what);
        let begin = clock::now();
        let outcome = run(self.scene).map_err(|fault| fault.to_string());
        match &outcome {
            Ok(result) => say::note(&say::toned(Tone::Good, &format!("✓ {result}"))),
            Err(fault) => say::note(&say::toned(Tone::Bad, &format!("✗ {fault}"))),
        }
        self.rows.push((what.to_owned(), outcome, begin.elapsed()));
    }

    /// The summary.
    pub(super) fn end(self) -> Tally {
        let mut tally = Tally::default();
        let mut table = Vec::new();
        for (index, (what, outcome, took)) in self.rows.iter().enumerate() {
            let mark = if outcome.is_ok() { "✓" } else { "✗" };
            tally.held += usize::from(outcome.is_ok());
            tally.failed += usize::from(outcome.is_err());
            let seconds = format!("{:.1} s", took.as_secs_f64());
            table.push(vec![format!("{:>2}", index + 1), mark.to_owned(), seconds, what.clone()]);
        }
        say::line("");
        say::line(&say::toned(Tone::Bold, "What was shown"));
        say::table(&table);
        if tally.failed > 0 {
            say::line("");
            say::line("The gateway's last words:");
            say::quoted(&crate::command::tail(&self.scene.gateway.log(), 15));
        }
        say::line("");
        say::line(&format!("{} of {} steps behaved", tally.held, tally.held + tally.failed));
        tally
    }
}

/// A heading between steps.
pub(super) fn chapter(title: &str) {
    say::line("");
    say::line(&say::toned(Tone::Bold, title));
}

/// Runs psql through the gateway as somebody, showing the statements and the answer.
pub(super) fn psql(scene: &Scene, who: &Person, connection: &str, statements: &[&str]) -> Outcome<Ran> {
    say::quoted(&format!("{}$ psql {connection}", who.name));
    let mut command = command_of(scene, who, connection, statements)?;
    for statement in statements {
        say::quoted(&format!("{connection}=> {statement}"));
    }
    let ran = run_within(&mut command, Duration::from_secs(150))?;
    say::quoted(&ran.said());
    Ok(ran)
}

/// Starts psql through the gateway as somebody, to look at it later.
pub(super) fn psql_in_the_background(
    scene: &Scene,
    who: &Person,
    connection: &str,
    statements: &[&str],
) -> Outcome<crate::command::Running> {
    say::quoted(&format!("{}$ psql {connection} &", who.name));
    for statement in statements {
        say::quoted(&format!("{connection}=> {statement}"));
    }
    start(&mut command_of(scene, who, connection, statements)?)
}

/// Runs a command of `leasehold` as somebody, showing it and its answer.
pub(super) fn leasehold(scene: &Scene, who: &Person, arguments: &[&str]) -> Outcome<Ran> {
    say::quoted(&format!(
        "{}$ leasehold {}",
        who.name,
        arguments.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
    ));
    let ran = scene.gateway.ask(&scene.token(who)?, arguments)?;
    say::quoted(&ran.said());
    Ok(ran)
}

fn command_of(scene: &Scene, who: &Person, connection: &str, statements: &[&str]) -> Outcome<Command> {
    let mut command = scene.psql(who, connection)?;
    for statement in statements {
        command.args(["--command", statement]);
    }
    Ok(command)
}

fn quote(word: &str) -> String {
    if word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@".contains(c)) {
        word.to_owned()
    } else {
        format!("'{word}'")
    }
}
