//! Readers of single values that several sections share.

use crate::adapters::sources::start::Start;
use crate::adapters::storage::key_material::KEY_BYTES;
use crate::config::mask;
use crate::config::reader::Section;
use crate::config::value::{InvalidValue, Value};
use crate::formats::secrets::nearby::kind_nearby;
use crate::formats::secrets::secret::is_replaced;
use crate::model::credential::{Kind, Kinds};
use crate::model::decision::Mode;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;
use std::path::PathBuf;

pub(super) fn path(value: Value<'_>) -> Result<PathBuf, InvalidValue> {
    value.text().map(PathBuf::from)
}

pub(super) fn one_of<T>(
    value: Value<'_>,
    parse: impl Fn(&str) -> Option<T>,
    known: &[&str],
) -> Result<T, InvalidValue> {
    let text = value.text()?;
    let wrong = || {
        InvalidValue::new(format!("unknown value `{text}`"), format!("write {}", known.join(", ")))
    };
    parse(text).ok_or_else(wrong)
}

pub(in crate::config) fn kind(value: Value<'_>) -> Result<Kind, InvalidValue> {
    one_of(value, Kind::parse, &Kind::ALL.map(Kind::as_str))
}

pub(super) fn mode(value: Value<'_>) -> Result<Mode, InvalidValue> {
    one_of(value, Mode::parse, &Mode::ALL.map(Mode::as_str))
}

/// The kinds that a store receives.
pub(super) fn kinds(section: &Section<'_>) -> Kinds {
    let read = |value: Value<'_>| {
        let known = Kind::ALL.map(Kind::as_str).join(", ");
        let wrong = || InvalidValue::new("unknown kind", format!("write some of {known}"));
        let texts = value.texts()?;
        if texts.is_empty() {
            return Err(InvalidValue::new(
                "this store would receive no decisions",
                "leave kinds out for all",
            ));
        }
        let kinds = texts.into_iter().map(|text| Kind::parse(text).ok_or_else(wrong));
        kinds.collect::<Result<Vec<_>, _>>().map(Kinds::of)
    };
    section.read("kinds", read).unwrap_or(Kinds::ALL)
}

/// The kinds named in a table by kind.
pub(super) fn by_kind(section: &Section<'_>) -> Vec<(Kind, String)> {
    let names = section.names().into_iter();
    names.filter_map(|name| Some((Kind::parse(&name)?, name))).collect()
}

/// A text with something in it, on one line.
pub(super) fn some_text(value: Value<'_>) -> Result<String, InvalidValue> {
    let text = value.text()?;
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(InvalidValue::new(
            "expected a string on one line",
            "write it, or leave it out",
        ));
    }
    Ok(text.to_owned())
}

/// The largest file that a setting may name. Unit: bytes. Chosen: certificates and keys are small.
const FILE_BYTES_MAX: usize = 1 << 20;

pub(super) fn bytes_of_file(value: Value<'_>) -> Result<Vec<u8>, InvalidValue> {
    let path = value.text()?;
    let bytes = std::fs::read(path);
    let path = mask::path(path);
    let bytes = bytes.map_err(|error| {
        let remedy = if path == "***" {
            "not a file path: name a file that tripline may read, with / in it"
        } else {
            "name a file that tripline may read"
        };
        InvalidValue::new(format!("can't read the file {path}: {error}"), remedy)
    })?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(InvalidValue::new(
            format!("the file {path} is too large"),
            "name the right file",
        ));
    }
    Ok(bytes)
}

/// Reports that a source can't read documents.
pub(super) fn documents(section: &Section<'_>) {
    section.report_at(
        "format",
        InvalidValue::new(
            "a source that goes on has a record a line, these are documents",
            "send them to an http source, or run `tripline replay`",
        ),
    );
}

/// Where reading begins.
pub(super) fn start(section: &Section<'_>) -> Start {
    let parse = |name: &str| Start::ALL.into_iter().find(|one| one.as_str() == name);
    let start = section.read("start", |value| one_of(value, parse, &Start::ALL.map(Start::as_str)));
    start.unwrap_or_default()
}

