//! Resolves who and what exists.

use super::{Header, Resolver, patterns::Form, read};
use lang::{
    diag::{Code, Diagnostic},
    model::{
        AbsentGroups, Catalog, CatalogTable, Claims, Classified, Classify, Connection, Credential, Delegate, Disjoint,
        EntraSettings, Group, Idp, IdpKind, LabelKey, Masking, OidcSettings, Overage, Policy, Size, Staleness, Team,
        Tls, TlsSettings, Withheld,
    },
    program::{SubjectKind, rules::WhenStale},
    protocol::ConnectionKind,
    span::Spanned,
    syntax::{
        ast::{Node, Value},
        keyword::Keyword,
    },
};

impl Resolver<'_> {
    /// Everything that the rules refer to; the tables of rules are left empty.
    pub(super) fn estate(&mut self, header: Header<'_>) -> Policy {
        let mut policy = Policy {
            name: header.name,
            span: header.node.head,
            timezone: header.timezone,
            zone: header.zone,
            staleness: staleness(header.node),
            labels: self.labels(header.node),
            idps: self.nodes(Keyword::Idp).filter(|node| read::viable(node)).filter_map(idp).collect(),
            groups: Vec::new(),
            disjoint: Vec::new(),
            connections: Vec::new(),
            classify: Vec::new(),
            catalogs: Vec::new(),
            limits: Vec::new(),
            masks: Vec::new(),
            guards: Vec::new(),
            approvals: Vec::new(),
            grants: Vec::new(),
            forbids: Vec::new(),
            operators: Vec::new(),
            teams: Vec::new(),
            delegates: Vec::new(),
            tests: Vec::new(),
            asserts: Vec::new(),
        };
        policy.groups = self.nodes(Keyword::Group).filter_map(|node| self.group(node)).collect();
        policy.disjoint = self.nodes(Keyword::Disjoint).map(|node| self.disjoint(node)).collect();
        policy.teams = self.nodes(Keyword::Team).filter_map(|node| self.team(node)).collect();
        let connections: Vec<&Node> = self.nodes(Keyword::Connection).filter(|node| read::viable(node)).collect();
        for node in connections {
            let connection = self.connection(node, &policy);
            policy.connections.extend(connection);
        }
        policy.classify = self.nodes(Keyword::Classify).filter_map(|node| self.classify(node)).collect();
        policy.catalogs = self.nodes(Keyword::Catalog).map(|node| self.catalog(node)).collect();
        let delegates: Vec<Delegate> =
            self.nodes(Keyword::Delegate).filter_map(|node| self.delegate(node, &policy)).collect();
        policy.delegates = delegates;
        policy
    }

    fn group(&mut self, node: &Node) -> Option<Group> {
        let name = read::name(node)?;
        let mut broken = false;
        let idp = node.prop("idp").and_then(|idp| self.names.idp(idp, &mut broken, self.sink));
        let mut within = Vec::new();
        for value in node.values(Keyword::Within) {
            within.extend(self.names.group(value, &mut broken, self.sink));
        }
        let size = node.clause(Keyword::Size).map(|clause| Size {
            min: clause.prop("min").and_then(read::small),
            max: clause.prop("max").and_then(read::small),
            span: clause.head,
        });
        Some(Group {
            idp,
            kind: read::word(node.prop("kind"), SubjectKind::parse),
            ids: read::texts_of(node, Keyword::Id),
            claim_values: read::texts_of(node, Keyword::ClaimValue),
            within,
            size,
            head: read::head(node, name, broken),
        })
    }

    fn disjoint(&mut self, node: &Node) -> Disjoint {
        let mut broken = false;
        let groups = node.args.iter().filter_map(|value| self.names.group(value, &mut broken, self.sink)).collect();
        Disjoint { groups, span: node.head }
    }

    fn team(&mut self, node: &Node) -> Option<Team> {
        let name = read::name(node)?;
        let mut broken = false;
        let maintainers = node
            .values(Keyword::Maintainers)
            .filter_map(|value| self.names.group(value, &mut broken, self.sink))
            .collect();
        let folder = read::text_of(node, Keyword::Folder).map(|folder| Spanned {
            value: folder.value.trim_start_matches("./").trim_end_matches('/').to_owned(),
            span: folder.span,
        });
        Some(Team {
            maintainers,
            reviewers: read::texts_of(node, Keyword::Reviewers),
            folder,
            head: read::head(node, name, broken),
        })
    }

    fn connection(&mut self, node: &Node, policy: &Policy) -> Option<Connection> {
        let name = read::name(node)?;
        let mut broken = false;
        self.sign_in(node, &name.value);
        let owner = node.value(Keyword::Owner);
        let address = node.clause(Keyword::Address)?;
        let mut labels = Vec::new();
        for prop in node.clauses_of(Keyword::Label).flat_map(|clause| &clause.props) {
            match self.label(&prop.key, &prop.value, policy) {
                Some(value) => labels.push((prop.key.clone(), value)),
                None => broken = true,
            }
        }
        let settings = [Keyword::HostKey, Keyword::Ca, Keyword::UpstreamAuth]
            .into_iter()
            .filter_map(|keyword| Some((keyword.word().to_owned(), read::text_of(node, keyword)?)))
            .collect();
        Some(Connection {
            kind: read::word(node.prop("kind"), ConnectionKind::parse)?,
            owner: owner.and_then(|value| self.names.team(value, &mut broken, self.sink)),
            owner_named: owner.is_some(),
            address: address.arg().and_then(Value::spanned)?,
            database: address.prop("database").and_then(Value::spanned),
            credential: node.clause(Keyword::Credential).and_then(credential),
            tls: node.clause(Keyword::Tls).and_then(tls),
            masking: read::word(node.value(Keyword::Masking), |word| match word {
                "rewrite" => Some(Masking::Rewrite),
                "database" => Some(Masking::Database),
                _ => None,
            }),
            labels,
            catalog: read::text_of(node, Keyword::Catalog),
            settings,
            head: read::head(node, name, broken),
        })
    }

    /// A gateway signs in at most kinds of targets, and cannot without a credential and a user.
    fn sign_in(&mut self, node: &Node, name: &str) {
        let needed = match node.prop("kind").and_then(Value::as_str).and_then(ConnectionKind::parse) {
            Some(ConnectionKind::Postgres | ConnectionKind::Mysql | ConnectionKind::Ssh) => true,
            Some(ConnectionKind::Kubernetes | ConnectionKind::Http) | None => false,
        };
        if !needed {
            return;
        }
        let found = match node.clause(Keyword::Credential) {
            None if !node.broken => {
                Diagnostic::new(Code::P0009, node.head, format!("the connection `{name}` lacks its `credential`"))
            }
            Some(clause) if !clause.broken && clause.prop("user").is_none() => {
                Diagnostic::new(Code::P0009, clause.head, format!("the credential of `{name}` lacks its `user`"))
            }
            None | Some(_) => return,
        };
        self.sink.push(found.help("say how the gateway signs in: `credential (file)\"secrets/db\" user=gateway`"));
    }

    /// The label vocabulary; repetitions are reported.
    fn labels(&mut self, node: &Node) -> Vec<LabelKey> {
        let mut labels: Vec<LabelKey> = Vec::new();
        for key in node.clauses_of(Keyword::Labels).flat_map(|clause| &clause.clauses) {
            let word = &key.word;
            if let Some(first) = labels.iter().find(|label| label.key.value == word.value) {
                let message = format!("the label `{}` is declared twice", word.value);
                let found =
                    Diagnostic::new(Code::P0102, word.span, message).also(first.key.span, "first declared here");
                self.sink.push(found.help("put all its values on one line"));
                continue;
            }
            let values = key.args.iter().filter_map(Value::spanned).collect();
            labels.push(LabelKey { key: word.clone(), values });
        }
        labels
    }

    fn classify(&mut self, node: &Node) -> Option<Classify> {
        let name = node.arg().and_then(Value::spanned)?;
        let mut broken = false;
        let connection = self.names.connection(node.arg()?, &mut broken, self.sink).map(|found| found.value);
        let mut items = Vec::new();
        for clause in &node.clauses {
            let Some(class) = clause.prop("as").and_then(Value::spanned) else { continue };
            let Some(value) = clause.arg() else { continue };
            let column = clause.keyword == Keyword::Column;
            let json = clause.keyword == Keyword::Json;
            let object = if json {
                value.spanned()
            } else {
                let form = if column { Form::Column } else { Form::Table };
                form.read(value, &mut broken, self.sink)
            };
            let Some(object) = object else { continue };
            items.push(match object.value.rsplit_once('.') {
                Some((table, name)) if column => Classified {
                    column: Some(name.to_owned()),
                    object: Spanned { value: table.to_owned(), span: object.span },
                    json,
                    class,
                },
                Some(_) | None => Classified { object, column: None, json, class },
            });
        }
        let unlisted_hidden = read::word(node.value(Keyword::Unlisted), |word| Some(word == "hidden"));
        Some(Classify { connection, items, unlisted_hidden, head: read::head(node, name, broken) })
    }

    fn catalog(&mut self, node: &Node) -> Catalog {
        let mut broken = read::is_broken(node);
        let connection = match node.arg() {
            Some(value) => self.names.connection(value, &mut broken, self.sink).map(|found| found.value),
            None => None,
        };
        let mut tables = Vec::new();
        for schema in node.clauses_of(Keyword::Schema) {
            let Some(schema_name) = schema.name() else { continue };
            for table in schema.clauses_of(Keyword::Table) {
                let Some(name) = table.arg().and_then(Value::spanned) else { continue };
                let columns = table
                    .clauses_of(Keyword::Column)
                    .filter_map(|column| column.arg().and_then(Value::spanned))
                    .collect();
                tables.push(CatalogTable { schema: schema_name.to_owned(), name, columns });
            }
        }
        Catalog { connection, span: node.head, tables, broken }
    }

    fn delegate(&mut self, node: &Node, policy: &Policy) -> Option<Delegate> {
        let name = node.arg().and_then(Value::spanned)?;
        let mut broken = false;
        let team = self.names.team(node.arg()?, &mut broken, self.sink).map(|found| found.value);
        let on = self.on(node, policy, &mut broken);
        let to = self.principals(node, Keyword::To, &mut broken);
        let withheld = node
            .values(Keyword::No)
            .filter_map(|value| {
                read::word(Some(value), |word| match word {
                    "standing" => Some(Withheld::Standing),
                    "break-glass" => Some(Withheld::BreakGlass),
                    "reveal" => Some(Withheld::Reveal),
                    _ => None,
                })
            })
            .collect();
        let lifetime = read::duration_of(node, Keyword::Lifetime);
        Some(Delegate { team, on, to, lifetime, withheld, head: read::head(node, name, broken) })
    }
}

