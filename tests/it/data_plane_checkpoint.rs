//! Checkpoints: what was written down and read back goes on as if nothing had happened.

use proptest::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;
use tripline::data_plane::batch::{Batch, HashSeed};
use tripline::data_plane::eviction_policy::bytes_for;
use tripline::data_plane::partition::Clock;
use tripline::data_plane::partition::Params;
use tripline::data_plane::partition_checkpoint::{Restoring, Useless, VERSION};
use tripline::data_plane::shard_driver::ShardDriver;
use tripline::detect::limit::Limit;
use tripline::model::credential::Kind;
use tripline::model::event::{AuthEvent, Outcome};
use tripline::model::money::Money;
use tripline::model::signal::Signal;
use tripline::model::time::EventTime;

const SEED: HashSeed = HashSeed(5, 6);
const START_MS: i64 = 1_700_000_040_000;

/// The head of a checkpoint and its parts.
type Written = (Vec<u8>, Vec<Vec<u8>>);

/// Uses of a few credentials, some of them in bursts, with silences of hours in which they fall
/// cold: one batch a step.
fn batches(steps: &[(u8, u8, u16)]) -> Vec<(Batch, i64)> {
    let (mut ms, mut offset) = (START_MS, 0);
    let each = steps.iter().map(|(who, what, passes)| {
        ms += match what % 16 {
            0 => i64::from(*passes) * 200,
            1..8 => i64::from(*passes),
            _ => 900,
        };
        let times = if what % 16 == 2 { 2000 } else { 1 + usize::from(what % 3) };
        let mut event =
            AuthEvent::new(EventTime::from_ms(ms), Cow::Owned(format!("k{}", who % 40)));
        event.tenant = Some(Cow::Owned(format!("t{}", who % 3)));
        event.ip = Some([203, 0, *what, 1].into());
        event.endpoint = Some(Cow::Owned(format!("/v1/{}", what % 5)));
        event.tokens = Some(u64::from(*passes));
        if what % 5 == 0 {
            event.spend = Money::of(f64::from(*passes));
        }
        if what % 7 == 0 {
            event.outcome = Outcome::Rejected;
            event.verified = who % 2 == 0;
        }
        let mut batch = Batch::default();
        for _ in 0..times {
            batch.push(&event, offset, SEED);
            offset += 1;
        }
        (batch, ms)
    });
    each.collect()
}

/// Room for that many credentials that are warm.
fn params(credentials: usize) -> Arc<Params> {
    let mut params = Params { memory_bytes: bytes_for(credentials), ..Params::default() };
    params.profile.limits.by_kind = [Limit::written(600); 5];
    Arc::new(params)
}

fn apply(shard: &mut ShardDriver, (batch, ms): &(Batch, i64)) -> Vec<Signal> {
    shard.step(batch, Clock::Source(EventTime::from_ms(*ms))).signals
}

fn new(params: Arc<Params>) -> ShardDriver {
    ShardDriver::empty(params, SEED)
}

fn written(shard: &mut ShardDriver) -> Written {
    let partition = shard.partition_mut();
    let head = partition.begin_checkpoint();
    let (part, is_last) = partition.checkpoint_part(u32::MAX);
    assert!(is_last);
    (head, vec![part])
}

