//! Kinds of credentials that someone meant and misspelt.

use super::secret::looks_like_secret;
use crate::model::credential::Kind;

/// How many letters of a kind may be wrong for it to be meant all the same. Of a short kind a third
/// at most: `aws:…` and `gw:…` are ids.
const WRONG_MAX: usize = 2;

/// The kind that someone meant who wrote another word before the first colon of `kind:id`: both. An
/// id that holds a colon (`arn:aws:…`) is not mistaken for one.
pub fn kind_nearby(named: &str) -> Option<(&str, Kind)> {
    let (written, _) = named.split_once(':')?;
    if Kind::parse(written).is_some() || looks_like_secret(named) {
        return None;
    }
    let wrong = |kind: &Kind| strsim::osa_distance(&written.to_ascii_lowercase(), kind.as_str());
    let nearest = Kind::ALL.into_iter().min_by_key(wrong)?;
    let most = WRONG_MAX.min(nearest.as_str().len() / 3);
    (wrong(&nearest) <= most).then_some((written, nearest))
}

#[cfg(test)]
mod tests {
    use super::kind_nearby;
    use crate::model::credential::Kind;

    #[test]
    fn a_kind_that_is_nearly_one_is_meant() {
        for (named, meant) in [
            ("apikey:k", Kind::ApiKey),
            ("API-KEY:k", Kind::ApiKey),
            ("Session:s", Kind::Session),
            ("JWT:j", Kind::Jwt),
            ("jtw:j", Kind::Jwt),
        ] {
            assert_eq!(kind_nearby(named).map(|(_, kind)| kind), Some(meant), "{named}");
        }
        let ids = ["arn:aws:iam::1:user/x", "aws:x", "gw:7", "key_1", "sk-0123456789abcdef:x"];
        for named in ids.into_iter().chain(["api_key:k", "api_key:apikey:k"]) {
            assert_eq!(kind_nearby(named), None, "{named}");
        }
    }
}
