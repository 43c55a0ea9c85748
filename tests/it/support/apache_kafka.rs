//! Brokers of Apache Kafka itself, as `./test` installs it: one, or several that make a cluster.

use super::child::Process;
use super::{broker, free_port, until};
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long a broker may take to start or to answer.
pub const WAIT: Duration = Duration::from_mins(1);
/// A broker starts in the third of the time with little compilation, and needs little memory.
const JAVA: [&str; 4] =
    ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"];

/// Properties of a cluster.
#[derive(Debug, Default)]
pub struct Setup<'a> {
    /// Further listeners: name and protocol.
    pub listeners: &'a [(&'a str, &'a str)],
    /// Further settings of the brokers, one a line.
    pub settings: &'a str,
    /// Users with a password that log in by SCRAM.
    pub users: &'a [(&'a str, &'a str)],
}

#[derive(Debug)]
struct Node {
    process: Option<Process>,
    folder: PathBuf,
    port: u16,
    listeners: BTreeMap<String, u16>,
}

/// A cluster of this test alone.
#[derive(Debug)]
pub struct Kafka {
    nodes: Vec<Node>,
    // Removed once the brokers have ended.
    _folder: TempDir,
}

impl Kafka {
    /// Starts one broker and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(1, &Setup::default())
    }

    /// Starts that many brokers, and waits until all are in the cluster.
    pub fn start_with(brokers: usize, setup: &Setup<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let controllers: Vec<u16> = (0..brokers).map(|_| free_port()).collect();
        let numbered = || (1..).zip(&controllers);
        let voters: Vec<String> =
            numbered().map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
        let nodes = numbered().map(|(id, controller)| {
            let listeners = setup.listeners.iter().map(|(name, _)| (*name).to_owned());
            let node = Node {
                process: None,
                folder: folder.path().join(id.to_string()),
                port: free_port(),
                listeners: listeners.map(|name| (name, free_port())).collect(),
            };
            std::fs::create_dir(&node.folder).expect("a folder");
            let text = properties(&node, id, *controller, setup);
            let text = format!(
                "{text}controller.quorum.voters={}\noffsets.topic.replication.factor={brokers}\n\
                 transaction.state.log.replication.factor={brokers}\n\
                 share.coordinator.state.topic.replication.factor={brokers}\n",
                voters.join(",")
            );
            std::fs::write(node.settings(), text).expect("writes");
            node
        });
        let mut cluster = Self { nodes: nodes.collect(), _folder: folder };
        let formats: Vec<Process> =
            cluster.nodes.iter().map(|node| node.format(setup.users)).collect();
        for (mut format, node) in formats.into_iter().zip(&cluster.nodes) {
            assert_eq!(format.wait(), Some(0), "{}", node.log());
        }
        for node in &mut cluster.nodes {
            node.start();
        }
        for at in 0..brokers {
            cluster.wait_for(at);
        }
        cluster
    }

    /// Waits until a broker answers and knows of all that run.
    fn wait_for(&mut self, at: usize) {
        let running = self.nodes.iter().filter(|node| node.process.is_some()).count();
        let node = self.node(at);
        let client: BaseConsumer = client(&node.address()).create().expect("a client");
        until("the broker answers", WAIT, || {
            let ended = node.process.as_mut().is_some_and(|process| !process.runs());
            assert!(!ended, "the broker ended: {}", node.log());
            let metadata = client.fetch_metadata(None, Duration::from_secs(1)).ok()?;
            (metadata.brokers().len() >= running).then_some(())
        });
    }

    fn node(&mut self, at: usize) -> &mut Node {
        self.nodes.get_mut(at).expect("a broker")
    }

    /// Kills a broker; they are counted from 0.
    pub fn kill(&mut self, at: usize) {
        self.node(at).process = None;
    }

    /// Starts a broker that was killed again, with what it has on disk.
    pub fn restart(&mut self, at: usize) {
        self.node(at).start();
        self.wait_for(at);
    }

    /// Lets a broker answer nothing until it is resumed.
    pub fn pause(&self, at: usize) {
        self.signal(at, "STOP");
    }

    /// Goes on after [`Self::pause`].
    pub fn resume(&self, at: usize) {
        self.signal(at, "CONT");
    }

    fn signal(&self, at: usize, name: &str) {
        let node = self.nodes.get(at).expect("a broker");
        node.process.as_ref().expect("it runs").signal(name);
    }

    /// Where all brokers are.
    pub fn address(&self) -> String {
        self.nodes.iter().map(Node::address).collect::<Vec<_>>().join(",")
    }

    /// The id of the cluster.
    pub fn id(&self) -> String {
        let client: BaseConsumer = client(&self.address()).create().expect("a client");
        client.client().fetch_cluster_id(WAIT).expect("it says")
    }

    /// Where the first broker has a further listener.
    pub fn listener(&self, name: &str) -> String {
        let first = self.nodes.first().expect("a broker");
        format!("127.0.0.1:{}", first.listeners.get(name).expect("a listener"))
    }

    /// Makes a topic with settings of its own, each partition on all brokers.
    pub fn create_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let copies = TopicReplication::Fixed(i32::try_from(self.nodes.len()).expect("few"));
        let new =
            settings.iter().fold(NewTopic::new(topic, partitions, copies), |new, (name, value)| {
                new.set(name, value)
            });
        let made = self.admin(async |admin| admin.create_topics([&new], &options()).await);
        all(made, "makes the topic");
        let client: BaseConsumer = client(&self.address()).create().expect("a client");
        until("each partition has a leader", WAIT, || {
            let metadata = client.fetch_metadata(Some(topic), Duration::from_secs(1)).ok()?;
            let topic = metadata.topics().first()?;
            let has_leaders = topic.partitions().iter().all(|one| one.leader() >= 0);
            (topic.partitions().len() == usize::try_from(partitions).ok()? && has_leaders)
                .then_some(())
        });
    }

    /// Deletes a topic and waits until it is gone.
    pub fn delete_topic(&self, topic: &str) {
        let gone = self.admin(async |admin| admin.delete_topics(&[topic], &options()).await);
        all(gone, "deletes the topic");
    }

    /// Gives a topic more partitions.
    pub fn add_partitions(&self, topic: &str, count: usize) {
        let new = NewPartitions::new(topic, count);
        let made = self.admin(async |admin| admin.create_partitions([&new], &options()).await);
        all(made, "makes the partitions");
    }

    /// Sets a setting of a topic.
    pub fn set(&self, topic: &str, name: &str, value: &str) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
        let set = self.admin(async |admin| admin.alter_configs([&change], &options()).await);
        all(set, "sets it");
    }

    /// Removes the records of a partition before an offset, as retention does.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("a partition");
        let gone = self.admin(async |admin| admin.delete_records(&list, &options()).await);
        let low = gone.find_partition(topic, partition).expect("answers");
        low.error().expect("deletes");
    }

    /// The broker that leads a partition, counted from 0.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<usize> {
        let client: BaseConsumer = client(&self.address()).create().expect("a client");
        let metadata = client.fetch_metadata(Some(topic), Duration::from_secs(2)).ok()?;
        let found = metadata.topics().first()?;
        let found = found.partitions().iter().find(|one| one.id() == partition)?;
        usize::try_from(found.leader() - 1).ok()
    }

    /// Gives a right to a user, in the words of Kafka's own command.
    pub fn grant(&self, words: &[&str]) {
        let mut command = java("org.apache.kafka.tools.AclCommand");
        command.args(["--bootstrap-server", &self.address(), "--add"]).args(words);
        let done = command.stdin(Stdio::null()).output().expect("java runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Produces records with their keys and waits until all are stored; gives the offset after the last
    /// one, by partition.
    pub fn produce(
        &self,
        topic: &str,
        records: impl Iterator<Item = (String, String)>,
    ) -> BTreeMap<i32, i64> {
        broker::produce(&self.address(), topic, records)
    }

    fn admin<T>(
        &self,
        ask: impl AsyncFnOnce(&AdminClient<DefaultClientContext>) -> rdkafka::error::KafkaResult<T>,
    ) -> T {
        let admin: AdminClient<DefaultClientContext> =
            client(&self.address()).create().expect("a client");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(ask(&admin)).expect("the cluster answers")
    }
}

impl Node {
    fn settings(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A command whose output goes to the log.
    fn java(&self, class: &str) -> Command {
        let mut command = java(class);
        let log = self.folder.join("log");
        let log = std::fs::File::options().create(true).append(true).open(log).expect("a log");
        command.stdout(Stdio::null()).stderr(log);
        command
    }

    fn format(&self, users: &[(&str, &str)]) -> Process {
        let mut command = self.java("kafka.tools.StorageTool");
        command.args(["format", "--cluster-id", "dHJpcGxpbmUtdGVzdHMtMQ", "--config"]);
        command.arg(self.settings());
        for (name, password) in users {
            let user = format!("SCRAM-SHA-256=[name={name},password={password}]");
            command.args(["--add-scram", &user]);
        }
        Process::start(&mut command)
    }

    fn start(&mut self) {
        let mut command = self.java("kafka.Kafka");
        self.process = Some(Process::start(command.arg(self.settings())));
    }
}

fn all<T, E: std::fmt::Debug>(results: Vec<Result<T, E>>, what: &str) {
    let done: Result<Vec<T>, E> = results.into_iter().collect();
    done.expect(what);
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(WAIT)).request_timeout(Some(WAIT))
}

/// The settings of a client that trusts everyone.
pub fn client(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    config
}

fn java(class: &str) -> Command {
    let libs = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/kafka/libs");
    assert!(libs.is_dir(), "no Apache Kafka at {}: ./test installs it", libs.display());
    let mut command = Command::new("java");
    command.args(JAVA).arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    command.arg("-cp").arg(libs.join("*")).arg(class);
    command
}

/// The settings of a broker.
fn properties(node: &Node, id: usize, controller: u16, setup: &Setup<'_>) -> String {
    let mut listeners = vec![format!("PLAINTEXT://127.0.0.1:{}", node.port)];
    let further = node.listeners.iter().map(|(name, port)| format!("{name}://127.0.0.1:{port}"));
    listeners.extend(further);
    let protocols = [("CONTROLLER", "PLAINTEXT"), ("PLAINTEXT", "PLAINTEXT")];
    let protocols = protocols.iter().chain(setup.listeners);
    let protocols: Vec<String> =
        protocols.map(|(name, protocol)| format!("{name}:{protocol}")).collect();
    let advertised = listeners.join(",");
    format!(
        "process.roles=broker,controller\nnode.id={id}\n\
         listeners={advertised},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners={advertised}\n\
         listener.security.protocol.map={protocols}\n\
         controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT\n\
         log.dirs={folder}/data\noffsets.topic.num.partitions=3\n\
         transaction.state.log.num.partitions=3\nshare.coordinator.state.topic.num.partitions=3\n\
         transaction.state.log.min.isr=1\nshare.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n\
         log.retention.check.interval.ms=500\nlog.initial.task.delay.ms=0\n\
         file.delete.delay.ms=100\n{further}\n",
        protocols = protocols.join(","),
        folder = node.folder.display(),
        further = setup.settings,
    )
}
