//! What may stand at the cursor: clauses, properties and values from the schema's table, and the names that the policy
//! defines. The text in front of the cursor is enough, so it answers where the file is broken, as it is while typing.

use lang::{
    model::Policy,
    protocol::{ConnectionKind, Operation},
    syntax::{
        ast::{Document, Referent},
        keyword::Keyword,
        schema::{CREDENTIALS, DOCUMENT, Domain, Labels, Spec},
    },
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Kinds of items as the protocol numbers them.
const KEYWORD: u8 = 14;
const PROPERTY: u8 = 10;
const VALUE: u8 = 12;
const REFERENCE: u8 = 18;

/// One proposal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    pub(super) label: String,
    pub(super) insert: String,
    pub(super) kind: u8,
    pub(super) detail: String,
}

impl Item {
    fn new(label: impl Into<String>, kind: u8, detail: impl Into<String>) -> Self {
        let label = label.into();
        Self { insert: label.clone(), label, kind, detail: detail.into() }
    }
}

/// Where the cursor stands: the nodes around it, and the words of its own node.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cursor {
    around: Vec<String>,
    words: Vec<String>,
    /// The word at the cursor; empty between words.
    current: String,
}

/// The proposals behind a text.
pub(super) fn items(before: &str, documents: &[Arc<Document>], policy: Option<&Policy>) -> Vec<Item> {
    let cursor = cursor(before);
    let mut spec: &Spec = &DOCUMENT;
    for word in &cursor.around {
        let Some(inner) = spec.clause(word) else { return Vec::new() };
        spec = inner;
    }
    let names = Names { documents, policy };
    let Some(first) = cursor.words.first() else {
        return spec
            .clauses
            .iter()
            .filter(|clause| clause.keyword != Keyword::Key)
            .map(|clause| Item::new(clause.keyword.word(), KEYWORD, clause.doc))
            .collect();
    };
    let Some(inner) = spec.clause(first) else { return Vec::new() };
    if let Some((key, _)) = cursor.current.split_once('=') {
        return inner.prop(key).map_or_else(|| names.label_values(key), |prop| names.of(prop.domain));
    }
    let given = cursor.words.iter().skip(1).filter(|word| !word.contains('=')).count();
    let domain = inner.args.get(given).or_else(|| inner.args.last()).map(|arg| arg.domain);
    let mut items: Vec<Item> = domain.map_or_else(Vec::new, |domain| names.of(domain));
    items.extend(inner.props.iter().map(|prop| {
        let mut item = Item::new(prop.key, PROPERTY, prop.domain.describe());
        item.insert = format!("{}=", prop.key);
        item
    }));
    if inner.labels != Labels::Refused {
        items.extend(names.label_keys());
    }
    items
}

/// Reads the text in front of the cursor just well enough: blocks, ends of nodes, strings and comments.
fn cursor(before: &str) -> Cursor {
    let mut cursor = Cursor::default();
    let mut chars = before.chars().peekable();
    let mut word = String::new();
    let end_word = |word: &mut String, cursor: &mut Cursor| {
        if !word.is_empty() {
            cursor.words.push(std::mem::take(word));
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                word.push(c);
                while let Some(inner) = chars.next() {
                    word.push(inner);
                    match inner {
                        '\\' => word.extend(chars.next()),
                        '"' | '\n' => break,
                        _ => {}
                    }
                }
            }
            '/' if chars.peek() == Some(&'/') => {
                while chars.peek().is_some_and(|next| *next != '\n') {
                    chars.next();
                }
            }
            '{' => {
                end_word(&mut word, &mut cursor);
                cursor.around.push(cursor.words.first().cloned().unwrap_or_default());
                cursor.words.clear();
            }
            '}' => {
                word.clear();
                cursor.words.clear();
                cursor.around.pop();
            }
            '\n' | ';' => {
                word.clear();
                cursor.words.clear();
            }
            c if c.is_whitespace() => end_word(&mut word, &mut cursor),
            c => word.push(c),
        }
    }
    cursor.current = word;
    cursor
}

/// The names that there are.
struct Names<'a> {
    documents: &'a [Arc<Document>],
    policy: Option<&'a Policy>,
}

