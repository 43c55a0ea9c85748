//! Addresses of the configuration.

use reqwest::Url;
use std::fmt;
use std::net::IpAddr;

/// An address of the configuration. It may hold a secret in its path, as chat webhooks do, so it
/// is never shown whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Url);

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or("?");
        let port = self.0.port_or_known_default().unwrap_or(0);
        write!(f, "{}://{host}:{port}/…", self.0.scheme())
    }
}

/// Why a text is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address is https://host/path, or http:// within an allowed network, without a user")]
pub struct NoTarget;

impl Target {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is none, is of another scheme, or holds a user or password.
    pub fn parse(text: &str) -> Result<Self, NoTarget> {
        let url = Url::parse(text).map_err(|_| NoTarget)?;
        let plain = url.username().is_empty() && url.password().is_none();
        let known = matches!(url.scheme(), "https" | "http") && url.host_str().is_some();
        if plain && known { Ok(Self(url)) } else { Err(NoTarget) }
    }

    /// The same server, another path.
    ///
    /// # Errors
    /// When `path` makes no address.
    pub fn join(&self, path: &str) -> Result<Self, NoTarget> {
        let url = self.0.join(path).map_err(|_| NoTarget)?;
        if url.origin() == self.0.origin() { Ok(Self(url)) } else { Err(NoTarget) }
    }

    /// Its address, where it is not a name.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        match self.0.host() {
            Some(url::Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(url::Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(url::Host::Domain(_)) | None => None,
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The whole address.
    pub(super) const fn url(&self) -> &Url {
        &self.0
    }

    /// Its server, `host:port`.
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        format!("{host}:{}", self.0.port_or_known_default().unwrap_or(0))
    }

    /// Its server as an address, `http://host:port`.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.0.scheme(), self.authority())
    }

    /// Its path, with its query, as it is sent.
    pub fn path(&self) -> String {
        let query = self.0.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", self.0.path())
    }

    /// Whether it names a server alone, without a path.
    pub fn is_origin(&self) -> bool {
        self.0.path() == "/" && self.0.query().is_none() && self.0.fragment().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_target_never_shows_its_path_and_holds_no_password() {
        let target =
            Target::parse("https://hooks.example.com/services/T0/B0/secret").expect("good");
        assert_eq!(format!("{target} {target:?}").matches("secret").count(), 0);
        assert_eq!(target.to_string(), "https://hooks.example.com:443/…");
        for wrong in ["ftp://host/", "https://", "https://user:pw@host/", "file:///etc/passwd"] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
        assert!(target.join("//elsewhere.example/").is_err());
    }
}
