//! What a StartupMessage may ask for. An allow-list: what is not named here is refused, never passed on or dropped.
//!
//! Nothing of it reaches a target except the display settings of [`PASSED_ON`]; target, user and database come from
//! the policy's connection alone.

use super::packet::{MINOR_MAX, Startup};
use super::sqlstate::SqlState;
use super::write::{Notice, Severity};

/// Settings that only change how values are shown. Lower-case names, and the name that PostgreSQL prefers.
pub const PASSED_ON: [(&str, &str); 4] = [
    ("datestyle", "DateStyle"),
    ("timezone", "TimeZone"),
    ("intervalstyle", "IntervalStyle"),
    ("extra_float_digits", "extra_float_digits"),
];

/// Bytes of `user`, `application_name` and each setting.
const VALUE_BYTES_MAX: usize = 256;

/// Bytes of a connection's or grant's name in a policy.
const IDENT_BYTES_MAX: usize = 63;

/// What a client asks for, when all of it is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The connection, by its name in the policy.
    pub connection: String,
    /// The grant, when the client names one.
    pub via: Option<String>,
    /// The identity provider whose token the client shows by OAUTHBEARER; `None` for a token as a password.
    pub idp: Option<String>,
    /// Free text of the client: recorded, never passed on.
    pub user: String,
    /// What the client calls itself.
    pub application_name: Option<String>,
    /// Settings of [`PASSED_ON`], by the name that PostgreSQL prefers.
    pub settings: Vec<(&'static str, String)>,
    /// The minor protocol version that will be spoken.
    pub minor: u16,
    /// What the client must be told in a NegotiateProtocolVersion; `None` when it asked for nothing unknown.
    pub unknown_options: Option<Vec<String>>,
}

impl Asked {
    /// Judges a StartupMessage.
    pub fn read(startup: &Startup) -> Result<Self, Notice> {
        let mut fields = Fields::default();
        for (name, value) in &startup.parameters {
            fields.add(name, value)?;
        }
        let user = fields.user.ok_or_else(|| violation("the start-up message names no user"))?;
        let (connection, within) = fields.database.ok_or_else(no_database)?;
        let via = match (within, fields.via) {
            (Some(one), Some(other)) if one != other => {
                return Err(violation(format!(
                    "the database name asks for grant {one}, the options ask for grant {other}; name one"
                )));
            }
            (one, other) => one.or(other),
        };
        // 3.1 was never released: who asks for it gets 3.0.
        let minor = if startup.minor >= MINOR_MAX { MINOR_MAX } else { 0 };
        let negotiate = minor != startup.minor || !fields.unknown_options.is_empty();
        Ok(Self {
            connection,
            via,
            idp: fields.idp,
            user,
            application_name: fields.application_name.filter(|name| !name.is_empty()),
            settings: fields.settings,
            minor,
            unknown_options: negotiate.then_some(fields.unknown_options),
        })
    }
}

/// What has been seen of a StartupMessage so far; each may be set once.
#[derive(Default)]
struct Fields {
    seen: Vec<String>,
    user: Option<String>,
    database: Option<(String, Option<String>)>,
    via: Option<String>,
    idp: Option<String>,
    application_name: Option<String>,
    settings: Vec<(&'static str, String)>,
    unknown_options: Vec<String>,
}

impl Fields {
    fn add(&mut self, name: &str, value: &str) -> Result<(), Notice> {
        if name.starts_with("_pq_.") {
            self.unknown_options.push(plain(name, name)?.to_owned());
            return Ok(());
        }
        let folded = name.to_ascii_lowercase();
        if self.seen.contains(&folded) {
            return Err(violation(format!("the start-up message sets {} twice", shown(name))));
        }
        match folded.as_str() {
            "user" => self.user = Some(plain("user", value)?.to_owned()).filter(|user| !user.is_empty()),
            "database" => self.database = Some(database(value)?),
            "application_name" => self.application_name = Some(plain("application_name", value)?.to_owned()),
            "client_encoding" => utf8_only(value)?,
            "options" => self.options(value)?,
            "replication" => {
                return Err(refusal(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "replication is not available through this gateway",
                ));
            }
            _ => {
                let Some((_, preferred)) = PASSED_ON.iter().find(|(known, _)| *known == folded) else {
                    return Err(unknown(name));
                };
                self.settings.push((*preferred, setting(preferred, value)?));
            }
        }
        self.seen.push(folded);
        Ok(())
    }

    /// `-c leasehold.via=GRANT` and `-c leasehold.idp=IDP`, in any order, or nothing.
    fn options(&mut self, value: &str) -> Result<(), Notice> {
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            let assignment = (word == "-c").then(|| words.next()).flatten().and_then(|text| text.split_once('='));
            let (place, name) = match assignment {
                Some(("leasehold.via", grant)) => (&mut self.via, grant),
                Some(("leasehold.idp", idp)) => (&mut self.idp, idp),
                Some(_) | None => return Err(bad_options()),
            };
            if place.is_some() || !is_ident(name) {
                return Err(bad_options());
            }
            *place = Some(name.to_owned());
        }
        Ok(())
    }
}