fn read(written: &Written, params: Arc<Params>) -> Result<ShardDriver, Useless> {
    let mut restoring = Restoring::begin((&written.0, VERSION), params, SEED)?;
    for part in &written.1 {
        restoring.part(part)?;
    }
    Ok(ShardDriver::new(restoring.finish()?, EventTime::MIN))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The oracle: a partition that never stops.
    #[test]
    fn a_partition_that_was_read_back_goes_on_as_one_that_never_stopped(
        steps in prop::collection::vec(any::<(u8, u8, u16)>(), 20..300),
        (at, most) in (any::<prop::sample::Index>(), 1_u32..6),
        credentials in 4_usize..50,
    ) {
        let (steps, params) = (batches(&steps), params(credentials));
        let begins = at.index(steps.len());
        let mut undisturbed = new(Arc::clone(&params));
        let mut signals: Vec<Vec<Signal>> = Vec::new();
        let mut checkpoint: Written = (Vec::new(), Vec::new());
        let mut under_way = false;
        for (number, step) in steps.iter().enumerate() {
            if number == begins {
                checkpoint.0 = undisturbed.partition_mut().begin_checkpoint();
                under_way = true;
            }
            signals.push(apply(&mut undisturbed, step));
            if under_way {
                // Between the batches, while everything goes on.
                let (part, is_last) = undisturbed.partition_mut().checkpoint_part(most);
                checkpoint.1.push(part);
                under_way = !is_last;
            }
        }
        while under_way {
            let (part, is_last) = undisturbed.partition_mut().checkpoint_part(most);
            checkpoint.1.push(part);
            under_way = !is_last;
        }
        let mut restored = read(&checkpoint, params).expect("it is read back");
        // Some of what was applied comes again, as after a crash.
        for (step, told) in steps.iter().zip(&signals).skip(begins.saturating_sub(3)) {
            let is_new = step.0.rows().iter().any(|row| row.offset >= restored.partition().next_offset());
            let again = apply(&mut restored, step);
            prop_assert_eq!(again.as_slice(), if is_new { told.as_slice() } else { &[] });
        }
        prop_assert_eq!(written(&mut restored), written(&mut undisturbed), "and so is all else");
    }

    #[test]
    fn no_damage_makes_it_panic_or_take_memory(
        steps in prop::collection::vec(any::<(u8, u8, u16)>(), 20..60),
        (place, bit, cut) in (any::<prop::sample::Index>(), 0_u8..8, any::<bool>()),
    ) {
        let mut shard = new(params(50));
        for step in &batches(&steps) {
            apply(&mut shard, step);
        }
        let (mut head, mut parts) = written(&mut shard);
        let at = place.index(head.len() + parts[0].len());
        let damaged = if at < head.len() { &mut head } else { &mut parts[0] };
        let at = at % damaged.len();
        if cut { damaged.truncate(at) } else { damaged[at] ^= 1 << bit }
        // A changed number may pass: that is what checksums are for.
        let _read = read(&(head, parts), params(50));
    }
}

#[test]
fn a_checkpoint_of_another_key_or_of_a_newer_tripline_is_refused() {
    let mut shard = new(params(10));
    let (head, _) = written(&mut shard);
    let begin = |version, seed| Restoring::begin((&head, version), params(10), seed).err();
    assert_eq!(begin(VERSION, SEED), None);
    assert_eq!(begin(VERSION, HashSeed(5, 7)), Some(Useless::OtherKey));
    assert_eq!(begin(VERSION + 1, SEED), Some(Useless::Newer(VERSION + 1)));
}

#[test]
fn limits_are_those_of_the_configuration_after_a_restart() {
    let mut shard = new(params(10));
    apply(&mut shard, &batches(&[(1, 1, 1)])[0]);
    let written = written(&mut shard);
    let mut stricter = Params::default();
    stricter.profile.limits.by_kind = [Limit::written(7); 5];
    let mut restored = read(&written, Arc::new(stricter)).expect("it is read back");
    assert_eq!(restored.partition_mut().busiest(1)[0].limit.per_min(), 7);
}

