//! The registry of rules: one table of every code, its weight, what it finds and whether it can be suppressed.
//! A code is never reused, and a check that is not in this table does not exist.

use super::Severity;
use std::fmt;

/// Whether an `allow` may silence a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppression {
    /// Wherever the finding stands.
    Anywhere,
    /// Only by an `allow` outside every team's folder.
    OutsideTeams,
    /// Not at all.
    Never,
}

/// What the table says about suppression.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// When the finding is not an error.
    UnlessError,
    /// Also when it is an error, outside team folders.
    EvenError,
    /// Not at all.
    Never,
}

macro_rules! codes {
    ($( $code:ident $severity:ident $silence:ident $summary:literal; )*) => {
        /// A rule of the policy language.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $( #[doc = $summary] $code, )* }

        impl Code {
            /// Every code, ascending.
            pub const ALL: &'static [Self] = &[ $( Self::$code, )* ];

            /// The stable id, for example `P0101`.
            pub const fn id(self) -> &'static str {
                match self { $( Self::$code => stringify!($code), )* }
            }

            /// The weight unless a check knows better.
            pub const fn severity(self) -> Severity {
                match self { $( Self::$code => Severity::$severity, )* }
            }

            /// What the rule finds, in one line.
            pub const fn summary(self) -> &'static str {
                match self { $( Self::$code => $summary, )* }
            }

            const fn silence(self) -> Silence {
                match self { $( Self::$code => Silence::$silence, )* }
            }
        }
    };
}

codes! {
    P0001 Error UnlessError "the text is not KDL";
    P0002 Error UnlessError "a duration, date or time stands without quotes";
    P0003 Error UnlessError "unknown node or clause";
    P0004 Error UnlessError "unknown property or argument, or a value of the wrong type";
    P0005 Error Never "duplicate property or duplicate single-valued clause";
    P0006 Error UnlessError "a KDL v1 document, or a bare `true`, `false` or `null`";
    P0007 Error UnlessError "a YAML habit: `to:` or `- item`";
    P0008 Error UnlessError "a limit is exceeded: file size, nesting depth, node count, include depth or classes of requests";
    P0009 Error UnlessError "a required clause, property or argument is missing";
    P0101 Error UnlessError "undefined reference";
    P0102 Error UnlessError "duplicate id";
    P0103 Warning UnlessError "unused definition";
    P0104 Error UnlessError "ambiguous or confusable names";
    P0105 Error UnlessError "a name shadows a built-in family of operations";
    P0106 Error UnlessError "an include matches no file, or no include reaches a file";
    P0201 Error UnlessError "groups nest in a cycle";
    P0202 Warning UnlessError "a group has neither an id nor members and can never match";
    P0203 Error Never "two groups share one object id, or an id is not a UUID";
    P0204 Error UnlessError "nesting mixes kinds of subject";
    P0205 Error Never "nesting contradicts `disjoint`";
    P0206 Error Never "a forbid or an obligation depends on groups whose idp does not handle overage";
    P0207 Warning UnlessError "a grant to a parent group reaches a group of another team";
    P0208 Warning UnlessError "the declared size contradicts the directory snapshot";
    P0301 Error UnlessError "a connection has no owner";
    P0302 Warning UnlessError "no grant reaches a connection";
    P0303 Error UnlessError "a selector matches nothing";
    P0304 Error UnlessError "a label key or value is outside the vocabulary";
    P0305 Error Never "a secret stands in the policy";
    P0306 Warning UnlessError "connections of different environments or owners share one credential";
    P0307 Warning UnlessError "a production connection has no data label, or neither `classify` nor a catalog";
    P0308 Error UnlessError "a class, table or column is not in the catalog snapshot";
    P0309 Error UnlessError "two connections have the same address and different labels";
    P0310 Warning UnlessError "no `limits` covers a connection";
    P0401 Error UnlessError "conflicting lifetimes";
    P0402 Error UnlessError "conflicting approvals";
    P0403 Error UnlessError "conflicting recording";
    P0404 Error UnlessError "a standing grant beside a requested one for the same people";
    P0405 Error Never "a grant exceeds `limits` or `delegate`";
    P0406 Warning UnlessError "a requested grant may last too long to be just in time";
    P0407 Error Never "an unrecorded grant on production or to agents";
    P0408 Warning UnlessError "a standing grant to agents or services";
    P0409 Warning UnlessError "a grant to everyone or to an unbounded group on production";
    P0410 Error EvenError "a grant is shadowed by others";
    P0411 Warning UnlessError "a redundant grant: its removal changes no decision";
    P0412 Info UnlessError "a grant generalises another";
    P0413 Warning UnlessError "a dead grant: everything it permits is denied";
    P0414 Warning UnlessError "a partially dead grant: an operation or table is never usable";
    P0415 Error UnlessError "hours are empty, or an instant is ambiguous when the clocks change";
    P0416 Warning UnlessError "an extension is longer than the lifetime";
    P0417 Warning UnlessError "an approval stands on a grant only: the next grant routes around it";
    P0418 Warning UnlessError "break-glass is broader than all normal grants of the same people";
    P0419 Info UnlessError "a grant was not used for 90 days";
    P0420 Warning UnlessError "requests without approval can be chained back to back";
    P0421 Error Never "the connection's kind cannot enforce a rule";
    P0422 Warning UnlessError "this version does not enforce a node or clause; the gateway refuses instead";
    P0501 Error UnlessError "an approval can never be satisfied";
    P0502 Error EvenError "the approvers are the requesters and too few";
    P0503 Error Never "an approver group is empty or holds agents or services";
    P0504 Warning UnlessError "requesters and approvers are the same two people";
    P0505 Error UnlessError "no set of distinct people satisfies an approval";
    P0506 Warning UnlessError "an answer may come after the access has ended";
    P0507 Info UnlessError "an approval is contained in another";
    P0601 Warning UnlessError "a dead mask: nothing matches it";
    P0602 Error Never "a grant reveals a class that a mask never reveals";
    P0603 Warning UnlessError "a mask is reachable only by grants that never read";
    P0604 Warning UnlessError "a pattern mask where a catalog exists";
    P0605 Error UnlessError "a regular expression is not linear-time, or matches the empty text";
    P0606 Warning UnlessError "a write path leaks a masked class";
    P0607 Warning UnlessError "a class is masked for some subject kinds and raw for another";
    P0608 Warning UnlessError "two different `fixed` values at one point";
    P0701 Error UnlessError "guards contradict each other and leave nothing";
    P0702 Warning UnlessError "no grant reaches a guard or forbid";
    P0703 Error UnlessError "no selected connection knows an operation";
    P0704 Error Never "an interactive shell is permitted where argv guards exist";
    P0706 Error UnlessError "a review names an approval that can never be satisfied";
    P0707 Warning UnlessError "a forbid depends on a group whose absence cannot be proved";
    P0709 Error EvenError "escalation: somebody can change what controls access";
    P0801 Error Never "a team's folder holds what it may not";
    P0802 Error Never "a rule in a team's folder reaches a connection outside the team's delegation";
    P0803 Warning UnlessError "maintainers of a folder are subjects of its broadest grant";
    P0804 Error UnlessError "the generated CODEOWNERS file is stale";
    P0805 Error Never "team folders overlap";
    P0806 Error Never "`operate` is granted to agents";
    P0901 Error UnlessError "a test failed or an assertion is violated";
    P0902 Warning UnlessError "no test covers a grant";
    P0903 Warning UnlessError "a vacuous test or assertion: its premise matches nothing";
    P0904 Warning UnlessError "a test's instant lies outside all hours it concerns";
    P1001 Info UnlessError "a file is not formatted";
    P1002 Warning UnlessError "a production rule has no description";
    P1003 Warning UnlessError "an expired rule is still present";
    P1004 Warning UnlessError "an identifier mixes scripts or holds confusable characters";
    P1005 Warning UnlessError "a policy node is slashdashed";
    P1006 Warning UnlessError "a production rule has an open TODO";
    P1007 Warning UnlessError "two rules are copies of each other";
    P1008 Info UnlessError "several grants could be one with a selector";
    P1009 Error UnlessError "a suppression is expired, has no reason or suppresses nothing";
}

