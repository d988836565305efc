//! A request as a `test` of the policy language, ready to be pasted. It is printed only when it holds.

use super::{
    cells::{Cells, Point},
    people::{People, Person},
    side::Side,
};
use lang::{
    program::{
        Object, Outcome, Request,
        rules::{Expect, Expected, Mode, Test},
    },
    protocol::OpSet,
};

/// The test that says what a side does at a cell; `None` when the language cannot say it.
pub fn test(
    side: &Side<'_>,
    people: &People,
    cells: &Cells,
    person: &Person,
    cell: usize,
    via: Option<&str>,
) -> Option<String> {
    let point = cells.point(cell)?;
    let groups = people.named(side.view, person);
    let kind = people.kind_and_groups(side.view, person).map_or(person.kind, |seat| seat.kind);
    let program = side.program;
    let subject = program.subject_of(kind, &groups, true);
    let decision = subject.as_ref().ok().map(|subject| {
        program.decide(&Request {
            subject,
            connection: &side.connection.name,
            accesses: std::slice::from_ref(&point.access),
            via,
            at: point.at,
        })
    });
    let outcome = decision.as_ref().map(|decision| &decision.outcome);
    let expect = match outcome {
        Some(Outcome::Permitted { contract, .. }) => Expect {
            outcome: match contract.terms.mode {
                Mode::Requested => Expected::Requested,
                Mode::Standing => Expected::Standing,
            },
            lifetime: Some(contract.terms.lifetime),
            grant: Some(contract.grant.id.clone()),
            ..denied()
        },
        Some(Outcome::Denied) | None => denied(),
    };
    let test = Test {
        name: sentence(&groups, &point, &side.connection.name, &expect, person),
        kind,
        groups,
        connection: side.connection.name.clone(),
        ops: OpSet::EMPTY.with(point.access.op),
        object: point.access.object.clone(),
        at: Some(point.at),
        via: via.map(str::to_owned),
        expect,
    };
    program.run_test(&test, point.at).ok()?;
    text(&test, cells.times().len() > 1)
}

const fn denied() -> Expect {
    Expect {
        outcome: Expected::Denied,
        lifetime: None,
        recorded: None,
        grant: None,
        approval: None,
        reason: None,
        mask: None,
        by: None,
    }
}

fn sentence(groups: &[String], point: &Point, connection: &str, expect: &Expect, person: &Person) -> String {
    let who = if groups.is_empty() { format!("any {}", person.kind) } else { groups.join(" and ") };
    let what = match &point.access.object {
        Object::Nothing => connection.to_owned(),
        object @ (Object::Table { .. } | Object::Kubernetes { .. } | Object::Path(_) | Object::Argv(_)) => {
            format!("{object} on {connection}")
        }
    };
    let verb = if expect.outcome == Expected::Denied { "may not" } else { "may" };
    format!("{who} {verb} {} {what}", point.access.op)
}

/// The test in the words of the language.
pub fn text(test: &Test, with_time: bool) -> Option<String> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let groups = test.groups.iter().fold(String::new(), |all, group| all + " group:" + group);
    let object = match &test.object {
        Object::Nothing => String::new(),
        Object::Table { schema, name } => format!(" table={}", quoted(&format!("{schema}.{name}"))),
        Object::Kubernetes { namespace, resource } if resource.is_empty() || resource == "x" => {
            format!(" namespace={}", quoted(namespace))
        }
        // A test names no resource.
        Object::Kubernetes { .. } => return None,
        Object::Path(path) => format!(" path={}", quoted(path)),
        Object::Argv(argv) => format!(" argv={}", quoted(argv)),
    };
    let op = test.ops.iter().next()?;
    let at = test.at.filter(|_| with_time).map_or_else(String::new, |at| format!(" at=\"{at}\""));
    let via = test.via.as_ref().map_or_else(String::new, |via| format!(" via={via}"));
    let outcome = match test.expect.outcome {
        Expected::Requested => "requested",
        Expected::Standing => "standing",
        Expected::Denied => "denied",
    };
    let lifetime = test.expect.lifetime.map_or_else(String::new, |lifetime| format!(" lifetime=\"{lifetime}\""));
    let grant = test.expect.grant.as_ref().map_or_else(String::new, |grant| format!(" grant={grant}"));
    Some(format!(
        "test {} {{\n    as kind={}{groups}\n    open {} op={op}{object}{at}{via}\n    expect {outcome}{lifetime}{grant}\n}}\n",
        quoted(&test.name),
        test.kind,
        test.connection,
    ))
}