#[test]
fn a_smaller_memory_keeps_what_is_worth_most_and_all_that_is_open() {
    const HOUR_MS: i64 = 3_600_000;
    let mut offset = 0;
    let mut uses = |shard: &mut ShardDriver, id: &str, ms: i64, times: usize| {
        let mut batch = Batch::default();
        for _ in 0..times {
            let event = AuthEvent::new(EventTime::from_ms(START_MS + ms), Cow::Borrowed(id));
            batch.push(&event, offset, SEED);
            offset += 1;
        }
        apply(shard, &(batch, START_MS + ms));
    };
    let mut shard = new(params(1000));
    // Ten that were used in three hours, and many that were used once; one is abused.
    for hour in 0..3 {
        for n in 0..10 {
            uses(&mut shard, &format!("key_{n}"), hour * HOUR_MS + n, 1);
        }
    }
    uses(&mut shard, "abused", 3 * HOUR_MS, 3_000);
    for n in 0..800 {
        uses(&mut shard, &format!("once_{n}"), 3 * HOUR_MS + n, 1);
    }
    assert!(shard.usage().open == 1 && shard.usage().credentials == 811);

    let open = shard.partition().look_up(Kind::ApiKey, "abused").map(|view| view.open.len());
    assert!(open > Some(0));

    let smaller = params(60);
    let mut restored = read(&written(&mut shard), Arc::clone(&smaller)).expect("read back");
    assert!(restored.partition().memory_bytes() <= smaller.memory_bytes, "{:?}", restored.usage());
    assert!((20..=80).contains(&restored.usage().credentials), "{:?}", restored.usage());
    let known = |shard: &ShardDriver, id: &str| shard.partition().look_up(Kind::ApiKey, id);
    for n in 0..10 {
        assert!(known(&restored, &format!("key_{n}")).is_some(), "key_{n}");
    }
    assert_eq!(known(&restored, "abused").map(|view| view.open.len()), open);
    // It goes on: what is open escalates and closes, and new ones come in.
    for n in 0..200 {
        uses(&mut restored, &format!("new_{}", n / 2), 3 * HOUR_MS + 10_000 + n, 1);
    }
    uses(&mut restored, "abused", 3 * HOUR_MS + 11_000, 10);
    assert_eq!(known(&restored, "abused").map(|view| view.open.len()), open);
    let again = written(&mut restored);
    assert!(read(&again, smaller).is_ok(), "and is written down again");
}

/// As where partitions come and go: the memory is that of those which are owned.
#[test]
fn a_partition_that_runs_on_with_less_memory_keeps_what_one_that_is_read_back_would_and_grows_again()
 {
    let mut offset = 0;
    let mut uses = |shard: &mut ShardDriver, id: &str, ms: i64, times: usize| {
        let mut batch = Batch::default();
        for _ in 0..times {
            let mut event = AuthEvent::new(EventTime::from_ms(START_MS + ms), Cow::Borrowed(id));
            event.tenant = Some(Cow::Borrowed("acme"));
            batch.push(&event, offset, SEED);
            offset += 1;
        }
        apply(shard, &(batch, START_MS + ms));
    };
    let sized = |credentials: usize| {
        let params = params(credentials);
        Arc::new((*params).clone().with_memory(params.memory_bytes / 15 * 16))
    };
    let large = sized(1000);
    let mut shard = new(Arc::clone(&large));
    for n in 0..600_i64 {
        // A third in two hours, the rest in one.
        uses(&mut shard, &format!("key_{n}"), n, 1);
        if n % 3 == 0 {
            uses(&mut shard, &format!("key_{n}"), 3_600_000 + n, 1);
        }
    }
    uses(&mut shard, "abused", 3_700_000, 3_000);
    let smaller = sized(60);
    let read_back = read(&written(&mut shard), Arc::clone(&smaller)).expect("read back");
    assert!(shard.partition_mut().resize(smaller.all_bytes()));
    assert!(shard.partition().memory_bytes() <= smaller.all_bytes(), "{:?}", shard.usage());
    let known = |shard: &ShardDriver| -> Vec<i64> {
        let is_known =
            |n: &i64| shard.partition().look_up(Kind::ApiKey, &format!("key_{n}")).is_some();
        (0..600).filter(is_known).collect()
    };
    let kept = known(&shard);
    assert_eq!(kept, known(&read_back));
    assert!(kept.len() >= 20 && kept.iter().all(|n| n % 3 == 0), "{kept:?}");
    let open = |shard: &ShardDriver| {
        shard.partition().look_up(Kind::ApiKey, "abused").map(|view| view.open.len())
    };
    assert!(open(&shard) > Some(0) && open(&shard) == open(&read_back));

    // It grows again without forgetting, and takes in more.
    assert!(shard.partition_mut().resize(large.all_bytes()));
    assert_eq!(known(&shard), kept);
    for n in 0..500 {
        uses(&mut shard, &format!("new_{n}"), 3_800_000 + n, 1);
    }
    assert_eq!(known(&shard), kept, "none had to go");
    assert!(shard.usage().credentials >= 500, "{:?}", shard.usage());
    assert!(read(&written(&mut shard), large).is_ok(), "and it is written down");
}
