//! Raw settings that the client of this build refuses, before there is a client: names that it does not
//! know, values that it does not take, and what it was built without.

use super::redaction::{self, Redacted};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use std::collections::BTreeMap;

/// Loads code as it is set.
const LOADS_CODE: &str = "plugin.library.paths";

/// Settings of the classic protocol, which the brokers have in the newer one.
const OF_CLASSIC: [&str; 4] = [
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "partition.assignment.strategy",
    "group.protocol.type",
];

/// A setting that is refused, why, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
    /// The remedy.
    pub remedy: &'static str,
}

/// The settings that are refused.
pub fn refused(settings: &BTreeMap<String, String>) -> Vec<Refused> {
    redaction::hide(settings);
    let each = settings.iter().filter(|(name, _)| *name != LOADS_CODE);
    let mut refused: Vec<Refused> =
        each.filter_map(|(name, value)| refused_alone(name, value)).collect();
    if settings.get("group.protocol").is_some_and(|protocol| protocol == "consumer") {
        let of_classic = OF_CLASSIC.into_iter().filter(|name| settings.contains_key(*name));
        refused.extend(of_classic.map(|name| Refused {
            name: name.to_owned(),
            why: "with group.protocol = \"consumer\" the brokers set it".to_owned(),
            remedy: "remove it, or group.protocol",
        }));
    }
    if refused.is_empty() {
        refused.extend(mechanism(settings, &features()));
    }
    refused
}

/// Where authorities are looked for whose certificates are trusted, if the settings don't say: where systems
/// keep them. An OpenSSL compiled from source has no such place of its own.
pub fn trust(config: &mut ClientConfig) {
    let is_named = ["ssl.ca.location", "ssl.ca.pem"].iter().any(|name| config.get(name).is_some());
    let protocol = config.get("security.protocol").unwrap_or_default().to_lowercase();
    if cfg!(feature = "kafka-ssl-vendored") && protocol.ends_with("ssl") && !is_named {
        config.set("ssl.ca.location", "probe");
    }
}

fn refused_alone(name: &str, value: &str) -> Option<Refused> {
    let taken = ClientConfig::new().set(name, value).create_native_config();
    let (why, remedy) = match taken {
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => (
            "librdkafka has no such setting".to_owned(),
            "CONFIGURATION.md of librdkafka lists all names",
        ),
        Err(KafkaError::ClientConfig(_, text, ..)) if text.contains("in this build") => {
            (Redacted::of(text).to_string(), lacking(name))
        }
        Err(KafkaError::ClientConfig(_, text, ..)) => (
            Redacted::of(text).to_string(),
            "CONFIGURATION.md of librdkafka has the values it takes",
        ),
        Ok(_) | Err(_) => return None,
    };
    Some(Refused { name: name.to_owned(), why, remedy })
}

fn lacking(name: &str) -> &'static str {
    if name.contains("oauthbearer") {
        "no build of tripline has libcurl: log in by SCRAM, PLAIN or a certificate"
    } else {
        "take a build with the feature kafka-ssl, as it is by default"
    }
}

/// The libraries and protocols that the client was built with.
fn features() -> Vec<String> {
    let native = ClientConfig::new().create_native_config();
    let features = native.and_then(|native| native.get("builtin.features")).unwrap_or_default();
    features.split(',').map(str::to_owned).collect()
}

/// The mechanism to log in by, which the client looks for as late as it is made.
fn mechanism(settings: &BTreeMap<String, String>, features: &[String]) -> Option<Refused> {
    let get = |name: &str| settings.get(name).map(String::as_str);
    let protocol = get("security.protocol")?.to_lowercase();
    if !protocol.starts_with("sasl") {
        return None;
    }
    let has = |feature: &str| features.iter().any(|one| one == feature);
    let written = ["sasl.mechanisms", "sasl.mechanism"];
    let written = written.into_iter().find_map(|name| Some((name, get(name)?)));
    let (name, mechanism) = written.unwrap_or(("security.protocol", "GSSAPI"));
    let (why, remedy) = match mechanism {
        "PLAIN" => return None,
        "SCRAM-SHA-256" | "SCRAM-SHA-512" if has("sasl_scram") => return None,
        "SCRAM-SHA-256" | "SCRAM-SHA-512" => ("this build lacks SCRAM", lacking(name)),
        "GSSAPI" if has("sasl_gssapi") => return None,
        "GSSAPI" if written.is_none() => (
            "SASL without `sasl.mechanisms` is GSSAPI (Kerberos), which this build lacks",
            "set sasl.mechanisms to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
        ),
        "GSSAPI" => (
            "this build lacks GSSAPI (Kerberos)",
            "take a build with the feature kafka-gssapi, or another mechanism",
        ),
        "OAUTHBEARER"
            if has("sasl_oauthbearer")
                && (get("sasl.oauthbearer.method") == Some("oidc")
                    || get("enable.sasl.oauthbearer.unsecure.jwt") == Some("true")) =>
        {
            return None;
        }
        "OAUTHBEARER" => (
            "OAUTHBEARER needs tokens, and this build can fetch none",
            "log in by SCRAM, PLAIN or a certificate",
        ),
        _ => (
            "librdkafka has no such mechanism",
            "take one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, GSSAPI",
        ),
    };
    Some(Refused { name: name.to_owned(), why: why.to_owned(), remedy })
}

