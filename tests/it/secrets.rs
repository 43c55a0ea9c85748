//! What is taken for a secret, and what for an id.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tripline::formats::events::access_log::{AccessLog, Field};
use tripline::formats::events::decoder::{Decoder, Format};
use tripline::formats::events::refusal::Limits;
use tripline::formats::secrets::secret::{Fingerprinter, is_replaced, looks_like_secret};
use tripline::model::credential::Kind;

fn one() -> Fingerprinter {
    Fingerprinter::new(vec![1; 32])
}

fn jwt(claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"ES256"}"#), part(claims), part("signature"))
}

/// A text drawn at random, of an alphabet, from a seed.
fn drawn(alphabet: &[u8], length: usize, mut seed: u64) -> String {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("31 bits")
    };
    let letter = |at: usize| alphabet.get(at % alphabet.len()).copied().map_or(' ', char::from);
    (0..length).map(|_| letter(next())).collect()
}

const BASE62: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

#[test]
fn ids_are_left_alone() {
    for id in [
        "key_7f3a",
        "AKIATFQR7NSC8Q4X20BJ",
        "eyJ",
        "sk-",
        "eyJustAName.a.b.of.something",
        "fp_0123456789abcdef0123456789abcdef",
        "key_0123456789abcdef0123456789abcdef",
        "f_0123456789abcdef",
        "9b2e4c1a-7f3d-4e8b-a6c5-0d1e2f3a4b5c",
        "9B2E4C1A-7F3D-4E8B-A6C5-0D1E2F3A4B5C",
        "01JDCPQ7ZV8K3M4N5P6R7S8T9V",
        "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_1a2b3c4d5e6f7a8b/jo@example.com",
        "AWSReservedSSO_AdministratorAccess_4f2a9c81d07be356",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-a1B2c3",
        "api_key:customer-number-1234567890",
        "spiffe://prod.example.com/ns/payments/sa/ledger-writer",
        "backup-2026-11-29-10-20-30-db-main-01",
        "prod-eu-west-1-service-account-42",
        "00000000000000000000000000000000000042",
        "GetAccessKeyInfoAndListObjectsV2Everywhere",
        "AWSServiceRoleForApplicationAutoScaling_DynamoDBTable",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36",
        "Boto3/1.26.165 md/Botocore#1.29.165 ua/2.0 os/linux#5.19.0-1027-aws md/arch#x86_64 lang/python#3.10.6",
        "/v1/organizations/acme/projects/billing-service/keys/42",
        "AWSLogs/218007301253/CloudTrail/us-east-1/2023/07/10/",
        "a token of a person that authenticates requests",
        "the bearer authentication failed, token introspection said so",
        "user@example.com",
    ] {
        assert!(!looks_like_secret(id), "{id}");
    }
}

