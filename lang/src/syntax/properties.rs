//! Properties of the parser and the formatter over random texts, with the `kdl` crate as the reference of what is KDL.

use super::{
    parse, print,
    tree::{self, Scalar, TreeNode},
};
use crate::{diag::Sink, diag::apply, span::SourceMap};
use proptest::prelude::*;
use std::fmt::Write as _;

/// The example repository, which is correct and covers nearly all of the language.
pub(super) const POLICIES: &[(&str, &str)] = &[
    ("policy.kdl", include_str!("../../../policies/policy.kdl")),
    ("identity/entra.kdl", include_str!("../../../policies/identity/entra.kdl")),
    ("connections/prod.kdl", include_str!("../../../policies/connections/prod.kdl")),
    ("connections/nonprod.kdl", include_str!("../../../policies/connections/nonprod.kdl")),
    ("catalog/payments-db.kdl", include_str!("../../../policies/catalog/payments-db.kdl")),
    ("guard/approvals.kdl", include_str!("../../../policies/guard/approvals.kdl")),
    ("guard/guards.kdl", include_str!("../../../policies/guard/guards.kdl")),
    ("guard/masks.kdl", include_str!("../../../policies/guard/masks.kdl")),
    ("teams/teams.kdl", include_str!("../../../policies/teams/teams.kdl")),
    ("teams/dev.kdl", include_str!("../../../policies/teams/dev.kdl")),
    ("teams/platform/grants.kdl", include_str!("../../../policies/teams/platform/grants.kdl")),
    ("teams/payments/grants.kdl", include_str!("../../../policies/teams/payments/grants.kdl")),
    ("tests/access.kdl", include_str!("../../../policies/tests/access.kdl")),
    ("tests/nonprod.kdl", include_str!("../../../policies/tests/nonprod.kdl")),
];

#[test]
fn the_example_repository_has_no_mistake_of_form() {
    let mut sources = SourceMap::new();
    let mut sink = Sink::new();
    for (path, text) in POLICIES {
        let id = sources.add(*path, *text);
        let document = parse(id, &sources, &mut sink);
        assert!(!document.broken && !document.nodes.is_empty(), "{path}");
    }
    assert_eq!(sink.finish(&sources), []);
}

#[test]
fn the_example_repository_is_formatted() {
    for (path, text) in POLICIES {
        let id = SourceMap::new().add(*path, "");
        let out = print::format(id, text).unwrap();
        assert_eq!(&out, text, "{path}");
    }
}

/// A tree in a form that both readers can be brought into.
fn ours(nodes: &[TreeNode]) -> Vec<String> {
    let mut out = Vec::new();
    for node in nodes {
        let mut line = format!("{:?} {:?}", node.annotation.as_ref().map(|a| &a.value), node.name.value);
        for entry in &node.entries {
            let value = match &entry.scalar {
                Scalar::Text(text) => format!("{text:?}"),
                Scalar::Integer(number) => number.to_string(),
                Scalar::Float => "float".to_owned(),
                Scalar::Bool(value) => format!("#{value}"),
                Scalar::Null => "#null".to_owned(),
                Scalar::Bad(text) => panic!("`{text}` was not reported"),
            };
            let key = entry.key.as_ref().map(|key| &key.value);
            write!(line, " {key:?} {:?} {value}", entry.annotation.as_ref().map(|a| &a.value)).unwrap();
        }
        out.push(line);
        if let Some(children) = &node.children {
            out.push("{".to_owned());
            out.extend(ours(children));
            out.push("}".to_owned());
        }
    }
    out
}

fn theirs(document: &kdl::KdlDocument) -> Vec<String> {
    let mut out = Vec::new();
    for node in document.nodes() {
        let mut line = format!("{:?} {:?}", node.ty().map(kdl::KdlIdentifier::value), node.name().value());
        for entry in node.entries() {
            let value = match entry.value() {
                kdl::KdlValue::String(text) => format!("{text:?}"),
                kdl::KdlValue::Integer(number) => number.to_string(),
                kdl::KdlValue::Float(_) => "float".to_owned(),
                kdl::KdlValue::Bool(value) => format!("#{value}"),
                kdl::KdlValue::Null => "#null".to_owned(),
            };
            let key = entry.name().map(kdl::KdlIdentifier::value);
            write!(line, " {key:?} {:?} {value}", entry.ty().map(kdl::KdlIdentifier::value)).unwrap();
        }
        out.push(line);
        if let Some(children) = node.children() {
            out.push("{".to_owned());
            out.extend(theirs(children));
            out.push("}".to_owned());
        }
    }
    out
}

