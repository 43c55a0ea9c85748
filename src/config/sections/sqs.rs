//! A source of type `sqs`.

use super::values::some_text;
use crate::adapters::sources::sqs::params::{IS_BUILT, Params};
use crate::config::reader::Section;
use crate::config::value::{InvalidValue, Value};
use crate::formats::events::decoder::Decoder;
use url::Url;

/// Reads it.
pub(super) fn sqs(section: &Section<'_>, decoder: Decoder) -> Option<Params> {
    let queue = section.get("queue_url", address);
    let region = section.get("region", some_text);
    let bucket = section.get("bucket", some_text);
    let endpoint = section.get("s3_endpoint", address);
    if queue.is_none() || bucket.is_none() {
        section.report_missing(&["queue_url", "bucket"]);
    }
    if !IS_BUILT {
        section.report_at(
            "type",
            InvalidValue::new(
                "this build can't read from AWS",
                "build it with `cargo build --release --features cloud`",
            ),
        );
    }
    let queue = queue?;
    // https://sqs.REGION.amazonaws.com/ACCOUNT/NAME
    let of_queue = queue.host_str().and_then(|host| host.strip_prefix("sqs."));
    let of_queue =
        of_queue.and_then(|rest| rest.split_once('.')).map(|(region, _)| region.to_owned());
    let region = region.or(of_queue);
    if region.is_none() {
        section.report_missing(&["region"]);
    }
    Some(Params { queue, region: region?, bucket: bucket?, endpoint, decoder })
}

fn address(value: Value<'_>) -> Result<Url, InvalidValue> {
    let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.host().is_some();
    let read = Url::parse(value.text()?).ok().filter(is_http);
    read.filter(|url| url.username().is_empty() && url.password().is_none()).ok_or_else(|| {
        InvalidValue::new(
            "no address of a server, without a user",
            "write https://sqs.eu-central-1.amazonaws.com/123456789012/trail",
        )
    })
}
