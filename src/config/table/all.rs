//! All settings, in the order of the file.

use super::setting::Setting;
use super::{detection, leaks, proof, response, sources, state, stores};

/// The sections whose changes are applied while tripline runs; the rest is read at a start.
pub const LIVE_SECTIONS: [&str; 16] = [
    "mode",
    "limits",
    "burst",
    "ramp",
    "cost",
    "detectors",
    "validity",
    "refresh_tokens",
    "sessions",
    "actions",
    "revocation_limit",
    "approval",
    "budget",
    "common_cause",
    "allow_list",
    TOKENS,
];

/// The access rules.
pub const TOKENS: &str = "http.tokens";

/// Every setting.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    let parts = [
        sources::SETTINGS,
        detection::SETTINGS,
        proof::SETTINGS,
        response::SETTINGS,
        stores::SETTINGS,
        leaks::SETTINGS,
        state::SETTINGS,
    ];
    parts.into_iter().flatten()
}

/// The setting at that place.
pub fn find(place: &[&str]) -> Option<&'static Setting> {
    // A name that is written out comes before one of the operator's.
    let is_exact = |one: &&Setting| one.parts().last().is_some_and(|(_, is_name)| !is_name);
    let all = || settings().filter(|one| one.is_at(place));
    all().find(is_exact).or_else(|| all().next())
}

#[cfg(test)]
mod tests {
    use super::{find, settings};
    use crate::adapters::enforce::auth_store::KindOfStore;
    use crate::adapters::enforce::redis::store::{CHANGES_DEFAULT, KEY_DEFAULT};
    use crate::adapters::enforce::template::Template;
    use crate::adapters::http::auth::Role;
    use crate::adapters::sources::start::Start;
    use crate::config::loader;
    use crate::config::sections::catalog;
    use crate::config::table::render;
    use crate::config::table::setting::{ACTIONS, DETECTORS, FORMATS, KINDS, MODES, ROLES};
    use crate::control_plane;
    use crate::control_plane::notifications::notice;
    use crate::data_plane::partition;
    use crate::model::credential::Kind;
    use crate::model::decision::Mode;
    use crate::model::finding::{Action, Detector};
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn each_setting_has_one_place_a_description_and_a_value_to_show() {
        let mut seen = BTreeSet::new();
        for setting in settings() {
            assert!(seen.insert(setting.path), "{} twice", setting.path);
            assert!(setting.doc.ends_with('.'), "{}", setting.path);
            assert!(setting.default.is_some() || setting.example.is_some(), "{}", setting.path);
        }
        let at = |place: &[&str]| find(place).map(|setting| setting.path);
        assert_eq!(at(&["http", "listen"]), Some("http.listen"));
        assert_eq!(at(&["limits", "credential", "a.b"]), at(&["limits", "credential", "c"]));
        assert_eq!(at(&["http", "nothing"]), None);
    }

    #[test]
    fn its_words_are_those_of_the_code() {
        assert_eq!(KINDS, Kind::ALL.map(Kind::as_str));
        assert_eq!(ACTIONS, Action::ALL.map(Action::as_str));
        assert_eq!(MODES, Mode::ALL.map(Mode::as_str));
        assert_eq!(ROLES, Role::ALL.map(Role::as_str));
        assert_eq!(DETECTORS, Detector::ALL.map(Detector::as_str));
        assert_eq!(FORMATS, catalog::names().collect::<Vec<_>>());
    }

    #[test]
    fn its_defaults_are_those_of_the_planes() {
        let settings = loader::defaults(BTreeMap::new()).expect("defaults are good");
        let own = |value: &dyn std::fmt::Debug| format!("{value:?}");
        assert_eq!(own(&settings.partition), own(&partition::Params::default()));
        let planes = control_plane::params::Params {
            tenant_flood: settings.control.tenant_flood,
            ..control_plane::params::Params::default()
        };
        assert_eq!(own(&settings.control), own(&planes));
    }

    #[test]
    fn defaults_of_optional_sections_are_those_of_their_modules() {
        let text = "[auth_store.redis]\nurl = \"redis://127.0.0.1:1\"\n\
                    [sources.k]\ntype = \"kafka\"\nbrokers = \"127.0.0.1:1\"\ntopics = [\"t\"]\n\
                    [notify.alertmanager.a]\nurl = \"https://example.com\"\n";
        let settings = loader::check("t", text, BTreeMap::new()).expect("good");
        let KindOfStore::Redis(redis) = &settings.stores[0].of else { panic!("no Redis") };
        assert_eq!(redis.key, Template::parse(KEY_DEFAULT).expect("a template"));
        assert_eq!((&*redis.stream, &*redis.channel), (CHANGES_DEFAULT, CHANGES_DEFAULT));
        let kafka = settings.sources.kafka.expect("Kafka");
        assert_eq!((&*kafka.group, kafka.start), ("tripline", Start::default()));
        let own = |value: &dyn std::fmt::Debug| format!("{value:?}");
        assert_eq!(own(&settings.receivers[0].wants), own(&notice::Params::default()));
    }

    #[test]
    fn the_example_file_and_what_it_shows_as_defaults_are_good() {
        let text = render::toml();
        let headers: Vec<&str> =
            text.lines().filter(|line| line.trim_start_matches("# ").starts_with('[')).collect();
        let once: BTreeSet<&&str> = headers.iter().collect();
        assert_eq!(once.len(), headers.len(), "a section is there twice: {headers:#?}");
        let uncommented = text.replace("\n#= ", "\n");
        let read =
            |text: &str| loader::check("t", text, BTreeMap::new()).map_err(|e| e.to_string());
        let (empty, full) = (read("").expect("good"), read(&uncommented).expect("good"));
        assert_eq!(format!("{empty:?}"), format!("{full:?}"));
        assert!(uncommented.lines().filter(|line| !line.starts_with('#')).count() > 80);
    }

    #[test]
    fn the_schema_describes_each_setting() {
        let schema = render::schema();
        let listen = &schema["properties"]["http"]["properties"]["listen"];
        assert_eq!(listen["type"], "string");
        let token = &schema["properties"]["http"]["properties"]["tokens"]["additionalProperties"];
        assert!(token["properties"]["roles"]["items"]["enum"].is_array());
        let text = schema.to_string();
        assert_eq!(text.matches("\"description\"").count(), settings().count());
    }
}
