//! A tree against the schema: what remains is a typed document in which everything is known.
//! Each mistake is reported once; what follows from it stays silent.

use super::{
    ast::{Document, Node, Prop, Value},
    schema::{self, ArgSpec, Count, DOCUMENT, Domain, Labels, PropSpec, Spec},
    tree::{Entry, Removed, RemovedKind, Tree, TreeNode},
    value,
};
use crate::{
    diag::{Applicability, Code, Diagnostic, Sink},
    ident::nearest,
    span::{SourceId, Span},
};

/// The typed document of a tree.
pub(super) fn document(source: SourceId, tree: Tree, sink: &mut Sink) -> Document {
    let broken = tree.mistakes.iter().any(|found| found.code != Code::P0002);
    for mistake in tree.mistakes {
        sink.push(mistake);
    }
    for removed in &tree.removed {
        report_removed(removed, sink);
    }
    let block = clauses(&DOCUMENT, None, &tree.nodes, sink);
    for node in &block.nodes {
        schema::check_node(node, sink);
    }
    Document { source, nodes: block.nodes, broken: broken || block.broken }
}

fn report_removed(removed: &Removed, sink: &mut Sink) {
    let what = match &removed.what {
        RemovedKind::Node(name) if name == "kdl-version" && removed.depth == 0 => return,
        RemovedKind::Node(name) => format!("the node `{name}`"),
        RemovedKind::Entry => "a value".to_owned(),
        RemovedKind::Block => "a block".to_owned(),
    };
    let found = Diagnostic::new(Code::P1005, removed.span, format!("`/-` removes {what} from the policy"));
    sink.push(found.help("delete it; the repository remembers it"));
}

/// What was read of a block.
struct Block {
    nodes: Vec<Node>,
    broken: bool,
    /// The words that misspelt clauses may have meant: they are not missed.
    meant: Vec<&'static str>,
}

/// The nodes of a block that `spec` describes; `parent` is `None` for the document.
fn clauses(spec: &'static Spec, parent: Option<&TreeNode>, trees: &[TreeNode], sink: &mut Sink) -> Block {
    let mut block = Block { nodes: Vec::with_capacity(trees.len()), broken: false, meant: Vec::new() };
    for tree in trees {
        if sink.is_full() {
            block.broken = true;
            break;
        }
        let Some(clause) = spec.clause(&tree.name.value) else {
            if parent.is_some_and(|parent| parent.broken) && DOCUMENT.clause(&tree.name.value).is_some() {
                // A missing `}` makes clauses of what are nodes; the brace is reported.
                block.broken = true;
                continue;
            }
            let near = nearest(&tree.name.value, spec.clause_words());
            block.meant.extend(near);
            block.broken = true;
            sink.push(unknown(tree, parent, near));
            continue;
        };
        let first = block.nodes.iter().find(|node| !clause.repeatable && node.word.value == tree.name.value);
        if let Some(first) = first {
            let message = format!("`{}` stands twice", tree.name.value);
            sink.push(
                Diagnostic::new(Code::P0005, tree.name.span, message)
                    .label("a second time here")
                    .also(first.word.span, "first here")
                    .help("one of them would be ignored; keep the one that is meant"),
            );
            block.broken = true;
            continue;
        }
        let node = node(clause, tree, sink);
        block.broken |= node.broken;
        block.nodes.push(node);
    }
    block
}

fn unknown(tree: &TreeNode, parent: Option<&TreeNode>, near: Option<&'static str>) -> Diagnostic {
    let name = &tree.name.value;
    let message = match parent {
        Some(parent) => format!("`{}` has no clause `{name}`", parent.name.value),
        None => format!("unknown node `{name}`"),
    };
    let found = Diagnostic::new(Code::P0003, tree.name.span, message);
    if let Some(near) = near {
        return found.help(format!("did you mean `{near}`?")).replace(
            format!("write `{near}`"),
            tree.name.span,
            near,
            Applicability::Maybe,
        );
    }
    let homes: Vec<&str> = DOCUMENT
        .clauses
        .iter()
        .filter(|node| node.clause_words().any(|word| word == name))
        .map(|node| node.keyword.word())
        .collect();
    if homes.is_empty() || parent.is_some_and(|parent| homes.contains(&parent.name.value.as_str())) {
        found
    } else {
        found.help(format!("`{name}` stands in the block of {}", schema::words_list(&homes)))
    }
}

