//! What a role of the gateway holds in its target, and what of it is too much. The questions go to catalogs only, and the
//! server's own privilege functions answer them: whatever a role has by PUBLIC counts.

use super::names::{self, Names};
use crate::mask::Plan;
use crate::mask::expression::literal;
use crate::snapshot::{Kind, Unexpected};
use std::collections::{BTreeMap, BTreeSet};

/// Findings that are told.
const FINDINGS_MAX: usize = 20;
/// Rows that an answer may have.
const ROWS_MAX: usize = 400_000;

/// The questions about a role. Every row of an answer begins with the word that says what it is; see [`Held::row`].
pub fn query(role: &str) -> String {
    let role = literal(role);
    format!(
        "select 'role', w from pg_catalog.pg_roles r cross join lateral (values ('exists', true), ('superuser', r.rolsuper), \
         ('createrole', r.rolcreaterole), ('createdb', r.rolcreatedb), ('replication', r.rolreplication), \
         ('bypassrls', r.rolbypassrls), ('inherit', r.rolinherit), ('no login', not r.rolcanlogin)) as v(w, has) \
         where r.rolname = {role} and v.has;\
         with recursive g(oid) as (select m.roleid from pg_catalog.pg_auth_members m join pg_catalog.pg_roles r \
         on r.oid = m.member where r.rolname = {role} \
         union select m.roleid from pg_catalog.pg_auth_members m join g on m.member = g.oid) \
         select 'member', r.rolname from g join pg_catalog.pg_roles r on r.oid = g.oid;\
         select 'creates', n.nspname from pg_catalog.pg_namespace n, pg_catalog.pg_roles r where r.rolname = {role} \
         and n.nspname !~ '^pg_(toast|temp)' and pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE');\
         select 'owns', 'the database ' || d.datname from pg_catalog.pg_database d join pg_catalog.pg_roles r on r.oid = d.datdba \
         where r.rolname = {role} \
         union all select 'owns', 'the relation ' || c.relname from pg_catalog.pg_class c join pg_catalog.pg_roles r \
         on r.oid = c.relowner join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where r.rolname = {role} and n.nspname !~ '^pg_(toast|temp)' \
         union all select 'owns', 'the routine ' || p.proname from pg_catalog.pg_proc p join pg_catalog.pg_roles r \
         on r.oid = p.proowner where r.rolname = {role};\
         select 'definer', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid) \
         from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace, pg_catalog.pg_roles r \
         where r.rolname = {role} and p.prosecdef and p.oid >= 16384 \
         and pg_catalog.has_function_privilege(r.oid, p.oid, 'EXECUTE');\
         select 'relation', c.oid, n.nspname, c.relname, \
         pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT, REFERENCES, TRIGGER') \
         from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace, pg_catalog.pg_roles r \
         where r.rolname = {role} and c.relkind in ('r','p','v','m','f') \
         and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
         and (pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, REFERENCES, TRIGGER') \
         or pg_catalog.has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'));\
         select 'column', a.attrelid, a.attnum from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace, pg_catalog.pg_roles r \
         where r.rolname = {role} and c.relkind in ('r','p','v','m','f') and a.attnum > 0 and not a.attisdropped \
         and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
         and not pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT') \
         and pg_catalog.has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT, REFERENCES')"
    )
}

/// What a role holds.
#[derive(Clone, Debug, Default)]
pub struct Held {
    rows: usize,
    exists: bool,
    inherits: bool,
    member_of: BTreeSet<Box<str>>,
    plainly_wrong: Vec<String>,
    relations: BTreeMap<u32, Relation>,
}

#[derive(Clone, Debug)]
struct Relation {
    schema: Box<str>,
    name: Box<str>,
    whole: bool,
    columns: Vec<i16>,
}

