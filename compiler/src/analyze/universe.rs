//! Small policies for the properties: three groups, three principals, one connection, and every clause that decides.

use super::choices::{Choices, GROUPS, connection, idp};
use lang::{
    program::{
        Scope, SubjectKind,
        rules::{
            Approval, AtMost, BreakGlass, Forbid, Grant, Group, Guard, Limits, Mask, MaskAs, Mode, PerKind, Principal,
            Quorum, Recorded, Region, Review, Rules, To,
        },
    },
    time::{Hours, Ttl, Valid},
};

pub(super) const IDS: [&str; 3] = ["i0", "i1", "i2"];
pub(super) const CONNECTION: &str = "c";

impl Choices<'_> {
    fn principals(&mut self) -> Vec<Principal> {
        let mut all = vec![self.principal()];
        all.extend(self.option(Self::principal));
        all.sort();
        all.dedup();
        all
    }

    fn to(&mut self) -> To {
        if self.maybe() { To::Everybody } else { To::Any(self.principals()) }
    }

    fn hours(&mut self) -> Option<Hours> {
        if self.maybe() {
            self.option(|c| Hours::parse(c.pick(&["Mon-Fri 09:00-17:00", "Mon-Sun 22:00-06:00"])).unwrap())
        } else {
            None
        }
    }

    fn valid(&mut self) -> Option<Valid> {
        if !self.maybe() {
            return None;
        }
        self.option(|c| Valid {
            from: c.option(|c| Valid::parse_day(c.pick(&["2026-05-05", "2026-05-04"])).unwrap()),
            until: c.option(|c| Valid::parse_day(c.pick(&["2026-05-03", "2026-05-05", "2026-05-09"])).unwrap()),
        })
    }

    fn scope(&mut self) -> Scope {
        let mut tables = self.list(2, |c, _| c.pick(&["a.*", "a.x", "*.x*", "b.xy"]).to_owned());
        tables.sort();
        tables.dedup();
        Scope { tables, ..Scope::default() }
    }

    fn region(&mut self) -> Region {
        Region { ops: self.ops(), scope: self.scope() }
    }

    fn ttl(&mut self) -> Ttl {
        Ttl::from_seconds(self.pick(&[900, 3_600]))
    }

    fn approvals(&mut self) -> Vec<String> {
        self.option(|c| c.pick(&["lead", "peer"]).to_owned()).into_iter().collect()
    }

    fn at_most(&mut self) -> Option<AtMost> {
        self.option(|c| AtMost { count: 2, per: c.ttl() })
    }

    fn limits(&mut self, index: usize) -> Limits {
        Limits {
            name: format!("l{index}"),
            on: vec![CONNECTION.into()],
            to: self.to(),
            lifetime: PerKind { human: self.option(Self::ttl), service: None, agent: self.option(Self::ttl) },
            extend: PerKind { human: self.option(|c| c.pick(&[0, 1])), service: None, agent: self.option(|_| 0) },
            standing_denied: self.maybe(),
            recorded: self.option(|_| Recorded::Full),
            approvals: self.approvals(),
            reason: self.maybe(),
            ticket: self.option(|_| "INC-.*".to_owned()),
            mfa: self.maybe(),
            hours: self.hours(),
            cooldown: self.option(Self::ttl),
            at_most: self.at_most(),
        }
    }

    fn grant(&mut self, index: usize) -> Grant {
        let glass = self.option(Self::maybe).filter(|glass| *glass).map(|_| BreakGlass {
            waives_approval: self.maybe(),
            notify: self.option(|_| "soc".to_owned()).into_iter().collect(),
            within: self.ttl(),
            review: Quorum { count: 1, from: vec![self.pick(&GROUPS).to_owned()] },
        });
        Grant {
            id: format!("grant{index}"),
            on: vec![CONNECTION.into()],
            to: self.principals(),
            mode: if glass.is_none() && self.maybe() { Mode::Standing } else { Mode::Requested },
            lifetime: self.ttl(),
            extend: self.pick(&[0, 0, 2]),
            extend_by: Ttl::from_seconds(900),
            permit: self.ops(),
            scope: self.scope(),
            recorded: self.pick(&[Recorded::Full, Recorded::Metadata]),
            approvals: self.approvals(),
            reveal: self.option(|c| c.pick(&["pii.*", "pii.mail"]).to_owned()).into_iter().collect(),
            hours: self.hours(),
            valid: self.valid(),
            reason: self.maybe(),
            ticket: self.option(|_| "PAY-.*".to_owned()),
            mfa: false,
            cooldown: None,
            at_most: self.at_most(),
            beside: Vec::new(),
            break_glass: glass,
        }
    }

    fn guard(&mut self, index: usize) -> Guard {
        Guard {
            name: format!("guard{index}"),
            on: vec![CONNECTION.into()],
            to: self.to(),
            blocks: self.list(1, |c, _| c.region()),
            only: self.option(Self::region).into_iter().collect(),
            reviews: self.list(1, |c, _| Review { region: c.region(), by: c.pick(&["peer", "lead"]).into() }),
            argv: Vec::new(),
            rows: self.option(|c| c.pick(&[10, 20])),
            seconds: None,
            bytes: None,
            hours: self.hours(),
        }
    }

    fn mask(&mut self, index: usize) -> Mask {
        Mask {
            name: format!("mask{index}"),
            on: self.option(|_| vec![CONNECTION.into()]),
            to: self.to(),
            classes: self.option(|c| c.pick(&["pii.*", "pci.pan"]).to_owned()).into_iter().collect(),
            columns: self.option(|c| c.pick(&["a.x.mail", "*.xy.name"]).to_owned()).into_iter().collect(),
            patterns: self.option(|_| ("[0-9]+".to_owned(), None)).into_iter().collect(),
            json: Vec::new(),
            mask: self.pick(&[
                MaskAs::Hash,
                MaskAs::Nullify,
                MaskAs::Partial { keep_first: 1, keep_last: 0 },
                MaskAs::Partial { keep_first: 0, keep_last: 2 },
            ]),
            reveal_by_grant: self.maybe(),
        }
    }

    fn groups(&mut self) -> Vec<Group> {
        let second = self.below(8) == 7;
        GROUPS
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let mut ids: Vec<String> = if self.below(3) == 0 {
                    self.list(2, |c, _| c.pick(&IDS).to_owned())
                } else {
                    vec![IDS[index].to_owned()]
                };
                ids.sort();
                ids.dedup();
                Group {
                    name: (*name).to_owned(),
                    idp: if second && index == 2 { "other".into() } else { "corp".into() },
                    kind: self.option(|c| c.pick(&SubjectKind::ALL)),
                    ids: Vec::new(),
                    claim_values: ids,
                    within: GROUPS[index + 1..]
                        .iter()
                        .filter(|_| self.maybe())
                        .map(|name| (*name).to_owned())
                        .collect(),
                    size_min: None,
                    size_max: None,
                }
            })
            .collect()
    }

    fn approval(&mut self, name: &str) -> Approval {
        let mut quorum = vec![self.quorum()];
        quorum.extend(self.option(Self::quorum));
        quorum.sort();
        Approval {
            name: name.into(),
            quorum,
            separate: !self.maybe(),
            answer_within: Ttl::from_seconds(3_600),
            notify: Vec::new(),
        }
    }

    fn quorum(&mut self) -> Quorum {
        let mut from = vec![self.pick(&GROUPS).to_owned()];
        from.extend(self.option(|c| c.pick(&GROUPS).to_owned()));
        from.sort();
        from.dedup();
        Quorum { count: self.pick(&[1, 1, 2]), from }
    }

    fn forbid(&mut self, index: usize) -> Forbid {
        Forbid {
            name: format!("forbid{index}"),
            on: vec![CONNECTION.into()],
            to: self.principals(),
            hours: self.hours(),
            valid: self.valid(),
        }
    }

    fn rules(&mut self) -> Rules {
        let groups = self.groups();
        let mut idps = vec![idp("corp")];
        if groups.iter().any(|group| group.idp == "other") || self.below(8) == 7 {
            idps.push(idp("other"));
        }
        Rules {
            name: "universe".into(),
            timezone: "UTC".into(),
            idps,
            groups,
            disjoint: self
                .option(|c| c.pick(&[["g0", "g2"], ["g0", "g1"]]).map(str::to_owned).to_vec())
                .into_iter()
                .collect(),
            connections: vec![connection(CONNECTION)],
            limits: self.list(2, Self::limits),
            masks: self.list(2, Self::mask),
            guards: self.list(2, Self::guard),
            approvals: ["lead", "peer"].into_iter().map(|name| self.approval(name)).collect(),
            grants: self.list(3, Self::grant),
            forbids: self.list(1, Self::forbid),
            ..Rules::default()
        }
    }

    /// A revision of a policy: every part is kept, or drawn anew.
    fn revised(&mut self, old: &Rules) -> Rules {
        let mut new = self.rules();
        if !self.maybe() {
            new.groups.clone_from(&old.groups);
            new.idps.clone_from(&old.idps);
        }
        let keep = |c: &mut Self| !c.maybe();
        if keep(self) {
            new.disjoint.clone_from(&old.disjoint);
        }
        if keep(self) {
            new.limits.clone_from(&old.limits);
        }
        if keep(self) {
            new.masks.clone_from(&old.masks);
        }
        if keep(self) {
            new.guards.clone_from(&old.guards);
        }
        if keep(self) {
            new.approvals.clone_from(&old.approvals);
        }
        if keep(self) {
            new.grants.clone_from(&old.grants);
        }
        if keep(self) {
            new.forbids.clone_from(&old.forbids);
        }
        if new.groups.iter().any(|group| group.idp == "other") && new.idps.len() == 1 {
            new.idps.push(idp("other"));
        }
        new
    }
}

/// A policy of the groups alone, each with its id.
pub(super) fn bare() -> Rules {
    let mut rules = Choices([].iter()).rules();
    for (group, id) in rules.groups.iter_mut().zip(IDS) {
        group.claim_values = vec![id.to_owned()];
    }
    rules
}

/// A grant, limits, a guard and a forbid that say the least that they can say.
pub(super) fn plain() -> (Grant, Limits, Guard, Forbid) {
    let mut choices = Choices([].iter());
    (choices.grant(0), choices.limits(0), choices.guard(0), choices.forbid(0))
}

/// A revision of a policy, drawn from bytes.
pub(super) fn revision(old: &Rules, bytes: &[u8]) -> Rules {
    Choices(bytes.iter()).revised(old)
}

pub(super) fn universe(bytes: &[u8]) -> (Rules, Rules) {
    let mut choices = Choices(bytes.iter());
    let old = choices.rules();
    let new = choices.revised(&old);
    (old, new)
}

pub(super) fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    (0..length)
        .map(|_| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z ^ (z >> 31)).to_le_bytes()[0]
        })
        .collect()
}
