//! Choices read from bytes, for tests that draw policies: at the end of the bytes every choice is the plainest one, so
//! that failures shrink to little. With them what every drawn policy has. The property tests of the compiler read the
//! same file.

use lang::{
    program::{
        SubjectKind,
        rules::{Claims, Classified, Connection, Credential, Idp, IdpFlavour, Masking, Principal, Tls},
    },
    protocol::{ConnectionKind, OpSet, Operation},
    time::Ttl,
};

pub(super) const GROUPS: [&str; 3] = ["g0", "g1", "g2"];
pub(super) const OPS: [Operation; 3] = [Operation::Select, Operation::Insert, Operation::DdlDrop];

/// Bytes that decide.
pub(super) struct Choices<'a>(pub(super) std::slice::Iter<'a, u8>);

impl Choices<'_> {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % bound
    }

    pub(super) fn maybe(&mut self) -> bool {
        self.below(3) == 2
    }

    pub(super) fn option<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.maybe() { Some(make(self)) } else { None }
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    pub(super) fn list<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self, usize) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|index| make(self, index)).collect()
    }

    pub(super) fn kind(&mut self) -> SubjectKind {
        self.pick(&SubjectKind::ALL)
    }

    pub(super) fn ops(&mut self) -> OpSet {
        (0..=self.below(3)).map(|_| self.pick(&OPS)).collect()
    }

    pub(super) fn principal(&mut self) -> Principal {
        let mut groups: Vec<String> = vec![self.pick(&GROUPS).to_owned()];
        groups.extend(self.option(|c| c.pick(&GROUPS).to_owned()));
        groups.sort();
        groups.dedup();
        let kind = self.option(Self::kind);
        if kind.is_some() && self.maybe() {
            groups.clear();
        }
        Principal { groups, kind }
    }
}

pub(super) fn idp(name: &str) -> Idp {
    Idp {
        name: name.into(),
        flavour: IdpFlavour::Oidc { issuer: format!("https://{name}.example.com") },
        audiences: vec!["leasehold".into()],
        claims: Claims::default(),
        mfa_value: None,
        mfa_age: None,
        algorithms: Vec::new(),
        leeway: Ttl::from_seconds(60),
    }
}

pub(super) fn connection(name: &str) -> Connection {
    let classified = |object: &str, column: Option<&str>, class: &str| Classified {
        object: object.into(),
        column: column.map(str::to_owned),
        class: class.into(),
    };
    Connection {
        name: name.into(),
        kind: ConnectionKind::Postgres,
        owner: None,
        address: "db.internal:5432".into(),
        database: Some("app".into()),
        credential: Credential { source: "env".into(), reference: "DB".into(), user: "app".into() },
        tls: Tls::Off,
        masking: Masking::Rewrite,
        labels: Vec::new(),
        settings: Vec::new(),
        classified: vec![classified("a.x", Some("mail"), "pii.mail"), classified("b.*", None, "pci.pan")],
        unlisted_hidden: Some(false),
        listed: None,
    }
}
