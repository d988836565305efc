//! What the table of the schema cannot say: clauses that depend on the kind of their node, and choices of which one
//! must be made. No rule here looks at another node.

use super::super::{
    ast::{Node, Value},
    keyword::Keyword,
};
use crate::{
    diag::{Code, Diagnostic, Sink},
    span::Span,
};
use core::net::IpAddr;

type Rule = fn(&Node, &mut Sink);

/// Reports what is wrong within one node of a document although each of its parts is well formed.
pub(crate) fn check_node(node: &Node, sink: &mut Sink) {
    let rules: [(Keyword, Rule); 7] = [
        (Keyword::Idp, idp),
        (Keyword::Connection, connection),
        (Keyword::Group, group),
        (Keyword::Mask, mask),
        (Keyword::Grant, grant),
        (Keyword::Disjoint, disjoint),
        (Keyword::Assert, assertion),
    ];
    for (_, rule) in rules.iter().filter(|(keyword, _)| *keyword == node.keyword) {
        rule(node, sink);
    }
    for clause in node.clauses_of(Keyword::To).chain(node.clauses_of(Keyword::Only)) {
        all_of(clause, sink);
    }
    for clause in node.clauses_of(Keyword::Valid) {
        valid(clause, sink);
    }
}

fn missing(span: Span, message: String, help: &str, sink: &mut Sink) {
    sink.push(Diagnostic::new(Code::P0009, span, message).help(help));
}

fn wrong(span: Span, message: String, sink: &mut Sink) {
    sink.push(Diagnostic::new(Code::P0004, span, message));
}

/// Clauses that only some kinds of a node have.
fn foreign(node: &Node, what: &str, clauses: &[Keyword], sink: &mut Sink) {
    for clause in node.clauses.iter().filter(|clause| clauses.contains(&clause.keyword)) {
        wrong(clause.head, format!("{what} has no clause `{}`", clause.keyword), sink);
    }
}

fn idp(node: &Node, sink: &mut Sink) {
    let kind = node.value(Keyword::Kind).and_then(Value::as_str);
    let (needed, help) = match kind {
        Some("entra") => {
            foreign(node, "an idp of kind `entra`", &[Keyword::Issuer], sink);
            (Keyword::Tenant, "both issuers follow from `tenant (uuid)\"…\"`")
        }
        Some("oidc") => {
            let entra = [Keyword::Tenant, Keyword::Authority, Keyword::Overage, Keyword::AbsentGroups];
            foreign(node, "an idp of kind `oidc`", &entra, sink);
            (Keyword::Issuer, "write `issuer \"https://…\"`, exactly as tokens state it")
        }
        Some(_) | None => return,
    };
    if !node.has(needed) && !node.broken {
        let message = format!("an idp of kind `{}` lacks the clause `{needed}`", kind.unwrap_or_default());
        missing(node.head, message, help, sink);
    }
    if let Some(authority) = node.value(Keyword::Authority)
        && let Some(url) = authority.as_str()
        && reach(url) != Some(true)
    {
        let message = format!("the authority `{url}` is not plain HTTP on this machine");
        let found = Diagnostic::new(Code::P0004, authority.span, message);
        sink.push(found.help("a stand-in for development listens on loopback: \"http://127.0.0.1:8080\""));
    }
    if let Some(issuer) = node.value(Keyword::Issuer)
        && let Some(url) = issuer.as_str()
        && reach(url).is_none()
    {
        let message = format!("the issuer `{url}` is neither over HTTPS nor on this machine");
        let found = Diagnostic::new(Code::P0004, issuer.span, message);
        sink.push(
            found.help("no gateway believes its tokens: write `issuer \"https://…\"`, without a user, `?` or `#`"),
        );
    }
}

/// Standing access lasts as long as a working day unless it says otherwise; a window has no such default.
fn grant(node: &Node, sink: &mut Sink) {
    let standing = node.value(Keyword::When).and_then(Value::as_str) == Some("standing");
    if !standing && !node.has(Keyword::Lifetime) && !node.broken {
        let message = "`grant` lacks the clause `lifetime`".to_owned();
        missing(node.head, message, "say how long the window lasts: `lifetime \"1h\"`", sink);
    }
}

