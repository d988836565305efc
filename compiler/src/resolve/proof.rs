//! Resolves tests and assertions.

use super::{
    Resolver,
    access::recorded,
    lines::{self, kinds},
    patterns::Form,
    read,
};
use lang::{
    diag::{Code, Diagnostic},
    model::{Assert, Claim, ConnectionId, Expect, Policy, Test},
    program::{
        Object, SubjectKind,
        rules::{Expected, Mode},
    },
    protocol::ConnectionKind,
    span::Spanned,
    syntax::{
        ast::{Node, Value},
        keyword::Keyword,
    },
};
use std::collections::BTreeSet;

/// What `expect mask=` may say: the form of a mask, or that there is none.
const MASK_WORDS: [&str; 6] = ["raw", "partial", "hash", "redact", "fixed", "nullify"];

impl Resolver<'_> {
    /// Fills the tables of tests and assertions.
    pub(super) fn proofs(&mut self, policy: &mut Policy) {
        let tests: Vec<Test> = self
            .nodes(Keyword::Test)
            .filter(|node| read::viable(node))
            .filter_map(|node| self.test(node, policy))
            .collect();
        policy.tests = tests;
        let asserts: Vec<Assert> = self.nodes(Keyword::Assert).filter_map(|node| self.assert(node, policy)).collect();
        policy.asserts = asserts;
    }

    fn test(&mut self, node: &Node, policy: &Policy) -> Option<Test> {
        let name = read::name(node)?;
        let mut broken = false;
        let (who, open) = (node.clause(Keyword::As)?, node.clause(Keyword::Open)?);
        let groups = who.args.iter().filter_map(|value| self.names.group(value, &mut broken, self.sink)).collect();
        let connection = open.arg().and_then(|value| self.names.connection(value, &mut broken, self.sink));
        let concerned: BTreeSet<ConnectionId> = connection.iter().map(|connection| connection.value).collect();
        let ops = self.ops(open.prop("op"), &kinds(policy, &concerned), &mut broken);
        let object = self.object(open, &mut broken);
        let via = open.prop("via").and_then(|via| self.names.grant(via, &mut broken, self.sink));
        let expect = self.expect(node.clause(Keyword::Expect)?, &mut broken)?;
        Some(Test {
            kind: SubjectKind::parse(who.prop("kind")?.as_str()?)?,
            groups,
            connection,
            ops,
            object,
            at: open.prop("at").and_then(|at| Some(Spanned { value: at.instant()?, span: at.span })),
            via,
            expect,
            head: read::head(node, name, broken),
        })
    }

    /// The object that a test opens.
    fn object(&mut self, open: &Node, broken: &mut bool) -> Object {
        let mut objects = Vec::new();
        if let Some(value) = open.prop("table")
            && let Some(table) = Form::Table.read_literal(value, broken, self.sink)
            && let Some((schema, name)) = table.value.split_once('.')
        {
            objects.push((table.span, Object::table(schema, name)));
        }
        if let Some(value) = open.prop("path")
            && let Some(path) = Form::Path.read_literal(value, broken, self.sink)
        {
            objects.push((path.span, Object::Path(path.value)));
        }
        let mut name = |key| open.prop(key).and_then(|value| Form::Name.read_literal(value, broken, self.sink));
        let (namespace, resource) = (name("namespace"), name("resource"));
        if let Some(span) = namespace.as_ref().or(resource.as_ref()).map(|name| name.span) {
            let text = |name: Option<Spanned<String>>| name.map(|name| name.value).unwrap_or_default();
            let object = Object::Kubernetes { namespace: text(namespace), resource: text(resource) };
            objects.push((span, object));
        }
        if let Some(value) = open.prop("argv")
            && let Some(argv) = value.spanned()
        {
            objects.push((argv.span, Object::Argv(argv.value)));
        }
        if let [(first, _), (second, _), ..] = objects.as_slice() {
            let found = Diagnostic::new(Code::P0004, *second, "a test opens one object");
            self.sink.push(found.also(*first, "and names this one already"));
            *broken = true;
        }
        objects.pop().map_or(Object::Nothing, |(_, object)| object)
    }

    fn expect(&mut self, clause: &Node, broken: &mut bool) -> Option<Expect> {
        let mask = clause.prop("mask").and_then(Value::spanned);
        if let Some(mask) = &mask
            && !MASK_WORDS.contains(&mask.value.as_str())
        {
            let message = format!("`{}` is not the form of a mask", mask.value);
            let help = format!("write one of: {}", MASK_WORDS.join(", "));
            self.sink.push(Diagnostic::new(Code::P0004, mask.span, message).help(help));
            *broken = true;
        }
        Some(Expect {
            outcome: read::word(clause.arg(), |word| match word {
                "requested" => Some(Expected::Requested),
                "standing" => Some(Expected::Standing),
                "denied" => Some(Expected::Denied),
                _ => None,
            })?,
            lifetime: clause.prop("lifetime").and_then(read::duration),
            recorded: recorded(clause.prop("recorded")),
            grant: clause.prop("grant").and_then(|value| self.names.grant(value, broken, self.sink)),
            approval: clause.prop("approval").and_then(|value| self.names.approval(value, broken, self.sink)),
            reason: read::word(clause.prop("reason"), |word| Some(word == "required")),
            mask,
            by: clause.prop("by").and_then(|value| self.names.rule(value, broken, self.sink)),
            span: clause.head,
        })
    }

    fn assert(&mut self, node: &Node, policy: &Policy) -> Option<Assert> {
        let name = read::name(node)?;
        let mut broken = false;
        let to = self.to(node, &mut broken);
        let on = node.has(Keyword::On).then(|| self.on(node, policy, &mut broken));
        let kinds: BTreeSet<ConnectionKind> = match &on {
            Some(on) => lines::kinds(policy, &on.connections),
            None => policy.connections.iter().map(|connection| connection.kind.value).collect(),
        };
        let claim = self.claim(node, &kinds, &mut broken);
        let where_raw = node.clause(Keyword::Where).and_then(|clause| clause.prop("class")).and_then(Value::spanned);
        broken |= claim.is_none();
        Some(Assert { claim, to, on, where_raw, head: read::head(node, name, broken) })
    }

    fn claim(&mut self, node: &Node, kinds: &BTreeSet<ConnectionKind>, broken: &mut bool) -> Option<Claim> {
        if let Some(clause) = node.clause(Keyword::Never) {
            if let Some(op) = clause.prop("op") {
                return Some(Claim::NeverOp(self.ops([op], kinds, broken)));
            }
            if let Some(class) = clause.prop("class") {
                return class.spanned().map(Claim::NeverRaw);
            }
            return read::word(clause.prop("when"), |word| match word {
                "requested" => Some(Mode::Requested),
                "standing" => Some(Mode::Standing),
                _ => None,
            })
            .map(Claim::NeverMode);
        }
        if node.has(Keyword::Only) {
            return Some(Claim::Only(self.principals(node, Keyword::Only, broken)));
        }
        let prop = node.clause(Keyword::Always)?.props.first()?;
        Some(Claim::Always(prop.key.clone(), prop.value.spanned()?))
    }
}
