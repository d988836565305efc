//! Finds and parses every file of a policy: policy.kdl, what it includes, and the catalogs that connections name.
//! Bounds hold before anything is parsed, because this runs on pull requests of strangers.

use crate::{
    check::beside::{self, Beside},
    glob, parallel,
    system::{Entry, EntryKind, Source, SystemError, join},
};
use lang::{
    diag::{Code, Diagnostic, Sink},
    ident::nearest,
    span::{SourceId, SourceMap, Span, Spanned},
    syntax::{
        self,
        ast::{Document, Node, Value},
        keyword::Keyword,
    },
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The file with the `policy` node.
pub const ROOT_FILE: &str = "policy.kdl";
/// The longest file in bytes.
const FILE_BYTES_MAX: u64 = lang::syntax::limits::FILE_BYTES_MAX as u64;
/// The longest policy in bytes, over all files.
const POLICY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most files of a policy.
const FILES_MAX: usize = 10_000;
/// The most globs of `include`.
const INCLUDES_MAX: usize = 256;

/// The files of a policy, parsed.
#[derive(Debug)]
pub struct Loaded {
    /// Every text; paths are relative to the policy's root.
    pub sources: SourceMap,
    /// The trees, policy.kdl first, then by path.
    pub documents: Vec<Arc<Document>>,
    /// policy.kdl; `None` when there is none.
    pub root: Option<SourceId>,
    /// The digest of all paths and bytes, in hexadecimal.
    pub digest: String,
    /// What stands beside the policy: snapshots, and the owners of files.
    pub beside: Beside,
}

/// Reads and parses a policy. `threads` bounds how many files are parsed at once.
///
/// # Errors
/// When the source cannot be listed or read; mistakes of the policy are findings instead.
pub fn load(source: &dyn Source, root: &str, threads: usize, sink: &mut Sink) -> Result<Loaded, SystemError> {
    load_again(source, root, threads, &mut Parsed::default(), sink)
}

/// The trees of the files that were read last, so that a file which says what it said is not parsed anew.
#[derive(Debug, Default)]
pub struct Parsed {
    /// By the position of the file and the digest of its text: spans hold the one and follow from the other.
    files: HashMap<(SourceId, blake3::Hash), (Arc<Document>, Sink)>,
}

/// The same with the trees of the last time, which become those of this time.
///
/// # Errors
/// As [`load`].
pub fn load_again(
    source: &dyn Source,
    root: &str,
    threads: usize,
    parsed: &mut Parsed,
    sink: &mut Sink,
) -> Result<Loaded, SystemError> {
    let entries = source.list(root)?;
    let mut loader = Loader {
        source,
        root,
        threads,
        before: std::mem::take(&mut parsed.files),
        now: parsed,
        entries: entries.iter().map(|entry| (entry.path.as_str(), entry)).collect(),
        sources: SourceMap::new(),
        reached: BTreeSet::new(),
        bytes: 0,
        hasher: blake3::Hasher::new(),
    };
    let Some(policy) = loader.open(ROOT_FILE, None, sink)? else {
        sink.push(no_policy(root, &entries));
        return Ok(loader.finish(Vec::new(), None));
    };
    let mut documents = loader.parse(&[policy], sink);
    let included = loader.includes(&documents, policy, sink)?;
    documents.extend(loader.parse(&included, sink));
    let catalogs = loader.catalogs(&documents, sink)?;
    let mut catalogs = loader.parse(&catalogs, sink);
    for document in &mut catalogs {
        only_catalogs(Arc::make_mut(document), sink);
    }
    documents.extend(catalogs);
    loader.unreached(&documents, policy, sink);
    Ok(loader.finish(documents, Some(policy)))
}

struct Loader<'a> {
    source: &'a dyn Source,
    root: &'a str,
    threads: usize,
    before: HashMap<(SourceId, blake3::Hash), (Arc<Document>, Sink)>,
    now: &'a mut Parsed,
    entries: BTreeMap<&'a str, &'a Entry>,
    sources: SourceMap,
    reached: BTreeSet<String>,
    bytes: u64,
    hasher: blake3::Hasher,
}

