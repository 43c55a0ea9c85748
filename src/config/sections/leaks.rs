//! Reports of leaked secrets: who may send them, and how secrets are known.

use super::receivers::{signer, target};
use super::redis_stream::redis_address;
use super::values::{bytes_of_file, kind, one_of, secret_file, some_text};
use crate::adapters::egress;
use crate::adapters::leaks::keys::KeySource;
use crate::adapters::leaks::lookups::{HttpLookup, KeyTemplate, RedisLookup};
use crate::adapters::leaks::params::{GitlabParams, Params, SelfServiceRates};
use crate::adapters::redis_connection::ServerAddress;
use crate::config::reader::Section;
use crate::config::value::{InvalidValue, Value};
use crate::formats::leaks::github::public_keys;
use crate::formats::leaks::hash::{Algorithm, Encoding, HashRule};
use crate::formats::outbound::standard_webhook::Signer;
use secrecy::ExposeSecret;
use std::time::Duration;

/// The shortest token of GitLab. Unit: characters. Chosen: as tokens of the API.
const TOKEN_CHARS_MIN: usize = 16;
/// The words of `algorithm`.
const ALGORITHMS: [&str; 3] = ["sha256", "sha512", "hmac_sha256"];
/// How long Redis may take to answer. Chosen: as the auth store.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Reads all of it. `shared` is the Redis of the auth store, which is meant where no address is written.
pub(super) fn leaks(
    section: &Section<'_>,
    allowed: &egress::Params,
    shared: Option<&ServerAddress>,
) -> Params {
    let params = Params {
        github: part(section, "github", |github| github_keys(github, allowed)),
        gitlab: part(section, "gitlab", gitlab),
        webhook: part(section, "webhook", webhook),
        self_service: part(section, "self_service", |rates| Some(self_service(rates))),
        hash: part(section, "hash", hash),
        redis: part(section, "redis", |redis| redis_lookup(redis, shared)),
        resolver: part(section, "resolver", |resolver| http_lookup(resolver, allowed)),
    };
    for name in section.names() {
        section.unknown(&name);
    }
    params
}

