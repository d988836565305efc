//! Plays a transcript: inputs begin with `>` (client), `<` (server), `@` (clock) or `!` (the gateway); what the
//! machine does stands indented below each.

use super::{frames, policy};
use bytes::BytesMut;
use enforcer::core::event::What;
use enforcer::core::hold::{HoldAnswer, HoldId, HoldOrder};
use enforcer::core::id::RequestId;
use enforcer::core::machine::{Cause, Close, Machine, Now, Outbox};
use enforcer::protocols::postgres::classify::Texts;
use enforcer::protocols::postgres::machine::{self, Parts, Postgres};
use enforcer::protocols::postgres::masking::Known;
use lang::time::Timestamp;
use pgsql::session::SessionFacts;
use std::sync::{Arc, Mutex};

/// How the bytes of a step arrive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Feed {
    Whole,
    ByteByByte,
}

struct Player {
    machine: Postgres,
    now: Now,
    feed: Feed,
    client: BytesMut,
    server: BytesMut,
    output: String,
    hold: HoldId,
    /// The status of the target's last ReadyForQuery.
    status: String,
}

/// What a transcript shows of the gateway's own question for the catalog, which is answered by the player.
const CATALOG: &str = "the catalog?";

/// The transcript with what the machine really does.
pub(super) fn play(text: &str, feed: Feed) -> String {
    let mut header = policy::Header::default();
    let mut output = String::new();
    let mut player: Option<Player> = None;
    for line in text.lines() {
        if line.starts_with("  ") {
            continue;
        }
        let Some(first) = line.chars().next() else {
            append(&mut player, &mut output, line);
            continue;
        };
        if line.starts_with('#') {
            append(&mut player, &mut output, line);
            if let Some(setting) = line.strip_prefix("# session: ") {
                header.read(setting);
            }
            continue;
        }
        let player = player.get_or_insert_with(|| Player::new(&header, feed, std::mem::take(&mut output)));
        player.output.push_str(line);
        player.output.push('\n');
        player.step(first, line[1..].trim());
    }
    player.map_or(output, |player| player.output)
}

fn append(player: &mut Option<Player>, output: &mut String, line: &str) {
    let output = player.as_mut().map_or(output, |player| &mut player.output);
    output.push_str(line);
    output.push('\n');
}

impl Player {
    fn new(header: &policy::Header, feed: Feed, output: String) -> Self {
        let now = Now { wall: Timestamp::parse_rfc3339("2026-05-04T10:00:00Z").unwrap(), mono_ms: 1_000 };
        let parts = Parts {
            lease: policy::lease(&header.policy, now.wall),
            limits: enforcer::core::limits::Limits::default(),
            facts: SessionFacts::pinned(15),
            known: Some(Known { catalog: Arc::new(header.catalog()), read_mono_ms: now.mono_ms, made: 0 }),
            catalogs: Arc::default(),
            pattern_key: Arc::new(secrecy::SecretBox::new(Box::new([7; 32]))),
            read_only: header.read_only,
            texts: Arc::new(Mutex::new(Texts::default())),
        };
        let machine = machine::start(now, parts);
        Self {
            machine,
            now,
            feed,
            client: BytesMut::new(),
            server: BytesMut::new(),
            output,
            hold: HoldId(0),
            status: "I".to_owned(),
        }
    }

    fn step(&mut self, kind: char, rest: &str) {
        let mut out = Outbox::default();
        match kind {
            '>' => {
                let bytes: BytesMut = rest.split(" ; ").flat_map(|part| frames::client(part.trim()).to_vec()).collect();
                self.feed(&bytes, true, &mut out);
            }
            '<' => {
                let bytes: BytesMut = rest.split(" ; ").flat_map(|part| frames::server(part.trim()).to_vec()).collect();
                if let Some((_, status)) = rest.rsplit_once("Ready ") {
                    status.clone_into(&mut self.status);
                }
                self.feed(&bytes, false, &mut out);
            }
            '@' => {
                let ms: u64 = rest.trim_end_matches(" ms").parse().unwrap();
                self.now = Now {
                    wall: Timestamp::from_unix_ms(self.now.wall.unix_ms() + i64::try_from(ms).unwrap()),
                    mono_ms: self.now.mono_ms + ms,
                };
                self.machine.on_wake(self.now, &mut out);
            }
            '!' => self.order(rest, &mut out),
            other => panic!("unknown step `{other}`"),
        }
        // As the pump does: what happened may make room for messages that waited.
        if kind != '>' && !self.client.is_empty() {
            self.machine.on_client(self.now, &mut self.client, &mut out);
        }
        while self.print(&mut out) {
            let rows = policy::catalog_rows().iter().flat_map(|row| frames::row(row).to_vec()).collect::<Vec<u8>>();
            let ready = frames::server(&format!("Ready {}", self.status));
            let answer = [&rows[..], &frames::server("Complete SELECT"), &ready].concat();
            self.feed(&answer, false, &mut out);
            if !self.client.is_empty() {
                self.machine.on_client(self.now, &mut self.client, &mut out);
            }
        }
    }

