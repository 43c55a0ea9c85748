//! How the memory for profiles is divided between what comes by HTTP and the like, and the partitions of Kafka.

use crate::config::settings::Settings;
use crate::data_plane::partition::Params;

/// The part of the slots where all sources go to Kafka: what was counted in them before ends there in order.
/// Unit: one of so many. Chosen.
const SLOTS_PART: usize = 16;

/// Parameters of the slots, all together: half of the memory where there is Kafka, too, and little where
/// nothing else counts here.
pub(super) fn of_slots(settings: &Settings) -> Params {
    let all = settings.partition.all_bytes();
    let sources = &settings.sources;
    let bytes = match (&sources.kafka, sources.counts_here()) {
        (None, _) => all,
        (Some(_), true) => all / 2,
        (Some(_), false) => all / SLOTS_PART,
    };
    settings.partition.clone().with_memory(bytes)
}

/// Parameters of the partitions of Kafka, all together.
pub(super) fn of_kafka(settings: &Settings) -> Params {
    let bytes = settings.partition.all_bytes() - of_slots(settings).all_bytes();
    settings.partition.clone().with_memory(bytes)
}

#[cfg(test)]
mod tests {
    use super::{of_kafka, of_slots};
    use crate::config::loader;

    /// The parts of the slots and of Kafka, of 64 MiB. Unit: MiB.
    fn parts(sources: &str) -> (usize, usize) {
        let text = format!("[engine]\nmemory = \"64MiB\"\n{sources}");
        let settings = loader::check("test.toml", &text, std::collections::BTreeMap::new());
        let settings = settings.expect("a configuration");
        (of_slots(&settings).all_bytes() >> 20, of_kafka(&settings).all_bytes() >> 20)
    }

    #[test]
    fn the_slots_have_a_part_where_a_source_counts_in_them() {
        let kafka = "[sources.k]\ntype = \"kafka\"\nbrokers = \"b:9092\"\ntopics = [\"auth\"]\n";
        let into = "[sources.default]\ninto = \"k\"\n";
        let file = "[sources.f]\ntype = \"file\"\npaths = [\"/var/log/x\"]\n";
        assert_eq!(parts(""), (64, 0));
        assert_eq!(parts(kafka), (32, 32));
        assert_eq!(parts(&format!("{kafka}{into}")), (4, 60));
        assert_eq!(parts(&format!("{kafka}{into}{file}")), (32, 32));
        let other = "[sources.other]\ntype = \"http\"\n";
        assert_eq!(parts(&format!("{kafka}{into}{other}")), (32, 32));
    }
}
