//! The nodes that decide: limits, masks, guards, approvals, grants, forbids, break-glass, operators, and the tests
//! and assertions about them.

use super::{
    super::{ast::Referent, keyword::Keyword},
    ArgSpec, CHECKSUMS,
    Domain::{
        Aliased, Class, Day, Duration, Group, Hours, Id, Instant, Integer, Operation, Pattern, Pointer, Principal,
        Reference, Regex, Text, Words,
    },
    POWERS, PropSpec, RECORDED, RECORDED_ALIASES, SUBJECT_KINDS, Spec, WHEN, any, arg,
    estate::{ALLOW, DESCRIPTION, ON, TO},
    needed, opt, prop, some,
};

const COUNT_MAX: u64 = 1_000;

const APPROVAL_CLAUSE: Spec = Spec::new(Keyword::Approval, "Who must agree before a window opens.")
    .args(&[some("approval", Reference(Referent::Approval))])
    .many();
const RECORDED_CLAUSE: Spec = Spec::new(Keyword::Recorded, "How much of a session is recorded.")
    .args(&[arg("amount", Aliased(RECORDED, RECORDED_ALIASES))]);
const REASON: Spec =
    Spec::new(Keyword::Reason, "A reason must be stated.").args(&[arg("required", Words(&["required"]))]);
const MFA: Spec =
    Spec::new(Keyword::Mfa, "A recent multi-factor sign-in is needed.").args(&[arg("required", Words(&["required"]))]);
const TICKET: Spec = Spec::new(Keyword::Ticket, "A ticket of this form must be named.").args(&[arg("form", Regex)]);
const HOURS: Spec =
    Spec::new(Keyword::Hours, "The weekly hours in which the rule applies.").args(&[arg("hours", Hours)]);
const VALID: Spec = Spec::new(Keyword::Valid, "The civil days on which the rule applies, both included.")
    .props(&[prop("from", Day), prop("until", Day)]);
const COOLDOWN: Spec =
    Spec::new(Keyword::Cooldown, "How long after a window no next one opens.").args(&[arg("length", Duration)]);
const AT_MOST: Spec = Spec::new(Keyword::AtMost, "How many windows open in a rolling period.")
    .args(&[arg("count", Integer(0, COUNT_MAX))])
    .props(&[needed("per", Duration)]);
const PERMIT: Spec =
    Spec::new(Keyword::Permit, "The operations that are permitted.").args(&[some("operation", Operation)]);
const REVEAL: Spec =
    Spec::new(Keyword::Reveal, "The data classes that are shown unmasked.").args(&[some("class", Class)]).many();
const NOTIFY: Spec = Spec::new(Keyword::Notify, "The channels that are told.").args(&[some("channel", Text)]).many();
const WINDOW: Spec = Spec::new(Keyword::Lifetime, "How long the access lasts, and how it may be extended.")
    .args(&[arg("lifetime", Duration)])
    .props(&[prop("extend", Integer(0, COUNT_MAX)), prop("by", Duration)]);

const PATTERNS: &[ArgSpec] = &[some("pattern", Pattern)];
const TABLE: Spec = Spec::new(Keyword::Table, "Only these tables.").args(PATTERNS).many();
const NAMESPACE: Spec = Spec::new(Keyword::Namespace, "Only these namespaces.").args(PATTERNS).many();
const PATH: Spec = Spec::new(Keyword::Path, "Only these paths.").args(PATTERNS).many();
const RESOURCE: Spec = Spec::new(Keyword::Resource, "Only these resources.").args(PATTERNS).many();
const ARGV: Spec = Spec::new(Keyword::Argv, "Only these commands.").args(PATTERNS).many();
const SCOPE: &[Spec] = &[TABLE, PATH, NAMESPACE, RESOURCE, ARGV];

const OPERATIONS: &[ArgSpec] = &[some("operation", Operation)];
const SCOPE_PROPS: &[PropSpec] = &[
    prop("table", Pattern),
    prop("path", Pattern),
    prop("namespace", Pattern),
    prop("resource", Pattern),
    prop("argv", Pattern),
];
const REVIEW_PROPS: &[PropSpec] = &[
    needed("by", Reference(Referent::Approval)),
    prop("table", Pattern),
    prop("path", Pattern),
    prop("namespace", Pattern),
    prop("resource", Pattern),
    prop("argv", Pattern),
];

