//! The model's nouns, and what detectors saw, as bytes of a checkpoint.

use super::detection::Observation;
use crate::codec;
use crate::model::credential::Kind;
use crate::model::finding::{Action, Detector, Gate, Gates, Reached};
use crate::model::proof::Country;
use crate::model::time::EventTime;
use crate::stats::codec::{Codec, Input};

codec!(each Kind);
codec!(each Action);
codec!(each Detector);

impl Codec for EventTime {
    fn encode(&self, out: &mut Vec<u8>) {
        self.ms().encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        i64::decode(input).map(Self::from_ms)
    }
}

impl Codec for Country {
    fn encode(&self, out: &mut Vec<u8>) {
        self.number().encode(out);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        u16::decode(input).map(Self::from_number)
    }
}

impl Codec for Gates {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.iter().fold(0, |bits, gate| bits | 1 << gate as u8));
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let bits = u8::decode(input)?;
        let passed = |gates: Self, gate: Gate| gates.with(gate, bits & 1 << gate as u8 != 0);
        let gates = Gate::ALL.into_iter().fold(Self::NONE, passed);
        (usize::from(bits) < 1 << Gate::ALL.len()).then_some(gates)
    }
}

impl Codec for Reached {
    fn encode(&self, out: &mut Vec<u8>) {
        for action in Action::ALL {
            self.at(action).encode(out);
        }
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let mut reached = Self::default();
        for action in Action::ALL {
            if let Some(at) = Option::<EventTime>::decode(input)? {
                reached.record_exactly(action, at);
            }
        }
        Some(reached)
    }
}

impl Codec for Observation {
    fn encode(&self, out: &mut Vec<u8>) {
        self.detector().encode(out);
        match self {
            Self::Limit(seen) => seen.encode(out),
            Self::Burst(seen) => seen.encode(out),
            Self::Ramp(seen) => seen.encode(out),
            Self::Origin(seen) => seen.encode(out),
            Self::FanOut(seen) => seen.encode(out),
            Self::Endpoints(seen) => seen.encode(out),
            Self::Failures(seen) => seen.encode(out),
            Self::Cost(seen) => seen.encode(out),
            Self::Cadence(seen) => seen.encode(out),
            Self::Dormant(seen) => seen.encode(out),
            Self::TenantFlood(seen) => seen.encode(out),
            Self::Leak(seen) => seen.encode(out),
            Self::Validity(seen) => seen.encode(out),
            Self::Reuse(seen) => seen.encode(out),
            Self::Session(seen) => seen.encode(out),
            Self::Canary(seen) => seen.encode(out),
        }
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        Some(match Detector::decode(input)? {
            Detector::Limit => Self::Limit(Codec::decode(input)?),
            Detector::Burst => Self::Burst(Codec::decode(input)?),
            Detector::Ramp => Self::Ramp(Codec::decode(input)?),
            Detector::Origin => Self::Origin(Codec::decode(input)?),
            Detector::FanOut => Self::FanOut(Codec::decode(input)?),
            Detector::Endpoints => Self::Endpoints(Codec::decode(input)?),
            Detector::Failures => Self::Failures(Codec::decode(input)?),
            Detector::Cost => Self::Cost(Codec::decode(input)?),
            Detector::Cadence => Self::Cadence(Codec::decode(input)?),
            Detector::Dormant => Self::Dormant(Codec::decode(input)?),
            Detector::TenantFlood => Self::TenantFlood(Codec::decode(input)?),
            Detector::Leak => Self::Leak(Codec::decode(input)?),
            Detector::Validity => Self::Validity(Codec::decode(input)?),
            Detector::Reuse => Self::Reuse(Codec::decode(input)?),
            Detector::Session => Self::Session(Codec::decode(input)?),
            Detector::Canary => Self::Canary(Codec::decode(input)?),
        })
    }
}