/// `CONNECTION` or `CONNECTION/GRANT`.
fn database(value: &str) -> Result<(String, Option<String>), Notice> {
    let (connection, grant) = match value.split_once('/') {
        Some((connection, grant)) => (connection, Some(grant)),
        None => (value, None),
    };
    if is_ident(connection) && grant.is_none_or(is_ident) {
        Ok((connection.to_owned(), grant.map(str::to_owned)))
    } else {
        Err(no_database())
    }
}

fn bad_options() -> Notice {
    let sentence =
        "of the start-up options only `-c leasehold.via=GRANT` and `-c leasehold.idp=IDP` are accepted, each once";
    refusal(SqlState::FEATURE_NOT_SUPPORTED, sentence)
        .with_hint("Change other settings with SET after connecting, as far as the policy allows it.")
}

/// PostgreSQL compares encoding names by their letters and digits; some drivers quote the name.
fn utf8_only(value: &str) -> Result<(), Notice> {
    let name: String =
        value.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    // `auto` is libpq's own word and never reaches the wire.
    if value.len() <= IDENT_BYTES_MAX && matches!(name.as_str(), "utf8" | "unicode") {
        return Ok(());
    }
    Err(refusal(SqlState::FEATURE_NOT_SUPPORTED, "this gateway speaks UTF-8 only; set client_encoding to UTF8"))
}

/// A display setting: short, and made of characters that such values are made of.
fn setting(name: &'static str, value: &str) -> Result<String, Notice> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b" ,+-_/:.<>".contains(&byte);
    if value.is_empty() || value.len() > VALUE_BYTES_MAX || !value.bytes().all(is_allowed) {
        return Err(refusal(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("the start-up parameter {name} has a value that this gateway does not accept"),
        ));
    }
    Ok(value.to_owned())
}

/// Free text that will be shown to people: bounded, without control characters.
fn plain<'a>(name: &str, value: &'a str) -> Result<&'a str, Notice> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(refusal(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("the start-up parameter {} is longer than {VALUE_BYTES_MAX} bytes", shown(name)),
        ));
    }
    if value.chars().any(char::is_control) {
        return Err(refusal(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("the start-up parameter {} holds a control character", shown(name)),
        ));
    }
    Ok(value)
}

fn unknown(name: &str) -> Notice {
    refusal(
        SqlState::FEATURE_NOT_SUPPORTED,
        format!("the start-up parameter {} is not accepted by this gateway", shown(name)),
    )
    .with_hint(
        "Accepted are user, database, application_name, client_encoding, DateStyle, TimeZone, IntervalStyle, \
         extra_float_digits and options.",
    )
}

/// A parameter's name for a sentence: what a policy or PostgreSQL could call a name, else nothing of it.
fn shown(name: &str) -> &str {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.".contains(&byte);
    if name.len() <= IDENT_BYTES_MAX && name.bytes().all(is_name) { name } else { "with an unreadable name" }
}

fn no_database() -> Notice {
    refusal(SqlState::UNKNOWN_DATABASE, "the database name must be a connection of the policy")
        .with_hint("Connect with dbname=CONNECTION, or dbname=CONNECTION/GRANT to name the grant.")
}

