//! P0301: a connection that nobody answers for. Nobody is asked when a rule about it changes. While the repository
//! declares no team it is a warning.

use super::Ctx;
use lang::diag::{Code, Diagnostic, Severity, Sink};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let policy = ctx.policy;
    let severity = if policy.teams.is_empty() { Severity::Warning } else { Severity::Error };
    for connection in policy.connections.iter().filter(|connection| !connection.owner_named && !connection.head.broken)
    {
        let name = &connection.head.name;
        let help = match policy.teams.first() {
            Some(team) => {
                format!("name the team that answers for it, for example `owner team:{}`", team.head.name.value)
            }
            None => "declare a team and name it: `team core { maintainers group:…; }` and `owner team:core`".to_owned(),
        };
        sink.push(
            Diagnostic::new(Code::P0301, name.span, format!("the connection `{}` has no owner", name.value))
                .weigh(severity)
                .help(help),
        );
    }
}
