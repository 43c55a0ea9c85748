//! Views of a partition for people: one credential, or the busiest.

use super::partition::{HOT_MAX, Partition};
use crate::detect::limit::Limit;
use crate::detect::window::Window;
use crate::model::credential::{Credential, Kind};
use crate::model::finding::{Detector, FindingId};
use crate::model::time::EventTime;
use compact_str::CompactString;

/// One window of a credential, next to what is usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowView {
    /// The window.
    pub window: Window,
    /// The count in it.
    pub count: u32,
    /// The expected count.
    pub expected: f64,
    /// The most so far in it.
    pub peak: f64,
}

/// One credential as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Which.
    pub credential: Credential,
    /// The tenant.
    pub tenant: Option<CompactString>,
    /// When it was first seen.
    pub first_seen: EventTime,
    /// The newest second in which it was used.
    pub last_seen: EventTime,
    /// Its absolute limit.
    pub limit: Limit,
    /// Its windows.
    pub windows: Vec<WindowView>,
    /// The counts of the last 60 seconds, oldest first.
    pub by_second: Vec<u32>,
    /// Its open incidents.
    pub open: Vec<FindingId>,
}

impl View {
    /// The count of the last minute.
    pub fn last_minute(&self) -> u32 {
        self.windows.iter().find(|view| view.window == Window::S60).map_or(0, |view| view.count)
    }
}

impl Partition {
    /// Puts a credential among the busiest.
    #[cold]
    pub(super) fn heat(&mut self, number: u32) {
        if self.hot.len() == HOT_MAX {
            self.cool();
        }
        if let Some(entry) = self.profiles.get_mut(number) {
            entry.profile.set_hot(true);
            self.hot.push(number);
        }
    }

    /// Keeps the busier half of the busiest, by their counts now.
    fn cool(&mut self) {
        let mut by_count = self.by_count();
        let dropped = by_count.split_off(HOT_MAX / 2);
        self.hot_floor = dropped.first().map_or(0, |(count, _)| *count);
        self.keep_hot(by_count, &dropped);
    }

    /// Forgets those of the busiest that fell silent, so that quieter ones may take their place.
    #[cold]
    pub(super) fn cool_down(&mut self) {
        let mut by_count = self.by_count();
        let silent = by_count.iter().position(|(count, _)| *count == 0).unwrap_or(by_count.len());
        let dropped = by_count.split_off(silent);
        let least = by_count.last().map_or(0, |(count, _)| *count);
        self.hot_floor = if by_count.len() < HOT_MAX / 2 { 0 } else { self.hot_floor.min(least) };
        self.keep_hot(by_count, &dropped);
    }

    /// The busiest with their counts of the last minute, busiest first.
    fn by_count(&self) -> Vec<(u32, u32)> {
        let second = self.newest.second();
        let count = |number: &u32| {
            let windows = self.profiles.get(*number).map(|entry| entry.profile.windows_at(second));
            windows.map_or(0, |windows| windows.count(Window::S60))
        };
        let mut by_count: Vec<_> = self.hot.iter().map(|n| (count(n), *n)).collect();
        by_count.sort_unstable_by(|a, b| b.cmp(a));
        by_count
    }

    fn keep_hot(&mut self, kept: Vec<(u32, u32)>, dropped: &[(u32, u32)]) {
        self.hot = kept.into_iter().map(|(_, number)| number).collect();
        for (_, number) in dropped {
            if let Some(entry) = self.profiles.get_mut(*number) {
                entry.profile.set_hot(false);
            }
        }
    }

    /// The busiest credentials of the last minute, busiest first, at most `most`.
    pub fn busiest(&mut self, most: usize) -> Vec<View> {
        self.cool_down();
        let by_count = self.by_count();
        by_count.into_iter().take(most).filter_map(|(_, number)| self.view(number)).collect()
    }

    /// The credential that made the most requests in a minute of the clock, how many, and when
    /// that minute began.
    pub fn busiest_minute(&self) -> Option<(Credential, u32, EventTime)> {
        let (kind, id) = self.profiles.name_of(self.busiest_minute.hash)?;
        let credential = Credential::new(kind, id).ok()?;
        let began = EventTime::from_s(i64::from(self.busiest_minute.minute) * 60);
        (self.busiest_minute.requests > 0).then_some((
            credential,
            self.busiest_minute.requests,
            began,
        ))
    }

    /// How long all credentials were watched. Unit: days, added up.
    pub fn key_days(&self) -> f64 {
        let newest = self.newest.second();
        let identities = self.profiles.identities();
        let seconds =
            identities.map(|(identity, _)| f64::from(newest.saturating_sub(identity.first_seen)));
        seconds.fold(0.0, |sum, seconds| sum + seconds) / 86_400.0
    }

    /// The ids of all that is open.
    pub fn open_finding_ids(&self) -> impl Iterator<Item = FindingId> {
        self.open_findings.open().filter_map(|(_, number, open_finding)| {
            let entry = self.profiles.get(number)?;
            let credential = Credential::new(entry.profile.kind(), &entry.id).ok()?;
            let detector = open_finding.strongest.detector();
            Some(FindingId::of(&credential, detector, open_finding.opened))
        })
    }

    /// One credential as it is now.
    pub fn look_up(&self, kind: Kind, id: &str) -> Option<View> {
        self.view(self.profiles.find(self.seed.hash(kind, id), kind, id)?)
    }

    fn view(&self, number: u32) -> Option<View> {
        let entry = self.profiles.snapshot(number, &self.params.profile)?;
        let profile = &entry.profile;
        let windows = profile.windows_at(self.newest.second());
        let rate = profile.baseline().rate(&self.params.profile.baseline);
        let view_of = |window| WindowView {
            window,
            count: windows.count(window),
            expected: profile.baseline().expected(window, rate).count,
            peak: f64::from(profile.baseline().peak(window)),
        };
        let credential = Credential::new(profile.kind(), &entry.id).ok()?;
        let open_findings = profile.open_finding().and_then(|at| self.open_findings.get(at));
        let open = Detector::ALL.into_iter().filter_map(|detector| {
            let open_finding = open_findings?.of(detector)?;
            Some(FindingId::of(&credential, detector, open_finding.opened))
        });
        Some(View {
            open: open.collect(),
            credential: credential.clone(),
            tenant: self.tenants.name(profile.identity().tenant).cloned(),
            first_seen: EventTime::from_s(i64::from(profile.identity().first_seen)),
            last_seen: EventTime::from_s(i64::from(profile.windows().newest())),
            limit: profile.identity().limit,
            windows: Window::ALL.into_iter().map(view_of).collect(),
            by_second: windows.by_second().to_vec(),
        })
    }
}
