//! State on disk.

use super::setting::{Kind, Setting, duration, size};

/// The settings, in the order of the file.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        path: "journal.rotate",
        kind: size(64 << 10),
        default: Some(r#""256MiB""#),
        example: None,
        doc: "How large a file of the journal gets before the next one begins. All of them are kept.",
    },
    Setting {
        path: "checkpoints.interval",
        kind: duration(1_000, i64::MAX),
        default: Some(r#""60s""#),
        example: None,
        doc: "How often state is written down, and at each stop; it is read at the start. Kafka \
              offsets are committed only behind a checkpoint, so they lag by as much.",
    },
    Setting {
        path: "checkpoints.url",
        kind: Kind::Text,
        default: None,
        example: Some(r#""s3://bucket/tripline""#),
        doc: "Where those of Kafka partitions are kept: one place for all instances, who take \
              partitions over from each other. file:///folder, s3://bucket/folder, gs://… or az://… \
              (these need a build with --features cloud, and are set up by the usual variables, \
              AWS_ACCESS_KEY_ID say). Without it, as those of the HTTP source always, in \
              data_dir/checkpoints.",
    },
    Setting {
        path: "event_log.sync",
        kind: Kind::Choice(&["before_answer", "every_second", "never"]),
        default: Some(r#""before_answer""#),
        example: None,
        doc: "When events of HTTP are forced to disk: before_answer (they outlive a crash of the \
              machine too), every_second, never. They are kept in data_dir/events until checkpoints \
              hold them.",
    },
    Setting {
        path: "event_log.max",
        kind: size(1 << 20),
        default: Some(r#""8GiB""#),
        example: None,
        doc: "The most it holds, should checkpoints not be written.",
    },
    Setting {
        path: "event_log.min_free_disk",
        kind: size(0),
        default: Some(r#""256MiB""#),
        example: None,
        doc: "The space that it leaves free on the disk, for the journal above all. Below that, as on \
              a disk that fails, events are applied but not durable, and the answer to the sender is \
              202 instead of 200.",
    },
    Setting {
        path: "findings.keep",
        kind: duration(3_600_000, i64::MAX),
        default: Some(r#""90d""#),
        example: None,
        doc: "How long findings are kept on disk (data_dir/findings.db) after they last changed. \
              Decisions are in the journal, for good.",
    },
    Setting {
        path: "findings.max",
        kind: size(1 << 20),
        default: Some(r#""1GiB""#),
        example: None,
        doc: "How large that file may get: beyond it the oldest are deleted.",
    },
    Setting {
        path: "rejects.keep",
        kind: duration(3_600_000, i64::MAX),
        default: Some(r#""30d""#),
        example: None,
        doc: "How long the places of refused records are kept (twice as long at most).",
    },
    Setting {
        path: "rejects.max",
        kind: size(0),
        default: Some(r#""1GiB""#),
        example: None,
        doc: "How much of them is kept: the newest.",
    },
];
