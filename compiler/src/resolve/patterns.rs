//! The forms that patterns may have. A pattern of another form would match nothing, or something else than meant.

use lang::{
    diag::{Code, Diagnostic, Sink},
    span::Spanned,
    syntax::ast::Value,
};

/// What a pattern selects.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `schema.table`.
    Table,
    /// `schema.table.column`.
    Column,
    /// A namespace or resource.
    Name,
    /// An HTTP path.
    Path,
    /// A command line.
    Argv,
}

impl Form {
    /// What is wrong with a pattern.
    fn problem(self, pattern: &str) -> Option<&'static str> {
        let segment =
            |text: &str| !text.is_empty() && !text.trim_end_matches('*').contains('*') && !text.ends_with("**");
        let table = |text: &str| text.split_once('.').is_some_and(|(schema, name)| segment(schema) && segment(name));
        match self {
            Self::Table if !table(pattern) => {
                Some("a table is written `schema.table`, and `*` stands at the end of a part: `public.audit_*`")
            }
            Self::Column => {
                let column = pattern.rsplit_once('.');
                let good = column.is_some_and(|(of, name)| table(of) && !name.is_empty() && !name.contains('*'));
                (!good).then_some("a column is written `schema.table.column`, and the column is named in full")
            }
            Self::Name if !segment(pattern) => Some("`*` stands only at the end: `payments-*`"),
            Self::Path => {
                let good = pattern.starts_with('/')
                    && pattern.split('/').skip(1).all(|part| part.is_empty() || part == "**" || segment(part));
                (!good).then_some("a path begins with `/`, `*` ends a part of it, and `**` is any number of parts")
            }
            Self::Argv => {
                let good = pattern.split(' ').all(|part| part == "*" || (!part.is_empty() && !part.contains('*')));
                (!good).then_some("arguments are separated by one space, and `*` stands for exactly one of them")
            }
            Self::Table | Self::Name => None,
        }
    }

    /// The pattern, when it has this form; another one is reported.
    pub(super) fn read(self, value: &Value, broken: &mut bool, sink: &mut Sink) -> Option<Spanned<String>> {
        let Some(pattern) = value.spanned() else {
            *broken = true;
            return None;
        };
        match self.problem(&pattern.value) {
            None => Some(pattern),
            Some(help) => {
                let message = format!("`{}` is not a pattern that can be matched here", pattern.value);
                sink.push(Diagnostic::new(Code::P0004, pattern.span, message).help(help));
                *broken = true;
                None
            }
        }
    }

    /// The name, when it has this form and no `*`; another one is reported.
    pub(super) fn read_literal(self, value: &Value, broken: &mut bool, sink: &mut Sink) -> Option<Spanned<String>> {
        let name = self.read(value, broken, sink)?;
        if name.value.contains('*') {
            let message = format!("`{}` is a pattern, and a test opens one object", name.value);
            sink.push(Diagnostic::new(Code::P0004, name.span, message).help("name one object in full"));
            *broken = true;
            return None;
        }
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_one_form_each() {
        for (form, good, bad) in [
            (Form::Table, vec!["public.*", "public.audit_*", "*.*"], vec!["customers", "public.*x", "a.**", ".b"]),
            (Form::Column, vec!["public.customers.email", "*.customers.email"], vec!["customers.email", "a.b.*"]),
            (Form::Name, vec!["payments-*", "pods", "*"], vec!["*-dev", ""]),
            (Form::Path, vec!["/v1/**", "/v1/*/lines", "/"], vec!["v1", "/a*b", "/a**", "/v1/a*b/lines"]),
            (Form::Argv, vec!["df -h", "systemctl status *"], vec!["df  -h", "ls /*"]),
        ] {
            for text in good {
                assert_eq!(form.problem(text), None, "{text}");
            }
            for text in bad {
                assert!(form.problem(text).is_some(), "{text}");
            }
        }
    }
}
