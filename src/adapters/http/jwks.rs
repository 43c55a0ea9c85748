//! `GET /.well-known/jwks.json`: the keys with which receivers of Shared Signals verify.
#![expect(unused_qualifications, reason = "the macro of the routes writes them")]

use super::problem::Problem;
use crate::formats::outbound::security_event::{Jwk, JwkSet};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// The public keys; everybody may read them.
#[utoipa::path(
    get, path = "/.well-known/jwks.json",
    responses((status = 200, body = JwkSet), (status = 404, body = Problem))
)]
pub(super) async fn jwks(State(keys): State<Arc<JwkSet>>) -> Result<Json<JwkSet>, Problem> {
    if keys.keys.is_empty() {
        let detail = "there is one for each [auth_store.shared_signals.NAME]";
        return Err(Problem::new(StatusCode::NOT_FOUND, "there is no key", detail));
    }
    Ok(Json(JwkSet::clone(&keys)))
}

/// The members of a key, as RFC 7517 and RFC 7518 name them; all are text.
const MEMBERS: [(&str, &str); 7] = [
    ("kty", "The type of the key: `EC`."),
    ("crv", "The curve: `P-256`."),
    ("x", "The x coordinate of the point, base64url."),
    ("y", "The y coordinate of the point, base64url."),
    ("use", "The use of the key: `sig`, signatures."),
    ("alg", "The algorithm: `ES256`."),
    ("kid", "The name of the key: its thumbprint of RFC 7638."),
];

impl PartialSchema for Jwk {
    fn schema() -> RefOr<Schema> {
        let text = |about: &str| -> Object {
            ObjectBuilder::new().schema_type(Type::String).description(Some(about)).build()
        };
        let key = MEMBERS.into_iter().fold(ObjectBuilder::new(), |key, (name, about)| {
            key.property(name, text(about)).required(name)
        });
        key.description(Some("A public key on the curve P-256.")).into()
    }
}

impl ToSchema for Jwk {}

impl PartialSchema for JwkSet {
    fn schema() -> RefOr<Schema> {
        let keys = ArrayBuilder::new().items(Ref::from_schema_name(Jwk::name()));
        let keys = keys.description(Some("The keys, one for each receiver."));
        let set = ObjectBuilder::new().property("keys", keys).required("keys");
        set.description(Some("The public keys with which receivers verify statements.")).into()
    }
}

impl ToSchema for JwkSet {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Jwk::name().into(), Jwk::schema()));
    }
}
