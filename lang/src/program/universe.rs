//! Small universes for the property tests: three groups, two connections, and every clause that decides, by choices.

use super::{
    choices::{Choices, GROUPS, connection, idp},
    rules::{
        Approval, AtMost, BreakGlass, Forbid, Grant, Group, Guard, Limits, Mask, MaskAs, Mode, PerKind, Principal,
        Quorum, Recorded, Region, Review, Rules, To,
    },
    scope::Scope,
};
use crate::time::{Hours, Ttl, Valid};

pub(super) const CONNECTIONS: [&str; 2] = ["c0", "c1"];

impl Choices<'_> {
    fn on(&mut self) -> Vec<String> {
        match self.below(3) {
            0 => vec!["c0".into()],
            1 => vec!["c1".into()],
            _ => vec!["c0".into(), "c1".into()],
        }
    }

    fn principals(&mut self) -> Vec<Principal> {
        let mut all = vec![self.principal()];
        all.extend(self.option(Self::principal));
        all
    }

    fn to(&mut self) -> To {
        if self.maybe() { To::Everybody } else { To::Any(self.principals()) }
    }

    fn hours(&mut self) -> Option<Hours> {
        self.option(|c| {
            Hours::parse(c.pick(&["Mon-Fri 09:00-17:00", "Mon-Sun 22:00-06:00", "Sun 00:00-24:00"])).unwrap()
        })
    }

    fn valid(&mut self) -> Option<Valid> {
        self.option(|c| Valid {
            from: c.option(|c| Valid::parse_day(c.pick(&["2026-05-05", "2026-05-04"])).unwrap()),
            until: c.option(|c| Valid::parse_day(c.pick(&["2026-05-04", "2026-05-09"])).unwrap()),
        })
    }

    fn scope(&mut self) -> Scope {
        Scope { tables: self.list(2, |c, _| c.pick(&["a.*", "a.x", "*.x*", "b.xy"]).to_owned()), ..Scope::default() }
    }

    fn region(&mut self) -> Region {
        Region { ops: self.ops(), scope: self.scope() }
    }

    fn ttl(&mut self) -> Ttl {
        Ttl::from_seconds(self.pick(&[900, 3_600, 7_200]))
    }

    fn recorded(&mut self) -> Recorded {
        self.pick(&[Recorded::None, Recorded::Metadata, Recorded::Full])
    }

    fn approvals(&mut self) -> Vec<String> {
        self.option(|c| c.pick(&["lead", "peer"]).to_owned()).into_iter().collect()
    }

    fn at_most(&mut self) -> Option<AtMost> {
        self.option(|c| AtMost { count: 2, per: c.ttl() })
    }

    fn limits(&mut self, index: usize) -> Limits {
        let mut per_kind = || PerKind {
            human: self.option(Self::ttl),
            service: self.option(Self::ttl),
            agent: self.option(Self::ttl),
        };
        let lifetime = per_kind();
        Limits {
            name: format!("l{index}"),
            on: self.on(),
            to: self.to(),
            lifetime,
            extend: PerKind { human: self.option(|c| c.pick(&[0, 1])), service: None, agent: self.option(|_| 0) },
            standing_denied: self.maybe(),
            recorded: self.option(Self::recorded),
            approvals: self.approvals(),
            reason: self.maybe(),
            ticket: self.option(|_| "INC-.*".to_owned()),
            mfa: self.maybe(),
            hours: self.hours(),
            cooldown: self.option(Self::ttl),
            at_most: self.at_most(),
        }
    }

    pub(super) fn grant(&mut self, index: usize) -> Grant {
        let glass = self.option(|c| BreakGlass {
            waives_approval: c.maybe(),
            notify: Vec::new(),
            within: c.ttl(),
            review: Quorum { count: 1, from: vec!["g0".into()] },
        });
        Grant {
            id: format!("grant{index}"),
            on: if glass.is_some() { self.on() } else { vec![self.pick(&CONNECTIONS).to_owned()] },
            to: self.principals(),
            mode: if glass.is_none() && self.maybe() { Mode::Standing } else { Mode::Requested },
            lifetime: self.ttl(),
            extend: self.pick(&[0, 2]),
            extend_by: self.ttl(),
            permit: self.ops(),
            scope: self.scope(),
            recorded: self.recorded(),
            approvals: self.approvals(),
            reveal: self.option(|c| c.pick(&["pii.*", "pii.mail"]).to_owned()).into_iter().collect(),
            hours: self.hours(),
            valid: self.valid(),
            reason: self.maybe(),
            ticket: self.option(|_| "PAY-.*".to_owned()),
            mfa: self.maybe(),
            cooldown: self.option(Self::ttl),
            at_most: self.at_most(),
            beside: Vec::new(),
            break_glass: glass,
        }
    }

    fn guard(&mut self, index: usize) -> Guard {
        Guard {
            name: format!("guard{index}"),
            on: self.on(),
            to: self.to(),
            blocks: self.list(1, |c, _| c.region()),
            only: self.option(Self::region).into_iter().collect(),
            reviews: self.list(1, |c, _| Review { region: c.region(), by: "peer".into() }),
            argv: Vec::new(),
            rows: self.option(|c| c.pick(&[10, 20])),
            seconds: None,
            bytes: None,
            hours: self.hours(),
        }
    }

    pub(super) fn mask(&mut self, index: usize) -> Mask {
        Mask {
            name: format!("mask{index}"),
            on: self.option(Self::on),
            to: self.to(),
            classes: self.option(|c| c.pick(&["pii.*", "pci.pan"]).to_owned()).into_iter().collect(),
            columns: self.option(|c| c.pick(&["a.x.mail", "*.xy.name"]).to_owned()).into_iter().collect(),
            patterns: self.option(|_| ("[0-9]+".to_owned(), None)).into_iter().collect(),
            json: Vec::new(),
            mask: self.pick(&[MaskAs::Hash, MaskAs::Nullify, MaskAs::Partial { keep_first: 1, keep_last: 0 }]),
            reveal_by_grant: self.maybe(),
        }
    }

    pub(super) fn rules(&mut self) -> Rules {
        // A group nests only in later ones, so there is no cycle.
        let groups = GROUPS.iter().enumerate().map(|(index, name)| Group {
            name: (*name).to_owned(),
            idp: "corp".into(),
            kind: self.option(Self::kind),
            ids: Vec::new(),
            claim_values: vec![(*name).to_owned()],
            within: GROUPS[index + 1..].iter().filter(|_| self.maybe()).map(|name| (*name).to_owned()).collect(),
            size_min: None,
            size_max: None,
        });
        let groups = groups.collect();
        Rules {
            name: "universe".into(),
            timezone: "UTC".into(),
            idps: vec![idp("corp")],
            groups,
            disjoint: self.option(|_| vec!["g0".into(), "g2".into()]).into_iter().collect(),
            connections: CONNECTIONS.iter().map(|name| connection(name)).collect(),
            limits: self.list(2, Self::limits),
            masks: self.list(2, Self::mask),
            guards: self.list(2, Self::guard),
            approvals: ["lead", "peer"].into_iter().map(approval).collect(),
            grants: self.list(3, Self::grant),
            forbids: self.list(2, |c, index| Forbid {
                name: format!("forbid{index}"),
                on: c.on(),
                to: c.principals(),
                hours: c.hours(),
                valid: c.valid(),
            }),
            ..Rules::default()
        }
    }
}

fn approval(name: &str) -> Approval {
    Approval {
        name: name.into(),
        quorum: vec![Quorum { count: 1, from: vec!["g0".into()] }],
        separate: true,
        answer_within: Ttl::from_seconds(3_600),
        notify: Vec::new(),
    }
}
