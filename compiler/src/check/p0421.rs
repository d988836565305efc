//! P0421: a rule that the kind of its connection cannot enforce. It would stand in the policy, be believed in, and
//! hold nothing. (A word of the audit in `permit`, `block` or `review` is reported where it is read.)

use super::{Ctx, p0405::plural};
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Objects, Ops, Principal},
    program::SubjectKind,
    protocol::ConnectionKind,
    span::{Span, Spanned},
};
use std::collections::BTreeSet;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    grants(ctx, sink);
    limits(ctx, sink);
    guards(ctx, sink);
    masks(ctx, sink);
    classified(ctx, sink);
}

/// What narrows a rule: the clause, and the kinds of connections whose objects it can name.
const DIMENSIONS: [(&str, &[ConnectionKind]); 5] = [
    ("table", &[ConnectionKind::Postgres, ConnectionKind::Mysql]),
    ("namespace", &[ConnectionKind::Kubernetes]),
    ("resource", &[ConnectionKind::Kubernetes]),
    ("path", &[ConnectionKind::Http]),
    ("argv", &[ConnectionKind::Ssh]),
];

fn grants(ctx: &Ctx<'_>, sink: &mut Sink) {
    for grant in ctx.policy.grants.iter().filter(|grant| !grant.head.broken) {
        let what = format!("{} `{}`", grant.keyword(), grant.head.name.value);
        objects(ctx, &what, grant.permit.as_ref(), &grant.objects, &grant.connections(), sink);
        if let Some(place) = grant.mfa {
            mfa(ctx, &what, place, &grant.to, sink);
        }
    }
}

fn limits(ctx: &Ctx<'_>, sink: &mut Sink) {
    for rule in ctx.policy.limits.iter().filter(|rule| !rule.head.broken) {
        let Some(place) = rule.mfa else { continue };
        let what = format!("limits `{}`", rule.head.name.value);
        if rule.to.is_everybody() {
            let message = format!("{what} demand multi-factor sign-in of services and agents, which have none");
            let found = Diagnostic::new(Code::P0421, place, message).label("for everybody");
            sink.push(found.help("write `to kind=human` in these limits"));
        } else {
            mfa(ctx, &what, place, rule.to.alternatives(), sink);
        }
    }
}

/// Only people sign in with several factors.
fn mfa(ctx: &Ctx<'_>, what: &str, place: Span, to: &[Principal], sink: &mut Sink) {
    let hit = to.iter().find_map(|principal| {
        let kind = ctx.kinds(principal).into_iter().find(|kind| *kind != SubjectKind::Human)?;
        Some((principal, kind))
    });
    let Some((principal, kind)) = hit else { return };
    sink.push(
        Diagnostic::new(
            Code::P0421,
            place,
            format!("{what} demands multi-factor sign-in of {}, which have none", plural(kind)),
        )
        .label("only people sign in with several factors")
        .also(principal.span, format!("{} can match here", plural(kind)))
        .help("narrow the line with `kind=human`, or declare the group with `kind=human`"),
    );
}

fn guards(ctx: &Ctx<'_>, sink: &mut Sink) {
    for rule in ctx.policy.guards.iter().filter(|rule| !rule.head.broken) {
        let what = format!("guard `{}`", rule.head.name.value);
        let on = &rule.on.connections;
        let regions = rule.blocks.iter().chain(&rule.only).chain(rule.reviews.iter().map(|review| &review.region));
        for region in regions {
            objects(ctx, &what, Some(&region.ops), &region.objects, on, sink);
        }
        if let Some(argv) = rule.argv.first() {
            none_of(ctx, &what, "argv permit", argv.span, &[ConnectionKind::Ssh], on, sink);
        }
        let sql = [ConnectionKind::Postgres, ConnectionKind::Mysql];
        if let Some(rows) = &rule.rows {
            none_of(ctx, &what, "limit rows=", rows.span, &sql, on, sink);
        }
    }
}

