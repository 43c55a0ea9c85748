//! What strangers and clients may put into records: nothing of it makes a use count that was never
//! shown to be one (S-10), and nothing of it makes a use uncounted (S-11).

use proptest::prelude::*;
use std::fmt::Write as _;
use std::sync::Arc;
use tripline::data_plane::batch::{Batch, HashSeed};
use tripline::data_plane::partition::Clock;
use tripline::data_plane::partition::Params;
use tripline::data_plane::shard_driver::ShardDriver;
use tripline::detect::limit::Limit;
use tripline::formats::events::access_log::AccessLog;
use tripline::formats::events::body;
use tripline::formats::events::decoder::{Decoder, Format};
use tripline::formats::events::mapping::Mapping;
use tripline::formats::events::pointer::Pointer;
use tripline::formats::events::refusal::{Limits, Refusal};
use tripline::formats::events::verified::{Verified, VerifiedRule};
use tripline::formats::secrets::secret::Fingerprinter;
use tripline::model::credential::Kind;
use tripline::model::event::{AuthEvent, Field, Outcome};
use tripline::model::finding::Action;
use tripline::model::time::EventTime;

const SEED: HashSeed = HashSeed(7, 11);

fn read(decoder: &Decoder, body: &[u8]) -> Vec<Result<AuthEvent<'static>, Refusal>> {
    let fingerprints = Fingerprinter::new(b"a key of the tests, of 32 bytes.".to_vec());
    let mut answers = Vec::new();
    body::decode(decoder, body, &Limits::default(), &fingerprints, |_, answer| {
        answers.push(answer.map(AuthEvent::into_owned));
    });
    answers
}

fn one(decoder: &Decoder, record: &[u8]) -> Result<AuthEvent<'static>, Refusal> {
    let mut answers = read(decoder, record);
    assert_eq!(answers.len(), 1, "{}", String::from_utf8_lossy(record));
    answers.remove(0)
}

fn native(members: &str) -> Result<AuthEvent<'static>, Refusal> {
    let record = format!(r#"{{"time":1700000000000,"credential":"k",{members}}}"#);
    one(&Decoder::default(), record.as_bytes())
}

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).expect("a pointer")
}

fn mapping(verified: Verified) -> Decoder {
    let mapping = Mapping {
        outcome: Some(pointer("/ok").into()),
        outcomes: [("true", Outcome::Accepted), ("false", Outcome::Rejected)]
            .map(|(word, outcome)| (word.to_owned(), outcome))
            .into(),
        status: Some(pointer("/status").into()),
        details: vec![(Field::UserAgent, pointer("/ua").into())],
        verified,
        ..Mapping::new(pointer("/key"), pointer("/t"))
    };
    Format::Mapping(Box::new(mapping)).into()
}

