//! Where requests come from, with what, and to what: the names that clients are drawn from.

use super::random::Random;
use std::sync::LazyLock;

/// User agents by family; versions change honestly, families seldom.
pub(crate) const AGENTS: [[&str; 3]; 8] = [
    ["openai-python/1.54.0", "openai-python/1.55.2", "openai-python/1.56.0"],
    ["python-requests/2.31.0", "python-requests/2.32.1", "python-requests/2.32.3"],
    ["node-fetch/3.3.0", "node-fetch/3.3.1", "node-fetch/3.3.2"],
    ["Go-http-client/1.1", "Go-http-client/2.0", "Go-http-client/2.0"],
    ["okhttp/4.11.0", "okhttp/4.12.0", "okhttp/5.0.0"],
    ["axios/1.6.7", "axios/1.7.2", "axios/1.7.7"],
    ["aiohttp/3.9.1", "aiohttp/3.9.5", "aiohttp/3.10.0"],
    ["Apache-HttpClient/4.5.14", "Apache-HttpClient/5.2", "Apache-HttpClient/5.3"],
];
/// User agents of thieves.
pub(crate) const TOOLS: [&str; 4] =
    ["curl/8.4.0", "Scrapy/2.11", "libwww-perl/6.72", "Wget/1.21.4"];
pub(crate) const COUNTRIES: [&[u8; 2]; 10] =
    [b"US", b"DE", b"GB", b"FR", b"IN", b"JP", b"BR", b"CA", b"NL", b"SG"];
pub(crate) const FAR_COUNTRIES: [&[u8; 2]; 5] = [b"RU", b"VN", b"NG", b"RO", b"ID"];

/// Endpoints that a client may call honestly.
pub(crate) const ENDPOINTS: [&str; 16] = [
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/models",
    "/v1/responses",
    "/v1/images",
    "/v1/audio/speech",
    "/v1/moderations",
    "/v1/files",
    "/v1/batches",
    "/v1/threads",
    "/v1/assistants",
    "/v1/orders",
    "/v1/customers",
    "/v1/search",
    "/v1/invoices",
    "/v1/events",
];

/// The endpoints of a sweep.
pub(crate) static SWEPT: LazyLock<Vec<String>> = LazyLock::new(|| {
    let areas = ["admin", "users", "billing", "exports", "secrets", "teams", "audit", "roles"];
    let things = [
        "list",
        "search",
        "export",
        "settings",
        "keys",
        "tokens",
        "history",
        "instances",
        "quota",
        "limits",
        "webhooks",
        "domains",
        "backups",
        "logs",
        "reports",
        "templates",
        "labels",
        "rules",
        "policies",
        "sessions",
        "devices",
        "invites",
        "plans",
        "usage",
        "notes",
    ];
    let paths = areas.iter().flat_map(|area| things.iter().map(move |thing| (area, thing)));
    paths.map(|(area, thing)| format!("/v1/{area}/{thing}")).collect()
});

/// A network that requests come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its first address.
    pub prefix: u32,
    /// Its autonomous system.
    pub asn: u32,
    /// Its country.
    pub country: [u8; 2],
}

impl Network {
    /// Any network of that country.
    pub fn draw(country: [u8; 2], random: &mut Random) -> Self {
        // 11.0.0.0 to 126.255.255.0, and an autonomous system that depends on it.
        let prefix = (11 << 24) + (random.below(116 << 16) << 8);
        Self { prefix, asn: 1000 + random.below(60_000), country }
    }
}
