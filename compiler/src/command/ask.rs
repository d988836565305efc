//! `who-can`, `what-can`, `why` and `why-not`: questions about a policy, answered from the tables that decide.

use super::{Failure, Terminal, count, from_here, located, root, threads};
use crate::{
    analyze::{
        ask::{self, Asked, Given, Why},
        estate::Estate,
    },
    cli::{AskArgs, AskFormat, Exit, Format, ObjectArgs, WhatCanArgs, WhoCanArgs, WhyArgs},
    compile::{Compilation, Options, compile},
    report::{self, visible},
};
use lang::{
    diag::Severity,
    ident::nearest,
    program::{Access, Object, Program, SubjectKind},
    protocol::{ConnectionKind, OpSet, Operation},
    time::Timestamp,
};
use serde::Serialize;

/// So many names are listed where a wrong one was given.
const NAMES_SHOWN_MAX: usize = 12;

/// Which of the two a person wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Why it is permitted.
    Why,
    /// Why it is not.
    WhyNot,
}

/// Who gets something at a connection.
///
/// # Errors
/// When the arguments make no sense, or files or output fail.
pub fn who_can(args: &WhoCanArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let Some((at, root, compilation)) = sound(&args.about, terminal)? else { return Ok(Exit::Found) };
    let Some(program) = &compilation.program else { return Ok(Exit::Found) };
    let kind = kind(program, &args.connection)?;
    let ops = args.op.as_deref().map(|word| ops(kind, word)).transpose()?;
    let object = object(&args.object, &args.connection, kind)?;
    let estate = Estate::new(program, at);
    let object = Some(&object).filter(|object| **object != Object::Nothing);
    let answers =
        ask::who_can(&estate, &args.connection, ops, object).map_err(|error| Failure::Usage(error.to_string()))?;
    show(answers, &root, args.about.format, "nobody", terminal)
}

/// What somebody gets.
///
/// # Errors
/// When the arguments make no sense, or files or output fail.
pub fn what_can(args: &WhatCanArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let Some((at, root, compilation)) = sound(&args.about, terminal)? else { return Ok(Exit::Found) };
    let Some(program) = &compilation.program else { return Ok(Exit::Found) };
    let (subject, groups) = subject(program, &args.kind, &args.group)?;
    if let Some(connection) = &args.connection {
        kind(program, connection)?;
    }
    let estate = Estate::new(program, at);
    match ask::what_can(&estate, subject, &groups, args.connection.as_deref()) {
        Ok(answers) => show(answers, &root, args.about.format, "nothing", terminal),
        Err(reasons) => {
            for reason in reasons {
                writeln!(terminal.out, "refused: {}", visible(&reason))?;
            }
            Ok(Exit::Found)
        }
    }
}

/// Why a request is permitted, or why it is not. Ends with 1 when the answer is the other one.
///
/// # Errors
/// When the arguments make no sense, or files or output fail.
pub fn why(args: &WhyArgs, wanted: Wanted, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let Some((at, root, compilation)) = sound(&args.about, terminal)? else { return Ok(Exit::Found) };
    let Some(program) = &compilation.program else { return Ok(Exit::Found) };
    let kind = kind(program, &args.connection)?;
    let (subject, groups) = subject(program, &args.kind, &args.group)?;
    let object = object(&args.object, &args.connection, kind)?;
    let Some(op) = ops(kind, &args.op)?.iter().next() else { return Err(unknown_op(kind, &args.op)) };
    let estate = Estate::new(program, at);
    let asked =
        Asked { kind: subject, groups: &groups, connection: &args.connection, access: Access { op, object }, at };
    let mut answer = ask::why(&estate, &asked).map_err(|error| Failure::Usage(error.to_string()))?;
    for via in &mut answer.via {
        from_here(&mut via.place, &root);
        via.obligations.iter_mut().for_each(|rule| from_here(&mut rule.place, &root));
    }
    answer.not.iter_mut().for_each(|miss| from_here(&mut miss.place, &root));
    match args.about.format {
        AskFormat::Json => json(&answer, terminal)?,
        AskFormat::Human => explained(&answer, terminal)?,
    }
    let as_asked = answer.permitted == (wanted == Wanted::Why);
    Ok(if as_asked { Exit::Clean } else { Exit::Found })
}

