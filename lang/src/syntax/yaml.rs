//! YAML and its habits: `to:` and `- item`. The colon is legal in a KDL name, and indentation means nothing, so a
//! pasted block silently becomes a row of siblings. It is recognised, put together again and offered as a fix.

use super::{
    quote,
    schema::{DOCUMENT, Spec},
    tree::{Entry, Scalar, Tree, TreeNode},
    word_or_quote,
};
use crate::{
    diag::{Applicability, Code, Diagnostic},
    span::{SourceMap, Span, Spanned},
};

/// Reports YAML habits and mends the tree, so that what was meant is judged further.
pub(super) fn report(tree: &mut Tree, sources: &SourceMap) {
    if !contains_habit(&tree.nodes) {
        return;
    }
    let mut pass = Pass { sources, found: Vec::new(), rewritten: Vec::new() };
    let nodes = std::mem::take(&mut tree.nodes);
    tree.nodes = pass.siblings(nodes, Some(&DOCUMENT));
    // The rewritten block quotes its durations itself.
    tree.mistakes.retain(|mistake| {
        let inside = |span: Span| pass.rewritten.iter().any(|block| block.contains(span));
        mistake.code != Code::P0002 || !mistake.span().is_some_and(inside)
    });
    tree.mistakes.append(&mut pass.found);
}

fn contains_habit(nodes: &[TreeNode]) -> bool {
    nodes.iter().any(|node| is_habit(node) || node.children.as_deref().is_some_and(contains_habit))
}

fn is_habit(node: &TreeNode) -> bool {
    is_item(node) || (node.name.value.len() > 1 && node.name.value.ends_with(':'))
}

fn is_item(node: &TreeNode) -> bool {
    node.name.value == "-"
}

fn key(node: &TreeNode) -> &str {
    node.name.value.strip_suffix(':').unwrap_or(&node.name.value)
}

struct Pass<'a> {
    sources: &'a SourceMap,
    found: Vec<Diagnostic>,
    rewritten: Vec<Span>,
}

