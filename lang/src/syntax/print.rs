//! The formatter: one canonical layout that keeps every word, comment and string as it was written.
//!
//! It works on tokens, so nothing can get lost, and it never changes a meaning: the output is read again, and when
//! it is not the same tree, or has lost a comment, nothing is written. What is not KDL is not formatted.

use super::{
    token::{Kind, Token, is_newline, tokenize},
    tree::{self, Tree, TreeNode},
};
use crate::span::SourceId;

const MARKER: &str = "/- kdl-version 2";
const INDENT: usize = 4;
/// The longest block that may stay on one line.
const INLINE_BYTES_MAX: u32 = 160;

/// Why a text is not formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The text has mistakes, which `parse` reports.
    #[error("the file is not formatted because it has syntax errors")]
    Broken,
    /// The output would not mean the same. This is a defect of the formatter.
    #[error("the file is not formatted because its meaning would change; please report this")]
    Unfaithful,
}

/// The canonical layout of a text.
///
/// # Errors
/// When the text is not KDL v2, or cannot be laid out without a change of meaning.
pub fn format(source: SourceId, text: &str) -> Result<String, FormatError> {
    let before = tree::read(source, text);
    if !before.mistakes.is_empty() {
        return Err(FormatError::Broken);
    }
    let mut printer = Printer::new(text);
    printer.run();
    let out = printer.finish(&before);
    // What did not change means what it meant.
    if out == text {
        return Ok(out);
    }
    let after = tree::read(source, &out);
    let faithful = after.mistakes.is_empty()
        && same_nodes(&before.nodes, &after.nodes)
        && same_removed(&before, &after)
        && comments(text) == comments(&out);
    if faithful { Ok(out) } else { Err(FormatError::Unfaithful) }
}

/// Whether a text without mistakes is laid out canonically, whether or not it bears the mark of the version. That takes
/// no look at what it means, since nothing would change.
pub fn is_laid_out(text: &str) -> bool {
    let mut printer = Printer::new(text);
    printer.run();
    printer.printed() == text
}

fn same_nodes(a: &[TreeNode], b: &[TreeNode]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_node(a, b))
}

fn same_node(a: &TreeNode, b: &TreeNode) -> bool {
    let text = |spanned: &Option<crate::span::Spanned<String>>| spanned.as_ref().map(|s| s.value.clone());
    let children = match (&a.children, &b.children) {
        (Some(a), Some(b)) => same_nodes(a, b),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    children
        && a.name.value == b.name.value
        && text(&a.annotation) == text(&b.annotation)
        && a.entries.len() == b.entries.len()
        && a.entries.iter().zip(&b.entries).all(|(a, b)| {
            text(&a.key) == text(&b.key) && text(&a.annotation) == text(&b.annotation) && a.scalar == b.scalar
        })
}

/// What is slashdashed stays so; the marker, which the formatter writes itself, does not count.
fn same_removed(a: &Tree, b: &Tree) -> bool {
    let kinds = |tree: &Tree| {
        let marker = tree::RemovedKind::Node("kdl-version".to_owned());
        tree.removed
            .iter()
            .map(|removed| (removed.depth, removed.what.clone()))
            .filter(|(_, what)| *what != marker)
            .collect::<Vec<_>>()
    };
    kinds(a) == kinds(b)
}

/// The comments of a text, without the spaces at their ends.
fn comments(text: &str) -> Vec<&str> {
    let comment = |token: &Token| {
        let written = slice(text, *token);
        if matches!(token.kind, Kind::LineComment | Kind::BlockComment(_)) {
            written.trim_end()
        } else if token.kind == Kind::Continuation {
            written.trim_start_matches('\\').trim()
        } else {
            ""
        }
    };
    tokenize(text).iter().map(comment).filter(|comment| !comment.is_empty()).collect()
}

fn slice(text: &str, token: Token) -> &str {
    text.get(token.start as usize..token.end as usize).unwrap_or("")
}

/// Where on a line the printer is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The line has ended.
    LineStart,
    /// The line ends here, unless a comment follows on it.
    LineEnd,
    /// After something on the line.
    Within,
    /// After something that takes no space behind it: `(`, `)`, `=`, `/-` of a value.
    Glued,
}

struct Printer<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    out: String,
    place: Place,
    /// The last token that was written.
    last: Option<Kind>,
    /// How many ends of lines came since then.
    newlines: usize,
    /// For each open block, whether it stands on one line.
    blocks: Vec<bool>,
    /// Whether the next word begins a node.
    node_start: bool,
    /// The spaces in front of the current token, as written.
    spaces: &'a str,
    /// Whether the node goes on after a `\`.
    continued: bool,
}

