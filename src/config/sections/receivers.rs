//! Auth stores that take requests: webhooks, authorization servers, Shared Signals.

use super::values::{bytes_of_file, kinds, secret_file, some_text};
use crate::adapters::egress;
use crate::adapters::enforce::auth_store::{self, KindOfStore};
use crate::adapters::enforce::{oauth, shared_signals, webhook};
use crate::adapters::target::Target;
use crate::config::reader::Section;
use crate::config::value::{InvalidValue, Value};
use crate::formats::outbound::security_event::Transmitter;
use crate::formats::outbound::standard_webhook::Signer;
use secrecy::ExposeSecret;

/// Their names in the configuration.
pub(super) const KINDS: [&str; 3] = ["webhook", "oauth", "shared_signals"];

/// Reads one; none where something is wrong, which was noted.
pub(super) fn read(
    kind: &str,
    name: &str,
    section: Section<'_>,
    allowed: &egress::Params,
) -> Option<auth_store::Params> {
    let kinds = kinds(&section);
    let of = match kind {
        "webhook" => webhook(&section, allowed),
        "oauth" => oauth(&section, allowed),
        _ => shared_signals(&section, allowed),
    };
    section.finish();
    Some(auth_store::Params { name: format!("{kind}.{name}"), kinds, of: of? })
}

/// An address to which requests may go.
pub(super) fn target(value: Value<'_>, allowed: &egress::Params) -> Result<Target, InvalidValue> {
    target_of(value.text()?, allowed)
}

/// The same of a text.
pub(super) fn target_of(text: &str, allowed: &egress::Params) -> Result<Target, InvalidValue> {
    let target = Target::parse(text)
        .map_err(|error| InvalidValue::new(error.to_string(), "write https://host/path"))?;
    if allowed.shuts_out(&target) {
        return Err(InvalidValue::new(
            format!("{target} is blocked: private address or plain HTTP"),
            "write https://, or add its network to egress.networks",
        ));
    }
    Ok(target)
}

/// The key of a webhook's signatures.
pub(super) fn signer(value: Value<'_>) -> Result<Signer, InvalidValue> {
    let secret = secret_file(value)?;
    Signer::parse(secret.expose_secret()).map_err(|error| {
        let remedy = "make one: echo whsec_$(openssl rand -base64 32)";
        InvalidValue::new(error.to_string(), remedy)
    })
}

/// The address of a receiver.
pub(super) fn url(section: &Section<'_>, allowed: &egress::Params) -> Option<Target> {
    section.get("url", |value| target(value, allowed))
}

fn webhook(section: &Section<'_>, allowed: &egress::Params) -> Option<KindOfStore> {
    section.report_missing(&["url", "secret_file"]);
    let (url, signer) = (url(section, allowed), section.get("secret_file", signer));
    Some(KindOfStore::Webhook(webhook::Params { url: url?, signer: signer? }))
}

fn oauth(section: &Section<'_>, allowed: &egress::Params) -> Option<KindOfStore> {
    section.report_missing(&["url", "client_id", "client_secret_file"]);
    let url = url(section, allowed);
    let introspection = section.get("introspection_url", |value| target(value, allowed));
    let client_id = section.get("client_id", some_text);
    let client_secret = section.get("client_secret_file", secret_file);
    let suspend_revokes = section.flag("suspend_revokes");
    Some(KindOfStore::OAuth(oauth::Params {
        url: url?,
        introspection,
        client_id: client_id?,
        client_secret: client_secret?,
        suspend_revokes,
    }))
}

fn shared_signals(section: &Section<'_>, allowed: &egress::Params) -> Option<KindOfStore> {
    section.report_missing(&["url", "issuer", "audience", "signing_key_file"]);
    let url = url(section, allowed);
    let issuer = section.get("issuer", some_text);
    let audience = section.get("audience", some_text);
    let bearer = section.get("bearer_file", secret_file);
    let transmitter = section.get("signing_key_file", |value| {
        let pem = bytes_of_file(value)?;
        let (issuer, audience) = (issuer.clone().unwrap_or_default(), audience.clone());
        Transmitter::new(issuer, audience.unwrap_or_default(), &pem)
            .map_err(|error| InvalidValue::new(error.to_string(), "see docs/auth-stores.md"))
    });
    let params = shared_signals::Params { url: url?, transmitter: transmitter?, bearer };
    Some(KindOfStore::SharedSignals(Box::new(params)))
}