#[test]
fn one_secret_has_one_name_however_events_spell_it() {
    let random = drawn(BASE62, 40, 7);
    let token = jwt(r#"{"iss":"x"}"#);
    for secret in ["sk-PLANTED0123456789abcdef", "ory_at_ab.cd-ef_0123456789", &random, &token] {
        let presented = one().identify(secret);
        for spelt in [
            format!(" {secret}"),
            format!("\"{secret}\""),
            format!("'Bearer {secret}'"),
            format!("Token {secret}"),
            format!("ApiKey {secret}"),
            format!("Bearer: {secret}"),
            format!("bearer  {secret} "),
            format!("Authorization: Bearer {secret}"),
            format!("authorization=Token \"{secret}\""),
            format!("api_key:{secret}"),
            format!("X-Api-Key: {secret}"),
            format!("session:{secret}"),
        ] {
            let found = one().replace_credential(Kind::ApiKey, &spelt);
            assert_eq!(found.as_ref(), Some(&presented), "{spelt}");
            assert!(one().named(&spelt).1 == presented.id, "{spelt}");
            let candidates = one().candidates(&spelt);
            assert!(candidates.ids.contains(&presented.id), "{spelt}");
        }
    }
}

#[test]
fn random_credentials_are_secrets_unless_they_are_said_to_be_ids() {
    let open = one().with_random_ids(true);
    for (alphabet, length, missed_max) in [
        (&b"0123456789abcdef"[..], 32, 0),
        (b"0123456789ABCDEF", 64, 0),
        (b"abcdefghijklmnopqrstuvwxyz0123456789", 40, 4),
        (BASE62, 32, 4),
        (BASE62, 43, 4),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 43, 4),
    ] {
        let mut missed = 0;
        for seed in 0..200 {
            let secret = drawn(alphabet, length, seed);
            missed += i32::from(one().replace_credential(Kind::ApiKey, &secret).is_none());
            assert_eq!(open.replace_credential(Kind::ApiKey, &secret), None, "{secret}");
            assert_eq!(one().replace_credential(Kind::Jwt, &secret), None, "{secret}");
        }
        assert!(missed <= missed_max, "{missed} of 200 are missed, {length} bytes");
    }
    assert!(open.replace_credential(Kind::ApiKey, "sk-0123456789abcdef").is_some());
    let id = drawn(b"0123456789abcdef", 32, 3);
    assert!(is_replaced(&id, false) && !is_replaced(&id, true));
    assert!(!is_replaced(&format!("jwt:{id}"), false));
}

#[test]
fn a_source_of_raw_secrets_names_no_credential_by_itself() {
    let raw = one().for_raw_secrets();
    for secret in ["key_1", "hunter2", "fp_0123456789abcdef0123456789abcdef"] {
        let found = raw.replace_credential(Kind::ApiKey, secret).expect("replaced");
        assert_eq!(found, one().identify(secret));
        assert_eq!(one().replace_credential(Kind::ApiKey, secret), None);
    }
}

#[test]
fn secrets_within_texts_are_cut_out() {
    let secret = "ghp_PLANTED0123456789abcdef0123456789";
    let stands = one().fingerprint(secret.as_bytes());
    for (text, clean) in [
        (format!("/v1/keys/{secret}/rotate"), format!("/v1/keys/{stands}/rotate")),
        (format!("leaked {secret}, and {secret}."), format!("leaked {stands}, and {stands}.")),
        (format!("/v1/keys/%20{secret}"), format!("/v1/keys/%20{stands}")),
    ] {
        assert_eq!(one().clean_text(&text).as_deref(), Some(clean.as_str()));
    }
    for text in [
        "password: hunter22x",
        "curl -u jo https://jo:hunter22x@example.com/",
        "https://hooks.slack.com/services/T0/B0/hunter22x",
        "https://discord.com/api/webhooks/1/hunter22x",
        "/login;jsessionid=hunter22x",
        "GET /?client_secret=hunter22x&a=b",
        "Basic hunter22x-HUNTER22X",
        "asked with Authorization: Bearer hunter22x-1 today",
        "-----BEGIN PRIVATE KEY----- hunter22x",
    ] {
        let clean = one().clean_text(text).expect("cleaned");
        assert!(!clean.to_ascii_lowercase().contains("hunter22x"), "{text}: {clean}");
    }
}

#[test]
fn no_real_record_is_taken_for_a_secret() {
    let cloud = include_str!("../data/cloudtrail_excerpt.json");
    let nasa = include_str!("../data/nasa_excerpt.log");
    let by_address = AccessLog { credential: Field::Address, ..AccessLog::default() };
    let documents = std::iter::once((Decoder::from(Format::CloudTrail), cloud));
    let lines = nasa.lines().map(|line| (Decoder::from(Format::AccessLog(by_address)), line));
    let mut read = 0;
    for (decoder, record) in documents.chain(lines) {
        decoder.decode(record.as_bytes(), &Limits::default(), &one(), &mut |answer| {
            let Ok(event) = answer else { return };
            assert!(!event.held_secret, "{event:?}");
            read += 1;
        });
    }
    assert!(read > 300, "{read}");
}
