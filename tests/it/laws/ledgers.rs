//! The ledger answers alike on sled, in memory and rebuilt from a journal.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use netsec::base::artifact::Artifact;
use netsec::base::artifact::ContentRef;
use netsec::base::digest::Digest;
use netsec::base::disk;
use netsec::base::name::{RefName, RunId, StageId};
use netsec::base::outcome::{RunOutcome, StageOutcome};
use netsec::lineage::follow;
use netsec::lineage::journal::{self, Journal, JournalEnd, JournalHead};
use netsec::lineage::ledger::Ledger;
use netsec::lineage::record::{
    ActionRecord, InputRecord, LedgerEntry, PortMove, RunRecord, RunRetention, StageRun,
};
use netsec::lineage::refs::{ManualEvidence, RefEvidence, RefMove};
use netsec::lineage::sled;
use netsec::lineage::tail::{JournalLink, JournalTail};

fn digest(byte: u8) -> Digest {
    Digest::of(&[byte])
}

fn stage(byte: u8) -> StageId {
    StageId::new(&format!("s{}", byte % 3)).unwrap()
}

fn action(byte: u8, run: u64) -> ActionRecord {
    ActionRecord {
        key: digest(byte),
        pipeline: "p.yaml".to_owned(),
        stage: stage(byte),
        part: byte.is_multiple_of(4).then(|| "trial-1".to_owned()),
        kind: "toy".to_owned(),
        ingredients: Vec::new(),
        inputs: vec![InputRecord {
            port: "in".to_owned(),
            text: "x".to_owned(),
            digest: Some(digest(byte / 2)),
        }],
        outputs: vec![Artifact {
            port: "out".to_owned(),
            digest: digest(byte / 3),
            size: 1,
            directory: false,
        }],
        moves: vec![PortMove {
            port: "champion".to_owned(),
            to: content(byte),
        }],
        rejects: false,
        notes: Vec::new(),
        run: RunId::new(run, 0),
        started_ms: run,
        seconds: 0.5,
        host: "h".to_owned(),
        netsec: "0".to_owned(),
        imported: None,
        remote: None,
    }
}

fn run(byte: u8, at: u64) -> RunRecord {
    let stage = StageRun {
        id: stage(byte),
        outcome: StageOutcome::Made,
        key: Some(digest(byte)),
        seconds: 0.5,
        error: None,
    };
    RunRecord {
        retention: RunRetention::Kept,
        imported: None,
        run: RunId::new(at, 0),
        pipeline: "p.yaml".to_owned(),
        digest: digest(byte),
        started_ms: at,
        seconds: 1.0,
        outcome: (!byte.is_multiple_of(4)).then_some(RunOutcome::Succeeded),
        host: "h".to_owned(),
        netsec: "0".to_owned(),
        counts: [(StageOutcome::Made, 1)].into(),
        unchanged_since: None,
        stages: vec![stage],
    }
}

/// Directories as well as bytes.
fn content(byte: u8) -> ContentRef {
    ContentRef {
        digest: digest(byte),
        directory: byte % 2 == 1,
    }
}

fn evidence(byte: u8) -> RefEvidence {
    match byte % 4 {
        0 => RefEvidence::Manual(ManualEvidence {
            who: "someone".to_owned(),
            why: format!("because {byte}"),
            attestation: None,
        }),
        _ => RefEvidence::Action(digest(byte)),
    }
}

fn entry() -> impl Strategy<Value = LedgerEntry> {
    (any::<u8>(), 0_u64..5, 0..3).prop_map(|(byte, at, which)| match which {
        0 => LedgerEntry::Action(Box::new(action(byte % 9, at))),
        1 => LedgerEntry::Run(Box::new(run(byte % 9, at))),
        _ => LedgerEntry::Move(RefMove {
            name: RefName::new("champion/x").unwrap(),
            from: (!byte.is_multiple_of(3)).then(|| content(byte % 2)),
            to: (byte != 7).then(|| content(byte % 2)),
            evidence: evidence(byte),
            at_ms: at,
        }),
    })
}

