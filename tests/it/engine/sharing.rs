//! A cache that several workspaces share: what comes from it, what is never believed, and that no
//! fault of it changes a result.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use netsec::base::digest::Digest;
use netsec::base::outcome::StageOutcome;
use netsec::event::EventKind;
use netsec::far::remote_cache::{RecordName, RemoteCache, RemoteError, RemoteResult, WantedBlob};
use netsec::far::shared_action::SharedAction;
use netsec::far::shared_cache::{SharedCache, SharingTerms};
use netsec::store::blob::Store;
use proptest::prelude::*;

use crate::toy::{Ran, run, run_shared, sharing};
use crate::world::World;

const PIPELINE: &str = "stages:
  a: { kind: echo, with: { text: one } }
  b: { kind: join, inputs: { x: a.out } }
  c: { kind: folder }
  d: { kind: join, inputs: { x: b.out, y: c.out } }
";

/// Records by class and key.
type Records = BTreeMap<(String, Digest), Vec<u8>>;

/// What is kept elsewhere.
#[derive(Clone, Default)]
struct Shelf {
    records: Arc<Mutex<Records>>,
    blobs: Arc<Mutex<BTreeMap<Digest, Vec<u8>>>>,
    calls: Arc<AtomicUsize>,
    /// How likely a call goes wrong, in percent, and by which chance.
    faults: u64,
    dice: Arc<Mutex<u64>>,
}

impl Shelf {
    fn faulty(&self, faults: u64, seed: u64) -> Self {
        Self {
            faults,
            dice: Arc::new(Mutex::new(seed)),
            ..self.clone()
        }
    }

    fn draw(&self) -> u64 {
        let mut seed = self.dice.lock().unwrap();
        *seed += 1;
        Digest::of(&seed.to_le_bytes()).head()
    }

    /// Counts a call, and says whether and how it goes wrong.
    fn call(&self) -> Option<u64> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let drawn = self.draw();
        (drawn % 100 < self.faults).then_some(drawn / 100 % 4)
    }

    fn cache(&self, change: impl FnOnce(&mut SharingTerms)) -> SharedCache {
        let mut terms = SharingTerms {
            class: "toy".to_owned(),
            publishes: true,
            trust: Vec::new(),
            key: None,
            required: false,
        };
        change(&mut terms);
        SharedCache::new(Box::new(self.clone()), terms)
    }

    fn calls(&self) -> usize {
        self.calls.swap(0, Ordering::SeqCst)
    }
}

impl RemoteCache for Shelf {
    fn address(&self) -> &str {
        "shelf"
    }

    fn record(&self, name: RecordName<'_>) -> RemoteResult<Option<Vec<u8>>> {
        let records = self.records.lock().unwrap();
        let mut found = records.get(&(name.class.to_owned(), *name.key)).cloned();
        match self.call() {
            None => {}
            Some(0) => return Err(RemoteError::Failed("it is sick".to_owned())),
            // The record of another action.
            Some(1) => found = records.values().next().cloned(),
            Some(2) => return Ok(None),
            Some(_) => {
                let at = self.draw() as usize;
                if let Some(bytes) = &mut found {
                    let at = at % bytes.len();
                    bytes[at] ^= 1 << (self.draw() % 8);
                }
            }
        }
        Ok(found)
    }

    fn fetch(&self, blobs: &[WantedBlob], store: &dyn Store) -> RemoteResult<()> {
        for blob in blobs {
            match self.call() {
                Some(0) => return Err(RemoteError::Failed("it is sick".to_owned())),
                Some(1) => return Err(RemoteError::Gone(blob.digest)),
                Some(_) => return Err(RemoteError::Changed("other bytes".to_owned())),
                None => {}
            }
            let bytes = self.blobs.lock().unwrap().get(&blob.digest).cloned();
            let bytes = bytes.ok_or(RemoteError::Gone(blob.digest))?;
            assert!(
                bytes.len() as u64 <= blob.most,
                "no more is asked for than there is"
            );
            store.put(&bytes)?;
        }
        Ok(())
    }

    fn publish(
        &self,
        name: RecordName<'_>,
        record: Vec<u8>,
        blobs: &[Digest],
        store: &dyn Store,
    ) -> RemoteResult<u64> {
        let mut sent = 0;
        for digest in blobs {
            if self.call().is_some() {
                return Err(RemoteError::Failed("it is sick".to_owned()));
            }
            let bytes = store.get(digest)?;
            sent += bytes.len() as u64;
            self.blobs.lock().unwrap().insert(*digest, bytes);
        }
        let name = (name.class.to_owned(), *name.key);
        self.records.lock().unwrap().insert(name, record);
        Ok(sent)
    }
}

