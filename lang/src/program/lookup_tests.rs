//! What the tables answer beside decisions: whether a ticket will do, and which masks a session has. The gateway asks
//! both.

use super::{
    Program, SourceTable, SubjectKind,
    choices::Choices,
    patterns::Form,
    rules::{Mask, MaskAs, Principal, Rules, To},
};

/// The plainest universe: one grant for `g0` on `c0`, and these masks.
fn program(masks: Vec<Mask>, ticket: Option<&str>) -> Program {
    let mut plain = Choices([].iter());
    let mut grant = plain.grant(0);
    grant.ticket = ticket.map(str::to_owned);
    let rules = Rules { grants: vec![grant], masks, ..plain.rules() };
    Program::new(rules, SourceTable::default()).unwrap()
}

#[test]
fn a_ticket_matches_as_a_whole_and_only_by_an_expression_of_the_policy() {
    let program = program(Vec::new(), Some("INC-[0-9]+|CHG-1"));
    for (ticket, fits) in [
        ("INC-7", true),
        ("CHG-1", true),
        ("INC-", false),
        ("xINC-7", false),
        ("INC-7x", false),
        ("CHG-12", false),
        ("INC-7\nCHG-1", false),
        ("", false),
    ] {
        assert_eq!(program.ticket_matches("INC-[0-9]+|CHG-1", ticket), fits, "{ticket:?}");
    }
    assert!(!program.ticket_matches(".*", "INC-7"), "no rule of the policy has this expression");
}

#[test]
fn a_mask_for_everybody_holds_for_every_session() {
    let mask = |name: &str, to: To| Mask {
        name: name.into(),
        to,
        classes: vec!["pii.*".into()],
        patterns: vec![("[0-9]+".into(), None)],
        mask: MaskAs::Redact,
        ..Choices([].iter()).mask(0)
    };
    let others = To::Any(vec![Principal { groups: vec!["g1".into()], kind: None }]);
    let program = program(vec![mask("of-all", To::Everybody), mask("of-others", others.clone())], None);
    let grant = program.rules().grants.first().unwrap();
    for (group, own, sees) in
        [("g0", &["of-all"][..], "a [redacted]"), ("g1", &["of-all", "of-others"], "a [redacted]")]
    {
        let subject = program.subject_of(SubjectKind::Human, &[group.to_owned()], false).unwrap();
        assert_eq!(program.mask_class(&subject, grant, "c0").masks, own, "{group}");
        let shown = program.patterns(&subject, "c0").replaced(b"a 17", Form::Text, &|_| String::new());
        assert_eq!(shown.as_deref(), Some(sees.as_bytes()), "{group}");
    }
    let all = program.mask_classes("c0").unwrap();
    assert!(!all.is_empty() && all.keys().all(|class| class.masks.contains(&"of-all".to_owned())), "{all:?}");
    // One for others alone touches nothing of the rest.
    let program = self::program(vec![mask("of-others", others)], None);
    let subject = program.subject_of(SubjectKind::Human, &["g0".to_owned()], false).unwrap();
    assert!(program.patterns(&subject, "c0").replaced(b"a 17", Form::Text, &|_| String::new()).is_none());
}