fn staleness(node: &Node) -> Option<Spanned<Staleness>> {
    let clause = node.clause(Keyword::Staleness)?;
    let max = clause.prop("max").and_then(Value::duration)?;
    let then = match clause.prop("then").and_then(Value::as_str)? {
        "keep" => WhenStale::Keep,
        "no-new-windows" => WhenStale::NoNewWindows,
        // The strictest answer is also that of a word that is wrong.
        _ => WhenStale::Deny,
    };
    Some(Spanned { value: Staleness { max, then }, span: clause.head })
}

fn idp(node: &Node) -> Option<Idp> {
    let name = read::name(node)?;
    let kind = match node.value(Keyword::Kind)?.as_str()? {
        "entra" => IdpKind::Entra(EntraSettings {
            tenant: read::text_of(node, Keyword::Tenant)?,
            authority: read::text_of(node, Keyword::Authority),
            overage: read::word(node.value(Keyword::Overage), |word| match word {
                "graph" => Some(Overage::Graph),
                "refuse" => Some(Overage::Refuse),
                _ => None,
            }),
            absent_groups: read::word(node.value(Keyword::AbsentGroups), |word| match word {
                "refuse" => Some(AbsentGroups::Refuse),
                "none" => Some(AbsentGroups::None),
                _ => None,
            }),
        }),
        _ => IdpKind::Oidc(OidcSettings { issuer: read::text_of(node, Keyword::Issuer)? }),
    };
    let claim = |key| {
        node.clauses_of(Keyword::Claim).find_map(|clause| clause.prop(key)).and_then(Value::as_str).map(str::to_owned)
    };
    Some(Idp {
        kind,
        audiences: read::texts_of(node, Keyword::Audience),
        claims: Claims {
            subject: claim("subject"),
            groups: claim("groups"),
            roles: claim("roles"),
            name: claim("name"),
            mfa: claim("mfa"),
        },
        mfa_value: read::text_of(node, Keyword::MfaValue),
        mfa_age: read::duration_of(node, Keyword::MfaAge),
        algorithms: read::texts_of(node, Keyword::Algorithms),
        leeway: read::duration_of(node, Keyword::Leeway),
        head: read::head(node, name, false),
    })
}

fn credential(clause: &Node) -> Option<Credential> {
    let value = clause.arg()?;
    Some(Credential {
        kind: value.credential()?,
        reference: value.spanned()?,
        user: clause.prop("user").and_then(Value::spanned),
        span: clause.head,
    })
}

fn tls(clause: &Node) -> Option<TlsSettings> {
    let way = read::word(clause.arg(), |word| match word {
        "verify-full" => Some(Tls::VerifyFull),
        "verify-ca" => Some(Tls::VerifyCa),
        "off" => Some(Tls::Off),
        _ => None,
    })?;
    Some(TlsSettings { way, ca: clause.prop("ca").and_then(Value::spanned) })
}
