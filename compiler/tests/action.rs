//! What the action of `.github` puts on a pull request: its script against a stand-in of GitHub's API on this machine,
//! with real requests.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test, with helpers outside its functions")]

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

const MARKER: &str = "<!-- leasehold access diff -->";

/// What the stand-in holds, and what it was asked.
#[derive(Default)]
struct GitHub {
    comments: Vec<Value>,
    labels: Vec<String>,
    sarifs: Vec<Value>,
    /// What the token may not do, as the beginning of `METHOD path`.
    refused: Vec<&'static str>,
    asked: Vec<String>,
}

impl GitHub {
    /// The status and the answer to one request.
    fn answer(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let asked = format!("{method} {path}");
        self.asked.push(asked.clone());
        if self.refused.iter().any(|refused| asked.starts_with(refused)) {
            return (403, json!({"message": "Resource not accessible by integration"}));
        }
        let issue = "/repos/acme/policy/issues/7";
        if let ("GET", Some(query)) = (method, path.strip_prefix(&format!("{issue}/comments?per_page=100&page="))) {
            let skip = (query.parse::<usize>().unwrap() - 1) * 100;
            return (200, self.comments.iter().skip(skip).take(100).cloned().collect());
        }
        match (method, path) {
            ("POST", "/repos/acme/policy/issues/7/comments") => {
                let id = self.comments.len();
                self.comments.push(json!({"id": id, "user": {"type": "Bot"}, "body": body["body"]}));
                (201, json!({}))
            }
            ("POST", "/repos/acme/policy/issues/7/labels") => {
                self.labels.extend(body["labels"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().into()));
                (200, json!([]))
            }
            ("POST", "/repos/acme/policy/code-scanning/sarifs") => {
                self.sarifs.push(body.clone());
                (202, json!({}))
            }
            ("PATCH", _) => {
                let id = path.strip_prefix("/repos/acme/policy/issues/comments/").unwrap();
                self.comments[id.parse::<usize>().unwrap()]["body"] = body["body"].clone();
                (200, json!({}))
            }
            ("DELETE", _) => {
                let label = path.strip_prefix("/repos/acme/policy/issues/7/labels/").unwrap();
                let there = self.labels.iter().any(|own| own == label);
                self.labels.retain(|own| own != label);
                (if there { 200 } else { 404 }, json!([]))
            }
            _ => (404, json!({"message": "Not Found"})),
        }
    }

    fn serve(state: &Arc<Mutex<Self>>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, state) = (listener.local_addr().unwrap().port(), Arc::clone(state));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                respond(stream.unwrap(), &state);
            }
        });
        port
    }
}

fn respond(mut stream: TcpStream, state: &Mutex<GitHub>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let first = line();
    let mut headers = BTreeMap::new();
    while let Some((name, value)) = line().split_once(": ") {
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    assert_eq!(headers.get("authorization").map(String::as_str), Some("Bearer secret"));
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let (status, answer) = state.lock().unwrap().answer(method, path, &body);
    let text = answer.to_string();
    write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len()).unwrap();
}

struct Reports(PathBuf);

impl Drop for Reports {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

impl Reports {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("leasehold-action-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, comment: &str, labels: &str) {
        fs::write(self.0.join("comment.md"), format!("{MARKER}\n{comment}\n")).unwrap();
        fs::write(self.0.join("labels"), labels).unwrap();
        fs::write(self.0.join("findings.sarif"), "{\"version\": \"2.1.0\"}").unwrap();
    }

    /// Runs the script; what it says.
    fn publish(&self, port: u16, pull_request: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.github/actions/policy/publish.py");
        let ran = Command::new("python3")
            .arg(script)
            .env("REPORTS", &self.0)
            .env("PULL_REQUEST", pull_request)
            .env("GH_TOKEN", "secret")
            .env("GITHUB_API_URL", format!("http://127.0.0.1:{port}"))
            .env("GITHUB_REPOSITORY", "acme/policy")
            .env("GITHUB_SHA", "0123")
            .env("GITHUB_REF", "refs/pull/7/merge")
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }
}

/// A comment of a person that begins as ours does, and a hundred others, so that ours is on the second page.
fn talk() -> Vec<Value> {
    let person = |id: usize| json!({"id": id, "user": {"type": "User"}, "body": format!("{MARKER}\nfake {id}")});
    (0..101).map(person).collect()
}

#[test]
fn a_pull_request_has_one_comment_and_the_labels_of_its_last_run() {
    let state = Arc::new(Mutex::new(GitHub { comments: talk(), ..GitHub::default() }));
    let (port, reports) = (GitHub::serve(&state), Reports::new("sticky"));
    reports.write("first", "access:widens\n");
    assert_eq!(reports.publish(port, "7"), "");
    {
        let state = state.lock().unwrap();
        assert_eq!(state.comments.len(), 102);
        assert_eq!(state.comments[101]["body"], format!("{MARKER}\nfirst\n"));
        assert_eq!(state.labels, ["access:widens"]);
        assert_eq!(state.sarifs[0]["ref"], "refs/pull/7/merge");
        assert_eq!(state.sarifs[0]["commit_sha"], "0123");
        assert!(state.sarifs[0]["sarif"].as_str().unwrap().starts_with("H4sI"), "gzip in base64");
    }
    reports.write("second \"quoted\" — ünïcode", "access:narrows\n");
    assert_eq!(reports.publish(port, "7"), "");
    let state = state.lock().unwrap();
    assert_eq!(state.comments.len(), 102, "the comment was written anew, not again");
    assert_eq!(state.comments[101]["body"], format!("{MARKER}\nsecond \"quoted\" — ünïcode\n"));
    assert_eq!(state.comments[0]["body"], format!("{MARKER}\nfake 0"), "people's comments stay");
    assert_eq!(state.labels, ["access:narrows"]);
}

#[test]
fn what_a_token_may_not_do_is_left_out_with_a_notice() {
    let refused = vec!["POST", "PATCH", "DELETE"];
    let state = Arc::new(Mutex::new(GitHub { refused, ..GitHub::default() }));
    let (port, reports) = (GitHub::serve(&state), Reports::new("fork"));
    reports.write("a fork", "access:widens\n");
    let said = reports.publish(port, "7");
    for what in ["code scanning", "comment", "label access:widens"] {
        assert!(said.contains(&format!("::notice::{what}: the token may not")), "{said}");
    }
    // Outside a pull request there is nothing to write on.
    state.lock().unwrap().asked.clear();
    reports.publish(port, "");
    assert_eq!(state.lock().unwrap().asked, ["POST /repos/acme/policy/code-scanning/sarifs"]);
}
