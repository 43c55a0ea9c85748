//! Consumption of a topic of Apache Kafka, against a bare consumer that only parses.
//!
//! `cargo bench --bench kafka` starts the broker that `./test` installs, writes 1,000,000 native events of about 130
//! bytes with 10,000 credentials into 6 partitions in one transaction, and commits it once all consumers wait: so all
//! of them begin at one moment, with nothing of their start in the figures. Each consumer is measured until all is
//! applied: a bare rdkafka consumer with a thread for each core, which parses each record by `serde_json` into
//! borrowed fields; one instance of tripline; three, each with all threads. Aimed at: one instance, of the bare
//! consumer, 0.8; three, of one, 1 on a machine whose cores are all taken by one. `-- --test` runs it small.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark prints its figures"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "../tests/it/support/apache_kafka.rs"]
#[expect(dead_code, unreachable_pub, reason = "tests need more of it")]
mod apache_kafka;
#[path = "../tests/it/support/broker.rs"]
#[expect(dead_code, unreachable_pub, reason = "tests need more of it")]
mod broker;
#[path = "../tests/it/support/child.rs"]
#[expect(dead_code, unreachable_pub, reason = "tests need more of it")]
mod child;
#[path = "support/http.rs"]
mod http;
#[expect(dead_code, reason = "it waits in the way of the tests' support")]
mod support;

use apache_kafka::{Kafka, client};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Message, Offset, TopicPartitionList};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{Killed, free_port, start};

const TRIPLINE: &str = env!("CARGO_BIN_EXE_tripline");
const PARTITIONS: i32 = 6;
/// How long anything may take.
const WAIT: Duration = Duration::from_mins(5);

/// Waits until something is there, as the support of tests does.
fn until<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < patience, "waited in vain until {what}");
        pause(Duration::from_millis(10));
    }
}

/// Lets time go by, as the support of tests does.
fn pause(length: Duration) {
    std::thread::park_timeout(length);
}

/// The fields that a consumer of one's own would read.
#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "to be parsed is all that is asked of them")]
struct Parsed<'a> {
    time: i64,
    credential: &'a str,
    status: u16,
    ip: &'a str,
    user_agent: &'a str,
    endpoint: &'a str,
    method: &'a str,
}

/// Writes events in a transaction that is open still.
fn written(kafka: &Kafka, topic: &str, events: u64) -> ThreadedProducer<DefaultProducerContext> {
    let mut config = client(&kafka.address());
    config.set("transactional.id", topic).set("transaction.timeout.ms", "600000");
    config.set("linger.ms", "20").set("queue.buffering.max.messages", "1000000");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().expect("a producer");
    producer.init_transactions(WAIT).expect("it may write transactions");
    producer.begin_transaction().expect("begins");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("after 1970").as_millis();
    for n in 0..events {
        let key = format!("key_{}", n.wrapping_mul(2_654_435_761) % 10_000);
        let event = format!(
            "{{\"time\":{now},\"credential\":\"{key}\",\"status\":200,\"ip\":\"203.0.113.{}\",\
             \"user_agent\":\"curl/8.5\",\"endpoint\":\"/v1/items\",\"method\":\"GET\"}}",
            n % 250,
        );
        let mut record = BaseRecord::to(topic).key(&key).payload(&event);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            pause(Duration::from_millis(5));
        }
    }
    producer.flush(WAIT).expect("all are stored");
    producer
}