impl Names<'_> {
    fn of(&self, domain: Domain) -> Vec<Item> {
        match domain {
            Domain::Group => self.defined(&[Keyword::Group], "group:"),
            Domain::Principal => {
                let mut items = self.defined(&[Keyword::Group], "group:");
                items.push(Item::new("all-of", KEYWORD, "only who holds all of the groups"));
                items
            }
            Domain::Team => self.defined(&[Keyword::Team], "team:"),
            Domain::Reference(referent) => self.defined(keywords(referent), ""),
            Domain::Operation => operations(),
            Domain::Class => self.classes(),
            Domain::Words(_) | Domain::Aliased(..) => {
                domain.words().into_iter().map(|word| Item::new(word, VALUE, "")).collect()
            }
            Domain::Credential => CREDENTIALS
                .iter()
                .map(|source| Item::new(format!("({source})\"\""), VALUE, "where the credential is kept"))
                .collect(),
            Domain::Duration => {
                ["15m", "30m", "1h", "8h"].map(|text| Item::new(format!("\"{text}\""), VALUE, "")).to_vec()
            }
            Domain::Hours => vec![Item::new("\"Mon-Fri 07:00-20:00\"", VALUE, "weekly hours")],
            Domain::Code => {
                lang::diag::Code::ALL.iter().map(|code| Item::new(code.id(), VALUE, code.summary())).collect()
            }
            Domain::Id
            | Domain::Label
            | Domain::Pattern
            | Domain::Pointer
            | Domain::Text
            | Domain::Url
            | Domain::Zone
            | Domain::Regex
            | Domain::Uuid(_)
            | Domain::Integer(..)
            | Domain::Day
            | Domain::Instant => Vec::new(),
        }
    }

    fn defined(&self, keywords: &[Keyword], prefix: &str) -> Vec<Item> {
        let nodes = self.documents.iter().flat_map(|document| &document.nodes);
        let names: BTreeSet<&str> = nodes
            .filter(|node| keywords.contains(&node.keyword))
            .filter_map(|node| node.prop("id").filter(|_| node.keyword == Keyword::Grant).or_else(|| node.arg()))
            .filter_map(lang::syntax::ast::Value::as_str)
            .collect();
        names.into_iter().map(|name| Item::new(format!("{prefix}{name}"), REFERENCE, "")).collect()
    }

    fn classes(&self) -> Vec<Item> {
        let items = self.policy.into_iter().flat_map(|policy| &policy.classify).flat_map(|classify| &classify.items);
        let classes: BTreeSet<&str> = items.map(|item| item.class.value.as_str()).collect();
        classes.into_iter().map(|class| Item::new(class, VALUE, "data class")).collect()
    }

    fn label_keys(&self) -> Vec<Item> {
        let labels = self.policy.into_iter().flat_map(|policy| &policy.labels);
        labels
            .map(|label| {
                let mut item = Item::new(label.key.value.clone(), PROPERTY, "label");
                item.insert = format!("{}=", label.key.value);
                item
            })
            .collect()
    }

    fn label_values(&self, key: &str) -> Vec<Item> {
        let labels = self.policy.into_iter().flat_map(|policy| &policy.labels);
        let values = labels.filter(|label| label.key.value == key).flat_map(|label| &label.values);
        values.map(|value| Item::new(value.value.clone(), VALUE, "")).collect()
    }
}

const fn keywords(referent: Referent) -> &'static [Keyword] {
    match referent {
        Referent::Idp => &[Keyword::Idp],
        Referent::Connection => &[Keyword::Connection],
        Referent::Approval => &[Keyword::Approval],
        Referent::Grant => &[Keyword::Grant, Keyword::BreakGlass],
        Referent::Rule => &[
            Keyword::Grant,
            Keyword::BreakGlass,
            Keyword::Limits,
            Keyword::Mask,
            Keyword::Guard,
            Keyword::Forbid,
            Keyword::Approval,
        ],
    }
}

fn operations() -> Vec<Item> {
    let families: BTreeSet<&str> = ConnectionKind::ALL.into_iter().flat_map(ConnectionKind::families).collect();
    let leaves = Operation::ALL.iter().filter(|op| !op.is_audit_only());
    families
        .into_iter()
        .map(|family| Item::new(family, VALUE, "family of operations"))
        .chain(leaves.map(|op| Item::new(op.word(), VALUE, op.describe())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(before: &str) -> Vec<String> {
        items(before, &[], None).into_iter().map(|item| item.label).collect()
    }

    #[test]
    fn proposals_follow_the_schema() {
        assert!(labels("gr").contains(&"grant".to_owned()));
        let clauses = labels("grant a {\n    to group:b\n    ");
        assert!(clauses.contains(&"lifetime".to_owned()) && !clauses.contains(&"issuer".to_owned()));
        assert_eq!(labels("grant a {\n    when "), ["requested", "standing"]);
        assert!(labels("grant a { permit ").contains(&"ddl.alter".to_owned()));
        assert_eq!(labels("group x kind="), ["human", "service", "agent"]);
        assert!(labels("limits x {\n  // to {\n  lifetime ").contains(&"agent".to_owned()));
        assert!(labels("grant a { to x; }\nnonsense { ").is_empty());
    }
}
