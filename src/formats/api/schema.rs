//! Schemas of the fixed words and ids of the model, for the description of the API.
//!
//! The words come from the lists of the model, so that a new one is described as soon as it exists.
//!
//! **Does not** describe answers: their types derive that.

use crate::formats::events::refusal::Refusal;
use crate::model::credential::Kind;
use crate::model::decision::{DecisionId, Mode, Order, Receipt, Safeguard, Status};
use crate::model::finding::{Action, Detector, FindingId, Gate};
use crate::model::time::EventTime;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// The schema of a text that is one of `words`.
pub fn one_of(description: &str, words: impl IntoIterator<Item = &'static str>) -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    text.enum_values(Some(words)).into()
}

/// Describes a type of the model under its own name.
macro_rules! described {
    ($($name:ty: $schema:expr;)*) => {$(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                RefOr::T($schema)
            }
        }

        impl ToSchema for $name {}
    )*};
}

/// Describes enums whose words are `ALL` and `as_str`.
macro_rules! words {
    ($($name:ty: $description:literal;)*) => {
        described! {$($name: one_of($description, <$name>::ALL.map(<$name>::as_str));)*}
    };
}

words! {
    Action: "An action about a credential, from the mildest to the most severe.";
    Detector: "The aspect of use in which something abnormal was found.";
    Gate: "A condition on the way to a more severe action.";
    Kind: "A kind of credential.";
    Mode: "The most severe action that is carried out; `shadow`: none.";
    Order: "An action, or `restore`: back into service.";
    Receipt: "The answer of a store to a decision.";
    Refusal: "The reason for which a line was refused.";
    Safeguard: "A safeguard that lowers actions.";
    Status: "The status of a credential at gateways.";
}

described! {
    DecisionId: id("The id of a decision.", "^d_[0-9a-f]{16}$");
    EventTime: time();
    FindingId: id("The id of a finding.", "^f_[0-9a-f]{16}$");
}

fn id(description: &str, pattern: &str) -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    text.pattern(Some(pattern)).into()
}

fn time() -> Schema {
    let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    let text = ObjectBuilder::new().schema_type(Type::String).format(Some(format));
    text.description(Some("A time in UTC with milliseconds, as RFC 3339 writes it.")).into()
}

/// Describes a type by the fields that it is written with.
macro_rules! written_as {
    ($type:ty, $fields:ty, $name:literal) => {
        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                <$fields as utoipa::PartialSchema>::schema()
            }
        }

        impl utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn schemas(schemas: &mut crate::formats::api::schema::Named) {
                <$fields as utoipa::ToSchema>::schemas(schemas);
            }
        }
    };
}
pub(super) use written_as;

/// The schemas that others refer to, by name.
pub(super) type Named = Vec<(String, RefOr<Schema>)>;
