//! Policy repositories of any size, made from a seed: teams with folders and delegations, connections of every kind,
//! nested groups, limits, guards, masks, approvals, forbids, and a test for each grant. The same numbers give the same
//! bytes. They are meant to pass `check`; whether they do is measured with them.

use std::fmt::Write as _;

/// Grants of one team's folder; a file holds those of one team.
pub(super) const GRANTS_PER_TEAM: usize = 100;
/// Grants of one connection.
const GRANTS_PER_CONNECTION: usize = 5;
/// Connections of one team.
const CONNECTIONS_PER_TEAM: usize = GRANTS_PER_TEAM / GRANTS_PER_CONNECTION;
/// Each grant has a number in this range that decides whether a changed estate changes it.
const DRAWS: u64 = 1_000;

/// What is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estate {
    /// How many grants; a multiple of [`GRANTS_PER_TEAM`].
    pub(super) grants: usize,
    /// What everything that varies is drawn from.
    pub(super) seed: u64,
    /// How many of a thousand grants have a longer lifetime than in the estate that changes nothing.
    pub(super) changed: u64,
}

impl Estate {
    const fn teams(self) -> usize {
        self.grants.div_ceil(GRANTS_PER_TEAM)
    }

    /// A number from the seed and a place; the same for the same place.
    const fn draw(self, place: u64, below: u64) -> u64 {
        // splitmix64
        let mut x =
            self.seed.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % below
    }

    /// Every file with its path.
    pub(super) fn files(self) -> Vec<(String, String)> {
        let mut files = vec![
            ("policy.kdl".to_owned(), POLICY.to_owned()),
            ("guard/rules.kdl".to_owned(), RULES.to_owned()),
            ("identity/idp.kdl".to_owned(), IDENTITY.to_owned()),
        ];
        for team in 0..self.teams() {
            files.push((format!("identity/team-{team}.kdl"), groups(team)));
            files.push((format!("connections/team-{team}.kdl"), self.connections(team)));
            files.push((format!("teams/team-{team}.kdl"), delegation(team)));
            let (grants, tests) = self.grants_and_tests(team);
            files.push((format!("teams/team-{team}/grants.kdl"), grants));
            files.push((format!("teams/team-{team}/tests.kdl"), tests));
        }
        files
    }

    fn connections(self, team: usize) -> String {
        let mut text = HEAD.to_owned();
        for nth in 0..CONNECTIONS_PER_TEAM {
            let (name, env) = (connection(team, nth), env(nth));
            let data = match self.draw((team * CONNECTIONS_PER_TEAM + nth) as u64, 3) {
                0 => "public",
                1 => "internal",
                _ => "pii",
            };
            let (kind, target) = match nth {
                16 | 17 => ("mysql", format!("address \"{name}.internal:3306\" database=app")),
                18 => ("kubernetes", format!("address \"https://{name}.internal:6443\"")),
                19 => ("http", format!("address \"https://{name}.internal\"\n    upstream-auth bearer")),
                _ => ("postgres", format!("address \"{name}.internal:5432\" database=app")),
            };
            let _ = writeln!(
                text,
                "connection {name} kind={kind} {{\n    owner team:team-{team}\n    {target}\n    \
                 credential (file)\"secrets/{name}\" user=gateway\n    label env={env} data={data}\n}}"
            );
            if env == "prod" && nth < 18 {
                let _ = writeln!(text, "classify {name} {{ column public.customers.email as=pii.email; }}");
            }
        }
        text
    }

    fn grants_and_tests(self, team: usize) -> (String, String) {
        let (mut grants, mut tests) = (HEAD.to_owned(), HEAD.to_owned());
        for nth in 0..CONNECTIONS_PER_TEAM {
            for role in ROLES {
                let place = (team * GRANTS_PER_TEAM + nth * GRANTS_PER_CONNECTION + role.nth) as u64;
                let changed = self.draw(place ^ 0x5eed_0000, DRAWS) < self.changed;
                self.grant(&mut grants, (team, nth), role, changed);
                test(&mut tests, (team, nth), role);
            }
            if nth == 0 {
                let _ = writeln!(
                    grants,
                    "forbid team-{team}-nights {{\n    to group:team-{team}-guests\n    on {}\n    \
                     hours \"Mon-Fri 20:00-24:00\"\n    description \"Guests of team {team} rest at night.\"\n}}",
                    connection(team, nth)
                );
            }
        }
        (grants, tests)
    }

