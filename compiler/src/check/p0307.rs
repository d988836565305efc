//! P0307: a production connection of which the policy does not know what data it holds. Rules about `data=` and
//! masks of classes pass it by.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    protocol::ConnectionKind,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for (id, connection) in ctx.policy.connection_ids() {
        if !ctx.is_prod(id) || connection.head.broken {
            continue;
        }
        let columns = match connection.kind.value {
            ConnectionKind::Postgres | ConnectionKind::Mysql => true,
            ConnectionKind::Ssh | ConnectionKind::Kubernetes | ConnectionKind::Http => false,
        };
        let listed =
            connection.catalog.is_some() || ctx.policy.classify.iter().any(|classify| classify.connection == Some(id));
        let unlabelled = connection.label("data").is_none();
        let unlisted = columns && !listed;
        let lacks = match (unlabelled, unlisted) {
            (false, false) => continue,
            (true, false) => "no `data` label",
            (false, true) => "neither `classify` nor a catalog",
            (true, true) => "no `data` label, and neither `classify` nor a catalog",
        };
        let name = &connection.head.name;
        sink.push(
            Diagnostic::new(Code::P0307, name.span, format!("the production connection `{}` has {lacks}", name.value))
                .help("label it with the most sensitive data it holds, and classify its columns: `label data=pii`, `classify`"),
        );
    }
}
