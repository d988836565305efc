//! The parser behind [`super::tree`]: tokens to nodes, with recovery after every mistake.
//!
//! It never descends deeper than the limit, never looks back further than one token, and passes over at least one
//! token for every mistake, so that it ends on every text.

use super::{
    limits::{DEPTH_MAX, ENTRIES_MAX, FILE_BYTES_MAX, MISTAKES_MAX, NODES_MAX},
    number, string,
    token::{Kind, Token, is_disallowed, tokenize},
    tree::{Entry, Removed, RemovedKind, Scalar, Tree, TreeNode},
};
use crate::{
    diag::{Applicability, Code, Diagnostic},
    span::{SourceId, Span, Spanned},
    time::Hours,
};

pub(super) fn read(source: SourceId, text: &str) -> Tree {
    let mut parser = Parser {
        source,
        text,
        tokens: Vec::new(),
        at: 0,
        depth: 0,
        nodes: 0,
        entries: 0,
        removing: 0,
        stopped: false,
        comment_reported: false,
        disallowed: false,
        tree: Tree::default(),
    };
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes, and at most {FILE_BYTES_MAX} are read", text.len());
        parser.tree.mistakes.push(Diagnostic::new(Code::P0008, Span::point(source, 0), message));
        return parser.tree;
    }
    parser.report_disallowed();
    parser.tokens = tokenize(text);
    let nodes = parser.nodes(None);
    parser.tree.nodes = nodes;
    parser.tree
}

pub(super) struct Parser<'a> {
    pub(super) source: SourceId,
    pub(super) text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    nodes: usize,
    entries: usize,
    /// How many `/-` the parser is within.
    removing: usize,
    /// Whether a limit was exceeded; nothing more is read then.
    stopped: bool,
    comment_reported: bool,
    /// Whether characters were reported that must not stand anywhere.
    disallowed: bool,
    tree: Tree,
}