fn masks(ctx: &Ctx<'_>, sink: &mut Sink) {
    let sql = [ConnectionKind::Postgres, ConnectionKind::Mysql];
    let json = [ConnectionKind::Http, ConnectionKind::Kubernetes];
    let any = [ConnectionKind::Postgres, ConnectionKind::Mysql, ConnectionKind::Http, ConnectionKind::Kubernetes];
    for rule in ctx.policy.masks.iter().filter(|rule| !rule.head.broken) {
        let Some(on) = &rule.on else { continue };
        let what = format!("mask `{}`", rule.head.name.value);
        let first = |texts: &[Spanned<String>]| texts.first().map(|text| text.span);
        let targets = [
            ("column", first(&rule.columns), sql.as_slice()),
            ("json", first(&rule.json), &json),
            ("class", first(&rule.classes), &any),
            ("pattern", rule.patterns.first().map(|pattern| pattern.regex.span), &any),
        ];
        for (clause, span, kinds) in targets {
            if let Some(span) = span {
                none_of(ctx, &what, clause, span, kinds, &on.connections, sink);
            }
        }
    }
}

fn classified(ctx: &Ctx<'_>, sink: &mut Sink) {
    for classify in &ctx.policy.classify {
        let Some(connection) = classify.connection else { continue };
        let kind = ctx.policy[connection].kind.value;
        let sql = matches!(kind, ConnectionKind::Postgres | ConnectionKind::Mysql);
        let json = matches!(kind, ConnectionKind::Http | ConnectionKind::Kubernetes);
        for item in &classify.items {
            let clause = match (item.json, &item.column) {
                (true, _) if !json => "json",
                (false, Some(_)) if !sql => "column",
                (false, None) if !sql => "table",
                (true | false, _) => continue,
            };
            let message = format!(
                "`classify {}` names a {clause}, and a connection of kind {kind} has none",
                classify.head.name.value
            );
            sink.push(
                Diagnostic::new(Code::P0421, item.object.span, message)
                    .also(ctx.policy[connection].kind.span, format!("the connection is of kind {kind}")),
            );
        }
    }
}

/// Objects that narrow operations on a connection which has no such objects would not narrow them at all.
fn objects(
    ctx: &Ctx<'_>,
    what: &str,
    ops: Option<&Ops>,
    objects: &Objects,
    on: &BTreeSet<ConnectionId>,
    sink: &mut Sink,
) {
    let lists = [&objects.tables, &objects.namespaces, &objects.resources, &objects.paths, &objects.argv];
    for ((clause, kinds), list) in DIMENSIONS.iter().zip(lists) {
        let Some(first) = list.first() else { continue };
        let misfit = on.iter().copied().find(|connection| {
            let kind = ctx.policy[*connection].kind.value;
            let runs = ops.is_none_or(|ops| ops.words.iter().any(|word| kind.resolve(&word.word.value).is_some()));
            runs && !kinds.contains(&kind)
        });
        let Some(connection) = misfit else { continue };
        let kind = &ctx.policy[connection].kind;
        sink.push(
            Diagnostic::new(
                Code::P0421,
                first.span,
                format!(
                    "{what} narrows to a {clause}, which `{}` of kind {kind} does not have",
                    ctx.connection_name(connection),
                    kind = kind.value
                ),
            )
            .label("would narrow nothing there")
            .also(kind.span, format!("the connection is of kind {}", kind.value))
            .help(format!("use a rule of its own for each kind of connection; `{clause}` is for {}", words(kinds))),
        );
    }
}

/// A clause that works on none of the connections selected. One selected beside others may just pass by.
fn none_of(
    ctx: &Ctx<'_>,
    what: &str,
    clause: &str,
    span: Span,
    kinds: &[ConnectionKind],
    on: &BTreeSet<ConnectionId>,
    sink: &mut Sink,
) {
    let Some(first) = on.first().copied() else { return };
    if on.iter().any(|connection| kinds.contains(&ctx.policy[*connection].kind.value)) {
        return;
    }
    let kind = &ctx.policy[first].kind;
    sink.push(
        Diagnostic::new(
            Code::P0421,
            span,
            format!("{what} says `{clause}`, which no connection that it selects can enforce"),
        )
        .label(format!("`{clause}` is for {}", words(kinds)))
        .also(kind.span, format!("`{}` is of kind {}", ctx.connection_name(first), kind.value))
        .help("remove the clause, or select connections that can enforce it"),
    );
}

fn words(kinds: &[ConnectionKind]) -> String {
    kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ")
}
