//! SARIF 2.1.0, for code scanning.
//= https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html

use crate::{
    diag::{Code, Diagnostic, Label, Severity},
    span::{SourceMap, Span},
};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};

pub(super) fn write(out: &mut String, diagnostics: &[Diagnostic], sources: &SourceMap) -> fmt::Result {
    let codes: BTreeSet<Code> = diagnostics.iter().map(|found| found.code).collect();
    let rules: Vec<Value> = codes.iter().map(|code| rule(*code)).collect();
    let results: Vec<Value> = diagnostics.iter().map(|found| result(found, sources)).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "leaseholdc",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    writeln!(out, "{log:#}")
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.id(),
        "shortDescription": { "text": code.summary() },
        "helpUri": code.docs(),
        "defaultConfiguration": { "level": level(code.severity()) },
    })
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn result(found: &Diagnostic, sources: &SourceMap) -> Value {
    let mut text = found.message.clone();
    for more in found.help.iter().chain(&found.notes).chain(&found.witness) {
        text.push('\n');
        text.push_str(more);
    }
    let mut result = Map::new();
    result.insert("ruleId".to_owned(), json!(found.code.id()));
    result.insert("level".to_owned(), json!(level(found.severity)));
    result.insert("message".to_owned(), json!({ "text": text }));
    if let Some(primary) = &found.primary {
        result.insert("locations".to_owned(), json!([location(primary, sources)]));
    }
    if !found.secondary.is_empty() {
        let related: Vec<Value> = found.secondary.iter().map(|label| location(label, sources)).collect();
        result.insert("relatedLocations".to_owned(), Value::Array(related));
    }
    Value::Object(result)
}

fn location(label: &Label, sources: &SourceMap) -> Value {
    let mut location = Map::new();
    location.insert(
        "physicalLocation".to_owned(),
        json!({
            "artifactLocation": { "uri": uri(sources.path(label.span.source)) },
            "region": region(label.span, sources),
        }),
    );
    if !label.text.is_empty() {
        location.insert("message".to_owned(), json!({ "text": label.text }));
    }
    Value::Object(location)
}

fn region(span: Span, sources: &SourceMap) -> Value {
    let (start, end) = (sources.line_column(span), sources.end_line_column(span));
    json!({
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
        "byteOffset": span.start,
        "byteLength": span.len(),
    })
}

/// A relative path as a URI: what RFC 3986 does not permit in one is encoded.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~') {
            uri.push(char::from(byte));
        } else {
            uri.extend(["%", format!("{byte:02X}").as_str()]);
        }
    }
    uri
}