/// All that a ledger can be asked, as one text.
fn answers(ledger: &Ledger) -> String {
    let runs = ledger.runs().unwrap();
    let whole: Vec<_> = runs
        .iter()
        .map(|run| ledger.run(&run.run).unwrap().unwrap())
        .collect();
    let mut text = format!("{:?}\n{runs:?}\n{whole:?}\n", ledger.actions().unwrap());
    text.push_str(&format!(
        "{:?}\n",
        ledger
            .reference(&RefName::new("champion/x").unwrap())
            .unwrap()
    ));
    for byte in 0..9 {
        text.push_str(&format!(
            "{:?} {:?} {:?} {:?}\n",
            ledger.latest("p.yaml", &stage(byte)).unwrap(),
            ledger.makers(&digest(byte)).unwrap(),
            ledger.users(&digest(byte)).unwrap(),
            ledger.starting_with(&digest(byte).hex()[..5]).unwrap(),
        ));
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sled_memory_and_journal_answer_alike(commits in prop::collection::vec(prop::collection::vec(entry(), 1..4), 0..12)) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("runs")).unwrap();
        let memory = Ledger::in_memory();
        {
            let (ledger, rebuilt) = sled::open(folder.path()).unwrap();
            prop_assert!(rebuilt.is_empty());
            let journal = Journal::of(folder.path(), &RunId::new(1, 0), JournalHead::default());
            let ledger = ledger.with_journal(journal);
            for commit in &commits {
                prop_assert_eq!(ledger.commit(commit).is_ok(), memory.commit(commit).is_ok());
            }
            prop_assert_eq!(answers(&ledger), answers(&memory));
        }
        let (reopened, _) = sled::open(folder.path()).unwrap();
        prop_assert_eq!(answers(&reopened), answers(&memory));
        prop_assert_eq!(answers(&follow::from_journals(folder.path()).unwrap()), answers(&memory));
    }

    #[test]
    fn a_torn_journal_gives_its_whole_commits(commits in prop::collection::vec(prop::collection::vec(entry(), 1..3), 1..6), cut in any::<prop::sample::Index>()) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("runs")).unwrap();
        let journal = Journal::of(folder.path(), &RunId::new(1, 0), JournalHead::default());
        for commit in &commits {
            journal.append(&[journal::encode(commit)]).unwrap();
        }
        let path = journal::list(&folder.path().join("runs")).unwrap()[0].1.clone();
        prop_assert_eq!(&journal::read(&path).unwrap().commits, &commits);
        let bytes = std::fs::read(&path).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len(cut.index(bytes.len()) as u64).unwrap();
        let read = journal::read(&path).unwrap().commits;
        prop_assert!(read.len() < commits.len());
        prop_assert_eq!(&read[..], &commits[..read.len()]);
    }

    #[test]
    fn a_journal_of_which_a_byte_changed_is_not_whole(commits in prop::collection::vec(prop::collection::vec(entry(), 1..3), 1..6), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("runs")).unwrap();
        let journal = Journal::of(folder.path(), &RunId::new(1, 0), JournalHead::default());
        let bodies: Vec<Vec<u8>> = commits.iter().map(|commit| journal::encode(commit)).collect();
        let link = journal.append(&bodies).unwrap();
        let path = journal::list(&folder.path().join("runs")).unwrap()[0].1.clone();
        prop_assert!(journal::read(&path).unwrap().reaches(&link));
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        std::fs::File::options().write(true).truncate(true).open(&path).and_then(|mut file| std::io::Write::write_all(&mut file, &bytes)).unwrap();
        let read = journal::read(&path).unwrap();
        prop_assert!(read.end != JournalEnd::Whole && !read.reaches(&link));
        prop_assert_eq!(&read.commits[..], &commits[..read.commits.len()]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_read_without_the_database_is_what_all_journals_tell(
        journals in prop::collection::vec(prop::collection::vec(entry(), 0..4), 1..40),
        packed in prop::collection::vec(any::<bool>(), 40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path();
        std::fs::create_dir(cache.join("runs")).unwrap();
        let mut after = None;
        for ((entries, at), packed) in journals.iter().zip(10..).zip(packed) {
            let head = JournalHead { is_base: false, after: after.take() };
            let run = RunId::new(at, 0);
            let (ledger, odd) = sled::open(cache).unwrap();
            prop_assert!(odd.is_empty(), "{odd:?}");
            let ledger = ledger.with_journal(Journal::of(cache, &run, head));
            for entry in entries {
                // A move from where the ref is not is refused.
                let _ = ledger.commit(std::slice::from_ref(entry));
            }
            if packed {
                // Enough for it to be written out.
                let swept = (0..300_u64).map(|n| Digest::of(&(at * 1000 + n).to_le_bytes()));
                ledger.commit(&[LedgerEntry::Swept(swept.collect())]).unwrap();
                ledger.flush().unwrap();
            }
            ledger.close_journal();
            after = JournalTail::load(cache).link;
        }
        let all = answers(&follow::from_journals(cache).unwrap());
        prop_assert_eq!(answers(&follow::read_records(cache).unwrap().unwrap()), all.clone());
        let (reopened, odd) = sled::open(cache).unwrap();
        prop_assert!(odd.is_empty());
        prop_assert_eq!(answers(&reopened), all);
        drop(reopened);
        let audit = netsec::lineage::audit::audit(cache, Some(&sled::open(cache).unwrap().0), true).unwrap();
        prop_assert_eq!(audit.lines(), Vec::<String>::new());
    }
}

/// Three journals, each after the one before, that move a ref on.
fn chained(cache: &Path) -> Vec<PathBuf> {
    std::fs::create_dir(cache.join("runs")).unwrap();
    let mut after = None;
    for at in 0_u8..3 {
        let head = JournalHead {
            is_base: false,
            after: after.clone(),
        };
        let step = RefMove {
            name: RefName::new("champion/x").unwrap(),
            from: at.checked_sub(1).map(content),
            to: Some(content(at)),
            evidence: evidence(1),
            at_ms: u64::from(at),
        };
        let journal = Journal::of(cache, &RunId::new(u64::from(at), 0), head);
        let body = journal::encode(&[LedgerEntry::Move(step)]);
        after = Some(journal.append(&[body]).unwrap());
    }
    let journals = journal::list(&cache.join("runs")).unwrap();
    journals.into_iter().map(|(_, path)| path).collect()
}

#[test]
fn where_journals_do_not_tell_everything_the_database_is_asked() {
    let tells_all = |spoil: &dyn Fn(&Path, &[PathBuf])| {
        let folder = tempfile::tempdir().unwrap();
        let journals = chained(folder.path());
        spoil(folder.path(), &journals);
        follow::read_records(folder.path()).unwrap().is_some()
    };
    let cut = |path: &Path| {
        let bytes = disk::read(path).unwrap();
        disk::write_plain(path, &bytes[..bytes.len() - 1]).unwrap();
    };
    assert!(tells_all(&|_, _| {}));
    for at in 0..3 {
        assert!(!tells_all(&|_, journals| cut(&journals[at])), "{at} is cut");
        let remove = |_: &Path, journals: &[PathBuf]| std::fs::remove_file(&journals[at]).unwrap();
        assert!(!tells_all(&remove), "{at} is missing");
        let change = |_: &Path, journals: &[PathBuf]| {
            let mut bytes = disk::read(&journals[at]).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            disk::write_plain(&journals[at], &bytes).unwrap();
        };
        assert!(!tells_all(&change), "{at} was changed");
    }
    let base = |cache: &Path, _: &[PathBuf]| {
        let head = JournalHead {
            is_base: true,
            after: None,
        };
        let journal = Journal::of(cache, &RunId::new(9, 0), head);
        journal.append(&[journal::encode(&[])]).unwrap();
    };
    assert!(tells_all(&base), "a repair wrote all anew");
}

#[test]
fn what_lies_before_a_journal_of_everything_is_not_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path();
    std::fs::create_dir(cache.join("runs")).unwrap();
    let step = |from: Option<u8>, to: u8, at_ms: u64| {
        LedgerEntry::Move(RefMove {
            name: RefName::new("champion/x").unwrap(),
            from: from.map(content),
            to: Some(content(to)),
            evidence: evidence(1),
            at_ms,
        })
    };
    // The second journal, a move from 0 to 1, was lost before the repair.
    let moves = [
        step(None, 0, 1),
        step(Some(0), 1, 2),
        step(Some(1), 0, 3),
        step(Some(0), 1, 4),
    ];
    let write = |at: u64, is_base: bool, entries: &[LedgerEntry]| {
        let head = JournalHead {
            is_base,
            after: None,
        };
        let journal = Journal::of(cache, &RunId::new(at, 0), head);
        journal.append(&[journal::encode(entries)]).unwrap();
    };
    write(1, false, &moves[..1]);
    write(3, false, &moves[2..3]);
    write(4, false, &moves[3..]);
    write(5, true, &moves);
    let ledger = follow::from_journals(cache).unwrap();
    let state = ledger
        .reference(&RefName::new("champion/x").unwrap())
        .unwrap();
    assert_eq!(state.current(), Some(content(1)));
    assert_eq!(state.moves.len(), 4);
}

#[test]
fn a_replayed_move_that_no_longer_applies_does_not_take_its_action_with_it() {
    let ledger = Ledger::in_memory();
    let step = RefMove {
        name: RefName::new("champion/x").unwrap(),
        from: Some(content(7)),
        to: Some(content(8)),
        evidence: evidence(1),
        at_ms: 0,
    };
    let commit = [
        LedgerEntry::Action(Box::new(action(1, 1))),
        LedgerEntry::Move(step),
    ];
    assert!(
        ledger.commit(&commit).is_err(),
        "a commit is all or nothing"
    );
    assert!(ledger.action(&digest(1)).unwrap().is_none());
    ledger
        .replay(
            &commit,
            &JournalLink {
                run: RunId::new(1, 0),
                commits: 1,
                chain: None,
            },
        )
        .unwrap();
    assert!(ledger.action(&digest(1)).unwrap().is_some());
}
