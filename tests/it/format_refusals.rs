//! Bad input: each kind has its own counted reason, none ends anything, and what stands around it
//! is read.

use proptest::prelude::*;
use tripline::formats::events::access_log::{AccessLog, Field};
use tripline::formats::events::body;
use tripline::formats::events::decoder::{Decoder, Format};
use tripline::formats::events::mapping::Mapping;
use tripline::formats::events::pointer::{Pointer, PointerError};
use tripline::formats::events::refusal::{Limits, Refusal};
use tripline::formats::events::verified::{Verified, VerifiedRule};
use tripline::formats::secrets::secret::Fingerprinter;
use tripline::model::credential::Kind;
use tripline::model::event::{self, AuthEvent, Outcome};
use tripline::model::time::EventTime;

fn fingerprints() -> Fingerprinter {
    Fingerprinter::new(b"a key of the tests, of 32 bytes.".to_vec())
}

fn limits() -> Limits {
    Limits { time_max: EventTime::from_ms(1_800_000_000_000), record_bytes_max: 4096 }
}

fn refusal(record: &[u8]) -> Option<Refusal> {
    native(record).err()
}

fn native(record: &[u8]) -> Result<AuthEvent<'static>, Refusal> {
    one(&Decoder::default(), record)
}

fn one(decoder: &Decoder, record: &[u8]) -> Result<AuthEvent<'static>, Refusal> {
    let mut answers = Vec::new();
    decoder.decode(record, &limits(), &fingerprints(), &mut |answer| {
        answers.push(answer.map(AuthEvent::into_owned));
    });
    assert_eq!(answers.len(), 1, "{}", String::from_utf8_lossy(record));
    answers.remove(0)
}

fn of(format: Format) -> Decoder {
    format.into()
}

fn all(decoder: &Decoder, record: &[u8]) -> Vec<Result<String, Refusal>> {
    let mut answers = Vec::new();
    decoder.decode(record, &limits(), &fingerprints(), &mut |answer| {
        answers.push(answer.map(|event| event.credential.into_owned()));
    });
    answers
}

const GOOD: &str = r#"{"time":1700000000000,"credential":"key_1"}"#;

#[test]
fn the_contract_is_read_whole() {
    let record = r#"{"time":"2026-11-23T18:54:00.123Z","id":"01JDCP","credential":"key_7f3a",
        "kind":"session","tenant":"acme","subject":"svc-chat","outcome":"throttled","reason":null,
        "ip":"203.0.113.7","asn":64500,"country":"DE","user_agent":"openai-python/1.54",
        "method":"POST","endpoint":"/v1/chat?key=x","status":200,"tokens":1032,
        "issued":"2026-11-23T18:00:00Z","expires":1795464000000,"family":"f","more":[1,{"a":2}]}"#;
    let limits = Limits::default();
    let mut seen = 0;
    Decoder::default().decode(record.as_bytes(), &limits, &fingerprints(), &mut |event| {
        whole(&event.expect("good"));
        seen += 1;
    });
    assert_eq!(seen, 1);
}

fn whole(event: &AuthEvent<'_>) {
    assert_eq!(event.time.ms(), 1_795_460_040_123);
    assert!(event.verified && event.repairs.is_empty());
    assert_eq!((event.kind, event.outcome), (Kind::Session, Outcome::Throttled));
    assert_eq!(event.ip.map(|ip| ip.to_string()).as_deref(), Some("203.0.113.7"));
    assert_eq!((event.asn, event.country), (Some(64_500), Some(*b"DE")));
    assert_eq!(event.endpoint.as_deref(), Some("/v1/chat"));
    assert_eq!((event.status, event.tokens), (Some(200), Some(1032)));
    assert_eq!(event.expires.map(EventTime::ms), Some(1_795_464_000_000));
    assert!(matches!(event.credential, std::borrow::Cow::Borrowed("key_7f3a")));
    assert!(matches!(event.tenant, Some(std::borrow::Cow::Borrowed("acme"))));
}