fn node(spec: &'static Spec, tree: &TreeNode, sink: &mut Sink) -> Node {
    let mut broken = tree.broken;
    if let Some(annotation) = &tree.annotation {
        let message = format!("`{}` takes no annotation", tree.name.value);
        sink.push(Diagnostic::new(Code::P0004, annotation.span, message));
        broken = true;
    }
    let mut node = Node {
        keyword: spec.keyword,
        word: tree.name.clone(),
        span: tree.span,
        head: tree.head,
        args: Vec::new(),
        props: Vec::new(),
        clauses: Vec::new(),
        broken,
    };
    properties(spec, tree, &mut node, sink);
    arguments(spec, tree, &mut node, sink);
    names_or_properties(spec, tree, &mut node, sink);
    children(spec, tree, &mut node, sink);
    node
}

fn properties(spec: &'static Spec, tree: &TreeNode, node: &mut Node, sink: &mut Sink) {
    let mut meant = Vec::new();
    for entry in &tree.entries {
        let Some(key) = &entry.key else { continue };
        if let Some(first) = node.props.iter().find(|prop| prop.key.value == key.value) {
            let message = format!("the property `{}` stands twice", key.value);
            sink.push(
                Diagnostic::new(Code::P0005, key.span, message)
                    .label("a second time here")
                    .also(first.key.span, "first here")
                    .help("one of them would be ignored; keep the one that is meant"),
            );
            node.broken = true;
            continue;
        }
        let domain = match spec.prop(&key.value) {
            Some(prop) => prop.domain,
            None if spec.labels != Labels::Refused && is_label_key(&key.value) => Domain::Label,
            None => {
                let near = nearest(&key.value, spec.props.iter().map(|prop| prop.key));
                meant.extend(near);
                node.broken = true;
                sink.push(unknown_property(spec, tree, entry, &key.value, near));
                continue;
            }
        };
        let value = value::read(entry, domain, &key.value, sink);
        node.broken |= value.is_invalid();
        node.props.push(Prop { key: key.clone(), value, span: entry.span });
    }
    for prop in spec.props.iter().filter(|prop| prop.required) {
        if node.prop(prop.key).is_none() && !tree.broken && !meant.contains(&prop.key) {
            missing_property(prop, tree, sink);
            node.broken = true;
        }
    }
}

fn is_label_key(key: &str) -> bool {
    crate::ident::is_ident(key)
}

fn missing_property(prop: &PropSpec, tree: &TreeNode, sink: &mut Sink) {
    let message = format!("`{}` lacks `{}=`", tree.name.value, prop.key);
    let help = format!("`{}=` takes {}", prop.key, prop.domain.describe());
    sink.push(Diagnostic::new(Code::P0009, tree.head, message).help(help));
}

fn unknown_property(spec: &Spec, tree: &TreeNode, entry: &Entry, key: &str, near: Option<&'static str>) -> Diagnostic {
    let found = Diagnostic::new(Code::P0004, entry.span, format!("`{}` has no property `{key}`", tree.name.value));
    if let Some(near) = near {
        let span = entry.key.as_ref().map_or(entry.span, |key| key.span);
        return found.help(format!("did you mean `{near}=`?")).replace(
            format!("write `{near}`"),
            span,
            near,
            Applicability::Maybe,
        );
    }
    if spec.clauses.iter().any(|clause| clause.keyword.word() == key) {
        return found.help(format!("`{key}` is a clause: it stands in the block, without `=`"));
    }
    let known: Vec<&str> = spec.props.iter().map(|prop| prop.key).collect();
    if known.is_empty() { found } else { found.help(format!("its properties are {}", schema::words_list(&known))) }
}