/// What both readers say; `None` for a text that is not KDL.
fn both(text: &str) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let id = SourceMap::new().add("a.kdl", "");
    let tree = tree::read(id, text);
    let ours = tree.mistakes.is_empty().then(|| ours(&tree.nodes));
    (ours, kdl::KdlDocument::parse_v2(text).ok().as_ref().map(theirs))
}

/// Texts out of pieces that matter to KDL, so that many are correct and the others nearly so.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just(" "),
        2 => Just("\n"),
        2 => Just(";"),
        3 => prop_oneof![Just("a"), Just("b.c*"), Just("group:x"), Just("-"), Just("ä"), Just("-a"), Just(".a")],
        2 => prop_oneof![Just("\"q\""), Just("\"\\n\\u{e9}\""), Just("\"\""), Just("\"a\\  \n b\""), Just("\"\\x\"")],
        1 => prop_oneof![Just("#\"r\"#"), Just("##\"r\"#\"##"), Just("#\"\"#"), Just("\"\"\"\n  m\n   n\n  \"\"\""), Just("#\"\"\"\nm\n\"\"\"#")],
        2 => prop_oneof![Just("1"), Just("-1_0"), Just("1.5"), Just("0x1f"), Just("1e3"), Just("15m"), Just("1."), Just("0b12")],
        1 => prop_oneof![Just("#true"), Just("#null"), Just("#inf"), Just("true"), Just("nan"), Just("#tru")],
        2 => Just("="),
        2 => Just("{"),
        2 => Just("}"),
        1 => prop_oneof![Just("("), Just(")"), Just("(t)"), Just("( t )")],
        1 => Just("/-"),
        1 => prop_oneof![Just("// c\n"), Just("/* c */"), Just("/* /* */ */"), Just("/*")],
        1 => prop_oneof![Just("\\\n"), Just("\\ // c\n"), Just("\\"), Just("/"), Just("["), Just("\r\n"), Just("\u{2028}")],
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// A correct policy with a few bytes changed.
fn mutated() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0_usize..6, pieces());
    (0..POLICIES.len(), prop::collection::vec(change, 1..4)).prop_map(|(which, changes)| {
        let mut text = POLICIES[which].1.to_owned();
        for (at, length, insert) in changes {
            let mut start = at.index(text.len());
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            let mut end = (start + length).min(text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            text.replace_range(start..end, &insert);
        }
        text
    })
}

fn survives(text: &str) {
    let mut sources = SourceMap::new();
    let id = sources.add("a.kdl", text);
    let mut sink = Sink::new();
    parse(id, &sources, &mut sink);
    for found in sink.finish(&sources) {
        let places = found.primary.iter().chain(&found.secondary).map(|label| label.span);
        for span in places.chain(found.fix.iter().flat_map(|fix| &fix.edits).map(|edit| edit.span)) {
            assert!(text.get(span.start as usize..span.end as usize).is_some(), "{found:?} in {text:?}");
        }
        if let Some(fix) = &found.fix {
            apply(text, id, &fix.edits).unwrap();
        }
    }
}

fn formats_faithfully(text: &str) {
    let id = SourceMap::new().add("a.kdl", "");
    match print::format(id, text) {
        Ok(out) => assert_eq!(print::format(id, &out).as_ref(), Ok(&out), "{text:?}"),
        Err(error) => assert_eq!(error, print::FormatError::Broken, "{text:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics_and_every_place_exists(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn no_nearly_correct_text_panics(text in prop_oneof![3 => pieces(), 1 => mutated()]) {
        survives(&text);
        formats_faithfully(&text);
    }

    #[test]
    fn the_reference_reads_the_same(text in prop_oneof![4 => pieces(), 1 => mutated()]) {
        // The reference refuses a `;` after a removed node, which the grammar permits.
        if text.contains("/-") && text.contains(';') {
            return Ok(());
        }
        let (ours, theirs) = both(&text);
        // The reference also permits a removed value behind a block, which the grammar refuses.
        if ours.is_none() && text.contains("/-") && text.contains('}') {
            return Ok(());
        }
        prop_assert_eq!(ours, theirs, "{:?}", text);
    }
}