#[test]
fn an_outcome_that_is_not_said_follows_from_the_status() {
    for (status, outcome) in [
        (200, Outcome::Accepted),
        (401, Outcome::Rejected),
        (403, Outcome::Rejected),
        (429, Outcome::Throttled),
        (500, Outcome::Accepted),
    ] {
        let record = format!(r#"{{"time":1700000000000,"credential":"k","status":{status}}}"#);
        let event = native(record.as_bytes()).expect("good");
        assert_eq!((event.outcome, event.verified), (outcome, status == 200), "{status}");
    }
}

#[test]
fn each_kind_of_bad_record_has_its_own_reason() {
    let of_credential =
        |id: &str| format!(r#"{{"time":1700000000000,"credential":"{id}"}}"#).into_bytes();
    let with =
        |more: &str| format!(r#"{{"time":1700000000000,"credential":"k",{more}}}"#).into_bytes();
    let deep = format!("{{\"time\":1700000000000,\"credential\":\"k\",\"x\":{}", "[".repeat(1000));
    let cases: Vec<(&str, Vec<u8>, Refusal)> = vec![
        ("nothing", vec![], Refusal::Empty),
        ("white space", b"  ".to_vec(), Refusal::Empty),
        ("cut off", GOOD.as_bytes()[..30].to_vec(), Refusal::InvalidJson),
        ("no JSON", b"hello".to_vec(), Refusal::InvalidJson),
        (
            "a NUL",
            b"{\"time\":1700000000000,\0\"credential\":\"k\"}".to_vec(),
            Refusal::InvalidJson,
        ),
        (
            "a credential of invalid UTF-8",
            b"{\"time\":1700000000000,\"credential\":\"\xff\xfe\"}".to_vec(),
            Refusal::InvalidUtf8,
        ),
        ("too long", vec![b' '; 5000], Refusal::TooLarge),
        ("1,000 deep", deep.into_bytes(), Refusal::TooDeep),
        ("an array", b"[1]".to_vec(), Refusal::WrongType),
        ("a number", b"17".to_vec(), Refusal::WrongType),
        ("a wrong type", with("\"status\":\"OK\""), Refusal::WrongType),
        ("a status out of range", with("\"status\":70000"), Refusal::WrongType),
        ("a flag that is none", with("\"verified\":\"yes\""), Refusal::WrongType),
        ("an outcome that is a list", with("\"outcome\":[\"accepted\"]"), Refusal::WrongType),
        ("a field twice", with("\"credential\":\"l\""), Refusal::WrongType),
        ("no time", b"{\"credential\":\"k\"}".to_vec(), Refusal::MissingTime),
        ("null time", b"{\"time\":null,\"credential\":\"k\"}".to_vec(), Refusal::MissingTime),
        (
            "no such time",
            b"{\"time\":\"noon\",\"credential\":\"k\"}".to_vec(),
            Refusal::InvalidTime,
        ),
        (
            "the future",
            b"{\"time\":1900000000000,\"credential\":\"k\"}".to_vec(),
            Refusal::TimeInFuture,
        ),
        ("seconds", b"{\"time\":1700000000,\"credential\":\"k\"}".to_vec(), Refusal::TimeTooOld),
        (
            "long ago",
            b"{\"time\":\"1970-01-01T00:00:00Z\",\"credential\":\"k\"}".to_vec(),
            Refusal::TimeTooOld,
        ),
        ("no credential", b"{\"time\":1700000000000}".to_vec(), Refusal::NoCredential),
        ("an empty id", of_credential(""), Refusal::NoCredential),
        ("a 3 KB id", of_credential(&"x".repeat(3000)), Refusal::InvalidCredential),
        ("a control character", of_credential("a\\nb"), Refusal::InvalidCredential),
        ("an escaped NUL", of_credential("a\\u0000b"), Refusal::InvalidCredential),
        ("an unknown kind", with("\"kind\":\"password\""), Refusal::InvalidField),
        ("an unknown outcome", with("\"outcome\":\"maybe\""), Refusal::InvalidField),
        ("no credential but a dash", of_credential("-"), Refusal::NoCredential),
        ("no credential but a space", of_credential(" "), Refusal::NoCredential),
        ("a status twice", with("\"status\":401,\"status\":200"), Refusal::WrongType),
    ];
    for (name, record, expected) in cases {
        assert_eq!(refusal(&record), Some(expected), "{name}");
    }
    assert_eq!(refusal(GOOD.as_bytes()), None);
}

#[test]
fn reasons_are_told_apart_by_name_and_say_what_to_do() {
    let names: std::collections::BTreeSet<_> =
        Refusal::ALL.into_iter().map(Refusal::as_str).collect();
    assert_eq!(names.len(), Refusal::ALL.len());
    assert!(Refusal::ALL.into_iter().all(|refusal| !refusal.remedy().is_empty()));
}

#[test]
fn a_body_is_lines_or_an_array_and_what_stands_around_a_bad_record_is_read() {
    let read = |text: &str| {
        let mut seen = Vec::new();
        let decoder = Decoder::default();
        body::decode(&decoder, text.as_bytes(), &limits(), &fingerprints(), |number, answer| {
            seen.push((number, answer.err()));
        });
        seen
    };
    let lines = format!("{GOOD}\n\nnonsense\r\n{GOOD}\r\n");
    assert_eq!(read(&lines), [(1, None), (3, Some(Refusal::InvalidJson)), (4, None)]);
    let array = format!(" [{GOOD}, 7, {GOOD}]");
    assert_eq!(read(&array), [(1, None), (2, Some(Refusal::WrongType)), (3, None)]);
    assert_eq!(read("[1,"), [(1, Some(Refusal::WrongType)), (2, Some(Refusal::Empty))]);
    assert_eq!(read(&format!("[{GOOD}")), [(1, None), (2, Some(Refusal::InvalidJson))]);
    assert_eq!(read(&format!("[{GOOD}] x")), [(1, None), (2, Some(Refusal::InvalidJson))]);
    assert_eq!(read(&"[".repeat(4000)), [(1, Some(Refusal::TooDeep))]);
}

#[test]
fn cloudtrail_documents_lose_only_their_bad_records() {
    let document = include_bytes!("../data/cloudtrail_excerpt.json");
    let limits = Limits { record_bytes_max: 1 << 20, ..Limits::default() };
    let (mut good, mut refused) = (Vec::new(), Vec::new());
    of(Format::CloudTrail).decode(document, &limits, &fingerprints(), &mut |answer| match answer {
        Ok(event) => good.push((event.credential.into_owned(), event.tenant.is_some())),
        Err(refusal) => refused.push(refusal),
    });
    assert_eq!(refused, [Refusal::NoCredential; 4]);
    assert_eq!(good.len(), 18);
    assert!(good.iter().all(|(id, tenant)| id.len() == 20 && *tenant));
    let single = br#"{"eventTime":"2023-07-10T11:42:44Z","userIdentity":{"accessKeyId":"AKIA1"}}"#;
    assert_eq!(all(&of(Format::CloudTrail), single), [Ok("AKIA1".to_owned())]);
    let empty = br#"{"eventTime":"2023-07-10T11:42:44Z","userIdentity":{"accessKeyId":""}}"#;
    assert_eq!(all(&of(Format::CloudTrail), empty), [Err(Refusal::NoCredential)]);
    let mixed = br#"{"Records":[1,{"eventTime":"x"},{"userIdentity":{"accessKeyId":"A"}}]}"#;
    let reasons = [Refusal::WrongType, Refusal::InvalidTime, Refusal::MissingTime].map(Err);
    assert_eq!(all(&of(Format::CloudTrail), mixed), reasons);
}

#[test]
fn access_logs_are_read_in_both_formats() {
    let by_address =
        AccessLog { credential: Field::Address, kind: Kind::Session, ..AccessLog::default() };
    let log = include_str!("../data/nasa_excerpt.log");
    let answers = log.lines().flat_map(|l| all(&of(Format::AccessLog(by_address)), l.as_bytes()));
    assert_eq!(answers.flatten().count(), 300);

    let by_user = of(Format::AccessLog(AccessLog::default()));
    let line = r#"203.0.113.7 - key_1 [23/Nov/2026:18:54:00 +0000] "GET /a?b \"c\" HTTP/1.1" 401 5 "-" "curl/8""#;
    let mut events = Vec::new();
    by_user.decode(line.as_bytes(), &Limits::default(), &fingerprints(), &mut |answer| {
        let event: AuthEvent<'_> = answer.expect("good");
        events.push((
            event.outcome,
            event.endpoint.map(String::from),
            event.user_agent.map(String::from),
        ));
    });
    assert_eq!(events, [(Outcome::Rejected, Some("/a".to_owned()), Some("curl/8".to_owned()))]);
    for (line, reason) in [
        (log.lines().next().expect("a line"), Refusal::NoCredential),
        ("nonsense", Refusal::MalformedLine),
        ("a - k [noon] \"GET / HTTP/1.1\" 200 5", Refusal::InvalidTime),
        ("a - k [23/Nov/2025:18:54:00 +0000] \"GET / HTTP/1.1 200 5", Refusal::MalformedLine),
        ("a - k [23/Nov/2025:18:54:00 +0000] \"GET /\" OK 5", Refusal::MalformedLine),
    ] {
        assert_eq!(all(&by_user, line.as_bytes()), [Err(reason)], "{line}");
    }
}

#[test]
fn an_operators_own_json_is_read_by_pointers() {
    let pointer = |text| Pointer::parse(text).expect("a pointer");
    let mapping = Mapping {
        default_kind: Kind::AgentToken,
        outcome: Some(pointer("/auth/result").into()),
        outcomes: [("DENY".to_owned(), Outcome::Rejected)].into_iter().collect(),
        status: Some(pointer("/http/code").into()),
        details: vec![(event::Field::Tenant, pointer("/org").into())],
        ..Mapping::new(pointer("/auth/key~1id"), pointer("/ts"))
    };
    let decoder = of(Format::Mapping(Box::new(mapping)));
    let record = br#"{"auth":{"key/id":"k1","result":"DENY"},"ts":1700000000000,"org":7,"http":{"code":"200"}}"#;
    decoder.decode(record, &limits(), &fingerprints(), &mut |answer| {
        let event = answer.expect("good");
        assert_eq!((event.kind, event.outcome), (Kind::AgentToken, Outcome::Rejected));
        assert_eq!((event.tenant.as_deref(), event.status), (Some("7"), Some(200)));
    });
    assert_eq!(all(&decoder, br#"{"ts":1700000000000}"#), [Err(Refusal::NoCredential)]);
    let odd = br#"{"auth":{"key/id":"k1","result":"SHRUG"},"ts":1700000000000}"#;
    assert_eq!(all(&decoder, odd), [Err(Refusal::InvalidField)]);
    assert_eq!(Pointer::parse("auth"), Err(PointerError::NoSlash));
    assert_eq!(Pointer::parse("/a~2"), Err(PointerError::BadEscape));
}

#[test]
fn the_documented_examples_are_read_as_the_page_says() {
    let page = include_str!("../../docs/events.md");
    for format in Format::NAMES {
        let (_, section) = page.split_once(&format!("\n## {format}\n")).expect("a section");
        let section = section.split("\n## ").next().unwrap_or("");
        let block = |language: &str| {
            let (_, block) = section.split_once(&format!("```{language}\n"))?;
            Some(block.split("\n```").next().unwrap_or(""))
        };
        let config = block("toml").unwrap_or("");
        let settings = tripline::config::loader::check("docs/events.md", config, [].into());
        let decoder = settings.expect("no mistakes").decoder;
        assert_eq!(decoder.format.as_str(), format);
        let example = block("json").or_else(|| block("text")).expect("an example");
        let mut read = 0;
        decoder.decode(example.as_bytes(), &limits(), &fingerprints(), &mut |answer| {
            let event = answer.expect("it is read");
            assert_eq!(event.time.ms() / 1000, 1_795_460_040, "{format}");
            assert_eq!(event.outcome, Outcome::Accepted, "{format}");
            assert!(matches!(&*event.credential, "key_7f3a" | "AKIAIOSFODNN7EXAMPLE"));
            read += 1;
        });
        assert_eq!(read, 1, "{format}");
    }
    let deciding = ["time", "credential", "kind", "outcome", "status", "verified"];
    let details = event::Field::ALL.into_iter().filter(|field| *field != event::Field::Text);
    for field in details.map(event::Field::as_str).chain(deciding) {
        assert!(page.contains(&format!("`{field}`")), "{field} is not told");
    }
}

#[test]
fn a_planted_secret_never_leaves_the_decoder() {
    let secrets = [
        "sk-PLANTED0123456789abcdef",
        "ghp_PLANTED0123456789abcdef",
        "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJQTEFOVEVEIn0.UExBTlRFRHNpZ25hdHVyZQ",
        "Bearer PLANTED0123456789abcdef",
    ];
    for secret in secrets {
        for field in ["credential", "tenant", "subject", "id", "family", "user_agent", "endpoint"] {
            let mut fields =
                serde_json::json!({ "time": 1_700_000_000_000_i64, "credential": "k" });
            let planted =
                if field == "endpoint" { format!("/v1?key={secret}") } else { secret.to_owned() };
            fields[field] = planted.into();
            let record = fields.to_string();
            let event = native(record.as_bytes());
            let shown = format!("{event:?}");
            assert!(!shown.contains(secret) && !shown.contains("PLANTED0"), "{field}: {shown}");
        }
    }
}

#[test]
fn a_number_that_is_none_refuses_where_it_decides_and_is_left_out_elsewhere() {
    let read = |more: &str| {
        native(format!(r#"{{"time":1700000000000,"credential":"k",{more}}}"#).as_bytes())
    };
    for field in ["outcome", "status", "verified", "kind"] {
        for value in ["NaN", "Infinity", "-Infinity"] {
            let refused = read(&format!(r#""{field}":{value},"x":1"#));
            assert_eq!(refused.err(), Some(Refusal::WrongType), "{field} {value}");
        }
    }
    for field in ["tokens", "x"] {
        let event = read(&format!(r#""{field}":NaN,"status":200"#)).expect("it decides nothing");
        assert!(event.verified && event.repairs.has(event::Field::Text), "{field}");
    }
}

#[test]
fn what_nests_deep_in_a_field_that_nobody_reads_hides_no_use() {
    let deep = format!("{}\"]\"{}", "[".repeat(1000), "]".repeat(1000));
    let record = format!(r#"{{"time":1700000000000,"x":{deep},"credential":"key_1","k":"key_1"}}"#);
    let event = native(record.as_bytes()).expect("read");
    assert!(event.repairs.has(event::Field::Text));
    let pointer = |text| Pointer::parse(text).expect("a pointer");
    let mapping = Mapping::new(pointer("/k"), pointer("/time"));
    let mapped = all(&of(Format::Mapping(Box::new(mapping))), record.as_bytes());
    assert_eq!(mapped, [Ok("key_1".to_owned())]);
    let cloud = format!(
        r#"{{"eventTime":"2023-07-10T11:42:44Z","requestParameters":{deep},"userIdentity":{{"accessKeyId":"AKIA1"}}}}"#
    );
    assert_eq!(all(&of(Format::CloudTrail), cloud.as_bytes()), [Ok("AKIA1".to_owned())]);
    let decides = format!(r#"{{"time":1700000000000,"credential":"k","outcome":{deep}}}"#);
    assert_eq!(refusal(decides.as_bytes()), Some(Refusal::WrongType));
}

#[test]
fn a_preflight_proves_nothing_by_its_status() {
    let read = |more: &str| {
        let record = format!(r#"{{"time":1700000000000,"credential":"k",{more}}}"#);
        native(record.as_bytes()).map(|event| event.verified)
    };
    assert_eq!(read(r#""status":204,"method":"OPTIONS""#), Ok(false));
    assert_eq!(read(r#""method":"options","status":200"#), Ok(false));
    assert_eq!(read(r#""status":204,"method":"GET""#), Ok(true));
    assert_eq!(read(r#""status":204,"method":"OPTIONS","verified":true"#), Ok(true));
    assert_eq!(read(r#""outcome":"accepted","method":"OPTIONS""#), Ok(true));
    let line = r#"203.0.113.7 - k [23/Nov/2025:18:54:00 +0000] "OPTIONS / HTTP/1.1" 204 5"#;
    for (rule, expected) in [(VerifiedRule::Success, false), (VerifiedRule::Always, true)] {
        let log = of(Format::AccessLog(AccessLog { verified: rule, ..AccessLog::default() }));
        let mapping = Mapping {
            status: Some(Pointer::parse("/status").expect("a pointer").into()),
            details: vec![(event::Field::Method, Pointer::parse("/m").expect("a pointer").into())],
            verified: Verified::Rule(rule),
            ..Mapping::new(
                Pointer::parse("/k").expect("a pointer"),
                Pointer::parse("/t").expect("a pointer"),
            )
        };
        let json = r#"{"t":1700000000000,"k":"k","status":204,"m":"OPTIONS"}"#;
        for (decoder, record) in [(log, line), (of(Format::Mapping(Box::new(mapping))), json)] {
            let mut verified = None;
            decoder.decode(record.as_bytes(), &limits(), &fingerprints(), &mut |answer| {
                verified = answer.ok().map(|event| event.verified);
            });
            assert_eq!(verified, Some(expected), "{record}");
        }
    }
}

#[test]
fn no_user_that_a_client_names_hides_its_line_from_its_address() {
    let by_address = AccessLog { credential: Field::Address, ..AccessLog::default() };
    let read = |line: &str| all(&of(Format::AccessLog(by_address)), line.as_bytes());
    let rest = r#"[23/Nov/2026:18:54:00 +0000] "GET / HTTP/1.1" 200 5 "-" "c [01/Jan/2020:00:00:00 +0000] ""#;
    let at = Some(1_795_460_040_000);
    for user in [
        "-",
        "ada",
        "",
        "x [y",
        "[",
        "a - b",
        "x -",
        "- x",
        "- - -",
        "1.2.3.4 - -",
        "] [",
        "x [01/Jan/2020:00:00:00 +0000] y",
        "[01/Jan/2020:00:00:00 +0000]",
        "\\x22",
        "a\\\"b",
    ] {
        let line = format!("203.0.113.7 - {user} {rest}");
        let mut found = None;
        let decoder = of(Format::AccessLog(by_address));
        decoder.decode(line.as_bytes(), &Limits::default(), &fingerprints(), &mut |answer| {
            found = answer.ok().map(|one| (one.credential.to_string(), one.time.ms()));
        });
        assert_eq!(found, Some("203.0.113.7".to_owned()).zip(at), "{line}");
    }
    for (address, credential) in [
        ("10.0.0.7:51234", "10.0.0.7"),
        ("203.0.113.7, 10.0.0.1", "203.0.113.7"),
        ("junk, 203.0.113.7, 10.0.0.1", "203.0.113.7"),
        ("203.0.113.7,10.0.0.1", "203.0.113.7"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("host.example.com", "host.example.com"),
    ] {
        let line = format!("{address} - a - b {rest}");
        assert_eq!(read(&line), [Ok(credential.to_owned())], "{line}");
    }
    for front in [
        "www.example.com:443 203.0.113.7 -",
        "www.example.com 203.0.113.7 -",
        "10.0.0.1 203.0.113.7 -",
        "Nov 23 18:54:00 web1 nginx: 203.0.113.7 -",
        "<190>Nov 23 18:54:00 web1 nginx: 203.0.113.7 -",
        "1 2023-11-23T18:54:00Z web1 nginx - - - 203.0.113.7 -",
        "2023-11-23T18:54:00Z web1 nginx[7]: 203.0.113.7 -",
    ] {
        for user in ["-", "ada"] {
            let line = format!("{front} {user} {rest}");
            assert_eq!(read(&line), [Err(Refusal::MalformedLine)], "{line}");
        }
    }
}

fn decoders() -> Vec<Decoder> {
    let pointer = |text| Pointer::parse(text).expect("a pointer");
    let details =
        event::Field::ALL.into_iter().map(|field| (field, pointer("/x").into())).collect();
    let mapping = Mapping {
        kind: Some(pointer("/kind").into()),
        outcome: Some(pointer("/outcome").into()),
        status: Some(pointer("/status").into()),
        details,
        ..Mapping::new(pointer("/credential"), pointer("/time"))
    };
    vec![
        of(Format::Native),
        of(Format::CloudTrail),
        of(Format::AccessLog(AccessLog::default())),
        of(Format::Mapping(Box::new(mapping))),
    ]
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange_and_each_record_gets_an_answer(
        bytes in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        for decoder in decoders() {
            prop_assert!(!all(&decoder, &bytes).is_empty());
        }
    }

    #[test]
    fn a_good_record_that_is_damaged_anywhere_is_refused_or_read(
        at in 0_usize..200, byte in any::<u8>(), cut in 0_usize..400
    ) {
        let good = r#"{"time":"2023-11-23T18:54:00Z","credential":"key_7f3a","kind":"jwt","status":200,"ip":"::1"}"#;
        let cloud = r#"{"Records":[{"eventTime":"2023-07-10T11:42:44Z","userIdentity":{"accessKeyId":"AKIA"}}]}"#;
        let log = r#"1.2.3.4 - k [23/Nov/2023:18:54:00 +0000] "GET / HTTP/1.1" 200 5 "-" "curl""#;
        for (decoder, text) in decoders().iter().zip([good, cloud, log, good]) {
            let mut bytes = text.as_bytes().to_vec();
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(cut.max(1));
            let answers = all(decoder, &bytes).len();
            // A document may fall apart into several.
            let at_most = if decoder.format.reads_documents() { bytes.len() } else { 1 };
            prop_assert!((1..=at_most).contains(&answers));
        }
    }

    #[test]
    fn what_is_kept_of_a_native_record_can_name_a_credential(id in "\\PC{0,300}") {
        let record = serde_json::json!({ "time": 1_700_000_000_000_i64, "credential": id });
        let record = record.to_string();
        if let Ok(event) = native(record.as_bytes()) {
            prop_assert!(tripline::model::credential::check_id(&event.credential).is_ok());
        }
    }
}
