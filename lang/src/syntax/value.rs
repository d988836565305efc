//! One value: from what KDL says to what the schema's domain makes of it. Each mistake is reported once, with its
//! own code, and leaves an invalid value behind.

use super::{
    ast::{CredentialKind, Typed, Value},
    schema::{CREDENTIALS, Domain, words_list},
    tree::{Entry, Scalar},
};
use crate::{
    diag::{Applicability, Code, Diagnostic, Sink},
    ident::{is_ident, nearest},
    span::Span,
    time::{Hours, HoursError, Timestamp, Ttl, Valid, Zone},
};

/// Reads the value of an entry; `place` names the argument or property in messages.
pub(super) fn read(entry: &Entry, domain: Domain, place: &str, sink: &mut Sink) -> Value {
    let reader = Reader { domain, place, span: entry.value_span };
    if let Scalar::Bad(text) = &entry.scalar {
        return Value { span: entry.value_span, text: text.clone(), typed: Typed::Invalid };
    }
    match reader.annotated(entry).and_then(|kind| reader.typed(&entry.scalar, kind)) {
        Ok((typed, text)) => Value { span: entry.value_span, text, typed },
        Err(found) => {
            sink.push(*found);
            Value { span: entry.value_span, text: plain(&entry.scalar), typed: Typed::Invalid }
        }
    }
}

type Answer<T> = Result<T, Box<Diagnostic>>;

struct Reader<'a> {
    domain: Domain,
    place: &'a str,
    span: Span,
}

fn plain(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Text(text) | Scalar::Bad(text) => text.clone(),
        Scalar::Integer(number) => number.to_string(),
        Scalar::Float => "a fraction".to_owned(),
        Scalar::Bool(value) => format!("#{value}"),
        Scalar::Null => "#null".to_owned(),
    }
}

