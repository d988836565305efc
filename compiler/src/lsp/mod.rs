//! The language server: what editors ask about a policy while it is written.
//!
//! One thread, one policy at a time. Every answer comes from the same compilation that `check` makes, with the open
//! buffers in place of the files; nothing is ever written, and a broken file still answers for what could be read.

mod complete;
mod names;
mod place;
mod world;

use crate::{
    command::Failure,
    system::{System, join},
    view,
};
use lang::{
    diag::{Diagnostic, Severity},
    span::{SourceId, Span},
    syntax::{keyword::Keyword, print},
};
use lsp_server::{Connection, Message, Notification, Request, Response};
use names::{Kind, Symbol};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};
use world::World;

/// What JSON-RPC calls a method that a server does not have.
const METHOD_NOT_FOUND: i32 = -32_601;

/// Serves one editor until it says good-bye. `path` names the folder of the policy when the editor does not.
///
/// # Errors
/// When the editor breaks the protocol.
pub fn serve(connection: &Connection, system: &dyn System, path: Option<&str>) -> Result<(), Failure> {
    let broken = |error: &dyn std::fmt::Display| Failure::Usage(format!("the editor broke the protocol: {error}"));
    let (id, params) = connection.initialize_start().map_err(|error| broken(&error))?;
    let answer = json!({ "capabilities": capabilities(), "serverInfo": { "name": "leaseholdc" } });
    connection.initialize_finish(id, answer).map_err(|error| broken(&error))?;
    let folder = path.map(str::to_owned).or_else(|| folder_of(&params));
    let mut server =
        Server { connection, world: World::new(system, folder.as_deref()), shown: BTreeSet::new(), stale: true };
    server.publish()?;
    while let Ok(message) = connection.receiver.recv() {
        match message {
            Message::Request(request) => {
                if connection.handle_shutdown(&request).map_err(|error| broken(&error))? {
                    return Ok(());
                }
                server.answer(request)?;
            }
            Message::Notification(notification) => server.notice(notification),
            Message::Response(_) => {}
        }
        // While more is typed, what is found would be old before it is shown.
        if connection.receiver.is_empty() {
            server.publish()?;
        }
    }
    Ok(())
}

fn capabilities() -> Value {
    json!({
        "textDocumentSync": { "openClose": true, "change": 1, "save": true },
        "hoverProvider": true,
        "definitionProvider": true,
        "referencesProvider": true,
        "documentSymbolProvider": true,
        "documentFormattingProvider": true,
        "codeActionProvider": { "codeActionKinds": ["quickfix"] },
        "completionProvider": { "triggerCharacters": [":", "=", " "] },
    })
}

/// The folder that the editor opened.
fn folder_of(params: &Value) -> Option<String> {
    let first = params.pointer("/workspaceFolders/0/uri").or_else(|| params.get("rootUri"));
    first.and_then(Value::as_str).and_then(place::path_of)
}

struct Server<'a> {
    connection: &'a Connection,
    world: World<'a>,
    /// The files that findings are shown for.
    shown: BTreeSet<String>,
    stale: bool,
}