    fn grant(self, text: &mut String, (team, nth): (usize, usize), role: &Role, changed: bool) {
        let name = connection(team, nth);
        let base = role.minutes + 5 * self.draw((team * 7919 + nth) as u64, 3);
        let minutes = if changed { base * 2 } else { base };
        let _ = writeln!(
            text,
            "grant {name} id={name}-{} {{\n    to group:team-{team}-{}\n    when requested\n    lifetime \"{minutes}m\"\n    \
             permit {}",
            role.name,
            role.name,
            permit(nth, role)
        );
        match nth {
            18 => text.push_str("    namespace apps-*\n"),
            19 => text.push_str("    path \"/v1/**\"\n"),
            _ if role.tables.is_empty() => {}
            _ => {
                let _ = writeln!(text, "    table {}", role.tables);
            }
        }
        if role.beside {
            let _ = writeln!(text, "    beside {name}-dev");
        }
        if role.hours && nth.is_multiple_of(3) {
            text.push_str("    hours \"Mon-Fri 07:00-20:00\"\n");
        }
        let _ = writeln!(
            text,
            "    cooldown \"{}m\"\n    description \"{} of team {team} on {name}.\"\n}}",
            5 + role.nth,
            role.name
        );
    }
}

/// One of the five sorts of people of a team.
struct Role {
    nth: usize,
    name: &'static str,
    kind: &'static str,
    minutes: u64,
    write: bool,
    tables: &'static str,
    beside: bool,
    hours: bool,
}

const ROLES: &[Role; 5] = &[
    Role {
        nth: 0,
        name: "dev",
        kind: "human",
        minutes: 60,
        write: false,
        tables: "public.*",
        beside: false,
        hours: true,
    },
    Role {
        nth: 1,
        name: "leads",
        kind: "human",
        minutes: 30,
        write: true,
        tables: "public.customers public.ledger_*",
        beside: true,
        hours: false,
    },
    Role { nth: 2, name: "ops", kind: "human", minutes: 45, write: true, tables: "", beside: false, hours: false },
    Role {
        nth: 3,
        name: "qa",
        kind: "human",
        minutes: 50,
        write: false,
        tables: "qa.* public.orders",
        beside: false,
        hours: true,
    },
    Role {
        nth: 4,
        name: "agents",
        kind: "agent",
        minutes: 10,
        write: false,
        tables: "public.events",
        beside: false,
        hours: false,
    },
];

const HEAD: &str = "/- kdl-version 2\n";

const POLICY: &str = r#"/- kdl-version 2
policy version=1 name=generated {
    description "Made from a seed, to be measured."
    timezone "Europe/Berlin"
    include "identity/*.kdl" "connections/*.kdl" "guard/*.kdl" "teams/*.kdl" "teams/*/*.kdl"
    labels {
        env prod staging dev
        data public internal pii
    }
    staleness max="1h" then=no-new-windows
}
limits prod {
    on env=prod
    on env=staging
    lifetime human="8h" service="1h" agent="30m"
    standing deny
    recorded full
}
limits dev {
    on env=dev
    lifetime human="24h" service="24h" agent="4h"
    recorded metadata
}
"#;

const RULES: &str = r#"/- kdl-version 2
approval four-eyes {
    quorum 1 from=group:security
    answer-within "8m"
}
limits personal {
    on data=pii env=prod
    approval four-eyes
    reason required
}
guard prod-sql {
    on kind=postgres env=prod
    on kind=mysql env=prod
    block ddl.drop truncate dcl.*
    block update.unbounded delete.unbounded
    limit rows=10000 seconds=60
}
guard agents-read-only {
    to kind=agent
    on env=prod
    only read
}
mask pii-default {
    class pii.*
    as partial keep-first=1
    reveal never
}
forbid contractors-personal {
    to group:contractors
    on data=pii
    description "Contract terms: no personal data."
}
"#;