fn explained(answer: &Why, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let place = |place: &Option<String>| place.as_ref().map_or_else(String::new, |place| format!("  {place}"));
    writeln!(terminal.out, "{}", visible(&answer.request))?;
    for reason in &answer.refused {
        writeln!(terminal.out, "refused: {}", visible(reason))?;
    }
    for via in &answer.via {
        writeln!(terminal.out, "permitted by {}{}", via.grant, place(&via.place))?;
        writeln!(terminal.out, "  {}", visible(&via.terms))?;
        for rule in &via.obligations {
            writeln!(terminal.out, "  under {}{}", visible(&rule.rule), place(&rule.place))?;
        }
    }
    if !answer.permitted {
        writeln!(terminal.out, "denied")?;
    }
    for (at, miss) in answer.not.iter().enumerate() {
        let nearest = if at == 0 && !answer.permitted { " (the nearest)" } else { "" };
        writeln!(terminal.out, "not by {}{nearest}{}", miss.grant, place(&miss.place))?;
        for because in &miss.because {
            writeln!(terminal.out, "  {}", visible(because))?;
        }
    }
    if answer.not.is_empty() && answer.via.is_empty() && answer.refused.is_empty() {
        writeln!(terminal.out, "no grant concerns this connection")?;
    }
    Ok(())
}

fn show(
    mut answers: Vec<Given>,
    root: &str,
    format: AskFormat,
    nobody: &str,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    for given in &mut answers {
        from_here(&mut given.place, root);
    }
    if format == AskFormat::Json {
        json(&answers, terminal)?;
        return Ok(Exit::Clean);
    }
    for given in &answers {
        let kinds: Vec<&str> = given.kinds.iter().map(|kind| kind.word()).collect();
        writeln!(
            terminal.out,
            "{}  {} ({})  {}",
            given.connection,
            visible(&given.who.join(", or ")),
            kinds.join(", "),
            visible(&given.what.join("; "))
        )?;
        let place = given.place.as_ref().map_or_else(String::new, |place| format!("  {place}"));
        writeln!(terminal.out, "    {}  via {}{place}", visible(&given.terms), given.grant)?;
    }
    if answers.is_empty() {
        writeln!(terminal.out, "{nobody}")?;
    }
    Ok(Exit::Clean)
}

fn json(answer: &(impl Serialize + ?Sized), terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut *terminal.out, answer).map_err(std::io::Error::from)?;
    writeln!(terminal.out)?;
    Ok(())
}

/// The instant, the policy's folder and the policy, when its names and values are right; else its errors are shown.
fn sound(about: &AskArgs, terminal: &mut Terminal<'_>) -> Result<Option<(Timestamp, String, Compilation)>, Failure> {
    let at = about.at.unwrap_or_else(|| terminal.system.now());
    let root = root(about.path.as_deref(), terminal.system)?;
    let compilation = compile(terminal.system, &root, at, &Options { threads: threads() })?;
    if compilation.program.is_some() {
        return Ok(Some((at, root, compilation)));
    }
    let errors: Vec<_> =
        compilation.diagnostics.iter().filter(|found| found.severity == Severity::Error).cloned().collect();
    report::findings(Format::Human, &errors, &located(&compilation.sources, &root), terminal)?;
    writeln!(terminal.err, "nothing was answered: the policy has {}", count(errors.len(), "error"))?;
    Ok(None)
}

fn kind(program: &Program, connection: &str) -> Result<ConnectionKind, Failure> {
    let found = program.connection(connection).map(|connection| connection.kind);
    let names = program.rules().connections.iter().map(|connection| connection.name.as_str());
    found.ok_or_else(|| unknown("connection", connection, names))
}