/// Reads a table, if it is there.
fn part<T>(
    section: &Section<'_>,
    name: &str,
    read: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Option<T> {
    let table = section.section(name);
    if !table.is_there() {
        return None;
    }
    let params = read(&table);
    table.finish();
    params
}

fn github_keys(section: &Section<'_>, allowed: &egress::Params) -> Option<KeySource> {
    let file = section.get("keys_file", |value| {
        public_keys(&bytes_of_file(value)?).map_err(|error| {
            InvalidValue::new(error.to_string(), "save the answer of keys_url as it is")
        })
    });
    let url = section.read("keys_url", |value| target(value, allowed));
    file.map(KeySource::File).or_else(|| url.map(KeySource::Url))
}

fn gitlab(section: &Section<'_>) -> Option<GitlabParams> {
    section.report_missing(&["token_file", "types"]);
    let token = section.get("token_file", |value| {
        let token = secret_file(value)?;
        if token.expose_secret().len() < TOKEN_CHARS_MIN {
            return Err(InvalidValue::new(
                "the token is too short",
                "use 16 characters or more, from `openssl rand -hex 32`",
            ));
        }
        Ok(token)
    });
    let types = section.get("types", |value| {
        let types: Vec<String> = value.texts()?.into_iter().map(str::to_owned).collect();
        if types.is_empty() {
            return Err(InvalidValue::new(
                "GitLab would send nothing",
                "name the types of your tokens",
            ));
        }
        Ok(types)
    });
    Some(GitlabParams { token: token?, types: types? })
}

fn webhook(section: &Section<'_>) -> Option<Signer> {
    section.report_missing(&["secret_file"]);
    section.get("secret_file", signer)
}

fn self_service(section: &Section<'_>) -> SelfServiceRates {
    SelfServiceRates {
        all_per_min: section.integer("per_minute"),
        address_per_min: section.integer("address_per_minute"),
    }
}

fn hash(section: &Section<'_>) -> Option<HashRule> {
    let key = section.get("key_file", secret_file);
    let algorithm = section.read("algorithm", |value| {
        one_of(value, |name| ALGORITHMS.into_iter().find(|known| *known == name), &ALGORITHMS)
    })?;
    let encodings = Encoding::ALL.map(Encoding::as_str);
    let encoding = |name: &str| Encoding::ALL.into_iter().find(|known| known.as_str() == name);
    let encoding = section.read("encoding", |value| one_of(value, encoding, &encodings));
    let prefix = section.read("prefix", |value| value.text().map(str::to_owned));
    let length = section.integer("length");
    let kind = section.read("kind", kind);
    let algorithm = match (algorithm, key) {
        ("hmac_sha256", None) => {
            section.report_missing(&["key_file"]);
            return None;
        }
        ("hmac_sha256", Some(key)) => {
            Algorithm::HmacSha256(key.expose_secret().as_bytes().to_vec().into())
        }
        (_, Some(_)) => {
            let remedy = "leave key_file out, or set algorithm = \"hmac_sha256\"";
            section.report(InvalidValue::new("a hash without a key has none", remedy));
            return None;
        }
        ("sha512", None) => Algorithm::Sha512,
        (_, None) => Algorithm::Sha256,
    };
    Some(HashRule { algorithm, encoding: encoding?, prefix: prefix?, length, kind: kind? })
}

fn redis_lookup(section: &Section<'_>, shared: Option<&ServerAddress>) -> Option<RedisLookup> {
    section.report_missing(&["key"]);
    let key = section.get("key", |value| {
        KeyTemplate::parse(value.text()?)
            .map_err(|error| InvalidValue::new(error.to_string(), "write \"token:{sha256}\""))
    });
    let place = redis_address(section, shared, RESPONSE_TIMEOUT);
    Some(RedisLookup { place: place?, key: key? })
}

fn http_lookup(section: &Section<'_>, allowed: &egress::Params) -> Option<HttpLookup> {
    section.report_missing(&["url"]);
    let url = section.get("url", |value| target(value, allowed));
    let token = section.get("token_file", |value| {
        let token = secret_file(value)?;
        some_text(Value::Environment(token.expose_secret())).map(|_| token.clone())
    });
    Some(HttpLookup { url: url?, token })
}

#[cfg(test)]
mod tests {
    use crate::config::loader;
    use std::collections::BTreeMap;

    fn check(text: &str) -> Result<String, String> {
        let read = loader::check("t", text, BTreeMap::new());
        read.map(|settings| format!("{:?}", settings.leaks))
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn an_endpoint_is_there_where_its_table_is() {
        assert!(check("").expect("good").contains("github: None"));
        let github = check("[leaks.github]\n").expect("good");
        assert!(github.contains("https://api.github.com:443/…"), "{github}");
        let rates = check("[leaks.self_service]\n").expect("good");
        assert!(rates.contains("all_per_min: 10, address_per_min: 3"), "{rates}");
        let hash = check("[leaks.hash]\nalgorithm = \"sha512\"\nlength = 40\n").expect("good");
        assert!(hash.contains("Sha512") && hash.contains("length: 40"), "{hash}");
    }

    #[test]
    fn a_table_that_lacks_something_is_a_mistake_with_a_remedy() {
        for (text, part) in [
            ("[leaks.gitlab]\n", "`token_file` is missing"),
            ("[leaks.webhook]\n", "`secret_file` is missing"),
            ("[leaks.redis]\nkey = \"k:{sha256}\"\n", "`url` is missing"),
            ("[leaks.redis]\nurl = \"redis://127.0.0.1\"\nkey = \"k\"\n", "token:{sha256}"),
            ("[leaks.resolver]\nurl = \"http://127.0.0.1/\"\n", "blocked"),
            ("[leaks.hash]\nalgorithm = \"hmac_sha256\"\n", "`key_file` is missing"),
            ("[leaks.hash]\nalgorithm = \"md5\"\n", "unknown value"),
            ("[leaks.hub]\n", "unknown setting"),
        ] {
            let problems = check(text).expect_err(text);
            assert!(problems.contains(part), "{text}: {problems}");
        }
    }
}
