//! Notifications of S3 about objects, alone or by SNS.

use serde::Deserialize;
use std::borrow::Cow;

/// An object that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Object {
    /// Its bucket.
    pub bucket: String,
    /// Its key, as it is.
    pub key: String,
}

#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow, rename = "Message")]
    message: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Notification {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventName")]
    event: String,
    s3: Names,
}

#[derive(Deserialize)]
struct Names {
    bucket: BucketName,
    object: ObjectKey,
}

#[derive(Deserialize)]
struct BucketName {
    name: String,
}

#[derive(Deserialize)]
struct ObjectKey {
    key: String,
}

#[derive(Deserialize)]
struct Test {
    #[serde(rename = "Event")]
    event: String,
}

/// The objects that a message names as made; none for S3's test of a queue. `None` if it is no notification.
pub fn objects_of(message: &str) -> Option<Vec<S3Object>> {
    let inner = serde_json::from_str::<Wrapped<'_>>(message).map(|wrapped| wrapped.message);
    let message = inner.as_deref().unwrap_or(message);
    let Ok(notification) = serde_json::from_str::<Notification>(message) else {
        let test: Test = serde_json::from_str(message).ok()?;
        return (test.event == "s3:TestEvent").then(Vec::new);
    };
    let made =
        notification.records.into_iter().filter(|record| record.event.starts_with("ObjectCreated"));
    Some(
        made.map(|Record { s3, .. }| S3Object {
            bucket: s3.bucket.name,
            key: decoded(&s3.object.key),
        })
        .collect(),
    )
}

/// A key as it is: notifications have it as a form would.
fn decoded(key: &str) -> String {
    let form = format!("={key}");
    let value = url::form_urlencoded::parse(form.as_bytes()).next();
    value.map_or_else(String::new, |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::{S3Object, objects_of};
    use serde_json::json;

    fn notification(event: &str, key: &str) -> String {
        let s3 = json!({ "bucket": { "name": "trail" }, "object": { "key": key, "size": 7 } });
        json!({ "Records": [{ "eventName": event, "s3": s3 }] }).to_string()
    }

    #[test]
    fn an_object_is_named_as_it_is_alone_and_by_sns() {
        let alone = notification("ObjectCreated:Put", "AWSLogs/1/a+b%3D%26.json.gz");
        let by_sns = json!({ "Type": "Notification", "Message": alone }).to_string();
        let made =
            S3Object { bucket: "trail".to_owned(), key: "AWSLogs/1/a b=&.json.gz".to_owned() };
        for message in [alone, by_sns] {
            assert_eq!(objects_of(&message), Some(vec![made.clone()]));
        }
    }

    #[test]
    fn what_was_removed_and_tests_name_none_and_other_messages_are_none() {
        assert_eq!(objects_of(&notification("ObjectRemoved:Delete", "a")), Some(vec![]));
        assert_eq!(objects_of(r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#), Some(vec![]));
        for message in ["", "{}", "[]", r#"{"Message":"hello"}"#, r#"{"Records":[{}]}"#] {
            assert_eq!(objects_of(message), None, "{message}");
        }
    }
}
