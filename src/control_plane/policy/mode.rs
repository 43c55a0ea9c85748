//! Which mode is in force for whom.

use crate::model::credential::Kind;
use crate::model::decision::Mode;
use hashbrown::HashMap;

/// The mode by tenant and kind; the most particular one holds: tenant, kind, default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// Where nothing more particular is set. Default: shadow.
    pub default: Mode,
    /// By kind.
    pub by_kind: HashMap<Kind, Mode>,
    /// By tenant.
    pub by_tenant: HashMap<String, Mode>,
}

impl Modes {
    /// The mode for a credential of that kind and tenant.
    pub fn of(&self, kind: Kind, tenant: Option<&str>) -> Mode {
        tenant
            .and_then(|tenant| self.by_tenant.get(tenant))
            .or_else(|| self.by_kind.get(&kind))
            .copied()
            .unwrap_or(self.default)
    }

    /// The most severe one of any credential.
    pub fn most_severe(&self) -> Mode {
        let all = self.by_kind.values().chain(self.by_tenant.values());
        all.copied().fold(self.default, Mode::max)
    }
}

#[cfg(test)]
mod tests {
    use super::Modes;
    use crate::model::credential::Kind;
    use crate::model::decision::Mode;

    #[test]
    fn the_most_particular_mode_holds() {
        let mut modes = Modes::default();
        modes.by_kind.insert(Kind::Session, Mode::Revoke);
        modes.by_tenant.insert("acme".to_owned(), Mode::Alert);
        assert_eq!(modes.of(Kind::ApiKey, None), Mode::Shadow);
        assert_eq!(modes.of(Kind::Session, Some("bloom")), Mode::Revoke);
        assert_eq!(modes.of(Kind::Session, Some("acme")), Mode::Alert);
        assert_eq!(modes.most_severe(), Mode::Revoke);
    }
}