impl Code {
    /// The code with this id.
    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.id() == id)
    }

    /// Whether an `allow` may silence a finding of this code that weighs `severity`.
    pub const fn suppression(self, severity: Severity) -> Suppression {
        match (self.silence(), severity) {
            (Silence::Never, _) | (Silence::UnlessError, Severity::Error) => Suppression::Never,
            (Silence::EvenError, Severity::Error) => Suppression::OutsideTeams,
            (Silence::UnlessError | Silence::EvenError, Severity::Warning | Severity::Info) => Suppression::Anywhere,
        }
    }

    /// Whether any finding of this code can be silenced.
    pub const fn is_ever_suppressible(self) -> bool {
        !matches!(self.silence(), Silence::Never)
    }

    /// The address of the page about this rule.
    pub fn docs(self) -> String {
        format!("https://leasehold.dev/rules/{}", self.id())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_and_read_back() {
        assert_eq!(Code::ALL.len(), 96);
        for pair in Code::ALL.windows(2) {
            assert!(pair[0].id() < pair[1].id(), "{} before {}", pair[0], pair[1]);
        }
        for code in Code::ALL {
            assert_eq!(Code::parse(code.id()), Some(*code));
            assert!(!code.summary().ends_with('.'), "{code}");
        }
        assert_eq!(Code::parse("P9999"), None);
    }

    #[test]
    fn suppression_follows_the_language() {
        assert_eq!(Code::P0101.suppression(Severity::Error), Suppression::Never);
        assert_eq!(Code::P0302.suppression(Severity::Warning), Suppression::Anywhere);
        assert_eq!(Code::P0410.suppression(Severity::Error), Suppression::OutsideTeams);
        assert_eq!(Code::P0410.suppression(Severity::Warning), Suppression::Anywhere);
        assert_eq!(Code::P0305.suppression(Severity::Error), Suppression::Never);
        let outside: Vec<_> = Code::ALL
            .iter()
            .filter(|code| code.suppression(Severity::Error) == Suppression::OutsideTeams)
            .map(|code| code.id())
            .collect();
        assert_eq!(outside, ["P0410", "P0502", "P0709"]);
    }
}