impl Held {
    /// Takes one row of [`query`].
    ///
    /// # Errors
    /// When it is not a row of it, or there are too many.
    pub fn row(&mut self, values: &[Option<&str>]) -> Result<(), Unexpected> {
        self.rows += 1;
        if self.rows > ROWS_MAX {
            return Err(Unexpected);
        }
        let text = |at: usize| values.get(at).copied().flatten().ok_or(Unexpected);
        let oid = || text(1)?.parse::<u32>().map_err(|_| Unexpected);
        let mut wrong = |sentence: String| self.plainly_wrong.push(sentence);
        match text(0)? {
            "role" => match text(1)? {
                "exists" => self.exists = true,
                "inherit" => self.inherits = true,
                word => wrong(format!("it has the attribute {word}")),
            },
            "member" => {
                self.member_of.insert(text(1)?.into());
            }
            "creates" => wrong(format!("it may create objects in the schema `{}`", text(1)?)),
            "owns" => wrong(format!("it owns {}", text(1)?)),
            "definer" => wrong(format!(
                "it may execute `{}.{}({})`, which runs with its owner's rights",
                text(1)?,
                text(2)?,
                text(3)?
            )),
            "relation" => {
                let whole = text(4)? == "t";
                let relation = Relation { schema: text(2)?.into(), name: text(3)?.into(), whole, columns: Vec::new() };
                self.relations.insert(oid()?, relation);
            }
            "column" => {
                let number = text(2)?.parse::<i16>().map_err(|_| Unexpected)?;
                self.relations.get_mut(&oid()?).ok_or(Unexpected)?.columns.push(number);
            }
            _ => return Err(Unexpected),
        }
        Ok(())
    }

    fn memberships(&self, template: Option<&str>) -> Vec<String> {
        let others = self.member_of.iter().filter(|role| Some(role.as_ref()) != template);
        let mut found: Vec<String> = others.map(|role| format!("it is a member of `{role}`")).collect();
        if let Some(template) = template {
            if !self.member_of.contains(template) {
                found.push(format!("it is no member of `{template}`"));
            }
        } else if self.inherits {
            found.push("it has the attribute inherit".to_owned());
        }
        found
    }

    /// Whether the role exists.
    pub fn exists(&self) -> bool {
        self.exists
    }

    /// Whether the role holds anything on a relation.
    pub fn has(&self, oid: u32) -> bool {
        self.relations.contains_key(&oid)
    }

    /// What the role holds that it must not; empty when nothing is wrong. A role of one session is a member of its
    /// template, and of nothing else.
    pub fn judge(&self, plan: &Plan, names: &Names, template: Option<&str>) -> Vec<String> {
        let mut found = self.memberships(template);
        found.extend(self.plainly_wrong.iter().cloned());
        if !self.exists {
            found.push("it does not exist".to_owned());
        }
        for (oid, relation) in &self.relations {
            found.extend(relation.judge(*oid, plan, names));
        }
        let more = found.len().saturating_sub(FINDINGS_MAX);
        found.truncate(FINDINGS_MAX);
        if more > 0 {
            found.push(format!("and {more} more"));
        }
        found
    }
}