fn arguments(spec: &'static Spec, tree: &TreeNode, node: &mut Node, sink: &mut Sink) {
    let entries: Vec<&Entry> = tree.entries.iter().filter(|entry| entry.key.is_none()).collect();
    let mut rest = entries.as_slice();
    for arg in spec.args {
        let taken = match arg.count {
            Count::One | Count::Optional => 1,
            Count::Some | Count::Any => rest.len(),
        };
        let (mine, others) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
        rest = others;
        let needed = matches!(arg.count, Count::One | Count::Some);
        if mine.is_empty() && needed && !tree.broken {
            missing_argument(arg, tree, sink);
            node.broken = true;
        }
        for (i, entry) in mine.iter().enumerate() {
            // `all-of` is a word only in front of the groups.
            let domain = if arg.domain == Domain::Principal && i > 0 { Domain::Group } else { arg.domain };
            let value: Value = value::read(entry, domain, &tree.name.value, sink);
            node.broken |= value.is_invalid();
            node.args.push(value);
        }
    }
    if let [first, ..] = rest {
        let last = rest.last().map_or(first.span, |entry| entry.span);
        sink.push(too_many(spec, tree, first.span.to(last)));
        node.broken = true;
    }
}

fn missing_argument(arg: &ArgSpec, tree: &TreeNode, sink: &mut Sink) {
    let message = format!("`{}` lacks its {}", tree.name.value, arg.name);
    let help = format!("`{}` takes {}", tree.name.value, arg.domain.describe());
    sink.push(Diagnostic::new(Code::P0009, tree.head, message).help(help));
}

fn too_many(spec: &Spec, tree: &TreeNode, span: Span) -> Diagnostic {
    let name = &tree.name.value;
    let message = match spec.args {
        [] => format!("`{name}` takes no argument"),
        [_] => format!("`{name}` takes one argument"),
        args => format!("`{name}` takes {} arguments at most", args.len()),
    };
    let found = Diagnostic::new(Code::P0004, span, message);
    if spec.args.is_empty() && !spec.props.is_empty() {
        let known: Vec<&str> = spec.props.iter().map(|prop| prop.key).collect();
        return found.help(format!("it takes properties: {}", schema::words_list(&known)));
    }
    found
}

/// Lines that are names or properties, and lines that would say nothing.
fn names_or_properties(spec: &'static Spec, tree: &TreeNode, node: &mut Node, sink: &mut Sink) {
    let name = &tree.name.value;
    if spec.labels == Labels::InsteadOfArguments && !node.args.is_empty() && !node.props.is_empty() {
        let message = format!("a line of `{name}` is names or properties, never both");
        let found = Diagnostic::new(Code::P0004, tree.head, message);
        sink.push(found.help(format!("write two lines of `{name}`: lines are alternatives")));
        node.broken = true;
    }
    let optional = |arg: &ArgSpec| matches!(arg.count, Count::Optional | Count::Any);
    let has_something = !spec.args.is_empty() || !spec.props.is_empty() || spec.labels != Labels::Refused;
    let all_optional = spec.args.iter().all(optional) && spec.props.iter().all(|prop| !prop.required);
    if has_something && all_optional && tree.entries.is_empty() && !tree.broken {
        let keys: Vec<&str> = spec.props.iter().map(|prop| prop.key).collect();
        let found = Diagnostic::new(Code::P0009, tree.head, format!("`{name}` says nothing"));
        sink.push(match spec.args.first() {
            Some(arg) => found.help(format!("`{name}` takes {}", arg.domain.describe())),
            None if keys.is_empty() => found.help(format!("`{name}` takes labels, for example `env=prod`")),
            None => found.help(format!("`{name}` takes {}", schema::words_list(&keys))),
        });
        node.broken = true;
    }
}

fn children(spec: &'static Spec, tree: &TreeNode, node: &mut Node, sink: &mut Sink) {
    let trees = tree.children.as_deref();
    if spec.clauses.is_empty() {
        if let Some([first, ..]) = trees {
            let message = format!("`{}` has no block", tree.name.value);
            sink.push(Diagnostic::new(Code::P0004, first.span, message));
            node.broken = true;
        }
        return;
    }
    let block = clauses(spec, Some(tree), trees.unwrap_or(&[]), sink);
    node.broken |= block.broken;
    node.clauses = block.nodes;
    for clause in spec.clauses.iter().filter(|clause| clause.required) {
        if !node.has(clause.keyword) && !tree.broken && !block.meant.contains(&clause.keyword.word()) {
            missing_clause(clause, tree, sink);
            node.broken = true;
        }
    }
}

fn missing_clause(clause: &Spec, tree: &TreeNode, sink: &mut Sink) {
    let message = format!("`{}` lacks the clause `{}`", tree.name.value, clause.keyword);
    sink.push(Diagnostic::new(Code::P0009, tree.head, message).help(format!("`{}`: {}", clause.keyword, clause.doc)));
}
