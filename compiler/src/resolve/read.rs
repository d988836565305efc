//! Small readers of typed trees, and what a node needs at least to stand in the model.

use lang::{
    model::{Head, Lifetime},
    span::{Span, Spanned},
    syntax::{
        ast::{Node, Value},
        keyword::Keyword,
    },
    time::{Hours, Ttl, Valid},
};

/// The name that a node defines; the id of a grant.
pub(super) fn name(node: &Node) -> Option<Spanned<String>> {
    match (node.keyword, node.prop("id")) {
        (Keyword::Grant, Some(id)) => id.spanned(),
        _ => node.arg().and_then(Value::spanned),
    }
}

/// Whether a node has what its item in the model cannot do without.
pub(super) fn viable(node: &Node) -> bool {
    if name(node).is_none() {
        return false;
    }
    let stated = |keyword: Keyword| node.value(keyword).is_some_and(|value| !value.is_invalid());
    if node.keyword == Keyword::Idp {
        match node.value(Keyword::Kind).and_then(Value::as_str) {
            Some("entra") => stated(Keyword::Tenant),
            Some("oidc") => stated(Keyword::Issuer),
            Some(_) | None => false,
        }
    } else if node.keyword == Keyword::Connection {
        node.prop("kind").is_some_and(|kind| !kind.is_invalid()) && stated(Keyword::Address)
    } else if node.keyword == Keyword::Mask {
        stated(Keyword::As)
    } else if node.keyword == Keyword::Grant {
        stated(Keyword::When) && lifetime(node).is_some()
    } else if node.keyword == Keyword::BreakGlass {
        let afterwards = node.clause(Keyword::Afterwards);
        let within = afterwards.and_then(|clause| clause.prop("within")).and_then(Value::duration);
        lifetime(node).is_some() && within.is_some()
    } else if node.keyword == Keyword::Test {
        [
            node.clause(Keyword::As).and_then(|clause| clause.prop("kind")),
            node.clause(Keyword::Open).and_then(|clause| clause.prop("op")),
            node.value(Keyword::Expect),
        ]
        .iter()
        .all(|value| value.is_some_and(|value| !value.is_invalid()))
    } else {
        true
    }
}

/// The head of a named node.
pub(super) fn head(node: &Node, name: Spanned<String>, broken: bool) -> Head {
    Head {
        name,
        span: node.head,
        node: node.span,
        description: node.value(Keyword::Description).and_then(Value::spanned),
        broken: broken || is_broken(node),
    }
}

/// Whether something in a node is wrong and left out.
pub(super) fn is_broken(node: &Node) -> bool {
    node.broken
        || node.args.iter().any(Value::is_invalid)
        || node.props.iter().any(|prop| prop.value.is_invalid())
        || node.clauses.iter().any(is_broken)
}

/// How long a session of standing access lasts when the grant does not say.
const STANDING_SECONDS: u32 = 8 * 3_600;

/// `lifetime "…" extend= by=`; standing access has a default.
pub(super) fn lifetime(node: &Node) -> Option<Lifetime> {
    let Some(clause) = node.clause(Keyword::Lifetime) else {
        let standing = node.clause(Keyword::When).filter(|when| when.name() == Some("standing"))?;
        let length = Spanned { value: Ttl::from_seconds(STANDING_SECONDS), span: standing.head };
        return Some(Lifetime { length, extend: None, by: None, span: standing.head });
    };
    Some(Lifetime {
        length: duration(clause.arg()?)?,
        extend: clause.prop("extend").and_then(small),
        by: clause.prop("by").and_then(duration),
        span: clause.head,
    })
}

/// A length of time with its place.
pub(super) fn duration(value: &Value) -> Option<Spanned<Ttl>> {
    value.duration().map(|ttl| Spanned { value: ttl, span: value.span })
}

/// A number with its place.
pub(super) fn number(value: &Value) -> Option<Spanned<u64>> {
    value.integer().map(|number| Spanned { value: number, span: value.span })
}

/// A small number with its place.
pub(super) fn small(value: &Value) -> Option<Spanned<u32>> {
    let number = u32::try_from(value.integer()?).ok()?;
    Some(Spanned { value: number, span: value.span })
}

/// `hours`.
pub(super) fn hours(node: &Node) -> Option<Spanned<Hours>> {
    let value = node.value(Keyword::Hours)?;
    value.hours().map(|hours| Spanned { value: hours.clone(), span: value.span })
}

/// `valid from= until=`.
pub(super) fn valid(node: &Node) -> Option<Spanned<Valid>> {
    let clause = node.clause(Keyword::Valid)?;
    let day = |key| clause.prop(key).and_then(Value::day);
    Some(Spanned { value: Valid { from: day("from"), until: day("until") }, span: clause.head })
}

/// A length of time in a clause.
pub(super) fn duration_of(node: &Node, keyword: Keyword) -> Option<Spanned<Ttl>> {
    node.value(keyword).and_then(duration)
}

/// A text in a clause.
pub(super) fn text_of(node: &Node, keyword: Keyword) -> Option<Spanned<String>> {
    node.value(keyword).and_then(Value::spanned)
}

/// The texts of all clauses with a keyword.
pub(super) fn texts_of(node: &Node, keyword: Keyword) -> Vec<Spanned<String>> {
    node.values(keyword).filter_map(Value::spanned).collect()
}

/// A word that stands for a value.
pub(super) fn word<T>(value: Option<&Value>, parse: impl Fn(&str) -> Option<T>) -> Option<Spanned<T>> {
    let value = value?;
    Some(Spanned { value: parse(value.as_str()?)?, span: value.span })
}

/// The place of a clause.
pub(super) fn place(node: &Node, keyword: Keyword) -> Option<Span> {
    node.clause(keyword).map(|clause| clause.head)
}