fn mapped(verified: Verified, members: &str) -> Result<(Outcome, bool), Refusal> {
    let record = format!(r#"{{"t":1700000000000,"key":"k",{members}}}"#);
    one(&mapping(verified), record.as_bytes()).map(|event| (event.outcome, event.verified))
}

fn log(verified: VerifiedRule) -> Decoder {
    Format::AccessLog(AccessLog { verified, ..AccessLog::default() }).into()
}

fn line(user: &str, status: u16) -> String {
    format!(
        "203.0.113.7 - {user} [23/Nov/2023:18:54:00 +0000] \"GET /a HTTP/1.1\" {status} 5 \"-\" \"c\""
    )
}

#[test]
fn a_native_event_is_verified_if_it_says_so_or_its_outcome_or_success_implies_it() {
    for (members, verified) in [
        (r#""outcome":"accepted""#, true),
        (r#""outcome":"throttled""#, true),
        (r#""outcome":"rejected""#, false),
        (r#""status":200"#, true),
        (r#""status":204"#, true),
        (r#""status":301"#, false),
        (r#""status":404"#, false),
        (r#""status":429"#, false),
        (r#""status":503"#, false),
        (r#""method":"GET""#, false),
        (r#""status":503,"verified":true"#, true),
        (r#""outcome":"rejected","reason":"expired","verified":true"#, true),
        (r#""outcome":"accepted","verified":false"#, false),
        (r#""outcome":"accepted","verified":null"#, true),
    ] {
        assert_eq!(native(members).map(|event| event.verified), Ok(verified), "{members}");
    }
}

#[test]
fn a_field_that_decides_and_cannot_be_read_refuses_the_record() {
    for members in [
        r#""outcome":{"a":1}"#,
        r#""outcome":["accepted"]"#,
        r#""outcome":true"#,
        r#""status":"OK""#,
        r#""status":[200]"#,
        r#""status":1e9"#,
        r#""verified":"true""#,
        r#""verified":1"#,
        r#""kind":7"#,
        r#""outcome":"rejected","outcome":"accepted""#,
    ] {
        assert!(native(members).is_err(), "{members}");
    }
}

#[test]
fn a_mapping_reads_booleans_and_every_spelling_of_a_status() {
    let rule = || Verified::Rule(VerifiedRule::Success);
    for (members, expected) in [
        (r#""ok":false"#, (Outcome::Rejected, false)),
        (r#""ok":true,"status":200"#, (Outcome::Accepted, true)),
        (r#""status":401.0"#, (Outcome::Rejected, false)),
        (r#""status":"401 Unauthorized""#, (Outcome::Rejected, false)),
        (r#""status":" 401""#, (Outcome::Rejected, false)),
        (r#""status":"200""#, (Outcome::Accepted, true)),
        (r#""status":503"#, (Outcome::Accepted, false)),
    ] {
        assert_eq!(mapped(rule(), members), Ok(expected), "{members}");
    }
    for members in [r#""ok":["true"]"#, r#""ok":{}"#, r#""ok":"maybe""#, r#""status":"high""#] {
        assert!(mapped(rule(), members).is_err(), "{members}");
    }
    assert_eq!(mapped(Verified::default(), r#""ok":true,"status":200"#).map(|it| it.1), Ok(false));
    assert_eq!(mapped(Verified::Outcome, r#""ok":true"#).map(|it| it.1), Ok(true));
    assert_eq!(mapped(Verified::Outcome, r#""status":200"#).map(|it| it.1), Ok(false));
    let field = || Verified::Field(pointer("/auth"));
    for (members, expected) in [
        (r#""auth":true,"status":429"#, Ok(true)),
        (r#""auth":false,"status":200"#, Ok(false)),
        (r#""status":200"#, Ok(false)),
        (r#""auth":"yes","status":200"#, Err(Refusal::WrongType)),
    ] {
        assert_eq!(mapped(field(), members).map(|it| it.1), expected, "{members}");
    }
}

#[test]
fn a_line_of_an_access_log_is_verified_by_the_rule_of_its_source_alone() {
    let verified = |rule, status| {
        one(&log(rule), line("key_1", status).as_bytes()).map(|event| event.verified)
    };
    for status in [200, 301, 401, 403, 404, 429, 503] {
        assert_eq!(verified(VerifiedRule::Never, status), Ok(false), "{status}");
        assert_eq!(verified(VerifiedRule::Success, status), Ok(status == 200), "{status}");
        assert_eq!(verified(VerifiedRule::Always, status), Ok(true), "{status}");
    }
}

#[test]
fn a_cloudtrail_call_is_verified_if_it_succeeded_or_was_denied_to_a_known_caller() {
    let read = |code: &str| {
        let record = format!(
            r#"{{"eventTime":"2023-07-10T11:42:44Z","userIdentity":{{"accessKeyId":"AKIA1"}},"errorCode":{code}}}"#
        );
        one(&Format::CloudTrail.into(), record.as_bytes())
            .map(|event| (event.outcome, event.verified))
    };
    assert_eq!(read("null"), Ok((Outcome::Accepted, true)));
    for code in ["AccessDenied", "AccessDeniedException", "Client.UnauthorizedOperation"] {
        assert_eq!(read(&format!("\"{code}\"")), Ok((Outcome::Rejected, true)), "{code}");
    }
    for code in [
        "InvalidSignatureException",
        "IncompleteSignatureException",
        "MissingAuthenticationTokenException",
        "RequestTimeTooSkewed",
        "InvalidToken",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "ExpiredTokenException",
        "AuthFailure",
    ] {
        assert_eq!(read(&format!("\"{code}\"")), Ok((Outcome::Rejected, false)), "{code}");
    }
    for code in ["ThrottlingException", "NoSuchBucket", "SomethingNew"] {
        assert_eq!(read(&format!("\"{code}\"")).map(|it| it.1), Ok(false), "{code}");
    }
    assert_eq!(read("[1]"), Err(Refusal::WrongType));
    for more in [r#""""#, r#""-""#, r#"null,"errorMessage":"denied""#, r#"null,"errorMessage":"""#]
    {
        assert_eq!(read(more), Ok((Outcome::Accepted, false)), "{more}");
    }
    for (more, expected) in [
        (r#""responseElements":{"ConsoleLogin":"Failure"}"#, (Outcome::Rejected, false)),
        (r#""errorMessage":"Failed authentication""#, (Outcome::Rejected, false)),
        (r#""responseElements":{"ConsoleLogin":"Success"}"#, (Outcome::Accepted, true)),
    ] {
        assert_eq!(read(&format!(r#"null,"eventName":"ConsoleLogin",{more}"#)), Ok(expected));
    }
}

#[test]
fn bytes_that_a_client_chooses_do_not_hide_its_request() {
    let record = |agent: &[u8]| {
        let mut record =
            br#"{"time":1700000000000,"credential":"k","status":200,"ip":"::1","user_agent":""#
                .to_vec();
        record.extend(agent);
        record.extend(br#""}"#);
        record
    };
    for agent in [
        &b"curl/8\xff"[..],
        b"\xc3",
        br"x \ud83d",
        br"\udc00\ud83d",
        br"x\x22y",
        br"\u12",
        b"tab\there",
        b"nul\0here",
    ] {
        let event = one(&Decoder::default(), &record(agent)).expect("read");
        assert!(event.verified && event.repairs.has(Field::Text), "{agent:?}");
        assert!(event.user_agent.is_some() && event.ip.is_some(), "{agent:?}");
    }
    let mut marked = b"\xef\xbb\xbf".to_vec();
    marked.extend(record(b"curl"));
    assert!(one(&Decoder::default(), &marked).is_ok_and(|event| event.repairs.is_empty()));
    let unknown = br#"{"time":1700000000000,"credential":"k","status":200,"more":["\ud83d",NaN]}"#;
    assert!(one(&Decoder::default(), unknown).is_ok());
    let broken = br#"{"time":1700000000000,"credential":"k\xff","status":200}"#;
    assert!(one(&Decoder::default(), broken).is_ok_and(|event| event.credential == r"k\xff"));
    let broken = b"{\"time\":1700000000000,\"credential\":\"k\xff\",\"status\":200}";
    assert_eq!(one(&Decoder::default(), broken).map(|_| ()), Err(Refusal::InvalidUtf8));

    let mut line = line("key_1", 200).into_bytes();
    line.extend(b" \xff");
    assert!(one(&log(VerifiedRule::Success), &line).is_ok_and(|event| event.verified));
    let mapped = b"{\"t\":1700000000000,\"key\":\"k\",\"status\":200,\"ua\":\"\xff\",\"n\":NaN}";
    let event = one(&mapping(Verified::Rule(VerifiedRule::Success)), mapped).expect("read");
    assert!(event.verified && event.repairs.has(Field::Text));
}

#[test]
fn a_field_that_decides_nothing_is_left_out_and_counted() {
    let long = "x".repeat(300);
    for (members, field) in [
        (format!(r#""id":"{long}""#), Field::Id),
        (r#""id":"a\tb""#.to_owned(), Field::Id),
        (r#""id":{}"#.to_owned(), Field::Id),
        (format!(r#""subject":"arn:{long}""#), Field::Subject),
        (r#""tenant":"a\u0007b""#.to_owned(), Field::Tenant),
        (r#""family":[1]"#.to_owned(), Field::Family),
        (r#""ip":"unknown""#.to_owned(), Field::Ip),
        (r#""ip":7"#.to_owned(), Field::Ip),
        (r#""asn":"many""#.to_owned(), Field::Asn),
        (r#""asn":-1"#.to_owned(), Field::Asn),
        (r#""country":"Germany""#.to_owned(), Field::Country),
        (r#""user_agent":{"a":[1]}"#.to_owned(), Field::UserAgent),
        (r#""method":true"#.to_owned(), Field::Method),
        (r#""endpoint":[]"#.to_owned(), Field::Endpoint),
        (r#""tokens":-1"#.to_owned(), Field::Tokens),
        (r#""spend":-0.01"#.to_owned(), Field::Spend),
        (r#""spend":"dear""#.to_owned(), Field::Spend),
        (r#""spend":2e9"#.to_owned(), Field::Spend),
        (r#""model":{}"#.to_owned(), Field::Model),
        (r#""tokens":1.5"#.to_owned(), Field::Tokens),
        (r#""issued":"noon""#.to_owned(), Field::Issued),
        (r#""expires":true"#.to_owned(), Field::Expires),
        (r#""reason":{}"#.to_owned(), Field::Reason),
    ] {
        let event = native(&format!(r#""status":200,{members}"#)).expect("read");
        let repaired: Vec<Field> = event.repairs.iter().collect();
        assert_eq!(repaired, [field], "{members}");
        assert!(event.verified);
    }
    let absent = r#""status":200,"ip":"-","user_agent":"","tenant":" - ","id":null"#;
    let event = native(absent).expect("read");
    assert!(event.repairs.is_empty() && event.ip.is_none() && event.tenant.is_none());
    let spelled =
        r#""ip":"203.0.113.7:5, 10.0.0.1","asn":"AS7","country":"de","tokens":"12","id":9"#;
    let event = native(&format!(r#""status":200,{spelled}"#)).expect("read");
    assert_eq!(event.ip.map(|ip| ip.to_string()).as_deref(), Some("203.0.113.7"));
    assert_eq!((event.asn, event.country, event.tokens), (Some(7), Some(*b"DE"), Some(12)));
    assert_eq!((event.id.as_deref(), event.repairs.is_empty()), (Some("9"), true));
}

#[test]
fn one_bad_element_of_a_batch_costs_that_element() {
    let good = r#"{"time":1700000000000,"credential":"k","status":200}"#;
    for bad in ["{\"a\":NaN}", "nonsense", "{\"b\":[}", "\"\\ud83d", "{\"time\":\"x", "{{{{"] {
        let mut array = format!("[{good},{bad}\n").into_bytes();
        for _ in 0..5 {
            array.extend(format!(",{good}").bytes());
        }
        array.push(b']');
        let answers = read(&Decoder::default(), &array);
        let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
        // An element whose own bracket never closes takes what follows with it.
        let expected = if bad == "{{{{" || bad == "{\"time\":\"x" { 1 } else { 6 };
        assert_eq!((accepted, answers.len()), (expected, expected + 1), "{bad}");
    }
    let mut bytes = format!("[{good},").into_bytes();
    bytes.extend(b"{\"time\":1700000000000,\"credential\":\"k\",\"user_agent\":\"\xff\"}]");
    assert!(read(&Decoder::default(), &bytes).iter().all(Result::is_ok));
}

#[test]
fn cloudtrail_comes_as_documents_arrays_and_lines_of_any_layout_and_size() {
    let record =
        r#"{"eventTime":"2023-07-10T11:42:44Z","userIdentity":{"accessKeyId":"AKIA1"},"x":"y"}"#;
    let decoder: Decoder = Format::CloudTrail.into();
    let pretty = format!("{{\n \"Records\" : [\n {record},\n {record}\n ]\n}}\n");
    for text in [
        format!(r#"{{"Records":[{record},{record}]}}"#),
        format!("[{record},\n{record}]"),
        format!("{record}\n{record}\n"),
        format!("\u{feff}{record}{record}"),
        pretty.clone(),
        format!(r#"{{"Records":[{record}]}}"#).repeat(2),
    ] {
        let answers = read(&decoder, text.as_bytes());
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2, "{text}");
        assert_eq!(answers.len(), 2, "{text}");
    }
    let large = format!(r#"{{"Records":[{}]}}"#, vec![record; 30_000].join(","));
    assert!(large.len() > 2 << 20);
    assert_eq!(read(&decoder, large.as_bytes()).iter().filter(|it| it.is_ok()).count(), 30_000);
    let one_bad = format!(r#"{{"Records":[{record},{{"eventTime":NaN}},{record}]}}"#);
    let answers: Vec<bool> = read(&decoder, one_bad.as_bytes()).iter().map(Result::is_ok).collect();
    assert_eq!(answers, [true, false, true]);
    let long = format!(
        r#"{{"eventTime":"2023-07-10T11:42:44Z","userIdentity":{{"accessKeyId":"A","arn":"{}"}}}}"#,
        "a".repeat(400)
    );
    assert!(one(&decoder, long.as_bytes()).is_ok_and(|event| event.repairs.has(Field::Subject)));
}

#[test]
fn a_line_of_another_format_is_refused_and_makes_no_credential_of_all_clients() {
    let plain = line("key_1", 200);
    for (text, expected) in [
        (plain.clone(), Ok("key_1")),
        (plain.replacen("203.0.113.7", "host.example.com", 1), Ok("key_1")),
        (plain.replacen("203.0.113.7", "2001:db8::7", 1), Ok("key_1")),
        (line("ada lovelace", 200), Ok("ada lovelace")),
        (format!("www.example.com:443 {plain}"), Err(Refusal::MalformedLine)),
        (format!("www.example.com {plain}"), Err(Refusal::MalformedLine)),
        (format!("www.example.com:443 {}", line("-", 200)), Err(Refusal::MalformedLine)),
        (format!("Nov 23 18:54:00 web1 nginx: {plain}"), Err(Refusal::MalformedLine)),
        (format!("Nov 23 18:54:00 web1 nginx: {}", line("-", 200)), Err(Refusal::MalformedLine)),
        (format!("<190>Nov 23 18:54:00 web1 nginx: {plain}"), Err(Refusal::MalformedLine)),
        (format!("2023-11-23T18:54:00Z web1 nginx[7]: {plain}"), Err(Refusal::MalformedLine)),
        (line("-", 200), Err(Refusal::NoCredential)),
    ] {
        let read = one(&log(VerifiedRule::Success), text.as_bytes());
        let read = read.map(|event| event.credential.into_owned());
        assert_eq!(read.as_deref().map_err(|refusal| *refusal), expected, "{text}");
    }
    let dash = r#"{"t":1700000000000,"key":"-","status":200}"#;
    let mapping = mapping(Verified::Rule(VerifiedRule::Success));
    assert_eq!(one(&mapping, dash.as_bytes()).map(|_| ()), Err(Refusal::NoCredential));
    let empty = dash.replace("\"-\"", "\"\"");
    assert_eq!(one(&mapping, empty.as_bytes()).map(|_| ()), Err(Refusal::NoCredential));
}

/// An unverified record of the victim, as one decoder reads it.
fn unverified(decoder: usize, second: i64, choice: u16) -> (Decoder, String) {
    let statuses = [200, 204, 301, 401, 403, 404, 429, 500, 503];
    let status = *statuses.get(usize::from(choice) % statuses.len()).expect("one of them");
    let ms = second * 1000;
    let time = EventTime::from_ms(ms).to_string();
    match decoder {
        0 if status < 300 => {
            let said = if choice.is_multiple_of(2) { "\"verified\":false," } else { "" };
            let said = format!("{said}\"outcome\":\"rejected\"");
            (
                Decoder::default(),
                format!(r#"{{"time":{ms},"credential":"victim",{said},"status":{status}}}"#),
            )
        }
        0 => (
            Decoder::default(),
            format!(r#"{{"time":{ms},"credential":"victim","status":{status}}}"#),
        ),
        1 => {
            let codes =
                ["InvalidClientTokenId", "SignatureDoesNotMatch", "ThrottlingException", "New"];
            let code = codes.get(usize::from(choice) % codes.len()).expect("one of them");
            (
                Format::CloudTrail.into(),
                format!(
                    r#"{{"eventTime":"{time}","errorCode":"{code}","userIdentity":{{"accessKeyId":"victim"}}}}"#
                ),
            )
        }
        2 => {
            let at = jiff::Timestamp::from_second(second).expect("a time");
            let at = at.strftime("%d/%b/%Y:%H:%M:%S +0000");
            (
                log(VerifiedRule::Never),
                format!("203.0.113.7 - victim [{at}] \"GET / HTTP/1.1\" {status} 5"),
            )
        }
        3 => (
            log(VerifiedRule::Success),
            line("victim", if status < 300 { 503 } else { status }).replacen(
                "23/Nov/2023:18:54:00",
                &jiff::Timestamp::from_second(second)
                    .expect("a time")
                    .strftime("%d/%b/%Y:%H:%M:%S")
                    .to_string(),
                1,
            ),
        ),
        _ => (
            mapping(Verified::default()),
            format!(r#"{{"t":{ms},"key":"victim","ok":true,"status":{status}}}"#),
        ),
    }
}

/// What a partition makes of the events: findings above alert, and what is usual for the victim.
fn judged(events: &[AuthEvent<'_>]) -> (Vec<String>, String, [u64; Kind::ALL.len()]) {
    let mut params = Params::default();
    params.profile.limits.by_kind = [Limit::written(600); Kind::ALL.len()];
    let mut shard = ShardDriver::empty(Arc::new(params), SEED);
    let mut severe = Vec::new();
    for (offset, event) in (0..).zip(events) {
        let mut batch = Batch::default();
        batch.push(event, offset, SEED);
        for signal in shard.step(&batch, Clock::Events).signals {
            if signal.finding.action > Action::Alert {
                severe.push(format!("{:?} {:?}", signal.change, signal.finding));
            }
        }
    }
    let mut view = String::new();
    if let Some(seen) = shard.partition().look_up(Kind::ApiKey, "victim") {
        let _written = write!(view, "{:?} {:?} {:?}", seen.windows, seen.first_seen, seen.limit);
    }
    (severe, view, shard.partition().seen().hours)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// S-10, over all decoders: what strangers send changes no decision above alert, no baseline and
    /// no exposure, with or without a burst of the owner's own.
    #[test]
    fn no_sequence_of_unverified_events_changes_what_is_known_of_a_credential(
        strangers in prop::collection::vec((0_usize..5, 0_i64..7200, any::<u16>(), 1_u16..400), 0..12),
        usual_per_min in 1_i64..30,
        burst in prop::option::of((0_i64..7000, 500_i64..900)),
    ) {
        const START_S: i64 = 1_700_000_000;
        let mut own = Vec::new();
        for n in 0..usual_per_min * 120 {
            own.push(AuthEvent::new(
                EventTime::from_ms(START_S * 1000 + n * 60_000 / usual_per_min),
                "victim".into(),
            ));
        }
        if let Some((at, count)) = burst {
            for n in 0..count {
                let time = EventTime::from_ms((START_S + at) * 1000 + n * 20);
                own.push(AuthEvent::new(time, "victim".into()));
            }
        }
        let last = EventTime::from_ms((START_S + 7260) * 1000);
        own.push(AuthEvent::new(last, "victim".into()));
        own.sort_by_key(|event| event.time);
        let mut all: Vec<AuthEvent<'static>> = own.clone();
        for (decoder, second, choice, count) in strangers {
            let (decoder, record) = unverified(decoder, START_S + second, choice);
            let event = one(&decoder, record.as_bytes()).expect("it is read");
            prop_assert!(!event.verified && event.credential == "victim", "{}", record);
            all.extend(std::iter::repeat_n(event, usize::from(count)));
        }
        // The owner's events keep their order among themselves.
        all.sort_by_key(|event| event.time);
        prop_assert_eq!(judged(&all), judged(&own));
    }
}

/// Which detectors speak of a key that was used for a day, then is refused `count` times within a
/// minute, on as many endpoints.
fn refused(count: i64, verified: bool) -> std::collections::BTreeSet<&'static str> {
    const START_MS: i64 = 1_700_000_000_000;
    const DAY_MS: i64 = 86_400_000;
    let mut shard = ShardDriver::empty(Arc::new(Params::default()), SEED);
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..30 * 1440 + count {
        let past = n - 30 * 1440;
        let ms = if past < 0 { n * 2000 } else { DAY_MS + past * 60_000 / count };
        let mut event = AuthEvent::new(EventTime::from_ms(START_MS + ms), "key".into());
        event.endpoint = Some("/v1/usual".into());
        if past >= 0 {
            (event.outcome, event.verified) = (Outcome::Rejected, verified);
            let letters = past.to_string().replace(|_: char| true, "x");
            let name: String = past.to_string().bytes().map(|b| char::from(b + 49)).collect();
            event.endpoint = Some(format!("/admin/{name}{letters}").into());
        }
        let mut batch = Batch::default();
        batch.push(&event, n, SEED);
        for signal in shard.step(&batch, Clock::Events).signals {
            seen.insert(signal.finding.detector.as_str());
        }
    }
    seen
}

#[test]
fn verified_rejections_count_for_the_limit_and_for_a_sweep() {
    let verified = refused(12_000, true);
    assert!(verified.contains("limit") && verified.contains("endpoints"), "{verified:?}");
    let unverified = refused(12_000, false);
    assert_eq!(unverified.into_iter().collect::<Vec<_>>(), ["failures"]);
}

proptest! {
    #[test]
    fn what_an_event_says_survives_the_event_log(
        outcome in 0_usize..3, verified in any::<bool>()
    ) {
        let mut event = AuthEvent::new(EventTime::from_ms(1_700_000_000_000), "k".into());
        (event.outcome, event.verified) = (Outcome::ALL[outcome], verified);
        let mut batch = Batch::default();
        batch.push(&event, 0, SEED);
        let mut bytes = Vec::new();
        batch.encode(&mut bytes);
        let mut input = tripline::stats::codec::Input::new(&bytes, 1);
        let read = Batch::decode(&mut input, 0, SEED).expect("reads back");
        let row = read.rows().first().expect("a row");
        prop_assert_eq!((row.outcome, row.verified), (event.outcome, event.verified));
        let line = tripline::formats::events::native::encode(&event);
        let again = one(&Decoder::default(), line.as_bytes()).expect("reads back");
        prop_assert_eq!((again.outcome, again.verified), (event.outcome, event.verified));
    }
}