/// How the gateway reaches an identity provider: `Some(true)` over plain HTTP on this machine, `Some(false)` over HTTPS,
/// `None` not at all. A user before the host would make another host look like this machine.
fn reach(url: &str) -> Option<bool> {
    let (rest, plain) = match url.strip_prefix("http://") {
        Some(rest) => (rest, true),
        None => (url.strip_prefix("https://")?, false),
    };
    let authority = rest.split('/').next()?;
    if authority.contains('@') || rest.contains(['?', '#']) {
        return None;
    }
    if !plain {
        return Some(false);
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        // The last colon of an address in brackets is its own.
        Some(_) | None => authority,
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse::<IpAddr>();
    (host == "localhost" || address.is_ok_and(|address| address.is_loopback())).then_some(true)
}

fn connection(node: &Node, sink: &mut Sink) {
    let Some(kind) = node.prop("kind").and_then(Value::as_str) else { return };
    let what = format!("a connection of kind `{kind}`");
    let only = [
        (Keyword::UpstreamAuth, ["http"].as_slice()),
        (Keyword::HostKey, &["ssh"]),
        (Keyword::Ca, &["kubernetes"]),
        (Keyword::Masking, &["postgres", "mysql"]),
    ];
    for (keyword, kinds) in only {
        if !kinds.contains(&kind) {
            foreign(node, &what, &[keyword], sink);
        }
    }
    if kind == "ssh" && !node.has(Keyword::HostKey) && !node.broken {
        let help = "without it the gateway cannot know the host: `host-key \"ssh-ed25519 AAAA…\"`";
        missing(node.head, format!("{what} lacks the clause `host-key`"), help, sink);
    }
    if let Some(address) = node.clause(Keyword::Address) {
        connection_address(address, kind, &what, sink);
    }
}

fn connection_address(clause: &Node, kind: &str, what: &str, sink: &mut Sink) {
    let sql = matches!(kind, "postgres" | "mysql");
    if let Some(database) = clause.prop("database")
        && !sql
    {
        wrong(database.span, format!("{what} has no database"), sink);
    }
    let Some(address) = clause.arg() else { return };
    let Some(text) = address.as_str() else { return };
    if matches!(kind, "http" | "kubernetes") {
        let host = text.strip_prefix("https://").map(|rest| rest.split('/').next().unwrap_or(""));
        if host.is_none_or(str::is_empty) {
            let found = Diagnostic::new(Code::P0004, address.span, format!("the address of {what} is an https URL"));
            sink.push(found.help("write for example `address \"https://api.internal\"`"));
        }
    } else if !is_host_port(text) {
        let found = Diagnostic::new(Code::P0004, address.span, format!("the address of {what} is a host and a port"));
        sink.push(found.help("write for example `address \"db.internal:5432\"`"));
    }
}

fn is_host_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let plain = !host.contains([':', '/', '@']) && !host.contains(char::is_whitespace);
        !host.is_empty() && (bracketed || plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn group(node: &Node, sink: &mut Sink) {
    let Some(size) = node.clause(Keyword::Size) else { return };
    let bound = |key| size.prop(key).and_then(Value::integer);
    if let (Some(min), Some(max)) = (bound("min"), bound("max"))
        && max < min
    {
        wrong(size.head, format!("a group cannot have at least {min} and at most {max} members"), sink);
    }
}

fn disjoint(node: &Node, sink: &mut Sink) {
    if node.args.len() == 1 && !node.broken {
        let message = "`disjoint` needs two groups at least".to_owned();
        missing(node.head, message, "one group alone has nothing to be disjoint with", sink);
    }
}

fn mask(node: &Node, sink: &mut Sink) {
    let targets = [Keyword::Class, Keyword::Column, Keyword::Pattern, Keyword::Json];
    if !targets.iter().any(|target| node.has(*target)) && !node.broken {
        let help = "name what is hidden with `class`, `column`, `pattern` or `json`";
        missing(node.head, "a mask hides nothing".to_owned(), help, sink);
    }
    let Some(way) = node.clause(Keyword::As) else { return };
    let Some(name) = way.name() else { return };
    let text = way.args.get(1);
    if name == "fixed" && text.is_none() && !way.broken {
        missing(way.head, "`as fixed` lacks its text".to_owned(), "write `as fixed \"…\"`", sink);
    }
    if let Some(text) = text
        && name != "fixed"
    {
        wrong(text.span, format!("`as {name}` takes no text"), sink);
    }
    if name == "partial" && way.props.is_empty() && !way.broken {
        let help = "say what stays visible: `keep-first=1` or `keep-last=4`";
        missing(way.head, "`as partial` keeps nothing".to_owned(), help, sink);
    }
    if let Some(prop) = way.props.first()
        && name != "partial"
    {
        wrong(prop.span, format!("`as {name}` keeps nothing, so `{}=` means nothing", prop.key.value), sink);
    }
}

fn assertion(node: &Node, sink: &mut Sink) {
    let claims: Vec<&Node> = node
        .clauses
        .iter()
        .filter(|clause| matches!(clause.keyword, Keyword::Never | Keyword::Only | Keyword::Always))
        .collect();
    let Some(first) = claims.first() else {
        if !node.broken {
            missing(node.head, "the assertion claims nothing".to_owned(), "write `never`, `only` or `always`", sink);
        }
        return;
    };
    if let Some(other) = claims.iter().find(|claim| claim.keyword != first.keyword) {
        let message =
            format!("an assertion claims one thing, and this one says `{}` and `{}`", first.keyword, other.keyword);
        let found = Diagnostic::new(Code::P0004, other.head, message).also(first.head, "the first claim");
        sink.push(found.help("write two assertions"));
    }
    for claim in claims.iter().filter(|claim| !claim.broken) {
        let raw = !claim.args.is_empty();
        if claim.keyword == Keyword::Never && raw != claim.prop("class").is_some() {
            let message = "`raw` and `class=` stand together: `never raw class=pci.pan`";
            wrong(claim.head, message.to_owned(), sink);
        } else if claim.keyword != Keyword::Only && claim.props.len() > 1 {
            wrong(claim.head, format!("`{}` claims one thing", claim.keyword), sink);
        }
    }
}

fn all_of(clause: &Node, sink: &mut Sink) {
    let principals = clause.principals();
    if principals.all_of && principals.groups.is_empty() {
        missing(clause.head, "`all-of` lacks its groups".to_owned(), "write `to all-of group:a group:b`", sink);
    }
}

fn valid(clause: &Node, sink: &mut Sink) {
    let day = |key| clause.prop(key).and_then(Value::day);
    if let (Some(from), Some(until)) = (day("from"), day("until"))
        && until < from
    {
        let message = format!("the rule ends on {until}, before it begins on {from}");
        sink.push(Diagnostic::new(Code::P0415, clause.head, message));
    }
}