impl Reader<'_> {
    fn wrong<T>(&self, code: Code, message: String) -> Answer<T> {
        Err(Box::new(Diagnostic::new(code, self.span, message)))
    }

    fn expected<T>(&self, found: &str) -> Answer<T> {
        self.wrong(Code::P0004, format!("`{}` takes {}, not {found}", self.place, self.domain.describe()))
    }

    /// The annotation of the value, when it is one that the domain knows.
    fn annotated(&self, entry: &Entry) -> Answer<Option<CredentialKind>> {
        let known = self.domain.annotations();
        let Some(annotation) = &entry.annotation else {
            return if known.is_empty() { Ok(None) } else { self.unannotated(entry, known) };
        };
        if known.contains(&annotation.value.as_str()) {
            return Ok(CredentialKind::parse(&annotation.value));
        }
        let mut found = Diagnostic::new(
            Code::P0004,
            annotation.span,
            format!("the annotation `({})` means nothing here", annotation.value),
        );
        found = match nearest(&annotation.value, known.iter().copied()) {
            Some(near) => {
                found.replace(format!("write `({near})`"), annotation.span, format!("({near})"), Applicability::Maybe)
            }
            None => found,
        };
        Err(Box::new(match known {
            [] => found.help(format!("`{}` takes {} without annotation", self.place, self.domain.describe())),
            known => found.help(format!("the annotations here are {}", words_list(known))),
        }))
    }

    fn unannotated<T>(&self, entry: &Entry, known: &[&str]) -> Answer<T> {
        let [only] = known else {
            let message = format!("`{}` needs an annotation that says where the secret is kept", self.place);
            let found = Diagnostic::new(Code::P0004, self.span, message);
            return Err(Box::new(found.help(format!(
                "write for example `(vault)\"kv/db#password\"`; the annotations are {}",
                words_list(CREDENTIALS)
            ))));
        };
        let code = if let Domain::Uuid(code) = self.domain { code } else { Code::P0004 };
        let found = Diagnostic::new(code, self.span, format!("`{}` takes {}", self.place, self.domain.describe()));
        let Scalar::Text(text) = &entry.scalar else { return Err(Box::new(found)) };
        // A text that already is a UUID lacks nothing but the annotation; a name is not the id of anything.
        let sure = *only != "uuid" || is_uuid(text);
        Err(Box::new(if sure {
            let point = Span::point(self.span.source, self.span.start);
            found.replace(format!("annotate it with `({only})`"), point, format!("({only})"), Applicability::Machine)
        } else if code == Code::P0203 {
            found.note("groups match by the object id of the identity provider, never by their display name")
        } else {
            found
        }))
    }

    fn typed(&self, scalar: &Scalar, credential: Option<CredentialKind>) -> Answer<(Typed, String)> {
        match scalar {
            Scalar::Text(text) => self.text(text, credential),
            Scalar::Integer(number) => self.integer(*number),
            Scalar::Float => self.expected("a fraction"),
            Scalar::Null => self.expected("`#null`"),
            Scalar::Bool(value) => {
                let word = if *value { "yes" } else { "no" };
                let message = format!("`{}` takes {}, not `#{value}`", self.place, self.domain.describe());
                let found = Diagnostic::new(Code::P0004, self.span, message);
                let known = self.domain.words().contains(&word);
                Err(Box::new(if known {
                    found.replace(format!("write `{word}`"), self.span, word, Applicability::Machine)
                } else {
                    found
                }))
            }
            Scalar::Bad(_) => self.expected("this"),
        }
    }

    fn integer(&self, number: i128) -> Answer<(Typed, String)> {
        let Domain::Integer(min, max) = self.domain else {
            if self.domain != Domain::Duration {
                return self.expected(&format!("the number {number}"));
            }
            let place = self.place;
            let message = format!("`{place}` takes a duration with its unit, for example \"{number}m\", not {number}");
            return self.wrong(Code::P0004, message);
        };
        match u64::try_from(number) {
            Ok(value) if (min..=max).contains(&value) => Ok((Typed::Integer(value), number.to_string())),
            Ok(_) | Err(_) => self.expected(&number.to_string()),
        }
    }

    fn text(&self, text: &str, credential: Option<CredentialKind>) -> Answer<(Typed, String)> {
        let same = |typed: Typed| Ok((typed, text.to_owned()));
        let quoted = format!("`{text}`");
        match self.domain {
            Domain::Integer(..) if text.parse::<u64>().is_ok() => {
                let message = format!("`{}` takes a number without quotes", self.place);
                let found = Diagnostic::new(Code::P0004, self.span, message);
                Err(Box::new(found.replace("remove the quotes", self.span, text, Applicability::Machine)))
            }
            Domain::Integer(..) => self.expected(&quoted),
            Domain::Id => self.ident(text, Typed::Id),
            Domain::Reference(referent) => self.reference(text, Typed::Reference(referent)),
            Domain::Principal if text == "all-of" => same(Typed::Word),
            Domain::Group | Domain::Principal => self.prefixed(text, "group", Typed::Group),
            Domain::Team => self.prefixed(text, "team", Typed::Team),
            Domain::Words(words) => self.word(text, words, &[]),
            Domain::Aliased(words, aliases) => self.word(text, words, aliases),
            Domain::Label => self.shaped(text, Typed::Label, is_label),
            Domain::Operation => self.shaped(text, Typed::Operation, is_operation),
            Domain::Class => self.shaped(text, Typed::Class, is_class),
            Domain::Pattern => self.shaped(text, Typed::Pattern, |text| !text.trim().is_empty()),
            Domain::Pointer => self.shaped(text, Typed::Pattern, |text| text.starts_with('/')),
            Domain::Text => self.shaped(text, Typed::Text, |text| !text.trim().is_empty()),
            Domain::Url => self.shaped(text, Typed::Text, is_url),
            Domain::Zone => self.shaped(text, Typed::Text, |text| Zone::parse(text).is_some()),
            Domain::Regex => self.shaped(text, Typed::Regex, |text| !text.is_empty()),
            Domain::Uuid(_) if is_uuid(text) => Ok((Typed::Uuid, text.to_ascii_lowercase())),
            Domain::Uuid(code) => self.wrong(code, format!("{quoted} is not a UUID")),
            Domain::Credential => match credential {
                Some(kind) if !text.trim().is_empty() => same(Typed::Credential(kind)),
                Some(_) | None => self.expected("an empty text"),
            },
            Domain::Duration => match Ttl::parse(text) {
                Ok(ttl) => same(Typed::Duration(ttl)),
                Err(error) => self.wrong(Code::P0004, error.to_string()),
            },
            Domain::Hours => match Hours::parse(text) {
                Ok(hours) => same(Typed::Hours(hours)),
                Err(error @ HoursError::Malformed(_)) => self.wrong(Code::P0004, error.to_string()),
                Err(error @ HoursError::Empty(_)) => self.wrong(Code::P0415, error.to_string()),
            },
            Domain::Day => match Valid::parse_day(text).filter(|_| text.len() == 10) {
                Some(day) => same(Typed::Day(day)),
                None => self.expected(&quoted),
            },
            Domain::Instant => match Timestamp::parse_rfc3339(text) {
                Some(at) => same(Typed::Instant(at)),
                None => self.expected(&quoted),
            },
            Domain::Code => self.code(text),
        }
    }

    fn shaped(&self, text: &str, typed: Typed, holds: fn(&str) -> bool) -> Answer<(Typed, String)> {
        if holds(text) {
            return Ok((typed, text.to_owned()));
        }
        self.expected(&if text.trim().is_empty() { "an empty text".to_owned() } else { format!("`{text}`") })
    }

    fn ident(&self, text: &str, typed: Typed) -> Answer<(Typed, String)> {
        if is_ident(text) {
            return Ok((typed, text.to_owned()));
        }
        let found = Diagnostic::new(Code::P0004, self.span, format!("`{text}` is not an identifier"));
        let found = found.help(
            "an identifier begins with a small letter and holds small letters, digits and `-`, at most 63 in all",
        );
        Err(Box::new(match text.split_once(':') {
            Some((prefix, rest)) if matches!(prefix, "group" | "team") && is_ident(rest) => found.replace(
                format!("the prefix `{prefix}:` stands in references only"),
                self.span,
                rest,
                Applicability::Machine,
            ),
            _ => found,
        }))
    }

    fn reference(&self, text: &str, typed: Typed) -> Answer<(Typed, String)> {
        match text.split_once(':') {
            Some(("group" | "team", _)) => self.expected(&format!("`{text}`")),
            _ => self.ident(text, typed),
        }
    }

    fn prefixed(&self, text: &str, prefix: &str, typed: Typed) -> Answer<(Typed, String)> {
        match text.split_once(':') {
            Some((found, name)) if found == prefix && is_ident(name) => Ok((typed, name.to_owned())),
            Some((found, name)) if found == prefix => self.ident(name, typed),
            None if is_ident(text) => {
                let found = Diagnostic::new(
                    Code::P0004,
                    self.span,
                    format!("`{}` takes a {prefix}, which is written `{prefix}:{text}`", self.place),
                );
                Err(Box::new(found.replace(
                    format!("write `{prefix}:{text}`"),
                    self.span,
                    format!("{prefix}:{text}"),
                    Applicability::Maybe,
                )))
            }
            Some(_) | None => self.expected(&format!("`{text}`")),
        }
    }

    fn word(&self, text: &str, words: &[&str], aliases: &[(&str, &str)]) -> Answer<(Typed, String)> {
        if words.contains(&text) {
            return Ok((Typed::Word, text.to_owned()));
        }
        if let Some((_, meaning)) = aliases.iter().find(|(alias, _)| *alias == text) {
            return Ok((Typed::Word, (*meaning).to_owned()));
        }
        let message = format!("`{}` takes {}, not `{text}`", self.place, words_list(words));
        let found = Diagnostic::new(Code::P0004, self.span, message);
        Err(Box::new(match nearest(text, words.iter().copied()) {
            Some(near) => found.help(format!("did you mean `{near}`?")).replace(
                format!("write `{near}`"),
                self.span,
                near,
                Applicability::Maybe,
            ),
            None => found,
        }))
    }

    fn code(&self, text: &str) -> Answer<(Typed, String)> {
        match Code::parse(text) {
            Some(code) => Ok((Typed::Code(code), text.to_owned())),
            None => self.wrong(Code::P0004, format!("there is no rule `{text}`")),
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_operation(text: &str) -> bool {
    let body = text.strip_suffix(".*").unwrap_or(text);
    !body.is_empty() && body.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'-' | b'.'))
}

fn is_class(text: &str) -> bool {
    let body = text.strip_suffix(".*").unwrap_or(text);
    !body.is_empty()
        && body.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or("");
        !host.is_empty() && !rest.contains(char::is_whitespace)
    })
}
