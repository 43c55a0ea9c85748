//! The formats that come with tripline: records of each product, and the events that they are.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tripline::config::loader;
use tripline::config::sections::catalog;
use tripline::formats::events::refusal::{Limits, Refusal};
use tripline::formats::secrets::secret::Fingerprinter;
use tripline::model::event::AuthEvent;
use tripline::model::money::Money;

fn data(name: &str, extension: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats");
    folder.join(name).with_extension(extension)
}

/// An event as a line: the fields that it has.
fn shown(event: &AuthEvent<'_>) -> String {
    let text = |value: &Option<std::borrow::Cow<'_, str>>| value.as_deref().map(str::to_owned);
    let country = event.country.map(|code| String::from_utf8_lossy(&code).into_owned());
    let fields = [
        ("time", Some(event.time.to_string())),
        ("credential", Some(event.credential.to_string())),
        ("kind", Some(event.kind.as_str().to_owned())),
        ("outcome", Some(event.outcome.as_str().to_owned())),
        ("verified", Some(event.verified.to_string())),
        ("status", event.status.map(|status| status.to_string())),
        ("id", text(&event.id)),
        ("tenant", text(&event.tenant)),
        ("subject", text(&event.subject)),
        ("reason", text(&event.reason)),
        ("ip", event.ip.map(|ip| ip.to_string())),
        ("asn", event.asn.map(|asn| asn.to_string())),
        ("country", country),
        ("user_agent", text(&event.user_agent)),
        ("method", text(&event.method)),
        ("endpoint", text(&event.endpoint)),
        ("model", text(&event.model)),
        ("tokens", event.tokens.map(|tokens| tokens.to_string())),
        ("spend", event.spend.map(|spend| spend.units().to_string())),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    fields.collect::<Vec<_>>().join(" ")
}

/// The events of a file of records, a line each.
fn events(name: &str) -> String {
    let config = format!("[sources.it]\nformat = \"{name}\"\n");
    let settings = loader::check("it", &config, BTreeMap::new()).expect("a configuration");
    let read = |extension| std::fs::read(data(name, extension));
    let records = read("ndjson").or_else(|_| read("log")).expect("records");
    let fingerprints = Fingerprinter::new(vec![7; 32]);
    let mut lines = String::new();
    for record in records.split(|byte| *byte == b'\n').filter(|record| !record.is_empty()) {
        settings.decoder.decode(record, &Limits::default(), &fingerprints, &mut |answer| {
            match answer {
                Ok(event) => lines.push_str(&shown(&event)),
                Err(refusal) => lines.push_str(refusal.as_str()),
            }
            lines.push('\n');
        });
    }
    lines
}

#[test]
fn records_of_each_product_are_read_as_the_page_beside_them_says() {
    for format in catalog::formats() {
        let expected = std::fs::read_to_string(data(format.name, "expected")).unwrap_or_default();
        let found = events(format.name);
        assert_eq!(found, expected, "{}", format.name);
        assert!(found.contains("verified=true"), "{}: none counts", format.name);
        assert!(found.contains("no_credential"), "{}: each names one", format.name);
        assert!(!found.contains("secret-key"), "{}: a secret is kept", format.name);
    }
}

#[test]
fn single_lines_of_a_format_can_be_replaced() {
    let config = "[sources.edge]\nformat = \"caddy\"\nverified = \"never\"\nkind = \"agent_token\"\n\
                  tenant = \"acme\"\n[sources.edge.mapping]\ncredential = \"/request/uri\"\n";
    let settings = loader::check("it", config, BTreeMap::new()).expect("a configuration");
    let record = std::fs::read_to_string(data("caddy", "ndjson")).expect("records");
    let record = record.lines().next().expect("a record").as_bytes();
    let fingerprints = Fingerprinter::new(vec![7; 32]);
    settings.decoder.decode(record, &Limits::default(), &fingerprints, &mut |answer| {
        let event = answer.expect("it is read");
        assert_eq!((&*event.credential, event.verified), ("/v1/items?x=1", false));
        assert_eq!((event.kind.as_str(), event.tenant.as_deref()), ("agent_token", Some("acme")));
        assert_eq!(event.status, Some(200));
    });
}

#[test]
fn the_price_of_a_model_makes_the_spend_of_an_event_that_has_tokens_alone() {
    let config = "[prices]\n\"gpt-4o\" = 2.5\n\"gpt-4*\" = 30\n";
    let settings = loader::check("it", config, BTreeMap::new()).expect("a configuration");
    let fingerprints = Fingerprinter::new(vec![7; 32]);
    for (fields, spend) in [
        (r#""model":"gpt-4o","tokens":1000"#, Some(0.0025)),
        (r#""model":"gpt-4-turbo","tokens":1000"#, Some(0.03)),
        (r#""model":"gpt-4o","tokens":1000,"spend":0.7"#, Some(0.7)),
        (r#""model":"gpt-4o","tokens":1000,"spend":-1"#, Some(0.0025)),
        (r#""model":"other","tokens":1000"#, None),
    ] {
        let record =
            format!(r#"{{"time":1795460043500,"credential":"k","outcome":"accepted",{fields}}}"#);
        settings.decoder.decode(record.as_bytes(), &Limits::default(), &fingerprints, &mut |it| {
            let event = it.expect("it is read");
            assert_eq!(event.spend.map(Money::units), spend, "{fields}");
        });
    }
    let wrong = loader::check("it", "[prices]\nx = -1\n", BTreeMap::new());
    assert!(wrong.expect_err("a mistake").to_string().contains("out of range"));
}

#[test]
fn mistakes_in_places_are_named_with_their_remedy() {
    for (place, message) in [
        ("\"key\"", "begins with a slash"),
        ("[]", "an empty list"),
        ("{ at = \"/k\", value = \"x\" }", "either `at` or `value`"),
        ("{ match = \"x\" }", "either `at` or `value`"),
        ("{ at = \"/k\", pattern = \"x\" }", "no `pattern`"),
        ("{ at = \"/k\", match = \"(\" }", "invalid regular expression"),
        ("{ at = \"/k\", format = \"seconds\" }", "no format of a time"),
        ("{ at = \"/k\", fingerprint = 1 }", "true or false"),
        ("{ at = \"/k\", query = \"key\" }", "a list of strings"),
        ("\"/k\"\nline = '(a'", "invalid regular expression"),
        ("\"/k\"\nline = '(a) b'", "it names no part"),
        ("\"/k\"\nskip = '['", "invalid regular expression"),
        ("7", "expected a string"),
    ] {
        let config = format!(
            "[sources.edge]\nformat = \"mapping\"\n[sources.edge.mapping]\ntime = \"/t\"\ncredential = {place}\n"
        );
        let error = loader::check("it", &config, BTreeMap::new()).expect_err("a mistake");
        let text = error.to_string();
        assert!(text.contains(message), "{place}: {text}");
    }
}

#[test]
fn sources_that_contradict_themselves_are_mistakes() {
    for (config, message) in [
        ("[sources.a]\nformat = \"mapping\"\n", "needs a mapping"),
        ("[sources.a]\nverified = \"2xx\"\n", "`verified` has no effect"),
        ("[sources.a]\nkind = \"jwt\"\n", "`kind` has no effect"),
        ("[sources.a.mapping]\ntime = \"/t\"\n", "`mapping` has no effect"),
        ("[sources.a]\nformat = \"access_log\"\nverified = \"outcome\"\n", "no such field"),
        ("[sources.a]\nformat = \"litellm\"\nverified = \"2xx\"\n", "needs the field `status`"),
        ("[sources.a]\ntype = \"file\"\n", "`paths` is missing"),
        ("[sources.a]\ntype = \"file\"\npaths = [\"/var/*/a.log\"]\n", "not of a folder"),
        ("[sources.a]\ntype = \"file\"\npaths = []\n", "no file"),
        ("[sources.a]\ntype = \"file\"\npaths = [\"/a\"]\nformat = \"cloudtrail\"\n", "documents"),
        ("[sources.default]\ntype = \"file\"\npaths = [\"/a\"]\n", "its type is http"),
        ("[sources.\"A b\"]\n", "can't be the name of a source"),
        ("[sources.a]\nbrokers = \"k:9092\"\n", "add type = \"kafka\""),
        ("[sources.a]\npaths = [\"/a\"]\n", "add type = \"file\""),
        ("[sources.a]\ntype = \"http\"\npaths = [\"/a\"]\n", "unknown setting `sources.a.paths`"),
        ("[sources.a]\ncredential = \"user\"\n", "`credential` has no effect"),
        (
            "[sources.a]\ntype = \"file\"\npaths = [\"/a\"]\n[sources.b]\ntype = \"file\"\npaths = [\"/a\"]\n",
            "read the same files",
        ),
        ("[kafka]\nbrokers = \"k:9092\"\n", "it is [sources.NAME] with type"),
        ("[source]\nformat = \"native\"\n", "it is [sources.default]"),
        ("[sources.a]\nlog_format = \"%h\"\n", "`log_format` has no effect"),
        ("[sources.a]\nformat = \"access_log\"\nlog_format = \"$a$b\"\n", "nothing stands between"),
        ("[sources.a]\nformat = \"caddi\"\n", "unknown value `caddi`"),
        ("[sources.a]\nlisten = \"udp://127.0.0.1:1\"\n", "add type = \"syslog\""),
        ("[sources.a]\ntype = \"syslog\"\n", "`listen` is missing"),
        ("[sources.a]\ntype = \"syslog\"\nlisten = \"127.0.0.1:1\"\n", "udp://127.0.0.1:5514"),
        ("[sources.a]\ntype = \"syslog\"\nlisten = \"udp://0.0.0.0:1\"\n", "knows no tokens"),
        (
            "[sources.a]\ntype = \"syslog\"\nlisten = \"tls://127.0.0.1:1\"\n",
            "`certificate_file` is missing",
        ),
        (
            "[sources.a]\ntype = \"stdin\"\n[sources.b]\ntype = \"stdin\"\n",
            "reads standard input, too",
        ),
        ("[sources.a]\ntype = \"stdin\"\nformat = \"cloudtrail\"\n", "these are documents"),
        ("[sources.a]\ntype = \"otlp\"\nrecord = \"text\"\n", "unknown value `text`"),
        ("[sources.a]\nrecord = \"whole\"\n", "add type = \"otlp\""),
        (
            "[sources.a]\ntype = \"otlp\"\nrecord = \"whole\"\nformat = \"envoy\"\n",
            "knows no field of a whole",
        ),
        (
            "[sources.a]\ntype = \"otlp\"\nrecord = \"attributes\"\nformat = \"access_log\"\n",
            "a line is the body",
        ),
        ("[sources.a]\ntype = \"syslog\"\nlisten = \"udp://127.0.0.1:0\"\n", "port 0"),
        (
            "[sources.a]\ntype = \"syslog\"\nlisten = \"udp://127.0.0.1:1\"\nformat = \"cloudtrail\"\n",
            "documents",
        ),
        (
            "[sources.a]\ntype = \"syslog\"\nlisten = \"udp://127.0.0.1:1\"\n[sources.b]\ntype = \"syslog\"\n\
             listen = \"udp://127.0.0.1:1\"\n",
            "`b` and `a` listen on the same address",
        ),
        (
            "[http]\nlisten = \"127.0.0.1:9\"\n[sources.a]\ntype = \"syslog\"\nlisten = \"tcp://127.0.0.1:9\"\n",
            "listens where [http] does",
        ),
        ("[prices]\ngpt-4.1 = 8\n", "quote the whole name"),
        ("[prices]\n\"gpt-4*o\" = 8\n", "at its end"),
    ] {
        let error = loader::check("it", config, BTreeMap::new()).expect_err(config);
        assert!(error.to_string().contains(message), "{config}{error}");
    }
}

#[test]
fn an_access_log_in_a_format_of_its_own_is_read_by_the_text_of_its_server() {
    let config = "[sources.edge]\nformat = \"access_log\"\nverified = \"2xx\"\nlog_format = '''\n\
                  log_format api '$remote_addr - $remote_user [$time_local] \"$request\" '\n\
                  '$status \"$http_user_agent\" \"$http_x_api_key\"';'''\n";
    let settings = loader::check("it", config, BTreeMap::new()).expect("a configuration");
    let fingerprints = Fingerprinter::new(vec![7; 32]);
    let read = |line: &str| {
        let mut shown_line = String::new();
        settings.decoder.decode(line.as_bytes(), &Limits::default(), &fingerprints, &mut |it| {
            shown_line = it.map_or_else(|refusal| refusal.as_str().to_owned(), |it| shown(&it));
        });
        shown_line
    };
    let line = |user: &str, status: u16, key: &str| {
        format!(
            "203.0.113.7 - {user} [23/Nov/2026:18:54:00 +0000] \"GET /v1/items?x=1 HTTP/1.1\" {status} \
             \"curl/8.5\" \"{key}\""
        )
    };
    let rest = "user_agent=curl/8.5 method=GET endpoint=/v1/items";
    assert_eq!(
        read(&line("-", 200, "secret-key-1")),
        format!(
            "time=2026-11-23T18:54:00.000Z credential=fp_00a5bee1e666080ba1fd67b363b2173e kind=api_key \
             outcome=accepted verified=true status=200 ip=203.0.113.7 {rest}"
        )
    );
    assert!(read(&line("key_1", 401, "-")).contains("credential=key_1"));
    assert!(read(&line("key_1", 401, "-")).contains("verified=false"));
    assert_eq!(read(&line("-", 200, "-")), "no_credential");
    assert!(read(&line("a [b] c", 200, "-")).contains("credential=a [b] c kind"));
    assert_eq!(read("nonsense"), "malformed_line");
}

#[test]
fn no_client_of_a_load_balancer_moves_a_value_into_anothers_place() {
    let fingerprints = Fingerprinter::new(vec![7; 32]);
    let read = |name: &str, record: &str| {
        let config = format!("[sources.it]\nformat = \"{name}\"\n");
        let settings = loader::check("it", &config, BTreeMap::new()).expect("a configuration");
        let mut found = Vec::new();
        let limits = Limits::default();
        settings.decoder.decode(record.as_bytes(), &limits, &fingerprints, &mut |answer| {
            found.push(answer.map(|event| (event.status, event.verified)));
        });
        found
    };
    for (name, time, client_text, status) in [
        ("aws_alb", "https 2026-11-23T18:54:02.000001Z", "\"GET", 404),
        ("cloudfront", "2026-11-23\t18:54:02\t", "/a%09b", 200),
    ] {
        let records = std::fs::read_to_string(data(name, "log")).expect("records");
        let line = records.lines().find(|line| line.starts_with(time)).expect("a line");
        let begin = line.find(client_text).expect("the text");
        // Wherever a client's text grows, the line is refused or keeps its status.
        for text in ["\\", "\\x22", "%22", " 500 ", "%09", "\\t", "%2509500", "&api_key=k"] {
            for (at, _) in line.match_indices(['k', 'a', 'x']).filter(|(at, _)| *at > begin) {
                let hostile = format!("{}{text}{}", &line[..at], &line[at..]);
                let found = read(name, &hostile);
                assert!(!found.is_empty(), "{hostile}");
                for (found, _) in found.into_iter().flatten() {
                    assert_eq!(found, Some(status), "{hostile}");
                }
            }
        }
    }
    let cut = r#"https 2026-11-23T18:54:02Z a 203.0.113.7:1 - -1 -1 -1 401 - 0 0 "GET https://a/?api_key=k"#;
    assert_eq!(read("aws_alb", cut), [Err(Refusal::MalformedLine)]);
    assert!(read("cloudfront", "#Fields: date time").is_empty());
}

#[test]
fn a_second_secret_hides_none_and_a_name_that_a_client_claims_is_none() {
    let fingerprints = Fingerprinter::new(vec![7; 32]);
    let read = |name: &str, record: &str| {
        let config = format!("[sources.it]\nformat = \"{name}\"\n");
        let settings = loader::check("it", &config, BTreeMap::new()).expect("a configuration");
        let mut found = Vec::new();
        let limits = Limits::default();
        settings.decoder.decode(record.as_bytes(), &limits, &fingerprints, &mut |answer| {
            found.push(answer.map(|event| (event.credential.into_owned(), event.verified)));
        });
        found
    };
    let both = read(
        "nginx",
        r#"{"msec":"1795460040.1","status":"200","http_x_api_key":"junk","http_authorization":"Bearer stolen-1"}"#,
    );
    let alone = read(
        "nginx",
        r#"{"msec":"1795460040.1","status":"200","http_authorization":"Bearer stolen-1"}"#,
    );
    assert_eq!((both.len(), alone.len()), (2, 1));
    assert!(both.contains(&alone[0]) && both.iter().flatten().all(|(_, verified)| *verified));
    // A stranger's own key, and a token made up around the victim's id.
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let token = format!("{header}.{}.", URL_SAFE_NO_PAD.encode(r#"{"jti":"victim"}"#));
    let forged = |key: &str| {
        let log = format!(
            r#"{{"msec":"1795460040.1","status":"200","http_x_api_key":"{key}","http_authorization":"Bearer {token}"}}"#
        );
        read("nginx", &log)
    };
    let with_own_key = forged("own-key-1");
    let named = |id: &str| with_own_key.iter().flatten().any(|(credential, _)| credential == id);
    assert!(with_own_key.len() == 2 && !named("victim"), "{with_own_key:?}");
    let known_as = fingerprints.candidates(&format!("Bearer {token}")).ids;
    assert!(known_as.iter().any(|id| named(id)), "a gateway that asks is answered: {known_as:?}");
    assert_eq!(forged(""), [Ok(("victim".to_owned(), true))], "alone it is what was proven");
    let twice = r#"{"msec":"1795460040.1","status":"200","http_x_api_key":"k1","http_authorization":"Bearer k1"}"#;
    assert_eq!(read("nginx", twice).len(), 1, "the same secret is one credential");
    let claimed =
        r#"{"msec":"1795460040.1","status":"200","remote_user":"victim","http_x_api_key":""}"#;
    assert_eq!(read("nginx", claimed), [Err(Refusal::NoCredential)]);
    let mapped =
        r#"{"msec":"1795460040.1","status":"200","credential":"key_1","http_x_api_key":"k1"}"#;
    assert_eq!(read("nginx", mapped), [Ok(("key_1".to_owned(), true))]);
}
