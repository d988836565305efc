//! An editor, played by a script: it starts the language server as editors do, over standard input and output, and
//! looks at every answer.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::panic,
    reason = "a test, with helpers outside its functions"
)]

use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// The most messages that are read in wait of one.
const MESSAGES_MAX: usize = 200;

struct Editor {
    server: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    folder: PathBuf,
    next: u64,
    version: u64,
    /// The last findings of each file.
    found: std::collections::BTreeMap<String, Value>,
}

impl Editor {
    /// Opens a new policy as `leaseholdc init` writes it.
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("lsp-{name}-{}", std::process::id()));
        let _left_over = fs::remove_dir_all(&folder);
        let made = Command::new(env!("CARGO_BIN_EXE_leaseholdc")).arg("init").arg(&folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut server = Command::new(env!("CARGO_BIN_EXE_leaseholdc"))
            .arg("lsp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (server.stdin.take().unwrap(), BufReader::new(server.stdout.take().unwrap()));
        let mut editor =
            Self { server, input, output, folder, next: 0, version: 1, found: std::collections::BTreeMap::new() };
        let root = format!("file://{}", editor.folder.display());
        let answer = editor.ask("initialize", &json!({ "rootUri": root, "capabilities": {} }));
        assert_eq!(answer["capabilities"]["hoverProvider"], true);
        editor.tell("initialized", &json!({}));
        editor
    }

    fn uri(&self, file: &str) -> String {
        format!("file://{}", self.folder.join(file).display())
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap()
    }

    fn send(&mut self, message: &Value) {
        let body = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        self.input.flush().unwrap();
    }

    fn tell(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    fn read(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the server went away");
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(number) = line.strip_prefix("Content-Length: ") {
                length = number.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.output.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        for _ in 0..MESSAGES_MAX {
            let message = self.read();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
        panic!("no answer to {method}");
    }

    fn note(&mut self, message: &Value) {
        if message["method"] == "textDocument/publishDiagnostics" {
            let uri = message["params"]["uri"].as_str().unwrap().to_owned();
            self.found.insert(uri, message["params"]["diagnostics"].clone());
        }
    }

    /// Opens a file, or changes it.
    fn write(&mut self, file: &str, text: &str) {
        let uri = self.uri(file);
        self.version += 1;
        if self.version == 2 {
            let document = json!({ "uri": uri, "languageId": "kdl", "version": 2, "text": text });
            self.tell("textDocument/didOpen", &json!({ "textDocument": document }));
        } else {
            let document = json!({ "uri": uri, "version": self.version });
            self.tell(
                "textDocument/didChange",
                &json!({ "textDocument": document, "contentChanges": [{ "text": text }] }),
            );
        }
    }

    /// The codes found in a file, once a finding holds or none is left.
    fn wait_for(&mut self, file: &str, code: &str, present: bool) -> Vec<Value> {
        let uri = self.uri(file);
        for _ in 0..MESSAGES_MAX {
            let message = self.read();
            self.note(&message);
            let found = self.found.get(&uri).and_then(Value::as_array).cloned().unwrap_or_default();
            if message["params"]["uri"] == uri.as_str() && found.iter().any(|one| one["code"] == code) == present {
                return found;
            }
        }
        panic!("{code} in {file} never became {present}: {:#?}", self.found);
    }

    /// A request about the first place of a word in a file.
    fn at(&self, file: &str, text: &str, word: &str) -> Value {
        let byte = text.find(word).unwrap_or_else(|| panic!("no `{word}` in {file}"));
        let before = &text[..byte];
        let line = before.matches('\n').count();
        let character = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        json!({ "textDocument": { "uri": self.uri(file) }, "position": { "line": line, "character": character + 1 } })
    }

    fn leave(mut self) {
        let _null = self.ask("shutdown", &Value::Null);
        self.tell("exit", &Value::Null);
        drop(self.input);
        assert!(self.server.wait().unwrap().success());
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

#[test]
fn findings_come_as_one_types_and_go_when_mended() {
    let mut editor = Editor::new("findings");
    let good = editor.text("grants.kdl");
    editor.write("grants.kdl", &good.replace("group:developers", "group:developrs"));
    let found = editor.wait_for("grants.kdl", "P0101", true);
    let one = found.iter().find(|one| one["code"] == "P0101").unwrap();
    assert_eq!((one["severity"].as_u64(), one["range"]["start"]["line"].as_u64()), (Some(1), Some(3)));
    assert!(one["message"].as_str().unwrap().contains("did you mean `group:developers`?"), "{one}");
    // The file breaks in the middle, and what stands before and after is still read.
    editor.write(
        "grants.kdl",
        &good.replacen("lifetime \"1h\"", "lifetime 15m", 1).replace("when standing", "when alwys"),
    );
    let found = editor.wait_for("grants.kdl", "P0002", true);
    assert!(found.iter().any(|one| one["code"] == "P0004"), "{found:#?}");
    let actions = editor.ask(
        "textDocument/codeAction",
        &json!({
            "textDocument": { "uri": editor.uri("grants.kdl") },
            "range": found.iter().find(|one| one["code"] == "P0002").unwrap()["range"],
            "context": { "diagnostics": [] },
        }),
    );
    // A cursor at either end of the finding touches it; one before it or on the next line does not.
    let range = &found.iter().find(|one| one["code"] == "P0002").unwrap()["range"];
    let mut at = |end: &str, (lines, characters): (i64, i64)| {
        let moved = |what: &str, by: i64| range[end][what].as_i64().unwrap() + by;
        let place = json!({ "line": moved("line", lines), "character": moved("character", characters) });
        let cursor = json!({ "start": place, "end": place });
        let params = json!({ "textDocument": { "uri": editor.uri("grants.kdl") }, "range": cursor, "context": { "diagnostics": [] } });
        editor.ask("textDocument/codeAction", &params).as_array().unwrap().len()
    };
    assert_eq!([at("start", (0, -1)), at("start", (0, 0)), at("end", (0, 0)), at("end", (1, 0))], [0, 1, 1, 0]);
    let uri = editor.uri("grants.kdl");
    let edit = &actions[0]["edit"]["changes"][uri.as_str()][0];
    assert_eq!(edit["newText"], "\"15m\"", "{actions}");
    editor.write("grants.kdl", &good);
    let found = editor.wait_for("grants.kdl", "P0002", false);
    assert!(found.iter().all(|one| one["severity"] != 1), "{found:#?}");
    editor.leave();
}

#[test]
fn names_lead_to_definitions_uses_and_effective_access() {
    let mut editor = Editor::new("names");
    let grants = editor.text("grants.kdl");
    editor.write("grants.kdl", &grants);
    let place = editor.at("grants.kdl", &grants, "group:developers");
    let found = editor.ask("textDocument/definition", &place);
    assert_eq!(found[0]["uri"], editor.uri("identity.kdl").as_str(), "{found}");
    let identity = editor.text("identity.kdl");
    let line = found[0]["range"]["start"]["line"].as_u64().unwrap() as usize;
    assert!(identity.lines().nth(line).unwrap().starts_with("group developers"), "{found}");
    let mut with_declaration = place.clone();
    with_declaration["context"] = json!({ "includeDeclaration": true });
    let uses = editor.ask("textDocument/references", &with_declaration);
    let expected = identity.matches("group:developers").count()
        + grants.matches("group:developers").count()
        + editor.text("tests.kdl").matches("group:developers").count()
        + 1;
    assert_eq!(uses.as_array().unwrap().len(), expected, "{uses:#}");
    let hover = editor.ask("textDocument/hover", &place);
    let text = hover["contents"]["value"].as_str().unwrap();
    assert!(
        text.contains("| developers | app-db | requested, 1h | read | approval lead-agrees, reason | support-read |"),
        "{text}"
    );
    assert!(text.contains("daily-work"), "{text}");
    assert!(!text.contains("| agents |"), "of others nothing is said: {text}");
    let connection = editor.at("grants.kdl", &grants, "app-db");
    let hover = editor.ask("textDocument/hover", &connection);
    assert!(hover["contents"]["value"].as_str().unwrap().contains("| agents | app-db |"), "{hover}");
    let keyword = editor.at("grants.kdl", &grants, "lifetime");
    let hover = editor.ask("textDocument/hover", &keyword);
    assert!(hover["contents"]["value"].as_str().unwrap().contains("How long the access lasts"), "{hover}");
    let symbols =
        editor.ask("textDocument/documentSymbol", &json!({ "textDocument": { "uri": editor.uri("grants.kdl") } }));
    let names: Vec<&str> = symbols.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["support-read", "agent-read", "daily-work"]);
    editor.leave();
}

#[test]
fn proposals_and_layout() {
    let mut editor = Editor::new("proposals");
    let good = editor.text("grants.kdl");
    let typing = format!("{good}grant app-dev id=more {{\n    to \n    wh\n}}\n");
    editor.write("grants.kdl", &typing);
    let labels = |items: &Value| -> Vec<String> {
        items.as_array().unwrap().iter().map(|item| item["label"].as_str().unwrap().to_owned()).collect()
    };
    let line = typing.lines().position(|line| line == "    to ").unwrap();
    let document = json!({ "uri": editor.uri("grants.kdl") });
    let position = json!({ "line": line, "character": 7 });
    let items = editor.ask("textDocument/completion", &json!({ "textDocument": document, "position": position }));
    assert!(labels(&items).contains(&"group:leads".to_owned()), "{items}");
    let position = json!({ "line": line + 1, "character": 6 });
    let items = editor.ask("textDocument/completion", &json!({ "textDocument": document, "position": position }));
    assert!(labels(&items).contains(&"when".to_owned()), "{items}");
    editor.write("grants.kdl", &good.replace("    when requested", "  when    requested"));
    let edits = editor.ask("textDocument/formatting", &json!({ "textDocument": document, "options": {} }));
    assert_eq!(edits[0]["newText"], good.as_str());
    editor.write("grants.kdl", &good);
    let edits = editor.ask("textDocument/formatting", &json!({ "textDocument": document, "options": {} }));
    assert_eq!(edits, json!([]));
    editor.leave();
}
