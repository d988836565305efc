//! What is fuzzed, and the properties that must hold for every input beside not to panic.

use crate::corpus::Seeds;
#[cfg(feature = "gateway")]
use crate::{gateway, messages};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use compiler::{
    compile::{Options, compile},
    emit::{self, Origin},
    system::Memory,
};
use ed25519_dalek::{Signer as _, SigningKey};
use lang::{
    bundle,
    diag::{
        Diagnostic, Sink,
        render::{Format, render},
    },
    program::Program,
    span::SourceMap,
    syntax::{
        self,
        print::{self, FormatError},
    },
    time::Timestamp,
};

/// One parser.
pub(crate) struct Target {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What a search begins with.
    pub(crate) seeds: Seeds,
    /// Takes an input; an error is a property that does not hold.
    pub(crate) run: fn(&[u8]) -> Result<(), String>,
    /// What an input amounts to: inputs of a new shape are changed further.
    pub(crate) shape: fn(&[u8]) -> u64,
}

/// Every target.
pub(crate) static TARGETS: &[Target] = &[
    Target { name: "kdl", seeds: Seeds::Texts, run: kdl, shape: text_shape },
    Target { name: "format", seeds: Seeds::Texts, run: format, shape: text_shape },
    Target { name: "compile", seeds: Seeds::Texts, run: whole, shape: text_shape },
    Target { name: "bundle", seeds: Seeds::Bundles, run: open, shape: bundle_shape },
    #[cfg(feature = "gateway")]
    Target { name: "client", seeds: Seeds::Made(messages::client), run: gateway::client, shape: gateway::bytes_shape },
    #[cfg(feature = "gateway")]
    Target { name: "server", seeds: Seeds::Made(messages::server), run: gateway::server, shape: gateway::bytes_shape },
    #[cfg(feature = "gateway")]
    Target { name: "cells", seeds: Seeds::Made(messages::server), run: gateway::cells, shape: gateway::bytes_shape },
    #[cfg(feature = "gateway")]
    Target {
        name: "startup",
        seeds: Seeds::Made(messages::startup),
        run: gateway::startup,
        shape: gateway::bytes_shape,
    },
    #[cfg(feature = "gateway")]
    Target { name: "sql", seeds: Seeds::Made(messages::sql), run: gateway::sql, shape: gateway::sql_shape },
    #[cfg(feature = "gateway")]
    Target {
        name: "config",
        seeds: Seeds::Made(messages::configurations),
        run: gateway::configuration,
        shape: text_shape,
    },
];

fn parsed(text: &str) -> (SourceMap, syntax::ast::Document, Vec<Diagnostic>) {
    let mut sources = SourceMap::new();
    let id = sources.add("policy.kdl", text);
    let mut sink = Sink::new();
    let document = syntax::parse(id, &sources, &mut sink);
    let found = sink.finish(&sources);
    (sources, document, found)
}

/// Reading never fails to return, places lie in the text, and what is shown steers no terminal.
fn kdl(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    let (sources, document, found) = parsed(text);
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    for one in &found {
        let labels = one.primary.iter().chain(&one.secondary);
        if let Some(label) = labels.into_iter().find(|label| label.span.end > length) {
            return Err(format!("{} points behind the text: {:?}", one.code, label.span));
        }
    }
    let mut places = Ok(());
    document.visit_texts(&mut |path, value| {
        if !path.iter().all(|node| node.span.contains(value.span)) || text.get(range(value.span)).is_none() {
            places = Err(format!("the value `{}` stands outside its node", value.text));
        }
    });
    places?;
    for format in
        [Format::Human { colour: false }, Format::Plain, Format::Json, Format::Sarif, Format::Github, Format::Junit]
    {
        let shown = render(format, &found, &sources);
        if shown.contains('\u{1b}') || shown.contains('\u{202e}') {
            return Err(format!("{format:?} lets a control character through"));
        }
    }
    let (_, again, findings) = parsed(text);
    if again != document || findings != found {
        return Err("a second reading gives another tree".to_owned());
    }
    Ok(())
}

fn range(span: lang::span::Span) -> std::ops::Range<usize> {
    span.start as usize..span.end as usize
}

/// What is laid out means the same and is laid out already.
fn format(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    let id = SourceMap::new().add("policy.kdl", "");
    let out = match print::format(id, text) {
        Ok(out) => out,
        Err(FormatError::Broken) => return Ok(()),
        Err(FormatError::Unfaithful) => return Err("the layout changes the meaning".to_owned()),
    };
    match print::format(id, &out) {
        Ok(again) if again == out => Ok(()),
        Ok(_) => Err("a second layout differs from the first".to_owned()),
        Err(error) => Err(format!("what was laid out cannot be: {error}")),
    }
}