    fn feed(&mut self, bytes: &[u8], client: bool, out: &mut Outbox) {
        let chunk = if self.feed == Feed::Whole { bytes.len().max(1) } else { 1 };
        for part in bytes.chunks(chunk) {
            if client {
                self.client.extend_from_slice(part);
                self.machine.on_client(self.now, &mut self.client, out);
            } else {
                self.server.extend_from_slice(part);
                self.machine.on_upstream(self.now, &mut self.server, out);
            }
        }
    }

    fn order(&mut self, rest: &str, out: &mut Outbox) {
        match rest.split_once(' ').unwrap_or((rest, "")) {
            ("policy", name) => self.machine.on_program(self.now, &policy::active(name), out),
            ("identity", groups) => {
                self.machine.on_identity(self.now, &Arc::new(policy::identity(groups, self.now.wall)), out);
            }
            ("sleep", ms) => {
                let ms: i64 = ms.parse().unwrap();
                self.now.wall = Timestamp::from_unix_ms(self.now.wall.unix_ms() + ms);
            }
            ("asked", rest) => {
                let (request, seconds) = rest.split_once(' ').unwrap_or((rest, "600"));
                let answer = HoldAnswer::Asked {
                    request: RequestId::from_random([request.parse().unwrap(); 10]),
                    url: "https://access.example/requests/it".to_owned(),
                    answer_by: Timestamp::from_unix_ms(
                        self.now.wall.unix_ms() + 1_000 * seconds.parse::<i64>().unwrap(),
                    ),
                };
                self.machine.on_hold(self.now, self.hold, answer, out);
            }
            ("released", request) => {
                let request = RequestId::from_random([request.parse().unwrap(); 10]);
                let answer = HoldAnswer::Released { request, by: vec!["Lena".to_owned()] };
                self.machine.on_hold(self.now, self.hold, answer, out);
            }
            ("released-earlier", request) => {
                let request = RequestId::from_random([request.parse().unwrap(); 10]);
                let answer = HoldAnswer::Released { request, by: vec!["Lena".to_owned()] };
                self.machine.on_hold(self.now, HoldId(self.hold.0 - 1), answer, out);
            }
            ("refused", sentence) => {
                let answer = HoldAnswer::Refused { sentence: sentence.to_owned() };
                self.machine.on_hold(self.now, self.hold, answer, out);
            }
            ("cancel", _) => self.machine.on_cancel(self.now, out),
            ("revoke", _) => {
                let close = Close { cause: Cause::Revoked, sentence: "revoked by an operator".to_owned() };
                self.machine.on_end(self.now, close, out);
            }
            (other, _) => panic!("unknown order `{other}`"),
        }
    }

    /// Shows what the machine did; whether it asked for the catalog.
    fn print(&mut self, out: &mut Outbox) -> bool {
        let mut asked = false;
        let drained = out.drain();
        let mut line = |text: String| {
            self.output.push_str("  ");
            self.output.push_str(&text);
            self.output.push('\n');
        };
        for event in drained.events {
            match event.what {
                What::Decision(decision) => {
                    let rule = decision.rule.map(|rule| format!(" by {rule}")).unwrap_or_default();
                    line(format!("decision {} [{}]{rule}", decision.outcome, decision.accesses.join(", ")));
                }
                What::RowsOmitted { rows, .. } => line(format!("omitted {rows} rows")),
                What::Reauthorised { bundle, .. } => line(format!("reauthorised under {bundle}")),
                // How bytes are cut into events may differ; that they are recorded is checked below.
                What::FromClient(_) | What::ToClient(_) | What::Opened(_) | What::Closed { .. } => {}
            }
        }
        for message in frames::show(&drained.to_upstream, true) {
            if message.contains(pgsql::snapshot::query::TEXT) {
                asked = true;
                line(format!("to server: {CATALOG}"));
            } else {
                line(format!("to server: {message}"));
            }
        }
        for message in frames::show(&drained.to_client, false) {
            line(format!("to client: {message}"));
        }
        match drained.hold {
            Some(HoldOrder::Ask(held)) => {
                self.hold = held.hold;
                let by: Vec<&str> = held.reviews.iter().map(|(_, by)| by.as_str()).collect();
                let left = held.until.ms_since(self.now.wall) / 1_000;
                let locks = if held.in_transaction { ", in a transaction" } else { "" };
                line(format!("asks {} within {left} s{locks}: {:?}", by.join(" and "), held.shown.text));
                for named in &held.shown.named {
                    line(format!("  where {} is {:?}", named.name, named.text));
                }
                for (at, parameter) in held.shown.parameters.iter().enumerate() {
                    line(format!("  ${} = {parameter}", at + 1));
                }
            }
            Some(HoldOrder::Withdraw { sentence }) => line(format!("takes back: {sentence}")),
            None => {}
        }
        if drained.cancel_upstream {
            line("cancel".to_owned());
        }
        if let Some(close) = drained.close {
            line(format!("close {}: {}", close.cause.word(), close.sentence));
        }
        asked
    }
}