pub(super) const LIMITS: Spec = Spec::new(Keyword::Limits, "Ceilings and obligations that no grant exceeds or avoids.")
    .args(&[arg("name", Id)])
    .clauses(&[
        DESCRIPTION,
        ON.required(),
        TO,
        Spec::new(Keyword::Lifetime, "The longest lifetime in total, for each kind of subject.").props(&[
            prop("human", Duration),
            prop("service", Duration),
            prop("agent", Duration),
        ]),
        Spec::new(Keyword::Extend, "The most extensions, for each kind of subject.").props(&[
            prop("human", Integer(0, COUNT_MAX)),
            prop("service", Integer(0, COUNT_MAX)),
            prop("agent", Integer(0, COUNT_MAX)),
        ]),
        Spec::new(Keyword::Standing, "Whether standing access may be granted.")
            .args(&[arg("way", Words(&["deny", "permit"]))]),
        RECORDED_CLAUSE,
        APPROVAL_CLAUSE,
        REASON,
        TICKET,
        MFA,
        HOURS,
        COOLDOWN,
        AT_MOST,
        ALLOW,
    ])
    .many();

pub(super) const MASK: Spec = Spec::new(Keyword::Mask, "What is hidden in results.")
    .args(&[arg("name", Id)])
    .clauses(&[
        DESCRIPTION,
        Spec::new(Keyword::Class, "Data of these classes.").args(&[some("class", Class)]).many(),
        Spec::new(Keyword::Column, "These columns.").args(PATTERNS).many(),
        Spec::new(Keyword::Pattern, "Text that matches.")
            .args(&[arg("regex", Regex)])
            .props(&[prop("check", Words(CHECKSUMS))])
            .many(),
        Spec::new(Keyword::Json, "The values at these pointers.").args(&[some("pointer", Pointer)]).many(),
        ON,
        TO,
        Spec::new(Keyword::As, "How it is hidden.")
            .args(&[arg("way", Words(&["redact", "hash", "nullify", "partial", "fixed"])), opt("text", Text)])
            .props(&[prop("keep-first", Integer(0, COUNT_MAX)), prop("keep-last", Integer(0, COUNT_MAX))])
            .required(),
        Spec::new(Keyword::Reveal, "Whether a grant may lift the mask.")
            .args(&[arg("way", Words(&["never", "grant"]))]),
        ALLOW,
    ])
    .many();

pub(super) const GUARD: Spec = Spec::new(Keyword::Guard, "Which operations are blocked or wait for a person.")
    .args(&[arg("name", Id)])
    .clauses(&[
        DESCRIPTION,
        ON.required(),
        TO,
        Spec::new(Keyword::Block, "These operations are denied.")
            .args(OPERATIONS)
            .props(SCOPE_PROPS)
            .clauses(SCOPE)
            .many(),
        Spec::new(Keyword::Only, "Every other operation is denied.").args(OPERATIONS).props(SCOPE_PROPS).clauses(SCOPE),
        Spec::new(Keyword::Review, "These operations wait for an approval.")
            .args(OPERATIONS)
            .props(REVIEW_PROPS)
            .clauses(SCOPE)
            .many(),
        Spec::new(Keyword::Argv, "The only commands that may run.")
            .args(&[arg("permit", Words(&["permit"])), some("command", Pattern)])
            .many(),
        Spec::new(Keyword::Limit, "The most that one statement may take.").props(&[
            prop("rows", Integer(0, u32::MAX as u64)),
            prop("seconds", Integer(0, 86_400)),
            prop("bytes", Integer(0, i64::MAX as u64)),
        ]),
        HOURS,
        ALLOW,
    ])
    .many();

pub(super) const APPROVAL: Spec = Spec::new(Keyword::Approval, "Who must agree; the requester never counts.")
    .args(&[arg("name", Id)])
    .clauses(&[
        DESCRIPTION,
        Spec::new(Keyword::Quorum, "How many of a group must agree.")
            .args(&[arg("count", Integer(1, COUNT_MAX))])
            .props(&[needed("from", Group)])
            .required()
            .many(),
        Spec::new(Keyword::Separate, "Whether the lines need distinct people.")
            .args(&[arg("separate", Words(&["yes", "no"]))]),
        Spec::new(Keyword::AnswerWithin, "After which time silence is a no.").args(&[arg("length", Duration)]),
        NOTIFY,
        ALLOW,
    ])
    .many();

pub(super) const GRANT: Spec = Spec::new(Keyword::Grant, "Access to one connection.")
    .args(&[arg("connection", Reference(Referent::Connection))])
    .props(&[prop("id", Id)])
    .clauses(&[
        DESCRIPTION,
        TO.required(),
        Spec::new(Keyword::When, "Whether the access is asked for, or always there.")
            .args(&[arg("mode", Words(WHEN))])
            .required(),
        WINDOW,
        PERMIT,
        TABLE,
        NAMESPACE,
        PATH,
        ARGV,
        RECORDED_CLAUSE,
        APPROVAL_CLAUSE,
        REVEAL,
        HOURS,
        VALID,
        REASON,
        TICKET,
        MFA,
        COOLDOWN,
        AT_MOST,
        Spec::new(Keyword::Beside, "Grants whose overlap with this one is meant.")
            .args(&[some("grant", Reference(Referent::Grant))])
            .many(),
        ALLOW,
    ])
    .many();