#[cfg(test)]
mod tests {
    use super::{mechanism, refused, trust};
    use rdkafka::config::ClientConfig;
    use std::collections::BTreeMap;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_name_and_a_value_that_librdkafka_does_not_take_are_refused_without_the_value() {
        for (name, value, why) in [
            ("sasl.pasword", "correct-horse", "no such setting"),
            ("session.timeout.ms", "correct-horse", "Invalid"),
            ("security.protocol", "correct-horse", "Invalid"),
            ("compression.type", "correct-horse", "Invalid"),
        ] {
            let refused = refused(&settings(&[(name, value), ("fetch.min.bytes", "1")]));
            let [refused] = refused.as_slice() else { panic!("{refused:?}") };
            assert_eq!(refused.name, name);
            assert!(refused.why.contains(why) && !refused.why.contains("correct"), "{refused:?}");
        }
    }

    #[test]
    fn what_the_brokers_set_in_the_newer_protocol_is_refused_with_it_alone() {
        let session = ("session.timeout.ms", "6000");
        assert_eq!(refused(&settings(&[session, ("group.protocol", "classic")])), []);
        let refused = refused(&settings(&[session, ("group.protocol", "consumer")]));
        assert_eq!(refused.first().map(|one| &*one.name), Some("session.timeout.ms"));
    }

    #[test]
    fn the_authorities_of_the_system_are_trusted_unless_others_are_named() {
        let tls = ("security.protocol", "SASL_SSL");
        for (settings, expected) in [
            (settings(&[tls]), cfg!(feature = "kafka-ssl-vendored").then_some("probe")),
            (settings(&[tls, ("ssl.ca.location", "/ca.pem")]), Some("/ca.pem")),
            (settings(&[tls, ("ssl.ca.pem", "-----")]), None),
            (settings(&[("security.protocol", "SASL_PLAINTEXT")]), None),
        ] {
            let mut config: ClientConfig = settings.into_iter().collect();
            trust(&mut config);
            assert_eq!(config.get("ssl.ca.location"), expected);
        }
    }

    #[test]
    fn what_the_build_has_is_taken() {
        let mut taken = vec![
            vec![("compression.type", "zstd"), ("compression.codec", "lz4")],
            vec![("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanisms", "PLAIN")],
            vec![("plugin.library.paths", "/nowhere.so")],
        ];
        if cfg!(feature = "kafka-ssl") {
            taken.push(vec![("security.protocol", "SSL"), ("ssl.ca.location", "/etc/ca.pem")]);
            let scram = ("sasl.mechanism", "SCRAM-SHA-512");
            taken.push(vec![("security.protocol", "SASL_SSL"), scram]);
        } else {
            let refused = refused(&settings(&[("security.protocol", "SASL_SSL")]));
            assert!(refused.iter().any(|one| one.remedy.contains("kafka-ssl")), "{refused:?}");
        }
        for taken in taken {
            assert_eq!(refused(&settings(&taken)), []);
        }
    }

    #[test]
    fn a_mechanism_that_the_build_lacks_is_refused_where_it_is_written() {
        let all = ["sasl_plain", "sasl_scram", "sasl_oauthbearer", "sasl_gssapi"];
        let sasl = ("security.protocol", "sasl_plaintext");
        for (written, lacks, name) in [
            (None, "sasl_gssapi", Some("security.protocol")),
            (Some("GSSAPI"), "sasl_gssapi", Some("sasl.mechanisms")),
            (Some("GSSAPI"), "", None),
            (Some("SCRAM-SHA-256"), "sasl_scram", Some("sasl.mechanisms")),
            (Some("SCRAM-SHA-256"), "", None),
            (Some("OAUTHBEARER"), "", Some("sasl.mechanisms")),
            (Some("PLANE"), "", Some("sasl.mechanisms")),
            (Some("PLAIN"), "sasl_plain", None),
        ] {
            let mut settings = settings(&[sasl]);
            settings.extend(written.map(|value| ("sasl.mechanisms".to_owned(), value.to_owned())));
            let features: Vec<String> =
                all.iter().filter(|one| **one != lacks).map(|one| (*one).to_owned()).collect();
            let found = mechanism(&settings, &features).map(|refused| refused.name);
            assert_eq!(found.as_deref(), name, "{written:?} without {lacks}");
        }
    }
}