impl Loader<'_> {
    /// Reads a file into the map; `asked` is where the policy names it.
    fn open(&mut self, path: &str, asked: Option<Span>, sink: &mut Sink) -> Result<Option<SourceId>, SystemError> {
        let Some(entry) = self.entries.get(path) else { return Ok(None) };
        let place = |code, message: String| match asked {
            Some(span) => Diagnostic::new(code, span, message),
            None => Diagnostic::without_place(code, message),
        };
        if entry.kind == EntryKind::Link {
            let found = place(Code::P0106, format!("`{path}` is a symbolic link"));
            sink.push(found.help("a policy consists of plain files; put the file itself here"));
            return Ok(None);
        }
        self.reached.insert(path.to_owned());
        if entry.bytes > FILE_BYTES_MAX {
            let message = format!("`{path}` has {} bytes, and a policy file may have {FILE_BYTES_MAX}", entry.bytes);
            sink.push(place(Code::P0008, message).help("split it into several files"));
            return Ok(None);
        }
        self.bytes += entry.bytes;
        if self.bytes > POLICY_BYTES_MAX || self.sources.len() >= FILES_MAX {
            let message =
                format!("the policy is larger than {POLICY_BYTES_MAX} bytes or has more than {FILES_MAX} files");
            sink.push(place(Code::P0008, message));
            return Ok(None);
        }
        let content = self.source.read(&join(self.root, path), FILE_BYTES_MAX)?;
        self.hasher.update(&(path.len() as u64).to_le_bytes());
        self.hasher.update(path.as_bytes());
        self.hasher.update(&(content.len() as u64).to_le_bytes());
        self.hasher.update(&content);
        match String::from_utf8(content) {
            Ok(text) => Ok(Some(self.sources.add(path, text))),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let id = self.sources.add(path, "");
                let message = format!("`{path}` is not UTF-8 text: byte {at} is no character");
                sink.push(Diagnostic::new(Code::P0001, Span::point(id, 0), message).help("save the file as UTF-8"));
                Ok(None)
            }
        }
    }

    /// Parses files, several at once; findings are those of one after the other.
    fn parse(&mut self, files: &[SourceId], sink: &mut Sink) -> Vec<Arc<Document>> {
        let (sources, before) = (&self.sources, &self.before);
        let all = parallel::map(files, self.threads, |file| {
            let key = (*file, blake3::hash(sources.text(*file).as_bytes()));
            let known = before.get(&key).cloned();
            let (document, own) = known.unwrap_or_else(|| {
                let mut own = Sink::new();
                (Arc::new(syntax::parse(*file, sources, &mut own)), own)
            });
            (key, document, own)
        });
        all.into_iter()
            .map(|(key, document, own)| {
                self.now.files.insert(key, (Arc::clone(&document), own.clone()));
                sink.absorb(own);
                document
            })
            .collect()
    }

    /// The files that policy.kdl includes, by path.
    fn includes(
        &mut self,
        documents: &[Arc<Document>],
        policy: SourceId,
        sink: &mut Sink,
    ) -> Result<Vec<SourceId>, SystemError> {
        let globs: Vec<Spanned<String>> = documents
            .iter()
            .filter(|document| document.source == policy)
            .flat_map(|document| document.nodes_of(Keyword::Policy))
            .flat_map(|node| node.values(Keyword::Include))
            .filter_map(Value::spanned)
            .collect();
        if let Some(first_too_many) = globs.get(INCLUDES_MAX) {
            let message = format!("more than {INCLUDES_MAX} includes");
            sink.push(
                Diagnostic::new(Code::P0008, first_too_many.span, message)
                    .help("write globs such as \"teams/*/*.kdl\""),
            );
        }
        let mut wanted: BTreeMap<String, Span> = BTreeMap::new();
        for pattern in globs.iter().take(INCLUDES_MAX) {
            if let Some(problem) = glob::problem(&pattern.value) {
                let message = format!("`{}` cannot be included: {problem}", pattern.value);
                sink.push(Diagnostic::new(Code::P0106, pattern.span, message));
                continue;
            }
            let hits: Vec<&str> =
                self.entries.keys().copied().filter(|path| glob::matches(&pattern.value, path)).collect();
            if hits.is_empty() {
                sink.push(self.no_match(pattern));
            }
            for hit in hits {
                wanted.entry(hit.to_owned()).or_insert(pattern.span);
            }
        }
        wanted.remove(ROOT_FILE);
        let mut opened = Vec::new();
        for (path, span) in &wanted {
            opened.extend(self.open(path, Some(*span), sink)?);
        }
        Ok(opened)
    }

    fn no_match(&self, pattern: &Spanned<String>) -> Diagnostic {
        let found = Diagnostic::new(Code::P0106, pattern.span, format!("`{}` matches no file", pattern.value));
        let files = self.entries.keys().copied().filter(|path| is_kdl(path));
        match nearest(&pattern.value, files) {
            Some(near) => found.help(format!("did you mean `{near}`?")),
            None => found.help("add the file, or remove the include"),
        }
    }

    /// The catalog files that connections name.
    fn catalogs(&mut self, documents: &[Arc<Document>], sink: &mut Sink) -> Result<Vec<SourceId>, SystemError> {
        let mut opened = Vec::new();
        let named: Vec<Spanned<String>> = documents
            .iter()
            .flat_map(|document| document.nodes_of(Keyword::Connection))
            .filter_map(|node| node.value(Keyword::Catalog)?.spanned())
            .collect();
        for file in named {
            let path = file.value.trim_start_matches("./");
            if self.reached.contains(path) {
                continue;
            }
            if self.entries.contains_key(path) {
                opened.extend(self.open(path, Some(file.span), sink)?);
            } else {
                sink.push(self.no_match(&file));
            }
        }
        Ok(opened)
    }

    /// A file that nobody reads is a rule that somebody believes in.
    fn unreached(&self, documents: &[Arc<Document>], policy: SourceId, sink: &mut Sink) {
        let node: Option<&Node> = documents
            .iter()
            .filter(|document| document.source == policy)
            .find_map(|document| document.nodes_of(Keyword::Policy).next());
        let Some(node) = node else { return };
        let place = node.clause(Keyword::Include).map_or(node.head, |include| include.head);
        for path in self.entries.keys().filter(|path| is_kdl(path) && !self.reached.contains(**path)) {
            let message = format!("no `include` and no `catalog` reaches `{path}`");
            let found = Diagnostic::new(Code::P0106, place, message);
            sink.push(found.help(format!("include \"{path}\" or a glob that matches it, or remove the file")));
        }
    }

    /// What cannot be read is not there: nothing but warnings rests on it.
    fn beside(&self) -> Beside {
        let paths = [beside::DIRECTORY, beside::HISTORY, beside::CODEOWNERS];
        let read = |path: &'static str| {
            // Folders that begin with a dot are not listed.
            if self.entries.get(path).is_none_or(|entry| entry.kind != EntryKind::File) && !path.starts_with('.') {
                return None;
            }
            let content = self.source.read(&join(self.root, path), FILE_BYTES_MAX).ok()?;
            Some((path, String::from_utf8(content).ok()?))
        };
        Beside(paths.into_iter().filter_map(read).collect())
    }

    fn finish(self, documents: Vec<Arc<Document>>, root: Option<SourceId>) -> Loaded {
        let beside = self.beside();
        let digest = self.hasher.finalize().to_hex().to_string();
        Loaded { sources: self.sources, documents, root, digest, beside }
    }
}

/// A catalog states facts; a rule in it would escape the list of includes.
fn only_catalogs(document: &mut Document, sink: &mut Sink) {
    document.nodes.retain(|node| {
        let fine = node.keyword == Keyword::Catalog;
        if !fine {
            let message = format!("`{}` stands in a catalog file", node.keyword);
            let found = Diagnostic::new(Code::P0003, node.head, message);
            sink.push(found.help("a file that a connection names as its catalog holds only `catalog`; move this node"));
        }
        fine
    });
}

fn no_policy(root: &str, entries: &[Entry]) -> Diagnostic {
    let folder = if root.is_empty() { "." } else { root };
    let found = Diagnostic::without_place(Code::P0106, format!("there is no {ROOT_FILE} in `{folder}`"));
    let elsewhere = entries.iter().find(|entry| entry.path.ends_with(&format!("/{ROOT_FILE}")));
    match elsewhere.and_then(|entry| entry.path.strip_suffix(&format!("/{ROOT_FILE}"))) {
        Some(below) => found.help(format!("name the folder that holds it: `{}`", join(root, below))),
        None => found.help("name the folder that holds it, or create it"),
    }
}

/// Whether a path has the extension of policy files.
pub(crate) fn is_kdl(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("kdl"))
}