fn outcomes(ran: &Ran) -> Vec<StageOutcome> {
    ran.summary
        .stages
        .iter()
        .map(|stage| stage.outcome)
        .collect()
}

fn warnings(ran: &Ran) -> Vec<String> {
    let warning = |event: &netsec::event::Event| match &event.kind {
        EventKind::Warning { message, .. } => Some(message.clone()),
        _ => None,
    };
    ran.events.iter().filter_map(warning).collect()
}

const MADE: StageOutcome = StageOutcome::Made;
const REUSED: StageOutcome = StageOutcome::Reused;

/// A shelf with all that the pipeline makes.
fn filled() -> (Shelf, Ran) {
    let (shelf, world) = (Shelf::default(), World::new());
    let ran = run_shared(&world, PIPELINE, &shelf.cache(|_| {}));
    assert_eq!(outcomes(&ran), [MADE; 4]);
    assert!(warnings(&ran).is_empty(), "{:?}", warnings(&ran));
    (shelf, ran)
}

#[test]
fn what_one_workspace_made_another_does_not_make_again() {
    let (shelf, first) = filled();
    let world = World::new();
    shelf.calls();
    let second = run_shared(&world, PIPELINE, &shelf.cache(|_| {}));
    assert_eq!(outcomes(&second), [REUSED; 4]);
    assert_eq!(second.digests(), first.digests());
    assert!(
        second
            .summary
            .stages
            .iter()
            .all(|stage| stage.shared_by.is_some())
    );
    assert!(shelf.calls() > 0);
    // What is here is not asked for any more, and nothing that came is published again.
    let third = run_shared(&world, PIPELINE, &shelf.cache(|_| {}));
    assert_eq!((outcomes(&third), shelf.calls()), (vec![REUSED; 4], 0));
    let fourth = run(&world, PIPELINE);
    assert_eq!(outcomes(&fourth), [REUSED; 4]);
}

#[test]
fn reading_publishes_nothing() {
    let (shelf, world) = (Shelf::default(), World::new());
    let ran = run_shared(
        &world,
        PIPELINE,
        &shelf.cache(|terms| terms.publishes = false),
    );
    assert_eq!(outcomes(&ran), [MADE; 4]);
    assert!(shelf.records.lock().unwrap().is_empty());
    assert!(shelf.blobs.lock().unwrap().is_empty());
}

#[test]
fn another_class_of_machine_sees_nothing() {
    let (shelf, _) = filled();
    let other = shelf.cache(|terms| terms.class = "other".to_owned());
    assert_eq!(
        outcomes(&run_shared(&World::new(), PIPELINE, &other)),
        [MADE; 4]
    );
    // A record that says another class than it is kept under.
    let moved = Shelf::default();
    *moved.blobs.lock().unwrap() = shelf.blobs.lock().unwrap().clone();
    let records: Vec<_> = shelf.records.lock().unwrap().clone().into_iter().collect();
    for ((_, key), record) in records {
        let name = ("other".to_owned(), key);
        moved.records.lock().unwrap().insert(name, record);
    }
    let other = moved.cache(|terms| terms.class = "other".to_owned());
    let ran = run_shared(&World::new(), PIPELINE, &other);
    assert_eq!(outcomes(&ran), [MADE; 4]);
    assert!(
        warnings(&ran)[0].contains("another class, `toy`"),
        "{:?}",
        warnings(&ran)
    );
}

#[test]
fn a_record_that_nobody_trusted_signed_is_not_used_and_told() {
    let (shelf, _) = filled();
    let trusting = shelf.cache(|terms| terms.trust = vec![format!("ed25519:{}", "0".repeat(64))]);
    let ran = run_shared(&World::new(), PIPELINE, &trusting);
    assert_eq!(outcomes(&ran), [MADE; 4]);
    let told = warnings(&ran);
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].contains("it is not signed"), "{told:?}");
}

#[test]
fn a_record_of_another_action_is_not_used() {
    let (shelf, first) = filled();
    let all: Vec<_> = shelf.records.lock().unwrap().values().cloned().collect();
    for (at, record) in shelf.records.lock().unwrap().values_mut().enumerate() {
        *record = all[(at + 1) % all.len()].clone();
    }
    let ran = run_shared(
        &World::new(),
        PIPELINE,
        &shelf.cache(|terms| terms.publishes = false),
    );
    assert_eq!(
        (outcomes(&ran), ran.digests()),
        (vec![MADE; 4], first.digests())
    );
    assert!(warnings(&ran)[0].contains("the record of another action"));
}

