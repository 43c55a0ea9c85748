//! Formats of records that are a mapping: tables of data in `formats/`, compiled in.

use super::mapping::{fields, verified};
use super::values::kind;
use crate::config::reader::Reader;
use crate::formats::events::decoder::Format;
use crate::formats::events::mapping::Mapping;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The tables, by name.
const TABLES: [(&str, &str); 20] = [
    ("apisix", include_str!("../../../formats/apisix.toml")),
    ("auth0", include_str!("../../../formats/auth0.toml")),
    ("aws_alb", include_str!("../../../formats/aws_alb.toml")),
    ("aws_api_gateway", include_str!("../../../formats/aws_api_gateway.toml")),
    ("caddy", include_str!("../../../formats/caddy.toml")),
    ("cloudflare", include_str!("../../../formats/cloudflare.toml")),
    ("cloudfront", include_str!("../../../formats/cloudfront.toml")),
    ("ecs", include_str!("../../../formats/ecs.toml")),
    ("envoy", include_str!("../../../formats/envoy.toml")),
    ("haproxy", include_str!("../../../formats/haproxy.toml")),
    ("keycloak", include_str!("../../../formats/keycloak.toml")),
    ("kong", include_str!("../../../formats/kong.toml")),
    ("kubernetes_audit", include_str!("../../../formats/kubernetes_audit.toml")),
    ("litellm", include_str!("../../../formats/litellm.toml")),
    ("middleware", include_str!("../../../formats/middleware.toml")),
    ("nginx", include_str!("../../../formats/nginx.toml")),
    ("ocsf", include_str!("../../../formats/ocsf.toml")),
    ("okta", include_str!("../../../formats/okta.toml")),
    ("traefik", include_str!("../../../formats/traefik.toml")),
    ("vault", include_str!("../../../formats/vault.toml")),
];

/// A format of the catalog.
#[derive(Clone, Debug)]
pub struct CatalogFormat {
    /// Its name.
    pub name: &'static str,
    /// Its table, as an operator would write it.
    pub text: &'static str,
    /// The mapping that the table is.
    pub mapping: Mapping,
}

static FORMATS: LazyLock<Vec<CatalogFormat>> = LazyLock::new(|| {
    let read = |(name, text)| Some(CatalogFormat { name, text, mapping: read(name, text).ok()? });
    TABLES.into_iter().filter_map(read).collect()
});

/// The names of all formats of events.
pub fn names() -> impl Iterator<Item = &'static str> {
    Format::NAMES.into_iter().chain(FORMATS.iter().map(|format| format.name))
}

/// All of them.
pub fn formats() -> &'static [CatalogFormat] {
    &FORMATS
}

/// The format of that name, if there is one.
pub fn format(name: &str) -> Option<&'static CatalogFormat> {
    FORMATS.iter().find(|format| format.name == name)
}

/// Reads a table of the catalog: the section of a source of that name.
///
/// # Errors
/// Its mistakes.
fn read(name: &'static str, text: &str) -> Result<Mapping, String> {
    let (table, syntax) = toml::de::DeTable::parse_recoverable(text);
    if let Some(error) = syntax.first() {
        return Err(error.message().to_owned());
    }
    let reader = Reader::new(BTreeMap::new(), None);
    let root = reader.root(&table);
    let section = root.section("sources").section(name);
    let default_kind = section.get("kind", kind).unwrap_or_default();
    let verified = section.get("verified", verified).unwrap_or_default();
    let format = section.get("format", |value| value.text().map(str::to_owned));
    let fields = fields(section.section("mapping"));
    section.finish();
    let mapping = fields.over(None).ok_or("credential or time is missing")?;
    let mapping = Mapping { name, default_kind, verified, ..mapping };
    match reader.finish().first() {
        Some(problem) => Err(problem.message.clone()),
        None if format.as_deref() != Some("mapping") => Err("its format is mapping".to_owned()),
        None => Ok(mapping),
    }
}

#[cfg(test)]
mod tests {
    use super::{TABLES, read};

    #[test]
    fn each_table_of_the_catalog_is_good() {
        for (name, text) in TABLES {
            assert_eq!(read(name, text).map(|_| ()), Ok(()), "{name}");
            assert!(text.starts_with("# "), "{name} says what it is");
        }
    }
}