impl Parser<'_> {
    // Tokens.

    fn peek(&self) -> Option<Token> {
        if self.stopped { None } else { self.tokens.get(self.at).copied() }
    }

    fn kind(&self) -> Option<Kind> {
        self.peek().map(|token| token.kind)
    }

    fn span(&self, token: Token) -> Span {
        Span::new(self.source, token.start, token.end)
    }

    fn here(&self) -> Span {
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.peek().map_or(Span::point(self.source, end), |token| self.span(token))
    }

    pub(super) fn slice(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    fn skip_while(&mut self, test: fn(Kind) -> bool) -> bool {
        let before = self.at;
        while let Some(token) = self.peek()
            && test(token.kind)
        {
            if token.kind == Kind::BlockComment(false) && !self.comment_reported {
                self.comment_reported = true;
                let span = Span::new(self.source, token.start, token.start + 2);
                let help = "a path such as \"/v1/**\" stands in quotes";
                self.report(Diagnostic::new(Code::P0001, span, "this comment does not end").help(help));
            }
            self.at += 1;
        }
        self.at > before
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        if self.tree.mistakes.len() < MISTAKES_MAX {
            self.tree.mistakes.push(diagnostic);
        }
    }

    fn wrong(&mut self, span: Span, message: &str) {
        self.report(Diagnostic::new(Code::P0001, span, message));
    }

    fn stop(&mut self, span: Span, message: String) {
        if !self.stopped {
            self.tree.mistakes.push(Diagnostic::new(Code::P0008, span, message));
        }
        self.stopped = true;
    }

    /// Controls and marks that reorder text must not stand anywhere, comments included.
    fn report_disallowed(&mut self) {
        for (at, c) in self.text.char_indices() {
            if is_disallowed(c) && !(at == 0 && c == '\u{FEFF}') {
                let start = u32::try_from(at).unwrap_or(u32::MAX);
                let end = start.saturating_add(u32::try_from(c.len_utf8()).unwrap_or(1));
                let span = Span::new(self.source, start, end);
                self.disallowed = true;
                self.wrong(span, &format!("the character U+{:04X} must not stand in a policy", u32::from(c)));
            }
        }
    }

    // Nodes.

    /// The nodes up to the end of the text, or up to the `}` that belongs to `open`.
    fn nodes(&mut self, open: Option<Span>) -> Vec<TreeNode> {
        let mut nodes = Vec::new();
        loop {
            self.skip_while(Kind::is_line_space);
            let here = self.here();
            match self.kind() {
                None => {
                    if let Some(open) = open
                        && !self.stopped
                    {
                        self.wrong(open, "this `{` has no `}`");
                    }
                    return nodes;
                }
                Some(Kind::CloseBrace) if open.is_some() => {
                    self.at += 1;
                    return nodes;
                }
                Some(Kind::CloseBrace) => {
                    self.at += 1;
                    self.wrong(here, "this `}` has no `{`");
                }
                Some(Kind::Semicolon) => {
                    self.at += 1;
                    self.wrong(here, "this `;` ends no node");
                }
                Some(Kind::SlashDash) => self.removed_node(here),
                Some(_) => {
                    if let Some(node) = self.node() {
                        nodes.push(node);
                    }
                }
            }
        }
    }

    fn removed_node(&mut self, start: Span) {
        self.at += 1;
        self.skip_while(Kind::is_line_space);
        match self.kind() {
            None | Some(Kind::CloseBrace | Kind::Semicolon | Kind::SlashDash) => {
                self.wrong(start, "`/-` removes the node after it, and there is none");
            }
            Some(_) => {
                self.removing += 1;
                let node = self.node();
                self.removing -= 1;
                if let Some(node) = node {
                    self.version_marker(&node);
                    self.note_removed(start.to(node.span), RemovedKind::Node(node.name.value));
                }
            }
        }
    }

    /// `/- kdl-version 1` at the beginning says that the rest is not for us.
    fn version_marker(&mut self, node: &TreeNode) {
        if let [Entry { key: None, scalar: Scalar::Integer(version), span, .. }] = node.entries.as_slice()
            && node.name.value == "kdl-version"
            && *version != 2
            && self.depth == 0
        {
            let found = Diagnostic::new(Code::P0006, *span, format!("this is a KDL v{version} document"));
            self.report(found.help("policies are written in KDL v2: `/- kdl-version 2`"));
        }
    }

    fn note_removed(&mut self, span: Span, what: RemovedKind) {
        if self.removing == 0 {
            self.tree.removed.push(Removed { span, what, depth: self.depth });
        }
    }

    fn node(&mut self) -> Option<TreeNode> {
        let start = self.here();
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            self.stop(start, format!("the file has more than {NODES_MAX} nodes"));
            return None;
        }
        let annotation = self.annotation();
        if annotation.is_some() {
            self.skip_while(Kind::is_node_space);
        }
        let Some(name) = self.node_name() else {
            self.skip_node();
            return None;
        };
        let mut node = TreeNode {
            annotation,
            span: start.to(name.span),
            head: start.to(name.span),
            name,
            entries: Vec::new(),
            children: None,
            broken: false,
        };
        let mistakes = self.tree.mistakes.len();
        self.rest_of_node(&mut node);
        node.broken = self.tree.mistakes.len() > mistakes || self.stopped;
        Some(node)
    }

    fn node_name(&mut self) -> Option<Spanned<String>> {
        let here = self.here();
        match self.kind() {
            Some(Kind::Word | Kind::Quoted(_) | Kind::Raw(_) | Kind::HashWord) => {
                self.at += 1;
                match self.scalar(here) {
                    Scalar::Text(value) => Some(Spanned { value, span: here }),
                    Scalar::Bad(_) => None,
                    Scalar::Integer(_) | Scalar::Float | Scalar::Bool(_) | Scalar::Null => {
                        self.wrong(here, "a node begins with its name, and this is a value");
                        None
                    }
                }
            }
            Some(Kind::OpenBrace) => {
                self.wrong(here, "this block belongs to no node: the `{` stands on the line of its node");
                None
            }
            Some(Kind::Stray) => {
                self.stray();
                None
            }
            Some(_) | None => {
                self.wrong(here, "a node begins with its name");
                None
            }
        }
    }

    /// Skips to the end of what would be a node, with the blocks in it.
    fn skip_node(&mut self) {
        let mistakes = self.tree.mistakes.len();
        let before = self.at;
        let here = self.here();
        let mut nowhere = TreeNode {
            annotation: None,
            name: Spanned { value: String::new(), span: here },
            entries: Vec::new(),
            children: None,
            span: here,
            head: here,
            broken: true,
        };
        self.rest_of_node(&mut nowhere);
        // INVARIANT (progress): whatever could not begin a node is passed over.
        if self.at == before && self.kind() != Some(Kind::CloseBrace) {
            self.at += 1;
        }
        // What follows from the mistake at its beginning is not reported; limits are.
        let stopped = self.stopped;
        let mut position = 0;
        self.tree.mistakes.retain(|found| {
            position += 1;
            position <= mistakes || found.code != Code::P0001 || stopped
        });
    }

    fn rest_of_node(&mut self, node: &mut TreeNode) {
        let mut block_seen = false;
        loop {
            let spaced = self.skip_while(Kind::is_node_space);
            let here = self.here();
            match self.kind() {
                None | Some(Kind::CloseBrace) => return,
                Some(Kind::Newline | Kind::LineComment | Kind::Semicolon) => {
                    self.at += 1;
                    return;
                }
                Some(Kind::OpenBrace) => {
                    let children = self.block();
                    node.span = node.span.to(self.before());
                    if node.children.is_some() {
                        self.wrong(here, "a node has at most one block");
                    } else {
                        node.children = Some(children);
                    }
                    block_seen = true;
                }
                Some(Kind::SlashDash) if !spaced => {
                    self.wrong(here, "a space is missing in front of this");
                    block_seen |= self.removed_entry(here, block_seen);
                }
                Some(Kind::SlashDash) => block_seen |= self.removed_entry(here, block_seen),
                Some(_) => {
                    if block_seen {
                        self.wrong(here, "after a block comes the end of the line or `;`");
                        if node.children.is_some() {
                            return;
                        }
                    } else if !spaced {
                        self.wrong(here, "a space is missing in front of this");
                    }
                    if let Some(entry) = self.entry() {
                        node.span = node.span.to(entry.span);
                        node.head = node.head.to(entry.span);
                        self.join_hours(node, &entry);
                        node.entries.push(entry);
                    }
                }
            }
        }
    }

    /// `hours Mon-Fri 07:00-20:00`: both words belong into one pair of quotes.
    fn join_hours(&mut self, node: &mut TreeNode, entry: &Entry) {
        let Some(last) = node.entries.last() else { return };
        let both = last.span.to(entry.span);
        let text = self.slice(both).to_owned();
        let at_end = self
            .tree
            .mistakes
            .last()
            .is_some_and(|found| found.code == Code::P0002 && found.span() == Some(entry.span));
        if at_end && Hours::parse(&text).is_ok() {
            self.tree.mistakes.pop();
            node.entries.pop();
            let found = Diagnostic::new(Code::P0002, both, format!("hours are written in quotes: `\"{text}\"`"));
            self.report(found.replace("put it in quotes", both, super::quote(&text), Applicability::Machine));
        }
    }

    /// The token before the current one.
    fn before(&self) -> Span {
        // What cannot begin a node at the end of the text is passed over, so the position may lie behind it.
        let token = self.tokens.get(self.at.min(self.tokens.len()).saturating_sub(1)).copied();
        token.map_or(Span::point(self.source, 0), |token| self.span(token))
    }

    fn block(&mut self) -> Vec<TreeNode> {
        let open = self.here();
        self.at += 1;
        if self.depth >= DEPTH_MAX {
            self.stop(open, format!("blocks are nested more than {DEPTH_MAX} deep"));
            return Vec::new();
        }
        self.depth += 1;
        let nodes = self.nodes(Some(open));
        self.depth -= 1;
        nodes
    }

    /// What `/-` removes within a node; answers whether it is a block.
    fn removed_entry(&mut self, start: Span, block_seen: bool) -> bool {
        self.at += 1;
        self.skip_while(Kind::is_line_space);
        let here = self.here();
        self.removing += 1;
        let what = match self.kind() {
            Some(Kind::OpenBrace) => {
                self.block();
                Some(RemovedKind::Block)
            }
            None | Some(Kind::CloseBrace | Kind::Semicolon | Kind::SlashDash) => {
                self.wrong(start, "`/-` removes what stands after it, and there is nothing");
                None
            }
            Some(_) => {
                if block_seen {
                    self.wrong(here, "after a block comes the end of the line or `;`");
                }
                self.entry().map(|_| RemovedKind::Entry)
            }
        };
        self.removing -= 1;
        let is_block = what == Some(RemovedKind::Block);
        if let Some(what) = what {
            self.note_removed(start.to(self.before()), what);
        }
        is_block
    }

    // Entries.

    fn entry(&mut self) -> Option<Entry> {
        let start = self.here();
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            self.stop(start, format!("the file has more than {ENTRIES_MAX} arguments and properties"));
            return None;
        }
        let annotation = self.annotation();
        if annotation.is_some() {
            self.skip_while(Kind::is_node_space);
        }
        let first = self.value()?;
        let value_span = start.to(self.before());
        let after_value = self.at;
        self.skip_while(Kind::is_node_space);
        if self.kind() != Some(Kind::Equals) {
            self.at = after_value;
            return Some(Entry { key: None, annotation, scalar: first, value_span, span: value_span });
        }
        let equals = self.here();
        self.at += 1;
        self.skip_while(Kind::is_node_space);
        let value_start = self.here();
        let value_annotation = self.annotation();
        if value_annotation.is_some() {
            self.skip_while(Kind::is_node_space);
        }
        if matches!(
            self.kind(),
            None | Some(Kind::Newline | Kind::LineComment | Kind::Semicolon | Kind::CloseBrace | Kind::OpenBrace)
        ) {
            self.wrong(value_span.to(equals), "this property has no value");
            return None;
        }
        let scalar = self.value()?;
        let end = self.before();
        if annotation.is_some() {
            self.wrong(value_span, "an annotation stands in front of a value, not of a key");
        }
        let key = match first {
            Scalar::Text(value) => Spanned { value, span: value_span },
            Scalar::Integer(_) | Scalar::Float | Scalar::Bool(_) | Scalar::Null | Scalar::Bad(_) => {
                self.wrong(value_span, "the key of a property is a word");
                return None;
            }
        };
        Some(Entry {
            key: Some(key),
            annotation: value_annotation,
            scalar,
            value_span: value_start.to(end),
            span: value_span.to(end),
        })
    }

    /// A value without its annotation; `None` when there is none, which is reported.
    fn value(&mut self) -> Option<Scalar> {
        let here = self.here();
        match self.kind() {
            Some(Kind::Word | Kind::Quoted(_) | Kind::Raw(_) | Kind::HashWord) => {
                self.at += 1;
                if self.unquoted_run(here) {
                    return Some(Scalar::Bad(self.slice(here).to_owned()));
                }
                Some(self.scalar(here))
            }
            Some(Kind::Stray) => {
                self.stray();
                None
            }
            Some(Kind::Equals) => {
                self.at += 1;
                self.wrong(here, "a `=` stands between the key and the value of a property");
                None
            }
            Some(Kind::OpenParen | Kind::CloseParen) => {
                self.at += 1;
                self.wrong(here, "parentheses hold the annotation of a value, for example `(uuid)\"…\"`");
                None
            }
            Some(_) | None => {
                self.wrong(here, "a value is missing here");
                None
            }
        }
    }

    /// The annotation `(name)`, when one begins here.
    fn annotation(&mut self) -> Option<Spanned<String>> {
        let start = self.here();
        if self.kind() != Some(Kind::OpenParen) {
            return None;
        }
        let before = self.at;
        self.at += 1;
        self.skip_while(Kind::is_node_space);
        let here = self.here();
        if matches!(self.kind(), Some(Kind::Word | Kind::Quoted(_) | Kind::Raw(_))) {
            self.at += 1;
            if let Scalar::Text(value) = self.scalar(here) {
                self.skip_while(Kind::is_node_space);
                if self.kind() == Some(Kind::CloseParen) {
                    let span = start.to(self.here());
                    self.at += 1;
                    return Some(Spanned { value, span });
                }
            }
        }
        self.at = before;
        None
    }

    /// What a word or string token stands for.
    fn scalar(&mut self, span: Span) -> Scalar {
        if self.disallowed && self.slice(span).contains(is_disallowed) {
            return Scalar::Bad(self.slice(span).to_owned());
        }
        // What cannot begin a node at the end of the text is passed over, so the position may lie behind it.
        let token = self.tokens.get(self.at.min(self.tokens.len()).saturating_sub(1)).copied();
        let decoded = match token.map(|token| token.kind) {
            Some(Kind::Quoted(form)) => string::decode_quoted(self.slice(span), form),
            Some(Kind::Raw(form)) => string::decode_raw(self.slice(span), form),
            Some(_) | None => return number::word(self, span),
        };
        match decoded {
            Ok(text) => Scalar::Text(text),
            Err(error) => {
                let offset = |at: usize| span.start.saturating_add(u32::try_from(at).unwrap_or(u32::MAX)).min(span.end);
                let mut place = Span::new(self.source, offset(error.start), offset(error.end));
                if self.slice(place).is_empty() {
                    place = span;
                }
                self.wrong(place, &error.reason);
                Scalar::Bad(self.slice(span).to_owned())
            }
        }
    }

    /// A word that is glued to characters which need quotes, such as `secrets/db`: one mistake with one fix.
    fn unquoted_run(&mut self, first: Span) -> bool {
        let before = self.tokens.get(self.at.saturating_sub(1)).map(|token| token.kind);
        if before != Some(Kind::Word) {
            return false;
        }
        if self.slice(first) == "r" && matches!(self.kind(), Some(Kind::Quoted(_) | Kind::Raw(_))) {
            let span = first.to(self.here());
            self.at += 1;
            let found = Diagnostic::new(Code::P0006, span, "this raw string is written as in KDL v1");
            self.report(found.help("in KDL v2 a raw string is written `#\"…\"#`"));
            return true;
        }
        let run = self.run(first);
        if run != first {
            self.needs_quotes(run);
        }
        run != first
    }

    /// Characters that mean nothing, with the word they are glued to.
    fn stray(&mut self) {
        let here = self.here();
        let run = self.run(here);
        self.needs_quotes(run);
    }

    fn run(&mut self, first: Span) -> Span {
        let mut run = first;
        while let Some(token) = self.peek()
            && matches!(token.kind, Kind::Stray | Kind::Word | Kind::HashWord | Kind::BlockComment(false))
        {
            run = run.to(self.span(token));
            self.at += 1;
        }
        run
    }

    fn needs_quotes(&mut self, run: Span) {
        let text = self.slice(run).to_owned();
        let quoted = super::quote(&text);
        let found = Diagnostic::new(Code::P0001, run, format!("`{text}` must stand in quotes"));
        self.report(found.help(format!("write `{quoted}`")).replace(
            "put it in quotes",
            run,
            quoted,
            Applicability::Maybe,
        ));
    }
}
