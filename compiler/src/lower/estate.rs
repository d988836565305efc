//! Lowers who and what exists. Teams, delegation and catalogs have done their work in the compiler: the tables of
//! the gateway do not carry them.

use super::parts::{bare, names, sorted, texts};
use lang::{
    model::{self, ConnectionId, IdpKind, Policy},
    program::rules::{
        AbsentGroups, Classified, Connection, Credential, Group, Idp, IdpFlavour, Masking, Overage, Rules, Tls,
    },
    time::Ttl,
};

/// How far clocks may differ unless the policy says otherwise.
const LEEWAY_SECONDS: u32 = 60;

/// Fills the tables of idps, groups, disjointness and connections.
pub(super) fn lower(policy: &Policy, rules: &mut Rules) {
    rules.idps = policy.idps.iter().map(idp).collect();
    rules.groups = policy.groups.iter().map(|item| group(policy, item)).collect();
    rules.disjoint =
        policy.disjoint.iter().map(|rule| names(policy, rule.groups.iter().map(|group| group.value))).collect();
    rules.connections = policy.connection_ids().map(|(id, item)| connection(policy, id, item)).collect();
}

fn idp(item: &model::Idp) -> Idp {
    let flavour = match &item.kind {
        IdpKind::Entra(entra) => IdpFlavour::Entra {
            tenant: entra.tenant.value.to_ascii_lowercase(),
            authority: bare(entra.authority.as_ref()),
            overage: bare(entra.overage.as_ref()).unwrap_or(Overage::Refuse),
            absent_groups: bare(entra.absent_groups.as_ref()).unwrap_or(AbsentGroups::Refuse),
        },
        IdpKind::Oidc(oidc) => IdpFlavour::Oidc { issuer: oidc.issuer.value.clone() },
    };
    Idp {
        name: item.head.name.value.clone(),
        flavour,
        audiences: texts(&item.audiences),
        claims: item.claims.clone(),
        mfa_value: bare(item.mfa_value.as_ref()),
        mfa_age: bare(item.mfa_age.as_ref()),
        algorithms: texts(&item.algorithms),
        leeway: bare(item.leeway.as_ref()).unwrap_or_else(|| Ttl::from_seconds(LEEWAY_SECONDS)),
    }
}

fn group(policy: &Policy, item: &model::Group) -> Group {
    let size = item.size.as_ref();
    Group {
        name: item.head.name.value.clone(),
        idp: item.idp.as_ref().map(|idp| policy[idp.value].head.name.value.clone()).unwrap_or_default(),
        kind: bare(item.kind.as_ref()),
        ids: sorted(item.ids.iter().map(|id| id.value.to_ascii_lowercase())),
        claim_values: texts(&item.claim_values),
        within: names(policy, item.within.iter().map(|parent| parent.value)),
        size_min: size.and_then(|size| bare(size.min.as_ref())),
        size_max: size.and_then(|size| bare(size.max.as_ref())),
    }
}

fn connection(policy: &Policy, id: ConnectionId, item: &model::Connection) -> Connection {
    let classify: Vec<&model::Classify> = policy.classify.iter().filter(|node| node.connection == Some(id)).collect();
    let classified = classify.iter().flat_map(|node| &node.items).map(|found| Classified {
        object: found.object.value.clone(),
        column: found.column.clone(),
        class: found.class.value.clone(),
    });
    // Of several statements the strictest holds. A relation with a masked column hides what the catalog does not
    // list; without a catalog nothing could be listed.
    let stated: Vec<bool> =
        classify.iter().filter_map(|node| node.unlisted_hidden.as_ref()).map(|stated| stated.value).collect();
    let has_catalog = policy.catalogs.iter().any(|catalog| catalog.connection == Some(id));
    let hidden = if stated.is_empty() { has_catalog } else { stated.contains(&true) };
    Connection {
        name: item.head.name.value.clone(),
        kind: item.kind.value,
        owner: item.owner.as_ref().map(|team| policy[team.value].head.name.value.clone()),
        address: item.address.value.clone(),
        database: bare(item.database.as_ref()),
        credential: credential(item),
        tls: tls(item),
        masking: bare(item.masking.as_ref()).unwrap_or(Masking::Rewrite),
        labels: sorted(item.labels.iter().map(|(key, value)| (key.value.clone(), value.value.clone()))),
        settings: sorted(item.settings.iter().map(|(key, value)| (key.clone(), value.value.clone()))),
        classified: sorted(classified),
        unlisted_hidden: Some(hidden),
        listed: (hidden && has_catalog).then(|| listed(policy, id)),
    }
}

/// The columns that the catalogs of a connection list.
fn listed(policy: &Policy, id: ConnectionId) -> Vec<String> {
    let tables =
        policy.catalogs.iter().filter(|catalog| catalog.connection == Some(id)).flat_map(|found| &found.tables);
    sorted(tables.flat_map(|table| {
        table.columns.iter().map(move |column| format!("{}.{}.{}", table.schema, table.name.value, column.value))
    }))
}

/// A connection without a credential has an empty source, which no gateway reads: it stays closed.
fn credential(item: &model::Connection) -> Credential {
    match &item.credential {
        Some(credential) => Credential {
            source: credential.kind.word().to_owned(),
            reference: credential.reference.value.clone(),
            user: bare(credential.user.as_ref()).unwrap_or_default(),
        },
        None => Credential { source: String::new(), reference: String::new(), user: String::new() },
    }
}

fn tls(item: &model::Connection) -> Tls {
    match &item.tls {
        None => Tls::VerifyFull { ca: None },
        Some(settings) => {
            let ca = bare(settings.ca.as_ref());
            match settings.way.value {
                model::Tls::VerifyFull => Tls::VerifyFull { ca },
                model::Tls::VerifyCa => Tls::VerifyCa { ca },
                model::Tls::Off => Tls::Off,
            }
        }
    }
}
