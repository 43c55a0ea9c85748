//! Objects of S3 by notifications in a queue, against moto, which answers as AWS does.

use crate::support::aws::Aws;
use crate::support::daemon::{Daemon, now_ms, uses};
use crate::support::{pause, skipped, until};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);

fn config(aws: &Aws, more: &str) -> String {
    format!(
        "checkpoints.interval = \"24h\"\n[sources.trail]\ntype = \"sqs\"\nqueue_url = \"{}\"\nregion = \"eu-central-1\"\n\
         bucket = \"trail\"\ns3_endpoint = \"{}\"\n{more}",
        aws.queue, aws.endpoint
    )
}

fn start(folder: &tempfile::TempDir, config: &str) -> Daemon {
    let account = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    Daemon::try_start_in(folder.path(), config, &account).expect("it becomes ready")
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(text).expect("packs");
    out.finish().expect("packs")
}

#[test]
fn cloudtrail_is_read_as_aws_delivers_it_and_messages_for_others_are_passed_over() {
    if skipped("moto") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let aws = Aws::start();
    let trail = std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cloudtrail_excerpt.json"),
    )
    .expect("reads");
    let key = "AWSLogs/1/CloudTrail/eu-central-1/2026/12/01/a b+c=.json.gz";
    aws.put("trail", key, folder.path(), &packed(&trail));
    aws.put("trail", "AWSLogs/1/CloudTrail-Digest/x.json.gz", folder.path(), &packed(b"{}"));
    aws.put("other", "AWSLogs/1/CloudTrail/y.json.gz", folder.path(), &packed(&trail));
    aws.ask(&["send", &aws.queue, r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#]);
    let daemon = start(&folder, &config(&aws, "format = \"cloudtrail\"\n"));
    let taken = "tripline_source_events_total{source=\"trail\"}";
    let left = || aws.ask(&["left", &aws.queue]);
    until("all messages are worked off", PATIENCE, || (left() == "0").then_some(()));
    let events = daemon.metric(taken);
    assert!(events > 5.0, "{events}");
    // One that is none stays in the queue, and what comes after it is read.
    aws.ask(&["send", &aws.queue, "hello"]);
    aws.put("trail", "again.json.gz", folder.path(), &packed(&trail));
    until("the second object is read", PATIENCE, || {
        (daemon.metric(taken) >= 2.0 * events).then_some(())
    });
    until("the other one is left", PATIENCE, || (left() == "1").then_some(()));
    assert!(daemon.log().contains("the message is no notification of S3"), "{}", daemon.log());
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn objects_are_read_once_over_kills() {
    if skipped("moto") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let aws = Aws::start();
    let config = config(&aws, "");
    for number in 0..6 {
        let lines: String =
            (0..12_000).map(|at| uses(&format!("key_{number}_{at}"), now_ms(), 1)).collect();
        aws.put("trail", &format!("events/{number}.ndjson"), folder.path(), lines.as_bytes());
        let daemon = start(&folder, &config);
        pause(Duration::from_millis(150 * number));
        daemon.kill();
    }
    // The queue still waits for those that were killed, five seconds at most, and hands messages to them. These come
    // again after their time; here by hand.
    pause(Duration::from_secs(7));
    let hidden = aws.ask(&["hidden", &aws.queue]);
    for number in 0..6 {
        let s3 = format!(
            r#"{{"Records":[{{"eventName":"ObjectCreated:Put","s3":{{"bucket":{{"name":"trail"}},"object":{{"key":"events/{number}.ndjson"}}}}}}]}}"#
        );
        aws.ask(&["send", &aws.queue, &s3]);
    }
    let daemon = start(&folder, &config);
    let data = daemon.data();
    until("each object was read again", PATIENCE, || {
        (aws.ask(&["left", &aws.queue]) == hidden).then_some(())
    });
    assert_eq!(daemon.terminate(), Some(0));
    let taken = crate::tail::taken(&data);
    assert_eq!(taken.len(), 72_000);
    assert!(taken.values().all(|count| *count == 1), "doubled");
}
