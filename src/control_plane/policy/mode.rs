//! Which posture is in force for whom.

use crate::model::credential::Kind;
use crate::model::decision::Posture;
use hashbrown::HashMap;

/// The posture by tenant and kind; the most particular one holds: tenant, kind, default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Postures {
    /// Where nothing more particular is set. Default: shadow.
    pub default: Posture,
    /// By kind.
    pub by_kind: HashMap<Kind, Posture>,
    /// By tenant.
    pub by_tenant: HashMap<String, Posture>,
}

impl Postures {
    /// The posture for a credential of that kind and tenant.
    pub fn of(&self, kind: Kind, tenant: Option<&str>) -> Posture {
        tenant
            .and_then(|tenant| self.by_tenant.get(tenant))
            .or_else(|| self.by_kind.get(&kind))
            .copied()
            .unwrap_or(self.default)
    }

    /// The most severe one of any credential.
    pub fn most_severe(&self) -> Posture {
        let all = self.by_kind.values().chain(self.by_tenant.values());
        all.copied().fold(self.default, Posture::max)
    }
}

#[cfg(test)]
mod tests {
    use super::Postures;
    use crate::model::credential::Kind;
    use crate::model::decision::Posture;

    #[test]
    fn the_most_particular_posture_holds() {
        let mut postures = Postures::default();
        postures.by_kind.insert(Kind::Session, Posture::Revoke);
        postures.by_tenant.insert("acme".to_owned(), Posture::Alert);
        assert_eq!(postures.of(Kind::ApiKey, None), Posture::Shadow);
        assert_eq!(postures.of(Kind::Session, Some("bloom")), Posture::Revoke);
        assert_eq!(postures.of(Kind::Session, Some("acme")), Posture::Alert);
        assert_eq!(postures.most_severe(), Posture::Revoke);
    }
}