/// A file of certificates in PEM.
pub(super) fn certificates_file(value: Value<'_>) -> Result<Vec<u8>, InvalidValue> {
    let bytes = bytes_of_file(value)?;
    let mut found = CertificateDer::pem_slice_iter(&bytes).peekable();
    if found.peek().is_some() && found.all(|one| one.is_ok()) {
        return Ok(bytes);
    }
    Err(InvalidValue::new("the file holds no PEM certificates", "name one that begins -----BEGIN"))
}

/// A file with a private key in PEM.
pub(super) fn private_key_file(value: Value<'_>) -> Result<Vec<u8>, InvalidValue> {
    let bytes = bytes_of_file(value)?;
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => Err(InvalidValue::new(
            "the file holds no PEM private key",
            "name one that begins -----BEGIN PRIVATE KEY-----",
        )),
    }
}

/// A file that holds a fingerprint key.
pub(super) fn key_file(value: Value<'_>) -> Result<PathBuf, InvalidValue> {
    let remedy = "make it with `head -c 32 /dev/urandom > FILE`, the same on all instances";
    match bytes_of_file(value)? {
        key if key.len() < KEY_BYTES => Err(InvalidValue::new(
            format!("a fingerprint key needs {KEY_BYTES} bytes or more"),
            remedy,
        )),
        _ => path(value),
    }
}

pub(super) fn secret_file(value: Value<'_>) -> Result<SecretString, InvalidValue> {
    let path = mask::path(value.text()?);
    let not_text =
        |_| InvalidValue::new(format!("the file {path} is not text"), "name the right file");
    let text = String::from_utf8(bytes_of_file(value)?).map_err(not_text)?;
    let text = text.trim();
    if text.is_empty() {
        return Err(InvalidValue::new(
            format!("the file {path} is empty"),
            "put the secret into it",
        ));
    }
    Ok(SecretString::from(text.to_owned()))
}

/// Notes names that name nothing, or are meant as a pattern: there are none, each is a name as it stands.
pub(super) fn real_names(section: &Section<'_>) {
    for name in section.names() {
        if name.trim().is_empty() {
            let remedy = "write the name as events have it, or remove it";
            section.report(InvalidValue::new("an empty name names nothing", remedy));
        } else if name.contains('*') {
            section.report(InvalidValue::new(
                format!(
                    "patterns are not supported: `{name}` matches only a name with an \
                    asterisk"
                ),
                "name each by itself, or set the default",
            ));
        }
    }
}

/// Notes the names of credentials in a section whose kind is nearly one, but none.
pub(super) fn kinds_of_names(section: &Section<'_>) {
    for name in section.names() {
        if let Some((written, kind)) = kind_nearby(&name) {
            section.report(InvalidValue::new(
                format!("unknown kind `{written}`"),
                format!(
                    "did you mean {kind}? There are {}",
                    Kind::ALL.map(Kind::as_str).join(", ")
                ),
            ));
        }
    }
}

/// Notes the names of credentials and tenants that no event can have, as they look like secrets: the
/// limits and exceptions set for them would hold for no one.
pub(super) fn secrets_as_names(root: &Section<'_>, random_ids: bool) {
    for (section, tables) in [
        ("limits", &["credential", "tenant_each", "tenant_sum"][..]),
        ("mode", &["tenant"]),
        ("allow_list", &["credential", "tenant"]),
    ] {
        let section = root.section(section);
        for table in tables {
            let table = section.section(table);
            for name in table.names().iter().filter(|name| is_replaced(name, random_ids)) {
                let message = "this name looks like a secret, so it never occurs in events";
                let remedy = "write the fingerprint, fp_…, that `tripline credentials list` shows; \
                              if it is an id all the same, set random_ids = true";
                table.report_at(name, InvalidValue::new(message, remedy));
            }
        }
    }
}