const IDENTITY: &str = r#"/- kdl-version 2
idp entra {
    kind entra
    tenant (uuid)"9d1f0000-0000-4000-8000-000000000001"
    audience "api://access-gateway"
    claim groups=groups roles=roles
    overage refuse
}
group security idp=entra kind=human {
    id (uuid)"5e5e5e5e-1111-4222-8333-444455556666"
    size min=5
}
group contractors idp=entra kind=human { id (uuid)"c0c0c0c0-2222-4333-8444-555566667777"; }
disjoint group:contractors group:security
"#;

fn connection(team: usize, nth: usize) -> String {
    format!("t{team}-c{nth}")
}

const fn env(nth: usize) -> &'static str {
    match nth % 5 {
        0 | 1 => "prod",
        2 | 3 => "staging",
        _ => "dev",
    }
}

fn groups(team: usize) -> String {
    let mut text = HEAD.to_owned();
    for role in ROLES {
        let within = if role.name == "leads" { format!(" within group:team-{team}-dev;") } else { String::new() };
        let _ = writeln!(
            text,
            "group team-{team}-{} idp=entra kind={} {{ id (uuid)\"{:08x}-{:04x}-4111-8111-111111111111\"; size min=4;{within} }}",
            role.name,
            role.kind,
            team + 1,
            role.nth
        );
    }
    let _ = writeln!(
        text,
        "group team-{team}-guests idp=entra kind=human {{ id (uuid)\"{:08x}-00ff-4111-8111-111111111111\"; }}",
        team + 1
    );
    text
}

fn delegation(team: usize) -> String {
    let to: Vec<String> = ROLES.iter().map(|role| format!("group:team-{team}-{}", role.name)).collect();
    format!(
        "{HEAD}team team-{team} {{\n    maintainers group:security\n    reviewers \"@acme/team-{team}\"\n    \
         folder \"teams/team-{team}\"\n}}\ndelegate team:team-{team} {{\n    on owner=team:team-{team}\n    \
         to {} group:team-{team}-guests\n    lifetime \"4h\"\n    no standing break-glass\n}}\n",
        to.join(" ")
    )
}

/// The operations of a role at the nth connection of a team.
fn permit(nth: usize, role: &Role) -> &'static str {
    match (nth, role.write) {
        (_, false) => "read",
        (18, true) => "read write",
        (19, true) => "get post",
        (_, true) if env(nth) == "dev" => "read write export",
        (_, true) => "read write",
    }
}

fn test(text: &mut String, (team, nth): (usize, usize), role: &Role) {
    let name = connection(team, nth);
    let (op, object) = match nth {
        18 => ("get", "namespace=apps-one".to_owned()),
        19 => ("get", "path=\"/v1/orders\"".to_owned()),
        _ => {
            let table = match role.name {
                "agents" => "public.events",
                "qa" => "public.orders",
                _ => "public.customers",
            };
            ("select", format!("table={table}"))
        }
    };
    let _ = writeln!(
        text,
        "test \"{} reach {name}\" {{\n    as kind={} group:team-{team}-{}\n    \
         open {name} op={op} {object} at=\"2026-05-04T10:00:00+02:00\" via={name}-{}\n    expect requested grant={name}-{}\n}}",
        role.name, role.kind, role.name, role.name, role.name
    );
}

#[cfg(test)]
mod tests {
    use super::Estate;

    #[test]
    fn the_same_seed_makes_the_same_bytes_and_a_change_changes_grants_only() {
        let one = Estate { grants: 300, seed: 7, changed: 0 };
        assert_eq!(one.files(), one.files());
        let all = Estate { changed: 1_000, ..one };
        for ((path, before), (_, after)) in one.files().iter().zip(&all.files()) {
            assert_eq!(before != after, path.ends_with("grants.kdl"), "{path}");
        }
        let text: String = one.files().into_iter().map(|(_, text)| text).collect();
        assert_eq!(text.matches("\ngrant ").count(), 300);
    }
}