impl Server<'_> {
    fn send(&self, message: Message) -> Result<(), Failure> {
        let gone = |_| Failure::Usage("the editor went away".to_owned());
        self.connection.sender.send(message).map_err(gone)
    }

    fn notice(&mut self, notification: Notification) {
        let params = notification.params;
        let path = params.pointer("/textDocument/uri").and_then(Value::as_str).and_then(place::path_of);
        let Some(path) = path else { return };
        match notification.method.as_str() {
            "textDocument/didOpen" => {
                if let Some(text) = params.pointer("/textDocument/text").and_then(Value::as_str) {
                    self.world.open(&path, text);
                }
            }
            "textDocument/didChange" => {
                // Whole texts are asked for, so the last one counts.
                let changes = params.get("contentChanges").and_then(Value::as_array);
                if let Some(text) = changes.and_then(|all| all.last()?.get("text")?.as_str()) {
                    self.world.open(&path, text);
                }
            }
            "textDocument/didClose" => self.world.close(&path),
            "textDocument/didSave" => {}
            _ => return,
        }
        self.stale = true;
    }

    fn refresh(&mut self) {
        if self.stale {
            self.world.compile();
        }
    }

    /// Shows what is found, and takes back what no longer is.
    fn publish(&mut self) -> Result<(), Failure> {
        if !self.stale {
            return Ok(());
        }
        self.refresh();
        self.stale = false;
        let mut by_file: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let Some(found) = &self.world.found else { return Ok(()) };
        let root_file = self.world.path(crate::load::ROOT_FILE);
        for one in &found.diagnostics {
            let path =
                one.span().map_or_else(|| root_file.clone(), |span| self.world.path(found.sources.path(span.source)));
            by_file.entry(path).or_default().push(self.diagnostic(one));
        }
        for path in std::mem::take(&mut self.shown) {
            by_file.entry(path).or_default();
        }
        for (path, diagnostics) in by_file {
            if !diagnostics.is_empty() {
                self.shown.insert(path.clone());
            }
            let params = json!({ "uri": place::uri_of(&path), "diagnostics": diagnostics });
            self.send(Message::Notification(Notification::new("textDocument/publishDiagnostics".to_owned(), params)))?;
        }
        Ok(())
    }

    fn diagnostic(&self, found: &Diagnostic) -> Value {
        let severity = match found.severity {
            Severity::Error => 1,
            Severity::Warning => 2,
            Severity::Info => 3,
        };
        let mut message = found.message.clone();
        for line in found.help.iter().chain(&found.notes).chain(&found.witness) {
            message.push('\n');
            message.push_str(line);
        }
        let related: Vec<Value> = found
            .secondary
            .iter()
            .map(|label| json!({ "location": self.location(label.span), "message": label.text }))
            .collect();
        json!({
            "range": found.span().map_or_else(|| json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 0 } }), |span| self.range(span)),
            "severity": severity,
            "code": found.code.id(),
            "codeDescription": { "href": found.code.docs() },
            "source": "leaseholdc",
            "message": message,
            "relatedInformation": related,
        })
    }

    fn range(&self, span: Span) -> Value {
        let text = self.world.found.as_ref().map_or("", |found| found.sources.text(span.source));
        place::range(text, span)
    }

    fn location(&self, span: Span) -> Value {
        let path = self.world.found.as_ref().map_or("", |found| found.sources.path(span.source));
        json!({ "uri": place::uri_of(&self.world.path(path)), "range": self.range(span) })
    }

    fn answer(&mut self, request: Request) -> Result<(), Failure> {
        self.refresh();
        let params = &request.params;
        let result = match request.method.as_str() {
            "textDocument/hover" => self.hover(params),
            "textDocument/definition" => self.definition(params),
            "textDocument/references" => Some(self.references(params)),
            "textDocument/documentSymbol" => self.symbols(params),
            "textDocument/formatting" => self.formatting(params),
            "textDocument/codeAction" => Some(self.actions(params)),
            "textDocument/completion" => self.completion(params),
            other => {
                let sentence = format!("leaseholdc does not answer {other}");
                return self.send(Message::Response(Response::new_err(request.id, METHOD_NOT_FOUND, sentence)));
            }
        };
        self.send(Message::Response(Response::new_ok(request.id, result.unwrap_or(Value::Null))))
    }

    /// The file that a request is about.
    fn source(&self, params: &Value) -> Option<SourceId> {
        let path = place::path_of(params.pointer("/textDocument/uri")?.as_str()?)?;
        self.world.source(&path)
    }

    /// The file and the byte that a request is about.
    fn cursor(&self, params: &Value) -> Option<(SourceId, u32)> {
        let source = self.source(params)?;
        let text = self.world.found.as_ref()?.sources.text(source);
        Some((source, place::offset(text, params.get("position")?)?))
    }

    fn symbol(&self, params: &Value) -> Option<(Symbol, Span)> {
        let (source, at) = self.cursor(params)?;
        names::at(&self.world.found.as_ref()?.documents, source, at)
    }

    fn hover(&self, params: &Value) -> Option<Value> {
        let found = self.world.found.as_ref()?;
        if let Some((symbol, span)) = self.symbol(params) {
            let text = self.about(&symbol);
            return Some(json!({ "contents": { "kind": "markdown", "value": text }, "range": self.range(span) }));
        }
        let (source, at) = self.cursor(params)?;
        let (doc, span) = names::keyword_at(&found.documents, source, at)?;
        Some(json!({ "contents": { "kind": "markdown", "value": doc }, "range": self.range(span) }))
    }

    /// What a name stands for: for a group or connection the access that really holds.
    fn about(&self, symbol: &Symbol) -> String {
        let mut text = format!("**{} {}**\n", symbol.kind.word(), symbol.name);
        let Some(program) = self.world.found.as_ref().and_then(|found| found.program.as_ref()) else {
            text.push_str("\nThe policy has names or values that are wrong; access cannot be told.\n");
            return text;
        };
        let rows: Vec<_> = view::rows(program, self.world.now())
            .into_iter()
            .filter(|row| match symbol.kind {
                Kind::Group => {
                    let held = names::closure(program.rules(), &symbol.name);
                    !row.who.groups.is_empty() && row.who.groups.iter().all(|group| held.contains(group))
                }
                Kind::Connection => row.connection.name == symbol.name,
                Kind::Grant => row.grant.id == symbol.name,
                Kind::Idp | Kind::Approval | Kind::Team | Kind::Rule => false,
            })
            .collect();
        if matches!(symbol.kind, Kind::Idp | Kind::Approval | Kind::Team | Kind::Rule) {
            return text;
        }
        if rows.is_empty() {
            text.push_str("\nNo grant gives access.\n");
            return text;
        }
        text.push_str("\n| who | connection | how long | may | first | grant |\n|---|---|---|---|---|---|\n");
        for row in rows {
            let (how, may, first) = row.gets.as_ref().map_or_else(
                || ("refused".to_owned(), String::new(), String::new()),
                |gets| {
                    let ops = view::words(gets.allowed.union(gets.reviewed), row.connection.kind).join(" ");
                    (view::duration(&gets.terms, row.grant), ops, view::conditions(&gets.terms).join(", "))
                },
            );
            let who = view::describe(row.who, row.kind);
            let _in_memory =
                writeln!(text, "| {who} | {} | {how} | {may} | {first} | {} |", row.connection.name, row.grant.id);
        }
        text
    }

    fn definition(&self, params: &Value) -> Option<Value> {
        let (symbol, _) = self.symbol(params)?;
        let places = names::definitions(&self.world.found.as_ref()?.documents, &symbol);
        Some(places.into_iter().map(|span| self.location(span)).collect())
    }

    fn references(&self, params: &Value) -> Value {
        let (Some((symbol, _)), Some(found)) = (self.symbol(params), self.world.found.as_ref()) else {
            return json!([]);
        };
        let mut places = names::references(&found.documents, &symbol);
        if params.pointer("/context/includeDeclaration") == Some(&Value::Bool(true)) {
            places.extend(names::definitions(&found.documents, &symbol));
        }
        places.sort();
        places.dedup();
        places.into_iter().map(|span| self.location(span)).collect()
    }

    fn symbols(&self, params: &Value) -> Option<Value> {
        let source = self.source(params)?;
        let found = self.world.found.as_ref()?;
        let document = found.documents.iter().find(|document| document.source == source)?;
        let all = document.nodes.iter().map(|node| {
            let name = node.prop("id").or_else(|| node.arg()).map_or("", |value| value.text.as_str());
            let name = if name.is_empty() { node.keyword.word() } else { name };
            let kind = if matches!(node.keyword, Keyword::Test | Keyword::Assert) { 12 } else { 5 };
            json!({
                "name": name,
                "detail": node.keyword.word(),
                "kind": kind,
                "range": self.range(node.span),
                "selectionRange": self.range(node.head),
            })
        });
        Some(all.collect())
    }

    fn formatting(&self, params: &Value) -> Option<Value> {
        let source = self.source(params)?;
        let text = self.world.found.as_ref()?.sources.text(source);
        let formatted = print::format(source, text).ok()?;
        if formatted == text {
            return Some(json!([]));
        }
        let end = u32::try_from(text.len()).ok()?;
        Some(json!([{ "range": self.range(Span::new(source, 0, end)), "newText": formatted }]))
    }

    /// The fixes of findings that the asked range touches.
    fn actions(&self, params: &Value) -> Value {
        let (Some(source), Some(found)) = (self.source(params), self.world.found.as_ref()) else { return json!([]) };
        let text = found.sources.text(source);
        let bound = |key: &str| params.get("range").and_then(|range| place::offset(text, range.get(key)?));
        let (Some(start), Some(end)) = (bound("start"), bound("end")) else { return json!([]) };
        let mut actions = Vec::new();
        for one in &found.diagnostics {
            let (Some(span), Some(fix)) = (one.span(), &one.fix) else { continue };
            if span.source != source || span.start > end || span.end < start {
                continue;
            }
            let mut changes: BTreeMap<String, Vec<Value>> = BTreeMap::new();
            for edit in &fix.edits {
                let uri = place::uri_of(&self.world.path(found.sources.path(edit.span.source)));
                let change = json!({ "range": self.range(edit.span), "newText": edit.replacement });
                changes.entry(uri).or_default().push(change);
            }
            actions.push(json!({
                "title": fix.title,
                "kind": "quickfix",
                "diagnostics": [self.diagnostic(one)],
                "isPreferred": fix.applicability == lang::diag::Applicability::Machine,
                "edit": { "changes": changes },
            }));
        }
        Value::Array(actions)
    }

    fn completion(&self, params: &Value) -> Option<Value> {
        let (source, at) = self.cursor(params)?;
        let found = self.world.found.as_ref()?;
        let before = found.sources.text(source).get(..at as usize)?;
        let items = complete::items(before, &found.documents, found.policy.as_ref());
        let items: Vec<Value> = items
            .into_iter()
            .map(|item| json!({ "label": item.label, "kind": item.kind, "detail": item.detail, "insertText": item.insert }))
            .collect();
        Some(Value::Array(items))
    }
}

/// Serves the editor at the standard input and output.
///
/// # Errors
/// When the editor breaks the protocol.
pub fn stdio(system: &dyn System, path: Option<&str>) -> Result<(), Failure> {
    let (connection, threads) = Connection::stdio();
    let served = serve(&connection, system, path);
    drop(connection);
    threads.join().map_err(Failure::Output)?;
    served
}

/// The policy's folder: the one given, one of its usual places below, or the nearest one above a file.
fn find_root(system: &dyn System, folder: &str) -> Option<String> {
    let holds = |folder: &str| system.is_file(&join(folder, crate::load::ROOT_FILE));
    [folder.to_owned(), join(folder, "policies")].into_iter().find(|folder| holds(folder)).or_else(|| {
        let mut above = folder;
        while let Some((parent, _)) = above.rsplit_once('/') {
            if holds(parent) {
                return Some(parent.to_owned());
            }
            above = parent;
        }
        None
    })
}