fn at() -> Timestamp {
    Timestamp::from_unix(1_777_888_000)
}

fn compiled(text: &[u8]) -> Result<compiler::compile::Compilation, String> {
    let memory = Memory::new(at(), [("policy.kdl", text.to_vec())]);
    compile(&memory, "", at(), &Options::default()).map_err(|error| error.to_string())
}

/// The whole way of a policy: findings are stable, and tables exist only without an error.
fn whole(input: &[u8]) -> Result<(), String> {
    let one = compiled(input)?;
    let two = compiled(input)?;
    if one.diagnostics != two.diagnostics {
        return Err("a second compilation finds something else".to_owned());
    }
    if one.checked.is_some() != (one.findings().errors == 0) {
        return Err("tables and errors do not exclude each other".to_owned());
    }
    Ok(())
}

/// The bundle of a policy that compiles, signed by the key of these tests.
pub(crate) fn bundle_of(text: &[u8]) -> Option<Vec<u8>> {
    let checked = compiled(text).ok()?.checked?;
    emit::bundle(&checked, &Origin::default(), Some(&key())).ok()
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// What was changed in a bundle is refused, and its parts are decoded safely even when they are signed anew.
fn open(input: &[u8]) -> Result<(), String> {
    let trusted = [key().verifying_key()];
    for bytes in [Some(input.to_vec()), signed_anew(input)].into_iter().flatten() {
        let Ok(opened) = bundle::open(&bytes, &trusted) else { continue };
        let opened = opened.into_inner();
        let digest = bundle::semantic_digest(&opened.rules).map_err(|error| error.to_string())?;
        if digest != opened.statement.semantic {
            return Err("the tables have another digest than the statement says".to_owned());
        }
        // Tables that are no program are refused, never believed.
        if let Ok(program) = Program::new(opened.rules, opened.sources) {
            for test in program.rules().tests.clone() {
                let _failing_is_fine = program.run_test(&test, at());
            }
        }
    }
    Ok(())
}

/// The three parts of a frame, with a statement and a signature that fit the first two.
fn signed_anew(input: &[u8]) -> Option<Vec<u8>> {
    let mut rest = input.get(12..)?;
    let mut parts: Vec<&[u8]> = Vec::new();
    for _ in 0..3 {
        let (length, tail) = rest.split_first_chunk::<8>()?;
        // A changed length takes what there is.
        let length = usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX).min(tail.len());
        let (part, tail) = tail.split_at_checked(length)?;
        parts.push(part);
        rest = tail;
    }
    let [tables, places, envelope] = parts.as_slice() else { return None };
    let mut json: serde_json::Value = serde_json::from_slice(envelope).ok()?;
    let payload = STANDARD.decode(json.get("payload")?.as_str()?).ok()?;
    let mut statement: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    let fields = statement.as_object_mut()?;
    fields.insert("semantic".to_owned(), blake3::hash(tables).to_hex().to_string().into());
    fields.insert("places".to_owned(), blake3::hash(places).to_hex().to_string().into());
    let payload = serde_json::to_vec(&statement).ok()?;
    let kind = json.get("payloadType")?.as_str()?.to_owned();
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend_from_slice(&payload);
    let sig = STANDARD.encode(key().sign(&message).to_bytes());
    let object = json.as_object_mut()?;
    object.insert("payload".to_owned(), STANDARD.encode(&payload).into());
    object.insert("signatures".to_owned(), serde_json::json!([{ "keyid": "", "sig": sig }]));
    let envelope = serde_json::to_vec(&json).ok()?;
    let mut out = input.get(..12)?.to_vec();
    for part in [tables, places, &envelope.as_slice()] {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    Some(out)
}

/// Which findings a text has and how many nodes.
fn text_shape(input: &[u8]) -> u64 {
    let Ok(text) = std::str::from_utf8(input) else { return 0 };
    let (_, document, found) = parsed(text);
    let mut words: Vec<&str> = found.iter().map(|one| one.message.split('`').next().unwrap_or("")).collect();
    words.sort_unstable();
    words.dedup();
    let nodes = document.nodes.len().min(15);
    hash(format!("{nodes} {}", words.join("|")).as_bytes())
}

fn bundle_shape(input: &[u8]) -> u64 {
    let why = signed_anew(input).map(|bytes| bundle::open(&bytes, &[key().verifying_key()]).map(|_| ()));
    hash(format!("{why:?}").as_bytes())
}

pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let digest = blake3::hash(bytes);
    digest.as_bytes().first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first))
}
