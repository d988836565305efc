//! Terms and objects of grants in words, for findings about two of them. Answers only; nothing here reports.

use crate::analyze::offer::Offer;
use lang::{model::Grant, program::rules::Mode, time::Ttl};

/// What one grant offers, in the terms in which it differs from another: `for 1h, ticket required`.
pub(super) fn describe(own: (&Grant, &Offer), other: (&Grant, &Offer)) -> String {
    let (mine, theirs) = (&own.1.terms, &other.1.terms);
    let mut parts = vec![match mine.mode {
        Mode::Requested => format!("for {}", mine.lifetime),
        Mode::Standing => format!("at any time, in sessions of {}", mine.lifetime),
    }];
    if mine.extend != theirs.extend {
        parts.push(format!("{} extensions", mine.extend));
    }
    if mine.approvals != theirs.approvals {
        let names: Vec<&str> = mine.approvals.iter().map(String::as_str).collect();
        parts.push(if names.is_empty() { "no approval".into() } else { format!("approval {}", names.join(" and ")) });
    }
    if mine.recorded != theirs.recorded {
        parts.push(format!("recorded {}", mine.recorded.word()));
    }
    let classes = |grant: &Grant| grant.reveal.iter().map(|class| class.value.clone()).collect::<Vec<_>>().join(" ");
    if own.1.sight != other.1.sight && !own.0.reveal.is_empty() {
        parts.push(format!("reveals {}", classes(own.0)));
    }
    let mut demand = |differs: bool, own: bool, what: &str| {
        if differs {
            parts.push(if own { format!("{what} required") } else { format!("no {what}") });
        }
    };
    demand(mine.reason != theirs.reason, mine.reason, "reason");
    demand(mine.tickets != theirs.tickets, !mine.tickets.is_empty(), "ticket");
    demand(mine.mfa != theirs.mfa, mine.mfa, "mfa");
    if mine.cooldown != theirs.cooldown {
        parts.push(if mine.cooldown == Ttl::ZERO {
            "no cooldown".into()
        } else {
            format!("cooldown {}", mine.cooldown)
        });
    }
    if mine.at_most != theirs.at_most {
        parts.push(match mine.at_most.first() {
            Some(most) => format!("at most {} per {}", most.count, most.per),
            None => "no count".into(),
        });
    }
    parts.join(", ")
}

/// The objects that a grant names; nothing when it is open.
pub(super) fn objects(grant: &Grant) -> String {
    let objects = &grant.objects;
    let all = [&objects.tables, &objects.namespaces, &objects.resources, &objects.paths, &objects.argv];
    all.into_iter().flatten().map(|object| object.value.as_str()).collect::<Vec<_>>().join(" ")
}