pub(super) const FORBID: Spec = Spec::new(Keyword::Forbid, "Sessions that are refused whatever grants say.")
    .args(&[arg("name", Id)])
    .clauses(&[DESCRIPTION, TO.required(), ON.required(), HOURS, VALID, ALLOW])
    .many();

pub(super) const BREAK_GLASS: Spec = Spec::new(Keyword::BreakGlass, "Access in an emergency, always recorded in full.")
    .args(&[arg("name", Id)])
    .clauses(&[
        DESCRIPTION,
        TO.required(),
        ON.required(),
        WINDOW.required(),
        PERMIT,
        TABLE,
        NAMESPACE,
        PATH,
        ARGV,
        APPROVAL_CLAUSE,
        REVEAL,
        HOURS,
        VALID,
        REASON.required(),
        TICKET,
        MFA,
        COOLDOWN,
        AT_MOST,
        Spec::new(Keyword::Beside, "Grants whose overlap with this one is meant.")
            .args(&[some("grant", Reference(Referent::Grant))])
            .many(),
        Spec::new(Keyword::Waives, "What is not waited for.").args(&[arg("what", Words(&["approval"]))]),
        NOTIFY.required(),
        Spec::new(Keyword::Afterwards, "The review that must follow.")
            .props(&[needed("within", Duration), needed("quorum", Integer(1, COUNT_MAX)), needed("from", Group)])
            .required(),
        ALLOW,
    ])
    .many();

pub(super) const OPERATE: Spec = Spec::new(Keyword::Operate, "Who may act on other people's sessions.")
    .args(&[arg("name", Id)])
    .clauses(&[
        DESCRIPTION,
        TO.required(),
        ON.required(),
        Spec::new(Keyword::May, "What they may do.").args(&[some("power", Words(POWERS))]).required(),
        ALLOW,
    ])
    .many();

pub(super) const TEST: Spec = Spec::new(Keyword::Test, "A request and the answer it must get.")
    .args(&[arg("name", Text)])
    .clauses(&[
        Spec::new(Keyword::As, "Who asks.")
            .args(&[any("group", Group)])
            .props(&[needed("kind", Words(SUBJECT_KINDS))])
            .required(),
        Spec::new(Keyword::Open, "What is asked for.")
            .args(&[arg("connection", Reference(Referent::Connection))])
            .props(&[
                needed("op", Operation),
                prop("table", Pattern),
                prop("path", Pattern),
                prop("namespace", Pattern),
                prop("resource", Pattern),
                prop("argv", Pattern),
                prop("at", Instant),
                prop("via", Reference(Referent::Grant)),
            ])
            .required(),
        Spec::new(Keyword::Expect, "The answer.")
            .args(&[arg("answer", Words(&["requested", "standing", "denied"]))])
            .props(&[
                prop("lifetime", Duration),
                prop("recorded", Aliased(RECORDED, RECORDED_ALIASES)),
                prop("grant", Reference(Referent::Grant)),
                prop("approval", Reference(Referent::Approval)),
                prop("reason", Words(&["required", "optional"])),
                prop("mask", Reference(Referent::Rule)),
                prop("by", Reference(Referent::Rule)),
            ])
            .required(),
        ALLOW,
    ])
    .many();

pub(super) const ASSERT: Spec = Spec::new(Keyword::Assert, "A sentence that holds for every request.")
    .args(&[arg("name", Text)])
    .clauses(&[
        Spec::new(Keyword::Never, "Nothing of this kind is ever allowed.")
            .args(&[opt("raw", Words(&["raw"]))])
            .props(&[prop("when", Words(WHEN)), prop("op", Operation), prop("class", Class)]),
        Spec::new(Keyword::Only, "Nobody else is ever allowed in.")
            .args(&[any("group", Principal)])
            .props(&[prop("kind", Words(SUBJECT_KINDS))])
            .many(),
        Spec::new(Keyword::Always, "Every allowed request has this term.").props(&[
            prop("when", Words(WHEN)),
            prop("lifetime", Duration),
            prop("recorded", Aliased(RECORDED, RECORDED_ALIASES)),
            prop("approval", Reference(Referent::Approval)),
            prop("reason", Words(&["required"])),
            prop("ticket", Words(&["required"])),
            prop("mfa", Words(&["required"])),
            prop("cooldown", Duration),
        ]),
        TO,
        ON,
        Spec::new(Keyword::Where, "Only requests that can see such data.")
            .args(&[arg("raw", Words(&["raw"]))])
            .props(&[needed("class", Class)]),
        ALLOW,
    ])
    .many();
