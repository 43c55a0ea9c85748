//! The open incidents of a partition: few among many calm profiles.

use crate::detect::detection::Detection;
use crate::detect::open_finding::OpenFinding;
use crate::detect::peaks::Peaks;
use crate::model::finding::{Action, Detector};
use crate::model::signal::Change;
use crate::model::time::EventTime;
use crate::stats::codec::{Codec, Input};
use compact_str::CompactString;
use hashbrown::HashMap;

/// After this long an open finding no longer keeps its credential from learning.
/// Unit: milliseconds. Default: 24 h.
pub const FROZEN_MS_MAX: i64 = 86_400_000;

/// So many places of one finding are kept. Chosen: a page that people read.
const PLACES_MAX: usize = 8;

/// The open incidents of one credential, one a detector at most.
#[derive(Clone, Debug)]
pub struct OpenIncidents {
    /// The profile's number in the profile table.
    pub number: u32,
    by_detector: [Option<OpenFinding>; Detector::ALL.len()],
    /// Since when learning is frozen.
    suspected: Option<EventTime>,
    peaks: Peaks,
    most_severe: Action,
    /// Where facts were seen.
    places: Vec<(Detector, CompactString)>,
    /// When the credential ends by itself, as last said by an event.
    pub expires: Option<EventTime>,
}

impl OpenIncidents {
    fn new(number: u32) -> Self {
        Self {
            number,
            by_detector: [None; Detector::ALL.len()],
            suspected: None,
            peaks: Peaks::default(),
            most_severe: Action::Observe,
            places: Vec::new(),
            expires: None,
        }
    }

    /// The open finding of `detector`.
    pub fn of(&self, detector: Detector) -> Option<&OpenFinding> {
        self.by_detector.get(detector as usize)?.as_ref()
    }

    /// Where the fact of `detector` was seen: the first places, one after the other.
    pub fn place(&self, detector: Detector) -> Option<CompactString> {
        let places = self.places.iter().filter(|(of, _)| *of == detector);
        let joined = places.map(|(_, place)| place.as_str()).collect::<Vec<_>>().join(", ");
        (!joined.is_empty()).then(|| joined.into())
    }

    /// Notes where the fact of `detector` was seen; says whether that is news.
    pub fn add_place(&mut self, detector: Detector, place: CompactString) -> bool {
        let known = self.places.iter().filter(|(of, _)| *of == detector);
        let is_news =
            known.clone().count() < PLACES_MAX && known.clone().all(|(_, at)| *at != place);
        if is_news {
            self.places.push((detector, place));
        }
        is_news
    }

    /// Forgets where the fact of `detector` was seen, as its finding closed.
    pub fn forget_places(&mut self, detector: Detector) {
        self.places.retain(|(of, _)| *of != detector);
    }

    /// Whether learning is frozen at `now`: from the first suspicion until all is closed, or
    /// for a day.
    pub fn freezes(&self, now: EventTime) -> bool {
        self.suspected.is_some_and(|at| now.ms_since(at) < FROZEN_MS_MAX)
    }

    /// Notes that there is a suspicion; says whether it is the first.
    pub fn suspect(&mut self, at: EventTime) -> bool {
        self.suspected.replace(self.suspected.unwrap_or(at)).is_none()
    }

    /// When the finding of `burst` first justified a suspension.
    pub fn suspended(&self) -> Option<EventTime> {
        self.of(Detector::Burst)?.reached.at(Action::Suspend)
    }

    /// Takes a detection; says what changed, if people are to be reported.
    pub fn add(&mut self, detection: Detection, at: EventTime) -> Option<Change> {
        if detection.detector() != Detector::Failures {
            self.most_severe = self.most_severe.max(detection.action);
        }
        let slot = self.by_detector.get_mut(detection.detector() as usize)?;
        if let Some(open_finding) = slot {
            return open_finding.add(detection, at);
        }
        *slot = Some(OpenFinding::open(detection, at));
        Some(Change::Opened)
    }

    /// Whether a finding is open that the credential's own use opened: any but that of failures,
    /// which strangers can open (invariant S-10).
    pub fn are_of_use(&self) -> bool {
        Detector::ALL
            .into_iter()
            .any(|detector| detector != Detector::Failures && self.of(detector).is_some())
    }

    /// Begins afresh once no finding of the credential's own use is open.
    pub fn end_suspicion(&mut self) {
        self.suspected = None;
        self.peaks = Peaks::default();
        self.most_severe = Action::Observe;
    }

    /// Keeps the most of everything.
    pub fn note_peaks(&mut self, now: &Peaks) {
        self.peaks.record(now);
    }

    /// The credential's lesson once all is over: nothing, if a severe action was justified.
    pub fn lessons(&self) -> Option<Peaks> {
        (self.most_severe < Action::Suspend).then_some(self.peaks)
    }

    /// Takes out the open finding of `detector`.
    pub fn take(&mut self, detector: Detector) -> Option<OpenFinding> {
        self.by_detector.get_mut(detector as usize)?.take()
    }

