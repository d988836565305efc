//! Resolves masks, guards and approvals.

use super::{Resolver, lines::kinds, patterns::Form, read};
use lang::{
    model::{Approval, Guard, Mask, MaskForm, PatternMask, Policy, Quorum, Review},
    span::Spanned,
    syntax::{
        ast::{Node, Value},
        keyword::Keyword,
    },
};

impl Resolver<'_> {
    /// Fills the tables of masks and guards.
    pub(super) fn guards(&mut self, policy: &mut Policy) {
        for node in self.nodes(Keyword::Mask).filter(|node| read::viable(node)) {
            let mask = self.mask(node, policy);
            policy.masks.extend(mask);
        }
        for node in self.nodes(Keyword::Guard) {
            let guard = self.guard(node, policy);
            policy.guards.extend(guard);
        }
    }

    fn mask(&mut self, node: &Node, policy: &Policy) -> Option<Mask> {
        let name = read::name(node)?;
        let mut broken = false;
        let columns =
            node.values(Keyword::Column).filter_map(|value| Form::Column.read(value, &mut broken, self.sink)).collect();
        let patterns = node
            .clauses_of(Keyword::Pattern)
            .filter_map(|clause| {
                let regex = clause.arg().and_then(Value::spanned)?;
                Some(PatternMask { regex, check: clause.prop("check").and_then(Value::spanned) })
            })
            .collect();
        let on = node.has(Keyword::On).then(|| self.on(node, policy, &mut broken));
        Some(Mask {
            on,
            to: self.to(node, &mut broken),
            classes: read::texts_of(node, Keyword::Class),
            columns,
            patterns,
            json: read::texts_of(node, Keyword::Json),
            form: form(node.clause(Keyword::As)?)?,
            reveal_by_grant: read::word(node.value(Keyword::Reveal), |word| Some(word == "grant")),
            head: read::head(node, name, broken),
        })
    }

    fn guard(&mut self, node: &Node, policy: &Policy) -> Option<Guard> {
        let name = read::name(node)?;
        let mut broken = false;
        let on = self.on(node, policy, &mut broken);
        let kinds = kinds(policy, &on.connections);
        let to = self.to(node, &mut broken);
        let blocks: Vec<_> =
            node.clauses_of(Keyword::Block).map(|clause| self.region(clause, &kinds, &mut broken)).collect();
        let only = node.clause(Keyword::Only).map(|clause| self.region(clause, &kinds, &mut broken));
        let mut reviews = Vec::new();
        for clause in node.clauses_of(Keyword::Review) {
            let region = self.region(clause, &kinds, &mut broken);
            let by = clause.prop("by").and_then(|by| self.names.approval(by, &mut broken, self.sink));
            reviews.push(Review { region, by });
        }
        let mut argv = Vec::new();
        for value in node.clauses_of(Keyword::Argv).flat_map(|clause| clause.args.iter().skip(1)) {
            argv.extend(Form::Argv.read(value, &mut broken, self.sink));
        }
        let limit = |key| node.clauses_of(Keyword::Limit).find_map(|clause| clause.prop(key)).and_then(read::number);
        Some(Guard {
            on,
            to,
            blocks,
            only,
            reviews,
            argv,
            rows: limit("rows"),
            seconds: limit("seconds"),
            bytes: limit("bytes"),
            hours: read::hours(node),
            head: read::head(node, name, broken),
        })
    }

    /// One approval.
    pub(super) fn approval(&mut self, node: &Node) -> Option<Approval> {
        let name = read::name(node)?;
        let mut broken = false;
        let mut quorum = Vec::new();
        for clause in node.clauses_of(Keyword::Quorum) {
            let line = self.quorum(clause, clause.arg(), &mut broken);
            quorum.extend(line);
        }
        Some(Approval {
            quorum,
            separate: read::word(node.value(Keyword::Separate), |word| Some(word == "yes")),
            answer_within: read::duration_of(node, Keyword::AnswerWithin),
            notify: read::texts_of(node, Keyword::Notify),
            head: read::head(node, name, broken),
        })
    }

    /// How many people of the group that `from=` names.
    pub(super) fn quorum(&mut self, clause: &Node, count: Option<&Value>, broken: &mut bool) -> Option<Quorum> {
        let from = clause.prop("from").and_then(|from| self.names.group(from, broken, self.sink));
        let line = count.and_then(read::small).zip(from).map(|(count, from)| Quorum { count, from, span: clause.head });
        *broken |= line.is_none();
        line
    }
}

fn form(clause: &Node) -> Option<Spanned<MaskForm>> {
    let way = clause.arg()?;
    let keep = |key| clause.prop(key).and_then(read::small).map_or(0, |keep| keep.value);
    let value = match way.as_str()? {
        "redact" => MaskForm::Redact,
        "hash" => MaskForm::Hash,
        "nullify" => MaskForm::Nullify,
        "partial" => MaskForm::Partial { keep_first: keep("keep-first"), keep_last: keep("keep-last") },
        "fixed" => MaskForm::Fixed(clause.args.get(1)?.as_str()?.to_owned()),
        _ => return None,
    };
    Some(Spanned { value, span: clause.head })
}