#[test]
fn what_was_evicted_is_made_again_and_published_again() {
    let (shelf, first) = filled();
    let gone = shelf.blobs.lock().unwrap().pop_first().unwrap();
    let ran = run_shared(&World::new(), PIPELINE, &shelf.cache(|_| {}));
    assert_eq!(ran.digests(), first.digests());
    assert!(outcomes(&ran).contains(&MADE), "{:?}", outcomes(&ran));
    assert!(shelf.blobs.lock().unwrap().contains_key(&gone.0));
}

#[test]
fn a_forced_stage_is_not_looked_up_and_a_secret_is_not_shared() {
    let (shelf, world) = (Shelf::default(), World::new());
    let secret = "stages:\n  a: { kind: echo, with: { token: t } }\n";
    run_shared(&world, secret, &shelf.cache(|_| {}));
    assert_eq!(shelf.calls(), 0);
    assert!(shelf.records.lock().unwrap().is_empty());
}

#[test]
fn a_sick_cache_is_left_alone_after_a_few_failures() {
    struct Sick(Arc<AtomicUsize>);
    impl RemoteCache for Sick {
        fn address(&self) -> &str {
            "sick"
        }
        fn record(&self, _: RecordName<'_>) -> RemoteResult<Option<Vec<u8>>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(RemoteError::Failed("nobody answers".to_owned()))
        }
        fn fetch(&self, _: &[WantedBlob], _: &dyn Store) -> RemoteResult<()> {
            unreachable!("there is no record")
        }
        fn publish(
            &self,
            _: RecordName<'_>,
            _: Vec<u8>,
            _: &[Digest],
            _: &dyn Store,
        ) -> RemoteResult<u64> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(RemoteError::Failed("nobody answers".to_owned()))
        }
    }
    let text: String = (0..20)
        .map(|at| format!("  s{at}: {{ kind: echo, with: {{ text: t{at} }} }}\n"))
        .collect();
    let calls = Arc::new(AtomicUsize::new(0));
    let cache = sharing(Sick(Arc::clone(&calls)));
    let ran = run_shared(&World::new(), &format!("stages:\n{text}"), &cache);
    assert!(ran.is_all(MADE));
    let told = warnings(&ran);
    let left = told
        .iter()
        .filter(|line| line.contains("left alone"))
        .count();
    assert_eq!(left, 1, "{told:?}");
    assert!(told.iter().any(|line| line.contains("nobody answers")));
    // As many as were under way when it was given up, and those before.
    assert!(
        calls.load(Ordering::SeqCst) <= 3 + 2 * 4 + 1,
        "it was asked again and again"
    );
}

#[test]
fn a_shared_action_is_signed_and_named_by_whoever_made_it() {
    let (shelf, first) = filled();
    let records = shelf.records.lock().unwrap();
    for ((class, key), bytes) in records.iter() {
        let (action, signer) = SharedAction::open(bytes).unwrap();
        assert_eq!((&action.class, &action.key, signer), (class, key, None));
        assert!(
            first
                .summary
                .stages
                .iter()
                .any(|stage| stage.key == Some(*key))
        );
    }
}

#[test]
fn where_the_cache_is_required_a_stage_fails_that_it_gives_no_answer_for() {
    // Some of what goes wrong is an answer: there, the stages are made.
    let mut failed = 0;
    for seed in 0..12 {
        let sick = Shelf::default().faulty(100, seed);
        let cache = sick.cache(|terms| terms.required = true);
        let ran = run_shared(&World::new(), PIPELINE, &cache);
        for stage in &ran.summary.stages {
            if stage.outcome == StageOutcome::Failed {
                let error = ran.error(stage.id.as_str());
                let told = "the shared cache `shelf` gives no answer, and the pipeline says `remote: { required: true }`";
                assert!(error.starts_with(told), "{error}");
                failed += 1;
            }
        }
    }
    assert!(failed > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_fault_of_a_shared_cache_changes_a_result(
        seed in any::<u32>(),
        faults in 0_u64..60,
        jobs in 1_usize..4,
    ) {
        let shelf = Shelf::default();
        let first = run(&World::new(), PIPELINE);
        // Several workspaces that read and publish through the same faults.
        for round in 0..3 {
            let sick = shelf.faulty(faults, u64::from(seed) + round * 1_000_003);
            let world = World::new();
            let ran = crate::toy::run_shared_by(&world, PIPELINE, &sick.cache(|_| {}), jobs);
            prop_assert_eq!(ran.digests(), first.digests());
            prop_assert!(outcomes(&ran).iter().all(|outcome| outcome.is_success()));
            // And nothing wrong was kept.
            let again = run(&world, PIPELINE);
            prop_assert_eq!(again.digests(), first.digests());
            prop_assert_eq!(outcomes(&again), vec![REUSED; 4]);
        }
    }
}