    /// Takes out a finding that closes by `now`.
    pub fn close_one(&mut self, now: EventTime) -> Option<OpenFinding> {
        let closes = |slot: &&mut Option<OpenFinding>| {
            slot.as_ref().is_some_and(|open_finding| open_finding.closes_at() <= now)
        };
        self.by_detector.iter_mut().find(closes)?.take()
    }

    /// When the next finding closes if it stays calm; `None`: none is open.
    pub fn closes_at(&self) -> Option<EventTime> {
        self.by_detector.iter().flatten().map(OpenFinding::closes_at).min()
    }
}

/// All open incidents of a partition, by number.
#[derive(Clone, Debug, Default)]
pub struct OpenFindingTable {
    slots: Vec<Option<OpenIncidents>>,
    free: Vec<u32>,
    open: usize,
}

impl OpenFindingTable {
    /// Makes room for a credential's findings; gives their number.
    pub fn insert(&mut self, number: u32) -> u32 {
        let open_findings = Some(OpenIncidents::new(number));
        self.open += 1;
        if let Some(free) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(free as usize)
        {
            *slot = open_findings;
            return free;
        }
        self.slots.push(open_findings);
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    /// The findings of that number.
    pub fn get(&self, at: u32) -> Option<&OpenIncidents> {
        self.slots.get(at as usize)?.as_ref()
    }

    /// The findings of that number, to change.
    pub fn get_mut(&mut self, at: u32) -> Option<&mut OpenIncidents> {
        self.slots.get_mut(at as usize)?.as_mut()
    }

    /// Forgets the findings of that number.
    pub fn remove(&mut self, at: u32) {
        if self.slots.get_mut(at as usize).and_then(Option::take).is_some() {
            self.free.push(at);
            self.open -= 1;
        }
    }

    /// Follows the profiles to their new numbers; forgets the findings of those that are gone.
    pub fn renumber(&mut self, numbers: &HashMap<u32, u32>) {
        for at in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            let Some(open_findings) = self.get_mut(at) else { continue };
            match numbers.get(&open_findings.number) {
                Some(to) => open_findings.number = *to,
                None => self.remove(at),
            }
        }
    }

    /// How many credentials have open incidents.
    pub const fn len(&self) -> usize {
        self.open
    }

    /// Whether all is calm.
    pub const fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// All open incidents: their numbers here, those of their profiles, and they.
    pub fn open(&self) -> impl Iterator<Item = (u32, u32, OpenFinding)> {
        let slots = (0_u32..).zip(&self.slots);
        let open = slots.filter_map(|(at, slot)| Some((at, slot.as_ref()?)));
        open.flat_map(|(at, open)| {
            open.by_detector
                .iter()
                .flatten()
                .map(move |open_finding| (at, open.number, *open_finding))
        })
    }

    /// When the next finding closes if it stays calm.
    pub fn next_close(&self) -> Option<EventTime> {
        self.slots.iter().flatten().filter_map(OpenIncidents::closes_at).min()
    }

    /// The numbers of those of which a finding closes by `now`, in order.
    pub fn due(&self, now: EventTime) -> Vec<u32> {
        let closes = |slot: &Option<OpenIncidents>| {
            slot.as_ref().and_then(OpenIncidents::closes_at).is_some_and(|at| at <= now)
        };
        (0_u32..).zip(&self.slots).filter(|(_, slot)| closes(slot)).map(|(at, _)| at).collect()
    }
}

/// How many detectors there were before facts were found, and the first layout that knows those.
const DETECTORS_BEFORE: usize = 11;
const FACTS_SINCE: u16 = 7;

impl Codec for OpenIncidents {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.number, self.by_detector).encode(out);
        (self.suspected, self.peaks).encode(out);
        (self.most_severe, self.expires).encode(out);
        self.places.encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let knows_facts = input.version() >= FACTS_SINCE;
        let number = Codec::decode(input)?;
        let by_detector = if knows_facts {
            Codec::decode(input)?
        } else {
            let before: [Option<OpenFinding>; DETECTORS_BEFORE] = Codec::decode(input)?;
            let mut all = [None; Detector::ALL.len()];
            all.iter_mut().zip(before).for_each(|(slot, open)| *slot = open);
            all
        };
        let (suspected, peaks) = Codec::decode(input)?;
        let (most_severe, expires) = Codec::decode(input)?;
        let places = if knows_facts { Codec::decode(input)? } else { Vec::new() };
        Some(Self { number, by_detector, suspected, peaks, most_severe, places, expires })
    }
}

impl Codec for OpenFindingTable {
    fn encode(&self, out: &mut Vec<u8>) {
        self.slots.encode(out);
        self.free.encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let (slots, free): (Vec<Option<OpenIncidents>>, Vec<u32>) = Codec::decode(input)?;
        let open = slots.iter().flatten().count();
        (open + free.len() == slots.len()).then_some(Self { slots, free, open })
    }
}