/// Events per second of bare consumers, a thread for each core.
fn bare(kafka: &Kafka, topic: &str, events: u64, threads: i32) -> f64 {
    let producer = written(kafka, topic, events);
    let parsed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let parsed = &parsed;
            scope.spawn(move || {
                let mut config = client(&kafka.address());
                config.set("group.id", "bare").set("enable.auto.commit", "false");
                // As tripline sets them.
                config.set("fetch.wait.max.ms", "10").set("queued.max.messages.kbytes", "16384");
                let consumer: BaseConsumer = config.create().expect("a consumer");
                let mut places = TopicPartitionList::new();
                for partition in (0..PARTITIONS).filter(|one| one % threads == thread) {
                    places
                        .add_partition_offset(topic, partition, Offset::Beginning)
                        .expect("valid");
                }
                consumer.assign(&places).expect("assigned");
                while parsed.load(Ordering::Relaxed) < events {
                    let Some(message) = consumer.poll(Duration::from_millis(20)) else { continue };
                    let message = message.expect("a record");
                    let record: Parsed<'_> =
                        serde_json::from_slice(message.payload().expect("a body")).expect("JSON");
                    std::hint::black_box(&record);
                    parsed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // They are connected, and wait for the end of the transaction.
        pause(Duration::from_secs(2));
        let begun = Instant::now();
        producer.commit_transaction(WAIT).expect("committed");
        until("all are parsed", WAIT, || (parsed.load(Ordering::Relaxed) >= events).then_some(()));
        events as f64 / begun.elapsed().as_secs_f64()
    })
}

struct Instance {
    port: u16,
    _daemon: Killed,
}

impl Instance {
    fn start(kafka: &Kafka, topic: &str, folder: &std::path::Path) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let port = free_port();
        let config = folder.join("tripline.toml");
        let text = format!(
            "data_dir = \"{}\"\nhttp.listen = \"127.0.0.1:{port}\"\n\
             [sources.kafka]\ntype = \"kafka\"\nbrokers = \"{}\"\ntopics = [\"{topic}\"]\ngroup = \"{topic}\"\n",
            folder.join("data").display(),
            kafka.address()
        );
        std::fs::write(&config, text).expect("writes");
        let daemon = start(Command::new(TRIPLINE).arg("run").arg("--config").arg(&config));
        Self { port, _daemon: daemon }
    }

    fn metric(&self, http: &reqwest::blocking::Client, name: &str) -> Option<f64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.port);
        let text = http.get(url).send().and_then(reqwest::blocking::Response::text).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }
}

/// Events per second of so many instances of one group.
fn consumed(kafka: &Kafka, topic: &str, events: u64, instances: usize) -> f64 {
    let producer = written(kafka, topic, events);
    let folder = tempfile::tempdir().expect("a folder");
    let at = |number: usize| folder.path().join(number.to_string());
    let all: Vec<Instance> =
        (0..instances).map(|number| Instance::start(kafka, topic, &at(number))).collect();
    let http = http::client();
    let sum = |name: &str| -> f64 { all.iter().filter_map(|one| one.metric(&http, name)).sum() };
    let share = f64::from(PARTITIONS) / instances as f64;
    until("each owns its share", WAIT, || {
        let owned = |one: &Instance| one.metric(&http, "tripline_consumer_assigned ");
        all.iter().all(|one| owned(one) == Some(share)).then_some(())
    });
    pause(Duration::from_secs(2));
    let begun = Instant::now();
    producer.commit_transaction(WAIT).expect("committed");
    until("all are applied", WAIT, || {
        // To ask all the time would take a core from what is measured.
        pause(Duration::from_millis(40));
        (sum("tripline_events_total ") >= events as f64).then_some(())
    });
    events as f64 / begun.elapsed().as_secs_f64()
}

fn main() {
    let small = std::env::args().any(|argument| argument == "--test");
    let (events, rounds) = if small { (20_000, 1) } else { (1_000_000, 5) };
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let threads = i32::try_from(threads).unwrap_or(2).min(PARTITIONS);
    let kafka = Kafka::start();
    let mut figures: [Vec<f64>; 3] = Default::default();
    for round in 0..rounds {
        // All in turn, several times: the machine is shared.
        let topic = |of: &str| {
            let topic = format!("{of}-{round}");
            kafka.create_topic(&topic, PARTITIONS, &[]);
            topic
        };
        let [of_bare, of_one, of_three] = &mut figures;
        of_bare.push(bare(&kafka, &topic("bare"), events, threads));
        of_one.push(consumed(&kafka, &topic("one"), events, 1));
        of_three.push(consumed(&kafka, &topic("three"), events, 3));
    }
    let [bare, one, three] = figures.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or_default()
    });
    println!(
        "{events} events, medians of {rounds}: bare consumer of {threads} threads {bare:.0}/s, tripline {one:.0}/s, \
         of the bare one {:.2}; three instances {three:.0}/s, of one {:.2}",
        one / bare,
        three / one
    );
}