impl Relation {
    fn judge(&self, oid: u32, plan: &Plan, names: &Names) -> Option<String> {
        let shown = format!("`{}.{}`", self.schema, self.name);
        if names::is_own(&self.schema) {
            let own = *self.schema == *names.schema;
            return (!own).then(|| format!("it holds privileges on {shown}, which is for other sessions"));
        }
        let name = (self.schema.clone(), self.name.clone());
        let Some(relation) = plan.catalog().relation(&name).filter(|found| found.oid == oid) else {
            return Some(format!("it holds privileges on {shown}, which the gateway does not know"));
        };
        if plan.is_plain(&name) || !plan.is_tainted(&name) && !plan.is_closed(&name) {
            return None;
        }
        if self.whole {
            return Some(format!("it may read all of {shown}, which holds masked columns or is closed"));
        }
        if plan.is_closed(&name) || matches!(relation.kind, Kind::View | Kind::Materialised) {
            return Some(format!("it holds privileges on {shown}, which holds masked columns or is closed"));
        }
        let column = self.columns.iter().find(|number| plan.is_masked(oid, **number))?;
        let column = relation.column(*column).map_or("?", |column| column.name.as_ref());
        Some(format!("it may read the masked column `{column}` of {shown}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::{Masks, RelationMasks};
    use crate::session::SessionFacts;
    use crate::snapshot::Builder;
    use lang::program::MaskClass;
    use lang::program::rules::MaskAs;
    use std::sync::Arc;

    fn plan() -> Plan {
        let mut builder = Builder::default();
        for (oid, name) in [("1", "people"), ("2", "plain")] {
            let row = ["relation", oid, "public", name, "r", "f", "f", "f", "f", "f"].map(Some);
            builder.row(&[&row[..], &[None]].concat()).unwrap();
            for (number, column) in [("1", "id"), ("2", "email")] {
                builder.row(&["column", oid, number, column, "text", "t", "f", "t"].map(Some)).unwrap();
            }
        }
        let mut masks = Masks::default();
        let columns = [("email".into(), MaskAs::Redact)].into_iter().collect();
        masks
            .relations
            .insert(("public".into(), "people".into()), RelationMasks { columns, ..RelationMasks::default() });
        Plan::new(Arc::new(builder.build()), masks, SessionFacts::pinned(0))
    }

    fn judged(rows: &[&[&str]]) -> Vec<String> {
        let class = MaskClass { grant: "g".to_owned(), masks: vec!["pii".to_owned()], reveals: Vec::new() };
        let mut held = Held::default();
        for row in rows {
            held.row(&row.iter().map(|value| Some(*value)).collect::<Vec<_>>()).unwrap();
        }
        held.judge(&plan(), &Names::new("c", &class), None)
    }

    #[test]
    fn a_role_of_one_session_is_a_member_of_its_template_alone() {
        let class = MaskClass { grant: "g".to_owned(), masks: vec!["pii".to_owned()], reveals: Vec::new() };
        for (members, wrong) in
            [(&["t"][..], None), (&[], Some("no member of `t`")), (&["t", "admins"], Some("a member of `admins`"))]
        {
            let mut held = Held::default();
            for word in ["exists", "inherit"] {
                held.row(&["role", word].map(Some)).unwrap();
            }
            for member in members {
                held.row(&["member", member].map(Some)).unwrap();
            }
            let found = held.judge(&plan(), &Names::new("c", &class), Some("t"));
            assert_eq!(found.is_empty(), wrong.is_none(), "{found:?}");
            assert!(wrong.is_none_or(|wrong| found[0].contains(wrong)), "{found:?}");
        }
    }

    #[test]
    fn an_answer_without_end_is_no_answer() {
        let mut held = Held::default();
        let taken = (0..=ROWS_MAX).find(|_| held.row(&["member", "g"].map(Some)).is_err());
        assert_eq!(taken, Some(ROWS_MAX));
    }

    #[test]
    fn what_a_role_must_not_hold_is_found() {
        let exists: &[&str] = &["role", "exists"];
        assert!(judged(&[exists]).is_empty());
        assert_eq!(judged(&[]), ["it does not exist"]);
        let plain: &[&str] = &["relation", "2", "public", "plain", "t"];
        let part: &[&str] = &["relation", "1", "public", "people", "f"];
        assert!(judged(&[exists, plain, part, &["column", "1", "1"]]).is_empty());
        for (row, said) in [
            (&["column", "1", "2"][..], "masked column `email`"),
            (&["relation", "1", "public", "people", "t"], "may read all of `public.people`"),
            (&["relation", "9", "public", "new", "f"], "does not know"),
            (&["relation", "9", "leasehold_c_000000_v_0123456789ab", "public.people", "t"], "for other sessions"),
            (&["member", "admins"], "member of `admins`"),
            (&["definer", "public", "f", "bigint"], "its owner's rights"),
            (&["creates", "public"], "create objects"),
            (&["role", "superuser"], "attribute superuser"),
            (&["role", "inherit"], "attribute inherit"),
        ] {
            let found = judged(&[exists, part, row]);
            assert!(found.len() == 1 && found[0].contains(said), "{row:?}: {found:?}");
        }
    }
}