/// That a name is unknown, and which one may have been meant.
fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n str> + Clone) -> Failure {
    let way_out = nearest(name, known.clone()).map_or_else(
        || {
            let shown: Vec<&str> = known.clone().take(NAMES_SHOWN_MAX).collect();
            let more = if known.count() > NAMES_SHOWN_MAX { ", …" } else { "" };
            format!("there are {}{more}", shown.join(", "))
        },
        |near| format!("did you mean `{near}`?"),
    );
    Failure::Usage(format!("there is no {what} `{name}`; {way_out}"))
}

fn ops(kind: ConnectionKind, word: &str) -> Result<OpSet, Failure> {
    kind.resolve(word).ok_or_else(|| unknown_op(kind, word))
}

fn unknown_op(kind: ConnectionKind, word: &str) -> Failure {
    let known: Vec<&str> = kind.operations().map(Operation::word).collect();
    Failure::Usage(format!("{kind} connections know no operation `{word}`; they know {}", known.join(", ")))
}

fn subject(program: &Program, kind: &str, groups: &[String]) -> Result<(SubjectKind, Vec<String>), Failure> {
    let kind =
        SubjectKind::parse(kind).ok_or_else(|| Failure::Usage("a kind is one of: human, service, agent".to_owned()))?;
    let groups: Vec<String> =
        groups.iter().map(|group| group.strip_prefix("group:").unwrap_or(group).to_owned()).collect();
    for group in &groups {
        if !program.rules().groups.iter().any(|known| known.name == *group) {
            return Err(unknown("group", group, program.rules().groups.iter().map(|known| known.name.as_str())));
        }
    }
    Ok((kind, groups))
}

/// The object of a question: each kind of connection has its own.
fn object(args: &ObjectArgs, connection: &str, kind: ConnectionKind) -> Result<Object, Failure> {
    let sql = matches!(kind, ConnectionKind::Postgres | ConnectionKind::Mysql);
    let kubernetes = kind == ConnectionKind::Kubernetes;
    let given = [
        ("--table", args.table.is_some(), sql),
        ("--path", args.object_path.is_some(), kind == ConnectionKind::Http),
        ("--namespace", args.namespace.is_some(), kubernetes),
        ("--resource", args.resource.is_some(), kubernetes),
        ("--argv", args.argv.is_some(), kind == ConnectionKind::Ssh),
    ];
    // The other commands take the policy's folder as their argument.
    let folder = |flag: &str| if flag == "--path" { "; the policy's folder is `--policy FOLDER`" } else { "" };
    if let Some((flag, ..)) = given.iter().find(|(_, given, fits)| *given && !fits) {
        let known: Vec<&str> = given.iter().filter(|(.., fits)| *fits).map(|(flag, ..)| *flag).collect();
        return Err(Failure::Usage(format!(
            "`{connection}` is a {kind} connection: its objects are named with {}, not with {flag}{}",
            known.join(" and "),
            folder(flag)
        )));
    }
    if args.object_path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        return Err(Failure::Usage(format!("a path of an HTTP connection begins with `/`{}", folder("--path"))));
    }
    let mut objects = Vec::new();
    if let Some(table) = &args.table {
        let Some((schema, name)) = table.split_once('.') else {
            return Err(Failure::Usage("a table is written schema.table".to_owned()));
        };
        objects.push(Object::table(schema, name));
    }
    objects.extend(args.object_path.clone().map(Object::Path));
    objects.extend(args.argv.clone().map(Object::Argv));
    if args.namespace.is_some() || args.resource.is_some() {
        objects.push(Object::Kubernetes {
            namespace: args.namespace.clone().unwrap_or_default(),
            resource: args.resource.clone().unwrap_or_default(),
        });
    }
    match (objects.pop(), objects.is_empty()) {
        (Some(object), true) => Ok(object),
        (Some(_), false) => Err(Failure::Usage("name one object".to_owned())),
        (None, _) => Ok(Object::Nothing),
    }
}