impl<'a> Printer<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            tokens: tokenize(text),
            out: String::with_capacity(text.len()),
            place: Place::LineStart,
            last: None,
            newlines: 0,
            blocks: Vec::new(),
            node_start: true,
            spaces: "",
            continued: false,
        }
    }

    fn run(&mut self) {
        for index in 0..self.tokens.len() {
            let Some(token) = self.tokens.get(index).copied() else { return };
            let text = slice(self.text, token);
            match token.kind {
                Kind::Space => {
                    self.spaces = text;
                    continue;
                }
                Kind::Newline => {
                    self.newline();
                    continue;
                }
                Kind::LineComment => self.comment(text.trim_end(), true),
                Kind::BlockComment(_) => self.comment(text, false),
                Kind::Continuation => self.continuation(text),
                Kind::SlashDash => self.slashdash(index),
                Kind::Semicolon => self.semicolon(index),
                Kind::OpenBrace => self.open(index),
                Kind::CloseBrace => self.close(),
                Kind::OpenParen => self.glued("(", self.place != Place::Glued),
                Kind::CloseParen => self.glued(")", false),
                Kind::Equals => self.glued("=", false),
                Kind::Word | Kind::HashWord | Kind::Quoted(_) | Kind::Raw(_) | Kind::Stray => self.word(text),
            }
            self.last = Some(token.kind);
            self.newlines = usize::from(token.kind == Kind::Continuation);
            self.spaces = "";
        }
    }

    /// Begins a line, and keeps at most one empty line in front of it, but none at the edges of a block.
    fn begin_line(&mut self, after_empty: bool) {
        if self.last.is_some() {
            self.out.push('\n');
            if after_empty && self.newlines > 1 && self.last != Some(Kind::OpenBrace) {
                self.out.push('\n');
            }
        }
        let depth = self.blocks.len() + usize::from(self.continued);
        self.out.extend(std::iter::repeat_n(' ', depth * INDENT));
        self.place = Place::Within;
    }

    fn word(&mut self, text: &str) {
        match self.place {
            Place::LineStart | Place::LineEnd => self.begin_line(true),
            Place::Within => self.out.push(' '),
            Place::Glued => {}
        }
        self.out.push_str(text);
        self.place = Place::Within;
        self.node_start = false;
    }

    fn glued(&mut self, text: &str, spaced: bool) {
        if spaced {
            self.word(text);
        } else {
            // Behind a continued line it begins the next one.
            if self.place == Place::LineStart {
                self.begin_line(false);
            }
            self.out.push_str(text);
        }
        self.node_start = false;
        self.place = Place::Glued;
    }

    fn newline(&mut self) {
        self.newlines += 1;
        self.spaces = "";
        // Ends of lines between `/-` and what it removes mean nothing.
        if self.last != Some(Kind::SlashDash) {
            self.place = Place::LineStart;
            self.node_start = true;
            self.continued = false;
        }
    }

    fn comment(&mut self, text: &str, line: bool) {
        match self.place {
            Place::LineStart => self.begin_line(true),
            Place::LineEnd if !line => self.begin_line(true),
            Place::LineEnd | Place::Within | Place::Glued if line => {
                // The author's alignment of comments behind values is kept.
                let aligned = !self.spaces.is_empty() && self.spaces.bytes().all(|byte| byte == b' ');
                self.out.push_str(if aligned { self.spaces } else { " " });
            }
            Place::LineEnd | Place::Within | Place::Glued => self.out.push(' '),
        }
        self.out.push_str(text);
        self.place = Place::Within;
    }

    fn continuation(&mut self, text: &str) {
        let comment = text.trim_start_matches('\\').trim();
        self.word("\\");
        if !comment.is_empty() {
            self.out.push(' ');
            self.out.push_str(comment);
        }
        self.place = Place::LineStart;
        self.continued = true;
    }

    fn slashdash(&mut self, index: usize) {
        let begins_node = self.node_start;
        self.word("/-");
        self.node_start = begins_node;
        let block = self.next_word(index).is_some_and(|token| token.kind == Kind::OpenBrace);
        if !begins_node && !block {
            self.place = Place::Glued;
        }
    }

    /// The next token that is neither space nor comment.
    fn next_word(&self, index: usize) -> Option<Token> {
        self.tokens.iter().skip(index + 1).find(|token| !token.kind.is_line_space()).copied()
    }

    fn semicolon(&mut self, index: usize) {
        if self.blocks.last() == Some(&true) {
            let closes = self.next_word(index).is_some_and(|next| next.kind == Kind::CloseBrace);
            if self.last != Some(Kind::CloseBrace) || !closes {
                self.out.push(';');
            }
            self.place = Place::Within;
        } else {
            // Outside a block of one line, the end of the line ends the node.
            self.place = Place::LineEnd;
        }
        self.node_start = true;
        self.continued = false;
    }

    fn open(&mut self, index: usize) {
        let inline = self.is_inline(index);
        self.word("{");
        self.blocks.push(inline);
        self.place = if inline { Place::Within } else { Place::LineEnd };
        self.node_start = true;
        self.continued = false;
    }

    /// Whether the block that begins here stands on one line and may stay there.
    fn is_inline(&self, index: usize) -> bool {
        if self.blocks.last() == Some(&true) {
            return true;
        }
        let mut depth = 0_usize;
        let mut end = 0;
        let mut words = 0;
        for token in self.tokens.get(index..).unwrap_or(&[]) {
            if token.kind == Kind::OpenBrace {
                depth += 1;
            } else if token.kind == Kind::CloseBrace {
                depth = depth.saturating_sub(1);
            }
            if matches!(token.kind, Kind::Newline | Kind::LineComment | Kind::Continuation)
                || slice(self.text, *token).contains(is_newline)
            {
                return false;
            }
            words += usize::from(token.kind == Kind::Word);
            end = token.end;
            if depth == 0 {
                break;
            }
        }
        let open = self.tokens.get(index).map_or(0, |token| token.start);
        words > 0 && end.saturating_sub(open) <= INLINE_BYTES_MAX
    }

    fn close(&mut self) {
        self.continued = false;
        if self.blocks.pop().unwrap_or(false) {
            let ended = matches!(self.last, Some(Kind::Semicolon | Kind::OpenBrace | Kind::CloseBrace));
            self.out.push_str(if ended { " }" } else { "; }" });
        } else if self.last == Some(Kind::OpenBrace) {
            self.out.push('}');
        } else {
            self.begin_line(false);
            self.out.push('}');
        }
        self.place = Place::Within;
        self.node_start = false;
    }

    fn finish(self, before: &Tree) -> String {
        let marker = tree::RemovedKind::Node("kdl-version".to_owned());
        let is_marked = before.removed.iter().any(|removed| removed.depth == 0 && removed.what == marker);
        let printed = self.printed();
        if is_marked { printed } else { format!("{MARKER}\n{printed}") }
    }

    /// The text, without a mark of the version that it did not have.
    fn printed(mut self) -> String {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::SourceMap;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let id = SourceMap::new().add("a.kdl", "");
        let out = format(id, text).unwrap();
        assert_eq!(out, format!("{MARKER}\n{expected}"), "{text}");
        assert_eq!(format(id, &out).unwrap(), out, "again");
        assert!(is_laid_out(&out) && is_laid_out(expected));
        assert_eq!(is_laid_out(text), text == out || text == expected);
    }

    #[test]
    fn layout_is_canonical() {
        check("", "");
        check("a   b  k = 1;c", "a b k=1\nc\n");
        check("\n\n\na {\n\n  b;\n\n\n  c\n\n}\n\n\nd\n\n", "a {\n    b\n\n    c\n}\n\nd\n");
        check("a{b;c}", "a { b; c; }\n");
        check("a { b { c; }; d }", "a { b { c; }; d; }\n");
        check("a { b { c; }; }", "a { b { c; } }\n");
        check("a {}", "a {}\n");
        check("a { b\n c }", "a {\n    b\n    c\n}\n");
        check("a ( uuid ) \"x\" k=(t) \"y\"", "a (uuid)\"x\" k=(t)\"y\"\n");
        check("a { /- kdl-version 3\n}", "a {\n    /- kdl-version 3\n}\n");
    }

    #[test]
    fn comments_and_removed_things_stay() {
        check("a {    // why\n b // c\n // d\n}\n// e", "a {    // why\n    b // c\n    // d\n}\n// e\n");
        check("a b    // aligned  \n", "a b    // aligned\n");
        check("a; // c\nb", "a // c\nb\n");
        check("a \"b\"// at once", "a \"b\" // at once\n");
        check("a b \t// by a tab", "a b // by a tab\n");
        check("/-a b /- c\n", "/- a b /-c\n");
        check("/-\na { b; }\nc /- { d; }", "/- a { b; }\nc /- { d; }\n");
        check("/* x */ a /* y */ b", "/* x */ a /* y */ b\n");
        check("a { // {\n}", "a { // {\n}\n");
        check("// c {\n\na { b }", "// c {\n\na { b; }\n");
    }

    #[test]
    fn continued_lines_and_strings_stay() {
        check("a \\ // c\n  b\nc", "a \\ // c\n    b\nc\n");
        check("a k\\\n=v", "a k \\\n    =v\n");
        check("a {\nb \"\"\"\n  x\n  y\n  \"\"\"\n}", "a {\n    b \"\"\"\n  x\n  y\n  \"\"\"\n}\n");
        check("\u{FEFF}a\r\nb", "a\nb\n");
    }

    #[test]
    fn what_is_broken_is_not_formatted() {
        let id = SourceMap::new().add("a.kdl", "");
        assert_eq!(format(id, "a {"), Err(FormatError::Broken));
        assert_eq!(format(id, "a 15m"), Err(FormatError::Broken));
    }
}