impl Pass<'_> {
    fn siblings(&mut self, nodes: Vec<TreeNode>, spec: Option<&'static Spec>) -> Vec<TreeNode> {
        let mut done: Vec<TreeNode> = Vec::with_capacity(nodes.len());
        let mut rest = nodes.into_iter().peekable();
        while let Some(mut node) = rest.next() {
            let inner = spec.and_then(|spec| spec.clause(key(&node)));
            if let Some(children) = node.children.take() {
                node.children = Some(self.siblings(children, inner));
            } else if let (Some(spec), Some(inner)) = (spec, inner)
                && !inner.clauses.is_empty()
            {
                let column = self.column(&node);
                let open = is_habit(&node) || ends_with_colon(&node);
                let mut block = Vec::new();
                while let Some(next) = rest.next_if(|next| {
                    let deeper = self.column(next) > column;
                    let begins = is_habit(next) || (open && deeper) || !block.is_empty();
                    let known = is_item(next) || inner.clause(key(next)).is_some();
                    begins && known && (deeper || is_item(next) || spec.clause(key(next)).is_none())
                }) {
                    block.push(next);
                }
                if !block.is_empty() {
                    done.push(self.put_together(node, block));
                    continue;
                }
            }
            self.one(node, &mut done);
        }
        done
    }

    fn column(&self, node: &TreeNode) -> u32 {
        self.sources.line_column(node.span).column
    }

    /// A habit that stands alone: an item, or a clause with a colon.
    fn one(&mut self, mut node: TreeNode, done: &mut Vec<TreeNode>) {
        let name = node.name.value.clone();
        if is_item(&node) {
            let found = Diagnostic::new(Code::P0007, node.head, "a list with `-` is YAML");
            self.found.push(found.help("values stand on the line of their clause: `to group:a group:b`"));
            if let Some(last) = done.last_mut()
                && last.children.is_none()
            {
                last.entries.append(&mut node.entries);
                last.span = last.span.to(node.span);
                last.broken = true;
            }
            return;
        }
        if is_habit(&node) {
            let word = key(&node).to_owned();
            let found = Diagnostic::new(Code::P0007, node.name.span, format!("`{name}` is YAML: a name has no colon"));
            self.found.push(found.replace("remove the colon", node.name.span, &word, Applicability::Machine));
            node.name.value = word;
        }
        done.push(node);
    }

    /// The node whose clauses were written below it instead of in its block.
    fn put_together(&mut self, mut head: TreeNode, block: Vec<TreeNode>) -> TreeNode {
        let first = block.first().map_or(head.name.span, |node| node.name.span);
        let whole = block.last().map_or(head.span, |last| head.span.to(last.span));
        let text = self.sources.snippet(whole);
        let comments = text.contains("//") || text.contains("/*");
        strip_colons(&mut head);
        let mut clauses: Vec<TreeNode> = Vec::new();
        for mut node in block {
            match clauses.last_mut() {
                Some(last) if is_item(&node) => {
                    last.entries.append(&mut node.entries);
                    last.span = last.span.to(node.span);
                }
                Some(_) | None => {
                    strip_colons(&mut node);
                    clauses.push(node);
                }
            }
        }
        let indent = " ".repeat((self.column(&head) as usize).saturating_sub(1));
        let mut fixed = format!("{} {{\n", self.line(&head));
        for clause in &clauses {
            fixed.extend([indent.as_str(), "    ", self.line(clause).as_str(), "\n"]);
        }
        fixed.push_str(&indent);
        fixed.push('}');
        let name = head.name.value.clone();
        // A comment inside would be lost, so somebody has to look.
        let applicability = if comments { Applicability::Maybe } else { Applicability::Machine };
        let message = format!("the clauses of `{name}` are written as in YAML");
        self.found.push(
            Diagnostic::new(Code::P0007, first, message)
                .label("indentation means nothing: this stands beside the node, not in it")
                .also(head.name.span, format!("the `{name}` it is meant for"))
                .help(format!("clauses stand in a block, without colons:\n{fixed}"))
                .replace("write it as a block", whole, fixed, applicability),
        );
        self.rewritten.push(whole);
        head.span = whole;
        head.children = Some(clauses);
        head
    }

    fn line(&self, node: &TreeNode) -> String {
        let mut line = word_or_quote(&node.name.value);
        for entry in &node.entries {
            line.push(' ');
            if let Some(key) = &entry.key {
                line.push_str(&word_or_quote(&key.value));
                line.push('=');
            }
            line.push_str(&self.value(entry));
        }
        line
    }

    fn value(&self, entry: &Entry) -> String {
        match &entry.scalar {
            Scalar::Bad(text) if !text.starts_with(['"', '#']) => quote(text),
            Scalar::Text(text) if entry.annotation.is_none() && !self.is_quoted(entry) => word_or_quote(text),
            Scalar::Text(_) | Scalar::Bad(_) | Scalar::Integer(_) | Scalar::Float | Scalar::Bool(_) | Scalar::Null => {
                self.sources.snippet(entry.value_span).to_owned()
            }
        }
    }

    fn is_quoted(&self, entry: &Entry) -> bool {
        self.sources.snippet(entry.value_span).starts_with(['"', '#'])
    }
}

fn ends_with_colon(node: &TreeNode) -> bool {
    matches!(node.entries.last(), Some(Entry { key: None, scalar: Scalar::Text(text), .. }) if text.ends_with(':'))
}

/// `grant prod-logs:` and `to: group:x` without the colons that are YAML's.
fn strip_colons(node: &mut TreeNode) {
    node.name = Spanned { value: key(node).to_owned(), span: node.name.span };
    if let Some(Entry { key: None, scalar: Scalar::Text(text), .. }) = node.entries.last_mut()
        && let Some(stripped) = text.strip_suffix(':')
    {
        *text = stripped.to_owned();
    }
}
