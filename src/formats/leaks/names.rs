//! The names under which a reported secret may be known.
//!
//! ```text
//! sk-4fK…          ── fingerprints ──▶ fp_9c1e…, fp_03ab…   proof: only a holder of the secret names these
//! eyJ…  (a JWT)    ── claims ────────▶ the `jti`, fp_…      no proof: anyone can write such claims
//! key_1            ── (its own text) ──▶ nothing            it would be kept, and is no secret
//! ```
//!
//! **Invariant** P-1: no name holds the reported text.

use crate::formats::secrets::secret::Fingerprinter;
use crate::model::credential::{Credential, Kind};
use crate::model::leak::CANDIDATES_MAX;

/// Names of a reported secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeakNames {
    /// The names, best first; [`CANDIDATES_MAX`] at most.
    pub candidates: Vec<Credential>,
    /// Whether only a holder of the secret could name them.
    pub is_proof: bool,
}

/// The names of `secret`, under each kind.
pub fn names(fingerprints: &Fingerprinter, secret: &str) -> LeakNames {
    let main = fingerprints.candidates(secret);
    let (named, _) = fingerprints.named(secret);
    // A JWT within other text is one, too: its claims would name a credential.
    let is_jwt = main.main.kind == Some(Kind::Jwt) || named == Kind::Jwt;
    let ids = if is_jwt {
        // Secrets that are claimed to be an id stay out as well.
        let is_name = |id: &String| fingerprints.clean_event_id(id).is_none();
        main.ids.into_iter().filter(is_name).collect()
    } else {
        let derived = fingerprints.without_claims().candidates(secret);
        derived.ids.into_iter().filter(|id| id.starts_with("fp_")).collect::<Vec<_>>()
    };
    // A name that is reported as it stands is no secret, or one that must not be kept.
    let ids: Vec<String> = ids.into_iter().filter(|id| !secret.contains(id.as_str())).collect();
    let first = if is_jwt { Kind::Jwt } else { Kind::ApiKey };
    let others = Kind::ALL.into_iter().filter(|kind| *kind != first);
    let kinds = std::iter::once(first).chain(others);
    let credentials = kinds.flat_map(|kind| ids.iter().map(move |id| Credential::new(kind, id)));
    let candidates = credentials.filter_map(Result::ok).take(CANDIDATES_MAX).collect();
    LeakNames { candidates, is_proof: !is_jwt }
}

#[cfg(test)]
mod tests {
    use super::{LeakNames, names};
    use crate::formats::secrets::secret::Fingerprinter;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn of(secret: &str) -> LeakNames {
        names(&Fingerprinter::new(vec![1; 32]), secret)
    }

    fn has(names: &LeakNames, credential: &str) -> bool {
        names.candidates.iter().any(|one| one.to_string() == credential)
    }

    fn jwt(jti: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let claims = format!(r#"{{"jti":"{jti}"}}"#);
        format!("{}.{}.{}", part(r#"{"alg":"ES256"}"#), part(&claims), part("made up"))
    }

    #[test]
    fn an_opaque_secret_is_named_by_its_fingerprint_under_every_kind() {
        for secret in ["sk-PLANTED0123456789abcdef", "an ordinary pass phrase", "x"] {
            let fingerprint = Fingerprinter::new(vec![1; 32]).identify(secret).id;
            let found = of(secret);
            for kind in ["api_key", "session", "refresh_token", "agent_token", "jwt"] {
                assert!(has(&found, &format!("{kind}:{fingerprint}")), "{secret}: {found:?}");
            }
            assert!(found.is_proof);
        }
    }

    #[test]
    fn a_made_up_jwt_names_its_jti_and_is_no_proof() {
        for text in
            [jwt("victim"), format!("Bearer {}", jwt("victim")), format!(" {}", jwt("victim"))]
        {
            let found = of(&text);
            assert!(has(&found, "jwt:victim") && !found.is_proof, "{text}: {found:?}");
        }
    }

    #[test]
    fn no_text_around_a_made_up_jwt_makes_it_proof() {
        let victim = Fingerprinter::new(vec![1; 32]).identify("sk-0123456789abcdef").id;
        for jti in [victim.as_str(), "victim"] {
            for text in [
                jwt(jti),
                format!("found {} in a log", jwt(jti)),
                format!("jwt:{}", jwt(jti)),
                format!("{}.", jwt(jti)),
                format!("session:{}", jwt(jti)),
                format!("{{\"token\":\"{}\"}}", jwt(jti)),
            ] {
                let found = of(&text);
                let named = found.candidates.iter().any(|one| one.id() == jti);
                assert!(!named || !found.is_proof, "{text}: {found:?}");
            }
        }
    }

    #[test]
    fn an_id_or_a_fingerprint_that_is_reported_names_nothing_by_itself() {
        let fingerprint = Fingerprinter::new(vec![1; 32]).identify("sk-0123456789abcdef").id;
        for text in ["key_1", "session:key_1", &fingerprint, &format!("api_key:{fingerprint}")] {
            let found = of(text);
            let id = text.rsplit(':').next().unwrap_or(text);
            assert!(found.candidates.iter().all(|one| one.id() != id), "{text}: {found:?}");
        }
    }

    #[test]
    fn no_name_holds_the_text_of_a_secret() {
        let planted = "ghp_PLANTED0123456789abcdefghijklmnopqr";
        for text in
            [planted.to_owned(), "PLANTED".to_owned(), format!("x {planted} y"), jwt(planted)]
        {
            assert!(!format!("{:?}", of(&text)).contains("PLANTED"), "{text}");
        }
    }
}
