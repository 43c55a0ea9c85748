//! Objects in S3 that notifications in a queue of SQS name, as CloudTrail and load balancers write them.
//!
//! A message is deleted once all events of its objects are durable; until then it comes again. Each part of an
//! object is handed over under a key of its own, so that what was taken before a kill counts once.
//!
//! | a message | its fate |
//! |---|---|
//! | a notification of S3, alone or by SNS | its objects are read |
//! | about another bucket, a digest of `CloudTrail`, a test of S3 | deleted |
//! | none of these | left to the queue, whose redrive policy puts it aside |

use super::params::Params;
use crate::adapters::clock;
use crate::adapters::host::error_chain::error_chain;
use crate::adapters::sources::decoded::Decoded;
use crate::adapters::sources::event_sink::{EventSink, Stopping};
use crate::adapters::sources::rejects::RecordPlace;
use crate::formats::events::body;
use crate::formats::events::notification::{S3Object, objects_of};
use crate::formats::events::refusal::Limits;
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use object_store::ObjectStoreExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::HttpRequestBody;
use object_store::path::Path;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

/// Messages that are received at once. Chosen: objects are many records each.
const MESSAGES_MAX: u32 = 1;
/// How long the queue waits for a message. Unit: seconds.
const WAIT_S: u32 = 5;
/// For how long others don't see a message that was received. Unit: seconds. Chosen: longer than the largest object
/// takes.
const VISIBILITY_S: u32 = 300;
/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long it is waited after a failure, and how often one that lasts is in the log.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const REPORT_EVERY: Duration = Duration::from_mins(1);
/// How often it is looked whether tripline stops.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The largest object, packed and unpacked. Unit: bytes. Chosen: ten times of what AWS writes at once.
const PACKED_BYTES_MAX: u64 = 64 << 20;
const OBJECT_BYTES_MAX: usize = 256 << 20;
/// Events that are handed over together. Chosen.
const EVENTS_MAX: usize = 5_000;
/// How gzip begins. Source: RFC 1952, 2.3.1.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Why a message could not be worked off; it comes again.
#[derive(Debug, thiserror::Error)]
enum SqsError {
    #[error("the queue answers {0}")]
    Queue(u16),
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error(transparent)]
    Aws(#[from] object_store::Error),
    #[error("the message is no notification of S3")]
    NoNotification,
    #[error("the key of the object is none that can be asked for")]
    Key,
    #[error("the object has more than {OBJECT_BYTES_MAX} bytes")]
    TooLarge,
    #[error("can't unpack the object")]
    Unpack(#[source] std::io::Error),
}

/// One source, as it reads.
struct Reader {
    name: String,
    params: Params,
    sink: EventSink,
    client: reqwest::Client,
    credentials: AwsCredentialProvider,
    bucket: AmazonS3,
    reported_at: Option<Instant>,
}

/// Why a source can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The bucket.
    #[error("can't use the bucket of a source")]
    Bucket(#[from] object_store::Error),
    /// The client.
    #[error("can't make requests to a queue")]
    Client(#[from] reqwest::Error),
}

/// All of them, ready to read.
pub(crate) struct Readers(Vec<Reader>);

impl Readers {
    /// Prepares them; nothing is connected to.
    ///
    /// # Errors
    /// When a bucket or a client can't be set up.
    pub(crate) fn new(
        sources: &BTreeMap<String, Params>,
        sink: &EventSink,
    ) -> Result<Self, SetupError> {
        let reader = |(name, params): (&String, &Params)| {
            let mut bucket = AmazonS3Builder::from_env()
                .with_bucket_name(&params.bucket)
                .with_region(&params.region);
            if let Some(endpoint) = &params.endpoint {
                let address = endpoint.as_str().trim_end_matches('/');
                bucket = bucket.with_endpoint(address).with_allow_http(endpoint.scheme() == "http");
            }
            let bucket = bucket.build()?;
            Ok(Reader {
                name: name.clone(),
                params: params.clone(),
                sink: sink.clone(),
                client: reqwest::Client::builder().timeout(ANSWER_WITHIN).build()?,
                credentials: bucket.credentials().clone(),
                bucket,
                reported_at: None,
            })
        };
        sources.iter().map(reader).collect::<Result<_, _>>().map(Self)
    }

    /// Reads until tripline stops.
    pub(crate) async fn run(self) {
        futures_util::future::join_all(self.0.into_iter().map(Reader::run)).await;
    }
}

impl Reader {
    async fn run(mut self) {
        let sink = self.sink.clone();
        let stops = async {
            while !sink.is_stopping() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let reads = async {
            loop {
                match self.turn().await {
                    Ok(Ok(())) => {}
                    Ok(Err(Stopping)) => return,
                    Err(error) => self.report(&error).await,
                }
            }
        };
        // What is on its way is received again after a restart.
        futures_util::future::select(std::pin::pin!(stops), std::pin::pin!(reads)).await;
    }

    async fn report(&mut self, error: &SqsError) {
        self.sink.records.count_read_error(&self.name);
        if self.reported_at.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
            self.reported_at = Some(Instant::now());
            tracing::warn!(source = self.name, error = error_chain(error), "can't read from SQS");
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }

    /// Receives messages, and works each off.
    async fn turn(&self) -> Result<Result<(), Stopping>, SqsError> {
        let wanted = json!({
            "QueueUrl": self.params.queue.as_str(),
            "MaxNumberOfMessages": MESSAGES_MAX,
            "WaitTimeSeconds": WAIT_S,
            "VisibilityTimeout": VISIBILITY_S,
        });
        if self.sink.wait_for_rate(&self.name).await.is_err() {
            return Ok(Err(Stopping));
        }
        let received = self.ask("ReceiveMessage", &wanted).await?;
        for message in received.get("Messages").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
            let objects = objects_of(text("Body")).ok_or(SqsError::NoNotification)?;
            for object in objects {
                if self.is_wanted(&object) && self.read(&object).await?.is_err() {
                    return Ok(Err(Stopping));
                }
            }
            let done = json!({
                "QueueUrl": self.params.queue.as_str(),
                "ReceiptHandle": text("ReceiptHandle"),
            });
            self.ask("DeleteMessage", &done).await?;
        }
        Ok(Ok(()))
    }

    fn is_wanted(&self, object: &S3Object) -> bool {
        object.bucket == self.params.bucket && !object.key.contains("/CloudTrail-Digest/")
    }

    /// Reads an object, and hands its events over.
    async fn read(&self, object: &S3Object) -> Result<Result<(), Stopping>, SqsError> {
        let path = Path::parse(&object.key).map_err(|_| SqsError::Key)?;
        let found = match self.bucket.get(&path).await {
            Ok(found) => found,
            // It was removed meanwhile.
            Err(object_store::Error::NotFound { .. }) => return Ok(Ok(())),
            Err(error) => return Err(error.into()),
        };
        if found.meta.size > PACKED_BYTES_MAX {
            return Err(SqsError::TooLarge);
        }
        let version = found.meta.e_tag.clone().unwrap_or_default();
        let packed = found.bytes().await?;
        let text = if packed.starts_with(GZIP) { unpack(&packed)? } else { packed.to_vec() };
        for (number, decoded) in (0_u64..).zip(self.decode(&text)) {
            let parts = [
                b"sqs".as_slice(),
                self.name.as_bytes(),
                object.bucket.as_bytes(),
                object.key.as_bytes(),
                version.as_bytes(),
                &number.to_le_bytes(),
            ];
            let key = self.sink.seed.hash_all(&parts);
            let place =
                |record| RecordPlace::Object { source: &self.name, object: &object.key, record };
            if let Err(stopping) = self.sink.take(&self.name, Some(key), decoded, place).await {
                return Ok(Err(stopping));
            }
        }
        Ok(Ok(()))
    }

    /// The events of an object, in parts.
    fn decode(&self, text: &[u8]) -> Vec<Decoded> {
        let limits = Limits::at(clock::now());
        let (mut parts, mut part) = (Vec::new(), Decoded::default());
        let fingerprints = &self.sink.fingerprints;
        body::decode(&self.params.decoder, text, &limits, fingerprints, |number, answer| {
            part.add(number as u64, answer, self.sink.seed);
            if part.accepted >= EVENTS_MAX {
                parts.push(std::mem::take(&mut part));
            }
        });
        parts.push(part);
        parts
    }

    /// Asks the queue, by the JSON protocol of AWS, signed by Signature Version 4.
    async fn ask(&self, action: &str, body: &Value) -> Result<Value, SqsError> {
        let body = serde_json::to_vec(body).unwrap_or_default();
        let mut address = self.params.queue.clone();
        address.set_path("/");
        let credential = self.credentials.get_credential().await?;
        let request = Request::post(address.as_str())
            .header(CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amz-target", format!("AmazonSQS.{action}"))
            .body(HttpRequestBody::from(body.clone()));
        let Ok(mut request) = request else { return Err(SqsError::Queue(0)) };
        AwsAuthorizer::new(&credential, "sqs", &self.params.region)
            .try_authorize(&mut request, None)?;
        let (parts, _) = request.into_parts();
        let answer = self.client.post(address).headers(parts.headers).body(body).send().await?;
        if !answer.status().is_success() {
            return Err(SqsError::Queue(answer.status().as_u16()));
        }
        let text = answer.bytes().await?;
        Ok(serde_json::from_slice(&text).unwrap_or(Value::Null))
    }
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, SqsError> {
    let mut unpacked = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(packed).take(OBJECT_BYTES_MAX as u64 + 1);
    reader.read_to_end(&mut unpacked).map_err(SqsError::Unpack)?;
    if unpacked.len() > OBJECT_BYTES_MAX { Err(SqsError::TooLarge) } else { Ok(unpacked) }
}