/// The policy's identifiers: `[a-z][a-z0-9-]{0,62}`.
fn is_ident(text: &str) -> bool {
    text.len() <= IDENT_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn refusal(code: SqlState, message: impl Into<String>) -> Notice {
    Notice::new(Severity::Fatal, code, message)
}

fn violation(message: impl Into<String>) -> Notice {
    refusal(SqlState::PROTOCOL_VIOLATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(minor: u16, parameters: &[(&str, &str)]) -> Result<Asked, Notice> {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Asked::read(&Startup { minor, parameters })
    }

    fn with(name: &str, value: &str) -> Result<Asked, Notice> {
        read(0, &[("user", "me"), ("database", "prod-logs"), (name, value)])
    }

    fn code(result: Result<Asked, Notice>) -> SqlState {
        result.expect_err("must be refused").code
    }

    #[test]
    fn the_common_drivers_are_understood() {
        // psql, JDBC, asyncpg and sqlx.
        for parameters in [
            &[("application_name", "psql"), ("client_encoding", "UTF8"), ("datestyle", "ISO")][..],
            &[("DateStyle", "ISO"), ("TimeZone", "Europe/Berlin"), ("extra_float_digits", "2")],
            &[("client_encoding", "'utf-8'")],
            &[("TimeZone", "<+03>-3"), ("IntervalStyle", "iso_8601"), ("options", "")],
        ] {
            let all = [&[("user", "me"), ("database", "prod-logs")], parameters].concat();
            assert!(read(0, &all).is_ok(), "{parameters:?}: {:?}", read(0, &all));
        }
        let asked = with("datestyle", "ISO, MDY").unwrap();
        assert_eq!(asked.settings, vec![("DateStyle", "ISO, MDY".to_owned())]);
    }

    #[test]
    fn a_grant_is_named_in_the_database_or_the_options() {
        let via = |parameters: &[(&str, &str)]| read(0, parameters).map(|asked| (asked.connection, asked.via));
        assert_eq!(via(&[("user", "me"), ("database", "db/g")]), Ok(("db".into(), Some("g".into()))));
        assert_eq!(
            via(&[("user", "me"), ("database", "db"), ("options", " -c  leasehold.via=g ")]).unwrap().1,
            Some("g".into())
        );
        assert!(via(&[("user", "me"), ("database", "db/g"), ("options", "-c leasehold.via=g")]).is_ok());
        assert!(via(&[("user", "me"), ("database", "db/g"), ("options", "-c leasehold.via=h")]).is_err());
    }

    #[test]
    fn a_database_is_a_connection_and_nothing_else() {
        for database in [
            "",
            "/",
            "db/",
            "/g",
            "db/g/h",
            "Db",
            "db ",
            " db",
            "db\u{a0}",
            "host=evil",
            "db host=evil",
            "d'b",
            "d\"b",
            "postgres://evil/db",
            "db?x",
            "1db",
            "dß",
            "db\n",
            "-c",
            "..",
            "db/-g",
        ] {
            assert_eq!(
                code(read(0, &[("user", "me"), ("database", database)])),
                SqlState::UNKNOWN_DATABASE,
                "{database:?}"
            );
        }
        assert_eq!(code(read(0, &[("user", "me"), ("database", &"d".repeat(64))])), SqlState::UNKNOWN_DATABASE);
        assert_eq!(code(read(0, &[("user", "me")])), SqlState::UNKNOWN_DATABASE);
        assert_eq!(code(read(0, &[("database", "db")])), SqlState::PROTOCOL_VIOLATION);
        assert_eq!(code(read(0, &[("user", ""), ("database", "db")])), SqlState::PROTOCOL_VIOLATION);
    }

    #[test]
    fn nothing_else_gets_through() {
        for (name, value) in [
            ("replication", "database"),
            ("replication", "false"),
            ("search_path", "evil"),
            ("role", "postgres"),
            ("session_authorization", "postgres"),
            ("standard_conforming_strings", "off"),
            ("-c", "x"),
            ("host", "evil"),
            ("client_encoding", "SJIS"),
            ("client_encoding", "LATIN1"),
            ("options", "-c search_path=evil"),
            ("options", "-csearch_path=evil"),
            ("options", "-c leasehold.via=g -c search_path=evil"),
            ("options", "-c leasehold.via=g\\ x"),
            ("options", "-c\tleasehold.via=g"),
            ("options", "--leasehold.via=g"),
        ] {
            assert_eq!(code(with(name, value)), SqlState::FEATURE_NOT_SUPPORTED, "{name}={value}");
        }
        for (name, value) in [
            ("TimeZone", "UTC' -c role=postgres"),
            ("DateStyle", "ISO;DROP"),
            ("DateStyle", ""),
            ("application_name", "psql\u{1b}[31m"),
            ("application_name", &"x".repeat(257)),
        ] {
            assert_eq!(code(with(name, value)), SqlState::INVALID_PARAMETER_VALUE, "{name}={value}");
        }
        assert!(with("user", "again").is_err());
        assert!(with("USER", "again").is_err());
        assert!(read(0, &[("user", "me"), ("database", "a"), ("database", "a")]).is_err());
    }

    #[test]
    fn free_text_stays_text() {
        let asked = read(0, &[("user", "o'brien \"x\" host=evil"), ("database", "db")]).unwrap();
        assert_eq!(asked.user, "o'brien \"x\" host=evil");
    }

    #[test]
    fn unknown_versions_and_options_are_negotiated() {
        let asked = |minor| read(minor, &[("user", "me"), ("database", "db")]).unwrap();
        assert_eq!((asked(0).minor, asked(0).unknown_options), (0, None));
        assert_eq!((asked(1).minor, asked(1).unknown_options), (0, Some(vec![])));
        assert_eq!((asked(2).minor, asked(2).unknown_options), (2, None));
        assert_eq!((asked(9999).minor, asked(9999).unknown_options), (2, Some(vec![])));
        assert_eq!(with("_pq_.x", "1").unwrap().unknown_options, Some(vec!["_pq_.x".to_owned()]));
    }
}
