//! A real broker process that speaks Kafka's protocol, in memory, and clients for it.

use super::child::Process;
use super::{free_port, until};
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(10);

/// A broker of this test alone.
#[derive(Debug)]
pub struct Broker {
    process: Process,
    port: u16,
}

impl Broker {
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        let port = free_port();
        let url = format!("tcp://127.0.0.1:{port}");
        let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/tansu");
        let mut command = Command::new(tool);
        command.args(["broker", "--listener-url", &url, "--advertised-listener-url", &url]);
        command.args(["--storage-engine", "memory://tansu/"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let broker = Self { process: Process::start(&mut command), port };
        let consumer: BaseConsumer = broker.client().create().expect("a client");
        until("the broker answers", WAIT, || {
            consumer.fetch_metadata(None, Duration::from_secs(1)).ok().map(|_| ())
        });
        broker
    }

    /// Makes it stand still.
    pub fn pause(&self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// Where it is.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn client(&self) -> ClientConfig {
        client(&self.address())
    }

    /// Makes a topic.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("a client");
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let made = runtime.block_on(admin.create_topics([&new], &AdminOptions::new()));
        made.expect("answers").remove(0).expect("makes the topic");
    }

    /// Produces records with their keys and waits until all are stored; gives the offset after
    /// the last one, by partition.
    pub fn produce(
        &self,
        topic: &str,
        records: impl Iterator<Item = (String, String)>,
    ) -> BTreeMap<i32, i64> {
        produce(&self.address(), topic, records)
    }

    /// Reads a topic from its beginning until `enough` of its records, as JSON with their keys and
    /// content types.
    pub fn read_until(&self, topic: &str, enough: impl Fn(&[Record]) -> bool) -> Vec<Record> {
        let mut config = self.client();
        let consumer: BaseConsumer = config
            .set("group.id", "reader")
            .set("auto.offset.reset", "earliest")
            .create()
            .expect("a client");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).expect("a partition");
        consumer.assign(&list).expect("assigns");
        let mut records = Vec::new();
        until("enough records", Duration::from_secs(30), || {
            let record = consumer.poll(Duration::from_millis(200))?.ok()?;
            let text = |bytes: Option<&[u8]>| {
                String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("text")
            };
            let header = record.headers().expect("headers").get(0);
            records.push(Record {
                key: text(record.key()),
                content_type: text(header.value),
                body: serde_json::from_slice(record.payload().expect("a body")).expect("JSON"),
            });
            enough(&records).then_some(())
        });
        records
    }

    /// The offsets that a group has committed, by partition.
    pub fn committed(&self, group: &str, topic: &str, partitions: i32) -> BTreeMap<i32, i64> {
        committed(&self.address(), group, topic, partitions)
    }
}

/// The offsets that a group has committed at the broker at `address`, by partition.
pub fn committed(address: &str, group: &str, topic: &str, partitions: i32) -> BTreeMap<i32, i64> {
    let mut config = client(address);
    let consumer: BaseConsumer = config.set("group.id", group).create().expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions - 1);
    let committed = consumer.committed_offsets(list, WAIT).expect("committed offsets");
    let offset = |partition| {
        let found = committed.find_partition(topic, partition)?.offset();
        if let Offset::Offset(offset) = found { Some(offset) } else { None }
    };
    (0..partitions).filter_map(|partition| Some((partition, offset(partition)?))).collect()
}

/// A record that was read.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// What its `content-type` says.
    pub content_type: String,
    /// What it holds.
    pub body: serde_json::Value,
}

fn client(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    config
}

/// Remembers how far each partition was written.
#[derive(Default)]
struct Written(Mutex<BTreeMap<i32, i64>>);

impl ClientContext for Written {}

impl ProducerContext for Written {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let message = result.as_ref().expect("each record is stored");
        let mut ends = self.0.lock();
        let end = ends.entry(message.partition()).or_insert(0);
        *end = (*end).max(message.offset() + 1);
    }
}

/// Produces records with their keys to the broker at `address` and waits until all are stored;
/// gives the offset after the last one, by partition. (The broker's own high watermark lags.)
pub fn produce(
    address: &str,
    topic: &str,
    records: impl Iterator<Item = (String, String)>,
) -> BTreeMap<i32, i64> {
    let mut config = client(address);
    config.set("linger.ms", "5").set("queue.buffering.max.messages", "200000");
    config.set("batch.num.messages", "5000");
    let producer: ThreadedProducer<Written> =
        config.create_with_context(Written::default()).expect("a producer");
    for (key, record) in records {
        let mut next = BaseRecord::to(topic).key(&key).payload(&record);
        while let Err((_, returned)) = producer.send(next) {
            next = returned;
            super::pause(Duration::from_millis(2));
        }
    }
    producer.flush(Duration::from_mins(2)).expect("all records are stored");
    producer.context().0.lock().clone()
}
